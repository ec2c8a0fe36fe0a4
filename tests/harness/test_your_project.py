"""docs/your-project.md: its commands exist, its files are those that `init` and the workflow have, and they work.

What needs no network is run, on the project that the page is about.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import run, write

from harness import command_line, rows
from harness.report.doctor import PLAIN_WIDTH
from harness.system.paths import HOME, LOCKS, PROJECT, RESULTS

PAGE = (HOME / "docs" / "your-project.md").read_text(encoding="utf-8")
WORKFLOWS = HOME / ".github" / "workflows"
NAME = "ripple"  # the project of the page
PYPROJECT = """
[project]
name = "ripple"
version = "0.3.0"
requires-python = ">=3.10"
dependencies = ["jax>=0.4.20"]

[project.optional-dependencies]
test = ["pytest"]
"""


def block(language: str) -> str:
    """The only block of a language on the page."""
    (found,) = re.findall(r"^```{}\n(.*?)^```$".format(language), PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def commands() -> list[str]:
    in_blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    in_text = re.findall(r"`(jax-matrix [^`]+)`", PAGE)
    return [line for line in [*in_blocks.splitlines(), *in_text] if line.startswith("jax-matrix ")]


@pytest.mark.parametrize("command", commands())
def test_a_command_exists(command: str) -> None:
    options = command_line.parse(shlex.split(command)[1:])
    assert callable(options.function)


def test_the_way_to_the_table_is_complete() -> None:
    used = {shlex.split(command)[1] for command in commands()}
    assert used >= {"init", "lock", "doctor", "run", "table", "bisect"}


def test_what_is_installed_is_there() -> None:
    (folder,) = re.findall(r"pip install \./equinox/(\S+)", PAGE)
    assert (HOME / folder / "pyproject.toml").is_file()


def test_the_workflow_calls_ours_as_it_is() -> None:
    (job,) = yaml.safe_load(block("yaml"))["jobs"].values()
    path = re.fullmatch(r"OWNER/equinox/(\S+)@COMMIT", job["uses"])
    assert path is not None
    ours: Any = yaml.safe_load((HOME / path[1]).read_text(encoding="utf-8"))
    assert set(job["with"]) <= set(ours[True]["workflow_call"]["inputs"])
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}


def test_the_page_lists_all_inputs_with_their_defaults() -> None:
    inputs = yaml.safe_load((WORKFLOWS / "jax-matrix.yml").read_text(encoding="utf-8"))[True]["workflow_call"]["inputs"]
    listed = dict(re.findall(r"^\| `([\w-]+)` \| `([^`]+)` \|", PAGE, re.MULTILINE))
    assert listed == {name: str(facts["default"]).replace("False", "false") for name, facts in inputs.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tests = "def test_sizes():\n    import ripple\n"
    files = {"pyproject.toml": PYPROJECT, "src/ripple/__init__.py": "", "tests/test_ripple.py": tests}
    root: Path = write(tmp_path_factory.mktemp("project"), files)
    do(root, "init", str(root))
    return root


def do(root: Path, *arguments: str) -> str:
    """What a command prints. It runs in the project, and can't reach an index."""
    kept = {name: value for name, value in os.environ.items() if name not in ("EQX_RESULTS", PROJECT)}
    env = {**kept, "EQX_INDEX_URL": "http://127.0.0.1:1/simple", "COLUMNS": str(PLAIN_WIDTH)}
    done = run(sys.executable, HOME / "harness", *arguments, cwd=root, env=env)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_init_writes_the_file_of_the_page(project: Path) -> None:
    written = (project / "matrix.toml").read_text(encoding="utf-8")
    assert block("toml") == written[written.index("row = [") :]


def test_the_cells_of_the_page_are_those_of_its_file(project: Path) -> None:
    names = do(project, "list").split()
    named = set(re.findall(r"py3\d+-jax[\w.]+-cpu", PAGE))
    assert named and named <= set(names)
    assert names == [cell.name for cell in rows.load(project / "matrix.toml")]


def test_doctor_names_what_is_missing(project: Path) -> None:
    assert "no lock" in do(project, "doctor")


def test_the_table_is_drawn_in_the_folder_of_the_project(project: Path) -> None:
    assert "not run" in do(project, "table")
    assert (project / RESULTS.name / "index.html").is_file() and not (project / LOCKS.name).exists()
