"""What type checkers say of custom rules and of closure conversion."""

from typing import Any, Callable, Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx


@eqx.filter_custom_jvp
def power(x: jax.Array, *, exponent: int) -> jax.Array:
    return x**exponent


@power.def_jvp
def power_jvp(primals: Tuple[jax.Array], tangents: Tuple[Any], *, exponent: int) -> Tuple[jax.Array, Any]:
    return power(*primals, exponent=exponent), tangents[0]


@eqx.filter_custom_vjp
def clip(x: jax.Array, limit: float) -> jax.Array:
    return x


@clip.def_fwd
def clip_fwd(perturbed: Any, x: jax.Array, limit: float) -> Tuple[jax.Array, None]:
    return x, None


@clip.def_bwd
def clip_bwd(residuals: None, grad_out: Any, perturbed: Any, x: jax.Array, limit: float) -> Any:
    return grad_out


def use(x: jax.Array, convert: Callable[[jax.Array], str]) -> None:
    assert_type(power(x, exponent=3), jax.Array)
    power(x)  # error: mypy[call-arg] pyright[reportCallIssue]
    power(x, exponent="3")  # error: mypy[arg-type] pyright[reportArgumentType]
    power.def_jvp(3)  # error: mypy[type-var] pyright[reportArgumentType]
    power.def_fwd(power_jvp)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    assert_type(power_jvp((x,), (x,), exponent=3), Tuple[jax.Array, Any])

    assert_type(clip(x, 1.0), jax.Array)
    clip(x, "1")  # error: mypy[arg-type] pyright[reportArgumentType]
    clip.def_jvp(clip_fwd)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    clip.defvjp(clip_fwd)  # error: mypy[call-arg] pyright[reportCallIssue]
    assert_type(eqx.filter_custom_vjp(fwd=clip_fwd, bwd=clip_bwd)(clip)(x, 1.0), jax.Array)
    eqx.filter_custom_jvp(3)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]

    converted = eqx.filter_closure_convert(convert, x)
    assert_type(converted(x), str)
    converted("x")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_closure_convert("x", x)  # error: mypy[arg-type] pyright[reportArgumentType]
