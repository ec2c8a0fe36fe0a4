"""`Shared`: one parameter at two places of a model."""

from __future__ import annotations

from typing import Any, Callable, Dict, Union

from .._compat.types import PyTree
from .._module import Module, field
from .._trees.agreement import agrees, first_disagreement
from .._trees.at import tree_at
from .._trees.predicates import is_array
from .._trees.select import select
from ._checks import in_words

Where = Union[str, Callable[[Any], Any]]  # a pattern of paths, or a function from a tree to nodes


class Shared(Module):
    """Use one node of a tree at another place too, such as the weight of an embedding in the last layer.

    The nodes at `where` are taken out of the tree, so each shared parameter is one leaf. A call gives the tree with
    what `get` returns at `where`. So the gradient of a shared parameter is the sum over its places. A plain Python
    reference to the same array at two places isn't enough: in a pytree these are two leaves, and an update makes them
    different.

    Args:
        pytree: A tree, such as a model, or a tuple of layers.
        where: The pattern of the paths of the nodes that are taken out, as `eqx.select` takes it, such as
            `".head.weight"`. Or a function from the tree to the node, or to a tuple or list of nodes, as in
            `eqx.tree_at`.
        get: The pattern of the paths of as many nodes, which replace those at `where`. Or a function from the tree to
            what replaces them. It may compute, such as a transpose. It gets the tree in which the nodes at `where` are
            `None`.

    A pattern means a tuple of nodes, also if it selects one node. If only one of `where` and `get` is a pattern, the
    other one returns a tuple too.

    A model is pickled with `where` and `get`. They are patterns, or functions that Python can pickle: those defined at
    the top of a file. A lambda can't be pickled.

    Shapes:
        What `get` returns has the structure, shapes and dtypes of what is at `where`.

    Raises:
        TypeError: `where` or `get` is no pattern and can't be called.
        ValueError: A pattern selects nothing. The message shows near paths.
        ValueError: What `get` returns differs from what is at `where`. The message says where.
        ValueError: `where` returns something that is no node of the tree.

    Example:
        >>> keys = jax.random.split(jax.random.PRNGKey(0))
        >>> class Model(eqx.Module):
        ...     shared: eqx.nn.Shared
        ...
        ...     def __init__(self):
        ...         layers = [eqx.nn.Linear(3, 3, key=key) for key in keys]
        ...         self.shared = eqx.nn.Shared(layers, where="[1].weight", get="[0].weight")
        ...
        ...     def __call__(self, x):
        ...         first, second = self.shared()
        ...         return second(first(x))
        >>> model = Model()
        >>> model(jnp.ones(3)).shape
        (3,)
        >>> [path for path, _ in eqx.named_leaves(model)]
        ['.shared.pytree[0].weight', '.shared.pytree[0].bias', '.shared.pytree[1].bias']
    """

    pytree: Any
    where: Callable[[Any], Any] = field(static=True)
    get: Callable[[Any], Any] = field(static=True)

    def __init__(self, pytree: PyTree, where: Where, get: Where) -> None:
        self.where = _as_function(where, "where", pytree)
        self.get = _as_function(get, "get", pytree)
        self.pytree = tree_at(self.where, pytree, replace_fn=lambda node: None)
        difference = first_disagreement(self.where(pytree), self.get(self.pytree), "get(pytree)", _may_share)
        if difference is not None:
            raise ValueError("`Shared` expects `{}` to be {}, as at `where`, got {}.".format(*difference[:3]))

    def __call__(self) -> Any:
        """Give the whole tree.

        Returns:
            The tree, with what `get` returns at `where`.

        Raises:
            ValueError: `where` returns something that is no node of the tree, because the tree was changed.
            TypeError: `where` returns several nodes, and `get` returns no tuple or list.

        Example:
            >>> shared = eqx.nn.Shared([jnp.ones(2), jnp.ones(2)], where=lambda x: x[1], get=lambda x: 2 * x[0])
            >>> shared()[1].tolist()
            [2.0, 2.0]
        """
        return tree_at(self.where, self.pytree, self.get(self.pytree))

    def _torch_names(self) -> Dict[str, Any]:
        """PyTorch has a shared parameter at both places."""
        try:
            return {"": self()}
        except Exception:  # `get` computes with arrays, and here are none
            return {"": self.pytree}


def _as_function(value: Any, name: str, pytree: PyTree) -> Callable[[Any], Any]:
    """`value`, the argument `name`, as a function from `pytree` to nodes."""
    if isinstance(value, str):
        return select(pytree, value)
    if not callable(value):
        raise TypeError(
            "`Shared` expects `{}` to be a pattern of paths or a function from the tree to nodes, got {}.".format(
                name, in_words(value)
            )
        )
    return value


def _may_share(expected: Any, got: Any) -> bool:
    return agrees(expected, got) if is_array(expected) or is_array(got) else True
