"""Split any callable into a plain function and the inputs that are bound to it.

So `filter_jit(model)(x)` becomes `filter_jit(type(model).__call__)(model, x)`. Compiled functions belong to the plain
function. They are found again for another model, and for a wrapper that is made at each call.
"""

from jax import tree_util

from .arguments import inputs_of, positional_names


class Callee:
    """A callable that was split.

    Attributes:
        fun: The callable, as the user passed it.
        function: The plain function in it. It is a leaf, not a pytree.
        layers: What is around the function, the outermost layer first. There are two kinds. A layer that binds an input
            is a callable, such as `types.MethodType`: from the function and the input it makes the bound function.
            A layer that a transformation made is a treedef with one child: from the function it makes the transformed
            function.
        bound: The bound inputs, one for each layer that binds an input. They may be any pytrees.
    """

    __slots__ = ("_names", "bound", "fun", "function", "layers")

    def __init__(self, fun):
        self.fun = fun
        self.function, self.layers, self.bound = _split(fun)
        self._names = None

    def inputs(self, args, kwargs):
        """The inputs of a call: the bound ones, and those that the user passes."""
        if self._names is None:
            self._names = positional_names(self.fun)
        return inputs_of(self._names, args, kwargs, self.bound)


def _split(fun):
    """`(function, layers, bound)`, as in `Callee`."""
    layers, bound = [], []
    while not tree_util.all_leaves([fun]):
        if isinstance(fun, tree_util.Partial):
            layers.append(_make_partial)
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
            layers.append(_make_instance)
            bound.append(fun)
            fun = _call_method_of(type(fun))
    return fun, tuple(layers), tuple(bound)


def rebuild(function, layers, bound):
    """The callable that `Callee` has split, with other values for its bound inputs."""
    bound = list(bound)
    for layer in reversed(layers):
        function = layer(function, bound.pop()) if callable(layer) else layer.unflatten([function])
    return function


def _make_partial(function, arguments):
    args, keywords = arguments
    return tree_util.Partial(function, *args, **keywords)


def _make_instance(function, instance):
    return instance  # a call of it finds the function in its class


def _is_wrapper(fun):
    """Whether `fun` is a pytree whose only child is the function that it wraps, as a transformation returns it."""
    children, _ = _top(fun)
    return hasattr(fun, "__wrapped__") and len(children) == 1 and children[0] is fun.__wrapped__


def _top(node):
    """The children of a node, and a treedef of this node alone, in which each child is a leaf."""
    return tree_util.tree_flatten(node, is_leaf=lambda x: x is not node)


def _call_method_of(cls):
    """The plain function that stands for the instances of `cls`: the `__call__` of `cls`.

    The compiled functions belong to it, but it isn't called: `rebuild` returns the instance itself. If `__call__` isn't
    a plain function, such as a static method, the compiled functions belong to `_any_call`.
    """
    in_class = next((c.__dict__["__call__"] for c in cls.__mro__ if "__call__" in c.__dict__), None)
    if in_class is None or isinstance(in_class, (staticmethod, classmethod)):
        return _any_call
    return cls.__call__ if hasattr(type(cls.__call__), "__get__") else _any_call


def _any_call(instance, *args, **kwargs):
    return instance(*args, **kwargs)
