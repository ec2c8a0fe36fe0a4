"""The errors that end a command. Their message is for the user, and the command line prints it without a traceback."""

import errno

from harness.system.safe_text import safe


class HarnessError(Exception):
    """The base class. The message has the cause and the next move. `status` is the exit status of the command."""

    status = 3

    def __init__(self, message: str) -> None:
        super().__init__(safe(message))


class WrongUsage(HarnessError):
    """What the user typed, or a file that people write, is wrong."""

    status = 2


class CannotGoOn(HarnessError):
    """The command can't be done here and now, for example without a network."""


def explain_os_error(error: OSError) -> str:
    """The message for an error of the system, which names the file. It ends with the next move."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = "It can't go on: {}. {}, and run the same command again: finished work is kept."
    return message.format(safe(str(error)), "Free some space on that disk" if full else "Fix that")
