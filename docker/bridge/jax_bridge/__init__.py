"""Run the unmodified Python half of JAX 0.2.18 to 0.4.12 on jaxlib 0.4.13. For tests only.

A line in a `.pth` file calls `wait_for_jaxlib` when Python starts. It installs an import hook. At the first import of
`jaxlib`, before the importer gets it, the hook adds the names that the installed JAX looks for. No file is changed, and
`jax` isn't changed. The hook does nothing for JAX 0.4.13 or later, or for a JAX on the jaxlib of its time.

`active()` says whether this process runs on the bridge. `facts()` gives the versions and the patches, to mark results.
"""

import importlib
import importlib.metadata
import sys
from typing import NamedTuple, Optional, Tuple

from . import releases
from .hook import AfterImport


class Facts(NamedTuple):
    """The versions of JAX and jaxlib in this process, and the patches that were applied."""

    jax: str
    jaxlib: str
    patches: Tuple[str, ...]


_facts: Optional[Facts] = None


def active() -> bool:
    """Whether this process runs JAX on the bridge. Call it after `import jax`, because it isn't known earlier."""
    return _facts is not None


def facts() -> Optional[Facts]:
    """The facts, or `None` if the bridge isn't active."""
    return _facts


def wait_for_jaxlib() -> None:
    """Patch `jaxlib` when it is imported. The `.pth` file calls this. A second call does nothing."""
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
