"""Hash files by their names and contents. All hashes of sources, locks and recipes are made here."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def digest(named: Iterable[tuple[str, bytes]]) -> str:
    """Hash names and contents. Returns an empty string if there are none."""
    total, anything = hashlib.sha256(), False
    for name, content in named:
        anything = True
        # With the lengths, moving text from one file to the next changes the hash.
        total.update("{}\0{}\0".format(name, len(content)).encode("utf-8"))
        total.update(content)
    return total.hexdigest() if anything else ""


def files_below(root: Path, starts: Iterable[str], left_out: Iterable[str] = ()) -> Iterator[Path]:
    """The files at and below `starts`, which are relative to `root`. Caches and hidden files are left out."""
    for start in starts:
        found = [root / start] if (root / start).is_file() else sorted((root / start).rglob("*"))
        for path in found:
            name = path.relative_to(root).as_posix()
            cached = any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
            if path.is_file() and not cached and not any(name == one or name.startswith(one + "/") for one in left_out):
                yield path


def hash_files(root: Path, files: Iterable[Path], content: Callable[[Path], bytes] = Path.read_bytes) -> str:
    """Hash files by their names below `root` and by what `content` reads."""
    return digest((path.relative_to(root).as_posix(), content(path)) for path in files)
