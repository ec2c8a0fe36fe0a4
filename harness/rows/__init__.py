"""The list of what is tested: rows of docker/matrix.toml, and the cells that they make."""

from harness.rows.cells import Cell, Supports, UnknownCell, caps, load, select, suite_requires
from harness.rows.matrix_file import BACKENDS, TIERS
from harness.rows.toml_schema import MatrixError

__all__ = [
    "BACKENDS",
    "TIERS",
    "Cell",
    "MatrixError",
    "Supports",
    "UnknownCell",
    "caps",
    "load",
    "select",
    "suite_requires",
]
