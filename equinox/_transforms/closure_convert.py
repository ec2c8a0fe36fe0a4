"""`filter_closure_convert`: a function without the arrays that it closes over, and these arrays."""

from __future__ import annotations

from typing import Any, Callable

import jax
from jax import core, tree_util

from .._compat.types import P, R
from .._dispatch.arguments import inputs_of, positional_names
from .._dispatch.leaf_groups import separate, separate_leaves
from .._module.forwards_keywords import forwards_keywords
from .._trees.agreement import agrees_with_shape, first_disagreement, shapes_of
from .._trees.predicates import is_array, is_array_or_shape
from .wrap import check_callable


@forwards_keywords
def filter_closure_convert(__fn: Callable[P, R], *args: Any, **kwargs: Any) -> Callable[P, R]:
    """Trace a function, and make a callable pytree whose children are the arrays that the function closed over.

    A custom rule or another trace doesn't see what a Python function closes over. It sees the children of a pytree. So
    the result can be an input of `filter_custom_vjp`, for example, and be differentiated there.

    Args:
        fn: A function or another callable. If it is a pytree, such as a model, its arrays are children of the result.
        *args: The inputs that `fn` is traced for. Only the shape and dtype of an array count. A `jax.ShapeDtypeStruct`
            may stand for an array.
        **kwargs: More inputs, by keyword. They may have any name.

    Returns:
        A function of such inputs, which returns what `fn` returns. It is a pytree. Its children are arrays, which may
        be traced. On JAX before 0.4, a closed-over scalar that isn't traced is no child.

    Raises:
        TypeError: `fn` isn't callable.
        TypeError: The result is called with other inputs: another structure, an array of another shape or dtype, or
            another leaf that isn't an array. The message says where.

    Example:
        >>> weight = jnp.array([1.0, 2.0])
        >>> converted = eqx.filter_closure_convert(lambda x: weight * x, jnp.array(1.0))
        >>> [array.tolist() for array in jax.tree_util.tree_leaves(converted)]
        [[1.0, 2.0]]
        >>> converted(jnp.array(3.0)).tolist()
        [3.0, 6.0]
    """
    check_callable("filter_closure_convert", __fn, "fn")
    of_fn, merge_fn = separate(__fn, is_array)
    arrays, merge_inputs = separate((args, kwargs), is_array_or_shape)
    merge_out: Any = None

    def of_arrays(of_fn, arrays):
        nonlocal merge_out
        args, kwargs = merge_inputs(arrays)
        out, merge_out = separate(merge_fn(of_fn)(*args, **kwargs), is_array)
        return out

    jaxpr = jax.make_jaxpr(of_arrays)(of_fn, arrays)
    converted = _Converted(jaxpr.jaxpr, positional_names(__fn), merge_inputs(shapes_of(arrays)), merge_out)
    return tree_util.Partial(converted, list(jaxpr.consts), of_fn)


class _Converted:
    """A function that was traced, without the arrays that it closes over.

    Args:
        jaxpr: The function. It takes the arrays of the function itself, then those of the inputs.
        names: The names of the parameters that can be passed by position.
        inputs: The inputs that it was traced for, with shapes for arrays.
        merge_out: Makes the output from the arrays in it.
    """

    def __init__(self, jaxpr, names, inputs, merge_out):
        self._jaxpr = jaxpr
        self._names = names
        self._inputs = inputs
        self._leaves, self._treedef = tree_util.tree_flatten(inputs)
        self._merge_out = merge_out

    def __call__(__self, __consts, __of_fn, *args, **kwargs):
        leaves, treedef = tree_util.tree_flatten((args, kwargs))
        if treedef != __self._treedef or not all(map(agrees_with_shape, __self._leaves, leaves)):
            __self._refuse(args, kwargs)
        arrays, _ = separate_leaves(leaves, treedef, map(is_array_or_shape, __self._leaves))
        return __self._merge_out(core.eval_jaxpr(__self._jaxpr, __consts, *__of_fn, *arrays))

    def _refuse(self, args, kwargs):
        """Say where the inputs differ from those that the function was traced for."""
        message = "a function from `filter_closure_convert` expects inputs like those that it was made for. "
        expected_args, expected_kwargs = self._inputs
        if len(args) != len(expected_args) or set(kwargs) != set(expected_kwargs):
            raise TypeError(
                message
                + "These were {} by position and {} by keyword, but it got {} and {}.".format(
                    len(expected_args), _listed(expected_kwargs), len(args), _listed(kwargs)
                )
            )
        pairs = zip(inputs_of(self._names, *self._inputs), inputs_of(self._names, args, kwargs))
        for expected, got in pairs:
            difference = first_disagreement(expected.value, got.value, expected.name, agrees_with_shape)
            if difference is not None:
                path, was, came, _ = difference
                raise TypeError(message + "At `{}` expected {}, got {}.".format(path, was, came))

    def __deepcopy__(self, memo):
        return self  # nothing in it changes, and a jaxpr can't be copied

    def __reduce__(self):
        raise TypeError(
            "a function from `filter_closure_convert` can't be pickled, because it holds a jaxpr. Pickle the function "
            "that it was made from, and convert that again."
        )

    def __repr__(self):
        return "<a function from filter_closure_convert>"


def _listed(names):
    return ", ".join(map("`{}`".format, sorted(names))) or "none"
