"""`field`, and what a class of modules says of its fields."""

import dataclasses
from types import MappingProxyType

MISSING = dataclasses.MISSING


def field(
    *,
    static=False,
    converter=None,
    kw_only=False,
    default=MISSING,
    default_factory=MISSING,
    init=True,
    repr=True,
    metadata=MappingProxyType({}),
):
    """A field of a `Module`, where its annotation alone doesn't say enough; as `dataclasses.field`.

    Args:
        static: the field is no child of the pytree but part of its structure: never traced or differentiated, and
            compared by `==` and by type when JAX decides whether to retrace. Must be hashable, and holds no array.
        converter: a function applied to every value assigned to the field, its default included.
        kw_only: the generated `__init__` takes the field by keyword only. On every Python.
        default, default_factory, init, repr, metadata: as in `dataclasses.field`. A field left unset by an
            `__init__` of your own gets its default too.

    Raises: TypeError: `converter` can't be called. ValueError: both `default` and `default_factory`.
    """
    if converter is not None and not callable(converter):
        raise TypeError("`field` expects `converter` to be a function, got {!r}.".format(converter))
    metadata = dict(metadata, **{OPTIONS: Options(static, converter, kw_only)})
    return dataclasses.field(default=default, default_factory=default_factory, init=init, repr=repr, metadata=metadata)


OPTIONS = "equinox"  # the key in a field's `metadata` under which `field` keeps what dataclasses don't know


class Options:
    __slots__ = ("converter", "kw_only", "static")

    def __init__(self, static=False, converter=None, kw_only=False):
        self.static = static
        self.converter = converter
        self.kw_only = kw_only


class Layout:
    """What the metaclass knows of one class's fields, worked out once when the class is made."""

    def __init__(self, cls):
        fields = dataclasses.fields(cls)
        options = {f.name: f.metadata.get(OPTIONS, Options()) for f in fields}
        self.names = frozenset(options)
        self.dynamic = tuple(f.name for f in fields if not options[f.name].static)
        self.static = tuple(f.name for f in fields if options[f.name].static)
        self.converters = {name: o.converter for name, o in options.items() if o.converter is not None}
        self.defaults = {f.name: f for f in fields if has_default(f)}
        self.shown = tuple(f.name for f in fields if f.repr)
        self.checks = [c.__dict__["__check_init__"] for c in reversed(cls.__mro__) if "__check_init__" in c.__dict__]


def kind_of_default(f):
    if f.default is not MISSING:
        return "value"
    return "none" if f.default_factory is MISSING else "factory"


def has_default(f):
    return kind_of_default(f) != "none"
