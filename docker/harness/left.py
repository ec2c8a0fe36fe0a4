"""What a run has left, read as something that a stranger wrote.

The packages of a cell run their own code where the report is written. So a link is not followed, a FIFO keeps nobody
waiting, a size has a limit, and only what has the expected form is used.
"""

import contextlib
import os
import re
import stat
import tarfile
import xml.etree.ElementTree
from pathlib import Path, PurePosixPath
from typing import IO, Any, get_type_hints

from harness.files import from_json, write_whole
from harness.results import Result, fits
from harness.shown import without_places

MIB = 2**20
# What a run may leave, and how large that may be, in bytes.
MOST_BYTES = {"report.json": 16 * MIB, "junit.xml": 64 * MIB, "progress.json": 4096}
MOST_MEMBERS = 1000  # of an archive
REPORTED = ("counts", "failures", "versions", "devices", "driver", "evidence", "measures", "seconds")
REPORT = {name: hint for name, hint in get_type_hints(Result).items() if name in REPORTED}


class Unusable(Exception):
    """What was left is not what a run leaves. The message continues "what it left can't be used: "."""


def report(path: Path) -> dict[str, Any] | None:
    """What docker/inside/cell_report.py wrote at the end of the run. None: the run never came to that.

    Raises:
        Unusable: It is no report.
    """
    try:
        found = _json(read(path))
    except FileNotFoundError:
        return None
    if not isinstance(found, dict):
        raise Unusable("{} holds no JSON object".format(path.name))
    for name, value in found.items():
        if name in REPORT and not fits(value, REPORT[name]):
            raise Unusable("{} has a `{}` of another form".format(path.name, name))
    return found


def progress(said: bytes | str) -> tuple[int, int, int] | None:
    """How far the tests are: done, in all, failed. None: what was said is no such thing."""
    with contextlib.suppress(Unusable, KeyError, TypeError):
        found = _json(said)
        counts = found["done"], found["total"], found["failed"]
        if all(type(count) is int and count >= 0 for count in counts):
            return counts
    return None


def read_progress(path: Path) -> tuple[int, int, int] | None:
    """The same, of a file. None: the tests have not begun."""
    try:
        return progress(read(path))
    except (FileNotFoundError, Unusable):
        return None


def keep_junit(path: Path, kept: Path) -> None:
    """Keep JUnit's report beside the result. If it can't be used, none is kept, not the one before either.

    Raises:
        OSError: It can't be written.
    """
    try:
        text = read(path).decode("utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:  # pytest writes none, and a parser may fetch what they name
            raise Unusable("{} declares its own document type".format(path.name))
        if not re.match(r"""(<\?xml version="1\.0" encoding=["']utf-8["']\?>)?\s*<[A-Za-z]""", text):
            raise Unusable("{} begins otherwise than pytest's".format(path.name))  # as with another encoding
        xml.etree.ElementTree.fromstring(text)
        text = re.sub(r'(<testsuite\b[^>]*?) hostname="[^"]*"', r"\1", text)
        write_whole(kept, without_places(text))
    except (FileNotFoundError, Unusable, UnicodeDecodeError, xml.etree.ElementTree.ParseError):
        kept.unlink(missing_ok=True)


def read(path: Path) -> bytes:
    """The content of a file that a run left.

    Raises:
        FileNotFoundError: It left none.
        Unusable: It is a link or a device, or too large.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a FIFO has nobody who writes to it
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable("{} can't be opened as a file: {}".format(path.name, error.strerror)) from error
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unusable("{} is not a regular file".format(path.name))
        return _capped(file, path.name)


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Put the expected files of an archive, made by `docker cp`, into a folder. All else in it is left out.

    Raises:
        Unusable: One of them is not a regular file, or it is all too much.
    """
    skipped = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|") as members:
            for number, member in enumerate(members):
                parts = PurePosixPath(member.name).parts
                expected = len(parts) == 2 and parts[1] in MOST_BYTES
                skipped += 0 if expected else member.size
                if number >= MOST_MEMBERS or skipped > sum(MOST_BYTES.values()):
                    raise Unusable("it is more than the files that a run leaves")
                if not expected:
                    continue
                file = members.extractfile(member) if member.isreg() else None
                if file is None:
                    raise Unusable("{} is not a regular file".format(parts[1]))
                (folder / parts[1]).write_bytes(_capped(file, parts[1]))
    except tarfile.TarError as error:
        raise Unusable("it came as a broken archive: {}".format(error)) from error


def _capped(file: IO[bytes], name: str) -> bytes:
    most = MOST_BYTES[name]
    data = file.read(most + 1)
    if len(data) > most:
        raise Unusable("{} is larger than {} bytes".format(name, most))
    return data


def _json(said: bytes | str) -> Any:
    """Raises: Unusable."""
    try:
        return from_json(said)
    except ValueError as error:
        raise Unusable("it isn't JSON: {}".format(error)) from error
