"""What type checkers say of the layers."""

from typing import Any, Optional, Tuple, Union

import jax
import numpy as np
from typing_extensions import Literal, assert_type

import equinox as eqx

key = jax.random.PRNGKey(0)
x = jax.numpy.ones(3)


linear = eqx.nn.Linear(3, 2, key=key)
assert_type(linear(x), jax.Array)
assert_type(linear(np.ones(3), key=key), jax.Array)
assert_type(linear.weight, jax.Array)
assert_type(linear.bias, Optional[jax.Array])
assert_type(linear.in_features, Union[int, Literal["scalar"]])
eqx.nn.Linear(3, 2)  # error: mypy[call-arg] pyright[reportCallIssue]
eqx.nn.Linear(3, "a", key=key)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.nn.Linear(3, 2, key=0)  # error: mypy[arg-type] pyright[reportArgumentType]
linear("a")  # error: mypy[arg-type] pyright[reportArgumentType]
linear(x, x)  # error: mypy[misc] pyright[reportCallIssue]

assert_type(eqx.nn.Identity(3, anything=4)("a"), str)

conv = eqx.nn.Conv2d(3, 4, (3, 5), padding=((1, 1), (2, 2)), key=key)
assert_type(conv(x), jax.Array)
assert_type(conv.kernel_size, Tuple[int, ...])
eqx.nn.Conv1d(3, 4, 3, padding="SAME", stride=(2,), key=key)
eqx.nn.Conv(2, 3, 4, 3, padding=(1, (1, 2)), padding_mode="CIRCULAR", key=key)
eqx.nn.Conv3d(3, 4, "a", key=key)  # error: mypy[arg-type] pyright[reportArgumentType]

dropout = eqx.nn.Dropout(0.5, deterministic=True)
assert_type(dropout(x, key=key), jax.Array)
assert_type(dropout(x, deterministic=False, key=None), jax.Array)
eqx.nn.Dropout(rate=0.5)  # error: mypy[call-arg] pyright[reportCallIssue]

rnn_cell = eqx.nn.RNNCell(3, 2, activation=jax.nn.relu, key=key)
assert_type(rnn_cell(x, x), jax.Array)
eqx.nn.RNNCell(3, 2, activation="relu", key=key)  # error: mypy[arg-type] pyright[reportArgumentType]

gru = eqx.nn.GRUCell(3, 2, bias=False, key=key)
assert_type(gru(x, x), jax.Array)
gru(x)  # error: mypy[call-arg] pyright[reportCallIssue]

lstm = eqx.nn.LSTMCell(3, 2, key=key)
assert_type(lstm(x, (x, x)), Tuple[jax.Array, jax.Array])
lstm(x, x)  # error: mypy[arg-type] pyright[reportArgumentType]

mlp = eqx.nn.MLP(3, 2, width_size=8, depth=1, activation=jax.numpy.tanh, final_activation=linear, key=key)
assert_type(mlp(x), jax.Array)
assert_type(mlp.layers, Tuple[eqx.nn.Linear, ...])
eqx.nn.MLP(3, 2, 8, 1, activation="relu", key=key)  # error: mypy[arg-type] pyright[reportArgumentType]

model = eqx.nn.Sequential([linear, jax.nn.relu, lambda x: x])
assert_type(model(x, key=key), Any)
assert_type(model[:1], eqx.nn.Sequential)
assert_type(model[0], Any)
assert_type(len(model), int)
eqx.nn.Sequential([linear, 3])  # error: mypy[list-item] pyright[reportArgumentType]
model["a"]  # error: mypy[call-overload] pyright[reportCallIssue,reportArgumentType]

# A layer is a function of its input: transformations take it.
assert_type(eqx.filter_jit(linear)(x), jax.Array)
assert_type(eqx.filter_vmap(mlp)(x), jax.Array)
