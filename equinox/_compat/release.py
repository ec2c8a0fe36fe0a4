"""The release of the running JAX. It is for behaviour that changed under the same name."""

import re


def jax_release(jax):
    """`(major, minor, patch)`. JAX has `jax.__version_info__` only since 0.3.7."""
    return tuple(map(int, re.findall(r"\d+", jax.__version__)[:3]))
