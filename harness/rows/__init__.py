"""The list of what is tested: rows of docker/matrix.toml, and the cells that they make."""

from harness.rows.cells import Cell, Supports, UnknownCell, caps, load, select, suite_requires
from harness.rows.matrix_file import BACKENDS, TIERS, MatrixError, read_toml

__all__ = [
    "BACKENDS",
    "TIERS",
    "Cell",
    "MatrixError",
    "Supports",
    "UnknownCell",
    "caps",
    "load",
    "read_toml",
    "select",
    "suite_requires",
]
