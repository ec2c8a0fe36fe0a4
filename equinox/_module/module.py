"""`Module`: the base class of models."""

from __future__ import annotations

from typing import Any, Dict

from jax import tree_util

from .. import _compat
from .._trees.equal import tree_equal
from .._trees.format import tree_repr
from .._trees.predicates import is_jax_array
from .metaclass import ModuleMeta
from .pickling import deep_copy, get_state, reduce, set_state, shallow_copy
from .static_fields import HasDecision


class Module(HasDecision, metaclass=ModuleMeta):
    """Base class of models. To define a model, inherit from it, annotate the fields and add methods.

    A subclass is a frozen dataclass and a pytree. The fields are the children of the pytree, in the order of their
    annotations. So an instance is data: `jax.jit`, `jax.grad` and `jax.vmap` take it like a list or a dictionary. If
    the class has a method `__call__`, an instance is also a function.

    The generated `__init__` takes the fields. A class may define its own `__init__` instead, which must assign every
    field. Subclasses inherit it like any method. After `__init__` no field can be assigned. `tree_at` and `replace`
    make a changed copy. Filtered functions rely on this: if a module is the same object, its fields are the same. To
    change a field with `object.__setattr__` isn't supported.

    Methods of an instance are pytrees too. Their child is the instance. Every transformation takes a method as its
    function. If a method is an argument, the transformation traces, maps or differentiates the arrays of its instance.
    `jax.jit(model.method)` compiles the arrays of the model as constants. `eqx.filter_jit(model.method)` traces them.
    If a method comes from a base class that is no `Module`, it stays an ordinary method of Python. Make that base class
    a `Module` without fields to change this.

    A class may be abstract: see `abc.abstractmethod` and `AbstractVar`. A class may be made with `strict=True`, as in
    `class A(eqx.Module, strict=True)`. Then it is an error to inherit from a concrete class, to override a method that
    isn't abstract, and to make a subclass of `A` if `A` is concrete. `__check_init__` and the special methods of
    `Module`, such as `__init__`, may be overridden.

    A class may define `__check_init__(self)`. It runs when the module is complete. The method of the most derived class
    runs first. `==` is `tree_equal`. A module has a hash if it holds no arrays.

    `copy` and `pickle` copy the fields unchanged. A class may define `__getstate__` and `__setstate__`. `__setstate__`
    may assign the fields. A pickle can run any code when it is loaded: load only pickles that you trust.

    Raises:
        ValueError: A field has no value at the end of `__init__`.
        AttributeError: `__init__` assigns an attribute that is no field.
        AttributeError: An attribute is assigned after `__init__`.
        TypeError: The arguments are wrong.
        TypeError: The class is abstract.
        TypeError: A static field holds an array or can't be hashed.

    Example:
        >>> class Affine(eqx.Module):
        ...     weight: Any
        ...     bias: Any
        ...
        ...     def __call__(self, x):
        ...         return self.weight * x + self.bias
        >>> affine = Affine(jnp.array(2.0), jnp.array(1.0))
        >>> float(jax.jit(lambda model, x: model(x))(affine, 3.0))
        7.0
        >>> float(jax.grad(lambda model: model(3.0))(affine).weight)
        3.0
    """

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Module):
            return NotImplemented
        return tree_equal(self, other)

    def __hash__(self) -> int:
        leaves, treedef = tree_util.tree_flatten(self)
        if any(is_jax_array(x) or _compat.is_numpy_array(x) for x in leaves):
            raise TypeError(
                "unhashable: `{0}` holds arrays. If JAX expects a function, as `jax.jit` and `lax.cond` do, pass "
                "`model.__call__` or use `eqx.filter_jit(model)`. To use it as a static argument, as a key or in a "
                "set, keep its arrays outside of it.".format(type(self).__name__)
            )
        return hash((treedef, tuple(leaves)))

    def __repr__(self) -> str:
        return tree_repr(self)

    def __getstate__(self) -> Dict[str, Any]:
        return get_state(self)

    def __setstate__(self, state: Any) -> None:
        set_state(self, state)

    __reduce__ = reduce
    __copy__ = shallow_copy
    __deepcopy__ = deep_copy
