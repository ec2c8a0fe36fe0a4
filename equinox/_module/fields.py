"""`field`, and what the metaclass knows of the fields of a class."""

from __future__ import annotations

import dataclasses
import keyword
import sys
import unicodedata
from types import MappingProxyType
from typing import Any, Callable, Mapping, Optional, TypeVar, Union, overload

MISSING: Any = dataclasses.MISSING
Value = TypeVar("Value")
Static = Union[bool, Callable[[Any], bool]]


@overload  # the result is, to a type checker, what the field will hold: what the converter returns,
def field(
    *,
    static: Static = ...,
    converter: Callable[[Any], Value],
    kw_only: bool = ...,
    trainable: bool = ...,
    default: Any = ...,
    default_factory: Callable[[], Any] = ...,
    init: bool = ...,
    repr: bool = ...,
    metadata: Mapping[Any, Any] = ...,
) -> Value: ...
@overload  # the default,
def field(
    *,
    static: Static = ...,
    converter: None = ...,
    kw_only: bool = ...,
    trainable: bool = ...,
    default: Value,
    init: bool = ...,
    repr: bool = ...,
    metadata: Mapping[Any, Any] = ...,
) -> Value: ...
@overload  # what the factory returns,
def field(
    *,
    static: Static = ...,
    converter: None = ...,
    kw_only: bool = ...,
    trainable: bool = ...,
    default_factory: Callable[[], Value],
    init: bool = ...,
    repr: bool = ...,
    metadata: Mapping[Any, Any] = ...,
) -> Value: ...
@overload  # or anything
def field(
    *,
    static: Static = ...,
    converter: None = ...,
    kw_only: bool = ...,
    trainable: bool = ...,
    init: bool = ...,
    repr: bool = ...,
    metadata: Mapping[Any, Any] = ...,
) -> Any: ...
def field(
    *,
    static: Static = False,
    converter: Optional[Callable[[Any], Any]] = None,
    kw_only: bool = MISSING,
    trainable: bool = True,
    default: Any = MISSING,
    default_factory: Callable[[], Any] = MISSING,
    init: bool = True,
    repr: bool = True,
    metadata: Mapping[Any, Any] = MappingProxyType({}),
) -> Any:
    """Set the options of a field of a `Module`, as `dataclasses.field` does for a dataclass.

    If `static` is a predicate, it decides for each module. It is called once, when the module is complete: on the value
    of the field, or on each item if the value is a tuple. A value that holds an array or can't be hashed is data, even
    if the predicate is true. Copies, `tree_map` and `partition` keep the decision. `eqx.replace` decides again about
    the fields that it changes. Functions compare by identity: if each of two modules is made with its own lambda, the
    modules have different structures.

    Args:
        static: Whether the field is part of the structure of the pytree, or a predicate `value -> bool`. A static field
            is no child of the pytree. It is never traced or differentiated. JAX compares it by `==` and by type to
            decide whether to retrace. It must be hashable, and it can't hold an array. JAX's own spelling, the metadata
            `{"static": True}`, has the same effect.
        converter: A function. It is applied to every value that is assigned to the field, including the default.
        kw_only: Whether the generated `__init__` takes the field by keyword only. This works on every Python. By
            default, the fields after `dataclasses.KW_ONLY` are keyword-only.
        trainable: Whether the arrays in the field are trained. If it is false, `trainable` leaves them out. `unfreeze`
            changes this for one module.
        default: The default value. It also fills the field if your own `__init__` doesn't set it.
        default_factory: A function without arguments that makes the default value.
        init: Whether the generated `__init__` takes the field.
        repr: Whether the `repr` of the module shows the field.
        metadata: A mapping, as in `dataclasses.field`.

    Returns:
        The object that `Module` expects after the annotation of the field.

    Raises:
        TypeError: `converter` can't be called.
        TypeError: `static` is no bool and no predicate.
        TypeError: `trainable` is no bool.
        TypeError: `metadata` is no mapping.
        ValueError: Both `default` and `default_factory` are given.

    Example:
        >>> class Scale(eqx.Module):
        ...     factor: float = eqx.field(converter=float)
        ...     name: str = eqx.field(static=True, default="scale")
        >>> Scale(2)
        Scale(factor=2.0, name='scale')

        >>> class Activation(eqx.Module):
        ...     function: Any = eqx.field(static=callable)
        >>> jax.tree_util.tree_leaves(Activation(jnp.tanh))
        []
    """
    if converter is not None and not callable(converter):
        raise TypeError("`field` expects `converter` to be a function, got {!r}.".format(converter))
    if not (isinstance(static, bool) or callable(static)):
        raise TypeError("`field` expects `static` to be a bool or a predicate, got {!r}.".format(static))
    if not isinstance(trainable, bool):
        raise TypeError("`field` expects `trainable` to be a bool, got {!r}.".format(trainable))
    if not isinstance(metadata, Mapping):
        raise TypeError("`field` expects `metadata` to be a mapping, got {!r}.".format(metadata))
    options = Options(static or metadata.get("static", False), converter, kw_only, trainable)
    metadata = dict(metadata, **{OPTIONS: options})
    keywords: Any = {"kw_only": kw_only} if _KNOWS_KW_ONLY else {}
    keywords.update(default=default, default_factory=default_factory, init=init, repr=repr, metadata=metadata)
    return dataclasses.field(**keywords)


def static_field(**options: Any) -> Any:
    """Make a static field: the old spelling of `field(static=True, ...)`.

    Args:
        **options: The other options of `field`.

    Returns:
        What `field` returns.

    Raises:
        TypeError: An option is unknown, or it has the wrong type.
        ValueError: Both `default` and `default_factory` are given.

    Example:
        >>> class Scale(eqx.Module):
        ...     factor: int = eqx.static_field(default=2)
        >>> jax.tree_util.tree_leaves(Scale())
        []
    """
    return field(static=True, **options)


OPTIONS = "equinox"  # the key in the `metadata` of a field for the options that dataclasses don't know
RESERVED = "__Module_"  # Variables of generated code begin with this. The name of a field must not.
_KNOWS_KW_ONLY = sys.version_info >= (3, 10)


class Options:
    """The options of a field that dataclasses don't know."""

    __slots__ = ("converter", "kw_only", "static", "trainable")

    def __init__(
        self,
        static: Any = False,
        converter: Optional[Callable[[Any], Any]] = None,
        kw_only: Any = MISSING,
        trainable: bool = True,
    ) -> None:
        self.static = static
        self.converter = converter
        self.kw_only = kw_only
        self.trainable = trainable


def options_of(f):
    """The options of the field `f`. It was made by `field`, `dataclasses.field` or `jax.tree.static`."""
    return f.metadata.get(OPTIONS) or Options(static=f.metadata.get("static", False))


def is_keyword_only(f):
    """Whether the generated `__init__` takes `f` by keyword only."""
    return (f.kw_only if _KNOWS_KW_ONLY else options_of(f).kw_only) is True


class Layout:
    """What the metaclass knows of the fields of one class. The class gets a new one whenever its fields change.

    Attributes:
        functions: The functions to flatten and unflatten an instance that are registered with JAX.
        waiting: `None` for most classes. cloudpickle first makes an empty class and then its attributes. The attributes
            may hold instances of the class. This is the list of these instances. They are finished when the class gets
            its fields.
        names: The names of all fields.
        predicates: The predicates of the fields that have one as `static`, by name.
        static: The names of the static fields.
        dynamic: The names of the other fields. These are the children of a node. A field with a predicate is one.
        converters: The converters, by the names of their fields.
        defaults: The fields that have a default, by name.
        marks: The fields with `trainable=False`, as the marks of an instance. See `trainable`.
        is_marked: Whether an instance got marks of its own. Then the generated code looks for them.
        shown: The names of the fields that the `repr` shows.
        checks: Each `__check_init__` of the class and its bases.
        wraps: Whether the class has `__wrapped__`. Then its instances may have the names of functions (see `names.py`).
    """

    def __init__(self, cls, before=None):
        self.functions = before and before.functions
        self.waiting = before and before.waiting
        self.is_marked = before is not None and before.is_marked
        fields = dataclasses.fields(cls)
        options = {f.name: options_of(f) for f in fields}
        self.names = frozenset(options)
        self.predicates = {name: o.static for name, o in options.items() if callable(o.static)}
        self.static = tuple(name for name, o in options.items() if o.static and name not in self.predicates)
        self.dynamic = tuple(name for name in options if name not in self.static)
        self.converters = {name: o.converter for name, o in options.items() if o.converter is not None}
        self.defaults = {f.name: f for f in fields if has_default(f)}
        self.marks = tuple(sorted(("." + name, False) for name, o in options.items() if not o.trainable))
        self.shown = tuple(f.name for f in fields if f.repr)
        self.checks = [c.__dict__["__check_init__"] for c in cls.__mro__ if "__check_init__" in c.__dict__]
        self.wraps = "__wrapped__" in options or hasattr(cls, "__wrapped__")

    def __reduce__(self):
        """Pickle nothing. The metaclass makes a new layout where the class is loaded."""
        return type(None), ()


def kind_of_default(f):
    if f.default is not MISSING:
        return "value"
    return "none" if f.default_factory is MISSING else "factory"


def has_default(f):
    return kind_of_default(f) != "none"


def is_init_var(f):
    return f._field_type.name == "_FIELD_INITVAR"


def check_fields(cls):
    """Refuse fields that no code can be generated for. This is the same on every Python.

    Raises:
        TypeError: The name of a field can't be written in code.
        TypeError: The name of a field is reserved for generated code.
        TypeError: A `ClassVar` is `kw_only`.
    """
    for name, f in cls.__dataclass_fields__.items():
        # Python normalises the names in code. So a name in another form would become another field.
        if not name.isidentifier() or keyword.iskeyword(name) or unicodedata.normalize("NFKC", name) != name:
            raise TypeError(
                "`{}`: the name of a field must be an identifier in its normal form and no keyword, got {!r}.".format(
                    cls.__name__, name
                )
            )
        if name.startswith(RESERVED):
            raise TypeError(
                "`{}`: names that begin with `{}` are reserved for generated code. Choose another name for the field "
                "`{}`.".format(cls.__name__, RESERVED, name)
            )
        if f._field_type.name == "_FIELD_CLASSVAR" and options_of(f).kw_only is not MISSING:
            raise TypeError("`{}`: `{}` is a ClassVar, which can't be `kw_only`.".format(cls.__name__, name))


def drop_overridden(cls):
    """Remove the fields of `cls` that the class or a base overrides by an attribute without an annotation.

    `dataclasses` looks only at annotations. It keeps such a field, and then the field hides the attribute.
    """
    fields = cls.__dataclass_fields__
    for name, f in list(fields.items()):
        for c in cls.__mro__:
            if declares(c, f):
                break
            if name in vars(c):
                del fields[name]
                break


def restore_constants(fields):
    """Put the constants of `dataclasses` back into `fields`. cloudpickle replaces them by copies."""
    for f in fields.values():
        f._field_type = getattr(dataclasses, f._field_type.name)
        for attribute in ("default", "default_factory"):
            if type(getattr(f, attribute)) is type(MISSING):
                setattr(f, attribute, MISSING)


def declared_fields(cls):
    """The fields of any kind that `cls` declares itself, without the inherited ones."""
    return [f for f in cls.__dataclass_fields__.values() if declares(cls, f)]


def declares(cls, f):
    """Whether `cls` is the class that declares `f`."""
    holders = [c for c in cls.__mro__ if vars(c).get("__dataclass_fields__", {}).get(f.name) is f]
    return holders == [cls]
