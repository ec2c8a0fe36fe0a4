"""The README and the pages in docs/ tell the truth: their code prints what they say, and what they name exists."""

import contextlib
import glob
import importlib.util
import io
import os
import re
import sys
import types

import numpy as np
import pytest

import equinox as eqx
from equinox._compat import require

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _pages(folder):
    paths = glob.glob(os.path.join(ROOT, folder, "*.md"))
    return sorted(os.path.relpath(path, ROOT).replace(os.sep, "/") for path in paths)


DOCS = _pages("docs")
PAGES = _pages("") + DOCS

pytestmark = pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, "docs", "api.md")), reason="no docs/ beside the tests, which were copied away"
)
needs_checkout = pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, "equinox")),
    reason="no checkout: there are the tests, the examples and the pages alone, as in a cell of the matrix",
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


WITH_CODE = [page for page in PAGES if "```python" in _read(page)]


def _promised_values(text):
    """What a page says that `print` gives in a block of text: pairs of an expression and the text."""
    return re.findall(r"^`print\((.+)\)` gives:\n\n```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run_block(monkeypatch, tmp_path):
    """Runs a block of a page in a module that all blocks of one test share. Returns: that module, the output."""
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # `dataclasses` looks up there what annotations mean
    monkeypatch.chdir(tmp_path)  # a page may write files

    def run(page, lines_before, code):
        program = compile("\n" * lines_before + code, page, "exec")  # so that errors name the page's lines
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, module.__dict__)
        return module, printed.getvalue()

    return run


# The code


# Page -> the feature of `SINCE` that it is about. An older JAX can't run its code.
ABOUT = {"docs/sharding.md": "filter_shard_map"}
# Page -> the library that it is about. `make test` has it, and the cells don't, because it needs a newer JAX.
LIBRARIES = {"docs/orbax.md": "orbax.checkpoint"}


@pytest.mark.parametrize("page", WITH_CODE)
def test_code_runs_and_prints_what_it_says(page, run_block):
    """The Python blocks of a page run in order in one namespace, and each `print(x)  # y` prints y."""
    blocks = list(_python_blocks(_read(page)))
    assert blocks and any(_promised_output(code) for _, code in blocks)
    if page in LIBRARIES:
        pytest.importorskip(LIBRARIES[page], reason="{} is not installed".format(LIBRARIES[page]))
    try:
        if page in ABOUT:
            require(ABOUT[page])
        _check_output(page, blocks, run_block)
        for expression, text in _promised_values(_read(page)):
            assert str(eval(expression, dict(sys.modules["page"].__dict__))) == text.rstrip("\n"), page
    except NotImplementedError as error:
        if not re.search("`.* needs JAX", str(error)):
            raise
        pytest.skip(str(error))


def _check_output(page, blocks, run_block):
    for lines_before, code in blocks:
        _, printed = run_block(page, lines_before, code)
        assert printed.splitlines() == _promised_output(code), "{}, below line {}".format(page, lines_before)


def test_the_pages_with_code_are_found():
    """Each block of Python code on a page is one that the test above runs."""
    assert {"README.md", "docs/modules.md", "docs/filters.md", "docs/transformations.md"} <= set(WITH_CODE)
    assert {*ABOUT, *LIBRARIES} <= set(WITH_CODE)
    for page in WITH_CODE:
        assert _read(page).count("```python") == len(list(_python_blocks(_read(page))))
        assert _read(page).count("` gives:") == len(_promised_values(_read(page)))


def test_quick_example_gives_the_right_gradient(run_block):
    """The seed's quick example, against the gradient worked out by hand: 2/(n m) (W x - y) x^T."""
    readme, _ = run_block("README.md", *next(_python_blocks(_read("README.md"))))
    weight, x, y = (np.asarray(a, "float64") for a in (readme.model.weight, readme.x, readme.y))
    expected = 2 / y.size * (x @ weight.T - y).T @ x
    assert readme.grads.flag is None
    np.testing.assert_allclose(readme.grads.weight, expected, rtol=1e-2, atol=1e-3)  # accelerators multiply coarsely


# The API


def _program(name):
    """A program of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(ROOT, "docs", name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def api_page():
    """The program that writes docs/api.md."""
    return _program("api_page")


def _api_rows(text):
    """The rows of the tables: name, file, sentence."""
    return re.findall(r"^\| \[`([\w.]+)`\]\((\S+)\) \| (.+) \|$", text, re.MULTILINE)


def test_api_page_has_what_the_docstrings_say(api_page):
    """Each row is the one that `make docs` writes from the docstring."""
    assert _api_rows(_read("docs/api.md")) == _api_rows(api_page.page()), "docs/api.md is out of date: run `make docs`."


@needs_checkout
def test_api_page_is_as_it_was_written(api_page):
    """The rest of the page, too."""
    assert _read("docs/api.md") == api_page.page(), "docs/api.md is out of date: run `make docs`."


def test_api_page_names_what_is_public():
    """Every public name is in a table, and every name in a table is public."""
    documented = [name for name, _, _ in _api_rows(_read("docs/api.md"))]
    public = list(eqx.__all__)
    for name in ("debug", "nn"):
        public += ["{}.{}".format(name, inner) for inner in getattr(eqx, name).__all__]
    assert sorted(documented) == sorted(public)


@needs_checkout
def test_api_page_leads_to_the_definitions():
    """The file that a name leads to has its `def` or `class`, or is the module itself."""
    for name, path, _ in _api_rows(_read("docs/api.md")):
        text = _read(os.path.join("docs", path))
        if path.endswith("__init__.py"):
            assert path.endswith("/{}/__init__.py".format(name))
        else:
            assert re.search(r"^ *(def|class) {}[(:]".format(name.split(".")[-1]), text, re.MULTILINE), name


def test_a_sentence_ends_where_the_next_one_begins(api_page):
    assert api_page.first_sentence("One: `x.y`,\nand e.g. 1.5. Two.\n\nThree.") == "One: `x.y`, and e.g. 1.5."


def test_a_name_that_has_no_section_is_refused(api_page):
    with pytest.raises(LookupError, match="add one to SECTIONS"):
        api_page.section("array", np.ma.array)


# The releases of JAX


@pytest.fixture(scope="module")
def since_table():
    """The program that writes the table of docs/old-jax.md."""
    return _program("since_table")


def test_the_page_on_old_jax_has_a_row_for_each_feature(since_table):
    """The list that the code uses is the list that users read."""
    text = _read("docs/old-jax.md")
    assert text == since_table.page(), "docs/old-jax.md is out of date: run `make docs`."
    assert text.count("\n| `") == len(since_table.SINCE) > 0


def test_a_feature_is_written_as_users_write_it(since_table):
    features = ["store_dce", "filter_jacrev(has_aux=True)", "error_if of a typed key"]
    expected = ["`debug.store_dce`", "`filter_jacrev(has_aux=True)`", "`error_if` of a typed key"]
    assert list(map(since_table.written, features)) == expected


def test_the_page_on_layers_has_a_row_for_each_layer():
    """Every public layer is in its table once, and every name there is public."""
    rows = re.findall(r"^\| (`.*?`) \|", _read("docs/layers.md"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    layers = {name for name in eqx.nn.__all__ if isinstance(getattr(eqx.nn, name), type)}
    assert len(named) == len(set(named))
    assert layers - {"State", "StateIndex", "StatefulLayer"} <= set(named) <= set(eqx.nn.__all__)


# What the pages name


def _without_code(text):
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(text):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links(page):
    """The links to this repository whose file, or whose heading, doesn't exist."""
    folder = os.path.dirname(page)
    for link in re.findall(r"\]\(([^)\s]+)\)", _without_code(_read(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(folder, path)) if path else page
        if os.path.isabs(target) or target.startswith("..") or not os.path.exists(os.path.join(ROOT, target)):
            yield link
        elif anchor and anchor not in _anchors(_read(target)):
            yield link


@needs_checkout
@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """What a page links to in this repository exists, the heading too."""
    assert list(_broken_links(page)) == []


@needs_checkout
def test_a_broken_link_is_found(tmp_path, monkeypatch):
    """The control of the test above."""
    monkeypatch.setitem(globals(), "ROOT", str(tmp_path))
    links = "[a](b.md) [a](#the-end) [a](gone.md) [a](#gone) [a](b.md#gone) [a](../b.md) `[a](code)` [a](https://x)"
    (tmp_path / "a.md").write_text("# The *end*\n\n" + links)
    (tmp_path / "b.md").write_text("")
    assert list(_broken_links("a.md")) == ["gone.md", "#gone", "b.md#gone", "../b.md"]


@needs_checkout
def test_every_page_can_be_found():
    """The README and docs/README.md link to each page in docs/, and the site has it in its menu."""
    menu = re.findall(r"^ +- (?:\w+: )?(\S+\.md)$", _read("mkdocs.yml"), re.MULTILINE)
    assert sorted("docs/" + page for page in menu) == DOCS
    for page in sorted(set(DOCS) - {"docs/README.md"}):
        assert "({})".format(page) in _read("README.md")
        assert "({})".format(os.path.basename(page)) in _read("docs/README.md")


@needs_checkout
def test_the_map_of_the_code_has_each_folder_of_the_library():
    """CONTRIBUTING has a row for each of them."""
    rows = re.findall(r"^\| \[(equinox/\w+)\]", _read("CONTRIBUTING.md"), re.MULTILINE)
    folders = [os.path.dirname(path) for path in glob.glob(os.path.join(ROOT, "equinox", "*", "__init__.py"))]
    assert sorted(rows) == sorted(os.path.relpath(folder, ROOT).replace(os.sep, "/") for folder in folders)


@needs_checkout
def test_make_targets_exist():
    """Every `make` command on the pages is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", _read("Makefile"), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", _read(page), re.MULTILINE))
        assert named <= targets, page


@needs_checkout
def test_the_readme_is_short():
    """It takes 8 KB at most, and names the two commands that set everything up."""
    text = _read("README.md")
    assert len(text.encode("utf-8")) <= 8 * 1024
    assert re.search(r"^make matrix ", text, re.MULTILINE) and re.search(r"^make test ", text, re.MULTILINE)
