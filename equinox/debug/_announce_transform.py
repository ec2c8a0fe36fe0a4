"""`announce_transform`: which transformations does JAX apply to a value?"""

from __future__ import annotations

import functools as ft
from typing import Any, Callable, NamedTuple, Tuple

from .. import _compat
from .._compat.types import T
from .._dispatch.leaf_groups import separate
from .._transforms.wrap import check_callable
from .._trees.predicates import is_array


def announce_transform(
    x: T, name: Any = None, intermediates: bool = False, announce: Callable[[str], Any] = print
) -> T:
    """Return a value unchanged, and announce what JAX does to it.

    It is for looking into a program. The words may change from release to release, as JAX does.

    The words end in what happens: "impl" where the value is computed without compilation, "abstract" where only its
    shape is computed, as when a function is traced, and "mlir" where it is lowered for the compiler. The
    transformations stand before it: "vmap", "jvp_p" for primals, "jvp_t" for tangents, and "transpose". `jax.grad` is
    "jvp_t:transpose".

    Args:
        x: Any pytree. What isn't an array in it is ignored.
        name: What to call the value in the words.
        intermediates: Whether to announce each transformation on its way, too.
        announce: The function that is called with the words.

    Returns:
        `x`.

    Raises:
        TypeError: `announce` can't be called.

    Example:
        >>> def square(x):
        ...     return eqx.debug.announce_transform(x, name="x") ** 2
        >>> y = square(jnp.ones(2))
        (x) impl
        >>> y = jax.vmap(square)(jnp.ones(2))
        (x) vmap:impl
    """
    check_callable("announce_transform", announce, "announce")
    arrays, merge = separate(x, is_array)
    title = "" if name is None else "({}) ".format(name)
    result: T = merge(_primitive()(arrays, _Label(title, intermediates, announce, ())))
    return result


class _Label(NamedTuple):
    title: str  # what stands before the words. JAX hashes a label, so it doesn't hold the name itself.
    intermediates: bool
    announce: Callable[[str], Any]
    steps: Tuple[str, ...]  # what happened to the value so far


@ft.lru_cache(maxsize=None)
def _primitive() -> Any:
    return _compat.identity_primitive("announce_transform", _follow)


def _follow(label: _Label, step: str) -> _Label:
    label = label._replace(steps=(*label.steps, step))
    if step in ("impl", "abstract", "mlir") or (label.intermediates and step in ("jvp", "vmap", "transpose")):
        label.announce(label.title + ":".join(label.steps))
    return label
