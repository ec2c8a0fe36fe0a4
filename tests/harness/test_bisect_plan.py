"""Plan a bisection: the candidates, and the Python for each. The releases are invented."""

import datetime
from dataclasses import replace

import pytest
from small_matrix import a_cell

from harness.bisect.plan import Index, plan
from harness.locks.index import File, Release
from harness.system.errors import WrongUsage

DAY = datetime.date(2025, 1, 1)


def release(version, *, wheels=(), requires_python=None):
    names = ["jaxlib-{}-cp{}-none-any.whl".format(version, python.replace(".", "")) for python in wheels]
    files = [File(name, "", "", DAY) for name in names or ["jax-{}.tar.gz".format(version)]]
    return Release(version, tuple(files), requires_python)


OLD, NEW = ("3.9", "3.10", "3.11"), ("3.11", "3.12")
LIBRARIES = [
    *(release(version, wheels=OLD) for version in ("0.4.13", "0.4.30")),
    *(release(version, wheels=NEW) for version in ("0.6.2", "0.7.0", "0.9.0")),
    release("0.11.0", wheels=("3.12",)),
]
JAX = [
    release("0.2.18", requires_python=">=3.6"),
    release("0.3.1", requires_python=">=3.7"),
    release("0.4.1", requires_python=">=3.8"),
    release("0.4.9", requires_python=">=3.8"),
    release("0.4.13", requires_python=">=3.8"),
    release("0.4.30", requires_python=">=3.9"),
    release("0.6.2", requires_python=">=3.10"),
    release("0.7.0rc1", requires_python=">=3.11"),
    release("0.7.0", requires_python=">=3.11"),
    release("0.9.0", requires_python=">=3.11"),
    release("0.11.0", requires_python=">=3.12"),
]


def row(jax, python, bridge=False):
    return a_cell(jax, python=python, as_of=datetime.date(2024, 7, 15), bridge=bridge)


CELLS = [
    row("0.2.18", "3.9", True),
    row("0.4.1", "3.11", True),
    row("0.4.13", "3.10"),
    row("0.4.30", "3.11"),
    row("0.9.0", "3.12"),
]
HERE = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def planned(good, bad, python=None, pythons=HERE, jax=JAX, cells=CELLS):
    return plan(Index(jax, LIBRARIES), cells, good, bad, python, pythons)


def names(made):
    return [candidate.jax for candidate in made.candidates]


def test_all_final_releases_between_are_candidates():
    assert names(planned("0.4.30", "0.9.0")) == ["0.4.30", "0.6.2", "0.7.0", "0.9.0"]
    assert names(planned("0.9.0", "0.4.30")) == ["0.9.0", "0.7.0", "0.6.2", "0.4.30"]
    assert names(planned("0.4.1", "0.2.18")) == ["0.4.1", "0.3.1", "0.2.18"]


@pytest.mark.parametrize("unknown", ["0.6.3", "0.7.0rc1"])
def test_an_unknown_release_is_refused_with_its_neighbours(unknown):
    with pytest.raises(WrongUsage, match=r"GOOD={} .*The nearest: 0\.6\.2 and 0\.7\.0\.".format(unknown)):
        planned(unknown, "0.9.0")
    with pytest.raises(WrongUsage, match=r"BAD=99 .*The nearest: 0\.11\.0\."):
        planned("0.6.2", "99")


def test_an_end_that_is_no_release_is_refused():
    with pytest.raises(WrongUsage, match="BAD must be a release of JAX.*`newest`"):
        planned("0.6.2", "newest")
    with pytest.raises(WrongUsage, match="GOOD must be a release of JAX"):
        planned("", "0.6.2")
    with pytest.raises(WrongUsage, match=r"both 0\.6\.2"):
        planned("0.6.2", "0.6.2")


def test_one_python_that_runs_both_ends_is_preferred():
    made = planned("0.4.30", "0.9.0")
    assert made.one_python == "3.11"
    assert {candidate.python for candidate in made.candidates} == {"3.11"}


def test_the_python_of_nearby_rows_is_preferred():
    near = [*JAX, release("0.4.20")]
    assert planned("0.4.13", "0.4.30", jax=near).one_python == "3.10"
    assert planned("0.2.18", "0.4.9").one_python == "3.9"


def test_a_matrix_without_the_cpu_gives_the_same_plan():
    """A project may test on accelerators only. A matrix of floating rows names no Python and no day."""
    on_a_gpu = [replace(cell, backend="cuda") for cell in CELLS]
    assert planned("0.4.30", "0.9.0", cells=on_a_gpu) == planned("0.4.30", "0.9.0")
    with pytest.raises(WrongUsage, match="a row with a fixed JAX"):
        planned("0.4.30", "0.9.0", cells=[replace(CELLS[0], jax="latest", as_of=None)])


def test_each_has_its_own_python_when_none_runs_both():
    made = planned("0.4.30", "0.11.0")
    assert made.one_python is None
    pythons = {candidate.jax: candidate.python for candidate in made.candidates}
    assert pythons == {"0.4.30": "3.11", "0.6.2": "3.11", "0.7.0": "3.11", "0.9.0": "3.12", "0.11.0": "3.12"}
    assert not any(candidate.refusal for candidate in made.candidates)


def test_the_python_that_is_asked_for_is_used():
    assert planned("0.4.30", "0.9.0", python="3.11").one_python == "3.11"
    with pytest.raises(
        WrongUsage, match=r"JAX 0\.4\.30 can't be tried: .*no jaxlib.*3\.12.*Choose one of 3\.9, 3\.10, 3\.11"
    ):
        planned("0.4.30", "0.9.0", python="3.12")
    with pytest.raises(WrongUsage, match=r"needs Python >=3\.11"):
        planned("0.7.0", "0.6.2", python="3.10")
    with pytest.raises(WrongUsage, match=r"a version such as 3\.11, and not `python3`"):
        planned("0.6.2", "0.9.0", python="python3")


def test_releases_that_cannot_be_installed_are_refused_beforehand():
    jax = [*JAX, Release("0.4.0", (File("jax-0.4.0.tar.gz", "", "", DAY, yanked=True),))]
    refused = {each.jax: each.refusal for each in planned("0.2.18", "0.6.2", jax=jax).candidates if each.refusal}
    assert list(refused) == ["0.3.1", "0.4.0"]
    assert "bridge doesn't support" in refused["0.3.1"]
    assert "withdrawn" in refused["0.4.0"]


def test_other_packages_are_of_a_month_later_and_never_older_than_the_row():
    day = datetime.date(2020, 1, 1)
    early = Release("0.4.31", (File("jax-0.4.31.tar.gz", "", "", day),))
    made = {each.jax: each for each in planned("0.4.9", "0.6.2", jax=[*JAX, early]).candidates}
    assert made["0.6.2"].as_of == DAY + datetime.timedelta(days=30)
    assert made["0.4.31"].as_of == datetime.date(2024, 7, 15)
    assert [each.jax for each in made.values() if each.bridge] == ["0.4.9"]
