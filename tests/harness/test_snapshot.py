"""Snapshots: a result is always of the source that was run, even if the user changes the source during the run."""

import datetime

import pytest
from programs import write
from small_matrix import a_cell

from harness import rows
from harness.containers import image
from harness.source import fingerprint, snapshot
from harness.system.paths import ROOT

CELL = a_cell(as_of=datetime.date(2024, 8, 1))


@pytest.fixture
def root(tmp_path):
    files = {
        "equinox/__init__.py": "one",
        "tests/test_x.py": "a test",
        "tests/harness/test_y.py": "of the harness",
        "tests/__pycache__/x.pyc": "",
        "pyproject.toml": "",
        "README.md": "",
        "docs/api.md": "",
        "docs/images/idea.svg": "",
        "docker/wheel-constraints.txt": "hatchling==1",
        "docker/compose.yml": "of the project",
        ".harness/docker/build-constraints.txt": "setuptools==1",
        "locks/py311-jax0.4.30-cpu.txt": "jax==0.4.30",
        "locks/py311-jax0.4.30-cuda.txt": "another cell's",
        ".harness/docker/cpu.Dockerfile": "FROM x",
        "matrix.toml": "list",
        ".dockerignore": "*",
        "results/x.json": "{}",
    }
    return write(tmp_path / "root", files)


def test_the_copy_has_the_hashes_of_the_source_even_if_the_source_changes(root, tmp_path):
    before = fingerprint.hashes(CELL, root)
    copy = snapshot.take(tmp_path / "copy", CELL, root)
    (root / "tests" / "test_x.py").write_text("another branch")
    (root / "locks" / "py311-jax0.4.30-cpu.txt").write_text("another lock")
    assert fingerprint.hashes(CELL, copy) == before != fingerprint.hashes(CELL, root)


def test_the_copy_has_only_what_is_tested_and_what_builds_it(root, tmp_path):
    copy = snapshot.take(tmp_path / "copy", CELL, root)
    found = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert found == {
        "equinox/__init__.py",
        "tests/test_x.py",
        "pyproject.toml",
        "README.md",
        "docs/api.md",
        "docker/wheel-constraints.txt",
        "locks/py311-jax0.4.30-cpu.txt",
        ".harness/docker/build-constraints.txt",
        ".harness/docker/cpu.Dockerfile",
    }


def test_an_earlier_copy_is_replaced(root, tmp_path):
    snapshot.take(tmp_path / "copy", CELL, root)
    (root / "tests" / "test_x.py").unlink()
    copy = snapshot.take(tmp_path / "copy", CELL, root)
    assert not (copy / "tests" / "test_x.py").exists()


@pytest.mark.parametrize("backend", ["cpu", "cuda", "tpu"])
def test_each_image_can_be_built_from_a_copy(backend, tmp_path):
    """The copy has all files that the Dockerfiles copy from the context."""
    cell = next(cell for cell in rows.load() if cell.backend == backend and not cell.floating and cell.lock.is_file())
    copy = snapshot.take(tmp_path / "copy", cell)
    copied = [line.split() for line in image.dockerfile(cell).read_text().splitlines() if line.startswith("COPY ")]
    sources = [word for line in copied for word in line[1:-1] if not word.startswith("--")]
    args = image.build_args(cell, source=copy)
    for source in [*sources, *args["BUILT_FROM"].split(), *args["SUITE"].split(), args["BUILD_CONSTRAINTS"]]:
        name = source.replace("${CELL}", cell.name).replace("${HARNESS}", args["HARNESS"])
        assert name.startswith("/") or list(copy.glob(name)), source
    assert copy != ROOT
