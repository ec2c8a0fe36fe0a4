"""What a cell tests: one wheel for all cells, built again when the library changes, and a copy of the suite."""

import pytest
from programs import write

from harness import rows
from harness.source import suite

SUITE = """
README.md benchmarks/in_cells/speed.py docs/api.md examples/train.py pyproject.toml tests/data/x.json tests/test_x.py
""".split()


@pytest.fixture
def root(tmp_path):
    """A small checkout."""
    library = ("equinox/__init__.py", "equinox/nn/__init__.py", "equinox/__pycache__/x.pyc", "LICENSE")
    beside = ("CONTRIBUTING.md", "docker/wheel-constraints.txt", "benchmarks/run.py", "tests/harness/test_y.py")
    return write(tmp_path / "root", dict.fromkeys([*library, *beside, *SUITE], ""))


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_copy_has_the_suite_and_not_the_library(root, tmp_path):
    """Nothing there can be imported instead of the wheel. Nothing of an earlier copy stays."""
    folder = tmp_path / "copy"
    (folder / "equinox").mkdir(parents=True)
    suite.copy(folder, root)
    assert names(folder) == SUITE
    assert not (folder / "equinox").exists()


def test_the_plugins_are_beside_the_suite(tmp_path):
    """So a project may have folders of the same names."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "old.py").touch()
    suite.copy_plugins(tmp_path / "plugins")
    assert {"proof_of_place.py", "cell_report.py", "workers.py"} <= set(names(tmp_path / "plugins"))
    assert "old.py" not in names(tmp_path / "plugins")


@pytest.mark.parametrize(
    "tests, installed, copied",
    [
        (
            ("tests",),
            False,
            ["conftest.py", "pyproject.toml", "tests/data/x.json", "tests/harness/test_y.py", "tests/test_x.py"],
        ),
        (("tests/test_x.py::test_y",), False, ["conftest.py", "pyproject.toml", "tests/test_x.py"]),
        (("equinox",), True, ["conftest.py", "pyproject.toml"]),
    ],
)
def test_by_default_the_suite_is_the_tests_and_the_settings_of_pytest(
    root, tmp_path, monkeypatch, tests, installed, copied
):
    """A project that tests its installed package has no tests outside of it. The package is never copied."""
    (root / "conftest.py").touch()
    small = rows.Project(package="equinox", tests=tests, installed=installed)
    monkeypatch.setattr(suite, "project", lambda: small)
    suite.copy(tmp_path / "copy", root)
    assert names(tmp_path / "copy") == copied
