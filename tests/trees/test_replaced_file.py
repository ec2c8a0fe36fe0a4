"""`replaced_path`, as `save` and `tree_serialise_leaves` use it: a path has the old file or the whole new one."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx
from equinox._trees import replaced_file

NAME = "model.safetensors"


@pytest.fixture
def path(tmp_path):
    """The path of a file that isn't there yet, in an empty folder."""
    return str(tmp_path / NAME)


def files_beside(path):
    return os.listdir(os.path.dirname(path))


WRITERS = {
    "save": (eqx.save, eqx.load),
    "tree_serialise_leaves": (eqx.tree_serialise_leaves, eqx.tree_deserialise_leaves),
}
each_writer = pytest.mark.parametrize("writer", WRITERS)


@contextlib.contextmanager
def old_file_stays(path, writer):
    """What is done inside fails. The old file stays, and no other file is there."""
    save, load = WRITERS[writer]
    save(path, [jnp.zeros(2)])
    yield save
    assert load(path, [jnp.ones(2)])[0].tolist() == [0, 0]
    assert files_beside(path) == [NAME]
    save(path, [jnp.ones(2)])
    assert load(path, [jnp.zeros(2)])[0].tolist() == [1, 1]


@each_writer
def test_a_folder_is_an_error(path, writer):
    """The path of a folder is refused. The message has this path."""
    os.mkdir(path + ".x")
    with pytest.raises(IsADirectoryError, match=r"safetensors\.x'$"):
        WRITERS[writer][0](path + ".x", [jnp.zeros(2)])
    assert files_beside(path) == [NAME + ".x"]


def interrupt(*args):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def crash(*args):
    raise OSError(5, "Input/output error")


@each_writer
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("fail, error", [(crash, OSError), (interrupt, KeyboardInterrupt)], ids=["error", "Ctrl-C"])
def test_a_failure_leaves_the_old_file(writer, call, fail, error, path, monkeypatch, interruptible):
    """An error of the operating system, or Ctrl-C, when the data is written and the old file is there."""
    with old_file_stays(path, writer) as save:
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(error):
            save(path, [jnp.ones(2)])
        monkeypatch.undo()


@each_writer
def test_a_file_that_grows_too_large(writer, path):
    """The operating system refuses to write more: the old file stays."""
    resource = pytest.importorskip("resource", reason="this operating system has no limits on the size of a file")
    with old_file_stays(path, writer) as save:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large|requested and"):
                save(path, [np.ones(10000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 64 kB."""
    folder = str(tmp_path / "disk")
    os.mkdir(folder)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    try:
        subprocess.run(mount, check=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user can't mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


@each_writer
def test_a_full_disk(writer, small_disk):
    """The old file stays. What fits is saved later."""
    with old_file_stays(os.path.join(small_disk, NAME), writer) as save:
        with pytest.raises(OSError, match="No space left|requested and"):
            save(os.path.join(small_disk, NAME), [np.ones(10000)])


WRITE_FOREVER = """
import importlib.util, sys

spec = importlib.util.spec_from_file_location("replaced_file", sys.argv[1])  # without JAX, because its import is slow
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
while True:
    with module.replaced_file(sys.argv[2]) as file:
        for _ in range(100):
            file.write(sys.argv[3].encode() * 1000)
"""


def test_processes_that_write_and_are_killed(path):
    """A reader sees the file of one of the writers, whole. So it does when the writers were killed at any moment."""
    seen = set()

    def look():
        with open(path, "rb") as file:
            data = file.read()
        assert len(data) == 100000 and len(set(data)) == 1
        seen.add(chr(data[0]))

    with replaced_file.replaced_file(path) as file:
        file.write(b"0" * 100000)
    command = [sys.executable, "-c", WRITE_FOREVER, replaced_file.__file__, path]
    writers = [subprocess.Popen([*command, value]) for value in "ab"]
    try:
        stop = time.monotonic() + 100
        while seen - {"0"} != {"a", "b"} and time.monotonic() < stop:
            look()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    look()
    assert seen >= {"a", "b"}
    assert all(name == NAME or name.endswith(".tmp") for name in files_beside(path))
    eqx.save(path, jnp.ones(2))
    assert eqx.load(path)[""].tolist() == [1, 1]


def test_threads_that_save(path):
    """`load` gives what one of them saved, whole."""
    eqx.save(path, np.full(1000, 0))
    done = threading.Event()

    def save(value):
        while not done.is_set():
            eqx.save(path, np.full(1000, value))

    writers = [threading.Thread(target=save, args=(i,)) for i in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(50):
            assert len(set(eqx.load(path)[""].tolist())) == 1
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert files_beside(path) == [NAME]


@pytest.mark.skipif(os.name != "posix", reason="this operating system can't write a folder to the disk")
@each_writer
def test_the_disk_has_the_data_before_the_name(writer, path, monkeypatch):
    """A power failure leaves the old file or the whole new one. At the end the new one is on the disk."""
    calls, fsync, replace = [], os.fsync, os.replace

    def note_fsync(number):
        calls.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "data")
        fsync(number)

    def note_replace(old, new):
        calls.append("name")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    WRITERS[writer][0](path, [jnp.ones(2)])
    assert calls == ["data", "name", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="this operating system has other permissions")
def test_permissions_stay(path):
    """A new file has the usual ones. A file that replaces another has those of the other."""
    usual = path + ".usual"
    open(usual, "x").close()
    for mode in (stat.S_IMODE(os.stat(usual).st_mode), 0o600, 0o640):
        if os.path.exists(path):
            os.chmod(path, mode)
        eqx.save(path, jnp.ones(2))
        assert stat.S_IMODE(os.stat(path).st_mode) == mode


@each_writer
def test_a_folder_that_is_missing(writer, path):
    """The error has the path that was given."""
    path = os.path.join(os.path.dirname(path), "gone", NAME)
    with pytest.raises(FileNotFoundError) as error:
        WRITERS[writer][0](path, [jnp.ones(2)])
    assert error.value.filename == os.path.realpath(path)


def test_a_link_stays_a_link(path):
    """The file that it leads to is replaced."""
    link = path + ".link"
    eqx.save(path, jnp.zeros(2))
    os.symlink(path, link)
    eqx.save(link, jnp.ones(2))
    assert os.path.islink(link)
    assert eqx.load(path)[""].tolist() == [1, 1]
