"""`reinitialise`: new parameters for a whole model, chosen by the patterns of their paths."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any, Dict, Mapping, Tuple

import jax
import jax.random as jrandom

from .._compat import named_children
from .._compat.types import Array, Key, T
from .._trees.at import tree_at
from .._trees.layout import layout_of
from .._trees.paths import describe_leaf
from .._trees.predicates import is_inexact_jax_or_numpy
from .._trees.select import select
from ._checks import check_callable, check_key, in_words
from ._parameters import OUTPUT_FIRST, Initialiser, initialise
from ._stacked import Stacked


def reinitialise(model: T, initialisers: Mapping[Any, Initialiser], key: Key) -> T:
    """Draw parameters of a model again, each by the initialiser for the pattern of its path.

    The key of each parameter depends on `key` and on its path. So it stays the same if other parameters are added. Each
    layer of a `Stacked` gets its own values. For an ensemble, call `eqx.filter_vmap` of this function.

    Args:
        model: A model, or any pytree.
        initialisers: A dictionary from patterns to functions `(key, shape, dtype) -> array`, such as
            `jax.nn.initializers.he_normal()`. A pattern is what `eqx.select` takes, such as `"*.weight"`. It selects
            parameters. If a parameter matches several patterns, the last one counts. The weight of a layer is shown to
            the initialiser in JAX's layout, `(*kernel, input, output)`.
        key: A PRNG key.

    Returns:
        The changed model. Shapes and dtypes are as before.

    Raises:
        TypeError: `initialisers` is no dictionary, an initialiser can't be called, or `key` is no PRNG key.
        TypeError: A pattern selects what is no floating-point or complex array.
        ValueError: A pattern selects nothing. The message shows near paths.
        ValueError: An initialiser fails, or returns another shape.

    Example:
        >>> model = eqx.nn.MLP(2, 1, 8, 2, key=jax.random.PRNGKey(0))
        >>> init = jax.nn.initializers
        >>> initialisers = {"*.weight": init.orthogonal(), "*.bias": init.zeros}
        >>> model = eqx.nn.reinitialise(model, initialisers, jax.random.PRNGKey(1))
        >>> model.layers[0].bias.tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    if not isinstance(initialisers, Mapping):
        raise TypeError(
            "`reinitialise` expects `initialisers` to be a dictionary, such as "
            "`{{'*.weight': jax.nn.initializers.he_normal()}}`, got {}.".format(in_words(initialisers))
        )
    check_key(key, "reinitialise")
    layouts = _layouts(model)
    for by, init in initialisers.items():
        check_callable(init, "initialisers[{!r}]".format(by), "reinitialise")
        selected = select(model, by)
        new = []
        for path, leaf in zip(selected, selected(model)):
            if leaf is not None and not is_inexact_jax_or_numpy(leaf):
                raise TypeError(
                    "`reinitialise` expects {!r} to select floating-point or complex arrays, but {} is {}. Select "
                    "parameters, as in '*.weight'.".format(by, _place(path), describe_leaf(leaf))
                )
            own_key = jrandom.fold_in(key, zlib.crc32(path.encode()) & 0x7FFFFFFF)
            # A layer without bias has `None`, which stays.
            new.append(None if leaf is None else _draw(path, init, own_key, leaf, *layouts[path]))
        model = tree_at(selected, model, tuple(new))
    return model


def _place(path: str) -> str:
    """`path` in the words of a message."""
    return "`{}`".format(path) if path else "the whole model"


def _layouts(model: Any) -> Dict[str, Tuple[bool, int]]:
    """For each path, whether the first two axes are output and input, and in how many `Stacked` the node is."""
    found = {}
    pending = [("", model, False, 0)]
    while pending:
        path, node, output_first, stacks = pending.pop()
        found[path] = (output_first, stacks)
        is_module = layout_of(node) is not None
        fields = {"." + f.name: f for f in dataclasses.fields(node)} if is_module else {}
        inside = stacks + isinstance(node, Stacked)
        for name, child in named_children(node) or ():
            weight = name in fields and bool(fields[name].metadata.get(OUTPUT_FIRST))
            pending.append((path + name, child, weight, inside))
    return found


def _draw(path: str, init: Initialiser, key: Key, leaf: Any, output_first: bool, stacks: int) -> Array:
    """A new value for `leaf`. Its first `stacks` axes are those of `Stacked`, and each layer gets its own key."""
    if stacks == 0:
        return initialise(init, key, leaf.shape, leaf.dtype, output_first, "The initialiser of " + _place(path))
    keys = jrandom.split(key, leaf.shape[0])
    like = jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)
    return jax.vmap(lambda key: _draw(path, init, key, like, output_first, stacks - 1))(keys)
