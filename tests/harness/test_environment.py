"""An environment is never trusted if its making was interrupted, or if it was made from something else."""

import datetime
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from programs import python

from harness import rows
from harness.run import environment, set_up
from harness.run.environment import Environment
from harness.run.set_up import SetupFailed
from harness.source import wheel as built_wheel
from harness.system.interpreters import Interpreter

CELLS = {cell.name: cell for cell in rows.load()}
CELL = CELLS["py311-jax0.4.30-cpu"]
BRIDGED = CELLS["py39-jax0.2.18-cpu"]
MADE = {"lock": "l", "python": "3.11.7 /python", "bridge": ""}
PYTHON = Interpreter(Path("/python"), "3.11.7")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """The wheel. The name of its folder says what the wheel was built from."""
    path = tmp_path / "wheel" / "one" / "3.11" / "equinox-1-py3-none-any.whl"
    monkeypatch.setattr(built_wheel, "obtain", lambda uv, python, interpreter, source: path)
    return path


@pytest.fixture
def made(tmp_path):
    """An environment after tox has installed the lock."""
    (tmp_path / "env").mkdir()
    return Environment(tmp_path / "env")


class Call:
    """Replace `subprocess.run`: record each command, and whether the environment had its mark at that time."""

    def __init__(self, made, fail_at=None):
        self.made, self.fail_at = made, fail_at
        self.commands, self.marked = [], []

    def __call__(self, command, **options):
        self.commands.append(command)
        self.marked.append(self.made.mark.exists())
        failed = len(self.commands) == self.fail_at
        return subprocess.CompletedProcess(command, int(failed), "error: No space left on device" if failed else "", "")


def test_complete_installs_only_the_wheel_and_then_marks(made, wheel):
    call = Call(made)
    set_up.complete(CELL, made, MADE, "uv", call=call)
    assert len(call.commands) == 1 and call.marked == [False]
    assert call.commands[0][-1] == "./" + wheel.name and "--no-deps" in call.commands[0]
    assert made.is_made_from(MADE)


def test_complete_a_second_time_does_nothing(made, wheel):
    set_up.complete(CELL, made, MADE, "uv", call=Call(made))
    call = Call(made)
    set_up.complete(CELL, made, MADE, "uv", call=call)
    assert call.commands == [] and made.is_made_from(MADE)


def test_the_python_of_the_harness_installs_the_bridge_before_the_wheel(made, wheel):
    call = Call(made)
    set_up.complete(BRIDGED, made, MADE, "uv", call=call)
    bridge, installed = call.commands
    assert bridge[0] == sys.executable and bridge[1].endswith("docker/bridge/install.py")
    assert "--only-bridge" in bridge and bridge[bridge.index("--jax") + 1] == "0.2.18"
    assert bridge[bridge.index("--python") + 1] == str(made.python)
    assert installed[-1] == "./" + wheel.name


def test_another_wheel_replaces_the_old_one_and_the_rest_stays(made, wheel, monkeypatch):
    """Meanwhile the environment has no mark."""
    set_up.complete(BRIDGED, made, MADE, "uv", call=Call(made))
    other = wheel.parents[2] / "two" / "3.11" / wheel.name
    monkeypatch.setattr(built_wheel, "obtain", lambda uv, python, interpreter, source: other)
    call = Call(made)
    set_up.complete(BRIDGED, made, MADE, "uv", call=call)
    assert [command[-1] for command in call.commands] == ["./" + other.name]
    assert call.marked == [False]
    assert made.is_made_from(MADE) and made.has_wheel("two/3.11/" + wheel.name)


@pytest.mark.parametrize("fail_at", [1, 2])
def test_a_failed_command_leaves_no_mark_and_its_output_is_reported(made, wheel, fail_at):
    with pytest.raises(SetupFailed, match="No space left"):
        set_up.complete(BRIDGED, made, MADE, "uv", call=Call(made, fail_at))
    assert not made.is_made_from(MADE)


@pytest.mark.parametrize("what", sorted(MADE))
def test_made_from_something_else(made, what):
    made.write_mark({**MADE, "wheel": "one"})
    assert made.is_made_from(MADE)
    assert not made.is_made_from({**MADE, what: "other"})


@pytest.mark.parametrize("text", ["", "{", '{"lock": "l"}', "{}"])
def test_a_broken_mark_counts_as_missing(made, text):
    made.mark.write_text(text)
    assert not made.is_made_from(MADE)


def test_a_missing_environment_is_not_complete(tmp_path):
    assert not Environment(tmp_path / "no").is_made_from(MADE)


KILLED = """
import os, pathlib, signal, subprocess, sys
from harness import rows
from harness.run import set_up
from harness.source import wheel
from harness.run.environment import Environment

wheel.obtain = lambda uv, python, interpreter, source: pathlib.Path("two/equinox.whl")
made = Environment(pathlib.Path(sys.argv[1]))

def call(command, **options):
    (made.folder / "half").write_text("a package, half of it")
    os.kill(os.getpid(), signal.SIGKILL)

cell = next(cell for cell in rows.load() if cell.name == "py39-jax0.2.18-cpu")
set_up.complete(cell, made, {"lock": "l", "python": "3.11.7 /python", "bridge": ""}, "uv", call=call)
"""


@pytest.mark.parametrize("before", ["new", "whole"])
def test_an_environment_is_not_trusted_after_a_kill(made, before):
    """A real `kill -9` comes while the first package is installed. The environment may have been complete before."""
    if before == "whole":
        made.write_mark({**MADE, "wheel": "one"})
        assert made.is_made_from(MADE)
    done = python("-c", KILLED, made.folder)
    assert done.returncode == -signal.SIGKILL and (made.folder / "half").exists()
    assert not made.is_made_from(MADE)


# What an environment is made from


@pytest.fixture
def locked(tmp_path):
    """`locked(cell, text)`: what the cell is made from if its lock holds that text."""
    (tmp_path / "locks").mkdir(parents=True)
    home = tmp_path / ".harness" / "docker"
    (home / "bridge").mkdir(parents=True)
    (home / "bridge" / "install.py").touch()

    def locked(cell, text="jax==0.4.30", interpreter=PYTHON, constraints="hatchling==1"):
        (tmp_path / "locks" / cell.lock.name).write_text(text)
        (home / "build-constraints.txt").write_text(constraints)
        return set_up.made_from(cell, interpreter, tmp_path)

    return locked


def test_made_from_the_lock_and_the_interpreter(locked):
    """Another release of Python, or another path, counts as another interpreter."""
    others = [
        locked(CELL, "jax==0.4.31"),
        locked(CELL, constraints="hatchling==2"),
        locked(CELL, interpreter=replace(PYTHON, version="3.11.8")),
        locked(CELL, interpreter=replace(PYTHON, path=Path("/other"))),
    ]
    assert locked(CELL) == locked(CELL)
    assert all(other != locked(CELL) for other in others)


def test_made_from_the_bridge_if_there_is_one(locked):
    assert locked(BRIDGED)["bridge"]
    assert not locked(CELL)["bridge"]


def test_a_floating_cell_is_made_again_each_day():
    day, next_day = datetime.date(2026, 11, 22), datetime.date(2026, 11, 23)
    floating = next(cell for cell in CELLS.values() if cell.floating)
    first, again, next_one = (set_up.made_from(floating, PYTHON, today=today) for today in (day, day, next_day))
    assert first == again != next_one


# What tox installs, and which variables a cell gets


def test_a_lock_is_installed_with_hashes():
    assert set_up.requirements(CELL) == ["--require-hashes", "-r locks/{}.txt".format(CELL.name)]


def test_a_floating_cell_is_installed_from_its_requirements():
    nightly = next(cell for cell in CELLS.values() if cell.jax == "nightly" and cell.backend == "cpu")
    lines = set_up.requirements(nightly)
    assert "--pre" in lines and "--extra-index-url {}".format(nightly.index_url) in lines
    assert set(nightly.requires) <= set(lines)


@pytest.mark.parametrize("name", list(CELLS))
def test_variables_choose_the_platform_of_the_cell(made, name):
    """An accelerator comes with the CPU, which callbacks need. Its name is the one that the cell's JAX uses."""
    cell = CELLS[name]
    variables = environment.variables(cell, made)
    platforms = variables["JAX_PLATFORMS"].split(",")
    assert json.loads(variables["EQX_EXPECT"]) == cell.expects
    assert variables["EQX_CELL"] == name
    assert platforms[-1] == "cpu" and len(platforms) == (1 if cell.backend == "cpu" else 2)
    assert platforms[0] == ("gpu" if name in ("py39-jax0.2.18-cuda", "py38-jax0.2.28-cuda") else cell.backend)
    assert variables["JAX_PLATFORM_NAME"] == cell.expects["backend"]
    assert variables["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert Path(variables["PYTHONPATH"]) == made.plugins
