"""`Sequential`: layers that are called one after another."""

import inspect
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Tuple, Union, overload

import jax.random as jrandom

from .._compat.types import Key
from .._module import field
from .._module.replace import select_items
from .._trees.predicates import is_static_function
from ._checks import as_index, call_layer, check_callable, check_key, in_words
from ._state import State, StatefulLayer, as_state, is_stateful


class Sequential(StatefulLayer):
    """Call layers one after another. Each is called on what the previous one returned.

    A layer is anything that can be called, such as `jax.nn.relu`. If the call of the `Sequential` has a `key`, each
    layer that takes an argument `key` (or `**kwargs`) gets its own key. `model[0]` is a layer, and `model[1:]` is a
    shorter `Sequential`.

    A `StatefulLayer` is called on a `State` too. Then the call of the `Sequential` takes the state and returns the new
    one. A state may be given to any `Sequential`.

    A layer that is a function is part of the structure of the tree. It is no leaf. Functions compare by identity: if
    each of two models is made with its own lambda, the models have different structures.

    Args:
        layers: A list, tuple or other iterable of layers. They are kept as the tuple `layers`. An empty list makes the
            identity.

    Shapes:
        input: What the first layer takes. The output: what the last layer returns, as in `torch.nn.Sequential`.

    Raises:
        TypeError: `layers` isn't iterable.
        TypeError: A layer can't be called.

    Example:
        >>> linear = eqx.nn.Linear(3, 2, key=jax.random.PRNGKey(0))
        >>> model = eqx.nn.Sequential([linear, jax.nn.relu])
        >>> model(jnp.ones(3)).shape
        (2,)
        >>> len(jax.tree_util.tree_leaves(model))
        2
    """

    layers: Tuple[Any, ...] = field(static=is_static_function)

    def __init__(self, layers: Iterable[Callable[..., Any]]) -> None:
        try:
            layers = iter(layers)
        except TypeError:
            raise TypeError(
                "`Sequential` expects `layers` to be a list or tuple of layers, got {}: write "
                "`Sequential([layer, ...])`.".format(in_words(layers))
            ) from None
        self.layers = tuple(layers)
        for i, layer in enumerate(self.layers):
            check_callable(layer, "layers[{}]".format(i), "Sequential")

    def __call__(self, input: Any, state: Optional[State] = None, *, key: Optional[Key] = None) -> Any:
        """Call the layers in their order.

        Args:
            input: What the first layer takes.
            state: The state of the layers. It is needed if a layer is stateful.
            key: A PRNG key. It is split, so that each layer has its own key.

        Returns:
            What the last layer returns. Without layers, `input`. If `state` is given, `(output, new state)`.

        Raises:
            TypeError: `key` is no PRNG key, or `state` is no `State`.
            ValueError: A layer is stateful, and `state` isn't given.
            TypeError or ValueError: The error of a layer. Its message ends with the path of the layer.

        Example:
            >>> model = eqx.nn.Sequential([jnp.abs, eqx.nn.Dropout(0.5)])
            >>> model(jnp.ones(3), key=jax.random.PRNGKey(0)).shape
            (3,)
        """
        if key is not None:
            check_key(key, "Sequential")
        with_key = [key is not None and takes_key(layer) for layer in self.layers]
        keys: Any = () if key is None or not any(with_key) else jrandom.split(key, len(self.layers))
        # A call that fails doesn't spend the state. So the layers work with a copy.
        first: Any = None if state is None else as_state(state, "Sequential")._copy()
        current = first
        for i, layer in enumerate(self.layers):
            options = {"key": keys[i]} if with_key[i] else {}
            stateful = is_stateful(layer)
            if stateful and current is None:
                raise ValueError(
                    "`Sequential` needs a state, because `layers[{}]`, a `{}`, is stateful. Make model and state with "
                    "`eqx.nn.make_with_state`, and call `y, state = model(x, state)`.".format(i, type(layer).__name__)
                )
            path = "layers[{}]".format(i)
            if stateful:
                input, current = call_layer(path, layer, input, current, **options)
            else:
                input = call_layer(path, layer, input, **options)
        return input if state is None else (input, state._follow(first, current))

    def is_stateful(self) -> bool:
        """Say whether one of the layers takes and returns a state.

        Returns:
            Whether the call needs a `state`.

        Example:
            >>> eqx.nn.Sequential([jnp.abs]).is_stateful()
            False
        """
        return any(map(is_stateful, self.layers))

    def _torch_names(self) -> Dict[str, Any]:
        return {str(i): layer for i, layer in enumerate(self.layers)}

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: Union[int, slice]) -> Any:
        if isinstance(index, slice):
            return select_items(self, "layers", index)
        return self.layers[as_index(index, len(self.layers), "Sequential")]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)


def takes_key(layer: Any) -> bool:
    """Whether `layer` can be called as `layer(x, key=...)`."""
    try:
        parameters = list(inspect.signature(layer).parameters.values())
    except (TypeError, ValueError):  # some functions written in C have no signature
        return False
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return True
    return any(p.name == "key" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters[1:])
