"""What type checkers say of derivatives other than gradients."""

from typing import Any, Callable, Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx


def scale(x: jax.Array, times: int) -> jax.Array:
    return x * times


def with_aux(x: jax.Array) -> Tuple[jax.Array, str]:
    return x, "aux"


def use(x: jax.Array) -> None:
    assert_type(eqx.filter_jvp(scale, (x, 2), (x, None)), Tuple[jax.Array, jax.Array])
    eqx.filter_jvp(3, (x,), (x,))  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_jvp(scale, 3, (x,))  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_vjp(scale, x, 2), Tuple[jax.Array, Callable[[Any], Tuple[Any, ...]]])
    assert_type(eqx.filter_vjp(with_aux, x, has_aux=True), Tuple[jax.Array, Callable[[Any], Tuple[Any, ...]], str])

    eqx.filter_jacfwd(scale)(x, 2)
    eqx.filter_jacrev(has_aux=True)(with_aux)(x)
    eqx.filter_hessian(scale)(x, "2")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_jacfwd(scale)(x)  # error: mypy[call-arg] pyright[reportCallIssue]

    assert_type(eqx.filter_checkpoint(scale)(x, 2), jax.Array)
    assert_type(eqx.filter_checkpoint(prevent_cse=False)(scale)(x, 2), jax.Array)
    eqx.filter_checkpoint(scale)(x, "2")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_checkpoint(scale, policy=3)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
