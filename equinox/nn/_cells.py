"""`RNNCell`, `GRUCell` and `LSTMCell`: one step of a recurrent network. `jax.lax.scan` repeats it."""

import math
from typing import Any, Callable, ClassVar, Optional, Tuple

import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
from jax.nn import sigmoid

from .._compat.types import AnyArray, Array, Key
from .._module import Module, field
from .._trees.predicates import is_static_function
from ._checks import as_bool, as_example, as_size, check_callable, check_key, columns, in_words, two_names
from ._dtypes import as_dtype_of, match_dtypes
from ._parameters import WEIGHT, Initialiser, as_dtype, make_parameter, uniform
from ._published import Published


class Cell(Module):
    """The parameters of a cell: each gate maps the input and the hidden state. The gates are stacked.

    A subclass defines `_step`. It takes what the gates get from the input, so a whole sequence of inputs can be mapped
    before the first step. The state of a subclass is `number_of_states` arrays. The first is the hidden state.
    """

    weight_ih: Array = field(metadata=WEIGHT)
    weight_hh: Array = field(metadata=WEIGHT)
    bias_ih: Optional[Array]
    bias_hh: Optional[Array]
    input_size: int = field(static=True)
    hidden_size: int = field(static=True)

    number_of_states: ClassVar[int] = 1

    def __init__(
        self,
        number_of_gates: int,
        input_size: int,
        hidden_size: int,
        bias: bool,
        dtype: Any,
        use_bias: Optional[bool],
        weight_init: Optional[Initialiser],
        bias_init: Optional[Initialiser],
        key: Key,
    ) -> None:
        layer = type(self).__name__
        self.input_size = as_size(input_size, "input_size", layer)
        self.hidden_size = as_size(hidden_size, "hidden_size", layer)
        with_bias = as_bool(bias, "bias", layer) if use_bias is None else as_bool(use_bias, "use_bias", layer)
        dtype = as_dtype(dtype, layer)
        check_key(key, layer)
        default = uniform(1 / math.sqrt(self.hidden_size))
        rows = number_of_gates * self.hidden_size
        keys = jrandom.split(key, 4)
        input_shape, hidden_shape = (rows, self.input_size), (rows, self.hidden_size)
        self.weight_ih = make_parameter(layer, "weight", weight_init, default, keys[0], input_shape, dtype, True)
        self.weight_hh = make_parameter(layer, "weight", weight_init, default, keys[1], hidden_shape, dtype, True)
        self.bias_ih = self.bias_hh = None
        if with_bias:
            self.bias_ih = make_parameter(layer, "bias", bias_init, default, keys[2], (rows,), dtype)
            self.bias_hh = make_parameter(layer, "bias", bias_init, default, keys[3], (rows,), dtype)

    def in_one_dtype(self, input: AnyArray, *states: AnyArray) -> Tuple[Any, ...]:
        """The input, the parts of the state and the parameters, in the dtype that a step computes in.

        It is the common dtype of the input and the state. So a state in float32 stays in float32.
        """
        input = as_dtype_of(input, jnp.result_type(input.dtype, *[x.dtype for x in states]))
        return match_dtypes(input, *states, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def as_input(self, input: AnyArray) -> Array:
        return as_example(input, "input", columns(self, "weight_ih"), "input_size", self, _BATCHED)

    def as_hidden(self, hidden: AnyArray, name: str) -> Array:
        return as_example(hidden, name, columns(self, "weight_hh"), "hidden_size", self, _BATCHED)

    def _one_step(self, input: AnyArray, hidden: AnyArray) -> Array:
        """The call of a cell whose state is one array."""
        hidden = self.as_hidden(hidden, "hidden")
        input, hidden, weight_ih, weight_hh, bias_ih, bias_hh = self.in_one_dtype(self.as_input(input), hidden)
        return self._step(affine(weight_ih, bias_ih, input), affine(weight_hh, bias_hh, hidden), hidden)

    def _step(self, from_input: Array, from_hidden: Array, hidden: Any) -> Any:
        """The new state, from what the gates get and the state before."""
        raise NotImplementedError


def affine(weight: Array, bias: Optional[Array], x: Any) -> Array:
    """What the gates get from `x`: the input or the hidden state of one step."""
    # The products with the input and the hidden state are separate. The gradient of a single product,
    # `[w_ih w_hh] @ [x h]`, is several times slower.
    gates = weight @ x
    return gates if bias is None else gates + bias


_BATCHED = "jax.vmap(cell)(input, hidden)"


def _has_biases(cell: Any, number_of_gates: int) -> bool:
    """Whether the cell has both biases. Another tree of this structure may have `None`, or other shapes."""
    rows = (number_of_gates * cell.hidden_size,)
    return all(getattr(bias, "shape", ())[-1:] == rows for bias in (cell.bias_ih, cell.bias_hh))


def _join_gru_biases(cell: Any, bias_ih: Any, bias_hh: Any) -> Tuple[Any, Any]:
    """The published cell has the sum of the biases of r and z, and the two biases of n."""
    if not _has_biases(cell, 3):
        return bias_ih, bias_hh
    start = 2 * cell.hidden_size
    bias = np.array(bias_ih)
    bias[..., :start] += bias_hh[..., :start]
    return bias, bias_hh[..., start:]


def _split_gru_biases(cell: Any, bias: Any, bias_n: Any) -> Tuple[Any, Any]:
    if not _has_biases(cell, 3):
        return bias, bias_n
    bias_hh = np.zeros(cell.bias_hh.shape, cell.bias_hh.dtype)
    bias_hh[..., 2 * cell.hidden_size :] = bias_n
    return bias, bias_hh


def _join_lstm_biases(cell: Any, bias_ih: Any, bias_hh: Any) -> Tuple[Any, Any]:
    """The published cell has the sum of the biases."""
    if not _has_biases(cell, 4):
        return bias_ih, bias_hh
    return np.asarray(bias_ih + bias_hh, bias_ih.dtype), None


def _split_lstm_biases(cell: Any, bias: Any, none: Any) -> Tuple[Any, Any]:
    if not _has_biases(cell, 4):
        return bias, none
    return bias, np.zeros(cell.bias_hh.shape, cell.bias_hh.dtype)


class RNNCell(Cell):
    """One step of a simple recurrent network, also named after Elman: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    `eqx.nn.RNN(cell)` runs it over a sequence.

    Args:
        input_size: The length of `input`, x above.
        hidden_size: The length of `hidden`, h above.
        bias: Whether to add the b's. Without them the fields `bias_ih` and `bias_hh` are `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        activation: A function, used instead of tanh. `jax.nn.relu` is PyTorch's `nonlinearity="relu"`. It may be a
            layer with parameters.
        use_bias: Another name of `bias`. Pass one of them.
        weight_init: A function that makes both weights, such as `jax.nn.initializers.orthogonal()`. It sees a weight in
            JAX's layout, `(input_size, hidden_size)` or `(hidden_size, hidden_size)`.
        bias_init: A function that makes both biases, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(input_size,)`. hidden: `(hidden_size,)`. The new hidden: `(hidden_size,)`.
            Use `jax.vmap(cell)(inputs, hiddens)` for a batch, and `jax.lax.scan` for a sequence.
        weight_ih: `(hidden_size, input_size)`. weight_hh: `(hidden_size, hidden_size)`.
        bias_ih, bias_hh: `(hidden_size,)`.

    Initialisation:
        All parameters are uniform in `(-b, b)` with `b = 1 / sqrt(hidden_size)`, as in `torch.nn.RNNCell`.
        Its parameters have the same names and shapes.

    Raises:
        ValueError: A size is below 1.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer.
        TypeError: `bias` or `use_bias` is no bool, or both are given.
        TypeError: `dtype` is no dtype.
        TypeError: `activation` or an initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> cell = eqx.nn.RNNCell(3, 2, key=jax.random.PRNGKey(0))
        >>> cell(jnp.ones(3), jnp.zeros(2)).shape
        (2,)
    """

    activation: Any = field(static=is_static_function)

    @two_names("bias", "use_bias")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = None,
        *,
        activation: Callable[[Any], Any] = jnp.tanh,
        use_bias: Optional[bool] = None,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(1, input_size, hidden_size, bias, dtype, use_bias, weight_init, bias_init, key)
        check_callable(activation, "activation", "RNNCell")
        self.activation = activation

    def __call__(self, input: AnyArray, hidden: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Take one step.

        Args:
            input: An array of shape `(input_size,)`.
            hidden: The hidden state, an array of shape `(hidden_size,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            The new hidden state, an array of shape `(hidden_size,)`. It has the common dtype of `input` and `hidden`.

        Raises:
            ValueError: `input` or `hidden` has another shape.
            ValueError: The cell is a stack of cells, as `jax.vmap` over the construction makes it.
            TypeError: `input` or `hidden` can't be made into an array.

        Example:
            >>> cell = eqx.nn.RNNCell(3, 2, key=jax.random.PRNGKey(0))
            >>> ys, final = eqx.nn.RNN(cell)(jnp.ones((5, 3)))
            >>> ys.shape, final.shape
            ((5, 2), (2,))
        """
        return self._one_step(input, hidden)

    def _step(self, from_input: Array, from_hidden: Array, hidden: Any) -> Array:
        return self.activation(from_input + from_hidden)


class GRUCell(Cell):
    """One step of a gated recurrent unit.

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Args:
        input_size: The length of `input`, x above.
        hidden_size: The length of `hidden`, h above.
        bias: Whether to add the b's. Without them the fields `bias_ih` and `bias_hh` are `None`.
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        use_bias: Another name of `bias`. Pass one of them.
        weight_init: A function that makes both weights, such as `jax.nn.initializers.orthogonal()`. It sees a weight in
            JAX's layout, `(input_size, 3 * hidden_size)` or `(hidden_size, 3 * hidden_size)`.
        bias_init: A function that makes both biases, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(input_size,)`. hidden: `(hidden_size,)`. The new hidden: `(hidden_size,)`.
            Use `jax.vmap(cell)(inputs, hiddens)` for a batch, and `jax.lax.scan` for a sequence.
        weight_ih: `(3 * hidden_size, input_size)`. weight_hh: `(3 * hidden_size, hidden_size)`.
        bias_ih, bias_hh: `(3 * hidden_size,)`. The gates are stacked in the order r, z, n.

    Initialisation:
        All parameters are uniform in `(-b, b)` with `b = 1 / sqrt(hidden_size)`, as in `torch.nn.GRUCell`.
        Its parameters have the same names, shapes and order of gates.

    Raises:
        ValueError: A size is below 1.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer.
        TypeError: `bias` or `use_bias` is no bool, or both are given.
        TypeError: `dtype` is no dtype.
        TypeError: An initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> cell = eqx.nn.GRUCell(3, 2, key=jax.random.PRNGKey(0))
        >>> cell(jnp.ones(3), jnp.zeros(2)).shape
        (2,)
    """

    __published__ = Published("bias_ih", "bias_hh", to=_join_gru_biases, back=_split_gru_biases)

    @two_names("bias", "use_bias")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = None,
        *,
        use_bias: Optional[bool] = None,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(3, input_size, hidden_size, bias, dtype, use_bias, weight_init, bias_init, key)

    def __call__(self, input: AnyArray, hidden: AnyArray, *, key: Optional[Key] = None) -> Array:
        """Take one step.

        Args:
            input: An array of shape `(input_size,)`.
            hidden: The hidden state, an array of shape `(hidden_size,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            The new hidden state, an array of shape `(hidden_size,)`. It has the common dtype of `input` and `hidden`.

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
        return self._one_step(input, hidden)

    def _step(self, from_input: Array, from_hidden: Array, hidden: Any) -> Array:
        r_input, z_input, n_input = jnp.split(from_input, 3)
        r_hidden, z_hidden, n_hidden = jnp.split(from_hidden, 3)
        r = sigmoid(r_input + r_hidden)
        z = sigmoid(z_input + z_hidden)
        n = jnp.tanh(n_input + r * n_hidden)
        return (1 - z) * n + z * hidden


class LSTMCell(Cell):
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
        dtype: The dtype of the parameters. The default is JAX's floating-point dtype.
        use_bias: Another name of `bias`. Pass one of them.
        weight_init: A function that makes both weights, such as `jax.nn.initializers.orthogonal()`. It sees a weight in
            JAX's layout, `(input_size, 4 * hidden_size)` or `(hidden_size, 4 * hidden_size)`.
        bias_init: A function that makes both biases, such as `jax.nn.initializers.zeros`.
        key: A PRNG key for the initial parameters. It is not kept.

    Shapes:
        input: `(input_size,)`. hidden and the new hidden: a pair of `(hidden_size,)`, a tuple in the result.
            Use `jax.vmap(cell)(inputs, hiddens)` for a batch, and `jax.lax.scan` for a sequence.
        weight_ih: `(4 * hidden_size, input_size)`. weight_hh: `(4 * hidden_size, hidden_size)`.
        bias_ih, bias_hh: `(4 * hidden_size,)`. The gates are stacked in the order i, f, g, o.

    Initialisation:
        All parameters are uniform in `(-b, b)` with `b = 1 / sqrt(hidden_size)`, as in `torch.nn.LSTMCell`.
        Its parameters have the same names, shapes and order of gates.

    Raises:
        ValueError: A size is below 1.
        ValueError: `dtype` is not floating-point or complex.
        ValueError: An initialiser fails, or returns another shape.
        TypeError: A size is no integer.
        TypeError: `bias` or `use_bias` is no bool, or both are given.
        TypeError: `dtype` is no dtype.
        TypeError: An initialiser can't be called.
        TypeError: `key` is no PRNG key.

    Example:
        >>> cell = eqx.nn.LSTMCell(3, 2, key=jax.random.PRNGKey(0))
        >>> h, c = cell(jnp.ones(3), (jnp.zeros(2), jnp.zeros(2)))
        >>> h.shape, c.shape
        ((2,), (2,))
    """

    number_of_states: ClassVar[int] = 2
    __published__ = Published("bias_ih", "bias_hh", to=_join_lstm_biases, back=_split_lstm_biases)

    @two_names("bias", "use_bias")
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = None,
        *,
        use_bias: Optional[bool] = None,
        weight_init: Optional[Initialiser] = None,
        bias_init: Optional[Initialiser] = None,
        key: Key,
    ) -> None:
        super().__init__(4, input_size, hidden_size, bias, dtype, use_bias, weight_init, bias_init, key)

    def __call__(
        self, input: AnyArray, hidden: Tuple[AnyArray, AnyArray], *, key: Optional[Key] = None
    ) -> Tuple[Array, Array]:
        """Take one step.

        Args:
            input: An array of shape `(input_size,)`.
            hidden: The pair `(h, c)`. Each is an array of shape `(hidden_size,)`.
            key: It is ignored. Every layer takes a key.

        Returns:
            The new pair `(h, c)`, as a tuple. It has the common dtype of `input`, h and c.

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
        h, c = self.as_hidden(hidden[0], "hidden[0]"), self.as_hidden(hidden[1], "hidden[1]")
        input, h, c, weight_ih, weight_hh, bias_ih, bias_hh = self.in_one_dtype(self.as_input(input), h, c)
        return self._step(affine(weight_ih, bias_ih, input), affine(weight_hh, bias_hh, h), (h, c))

    def _step(self, from_input: Array, from_hidden: Array, hidden: Tuple[Array, Array]) -> Tuple[Array, Array]:
        i, f, g, o = jnp.split(from_input + from_hidden, 4)
        c = sigmoid(f) * hidden[1] + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(c), c
