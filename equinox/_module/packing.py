"""How functions made by JAX are pickled and deep-copied, in whatever object they are.

`pickle` refuses `jax.nn.relu` and its like. `deepcopy` makes copies of them that no compiled function knows. Here
`pickle` keeps such a function by its name, and `deepcopy` keeps it as it is.
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

# Looked in first, so that a pickle names no private module of JAX and can be read by another release.
_PUBLIC_HOMES = ("jax.nn", "jax.numpy", "jax.lax", "jax.random", "jax.scipy.special")

_READS_OR_WRITES_FILES = ("load", "save", "savez")  # of the functions in those modules

_ARRAYS_ARE_PACKED = _compat.pickles_arrays_as_numpy()


def pack(x):
    """Return what `pickle` takes in the place of `x`, and loads as `x`.

    That is `x` itself, unless `x` holds a function to be kept by name. What packs its own parts isn't looked into.
    """
    if not any(_is_packed(part) for part in _candidates(x)):
        return x
    return _stand_ins.setdefault(id(x), _StandIn(x))


def deepcopy(x, memo):
    """`copy.deepcopy(x, memo)`, in which functions made by JAX stay the very same objects."""
    for part in _candidates(x):
        if is_function_of_jax(part):
            memo[id(part)] = part
        elif _ARRAYS_ARE_PACKED:
            memo.setdefault(id(part), jnp.array(part))
    return copy.deepcopy(x, memo)


def load_function(module, name):
    """Find the function of JAX that a pickle names.

    Raises:
        AttributeError: The module has nothing of this name.
        pickle.UnpicklingError: It is no function made by JAX. `pack` names no other.
    """
    importlib.import_module(module)
    x = _look_up(module, name)
    if x is None:
        raise AttributeError("the pickle names the function `{}.{}`, which doesn't exist here.".format(module, name))
    plain = isinstance(x, types.FunctionType)
    if not is_function_of_jax(x) or plain and (module not in _PUBLIC_HOMES or name in _READS_OR_WRITES_FILES):
        raise pickle.UnpicklingError(
            "the pickle names `{}.{}` as a function made by JAX, which it is not. It wasn't made by this library. Load "
            "only pickles that you trust.".format(module, name)
        )
    return x


def load_array(values):
    """Make a JAX array of the NumPy array that stands for it in a pickle."""
    return jnp.asarray(values)


def is_function_of_jax(x):
    """Whether `x` is a function that JAX made, such as `jax.nn.relu` and what `jax.jit` returns, and no pytree."""
    if isinstance(x, types.FunctionType):
        return _package(x) == "jax"
    if not callable(x) or isinstance(x, type):
        return False
    return (isinstance(x, _Jitted) or _package(type(x)) in ("jax", "jaxlib")) and tree_util.all_leaves([x])


_Jitted = type(jax.jit(lambda: None))


def _package(x):
    return str(x.__module__).partition(".")[0]


class _StandIn:
    """An object that is pickled as `original` is, with stand-ins for the parts of it that need one.

    So it is loaded as `original` would be, and `original` is changed by none of this. It is made for one pickle, whose
    memo keeps it alive. Meanwhile `pack` returns the same one, so that what is shared is pickled once.
    """

    __slots__ = ("__weakref__", "original")
    __class__: Any = property(lambda self: type(self.original))  # `pickle` compares it with the class that it names

    def __init__(self, original):
        self.original = original

    def __reduce_ex__(self, protocol):
        x = self.original
        address = _address(x)
        if address is not None:
            return load_function, address
        if _is_packed(x):
            return load_array, (np.asarray(x),)
        if type(x) is tuple:  # what it reduces to holds an equal tuple again
            return tuple, ([pack(item) for item in x],)
        reduce = copyreg.dispatch_table.get(type(x))
        function, args, *rest = x.__reduce_ex__(max(protocol, 2)) if reduce is None else reduce(x)
        if function is copyreg.__newobj_ex__:  # `pickle` insists on a tuple and a dictionary
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


_stand_ins: Any = weakref.WeakValueDictionary()  # by the `id` of the original, which its stand-in keeps alive


def _is_packed(x):
    """Whether `x` by itself has to be packed: a function to be kept by name, or an array of the oldest JAX."""
    return _address(x) is not None or (_ARRAYS_ARE_PACKED and is_jax_array(x))


def _address(x):
    """The module and the name under which `x` is to be kept, or `None`."""
    if not is_function_of_jax(x):
        return None
    module = x.__module__
    plain = isinstance(x, types.FunctionType)
    if plain and "._src" not in module:  # `pickle` finds it
        return None
    homes = _PUBLIC_HOMES if plain else (*_PUBLIC_HOMES, module)
    if plain and x.__name__ in _READS_OR_WRITES_FILES:
        homes = ()
    names = [getattr(x, "__name__", ""), getattr(x, "__qualname__", "")]
    return next(((home, name) for home in homes for name in names if is_found(x, home, name)), None)


def is_found(x, module, name):
    """Whether `x` is what has the qualified name `name` in `module`, here and where a pickle is loaded.

    A pickle of what a script defines is for the same script. That of cloudpickle is for another process, in which
    `__main__` is something else: so cloudpickle packs by value what is defined there.
    """
    return _look_up(module, name) is x and (module != "__main__" or not _packs_main_by_value())


def _packs_main_by_value():
    """Whether the running pickler is cloudpickle's. `__reduce__` is not told it, so this asks the calling frames."""
    frame = sys._getframe()
    while frame is not None:
        pickler = frame.f_locals.get("self")
        if isinstance(pickler, pickle.Pickler):
            return hasattr(pickler, "reducer_override")
        frame = frame.f_back
    return False


def _look_up(module, name):
    """What has the qualified name `name` in an imported module, or `None`. Only classes are looked into."""
    first, *rest = name.split(".")
    x = getattr(sys.modules.get(module), "__dict__", {}).get(first)  # a module's `__getattr__` may warn
    for part in rest:
        x = getattr(x, part, None) if isinstance(x, type) else None
    return x


def _candidates(x):
    """Yield the functions of JAX and the JAX arrays that are in `x`, but not in a part that packs its own parts."""
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
    """What `x` refers to. Its type may be among it."""
    if type(x) is dict:  # since Python 3.13 the `__dict__` of an object doesn't show its values
        return [*x.keys(), *x.values()]
    if isinstance(x, np.ndarray) and x.dtype.hasobject:  # an array never shows its objects
        return x.ravel().tolist()
    return gc.get_referents(x)


_ATOMS = frozenset([bool, int, float, complex, str, bytes, type(None)])
_KEPT_BY_NAME = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def _packs_its_parts(x):
    """Whether `x` is a module, or of another class of this library that calls `pack` for what it holds."""
    return layout_of(x) is not None or _package(type(x)) == _package(_StandIn)
