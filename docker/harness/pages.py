"""Pages in Markdown. Between two markers stands what is drawn; people write the rest."""

import re
from pathlib import Path

from harness.files import write_whole
from harness.places import ROOT

README = ROOT / "README.md"  # has the table in one line
MATRIX = ROOT / "docs" / "matrix.md"  # has the table

BEGIN = "<!-- matrix:begin -->"
END = "<!-- matrix:end -->"


class PageError(Exception):
    """The markers aren't there once each, in order: a message for the user."""


def written(text: str) -> str:
    """What people wrote: the text without what is drawn."""
    return re.sub("{}.*?{}".format(re.escape(BEGIN), re.escape(END)), BEGIN + END, text, flags=re.DOTALL)


def tested(text: str) -> str:
    """What the suite reads of a page in every cell: its Python code, and its rows of the API."""
    return "\n".join(re.findall(r"^```python\n.*?^```$|^\| \[`[^\n]*$", text, re.MULTILINE | re.DOTALL))


def update(path: Path, drawn: str) -> bool:
    """Replace what is drawn, and leave each other byte as it is. Returns whether anything changed.

    Raises:
        PageError: The page doesn't have the two markers.
        OSError: The page can't be read or written.
    """
    text = path.read_bytes().decode("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        message = "{} has to have one line `{}` and, below it, one line `{}`: the table goes between them."
        raise PageError(message.format(path, BEGIN, END))
    newline = "\r\n" if "\r\n" in text else "\n"
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    updated = text[:begin] + ("\n" + drawn.strip("\n") + "\n").replace("\n", newline) + text[end:]
    if updated != text:
        write_whole(path, updated)
    return updated != text
