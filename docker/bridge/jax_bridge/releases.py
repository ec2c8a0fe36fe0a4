"""Which releases of JAX the bridge supports, on which Pythons, and which patches each release needs.

Standard library only: `install.py` reads this file on the host, where there is no JAX.
"""

import re
from typing import NamedTuple, Optional, Tuple

Version = Tuple[int, ...]

JAXLIB = "0.4.13"  # the oldest in the package index; also pinned in requirements.txt
OLDEST = (0, 2, 18)
FIRST_ON_ITS_OWN = (0, 4, 13)
# These releases call MLIR in ways that the patches don't handle. They can be imported, and simple code runs.
GAP = ((0, 3, 1), (0, 3, 14))  # the first release in the gap, and the first after it

PYTHONS = ((3, 8), (3, 11))  # the first and the last that jaxlib 0.4.13 has wheels for


class Patch(NamedTuple):
    """A file in patches/, for JAX from `since` (included) to `before` (excluded)."""

    name: str
    before: Version
    since: Version = OLDEST


# The patches in the order in which they are applied. Later ones depend on earlier ones.
PATCHES = (
    Patch("versions", before=(0, 4, 13)),
    Patch("lowerings", before=(0, 4, 13)),
    Patch("shardings", before=(0, 4, 13)),
    Patch("classes", before=(0, 4, 9)),
    Patch("jit_state", before=(0, 4, 9)),
    Patch("compile_options", before=(0, 4, 9)),
    Patch("mlir_ops", before=(0, 4, 9)),
    Patch("dispatch", before=(0, 4, 7)),
    Patch("arrays", before=(0, 4, 7), since=(0, 4, 0)),
    Patch("buffers", before=(0, 4, 0)),
    Patch("no_gpu", before=(0, 4, 0)),
    Patch("tracebacks", before=(0, 3, 16)),
    Patch("no_mlir", before=(0, 3, 1)),
    Patch("lapack_builder", before=(0, 3, 1)),
)


def parse(version: str) -> Version:
    """The first three numbers of a version: `"0.4.13.dev1"` is `(0, 4, 13)`."""
    numbers = re.findall(r"\d+", version)
    if len(numbers) < 3:
        raise ValueError("Expected a version of three numbers such as 0.4.1, and got `{}`.".format(version))
    return tuple(int(number) for number in numbers[:3])


def needs_bridge(jax: str, jaxlib: str) -> bool:
    """Whether this JAX needs the bridge to run on this jaxlib.

    Raises:
        ImportError: The bridge doesn't support this JAX or this jaxlib.
    """
    if parse(jax) >= FIRST_ON_ITS_OWN or parse(jaxlib) < parse(JAXLIB):
        return False  # an older jaxlib is one of JAX's own time, and JAX checks that itself
    if parse(jaxlib) > parse(JAXLIB):
        message = "The bridge runs JAX {} on jaxlib {}, and this is jaxlib {}. Run: pip install jaxlib=={}"
        raise ImportError(message.format(jax, JAXLIB, jaxlib, JAXLIB))
    refusal = refuses_jax(jax)
    if refusal is not None:
        raise ImportError(refusal)
    return True


def patches_for(jax: str) -> Tuple[str, ...]:
    """The patches that this JAX needs, in the order in which to apply them."""
    version = parse(jax)
    return tuple(patch.name for patch in PATCHES if patch.since <= version < patch.before)


def refuses_jax(jax: str) -> Optional[str]:
    """Why the bridge doesn't support this JAX, with what to do instead; `None` if it does."""
    version = parse(jax)
    if version < OLDEST:
        return "The bridge supports JAX {} and later, and not {}. Choose a later one.".format(_text(OLDEST), jax)
    if version >= FIRST_ON_ITS_OWN:
        message = "JAX {} needs no bridge, because the package index has its jaxlib: pip install 'jax[cpu]=={}'"
        return message.format(jax, jax)
    if GAP[0] <= version < GAP[1]:
        message = "The bridge doesn't support JAX {} to 0.3.13, and so not {}. Choose 0.3.0 or {} instead."
        return message.format(_text(GAP[0]), jax, _text(GAP[1]))
    return None


def refuses_python(python: Tuple[int, int], jax: str) -> Optional[str]:
    """Why this Python can't run this JAX on the bridge, with what to do instead; `None` if it can."""
    oldest, newest = PYTHONS
    # On Python 3.10 and later these releases run `from typing import EllipsisType`, a name that never existed.
    if parse(jax) < (0, 2, 22):
        newest = (3, 9)
    if oldest <= python <= newest:
        return None
    message = "On the bridge JAX {} runs on Python {} to {}, and this is {}. Choose one of those."
    return message.format(jax, _text(oldest), _text(newest), _text(python))


def _text(version: Version) -> str:
    return ".".join(map(str, version))
