"""What images begin with: the digest of a tag is asked for once, and kept."""

import pytest
from harness import bases, rows
from harness.trouble import Trouble

CELLS = rows.select(rows.load(), ["py39-jax0.2.18-*"])
PYTHON, CUDA = "python:3.9-slim-bookworm", "nvidia/cuda:11.1.1-cudnn8-devel-ubuntu20.04"
DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bases.toml"


class Registry:
    """In place of the engine's command line; knows some tags."""

    def __init__(self, *known):
        self.known = known
        self.asked = []

    def __call__(self, *arguments):
        self.asked.append(arguments[-1])
        if arguments[-1] not in self.known:
            raise Trouble("no network; see to it")
        return DIGEST


def test_python_has_its_own_image_and_cuda_may_come_from_another():
    assert {bases.of(cell) for cell in CELLS} == {(PYTHON, "scratch"), (PYTHON, CUDA)}
    assert bases.of(rows.select(rows.load(), ["py313-jax0.12.0.1-cuda"])[0]) == ("python:3.13-slim-bookworm", "scratch")


def test_noted_once_and_used(path):
    """A second `make lock` asks for nothing, and changes nothing, though the tag may have moved."""
    bases.lock(CELLS, path, Registry(PYTHON, CUDA))
    first, again = path.read_text(), Registry()
    bases.lock(CELLS, path, again)
    assert path.read_text() == first and again.asked == []
    assert bases.pinned(PYTHON, path) == "{}@{}".format(PYTHON, DIGEST)


def test_what_is_not_known_is_said_and_goes_by_its_tag(path):
    said = []
    bases.lock(CELLS, path, Registry(PYTHON), said.append)
    assert said == ["{}: the tag alone, as its digest isn't known: no network; see to it".format(CUDA)]
    assert bases.pinned(CUDA, path) == CUDA and bases.pinned(PYTHON, path) != PYTHON
    assert bases.floats(CUDA, path) and not bases.floats(PYTHON, path) and not bases.floats("scratch", path)


def test_nothing_known_makes_no_file(path):
    bases.lock(CELLS, path, Registry(), lambda line: None)
    assert not path.exists() and bases.pinned(PYTHON, path) == PYTHON


def test_what_no_cell_begins_with_is_forgotten(path):
    bases.lock(CELLS, path, Registry(PYTHON, CUDA))
    bases.lock([cell for cell in CELLS if cell.backend == "cpu"], path, Registry())
    assert CUDA not in path.read_text() and PYTHON in path.read_text()


def test_an_answer_that_is_no_digest_is_not_noted(path):
    said = []
    bases.lock(CELLS, path, lambda *arguments: "<none>", said.append)
    assert not path.exists() and "no digest: <none>" in said[0]
