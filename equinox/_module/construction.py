"""Make a module: `__init__` may assign the fields, and after it the module is frozen."""

import contextlib
import dataclasses
import inspect
import sys
import typing
from typing import Any

from .._trees.layout import unfinished
from .fields import MISSING, RESERVED, has_default, is_init_var, is_keyword_only, kind_of_default
from .generated import define
from .methods import BoundMethod
from .static_fields import decide, static_fault


def construct(self, args, kwargs):
    """Run `__init__` on the new instance `self`, then complete and check the module."""
    key = id(self)
    unfinished.add(key)
    try:
        try:
            self.__init__(*args, **kwargs)
        except TypeError:
            check_arguments(type(self), args, kwargs)
            raise
        finish(self)
    finally:
        unfinished.discard(key)
    for check in type(self).__layout__.checks:
        check(self)


def check_arguments(cls, args, kwargs):
    """Raise an error if `cls` can't be called with these arguments.

    Python's own error names the class that defines `__init__`, which may be a private one, or no class.

    Raises:
        TypeError: An argument is missing, or is one too many.
    """
    try:
        inspect.signature(cls).bind(*args, **kwargs)
    except ValueError:  # there is no signature
        return
    except TypeError as error:
        advice = " Pass a PRNG key: `key=jax.random.PRNGKey(0)`." if str(error).endswith(": 'key'") else ""
        raise TypeError("`{}.__init__` got wrong arguments: {}.{}".format(cls.__name__, error, advice)) from None


@contextlib.contextmanager
def assignable(self):
    """Allow the fields of `self` to be assigned within the context, as in `__init__`."""
    unfinished.add(id(self))
    try:
        yield
    finally:
        unfinished.discard(id(self))


def construction_has_begun(self):
    """Whether the construction of `self` has begun. A user's `__new__` may return an instance that exists already."""
    names = type(self).__layout__.names
    return id(self) in unfinished or bool(names) and self.__dict__.keys() >= names


def set_field(self: Any, name: str, value: Any) -> None:
    """Assign a field while `self` is being constructed. This is `__setattr__` of every module.

    Raises:
        FrozenInstanceError: The module isn't being constructed.
        AttributeError: The class has no field of this name.
        ValueError: The value is a method of the module itself.
    """
    cls = type(self)
    if name == "__orig_class__" and getattr(value, "__origin__", None) is cls:
        object.__setattr__(self, name, value)  # `typing` does this for `A[int]()`
        return
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot assign to `{0}.{1}`: modules are immutable after `__init__`. Make a changed copy with "
            "`eqx.replace(module, {1}=value)`, or of a larger tree with `eqx.tree_at`.".format(cls.__name__, name)
        )
    layout = cls.__layout__
    if name not in layout.names and not hasattr(type(getattr(cls, name, None)), "__set__"):  # such as a property
        advice = "annotate it in the body of the class, as in `{}: Any`".format(name)
        if hasattr(cls, name):
            advice = "the class has an attribute of this name, but it has no annotation and so it is no field"
        raise AttributeError(
            "`{}` has no field `{}`: {}. Its fields are: {}.".format(
                cls.__name__, name, advice, ", ".join(layout.dynamic + layout.static) or "none"
            )
        )
    if type(value) is BoundMethod and value.__self__ is self:
        raise ValueError(
            "`{0}.{1}` is set to a method of the module itself. Then the module would contain itself. Remove the "
            "field, and define a method `{1}` that calls the other method.".format(cls.__name__, name)
        )
    if name in layout.converters:
        value = layout.converters[name](value)
    object.__setattr__(self, name, value)


def delete_field(self: Any, name: str) -> None:
    """Delete a field while `self` is being constructed. This is `__delattr__` of every module."""
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot delete `{}.{}`: modules are immutable after `__init__`.".format(type(self).__name__, name)
        )
    object.__delattr__(self, name)


def finish(self):
    """Fill in the defaults, check the module, and decide which values are static.

    Raises:
        ValueError: A field has no value.
        TypeError: The value of a static field can't be static.
    """
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
    # Python lets the dictionaries of instances share their keys if fields are set one by one. A separate dictionary is
    # faster to read.
    object.__setattr__(self, "__dict__", {**values})
    decide(self)


def refresh_init(cls):
    """Give `cls` a generated `__init__`, unless it has or inherits one that was written by hand.

    An `__init__` that was written by hand is inherited like any other method. `dataclasses` would override it. A
    wrapper around a generated `__init__`, such as `beartype` makes, isn't inherited: it doesn't know the fields of the
    subclass.
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
    """Whether `init` itself is generated, and no wrapper. This also works if it was loaded from a pickle."""
    return getattr(init, "__code__", _NO_CODE).co_varnames[:1] == (_SELF,)


def _generate_init(cls):
    """Generate an `__init__` as `dataclasses` does, with keyword-only fields on every Python.

    Its globals are those of the Python module that defines `cls`. So `typing.get_type_hints` finds the names in the
    annotations.
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
                    "`{}`: the field `{}` has no default and follows `{}`, which has one. Change their order, or use "
                    "`eqx.field(kw_only=True)`.".format(cls.__name__, f.name, last_default)
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
    """The annotation of the parameter for the field `f`. If it has a converter, what the converter takes."""
    if converter is None:
        return f.type.type if is_init_var(f) and hasattr(f.type, "type") else f.type
    try:
        first = next(iter(inspect.signature(converter).parameters.values()))
        if isinstance(first.annotation, str):  # a name in the module of the converter
            return typing.get_type_hints(converter)[first.name]
    except Exception:  # no signature, no parameter, or names that can't be resolved
        return typing.Any
    return typing.Any if first.annotation is inspect.Parameter.empty else first.annotation


class _Factory:
    """The default of a parameter whose field has a factory. It looks the same as in `dataclasses`."""

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
_ASSIGNMENT = {  # the keys: whether `__init__` takes the field, and the kind of its default
    (True, "none"): _SELF + ".{0} = {0}",
    (True, "value"): _SELF + ".{0} = {0}",
    (True, "factory"): _SELF + ".{0} = " + _MAKE + "() if {0} is " + _UNSET + " else {0}",
    (False, "none"): "pass",
    (False, "value"): _SELF + ".{0} = " + _DEFAULT,
    (False, "factory"): _SELF + ".{0} = " + _MAKE + "()",
}
