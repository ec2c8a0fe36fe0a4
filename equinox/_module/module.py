"""`Module`: the base class of models."""

from jax import tree_util

from .. import _compat
from .._trees.equal import tree_equal
from .._trees.format import tree_repr
from .._trees.predicates import is_jax_array
from .metaclass import ModuleMeta
from .pickling import deep_copy, get_state, reduce, set_state, shallow_copy
from .static_fields import HasDecision


class Module(HasDecision, metaclass=ModuleMeta):
    """Base class of models: inherit from it, annotate the fields, add methods.

    A subclass is a frozen dataclass and a pytree. Its fields are the children, in the order of their annotations. So an
    instance is data: it goes through `jax.jit`, `jax.grad` and `jax.vmap` as a list or a dictionary does. With a method
    `__call__` it is a function, too.

    The generated `__init__` takes the fields. A class may define its own instead, which assigns every field and is
    inherited as any method is. After `__init__` nothing can be assigned: a changed model is a new one, see `tree_at`
    and `replace`. Filtered functions rely on it: that a module is the same object means that its fields are the same.
    To change a field by force, with `object.__setattr__`, is outside of what the library supports.

    Methods of an instance are pytrees as well, with the instance as their child. Any transformation takes one as its
    function, and traces, maps or differentiates what it holds where it is an argument. `jax.jit(model.method)` compiles
    the arrays of the model into the code as constants; `eqx.filter_jit(model.method)` traces them. Methods of a base
    class that is no `Module` stay Python's own methods. Such a base may be a `Module` without fields.

    A class may define `__check_init__(self)`. It runs when the module is complete, that of the most derived class
    first. `==` is `tree_equal`. A module without arrays has a hash, one with arrays has none.

    `copy` and `pickle` take the fields as they are. A class may define `__getstate__` and `__setstate__`, which may
    assign the fields. A pickle can run any code when it is loaded: load only pickles that you trust.

    Raises:
        ValueError: If a field was not set by the end of `__init__`.
        AttributeError: If an attribute is assigned that is no field, or any attribute after `__init__`.
        TypeError: If the arguments are wrong.
        TypeError: If a static field holds an array, or can't be hashed.

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

    def __getstate__(self):
        return get_state(self)

    def __setstate__(self, state):
        set_state(self, state)

    __reduce__ = reduce
    __copy__ = shallow_copy
    __deepcopy__ = deep_copy
