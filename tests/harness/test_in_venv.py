"""harness/in_venv.py: an incomplete environment is made again, and one that is in use is never removed."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from programs import python, wait_until, write

from harness import in_venv, locks
from harness.system.paths import ROOT

NAME = ".venv-harness"


@pytest.fixture
def root(tmp_path):
    files = {"harness/requirements.lock": "rich==1\n", "pyproject.toml": "[project]\n[tool.ruff]\n"}
    return write(tmp_path, files)


class Call:
    """Replace `subprocess.call`: record the commands, and make the folder of the environment."""

    def __init__(self, fail=False, takes_s=0.0):
        self.fail, self.takes_s = fail, takes_s
        self.commands, self.envs = [], []

    def __call__(self, command, cwd, env, pass_fds):
        self.commands.append(command)
        self.envs.append(env)
        if "venv" in command:
            os.mkdir(command[-1])  # fails if another process makes it at the same time
            time.sleep(self.takes_s)
        return int(self.fail)


def provide(root, call=None, env=None):
    """Make the environment, and release its lock."""
    os.close(in_venv.provide(NAME, root, call or Call(), env or {}))


def test_it_is_made_once(root):
    call = Call()
    provide(root, call)
    assert [command[1:3] for command in call.commands] == [["-m", "venv"], ["-m", "pip"]]
    provide(root, call)
    assert len(call.commands) == 2


def test_the_tools_come_from_a_lock_with_hashes(root):
    """The lock holds every package of harness/requirements.txt."""
    call = Call()
    provide(root, call)
    assert call.commands[-1][-3:] == ["--require-hashes", "-r", "harness/requirements.lock"]
    pinned = [pin.project for pin in locks.read(ROOT / "harness" / "requirements.lock").pins]
    asked = re.findall(r"(?m)^([\w-]+)", (ROOT / "harness" / "requirements.txt").read_text(encoding="utf-8"))
    assert set(asked) <= set(pinned) and "packaging" in asked
    assert all(pin.hashes for pin in locks.read(ROOT / "harness" / "requirements.lock").pins)


@pytest.mark.parametrize(
    "file, text, again",
    [
        ("harness/requirements.lock", "rich==1\ntox==1\n", True),
        ("pyproject.toml", "[project]\nname = 'x'\n[tool.ruff]\n", True),
        ("pyproject.toml", "[project]\n[tool.ruff]\nline-length = 100\n", False),
    ],
)
def test_it_is_made_again_if_its_requirements_change(root, file, text, again):
    provide(root)
    (root / file).write_text(text)
    call = Call()
    provide(root, call)
    assert bool(call.commands) is again


def test_an_incomplete_environment_is_made_again(root):
    with pytest.raises(in_venv.Refused, match="could not be made.*index.*EQX_INDEX_URL.*PYTHON="):
        provide(root, Call(fail=True))
    call = Call()
    provide(root, call)
    assert call.commands


def test_the_callers_settings_of_pip_are_removed(root):
    """With PIP_TARGET, the environment would stay empty and still get its mark."""
    call = Call()
    provide(root, call, {"PIP_TARGET": "/elsewhere", "PIP_USER": "1", "PYTHONPATH": "/x", "PATH": "/bin"})
    for env in call.envs:
        assert env == {"PATH": "/bin", "UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}


def test_two_at_once_make_it_once(root):
    """For example, a user starts two commands in a fresh clone."""
    calls = [Call(takes_s=0.2), Call(takes_s=0.2)]
    threads = [threading.Thread(target=provide, args=[root, call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(call.commands) for call in calls) == [0, 2]


def test_an_environment_in_use_is_kept_until_its_user_ends(root, capfd):
    held = in_venv.provide(NAME, root, Call(), {})
    (root / NAME / "mine").touch()
    (root / "harness" / "requirements.lock").write_text("another\n")
    others = [threading.Thread(target=provide, args=[root]), threading.Thread(target=in_venv.remove, args=[root])]
    for other in others:
        other.start()
    said = []
    wait_until(lambda: said.append(capfd.readouterr().err) or "".join(said).count("Waiting for another command") == 2)
    assert (root / NAME / "mine").exists()
    os.close(held)
    for other in others:
        other.join()
    assert not (root / NAME / "mine").exists()


def test_a_cell_that_runs_keeps_its_environment(root):
    """`make clean` removes the environments of cells, but waits until none is in use."""
    lock = root / ".tox" / "py311-jax0.4.30-cpu.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        remover = threading.Thread(target=in_venv.remove, args=[root])
        remover.start()
        remover.join(0.2)
        assert remover.is_alive() and lock.exists()
    remover.join()
    assert not lock.parent.exists()


def test_a_path_with_a_colon_is_refused(root, tmp_path):
    """PATH is split at colons. `venv` would fail with a traceback, or make an environment that doesn't work."""
    with pytest.raises(in_venv.Refused, match="contains `:`.*Move the checkout"):
        provide(tmp_path / "a:b")


def test_uv_has_its_cache_in_the_checkout_if_home_is_read_only(tmp_path):
    assert "UV_CACHE_DIR" not in in_venv.isolated({"HOME": str(tmp_path)})
    assert in_venv.isolated({"HOME": "/proc/nobody"})["UV_CACHE_DIR"] == str(ROOT / ".tox" / "uv-cache")
    assert in_venv.isolated({"HOME": "/proc/nobody", "UV_CACHE_DIR": "/x"})["UV_CACHE_DIR"] == "/x"


def test_an_old_python_is_refused(root, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(in_venv.Refused, match=r"Python 3.10 or later.*PYTHON="):
        provide(root)


COMMAND = """
import os, pathlib, sys
from harness import in_venv
in_venv.HOME = pathlib.Path(sys.argv.pop(1))
call = lambda command, **_: int("venv" in command and os.makedirs(command[-1]) or 0)
in_venv.provide.__defaults__ = (call, os.environ)
sys.exit(in_venv.pipes.quietly(in_venv.main))
"""


def test_the_command_takes_the_place_of_the_process_and_holds_the_lock(root):
    """So signals reach the command, and make sees its exit status."""
    script = 'import sys; print("runs", flush=True); sys.stdin.read(); sys.exit(7)'
    command = [sys.executable, "-c", COMMAND, str(root), NAME, sys.executable, "-c", script]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "runs\n"  # so the output holds what the command says, and nothing else
        with (root / (NAME + ".lock")).open("r+") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        process.communicate()
    assert process.returncode == 7


MAKING = """
import pathlib, sys
from harness import in_venv
in_venv.sys.executable, root = sys.argv[1:]
in_venv.signals.as_ctrl_c()
in_venv.HOME = pathlib.Path(root)
sys.exit(in_venv.main([".venv-harness", "true"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_command_never_lets_two_make_the_environment(root, number):
    """Its child ends with it. After `kill -9` the child goes on, and still holds the lock."""
    python = root / "python"
    python.write_text(
        "#!/bin/sh\necho $$\nexec {} -c 'import time; time.sleep(600); print(1)'\n".format(sys.executable)
    )
    python.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MAKING, str(python), str(root)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout.readline().startswith("Making")
        venv = int(process.stdout.readline())
        process.send_signal(number)
        process.wait()
        with (root / (NAME + ".lock")).open("r+") as lock:
            if number == signal.SIGKILL:
                with pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.kill(venv, signal.SIGKILL)
            assert process.stdout.read() == ""  # all processes that could write there have ended
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_error_of_the_system_is_reported_without_a_traceback(root):
    (root / (NAME + ".lock")).symlink_to(root / "no such folder" / "x")
    done = python("-c", COMMAND, root, NAME, "true")
    assert "Traceback" not in done.stderr
    assert (done.returncode, "can't go on" in done.stderr) == (3, True)


def test_a_command_that_is_not_there_is_reported_without_a_traceback(root):
    done = python("-c", COMMAND, root, NAME, "no-such-command")
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "can't go on: [Errno 2] No such file or directory: 'no-such-command'" in done.stderr
