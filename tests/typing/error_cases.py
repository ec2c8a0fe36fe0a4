"""What type checkers say of checks at run time."""

from typing import Dict

import jax
import jax.numpy as jnp
from typing_extensions import assert_type

import equinox as eqx

x: jax.Array = jnp.ones(3)
tree: Dict[str, jax.Array] = {"a": x}

assert_type(eqx.error_if(x, x < 0, "negative"), jax.Array)
assert_type(eqx.error_if(tree, False, "never", on_error="nan"), Dict[str, jax.Array])
assert_type(eqx.branched_error_if(tree, x < 0, 0, ["a", "b"]), Dict[str, jax.Array])
assert_type(eqx.branched_error_if(x, True, jnp.array(1), ("a", "b"), on_error="off"), jax.Array)

eqx.error_if(x, x < 0)  # error: mypy[call-arg] pyright[reportCallIssue]
eqx.error_if(x, "text", "message")  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.error_if(x, x < 0, 3)  # error: mypy[arg-type] pyright[reportArgumentType]
eqx.error_if(x, x < 0, "message", "raise")  # error: mypy[misc] pyright[reportCallIssue]
eqx.branched_error_if(x, x < 0, 0, [1])  # error: mypy[list-item] pyright[reportArgumentType]
