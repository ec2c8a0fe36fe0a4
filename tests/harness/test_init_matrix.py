"""`init` writes a matrix.toml that fits a project. Each peculiarity of a project is a project made by hand here."""

import io
import json
import subprocess
import urllib.error
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version
from programs import write

from harness import command_line, rows
from harness.init import choice, layout, matrix_text, requirements
from harness.rows import matrix_file
from harness.system import isolation
from harness.system.errors import CannotGoOn, WrongUsage

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "Some-Thing"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["jax>=0.4.34", "numpy>=1.20"]
"""
TEST = "def test_it():\n    assert True\n"
FLAT = {"pyproject.toml": PYPROJECT, "some_thing/__init__.py": "", "tests/test_it.py": TEST}


def no_index(request, timeout):
    raise urllib.error.URLError("no network in this test")


@pytest.fixture
def init(tmp_path, monkeypatch):
    """`init(files)` writes the files, and returns what `init` makes of them: the text, and the table `[project]`."""
    monkeypatch.setenv(isolation.INDEX, "https://index.example/simple")

    def init(files, **options):
        write(tmp_path, files)
        path = matrix_text.init(tmp_path, **{"opener": no_index, **options})
        return path.read_text(encoding="utf-8"), matrix_file.Matrix(path).project

    return init


# What kind of project it is


def test_a_flat_project_needs_only_the_name_of_its_package(init, tmp_path):
    text, project = init(FLAT)
    assert project == rows.Project(package="some_thing")
    assert text.partition("[project]\n")[2].splitlines() == [
        'package = "some_thing"',
        "# Nothing says what the tests need. pytest is always there, and `requires = [...]` adds more.",
    ]
    assert all("numpy>=1.20" in cell.requires for cell in rows.load(tmp_path / "matrix.toml"))


def test_a_src_layout(init):
    files = {"src/some_thing/__init__.py": "", "docs/conf.py": "", "scripts/__init__.py": ""}
    _, project = init({**files, "pyproject.toml": PYPROJECT, "tests/test_it.py": TEST})
    assert project == rows.Project(package="some_thing")


@pytest.mark.parametrize("file", ["CMakeLists.txt", "some_thing/fast.pyx", "Cargo.toml", "some_thing/csrc/fast.cc"])
def test_a_native_extension_is_mentioned(init, file):
    text, project = init({**FLAT, file: ""})
    assert "# It has a native extension ({}). So it is built for each Python.".format(file) in text
    assert project == rows.Project(package="some_thing")


def test_a_setup_py_with_an_extension(init):
    text, _ = init({**FLAT, "setup.py": "setup(ext_modules=[x])"})
    assert "native extension (setup.py)" in text
    plain, _ = init({**FLAT, "setup.py": "setup()"}, force=True)
    assert "native" not in plain


EXTRAS = """
[project.optional-dependencies]
docs = ["sphinx"]
tests = ["chex", "pytest>=7"]
dev = ["ruff"]
[dependency-groups]
test = ["hypothesis"]
lint = ["mypy"]
"""


def test_the_requirements_of_the_tests(init, tmp_path):
    """Extras, groups and files are used if their name says that they are for tests."""
    lists = {"requirements/requirements-test.txt": "mock\n", "requirements/requirements.txt": "jax\n", "notes.txt": "x"}
    _, project = init({**FLAT, **lists, "pyproject.toml": PYPROJECT + EXTRAS})
    assert (project.extras, project.groups) == (("tests",), ("test",))
    assert project.requirements == ("requirements/requirements-test.txt",)
    (cell, *_) = rows.load(tmp_path / "matrix.toml")
    assert {"chex", "hypothesis", "mock", "numpy>=1.20", "pytest>=7", "pytest-xdist"} == {*cell.requires[2:]} - {
        "numpy<2",
        "scipy<1.13",
    }


def test_without_any_for_tests_those_for_development_are_used(init):
    _, project = init({**FLAT, "pyproject.toml": PYPROJECT + '[project.optional-dependencies]\ndev = ["ruff"]\n'})
    assert project.extras == ("dev",)


@pytest.mark.parametrize("text", ["n = jax.device_count()", "XLA_FLAGS = '--xla_force_host_platform_device_count=2'"])
def test_tests_that_count_devices_are_told_how_to_get_more(init, text):
    written, _ = init({**FLAT, "tests/conftest.py": text})
    assert "`cpu_devices = 8` makes more" in written
    assert "cpu_devices" not in init({"tests/conftest.py": ""}, force=True)[0]


def test_a_conftest_above_the_tests_comes_with_them(init):
    """At the top it is a part of each suite. Between the top and the tests, the top folder of the tests is copied."""
    _, project = init({**FLAT, "conftest.py": "", "tests/test_it.py": "import unittest"})
    assert "conftest.py" in project.suite and project.runner == "pytest"
    settings = '[tool.pytest.ini_options]\ntestpaths = ["checks/unit", "docs"]\n'
    nested = {"checks/conftest.py": "", "checks/unit/test_it.py": TEST, "pyproject.toml": PYPROJECT + settings}
    _, project = init({**FLAT, **nested}, force=True)
    assert project.tests == ("checks/unit",)
    assert project.suite == ("checks", "conftest.py", "pyproject.toml")


def test_tests_in_the_package_and_outside(init):
    """Only those outside run: a copy of the others would bring the source, in place of the wheel."""
    settings = '[tool.pytest.ini_options]\ntestpaths = ["some_thing", "tests", ".", "/"]\n'
    inside = {"some_thing/it_test.py": TEST, "pyproject.toml": PYPROJECT + settings}
    text, project = init({**FLAT, **inside})
    assert (project.tests, project.installed) == (("tests",), False)
    assert "There are tests in the package too. They are left out." in text


@pytest.mark.parametrize("given", [{"tests": ["src"]}, {}], ids=["option", "settings"])
def test_a_folder_that_holds_the_package_is_not_copied(init, given):
    """A copy of the source would be tested in place of the wheel."""
    settings = '[tool.pytest.ini_options]\ntestpaths = ["src"]\n'
    inside = {"src/some_thing/__init__.py": "", "src/some_thing/it_test.py": TEST}
    _, project = init({**inside, "pyproject.toml": PYPROJECT + settings}, **given)
    assert (project.installed, project.tests) == (True, ("some_thing",))
    assert not any("src" in part for part in project.suite)


def test_what_lies_beside_the_package_is_none(init):
    """Modules of tests at the top, leftovers of a build, and a folder of the same name beside `src`."""
    files = {"src/some_thing/__init__.py": "", "some_thing/__init__.py": "", "some_thing/test_old.py": TEST}
    more = {"build/lib/__init__.py": "", "pyproject.toml": PYPROJECT, "test_it.py": TEST, "versioneer.py": ""}
    _, project = init({**files, **more})
    assert (project.package, project.tests, project.installed) == ("some_thing", ("test_it.py",), False)


@pytest.mark.parametrize("file", ["some_thing/tests/test_it.py", "some_thing/_src/it_test.py"])
@pytest.mark.parametrize("top", ["", "src/"])
def test_tests_in_the_package_are_those_of_the_wheel(init, file, top):
    """The source isn't copied beside them: it would be tested in place of the wheel."""
    text, project = init({"pyproject.toml": PYPROJECT, top + "some_thing/__init__.py": "", top + file: TEST})
    assert (project.installed, project.tests) == (True, ("some_thing",))
    assert project.pytest()[-2:] == ("--pyargs", "some_thing")
    assert not any("some_thing" in part for part in project.suite)
    assert "Those that its wheel installs run." in text and "conftest.py" not in text
    text, project = init({top + "conftest.py": ""}, force=True)
    assert "# They don't see {}conftest.py, which no wheel holds.".format(top) in text and project.installed


@pytest.mark.parametrize(
    "text", ["import unittest\n", "from absl.testing import absltest\n", "from unittest import TestCase\n"]
)
def test_a_suite_of_unittest(init, text):
    written, project = init({**FLAT, "tests/test_it.py": text})
    assert project.runner == "unittest"
    assert "absl_flags" in project.pytest() and "python_files=test*.py *_test.py" in project.pytest()
    assert "nothing mentions pytest" in written


@pytest.mark.parametrize(
    "more",
    [
        {"tests/test_other.py": "    import pytest"},
        {"tests/deep/conftest.py": ""},
        {"pytest.ini": "[pytest]\naddopts = -q\n"},
        {"setup.cfg": "[tool:pytest]\nfilterwarnings = error\n"},
        {"pyproject.toml": PYPROJECT + '[dependency-groups]\ntest = ["pytest-cov"]\n'},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_suite_of_unittest_that_mentions_pytest_runs_as_pytest_says(init, more):
    _, project = init({**FLAT, "tests/test_it.py": "import unittest\n", **more})
    assert project.runner == "pytest"


def test_no_tests_are_an_error_that_says_where_they_may_be(init, tmp_path):
    files = {"pyproject.toml": PYPROJECT, "some_thing/__init__.py": "", "tests/helper.py": ""}
    with pytest.raises(WrongUsage, match="There are no tests in .*--tests FOLDER.*use a checkout of the project"):
        init(files)
    assert not (tmp_path / "matrix.toml").exists()
    _, project = init({"checks/test_it.py": TEST}, tests=["checks"])
    assert project.tests == ("checks",)
    with pytest.raises(WrongUsage, match="There are no tests in .*docs"):
        init({}, tests=["docs"], force=True)


@pytest.mark.parametrize("place", ["../checks", "tests/../../checks", "/", "."])
def test_tests_outside_of_the_project_are_an_error(init, tmp_path, place):
    """A copy of them would be written outside of the folder of the copy."""
    write(tmp_path.parent / "checks", {"test_it.py": TEST})
    with pytest.raises(WrongUsage, match="Expected tests below {}, and got /".format(tmp_path)):
        init(FLAT, tests=[place])


def test_a_command_in_a_message_quotes_the_folder(tmp_path):
    assert layout.typed_init(tmp_path / "my project").endswith("init '{}/my project'".format(tmp_path))
    with pytest.raises(rows.MatrixError, match="init '{}/my project'$".format(tmp_path)):
        matrix_file.Matrix(tmp_path / "my project" / "matrix.toml")


def test_a_folder_without_a_project_is_an_error(init, tmp_path):
    with pytest.raises(WrongUsage, match="has no pyproject.toml and no setup.py"):
        init({"tests/test_it.py": TEST})
    with pytest.raises(WrongUsage, match="There is no folder"):
        matrix_text.init(tmp_path / "none")


def test_a_package_may_have_a_name_that_is_usual_for_other_folders(init):
    files = {"pyproject.toml": PYPROJECT, "one/__init__.py": "", "tools/__init__.py": "", "tests/test_it.py": TEST}
    assert init(files)[1].package == "one"
    assert init(files, package="tools", force=True)[1].package == "tools"
    named = {"pyproject.toml": PYPROJECT.replace("Some-Thing", "Tools")}
    assert init(named, force=True)[1].package == "tools"


def test_several_packages_need_a_choice(init):
    files = {"pyproject.toml": PYPROJECT, "one/__init__.py": "", "two/__init__.py": "", "tests/test_it.py": TEST}
    with pytest.raises(WrongUsage, match="It has: one, two. Name one: .*--package NAME"):
        init(files)
    with pytest.raises(WrongUsage, match="There is no package `three`"):
        init(files, package="three")
    assert init(files, package="two")[1].package == "two"


def test_a_file_that_is_there_stays(init, tmp_path):
    (tmp_path / "matrix.toml").write_text("mine")
    with pytest.raises(WrongUsage, match="--force"):
        init(FLAT)
    assert (tmp_path / "matrix.toml").read_text() == "mine"
    assert "some_thing" in init(FLAT, force=True)[0]


# What it requires


DYNAMIC = PYPROJECT.replace('dependencies = ["jax>=0.4.34", "numpy>=1.20"]', 'dynamic = ["dependencies"]')


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": DYNAMIC},
        {"setup.py": ""},
        {"setup.py": "", "PKG-INFO": "Metadata-Version: 2.1\nName: some-thing\n"},  # older setuptools left the rest out
    ],
    ids="dynamic setup.py PKG-INFO".split(),
)
def test_requirements_that_only_a_build_knows_are_written_down(init, tmp_path, files):
    package = {name: content for name, content in FLAT.items() if name != "pyproject.toml"}
    built = 'Metadata-Version: 2.4\nName: some-thing\nRequires-Dist: jax>=0.5\nRequires-Dist: attrs; extra == "test"\n'

    def run(command, **options):
        folder = Path(command[command.index("--out-dir") + 1])
        folder.mkdir()
        (Path(command[-1]) / "build").mkdir()  # as setuptools does
        with zipfile.ZipFile(folder / "some_thing-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("some_thing-1.0.dist-info/METADATA", built)
        return subprocess.CompletedProcess(command, 0, "", "")

    text, project = init({**package, **files}, run=run)
    assert project.requires == ("jax>=0.5", "attrs")
    assert "Only its build knows" in text and "It claims jax>=0.5 (a build of the project)." in text
    assert [cell.jax for cell in rows.load(tmp_path / "matrix.toml")][0] == "0.5.0"
    assert not (tmp_path / "build").exists()

    def broken(command, **options):
        return subprocess.CompletedProcess(command, 2, "", "no compiler")

    with pytest.raises(
        CannotGoOn, match="it fails. Make it work:\n  uv build --wheel {}\nno compiler".format(tmp_path)
    ):
        init({}, run=broken, force=True)


def test_a_project_that_leaves_jax_to_an_extra(init, tmp_path):
    """Cells have that extra, and its bounds choose the rows. One for a GPU is none of the CPU."""
    without = PYPROJECT.replace('"jax>=0.4.34", ', "")
    extras = '[project.optional-dependencies]\ncuda = ["jax[cuda12]>=0.6"]\njax = ["jax>=0.5.1", "jaxlib"]\n'
    text, project = init({**FLAT, "pyproject.toml": without + extras})
    assert project.extras == ("jax",) and "It claims jax>=0.5.1, jaxlib, Python" in text
    assert [cell.jax for cell in rows.load(tmp_path / "matrix.toml")][0] == "0.5.1"
    text, project = init({"pyproject.toml": without + extras.partition("jax = ")[0]}, force=True)
    assert project.extras == () and "It doesn't require JAX itself." in text
    tested = '[dependency-groups]\ntest = ["jax"]\n'
    assert init({"pyproject.toml": without + extras + tested}, force=True)[1].extras == ()


def test_the_groups_of_poetry(init):
    tables = """
    [project]
    name = "some-thing"
    dependencies = ["jax"]
    [tool.poetry.group.test.dependencies]
    python = "^3.10"
    a = "^1.2"
    b = {version = "~0.3.1", extras = ["x", "y"]}
    c = "*"
    d = {git = "somewhere"}
    e = "2.0"
    f = ">=1, !=1.5"
    h = "^1 || ^2"
    i = ">=1 <2"
    j = [{version = "^1", python = "<3.9"}, {version = "^2", python = ">=3.9"}]
    [tool.poetry.group.docs.dependencies]
    g = "*"
    """
    _, project = init({**FLAT, "pyproject.toml": tables})
    assert project.requires == ("a>=1.2,<2", "b[x,y]>=0.3.1,<0.4", "c", "d", "e==2.0", "f>=1,!=1.5", "h", "i", "j")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0.2", ">=0.2,<0.3"),
        ("~1", ">=1,<2"),
        ("^0", ">=0,<1"),
        ("~1.2.3", ">=1.2.3,<1.3"),
        ("~=1.2", "~=1.2"),
    ],
)
def test_the_bounds_of_poetry(text, bounds):
    assert requirements.poetry_bounds(text) == bounds


def test_a_requirement_newer_than_the_rows_gets_its_date(init):
    """The first release that it allows counts, and only if it is later than the first row."""
    uploaded = {
        "numpy": {"1.19": "2019-01-01", "1.20": "2020-01-01"},
        "chex": {"0.1": "2020-01-01", "0.2": "2025-06-01"},
    }

    def index(request, timeout):
        name = request.full_url.rstrip("/").rpartition("/")[2]
        files = [
            {
                "filename": "{}-{}.tar.gz".format(name, version),
                "url": "x",
                "hashes": {},
                "upload-time": day + "T00:00:00Z",
            }
            for version, day in uploaded[name].items()
        ]
        return io.BytesIO(json.dumps({"files": files}).encode())

    _, project = init({**FLAT, "pyproject.toml": PYPROJECT.replace('"numpy', '"chex>=0.2", "numpy')}, opener=index)
    assert {name: str(day) for name, day in project.not_before.items()} == {"chex": "2025-06-01"}


def test_without_an_index_the_dates_are_not_known(init):
    text, project = init(FLAT)
    assert project.not_before == {}
    assert "isn't known: https://index.example/simple/numpy/ can't be reached" in " ".join(
        text.replace("#", "").split()
    )


# Which rows


def chosen(claimed, python=">=3.10"):
    """The rows for a claim, and the notes in one text."""
    bounds = None if claimed is None else choice.SpecifierSet(claimed)
    found, notes = choice.choose(matrix_file.known(), bounds, python)
    return {row.jax: row for row in found}, " ".join(notes)


NEWEST = [jax for jax in matrix_file.known().release if jax not in matrix_file.FLOATING][-1]


def test_the_rows_go_from_the_lower_bound_to_the_newest():
    found, notes = chosen(">=0.4.34")
    order = list(found)
    assert (order[0], order[-2:]) == ("0.4.34", [NEWEST, "latest"])
    assert len(order) == 7 and order[:-1] == sorted(order[:-1], key=choice.Version)
    assert found["0.4.34"].why == "its lower bound" and found[NEWEST].why == "the newest"
    assert [row.jax for row in found.values() if row.tier == "pr"] == [order[0], order[3], order[5]]
    assert notes == ""


def test_a_pin_is_tested_beside_the_newest_which_contradicts_it():
    found, _ = chosen("==0.5.3")
    assert list(found) == ["0.5.3", NEWEST, "latest"]
    assert found["0.5.3"].why == "the one that it pins" and found["0.5.3"].tier == "pr"
    assert found[NEWEST].tier == "nightly"
    assert found[NEWEST].why == "not claimed, but tested too"


def test_an_upper_bound_is_tested_beside_the_newest():
    found, _ = chosen(">=0.4.34,<0.7")
    assert found["0.6.2"].why == "the newest that it claims" and found["0.6.2"].tier == "pr"
    assert found[NEWEST].why == "not claimed, but tested too" and found[NEWEST].tier == "nightly"


def test_excluded_and_withdrawn_releases_are_no_rows():
    found, _ = chosen(">=0.4.32,!=0.4.33")
    assert next(iter(found)) == "0.4.34"
    assert found["0.4.34"].why == "the oldest that it claims and that can run"


@pytest.mark.parametrize("claimed", [None, "", "<0.9"])
def test_without_a_lower_bound_the_first_row_is_a_guess(claimed):
    found, notes = chosen(claimed)
    assert next(iter(found)) == choice.SURE
    assert "The first row is a guess" in notes


@pytest.mark.parametrize(
    ("claimed", "python", "newest"), [("<0.4", ">=3.9", "0.3.25"), ("<0.4.12", ">=3.11", "0.4.11")]
)
def test_a_claim_of_only_old_releases_is_tested_with_the_newest_of_them(claimed, python, newest):
    found, notes = chosen(claimed, python)
    assert list(found) == [newest, NEWEST, "latest"] and "The first row is a guess" in notes
    assert found[newest].why.startswith("the newest that it claims") and "claims no release" not in notes


def test_the_pythons_of_the_project_count():
    """A row gets its usual Python if the project supports that, and the nearest one otherwise."""
    known = matrix_file.known()
    found, notes = chosen(">=0.4.13", ">=3.9,<3.12")
    for jax, row in found.items():
        python = row.python or known.release[jax].python
        lowest, highest = map(Version, known.release[jax].pythons.split("-"))
        assert choice.supports(">=3.9,<3.12", python) and lowest <= Version(python) <= highest
    assert "latest" not in found and "0.11.2" not in found and "0.10.2" in found
    assert {row.python for jax, row in found.items() if known.release[jax].python == "3.12"} == {"3.11"}
    assert all(row.python == "" for jax, row in found.items() if known.release[jax].python in ("3.10", "3.11"))
    found, notes = chosen(">=0.3.18", ">=3.12")
    assert next(iter(found)) == "0.4.18"
    assert "JAX 0.3.19 to 0.4.17 run on no Python that it supports (>=3.12)" in notes
    with pytest.raises(WrongUsage, match="run on none of these"):
        chosen(">=0.4.34", ">=3.99")


def test_a_claim_of_unknown_releases_is_said():
    found, notes = chosen(">=99")
    assert list(found) == [NEWEST, "latest"] and "claims no release of JAX" in notes


def test_a_release_whose_jaxlib_the_index_lacks_is_said():
    found, _ = chosen(">=0.4.16")
    assert found["0.4.16"].why == "its lower bound; its jaxlib is only in JAX's archive"


def test_a_project_without_jax_is_said(init):
    plain = PYPROJECT.replace('"jax>=0.4.34", ', "")
    text, _ = init({**FLAT, "pyproject.toml": plain})
    assert "It doesn't require JAX itself." in text and "It claims no JAX" in text


# The command


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(matrix_text.dates, "not_before", lambda *arguments: {})
    write(tmp_path, FLAT)
    assert command_line.main(["init", str(tmp_path)]) == 0
    assert "matrix.toml is written" in capsys.readouterr().out
    assert command_line.main(["init", str(tmp_path)]) == 2
    assert "--force" in capsys.readouterr().err
