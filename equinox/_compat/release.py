"""Which JAX is running: for what changed its behaviour and kept its name."""

import re


def jax_release(jax):
    """`(major, minor, patch)`; `jax.__version_info__` exists from 0.3.7 only."""
    return tuple(map(int, re.findall(r"\d+", jax.__version__)[:3]))
