"""Write files so that a reader never sees half of one, and read JSON that comes from an unknown source."""

import json
import os
from pathlib import Path
from typing import Any

MAX_LEVELS = 50  # of nested JSON; the code that reads JSON is recursive


def write_whole(path: Path, text: str) -> None:
    """Write a temporary file and rename it to `path`. The old file stays until the new one is on the disk.

    Line ends are written as they are in `text`. `kill -9` may leave the temporary file behind. Its name is hidden and
    holds the process id, so no other process writes to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(".{}.{}.unfinished".format(path.name, os.getpid()))
    try:
        with unfinished.open("wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:  # also Ctrl-C
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def from_json(data: bytes | str) -> Any:
    """Read JSON from an unknown source.

    Raises:
        ValueError: The data isn't JSON, is nested too deep, or holds NaN or half of a character.
    """
    try:
        found = json.loads(data)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    level: list[Any] = [[found]]
    for _ in range(MAX_LEVELS):
        items = (item for one in level for item in (one.values() if isinstance(one, dict) else one))
        level = [item for item in items if isinstance(item, (dict, list))]
    if level:
        raise ValueError("it is nested too deep")
    return found


def _sync_folder(folder: Path) -> None:
    """Write the renaming to the disk. Otherwise a crash of the machine may undo it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
