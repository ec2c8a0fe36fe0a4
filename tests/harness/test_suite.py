"""What a cell tests: one wheel for all cells, built again when the library changes, and a copy of the suite."""

import pytest

from harness.source import suite


@pytest.fixture
def root(tmp_path):
    """A small checkout."""
    files = {
        "equinox/__init__.py": "one",
        "equinox/nn/__init__.py": "two",
        "equinox/__pycache__/x.pyc": "",
        "pyproject.toml": "",
        "README.md": "",
        "LICENSE": "",
        "docker/wheel-constraints.txt": "",
        "CONTRIBUTING.md": "",
        "docs/api.md": "",
        "examples/train.py": "",
        "tests/test_x.py": "",
        "tests/data/x.json": "",
        "tests/harness/test_y.py": "",
        "docker/inside/plugin.py": "",
        "docker/other.txt": "",
    }
    root = tmp_path / "root"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_copy_has_the_suite_and_not_the_library(root, tmp_path):
    """Nothing there can be imported instead of the wheel. Nothing of an earlier copy stays."""
    folder = tmp_path / "copy"
    (folder / "equinox").mkdir(parents=True)
    suite.copy(folder, root)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "README.md",
        "docker/inside/plugin.py",
        "docs/api.md",
        "examples/train.py",
        "pyproject.toml",
        "tests/data/x.json",
        "tests/test_x.py",
    ]
    assert not (folder / "equinox").exists()
