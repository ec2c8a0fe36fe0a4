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
        total.update("{}\0{}\0".format(name, len(content)).encode("utf-8") + content)
    return total.hexdigest() if anything else ""


def files_below(root: Path, starts: Iterable[str], left_out: Iterable[str] = ()) -> Iterator[Path]:
    """The files at and below `starts`, which are relative to `root`, each once.

    Caches, hidden files, virtual environments and folders that are links are left out.
    """
    left_out, seen = set(left_out), set()

    def below(path: Path) -> Iterator[Path]:
        if path.relative_to(root).as_posix() in left_out or path.name == "__pycache__":
            return
        if path.is_file() and path not in seen:
            seen.add(path)
            yield path
        elif path.is_dir() and not path.is_symlink() and not (path / "pyvenv.cfg").exists():
            for inner in sorted(path.iterdir()):
                if not inner.name.startswith("."):
                    yield from below(inner)

    for start in starts:
        yield from below(root / start)


def hash_files(root: Path, files: Iterable[Path], content: Callable[[Path], bytes] = Path.read_bytes) -> str:
    """Hash files by their names below `root` and by what `content` reads."""
    return digest((path.relative_to(root).as_posix(), content(path)) for path in files)
