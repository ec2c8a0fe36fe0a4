"""What all transformations have in common: decorators, options, and the class of what they return.

A transformation consists of three parts: a public function, a subclass of `Options` that checks the arguments, and a
subclass of `Transformed` whose `__call__` does the work. Everything else that a transformed function can do is here.

Type checkers read two overloads of the public function. `P` stands for the parameters of the user's function, and `R`
for its result:

    @overload
    def filter_twice(fun: Callable[P, R], *, option: int = ...) -> Transformed[P, List[R]]: ...
    @overload  # without a function: a decorator
    def filter_twice(fun: None = ..., *, option: int = ...) -> Callable[[Callable[P, R]], Transformed[P, List[R]]]: ...
    @transformation
    def filter_twice(fun: Optional[Callable[..., Any]] = None, *, option: int = 1) -> Any: ...

`grad.py` shows how the type of the first parameter is named. An option that changes the type of the result has an
overload for each of its values, with `Literal`. The files in `tests/typing` say what mypy and pyright must answer.
"""

from __future__ import annotations

import functools as ft
import pickle
import types
from typing import TYPE_CHECKING, Any, Callable, Dict, Generic, Optional, Type, TypeVar, overload

from jax import tree_util

from .. import _compat
from .._compat.types import Concatenate, P, ParamSpec, PyTree, R
from .._module.packing import deepcopy, is_found, pack
from .._trees.paths import describe_leaf
from .._trees.static import hashable_key

# What `functools.wraps` would copy. `Transformed` looks it up in the function instead.
_WRAPPED_ATTRIBUTES = frozenset(["__name__", "__qualname__", "__annotations__", "__type_params__"])

F = TypeVar("F", bound=Callable[..., Any])
Q = ParamSpec("Q")  # the parameters of a method after the first
Self = TypeVar("Self", bound="Transformed")

_transformations: Dict[str, Callable[..., Any]] = {}  # public name -> function. A pickle may call only these.


def transformation(function: F) -> F:
    """Register a public function under its name, so that the functions which it returns can be pickled."""
    _transformations[function.__name__] = function
    return function


def transform(cls: Type[Transformed], fun: Any, options: Options) -> Any:
    """`cls(fun, options)`. If `fun` is `None`, a decorator that makes it, so that `@f(option=...)` works like `@f`."""
    return ft.partial(cls, options=options) if fun is None else cls(fun, options)


def check_callable(name: str, fun: Any, parameter: Optional[str] = None) -> None:
    """Refuse what can't be called, where `name` takes a function, perhaps as its `parameter`."""
    if not callable(fun):
        where = "" if parameter is None else " for `{}`".format(parameter)
        raise TypeError(
            "`{}` expects a function or another callable{}, got {}.".format(name, where, describe_leaf(fun))
        )


def split_aux(name: str, out: Any) -> Any:
    """The pair that a function with `has_aux` returned. Anything else is refused."""
    return check_pair(name, "the function", "`(value, aux)` with `has_aux=True`", out)


def check_pair(name: str, function: str, pair: str, out: Any) -> Any:
    """`out`, if it is a pair. Refuse anything else.

    Args:
        name: The name of the public function.
        function: Which of the user's functions returned `out`, in words.
        pair: The names of the two items, in words.
        out: A pair, as a tuple or a list.

    Raises:
        TypeError: `out` is no tuple and no list.
        ValueError: `out` is a tuple or a list of another length.
    """
    message = "`{}` expects {} to return a pair {}, got {}."
    if not isinstance(out, (tuple, list)):
        raise TypeError(message.format(name, function, pair, describe_leaf(out)))
    if len(out) != 2:
        got = "a `{}` of length {}".format(type(out).__name__, len(out))
        raise ValueError(message.format(name, function, pair, got))
    return out


class Options:
    """The options of a transformation. Two are equal if the public function and the keyword arguments are.

    Args:
        name: The name of the public function.
        given: The keyword arguments that the user gave. They may be any pytrees. If one of their leaves can't be
            hashed, the options are equal only to themselves.
    """

    def __init__(self, name: str, given: Dict[str, PyTree]) -> None:
        self.name = name
        self.given = tree_util.tree_map(lambda x: x, given)  # a copy, because the user may change a list later
        self._key = (name, hashable_key(given))
        self._hash = hash(self._key)

    def __eq__(self, other: Any) -> bool:
        return self is other or (type(other) is type(self) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash


class Transformed(Generic[P, R]):
    """A transformed function. It has the name, docstring, signature and attributes of the function.

    It is a method if it is defined in a class. It is a pytree whose child is the function. So if the function is a
    model, or a method of a model, the next transformation sees the arrays of the model. Two are equal if they have the
    same options and the same function object. So it can be hashed even if the function is a model that holds arrays.

    A subclass defines `__call__`. An instance may keep other attributes only if they can be computed again: `copy`,
    `pickle` and JAX make an instance from the function and the options only.
    """

    def __init__(self, fun: Callable[P, R], options: Any) -> None:
        check_callable(options.name, fun)
        self.__wrapped__ = fun
        self._options = options
        self.__module__ = getattr(fun, "__module__", type(self).__module__)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The docstring of the subclass would hide that of the function.
        type.__setattr__(cls, "__doc__", Transformed.__dict__["__doc__"])
        _compat.register_node(
            cls,
            lambda self: ([("__wrapped__", self.__wrapped__)], self._options),
            lambda self: ((self.__wrapped__,), self._options),
            lambda options, children: _unchecked(cls, children[0], options),
        )

    if TYPE_CHECKING:
        __name__ = __qualname__ = ""  # with an annotation, the class would have `__annotations__` of its own

        def __call__(__self, *args: P.args, **kwargs: P.kwargs) -> R: ...  # each subclass has it

    else:  # with `__getattr__`, a type checker would find no misspelled attribute

        @property
        def __doc__(self):
            return self.__wrapped__.__doc__

        def __getattr__(self, name):
            # Attributes of a function are attributes of its transformation. Fields of a module are not.
            fun = self.__dict__.get("__wrapped__")
            if name in _WRAPPED_ATTRIBUTES or name in _attributes(fun):
                return getattr(fun, name)
            raise AttributeError("`{}` has no attribute `{}`.".format(type(self).__name__, name))

    @overload
    def __get__(self: Self, instance: None, owner: Any = ...) -> Self: ...
    @overload
    def __get__(self: Transformed[Concatenate[Any, Q], R], instance: object, owner: Any = ...) -> Callable[Q, R]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return "<{} of {!r}>".format(self._options.name, self.__wrapped__)

    def __eq__(self, other: Any) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__wrapped__ is other.__wrapped__ and self._options == other._options

    def __hash__(self) -> int:
        return hash((id(self.__wrapped__), self._options))

    def __copy__(self: Self) -> Self:
        return self  # it is immutable

    def __deepcopy__(self: Self, memo: Dict[int, Any]) -> Self:
        fun = deepcopy(self.__wrapped__, memo)
        return self if fun is self.__wrapped__ else _unchecked(type(self), fun, self._options)

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        if is_found(self, self.__module__, name):
            return name
        return _load, (self._options.name, pack(self.__wrapped__), pack(self._options.given))


def _unchecked(cls: Type[Self], fun: Any, options: Any) -> Self:
    """A `Transformed` without the check of `fun`: JAX puts placeholders in the place of the function."""
    self = object.__new__(cls)
    self.__wrapped__ = fun
    self._options = options
    return self


def _attributes(fun: Any) -> Any:
    """The attributes of the plain function in some transformations."""
    while isinstance(fun, Transformed):
        fun = fun.__wrapped__
    return vars(fun) if isinstance(fun, types.FunctionType) else ()


def _load(name: str, fun: Any, given: Dict[str, PyTree]) -> Any:
    """Make a `Transformed` from a pickle. `fun` may be a placeholder that isn't callable."""
    if name not in _transformations:
        raise pickle.UnpicklingError(
            "the pickle names the transformation {!r}, which this version of equinox doesn't have.".format(name)
        )
    decorator = _transformations[name](**given)
    return decorator(fun) if callable(fun) else _unchecked(decorator.func, fun, decorator.keywords["options"])
