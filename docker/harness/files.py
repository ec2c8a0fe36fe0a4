"""Files that are whole, or not there: whoever reads one never meets half of it, and nor does the next run."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST_LEVELS = 50  # of JSON: whatever reads it goes down into it


def write_whole(path: Path, text: str) -> None:
    """Write a file by renaming a finished one, so that the old one stays until the new one is on the disk.

    Nothing is translated: the line ends of `text` are those of the file. What `kill -9` leaves behind is hidden, and
    bears the number of the process, so that nobody else writes to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(".{}.{}.unfinished".format(path.name, os.getpid()))
    try:
        with unfinished.open("wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:  # Ctrl-C is one
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def from_json(data: bytes | str) -> Any:
    """What JSON says, wherever it comes from.

    Raises: ValueError: it isn't JSON, is nested too deep, or holds what JSON can't: NaN, half a character.
    """
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level = [found]
    for _ in range(MOST_LEVELS):
        level = [item for one in level for item in _items(one)]
    if level:
        raise ValueError("it is nested too deep")
    return found


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _sync_folder(folder: Path) -> None:
    """Else a crash of the machine may undo the renaming, though not half of it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
