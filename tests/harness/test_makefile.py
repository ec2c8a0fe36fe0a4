"""The Makefile: a signal ends all that a target has started, and a variable that a target doesn't use is refused.

A small program replaces Python and records its arguments.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest
from programs import PATIENCE_S, is_running, run, wait_until

from harness.system.paths import ROOT

TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
VARIABLES = re.search("^VARIABLES := (.*)$", TEXT, re.MULTILINE).group(1).split()
TARGETS = re.findall(r"(?m)^([a-z-]+):[^#=\n]*##", TEXT)
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")

# The program answers `harness here --fits`, and writes its arguments and its process id to a file.
PYTHON = """#!/bin/sh
case "$*" in
  *--fits*) exit {fits} ;;
  -c*) exit 0 ;;
esac
echo "$*" > {started}.new
echo $$ >> {started}.new
mv {started}.new {started}
{then}
"""


@pytest.fixture
def make(tmp_path):
    """`make(TARGET, ...)`: returns the exit status, the output, and the arguments that Python got."""

    def make(*words, fits=1, env=None):
        command = make.command(*words, fits=fits, then="exit 0")
        done = run(*command, env=make.env(env))
        return done.returncode, done.stdout + done.stderr, make.started()

    def command(*words, fits, then):
        program = tmp_path / "python"
        text = PYTHON.format(fits=fits, started=shlex.quote(str(tmp_path / "started")), then=then)
        program.write_text(text)
        program.chmod(0o755)
        return ["make", "--no-print-directory", *words, "PYTHON={}".format(program)]

    def started():
        path = tmp_path / "started"
        return path.read_text().splitlines()[0] if path.exists() else ""

    def env(more=None):
        # The tests may run under `make test ARGS=...`, which sets these.
        of_make = {"MFLAGS", *VARIABLES}
        kept = {name: x for name, x in os.environ.items() if not name.startswith("MAKE") and name not in of_make}
        return {**kept, **(more or {})}

    make.command, make.started, make.env = command, started, env
    make.pid = lambda: int((tmp_path / "started").read_text().splitlines()[1])
    return make


@pytest.fixture
def start(make):
    """`start(TARGET, ...)`: the process of make, when its command has begun. The command doesn't end by itself."""
    processes = []

    def start(*words, fits=1):
        command, nothing = make.command(*words, fits=fits, then="exec sleep 60"), subprocess.DEVNULL
        options = {"cwd": ROOT, "env": make.env(), "start_new_session": True}
        processes.append(subprocess.Popen(command, stdout=nothing, stderr=nothing, **options))
        wait_until(make.started, processes[-1])
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


LONG = [target for target in TARGETS if target not in ("help", "clean")]


@needs_make
@pytest.mark.parametrize("target, fits", [*((target, 1) for target in LONG), ("test-gpu", 0), ("test-tpu", 0)])
def test_a_command_ends_with_make(make, start, target, fits):
    """`kill` reaches make only. make signals its child, and the child is the command itself, not a shell."""
    process = start(target, *["CELL=py311-jax0.4.30-cpu"] * (target == "cell"), fits=fits)
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_S)
    wait_until(lambda: not is_running(make.pid()))


@needs_make
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_of_the_terminal_ends_a_command(make, start, number):
    """The terminal sends a signal to all processes in the foreground."""
    process = start("test-gpu", fits=0)
    os.killpg(process.pid, number)
    process.wait(PATIENCE_S)
    wait_until(lambda: not is_running(make.pid()))


# What is asked for


@needs_make
@pytest.mark.parametrize(
    "words, backend",
    [
        (["test-cpu"], "cpu"),
        (["test-gpu"], "cuda"),
        (["test-tpu"], "tpu"),
        (["matrix"], "cpu"),
        (["matrix", "BACKEND=cuda"], "cuda"),
        (["shell-gpu", "CELL=py311-jax0.4.30-cpu"], "cuda"),
        (["shell-cpu", "CELL=py313-*-cuda"], "cpu"),
    ],
)
def test_a_target_passes_its_backend_on(make, words, backend):
    """This holds also if a cell is named: the harness refuses a cell of another backend."""
    status, _, started = make(*words)
    assert status == 0 and "--backend {}".format(backend) in started and started.count("--backend") == 1


@needs_make
def test_a_backend_in_the_environment_does_not_change_a_target(make):
    assert "--backend cuda" in make("test-gpu", env={"BACKEND": "cpu"})[2]


@needs_make
def test_test_here_installs_nothing(make):
    """Not even the tools of the harness are installed."""
    assert make("test-tpu", fits=0)[2] == make("test-tpu", "WHERE=auto", fits=0)[2] == "-m harness here tpu"
    assert make("device-check")[2] == "-m harness here cuda --check --limit-s 480"
    told = make("device-check", "BACKEND=tpu", "LIMIT_S=60")[2]
    assert told == "-m harness here tpu --check --limit-s 60"
    assert make("test-here")[2] == "-m harness here cpu"
    assert make("test-here", "BACKEND=cuda", "ARGS=-k x")[2] == "-m harness here cuda -- -k x"


@needs_make
@pytest.mark.parametrize("setting", ["CELL=py313-*-cuda", "TIER=pr", "WHERE=host", "JOBS=2", "RERUN=all"])
def test_settings_of_the_matrix_choose_the_matrix(make, setting):
    """This holds even if this Python has a JAX for the GPU, and no engine answers."""
    assert "-m harness here" in make("test-gpu", fits=0)[2]
    assert "-m harness run" in make("test-gpu", setting, fits=0)[2]


@needs_make
@pytest.mark.parametrize(
    "words",
    [
        "test-gpu BACKEND=cpu",
        "test-gpu ARGS=-x",
        "matrix CELL=py311-jax0.4.30-cpu",
        "cell TIER=pr CELL=x",
        "cell ARGS=-x CELL=x",
        "lint ARGS=x",
        "table TIER=pr",
        "shell-gpu BACKEND=cpu",
        "doctor JOBS=2",
        "test JOBS=2",
        "lint test ARGS=-x",
    ],
)
def test_an_unused_variable_is_refused(make, words):
    """Nothing is started. The message names the targets that use the variable."""
    status, said, started = make(*words.split())
    assert status == 2 and started == ""
    name = re.search("[A-Z]+(?==)", words)[0]
    assert "doesn't use " + name in said and "These targets do: " in said


def test_the_listed_variables_are_the_used_ones():
    """Each listed variable is in the commands of its target, and each variable in the commands is listed."""
    takes = dict(re.findall(r"(?m)^TAKES_([a-z-]+) := (.*)", TEXT))
    assert set(takes) <= set(TARGETS)
    recipes = dict(re.findall(r"(?m)^([a-z-]+):[^#=\n]*##.*\n((?:\t.*\n)+)", TEXT))
    for target in TARGETS:
        used = recipes[target]
        for name in ("HERE_OR_CELLS", "RUN_CELLS", "NAMES", "TIER_OF_ALL", "MATRIX_IS_MEANT") * 2:
            (meaning,) = re.findall(r"(?m)^{} =(.*)".format(name), TEXT)
            used = used.replace("$({})".format(name), meaning).replace("$(call {},".format(name), meaning)
        used = set(re.findall(r"\$\(?(?:if |or )?\$?\(?([A-Z_]+)\b", used)) & set(VARIABLES)
        taken = takes.get(target, "").replace("$(TAKES_test-cpu)", takes["test-cpu"])
        assert used | set(taken.split()) == set(taken.split()), target
