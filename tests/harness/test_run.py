"""docker/run.py: which cells it runs, which options it passes on, and how it refuses wrong usage."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run

from harness import rows
from harness.results.resume import Rerun
from harness.run import host
from harness.system.run_lock import AlreadyRunning

CELLS = rows.load()
NAME = "py311-jax0.4.30-cpu"


@pytest.fixture
def ran():
    """`ran.main(...)` returns the exit status. `ran` keeps the cells and options that `scheduler.run` would get."""

    class Ran:
        cells = None

        def main(self, *argv, raises=None, status=0):
            def fake(cells, **options):
                if raises is not None:
                    raise raises
                self.cells, self.options = [cell.name for cell in cells], options
                return status

            return run.main(argv, run=fake)

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


def test_list_runs_nothing(ran, capsys):
    assert ran.main("py311-*-cpu", "--list") == 0
    assert ran.cells is None
    assert NAME in capsys.readouterr().out.splitlines()


def test_mistyped_cell_is_refused_with_the_nearest(ran, capsys):
    assert ran.main("py311-jax0.4.3-cpu") == 2
    assert NAME in capsys.readouterr().err


def test_options_that_no_cell_fulfils_are_refused(ran, capsys):
    assert ran.main(NAME, "--backend", "cuda") == 2
    said = capsys.readouterr().err
    assert NAME in said and "of the backend cuda" in said and "`make cell`" in said


@pytest.mark.parametrize("argv", [("--jobs", "0"), ("--jobs", "two"), ("--rerun", "some"), ("--tier", "weekly")])
def test_wrong_usage(ran, argv):
    with pytest.raises(SystemExit) as left:
        ran.main(*argv)
    assert left.value.code == 2
    assert ran.cells is None


@pytest.mark.parametrize(
    "raises, said",
    [
        (AlreadyRunning("by process 7"), "by process 7"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/x.json"), "Free some space on that disk"),
    ],
)
def test_a_failed_start_is_reported(ran, capsys, raises, said):
    assert ran.main(NAME, raises=raises) == 3
    assert said in capsys.readouterr().err


def test_a_read_error_is_not_reported_as_a_write_error(ran, capsys):
    """The message quotes the system, which names the file. It doesn't guess what the harness did with the file."""
    assert ran.main(NAME, raises=PermissionError(errno.EACCES, "Permission denied", "results/x.json")) == 3
    said = capsys.readouterr().err
    assert "Permission denied: 'results/x.json'" in said and "riting" not in said


def test_it_runs_as_a_program():
    """make calls it like this: only its own folder is on the path of modules."""
    done = subprocess.run(
        [sys.executable, str(Path(run.__file__)), "--list", NAME], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == NAME + "\n"


@pytest.mark.parametrize("program", ["run.py", "matrix.py"])
def test_without_the_tools_the_message_names_the_command_that_installs_them(program):
    """This Python has only its standard library. The command holds the lock of the environment."""
    command = [sys.executable, "-S", "-E", str(Path(run.__file__).with_name(program)), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    command = "{} docker/in_venv.py .venv-harness python docker/{}".format(sys.executable, program)
    assert command in done.stderr


@pytest.mark.parametrize("option", ["--image-only", "--shell"])
def test_a_full_disk_is_reported_for_images_and_shells(ran, monkeypatch, capsys, option):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "results/x.log")

    monkeypatch.setattr(run.interactive, "images", full)
    monkeypatch.setattr(run.interactive, "shell", full)
    assert ran.main(NAME, option) == 3
    assert "Free some space on that disk" in capsys.readouterr().err
