"""The skeleton of every transformation: what `filter_jit(f)`, `filter_grad(f)` and their kin return.

A transformation is a public function, a class of `Options` that checks what it is asked for, and a subclass of
`Transformed` whose `__call__` does the work. Everything else that a transformed function can do is here, once.
"""

import functools as ft
import pickle
import types
from typing import TYPE_CHECKING, Any

from jax import tree_util

from .. import _compat
from .._module.packing import deepcopy, is_found, pack
from .._trees.paths import describe_leaf
from .._trees.static import hashable_key

_COPIED = frozenset(["__name__", "__qualname__", "__annotations__", "__type_params__"])  # as `functools.wraps` does

_transformations = {}  # public name -> public function: what a pickle may call


def transformation(function):
    """Register the public function of a transformation under its name, so that what it returns can be pickled."""
    _transformations[function.__name__] = function
    return function


def transform(cls, fun, options):
    """`cls(fun, options)`; or, where `fun` is `None`, a decorator that makes it: for `@f` and `@f(option=...)`."""
    return ft.partial(cls, options=options) if fun is None else cls(fun, options)


class Options:
    """What a transformation is asked for. Two are equal if the same function was given the same options.

    Args:
        name: The name of the public function.
        given: The keyword arguments that the user gave it. They may be any pytrees; if a leaf of them can't be hashed,
            the options are only equal to themselves.
    """

    def __init__(self, name, given):
        self.name = name
        self.given = tree_util.tree_map(lambda x: x, given)  # a copy: a list may be changed later
        self._key = (name, hashable_key(given))
        self._hash = hash(self._key)

    def __eq__(self, other):
        return self is other or (type(other) is type(self) and self._key == other._key)

    def __hash__(self):
        return self._hash


class Transformed:
    """A transformed function: callable, a method where it stands in a class, and a pytree whose child is the function.

    So a model that the function is, or is bound to, is seen by the next transformation. It has the function's name,
    documentation, signature and attributes. It is equal to another of the same options and the very same function, and
    hashes accordingly, even where the function is a model that holds arrays.

    A subclass defines `__call__`, and keeps in an instance only what it can work out again: `copy`, `pickle` and JAX
    make an instance from the function and the options alone.
    """

    def __init__(self, fun, options):
        if not callable(fun):
            raise TypeError(
                "`{}` expects a function or another callable, got {}.".format(options.name, describe_leaf(fun))
            )
        self.__wrapped__ = fun
        self._options = options
        self.__module__ = getattr(fun, "__module__", type(self).__module__)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # A docstring of the subclass would hide the function's.
        type.__setattr__(cls, "__doc__", Transformed.__dict__["__doc__"])
        _compat.register_node(
            cls,
            lambda self: ([("__wrapped__", self.__wrapped__)], self._options),
            lambda self: ((self.__wrapped__,), self._options),
            lambda options, children: _unchecked(cls, children[0], options),
        )

    if TYPE_CHECKING:  # each subclass has it

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    @property
    def __doc__(self):
        return self.__wrapped__.__doc__

    def __getattr__(self, name):
        # The fields of a module are no attributes of its transformation. Those of a function are.
        fun = self.__dict__.get("__wrapped__")
        if name in _COPIED or name in _attributes(fun):
            return getattr(fun, name)
        raise AttributeError("`{}` has no attribute `{}`.".format(type(self).__name__, name))

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return "<{} of {!r}>".format(self._options.name, self.__wrapped__)

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return self.__wrapped__ is other.__wrapped__ and self._options == other._options

    def __hash__(self):
        return hash((id(self.__wrapped__), self._options))

    def __copy__(self):
        return self  # nothing in it can be changed

    def __deepcopy__(self, memo):
        fun = deepcopy(self.__wrapped__, memo)
        return self if fun is self.__wrapped__ else _unchecked(type(self), fun, self._options)

    def __reduce__(self):
        name = getattr(self, "__qualname__", "")
        if is_found(self, self.__module__, name):
            return name
        return _load, (self._options.name, pack(self.__wrapped__), pack(self._options.given))


def _unchecked(cls, fun, options):
    """A `Transformed` of anything: JAX puts placeholders in the place of the function."""
    self = object.__new__(cls)
    self.__wrapped__ = fun
    self._options = options
    return self


def _attributes(fun):
    """The attributes that were set on the plain function under some transformations."""
    while isinstance(fun, Transformed):
        fun = fun.__wrapped__
    return vars(fun) if isinstance(fun, types.FunctionType) else ()


def _load(name, fun, given):
    """What `pickle` makes a `Transformed` with. Its child may be anything."""
    if name not in _transformations:
        raise pickle.UnpicklingError("the pickle names the transformation {!r}, which doesn't exist here.".format(name))
    decorator = _transformations[name](**given)
    return decorator(fun) if callable(fun) else _unchecked(decorator.func, fun, decorator.keywords["options"])
