"""Pickle and deep-copy functions made by JAX, in any object that holds them.

`pickle` refuses functions such as `jax.nn.relu`. `deepcopy` copies them, and a compiled function takes the copy for
another static value. With this file `pickle` writes the name of such a function. `deepcopy` keeps the function itself.
"""

import copy
import copyreg
import gc
import importlib
import pickle
import sys
import types
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from .. import _compat
from .._trees.layout import layout_of
from .._trees.predicates import is_jax_array

# These are searched first. So a pickle names no private module of JAX, and another release can read it.
_PUBLIC_HOMES = ("jax.nn", "jax.numpy", "jax.lax", "jax.random", "jax.scipy.special")

_READS_OR_WRITES_FILES = ("load", "save", "savez")  # functions of these modules that a pickle must not name

_ARRAYS_ARE_PACKED = _compat.pickles_arrays_as_numpy()


def pack(x):
    """Return an object that `pickle` can write instead of `x`, and that is loaded as `x`.

    It is `x` itself, unless `x` holds a function that must be written by name. Objects that pack their own parts aren't
    searched.
    """
    if not any(_is_packed(part) for part in _candidates(x)):
        return x
    return _stand_ins.setdefault(id(x), _StandIn(x))


def deepcopy(x, memo):
    """Return `copy.deepcopy(x, memo)`, but keep functions made by JAX as the same objects."""
    for part in _candidates(x):
        if is_function_of_jax(part):
            memo[id(part)] = part
        elif _ARRAYS_ARE_PACKED:
            memo.setdefault(id(part), jnp.array(part))
    return copy.deepcopy(x, memo)


def load_function(module, name):
    """Load a function made by JAX from a pickle, by its name.

    Raises:
        AttributeError: The module has nothing with this name.
        pickle.UnpicklingError: The object isn't a function made by JAX. `pack` writes no other names.
    """
    importlib.import_module(module)
    x = _look_up(module, name)
    if x is None:
        raise AttributeError("the pickle names the function `{}.{}`, which doesn't exist here.".format(module, name))
    plain = isinstance(x, types.FunctionType)
    if not is_function_of_jax(x) or plain and (module not in _PUBLIC_HOMES or name in _READS_OR_WRITES_FILES):
        raise pickle.UnpicklingError(
            "the pickle names `{}.{}` as a function made by JAX, but it is none. This library didn't write the pickle. "
            "Load only pickles that you trust.".format(module, name)
        )
    return x


def load_array(values):
    """Load a JAX array from a pickle, which holds it as a NumPy array."""
    return jnp.asarray(values)


def is_function_of_jax(x):
    """Whether JAX made the function `x`, such as `jax.nn.relu` or a result of `jax.jit`. It must not be a pytree."""
    if isinstance(x, types.FunctionType):
        return _package(x) == "jax"
    if not callable(x) or isinstance(x, type):
        return False
    return (isinstance(x, _Jitted) or _package(type(x)) in ("jax", "jaxlib")) and tree_util.all_leaves([x])


_Jitted = type(jax.jit(lambda: None))


def _package(x):
    return str(x.__module__).partition(".")[0]


class _StandIn:
    """An object that is pickled like `original`, with stand-ins for the parts that need one.

    It is loaded as `original` would be. `original` doesn't change. A stand-in is made for one pickle: the memo of the
    pickler keeps it alive. Until then `pack` returns the same stand-in for the same object. So a shared object is
    pickled once.
    """

    __slots__ = ("__weakref__", "original")
    __class__: Any = property(lambda self: type(self.original))  # `pickle` checks it

    def __init__(self, original):
        self.original = original

    def __reduce_ex__(self, protocol):
        x = self.original
        address = _address(x)
        if address is not None:
            return load_function, address
        if _is_packed(x):
            return load_array, (np.asarray(x),)
        if type(x) is tuple:  # its `__reduce_ex__` returns an equal tuple again
            return tuple, ([pack(item) for item in x],)
        reduce = copyreg.dispatch_table.get(type(x))
        function, args, *rest = x.__reduce_ex__(max(protocol, 2)) if reduce is None else reduce(x)
        if function is copyreg.__newobj_ex__:  # `pickle` expects a tuple and a dictionary here
            cls, args, kwargs = args
            args = (cls, tuple(map(pack, args)), {name: pack(value) for name, value in kwargs.items()})
        else:
            args = tuple(map(pack, args))
        state, items, pairs = [*rest, None, None, None][:3]
        return (
            function,
            args,
            pack(state),
            items and map(pack, items),
            pairs and ((pack(key), pack(value)) for key, value in pairs),
            *rest[3:],  # the function that sets the state
        )


_stand_ins: Any = weakref.WeakValueDictionary()  # the `id` of the original -> the stand-in, which keeps it alive


def _is_packed(x):
    """Whether `x` itself must be packed: a function that is written by name, or an array of the oldest JAX."""
    return _address(x) is not None or (_ARRAYS_ARE_PACKED and is_jax_array(x))


def _address(x):
    """The module and the name that a pickle writes for `x`. `None` if it doesn't write `x` by name."""
    if not is_function_of_jax(x):
        return None
    module = x.__module__
    plain = isinstance(x, types.FunctionType)
    if plain and "._src" not in module:  # `pickle` finds it without our help
        return None
    homes = _PUBLIC_HOMES if plain else (*_PUBLIC_HOMES, module)
    if plain and x.__name__ in _READS_OR_WRITES_FILES:
        homes = ()
    names = [getattr(x, "__name__", ""), getattr(x, "__qualname__", "")]
    return next(((home, name) for home in homes for name in names if is_found(x, home, name)), None)


def is_found(x, module, name):
    """Whether `x` has the qualified name `name` in `module`, in this process and in the one that loads the pickle.

    `pickle` assumes that the same script loads what it wrote, so `__main__` is the same there. cloudpickle assumes
    another process with another `__main__`, so it pickles everything in `__main__` by value.
    """
    return _look_up(module, name) is x and (module != "__main__" or not _packs_main_by_value())


def _packs_main_by_value():
    """Whether cloudpickle is running. `__reduce__` doesn't get the pickler, so this searches the calling frames."""
    frame = sys._getframe()
    while frame is not None:
        pickler = frame.f_locals.get("self")
        if isinstance(pickler, pickle.Pickler):
            return hasattr(pickler, "reducer_override")
        frame = frame.f_back
    return False


def _look_up(module, name):
    """The object with the qualified name `name` in an imported module, or `None`. Only classes are searched."""
    first, *rest = name.split(".")
    x = getattr(sys.modules.get(module), "__dict__", {}).get(
        first
    )  # not `getattr`: the `__getattr__` of a Python module may warn
    for part in rest:
        x = getattr(x, part, None) if isinstance(x, type) else None
    return x


def _candidates(x):
    """Yield the functions made by JAX and the JAX arrays in `x`. Objects that pack their own parts aren't searched."""
    seen, pending = {id(x)}, [x]
    while pending:
        x = pending.pop()
        if is_jax_array(x) or is_function_of_jax(x):
            yield x
        elif not isinstance(x, _KEPT_BY_NAME) and not _packs_its_parts(x):
            new = [part for part in _parts(x) if type(part) not in _ATOMS and id(part) not in seen]
            seen.update(map(id, new))
            pending += new


def _parts(x):
    """The objects that `x` refers to. The type of `x` may be one of them."""
    if type(x) is dict:  # since Python 3.13 the collector doesn't see the values of an object's `__dict__`
        return [*x.keys(), *x.values()]
    if isinstance(x, np.ndarray) and x.dtype.hasobject:  # the collector doesn't see the objects of an array
        return x.ravel().tolist()
    return gc.get_referents(x)


_ATOMS = frozenset([bool, int, float, complex, str, bytes, type(None)])
_KEPT_BY_NAME = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def _packs_its_parts(x):
    """Whether `x` is a module, or its class is another one of this library that calls `pack` for its parts."""
    return layout_of(x) is not None or _package(type(x)) == _package(_StandIn)
