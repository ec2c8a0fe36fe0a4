"""`filter_pmap`: `jax.pmap` for functions of models."""

from __future__ import annotations

from typing import Any, Callable, Hashable, Optional, overload

import jax
from jax import tree_util

from .. import _compat
from .._compat.types import P, PyTree, R
from .._dispatch.leaf_groups import pack_output
from .._dispatch.options import InputOptions, LeafOption
from .._trees.paths import leaf_paths
from .._trees.predicates import is_array
from .._trees.selection import Selection
from .._trees.static import hashable_key
from .axes import InAxes, OutAxes, check_axis_size, mapped_size
from .jit import Jitted
from .vmap import if_array
from .wrap import Options, transform, transformation

_ALONG_FIRST = if_array(0)


@overload
def filter_pmap(
    fun: Callable[P, R],
    *,
    in_axes: PyTree = ...,
    out_axes: PyTree = ...,
    axis_name: Hashable = ...,
    axis_size: Optional[int] = ...,
    **kwargs: Any,
) -> Jitted[P, R]: ...
@overload
def filter_pmap(
    fun: None = ...,
    *,
    in_axes: PyTree = ...,
    out_axes: PyTree = ...,
    axis_name: Hashable = ...,
    axis_size: Optional[int] = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, R]], Jitted[P, R]]: ...
@transformation
def filter_pmap(
    fun: Optional[Callable[..., Any]] = None,
    *,
    in_axes: PyTree = _ALONG_FIRST,
    out_axes: PyTree = _ALONG_FIRST,
    axis_name: Hashable = None,
    axis_size: Optional[int] = None,
    **kwargs: Any,
) -> Any:
    """Wrap `jax.pmap`: map a function over an axis of the arrays in its inputs, with one device for each example.

    Any leaf that isn't an array is static, as for `filter_jit`. If `fun` is a model, or a bound method of a model, the
    model isn't mapped. Each device gets the whole model. Since 0.8 JAX recommends `jax.jit` with shardings instead.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        in_axes: As for `filter_vmap`. A function is called once for each combination of shapes and dtypes.
        out_axes: As for `filter_vmap`. For `None`, the array of the first example is returned.
        axis_name: The name of the axis, for collectives such as `jax.lax.psum`.
        axis_size: The size of the axis. It is an error if the arrays have another size.
        **kwargs: As for `jax.pmap`, such as `devices` and `backend`. `donate` is as for `filter_jit`. `donate_argnums`
            and `donate_argnames` name whole inputs.

    Returns:
        A function with the inputs of `fun`. It has the methods `lower` and `clear_cache`, like a function from
        `filter_jit`. The result is a pytree whose child is `fun`.

    Raises:
        TypeError: A leaf of `in_axes` or `out_axes` isn't an int, `None` or a function.
        TypeError: A function in `in_axes` or `out_axes` doesn't return an int or `None`.
        TypeError: A static leaf can't be hashed.
        TypeError: `axis_size` isn't an int, or the running JAX doesn't accept a keyword argument.
        ValueError: `in_axes` or `out_axes` doesn't fit the inputs or the output.
        ValueError: An array has no such axis.
        ValueError: The axes differ in size, or no array is mapped.
        ValueError: There are fewer devices than examples.

    Example:
        >>> model = eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0))
        >>> one_for_each_device = jnp.ones((jax.device_count(), 2))
        >>> eqx.filter_pmap(model)(one_for_each_device).shape == (jax.device_count(), 3)
        True
    """
    return transform(_Pmapped, fun, _PmapOptions(in_axes, out_axes, axis_name, axis_size, kwargs))


class _Pmapped(Jitted[P, R]):
    """What `filter_pmap` returns."""


class _PmapOptions(Options):
    def __init__(self, in_axes, out_axes, axis_name, axis_size, kwargs):
        given = dict(kwargs, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name, axis_size=axis_size)
        super().__init__("filter_pmap", given)
        self.selection = Selection(self.name, is_array)
        self.inputs = _PmapInputOptions(self.name, in_axes, out_axes, axis_name, axis_size, kwargs)


class _PmapInputOptions(InputOptions):
    """What the dispatcher needs to call `jax.pmap` in the place of `jax.jit`."""

    def __init__(self, name, in_axes, out_axes, axis_name, axis_size, kwargs):
        donated = {key: value for key, value in kwargs.items() if key.startswith("donate")}
        super().__init__(name, True, **donated)
        self.in_axes = InAxes(name, in_axes)
        self.out_axes = OutAxes(name, out_axes)
        self.axis_name = axis_name
        self.axis_size = check_axis_size(name, axis_size)
        self.kwargs = {key: value for key, value in kwargs.items() if key not in donated}
        if "static_broadcasted_argnums" in kwargs:
            raise TypeError(
                "`{}` takes no `static_broadcasted_argnums`: what isn't an array is static. Leave it out.".format(name)
            )
        if self.kwargs:
            _compat.check_options(name, jax.pmap, self.kwargs)
        self._key = (self._key, hashable_key((in_axes, out_axes, axis_name, axis_size, self.kwargs)))

    def of_leaves(self, inputs):
        """For each input, the `LeafOption` of each of its leaves."""
        args = tuple(x.value for x in inputs if x.by_position)
        kwargs = {x.name: x.value for x in inputs if not (x.by_position or x.is_bound)}
        items = iter(self.in_axes.items_of_inputs(args, tree_util.tree_structure((args, kwargs))))
        return {
            x: [LeafOption(None if x.is_bound else next(items), path) for path in leaf_paths(x.value, x.name)]
            for x in inputs
        }

    def jit(self, fun, leaf_options, donates):
        """`jax.pmap` of a function of a tuple of traced leaves, and of a tuple of donated ones if `donates` is true."""
        return _Programs(self, fun, [leaf for group in leaf_options for leaf in group])

    def pack_output(self, out):
        """The output as it is: `_Programs` packs it."""
        return out


class _Programs:
    """The programs of `jax.pmap` for one function and inputs of one structure: one for each set of shapes and dtypes.

    Args:
        options: The `_PmapInputOptions`.
        fun: A function of groups of arrays. It returns any tree.
        leaves: The `LeafOption` of each of the arrays.
    """

    def __init__(self, options, fun, leaves):
        self._options = options
        self._fun = fun
        self._leaves = leaves
        self._programs = {}

    def __call__(self, *groups):
        return self._counting_devices(self._program(groups), groups)

    def lower(self, *groups):
        """Lower the function for these inputs, as `jax.pmap(...).lower` does."""
        return self._counting_devices(self._program(groups).lower, groups)

    def _program(self, groups):
        arrays = [x for group in groups for x in group]
        key = tuple([(x.shape, x.dtype) for x in arrays])
        program = self._programs.get(key)
        if program is None:
            program = self._programs.setdefault(key, self._make(groups, arrays))
        return program

    def _counting_devices(self, call, groups):
        """`call(*groups)`. If there are too few devices, the error is the same on each JAX."""
        try:
            return call(*groups)
        except ValueError as error:
            self._check_devices(groups, error)
            raise

    def _check_devices(self, groups, error):
        """Raise a clear error if there are more examples than devices."""
        options, kwargs = self._options, self._options.kwargs
        arrays = [x for group in groups for x in group]
        axes = [options.in_axes.axis(leaf.item, x, lambda i=leaf: i.path) for leaf, x in zip(self._leaves, arrays)]
        size = next((x.shape[axis] for x, axis in zip(arrays, axes) if axis is not None), 0)
        devices = kwargs.get("devices")
        count = jax.local_device_count(kwargs.get("backend")) if devices is None else len(devices)
        if size > count:
            raise ValueError(
                "`{}` needs a device for each example, but the examples are {} and the devices {}. Pass fewer "
                "examples, or use `filter_vmap`.".format(options.name, size, count)
            ) from error

    def _make(self, groups, arrays):
        """`jax.pmap` of the function, for arrays of these shapes and dtypes."""
        options, fun = self._options, self._fun
        axes = [options.in_axes.axis(leaf.item, x, lambda i=leaf: i.path) for leaf, x in zip(self._leaves, arrays)]
        paths = [leaf.path for leaf in self._leaves]
        size = mapped_size(options.name, options.axis_size, arrays, axes, lambda: paths)
        if all(axis is None for axis in axes):
            raise ValueError(
                "`{}` has nothing to map: `in_axes` has no axis for any array in the inputs. Pass an array to map, "
                "such as `jnp.arange({})`.".format(options.name, size)
            )
        out_axes = options.out_axes.possible()
        if out_axes is None:
            out_axes = self._trace_for_axes(groups, arrays, axes, size)
        out_axes = tuple(out_axes)

        def packed(*groups):
            out = fun(*groups)
            leaves, treedef = tree_util.tree_flatten(out)
            group_of = [
                out_axes.index(axis) if is_array(x) else 0
                for axis, x in zip(options.out_axes.of(out, leaves, treedef), leaves)
            ]
            return pack_output(out, is_array, group_of, len(out_axes))

        packed.__name__ = packed.__qualname__ = fun.__name__
        return jax.pmap(
            packed,
            options.axis_name,
            in_axes=_grouped(axes, groups),
            out_axes=(out_axes, None),
            donate_argnums=tuple(range(1, len(groups))),
            **options.kwargs,
        )

    def _trace_for_axes(self, groups, arrays, axes, size):
        """The different axes of the output. `jax.pmap` needs them before it traces the function."""
        found: Any = None

        def of_example(*groups):
            nonlocal found
            arrays, found, _ = self._options.out_axes.separate(self._fun(*groups))
            return arrays

        examples = [_compat.abstract(x, axis) for x, axis in zip(arrays, axes)]
        name = self._options.axis_name
        axis_env = None if name is None else [(name, size)]
        jax.make_jaxpr(of_example, axis_env=axis_env)(*_grouped(examples, groups))
        return dict.fromkeys(found)


def _grouped(items, groups):
    """The items in tuples as long as the groups."""
    items = iter(items)
    return tuple(tuple(next(items) for _ in group) for group in groups)
