"""The part of the README that is drawn, between two markers, and the rest, which is written by people."""

import re
from pathlib import Path

from harness.files import write_whole

BEGIN = "<!-- matrix:begin -->"
END = "<!-- matrix:end -->"


class ReadmeError(Exception):
    """The markers aren't there once each, in order: a message for the user."""


def written(text: str) -> str:
    """What people wrote: the text without what is drawn."""
    return re.sub("{}.*?{}".format(re.escape(BEGIN), re.escape(END)), BEGIN + END, text, flags=re.DOTALL)


def tested(text: str) -> str:
    """What the suite takes from it: its Python code, and its tables of the API."""
    return "\n".join(re.findall(r"^```python\n.*?^```$|^\| \[`[^\n]*$", text, re.MULTILINE | re.DOTALL))


def update(path: Path, drawn: str) -> bool:
    """Replace what is drawn, and leave each other byte as it is. Returns whether anything changed.

    Raises: ReadmeError: it can't be told where to draw. OSError: the file can't be read or written.
    """
    text = path.read_bytes().decode("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        message = "{} has to have one line `{}` and, below it, one line `{}`: the table goes between them."
        raise ReadmeError(message.format(path, BEGIN, END))
    newline = "\r\n" if "\r\n" in text else "\n"
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    updated = text[:begin] + ("\n" + drawn.strip("\n") + "\n").replace("\n", newline) + text[end:]
    if updated != text:
        write_whole(path, updated)
    return updated != text
