"""`filter_jvp` and `filter_vjp`: `jax.jvp` and `jax.vjp` for functions of models."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Sequence, Tuple, TypeVar, overload

import jax
import jax.numpy as jnp
from jax import tree_util

from .._compat.types import Literal, PyTree, R
from .._dispatch.leaf_groups import pack_output, separate, separate_leaves, unpack_output
from .._module.forwards_keywords import forwards_keywords
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_inexact_jax_or_numpy
from .tangents import tangents_of_leaves
from .wrap import check_callable, split_aux

Aux = TypeVar("Aux")


@forwards_keywords
def filter_jvp(
    __fn: Callable[..., R], __primals: Sequence[PyTree], __tangents: Sequence[PyTree], **kwargs: Any
) -> Tuple[R, R]:
    """Wrap `jax.jvp`: compute the output of a function and its derivative in a direction, in forward mode.

    Args:
        fn: A function or another callable, such as a model. Its own arrays are constants.
        primals: The positional inputs, as a tuple or list of pytrees.
        tangents: The direction: a tuple or list of trees like those in `primals`. Each tangent has the shape and the
            dtype of its array. `None` stands for a leaf or a subtree that has no tangent. Such leaves are constants.
            Only floating-point and complex arrays have tangents. They may be JAX arrays, NumPy arrays or NumPy scalars.
        **kwargs: The inputs of `fn` that are passed by keyword. They are constants, and may have any name.

    Returns:
        `(out, out_tangents)`. `out` is what `fn` returned. `out_tangents` is a tree like `out`. It has `None` for each
        leaf that isn't a floating-point or complex array.

    Raises:
        TypeError: `fn` isn't callable.
        TypeError: `primals` or `tangents` isn't a tuple or a list.
        TypeError: A tangent has another dtype than its array, or its leaf isn't a floating-point or complex array.
        ValueError: `tangents` doesn't have the structure of `primals`.
        ValueError: A tangent has another shape than its array.

    Example:
        >>> f = lambda model, x: {"out": model["w"] * x, "name": model["name"]}
        >>> primals = {"w": jnp.array(3.0), "name": "scale"}, jnp.array(2.0)
        >>> out, tangents = eqx.filter_jvp(f, primals, (None, jnp.array(1.0)))
        >>> float(out["out"]), float(tangents["out"]), tangents["name"]
        (6.0, 3.0, None)
    """
    check_callable("filter_jvp", __fn, "fn")
    for name, inputs in (("primals", __primals), ("tangents", __tangents)):
        if not isinstance(inputs, (tuple, list)):
            message = "`filter_jvp` expects `{}` to be a tuple or list of the inputs of `fn`, got {}."
            raise TypeError(message.format(name, describe_leaf(inputs)))
    leaves, treedef = tree_util.tree_flatten(tuple(__primals))
    found = tangents_of_leaves("filter_jvp", leaves, treedef, tuple(__tangents), "tangents", "primals")
    perturbed, merge = separate_leaves(leaves, treedef, [x is not None for x in found])
    merge_output: Any = None

    def of_perturbed(perturbed):
        nonlocal merge_output
        arrays, merge_output = separate(__fn(*merge(perturbed), **kwargs), is_array)
        return arrays

    arrays, out_tangents = jax.jvp(of_perturbed, (perturbed,), ([x for x in found if x is not None],))
    out_tangents = [t if is_inexact_jax_or_numpy(x) else None for x, t in zip(arrays, out_tangents)]
    return merge_output(arrays), merge_output.with_nones(out_tangents)


@overload
def filter_vjp(
    fun: Callable[..., R], *primals: PyTree, has_aux: Literal[False] = ...
) -> Tuple[R, Callable[[Any], Tuple[Any, ...]]]: ...
@overload
def filter_vjp(
    fun: Callable[..., Tuple[R, Aux]], *primals: PyTree, has_aux: Literal[True]
) -> Tuple[R, Callable[[Any], Tuple[Any, ...]], Aux]: ...
def filter_vjp(fun: Callable[..., Any], *primals: PyTree, has_aux: bool = False) -> Any:
    """Wrap `jax.vjp`: compute the output of a function, and return what computes its gradients in reverse mode.

    The function is differentiated with respect to all floating-point and complex arrays in `primals`. They may be JAX
    arrays, NumPy arrays or NumPy scalars.

    Args:
        fun: A function or another callable, such as a model. Its own arrays are constants.
        *primals: The inputs of `fun`. Any pytrees.
        has_aux: Whether `fun` returns a pair `(out, aux)`. `aux` may hold anything. It isn't differentiated.

    Returns:
        `(out, vjp_fn)`, or `(out, vjp_fn, aux)` with `has_aux`. `vjp_fn(cotangents)` takes a tree like `out`. Each
        cotangent has the shape and the dtype of its array in `out`. `None` stands for a leaf or a subtree whose
        cotangents are zero, and for leaves that aren't floating-point or complex arrays. The result is a tuple with a
        tree for each input. It has `None` for the leaves that aren't differentiated. `vjp_fn` is a pytree. It raises a
        `TypeError` or a `ValueError` if a cotangent doesn't fit.

    Raises:
        TypeError: `fun` isn't callable.
        TypeError: With `has_aux`, `fun` doesn't return a tuple or a list.
        ValueError: With `has_aux`, `fun` returns a tuple or a list that isn't a pair.
        ValueError: `vjp_fn` gets a cotangent of another structure or shape than `out`.

    Example:
        >>> f = lambda model, x: {"out": model["w"] * x, "name": model["name"]}
        >>> out, vjp_fn = eqx.filter_vjp(f, {"w": jnp.array(3.0), "name": "scale"}, jnp.array(2.0))
        >>> grads, grad_x = vjp_fn({"out": jnp.array(1.0), "name": None})
        >>> float(grads["w"]), grads["name"], float(grad_x)
        (2.0, None, 3.0)
    """
    check_callable("filter_vjp", fun, "fun")
    inexact, merge = separate(primals, is_inexact_jax_or_numpy)
    output: Any = None

    def of_inexact(inexact):
        nonlocal output
        out = fun(*merge(inexact))
        out, aux = split_aux("filter_vjp", out) if has_aux else (out, None)
        leaves, treedef = tree_util.tree_flatten(out)
        differentiated = list(map(is_inexact_jax_or_numpy, leaves))
        output = treedef, differentiated
        others = [None if d else x for x, d in zip(leaves, differentiated)]
        return list(itertools.compress(leaves, differentiated)), pack_output((others, aux), is_array)

    arrays, pullback, packed = jax.vjp(of_inexact, inexact, has_aux=True)
    others, aux = unpack_output(packed)
    treedef, differentiated = output
    values = iter(arrays)
    leaves = [next(values) if d else x for x, d in zip(others, differentiated)]
    expected = [jax.ShapeDtypeStruct(x.shape, x.dtype) if is_array(x) else x for x in leaves]

    def pull(pullback, cotangents):
        found = tangents_of_leaves("vjp_fn", expected, treedef, cotangents, "cotangents", "out")
        pairs = itertools.compress(zip(found, expected), differentiated)
        (grads,) = pullback([jnp.zeros(x.shape, x.dtype) if c is None else c for c, x in pairs])
        return merge.with_nones(grads)

    vjp_fn = tree_util.Partial(pull, pullback)
    out = treedef.unflatten(leaves)
    return (out, vjp_fn, aux) if has_aux else (out, vjp_fn)
