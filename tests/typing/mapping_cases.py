"""What type checkers say of mapped functions, and of what shows or calls a function without running it here."""

from typing import Any, Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx


def scaled(x: jax.Array, times: int) -> Tuple[jax.Array, str]:
    return times * x, "scaled"


def use(x: jax.Array, key: jax.Array, shape: jax.ShapeDtypeStruct) -> None:
    assert_type(eqx.filter_vmap(scaled)(x, 3), Tuple[jax.Array, str])
    assert_type(eqx.filter_vmap(in_axes=(0, None), out_axes=eqx.if_array(1))(scaled)(x, 3), Tuple[jax.Array, str])
    eqx.filter_vmap(scaled)(x, "3")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_vmap(scaled, axis_size="3")  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]
    eqx.if_array("0")  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_pmap(scaled)(x, 3), Tuple[jax.Array, str])
    assert_type(eqx.filter_pmap(axis_name="device")(scaled)(x, 3), Tuple[jax.Array, str])
    assert_type(eqx.filter_pmap(scaled).lower(x, 3).compile()(x, 3), Tuple[jax.Array, str])
    eqx.filter_pmap(scaled)(x, "3")  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_eval_shape(eqx.nn.Linear, 2, 3, key=key), eqx.nn.Linear)
    assert_type(eqx.filter_eval_shape(scaled, shape, 3), Tuple[jax.Array, str])
    eqx.filter_eval_shape(3)  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_make_jaxpr(scaled)(x, 3), Tuple[Any, Any, Any])
    assert_type(eqx.filter_make_jaxpr(axis_env=[("batch", 2)])(scaled)(x, 3), Tuple[Any, Any, Any])
    eqx.filter_make_jaxpr(scaled)("x", 3)  # error: mypy[arg-type] pyright[reportArgumentType]

    assert_type(eqx.filter_pure_callback(scaled, x, 3, result_shape_dtypes=(shape, "scaled")), Any)
    eqx.filter_pure_callback(scaled, x, 3)  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.filter_pure_callback(3, x, result_shape_dtypes=shape)  # error: mypy[arg-type] pyright[reportArgumentType]
