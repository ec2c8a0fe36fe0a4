"""A `-found` run tests the installed packages of a machine. It is never mistaken for a cell of the matrix.

A small program replaces pytest.
"""

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest
from programs import PATIENCE_S, wait_until

from harness import results, rows
from harness.results import Outcome, Result
from harness.run import installed_cell, installed_jax
from harness.run.environment import Environment
from harness.run.hardware import Hardware
from harness.source import fingerprint
from harness.system import processes
from harness.system.errors import CannotGoOn

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = {"jax": "0.11.2", "jaxlib": "0.11.2+cuda13"}
NAME = "py{}{}-jax0.11.2-cpu-found".format(*sys.version_info)

# The beginning of each program that replaces pytest.
BEGIN = """
import importlib.metadata, importlib.util, json, os, pathlib, signal, sys, time

def report(**changes):
    facts = dict(counts={{"passed": 3}}, failures=[], refusal=None, seconds={{"tests": 1.5}}, evidence={{}})
    pathlib.Path(os.environ["EQX_REPORT"]).write_text(json.dumps(dict(facts, **changes)))

def note(facts):
    pathlib.Path({notes!r}).write_text(json.dumps(facts))
"""
PASSES = "print('3 passed'); report()"


@pytest.fixture(autouse=True)
def jax_is_here(monkeypatch):
    """This Python seems to have that JAX and all other packages."""
    monkeypatch.setattr(processes, "POLL_S", 0.02)
    monkeypatch.setattr(installed_cell, "version", VERSIONS.__getitem__)
    monkeypatch.setattr(installed_jax, "missing", list)


@pytest.fixture
def run(tmp_path):
    """`run(program, ...)`: the exit status of a run with that Python program in place of pytest."""

    def run(program, args=(), backend="cpu", env=os.environ):
        begin = BEGIN.format(notes=str(tmp_path / "notes"))
        command = [sys.executable, "-c", begin + textwrap.dedent(program)]
        return installed_jax.run(backend, args, pytest=command, folder=tmp_path / "results", env=env)

    return run


@pytest.fixture
def notes(tmp_path):
    return lambda: json.loads((tmp_path / "notes").read_text())


@pytest.fixture
def result(tmp_path):
    return lambda: results.read(NAME, tmp_path / "results")


# Its name and its place in the list


@pytest.mark.parametrize("backend, platform", [("cpu", "cpu"), ("cuda", "gpu"), ("tpu", "tpu")])
def test_it_expects_the_installed_versions(backend, platform):
    """So the proof of place checks the exact JAX and jaxlib."""
    python = "{}.{}".format(*sys.version_info)
    expects = {"python": python, "jax": "0.11.2", "jaxlib": "0.11.2", "backend": platform, "bridge": False}
    particular = {key: rows.load()[0].expects[key] for key in ("package", "versions", "measures")}
    assert installed_cell.this_python(backend).expects == {
        "cell": NAME.replace("cpu", backend),
        **expects,
        **particular,
    }


def test_no_cell_has_its_name():
    """So its result never replaces the result of a cell, or the other way round."""
    for cell in rows.load():
        twin = installed_cell.InstalledCell(**vars(cell))
        named = installed_cell.NAME.fullmatch
        assert twin.name != cell.name and named(twin.name) and not named(cell.name)


@pytest.mark.parametrize("name", ["py312-jax-cpu-found", "py312-jaxlatest-cpu-found", "py312-jax0.11..2-cpu-found"])
def test_a_file_with_another_name_is_ignored(tmp_path, name):
    """A user may have put the file there."""
    (tmp_path / (name + ".json")).write_text("{}")
    assert installed_cell.among([], tmp_path) == []


def test_in_the_list_it_follows_the_last_older_jax(tmp_path):
    """Its result file is enough to list it. The machine needn't have its packages."""
    names = ["py312-jax0.11.2-cuda-found", "py39-jax0.2.0-cpu-found", "py313-jax99.0-tpu-found"]
    for name in names:
        results.write(Result(name, Outcome.PASSED), tmp_path)
    results.write(Result("py312-jax0.11.2-cuda", Outcome.PASSED), tmp_path)
    cells = rows.load()
    known = [cell.name for cell in installed_cell.among(cells, tmp_path)]
    assert [name for name in known if name not in names] == [cell.name for cell in cells]
    assert known[0] == names[1]
    before = [cell.name for cell in cells if not cell.floating]
    assert known[known.index(names[2]) - 1] == before[-1]
    assert "-jax0.11.2-" in known[known.index(names[0]) - 1] and "-jax0.12" in known[known.index(names[0]) + 1]
    one = installed_cell.among([], tmp_path)[1]
    assert (one.python, one.jax, one.backend, one.platform) == ("3.12", "0.11.2", "cuda", "gpu")


# What it needs


def test_missing_packages_are_named_with_the_command_that_installs_them(run, monkeypatch, tmp_path):
    monkeypatch.setattr(installed_jax, "missing", lambda: ["hypothesis", "optax!=0.1.8"])
    with pytest.raises(CannotGoOn, match="lacks what the suite needs: hypothesis, optax!=0.1.8") as refused:
        run(PASSES)
    assert "{} -m pip install 'hypothesis' 'optax!=0.1.8'".format(sys.executable) in str(refused.value)
    assert not (tmp_path / "results").exists()


def test_a_package_is_missing_if_it_is_absent_or_of_a_wrong_release(monkeypatch, tmp_path):
    monkeypatch.undo()
    there = {"jax": "0.11.2", "numpy": "2.4.0", "optax": "0.1.8", "tqdm": "5.0rc1"}

    def version(name):
        if name not in there:
            raise installed_jax.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(installed_jax, "version", version)
    monkeypatch.setattr(rows.required, "project", lambda: rows.Project(package="x", extras=("test",)))
    (tmp_path / "pyproject.toml").write_text(
        """
        [project]
        name = "x"
        dependencies = ["jax", "numpy"]
        [project.optional-dependencies]
        test = ["optax!=0.1.8", "pytest", "tqdm>=4", "old; python_version < '3.10'", "new; python_version >= '3.10'"]
        """
    )
    missing = ["jaxlib", 'new; python_version >= "3.10"', "optax!=0.1.8", "pytest", "pytest-xdist"]
    assert installed_jax.missing(tmp_path) == missing


def test_without_the_device_nothing_is_run(run, monkeypatch, tmp_path):
    """No result is written."""
    nothing = Hardware(1, None, why_no_gpu="there is no NVIDIA GPU here", why_no_tpu="there is no TPU here")
    monkeypatch.setattr(installed_jax.hardware, "here", lambda: nothing)
    for backend in ("cuda", "tpu"):
        with pytest.raises(CannotGoOn, match="{}: not run: there is no ".format(NAME.replace("cpu", backend))):
            run(PASSES, backend=backend)
    assert not (tmp_path / "results").exists()


# The run


def test_a_pass_is_kept_with_the_installed_packages(run, result, capfd, tmp_path):
    assert run(PASSES) == 0
    assert (result().outcome, result().counts, result().where) == (Outcome.PASSED, {"passed": 3}, "host")
    assert any(line.startswith("pytest==") for line in result().evidence["installed"])
    assert result().seconds["tests"] == 1.5 and result().seconds["total"] >= 0 and result().started
    assert "3 passed" in capfd.readouterr().out
    assert (tmp_path / "results" / (NAME + ".log")).read_text() == "3 passed\n"


def test_the_packages_are_listed_before_the_tests(run, result, monkeypatch, tmp_path):
    """A folder that an interrupted pip left has no name, so it isn't listed."""
    site = tmp_path / "site"
    monkeypatch.setattr(installed_jax, "distributions", lambda: metadata.distributions(path=[str(site)]))
    (site / "~umpy-2.4.0.dist-info").mkdir(parents=True)
    make = """
        folder = pathlib.Path({!r}, "{}-1.dist-info")
        folder.mkdir()
        (folder / "METADATA").write_text("Name: {}")
        report()
        """
    (site / "before-1.dist-info").mkdir()
    (site / "before-1.dist-info" / "METADATA").write_text("Name: before\nVersion: 1\n")
    assert run(make.format(str(site), "after", "after")) == 0
    assert [line.split()[0] for line in result().evidence["installed"]] == ["before==1"]


def test_a_result_holds_until_the_source_changes(run, result):
    run(PASSES)
    now = fingerprint.hashes(installed_cell.this_python("cpu"))
    assert results.as_of_now(result(), now) == result()
    assert results.as_of_now(result(), {**now, "source": "another"}).outcome is Outcome.STALE


@pytest.mark.parametrize(
    "program, words",
    [
        ("report(refusal='JAX found `cpu`'); sys.exit(70)", "JAX found `cpu`"),
        ("report(counts={'passed': 1, 'failed': 1}, failures=['test_x']); sys.exit(1)", "test_x failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("pass", "left no report"),
    ],
)
def test_a_failure_is_kept_too(run, result, program, words):
    assert run(program) == 1
    assert result().outcome is Outcome.FAILED and words in result().reason


def test_a_part_of_the_suite_is_no_result(run, result, notes):
    assert run("note(sys.argv); report()", ["-k", "tree_at"]) == 0 and result() is None
    assert notes()[-3:] == ["tests", "-k", "tree_at"]  # chosen from all tests
    assert run("sys.exit(1)", ["-x"]) == 1 and result() is None


def test_the_library_is_installed_away_from_the_checkout(run, notes):
    """The library, its version and the suite are in a temporary folder, which is removed at the end."""
    run(
        """
        note([importlib.util.find_spec("equinox").origin, importlib.metadata.version("equinox"), os.getcwd(),
              sorted(os.listdir("."))])
        report()
        """
    )
    origin, version, folder, there = notes()
    assert Path(origin).parts[-3:] == ("site-packages", "equinox", "__init__.py")
    assert 'version__ = "{}"'.format(version) in (installed_jax.ROOT / "equinox" / "__init__.py").read_text()
    assert there == ["README.md", "benchmarks", "docs", "examples", "pyproject.toml", "tests"]
    assert not Path(origin).is_relative_to(installed_jax.ROOT)
    assert not Path(folder).exists() and not Path(origin).exists()


def test_variables_of_libraries_are_kept_and_those_of_jax_and_pytest_are_not(tmp_path):
    machine = {"PYTHONPATH": "/their/own", "LD_LIBRARY_PATH": "/cuda", "JAX_ENABLE_X64": "1", "PYTEST_ADDOPTS": "-x"}
    machine.update(NETRC="/n", SSH_AUTH_SOCK="/s", https_proxy="http://me:secret@proxy", AWS_SECRET_ACCESS_KEY="secret")
    seen = installed_jax.variables(installed_cell.this_python("cuda"), Environment(tmp_path), machine)
    assert seen["PYTHONPATH"].split(os.pathsep)[-1] == "/their/own" and seen["LD_LIBRARY_PATH"] == "/cuda"
    assert seen["JAX_PLATFORMS"] == "cuda,cpu" and json.loads(seen["EQX_EXPECT"])["backend"] == "gpu"
    assert not {"JAX_ENABLE_X64", "PYTEST_ADDOPTS", "PYTHONNOUSERSITE", "NETRC", "SSH_AUTH_SOCK"} & seen.keys()
    assert not [value for value in seen.values() if "secret" in value]


def test_only_the_pytest_plugins_of_the_suite_are_loaded(run, notes):
    run("note([os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'], sys.argv]); report()")
    assert notes()[0] == "1" and "proof_of_place" in notes()[1] and notes()[1][-1] == "tests"


# Stopping it


# This program runs in its own process. The program that replaces pytest holds a named pipe open until it ends.
RUNS = """
import pathlib, sys, tempfile
sys.path.insert(0, {root!r})
from harness.run import installed_cell, installed_jax
installed_cell.version, installed_jax.missing = {versions!r}.__getitem__, lambda: []
tempfile.tempdir = {scratch!r}
waits = "import os, time; os.write(os.open({pipe!r}, os.O_WRONLY), b'!'); time.sleep(600)"
sys.exit(installed_jax.run("cpu", pytest=[sys.executable, "-c", waits], folder=pathlib.Path({results!r})))
"""


@pytest.fixture
def stopped(tmp_path):
    """`stopped(number)`: start a run, send the signal once its tests have begun. Returns the exit status and stderr."""
    for name in ("scratch", "results"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    names = {name: str(tmp_path / name) for name in ("scratch", "results", "pipe")}
    program = RUNS.format(root=str(ROOT), versions=VERSIONS, **names)

    def stopped(number):
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        assert select.select([pipe], [], [], PATIENCE_S)[0] and os.read(pipe, 1) == b"!"
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE_S)[1]
        assert select.select([pipe], [], [], PATIENCE_S)[0] and os.read(pipe, 1) == b""  # the tests' process has ended
        return process.returncode, said

    yield stopped
    os.close(pipe)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_tests_and_leaves_nothing(number, stopped, tmp_path):
    """This holds even if a script started it in the background, where SIGINT is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if number == signal.SIGTERM:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status, said = stopped(number)
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 128 + number and "interrupted; no result is written" in said
    assert not list((tmp_path / "scratch").iterdir()) and not list((tmp_path / "results").glob("*.json"))


def test_kill_9_ends_the_tests_and_leaves_nothing(stopped, tmp_path):
    """A helper process cleans up after the run was killed."""
    assert stopped(signal.SIGKILL) == (-signal.SIGKILL, "")
    wait_until(lambda: not list((tmp_path / "scratch").iterdir()))
    assert not list((tmp_path / "results").glob("*.json"))
