"""The wheel of the library: one for all cells, built again when the library changes."""

import os
import subprocess
import sys
import threading

import pytest
from filelock import FileLock, Timeout

from harness import rows
from harness.source import wheel
from harness.system.paths import ROOT


@pytest.fixture
def root(tmp_path):
    """A small checkout."""
    root = tmp_path / "root"
    for name in (
        *("equinox/__init__.py", "equinox/nn/__init__.py", "equinox/__pycache__/x.pyc", "pyproject.toml", "README.md"),
        *("LICENSE", "docker/wheel-constraints.txt", "docker/other.txt", "tests/test_x.py"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


class FakeUv:
    """Replaces `subprocess.run`: it builds a wheel that is an empty file, or fails."""

    def __init__(self, status=0, tag="py3-none-any"):
        self.status, self.tag = status, tag
        self.commands = []

    def __call__(self, command, **options):
        self.commands.append(command)
        folder = command[command.index("--out-dir") + 1]
        os.makedirs(folder)
        if self.status == 0:
            with open(os.path.join(folder, "equinox-1-{}.whl".format(self.tag)), "w"):
                pass
        return subprocess.CompletedProcess(command, self.status, "", "no hatchling")


def test_the_wheel_is_built_once(root, tmp_path):
    run = FakeUv()
    first, second = (wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run) for _ in range(2))
    assert first == second and first.name == "equinox-1-py3-none-any.whl" and first.is_file()
    assert len(run.commands) == 1


def test_the_wheel_is_built_once_if_many_cells_ask_at_the_same_time(root, tmp_path):
    """While one builds it, the others wait."""
    uv, wheels, waits = FakeUv(), [], []

    def run(command, **options):
        waits.append(FileLock(tmp_path / "work" / "wheel" / "lock"))
        with pytest.raises(Timeout):
            waits[-1].acquire(timeout=0)
        return uv(command, **options)

    threads = [
        threading.Thread(
            target=lambda: wheels.append(wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 1 and len(wheels) == 8 and len(set(wheels)) == 1


@pytest.mark.parametrize("name", ["equinox/nn/__init__.py", "equinox/new.py", "pyproject.toml", "README.md"])
def test_the_wheel_is_built_again_when_the_library_changes(root, tmp_path, name):
    run = FakeUv()
    first = wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run)
    (root / name).write_text("changed")
    assert wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run) != first
    assert len(run.commands) == 2


@pytest.mark.parametrize("name", ["tests/test_x.py", "docker/other.txt", "equinox/__pycache__/x.pyc"])
def test_the_wheel_is_not_built_again_for_other_changes(root, tmp_path, name):
    run = FakeUv()
    first = wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run)
    (root / name).write_text("changed")
    assert wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run) == first


def test_a_failed_build_is_an_error_and_is_tried_again(root, tmp_path):
    for status in (1, 2):
        with pytest.raises(wheel.BuildFailed, match="exit status {}(.|\n)*no hatchling".format(status)):
            wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", FakeUv(status))
    assert wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", FakeUv()).is_file()


def test_compiled_code_is_built_once_for_each_python(root, tmp_path):
    """A wheel without compiled code serves every Python. The Python that will use a wheel builds it."""
    pure, compiled = FakeUv(), FakeUv(tag="cp311-cp311-linux_x86_64")
    for uv, builds in ((compiled, 2), (pure, 1)):
        work = tmp_path / uv.tag
        found = [
            wheel.obtain("uv", python, "/" + python, root, work, uv) for python in ("3.11", "3.12", "3.11", "3.12")
        ]
        pythons = [command[command.index("--python") + 1] for command in uv.commands]
        assert pythons == ["/3.11", "/3.12"][:builds] and len(set(found)) == builds and found[0] == found[2]


def test_only_pinned_builders_need_hashes(root, tmp_path, monkeypatch):
    """The backend of another project may be any, and gets its packages as the project asks for them."""
    ours, theirs = FakeUv(), FakeUv()
    wheel.obtain("uv", "3.11", "python", root, tmp_path / "ours", ours)
    monkeypatch.setattr(wheel, "project", lambda: rows.Project(package="theirs"))
    wheel.obtain("uv", "3.11", "python", root, tmp_path / "theirs", theirs)
    assert str(root / "docker" / "wheel-constraints.txt") in ours.commands[0] and "--require-hashes" in ours.commands[0]
    assert not {"--require-hashes", "--build-constraint"} & set(theirs.commands[0])


def test_by_default_a_wheel_is_built_from_all_but_generated_files(root, tmp_path, monkeypatch):
    monkeypatch.setattr(wheel, "project", lambda: rows.Project(package="theirs"))
    before = wheel.folder_of(root, tmp_path)
    for name in (".tox/x", "results/x.json", "locks/x.txt", "matrix.toml", "matrix.json", "env/pyvenv.cfg", "env/x.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("generated")
        assert wheel.folder_of(root, tmp_path) == before, name
    (root / "loop").symlink_to(root)
    assert wheel.folder_of(root, tmp_path) == before
    (root / "setup.py").write_text("its own")
    assert wheel.folder_of(root, tmp_path) != before


def test_the_last_tag_is_the_version_of_a_checkout(tmp_path):
    """A snapshot has no history. Without a tag, or without git, the version is 0."""

    def git(*words):
        options = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *options, *words], cwd=tmp_path, check=True, capture_output=True)

    def no_git(command, **options):
        raise FileNotFoundError(command[0])

    name = "SETUPTOOLS_SCM_PRETEND_VERSION"
    assert wheel.version_of_tag(tmp_path) == {}
    git("init")
    assert wheel.version_of_tag(tmp_path) == wheel.version_of_tag(tmp_path, no_git) == {name: "0"}
    for tag, number in (("v1.2.3", "1.2.3"), ("tiny-2.0rc1", "2.0rc1"), ("nightly", "0")):
        git("commit", "--allow-empty", "-m", tag)
        git("tag", "-m", tag, tag)
        assert wheel.version_of_tag(tmp_path) == {name: number}


KILLED_WHILE_BUILDING = """
import os, pathlib, signal, sys
from harness.source import wheel

def run(command, **options):
    folder = pathlib.Path(command[command.index("--out-dir") + 1])
    folder.mkdir()
    (folder / "equinox-1-py3-none-any.whl").write_text("hal")
    os.kill(os.getpid(), signal.SIGKILL)

wheel.obtain("uv", "3.11", "python", pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), run)
"""


def test_a_killed_build_leaves_no_wheel(root, tmp_path):
    command = [sys.executable, "-c", KILLED_WHILE_BUILDING, str(root), str(tmp_path / "work")]
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    assert subprocess.run(command, env=env, check=False).returncode == -9
    run = FakeUv()
    assert wheel.obtain("uv", "3.11", "python", root, tmp_path / "work", run).read_text() == ""
    assert len(run.commands) == 1
