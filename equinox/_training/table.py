"""Write a table as plain text, as Markdown and as HTML."""

from __future__ import annotations

import html
import re
from typing import List, NamedTuple, Sequence


class Column(NamedTuple):
    """A column of a table: its title, and the text of each cell below it."""

    title: str
    cells: Sequence[str]
    is_number: bool = False  # numbers are aligned to the right
    is_code: bool = False  # code is set in a fixed width


def as_text(columns: Sequence[Column]) -> str:
    """The table as plain text, with a line for each row."""
    widths = [max(map(len, [column.title, *column.cells])) for column in columns]
    lines = [[column.title for column in columns], ["-" * width for width in widths], *_rows(columns)]
    aligned = [
        [
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(line, widths, columns)
        ]
        for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def as_markdown(columns: Sequence[Column]) -> str:
    """The table in the Markdown of GitHub."""
    rule = ["---:" if column.is_number else ":---" for column in columns]
    lines = [[column.title for column in columns], rule]
    for row in _rows(columns):
        cells = [text.replace("|", "\\|") for text in row]  # in code too
        lines.append([_markdown_code(x) if c.is_code and x else x for c, x in zip(columns, cells)])
    return "\n".join("| {} |".format(" | ".join(line)) for line in lines)


def _markdown_code(text: str) -> str:
    """Code stands between more backticks than it has in a row itself."""
    longest = max(map(len, re.findall("`*", text)))
    fence = "`" * (longest + 1)
    return "{0} {1} {0}".format(fence, text) if longest else fence + text + fence


def as_html(columns: Sequence[Column]) -> str:
    """The table in HTML, without any style but the alignment."""
    head = "".join("<th>{}</th>".format(html.escape(column.title)) for column in columns)
    lines = ["<tr>{}</tr>".format("".join(map(_html_cell, columns, row))) for row in _rows(columns)]
    return "<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>".format(head, "\n".join(lines))


def _html_cell(column: Column, text: str) -> str:
    text = html.escape(text)
    if column.is_code and text:
        text = "<code>{}</code>".format(text)
    return '<td style="text-align: {}">{}</td>'.format("right" if column.is_number else "left", text)


def _rows(columns: Sequence[Column]) -> List[Sequence[str]]:
    return list(zip(*[column.cells for column in columns]))
