"""Read the files that a run wrote, without trusting them.

The packages of a cell run their own code, and can write to the folder of the report. So this module follows no link,
waits for no FIFO, limits the size of each file, and uses only content of the expected form.
"""

import contextlib
import os
import re
import stat
import tarfile
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from harness.results.result import Facts
from harness.system import schema
from harness.system.files import from_json, write_whole
from harness.system.safe_text import without_places

MIB = 2**20
# The files that a run may write, with the largest size of each.
MAX_BYTES = {"report.json": 16 * MIB, "junit.xml": 64 * MIB, "progress.json": 4096}
MAX_MEMBERS = 1000  # in an archive


@dataclass(frozen=True)
class Report(Facts):
    """What docker/inside/cell_report.py writes."""

    refusal: str | None = None  # why the proof of place refused the run
    not_imported: str | None = None  # why there are no tests: the module that can't be imported, and its error


class Unusable(Exception):
    """A file of the run can't be used. The message continues "what it left can't be used: "."""


def report(path: Path) -> Report | None:
    """The report that was written at the end of a run, or `None` if there is none.

    Raises:
        Unusable: The file is not a report.
    """
    try:
        found: Report = schema.build(Report, from_json(read(path)))
    except FileNotFoundError:
        return None
    except schema.Mismatch as mismatch:
        raise Unusable("{} is no report: {}".format(path.name, mismatch.problem)) from None
    except ValueError as error:
        raise Unusable("{} isn't JSON: {}".format(path.name, error)) from error
    return found


def progress(content: bytes | str) -> tuple[int, int, int] | None:
    """How many tests are done, how many there are, and how many failed; `None` if the content isn't progress."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = from_json(content)
        counts = found["done"], found["total"], found["failed"]
        if all(type(count) is int and count >= 0 for count in counts):
            return counts
    return None


def read_progress(path: Path) -> tuple[int, int, int] | None:
    """The progress in a file. `None` before the tests begin."""
    with contextlib.suppress(FileNotFoundError, Unusable):
        return progress(read(path))
    return None


def keep_junit(path: Path, kept: Path) -> None:
    """Copy the JUnit report from `path` to `kept`. If it can't be used, remove the earlier report from `kept` too.

    Raises:
        OSError: The copy can't be written.
    """
    try:
        text = read(path).decode("utf-8")
        # pytest writes neither of these, and a parser may fetch the files that they name.
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise Unusable("{} declares its own document type".format(path.name))
        if not re.match(r"""(<\?xml version="1\.0" encoding=["']utf-8["']\?>)?\s*<[A-Za-z]""", text):
            raise Unusable("{} doesn't begin as pytest's reports do".format(path.name))  # for example another encoding
        xml.etree.ElementTree.fromstring(text)
        text = re.sub(r'(<testsuite\b[^>]*?) hostname="[^"]*"', r"\1", text)
        write_whole(kept, without_places(text))
    except (FileNotFoundError, Unusable, UnicodeDecodeError, xml.etree.ElementTree.ParseError):
        kept.unlink(missing_ok=True)


def read(path: Path, kind: str = "") -> bytes:
    """The content of a file that a run wrote. `kind` is its name in `MAX_BYTES`, if it has another name here.

    Raises:
        FileNotFoundError: The run wrote no such file.
        Unusable: The file is a link, a folder or a device, or too large.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # don't wait for the writer of a FIFO
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable("{} can't be opened as a file: {}".format(path.name, error.strerror)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # `open` would refuse a folder with another error
        os.close(handle)
        raise Unusable("{} is not a regular file".format(path.name))
    with open(handle, "rb") as file:
        return _read_limited(file, kind or path.name)


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Extract the expected files of an archive that `docker cp` made into a folder. Ignore all other members.

    Raises:
        Unusable: An expected file is not a regular file, or the archive is too large.
    """
    skipped = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|") as members:
            for number, member in enumerate(members):
                parts = PurePosixPath(member.name).parts
                expected = len(parts) == 2 and parts[1] in MAX_BYTES
                skipped += 0 if expected else member.size
                if number >= MAX_MEMBERS or skipped > sum(MAX_BYTES.values()):
                    raise Unusable("the archive holds more than a run writes")
                if not expected:
                    continue
                file = members.extractfile(member) if member.isreg() else None
                if file is None:
                    raise Unusable("{} is not a regular file".format(parts[1]))
                (folder / parts[1]).write_bytes(_read_limited(file, parts[1]))
    except tarfile.TarError as error:
        raise Unusable("the archive is broken: {}".format(error)) from error


def _read_limited(file: IO[bytes], name: str) -> bytes:
    limit = MAX_BYTES[name]
    data = file.read(limit + 1)
    if len(data) > limit:
        raise Unusable("{} is larger than {} bytes".format(name, limit))
    return data
