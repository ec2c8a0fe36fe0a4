"""Abstract variables of modules, and the rules of `strict=True`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Dict, Generic, NamedTuple, TypeVar

from .fields import declared_fields, declares
from .methods import is_method

__all__ = ["AbstractClassVar", "AbstractVar"]  # a type checker doesn't see that this file defines the first one

T = TypeVar("T")

if TYPE_CHECKING:  # type checkers read `AbstractVar[int]` as `int`
    from typing import ClassVar as AbstractClassVar

    from typing_extensions import Annotated

    AbstractVar = Annotated[T, "AbstractVar"]
else:

    class AbstractVar(Generic[T]):
        """The annotation of a variable that subclasses must provide. It is for variables what `abc` is for methods.

        A class with an abstract variable can't be instantiated. A subclass provides the variable as a field, as a class
        attribute or as a property. An abstract variable is no field. So it has no place among the arguments of
        `__init__`. The field that provides it has the place where the subclass declares it.

        Type checkers read `AbstractVar[int]` as `int`. They give the field its place in the abstract class. If that
        differs, pass the argument by keyword.

        Example:
            >>> class Activation(eqx.Module):
            ...     name: eqx.AbstractVar[str]
            >>> class Relu(Activation):
            ...     name: str = eqx.field(static=True, default="relu")
            >>> Relu().name
            'relu'
            >>> Activation()
            Traceback (most recent call last):
            TypeError: `Activation` is abstract: it lacks the variable `name`. Use a subclass that has it.
        """

    class AbstractClassVar(Generic[T]):
        """The annotation of a class attribute that subclasses must provide.

        It is like `AbstractVar`, but only a class attribute provides the variable. A field without a default doesn't.

        mypy reads `AbstractClassVar[int]` as `ClassVar[int]`. pyright reads it as `int`, so it reports the line that
        provides the variable. Write `# pyright: ignore` at the end of this line.

        Example:
            >>> class Solver(eqx.Module):
            ...     order: eqx.AbstractClassVar[int]
            >>> class Euler(Solver):
            ...     order = 1
            >>> Euler.order
            1
        """


class Demands(NamedTuple):
    """What a class demands of its subclasses. It is `cls.__demands__`.

    Attributes:
        variables: The abstract variables that the class itself declares: `{name: "AbstractVar" or "AbstractClassVar"}`.
        strict: Whether the class was made with `strict=True`.
    """

    variables: Dict[str, str]
    strict: bool


_KINDS = {"AbstractVar": AbstractVar, "AbstractClassVar": AbstractClassVar}


def take_abstract_variables(cls, namespace):
    """Remove the abstract variables that `cls` declares from its fields.

    Args:
        cls: The class. `dataclasses` has made each annotation a field.
        namespace: The attributes in the body of the class.

    Returns:
        `{name: kind}`, as in `Demands`.

    Raises:
        TypeError: An abstract variable has a value.
    """
    found = {}
    for f in declared_fields(cls):
        kind = _kind_of(f.type, cls.__module__)
        if kind is None:
            continue
        if f.name in namespace:
            raise TypeError(
                "`{0}.{1}` is abstract, so it can't have a value or options. Annotate it with the type alone, and set "
                "the value in a subclass.".format(cls.__name__, f.name)
            )
        del cls.__dataclass_fields__[f.name]
        found[f.name] = kind
    return found


def _kind_of(annotation, module):
    """`"AbstractVar"` or `"AbstractClassVar"` if the annotation is one, perhaps with a type in brackets, or `None`."""
    annotation = getattr(annotation, "__forward_arg__", annotation)
    if isinstance(annotation, str):
        name = re.match(r"\s*([\w.]*)", annotation).group(1)
        annotation = _look_up(name, module)
        if annotation is None:  # The name belongs to a function, and only the function could tell what it means.
            return next((kind for kind in _KINDS if name.rpartition(".")[2] == kind), None)
    origin = getattr(annotation, "__origin__", annotation)
    return next((kind for kind, cls in _KINDS.items() if origin is cls), None)


def _look_up(name, module):
    """What a dotted name means in a Python module, or `None`."""
    first, *rest = name.split(".")
    x = getattr(sys.modules.get(module), "__dict__", {}).get(first)
    for part in rest:
        x = getattr(x, part, None)
    return x


def abstract_names(cls):
    """The names of the abstract methods of `cls`, and of the variables that `cls` and its bases don't provide.

    As for methods, the first class in the order of inheritance that has the name decides.
    """
    pending = {}
    for c in reversed(cls.__mro__):
        pending.update(declared_variables(c))
        pending = {name: kind for name, kind in pending.items() if not _provides(c, name, kind)}
    return frozenset(name for name in cls.__abstractmethods__ if not is_declared(cls, name)).union(pending)


def declared_variables(cls):
    """The abstract variables that `cls` itself declares. `cls` may be any class."""
    return vars(cls)["__demands__"].variables if "__demands__" in vars(cls) else {}


def is_declared(cls, name):
    """Whether `cls` or a base declares an abstract variable of this name."""
    return any(name in declared_variables(c) for c in cls.__mro__)


def _provides(cls, name, kind):
    """Whether `cls` itself, and no base, provides the variable."""
    if name in vars(cls):
        return not _is_abstract(vars(cls)[name])
    f = vars(cls).get("__dataclass_fields__", {}).get(name)
    return kind == "AbstractVar" and f is not None and f._field_type.name == "_FIELD" and declares(cls, f)


def _is_abstract(value):
    return getattr(value, "__isabstractmethod__", False)


def refuse_abstract(cls):
    """Raise the error for a call of an abstract class."""
    names = sorted(cls.__abstractmethods__)
    lacks = ["the {} `{}`".format("variable" if is_declared(cls, name) else "method", name) for name in names]
    raise TypeError(
        "`{}` is abstract: it lacks {}. Use a subclass that has {}.".format(
            cls.__name__, ", ".join(lacks), "it" if len(names) == 1 else "them"
        )
    )


def check_bases(cls, strict):
    """Refuse concrete bases of a class with `strict=True`, and subclasses of a concrete class with `strict=True`.

    Raises:
        TypeError: `strict` is no bool.
        TypeError: A base is concrete.
    """
    if not isinstance(strict, bool):
        raise TypeError("`{}` expects `strict` to be a bool, got {!r}.".format(cls.__name__, strict))
    for base in cls.__bases__:
        is_concrete = "__layout__" in vars(base) and base is not _root(cls) and not base.__abstractmethods__
        if is_concrete and (strict or base.__demands__.strict):
            raise TypeError(
                "`{0}` inherits from `{1}`, which is concrete. With `strict=True` in the line of {2}, only abstract "
                "classes are inherited from. Give `{1}` an abstract method or an `AbstractVar`, or hold an instance of "
                "it in a field.".format(
                    cls.__name__, base.__name__, "either class" if strict else "`" + base.__name__ + "`"
                )
            )


def check_methods(cls):
    """Refuse concrete methods that are overridden.

    Raises:
        TypeError: `cls`, or one of its bases, overrides a concrete method of another base.
    """
    may_differ = _SPECIAL.union(*map(vars, _root(cls).__mro__))
    providers = {}
    for c in cls.__mro__:
        if c in _root(cls).__mro__ or c is Generic:
            continue
        attributes = dict.fromkeys(f.name for f in declared_fields(c)) if "__dataclass_fields__" in vars(c) else {}
        attributes.update(vars(c))
        for name, value in attributes.items():
            if name in may_differ or _is_abstract(value):
                continue
            first = providers.setdefault(name, c)
            if first is not c and _is_code(value):
                raise TypeError(
                    "`{0}.{1}` overrides `{2}.{1}`, which isn't abstract. With `strict=True`, `{3}` can't have such a "
                    "method. Make `{2}.{1}` abstract, or give one of them another name.".format(
                        first.__name__, name, c.__name__, cls.__name__
                    )
                )


# A subclass may define these again. `__check_init__` of every class runs. The others are made by Python.
_SPECIAL = frozenset(["__check_init__", "__post_init__", "__annotate__", "__annotate_func__", "__class_getitem__"])


def _root(cls):
    """`Module`, for a subclass of it."""
    return [c for c in cls.__mro__ if "__layout__" in vars(c)][-1]


def _is_code(value):
    return is_method(value) or isinstance(value, (property, staticmethod, classmethod))
