"""What type checkers say of `filter_grad`, `filter_value_and_grad`, `gradf` and `value_and_grad_f`."""

from typing import Any, Dict, Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx


def loss(model: eqx.nn.MLP, x: jax.Array, scale: float = 1.0) -> jax.Array:
    return model(x).sum() * scale


def loss_and_aux(model: eqx.nn.MLP, x: jax.Array) -> Tuple[jax.Array, Dict[str, int]]:
    return model(x).sum(), {"steps": 1}


def use(model: eqx.nn.MLP, x: jax.Array, has_aux: bool) -> None:
    # Gradients have the type of the first input.
    assert_type(eqx.filter_grad(loss)(model, x), eqx.nn.MLP)
    assert_type(eqx.filter_grad(loss)(model, x, scale=2.0), eqx.nn.MLP)
    assert_type(eqx.gradf(loss, filter_fn=eqx.is_inexact_array)(model, x), eqx.nn.MLP)
    assert_type(eqx.filter_value_and_grad(loss)(model, x), Tuple[jax.Array, eqx.nn.MLP])
    assert_type(eqx.value_and_grad_f(loss, filter_tree=True)(model, x), Tuple[jax.Array, eqx.nn.MLP])

    # So does the auxiliary output keep its type.
    assert_type(eqx.filter_grad(loss_and_aux, has_aux=True)(model, x), Tuple[eqx.nn.MLP, Dict[str, int]])
    assert_type(
        eqx.gradf(loss_and_aux, filter_fn=eqx.is_inexact_array, has_aux=True)(model, x),
        Tuple[eqx.nn.MLP, Dict[str, int]],
    )
    (value, aux), grads = eqx.filter_value_and_grad(loss_and_aux, has_aux=True)(model, x)
    assert_type(value, jax.Array)
    assert_type(aux, Dict[str, int])
    assert_type(grads, eqx.nn.MLP)
    (value, aux), grads = eqx.value_and_grad_f(loss_and_aux, filter_tree=True, has_aux=True)(model, x)
    assert_type(eqx.value_and_grad_f(loss, filter_tree=True, has_aux=False)(model, x), Tuple[jax.Array, eqx.nn.MLP])

    # What isn't known when types are checked is `Any`.
    assert_type(eqx.filter_grad(loss, argnums=1)(model, x), Any)
    assert_type(eqx.filter_grad(loss, argnums=(0, 1))(model, x), Any)
    assert_type(eqx.filter_grad(loss, has_aux=has_aux)(model, x), Any)
    assert_type(eqx.filter_value_and_grad(loss, argnums=(0, 1))(model, x), Tuple[Any, Any])

    # Wrong inputs.
    eqx.filter_grad(loss)(x, x)  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.filter_grad(loss)(model)  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.filter_grad(loss)(model=model, x=x)  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.filter_grad(loss, argnums="x")  # error: mypy[arg-type] pyright[reportCallIssue,reportArgumentType]
    eqx.filter_value_and_grad(loss)(model, x, "a")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.gradf(3, filter_tree=True)  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]


# Decorators.


@eqx.filter_grad
def plain(x: jax.Array, times: int) -> jax.Array:
    return x * times


@eqx.filter_value_and_grad(has_aux=True)
def with_aux(x: jax.Array, times: int) -> Tuple[jax.Array, str]:
    return x * times, "aux"


@eqx.filter_grad(argnums=(0, 1))
def of_both(x: jax.Array, y: jax.Array) -> jax.Array:
    return x * y


@eqx.filter_jit
@eqx.value_and_grad_f(filter_fn=eqx.is_inexact_array)
def jitted(x: jax.Array, times: int) -> jax.Array:
    return x * times


@eqx.filter_grad(has_aux=True)  # error: mypy[arg-type] pyright[reportArgumentType]
def without_aux(x: jax.Array) -> jax.Array:
    return x


class Model(eqx.Module):
    weight: jax.Array

    @eqx.filter_grad
    def loss(self, x: jax.Array) -> jax.Array:
        return self.weight * x


def use_decorated(x: jax.Array, model: Model) -> None:
    assert_type(plain(x, 2), jax.Array)
    assert_type(with_aux(x, 2), Tuple[Tuple[jax.Array, str], jax.Array])
    assert_type(of_both(x, x), Any)
    assert_type(jitted(x, 2), Tuple[jax.Array, jax.Array])
    assert_type(model.loss(x), Model)
    plain(x, "a")  # error: mypy[arg-type] pyright[reportArgumentType]
    with_aux(x, "a")  # error: mypy[arg-type] pyright[reportArgumentType]
    of_both(x)  # error: mypy[call-arg] pyright[reportCallIssue]
    jitted(x, "a")  # error: mypy[arg-type] pyright[reportArgumentType]
    model.loss("a")  # error: mypy[arg-type] pyright[reportArgumentType]
