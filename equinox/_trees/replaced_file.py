"""`replaced_path` and `replaced_file`: write a file so that its path has the old file or the whole new one."""

import contextlib
import errno
import os
import stat
import uuid


@contextlib.contextmanager
def replaced_path(path):
    """A path to write to. At the end its file replaces the one at `path`. After an error, that one stays as it is.

    The new file has the permissions of the old one. If the process is killed, the file at the yielded path stays. Each
    call uses another path, which ends with `.tmp`. So that file is in nobody's way.
    """
    path = os.path.realpath(path)  # a link stays a link
    if os.path.isdir(path):  # say so before anything is written
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    temporary = "{}.{}.tmp".format(path, uuid.uuid4().hex)
    try:
        try:
            open(temporary, "xb").close()
        except OSError as error:
            error.filename = path  # the name that the user knows
            raise
        mode = stat.S_IMODE(os.stat(path if os.path.exists(path) else temporary).st_mode)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
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


@contextlib.contextmanager
def replaced_file(path):
    """A file to write to. At the end it replaces the file at `path`. After an error, that one stays as it is."""
    with replaced_path(path) as temporary, open(temporary, "wb") as file:
        yield file
