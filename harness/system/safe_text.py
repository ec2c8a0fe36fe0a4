"""Make text safe to show: remove passwords and terminal escapes, and make control characters visible.

The packages of a cell choose the names of tests, the reasons and the logs. An escape sequence in them could clear the
screen and print "passed". A mark for the writing direction could reverse a name.
"""

import os
import re
import sys
import traceback
import unicodedata
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.system.paths import ROOT

# The user name and password of a URL. A password may hold characters that should have been quoted, such as `@` and `/`.
CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/@:'\"]*:(?!\d*(?:/|$))[^\s'\"]*@|[^\s/@'\"]*@)")
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
KEPT = "\n\t"


def safe(text: str) -> str:
    """The text without passwords and escape sequences. Other control characters are spelled out, as in `\\u202e`."""
    return "".join(map(_visible, SEQUENCE.sub("", redact(text))))


def redact(text: str) -> str:
    """The text without the user names and passwords of its URLs."""
    return CREDENTIALS.sub("", text)


def without_places(text: str, root: Path = ROOT, home: Path | None = None) -> str:
    """The text without the folders of this machine: the checkout becomes `.`, and the home folder `~`."""
    places = {str(root): ".", str(home or Path(os.path.expanduser("~"))): "~"}
    for place in sorted(places, key=len, reverse=True):  # a folder before the folder that contains it
        if len(place) > 1:
            text = re.sub(re.escape(place) + r"(?=/|$|[\s'\"`:,;)\]])", places[place], text)
    return text


def safe_within(value: Any) -> Any:
    """A JSON value with all its strings made safe, and without the folders of this machine."""
    if type(value) is str:
        return without_places(safe(value))
    if isinstance(value, dict):
        return {safe_within(key): safe_within(item) for key, item in value.items()}
    return [safe_within(item) for item in value] if isinstance(value, list) else value


def _visible(character: str) -> str:
    # Control characters, format characters (the writing direction among them), surrogates, unusual line ends.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in KEPT:
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def say(text: str) -> None:
    print(safe(text))


class Terminal:
    """Used in place of a log file: it shows each line of a command's output at once, made safe."""

    def write(self, line: bytes) -> int:
        return sys.stdout.write(safe(line.decode("utf-8", "replace")))

    def flush(self) -> None:
        sys.stdout.flush()


def make_tracebacks_safe() -> None:
    """Make the tracebacks of this process safe too."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(safe("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = hook
