"""Obtain a release of another project, to test it: its source distribution on the package index."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

from packaging.utils import canonicalize_name as canonical
from packaging.version import Version

from harness.locks import index
from harness.system.errors import CannotGoOn, WrongUsage
from harness.system.paths import HOME, MATRIX_NAME
from harness.system.program import typed


def obtain(name: str, opener: index.Opener = urllib.request.urlopen, cache: Path | None = None) -> Path:
    """The folder of a release: its source distribution, and a matrix.toml that `init` writes.

    Raises:
        WrongUsage: The index has no such release, or `init` can't write a matrix.toml for it.
        CannotGoOn: It can't be downloaded, or its archive can't be used.
    """
    folder = unpacked(name, opener, cache)
    if not (folder / MATRIX_NAME).is_file():
        command = [sys.executable, str(HOME / "harness"), "init", str(folder)]
        subprocess.run(command, stdout=sys.stderr.fileno(), check=False)  # the output is that of the user's command
    if not (folder / MATRIX_NAME).is_file():
        message = "`init` couldn't write {}: see above. Write it, or give `init` options: {}"
        raise WrongUsage(message.format(folder / MATRIX_NAME, typed("--project", "pypi:" + name, "init", "--help")))
    return folder


def unpacked(name: str, opener: index.Opener = urllib.request.urlopen, cache: Path | None = None) -> Path:
    """The folder with the source distribution of a release.

    Results, locks and environments are in this folder too. So it isn't replaced if it is there already.

    Args:
        name: The release, such as "distrax==0.1.5".
        opener: It opens URLs.
        cache: The folder of all such projects.

    Raises:
        WrongUsage: The index has no such release, or no source distribution of it.
        CannotGoOn: It can't be downloaded, or its archive can't be used.
    """
    project, version = parse(name)
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jax-matrix"
    folder = cache / "projects" / "{}-{}".format(project, version)
    if not folder.is_dir():
        file = source_distribution(project, version, opener)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder.parent) as scratch:
            archive = download(project, file, Path(scratch), opener)
            os.replace(unpack(archive, Path(scratch, "unpacked")), folder)
    return folder


def parse(name: str) -> tuple[str, str]:
    """The project and the version. Raises: WrongUsage."""
    project, _, version = map(str.strip, name.partition("=="))
    try:
        return canonical(project, validate=True), str(Version(version))
    except ValueError:
        raise WrongUsage("Expected a release such as distrax==0.1.5, and got `{}`.".format(name)) from None


def source_distribution(project: str, version: str, opener: index.Opener) -> index.File:
    """The source distribution of a release.

    Raises:
        WrongUsage: There is none.
        IndexUnreachable: The index can't be read.
    """
    found = index.releases(project, opener)
    files = [file for one in found if Version(one.version) == Version(version) for file in one.files]
    if not files:
        newest = ", ".join(one.version for one in found[-3:])
        advice = "Its newest releases: {}.".format(newest) if newest else "It has no project of that name."
        raise WrongUsage("The index has no {} {}. {}".format(project, version, advice))
    for file in files:
        if file.name.endswith((".tar.gz", ".zip")) and file.sha256:
            return file
    message = "{} {} has no source distribution on the index, and wheels hold no tests. Test a checkout of it."
    raise WrongUsage(message.format(project, version))


def download(project: str, file: index.File, folder: Path, opener: index.Opener) -> Path:
    """Download a file. Its hash must be the one that the index names.

    Raises:
        IndexUnreachable: It can't be downloaded.
        CannotGoOn: It has another hash.
    """
    url = urllib.parse.urljoin("{}/{}/".format(index.index_url(), project), file.url)  # it may be relative to the page
    content = index.fetch(url, opener)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        message = "{} doesn't have the hash that the index names: sha256:{}. It is not used. Download it again."
        raise CannotGoOn(message.format(file.name, file.sha256))
    path = folder / file.name
    path.write_bytes(content)
    return path


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a source distribution. No member is written outside of the folder, and no link leads out of it.

    Returns:
        The one folder that a source distribution holds.

    Raises:
        CannotGoOn: The archive is broken, or isn't a source distribution.
    """
    if not hasattr(tarfile, "data_filter"):
        message = "This Python can't unpack {} safely: it needs 3.10.12, 3.11.4, or later. Use a newer one."
        raise CannotGoOn(message.format(archive.name))
    folder.mkdir()
    try:
        if archive.suffix == ".zip":
            shutil.unpack_archive(archive, folder)  # it skips absolute paths and `..`
        else:
            shutil.unpack_archive(archive, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise CannotGoOn("{} can't be unpacked: {}.".format(archive.name, error)) from error
    found = list(folder.iterdir())
    if len(found) != 1 or not found[0].is_dir():
        raise CannotGoOn("{} isn't a source distribution: expected one folder in it.".format(archive.name))
    return found[0]
