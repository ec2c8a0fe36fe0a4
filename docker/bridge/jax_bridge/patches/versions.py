"""The version that jaxlib reports to JAX. Every JAX refuses a jaxlib that is newer than itself, or too old.

JAX reads `jaxlib.version.__version__`, so this patch changes that. `jaxlib.__version__` stays the real version.
"""

import jaxlib.version

from .. import releases

# Before 0.3.0 jaxlib had version numbers of its own, 0.1.x. Every JAX below 0.3.0 accepts the last of them.
LAST_OWN_NUMBER = "0.1.76"


def apply(jax: str) -> None:
    claim = jax if releases.parse(jax) >= (0, 3, 0) else LAST_OWN_NUMBER
    jaxlib.version.__version__ = claim
