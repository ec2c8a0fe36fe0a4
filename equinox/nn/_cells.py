"""`GRUCell` and `LSTMCell`: one step of a recurrent network. `jax.lax.scan` repeats it."""

import math
from typing import Optional, Tuple

import jax.numpy as jnp
import jax.random as jrandom
from jax.nn import sigmoid

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from ._checks import as_bool, as_example, as_size, check_key, columns, in_words


class _Cell(Module):
    """The parameters of a cell: each gate maps the input and the hidden state. The gates are stacked."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Optional[Array]
    bias_hh: Optional[Array]
    input_size: int = field(static=True)
    hidden_size: int = field(static=True)

    def __init__(self, number_of_gates: int, input_size: int, hidden_size: int, bias: bool, key: Key) -> None:
        name = type(self).__name__
        self.input_size = as_size(input_size, "input_size", name)
        self.hidden_size = as_size(hidden_size, "hidden_size", name)
        bias = as_bool(bias, "bias", name)
        check_key(key, name)
        bound = 1 / math.sqrt(self.hidden_size)
        rows = number_of_gates * self.hidden_size
        shapes = [(rows, self.input_size), (rows, self.hidden_size), (rows,), (rows,)]
        drawn = [
            jrandom.uniform(k, shape, minval=-bound, maxval=bound) for k, shape in zip(jrandom.split(key, 4), shapes)
        ]
        self.weight_ih, self.weight_hh = drawn[:2]
        self.bias_ih, self.bias_hh = drawn[2:] if bias else (None, None)

    def _from_input(self, input: AnyArray) -> Array:
        input = as_example(input, "input", columns(self, "weight_ih"), "input_size", self, _BATCHED)
        gates = self.weight_ih @ input
        return gates if self.bias_ih is None else gates + self.bias_ih

    def _from_hidden(self, hidden: Array) -> Array:
        # This product is separate from the input's. The gradient of a single product, `[w_ih w_hh] @ [x h]`, is several
        # times slower.
        gates = self.weight_hh @ hidden
        return gates if self.bias_hh is None else gates + self.bias_hh

    def _as_hidden(self, hidden: AnyArray, name: str) -> Array:
        return as_example(hidden, name, columns(self, "weight_hh"), "hidden_size", self, _BATCHED)


_BATCHED = "jax.vmap(cell)(input, hidden)"


class GRUCell(_Cell):
    """One step of a gated recurrent unit.

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Args:
        input_size: The length of `input`, x above.
        hidden_size: The length of `hidden`, h above.
        bias: Whether to add the b's. Without them the fields `bias_ih` and `bias_hh` are `None`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(input_size,)`. hidden: `(hidden_size,)`. The new hidden: `(hidden_size,)`.
            Use `jax.vmap(cell)(inputs, hiddens)` for a batch, and `jax.lax.scan` for a sequence.
        weight_ih: `(3 * hidden_size, input_size)`. weight_hh: `(3 * hidden_size, hidden_size)`.
        bias_ih, bias_hh: `(3 * hidden_size,)`. The gates are stacked in the order r, z, n.

    Initialisation:
        All parameters are uniform in `(-b, b)` with `b = 1 / sqrt(hidden_size)`, as in `torch.nn.GRUCell`.

    Raises:
        ValueError: A size is below 1.
        TypeError: A size is no integer.
        TypeError: `bias` is no bool.
        TypeError: `key` is no PRNG key.

    Example:
        >>> cell = eqx.nn.GRUCell(3, 2, key=jax.random.PRNGKey(0))
        >>> cell(jnp.ones(3), jnp.zeros(2)).shape
        (2,)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, key: Key) -> None:
        super().__init__(3, input_size, hidden_size, bias, key)

    def __call__(self, input: AnyArray, hidden: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Take one step.

        Args:
            input: An array of shape `(input_size,)`.
            hidden: The hidden state, an array of shape `(hidden_size,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            The new hidden state, an array of shape `(hidden_size,)`.

        Raises:
            ValueError: `input` or `hidden` has another shape.
            ValueError: The cell is a stack of cells, as `jax.vmap` over the construction makes it.
            TypeError: `input` or `hidden` can't be made into an array.

        Example:
            >>> cell = eqx.nn.GRUCell(3, 2, key=jax.random.PRNGKey(0))
            >>> hidden, _ = jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(2), jnp.ones((5, 3)))
            >>> hidden.shape
            (2,)
        """
        hidden = self._as_hidden(hidden, "hidden")
        r_input, z_input, n_input = jnp.split(self._from_input(input), 3)
        r_hidden, z_hidden, n_hidden = jnp.split(self._from_hidden(hidden), 3)
        r = sigmoid(r_input + r_hidden)
        z = sigmoid(z_input + z_hidden)
        n = jnp.tanh(n_input + r * n_hidden)
        return (1 - z) * n + z * hidden


class LSTMCell(_Cell):
    """One step of a long short-term memory.

        i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)
        f = sigmoid(W_if x + b_if + W_hf h + b_hf)
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        o = sigmoid(W_io x + b_io + W_ho h + b_ho)
        c' = f * c + i * g
        h' = o * tanh(c')

    Args:
        input_size: The length of `input`, x above.
        hidden_size: The length of h and of c. `hidden` is the pair `(h, c)`.
        bias: Whether to add the b's. Without them the fields `bias_ih` and `bias_hh` are `None`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(input_size,)`. hidden and the new hidden: a pair of `(hidden_size,)`, a tuple in the result.
            Use `jax.vmap(cell)(inputs, hiddens)` for a batch, and `jax.lax.scan` for a sequence.
        weight_ih: `(4 * hidden_size, input_size)`. weight_hh: `(4 * hidden_size, hidden_size)`.
        bias_ih, bias_hh: `(4 * hidden_size,)`. The gates are stacked in the order i, f, g, o.

    Initialisation:
        All parameters are uniform in `(-b, b)` with `b = 1 / sqrt(hidden_size)`, as in `torch.nn.LSTMCell`.

    Raises:
        ValueError: A size is below 1.
        TypeError: A size is no integer.
        TypeError: `bias` is no bool.
        TypeError: `key` is no PRNG key.

    Example:
        >>> cell = eqx.nn.LSTMCell(3, 2, key=jax.random.PRNGKey(0))
        >>> h, c = cell(jnp.ones(3), (jnp.zeros(2), jnp.zeros(2)))
        >>> h.shape, c.shape
        ((2,), (2,))
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, key: Key) -> None:
        super().__init__(4, input_size, hidden_size, bias, key)

    def __call__(
        self, input: AnyArray, hidden: Tuple[AnyArray, AnyArray], *, key: Optional[Key] = None
    ) -> Tuple[Array, Array]:
        """Take one step.

        Args:
            input: An array of shape `(input_size,)`.
            hidden: The pair `(h, c)`. Each is an array of shape `(hidden_size,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            The new pair `(h, c)`, as a tuple.

        Raises:
            ValueError: `input`, h or c has another shape.
            ValueError: The cell is a stack of cells, as `jax.vmap` over the construction makes it.
            TypeError: `hidden` is no tuple or list.
            TypeError: `input`, h or c can't be made into an array.

        Example:
            >>> cell = eqx.nn.LSTMCell(3, 2, key=jax.random.PRNGKey(0))
            >>> start = (jnp.zeros(2), jnp.zeros(2))
            >>> (h, c), _ = jax.lax.scan(lambda hidden, x: (cell(x, hidden), None), start, jnp.ones((5, 3)))
            >>> h.shape
            (2,)
        """
        is_sequence = isinstance(hidden, (tuple, list))
        if not is_sequence or len(hidden) != 2:
            raise (ValueError if is_sequence else TypeError)(
                "`LSTMCell` expects `hidden` to be the pair `(h, c)`, got {}. Begin with "
                "`(jnp.zeros({size}), jnp.zeros({size}))`.".format(in_words(hidden), size=self.hidden_size)
            )
        h = self._as_hidden(hidden[0], "hidden[0]")
        c = self._as_hidden(hidden[1], "hidden[1]")
        i, f, g, o = jnp.split(self._from_input(input) + self._from_hidden(h), 4)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(c), c
