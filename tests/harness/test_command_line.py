"""`python -m harness`: which cells a command chooses, which options it passes on, and how it refuses wrong usage."""

import ast
import errno
import json
import os

import pytest
from programs import python

from harness import command_line, locks, rows
from harness.containers import bases, interactive
from harness.containers.docker_errors import DockerError
from harness.locks.index import IndexUnreachable
from harness.results.resume import Rerun
from harness.run import host, scheduler
from harness.source.pages import PageError
from harness.source.wheel import BuildFailed
from harness.system.errors import CannotGoOn, WrongUsage
from harness.system.paths import ROOT
from harness.system.run_lock import AlreadyRunning

CELLS = rows.load()
NAME = "py311-jax0.4.30-cpu"


@pytest.fixture
def ran(monkeypatch):
    """`ran.main(...)` returns the exit status. `ran` keeps the cells and options that `scheduler.run` would get."""

    class Ran:
        cells = None

        def main(self, *argv, raises=None, status=0):
            def fake(cells, **options):
                if raises is not None:
                    raise raises
                self.cells, self.options = [cell.name for cell in cells], options
                return status

            monkeypatch.setattr(scheduler, "run", fake)
            return command_line.main(["run", *argv])

    return Ran()


def test_without_arguments_the_cells_of_a_pull_request_run(ran):
    assert ran.main() == 0
    assert ran.cells == [cell.name for cell in rows.select(CELLS, tier="pr")]


def test_named_cells_may_be_of_any_tier(ran):
    names = [cell.name for cell in CELLS if cell.tier == "canary"]
    assert ran.main(*names) == 0
    assert ran.cells == names
    assert ran.options["named"] == names


def test_tier_and_backend_select(ran):
    assert ran.main("--tier", "nightly", "--backend", "cuda") == 0
    assert ran.cells == [cell.name for cell in rows.select(CELLS, tier="nightly", backend="cuda")]


def test_options_are_passed_on(ran):
    assert ran.main(NAME, "--jobs", "3", "--rerun", "failed", status=1) == 1
    assert (ran.options["jobs"], ran.options["rerun"]) == (3, Rerun.FAILED)
    assert ran.options["runner"] is host
    assert set(ran.options["hashes"]) == {NAME}
    ran.main(NAME)
    assert (ran.options["jobs"], ran.options["rerun"]) == (None, Rerun.NOTHING)


def test_list_prints_one_name_a_line(capsys):
    assert command_line.main(["list", "--tier", "pr", "--backend", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 5
    assert all(name.startswith("py3") and name.endswith("-cpu") for name in lines)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ([], ""),
        (["--about", "."], ""),
        (["--about", "./a/b"], "a-b-"),
        (["--about", "a", "--backend", "cuda"], "a-cuda-"),
    ],
)
def test_each_call_of_the_workflow_names_its_artifacts(capsys, words, call):
    """The results of all jobs of a run have different names."""
    assert command_line.main(["github", "cells", *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "call=" + call


def test_github_prints_the_cells_as_json(capsys):
    assert command_line.main(["github", "cells", "*-jax0.2.18-cpu"]) == 0
    key, _, value = capsys.readouterr().out.partition("\n")[0].partition("=")
    assert key == "cells"
    assert json.loads(value) == [{"name": "py39-jax0.2.18-cpu", "python": "3.9", "backend": "cpu", "tier": "pr"}]


def test_github_leaves_out_cells_that_have_no_lock_for_a_known_reason(capsys, monkeypatch):
    """Unless there is no other: a list of jobs without a job is an error on GitHub."""

    def named(*words):
        assert command_line.main(["github", "cells", *words]) == 0
        return [cell["name"] for cell in json.loads(capsys.readouterr().out.partition("\n")[0].partition("=")[2])]

    gone, kept = named("*-jax0.2.18-cpu", "*-jax0.3.25-cpu")
    monkeypatch.setattr(locks, "unresolved", lambda: {gone: "no version of x fits"})
    assert named(gone, kept) == [kept] and named(gone) == [gone]


def test_the_image_of_the_newest_cell_is_built_if_no_cell_is_named(monkeypatch):
    built = []
    monkeypatch.setattr(interactive, "images", lambda cells: built.extend(cells) or 0)
    assert command_line.main(["image"]) == command_line.main(["image", "--backend", "cuda"]) == 0
    newest = [cell for cell in CELLS if not cell.floating][-3:]
    assert built == [cell for cell in newest if cell.backend in ("cpu", "cuda")]
    assert command_line.main(["image", "py311-*-tpu"]) == 0
    assert built[2:] == rows.select(CELLS, ["py311-*-tpu"])


@pytest.mark.parametrize(
    ("order", "newest"),
    [(["0.10.2", "0.9.2", "latest"], "0.10.2"), (["latest"], "latest"), (["nightly", "latest"], "latest")],
)
def test_the_newest_cell_is_found_in_any_order_of_the_rows(monkeypatch, order, newest):
    built, known = [], {cell.jax: cell for cell in CELLS if cell.backend == "cpu"}
    monkeypatch.setattr(rows, "load", lambda: [known[jax] for jax in order])
    monkeypatch.setattr(interactive, "images", lambda cells: built.extend(cells) or 0)
    assert command_line.main(["image"]) == 0
    assert [cell.jax for cell in built] == [newest]


def test_build_arguments_are_those_of_one_cell(capsys):
    assert command_line.main(["image", "--print-args", NAME]) == 0
    assert "CELL={}\n".format(NAME) in capsys.readouterr().out
    assert command_line.main(["image", "--print-args", "py311-*"]) == 2
    assert "exactly one cell" in capsys.readouterr().err


def test_unused_locks_are_removed_only_if_all_cells_are_locked(monkeypatch):
    asked = []
    monkeypatch.setattr(bases, "lock", lambda cells: None)
    monkeypatch.setattr(locks, "make", lambda cells, everything: asked.append(everything) or 0)
    for arguments in ([], ["py39-*"], ["--tier", "pr"], ["--backend", "cpu"]):
        assert command_line.main(["lock", *arguments]) == 0
    assert asked == [True, False, False, False]


# Mistakes


@pytest.mark.parametrize("command", ["run", "list", "github cells", "lock", "verify", "image", "shell"])
def test_a_mistyped_cell_is_refused_with_the_nearest(capsys, command):
    assert command_line.main([*command.split(), "py39-jax0.2.81-cpu"]) == 2
    assert "The nearest: py39-jax0.2.18-cpu" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--tier", "weekly"), ("--backend", "gpu")])
def test_an_unknown_tier_or_backend_is_refused(ran, capsys, option):
    assert ran.main(*option) == 2 and ran.cells is None
    assert "Expected a {} among ".format(option[0].strip("-")) in capsys.readouterr().err


def test_options_that_no_cell_fulfils_are_refused(ran, capsys):
    assert ran.main(NAME, "--backend", "cuda") == 2
    said = capsys.readouterr().err
    assert NAME in said and "of the backend cuda" in said and "`python -m harness list`" in said


@pytest.mark.parametrize("argv", [("--jobs", "0"), ("--jobs", "two"), ("--rerun", "some")])
def test_wrong_usage(ran, argv):
    with pytest.raises(SystemExit) as left:
        ran.main(*argv)
    assert left.value.code == 2
    assert ran.cells is None


@pytest.mark.parametrize(
    "error, status",
    [
        (WrongUsage("that"), 2),
        (rows.MatrixError("that"), 2),
        (PageError("that"), 2),
        (CannotGoOn("that"), 3),
        (IndexUnreachable("that"), 3),
        (BuildFailed("that"), 3),
        (AlreadyRunning("that"), 3),
        (DockerError("that"), 3),
        (PermissionError(errno.EACCES, "that"), 3),
        (KeyboardInterrupt("that"), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_an_error_is_a_message_and_an_exit_status(ran, capsys, error, status):
    assert ran.main(NAME, raises=error) == status
    said = capsys.readouterr().err
    assert "that" in said or status == 130
    assert said.endswith("\n") and "Traceback" not in said


def test_a_full_disk_is_reported_with_the_next_move(ran, capsys):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/x.json")
    assert ran.main(NAME, raises=error) == 3
    assert "Free some space on that disk" in capsys.readouterr().err


def test_a_read_error_is_not_reported_as_a_write_error(ran, capsys):
    """The message quotes the system, which names the file. It doesn't guess what the harness did with the file."""
    assert ran.main(NAME, raises=PermissionError(errno.EACCES, "Permission denied", "results/x.json")) == 3
    said = capsys.readouterr().err
    assert "Permission denied: 'results/x.json'" in said and "riting" not in said


def test_an_error_of_the_system_is_safe_to_show(ran, capsys):
    """An archive may have named the file."""
    assert ran.main(NAME, raises=PermissionError(errno.EACCES, "Permission denied \x1b[2J\u202e", "x")) == 3
    said = capsys.readouterr().err
    assert "Permission denied" in said and "\x1b" not in said and "\u202e" not in said


# The program


def test_it_runs_as_a_program():
    done = python("-m", "harness", "list", NAME)
    assert (done.returncode, done.stdout, done.stderr) == (0, NAME + "\n", "")


def test_help_needs_only_the_standard_library():
    """The page names each command."""
    done = python("-S", "-m", "harness", "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert [name for name in command_line.COMMANDS if "    {} ".format(name) not in done.stdout] == []


@pytest.fixture
def without_tools(tmp_path):
    """The environment variables of a Python without tools. `in_venv` is replaced, because it would install them."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfrom harness import in_venv\nin_venv.main = lambda argv: print(argv) or 7\n"
        "sys.modules['packaging'] = None\n"
    )
    return {"PYTHONPATH": "{}:{}".format(tmp_path, ROOT)}


def test_a_python_without_the_tools_is_replaced_by_one_that_has_them(without_tools):
    done = python("-m", "harness", "list", NAME, **without_tools)
    assert done.returncode == 7 and done.stderr == ""
    assert ast.literal_eval(done.stdout) == [".venv-harness", "python", str(ROOT / "harness"), "list", NAME]


@pytest.mark.parametrize("option", [[], ["--fits"]])
def test_here_is_never_run_in_another_python(without_tools, option):
    done = python("-m", "harness", "here", "cpu", *option, **without_tools)
    assert done.returncode == 3 and done.stdout == "" and "-m pip install pytest" in done.stderr


OF_SYSTEM = ("__init__", "pipes", "signals", "isolation", "paths")
OLD = ("__init__", "__main__", "in_venv", *("system/" + name for name in OF_SYSTEM))


@pytest.mark.parametrize("name", OLD)
def test_what_an_old_python_reads_is_valid_there(name):
    """They say which Python is needed, and make the environment that runs the tests on the old Python."""
    text = (ROOT / "harness" / (name + ".py")).read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 7))
    annotated = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns]
    assert not annotated or name == "__main__" or "from __future__ import annotations" in text
