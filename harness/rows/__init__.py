"""The list of what is tested: rows of matrix.toml, and the cells that they make."""

from harness.rows.cells import Cell, Supports, UnknownCell, caps, load, pythons, select, why_unclaimed
from harness.rows.matrix_file import TIERS, MatrixError, project, read_toml
from harness.rows.project import BACKENDS, Measure, Project
from harness.rows.required import suite_requires

__all__ = [
    "BACKENDS",
    "TIERS",
    "Cell",
    "MatrixError",
    "Measure",
    "Project",
    "Supports",
    "UnknownCell",
    "caps",
    "load",
    "project",
    "pythons",
    "read_toml",
    "select",
    "suite_requires",
    "why_unclaimed",
]
