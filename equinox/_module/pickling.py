"""How a module is copied and pickled: a new instance of its class, which is then given the state of the old one.

The state is what `__getstate__` returns: by default the fields, as a dictionary. `__setstate__` takes it. A class may
define either, as for any Python object. Fields are set as they were, without their converters. `__check_init__` doesn't
run: a copied tree may hold placeholders in the place of arrays.
"""

import dataclasses
import pickle
import sys

from .._trees.layout import layout_of, unfinished
from .construction import assignable, finish
from .packing import deepcopy, pack
from .static_fields import places_of, set_decision

_KEPT = "__orig_class__"  # beside the fields: `A[int]` in an instance made by `A[int]()`


def get_state(self):
    """The fields that are set, by name. A value left beside them by `functools.cached_property` is none."""
    names = type(self).__layout__.names
    return {name: x for name, x in self.__dict__.items() if name in names or name == _KEPT}


def set_state(self, state):
    """Set the fields to what `get_state` returned."""
    if id(self) not in unfinished:
        raise dataclasses.FrozenInstanceError(
            "cannot set the state of a `{}`: modules are immutable after `__init__`.".format(type(self).__name__)
        )
    if not isinstance(state, dict):
        raise TypeError(
            "`{}.__setstate__` expects the fields as a dictionary, got {!r}. A class whose `__getstate__` returns "
            "anything else defines `__setstate__` too.".format(type(self).__name__, type(state))
        )
    layout = type(self).__layout__
    if layout.waiting is None and not layout.names.union([_KEPT]).issuperset(state):
        _refuse_state(self, state)
    self.__dict__.update(state)


def reduce(self):
    """What `pickle` makes of a module."""
    args, state = _identity(self), self.__getstate__()
    if state is None or sys.version_info < (3, 8):  # where no function can be named that sets the state
        return restored, (args, pack(state))
    return new_module, args, pack(state), None, None, restore


def shallow_copy(self):
    return restored(_identity(self), self.__getstate__(), complete=id(self) not in unfinished)


def deep_copy(self, memo):
    new = memo[id(self)] = new_module(*_identity(self))
    restore(new, deepcopy(self.__getstate__(), memo), complete=id(self) not in unfinished)
    return new


def _identity(self):
    """The arguments of `new_module`: what an instance has before its state."""
    places = places_of(self)
    return (type(self), places) if places else (type(self),)


def new_module(cls, places=None):
    """Make an instance of the class of modules `cls` that has no state yet. `places` is what `places_of` returned."""
    if not isinstance(cls, type) or not hasattr(cls, "__layout__"):
        raise pickle.UnpicklingError("the pickle takes {!r} for a class of modules, which it is not.".format(cls))
    self = object.__new__(cls)
    if places is not None:
        set_decision(self, places)
    return self


def restore(self, state, complete=True):
    """Give the new module `self` its state.

    Args:
        self: What `new_module` returned.
        state: What `__getstate__` returned. `None` for nothing to be set, as in Python.
        complete: Fill in defaults, and refuse a module that is not complete then.
    """
    if layout_of(self) is None or self.__dict__:
        raise pickle.UnpicklingError("the pickle sets the state of {!r}, which has one.".format(self))
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
    """`new_module` and `restore` in one."""
    self = new_module(*args)
    restore(self, state, complete)
    return self


def _missing(self, names):
    layout = type(self).__layout__
    return [name for name in layout.dynamic + layout.static if name not in names and name not in layout.defaults]


def _refuse_state(self, names):
    cls = type(self)
    fields = {
        "unknown fields": [name for name in names if name not in cls.__layout__.names and name != _KEPT],
        "missing fields": _missing(self, names),
    }
    raise ValueError(
        "the state of this `{}` doesn't fit its class, which may have changed since it was pickled: {}. Give a new "
        "field a default, or define `__setstate__`, which gets the old fields as a dictionary and may assign the new "
        "ones.".format(
            cls.__name__,
            "; ".join(
                "{} {}".format(what, ", ".join(map("`{}`".format, which))) for what, which in fields.items() if which
            ),
        )
    )
