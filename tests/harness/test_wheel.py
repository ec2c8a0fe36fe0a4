"""The wheel of the library: one for all cells, built again when the library changes."""

import os
import subprocess
import threading

import pytest
from filelock import FileLock, Timeout
from programs import git_in, python, write

from harness import rows
from harness.source import wheel


@pytest.fixture
def root(tmp_path):
    """A small checkout."""
    library = ("equinox/__init__.py", "equinox/nn/__init__.py", "equinox/__pycache__/x.pyc", "pyproject.toml")
    beside = ("README.md", "LICENSE", "docker/wheel-constraints.txt", "docker/other.txt", "tests/test_x.py")
    return write(tmp_path / "root", {name: name for name in (*library, *beside)})


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


@pytest.fixture
def obtain(root, tmp_path):
    """`obtain(run)`: the wheel for Python 3.11, built by `run` if there is none yet."""
    return lambda run, python="3.11", work="work": wheel.obtain("uv", python, "/" + python, root, tmp_path / work, run)


def test_the_wheel_is_built_once(obtain):
    run = FakeUv()
    first, second = (obtain(run), obtain(run))
    assert first == second and first.name == "equinox-1-py3-none-any.whl" and first.is_file()
    assert len(run.commands) == 1


def test_the_wheel_is_built_once_if_many_cells_ask_at_the_same_time(obtain, tmp_path):
    """While one builds it, the others wait."""
    uv, wheels, waits = FakeUv(), [], []

    def run(command, **options):
        waits.append(FileLock(tmp_path / "work" / "wheel" / "lock"))
        with pytest.raises(Timeout):
            waits[-1].acquire(timeout=0)
        return uv(command, **options)

    threads = [threading.Thread(target=lambda: wheels.append(obtain(run))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 1 and len(wheels) == 8 and len(set(wheels)) == 1


OF_THE_LIBRARY = ("equinox/nn/__init__.py", "equinox/new.py", "pyproject.toml", "README.md")


@pytest.mark.parametrize("name", [*OF_THE_LIBRARY, "tests/test_x.py", "docker/other.txt", "equinox/__pycache__/x.pyc"])
def test_the_wheel_is_built_again_only_when_the_library_changes(root, obtain, name):
    run = FakeUv()
    first = obtain(run)
    (root / name).write_text("changed")
    assert (obtain(run) != first) is (len(run.commands) == 2) is (name in OF_THE_LIBRARY)


def test_a_failed_build_is_an_error_and_is_tried_again(obtain):
    for status in (1, 2):
        with pytest.raises(wheel.BuildFailed, match="exit status {}(.|\n)*no hatchling".format(status)):
            obtain(FakeUv(status))
    assert obtain(FakeUv()).is_file()


def test_compiled_code_is_built_once_for_each_python(obtain):
    """A wheel without compiled code serves every Python. The Python that will use a wheel builds it."""
    pure, compiled = FakeUv(), FakeUv(tag="cp311-cp311-linux_x86_64")
    for uv, builds in ((compiled, 2), (pure, 1)):
        found = [obtain(uv, python, uv.tag) for python in ("3.11", "3.12", "3.11", "3.12")]
        pythons = [command[command.index("--python") + 1] for command in uv.commands]
        assert pythons == ["/3.11", "/3.12"][:builds] and len(set(found)) == builds and found[0] == found[2]


def test_only_pinned_builders_need_hashes(root, obtain, monkeypatch):
    """The backend of another project may be any, and gets its packages as the project asks for them."""
    ours, theirs = FakeUv(), FakeUv()
    obtain(ours, work="ours")
    monkeypatch.setattr(wheel, "project", lambda: rows.Project(package="theirs"))
    obtain(theirs, work="theirs")
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
    git = git_in(tmp_path)

    def no_git(command, **options):
        raise FileNotFoundError(command[0])

    name = "SETUPTOOLS_SCM_PRETEND_VERSION"
    assert wheel.version_of_tag(tmp_path) == {}
    git("init")
    assert wheel.version_of_tag(tmp_path) == wheel.version_of_tag(tmp_path, no_git) == {name: "0"}
    tags = {
        "v1.2.3": "1.2.3",
        "tiny-2.0rc1": "2.0rc1",
        "nightly": "0",
        "v1.0.post2": "1.0.post2",
        "py3-tiny-2.1": "2.1",
    }
    for tag, number in tags.items():
        git("commit", "--allow-empty", "-m", tag)
        git("tag", "-m", tag, tag)
        assert wheel.version_of_tag(tmp_path) == {name: number}


def test_a_folder_of_a_repository_has_the_version_of_its_tag(tmp_path):
    git, folder = git_in(tmp_path), tmp_path / "python" / "tiny"
    folder.mkdir(parents=True)
    git("init")
    git("commit", "--allow-empty", "-m", "first")
    git("tag", "-m", "first", "v1.0")
    assert wheel.version_of_tag(folder) == {"SETUPTOOLS_SCM_PRETEND_VERSION": "1.0"}
    (folder / "PKG-INFO").touch()  # a source distribution that was unpacked in another repository
    assert wheel.version_of_tag(folder) == {}


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


def test_a_killed_build_leaves_no_wheel(root, obtain, tmp_path):
    assert python("-c", KILLED_WHILE_BUILDING, root, tmp_path / "work").returncode == -9
    run = FakeUv()
    assert obtain(run).read_text() == ""
    assert len(run.commands) == 1
