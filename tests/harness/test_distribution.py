"""The distribution `jax-matrix`: the command runs outside of the checkout, and the wheel has all that it needs."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.system import isolation
from harness.system.paths import HOME
from harness.system.uv import uv_path

BUILT_FROM = HOME / "harness"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def uv(*arguments: str) -> None:
    """Run uv. Without an index, the test is skipped."""
    program = uv_path()
    if program is None:
        pytest.skip("there is no uv here")
    env = isolation.isolated(os.environ)
    done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, check=False)
    if re.search("Request failed|Failed to fetch|error sending request", done.stderr):
        pytest.skip("the package index can't be reached: it has what builds the wheel, and what the command needs")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--out-dir", str(folder), str(BUILT_FROM))
    (built,) = folder.glob("jax_matrix-*.whl")
    return built


@pytest.fixture(scope="module")
def jax_matrix(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command, as it is installed in a new environment."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    uv("pip", "install", "--quiet", "--python", str(environment / "bin" / "python"), str(wheel))

    def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        command = [str(environment / "bin" / "jax-matrix"), *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


def test_the_wheel_keeps_the_folders_of_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name.removeprefix("jax_matrix/") for name in archive.namelist() if name.startswith("jax_matrix/")}
    kept = [path for name in ("harness", "docker") for path in (HOME / name).rglob("*") if path.is_file()]
    kept = [path for path in kept if "__pycache__" not in path.parts and BUILT_FROM / "jax_matrix" not in path.parents]
    only_to_build = {"README.md", "hatch_build.py", "pyproject.toml", "requirements.lock", "requirements.txt"}
    expected = {
        path.relative_to(HOME).as_posix()
        for path in [*kept, HOME / "tox.ini", HOME / "toxfile.py", HOME / "LICENSE"]
        if path.parent != BUILT_FROM or path.name not in only_to_build
    }
    assert inside == {*expected, "__init__.py", "__main__.py"}


def test_the_installed_command_calls_itself_by_its_name(jax_matrix: Command, tmp_path: Path) -> None:
    done = jax_matrix("--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: jax-matrix ") and "jax-matrix doctor" in done.stdout
    assert "python -m harness" not in done.stdout


def test_the_installed_command_tests_the_project_of_its_folder(jax_matrix: Command, tmp_path: Path) -> None:
    """It needs no file of the checkout."""
    (tmp_path / "matrix.toml").write_text('row = [{ jax = "0.4.30" }]\n[project]\npackage = "small"\n')
    done = jax_matrix("list", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "py311-jax0.4.30-cpu\n", "")
    (tmp_path / "below").mkdir()
    assert jax_matrix("list", folder=tmp_path / "below").stdout == done.stdout
