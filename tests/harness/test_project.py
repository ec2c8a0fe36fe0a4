"""What is particular to the tested project is in the table `[project]` of the matrix. The code knows none of it."""

import re

import pytest

from harness import rows
from harness.system.paths import ROOT

PROJECT = rows.project()
FILES = [*sorted((ROOT / "harness").rglob("*.py")), ROOT / "toxfile.py"]
FILES.remove(ROOT / "harness" / "hatch_build.py")  # it builds the distribution of the harness, and runs no tests
NAMES = [PROJECT.package, *PROJECT.versions, *PROJECT.not_before, *(one.key for one in PROJECT.measure)]
OURS = [*NAMES, PROJECT.table, PROJECT.summary]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_code_knows_no_project(file):
    text = file.read_text(encoding="utf-8").replace("docker/bridge/README.md", "")
    assert re.findall("|".join(map(re.escape, OURS)), text) == []


def test_each_path_exists():
    paths = [*PROJECT.built_from, *PROJECT.suite, *PROJECT.left_out, *PROJECT.tests, PROJECT.table, PROJECT.summary]
    assert [path for path in [*paths, *PROJECT.programs, PROJECT.speed[0]] if not (ROOT / path).exists()] == []


def test_the_programs_are_part_of_the_suite_and_measure_all_figures():
    measured = [key for keys in PROJECT.programs.values() for key in keys]
    assert sorted(measured) == sorted(one.key for one in PROJECT.measure)
    assert all(program.startswith(PROJECT.suite) for program in PROJECT.programs)


def test_no_cell_reads_what_is_left_out():
    """Each left out part is a part of the suite. Otherwise it needs no mention."""
    assert all(part.startswith(tuple(folder + "/" for folder in PROJECT.suite)) for part in PROJECT.left_out)


@pytest.mark.parametrize("part", [["-k", "sizes"], ["-rs"], ["--ignore=tests/a"], ["-k", "not tests"]])
def test_options_choose_among_the_tests_of_the_project(part):
    """Without their names, pytest would look into its own folder, where no installed test is."""
    sample = rows.Project(package="tiny", tests=("tests/test_a.py", "tests/test_b.py"))
    assert sample.pytest(part) == ("tests/test_a.py", "tests/test_b.py", *part)
    installed = rows.Project(package="tiny", tests=("tiny.a_test",), installed=True)
    assert installed.pytest(part) == ("--pyargs", "tiny.a_test", *part)


def test_named_tests_run_instead_of_those_of_the_project():
    sample = rows.Project(package="tiny", tests=("tests",))
    for part in (["tests/test_c.py::test_x[a b]", "-x"], ["-x", "tests"], ["docs"]):
        assert sample.pytest(part) == tuple(part)
    installed = rows.Project(package="tiny", tests=("tiny.a_test",), installed=True)
    assert installed.pytest(["-x", "tiny.b_test::Test"]) == ("--pyargs", "-x", "tiny.b_test::Test")
