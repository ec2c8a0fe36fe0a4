"""The README tells the truth: its code runs, prints what it says, and its tables and links match what is there."""

import contextlib
import io
import os
import re
import sys
import types

import numpy as np
import pytest

import equinox as eqx

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, "README.md")), reason="no README.md beside the tests, which were copied away"
)
needs_checkout = pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, "equinox")),
    reason="no checkout: there are the tests, the examples and the README alone, as in a cell of the matrix",
)


def _read(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        return f.read()


def _python_blocks(text):
    """The Python code blocks of a page, each with the number of lines before it."""
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start(1)), match.group(1)


def _promised_output(code):
    """What the comments say that the `print`s of a code block print, a list of lines."""
    return re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)


@pytest.fixture
def run_block(monkeypatch):
    """Runs a block of the README in a module that all blocks of one test share. Returns: that module, the output."""
    readme = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", readme)  # where `dataclasses` looks up what annotations mean

    def run(lines_before, code):
        program = compile("\n" * lines_before + code, "README.md", "exec")  # so that errors name the README's lines
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, readme.__dict__)
        return readme, printed.getvalue()

    return run


def test_code_runs_and_prints_what_it_says(run_block):
    """All Python blocks of the README run in order in one namespace, and each `print(x)  # y` prints y."""
    blocks = list(_python_blocks(_read("README.md")))
    promises = 0
    for lines_before, code in blocks:
        _, printed = run_block(lines_before, code)
        assert printed.splitlines() == _promised_output(code), "README.md, below line {}".format(lines_before)
        promises += len(_promised_output(code))
    assert len(blocks) >= 9 and promises >= 15  # else the README, or what finds code in it, has been broken


def test_quick_example_gives_the_right_gradient(run_block):
    """The seed's quick example, against the gradient worked out by hand: 2/(n m) (W x - y) x^T."""
    readme, _ = run_block(*next(_python_blocks(_read("README.md"))))
    weight, x, y = (np.asarray(a, "float64") for a in (readme.model.weight, readme.x, readme.y))
    expected = 2 / y.size * (x @ weight.T - y).T @ x
    assert readme.grads.flag is None
    np.testing.assert_allclose(readme.grads.weight, expected, rtol=1e-2, atol=1e-3)  # accelerators multiply coarsely


def test_api_tables_name_what_is_public():
    """Every public name is in a table, and every name in a table is public."""
    documented = re.findall(r"^\| \[`([\w.]+)`\]", _read("README.md"), re.MULTILINE)
    public = list(eqx.__all__) + ["nn." + name for name in eqx.nn.__all__]
    assert sorted(documented) == sorted(public)


@needs_checkout
def test_api_tables_lead_to_the_definitions():
    """The file that a name in a table leads to has its `def` or `class`, or is the module itself."""
    for name, path in re.findall(r"^\| \[`([\w.]+)`\]\((\S+)\)", _read("README.md"), re.MULTILINE):
        text = _read(path)
        if path.endswith("__init__.py"):
            assert path.endswith("/{}/__init__.py".format(name))
        else:
            assert re.search(r"^(def|class) {}\(".format(name.split(".")[-1]), text, re.MULTILINE), name


@needs_checkout
@pytest.mark.parametrize("page", PAGES)
def test_relative_links_exist(page):
    """What a page links to in this repository is there, and within it."""
    links = re.findall(r"\]\(([^)\s]+)\)", _read(page))
    relative = [link for link in links if not re.match(r"[a-z]+:|#", link)]
    for link in relative:
        assert not os.path.isabs(link)
        assert os.path.exists(os.path.join(ROOT, link.split("#")[0])), link


@needs_checkout
def test_make_targets_exist():
    """Every `make` command on the pages is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", _read("Makefile"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", _read(page), re.MULTILINE))
        assert named <= targets, page
