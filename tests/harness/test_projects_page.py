"""The files in docs/projects are whole, and docs/other-projects.md shows no row that they don't have."""

import re

import pytest

from harness.rows.matrix_file import Matrix
from harness.system.paths import ROOT

FILES = sorted((ROOT / "docs" / "projects").glob("*.toml"))
PAGE = (ROOT / "docs" / "other-projects.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## The table")[1].split("## ")[0]


def cells_of_the_page(project):
    """The releases of JAX for which the table has a result of the project."""
    header, _, *lines = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("|")]
    column = next(number for number, title in enumerate(header) if title.split()[0] == project)
    return {line[0].strip() for line in lines if line[column].strip()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_table_has_the_rows_of_the_file(file):
    matrix = Matrix(file)
    assert matrix.project.package == file.stem
    assert cells_of_the_page(file.stem) == {row.jax for row in matrix.rows.values()}


def test_each_project_of_the_page_has_a_file():
    header = next(line for line in TABLE.splitlines() if line.startswith("| JAX | Python |"))
    columns = [title.split()[0] for title in header.strip("|").split("|")[2:]]
    assert set(columns) == {file.stem for file in FILES}
    assert set(re.findall(r"pypi:(\w+)", PAGE)) <= set(columns)
