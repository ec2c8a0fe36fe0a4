"""The table as an HTML page. It fills in `page.html`: a grid, whose cells open the details of each result."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TypeVar

from harness.report.outcome_style import COUNTS, STYLES
from harness.report.table.entry import Entry
from harness.report.table.grid import TITLES, Grid, Row, title
from harness.results import Outcome, Result
from harness.rows import Measure, project

T = TypeVar("T")
FLAG = "slow"
VERSIONS = ("python", "jax", "jaxlib")
PAGE = Path(__file__).with_name("page.html")


def draw(grid: Grid) -> str:
    """The whole page. It loads no other file. Equal grids give equal pages."""
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        package=escape(project().package),
        summary=summary(grid),
        bar="".join(
            '<span class="{}" style="flex-grow: {}"></span>'.format(css(outcome), count)
            for outcome, count in grid.tally().items()
            if count
        ),
        legend="\n".join(explained(outcome, count) for outcome, count in grid.tally().items()),
        head='<th scope="col">JAX</th>' + "".join(map(head, grid.columns)),
        body="\n".join(table_row(grid, row) for row in grid.rows),
        footnotes="\n".join('<p class="footnote">{}</p>'.format(escape(one)) for one in grid.footnotes(FLAG)),
        notes=notes(grid),
        details="\n".join(details(entry) for entry in grid.entries),
    )


def summary(grid: Grid) -> str:
    message = "One suite of tests on {} lines of JAX ({}): {} cells{}. {}"
    backends = ", ".join(TITLES[backend] for backend in grid.backends)
    lines = len({(entry.cell.jax, entry.cell.python) for entry in grid.cells})
    return escape(message.format(lines, backends, len(grid.cells), grid.found_count, grid.dates))


def explained(outcome: Outcome, count: int) -> str:
    sign = badge(outcome, outcome.value, "" if count else "none")
    return "<li>{}<small><b>{}</b> · {}</small></li>".format(sign, count, escape(STYLES[outcome].meaning))


def head(column: str | Measure) -> str:
    kind = ' class="measure"' if isinstance(column, Measure) else ""
    return '<th scope="col"{}>{}</th>'.format(kind, escape(title(column)))


def table_row(grid: Grid, row: Row) -> str:
    below = ", ".join(filter(None, (row.remark, "Python " + row.python)))
    head = '<th scope="row"><span class="release">{}</span> <span class="soft">{}</span></th>'
    cells = "".join(
        measured(grid, row, one) if isinstance(one, Measure) else entry_cell(row.entries.get(one))
        for one in grid.columns
    )
    return "<tr>{}{}</tr>".format(head.format(escape(row.jax), escape(below)), cells)


def entry_cell(entry: Entry | None) -> str:
    if entry is None:
        return "<td></td>"
    facts = " · ".join("<span>{}</span>".format(escape(fact)) for fact in entry.facts)
    facts = '<span class="facts">{}</span>'.format(facts) if facts else ""
    button = '<td><button type="button" class="cell" popovertarget="{}" title="{}">{}{}</button></td>'
    return button.format(escape(entry.cell.name), escape(entry.reason), badge(entry.outcome, entry.words), facts)


def measured(grid: Grid, row: Row, measure: Measure) -> str:
    value = row.measured(measure)
    if value is None:
        return '<td class="measure unmeasured">{}</td>'.format(escape(row.why_unmeasured(measure)))
    kind, flag = (" far", " " + FLAG) if grid.is_far(measure, row) else ("", "")
    width = 100 * value / (max(other.measured(measure) or 0 for other in grid.rows) or 1)
    track = '<span class="track" aria-hidden="true"><span style="width: {:.0f}%"></span></span>'.format(width)
    return '<td class="measure{}">{:.1f}{}{}</td>'.format(kind, value, flag, track)


def badge(outcome: Outcome, words: str, more: str = "") -> str:
    text = '<span class="badge {}"><span class="mark" aria-hidden="true">{}</span>{}</span>'
    return text.format(" ".join(filter(None, (css(outcome), more))), STYLES[outcome].mark, escape(words))


def css(outcome: Outcome) -> str:
    return outcome.value.replace(" ", "-")


def notes(grid: Grid) -> str:
    if not grid.notes:
        return ""
    items = []
    for note in grid.notes:
        sign = badge(note.outcome, note.outcome.value)
        why = '<div class="why">{}<p>{}</p></div>'.format(escape(note.cells), text(note.reason))
        items.append("<li>{}{}</li>".format(sign, why))
    return '<h2>Why the other cells have not passed</h2>\n<ul class="notes">\n{}\n</ul>'.format("\n".join(items))


def details(entry: Entry) -> str:
    name = escape(entry.cell.name)
    facts = "".join("<dt>{}</dt><dd>{}</dd>".format(escape(key), value) for key, value in detail_items(entry) if value)
    return (
        '<section popover id="{0}" aria-labelledby="title-{0}">\n'
        '<header><h3 id="title-{0}">{0}</h3>{1}'
        '<button type="button" class="close" popovertarget="{0}" popovertargetaction="hide">Close</button></header>\n'
        "<dl>{2}</dl>\n</section>"
    ).format(name, badge(entry.outcome, entry.words), facts)


def detail_items(entry: Entry) -> Iterable[tuple[str, str]]:
    """Each kind of detail with its HTML, which is empty if the result has no such detail."""
    result = entry.result
    yield "Reason", text(entry.reason)
    failures = "".join("<li><code>{}</code></li>".format(escape(one)) for one in result.failures)
    yield "Failures", failures and "<ul>{}</ul>".format(failures)
    yield "Tests", escape(", ".join("{1} {0}".format(*one) for one in ordered(result.counts, COUNTS) if one[1]))
    yield "Time", escape(", ".join("{} {:.1f} s".format(key, value) for key, value in result.seconds.items()))
    yield "Run", escape(run(result))
    yield "Tier", escape(entry.cell.tier)
    yield "Versions", escape(", ".join("{} {}".format(*one) for one in ordered(result.versions, VERSIONS)))
    yield "Devices", escape(", ".join(device(one) for one in result.devices))
    yield "Driver", escape(result.driver)
    yield "Measures", escape(", ".join("{} {:g}".format(*one) for one in result.measures.items()))
    hashed = '{} <code class="hash">{}</code>'
    yield (
        "Hashes",
        "<br>".join(hashed.format(escape(key), escape(value)) for key, value in result.hashes.items() if value),
    )
    yield "Evidence", collapsed(result.evidence)


def run(result: Result) -> str:
    """When and where the run was."""
    if not result.started:
        return ""
    where = "in a container" if result.where == "container" else "on the host"
    return "{} UTC, {}".format(result.started[:16].replace("T", " "), where)


def ordered(facts: Mapping[str, T], first: Sequence[str]) -> list[tuple[str, T]]:
    """The facts with those named in `first` at the front, and the others in their order."""
    return [(key, facts[key]) for key in dict.fromkeys((*first, *facts)) if key in facts]


def device(facts: dict[str, object]) -> str:
    return "{} {} ({})".format(facts.get("platform", ""), facts.get("id", ""), facts.get("kind", ""))


def collapsed(facts: dict[str, object]) -> str:
    if not facts:
        return ""
    shown = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False)
    return "<details><summary>what proof of place saw</summary><pre>{}</pre></details>".format(escape(shown))


def text(reason: str) -> str:
    """The reason as HTML. What is between backticks becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(reason))
