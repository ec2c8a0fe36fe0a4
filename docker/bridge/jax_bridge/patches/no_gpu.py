"""jaxlib's modules for GPUs, below JAX 0.4: they are not needed here, and don't have the functions of the time."""

import sys
import types

from .. import releases

MODULES = ("gpu_linalg", "gpu_prng", "gpu_rnn", "gpu_solver", "gpu_sparse")


def apply(jax: str) -> None:
    # Up to 0.3.14 a failing import of them is the sign that there is no GPU; later ones insist on importing them.
    insists = releases.parse(jax) >= (0, 3, 15)
    for name in ("jaxlib." + module for module in MODULES):
        # `None` is Python's own sign for a module whose import fails.
        sys.modules[name] = _Hollow(name) if insists else None  # type: ignore[assignment]


class _Hollow(types.ModuleType):
    """A module whose every function is `None`."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
