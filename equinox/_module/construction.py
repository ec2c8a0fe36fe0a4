"""How a module is made: an `__init__` that may assign the fields, and nothing that may afterwards."""

import dataclasses

from jax import tree_util

from .. import _compat
from .._trees.layout import unfinished
from .._trees.paths import describe_leaf
from .._trees.predicates import is_jax_array
from .fields import MISSING, OPTIONS, Options, has_default, kind_of_default
from .methods import BoundMethod


def construct(self, args, kwargs):
    """Run `__init__` on the new instance `self`, and see that it leaves a complete module."""
    key = id(self)
    unfinished.add(key)
    try:
        self.__init__(*args, **kwargs)
        finish(self)
    finally:
        unfinished.discard(key)
    for check in type(self).__layout__.checks:
        check(self)


def set_field(self, name, value):
    cls = type(self)
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot assign to `{0}.{1}`: modules are immutable after `__init__`. Make a changed copy with "
            "`eqx.tree_at(lambda m: m.{1}, module, value)`.".format(cls.__name__, name)
        )
    layout = cls.__layout__
    if name not in layout.names and not hasattr(type(getattr(cls, name, None)), "__set__"):  # a property, say
        raise AttributeError(
            "`{}` has no field `{}`: annotate it in the body of the class, as in `{}: Any`. Its fields are: {}.".format(
                cls.__name__, name, name, ", ".join(layout.dynamic + layout.static) or "none"
            )
        )
    if type(value) is BoundMethod and value.__self__ is self:
        raise ValueError(
            "`{0}.{1}` is being set to a method of the module itself, which would then contain itself. Leave the "
            "field out and define a method `{1}` that calls it.".format(cls.__name__, name)
        )
    if name in layout.converters:
        value = layout.converters[name](value)
    object.__setattr__(self, name, value)


def delete_field(self, name):
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot delete `{}.{}`: modules are immutable after `__init__`.".format(type(self).__name__, name)
        )
    object.__delattr__(self, name)


def finish(self):
    """Fill in defaults, and refuse a module that is not complete or not fit to be part of a tree's structure."""
    layout = type(self).__layout__
    values = self.__dict__
    if not values.keys() >= layout.names:
        for name in layout.defaults.keys() - values.keys():
            f = layout.defaults[name]
            setattr(self, name, f.default if f.default is not MISSING else f.default_factory())
        missing = [name for name in layout.dynamic + layout.static if name not in values]
        if missing:
            raise ValueError(
                "`{}.__init__` must set every field; missing: {}.".format(
                    type(self).__name__, ", ".join("`{}`".format(name) for name in missing)
                )
            )
    for name in layout.static:
        _check_static(type(self).__name__, name, values[name])
    # Fields set one by one share their keys with other instances. From a dictionary of its own, all are read faster.
    object.__setattr__(self, "__dict__", {**values})


def _check_static(cls_name, name, value):
    """Refuse what can't be compared and hashed, as JAX does with the structure of a tree at each compiled call."""
    if type(value) in _PLAIN_TYPES:
        return
    # The values of a dictionary by themselves: its keys, which JAX would sort, may not be comparable.
    for leaf in tree_util.tree_leaves(list(value.values()) if isinstance(value, dict) else value):
        if is_jax_array(leaf) or _compat.is_numpy_array(leaf):
            raise TypeError(
                "the static field `{}.{}` holds an array ({}). Static fields are part of the tree's structure, which "
                "has to be comparable: make it an ordinary field, and keep it out of the gradient with a "
                "filter.".format(cls_name, name, describe_leaf(leaf))
            )
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            "the static field `{}.{}` must be hashable, got {!r}: use a tuple for a list, "
            "or make it an ordinary field.".format(cls_name, name, value)
        ) from None


_PLAIN_TYPES = frozenset([bool, int, float, complex, str, bytes, type(None)])


def generate_init(cls):
    """The `__init__` of a class that has none of its own: dataclass's, with keyword-only fields on every Python."""
    parameters, keyword_only, init_vars, body, annotations = [], [], [], [], {}
    scope = {"__Module_unset__": _FACTORY}  # names that no field can have
    last_default = None
    for f in cls.__dataclass_fields__.values():  # `dataclasses.fields` leaves out `InitVar`s
        is_init_var = f._field_type.name == "_FIELD_INITVAR"
        if not (is_init_var or f.name in cls.__layout__.names):
            continue
        scope["__Module_default_{}__".format(f.name)] = f.default
        scope["__Module_factory_{}__".format(f.name)] = f.default_factory
        if f.init:
            by_keyword = f.metadata.get(OPTIONS, Options()).kw_only or getattr(f, "kw_only", False) is True
            if last_default and not by_keyword and not has_default(f):
                raise TypeError(
                    "`{}`: the field `{}` without a default follows `{}`, which has one. Reorder them, or make "
                    "it `eqx.field(kw_only=True)`.".format(cls.__name__, f.name, last_default)
                )
            if has_default(f) and not by_keyword:
                last_default = f.name
            annotations[f.name] = f.type.type if is_init_var and hasattr(f.type, "type") else f.type
            (keyword_only if by_keyword else parameters).append(_PARAMETER[kind_of_default(f)].format(f.name))
        if is_init_var:
            init_vars.append(f.name)
        else:
            body.append(_ASSIGNMENT[f.init, kind_of_default(f)].format(f.name))
    if hasattr(cls, "__post_init__"):
        body.append("__Module_self__.__post_init__({})".format(", ".join(init_vars)))
    if keyword_only:
        parameters += ["*", *keyword_only]
    source = "def __init__({}):\n {}".format(", ".join(["__Module_self__", *parameters]), "\n ".join(body or ["pass"]))
    exec(source, scope)
    init = scope["__init__"]
    init.__qualname__ = cls.__qualname__ + ".__init__"
    init.__module__ = cls.__module__
    init.__annotations__ = dict(annotations, **{"return": None})
    init.generated = True
    return init


class _Factory:
    """The default of a parameter whose field has a factory; shown as dataclasses show theirs."""

    def __repr__(self):
        return "<factory>"


_FACTORY = _Factory()
_PARAMETER = {"none": "{0}", "value": "{0}=__Module_default_{0}__", "factory": "{0}=__Module_unset__"}
_ASSIGNMENT = {  # by whether `__init__` takes the field, and the kind of its default
    (True, "none"): "__Module_self__.{0} = {0}",
    (True, "value"): "__Module_self__.{0} = {0}",
    (True, "factory"): "__Module_self__.{0} = __Module_factory_{0}__() if {0} is __Module_unset__ else {0}",
    (False, "none"): "pass",
    (False, "value"): "__Module_self__.{0} = __Module_default_{0}__",
    (False, "factory"): "__Module_self__.{0} = __Module_factory_{0}__()",
}
