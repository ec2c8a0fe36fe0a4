"""`docker/matrix.py`: the command line of the matrix."""

import json

import matrix
import pytest

from harness import locks
from harness.locks.index import IndexUnreachable


def test_list_prints_one_name_a_line(capsys):
    assert matrix.main(["list", "--tier", "pr", "--backend", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 5
    assert all(name.startswith("py3") and name.endswith("-cpu") for name in lines)


def test_github_prints_the_cells_as_json(capsys):
    assert matrix.main(["github", "*-jax0.2.18-cpu"]) == 0
    key, _, value = capsys.readouterr().out.partition("=")
    assert key == "cells"
    assert json.loads(value) == [{"name": "py39-jax0.2.18-cpu", "python": "3.9", "backend": "cpu", "tier": "pr"}]


@pytest.mark.parametrize("command", ["list", "github", "lock", "verify-locks"])
def test_a_mistyped_cell_is_wrong_usage(capsys, command):
    assert matrix.main([command, "py39-jax0.2.81-cpu"]) == 2
    assert "The nearest: py39-jax0.2.18-cpu" in capsys.readouterr().err


def test_an_unreachable_index_has_exit_status_3(capsys, monkeypatch):
    def unreachable(cells):
        raise IndexUnreachable("https://index.example can't be reached")

    monkeypatch.setattr(locks, "verify", unreachable)
    assert matrix.main(["verify-locks"]) == 3
    assert capsys.readouterr().err == "https://index.example can't be reached\n"


def test_unused_locks_are_removed_only_if_all_cells_are_locked(monkeypatch):
    asked = []
    monkeypatch.setattr(locks, "make", lambda cells, everything: asked.append(everything) or 0)
    for arguments in ([], ["py39-*"], ["--tier", "pr"], ["--backend", "cpu"]):
        assert matrix.main(["lock", *arguments]) == 0
    assert asked == [True, False, False, False]
