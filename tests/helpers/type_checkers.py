"""Type checkers that some tests use beside the library, where they can be had for this Python and JAX."""

import inspect

import jax
import pytest


def import_jaxtyping():
    """`jaxtyping` with `jaxtyped(typechecker=...)`. Where it can't be had, the test is skipped."""
    try:
        jaxtyping = pytest.importorskip("jaxtyping", reason="jaxtyping is not installed")
    except AttributeError:
        if hasattr(jax, "Array"):
            raise
        pytest.skip("jaxtyping for Python 3.8 needs `jax.Array`, which this JAX lacks")
    if "typechecker" not in inspect.signature(jaxtyping.jaxtyped).parameters:
        pytest.skip("this jaxtyping has no `jaxtyped(typechecker=...)`, which came with 0.2.24")
    return jaxtyping
