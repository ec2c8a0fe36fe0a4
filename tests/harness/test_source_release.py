"""A source distribution is unpacked into its folder, and nothing outside of it is written."""

import io
import os
import tarfile

import pytest

from harness.locks import source_release
from harness.system.errors import CannotGoOn


def archive(path, *members):
    """An archive of members: a name, its content, and what else is set."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content, more in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_files_and_folders_are_unpacked_as_they_are(tmp_path):
    members = (
        ("p-1", b"", {"type": tarfile.DIRTYPE}),
        ("p-1/p/__init__.py", b"x = 1\n", {"mode": 0o644}),
        ("p-1/configure", b"#!/bin/sh\n", {"mode": 0o755}),
    )
    root = source_release.unpack(archive(tmp_path / "p-1.tar.gz", *members), tmp_path / "unpacked")
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
    path = archive(tmp_path / "p-1.tar.gz", ("p-1/setup.py", b"", {}), bad)
    with pytest.raises(
        CannotGoOn, match=r"p-1.tar.gz (can't be unpacked: '.*(outside|a special file)|isn't a source dist)"
    ):
        source_release.unpack(path, tmp_path / "unpacked")
    assert not (tmp_path / "outside").exists()
