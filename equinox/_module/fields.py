"""`field`, and what a class of modules says of its fields."""

import dataclasses
import keyword
import sys
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

MISSING = dataclasses.MISSING


def field(
    *,
    static=False,
    converter=None,
    kw_only=MISSING,
    default=MISSING,
    default_factory=MISSING,
    init=True,
    repr=True,
    metadata=MappingProxyType({}),
):
    """Say of a field of a `Module` what its annotation alone can't say; as `dataclasses.field`.

    A predicate as `static` decides for each module by itself. It is asked once, when the module is complete, about the
    value, or about each item of a tuple. A value that holds an array or can't be hashed stays data, whatever the
    predicate says. The decision lasts through copies, `tree_map` and `partition`, until `eqx.replace` gives the field
    another value. Functions are equal only to themselves. So two modules that were made with a lambda each have
    different structures.

    Args:
        static: Whether the field is part of the structure of the pytree, or a predicate `value -> bool`. A static field
            is no child of the pytree: it is never traced or differentiated. JAX compares it by `==` and by type when
            it decides whether to retrace. It must be hashable, and it can hold no array. The metadata
            `{"static": True}`, JAX's own spelling, say the same.
        converter: A function. It is applied to every value that is assigned to the field, the default included.
        kw_only: Whether the generated `__init__` takes the field by keyword only, on every Python. The default is
            what `dataclasses.KW_ONLY` says, or else `False`.
        default, default_factory, init, repr, metadata: As in `dataclasses.field`. A field that an `__init__` of your
            own leaves unset gets its default, too.

    Raises:
        TypeError: If `converter` can't be called.
        TypeError: If `static` is neither a bool nor a predicate.
        TypeError: If `metadata` is no mapping.
        ValueError: If both `default` and `default_factory` are given.

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
    if not isinstance(metadata, Mapping):
        raise TypeError("`field` expects `metadata` to be a mapping, got {!r}.".format(metadata))
    metadata = dict(metadata, **{OPTIONS: Options(static or metadata.get("static", False), converter, kw_only)})
    keywords = {"kw_only": kw_only} if _KNOWS_KW_ONLY else {}
    return dataclasses.field(
        default=default, default_factory=default_factory, init=init, repr=repr, metadata=metadata, **keywords
    )


OPTIONS = "equinox"  # the key in a field's `metadata` under which `field` keeps what dataclasses don't know
RESERVED = "__Module_"  # how the variables of generated code begin, and no field may
_KNOWS_KW_ONLY = sys.version_info >= (3, 10)


class Options:
    __slots__ = ("converter", "kw_only", "static")

    def __init__(self, static=False, converter=None, kw_only=MISSING):
        self.static = static
        self.converter = converter
        self.kw_only = kw_only


def options_of(f):
    """The options of `f`, which `field`, `dataclasses.field` or `jax.tree.static` made."""
    return f.metadata.get(OPTIONS) or Options(static=f.metadata.get("static", False))


def is_keyword_only(f):
    """Whether the generated `__init__` takes `f` by keyword only."""
    return (f.kw_only if _KNOWS_KW_ONLY else options_of(f).kw_only) is True


class Layout:
    """What the metaclass knows of one class's fields. The class has a new one whenever its fields change.

    Attributes:
        functions: The functions under which JAX knows the class.
        waiting: `None`; or for a class that is still empty, as cloudpickle makes it, its instances that were loaded
            with the attributes of the class. They are finished when the class gets its fields.
    """

    def __init__(self, cls, functions=None, waiting=None):
        self.functions = functions
        self.waiting = waiting
        fields = dataclasses.fields(cls)
        options = {f.name: options_of(f) for f in fields}
        self.names = frozenset(options)
        self.predicates = {name: o.static for name, o in options.items() if callable(o.static)}
        self.static = tuple(name for name, o in options.items() if o.static and name not in self.predicates)
        self.dynamic = tuple(name for name in options if name not in self.static)
        self.converters = {name: o.converter for name, o in options.items() if o.converter is not None}
        self.defaults = {f.name: f for f in fields if has_default(f)}
        self.shown = tuple(f.name for f in fields if f.repr)
        self.checks = [c.__dict__["__check_init__"] for c in cls.__mro__ if "__check_init__" in c.__dict__]

    def __reduce__(self):
        """Leave nothing in the pickle of a class: the metaclass works out the layout again where it is loaded."""
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
    """Refuse what `dataclasses` refuses, on every Python and before any code is generated.

    Raises:
        TypeError: If the name of a field can't be written in code, or is reserved for generated code.
        TypeError: If a `ClassVar` says `kw_only`.
    """
    for name, f in cls.__dataclass_fields__.items():
        # Python reads a name in its normal form, so another one would be another field in code.
        if not name.isidentifier() or keyword.iskeyword(name) or unicodedata.normalize("NFKC", name) != name:
            raise TypeError(
                "`{}`: the name of a field must be an identifier, in its normal form, and no keyword, got {!r}.".format(
                    cls.__name__, name
                )
            )
        if name.startswith(RESERVED):
            raise TypeError(
                "`{}`: names that begin with `{}` are reserved for generated code; choose another name for the field "
                "`{}`.".format(cls.__name__, RESERVED, name)
            )
        if f._field_type.name == "_FIELD_CLASSVAR" and options_of(f).kw_only is not MISSING:
            raise TypeError("`{}`: `{}` is a ClassVar, which can't be `kw_only`.".format(cls.__name__, name))


def drop_overridden(cls):
    """Take out of the fields of `cls` those that it, or a base, overrides by an attribute without an annotation.

    `dataclasses` goes by annotations alone: there such a field stays, and the attribute is lost or in its way.
    """
    fields = cls.__dataclass_fields__
    for name, f in list(fields.items()):
        for c in cls.__mro__:
            if _declares(c, f):
                break
            if name in vars(c):
                del fields[name]
                break


def mend(fields):
    """Put the constants of `dataclasses` back into `fields` that were pickled by value: cloudpickle copies them."""
    for f in fields.values():
        f._field_type = getattr(dataclasses, f._field_type.name)
        for attribute in ("default", "default_factory"):
            if type(getattr(f, attribute)) is type(MISSING):
                setattr(f, attribute, MISSING)


def declared_fields(cls):
    """The fields, of any kind, that `cls` doesn't inherit."""
    return [f for f in cls.__dataclass_fields__.values() if _declares(cls, f)]


def _declares(cls, f):
    """Whether `cls` is the class that `f` comes from."""
    holders = [c for c in cls.__mro__ if vars(c).get("__dataclass_fields__", {}).get(f.name) is f]
    return holders == [cls]
