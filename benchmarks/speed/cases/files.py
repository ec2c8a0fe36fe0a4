"""The time to save a model and to load it, and to name its arrays.

The floor of the files is the library safetensors on the same arrays. Both write to the memory of the machine, where it
is a folder: a disk would be slower than either.
"""

import functools as ft
import os
import tempfile
import weakref
from collections.abc import Iterator

import dispatch_speed
import jax
import numpy as np
from interleaved import FLOOR
from jax.tree_util import tree_leaves

import equinox as eqx
from speed.case import EQUINOX, Call, Case

LEAVES = 1000
ARRAYS, SHAPE = 16, (1024, 1024)  # 64 MB; the ratios for 1 GB are about the same


def cases() -> Iterator[Case]:
    if hasattr(eqx, "to_dict"):
        yield Case("to_dict", ft.partial(to_dict, LEAVES), LEAVES)
    if hasattr(eqx, "save"):
        yield Case("save", save, ARRAYS, unit="arrays of 4 MB", seconds=4)
        yield Case("load", load, ARRAYS, unit="arrays of 4 MB", seconds=4)


def to_dict(leaves: int) -> dict[str, Call]:
    """Name the arrays of a model."""
    model = dispatch_speed.net(leaves)
    return {FLOOR: lambda: tree_leaves(model), EQUINOX: lambda: list(eqx.to_dict(model, True).values())}


class _Files:
    """Arrays, and a folder for files of them. It is removed when nobody uses it any more."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        import safetensors.numpy  # noqa: PLC0415 (the peers are measured where it isn't installed)

        self.library = safetensors.numpy
        memory = "/dev/shm"
        folder = tempfile.TemporaryDirectory(dir=memory if os.path.isdir(memory) else None)
        self._end = weakref.finalize(self, folder.cleanup)
        rng = np.random.default_rng(0)
        self.arrays = {"layer{}".format(i): rng.random(shape, dtype=np.float32) for i in range(ARRAYS)}
        self.floor, self.ours = (os.path.join(folder.name, name) for name in ("floor", "ours"))

    def save_floor(self) -> None:
        self.library.save_file(self.arrays, self.floor)

    def save(self) -> None:
        eqx.save(self.ours, self.arrays)


def save(shape: tuple[int, ...] = SHAPE) -> dict[str, Call]:
    files = _Files(shape)
    return {FLOOR: files.save_floor, EQUINOX: files.save}


def load(shape: tuple[int, ...] = SHAPE) -> dict[str, Call]:
    """The library loads NumPy arrays. Ours loads JAX arrays, and checks them."""
    files = _Files(shape)
    files.save_floor()
    files.save()
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in files.arrays.items()}
    return {
        FLOOR: lambda: [x for _, x in sorted(files.library.load_file(files.floor).items())],
        EQUINOX: lambda: jax.block_until_ready(tree_leaves(eqx.load(files.ours, like))),
    }
