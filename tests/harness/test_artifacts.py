"""The results of all GitHub jobs are collected. A job can't give the result of a cell that it didn't run."""

import pytest

from harness import results
from harness.results import Outcome, Result, artifacts

CPU, OTHER = "py311-jax0.4.30-cpu", "py312-jax0.10.2-cpu"
GPU, FOUND = "py312-jax0.10.2-cuda", "py312-jax0.10.2-cuda-found"


def leave(folder, artifact, cell, outcome=Outcome.PASSED):
    results.write(Result(cell, outcome), folder / artifact)


@pytest.fixture
def collected(tmp_path):
    """Collect the artifacts. Returns the cells that have a result, and the messages."""

    def collect():
        said = []
        artifacts.collect(tmp_path / "artifacts", tmp_path / "results", said.append)
        return {path.stem for path in (tmp_path / "results").glob("*.json")}, "\n".join(said)

    return collect


def test_each_job_gives_the_results_of_its_cells(tmp_path, collected):
    for artifact, cell in [("results-" + CPU, CPU), ("sub-results-gpu", GPU), ("results-gpu", FOUND)]:
        leave(tmp_path / "artifacts", artifact, cell)
    assert collected() == ({CPU, GPU, FOUND}, "")


def test_a_job_cannot_give_the_result_of_another_cell(tmp_path, collected):
    """Otherwise a malicious package in one cell could report that all other cells passed."""
    leave(tmp_path / "artifacts", "results-" + CPU, CPU, Outcome.FAILED)
    leave(tmp_path / "artifacts", "results-" + OTHER, CPU)
    leave(tmp_path / "artifacts", "results-gpu", CPU)
    leave(tmp_path / "artifacts", "results-tpu", GPU)
    leave(tmp_path / "artifacts", "other", OTHER)
    cells, said = collected()
    assert cells == {CPU} and results.read(CPU, tmp_path / "results").outcome is Outcome.FAILED
    assert said.count("is skipped") == 3


def test_an_invalid_result_is_skipped(tmp_path, collected):
    folder = tmp_path / "artifacts" / ("results-" + CPU)
    folder.mkdir(parents=True)
    (folder / (CPU + ".json")).write_text("[]")
    cells, said = collected()
    assert cells == set() and "holds no JSON object" in said
