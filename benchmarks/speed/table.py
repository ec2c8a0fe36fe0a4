"""The table of figures and targets in the terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from speed.contestants import OURS
from speed.targets import MET, MILLISECONDS, MISSED, NOISY, RATIO, Target, target_of, value, verdict

STYLES = {MET: "green", MISSED: "bold red"}


def table(content: dict[str, Any]) -> Table:
    """The table, with one row for each case and one column for each contender."""
    names = list(dict.fromkeys(name for case in content["cases"] for name in case["contenders"]))
    shown = Table(title="Times over the floor", caption=caption(content))
    shown.add_column("case", no_wrap=True)
    for column in ("target", *names):
        shown.add_column(column, justify="right")
    for case in content["cases"]:
        target = target_of(case["case"], case["size"])
        unit = target.unit if target else RATIO
        figures = [cell(case["contenders"].get(name), target, unit, judged=name == OURS) for name in names]
        label = case["case"] + (", {} {}".format(case["size"], case["unit"]) if case["size"] else "")
        shown.add_row(label, bounds(target), *figures)
    return shown


def bounds(target: Target | None) -> str:
    """The first target, and the second one if there is one."""
    if target is None:
        return ""
    both = [bound for bound in (target.first, target.then) if bound is not None]
    return "{} {}".format(" / ".join(map("{:g}".format, both)), target.unit)


def cell(figures: dict[str, Any] | None, target: Target | None, unit: str, judged: bool) -> Text:
    if figures is None:
        return Text("")
    text = "{:.{}f} {}".format(value(figures, unit), 1 if unit == MILLISECONDS else 2, unit)
    outcome = verdict(target, figures) if target and judged else NOISY if figures["noisy"] else None
    if outcome == NOISY:
        return Text("noisy ~" + text, style="dim")
    return Text(text + (" !" if outcome == MISSED else ""), style=STYLES.get(outcome or "", ""))


def caption(content: dict[str, Any]) -> str:
    described = content["machine"]
    return "{}, {} cores; load {} before, {} after. !: over the target. noisy: too noisy to tell.".format(
        described["processor"], described["cores"], content["load_before"], content.get("load_after")
    )
