"""Tests of the harness itself. They run on the host, without JAX.

    pytest --confcutdir=tests/harness tests/harness

`--confcutdir` keeps pytest from loading `tests/conftest.py`, which imports JAX. These tests also pass when that file is
loaded, for example when pytest runs the whole folder `tests`.
"""

import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("", "docker/bridge", "docker/inside", "benchmarks/in_cells")]

# A shell script starts background commands with signals ignored, and child processes inherit that. The tests send
# signals to child processes, so the signals get their default handlers back.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# The library runs on Python 3.7, the bridge's installer on 3.8, the harness on 3.10. Collect what this Python can run.
if sys.version_info < (3, 10):  # noqa: UP036
    newer = "test_*.py" if sys.version_info < (3, 8) else "test_[!b]*.py"
    collect_ignore_glob = [newer, "test_bisect*.py"]


def pytest_addoption(parser):
    parser.addoption("--run-docker", action="store_true", help="also run the tests that build images with real docker")


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A fake `docker` on the PATH. The user names no engine."""
    from fake_docker import FakeDocker  # this file is loaded on Pythons that can't read it

    from harness.containers import engine
    from harness.system import processes

    docker = FakeDocker(tmp_path / "docker")
    monkeypatch.setenv("PATH", docker.path)
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engine, "checkout", lambda: "mine")
    monkeypatch.setattr(processes, "POLL_S", 0.02)
    return docker


@pytest.fixture(autouse=True)
def full_precision():
    """Replace the library's fixture of the same name, which imports JAX."""
