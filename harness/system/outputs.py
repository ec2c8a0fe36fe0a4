"""Read the output of a command that failed: explain a known error, or find the line that matters."""

import re
from collections.abc import Mapping


def explain(output: str, rules: Mapping[str, str], **names: str) -> str | None:
    """The message of the first rule whose pattern is in the output, or `None`.

    An output may match several patterns. So the rule of a cause comes before those of its effects.

    Args:
        output: The output, without colours.
        rules: Messages by pattern. `{line}` stands for the match, and other names for groups of the pattern.
        names: More names in the messages, and what they stand for.
    """
    for pattern, message in rules.items():
        found = re.search(pattern, output, re.IGNORECASE | re.MULTILINE)
        if found:
            return message.format_map({**names, **found.groupdict(), "line": " ".join(found[0].split())})
    return None


def decisive_line(output: str) -> str:
    """The first line that begins with "error", or else the last line. It is empty if there is none."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or [""]
    return next((line for line in lines if line.lower().startswith("error")), lines[-1])


def uncoloured(output: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", output)
