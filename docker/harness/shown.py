"""What is shown to a person, wherever it comes from: no password, and nothing that a terminal would obey.

Test names, reasons and logs are written by what is tested. An escape in them could clear the screen and write "passed",
and a mark of writing direction could turn a name around.
"""

import os
import re
import sys
import traceback
import unicodedata
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.places import ROOT

# The name and password of a URL. A password may hold what should have been quoted, as `@` and `/`.
CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/@:'\"]*:(?!\d*(?:/|$))[^\s'\"]*@|[^\s/@'\"]*@)")
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
KEPT = "\n\t"


def safe(text: str) -> str:
    """The text as it may be shown. What is taken from it, other than whole escape sequences, is named: `\\u202e`."""
    return "".join(map(_visible, SEQUENCE.sub("", redact(text))))


def redact(text: str) -> str:
    """Without the names and passwords of the URLs in it."""
    return CREDENTIALS.sub("", text)


def without_places(text: str, root: Path = ROOT, home: Path | None = None) -> str:
    """Without the folders of this machine: names in the checkout are as seen from it, and a home is `~`."""
    places = {str(root): ".", str(home or Path(os.path.expanduser("~"))): "~"}
    for place in sorted(places, key=len, reverse=True):  # the one within the other first
        if len(place) > 1:
            text = re.sub(re.escape(place) + r"(?=/|$|[\s'\"`:,;)\]])", places[place], text)
    return text


def safe_within(value: Any) -> Any:
    """A value as JSON gives it, with all its strings made safe, and of no machine."""
    if type(value) is str:
        return without_places(safe(value))
    if isinstance(value, dict):
        return {safe_within(key): safe_within(item) for key, item in value.items()}
    return [safe_within(item) for item in value] if isinstance(value, list) else value


def _visible(character: str) -> str:
    # Control, format (of direction, too), half of a character, and line ends that only some know.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in KEPT:
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def say(text: str) -> None:
    print(safe(text))


class Terminal:
    """In the place of a log: each line that a command says is shown at once, and safe."""

    def write(self, line: bytes) -> int:
        return sys.stdout.write(safe(line.decode("utf-8", "replace")))

    def flush(self) -> None:
        sys.stdout.flush()


def tell_of_errors() -> None:
    """From now on a traceback is safe, too."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stderr.write(safe("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = hook
