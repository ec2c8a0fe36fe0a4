"""The inputs of one call of a function, each by the name of its parameter."""

import inspect

from jax import tree_util

from .._trees.paths import leaf_paths

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Input:
    """One input: its `value`, the `name` of its parameter, and that parameter's `index`, `None` if by keyword only."""

    __slots__ = ("by_position", "index", "name", "size", "value")

    def __init__(self, name, index, value, by_position):
        self.name = name
        self.index = index
        self.value = value
        self.by_position = by_position
        self.size = len(tree_util.tree_leaves(value))  # how many leaves it has


def parameters_of(fun):
    """The parameters of `fun`, or none where it doesn't tell, as some builtins don't."""
    try:
        return list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return []


def positional_names(fun):
    """The names of the parameters of `fun` that can be passed by position, in order."""
    return [p.name for p in parameters_of(fun) if p.kind in _POSITIONAL]


def inputs_of(names, args, kwargs):
    """The inputs in flattening order: positional ones, then those passed by keyword, sorted by name as JAX does.

    `names` are those of the positional parameters.
    """
    inputs = []
    for i, value in enumerate(args):
        inputs.append(Input(names[i] if i < len(names) else "args[{}]".format(i), i, value, True))
    for name in sorted(kwargs):
        inputs.append(Input(name, names.index(name) if name in names else None, kwargs[name], False))
    return inputs


def path_of_leaf(inputs, i):
    """The path of leaf number `i` of all `inputs`, such as `model.layers[0].weight`."""
    return [path for x in inputs for path in leaf_paths(x.value, x.name)][i]
