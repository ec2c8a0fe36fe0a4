"""Markdown pages with a generated part between two markers. People write the rest of the page."""

import re
from collections.abc import Callable
from pathlib import Path

from harness.rows import project
from harness.system.errors import WrongUsage
from harness.system.files import write_whole

BEGIN = "<!-- matrix:begin -->"
END = "<!-- matrix:end -->"


class PageError(WrongUsage):
    """The page doesn't have each marker once, in order. The message is for the user."""


def written(text: str) -> str:
    """The text without its generated part."""
    return re.sub("{}.*?{}".format(re.escape(BEGIN), re.escape(END)), BEGIN + END, text, flags=re.DOTALL)


def tested(text: str) -> str:
    """The parts of a page that each cell tests, as the project says. By default, all but the generated part."""
    parts = project().page_parts
    if not parts:
        return written(text)
    return "\n".join(found[0] for found in re.finditer("|".join(parts), text, re.MULTILINE | re.DOTALL))


def read_for_hash(path: Path, part: Callable[[str], str]) -> bytes:
    """The bytes of a file that count for a hash. Of a Markdown page these are a part: `written` or `tested`."""
    content = path.read_bytes()
    if path.suffix != ".md":
        return content
    return part(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def update(path: Path, drawn: str) -> bool:
    """Replace the generated part of a page. No other byte changes.

    Returns:
        Whether the page changed.

    Raises:
        PageError: The page doesn't have the two markers.
        OSError: The page can't be read or written.
    """
    text = path.read_bytes().decode("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        message = "{} needs one line `{}` and, below it, one line `{}`: the table goes between them."
        raise PageError(message.format(path, BEGIN, END))
    newline = "\r\n" if "\r\n" in text else "\n"
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    updated = text[:begin] + ("\n" + drawn.strip("\n") + "\n").replace("\n", newline) + text[end:]
    if updated != text:
        write_whole(path, updated)
    return updated != text
