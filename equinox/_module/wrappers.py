"""`module_update_wrapper`: give a module that wraps a function the name and docstring of the function."""

from __future__ import annotations

from typing import Any, Callable, Optional, TypeVar

from jax import tree_util

from .._trees.layout import layout_of
from .._trees.paths import describe_leaf
from .module import Module
from .names import read_names

M = TypeVar("M", bound=Module)


def module_update_wrapper(wrapper: M, wrapped: Optional[Callable[..., Any]] = None) -> M:
    """Copy a module that wraps a function, and give the copy the name and docstring of the function.

    It is for modules what `functools.update_wrapper` is for functions. The copy has `__module__`, `__name__`,
    `__qualname__`, `__doc__` and `__annotations__` of the function, if the function has them. They are part of the
    structure of the pytree, so transformations and `tree_map` keep them. `inspect.signature` gives the signature of
    `__wrapped__`.

    Args:
        wrapper: The module. It isn't changed. Its class must have a property or a field with the name `__wrapped__`.
        wrapped: The function. The default is `wrapper.__wrapped__`.

    Returns:
        A module of the same class.

    Raises:
        TypeError: `wrapper` is no module.
        TypeError: The class of `wrapper` has no `__wrapped__`.

    Example:
        >>> class Twice(eqx.Module):
        ...     function: Any
        ...
        ...     def __call__(self, x):
        ...         return self.function(self.function(x))
        ...
        ...     @property
        ...     def __wrapped__(self):
        ...         return self.function
        >>> eqx.module_update_wrapper(Twice(jnp.sin)).__name__
        'sin'
    """
    layout = layout_of(wrapper)
    if layout is None:
        raise TypeError("`module_update_wrapper` expects a module, got {}.".format(describe_leaf(wrapper)))
    if not layout.wraps:
        raise TypeError(
            "`module_update_wrapper` expects a module that wraps a function, but `{}` has no `__wrapped__`. Define a "
            "property `__wrapped__` that returns the function.".format(type(wrapper).__name__)
        )
    module: Any = wrapper
    names = read_names(module.__wrapped__ if wrapped is None else wrapped)
    children, treedef = tree_util.tree_flatten(wrapper, is_leaf=lambda x: x is not wrapper)
    new = treedef.unflatten(children)
    new.__dict__.update(names)
    return new
