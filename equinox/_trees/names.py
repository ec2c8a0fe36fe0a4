"""`to_dict` and `from_dict`: the arrays of a tree by name, as the `state_dict` of PyTorch has them."""

from __future__ import annotations

import ast
import difflib
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, tree_util

from .. import _compat
from .._compat.types import FilterSpec, Literal, PyTree, T
from .partition import select_leaves
from .paths import describe_leaf, joined_names
from .predicates import is_array, is_array_or_shape, is_jax_array, is_numpy
from .translation import Link, Translation, arrays_of_leaves, expected_arrays, leaves_of_arrays

Rename = Union[Callable[[str], Optional[str]], Mapping[str, Optional[str]], Translation]

_LINES_SHOWN = 10  # mismatches of one kind in an error message
_NEAR_SHOWN = 3
_NEXT_MOVE = "Pass `rename` if names differ, or `strict=False` to take what fits."
_CAST = " To convert floats, pass `eqx.cast(arrays, dtype)` to `from_dict`. `load(path)` gives such `arrays`."


def to_dict(
    tree: PyTree, filter_spec: FilterSpec = is_array, *, rename: Optional[Translation] = None, sep: str = "."
) -> Dict[str, Any]:
    """Make a dictionary from the names of the arrays of a tree to the arrays. `from_dict` undoes it.

    A name is the path of a leaf, as `named_leaves` gives it, without brackets and quotes: `layers.0.weight` for
    `.layers[0].weight`, and `params.kernel` for `['params']['kernel']`. If the tree is itself a leaf, its name is the
    empty text. The arrays are not copied: the same array at two places has two names in the dictionary.

    Args:
        tree: Any pytree, such as a model or the state of an optimiser.
        filter_spec: Which leaves are wanted, as for `filter`.
        rename: What `nn.torch_names` returns, for the names and layouts of PyTorch.
        sep: What stands between the parts of a name.

    Returns:
        A dictionary, in the order of flattening.

    Raises:
        ValueError: Two leaves have the same name, such as those of `{"a.b": x, "a": {"b": y}}`. Another `sep` helps.
        ValueError: The structure of `filter_spec` isn't a prefix of that of `tree`. The message says where.
        TypeError: A leaf of `filter_spec` is no bool and no function.
        TypeError: `rename` is something else.
        TypeError: `sep` is no text.

    Example:
        >>> mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.PRNGKey(0))
        >>> {name: array.shape for name, array in eqx.to_dict(mlp.layers, sep="/").items()}
        {'0/weight': (8, 3), '0/bias': (8,), '1/weight': (2, 8), '1/bias': (2,)}
    """
    names = leaf_names("to_dict", tree, sep)
    leaves, _, selected = select_leaves(tree, filter_spec)
    if isinstance(rename, Translation):
        return arrays_of_leaves(rename.links("to_dict", tree), leaves, selected)
    if rename is not None:
        raise TypeError(
            "`to_dict` expects `rename` to be what `nn.torch_names` returns, got {}.".format(describe_leaf(rename))
        )
    return {name: leaf for name, leaf, wanted in zip(names, leaves, selected) if wanted}


@overload
def from_dict(
    like: T, arrays: Mapping[str, Any], *, strict: Literal[True] = ..., rename: Optional[Rename] = ..., sep: str = ...
) -> T: ...
@overload
def from_dict(
    like: T, arrays: Mapping[str, Any], *, strict: Literal[False], rename: Optional[Rename] = ..., sep: str = ...
) -> Tuple[T, Dict[str, Any]]: ...
@overload
def from_dict(
    like: PyTree, arrays: Mapping[str, Any], *, strict: bool = ..., rename: Optional[Rename] = ..., sep: str = ...
) -> PyTree: ...
def from_dict(
    like: PyTree, arrays: Mapping[str, Any], *, strict: bool = True, rename: Optional[Rename] = None, sep: str = "."
) -> PyTree:
    """Replace the arrays of a tree by those of a dictionary, by name. `to_dict` makes such a dictionary.

    Everything is checked before anything is built. Each array of `like` must have a name in `arrays`, with the same
    shape and dtype, and each name in `arrays` must be that of a leaf of `like`. A leaf that is no array, such as a
    number or a text, is replaced only if `arrays` has its name. The new leaf must have the same type.

    A NumPy array becomes a JAX array on the devices of the array of `like`, unless `like` has a NumPy array there. A
    JAX array stays where it is. An object that has several names in `arrays` is converted once. The new tree shares no
    memory with the NumPy arrays in `arrays`.

    Args:
        like: Any pytree. It isn't changed. A `jax.ShapeDtypeStruct` may stand for an array, as in the output of
            `filter_eval_shape`.
        arrays: A dictionary from names to arrays. See `to_dict` for the names.
        strict: Whether it is an error if something is missing, unknown or doesn't fit. If it is `False`, what fits is
            taken.
        rename: A function from a name in `arrays` to the name in `like`, or to `None` for an array to leave out. Or a
            dictionary from patterns to names in `like`, or to `None`. In a pattern `*` stands for any text, as short
            as possible. A name has as many `*`, or none. They stand for the same texts, in order. The first pattern
            that matches the whole name counts. A name that no pattern matches stays as it is. Or what `nn.torch_names`
            returns, if `arrays` is the `state_dict` of a PyTorch model.
        sep: What stands between the parts of a name.

    Returns:
        A tree of the structure of `like`. If `strict` is `False`, `(tree, rest)`: `rest` is the dictionary of what was
        not taken from `arrays`, under the names that it has there.

    Raises:
        ValueError: Something is missing, unknown, or of another shape or dtype. The message has all of it, with near
            names.
        ValueError: Two leaves of `like` have the same name, or `rename` gives the same name to two arrays.
        ValueError: The name for a pattern of `rename` has another number of `*`.
        TypeError: `arrays` is no dictionary whose keys are texts.
        TypeError: `rename` is no function and no dictionary, or gives something that is no text.
        TypeError: `sep` is no text.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> arrays = {"fc.weight": np.ones((2, 3), np.float32), "fc.bias": np.zeros(2, np.float32), "step": 5}
        >>> linear = eqx.from_dict(linear, arrays, rename={"fc.*": "*", "step": None})
        >>> linear.weight.tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        >>> linear, rest = eqx.from_dict(linear, {"weight": jnp.zeros((2, 3)), "scale": 2.0}, strict=False)
        >>> linear.weight.tolist(), rest
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], {'scale': 2.0})
    """
    _check_names(arrays)
    return fill("from_dict", like, arrays, strict, rename, sep)


def fill(function, like, arrays, strict, rename, sep, are_new=False):
    """`from_dict`, for the public function that has the name `function`.

    If the arrays are new, nobody else has them. Then leaves may use their memory, and JAX arrays are moved too.
    """
    leaves, treedef = tree_util.tree_flatten(like)
    given = arrays
    if isinstance(rename, Translation):
        links, next_move = rename.links(function, like), rename.next_move(like)
        expected = expected_arrays(links, leaves)
        arrays = {name: rename.as_array(value, expected.get(name)) for name, value in given.items()}
        sources = {name: name for name in arrays}
    else:
        links, next_move = _links_by_name(leaf_names(function, like, sep)), _NEXT_MOVE
        expected = expected_arrays(links, leaves)
        sources = _sources(function, arrays, rename)
    missing = [name for name, leaf in expected.items() if is_array_or_shape(leaf) and name not in sources]
    unknown = [name for name in sources if name not in expected]
    fitting = {name for name, source in sources.items() if name in expected and fits(expected[name], arrays[source])}
    if strict and (missing or unknown or len(fitting) < len(sources)):
        misfits = [name for name in sources if name in expected and name not in fitting]
        if any(_has_another_float_dtype(expected[name], given[sources[name]]) for name in misfits):
            next_move += _CAST
        raise ValueError(_message(function, expected, arrays, sources, missing, unknown, misfits, next_move))
    found, used = leaves_of_arrays(
        function, links, {name: arrays[sources[name]] for name in sources if name in fitting}
    )
    convert = _Conversion(are_new)
    tree = treedef.unflatten([convert(leaf, found[i]) if i in found else leaf for i, leaf in enumerate(leaves)])
    if strict:
        return tree
    taken = {sources[name] for name in used}
    return tree, {name: value for name, value in given.items() if name not in taken}


def _links_by_name(names):
    return [Link((name,), (i,)) for i, name in enumerate(names)]


def leaf_names(function, tree, sep):
    """The names of the leaves of `tree`, in the order of flattening. They are all different."""
    if not isinstance(sep, str):
        raise TypeError("`{}` expects `sep` to be a text, got {}.".format(function, describe_leaf(sep)))

    def join(above, name):
        path, parts = above
        part = part_of_name(name)
        return path + name, part if parts is None else parts + sep + part

    paths: Dict[str, str] = {}
    for (path, parts), _ in joined_names(tree, ("", None), join):
        name = parts or ""
        if name in paths:
            raise ValueError(
                "`{}` needs a name for each leaf, but the leaves at `{}` and `{}` have the same name, {!r}. Pass a "
                "`sep` that no key of a dictionary contains.".format(function, paths[name], path, name)
            )
        paths[name] = path
    return list(paths)


def part_of_name(name):
    """`weight`, `0`, `key` or `0` for the name of a child: `.weight`, `[0]`, `['key']` or `[<flat index 0>]`."""
    if name[0] == ".":
        return name[1:]
    inside = name[1:-1]
    if inside[:1] in ("'", '"'):
        return ast.literal_eval(inside)
    return inside[len("<flat index ") : -1] if inside.startswith("<flat index ") else inside


def _check_names(arrays):
    if not isinstance(arrays, Mapping):
        raise TypeError(
            "`from_dict` expects `arrays` to be a dictionary of arrays by name, got {}.".format(describe_leaf(arrays))
        )
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError("`from_dict` expects the keys of `arrays` to be texts, got {}.".format(describe_leaf(name)))


def _sources(function, arrays, rename):
    """A dictionary from the names in `like` to those in `arrays`."""
    if rename is None:
        return {name: name for name in arrays}
    new_name = _by_patterns(function, rename) if isinstance(rename, Mapping) else rename
    if not callable(new_name):
        raise TypeError(
            "`{}` expects `rename` to be a function from a name to a name, or a dictionary from patterns to "
            "names, got {}.".format(function, describe_leaf(rename))
        )
    sources: Dict[str, str] = {}
    for name in arrays:
        new = new_name(name)
        if new is None:
            continue
        if not isinstance(new, str):
            raise TypeError(
                "`{}` expects `rename` to give a name or `None`. For {!r} it gives {}.".format(
                    function, name, describe_leaf(new)
                )
            )
        if new in sources:
            raise ValueError(
                "`{}` can't take two arrays for one leaf, but `rename` gives the name {!r} to {!r} and {!r}.".format(
                    function, new, sources[new], name
                )
            )
        sources[new] = name
    return sources


def _by_patterns(function, rename):
    """The function from a name to a name, or to `None`, that a dictionary of patterns means."""
    patterns = []
    for pattern, new in rename.items():
        for text in (pattern, new):
            if not isinstance(text, str) and (text is not None or text is pattern):
                raise TypeError(
                    "`{}` expects `rename` to map patterns to names, got {}.".format(function, describe_leaf(text))
                )
        if new is not None and new.count("*") not in (0, pattern.count("*")):
            raise ValueError(
                "`{}` expects a name in `rename` to have as many `*` as its pattern, or none, got {!r} for "
                "{!r}.".format(function, new, pattern)
            )
        regex = re.compile("(.*?)".join(map(re.escape, pattern.split("*"))), re.DOTALL)
        patterns.append((regex, None if new is None else new.split("*")))

    def new_name(name):
        for regex, parts in patterns:
            match = regex.fullmatch(name)
            if match is not None:
                if parts is None:
                    return None
                texts = [*match.groups(), ""] if len(parts) > 1 else [""]
                return "".join(part + text for part, text in zip(parts, texts))
        return name

    return new_name


def fits(leaf, value):
    """Whether `value` may replace `leaf`: an array of the same shape and dtype, or another value of the same type."""
    if is_array_or_shape(leaf):
        return is_array(value) and value.shape == leaf.shape and value.dtype == leaf.dtype
    return type(value) is type(leaf)


class _Conversion:
    """Makes leaves of values that fit. The same value at several places is converted once."""

    def __init__(self, are_new):
        self._are_new = are_new
        self._made: Dict[Any, Any] = {}

    def __call__(self, leaf, value):
        if not is_array_or_shape(leaf) or isinstance(value, core.Tracer):
            return value
        if isinstance(leaf, np.generic):
            return np.asarray(value)[()]
        if is_jax_array(value) and not is_numpy(leaf) and not self._are_new:
            return value
        placement = "numpy" if is_numpy(leaf) else _compat.placement(leaf)
        key = id(value), placement
        if key not in self._made:
            # An array of JAX on the CPU may use the memory of the NumPy array that it is made of.
            own = value if self._are_new else np.array(value)
            self._made[key] = np.asarray(own) if is_numpy(leaf) else jax.device_put(own, placement)
        return self._made[key]


def _message(function, expected, arrays, sources, missing, unknown, misfits, next_move):
    """The message for everything that doesn't fit."""

    def wanted(name):
        return "`{}`: {}".format(name, _describe_expected(expected[name]))

    def given(name):
        old = sources[name]
        renamed = "" if old == name else ", renamed from `{}`".format(old)
        return "`{}`{}: {}".format(name, renamed, describe_leaf(arrays[old]))

    def misfit(name):
        return "{}. Expected {}".format(given(name), _describe_expected(expected[name]))

    lines: List[str] = []
    for title, names, in_words, others in (
        ("Missing", missing, wanted, unknown),
        ("Unknown in `like`", unknown, given, list(expected)),
        ("Another shape, dtype or type", misfits, misfit, ()),
    ):
        if names:
            lines.append("{} ({}):".format(title, len(names)))
        for name in names[:_LINES_SHOWN]:
            near = difflib.get_close_matches(name, others, _NEAR_SHOWN)
            hint = ". Near: {}".format(", ".join(map("`{}`".format, near))) if near else ""
            lines.append("    {}{}".format(in_words(name), hint))
        if len(names) > _LINES_SHOWN:
            lines.append("    and {} more".format(len(names) - _LINES_SHOWN))
    return "`{}` can't take the arrays for `like`. {}\n{}".format(function, next_move, "\n".join(lines))


def _has_another_float_dtype(leaf, value):
    both = is_array_or_shape(leaf) and is_array(value)
    return both and all(jnp.issubdtype(x.dtype, jnp.floating) for x in (leaf, value)) and leaf.dtype != value.dtype


def _describe_expected(leaf):
    """`leaf` in words. A shape stands for an array."""
    return describe_leaf(leaf).replace("`ShapeDtypeStruct`", "`Array`")
