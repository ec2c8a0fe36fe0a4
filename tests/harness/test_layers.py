"""The map of the packages in the docstring of `harness`: it is complete, and imports go one way along it."""

import ast
import re
from pathlib import Path

import pytest

import harness
from harness.system.paths import HOME

FOLDER = Path(harness.__file__).parent
MAP = harness.__doc__.partition("The packages, lowest first.")[2]
# A list of packages for each item of the map, lowest first. The packages of one item don't import each other.
LAYERS = [re.findall(r"^(?:- |  )`([a-z]+)`:", item, re.MULTILINE) for item in re.split(r"\n(?=- )", MAP)[1:]]
PACKAGES = [package for layer in LAYERS for package in layer]


def parts(package):
    """The modules of a package, and the packages in it."""
    return {path.stem for path in (FOLDER / package).iterdir() if path.suffix == ".py" or path.is_dir()} - {
        "__init__",
        "__pycache__",
    }


def imported(file):
    """The packages of the harness that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "harness":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness."):
            yield node.module.split(".")[1]


def test_the_map_names_each_package():
    """But not `jax_matrix`, which is around this package in a wheel."""
    found = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert sorted(PACKAGES) == sorted(found - {"jax_matrix"})


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "bisect"])
def test_the_map_names_each_module(package):
    """The package `bisect` explains its own modules."""
    (item,) = re.findall(r"^(?:- |  )`{}`:(.*?)(?=^- |^  `[a-z]+`:|\Z)".format(package), MAP, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", item)) == parts(package)


def test_each_file_that_a_text_names_is_there():
    """Comments and pages name files of the harness. A file that has moved would leave them behind."""
    folders = ("harness", "docker", "docs", ".github", ".ci", ".devcontainer")
    texts = [path for path in (HOME / folder for folder in folders) for path in path.rglob("*") if path.is_file()]
    tops = ("*.md", "*.toml", "tox*", "Makefile", ".dockerignore")
    named = re.compile(rb"(?<![\w./-])(?:harness|docker)/[\w/-]+\.(?:py|toml|txt|in|lock|Dockerfile)\b")
    for path in [*texts, *(path for top in tops for path in HOME.glob(top))]:
        lost = [name for name in named.findall(path.read_bytes()) if not (HOME / name.decode()).exists()]
        assert not lost, path


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=["-".join(layer) for layer in LAYERS])
def test_imports_go_one_way(number):
    for package in LAYERS[number]:
        allowed = {package, *(lower for layer in LAYERS[:number] for lower in layer)}
        for file in (FOLDER / package).rglob("*.py"):
            assert set(imported(file)) <= allowed, file
