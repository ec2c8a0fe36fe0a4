"""What a module is copied and pickled as, where Python's own way would lose or refuse it.

`jax.nn.relu` and its like are module-level objects that `pickle` refuses, and `deepcopy` turns into strangers that no
compiled function knows; here both keep them by name. On the oldest JAX, arrays came back as NumPy arrays.
"""

import functools as ft
import importlib
import operator
import sys
import types

import jax.numpy as jnp
import numpy as np

from .. import _compat
from .._trees.layout import layout_of
from .._trees.predicates import is_jax_array

# Looked in first, so that a pickle names no private module of JAX and can be read by another release.
_PUBLIC_HOMES = ("jax.nn", "jax.numpy", "jax.lax", "jax.random", "jax.scipy.special")


def pack(x):
    """`x` with all in it that doesn't survive by itself in a wrapper that does. Modules in it see to themselves."""
    if _compat.pickles_arrays_as_numpy() and is_jax_array(x):
        return _Array(np.asarray(x))
    if callable(x) and not _sees_to_itself(x) and not _is_found(x):
        for module in (*_PUBLIC_HOMES, getattr(x, "__module__", None)):
            name = getattr(x, "__name__", None)
            if name and getattr(sys.modules.get(module), name, None) is x:
                return _Global(module, name)
    return _inside(pack, x)


def unpack(x):
    """Undo `pack`."""
    return x.unpack() if isinstance(x, (_Array, _Global, _Partial)) else _inside(unpack, x)


def _inside(fun, x):
    """`fun` of all that the container `x` holds, or `x` itself if that changes nothing.

    Not by `tree_map`, which would sort dictionaries and make new of what is shared.
    """
    if type(x) in (list, tuple):
        new = type(x)(map(fun, x))
        return x if all(map(operator.is_, new, x)) else new
    if type(x) is dict:
        new = {key: fun(value) for key, value in x.items()}
        return x if all(map(operator.is_, new.values(), x.values())) else new
    if isinstance(x, ft.partial):
        old = (x.func, x.args, x.keywords)
        new = tuple(map(fun, old))
        return x if all(map(operator.is_, new, old)) else _Partial(type(x), *new)
    return x


def _sees_to_itself(x):
    return layout_of(x) is not None


def _is_found(x):
    """Whether Python itself pickles `x` by name, and would find it."""
    if not isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType)):
        return False
    module = sys.modules.get(x.__module__)
    return x.__qualname__ == x.__name__ and getattr(module, x.__name__, None) is x and "._src" not in x.__module__


class _Array:
    def __init__(self, values):
        self.values = values

    def unpack(self):
        return jnp.asarray(self.values)


class _Partial:
    def __init__(self, cls, function, args, keywords):
        self.cls = cls
        self.parts = (function, args, keywords)

    def unpack(self):
        function, args, keywords = map(unpack, self.parts)
        return self.cls(function, *args, **keywords)


class _Global:
    def __init__(self, module, name):
        self.module = module
        self.name = name

    def unpack(self):
        return getattr(importlib.import_module(self.module), self.name)
