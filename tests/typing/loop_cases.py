"""What type checkers say of the loops and the branches."""

from typing import Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx

Carry = Tuple[eqx.nn.GRUCell, jax.Array]


def step(carry: Carry, x: jax.Array) -> Tuple[Carry, str]:
    cell, hidden = carry
    return (cell, cell(x, hidden)), "y"


def grow(carry: Carry) -> Carry:
    return carry


def grow_at(i: jax.Array, carry: Carry) -> Carry:
    return carry


def name(x: jax.Array) -> str:
    return "x"


def number(x: jax.Array) -> int:
    return 1


def use(carry: Carry, x: jax.Array) -> None:
    assert_type(eqx.filter_scan(step, carry, x), Tuple[Carry, str])
    assert_type(eqx.filter_scan(step, carry, length=3, reverse=True, unroll=2, checkpoint=True), Tuple[Carry, str])
    eqx.filter_scan(step, 3, x)  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_scan(grow, carry, x)  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_scan(step, carry, x, length="3")  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_while_loop(lambda carry: True, grow, carry), Carry)
    eqx.filter_while_loop(lambda carry: True, grow, 3)  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_fori_loop(0, x, grow_at, carry), Carry)
    eqx.filter_fori_loop(0, "3", grow_at, carry)  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_fori_loop(0, 3, grow, carry)  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_map(name, x), str)
    eqx.filter_map(3, x)  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_cond(True, name, name, x), str)
    assert_type(eqx.filter_switch(x, [name, name], x), str)
    eqx.filter_cond("yes", name, name, x)  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_switch(0, name, x)  # error: mypy[arg-type] pyright[reportArgumentType]
    len(eqx.filter_cond(True, name, number, x))  # error: mypy[arg-type] pyright[reportArgumentType]
