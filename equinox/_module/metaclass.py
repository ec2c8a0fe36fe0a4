"""The metaclass of `Module`. It makes the classes and their instances."""

import abc
import dataclasses
import inspect

from .._compat.types import dataclass_transform
from .abstract import (
    Demands,
    abstract_names,
    check_bases,
    check_methods,
    declared_variables,
    is_declared,
    refuse_abstract,
    take_abstract_variables,
)
from .construction import assignable, construct, construction_has_begun, delete_field, finish, refresh_init, set_field
from .fields import Layout, check_fields, declared_fields, drop_overridden, field, restore_constants, static_field
from .flattening import register, registering
from .methods import Method, is_method


# `frozen_default` isn't set. With it, type checkers refuse the assignments in an `__init__` written by hand.
@dataclass_transform(field_specifiers=(field, static_field, dataclasses.field))
class ModuleMeta(abc.ABCMeta):
    """Makes each class a frozen dataclass and a pytree node, and controls the construction of its instances.

    A class may change after it is made. For example, cloudpickle makes an empty class and then assigns its attributes
    one by one, including the dictionary of its fields. So everything that depends on the attributes of a class is made
    by `_refresh`. It runs again when such an attribute is assigned.
    """

    def __new__(*args, **kwargs):  # no named parameters, because a class may be made with any keyword
        mcs, name, _, namespace = args
        if "__slots__" in namespace:
            raise TypeError(
                "`{}` has `__slots__`, but a module keeps its fields in a dictionary. Annotate the "
                "fields instead.".format(name)
            )
        strict = kwargs.pop("strict", False)
        cls = super(ModuleMeta, mcs).__new__(*args, **kwargs)
        check_bases(cls, strict)
        cls = dataclasses.dataclass(**_AS_DATACLASS)(cls)
        check_fields(cls)
        type.__setattr__(cls, "__demands__", Demands(take_abstract_variables(cls, namespace), strict))
        drop_overridden(cls)
        if "__match_args__" not in namespace and hasattr(cls, "__match_args__"):  # since Python 3.10
            arguments = tuple(key for key in cls.__match_args__ if key in cls.__dataclass_fields__)
            type.__setattr__(cls, "__match_args__", arguments)
        if strict:
            check_methods(cls)
        if "__doc__" not in namespace:
            cls.__doc__ = None  # `dataclasses` wrote the signature of another `__init__`
        _refresh(cls)
        if namespace.keys() <= _EMPTY:
            cls.__layout__.waiting = []
        for key, value in list(vars(cls).items()):
            if _becomes_method(cls, key, value):
                setattr(cls, key, value)
        return cls

    def __call__(__cls, *args, **kwargs):  # because a field may have the name `cls`
        new = __cls.__new__
        if __cls.__abstractmethods__ and new is _object_new:
            refuse_abstract(__cls)
        self = new(__cls, *args, **kwargs)
        if isinstance(self, __cls) and (new is _object_new or not construction_has_begun(self)):
            construct(self, args, kwargs)
        return self

    def __setattr__(cls, name, value):
        if name == "__layout__":
            return  # only `_refresh` makes it
        layout = vars(cls).get("__layout__")
        if name in _ASSIGNMENT:
            # `dataclasses` assigns functions that always refuse. Ours allow assignments during construction.
            value = _ASSIGNMENT[name]
        elif name == "__dataclass_fields__":
            restore_constants(value)
            for variable in declared_variables(cls):
                value.pop(variable, None)  # a decorator made it a field again
        elif name == "__dataclass_params__" and layout:
            _open_for_decorator(cls, value)
        elif layout and _becomes_method(cls, name, value):
            value = Method(value)
        super().__setattr__(name, value)
        if layout and _is_settled(cls, name):
            _refresh(cls)
        if layout and name == "__dataclass_fields__":
            _finish_waiting(cls)

    def __delattr__(cls, name):
        super().__delattr__(name)
        if "__layout__" in vars(cls) and _is_settled(cls, name):
            _refresh(cls)

    @property
    def __signature__(cls):
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


_object_new = object.__new__
_AS_DATACLASS = {"init": False, "repr": False, "eq": False, "frozen": True}
_ASSIGNMENT = {"__setattr__": set_field, "__delattr__": delete_field}
_EMPTY = frozenset(["__module__", "__dict__"])  # all that a class of cloudpickle has when it is made
_READ_BY_REFRESH = frozenset(  # the attributes that `_refresh` reads, in addition to the fields
    [
        "__abstractmethods__",  # `dataclasses` and `abc` assign it, and don't know the abstract variables
        "__check_init__",
        "__dataclass_fields__",
        "__demands__",
        "__getattr__",
        "__getattribute__",
        "__init__",
        "__post_init__",
        "__wrapped__",
    ]
)


def _is_settled(cls, name):
    """Whether `_refresh` reads the attribute `name` of `cls`."""
    return name in _READ_BY_REFRESH or name in cls.__layout__.names or is_declared(cls, name)


def _becomes_method(cls, name, value):
    """Whether the attribute `value`, with this name in `cls`, is a method that must become a `Method`."""
    special = name.startswith("__") and name.endswith("__") and name != "__call__"
    return not special and name not in cls.__layout__.names and type(value) is not Method and is_method(value)


def _refresh(cls):
    """Make everything that depends on the attributes of `cls`, for `cls` and its subclasses.

    Several threads may load the same class at the same time. Each step replaces one complete value by an equal one. So
    a thread that uses the class meanwhile always sees a complete value.
    """
    with registering:
        before = vars(cls).get("__layout__")
        layout = Layout(cls, before)
        type.__setattr__(cls, "__layout__", layout)
        type.__setattr__(cls, "__abstractmethods__", abstract_names(cls))
        refresh_init(cls)
        layout.functions = register(cls, layout.functions)
        for below in cls.__subclasses__():
            if "__layout__" in vars(below):  # without it, the subclass is still being made
                _refresh(below)


def _finish_waiting(cls):
    """Finish the instances that were loaded before `cls` got its fields. Its methods may hold such instances."""
    waiting, cls.__layout__.waiting = cls.__layout__.waiting, None
    while waiting:
        module = waiting.pop()
        with assignable(module):
            finish(module)


def _open_for_decorator(cls, params):
    """Allow `dataclasses.dataclass(frozen=True)` on a class that is a dataclass already. Refuse other options.

    `make_dataclass(..., bases=(Module,), frozen=True)` uses this decorator too. First the decorator assigns its
    parameters, which calls this function. Then it defines methods, and keeps those that the class has already.

    Raises:
        TypeError: The options differ from those of a module.
    """
    if all(getattr(params, name) == value for name, value in _AS_DATACLASS.items()):
        return  # cloudpickle assigns the parameters that the class has already
    if not params.frozen or params.order or params.unsafe_hash or "__init__" not in vars(cls):
        raise TypeError(
            "`{}` is a `Module`, so it is a frozen dataclass already. Remove the decorator `@dataclasses.dataclass`. "
            "`make_dataclass` needs `frozen=True`.".format(cls.__name__)
        )
    for f in declared_fields(cls):
        type.__setattr__(cls, f.name, f)  # the decorator takes the field from here
    for name in ("__repr__", "__eq__", "__hash__"):
        type.__setattr__(cls, name, getattr(cls, name))
    for name in _ASSIGNMENT:
        type.__delattr__(cls, name)
