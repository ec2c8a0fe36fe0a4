"""Locks: the command for uv, the files, and the messages. These tests don't use the network or uv."""

import dataclasses
import datetime
import io
import json
import subprocess
import threading
import urllib.error

import pytest
from programs import PATIENCE_S
from small_matrix import a_cell

from harness import locks, rows
from harness.locks import lock_file, resolve
from harness.locks.index import IndexUnreachable
from harness.system.errors import CannotGoOn

PAGE = "https://archive.example/jax.html"
FILES = {
    "jax": ["jax-0.4.13.tar.gz", "jax-0.4.13-py3-none-any.whl"],
    "numpy": ["numpy-1.25.2-cp310-cp310-manylinux2014_x86_64.whl"],
}
RESOLVED = """\
jax==0.4.13 \\
    --hash=sha256:a0 \\
    --hash=sha256:a1
numpy==1.25.2 ; python_version < "3.11" \\
    --hash=sha256:b0
"""
NO_SOLUTION = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of jax==9 and
         you require jax==9, we can conclude that your requirements are unsatisfiable.
  hint: Try another.
"""
NO_NETWORK = """\
error: Failed to fetch: `https://index.example/simple/jax/`
  cause: Request failed after 3 retries
"""

CELL = a_cell("0.4.13", python="3.10", as_of=datetime.date(2023, 7, 31), requires=("jax==0.4.13", "numpy<2"))
CUDA = dataclasses.replace(CELL, backend="cuda", find_links=(PAGE,))
FLOATING = dataclasses.replace(CELL, jax="latest", as_of=None, jaxlib=None)
BRIDGED = dataclasses.replace(
    CELL, jax="0.2.18", bridge=True, original=dataclasses.replace(CUDA, jax="0.2.18", backend="cpu", suffix=".archive")
)


class Uv:
    """Replaces `subprocess.run`."""

    def __init__(self, stdout=RESOLVED, stderr="", returncode=0):
        self.answer = (returncode, stdout, stderr)
        self.calls = []

    def __call__(self, command, input, **options):
        assert options == {"capture_output": True, "text": True, "check": False}
        self.calls.append((command, input))
        return subprocess.CompletedProcess(command, *self.answer)


class Web:
    """Replaces `urllib.request.urlopen`: an index with the files above, and a page of links."""

    def __init__(self, files=None, page="<a href='jax-0.4.13%2Bcuda12-py3.whl'>", index=True):
        self.files = FILES if files is None else files
        self.page = page
        self.index = index

    def __call__(self, request, timeout):
        if request.full_url == PAGE and self.page is not None:
            return io.BytesIO(self.page.encode())
        if request.full_url == PAGE or not self.index:
            raise urllib.error.URLError("no such host")
        project = request.full_url.rstrip("/").rpartition("/")[2]
        names = self.files.get(project, [])
        hashes = ["{}{}".format("ab"[project == "numpy"], number) for number in range(len(names))]
        entries = [{"filename": n, "url": "", "hashes": {"sha256": h}} for n, h in zip(names, hashes, strict=True)]
        return io.BytesIO(json.dumps({"files": entries}).encode())


@pytest.fixture
def make(tmp_path):
    def make_here(*cells, uv=None, web=None, everything=False):
        said = []
        status = locks.make(
            cells, tmp_path, everything=everything, run=uv or Uv(), opener=web or Web(), say=said.append
        )
        return status, "\n".join(said)

    return make_here


@pytest.fixture
def verify(tmp_path):
    def verify_here(*cells, web=None):
        said = []
        status = locks.verify(cells, tmp_path, opener=web or Web(), say=said.append)
        return status, "\n".join(said)

    return verify_here


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


# Making locks


def test_uv_resolves_for_the_python_and_the_date_of_the_cell(make):
    uv = Uv()
    assert make(CUDA, uv=uv)[0] == 0
    ((command, requirements),) = uv.calls
    assert requirements.splitlines() == ["jax==0.4.13", "numpy<2"]
    assert command[command.index("pip") :][:3] == ["pip", "compile", "-"]
    assert {
        "--python-version=3.10",
        "--exclude-newer=2023-08-01T00:00:00Z",  # the end of the day, in UTC
        "--exclude-newer-package=jaxlib=false",
        "--generate-hashes",
        "--find-links=" + PAGE,
    } <= set(command)


def test_a_package_that_the_library_needs_newer_has_a_date_of_its_own(monkeypatch):
    def ours(**dates):
        return dataclasses.replace(rows.project(), not_before=dates)

    monkeypatch.setattr(lock_file, "project", lambda: ours(numpy=datetime.date(2023, 9, 30)))
    later = dataclasses.replace(CELL, as_of=datetime.date(2023, 9, 30))
    option = "--exclude-newer-package=numpy=2023-10-01T00:00:00Z"
    assert option in resolve.command(CELL) and option not in resolve.command(later)
    before = locks.inputs(CELL), locks.inputs(later)
    monkeypatch.setattr(lock_file, "project", ours)
    assert locks.inputs(CELL) != before[0] and locks.inputs(later) == before[1]


def test_a_lock_says_what_it_is_and_holds_what_uv_found(make, tmp_path):
    make(CUDA)
    text = contents(tmp_path)["py310-jax0.4.13-cuda.txt"]
    assert "DO NOT EDIT" in text and "Python 3.10" in text and "2023-07-31" in text
    assert text.endswith("--find-links {}\n{}".format(PAGE, RESOLVED))
    lock = locks.read(tmp_path / "py310-jax0.4.13-cuda.txt")
    assert lock == locks.Lock(
        inputs=locks.inputs(CUDA),
        find_links=(PAGE,),
        pins=(locks.Pin("jax", "0.4.13", ("a0", "a1")), locks.Pin("numpy", "1.25.2", ("b0",))),
    )


def test_locking_again_changes_nothing(make, tmp_path):
    cells = [CELL, CUDA, BRIDGED]
    make(*cells, web=Web(page=None))
    before = contents(tmp_path)
    _, said = make(*reversed(cells), web=Web(page=None), everything=True)
    assert contents(tmp_path) == before
    assert "py310-jax0.4.13-cpu: 2 packages, as before" in said


def test_a_floating_cell_has_no_lock(make, tmp_path):
    uv = Uv()
    assert make(FLOATING, uv=uv)[0] == 0
    assert uv.calls == [] and list(contents(tmp_path)) == ["unresolved.toml"]


def test_a_cell_whose_page_is_unreachable_is_unresolved_but_no_failure(make, tmp_path):
    uv = Uv()
    status, said = make(CUDA, uv=uv, web=Web(page=None))
    assert status == 0 and uv.calls == []
    assert locks.unresolved(tmp_path) == {"py310-jax0.4.13-cuda": PAGE + " can't be reached"}
    assert "unresolved: " + PAGE in said


NOT_BUILT = """error: Failed to build `some==1.0`
  cause: The build backend returned an error
  cause: Call to `backend` failed (exit status: 1)

hint: `some` (v1.0) was included because `other` depends on `some`
"""


def test_a_package_that_cannot_be_built_is_named(make, tmp_path):
    make(CELL, uv=Uv("", NOT_BUILT, 1))
    (reason,) = locks.unresolved(tmp_path).values()
    assert reason.startswith("Failed to build `some==1.0`: The build backend") and "hint" not in reason


def test_an_unresolvable_cell_is_a_failure_with_a_one_line_reason(make, tmp_path):
    make(CELL)
    status, said = make(CELL, uv=Uv("", NO_SOLUTION, 1))
    assert status == 1
    reason = "Because there is no version of jax==9 and you require jax==9, we can conclude that your requirements are"
    assert locks.unresolved(tmp_path) == {"py310-jax0.4.13-cpu": reason + " unsatisfiable."}
    assert reason in said
    assert not (tmp_path / "py310-jax0.4.13-cpu.txt").exists()


def test_a_resolved_cell_is_removed_from_the_unresolved(make, tmp_path):
    make(CUDA, web=Web(page=None))
    assert make(CUDA)[0] == 0
    assert locks.unresolved(tmp_path) == {}


def test_an_up_to_date_lock_is_kept_if_its_page_is_unreachable(make, tmp_path):
    make(CUDA)
    before = contents(tmp_path)
    status, said = make(CUDA, web=Web(page=None))
    assert status == 0 and contents(tmp_path) == before and "kept as it was" in said


def test_an_outdated_lock_is_removed_if_its_page_is_unreachable(make, tmp_path):
    make(CUDA)
    make(dataclasses.replace(CUDA, requires=("jax==0.4.13",)), web=Web(page=None))
    assert list(contents(tmp_path)) == ["unresolved.toml"]


def test_no_file_changes_if_the_index_is_unreachable(make, tmp_path):
    make(CELL)
    before = contents(tmp_path)
    uv = Uv()
    with pytest.raises(IndexUnreachable):
        make(CELL, CUDA, uv=uv, web=Web(index=False))
    assert uv.calls == [] and contents(tmp_path) == before


def test_a_network_error_does_not_make_a_cell_unresolved(make, tmp_path):
    make(CELL)
    before = contents(tmp_path)
    with pytest.raises(IndexUnreachable, match="3 retries"):
        make(CELL, uv=Uv("", NO_NETWORK, 2))
    assert contents(tmp_path) == before


def test_a_killed_uv_does_not_make_a_cell_unresolved(make, tmp_path):
    """The kernel ends it if there is too little memory."""
    make(CELL)
    before = contents(tmp_path)
    with pytest.raises(CannotGoOn, match="A signal ended uv while it resolved py310-jax0.4.13-cpu: Killed"):
        make(CELL, uv=Uv(returncode=-9))
    assert contents(tmp_path) == before


def test_an_interrupt_keeps_the_finished_locks(make, tmp_path):
    def interrupted(command, **options):
        raise KeyboardInterrupt

    make(CELL)
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        make(CELL, uv=interrupted)
    assert contents(tmp_path) == before


def test_an_interrupt_keeps_the_reasons_found_so_far(tmp_path):
    told = threading.Event()

    def run(command, **options):
        if "--python-version=3.11" in command:
            assert told.wait(PATIENCE_S)
            raise KeyboardInterrupt
        return subprocess.CompletedProcess(command, 1, "", NO_SOLUTION)

    later = dataclasses.replace(CELL, python="3.11")
    with pytest.raises(KeyboardInterrupt):
        locks.make([CELL, later], tmp_path, run=run, opener=Web(), say=lambda line: told.set())
    assert list(locks.unresolved(tmp_path)) == ["py310-jax0.4.13-cpu"]


def test_locking_everything_removes_reasons_of_removed_cells(make, tmp_path):
    make(CUDA, web=Web(page=None))
    make(CELL)
    assert list(locks.unresolved(tmp_path)) == ["py310-jax0.4.13-cuda"]
    make(CELL, everything=True)
    assert locks.unresolved(tmp_path) == {}


def test_locking_everything_removes_locks_of_removed_cells(make, tmp_path):
    (tmp_path / "py37-jax0.1.0-cpu.txt").write_text("# inputs: sha256:0\n")
    make(CELL)
    assert (tmp_path / "py37-jax0.1.0-cpu.txt").exists()
    _, said = make(CELL, everything=True)
    assert not (tmp_path / "py37-jax0.1.0-cpu.txt").exists() and "py37-jax0.1.0-cpu.txt: removed" in said


def test_files_of_the_project_that_are_no_locks_stay(make, tmp_path):
    """A project may have had a folder of that name before, such as for the requirements of its tools."""
    (tmp_path / "dev.txt").write_bytes(b"ruff==0.1  # f\xfcr uns\n")
    make(CELL, everything=True)
    assert (tmp_path / "dev.txt").read_bytes() == b"ruff==0.1  # f\xfcr uns\n"


def test_the_inputs_hash_covers_all_inputs_of_a_lock():
    changes = [{"python": "3.11"}, {"as_of": datetime.date(2024, 1, 1)}, {"requires": ()}, {"find_links": (PAGE,)}]
    made = {locks.inputs(CELL), *(locks.inputs(dataclasses.replace(CELL, **change)) for change in changes)}
    assert len(made) == 5
    assert locks.inputs(dataclasses.replace(CELL, tier="nightly", base="other")) == locks.inputs(CELL)


# The bridge, or the original jaxlib


def test_both_locks_of_a_cell_on_the_bridge_are_made(make, tmp_path):
    make(BRIDGED)
    assert set(contents(tmp_path)) == {
        "py310-jax0.2.18-cpu.txt",
        "py310-jax0.2.18-cpu.archive.txt",
        "unresolved.toml",
    }


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("reached", [False, True])
def test_the_jaxlib_of_the_time_is_preferred_where_it_is_locked_and_can_be_reached(
    tmp_path, monkeypatch, locked, reached
):
    monkeypatch.setattr(rows.cells, "LOCKS", tmp_path)
    if locked:
        BRIDGED.original.lock.write_text("")
    chosen = locks.preferred(BRIDGED, {PAGE: reached}.__getitem__)
    assert chosen is (BRIDGED.original if locked and reached else BRIDGED)


def test_a_cell_without_an_original_is_preferred_unchanged():
    assert locks.preferred(CUDA, {}.__getitem__) is CUDA


def test_a_page_that_answers_is_reachable():
    assert locks.reachable(PAGE, Web())
    assert not locks.reachable(PAGE, Web(page=None))


# Verifying locks


def test_complete_locks_have_no_problem(make, verify):
    make(CELL, CUDA)
    status, said = verify(CELL, CUDA)
    assert status == 0 and "2 locks of 2 projects: every file can be fetched." in said


def test_a_file_that_vanished_is_reported_with_lock_and_release(make, verify):
    make(CELL)
    status, said = verify(CELL, web=Web({**FILES, "jax": ["jax-0.4.13.tar.gz"], "numpy": []}))
    assert status == 1
    assert "py310-jax0.4.13-cpu: the index no longer has 1 of the 2 files of jax 0.4.13" in said
    assert "py310-jax0.4.13-cpu: the index no longer has any of the 1 files of numpy 1.25.2" in said


def test_a_release_of_an_archive_is_looked_for_on_its_page(make, verify):
    make(CUDA, uv=Uv(RESOLVED.replace("jax==0.4.13", "jax==0.4.13+cuda12")))
    nowhere = {**FILES, "jax": []}
    assert verify(CUDA, web=Web(nowhere))[0] == 0
    assert verify(CUDA, web=Web(nowhere, page="<a href='jax-0.4.13-py3.whl'>"))[0] == 1


def test_an_outdated_lock_is_reported(make, verify):
    make(CELL)
    status, said = verify(dataclasses.replace(CELL, requires=("jax==0.4.13",)))
    assert status == 1 and "out of date" in said and "harness lock py310-jax0.4.13-cpu" in said


def test_a_missing_lock_is_reported_unless_its_cell_is_unresolved(make, verify):
    status, said = verify(CELL)
    assert status == 1 and "there is no lock" in said
    make(CUDA, web=Web(page=None))
    status, said = verify(CUDA)
    assert status == 0 and "py310-jax0.4.13-cuda has no lock: " + PAGE in said


def test_verifying_without_the_index_reports_no_lock(make, verify):
    make(CELL)
    with pytest.raises(IndexUnreachable):
        verify(CELL, web=Web(index=False))


# The locks of the repository


def test_every_cell_has_an_up_to_date_lock_or_a_reason():
    reasons = locks.unresolved()
    cells = list(locks.cells_to_lock(rows.load()))
    for cell in cells:
        assert cell.lock.exists() != (cell.lock.stem in reasons), cell.lock.stem
        if cell.lock.exists():
            assert locks.read(cell.lock).inputs == locks.inputs(cell), "python -m harness lock " + cell.name
    assert set(reasons) <= {cell.lock.stem for cell in cells}


def test_every_lock_pins_the_cells_own_jax_and_jaxlib():
    for cell in rows.load():
        if not cell.floating and cell.lock.exists():
            versions = {pin.project: pin.version for pin in locks.read(cell.lock).pins}
            assert (versions["jax"], versions["jaxlib"].partition("+")[0]) == (cell.jax, cell.installed_jaxlib)
            assert all(pin.hashes for pin in locks.read(cell.lock).pins)


def test_every_cell_on_the_cpu_is_locked():
    for cell in rows.select(rows.load(), backend="cpu"):
        assert cell.floating or cell.lock.exists(), cell.name
