"""`filter_vmap` and `if_array`: `jax.vmap` for functions of models."""

from __future__ import annotations

from typing import Any, Callable, Hashable, List, Optional, overload

import jax
import numpy as np
from jax import tree_util

from .. import _compat
from .._compat.types import P, PyTree, R
from .._dispatch.arguments import inputs_of, paths_of_leaves, positional_names
from .._dispatch.leaf_groups import separate_leaves
from .._trees.paths import leaf_paths
from .._trees.predicates import is_array
from .axes import IfArray, InAxes, OutAxes, check_axis_size, mapped_size
from .wrap import Options, Transformed, transform, transformation


def if_array(axis: int) -> Callable[[Any], Optional[int]]:
    """Map arrays along `axis`, and nothing else: for the `in_axes` and `out_axes` of `filter_vmap`.

    Args:
        axis: The number of an axis.

    Returns:
        A function from a leaf to an axis. It returns `axis` for an array (see `is_array`), and `None` for any other
        leaf. Two such functions with the same axis are equal.

    Example:
        >>> eqx.if_array(1)(jnp.ones((2, 3))), eqx.if_array(1)("text")
        (1, None)
    """
    return IfArray(axis)


_ALONG_FIRST = if_array(0)


@overload
def filter_vmap(
    fun: Callable[P, R],
    *,
    in_axes: PyTree = ...,
    out_axes: PyTree = ...,
    axis_name: Hashable = ...,
    axis_size: Optional[int] = ...,
    **kwargs: Any,
) -> Transformed[P, R]: ...
@overload
def filter_vmap(
    fun: None = ...,
    *,
    in_axes: PyTree = ...,
    out_axes: PyTree = ...,
    axis_name: Hashable = ...,
    axis_size: Optional[int] = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, R]], Transformed[P, R]]: ...
@transformation
def filter_vmap(
    fun: Optional[Callable[..., Any]] = None,
    *,
    in_axes: PyTree = _ALONG_FIRST,
    out_axes: PyTree = _ALONG_FIRST,
    axis_name: Hashable = None,
    axis_size: Optional[int] = None,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.vmap`: map a function over an axis of the arrays in its inputs. Any other leaf passes unchanged.

    The arrays may be JAX arrays, NumPy arrays or NumPy scalars. Any other leaf, such as a Python number or a function,
    is the same for all examples, and is returned unchanged. Axes have no effect on it. If `fun` is a model, or a bound
    method of a model, the model isn't mapped. Only inputs are mapped. If this decorates a method in a class, `self` is
    an input.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        in_axes: The axis along which each array is mapped. It is an int, `None` for arrays that aren't mapped, or a
            function from an array to one of these, such as `if_array(0)`. It may also be a pytree of these that is a
            prefix of the tuple of positional inputs. Each item then applies to all leaves below it. Arrays in keyword
            inputs are mapped along axis 0.
        out_axes: The position of the mapped axis in each array of the output, in the same form as `in_axes`. `None`
            means that the array is the same for all examples.
        axis_name: The name of the axis, for collectives such as `jax.lax.psum`.
        axis_size: The size of the axis. It is needed only if no array is mapped.
        **kwargs: As for `jax.vmap`, such as `spmd_axis_name`.

    Returns:
        A function with the inputs of `fun`. The result is a pytree whose child is `fun`.

    Raises:
        TypeError: A leaf of `in_axes` or `out_axes` isn't an int, `None` or a function.
        TypeError: A function in `in_axes` or `out_axes` doesn't return an int or `None`.
        TypeError: `axis_size` isn't an int, or the running JAX doesn't accept a keyword argument.
        ValueError: `in_axes` or `out_axes` doesn't fit the inputs or the output.
        ValueError: An array has no such axis.
        ValueError: The axes differ in size, or no array is mapped and `axis_size` isn't given.
        ValueError: `out_axes` is `None` for an array that differs between examples.

    Example:
        >>> make = lambda key: eqx.nn.Linear(2, 3, key=key)
        >>> models = eqx.filter_vmap(make)(jax.random.split(jax.random.PRNGKey(0), 5))  # an ensemble
        >>> models.weight.shape
        (5, 3, 2)
        >>> call = lambda model, x: model(x)
        >>> eqx.filter_vmap(call, in_axes=(eqx.if_array(0), None))(models, jnp.ones(2)).shape
        (5, 3)
    """
    return transform(_Vmapped, fun, _VmapOptions(in_axes, out_axes, axis_name, axis_size, kwargs))


class _VmapOptions(Options):
    def __init__(self, in_axes, out_axes, axis_name, axis_size, kwargs):
        given = dict(kwargs, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name, axis_size=axis_size)
        super().__init__("filter_vmap", given)
        if kwargs.get("spmd_axis_name") is not None:
            _compat.require("spmd_axis_name")
        if kwargs:
            _compat.check_options(self.name, jax.vmap, kwargs)
        self.in_axes = InAxes(self.name, in_axes)
        self.out_axes = OutAxes(self.name, out_axes)
        self.axis_size = check_axis_size(self.name, axis_size)
        self.kwargs = kwargs if axis_name is None else dict(kwargs, axis_name=axis_name)


class _Vmapped(Transformed[P, R]):
    """What `filter_vmap` returns."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        return _vmap(__self.__wrapped__, __self._options, args, kwargs)


def _vmap(fun, options, args, kwargs):
    """`jax.vmap` of `fun` over the mapped arrays only."""
    leaves, treedef = tree_util.tree_flatten((args, kwargs))

    def paths():
        return paths_of_leaves(inputs_of(positional_names(fun), args, kwargs))

    items = options.in_axes.items_of_inputs(args, treedef)
    axes = [
        options.in_axes.axis(item, x, lambda i=i: paths()[i]) if is_array(x) else None
        for i, (item, x) in enumerate(zip(items, leaves))
    ]
    size = mapped_size(options.name, options.axis_size, leaves, axes, paths)
    mapped, merge = separate_leaves(leaves, treedef, [axis is not None for axis in axes])
    # JAX before 0.2.28 can take the size of the axis only from an array.
    only_size = [] if mapped else [np.zeros(size, bool)]
    in_axes = [axis for axis in axes if axis is not None], 0
    merge_output: Any = None
    out_axes: List[Any] = []  # the function fills it; JAX reads `out_axes` after the function has run

    def of_mapped(mapped, _):
        nonlocal merge_output
        args, kwargs = merge(mapped)
        arrays, axes, merge_output = options.out_axes.separate(fun(*args, **kwargs))
        out_axes.extend(axes)
        return arrays

    try:
        arrays = jax.vmap(of_mapped, in_axes, out_axes, **options.kwargs)(mapped, only_size)
    except ValueError as error:
        if merge_output is None or None not in out_axes:
            raise
        raise ValueError(
            "`{}` got `None` from `out_axes` for what differs between the examples. It is {}. Give the axis along "
            "which to put the examples together, such as 0.".format(
                options.name, " or ".join(map("`{}`".format, _unmapped_paths(merge_output, out_axes)))
            )
        ) from error
    return merge_output(arrays)


def _unmapped_paths(merge, out_axes):
    """The paths of the arrays in the output for which `out_axes` is `None`."""
    marks = [object() for _ in out_axes]
    unmapped = {id(mark) for mark, axis in zip(marks, out_axes) if axis is None}
    tree = merge(marks)
    return [path for path, x in zip(leaf_paths(tree, "output"), tree_util.tree_leaves(tree)) if id(x) in unmapped]
