"""Bound methods that are pytrees. So a transformation of a method sees the arrays of its model."""

import copy
import functools as ft
import inspect
import pickle
import sys
import types
from typing import Tuple

from .. import _compat
from .call_listeners import listeners, tell
from .packing import pack


class BoundMethod:
    """A function and the object that it is bound to: a pytree whose only child is the object.

    Everything else is as in Python's own bound methods. It has the name, signature and attributes of the function. Two
    bound methods are equal if they have the same function and the same object (by identity).
    """

    __slots__ = ("__func__", "__self__", "__weakref__")  # JAX keeps weak references to what it transforms

    def __init__(self, function, instance):
        self.__func__ = function
        self.__self__ = instance

    def __call__(*args, **kwargs):  # no named parameters: a method may have a keyword argument `self`
        self = args[0]
        # A decorator may return an object with its own `__get__`, so that is called.
        method = self.__func__.__get__(self.__self__, type(self.__self__))
        if listeners and _is_call(self):
            return tell(self.__self__, ft.partial(method, *args[1:], **kwargs))
        return method(*args[1:], **kwargs)

    def __getattr__(self, name):
        value = getattr(self.__func__, name)
        # `lower` is the only attribute that takes the inputs of the function. The object is the first input.
        return ft.partial(value, self.__self__) if name == "lower" else value

    @property
    def __doc__(self):
        return self.__func__.__doc__

    @property
    def __signature__(self):
        signature = inspect.signature(self.__func__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __eq__(self, other):
        if type(other) is not BoundMethod:
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ == other.__func__

    def __hash__(self):
        return hash((id(self.__self__), self.__func__))

    def __repr__(self):
        name = getattr(self.__func__, "__qualname__", self.__func__)
        return "<bound method {} of {!r}>".format(name, self.__self__)

    def __copy__(self):
        return self  # it is immutable

    def __deepcopy__(self, memo):
        instance = copy.deepcopy(self.__self__, memo)
        return memo.get(id(self)) or BoundMethod(self.__func__, instance)  # the instance may hold this method

    def __reduce__(self):
        cls = type(self.__self__)
        for owner in cls.__mro__:
            for name, value in vars(owner).items():
                if type(value) is Method and value.function is self.__func__:
                    return load_method, (self.__self__, cls if _find_method(cls, name) is value else owner, name)
        return BoundMethod, (pack(self.__func__), self.__self__)


_compat.register_node(
    BoundMethod,
    lambda method: ([("__self__", method.__self__)], method.__func__),
    lambda method: ((method.__self__,), method.__func__),
    lambda function, children: BoundMethod(function, children[0]),
)


class Method:
    """The descriptor that replaces a function in the class of a `Module`. It binds the function as a `BoundMethod`.

    To a tool that reads `vars(cls)` it looks like the function: `isinstance` and all attributes are those of the
    function. If the tool then assigns a function to the class, it becomes a `Method` again.
    """

    __slots__ = ("function",)

    def __init__(self, function):
        object.__setattr__(self, "function", function)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self.function.__get__(None, owner)  # usually the function itself
        return BoundMethod(self.function, instance)

    def __call__(*args, **kwargs):
        return args[0].function(*args[1:], **kwargs)

    def __getattr__(self, name):
        return getattr(self.function, name)

    def __setattr__(self, name, value):
        setattr(self.function, name, value)

    # This has no annotation, because `__annotations__` of this class would hide those of the function.
    @property  # type: ignore[misc]
    def __class__(self):
        return type(self.function)

    @property
    def __doc__(self):
        return self.function.__doc__

    @property
    def __module__(self):
        return self.function.__module__

    def __repr__(self):
        return repr(self.function)

    def __reduce__(self):
        """Pickle the function alone. If the class is loaded by value, the metaclass makes a `Method` of it again."""
        return _itself, (self.function,)


def _itself(function):
    return function


def load_method(instance, cls, name):
    """Load a bound method from a pickle.

    Args:
        instance: The object to bind the method to.
        cls: The class that has the method. For `super().f` it is a base of the class of `instance`.
        name: The name of the method in the class. The function itself may have another name, for example if it is a
            lambda or decorated, or if its name begins with two underscores.

    Returns:
        The bound method.

    Raises:
        AttributeError: The class has no method of this name.
        pickle.UnpicklingError: `instance` is no instance of `cls`.
    """
    if not isinstance(cls, type) or not isinstance(instance, cls):
        raise pickle.UnpicklingError("the pickle binds a method of {!r} to {!r}.".format(cls, instance))
    method = _find_method(cls, name)
    if method is None:
        raise AttributeError(
            "the pickle holds the method `{}` of `{}`, but the class has no such method now.".format(name, cls.__name__)
        )
    return BoundMethod(method.function, instance)


def _find_method(cls, name):
    value = next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), None)
    return value if type(value) is Method else None


def _is_call(bound):
    """Whether `bound` is what `bound.__self__(...)` runs. It may also be another method, or that of a base class."""
    method = _find_method(type(bound.__self__), "__call__")
    return method is not None and method.function is bound.__func__


def is_method(value):
    """Whether `value`, an attribute of a class, is a method: a function or a wrapper of one.

    A wrapper can be called and has a `__get__`. `__wrapped__` isn't needed: a pickled function of `jax.jit` has none.
    """
    if isinstance(value, _UNBOUND):
        return False
    return hasattr(type(value), "__get__") and (callable(value) or isinstance(value, _BOUND))


_UNBOUND: Tuple[type, ...] = (staticmethod, classmethod, property, type, types.MethodType)
_BOUND: Tuple[type, ...] = (ft.partialmethod,)  # which can't be called
if sys.version_info >= (3, 8):
    _BOUND += (ft.singledispatchmethod,)
if sys.version_info < (3, 14):
    _UNBOUND += (ft.partial,)
