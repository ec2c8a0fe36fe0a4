"""Write the table of docs/old-jax.md: which feature needs which release of JAX. `make docs` runs it."""

import os
import re

import equinox as eqx
from equinox._compat import SINCE

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "old-jax.md")
BEGIN = "<!-- since:begin -->\n<!-- Written by `make docs`: DO NOT EDIT. -->\n"
END = "<!-- since:end -->"


def table():
    """One row for each feature. The oldest releases come first."""
    rows = ["| Feature | First JAX | What that JAX added |", "|---|---|---|"]
    for feature, (release, added) in sorted(SINCE.items(), key=lambda item: (item[1][0], item[0])):
        rows.append("| {} | {} | {} |".format(written(feature), ".".join(map(str, release)), added))
    return "\n".join(rows) + "\n"


def written(feature):
    """The feature with its code in quotes. A name of `debug` is written as users write it."""
    code, space, words = feature.partition(" ")
    return "`{}{}`{}{}".format("debug." if code in eqx.debug.__all__ else "", code, space, words)


def page():
    """The text of the page with the table of today."""
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    return re.sub(
        "{}.*?{}".format(re.escape(BEGIN), re.escape(END)), lambda _: BEGIN + table() + END, text, flags=re.DOTALL
    )


if __name__ == "__main__":
    text = page()
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)
