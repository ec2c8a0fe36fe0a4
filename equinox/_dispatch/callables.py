"""Anything callable, taken apart into a plain function and the inputs that are bound to it.

So `filter_jit(model)(x)` is `filter_jit(type(model).__call__)(model, x)`. What is compiled belongs to the plain
function. It is found again for another model, and for a wrapper that is made at each call.
"""

from jax import tree_util

from .arguments import inputs_of, positional_names


class Callee:
    """Anything callable.

    Attributes:
        fun: It, as the user knows it.
        function: What is left when all layers are taken off. It is no pytree.
        layers: What is around the function, the outermost first. Each is the structure of a pytree whose only child is
            the function, or a callable that takes the function and an input.
        bound: The inputs that are in the layers. They may be any pytrees.
    """

    __slots__ = ("_names", "bound", "fun", "function", "layers")

    def __init__(self, fun):
        self.fun = fun
        self.function, self.layers, self.bound = _take_apart(fun)
        self._names = None

    def inputs(self, args, kwargs):
        """The inputs of a call: bound ones, and those that the user passes."""
        if self._names is None:
            self._names = positional_names(self.fun)
        return inputs_of(self._names, args, kwargs, self.bound)


def _take_apart(fun):
    layers, bound = [], []
    while not tree_util.all_leaves([fun]):
        if isinstance(fun, tree_util.Partial):
            layers.append(_put_arguments)
            bound.append((fun.args, fun.keywords))
            fun = fun.func
        elif hasattr(fun, "__func__") and hasattr(fun, "__self__"):
            layers.append(type(fun))
            bound.append(fun.__self__)
            fun = fun.__func__
        elif _is_wrapper(fun):
            layers.append(_top(fun)[1])
            fun = fun.__wrapped__
        else:
            layers.append(_instance)
            bound.append(fun)
            fun = _call_of(type(fun))
    return fun, tuple(layers), tuple(bound)


def put_together(function, layers, bound):
    """Undo what `Callee` does, perhaps with other values in the place of those that were bound."""
    bound = list(bound)
    for layer in reversed(layers):
        function = layer(function, bound.pop()) if callable(layer) else layer.unflatten([function])
    return function


def _put_arguments(function, arguments):
    args, keywords = arguments
    return tree_util.Partial(function, *args, **keywords)


def _instance(function, instance):
    return instance  # the function is that of its class


def _is_wrapper(fun):
    """Whether `fun` is a pytree whose only child is what it wraps, as is what a transformation returns."""
    children, _ = _top(fun)
    return len(children) == 1 and children[0] is getattr(fun, "__wrapped__", None)


def _top(node):
    """The children of a node, and its structure without what is below them."""
    return tree_util.tree_flatten(node, is_leaf=lambda x: x is not node)


def _call_of(cls):
    """What calls the instances of a class: a function that takes the instance first."""
    in_class = next((c.__dict__["__call__"] for c in cls.__mro__ if "__call__" in c.__dict__), None)
    if in_class is None or isinstance(in_class, (staticmethod, classmethod)):
        return _call
    return cls.__call__ if hasattr(type(cls.__call__), "__get__") else _call


def _call(fun, *args, **kwargs):
    return fun(*args, **kwargs)
