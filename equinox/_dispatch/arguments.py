"""The inputs of one call: the names of their parameters, and the order in which they are flattened."""

import inspect

from jax import tree_util

from .._trees.layout import layout_of
from .._trees.paths import leaf_paths
from .leaf_groups import gatherer

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Input:
    """One input of a call.

    Attributes:
        name: The name of its parameter.
        index: The position of its parameter, or `None` if it can't be passed by position.
        value: Its value.
        by_position: Whether it was passed by position.
        is_bound: Whether it is part of the function. An example is the model whose method is called.
        leaves: The leaves of its value.
        kinds: The kind of each leaf (see `call_signature`). `None` until the filter was asked.
    """

    __slots__ = ("by_position", "index", "is_bound", "kinds", "leaves", "name", "value")

    def __init__(self, name, index, value, by_position, is_bound=False):
        self.name = name
        self.index = index
        self.value = value
        self.by_position = by_position
        self.is_bound = is_bound
        self.kinds = None
        self.leaves = tree_util.tree_leaves(value)

    def path_of_leaf(self, i):
        """The path of leaf number `i`, such as `model.layers[0].weight`."""
        return leaf_paths(self.value, self.name)[i]


def name_of(fun):
    """The name of a callable, or of its class if it has none."""
    return getattr(fun, "__name__", type(fun).__name__)


def parameters_of(fun):
    """The parameters of a callable. The list is empty if Python can't tell them, as for some builtins."""
    try:
        return list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return []


def positional_names(fun):
    """The names of the parameters of `fun` that can be passed by position, in order."""
    return [p.name for p in parameters_of(fun) if p.kind in _POSITIONAL]


def inputs_of(names, args, kwargs, bound=()):
    """The inputs of a call: bound values, then positional arguments, then keyword arguments sorted by name as in JAX.

    Args:
        names: The names of the positional parameters.
        args: The positional arguments.
        kwargs: The keyword arguments.
        bound: The values that are bound to the function.
    """
    inputs = [Input("fun", None, value, False, is_bound=True) for value in bound]
    for i, value in enumerate(args):
        inputs.append(Input(names[i] if i < len(names) else "args[{}]".format(i), i, value, True))
    for name in sorted(kwargs):
        inputs.append(Input(name, names.index(name) if name in names else None, kwargs[name], False))
    return inputs


def paths_of_leaves(inputs):
    """The paths of the leaves of all `inputs`, such as `model.layers[0].weight`."""
    return [path for x in inputs for path in leaf_paths(x.value, x.name)]


def path_of_leaf(inputs, i):
    """The path of leaf number `i` of all `inputs`."""
    return paths_of_leaves(inputs)[i]


class Arrangement:
    """The order in which the inputs of a call are flattened: modules first, then the others.

    Because of this order, the known arrays of modules can simply be put before the leaves of the other inputs.
    The order depends only on the types of the values and the names of the keyword arguments.

    Args:
        values: The values of the inputs, keyword arguments last.
        names: The names of the keyword arguments.

    Attributes:
        modules: A function from the values of all inputs to the tuple of those that are modules.
        others: A function from the values of all inputs to the tuple of those that aren't modules.
        order: The indices of the inputs, in the order in which they are flattened.
        names: The names of the keyword arguments.
    """

    __slots__ = ("_in_call_order", "_key", "modules", "names", "order", "others")

    def __init__(self, values, names):
        modules = [i for i, x in enumerate(values) if layout_of(x) is not None]
        others = [i for i in range(len(values)) if i not in modules]
        self.names = names
        self.order = modules + others
        self.modules = gatherer(modules)
        self.others = gatherer(others)
        self._in_call_order = gatherer([self.order.index(i) for i in range(len(values))])
        self._key = (names, tuple(modules), len(values))

    def kinds(self, inputs):
        """The kinds of all leaves of all inputs, in the order in which they are flattened."""
        return tuple(kind for i in self.order for kind in inputs[i].kinds)

    def restore(self, modules, others):
        """`(args, kwargs)` of the call, from the values of the modules and of the other inputs."""
        values = self._in_call_order((*modules, *others))
        number = len(values) - len(self.names)
        return values[:number], dict(zip(self.names, values[number:]))

    def __eq__(self, other):
        return self._key == other._key

    def __hash__(self):
        return hash(self._key)
