"""Base images: the digest of a tag is looked up once and kept."""

import pytest

from harness import rows
from harness.containers import bases
from harness.containers.docker_errors import DockerError

CELLS = rows.select(rows.load(), ["py39-jax0.2.18-*"])
PYTHON, CUDA = "python:3.9-slim-bookworm", "nvidia/cuda:11.1.1-cudnn8-devel-ubuntu20.04"
DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bases.toml"


class Registry:
    """A fake registry that knows some tags. It replaces `engine.ask`."""

    def __init__(self, *known):
        self.known = known
        self.asked = []

    def __call__(self, *arguments):
        self.asked.append(arguments[-1])
        if arguments[-1] not in self.known:
            raise DockerError("no network; connect to one")
        return DIGEST


def test_cuda_may_come_from_a_second_image():
    assert {bases.base_images(cell) for cell in CELLS} == {(PYTHON, "scratch"), (PYTHON, CUDA)}
    assert bases.base_images(rows.select(rows.load(), ["py313-jax0.12.0.1-cuda"])[0]) == (
        "python:3.13-slim-bookworm",
        "scratch",
    )


def test_a_known_digest_is_kept(path):
    """A second `make lock` asks the registry nothing and changes nothing, even if the tag has moved."""
    bases.lock(CELLS, path, Registry(PYTHON, CUDA))
    first, again = path.read_text(), Registry()
    bases.lock(CELLS, path, again)
    assert path.read_text() == first and again.asked == []
    assert bases.pinned(PYTHON, path) == "{}@{}".format(PYTHON, DIGEST)


def test_a_base_without_a_digest_is_reported_and_used_by_its_tag(path):
    said = []
    bases.lock(CELLS, path, Registry(PYTHON), said.append)
    assert said == ["{}: only the tag is used. Its digest can't be found: no network; connect to one".format(CUDA)]
    assert bases.pinned(CUDA, path) == CUDA and bases.pinned(PYTHON, path) != PYTHON
    assert bases.floats(CUDA, path) and not bases.floats(PYTHON, path) and not bases.floats("scratch", path)


def test_no_digest_makes_no_file(path):
    bases.lock(CELLS, path, Registry(), lambda line: None)
    assert not path.exists() and bases.pinned(PYTHON, path) == PYTHON


def test_a_base_that_no_cell_uses_is_removed(path):
    bases.lock(CELLS, path, Registry(PYTHON, CUDA))
    bases.lock([cell for cell in CELLS if cell.backend == "cpu"], path, Registry())
    assert CUDA not in path.read_text() and PYTHON in path.read_text()


def test_an_answer_that_is_no_digest_is_not_written(path):
    said = []
    bases.lock(CELLS, path, lambda *arguments: "<none>", said.append)
    assert not path.exists() and "not a digest: <none>" in said[0]
