"""Type checkers that some tests use together with the library, if this Python and JAX have them."""

import inspect

import jax
import pytest


def import_jaxtyping():
    """Import `jaxtyping` with `jaxtyped(typechecker=...)`. Skip the test if it isn't there."""
    try:
        jaxtyping = pytest.importorskip("jaxtyping", reason="jaxtyping is not installed")
    except AttributeError:
        if hasattr(jax, "Array"):
            raise
        pytest.skip("jaxtyping for Python 3.8 needs `jax.Array`, which this JAX lacks")
    if "typechecker" not in inspect.signature(jaxtyping.jaxtyped).parameters:
        pytest.skip("this jaxtyping has no `jaxtyped(typechecker=...)`, which came with 0.2.24")
    return jaxtyping
