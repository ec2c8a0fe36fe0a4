"""Find what is wrong with locks: files that can no longer be downloaded, and locks that are missing or out of date."""

import re
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name as canonical

from harness.locks import index
from harness.locks.lock_file import Pin, Say, ask_all, cells_to_lock, inputs, read, unresolved
from harness.rows import Cell
from harness.system import safe_text
from harness.system.paths import LOCKS
from harness.system.program import typed


def verify(
    cells: Sequence[Cell], folder: Path = LOCKS, opener: index.Opener = urllib.request.urlopen, say: Say = safe_text.say
) -> int:
    """Say which files of the locks can no longer be fetched, and which locks are missing or out of date.

    Returns:
        The exit status: 1 if there is a problem, else 0.

    Raises:
        IndexUnreachable: The package index doesn't answer.
    """
    problems: list[str] = []
    targets = list(cells_to_lock(cells))
    known = unresolved(folder)
    locks = {cell: read(folder / cell.lock.name) for cell in targets if (folder / cell.lock.name).exists()}
    projects = {pin.project for lock in locks.values() for pin in lock.pins}
    offered = ask_all(
        lambda project: {file.sha256 for each in index.releases(project, opener) for file in each.files}, projects
    )
    linked = {page for lock in locks.values() for page in lock.find_links}
    pages = ask_all(lambda page: urllib.parse.unquote(index.read_page(page, opener)), linked)
    for cell in targets:
        name = cell.lock.stem
        if cell not in locks:
            if name not in known:
                problems.append("{}: there is no lock. Make it: {}".format(name, typed("lock", cell.name)))
            continue
        lock = locks[cell]
        if lock.inputs != inputs(cell):
            message = "{}: out of date with matrix.toml. Make it again: {}"
            problems.append(message.format(name, typed("lock", cell.name)))
        listed = "".join(pages[page] for page in lock.find_links)
        for pin in lock.pins:
            gone = [digest for digest in pin.hashes if digest not in offered[pin.project]]
            if gone and not _on_page(pin, listed):
                share = "any" if len(gone) == len(pin.hashes) else len(gone)
                message = "{}: the index no longer has {} of the {} files of {} {}"
                problems.append(message.format(name, share, len(pin.hashes), pin.project, pin.version))
    result = "{} problems".format(len(problems)) if problems else "every file can be fetched"
    summary = "{} locks of {} projects: {}.".format(len(locks), len(projects), result)
    for line in (*problems, summary, *("{} has no lock: {}".format(name, known[name]) for name in sorted(known))):
        say(line)
    return int(bool(problems))


def _on_page(pin: Pin, page: str) -> bool:
    """Whether a page of links lists the release. The pages of JAX's archive give no hashes."""
    pattern = r"{}-{}[-.]".format(re.escape(canonical(pin.project)).replace(r"\-", "[-_.]+"), re.escape(pin.version))
    return re.search(pattern, page, re.IGNORECASE) is not None
