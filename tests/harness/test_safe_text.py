"""Text that is shown has no password and no terminal escape in it."""

import io
import re
from pathlib import Path

import pytest
from programs import python
from rich.console import Console
from six_outcomes import CELLS, HASHES, NOW, SIX, in_html, in_markdown, in_terminal

from harness import results
from harness.containers.docker_errors import DockerError
from harness.locks import index
from harness.report import display
from harness.results import Outcome, Result, artifacts
from harness.system import safe_text
from harness.system.paths import ROOT

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31mgood \u202edab\u202c \u2066x\u2069 \x07\x08\r \ud800 \u2028"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize(
    "url, redacted",
    [
        ("https://me:secret@mirror.example/simple", "https://mirror.example/simple"),
        ("https://token@mirror.example/simple", "https://mirror.example/simple"),
        ("https://me:se@c/ret@mirror.example/simple", "https://mirror.example/simple"),
        ("https://me:@mirror.example:8080/simple", "https://mirror.example:8080/simple"),
        ("socks5h://me:secret@proxy:1080", "socks5h://proxy:1080"),
        ("https://mirror.example/simple", "https://mirror.example/simple"),
        ("https://mirror.example:8080/a/@scope/b", "https://mirror.example:8080/a/@scope/b"),
        ("https://mirror.example/a/@scope", "https://mirror.example/a/@scope"),
        ("two: http://a:b@c, 'https://d:e@f/' end", "two: http://c, 'https://f/' end"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_passwords_in_urls_are_removed(url, redacted):
    assert safe_text.redact(url) == redacted


def test_escapes_and_control_characters_are_removed_or_spelled_out():
    text = safe_text.safe(HOSTILE)
    assert not OBEYED.search(text) and "\\u202e" in text and "good" in text
    assert safe_text.safe("two\nlines\t— ✓ é 漢字") == "two\nlines\t— ✓ é 漢字"


HOSTILE_RESULT = {
    "reason": HOSTILE,
    "failures": ["tests/test_x.py::y[" + HOSTILE + "]"],
    "versions": {"jax": HOSTILE},
    "driver": HOSTILE,
    "evidence": {HOSTILE: [HOSTILE]},
    "devices": [{"kind": HOSTILE}],
}


def texts(value):
    """All strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from texts(list(pair))
    else:
        for item in value:
            yield from texts(item)


def test_all_texts_of_a_result_are_safe():
    """From the report of a run, from the output of tools, or from a file."""
    result = Result("c", Outcome.FAILED, **HOSTILE_RESULT)
    found = [text for field in HOSTILE_RESULT for text in texts(getattr(result, field))]
    assert len(found) == 9 and not any(map(OBEYED.search, found))
    assert Result("c", Outcome.FAILED, "at https://me:secret@x/y").reason == "at https://x/y"


@pytest.mark.parametrize("form", [in_markdown, in_html, in_terminal])
def test_the_table_is_safe(form):
    cell = SIX[Outcome.FAILED].name
    found = {cell: Result(cell, Outcome.FAILED, hashes=NOW, **HOSTILE_RESULT)}
    assert not OBEYED.search(form(CELLS, found, HASHES, {}))


@pytest.mark.parametrize("kind", [display.Live, display.Plain])
def test_the_output_of_a_run_is_safe(tmp_path, kind):
    """Its reason, the names of its tests, and the end of its log."""
    cell, out = SIX[Outcome.FAILED], io.StringIO()
    (tmp_path / (cell.name + ".log")).write_bytes(HOSTILE.encode("utf-8", "surrogatepass"))
    screen = kind(Console(file=out, highlight=False), tmp_path)
    screen.finished(cell, Result(cell.name, Outcome.FAILED, **{**HOSTILE_RESULT, "failures": []}))
    screen.finished(cell, Result(cell.name, Outcome.FAILED, **HOSTILE_RESULT))
    assert not OBEYED.search(out.getvalue())


@pytest.mark.parametrize("error", [DockerError, results.ResultError, index.IndexUnreachable])
def test_errors_that_quote_other_programs_are_safe(error):
    assert str(error("can't reach https://me:secret@x/y \x1b[2J")) == "can't reach https://x/y "


def test_file_names_and_tool_output_are_printed_safely(tmp_path, capsys):
    hostile = tmp_path / "results-x" / "\x1b[2J\u202e.json"
    hostile.parent.mkdir()
    hostile.write_text("{}")
    artifacts.collect(tmp_path, tmp_path / "results")
    said = capsys.readouterr().out
    assert "skipped" in said and not OBEYED.search(said)


def test_the_page_may_load_and_run_nothing():
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="(.*?)"', in_html())
    assert policy.startswith("default-src 'none'") and "script-src" not in policy
    assert "<script" not in in_html()


def test_a_traceback_shows_no_password():
    imported = "from harness.system.safe_text import make_tracebacks_safe"
    code = imported + "; make_tracebacks_safe(); raise ValueError('https://me:secret@x \\x1b[2J')"
    done = python("-c", code)
    assert done.returncode == 1 and "ValueError: https://x" in done.stderr
    assert "secret@" not in done.stderr.splitlines()[-1] and "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "text, shown_as",
    [
        ("see /home/me/src/equinox/results/x.log", "see ./results/x.log"),
        ("in /home/me/src/equinox", "in ."),
        ("/home/me/.venv/bin/python: no", "~/.venv/bin/python: no"),
        ("/home/me2/x and /home/me", "/home/me2/x and ~"),
        ("/usr/lib/x", "/usr/lib/x"),
    ],
)
def test_folders_of_the_machine_are_removed_from_a_result(text, shown_as):
    root = Path("/home/me/src/equinox")
    assert safe_text.without_places(text, root, Path("/home/me")) == shown_as
    assert safe_text.without_places(text, root, Path("/")) == text.replace(str(root), ".")
    assert Result("c", Outcome.FAILED, "see {}/results/x.log".format(ROOT)).reason == "see ./results/x.log"
