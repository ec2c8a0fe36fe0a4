"""Files that are whole, or not there: whoever reads one never meets half of it, and nor does the next run."""

import os
from pathlib import Path


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


def _sync_folder(folder: Path) -> None:
    """Else a crash of the machine may undo the renaming, though not half of it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
