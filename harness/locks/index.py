"""Ask the package index which releases a project has, when they were uploaded, and which Pythons they support.

This is the same index that pip and uv use in the harness. It is read as JSON (PEP 691 and PEP 700).
"""

import base64
import datetime
import functools
import http.client
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging import tags
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.utils import canonicalize_name as canonical
from packaging.version import InvalidVersion, Version

from harness.system import isolation
from harness.system.errors import CannotGoOn
from harness.system.program import GET_TOOLS
from harness.system.safe_text import redact
from harness.system.uv import uv_path

JSON = "application/vnd.pypi.simple.v1+json"
TIMEOUT_S = 30

# The errors of urllib. Its own errors are OSErrors. HTTPException: the answer isn't HTTP, or the URL is invalid.
# ValueError: the URL has no scheme such as https.
UNREACHABLE = (OSError, http.client.HTTPException, ValueError)

Opener = Callable[..., Any]  # as `urllib.request.urlopen`


class IndexUnreachable(CannotGoOn):
    """The index or a page can't be read. The message is for the user."""


@dataclass(frozen=True)
class File:
    """A wheel or a source archive of a release."""

    name: str
    url: str
    sha256: str
    uploaded: datetime.date | None
    yanked: bool = False

    def fits(self, python: str, platforms: Sequence[str] | None = None) -> bool:
        """Whether this is a wheel for the Python. `platforms` are as in the names of wheels; `None`: this machine."""
        if not self.name.endswith(".whl"):
            return False
        major, minor = map(int, python.split("."))
        fitting = [
            *tags.cpython_tags((major, minor), platforms=platforms),
            *tags.compatible_tags((major, minor), "cp{}{}".format(major, minor), platforms=platforms),
        ]
        return not parse_wheel_filename(self.name)[3].isdisjoint(fitting)


@dataclass(frozen=True)
class Release:
    """A version of a project, with all of its files."""

    version: str
    files: tuple[File, ...]
    requires_python: str | None = None

    @property
    def uploaded(self) -> datetime.date | None:
        """The day when its first file was uploaded. `None`: the index doesn't say."""
        return min((file.uploaded for file in self.files if file.uploaded is not None), default=None)

    @property
    def final(self) -> bool:
        return not Version(self.version).is_prerelease

    @property
    def yanked(self) -> bool:
        """Whether the release was withdrawn. Installers then take it only if it is pinned."""
        return all(file.yanked for file in self.files)

    def has_wheel(self, python: str, platforms: Sequence[str] | None = None) -> bool:
        return any(file.fits(python, platforms) for file in self.files)


def index_url(environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the index that all tools use. See `isolation`.

    Raises:
        IndexUnreachable: uv doesn't say which index is its default.
    """
    return (environ.get(isolation.INDEX) or default_index()).rstrip("/")


@functools.cache
def default_index(run: Callable[..., "subprocess.CompletedProcess[str]"] = subprocess.run) -> str:
    """The URL of uv's default index. uv writes it as a comment when it compiles an empty list of requirements.

    Raises:
        IndexUnreachable: There is no uv, or it doesn't name an index.
    """
    uv = uv_path()
    if uv is None:
        raise IndexUnreachable("There is no uv here to name its default index. {}.".format(GET_TOOLS))
    command = [uv, "pip", "compile", "-", "--quiet", "--no-header", "--emit-index-url"]
    env = isolation.isolated({name: value for name, value in os.environ.items() if name != isolation.INDEX})
    done = run(command, input="", capture_output=True, text=True, check=False, env=env)
    found = re.search(r"^--index-url (\S+)$", done.stdout, re.MULTILINE)
    if found is None:
        message = "uv doesn't name its default index ({}). Set {} to an index."
        raise IndexUnreachable(message.format(done.stderr.strip() or "it printed nothing", isolation.INDEX))
    return found[1]


def releases(project: str, opener: Opener = urllib.request.urlopen, url: str | None = None) -> list[Release]:
    """All releases of a project, oldest version first. The list is empty if the index has no such project.

    Raises:
        IndexUnreachable: The index can't be read.
    """
    page = "{}/{}/".format(url or index_url(), canonical(project))
    try:
        entries = json.loads(fetch(page, opener, JSON, "Look at the network, or set EQX_INDEX_URL."))["files"]
    except IndexUnreachable as error:
        if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == 404:
            return []
        raise
    except (ValueError, TypeError, KeyError) as error:
        message = "{} answers, but not with the JSON of PEP 691. Set EQX_INDEX_URL to another index."
        raise IndexUnreachable(message.format(redact(page))) from error
    files: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        version = _version(entry["filename"])
        if version is not None:
            files.setdefault(version, []).append(entry)
    return [
        Release(version, tuple(map(_file, files[version])), files[version][0].get("requires-python"))
        for version in sorted(files, key=Version)
    ]


def read_page(url: str, opener: Opener = urllib.request.urlopen) -> str:
    """The text of a page.

    Raises:
        IndexUnreachable: The page can't be read.
    """
    return fetch(url, opener).decode("utf-8", "replace")


def fetch(url: str, opener: Opener, accept: str = "*/*", next_move: str = "Look at the network.") -> bytes:
    """The content of a file or a page.

    Raises:
        IndexUnreachable: It can't be read.
    """
    try:
        with opener(request(url, accept), timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except UNREACHABLE as error:
        reason = getattr(error, "reason", None) or error
        raise IndexUnreachable("{} can't be reached: {}. {}".format(redact(url), reason, next_move)) from error


def request(url: str, accept: str, method: str = "GET") -> urllib.request.Request:
    """A request for the URL. A name and password in the URL go to the `Authorization` header instead."""
    asked = urllib.request.Request(redact(url), headers={"Accept": accept}, method=method)
    who = urllib.parse.urlsplit(url).netloc.rpartition("@")[0]
    if who:
        encoded = base64.b64encode(urllib.parse.unquote(who).encode()).decode()
        asked.add_unredirected_header("Authorization", "Basic " + encoded)  # not sent to another host on a redirect
    return asked


def _version(filename: str) -> str | None:
    """The version in a file's name. `None` for files that pip and uv don't install, such as eggs."""
    parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
    try:
        return str(parse(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None


def _file(entry: Mapping[str, Any]) -> File:
    uploaded = entry.get("upload-time")
    return File(
        name=entry["filename"],
        url=entry["url"],
        sha256=entry["hashes"].get("sha256", ""),
        uploaded=datetime.date.fromisoformat(uploaded[:10]) if uploaded else None,
        yanked=bool(entry.get("yanked")),  # the entry is `true`, or the reason as text
    )
