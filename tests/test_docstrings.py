"""The docstrings of what is public: each is complete, and its examples print what it says."""

import doctest
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from docstrings import documented, parameters, raised

import equinox as eqx
from equinox._compat import SINCE, require

NAMES = {"Any": Any, "eqx": eqx, "jax": jax, "jnp": jnp, "jrandom": jrandom, "np": np}

# What `docstrings.raised` finds in the source, and no call raises.
NEVER_RAISED = {
    "LoRA.merge": {"TypeError"},  # `filter_vmap` raises it for wrong arguments
    "backward_nan": {"TypeError"},  # it makes all arguments of the check
    "replace": {"AttributeError"},  # it checks the names before it sets the fields
}


def _public():
    """Each public function, class and method, by its name. The methods are those that a user calls by name."""
    found = {}
    for module in (eqx, eqx.debug, eqx.nn):
        for name in module.__all__:
            public = getattr(module, name)
            if inspect.ismodule(public):
                continue
            found[name] = public
            if isinstance(public, type):
                found.update(_methods(name, public))
    for transformation in (eqx.filter_custom_jvp, eqx.filter_custom_vjp, eqx.filter_jit):
        found.update(_methods(transformation.__name__, type(transformation(abs))))
    return found


def _methods(owner, cls):
    named = [(key, value) for key, value in vars(cls).items() if callable(value)]
    return {
        "{}.{}".format(owner, key): value
        for key, value in named
        if not key.startswith("_") or (key == "__call__" and owner in eqx.nn.__all__)
    }


PUBLIC = _public()
ALL_PUBLIC = pytest.mark.parametrize("name", sorted(PUBLIC))


@ALL_PUBLIC
def test_documents_each_argument(name):
    """`Args` lists the parameters, in their order."""
    public = PUBLIC[name]
    is_method = "." in name
    assert documented(public.__doc__, "Args") == parameters(public, is_method)


@ALL_PUBLIC
def test_documents_each_error(name):
    """`Raises` lists what the function raises. It may list more, such as the errors of a later call."""
    public = PUBLIC[name]
    found = raised(public.__init__ if isinstance(public, type) else public)
    assert found - NEVER_RAISED.get(name, set()) <= set(documented(public.__doc__, "Raises"))


@ALL_PUBLIC
def test_example_prints_what_it_says(name):
    """The example runs as it stands, with the usual names imported."""
    feature = name.split(".")[-1]
    if feature in SINCE:
        try:
            require(feature)
        except NotImplementedError as error:
            pytest.skip(str(error))
    example = doctest.DocTestParser().get_doctest(PUBLIC[name].__doc__, dict(NAMES), name, None, 0)
    printed = []
    failed, run = doctest.DocTestRunner(verbose=False).run(example, out=printed.append)
    assert run and not failed, "".join(printed) or "`{}` has no example.".format(name)


def test_public_names_are_found():
    """The tests above see functions, layers and methods."""
    assert {"tree_at", "Linear", "Linear.__call__", "filter_jit.lower", "filter_jit.clear_cache"} <= PUBLIC.keys()
