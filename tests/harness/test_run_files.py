"""The files that a run wrote are read without trusting them."""

import io
import json
import os
import tarfile

import pytest
from six_outcomes import cell

from harness.results import Outcome, run_files
from harness.run import verdict
from harness.run.environment import Environment

REPORT = {"counts": {"passed": 3}, "failures": [], "versions": {"jax": "0.4.30"}, "seconds": {"tests": 0.5}}


def test_a_report_is_read(tmp_path):
    path = tmp_path / "report.json"
    assert run_files.report(path) is None
    path.write_text(json.dumps(REPORT))
    assert run_files.report(path) == run_files.Report(**REPORT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100000,
        '{"counts": [1]}',
        '{"counts": {"passed": "3"}}',
        '{"failures": [["x"]]}',
        '{"devices": {"a": 1}}',
        '{"driver": 580}',
        '{"measures": {"loop_ratio": NaN}}',
        '{"seconds": {"tests": 1e999}}',
        '{"failures": ["\\ud800"]}',
    ],
)
def test_a_report_of_the_wrong_form_is_a_failure(tmp_path, text):
    """The run counts as failed even with exit status 0, and the result can be written."""
    (tmp_path / "report.json").write_text(text)
    result = verdict.of_run(cell("0.10.1"), Environment(tmp_path), 0)
    assert result.outcome is Outcome.FAILED and "can't be used" in result.reason
    result.reason.encode()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "other").write_text(json.dumps(REPORT))
    (tmp_path / "report.json").symlink_to(tmp_path / "other")
    with pytest.raises(run_files.Unusable, match="report.json"):
        run_files.report(tmp_path / "report.json")


@pytest.mark.parametrize("name", ["report.json", "progress.json", "junit.xml"])
def test_a_folder_is_not_read(tmp_path, name):
    """Also on this host, where a package can make one. The run has failed, and no report is kept."""
    (tmp_path / name).mkdir()
    with pytest.raises(run_files.Unusable, match="{} is not a regular file".format(name)):
        run_files.read(tmp_path / name)
    expected = "can't be used" if name == "report.json" else "left no report"
    assert expected in verdict.of_run(cell("0.10.1"), Environment(tmp_path), 0).reason
    run_files.keep_junit(tmp_path / "junit.xml", tmp_path / "kept.xml")
    assert not (tmp_path / "kept.xml").exists()


@pytest.mark.parametrize("name", ["report.json", "progress.json", "junit.xml"])
def test_a_fifo_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(run_files.Unusable, match="regular"):
        run_files.read(tmp_path / name)
    assert run_files.read_progress(tmp_path / name) is None


def test_a_file_that_is_too_large_is_unusable(tmp_path):
    with (tmp_path / "junit.xml").open("wb") as file:
        file.truncate(2**40)  # a sparse file
    with pytest.raises(run_files.Unusable, match="larger"):
        run_files.read(tmp_path / "junit.xml")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"<testsuites",
        b"\xff\xfe",
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuites>&a;</testsuites>',
        '<!DOCTYPE x [<!ENTITY a "b">]><testsuites>&a;</testsuites>'.encode("utf-16-le"),
        b'<?xml version="1.0" encoding="utf-7"?><testsuites/>',
        b'<?xml version="1.0" encoding="no such"?><testsuites/>',
    ],
)
def test_junit_that_cannot_be_used_is_not_kept(tmp_path, content):
    """The report of an earlier run is removed too."""
    kept = tmp_path / "kept.xml"
    kept.write_text("<last/>")
    if content is not None:
        (tmp_path / "junit.xml").write_bytes(content)
    run_files.keep_junit(tmp_path / "junit.xml", kept)
    assert not kept.exists()


def test_kept_junit_has_no_paths_of_the_machine(tmp_path):
    junit = '<testsuites><testsuite name="pytest" hostname="box" tests="1"></testsuite></testsuites>'
    (tmp_path / "junit.xml").write_text(junit)
    run_files.keep_junit(tmp_path / "junit.xml", tmp_path / "kept.xml")
    assert (tmp_path / "kept.xml").read_text() == junit.replace(' hostname="box"', "")


def test_junit_that_is_a_link_is_not_kept(tmp_path):
    """The link itself isn't copied to the results either."""
    (tmp_path / "secret").write_text("<testsuites/>")
    (tmp_path / "junit.xml").symlink_to(tmp_path / "secret")
    run_files.keep_junit(tmp_path / "junit.xml", tmp_path / "kept.xml")
    assert not os.path.lexists(tmp_path / "kept.xml")


def archive(*members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    made.seek(0)
    return made


def test_only_expected_files_are_unpacked(tmp_path):
    run_files.unpack(
        archive(
            ("results/report.json", b"{}"),
            ("results/../report.json", b"x"),
            ("/etc/junit.xml/x", b"x"),
            ("results/deeper/junit.xml", b"x"),
            ("results/other.json", b"x"),
        ),
        tmp_path,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert (tmp_path / "report.json").read_bytes() == b"{}"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_regular_file_is_unusable(tmp_path, kind):
    """A link to another member too."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("results/other.json"))
        link = tarfile.TarInfo("results/report.json")
        link.type, link.linkname = kind, "other.json" if kind == tarfile.SYMTYPE else "results/other.json"
        tar.addfile(link)
    made.seek(0)
    with pytest.raises(run_files.Unusable, match="report.json is not a regular file"):
        run_files.unpack(made, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_a_broken_archive_is_unusable(tmp_path, content):
    with pytest.raises(run_files.Unusable, match="archive"):
        run_files.unpack(io.BytesIO(content), tmp_path)


def test_an_archive_with_too_many_members_is_unusable(tmp_path):
    with pytest.raises(run_files.Unusable, match="more than"):
        run_files.unpack(archive(*[("results/{}".format(n), b"") for n in range(run_files.MAX_MEMBERS + 1)]), tmp_path)
