"""A release on the package index: its source distribution is downloaded once, checked, and unpacked into its folder.

Nothing outside of that folder is written.
"""

import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile

import pytest

from harness.locks import index, source_release
from harness.system.errors import CannotGoOn, WrongUsage

MATRIX = """
row = [{ jax = "0.4.30" }]
[project]
package = "tiny"
"""


def archive(*members):
    """An archive of members, as bytes. A member is a name, its content, and what else is set."""
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w:gz") as tar:
        for name, content, more in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return stored.getvalue()


def unpack(archive, tmp_path):
    path = tmp_path / "p-1.tar.gz"
    path.write_bytes(archive)
    return source_release.unpack(path, tmp_path / "unpacked")


def test_files_and_folders_are_unpacked_as_they_are(tmp_path):
    members = (
        ("p-1", b"", {"type": tarfile.DIRTYPE}),
        ("p-1/p/__init__.py", b"x = 1\n", {"mode": 0o644}),
        ("p-1/configure", b"#!/bin/sh\n", {"mode": 0o755}),
    )
    root = unpack(archive(*members), tmp_path)
    assert root == tmp_path / "unpacked" / "p-1"
    assert (root / "p" / "__init__.py").read_bytes() == b"x = 1\n"
    assert [os.access(root / name, os.X_OK) for name in ("configure", "p/__init__.py")] == [True, False]


@pytest.mark.parametrize(
    "bad",
    [
        ("../outside", b"x", {}),
        ("p-1/../../outside", b"x", {}),
        ("/outside", b"x", {}),
        ("p-1/link", b"", {"type": tarfile.SYMTYPE, "linkname": "../../outside"}),
        ("p-1/hard", b"", {"type": tarfile.LNKTYPE, "linkname": "../../outside"}),
        ("p-1/pipe", b"", {"type": tarfile.FIFOTYPE}),
    ],
    ids=["parent", "hidden-parent", "absolute", "symlink", "hard-link", "pipe"],
)
def test_members_that_lead_out_of_the_folder_are_refused(tmp_path, bad):
    wrong = archive(("p-1/setup.py", b"", {}), bad)
    with pytest.raises(
        CannotGoOn, match=r"p-1.tar.gz (can't be unpacked: '.*(outside|a special file)|isn't a source dist)"
    ):
        unpack(wrong, tmp_path)
    assert not (tmp_path / "outside").exists()


class FakeIndex:
    """Replaces `urllib.request.urlopen`."""

    def __init__(self, files, sha256=None):
        self.files, self.sha256, self.asked = files, sha256, []

    def __call__(self, request, timeout):
        self.asked.append(request.full_url)
        name = request.full_url.rsplit("/", 1)[1]
        if name in self.files:
            return io.BytesIO(self.files[name])
        entries = [
            {
                "filename": name,
                "url": "../../files/" + name,
                "hashes": {"sha256": self.sha256 or hashlib.sha256(content).hexdigest()},
            }
            for name, content in self.files.items()
        ]
        return io.BytesIO(json.dumps({"files": entries}).encode())


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(index, "index_url", lambda: "https://index/simple")


SDIST = [("tiny-1.0/matrix.toml", MATRIX.encode(), {}), ("tiny-1.0/tests/test_x.py", b"def test_x(): pass", {})]


def test_a_release_is_downloaded_once(tmp_path):
    """Its locks and results are in its folder, so the folder is never replaced."""
    opener = FakeIndex({"tiny-1.0.tar.gz": archive(*SDIST), "tiny-1.0-py3-none-any.whl": b"wheel"})
    root = source_release.obtain("Tiny==1.0", opener, tmp_path)
    assert root == tmp_path / "projects" / "tiny-1.0"
    assert (root / "tests" / "test_x.py").read_bytes() == b"def test_x(): pass"
    assert opener.asked == ["https://index/simple/tiny/", "https://index/files/tiny-1.0.tar.gz"]
    (root / "results").mkdir()
    assert source_release.obtain("tiny==1.0", opener, tmp_path) == root and len(opener.asked) == 2
    assert (root / "results").is_dir() and [path.name for path in root.parent.iterdir()] == ["tiny-1.0"]


def test_a_zip_is_unpacked_too(tmp_path):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as zipped:
        for name, content, _ in SDIST:
            zipped.writestr(name, content)
    root = source_release.obtain("tiny==1.0", FakeIndex({"tiny-1.0.zip": stored.getvalue()}), tmp_path)
    assert (root / "matrix.toml").read_text() == MATRIX


def test_init_writes_the_matrix_that_a_release_lacks(tmp_path, monkeypatch):
    opener = FakeIndex({"tiny-1.0.tar.gz": archive(("tiny-1.0/setup.py", b"", {}))})
    started = []
    monkeypatch.setattr(source_release.subprocess, "run", lambda command, **options: started.append((command, options)))
    with pytest.raises(
        WrongUsage, match=r"`init` couldn't write .*tiny-1.0/matrix.toml.*--project pypi:tiny==1.0 init --help"
    ):
        source_release.obtain("tiny==1.0", opener, tmp_path)
    ((command, options),) = started
    assert command[-2:] == ["init", str(tmp_path / "projects" / "tiny-1.0")]
    assert options["stdout"] == sys.stderr.fileno()  # a script reads the output of the user's command, as of `list`


@pytest.mark.parametrize(
    "opener, words",
    [
        (FakeIndex({"tiny-1.0.tar.gz": archive(*SDIST)}, sha256="0" * 64), "doesn't have the hash"),
        (FakeIndex({"tiny-1.0.tar.gz": archive(*SDIST, ("../outside", b"x", {}))}), "can't be unpacked: '.*outside"),
        (FakeIndex({"tiny-1.0.tar.gz": archive(*SDIST, ("second/x", b"x", {}))}), "one folder"),
        (FakeIndex({"tiny-1.0.tar.gz": b"no archive"}), "can't be unpacked"),
    ],
    ids=["hash", "outside", "two-folders", "broken"],
)
def test_a_wrong_archive_leaves_nothing(tmp_path, opener, words):
    with pytest.raises(CannotGoOn, match=words):
        source_release.obtain("tiny==1.0", opener, tmp_path / "cache")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "cache" / "projects").iterdir()) == []


@pytest.mark.parametrize(
    "name, words",
    [
        ("tiny==2.0", r"no tiny 2.0. Its newest releases: 1.0"),
        ("tiny", "Expected a release such as"),
        ("tiny>=1.0", "Expected a release such as"),
        ("tiny==1.*", "Expected a release such as"),
        ("tiny[extra]==1.0", "Expected a release such as"),
    ],
)
def test_a_release_that_is_not_there_is_wrong_usage(tmp_path, name, words):
    with pytest.raises(WrongUsage, match=words):
        source_release.obtain(name, FakeIndex({"tiny-1.0.tar.gz": archive(*SDIST)}), tmp_path)


def test_a_release_without_a_source_distribution_is_wrong_usage(tmp_path):
    with pytest.raises(WrongUsage, match="no source distribution"):
        source_release.obtain("tiny==1.0", FakeIndex({"tiny-1.0-py3-none-any.whl": b""}), tmp_path)
