"""Installing the bridge into an environment, with fakes for the programs that it runs.

`EQX_BRIDGE=1` adds real installations, into temporary environments.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import install
import pytest
from jax_bridge import releases

BRIDGE = Path(install.__file__).resolve().parent

if BRIDGE not in Path(releases.__file__).resolve().parents:
    pytest.skip("this Python has a bridge installed; the harness is tested on the host", allow_module_level=True)


class FakeRun:
    """Replaces `subprocess.run`: it records the commands, answers the probe, and can fail at one command."""

    def __init__(self, site_packages, fail_at=None, error=None, **has):
        self.site_packages, self.fail_at, self.error = site_packages, fail_at, error
        self.has = dict({"python": [3, 9], "has_pip": True, "jax": None, "jaxlib": None}, **has)
        self.commands = []
        self.activated = []

    def __call__(self, command, **options):
        if command[-1] == install.PROBE:
            answer = json.dumps(dict(self.has, site_packages=str(self.site_packages)))
            return subprocess.CompletedProcess(command, 0, stdout=answer)
        self.commands.append(list(command))
        self.activated.append((self.site_packages / "jax_bridge.pth").exists())
        if len(self.commands) - 1 == self.fail_at:
            if self.error is not None:
                raise self.error
            return subprocess.CompletedProcess(command, 1)
        return subprocess.CompletedProcess(command, 0)


def _with_uv(name):
    return {"uv": "/bin/uv"}.get(name)


def _without_uv(name):
    return None


def test_installs_with_uv(tmp_path):
    """With uv on the PATH it installs the pins as wheels, then JAX alone, then it checks."""
    run = FakeRun(tmp_path, has_pip=False)
    install.install("env/python", "0.2.18", run=run, which=_with_uv)
    installer = ["/bin/uv", "pip", "install", "--quiet", "--python", "env/python"]
    assert run.commands == [
        installer + ["--only-binary", ":all:", "-r", str(BRIDGE / "requirements.txt")],
        installer + ["--no-deps", "jax==0.2.18"],
        ["env/python", "-I", "-c", install.CHECK.format(jax="0.2.18")],
    ]


def test_installs_with_pip(tmp_path):
    """Without uv it does the same with the pip of the environment."""
    run = FakeRun(tmp_path)
    install.install("env/python", "0.4.1", run=run, which=_without_uv)
    installer = ["env/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    assert run.commands[:2] == [
        installer + ["--only-binary", ":all:", "-r", str(BRIDGE / "requirements.txt")],
        installer + ["--use-pep517", "--no-deps", "jax==0.4.1"],
    ]


def test_activates_last(tmp_path):
    """The `.pth` file is removed first and written last, so it doesn't exist while anything can still fail."""
    (tmp_path / "jax_bridge.pth").write_text("of another time")
    (tmp_path / "jax_bridge").mkdir()
    (tmp_path / "jax_bridge" / "stale.py").write_text("")
    run = FakeRun(tmp_path)
    install.install("env/python", "0.2.18", run=run, which=_with_uv)
    assert run.activated == [False, False, False]
    assert (tmp_path / "jax_bridge.pth").read_text() == install.ACTIVATE + "\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jax_bridge", "jax_bridge.pth"]

    def files(folder):
        return {
            path.relative_to(folder): path.read_text()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(tmp_path / "jax_bridge") == files(BRIDGE / "jax_bridge")
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize("fail_at", [0, 1, 2])
@pytest.mark.parametrize("error", [None, OSError(2, "No such file"), KeyboardInterrupt()], ids=repr)
def test_a_failure_leaves_nothing_active(tmp_path, fail_at, error):
    """Whichever command fails or is interrupted, the bridge isn't active."""
    (tmp_path / "jax_bridge.pth").write_text(install.ACTIVATE)
    run = FakeRun(tmp_path, fail_at=fail_at, error=error)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else install.SetupFailed) as caught:
        install.install("env/python", "0.2.18", run=run, which=_with_uv)
    assert len(run.commands) == fail_at + 1
    assert not list(tmp_path.glob("*.pth"))
    if error is None:
        assert "exit status 1" in str(caught.value)
        assert ("pip install", "jax==0.2.18", "env/python -I -c '...'")[fail_at] in str(caught.value)


def test_a_full_disk_leaves_nothing_active(tmp_path, monkeypatch):
    """If a write fails, even that of the last file, the bridge isn't active."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install, "write_whole", full)
    with pytest.raises(install.SetupFailed, match="No space left on device"):
        install.install("env/python", "0.2.18", run=FakeRun(tmp_path), which=_with_uv)
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize(
    "jax, says",
    [
        ("0.3.7", "Choose 0.3.0 or 0.3.14 instead."),
        ("0.4.13", "pip install 'jax[cpu]==0.4.13'"),
        ("0.2.17", "JAX 0.2.18 and later"),
        ("latest", "Expected a version of three numbers such as 0.4.1, and got `latest`."),
        ("0.4", "Expected a version of three numbers such as 0.4.1, and got `0.4`."),
    ],
)
def test_refuses_releases(tmp_path, jax, says):
    """A release that the bridge doesn't support is refused before any command runs."""
    run = FakeRun(tmp_path)
    with pytest.raises(install.Refused, match=re.escape(says)):
        install.install("env/python", jax, run=run, which=_with_uv)
    assert run.commands == []


@pytest.mark.parametrize("jax, python", [("0.2.18", [3, 10]), ("0.4.1", [3, 12]), ("0.4.1", [3, 7])])
def test_refuses_pythons(tmp_path, jax, python):
    """A Python that can't run that JAX is refused. Its environment isn't changed."""
    (tmp_path / "jax_bridge.pth").write_text("")
    run = FakeRun(tmp_path, python=python)
    with pytest.raises(install.Refused, match="this is 3.{}. Choose one of those.".format(python[1])):
        install.install("env/python", jax, run=run, which=_with_uv)
    assert run.commands == []
    assert (tmp_path / "jax_bridge.pth").exists()


def test_refuses_to_install_without_an_installer(tmp_path):
    """Without uv and without pip, the message says how to get one."""
    with pytest.raises(install.Refused, match="env/python -m ensurepip"):
        install.install("env/python", "0.2.18", run=FakeRun(tmp_path, has_pip=False), which=_without_uv)


def test_only_the_bridge(tmp_path):
    """`only_bridge` installs no packages. It refuses an environment that lacks the packages it needs."""
    run = FakeRun(tmp_path, jax="0.2.18", jaxlib="0.4.13")
    install.install("env/python", "0.2.18", only_bridge=True, run=run, which=_without_uv)
    assert [command[:3] for command in run.commands] == [["env/python", "-I", "-c"]]
    assert (tmp_path / "jax_bridge.pth").exists()
    for has in ({}, {"jax": "0.2.18", "jaxlib": "0.4.14"}, {"jax": "0.2.19", "jaxlib": "0.4.13"}):
        with pytest.raises(install.Refused, match="expects jax 0.2.18 and jaxlib 0.4.13 in the environment"):
            install.install("env/python", "0.2.18", only_bridge=True, run=FakeRun(tmp_path, **has), which=_with_uv)


def test_probes_a_real_python():
    """The probe finds what is installed in this Python."""
    found = install.look_into(sys.executable, subprocess.run)
    assert tuple(found.python_version) == sys.version_info[:2]
    assert found.has_pip is (importlib.util.find_spec("pip") is not None)
    assert found.site_packages.is_absolute()


def test_exit_status(tmp_path, capsys, monkeypatch):
    """2 if it is refused, 3 if it fails. The reason is on stderr, in one piece."""
    assert install.main(["--python", "env/python", "--jax", "0.3.7"]) == 2
    assert capsys.readouterr().err.startswith("The bridge doesn't support JAX 0.3.1 to 0.3.13")
    assert install.main(["--python", str(tmp_path / "no_python"), "--jax", "0.2.18"]) == 2
    assert "can't be run: No such file or directory. Pass the interpreter" in capsys.readouterr().err

    def fail(*_):
        raise install.SetupFailed("the disk is full")

    monkeypatch.setattr(install, "install", fail)
    assert install.main(["--python", "env/python", "--jax", "0.2.18"]) == 3
    assert capsys.readouterr().err == "the disk is full\n"


# Real installations

REAL = pytest.mark.skipif(
    os.environ.get("EQX_BRIDGE") != "1",
    reason="EQX_BRIDGE=1 runs this; it installs old JAX from the package index into temporary environments",
)


def _interpreter(version):
    """A Python of that version, or `None` if none runs."""
    for candidate in (sys.executable, shutil.which("python" + version)):
        if candidate is not None:
            ask = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            done = subprocess.run(ask, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
            if done.stdout.strip() == version:
                return candidate
    return None


@REAL
@pytest.mark.parametrize("jax, python", [("0.2.18", "3.8"), ("0.2.18", "3.9"), ("0.3.25", "3.10"), ("0.4.1", "3.11")])
def test_a_real_installation(tmp_path, jax, python):
    """After an installation JAX passes the smoke test. Without the `.pth` file it can't be imported."""
    interpreter = _interpreter(python)
    if interpreter is None:
        pytest.skip("no Python {} on the PATH".format(python))
    environment = tmp_path / "env"
    subprocess.run([interpreter, "-m", "venv", str(environment)], check=True)
    inside = str(environment / "bin" / "python")
    assert install.main(["--python", inside, "--jax", jax]) == 0

    results = tmp_path / "smoke.json"
    subprocess.run([inside, str(BRIDGE / "smoke.py"), "--json", str(results)], check=True)
    info = json.loads(results.read_text())["info"]
    assert (info["jax"], info["bridge"]["jaxlib"]) == (jax, releases.JAXLIB)

    (install.look_into(inside, subprocess.run).site_packages / "jax_bridge.pth").unlink()
    assert subprocess.run([inside, "-c", "import jax"], stderr=subprocess.DEVNULL, check=False).returncode != 0
