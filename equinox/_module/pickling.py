"""Copy and pickle a module: make a new instance of its class, and give it the state of the old one.

`__getstate__` returns the state: by default a dictionary of the fields. `__setstate__` takes it. A class may define
both, like any class in Python. The fields get their values without their converters. `__check_init__` doesn't run,
because a copied tree may hold placeholders instead of arrays.
"""

import dataclasses
import pickle
import sys
from typing import Any, Dict

from .._trees.layout import layout_of, unfinished
from .construction import assignable, finish
from .flattening import set_marks
from .names import NAMES
from .packing import deepcopy, pack
from .static_fields import places_of, set_decision

# Kept in addition to the fields. `__orig_class__` is `A[int]` in an instance made by `A[int]()`.
_KEPT = frozenset(["__orig_class__", *NAMES])


def get_state(self):
    """The fields that have a value, by name. Other values, such as a `functools.cached_property`, are left out."""
    names = type(self).__layout__.names
    return {name: x for name, x in self.__dict__.items() if name in names or name in _KEPT}


def set_state(self, state):
    """Set the fields to what `get_state` returned.

    Raises:
        FrozenInstanceError: The module isn't being loaded or copied.
        TypeError: The state is no dictionary.
        ValueError: The state has unknown fields.
    """
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot set the state of a `{}`: modules are immutable after `__init__`.".format(type(self).__name__)
        )
    if not isinstance(state, dict):
        raise TypeError(
            "`{}.__setstate__` expects the fields as a dictionary, got {!r}. If `__getstate__` of a class returns "
            "anything else, define `__setstate__` too.".format(type(self).__name__, type(state))
        )
    layout = type(self).__layout__
    if layout.waiting is None and not layout.names.union(_KEPT).issuperset(state):
        _refuse_state(self, state)
    self.__dict__.update(state)


def reduce(self: Any) -> Any:
    """Return what `__reduce__` of a module returns, for `pickle`."""
    args, state = _identity(self), self.__getstate__()
    if state is None or sys.version_info < (3, 8):  # Python 3.7 has no function that sets the state
        return restored, (args, pack(state))
    return new_module, args, pack(state), None, None, restore


def shallow_copy(self: Any) -> Any:
    """Return what `copy.copy` returns for a module."""
    return restored(_identity(self), self.__getstate__(), complete=id(self) not in unfinished)


def deep_copy(self: Any, memo: Dict[int, Any]) -> Any:
    """Return what `copy.deepcopy` returns for a module."""
    new = memo[id(self)] = new_module(*_identity(self))
    restore(new, deepcopy(self.__getstate__(), memo), complete=id(self) not in unfinished)
    return new


def _identity(self):
    """The arguments of `new_module`. `None` at the end is left out."""
    places, marks = places_of(self) or None, self.__dict__.get("__marks__")
    if marks is not None:
        return type(self), places, marks
    return (type(self),) if places is None else (type(self), places)


def new_module(cls, places=None, marks=None):
    """Make an instance of a class that has no state yet.

    Args:
        cls: The class.
        places: What `places_of` returned, if anything is decided.
        marks: The marks that `freeze` set, if any.

    Returns:
        The instance.

    Raises:
        pickle.UnpicklingError: `cls` is no class of modules.
    """
    if not isinstance(cls, type) or not hasattr(cls, "__layout__"):
        raise pickle.UnpicklingError("the pickle uses {!r} as a class of modules, but it is none.".format(cls))
    self = object.__new__(cls)
    if places is not None:
        set_decision(self, places)
    if marks is not None:
        set_marks(self, marks)
    return self


def restore(self, state, complete=True):
    """Give the new module `self` its state.

    Args:
        self: What `new_module` returned.
        state: What `__getstate__` returned. As in Python, `None` means that there is nothing to set.
        complete: Whether the module must be complete afterwards. Then its defaults are filled in.

    Raises:
        pickle.UnpicklingError: `self` is no module, or it has a state already.
        ValueError: `complete` is true, and fields are missing.
    """
    if layout_of(self) is None or self.__dict__.keys() - {"__marks__"}:
        raise pickle.UnpicklingError("the pickle sets the state of {!r}, which is no new module.".format(self))
    with assignable(self):
        if state is not None:
            self.__setstate__(state)
        waiting = type(self).__layout__.waiting
        if waiting is not None:  # the class has no fields yet
            waiting.append(self)
        elif complete:
            if _missing(self, self.__dict__):
                _refuse_state(self, self.__dict__)
            finish(self)


def restored(args, state, complete=True):
    """Call `new_module` and `restore`."""
    self = new_module(*args)
    restore(self, state, complete)
    return self


def _missing(self, names):
    layout = type(self).__layout__
    return [name for name in layout.dynamic + layout.static if name not in names and name not in layout.defaults]


def _refuse_state(self, names):
    cls = type(self)
    fields = {
        "unknown fields": [name for name in names if name not in cls.__layout__.names and name not in _KEPT],
        "missing fields": _missing(self, names),
    }
    raise ValueError(
        "the state of this `{}` doesn't fit its class: {}. The class may have changed after the module was pickled. "
        "Give a new field a default, or define `__setstate__`: it gets the old fields as a dictionary and may assign "
        "the new ones.".format(
            cls.__name__,
            "; ".join(
                "{} {}".format(what, ", ".join(map("`{}`".format, which))) for what, which in fields.items() if which
            ),
        )
    )
