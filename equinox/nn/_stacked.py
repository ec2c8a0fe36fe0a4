"""`Stacked`: equal layers one after another, compiled once."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Tuple, Union, overload

import jax.numpy as jnp
import jax.random as jrandom
from jax import tree_util

from .._compat.types import Key
from .._module import Partial, field
from .._module.replace import replace_unchecked
from .._transforms.loops import filter_scan
from .._transforms.vmap import filter_vmap
from .._trees.agreement import first_disagreement
from .._trees.predicates import is_array, is_array_like, is_static_function
from ._checks import as_index, as_size, call_layer, check_callable, check_key, in_words
from ._sequential import takes_key
from ._stack import HasStacks, for_each, stack, take
from ._state import State, StatefulLayer, StateIndex, is_stateful
from ._torch_layout import Each


class Stacked(HasStacks, StatefulLayer):
    """Call equal layers one after another. Only one layer is compiled, however many there are.

    The layers have the same structure, shapes and dtypes, and each has its own parameters. They are kept as one layer,
    `layers`, whose arrays have an additional first axis. The call loops over this axis with `jax.lax.scan`. So each
    layer must return what it takes: an array of the same shape and dtype, or a tree of such arrays. The result is that
    of `for layer in stacked: x = layer(x)`.

    `stacked[i]` is one layer, `stacked[1:3]` is a shorter `Stacked`, and `list(stacked)` are all layers.
    `Stacked.from_layers` makes a `Stacked` of a list. To change one layer, write
    `stacked.replace_layer(i, eqx.tree_at(lambda layer: layer.weight, stacked[i], new))`. To change all at once, write
    `eqx.tree_at(lambda s: s.layers.weight, stacked, new)`, where `new` has the additional axis.

    If the layers are stateful, make the model with `eqx.nn.make_with_state`. The state of all layers is kept together:
    each of its arrays has the additional first axis, too. So `stacked[i]` can't be called with this state.

    Args:
        make_layer: A function from a PRNG key to a layer. It is called once, on a traced key, as in `jax.vmap`.
        depth: The number of layers.
        unroll: How many layers one iteration of the compiled loop has. More may run faster, and compile more slowly.
        checkpoint: Whether to compute the values inside a layer once more when gradients need them, and not to keep
            them in memory. Instead of `True`, a policy of `jax.checkpoint_policies` says which values are kept.
        key: A PRNG key. It is split, so that each layer has its own key. It isn't kept.

    Shapes:
        The call takes and returns what each layer takes. Parameters: those of a layer, with a first axis of length
        `depth`.

    Initialisation:
        Layer `i` is `make_layer(jax.random.split(key, depth)[i])`.

    Raises:
        ValueError: `depth` or `unroll` is below 1.
        TypeError: `depth` or `unroll` is no integer.
        TypeError: `make_layer` can't be called, or returns what can't be called.
        TypeError: `checkpoint` is no bool and no function.
        TypeError: `key` is no PRNG key.

    Example:
        >>> stacked = eqx.nn.Stacked(lambda key: eqx.nn.Linear(3, 3, key=key), 8, key=jax.random.PRNGKey(0))
        >>> stacked(jnp.ones(3)).shape, stacked.layers.weight.shape, stacked[0].weight.shape
        ((3,), (8, 3, 3), (3, 3))
    """

    layers: Any = field(static=is_static_function)
    depth: int = field(static=True)
    unroll: int = field(static=True)
    checkpoint: Union[bool, Callable[..., Any]] = field(static=True)

    def __init__(
        self,
        make_layer: Callable[[Key], Any],
        depth: int,
        *,
        unroll: int = 1,
        checkpoint: Union[bool, Callable[..., Any]] = False,
        key: Key,
    ) -> None:
        check_callable(make_layer, "make_layer", "Stacked")
        self.depth = as_size(depth, "depth", "Stacked")
        self.unroll, self.checkpoint = _as_options(unroll, checkpoint)
        check_key(key, "Stacked")
        self.layers = filter_vmap(make_layer)(jrandom.split(key, self.depth))
        check_callable(self.layers, "make_layer(key)", "Stacked")

    @classmethod
    def from_layers(
        cls, layers: Iterable[Any], *, unroll: int = 1, checkpoint: Union[bool, Callable[..., Any]] = False
    ) -> Stacked:
        """Stack the layers of a list.

        Args:
            layers: Layers of the same structure, shapes and dtypes. Functions, sizes and flags in them are the same.
            unroll: As in the class.
            checkpoint: As in the class.

        Returns:
            A `Stacked`. `list` of it gives the layers back.

        Raises:
            ValueError: There is no layer, or two layers differ. The message says where.
            TypeError: A layer can't be called.
            TypeError: `layers` isn't iterable.

        Example:
            >>> layers = [eqx.nn.Linear(3, 3, key=key) for key in jax.random.split(jax.random.PRNGKey(0), 4)]
            >>> len(eqx.nn.Stacked.from_layers(layers))
            4
        """
        if not hasattr(layers, "__iter__"):
            raise TypeError("`Stacked.from_layers` expects a list or tuple of layers, got {}.".format(in_words(layers)))
        layers = list(layers)
        if not layers:
            raise ValueError("`Stacked.from_layers` expects at least one layer, got none.")
        for i, layer in enumerate(layers):
            check_callable(layer, "layers[{}]".format(i), "Stacked.from_layers")
        layers = [_with_keys_of(layers[0], layer) for layer in layers]
        for i, layer in enumerate(layers):
            _check_equal(layers[0], layer, "layers[{}]".format(i), "`Stacked.from_layers` takes equal layers. It")
        unroll, checkpoint = _as_options(unroll, checkpoint)
        fields = {"layers": stack(layers), "depth": len(layers), "unroll": unroll, "checkpoint": checkpoint}
        return replace_unchecked(cls.__new__(cls), fields)

    def __call__(self, x: Any, state: Optional[State] = None, *, key: Optional[Key] = None, **kwargs: Any) -> Any:
        """Call the layers in their order.

        Args:
            x: What the first layer takes.
            state: The state of the layers. It is needed if they are stateful.
            key: A PRNG key. It is split, so that each layer has its own key.
            **kwargs: They are passed to every layer, such as a mask.

        Returns:
            What the last layer returns. If `state` is given, `(output, new state)`.

        Raises:
            ValueError: The layers are stateful, and `state` isn't given.
            ValueError: A layer returns another structure, shape or dtype than it takes.
            ValueError: An array of `layers` has another axis first, as after `jax.vmap` over the construction.
            TypeError: `key` is no PRNG key.

        Example:
            >>> step = eqx.nn.Stacked.from_layers([eqx.nn.Lambda(lambda x: x + 1)] * 3)
            >>> float(step(0.0))
            3.0
        """
        stateful = is_stateful(self.layers)
        if stateful and state is None:
            raise ValueError(
                "`Stacked` needs a state, because its layers, each a `{}`, are stateful. Make model and state with "
                "`eqx.nn.make_with_state`, and call `y, state = model(x, state)`.".format(type(self.layers).__name__)
            )
        keys = None
        if key is not None:
            check_key(key, "Stacked")
            keys = jrandom.split(key, self.depth) if takes_key(self.layers) else None
        x = tree_util.tree_map(lambda leaf: jnp.asarray(leaf) if is_array_like(leaf) else leaf, x)
        layers = for_each(self.layers, self.depth, "layers", "Stacked")
        values: Any = state.substate(self.layers) if stateful and state is not None else None
        step = Partial(_call_with, kwargs) if kwargs else _call  # JAX knows `_call` again, and compiles it once
        x, values = filter_scan(
            step, x, (layers, values, keys), self.depth, unroll=self.unroll, checkpoint=self.checkpoint
        )
        if state is None:
            return x
        return x, state if values is None else state.update(values)

    def is_stateful(self) -> bool:
        """Say whether the layers take and return a state.

        Returns:
            Whether the call needs a `state`.

        Example:
            >>> eqx.nn.Stacked(lambda key: eqx.nn.Dropout(0.5), 2, key=jax.random.PRNGKey(0)).is_stateful()
            False
        """
        return is_stateful(self.layers)

    def replace_layer(self, index: int, layer: Any) -> Stacked:
        """Make a `Stacked` with another layer at one place.

        Args:
            index: The number of the layer. A negative one counts from the end.
            layer: A layer with the structure, shapes and dtypes of the others.

        Returns:
            A new `Stacked`.

        Raises:
            IndexError: There is no layer `index`.
            ValueError: `layer` differs from the others. The message says where.
            TypeError: `index` is no integer.

        Example:
            >>> stacked = eqx.nn.Stacked(lambda key: eqx.nn.Linear(3, 3, key=key), 8, key=jax.random.PRNGKey(0))
            >>> layer = eqx.tree_at(lambda layer: layer.bias, stacked[2], jnp.ones(3))
            >>> stacked.replace_layer(2, layer).layers.bias[2].tolist()
            [1.0, 1.0, 1.0]
        """
        index = as_index(index, self.depth, "Stacked")
        layer = _with_keys_of(self.layers, layer)
        _check_equal(take(self.layers, index), layer, "layer", "`Stacked.replace_layer`")
        layers = tree_util.tree_map(
            lambda x, leaf: jnp.asarray(x).at[index].set(leaf) if is_array(leaf) else x, self.layers, layer
        )
        return replace_unchecked(self, {"layers": layers})

    def __len__(self) -> int:
        return self.depth

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Stacked: ...
    def __getitem__(self, index: Union[int, slice]) -> Any:
        if isinstance(index, slice):
            depth = len(range(self.depth)[index])
            return replace_unchecked(self, {"layers": take(self.layers, index), "depth": depth})
        return _with_own_indices(take(self.layers, as_index(index, self.depth, "Stacked")))

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(self.depth))

    def _torch_names(self) -> Dict[str, Any]:
        return {"": Each(self.layers, self.depth)}

    def _stacks(self) -> Tuple[str, ...]:
        return (".layers",)


def _as_options(unroll: Any, checkpoint: Any) -> Tuple[int, Union[bool, Callable[..., Any]]]:
    """`unroll` and `checkpoint`, checked."""
    if not isinstance(checkpoint, bool):
        check_callable(checkpoint, "checkpoint", "Stacked")
    return as_size(unroll, "unroll", "Stacked"), checkpoint


def _call(x: Any, each: Any) -> Any:
    return _call_with({}, x, each)


def _call_with(options: Dict[str, Any], x: Any, each: Any) -> Any:
    """Call one layer. `each` is the layer, its state and its key. The last two may be `None`."""
    layer, state, key = each
    if key is not None:
        options = dict(options, key=key)
    if state is None:
        y = call_layer("layers", layer, x, **options)
    else:
        y, state = call_layer("layers", layer, x, state, **options)
    _check_equal(x, y, "output", "`Stacked` calls each layer on the output of the layer before. So it")
    return y, state


def _check_equal(expected: Any, got: Any, root: str, who: str) -> None:
    difference = first_disagreement(expected, got, root)
    if difference is not None:
        raise ValueError("{} expects `{}` to be {}, got {}.".format(who, *difference[:3]))


# Indices of the state. All layers share the key of an index, because their values are kept together.


def _is_index(x: Any) -> bool:
    return isinstance(x, StateIndex)


def _with_keys_of(first: Any, layer: Any) -> Any:
    """`layer`, whose indices have the keys of those of `first`, in the order of flattening."""
    leaves, structure = tree_util.tree_flatten(layer, is_leaf=_is_index)
    indices = [x for x in tree_util.tree_flatten(first, is_leaf=_is_index)[0] if _is_index(x)]
    if len(indices) != sum(map(_is_index, leaves)):
        return layer  # the comparison that follows says where it differs
    keys = iter([x.key for x in indices])
    return structure.unflatten([replace_unchecked(x, {"key": next(keys)}) if _is_index(x) else x for x in leaves])


def _with_own_indices(layer: Any) -> Any:
    """`layer`, whose indices are new, with their first values. Without first values they stay as they are."""

    def own(x: Any) -> Any:
        return StateIndex(x.init) if _is_index(x) and x.init is not None else x

    return tree_util.tree_map(own, layer, is_leaf=_is_index)
