"""Interpreters are found in each place where one may be, in order. They must run and have the right version."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.system import interpreters
from harness.system.interpreters import Here, Interpreter


def fake_python(path, version, level="final", base=None, broken=False):
    """A program that answers the probe like a Python of that version. A broken one fails like a shim of pyenv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = json.dumps([[int(part) for part in version.split(".")], level, str(base or path)])
    path.write_text(
        "#!/bin/sh\n" + ("echo no such version >&2; exit 127\n" if broken else "echo '{}'\n".format(answer))
    )
    path.chmod(0o755)
    return path


def fake_uv(path, finds=None, installs=None):
    """A program that finds an interpreter like uv. With `installs`, it finds one only after it has installed it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = path.with_name("found")
    if finds:
        found.write_text("{}\n".format(finds))
    install = "echo '{}' > '{}'".format(installs, found) if installs else "exit 2"
    path.write_text("#!/bin/sh\nif [ $2 = install ]; then {}; else /bin/cat '{}'; fi\n".format(install, found))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def here(tmp_path):
    """`here(uv=..., **env)`: a machine whose PATH is `tmp_path/bin`."""

    def here(uv=None, **env):
        return Here({"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home"), **env}, uv=uv)

    return here


def test_from_the_path(here, tmp_path):
    path = fake_python(tmp_path / "bin" / "python3.9", "3.9.18")
    assert here().find("3.9") == Interpreter(path, "3.9.18", "the PATH")


def test_a_python_on_the_path_that_does_not_run_is_passed_over(here, tmp_path):
    """A shim of pyenv doesn't run if its version isn't active."""
    fake_python(tmp_path / "bin" / "python3.9", "3.9.1", broken=True)
    second = fake_python(tmp_path / "second" / "python3.9", "3.9.2")
    found = here(PATH="{}:{}".format(tmp_path / "bin", tmp_path / "second")).find("3.9")
    assert found == Interpreter(second, "3.9.2", "the PATH")


@pytest.mark.parametrize("where", ["home/.pyenv", "elsewhere"])
def test_from_pyenv_with_no_shim_on_the_path(here, tmp_path, where):
    """The newest patch release is taken. 3.10 is no 3.1, and free-threaded and development builds don't count."""
    for version in ["3.1.9", "3.1.10", "3.10.2", "3.1.11t", "3.1-dev"]:
        fake_python(tmp_path / where / "versions" / version / "bin" / "python3.1", version.rstrip("t-dev"))
    env = {"PYENV_ROOT": str(tmp_path / where)} if where == "elsewhere" else {}
    found = here(**env).find("3.1")
    assert found is not None
    assert (found.version, found.source) == ("3.1.10", "pyenv")


def test_from_uv(here, tmp_path):
    path = fake_python(tmp_path / "managed" / "bin" / "python3.9", "3.9.20")
    assert here(uv=fake_uv(tmp_path / "uv", finds=path)).find("3.9") == Interpreter(path, "3.9.20", "uv")


def test_order(here, tmp_path):
    """The PATH comes first, then pyenv, then uv."""
    from_uv = fake_python(tmp_path / "managed" / "python3.9", "3.9.3")
    machine = here(uv=fake_uv(tmp_path / "uv", finds=from_uv))
    assert machine.find("3.9").source == "uv"
    fake_python(tmp_path / "home/.pyenv/versions/3.9.2/bin/python3.9", "3.9.2")
    assert machine.find("3.9").source == "pyenv"
    fake_python(tmp_path / "bin" / "python3.9", "3.9.1")
    assert machine.find("3.9").source == "the PATH"


@pytest.mark.parametrize("version, level", [("3.10.1", "final"), ("3.9.0", "candidate")])
def test_only_a_release_of_that_version(here, tmp_path, version, level):
    fake_python(tmp_path / "bin" / "python3.9", version, level)
    assert here().find("3.9") is None


def test_a_program_that_is_no_python_is_ignored(here, tmp_path):
    path = fake_python(tmp_path / "bin" / "python3.9", "3.9.1")
    path.write_text("#!/bin/sh\necho hello\n")
    assert here().find("3.9") is None


def test_a_program_that_hangs_is_ignored(here, tmp_path):
    fake_python(tmp_path / "bin" / "python3.9", "3.9.1")

    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    assert Here(here().env, run=run).find("3.9") is None


def test_fetch(here, tmp_path):
    """uv downloads a Python that isn't here."""
    path = fake_python(tmp_path / "managed" / "python3.9", "3.9.20")
    machine = here(uv=fake_uv(tmp_path / "uv", installs=path))
    assert machine.find("3.9") is None
    assert machine.fetch("3.9") == Interpreter(path, "3.9.20", "uv")


def test_fetch_without_network_or_uv(here, tmp_path):
    assert here().fetch("3.9") is None
    assert here(uv=fake_uv(tmp_path / "uv")).fetch("3.9") is None


def test_the_message_says_whether_a_setting_forbids_the_download():
    assert "could not download it" in interpreters.missing("3.9", {})
    for name, value in [("UV_OFFLINE", "1"), ("UV_PYTHON_DOWNLOADS", "never")]:
        assert "may not download it ({}={})".format(name, value) in interpreters.missing("3.9", {name: value})


@pytest.mark.parametrize("env", [{"UV_PYTHON_DOWNLOADS": "never"}, {"UV_OFFLINE": "1"}])
def test_fetch_only_if_the_settings_allow_it(here, tmp_path, env):
    path = fake_python(tmp_path / "managed" / "python3.9", "3.9.20")
    uv = fake_uv(tmp_path / "uv", installs=path)
    assert here(uv=uv, **env).fetch("3.9") is None
    assert here(uv=uv).fetch("3.9") is not None


def test_this_python_is_found_outside_of_its_environment(tmp_path):
    """The real probe runs in a real environment. It names the base interpreter, which stays without the environment."""
    version = "{}.{}".format(*sys.version_info)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    here = Here({"PATH": str(tmp_path / "env" / "bin"), "HOME": str(tmp_path)})
    found = here.find(version)
    if found is None and not (tmp_path / "env" / "bin" / ("python" + version)).exists():
        (tmp_path / "env" / "bin" / ("python" + version)).symlink_to("python")
        found = here.find(version)
    assert found is not None
    assert tmp_path not in found.path.parents
    outside = "import sys; assert sys.prefix == sys.base_prefix"
    assert subprocess.run([str(found.path), "-c", outside], check=False).returncode == 0
    assert found.version == "{}.{}.{}".format(*sys.version_info)


def test_the_message_names_the_commands_that_install_a_python():
    message = interpreters.missing("3.9")
    assert "pyenv install 3.9" in message and "uv python install 3.9" in message


def test_uv_beside_this_python_comes_first(tmp_path):
    """Otherwise uv is taken from the PATH."""
    beside = Path(sys.executable).parent / "uv"
    on_path = tmp_path / "uv"
    on_path.write_text("")
    on_path.chmod(0o755)
    assert interpreters.uv_path({"PATH": str(tmp_path)}) == str(beside if os.access(beside, os.X_OK) else on_path)
