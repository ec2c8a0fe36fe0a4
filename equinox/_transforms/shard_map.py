"""`filter_shard_map`: `jax.shard_map` for functions of models."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Hashable, Iterable, Optional, overload

import jax
from jax import tree_util

from .. import _compat
from .._compat.types import P, PyTree, R
from .._dispatch.arguments import inputs_of, paths_of_leaves, positional_names
from .._dispatch.leaf_groups import pack_output, separate_leaves, unpack_output
from .._dispatch.shardings import Shardings, check_mesh, misfit_of_spec
from .._trees.paths import describe_leaf, leaf_paths
from .._trees.predicates import is_array
from .wrap import Options, Transformed, transform, transformation


@overload
def filter_shard_map(
    fun: Callable[P, R],
    *,
    mesh: Any = ...,
    in_specs: PyTree,
    out_specs: PyTree,
    axis_names: Optional[Iterable[Hashable]] = ...,
    check_vma: bool = ...,
) -> Transformed[P, R]: ...
@overload
def filter_shard_map(
    fun: None = ...,
    *,
    mesh: Any = ...,
    in_specs: PyTree,
    out_specs: PyTree,
    axis_names: Optional[Iterable[Hashable]] = ...,
    check_vma: bool = ...,
) -> Callable[[Callable[P, R]], Transformed[P, R]]: ...
@transformation
def filter_shard_map(
    fun: Optional[Callable[..., Any]] = None,
    *,
    mesh: Any = None,
    in_specs: PyTree,
    out_specs: PyTree,
    axis_names: Optional[Iterable[Hashable]] = None,
    check_vma: bool = True,
) -> Any:
    """Wrap `jax.shard_map`: run a function on each device, with the parts of the arrays that the device has.

    The arrays may be JAX arrays, NumPy arrays or NumPy scalars. Any other leaf is the same on all devices, and is
    returned unchanged. Specs have no effect on it. If `fun` is a model, or a method of a model, each device gets all of
    the model, and so it gets all arrays in keyword inputs.

    Args:
        fun: A function or another callable. Without `fun`, the result is a decorator.
        mesh: The mesh of the devices. Without it, the mesh of `jax.set_mesh` is used.
        in_specs: How each array is split over the mesh. It is a `jax.sharding.PartitionSpec`, `None` for an array that
            each device gets as a whole, or a function from an array to one of these. It may also be a pytree of these
            that is a prefix of the tuple of positional inputs. Each item then applies to all arrays below it.
        out_specs: How the arrays of the output are put together, in the same form. A function is called with the part
            of an array that one device has. If there is one, `fun` is traced twice.
        axis_names: The names of the axes of the mesh over which `fun` is mapped. The default is all of them.
        check_vma: Whether JAX checks that an array is the same on all devices where `out_specs` says so. Older releases
            of JAX call it `check_rep`. JAX before 0.6.1 can't check `error_if`, while loops and some other operations:
            it raises a `NotImplementedError` that asks for `check_vma=False`.

    Returns:
        A function with the inputs of `fun`. The result is a pytree whose child is `fun`.

    Raises:
        ValueError: `in_specs` or `out_specs` doesn't fit the inputs or the output.
        ValueError: An array can't be split as `in_specs` says, or has fewer axes than its spec.
        TypeError: `mesh` is no mesh.
        TypeError: A function in `in_specs` or `out_specs` returns a function.
        NotImplementedError: The running JAX is older than 0.4.4, which added `shard_map`, or lacks an option.

    Example:
        >>> mesh = jax.sharding.Mesh(jax.devices()[:1], ("data",))
        >>> spec = jax.sharding.PartitionSpec("data")
        >>> model = eqx.nn.Linear(2, 3, key=jax.random.PRNGKey(0))
        >>> batched = eqx.filter_shard_map(jax.vmap(model), mesh=mesh, in_specs=spec, out_specs=spec)
        >>> batched(jnp.ones((8, 2))).shape
        (8, 3)
    """
    return transform(_ShardMapped, fun, _ShardMapOptions(mesh, in_specs, out_specs, axis_names, check_vma))


class _ShardMapOptions(Options):
    def __init__(self, mesh, in_specs, out_specs, axis_names, check_vma):
        names = None if axis_names is None else frozenset(axis_names)
        given = {"mesh": mesh, "in_specs": in_specs, "out_specs": out_specs, "check_vma": check_vma}
        super().__init__("filter_shard_map", dict(given, axis_names=names))
        _compat.require("filter_shard_map")
        if mesh is not None:
            check_mesh(self.name, mesh)
        by_position = tuple(in_specs) if type(in_specs) is list else in_specs
        self.in_specs = Shardings(self.name, "in_specs", by_position, "the tuple of the inputs passed by position")
        self.out_specs = Shardings(self.name, "out_specs", out_specs, "the output")
        self.mesh = mesh
        self.axis_names = names
        self.check_vma = check_vma

    def shard_map(self, fun, in_specs, out_specs, check_vma):
        """`jax.shard_map` of a function of a list of arrays. Its output has a tuple of arrays for each of the specs."""
        whole = jax.sharding.PartitionSpec()
        in_specs = ([whole if spec is None else spec for spec in in_specs],)
        out_specs = (tuple(whole if spec is None else spec for spec in out_specs), whole)
        return _compat.shard_map(fun, self.mesh, in_specs, out_specs, self.axis_names, check_vma)


class _ShardMapped(Transformed[P, R]):
    """What `filter_shard_map` returns."""

    def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R:  # `self` may be the name of a keyword argument
        return _shard_map(__self.__wrapped__, __self._options, args, kwargs)


def _shard_map(fun, options, args, kwargs):
    """`jax.shard_map` of `fun` over the arrays only."""
    leaves, treedef = tree_util.tree_flatten((args, (fun, kwargs)))
    are_arrays = list(map(is_array, leaves))
    arrays, merge = separate_leaves(leaves, treedef, are_arrays)

    def path(i):
        return paths_of_leaves(inputs_of(positional_names(fun), args, {}))[i]

    items = options.in_specs.items(args)
    items += [None] * (len(leaves) - len(items))  # for the arrays of `fun` and of `kwargs`
    in_specs = [
        options.in_specs.of_array(item, x, lambda i=i: path(i))
        for i, (item, x) in enumerate(zip(items, leaves))
        if are_arrays[i]
    ]

    def run(arrays):
        args, (fun, kwargs) = merge(arrays)
        return fun(*args, **kwargs)

    out_specs, numbers = options.out_specs.values, None
    try:
        if options.out_specs.has_functions:
            out_specs = _specs_of_output(run, options, arrays, in_specs)
            numbers = range(len(out_specs))

        def packed(arrays):
            out = run(arrays)
            groups = list(map(options.out_specs.number, _specs_of_leaves(options, out))) if numbers is None else numbers
            return pack_output(out, is_array, groups, len(out_specs))

        return unpack_output(options.shard_map(packed, in_specs, out_specs, options.check_vma)(arrays))
    except (KeyError, ValueError):  # older JAX raises a `KeyError` for an unknown axis of the mesh
        if options.mesh is not None:
            indices = itertools.compress(range(len(leaves)), are_arrays)
            for i, x, spec in zip(indices, arrays, in_specs):
                _check_fit(options, spec, x, lambda i=i: path(i))
        raise


def _check_fit(options, spec, x, path):
    """Raise an error with the path of an array if it can't be split as a spec says."""
    reason = None if spec is None else misfit_of_spec(spec, options.mesh, x)
    if reason is not None:
        message = "`{}` can't split `{}`, {}, as `in_specs` says: {}."
        raise ValueError(message.format(options.name, path(), describe_leaf(x), reason)) from None


def _specs_of_output(run, options, arrays, in_specs):
    """What `out_specs` says for each leaf of the output. It is found by an extra trace of the function."""
    specs: Any = None

    def ask(arrays):
        nonlocal specs
        specs = _specs_of_leaves(options, run(arrays))
        return (), ()

    jax.eval_shape(options.shard_map(ask, in_specs, (), False), arrays)
    return specs


def _specs_of_leaves(options, out):
    """What `out_specs` says for each leaf of the output."""
    leaves, treedef = tree_util.tree_flatten(out)
    return [
        options.out_specs.of_array(item, x, lambda i=i: leaf_paths(out, "output")[i])
        for i, (item, x) in enumerate(zip(options.out_specs.items(out, treedef), leaves))
    ]
