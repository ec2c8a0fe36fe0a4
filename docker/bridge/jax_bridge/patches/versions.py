"""The version that jaxlib claims to be: every JAX refuses a jaxlib that is newer than itself, or too old.

JAX asks `jaxlib.version.__version__`. `jaxlib.__version__` stays true.
"""

import jaxlib.version

from .. import releases

# jaxlib had its own numbers, 0.1.x, until it took JAX's at 0.3.0. The last of them suits every JAX below that.
LAST_OF_ITS_OWN = "0.1.76"


def apply(jax: str) -> None:
    claim = jax if releases.parse(jax) >= (0, 3, 0) else LAST_OF_ITS_OWN
    jaxlib.version.__version__ = claim
