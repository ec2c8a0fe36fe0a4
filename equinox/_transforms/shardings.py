"""`shardings`: choose the shardings of a model by the paths of its arrays."""

from __future__ import annotations

import difflib
from typing import Any, Iterable, Tuple

import jax
from jax import tree_util

from .. import _compat
from .._compat.types import PyTree
from .._dispatch.shardings import check_mesh, describe_axes, misfit_of_spec, names_in, unknown_names
from .._trees.paths import describe_leaf, leaf_paths, path_matches
from .._trees.predicates import is_array_or_shape

_PATHS_SHOWN = 4  # near paths in an error message


def shardings(model: PyTree, rules: Iterable[Tuple[str, Any]], mesh: Any) -> PyTree:
    """Choose the sharding of each array of a model by its path.

    The result can be passed to `filter_device_put` and `filter_shard`, and to `filter_jit` as `in_shardings` or
    `out_shardings`.

    Args:
        model: Any pytree. A `jax.ShapeDtypeStruct` may stand for an array, as in the output of `filter_eval_shape`.
        rules: Pairs of a pattern and a `jax.sharding.PartitionSpec`. `None` stands for `PartitionSpec()`. The first
            pattern that matches the whole path of an array counts. A path is what follows the name of the model in
            Python, as in `model.layers[0].weight`. In a pattern `*` stands for any text and `?` for any character.
            Every other character stands for itself. An array that no pattern matches is replicated: each device has all
            of it.
        mesh: The mesh of the devices.

    Returns:
        A pytree like `model`, with a `jax.sharding.NamedSharding` for each array, and `None` for any other leaf.

    Raises:
        ValueError: A rule isn't used: no array has such a path, or earlier rules match all of them.
        ValueError: A spec names an axis that the mesh doesn't have, or an axis twice.
        ValueError: The size of an array can't be divided by the number of devices along an axis, or the array has fewer
            axes than the spec.
        TypeError: `rules` is no sequence, or a rule is something else.
        TypeError: `mesh` is no mesh.
        NotImplementedError: The running JAX is older than 0.4.1, which added `jax.sharding.PartitionSpec`.

    Example:
        >>> mesh = jax.sharding.Mesh(jax.devices()[:1], ("data",))
        >>> spec = jax.sharding.PartitionSpec("data", None)
        >>> model = eqx.nn.MLP(2, 4, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> chosen = eqx.shardings(model, [("*.weight", spec)], mesh)
        >>> chosen.layers[0].weight.spec == spec, chosen.layers[0].bias.spec == jax.sharding.PartitionSpec()
        (True, True)
        >>> model = eqx.filter_device_put(model, chosen)
    """
    _compat.require("shardings")
    check_mesh("shardings", mesh)
    if not isinstance(rules, Iterable):
        raise TypeError("`shardings` expects `rules` to be a sequence of pairs, got {}.".format(describe_leaf(rules)))
    checked = [_Rule(i, rule, mesh) for i, rule in enumerate(rules)]
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    leaves, treedef = tree_util.tree_flatten(model)
    paths = leaf_paths(model)
    arrays = [(i, path) for i, (path, x) in enumerate(zip(paths, leaves)) if is_array_or_shape(x)]
    chosen: Any = [None] * len(leaves)
    for i, path in arrays:
        rule = next((rule for rule in checked if path_matches(path, rule.pattern)), None)
        if rule is None:
            chosen[i] = replicated
            continue
        reason = misfit_of_spec(rule.sharding.spec, mesh, leaves[i])
        if reason is not None:
            message = "`shardings` can't shard `{}`, {}, as its rule for {!r} says: {}."
            raise ValueError(message.format(path, describe_leaf(leaves[i]), rule.pattern, reason))
        chosen[i] = rule.sharding
        rule.is_used = True
    for rule in checked:
        if not rule.is_used:
            raise ValueError(_unused(rule, checked, [path for _, path in arrays]))
    return treedef.unflatten(chosen)


class _Rule:
    """One of the rules, checked.

    Attributes:
        pattern: The pattern of the paths.
        sharding: The sharding of their arrays.
        is_used: Whether there is an array with this sharding.
    """

    def __init__(self, i, rule, mesh):
        pattern, spec = rule if isinstance(rule, (tuple, list)) and len(rule) == 2 else (None, rule)
        spec = jax.sharding.PartitionSpec() if spec is None else spec
        if not isinstance(pattern, str) or not isinstance(spec, jax.sharding.PartitionSpec):
            raise TypeError(
                "`shardings` expects `rules[{}]` to be a pair of a pattern and a `jax.sharding.PartitionSpec`, got "
                "{}.".format(i, describe_leaf(rule))
            )
        unknown = unknown_names(spec, mesh)
        if unknown:
            raise ValueError(
                "`shardings` has a rule for {!r} that names the axis {!r} of the mesh. The mesh has {}.".format(
                    pattern, unknown[0], describe_axes(mesh)
                )
            )
        names = [name for names in spec for name in names_in(names)]
        if len(set(names)) < len(names):
            raise ValueError("`shardings` has a rule for {!r} that names an axis twice: {}.".format(pattern, spec))
        self.pattern = pattern
        self.sharding = jax.sharding.NamedSharding(mesh, spec)
        self.is_used = False


def _unused(rule, rules, paths):
    """The message if no array has the sharding of a rule."""
    matching = [path for path in paths if path_matches(path, rule.pattern)]
    if matching:
        first = next(other for other in rules if path_matches(matching[0], other.pattern))
        return (
            "`shardings` doesn't use its rule for {!r}, because earlier rules match all of its arrays. The first that "
            "matches `{}` is {!r}. Put the special rules first.".format(rule.pattern, matching[0], first.pattern)
        )
    near = difflib.get_close_matches(rule.pattern, paths, _PATHS_SHOWN, 0.3) or paths[:_PATHS_SHOWN]
    return "`shardings` has a rule for {!r}, but no array has such a path. Near paths: {}.".format(
        rule.pattern, ", ".join("`{}`".format(path) for path in near) or "none, because there are no arrays"
    )
