"""Tests of the harness itself: on the host, without JAX.

    pytest --confcutdir=tests/harness tests/harness

`--confcutdir` keeps pytest from loading `tests/conftest.py`, which imports JAX. Where that is loaded all the same, as
when the whole of `tests` is run, these tests run too.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docker" / "bridge"))

if sys.version_info < (3, 8):
    collect_ignore_glob = ["test_*.py"]  # the harness needs Python 3.8; the library, whose suite this may be, 3.7


@pytest.fixture(autouse=True)
def full_precision():
    """In place of the library's fixture of that name, which is about JAX."""
