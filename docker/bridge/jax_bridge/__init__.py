"""Run the unmodified Python half of JAX 0.2.18 to 0.4.12 on jaxlib 0.4.13. For tests only.

A line in a `.pth` file calls `wait_for_jaxlib` when Python starts. Nothing else happens until `jaxlib` is imported for
the first time: then, before anybody else sees it, it is given the names that the installed JAX looks for. Nothing is
edited on disk, and `jax` is never touched. JAX 0.4.13 or later, or one beside a jaxlib of its own time, is left alone.

`active()` says whether this process runs on the bridge, and `facts()` on what: results have to be marked with it.
"""

import importlib
import importlib.metadata
import sys
from typing import NamedTuple, Optional, Tuple

from . import releases
from .hook import AfterImport


class Facts(NamedTuple):
    """What runs on what, in this process."""

    jax: str
    jaxlib: str
    patches: Tuple[str, ...]


_facts: Optional[Facts] = None


def active() -> bool:
    """Whether the JAX of this process runs on the bridge. Ask after `import jax`: before, it isn't known yet."""
    return _facts is not None


def facts() -> Optional[Facts]:
    """What runs on what, or `None` where the bridge isn't active."""
    return _facts


def wait_for_jaxlib() -> None:
    """Patch `jaxlib` once it is imported. What the `.pth` file calls; to call it again is harmless."""
    waiting = any(isinstance(finder, AfterImport) and finder.name == "jaxlib" for finder in sys.meta_path)
    if not waiting and "jaxlib" not in sys.modules:
        sys.meta_path.insert(0, AfterImport("jaxlib", _patch_jaxlib))


def _patch_jaxlib() -> None:
    global _facts  # noqa: PLW0603  (a process has one jaxlib)
    try:
        jax = importlib.metadata.version("jax")
    except importlib.metadata.PackageNotFoundError:
        return
    jaxlib = importlib.import_module("jaxlib.version").__version__
    if not releases.needs_bridge(jax, jaxlib):
        return
    wanted = releases.patches_for(jax)
    for name in wanted:
        importlib.import_module("{}.patches.{}".format(__name__, name)).apply(jax)
    _facts = Facts(jax, jaxlib, wanted)
