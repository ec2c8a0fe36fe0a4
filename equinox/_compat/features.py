"""What some JAX releases lack: one list, which the code, its errors and the table in the documentation share."""

import jax

from .release import jax_release

# What users call it -> the first JAX release that can carry it, and what came with that release.
SINCE = {
    "lower": ((0, 2, 25), "ahead-of-time lowering"),
}


def require(feature, jax=jax):
    """Refuse what the running JAX can't carry.

    Raises:
        NotImplementedError: The running JAX is older than the release that `SINCE` names for `feature`.
    """
    release, what = SINCE[feature]
    if jax_release(jax) < release:
        raise NotImplementedError(
            "`{}` needs JAX {} or newer, which brought {}. This is JAX {}.".format(
                feature, ".".join(map(str, release)), what, jax.__version__
            )
        )
