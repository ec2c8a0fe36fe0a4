"""The examples in the docstrings of what is public: each is run, and prints what it says."""

import doctest
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest

import equinox as eqx

NAMES = {"Any": Any, "eqx": eqx, "jax": jax, "jnp": jnp, "jrandom": jrandom, "np": np}


def _examples():
    """Each public object and public method with examples, as a `DocTest`."""
    for module in (eqx, eqx.nn):
        for name in module.__all__:
            public = getattr(module, name)
            if inspect.ismodule(public):
                continue
            methods = [] if not isinstance(public, type) else [(k, v) for k, v in vars(public).items() if k[0] != "_"]
            for path, x in [(name, public), *((name + "." + key, value) for key, value in methods)]:
                docstring = vars(x).get("__doc__") if isinstance(x, type) else getattr(x, "__doc__", None)
                if isinstance(docstring, str) and ">>>" in docstring:
                    yield doctest.DocTestParser().get_doctest(docstring, dict(NAMES), path, None, 0)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda example: example.name)
def test_example_prints_what_it_says(example):
    """The example runs as it stands, with the usual names imported."""
    printed = []
    failed, run = doctest.DocTestRunner(verbose=False).run(example, out=printed.append)
    assert run and not failed, "".join(printed)


def test_there_are_examples():
    """The test above finds them."""
    assert {"tree_at", "is_array", "apply_updates"} <= {example.name for example in _examples()}
