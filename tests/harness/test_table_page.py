"""The table as an HTML page."""

import html.parser

import pytest
from six_outcomes import CELLS, DATED, NOW, in_html, text_of

from harness.report import table
from harness.results import Outcome, Result
from harness.rows import Project

VOID = {"meta", "link", "br"}
LOADING = {"src", "srcset", "data", "poster", "action", "background"}


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects what the page holds."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.targets, self.links, self.tags = [], [], [], [], set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        assert len(found) == len(attrs), "an attribute is there twice"
        self.tags.add(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.targets += [found[key] for key in ("popovertarget", "aria-labelledby") if key in found]
        self.links += [value for key, value in attrs if key == "href" or key in LOADING]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed():
    page = Page(in_html())
    assert len(set(page.ids)) == len(page.ids) and set(page.targets) <= set(page.ids)
    assert {one.name for one in CELLS} <= set(page.ids)


def test_the_title_names_the_project(monkeypatch):
    monkeypatch.setattr(table.in_html, "project", lambda: Project(package="ripple"))
    assert in_html().count("ripple on every JAX</") == 2


def test_the_page_refers_to_nothing_outside():
    """It fetches no script, font, picture or style."""
    text = in_html()
    page = Page(text)
    assert page.links == ["data:,"]  # so that no browser asks for an icon
    assert not page.tags & {"script", "img", "iframe", "object", "embed"}
    assert "@import" not in text and "url(" not in text and "$" not in text


@pytest.mark.parametrize("field", ["reason", "driver", "started"])
def test_texts_of_a_result_are_escaped(field):
    """Also the names of tests, versions, devices and evidence."""
    evil = "<script>alert('\"')</script>&amp;`<b>`"
    one = CELLS[0]
    result = Result(
        one.name,
        Outcome.FAILED,
        failures=[evil],
        versions={evil: evil},
        devices=[{"kind": evil, "platform": evil}],
        evidence={evil: [evil]},
        measures={evil: 1.0},
        **{**DATED, "counts": {evil: 1}, "seconds": {evil: 1.0}, "hashes": {**NOW, "more": evil}, field: evil},
    )
    found = {one.name: result}
    page = Page(in_html([one], found))
    assert not page.tags & {"script", "b"} - Page(in_html()).tags


def test_the_page_shows_all_fields_of_a_result():
    one = CELLS[0]
    result = Result(
        one.name,
        Outcome.FAILED,
        reason="why",
        where="container",
        failures=["t.py::failing"],
        counts={"passed": 7, "skipped": 4},
        seconds={"setup": 12.5},
        versions={"jax": "9.9.9"},
        devices=[{"platform": "gpu", "kind": "H200", "id": 3}],
        driver="570.1",
        evidence={"seen": "working"},
        measures={"loop_ratio": 1.75},
        started=DATED["started"],
        hashes={"lock": "l", "source": "s", "image": "sha256:abc"},
    )
    page = text_of(in_html([one], {one.name: result}))
    for said in (
        "why container t.py::failing 7~passed 4~skipped 12.5 9.9.9 H200 570.1 working 1.75 sha256:abc"
    ).split():
        assert said.replace("~", " ") in page, said
    assert "2026-11-20 10:11 UTC, in a container" in page
