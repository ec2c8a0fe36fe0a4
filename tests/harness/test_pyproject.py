"""What the package says of itself fits what is tested, and pre-commit runs what `make lint` runs."""

import re

from harness import rows
from harness.rows.matrix_file import tomllib
from harness.system.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_classifiers_name_the_oldest_python_and_those_of_the_matrix():
    """The oldest one is `requires-python`. No cell has it: tests/test_package.py imports the library on it."""
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    oldest = PROJECT["requires-python"].removeprefix(">=")
    pythons = {oldest, *(cell.python for cell in rows.load())}
    assert named == sorted(pythons, key=lambda python: int(python.split(".")[1]))


def test_a_commit_is_checked_by_make_lint():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^ *entry: (.*)$", text) == ["make lint"]
