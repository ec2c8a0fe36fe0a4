"""The types in the annotations of the library, from the place where this Python and this JAX have them.

They exist at run time. So `typing.get_type_hints` can read every annotation of the library. Before Python 3.11 they
come from typing_extensions. A floor of Python 3.11 retires the second branch.
"""

import sys
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union

import jax.numpy as jnp
import numpy as np

if sys.version_info >= (3, 11):
    from typing import Concatenate, Literal, ParamSpec, TypeGuard, dataclass_transform
else:  # not on newer Pythons, because its import is slow
    from typing_extensions import Concatenate, Literal, ParamSpec, TypeGuard, dataclass_transform

__all__ = [
    "AnyArray",
    "Array",
    "Concatenate",
    "FilterSpec",
    "IsLeaf",
    "Key",
    "Literal",
    "P",
    "ParamSpec",
    "PyTree",
    "R",
    "T",
    "TypeGuard",
    "dataclass_transform",
]

if TYPE_CHECKING:
    from jax import Array
else:  # every JAX has this name
    Array = jnp.ndarray

AnyArray = Union[Array, np.ndarray]  # what a layer takes
Key = Array  # a PRNG key, old-style or typed
PyTree = Any  # a tree of any nodes and leaves
IsLeaf = Callable[[Any], bool]  # the `is_leaf` of `jax.tree_util.tree_flatten`
FilterSpec = PyTree  # of bools and of functions from a leaf to a bool, or one of these: see `partition`

P = ParamSpec("P")  # the parameters of a function
R = TypeVar("R")  # what the function returns
T = TypeVar("T")  # a tree that is returned with the same type
