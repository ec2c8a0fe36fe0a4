"""Which JAX this Python has. It needs only the standard library."""

import re
import sys
from importlib.metadata import distributions

from harness.system.errors import CannotGoOn

# The package that lets JAX use a backend, and what pip installs for it.
JAX_FOR = {
    "cpu": r"jaxlib==.*",
    "cuda": r"jax-cuda\d+-plugin==.*|jaxlib==.*\+cuda.*",
    "tpu": r"libtpu(-nightly)?==.*",
}
INSTALL = {"cpu": "jax[cpu]", "cuda": "jax[cuda13]", "tpu": "jax[tpu]"}


def jax_for(backend: str) -> str | None:
    """The installed package that lets JAX use the backend, such as "jaxlib==0.11.2". `None` if there is none."""
    names = (
        "{}=={}".format(re.sub("[-_.]+", "-", found.metadata["Name"]).lower(), found.version)
        for found in distributions()
        if "Name" in found.metadata  # an interrupted pip leaves folders without a name
    )
    return next((name for name in names if re.fullmatch(JAX_FOR[backend], name)), None)


def require(backend: str) -> None:
    """Raise `CannotGoOn` if this Python has no JAX for the backend. JAX would use the CPU instead."""
    message = "This Python ({0}) has no JAX for {1}. Install it, {0} -m pip install '{2}', or choose another Python."
    if jax_for(backend) is None:
        raise CannotGoOn(message.format(sys.executable, backend, INSTALL[backend]))
