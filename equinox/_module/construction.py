"""How a module is made: an `__init__` that may assign the fields, and nothing that may afterwards."""

import contextlib
import dataclasses
import inspect
import sys
import typing

from .._trees.layout import unfinished
from .fields import MISSING, RESERVED, has_default, is_init_var, is_keyword_only, kind_of_default
from .generated import define
from .methods import BoundMethod
from .static_fields import decide, static_fault


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


@contextlib.contextmanager
def assignable(self):
    """Let the fields of `self` be assigned, as in `__init__`, for as long as the context lasts."""
    unfinished.add(id(self))
    try:
        yield
    finally:
        unfinished.discard(id(self))


def is_constructed(self):
    """Whether `self` is constructed already, or is being so: a `__new__` of the user's may return what it kept."""
    names = type(self).__layout__.names
    return id(self) in unfinished or bool(names) and self.__dict__.keys() >= names


def set_field(self, name, value):
    cls = type(self)
    if name == "__orig_class__" and getattr(value, "__origin__", None) is cls:
        object.__setattr__(self, name, value)  # by `typing`, for `A[int]()`
        return
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot assign to `{0}.{1}`: modules are immutable after `__init__`. Make a changed copy with "
            "`eqx.replace(module, {1}=value)`, or of a larger tree with `eqx.tree_at`.".format(cls.__name__, name)
        )
    layout = cls.__layout__
    if name not in layout.names and not hasattr(type(getattr(cls, name, None)), "__set__"):  # a property, say
        advice = "annotate it in the body of the class, as in `{}: Any`".format(name)
        if hasattr(cls, name):
            advice = "the class has an attribute of this name without an annotation, which is no field"
        raise AttributeError(
            "`{}` has no field `{}`: {}. Its fields are: {}.".format(
                cls.__name__, name, advice, ", ".join(layout.dynamic + layout.static) or "none"
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
        fault = static_fault(values[name])
        if fault is not None:
            raise TypeError("the static field `{}.{}` {}".format(type(self).__name__, name, fault))
    # Fields set one by one share their keys with other instances. From a dictionary of its own, all are read faster.
    object.__setattr__(self, "__dict__", {**values})
    decide(self)


def settle_init(cls):
    """Give `cls` a generated `__init__` if it neither has nor inherits another.

    As any attribute, an `__init__` written by hand is inherited. `dataclasses` would generate one over it. What wraps
    a generated one, as `beartype` does, is inherited by no class: it knows none of the fields below it.
    """
    own = vars(cls).get("__init__")
    if own is not None and not _is_generated(own):
        return
    inherited = next(vars(c)["__init__"] for c in cls.__mro__[1:] if "__init__" in vars(c))
    if inherited is object.__init__ or _is_generated(inspect.unwrap(inherited)):
        type.__setattr__(cls, "__init__", _generate_init(cls))
    elif own is not None:
        type.__delattr__(cls, "__init__")


def _is_generated(init):
    """Whether `init` is a generated one, rather than what wraps one; loaded from a pickle, too."""
    return getattr(init, "__code__", _NO_CODE).co_varnames[:1] == (_SELF,)


def _generate_init(cls):
    """Generate an `__init__` as `dataclasses` does, with keyword-only fields on every Python.

    Its globals are those of the module of `cls`, so that `typing.get_type_hints` finds what the annotations name.
    """
    parameters, keyword_only, init_vars, body, annotations, variables = [], [], [], [], {}, {_UNSET: _FACTORY}
    layout, last_default = cls.__layout__, None
    for f in cls.__dataclass_fields__.values():  # `dataclasses.fields` leaves out `InitVar`s
        if not (is_init_var(f) or f.name in layout.names):
            continue
        variables[_DEFAULT.format(f.name)] = f.default
        variables[_MAKE.format(f.name)] = f.default_factory
        if f.init:
            by_keyword = is_keyword_only(f)
            if last_default and not by_keyword and not has_default(f):
                raise TypeError(
                    "`{}`: the field `{}` without a default follows `{}`, which has one. Reorder them, or make "
                    "it `eqx.field(kw_only=True)`.".format(cls.__name__, f.name, last_default)
                )
            if has_default(f) and not by_keyword:
                last_default = f.name
            annotations[f.name] = _annotation(f, layout.converters.get(f.name))
            (keyword_only if by_keyword else parameters).append(_PARAMETER[kind_of_default(f)].format(f.name))
        if is_init_var(f):
            init_vars.append(f.name)
        else:
            body.append(_ASSIGNMENT[f.init, kind_of_default(f)].format(f.name))
    if hasattr(cls, "__post_init__"):
        body.append("{}.__post_init__({})".format(_SELF, ", ".join(init_vars)))
    if keyword_only:
        parameters += ["*", *keyword_only]
    title = "{}.{}.__init__".format(cls.__module__, cls.__qualname__)
    source = _INIT.format(
        variables=", ".join(variables),
        parameters=", ".join([_SELF, *parameters]),
        body="\n        ".join(body or ["pass"]),
    )
    module = sys.modules.get(cls.__module__)
    made = define(title, source, {} if module is None else vars(module), {})
    init = made["make"](**variables)
    init.__qualname__ = cls.__qualname__ + ".__init__"
    init.__module__ = cls.__module__
    init.__annotations__ = dict(annotations, **{"return": None})
    return init


def _annotation(f, converter):
    """What the generated `__init__` takes for `f`: where there is a converter, whatever the converter takes."""
    if converter is None:
        return f.type.type if is_init_var(f) and hasattr(f.type, "type") else f.type
    try:
        first = next(iter(inspect.signature(converter).parameters.values()))
        if isinstance(first.annotation, str):  # which means something where the converter was written
            return typing.get_type_hints(converter)[first.name]
    except Exception:  # no signature, no parameter, or names that can't be resolved
        return typing.Any
    return typing.Any if first.annotation is inspect.Parameter.empty else first.annotation


class _Factory:
    """The default of a parameter whose field has a factory; shown as dataclasses show theirs."""

    def __repr__(self):
        return "<factory>"

    def __reduce__(self):
        return "_FACTORY"


_FACTORY = _Factory()
_NO_CODE = (lambda: None).__code__
# Names that no field can have.
_SELF = RESERVED + "self__"
_UNSET = RESERVED + "unset__"
_DEFAULT = RESERVED + "default_{0}__"
_MAKE = RESERVED + "make_{0}__"
_INIT = """\
def make({variables}):
    def __init__({parameters}):
        {body}
    return __init__
"""
_PARAMETER = {"none": "{0}", "value": "{0}=" + _DEFAULT, "factory": "{0}=" + _UNSET}
_ASSIGNMENT = {  # by whether `__init__` takes the field, and the kind of its default
    (True, "none"): _SELF + ".{0} = {0}",
    (True, "value"): _SELF + ".{0} = {0}",
    (True, "factory"): _SELF + ".{0} = " + _MAKE + "() if {0} is " + _UNSET + " else {0}",
    (False, "none"): "pass",
    (False, "value"): _SELF + ".{0} = " + _DEFAULT,
    (False, "factory"): _SELF + ".{0} = " + _MAKE + "()",
}
