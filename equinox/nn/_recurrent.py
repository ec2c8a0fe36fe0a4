"""`RNN`, `GRU` and `LSTM`: recurrent networks over a whole sequence, by `jax.lax.scan`."""

import inspect
import re
from typing import Any, Callable, ClassVar, Dict, List, NamedTuple, Optional, Tuple

import jax.numpy as jnp
import jax.random as jrandom
from jax import core, lax, tree_util

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._cells import Cell, GRUCell, LSTMCell
from ._checks import as_array_of, as_bool, as_size, check_callable, check_key, columns, in_words
from ._dropout import TURN_OFF, Dropout, as_dropout, check_dropout_key
from ._parameters import Initialiser
from ._reparametrised import innermost, unwrap
from ._state import is_stateful
from ._torch_layout import own_names, torch_contents

_BATCHED = "jax.vmap(layer)(xs)"


class RNN(Module):
    """Call a cell on each element of a sequence, one after another. Each call gets the state that the last one gave.

    The products of all inputs with the weights of a cell of `eqx.nn` are computed at once, before the scan. With an
    `RNNCell` it is one layer of `torch.nn.RNN`.

    Args:
        cell: An `RNNCell`, a `GRUCell`, an `LSTMCell`, or any callable `(x, state) -> new_state`.
        unroll: The number of steps in one iteration of the compiled loop. More may be faster, and compile longer.

    Shapes:
        xs: `(length, input_size)`. ys: `(length, hidden_size)`. `initial` and `final` are states of the cell.
            Use `jax.vmap(rnn)(xs)` for a batch. It may map over `lengths` too.

    Raises:
        ValueError: `unroll` is below 1, or `cell` takes a `State`.
        TypeError: `unroll` is no integer.
        TypeError: `cell` can't be called, or not with two arguments.

    Example:
        >>> rnn = eqx.nn.RNN(eqx.nn.GRUCell(3, 2, key=jax.random.PRNGKey(0)))
        >>> ys, final = rnn(jnp.ones((5, 3)))
        >>> ys.shape, final.shape
        ((5, 2), (2,))
    """

    cell: Any
    unroll: int = field(static=True)

    def __init__(self, cell: Callable[..., Any], *, unroll: int = 1) -> None:
        check_callable(cell, "cell", "RNN")
        if not _takes_two(innermost(cell)):
            raise TypeError(
                "`RNN` expects `cell` to be a cell such as `GRUCell`, or a function `(x, state) -> new_state`, got {}. "
                "It can't be called with two arguments.".format(in_words(cell))
            )
        if is_stateful(cell):
            raise ValueError(
                "`RNN` can't pass a `State` to its cell, but `{}` is stateful. Write the loop with "
                "`eqx.filter_scan`, or use `WeightNorm`.".format(type(cell).__name__)
            )
        self.cell = cell
        self.unroll = as_size(unroll, "unroll", "RNN")

    def __call__(
        self,
        xs: AnyArray,
        initial: Any = None,
        *,
        lengths: Optional[Any] = None,
        reverse: bool = False,
        key: Optional[Key] = None,
    ) -> Tuple[Any, Any]:
        """Call the cell on each element of `xs`.

        Args:
            xs: An array of shape `(length, input_size)`. A cell of your own may take any tree of arrays with this
                leading axis.
            initial: The first state. The default is zeros. A cell of your own needs it.
            lengths: How many elements of `xs` count, an integer. The rest is padding: it has no effect, and ys are
                zeros there. Under `jax.vmap` each sequence has its own. If it is traced and not from 0 to `length`,
                ys and `final` are NaN.
            reverse: Whether to begin at the end of the sequence. Each y stays at the place of its x.
            key: It is ignored. Every layer takes a key.

        Returns:
            The pair `(ys, final)`, in the common dtype of `xs` and `initial`. For an `LSTMCell`, ys are the h's, and
            final is `(h, c)`. For a cell of your own, ys are all states.

        Raises:
            ValueError: `xs` or `initial` has another shape.
            ValueError: `initial` is missing for a cell of your own.
            ValueError: The cell is a stack of cells, as `jax.vmap` over the construction makes it.
            TypeError: `xs` or `initial` can't be made into arrays, or `initial` is no pair for an `LSTMCell`.
            ValueError: `lengths` is below 0 or above the length of `xs`, and not traced.
            TypeError: `lengths` is no integer, or `reverse` no bool.

        Example:
            >>> rnn = eqx.nn.RNN(eqx.nn.GRUCell(3, 2, key=jax.random.PRNGKey(0)))
            >>> ys, final = rnn(jnp.ones((5, 3)), lengths=4)
            >>> bool((ys[3] == final).all()), ys[4].tolist()
            (True, [0.0, 0.0])
        """
        reverse = as_bool(reverse, "reverse", "RNN")
        cell, _ = unwrap(self.cell, None)  # a wrapper such as `WeightNorm` computes its weight once, before the scan
        if isinstance(cell, Cell):
            xs = _as_sequence(xs, cell, "RNN")
            states = _as_states(initial, cell, (), xs.dtype, "RNN")
            ys, states = _scan_cell(cell, xs, states, _padding(lengths, len(xs), "RNN"), reverse, self.unroll)
            return ys, _as_state(states)
        if initial is None:
            raise ValueError("`RNN` needs `initial`, the first state of {}.".format(in_words(self.cell)))
        padding = None if lengths is None else _padding(lengths, len(tree_util.tree_leaves(xs)[0]), "RNN")

        def step(state: Any, x: Any) -> Tuple[Any, Any]:
            state = cell(x, state)
            return state, state

        final, ys = _scan_valid(step, tree_util.tree_map(jnp.asarray, initial), xs, padding, reverse, self.unroll)
        return ys, final

    def _torch_names(self) -> Dict[str, Any]:
        is_cell = isinstance(innermost(self.cell), Cell)
        return _with_suffix(torch_contents(self.cell), "_l0") if is_cell else own_names(self)


def _with_suffix(names: Dict[str, Any], suffix: str) -> Dict[str, Any]:
    """What a cell holds in PyTorch, as a recurrent network holds it: its parameters get `suffix`, also in wrappers."""
    return {
        re.sub(r"^(weight|bias)_(ih|hh)$", r"\g<0>" + suffix, name): (
            _with_suffix(item, suffix) if type(item) is dict else item
        )
        for name, item in names.items()
    }


def _takes_two(cell: Callable[..., Any]) -> bool:
    """Whether a cell can be called as `cell(x, state)`."""
    try:
        signature = inspect.signature(cell)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


class _Layers(Module):
    """Cells in layers, each of one or two directions. A layer gets what the previous one returned."""

    layers: Tuple[Tuple[Any, ...], ...]
    dropout: Optional[Dropout]
    input_size: int = field(static=True)
    hidden_size: int = field(static=True)
    num_layers: int = field(static=True)
    bidirectional: bool = field(static=True)
    unroll: int = field(static=True)

    _make_cell: ClassVar[Any]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: Any = 0.0,
        use_bias: bool = True,
        dtype: Any = None,
        *,
        unroll: int = 1,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        layer = type(self).__name__
        self.input_size = as_size(input_size, "input_size", layer)
        self.hidden_size = as_size(hidden_size, "hidden_size", layer)
        self.num_layers = as_size(num_layers, "num_layers", layer)
        self.bidirectional = as_bool(bidirectional, "bidirectional", layer)
        self.unroll = as_size(unroll, "unroll", layer)
        use_bias = as_bool(use_bias, "use_bias", layer)
        check_key(key, layer)
        between = as_dropout(dropout, "dropout", layer)
        self.dropout = None if self.num_layers == 1 else between
        directions = 2 if self.bidirectional else 1
        keys = jrandom.split(key, self.num_layers * directions)

        def make(i: int, size: int) -> Any:
            options = {"dtype": dtype, "weight_init": weight_init, "bias_init": bias_init}
            return type(self)._make_cell(size, self.hidden_size, use_bias=use_bias, key=keys[i], **options)

        sizes = [self.input_size] + [directions * self.hidden_size] * (self.num_layers - 1)
        self.layers = tuple(
            tuple(make(i * directions + d, size) for d in range(directions)) for i, size in enumerate(sizes)
        )

    def _torch_names(self) -> Dict[str, Any]:
        names: Dict[str, Any] = {}
        for i, cells in enumerate(self.layers):
            for cell, direction in zip(cells, ("", "_reverse")):
                names.update(_with_suffix(torch_contents(cell), "_l{}{}".format(i, direction)))
        return names

    def _scan(self, xs: AnyArray, initial: Any, lengths: Any, reverse: Any, key: Optional[Key]) -> Tuple[Array, Any]:
        layer = type(self).__name__
        reverse = as_bool(reverse, "reverse", layer)
        if key is not None:
            check_key(key, layer)
        first = self.layers[0][0]
        count = sum(map(len, self.layers))
        xs = _as_sequence(xs, first, layer)
        states = _as_states(initial, first, (count,), xs.dtype, layer)
        padding = _padding(lengths, len(xs), layer)
        check_dropout_key(self.dropout, key, None, layer, TURN_OFF)
        keys: Any = [None] * len(self.layers)
        if key is not None and self.dropout is not None:
            keys = jrandom.split(key, len(self.layers))
        finals: List[Any] = []
        for i, cells in enumerate(self.layers):
            if i > 0 and self.dropout is not None:
                xs = self.dropout(xs, key=keys[i])
            outputs = []
            for d, cell in enumerate(cells):
                start = tuple(state[len(finals)] for state in states)
                ys, final = _scan_cell(cell, xs, start, padding, reverse != (d == 1), self.unroll)
                outputs.append(ys)
                finals.append(final)
            xs = outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=-1)
        return xs, _as_state(tuple(jnp.stack(parts) for parts in zip(*finals)))


class GRU(_Layers):
    """A gated recurrent unit over a sequence: layers of `GRUCell`, in one or two directions.

    Each layer gets what the layer below it returns. If `bidirectional` is true, each layer has a second cell that
    begins at the end of the sequence. Its output is appended to that of the first. `GRUCell` has the formula.

    Args:
        input_size: The length of one element of `xs`.
        hidden_size: The length of the state of a cell.
        num_layers: The number of layers.
        bidirectional: Whether each layer has a cell for each direction.
        dropout: The probability of dropping an output of a layer. The last layer's are never dropped.
        use_bias: Whether the cells have biases.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        unroll: The number of steps in one iteration of the compiled loop.
        weight_init: A function that makes the weights of the cells. See `GRUCell`.
        bias_init: A function that makes the biases of the cells. See `GRUCell`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        xs: `(length, input_size)`. ys: `(length, directions * hidden_size)`. Here `directions` is 2 if `bidirectional`.
        initial, final: `(num_layers * directions, hidden_size)`, in the order of PyTorch's `h_n` for one sequence: the
            layers one after another, each with its directions.
        layers: A tuple of `num_layers` tuples of cells. `layers[i][0]` has PyTorch's parameters `weight_ih_l{i}`, ...,
            and `layers[i][1]` has `weight_ih_l{i}_reverse`, ....

    Initialisation:
        As `GRUCell`, which is as in `torch.nn.GRU`.

    Raises:
        ValueError: A size, `num_layers` or `unroll` is below 1.
        ValueError: `dropout` is outside 0 to 1.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size, `num_layers` or `unroll` is no integer, or `dropout` no number.
        TypeError: `bidirectional` or `use_bias` is no bool.
        TypeError: `dtype` is no dtype.
        TypeError: An initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> gru = eqx.nn.GRU(3, 2, num_layers=2, bidirectional=True, key=jax.random.PRNGKey(0))
        >>> ys, final = gru(jnp.ones((5, 3)))
        >>> ys.shape, final.shape
        ((5, 4), (4, 2))
    """

    _make_cell: ClassVar[Any] = GRUCell

    def __call__(
        self,
        xs: AnyArray,
        initial: Optional[AnyArray] = None,
        *,
        lengths: Optional[Any] = None,
        reverse: bool = False,
        key: Optional[Key] = None,
    ) -> Tuple[Array, Array]:
        """Run over one sequence.

        Args:
            xs: An array of shape `(length, input_size)`.
            initial: The first states, of shape `(num_layers * directions, hidden_size)`. The default is zeros.
            lengths: How many elements of `xs` count, an integer. The rest is padding: it has no effect, and ys are
                zeros there, as with PyTorch's `pack_padded_sequence`. Under `jax.vmap` each sequence has its own. If it
                is traced and not from 0 to `length`, ys and the final states are NaN.
            reverse: Whether to begin at the end of the sequence. Each y stays at the place of its x.
            key: A PRNG key for dropout.

        Returns:
            The pair `(ys, final)`, in the common dtype of `xs` and `initial`.

        Raises:
            ValueError: `xs` or `initial` has another shape.
            ValueError: `key` is missing, and the layer has dropout.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `xs` or `initial` can't be made into an array.
            ValueError: `lengths` is below 0 or above the length of `xs`, and not traced.
            TypeError: `lengths` is no integer, `reverse` no bool, or `key` no PRNG key.

        Example:
            >>> gru = eqx.nn.GRU(3, 2, key=jax.random.PRNGKey(0))
            >>> ys, final = jax.vmap(lambda xs, n: gru(xs, lengths=n))(jnp.ones((2, 5, 3)), jnp.array([5, 3]))
            >>> ys.shape, final.shape
            ((2, 5, 2), (2, 1, 2))
        """
        return self._scan(xs, initial, lengths, reverse, key)


class LSTM(_Layers):
    """A long short-term memory over a sequence: layers of `LSTMCell`, in one or two directions.

    Each layer gets what the layer below it returns. If `bidirectional` is true, each layer has a second cell that
    begins at the end of the sequence. Its output is appended to that of the first. `LSTMCell` has the formula.

    Args:
        input_size: The length of one element of `xs`.
        hidden_size: The length of the state of a cell.
        num_layers: The number of layers.
        bidirectional: Whether each layer has a cell for each direction.
        dropout: The probability of dropping an output of a layer. The last layer's are never dropped.
        use_bias: Whether the cells have biases.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        unroll: The number of steps in one iteration of the compiled loop.
        weight_init: A function that makes the weights of the cells. See `LSTMCell`.
        bias_init: A function that makes the biases of the cells. See `LSTMCell`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        xs: `(length, input_size)`. ys: `(length, directions * hidden_size)`. Here `directions` is 2 if `bidirectional`.
        initial, final: The pair `(h, c)`. Each has the shape `(num_layers * directions, hidden_size)`, in the order of
            PyTorch's `h_n` and `c_n` for one sequence: the layers one after another, each with its directions.
        layers: A tuple of `num_layers` tuples of cells. `layers[i][0]` has PyTorch's parameters `weight_ih_l{i}`, ...,
            and `layers[i][1]` has `weight_ih_l{i}_reverse`, ....

    Initialisation:
        As `LSTMCell`, which is as in `torch.nn.LSTM`.

    Raises:
        ValueError: A size, `num_layers` or `unroll` is below 1.
        ValueError: `dropout` is outside 0 to 1.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size, `num_layers` or `unroll` is no integer, or `dropout` no number.
        TypeError: `bidirectional` or `use_bias` is no bool.
        TypeError: `dtype` is no dtype.
        TypeError: An initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> lstm = eqx.nn.LSTM(3, 2, num_layers=2, key=jax.random.PRNGKey(0))
        >>> ys, (h, c) = lstm(jnp.ones((5, 3)))
        >>> ys.shape, h.shape, c.shape
        ((5, 2), (2, 2), (2, 2))
    """

    _make_cell: ClassVar[Any] = LSTMCell

    def __call__(
        self,
        xs: AnyArray,
        initial: Optional[Tuple[AnyArray, AnyArray]] = None,
        *,
        lengths: Optional[Any] = None,
        reverse: bool = False,
        key: Optional[Key] = None,
    ) -> Tuple[Array, Tuple[Array, Array]]:
        """Run over one sequence.

        Args:
            xs: An array of shape `(length, input_size)`.
            initial: The first states, a pair of shape `(num_layers * directions, hidden_size)`. The default is zeros.
            lengths: How many elements of `xs` count, an integer. The rest is padding: it has no effect, and ys are
                zeros there, as with PyTorch's `pack_padded_sequence`. Under `jax.vmap` each sequence has its own. If it
                is traced and not from 0 to `length`, ys and the final states are NaN.
            reverse: Whether to begin at the end of the sequence. Each y stays at the place of its x.
            key: A PRNG key for dropout.

        Returns:
            The pair `(ys, (h, c))`, in the common dtype of `xs` and `initial`.

        Raises:
            ValueError: `xs` or a part of `initial` has another shape.
            ValueError: `key` is missing, and the layer has dropout.
            ValueError: The layer is a stack of layers, as `jax.vmap` over the construction makes it.
            TypeError: `xs` or a part of `initial` can't be made into an array, or `initial` is no pair.
            ValueError: `lengths` is below 0 or above the length of `xs`, and not traced.
            TypeError: `lengths` is no integer, `reverse` no bool, or `key` no PRNG key.

        Example:
            >>> lstm = eqx.nn.LSTM(3, 2, key=jax.random.PRNGKey(0))
            >>> xs = jnp.ones((5, 3))
            >>> first, state = lstm(xs[:2])
            >>> rest, state = lstm(xs[2:], state)
            >>> rest.shape
            (3, 2)
        """
        return self._scan(xs, initial, lengths, reverse, key)


# A state is kept as a tuple of arrays, of which h is the first. Only a user sees the h of a GRU without a tuple.


def _as_state(states: Tuple[Array, ...]) -> Any:
    return states[0] if len(states) == 1 else states


def _as_sequence(xs: AnyArray, cell: Cell, layer: str) -> Array:
    size = columns(cell, "weight_ih")
    columns(cell, "weight_hh")
    next_move = "Reshape it, or make the cell with another `input_size`."
    who = "`{}` with `input_size={}`".format(layer, size)
    return as_array_of(xs, "xs", ("length", size), who, _BATCHED, next_move)


def _as_states(initial: Any, cell: Cell, leading: Tuple[int, ...], dtype: Any, layer: str) -> Tuple[Array, ...]:
    """`initial` as a tuple of arrays of shape `leading + (hidden_size,)`. The default is zeros."""
    shape = leading + (columns(cell, "weight_hh"),)
    number = cell.number_of_states
    if initial is None:
        return (jnp.zeros(shape, dtype if jnp.issubdtype(dtype, jnp.inexact) else cell.weight_hh.dtype),) * number
    who = "`{}`".format(layer)
    if number == 1:
        return (as_array_of(initial, "initial", shape, who, "jax.vmap(layer)(xs, initial)"),)
    is_sequence = isinstance(initial, (tuple, list))
    if not is_sequence or len(initial) != number:
        raise (ValueError if is_sequence else TypeError)(
            "`{}` expects `initial` to be the pair `(h, c)`, got {}.".format(layer, in_words(initial))
        )
    return tuple(
        as_array_of(x, "initial[{}]".format(i), shape, who, "jax.vmap(layer)(xs, initial)")
        for i, x in enumerate(initial)
    )


class _Padding(NamedTuple):
    """Which elements of a sequence are padding."""

    valid: Array  # whether each element counts
    in_range: Optional[Array]  # whether `lengths` is from 0 to the length of the sequence. `None` if it surely is


def _padding(lengths: Any, length: int, layer: str) -> Optional[_Padding]:
    """The padding of a sequence. `None` means that all elements count."""
    if lengths is None:
        return None
    dtype = getattr(lengths, "dtype", None)
    is_integer = type(lengths) is int if dtype is None else jnp.issubdtype(dtype, jnp.integer)
    if not is_integer or getattr(lengths, "shape", ()) != ():
        raise TypeError(
            "`{}` expects `lengths` to be one integer, got {}. For a batch, map over it: "
            "`jax.vmap(lambda xs, n: layer(xs, lengths=n))(xs, lengths)`.".format(layer, in_words(lengths))
        )
    if isinstance(lengths, core.Tracer):
        in_range = (0 <= lengths) & (lengths <= length)
        return _Padding((jnp.arange(length) < lengths) & in_range, in_range)
    if not 0 <= int(lengths) <= length:
        raise ValueError(
            "`{0}` expects `lengths` to be from 0 to {1}, because `xs` has {1} elements, got {2}.".format(
                layer, length, int(lengths)
            )
        )
    return _Padding(jnp.arange(length) < int(lengths), None)


def _scan_cell(
    cell: Cell, xs: Array, states: Tuple[Array, ...], padding: Optional[_Padding], reverse: bool, unroll: int
) -> Tuple[Array, Tuple[Array, ...]]:
    """Scan a cell of this library. Return each h, and the last state as a tuple."""
    xs, *rest = cell.in_one_dtype(_without_padding(xs, padding), *states)
    states, (weight_ih, weight_hh, bias_ih, bias_hh) = tuple(rest[:-4]), rest[-4:]
    # Under `vmap`, this order of the product gives the gates of a batch without a transpose in each step.
    from_inputs, to_gates = xs @ weight_ih.T, weight_hh.T
    if bias_ih is not None:
        from_inputs = from_inputs + bias_ih

    def step(states: Tuple[Array, ...], from_input: Array) -> Tuple[Tuple[Array, ...], Array]:
        from_hidden = states[0] @ to_gates if bias_hh is None else states[0] @ to_gates + bias_hh
        new = cell._step(from_input, from_hidden, _as_state(states))
        new = new if isinstance(new, tuple) else (new,)
        return new, new[0]

    states, ys = _scan_valid(step, states, from_inputs, padding, reverse, unroll)
    return ys, states


def _scan_valid(
    step: Callable[[Any, Any], Tuple[Any, Any]],
    state: Any,
    xs: Any,
    padding: Optional[_Padding],
    reverse: bool,
    unroll: int,
) -> Tuple[Any, Any]:
    """`lax.scan` over the elements that are valid. The others don't change the state, and give zeros.

    If the number of valid elements is out of range, no element is valid. Then the state and the ys are NaN.
    """
    if padding is None:
        return lax.scan(step, state, xs, reverse=reverse, unroll=unroll)
    in_range = padding.in_range
    if in_range is not None:
        state = tree_util.tree_map(lambda x: jnp.where(in_range, x, _filler(x, in_range)), state)

    def masked(state: Any, x_and_valid: Any) -> Tuple[Any, Any]:
        x, is_valid = x_and_valid
        new, y = step(state, x)
        new = tree_util.tree_map(lambda new, old: jnp.where(is_valid, new, old), new, state)
        return new, tree_util.tree_map(lambda y: jnp.where(is_valid, y, _filler(y, in_range)), y)

    return lax.scan(masked, state, (_without_padding(xs, padding), padding.valid), reverse=reverse, unroll=unroll)


def _filler(x: Array, in_range: Optional[Array]) -> Array:
    """What stands in the place of `x` in the padding: zeros, or NaN if `in_range` is false."""
    if in_range is None or not jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.zeros_like(x)
    return jnp.where(in_range, jnp.zeros((), x.dtype), jnp.full((), jnp.nan, x.dtype))


def _without_padding(xs: Any, padding: Optional[_Padding]) -> Any:
    """`xs` with zeros in the padding. It may hold NaNs, which would reach the gradient of the weights."""
    if padding is None:
        return xs
    valid = padding.valid

    def zeroed(x: Any) -> Array:
        x = jnp.asarray(x)
        return jnp.where(valid.reshape((-1,) + (1,) * (x.ndim - 1)), x, jnp.zeros_like(x))

    return tree_util.tree_map(zeroed, xs)
