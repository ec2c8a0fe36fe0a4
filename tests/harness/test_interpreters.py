"""Interpreters are found in each place where one may be. They must run and have the right version."""

import sys
from pathlib import Path

import pytest

from harness.system import interpreters

HERE = "{}.{}".format(*sys.version_info)
BASE = Path(sys.base_prefix) / "bin" / ("python" + HERE)
# No machine has this Python, and a program may say that it is one.
NEVER = "3.99"


def program(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + lines)
    path.chmod(0o755)
    return path


def env(tmp_path, **more):
    """A machine whose PATH is `tmp_path/bin`."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home"), **more}


def test_this_python_is_found_outside_of_its_environment(tmp_path):
    """It is the base interpreter, which stays when the environment is removed."""
    found = interpreters.look(HERE, env(tmp_path))
    assert found.path == BASE and found.folder == BASE.parent
    assert found.version == "{}.{}.{}".format(*sys.version_info)


@pytest.mark.parametrize("lines", ["echo no such version >&2; exit 127", "echo hello", "sleep 0"])
def test_a_program_that_is_no_python_is_passed_over(tmp_path, lines):
    """A shim of pyenv doesn't run if its version isn't active."""
    program(tmp_path / "bin" / ("python" + NEVER), lines)
    assert interpreters.look(NEVER, env(tmp_path)) is None


def test_a_python_with_another_version_than_its_name_is_passed_over(tmp_path):
    machine = env(tmp_path)
    (tmp_path / "bin" / ("python" + NEVER)).symlink_to(BASE)
    assert interpreters.look(NEVER, machine) is None


@pytest.mark.parametrize("where", ["home/.pyenv", "elsewhere"])
def test_pyenv_lists_its_versions_newest_first(tmp_path, where):
    """3.10 is no 3.1, and free-threaded and development builds don't count."""
    for version in ["3.1.9", "3.1.10", "3.10.2", "3.1.11t", "3.1-dev"]:
        (tmp_path / where / "versions" / version).mkdir(parents=True)
    machine = env(tmp_path, **({"PYENV_ROOT": str(tmp_path / where)} if where == "elsewhere" else {}))
    found = [
        Path(path).relative_to(tmp_path / where).as_posix() for path in interpreters.pyenv_versions("3.1", machine)
    ]
    assert found == ["versions/3.1.10/bin/python3.1", "versions/3.1.9/bin/python3.1"]


def test_a_python_of_pyenv_needs_no_shim_on_the_path(tmp_path, monkeypatch):
    """Only `look` asks for it: discovery knows no version of pyenv that isn't active."""
    asked = []

    def get(spec, first, env, predicate):
        asked.append((spec, list(first)))

    monkeypatch.setattr(interpreters, "get_interpreter", get)
    (tmp_path / "home/.pyenv/versions/3.9.2").mkdir(parents=True)
    assert interpreters.look("3.9", env(tmp_path)) is None
    path = str(tmp_path / "home/.pyenv/versions/3.9.2/bin/python3.9")
    assert asked == [("cpython3.9", []), ("cpython3.9", [path])]


def test_fetch(tmp_path, monkeypatch):
    """uv downloads a Python that isn't here."""
    uv = str(program(tmp_path / "uv", "echo $* > '{}'".format(tmp_path / "asked")))
    monkeypatch.setattr(interpreters, "look", lambda version, env: (version, (tmp_path / "asked").read_text()))
    assert interpreters.fetch("3.9", env(tmp_path), uv) == ("3.9", "python install --no-bin 3.9\n")


def test_fetch_without_network_or_uv(tmp_path):
    assert interpreters.fetch("3.9", env(tmp_path), None) is None
    assert interpreters.fetch("3.9", env(tmp_path), str(program(tmp_path / "uv", "exit 2"))) is None
    assert interpreters.fetch("3.9", env(tmp_path), str(tmp_path / "no-uv")) is None


@pytest.mark.parametrize("setting", [{"UV_PYTHON_DOWNLOADS": "never"}, {"UV_OFFLINE": "1"}])
def test_fetch_only_if_the_settings_allow_it(tmp_path, setting):
    uv = program(tmp_path / "uv", ": > '{}'".format(tmp_path / "asked"))
    assert interpreters.fetch(NEVER, env(tmp_path, **setting), str(uv)) is None
    assert not (tmp_path / "asked").exists()
    interpreters.fetch(NEVER, env(tmp_path), str(uv))
    assert (tmp_path / "asked").exists()


def test_the_message_says_whether_a_setting_forbids_the_download():
    assert "could not download it" in interpreters.missing("3.9", {})
    for name, value in [("UV_OFFLINE", "1"), ("UV_PYTHON_DOWNLOADS", "never")]:
        assert "may not download it ({}={})".format(name, value) in interpreters.missing("3.9", {name: value})


def test_the_message_names_the_commands_that_install_a_python():
    message = interpreters.missing("3.9")
    assert "pyenv install 3.9" in message and "uv python install 3.9" in message
