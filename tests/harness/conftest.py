"""Tests of the harness itself: on the host, without JAX.

    pytest --confcutdir=tests/harness tests/harness

`--confcutdir` keeps pytest from loading `tests/conftest.py`, which imports JAX. Where that is loaded all the same, as
when the whole of `tests` is run, these tests run too.
"""

import signal
import sys
from pathlib import Path

import pytest

DOCKER = Path(__file__).resolve().parents[2] / "docker"
sys.path[:0] = [str(DOCKER), str(DOCKER / "bridge"), str(DOCKER / "inside")]

# What a script starts in the background ignores signals. So would, then, what the tests start and send signals to.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# The library, whose suite this may be, needs Python 3.7; the harness more, and what installs the bridge less than it.
if sys.version_info < (3, 10):  # noqa: UP036
    newer = "test_*.py" if sys.version_info < (3, 8) else "test_[!b]*.py"
    collect_ignore_glob = [newer, "test_bisect*.py"]


def pytest_addoption(parser):
    parser.addoption("--run-docker", action="store_true", help="build images, too, with the engine that docker finds")


@pytest.fixture(autouse=True)
def full_precision():
    """In place of the library's fixture of that name, which is about JAX."""
