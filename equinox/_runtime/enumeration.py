"""`Enumeration`: named results with messages, which compiled programs can compute with."""

from __future__ import annotations

import enum
import operator
from typing import TYPE_CHECKING, Any, Dict, Type, TypeVar, Union

import jax.numpy as jnp
import numpy as np
from jax import core

from .. import _compat
from .._compat.types import AnyArray, T
from .._module import Module, field
from .._module.metaclass import ModuleMeta
from .._module.methods import is_method
from .._module.pickling import restored
from .._trees.format import tree_repr
from .._trees.paths import describe_leaf
from .._trees.predicates import is_array, is_boolean
from .error_if import branched_error_if

Self = TypeVar("Self", bound="Enumeration")

if TYPE_CHECKING:  # Type checkers know from `enum` that `A.name = "message"` makes an item of type `A`.
    _Meta = enum.EnumMeta
    _Base = enum.Enum
else:
    _Meta = ModuleMeta
    _Base = Module


def _is_entry(cls_name, name, value):
    """Whether an attribute in the body of the class `cls_name` is an entry."""
    if name.startswith("_"):
        return False
    if not isinstance(value, str):
        if is_method(value) or isinstance(value, (property, staticmethod, classmethod)):
            return False
        raise TypeError("`{}.{}` must be a message, got {}.".format(cls_name, name, describe_leaf(value)))
    if hasattr(Enumeration, name):
        raise TypeError("`{0}.{1}`: an entry can't have the name of a method. Rename `{1}`.".format(cls_name, name))
    return True


def _inherited(cls, entries):
    """The messages of the bases of `cls`, by name."""
    messages = {}
    for base in cls.__bases__:
        for name, message in getattr(base, "__messages__", {}).items():
            if messages.setdefault(name, message) != message and name not in entries:
                raise TypeError(
                    "`{0}`: its bases have two messages for `{1}`: {2!r} and {3!r}. Give `{0}` an entry `{1}` with the "
                    "message that it shall have.".format(cls.__name__, name, messages[name], message)
                )
    return messages


def _check_items(cls_name, body, messages):
    """Refuse a method with the name of an item of a base. The item would replace it."""
    for name in body:
        if name in messages:
            raise TypeError("`{0}.{1}`: a method can't have the name of an entry. Rename `{1}`.".format(cls_name, name))


def _item_named(cls, name):
    """The item of `cls` with this name. `None` if there is none yet: the class may be being loaded."""
    return vars(cls).get(name) if name in vars(cls).get("__messages__", ()) else None


class EnumerationMeta(_Meta):
    """Makes an item of each entry in the body of a class. Such a class can be indexed and iterated over."""

    __messages__: Dict[str, str]  # the message of each entry, by name. The index of an item is its place here.

    if not TYPE_CHECKING:

        def __new__(mcs, name, bases, namespace, **keywords):
            is_first = not any(isinstance(base, EnumerationMeta) for base in bases)  # `Enumeration` itself
            entries = {k: x for k, x in namespace.items() if not is_first and _is_entry(name, k, x)}
            body = {key: value for key, value in namespace.items() if key not in entries}
            cls = super().__new__(mcs, name, bases, body, **keywords)
            if cls.__layout__.dynamic != ("_value",) or cls.__layout__.static:
                raise TypeError("`{}`: write each entry without an annotation, as in `name = 'message'`.".format(name))
            messages = dict(_inherited(cls, entries), **entries)
            _check_items(name, body, messages)
            type.__setattr__(cls, "__messages__", messages)
            for index, key in enumerate(messages):
                type.__setattr__(cls, key, _item(cls, np.array(index, np.int32)))
            return cls

        def __setattr__(cls, name, value):
            item = _item_named(cls, name)
            # cloudpickle loads a class by value: it makes one with the items of the bases, and assigns all items.
            if item is None or (type(value) is cls and _index(value) == _index(item)):
                super().__setattr__(name, value)
            else:
                raise AttributeError("`{}.{}` is an item. It can't be replaced.".format(cls.__name__, name))

        def __delattr__(cls, name):
            if _item_named(cls, name) is not None:
                raise AttributeError("`{}.{}` is an item. It can't be deleted.".format(cls.__name__, name))
            super().__delattr__(name)

        def __call__(cls, *args, **kwargs):
            raise TypeError("`{0}` has the items of its body and no others. Use `{0}.name`.".format(cls.__name__))

        def __bool__(cls):  # a class without entries is no `False`
            return True

        def __contains__(cls, item):
            return type(item) is cls

        def __iter__(cls):
            return (getattr(cls, name) for name in cls.__messages__)

        def __len__(cls):
            return len(cls.__messages__)

    def __getitem__(cls: Any, item: Any) -> Any:
        """The message of an item.

        Raises:
            TypeError: `item` is no item of this class.
            ValueError: `item` is traced, or holds several items.
        """
        _check_kind(cls, "[...]", item)
        index = _index(item)
        if index is None:
            raise ValueError(
                "`{0}[...]` expects one item whose value is known, got {1!r}. Return it from the compiled function, "
                "and take one item of a batch.".format(cls.__name__, item)
            )
        return list(cls.__messages__.values())[index]


class Enumeration(_Base, metaclass=EnumerationMeta):
    """Base class of enumerations: named results with messages, such as those of a solver.

    Each entry in the body of a subclass is `name = "message"`. Its item `A.name` holds an integer array. So compiled
    functions, `vmap` and loops take, choose and return items. `A[item]` is the message of an item. `len(A)`,
    `item in A` and `for item in A` are as in `enum`.

    `==` of two items is a boolean array. Items of two enumerations can't be compared. A subclass of an enumeration has
    the entries of its bases, then its own. It may give an entry a new message. `promote` makes items of a base items of
    the subclass. An item can't be replaced or deleted after the class is made: that is an `AttributeError`.

    Type checkers read a subclass as an `enum.Enum`. They report a subclass of an enumeration with entries, and mypy
    reports `A[item]`. Write `# type: ignore` at the end of such a line.

    Raises:
        TypeError: An entry is no string, has an annotation, or has the name of a method. A method has the name of an
            entry of a base.
        TypeError: Two bases have different messages for the same name.
        TypeError: The class is called.

    Example:
        >>> class Result(eqx.Enumeration):
        ...     success = "The solver succeeded."
        ...     max_steps = "The solver reached the maximum number of steps."
        >>> @jax.jit
        ... def solve(steps):
        ...     return Result.where(steps < 100, Result.success, Result.max_steps)
        >>> bool(solve(7) == Result.success)
        True
        >>> Result[solve(200)]
        'The solver reached the maximum number of steps.'
        >>> list(Result)
        [Result.success, Result.max_steps]
    """

    if TYPE_CHECKING:
        _value: AnyArray
    else:
        _value: Any = field(init=False)

    @classmethod
    def promote(cls: Type[Self], item: Enumeration) -> Self:
        """Make an item of a base an item of this enumeration.

        Args:
            item: An item of this class or of a base. It may be traced, or hold several items.

        Returns:
            The item of this class with the same name.

        Raises:
            TypeError: `item` is no item of this class or of a base.

        Example:
            >>> class Result(eqx.Enumeration):
            ...     success = "The solver succeeded."
            >>> class MyResult(Result):
            ...     diverged = "The solution diverged."
            >>> MyResult.promote(Result.success)
            MyResult.success
        """
        source: Any = type(item)
        if not (isinstance(source, EnumerationMeta) and issubclass(cls, source)):
            raise TypeError(
                "`{0}.promote` expects an item of `{0}` or of a base, got {1}.".format(cls.__name__, _describe(item))
            )
        names = list(cls.__messages__)
        indices = np.array([names.index(name) for name in source.__messages__], np.int32)
        value = item._value
        if (indices != np.arange(len(indices))).any():
            value = indices[value] if isinstance(value, (np.ndarray, np.generic)) else jnp.asarray(indices)[value]
        return _item(cls, value)

    @classmethod
    def where(cls: Type[Self], pred: Union[bool, AnyArray], a: Self, b: Self) -> Self:
        """Choose one of two items: `jnp.where` for items.

        Args:
            pred: A bool or a boolean array.
            a: The item where `pred` is true.
            b: The item where `pred` is false.

        Returns:
            An item. If an argument holds several, the result holds several.

        Raises:
            TypeError: `a` or `b` is no item of this class.
            TypeError: `pred` isn't boolean.

        Example:
            >>> class Result(eqx.Enumeration):
            ...     success = "The solver succeeded."
            ...     diverged = "The solution diverged."
            >>> Result.where(jnp.array([True, False]), Result.success, Result.diverged)
            Result(i32[2])
        """
        for argument in (a, b):
            _check_kind(cls, ".where", argument)
        if isinstance(pred, (bool, np.bool_)):
            return a if pred else b
        if not is_boolean(pred):
            raise TypeError(
                "`{}.where` expects `pred` to be a bool or a boolean array, got {}.".format(
                    cls.__name__, describe_leaf(pred)
                )
            )
        condition: Any = pred
        return _item(cls, jnp.where(condition, a._value, b._value))

    def error_if(self, x: T, pred: Union[bool, AnyArray], *, on_error: str = "default") -> T:
        """Return `x`. Raise an error with the message of this item if `pred` is true when the program runs.

        Args:
            x: A pytree with at least one array.
            pred: A bool or a boolean array.
            on_error: As for `equinox.error_if`.

        Returns:
            `x`.

        Raises:
            EquinoxRuntimeError: `pred` is true.
            EquinoxTracetimeError: `pred` is true, and `pred` and the item are of Python or NumPy.
            TypeError: `pred` isn't boolean, or this object holds several items.
            ValueError: `x` holds no array, or `on_error` is unknown.

        Example:
            >>> class Result(eqx.Enumeration):
            ...     success = "The solver succeeded."
            ...     diverged = "The solution diverged."
            >>> result = Result.where(jnp.array(False), Result.success, Result.diverged)
            >>> result.error_if(jnp.array(1.0), result != Result.success)
            Traceback (most recent call last):
            equinox._runtime.error_if.EquinoxRuntimeError: The solution diverged.
        """
        return branched_error_if(x, pred, self._value, list(type(self).__messages__.values()), on_error=on_error)

    def __eq__(self, other: Any) -> Any:
        return _compare(operator.eq, self, other)

    def __ne__(self, other: Any) -> Any:
        return _compare(operator.ne, self, other)

    def __hash__(self) -> int:
        if isinstance(self._value, (np.ndarray, np.generic)) and self._value.ndim == 0:
            return hash((type(self), int(self._value)))
        raise TypeError("unhashable: JAX computed `{!r}`. Use the items of the class as keys.".format(self))

    def __repr__(self) -> str:
        index = _index(self)
        if index is None:
            return "{}({})".format(type(self).__name__, tree_repr(self._value))
        return "{}.{}".format(type(self).__name__, list(type(self).__messages__)[index])


def _item(cls: Type[Self], value: Any) -> Self:
    """The item of `cls` with this index. For an array of indices, an item that holds several."""
    item: Self = restored((cls,), {"_value": value})
    return item


def _index(item: Any) -> Any:
    """The index of a single item whose value is known. Otherwise `None`."""
    value = item._value
    if isinstance(value, core.Tracer) or not is_array(value) or value.ndim != 0:
        return None
    known = _compat.to_numpy(value)
    return int(known) if known is not None and 0 <= known < len(type(item).__messages__) else None


def _check_kind(cls, what, item):
    if type(item) is not cls:
        promote = (
            " Use `{}.promote`.".format(cls.__name__)
            if isinstance(item, Enumeration) and issubclass(cls, type(item))
            else ""
        )
        raise TypeError(
            "`{0}{1}` expects an item of `{0}`, got {2}.{3}".format(cls.__name__, what, _describe(item), promote)
        )


def _describe(x):
    return "`{!r}`".format(x) if isinstance(x, Enumeration) else describe_leaf(x)


def _compare(compare, item, other):
    if not isinstance(other, Enumeration):
        return NotImplemented
    if type(item) is not type(other):
        raise TypeError(
            "`{!r}` and `{!r}` belong to different enumerations, so they can't be compared. If one of these inherits "
            "from the other, use its `promote`.".format(item, other)
        )
    return compare(item._value, other._value)
