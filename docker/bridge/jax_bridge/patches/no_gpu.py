"""jaxlib's modules for GPUs, for JAX below 0.4. The bridge doesn't need them, and they lack functions that jax uses."""

import sys
import types

from .. import releases

MODULES = ("gpu_linalg", "gpu_prng", "gpu_rnn", "gpu_solver", "gpu_sparse")


def apply(jax: str) -> None:
    # Up to 0.3.14 jax takes a failed import to mean that there is no GPU. In later releases the import must succeed.
    must_import = releases.parse(jax) >= (0, 3, 15)
    for name in ("jaxlib." + module for module in MODULES):
        # With `None` in `sys.modules`, Python's import of the module fails.
        sys.modules[name] = _EmptyModule(name) if must_import else None  # type: ignore[assignment]


class _EmptyModule(types.ModuleType):
    """A module whose every function is `None`."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
