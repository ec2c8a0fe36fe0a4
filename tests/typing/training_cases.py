"""What type checkers say of what is trained, of `Optimizer`, and of the functions that show a model."""

from typing import Any, Dict, List, Tuple

import jax
from typing_extensions import assert_type

import equinox as eqx

Tree = Dict[str, jax.Array]


class Layer(eqx.Module):
    weight: jax.Array
    teacher: jax.Array = eqx.field(trainable=False)


def total(layer: Layer) -> jax.Array:
    return layer.weight.sum()


def marks(layer: Layer, tree: Tree) -> None:
    assert_type(eqx.freeze(layer), Layer)
    assert_type(eqx.freeze(layer, lambda layer: (layer.weight, layer.teacher)), Layer)
    assert_type(eqx.unfreeze(tree, lambda tree: tree["a"]), Tree)
    assert_type(eqx.freeze(layer, eqx.select(layer, "*.weight")), Layer)
    assert_type(eqx.filter(layer, eqx.trainable), Layer)
    assert_type(eqx.partition(layer, eqx.trainable), Tuple[Layer, Layer])
    eqx.trainable(layer)
    eqx.gradf(total, filter_fn=eqx.trainable)(layer)
    eqx.cast(layer, "bfloat16", eqx.trainable(layer))

    eqx.freeze(layer, lambda layer: layer.wait)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]
    eqx.freeze(layer, "*.weight")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.unfreeze()  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.trainable(layer, True)  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.field(trainable="no")  # error: mypy[call-overload] pyright[reportArgumentType]


def optimise(layer: Layer, grads: Layer, transform: Any) -> None:
    optimizer = eqx.Optimizer(transform, layer)
    assert_type(optimizer.step(layer, grads), Tuple[Layer, eqx.Optimizer])
    assert_type(optimizer.step(layer, grads, value=1.0, grad=grads)[0], Layer)
    eqx.Optimizer(transform, layer, wrt=eqx.is_inexact_array)
    eqx.Optimizer(transform, layer, wrt=eqx.trainable(layer))

    eqx.Optimizer(transform)  # error: mypy[call-arg] pyright[reportCallIssue]
    optimizer.step(layer)  # error: mypy[call-arg] pyright[reportCallIssue]
    optimizer.step(layer, grads, 1.0)  # error: mypy[call-arg] pyright[reportCallIssue]
    optimizer.update(grads)  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue]


def look(layer: Layer, tree: Tree) -> None:
    assert_type(eqx.count_parameters(layer), int)
    assert_type(eqx.count_parameters(tree, eqx.trainable), int)
    assert_type([difference.path for difference in eqx.tree_diff(tree, layer, rtol=1e-3, atol=1)], List[str])
    summary = eqx.summary(layer, tree["a"])
    assert_type(str(summary), str)

    eqx.count_parameters()  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.tree_diff(tree)  # error: mypy[call-arg] pyright[reportCallIssue]
    eqx.tree_diff(tree, tree, rtol="much")  # error: mypy[arg-type] pyright[reportArgumentType]
    eqx.summary()  # error: mypy[call-arg] pyright[reportCallIssue]
