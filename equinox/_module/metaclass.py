"""The metaclass that makes classes of modules, and `Module` itself."""

import abc
import dataclasses
import inspect
import sys

from jax import tree_util

from .. import _compat
from .._trees.equal import tree_equal
from .._trees.format import tree_repr
from .._trees.predicates import is_jax_array
from .construction import construct, delete_field, generate_init, set_field
from .fields import Layout, field
from .flattening import register
from .methods import Method, is_method
from .pickling import pack, unpack

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:  # which takes as long to import as a third of the library
    from typing_extensions import dataclass_transform


# Without `frozen_default`: type checkers would then refuse the assignments in an `__init__` written by hand.
@dataclass_transform(field_specifiers=(field, dataclasses.field))
class _ModuleMeta(abc.ABCMeta):
    """Makes each class a frozen dataclass and a pytree node, and watches over the making of its instances."""

    def __new__(mcs, name, bases, namespace, **kwargs):
        if "__slots__" in namespace:
            raise TypeError(
                "`{}` has `__slots__`, but a module keeps its fields in a dictionary. Annotate them instead.".format(
                    name
                )
            )
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        # Like any attribute, an `__init__` written by hand is inherited; dataclasses would generate one over it.
        generate = cls.__init__ is object.__init__ or hasattr(cls.__init__, "generated")
        cls = dataclasses.dataclass(init=False, repr=False, eq=False, frozen=True)(cls)
        if "__doc__" not in namespace:
            cls.__doc__ = None  # dataclasses wrote the signature of the wrong `__init__`
        # The dataclass's own `__setattr__` knows only "frozen"; ours knows a module that is being made.
        cls.__setattr__ = set_field
        cls.__delattr__ = delete_field
        cls.__layout__ = Layout(cls)
        for key, value in namespace.items():
            if (key == "__call__" or not _is_special(key)) and key not in cls.__layout__.names and is_method(value):
                setattr(cls, key, Method(value))
        if generate:
            cls.__init__ = generate_init(cls)
        register(cls)
        return cls

    def __call__(__cls, *args, **kwargs):  # `cls` may be the name of a field
        self = __cls.__new__(__cls, *args, **kwargs)
        if isinstance(self, __cls):
            construct(self, args, kwargs)
        return self

    @property
    def __signature__(cls):
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def _is_special(name):
    return name.startswith("__") and name.endswith("__")


class Module(metaclass=_ModuleMeta):
    """Base class of models: inherit from it, annotate the fields, add methods.

    A subclass is a frozen dataclass and a pytree, whose children are its fields in the order of their annotations.
    So an instance is data, to be passed through `jax.jit`, `jax.grad`, `jax.vmap` like a list or dictionary, and a
    function too once it has a `__call__`:

        class Affine(eqx.Module):
            weight: jax.Array
            bias: jax.Array

            def __call__(self, x):
                return self.weight @ x + self.bias

    The generated `__init__` takes the fields; or write your own, which is inherited as any method is, and assign
    every field in it. Afterwards nothing can be assigned: a changed model is a new one, see `tree_at`.

    Methods read from an instance are pytrees too, with the instance as their child. Any transformation takes one as
    its function, and traces, maps or differentiates what it holds where it is an argument. (`jax.jit(model.method)`
    compiles the arrays of the model into the code as constants; `eqx.filter_jit(model.method)` traces them.) Those of
    a base class that is no `Module` stay Python's own: let it be one, without fields.

    `__check_init__(self)`, if a class has one, runs once the module is complete, the base class's first. `==` is
    `tree_equal`. A module without arrays hashes by value; one with arrays doesn't.

    Raises: ValueError: a field was not set by the end of `__init__`. AttributeError: an attribute that is no field,
        or any after `__init__`. TypeError: wrong arguments, or a static field that is an array or can't be hashed.
    """

    def __eq__(self, other):
        if not isinstance(other, Module):
            return NotImplemented
        return tree_equal(self, other)

    def __hash__(self):
        leaves, treedef = tree_util.tree_flatten(self)
        if any(is_jax_array(x) or _compat.is_numpy_array(x) for x in leaves):
            raise TypeError(
                "unhashable: `{0}` holds arrays. Where JAX wants a function, as `jax.jit` and `lax.cond` do, pass "
                "`model.__call__` or use `eqx.filter_jit(model)`; to use it as a static argument, as a key or in a "
                "set, keep its arrays elsewhere.".format(type(self).__name__)
            )
        return hash((treedef, tuple(leaves)))

    def __repr__(self):
        return tree_repr(self)

    def __copy__(self):
        return _rebuild(type(self), _own_fields(self))

    def __reduce__(self):
        return _rebuild, (type(self), {name: pack(x) for name, x in _own_fields(self).items()})


def _rebuild(cls, fields):
    """What `copy`, `deepcopy` and `pickle` make a module with."""
    self = object.__new__(cls)
    self.__dict__.update((name, unpack(x)) for name, x in fields.items())
    return self


def _own_fields(self):
    """The fields that are set, by name: all but a value that `functools.cached_property` may have left beside them."""
    return {name: x for name, x in self.__dict__.items() if name in self.__layout__.names}
