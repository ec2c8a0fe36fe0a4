"""`replaced_file`: write a file so that its path has the old file or the whole new one."""

import contextlib
import os
import uuid


@contextlib.contextmanager
def replaced_file(path):
    """A file to write to. At the end it replaces the file at `path`. After an error, that one stays as it is."""
    path = os.path.realpath(path)  # a link stays a link
    temporary = "{}.{}.tmp".format(path, uuid.uuid4().hex)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
    if os.name == "posix":  # the new name lasts when the folder is on the disk, too
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
