"""Bound methods that are pytrees, so that a transformation sees the arrays of their model."""

import copy
import functools as ft
import inspect
import pickle
import sys
import types
from typing import Tuple

from .. import _compat
from .packing import pack


class BoundMethod:
    """A function and the object it is bound to; a pytree whose one child is the object.

    Otherwise as Python's own: it has the function's name, signature and attributes, is equal to another of the same
    function and the very same object, and hashes accordingly.
    """

    __slots__ = ("__func__", "__self__", "__weakref__")  # JAX keeps weak references to what it transforms

    def __init__(self, function, instance):
        self.__func__ = function
        self.__self__ = instance

    def __call__(*args, **kwargs):  # no named parameter, so that a method may have a keyword argument `self`
        self = args[0]
        # Bound by the function's own rule, as a decorator may have made something else of it.
        return self.__func__.__get__(self.__self__, type(self.__self__))(*args[1:], **kwargs)

    def __getattr__(self, name):
        value = getattr(self.__func__, name)
        # Of all that a function offers, `lower` alone takes its inputs, of which the object is the first.
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
        return self  # nothing in it can be changed

    def __deepcopy__(self, memo):
        instance = copy.deepcopy(self.__self__, memo)
        return memo.get(id(self)) or BoundMethod(self.__func__, instance)  # the instance may hold this very method

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
    """The descriptor that stands for a function in the class of a `Module`, and binds it as a `BoundMethod`.

    A tool that reads `vars(cls)` sees the function: `isinstance` says so, and every attribute is the function's. What
    the tool then assigns to the class becomes a `Method` again.
    """

    __slots__ = ("function",)

    def __init__(self, function):
        object.__setattr__(self, "function", function)

    def __get__(self, instance, owner=None):
        if instance is None:
            return self.function.__get__(None, owner)  # for most, the function itself
        return BoundMethod(self.function, instance)

    def __call__(*args, **kwargs):
        return args[0].function(*args[1:], **kwargs)

    def __getattr__(self, name):
        return getattr(self.function, name)

    def __setattr__(self, name, value):
        setattr(self.function, name, value)

    # Without an annotation: with one, this class would have `__annotations__`, in place of the function's.
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
        """Be pickled as the function. The metaclass makes a `Method` of it where the class is loaded by value."""
        return _itself, (self.function,)


def _itself(function):
    return function


def load_method(instance, cls, name):
    """Bind the method that has the name `name` in the class `cls` to `instance`, as a pickle asks for it.

    The name in the class is not always the function's own: think of a lambda, of a name that begins with two
    underscores, and of decorated functions. The class is a base of the instance's for `super().f`.

    Raises:
        AttributeError: The class has no method of this name.
        pickle.UnpicklingError: The instance is none of the class.
    """
    if not isinstance(cls, type) or not isinstance(instance, cls):
        raise pickle.UnpicklingError("the pickle binds a method of {!r} to {!r}.".format(cls, instance))
    method = _find_method(cls, name)
    if method is None:
        raise AttributeError("the pickle holds the method `{}` of `{}`, which has none now.".format(name, cls.__name__))
    return BoundMethod(method.function, instance)


def _find_method(cls, name):
    value = next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), None)
    return value if type(value) is Method else None


def is_method(value):
    """Whether `value`, found in the namespace of a class, binds as a method does: a function, or what wraps one.

    A function of `jax.jit` that was pickled has no `__wrapped__`, so what counts is that it is called and has a
    `__get__`.
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
