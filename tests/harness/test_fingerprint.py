"""A fingerprint changes if something changes that a cell tests, and only then."""

import datetime
import re
from dataclasses import replace
from pathlib import Path

import pytest
from programs import write
from small_matrix import a_cell

from harness import rows
from harness.source import fingerprint, pages
from harness.system.paths import HOME, ROOT

README = ROOT / "README.md"

PAGE = "# Title\n\n<!-- matrix:begin -->\n{}\n<!-- matrix:end -->\n\nMore, by people.\n\n"
PAGE += "```python\nprint(1)  # 1\n```\n"

FILES = {
    "equinox/__init__.py": "import jax",
    "equinox/nn/_linear.py": "linear",
    "tests/test_x.py": "a test",
    "tests/data/numbers.txt": "1 2 3",
    "tests/harness/test_results.py": "of the harness",
    "examples/train.py": "an example",
    "pyproject.toml": "[project]",
    "docker/wheel-constraints.txt": "hatchling",
    "LICENSE": "free",
    "README.md": PAGE.format("a table"),
    "docs/matrix.md": PAGE.format("a table"),
    "docs/api_page.py": "draws a page",
    "docs/images/idea.svg": "<svg/>",
    "docs/site_hooks.py": "makes the site",
    ".harness/docker/inside/proof_of_place.py": "proof",
    ".harness/docker/bridge/README.md": "words",
    ".harness/docker/bridge/install.py": "install",
    ".harness/docker/bridge/jax_bridge/__init__.py": "bridge",
    ".harness/docker/bridge/smoke_cases/test_a.py": "smoke",
    ".harness/docker/build-constraints.txt": "setuptools",
    ".harness/harness/rows/cells.py": "rows",
    "matrix.toml": "list",
    "CONTRIBUTING.md": "commands",
}


def cell(jax="0.4.30", floating=False, requires=("jax", "numpy")):
    return a_cell(jax, as_of=None if floating else datetime.date(2024, 7, 1), requires=requires)


@pytest.fixture
def root(tmp_path):
    return write(tmp_path, FILES)


TESTED = [
    "equinox/nn/_linear.py",
    "tests/test_x.py",
    "tests/data/numbers.txt",
    "examples/train.py",
    "pyproject.toml",
    "docs/api_page.py",
    ".harness/docker/build-constraints.txt",
    ".harness/docker/inside/proof_of_place.py",
    ".harness/docker/bridge/install.py",
    ".harness/docker/bridge/jax_bridge/__init__.py",
    "docker/wheel-constraints.txt",
]


@pytest.mark.parametrize("name", TESTED)
def test_a_change_of_a_tested_file_changes_the_hash(root, name):
    """The hash changes with the content of the file, with its name, and when it is removed."""
    before = fingerprint.source_hash(root)
    write(root, {name: FILES[name] + "!"})
    changed = fingerprint.source_hash(root)
    write(root, {name: FILES[name]})
    assert fingerprint.source_hash(root) == before
    (root / name).rename(root / (name + "x"))
    renamed = fingerprint.source_hash(root)
    (root / (name + "x")).unlink()
    gone = fingerprint.source_hash(root)
    assert len({before, changed, gone}) == 3 and before != renamed


@pytest.mark.parametrize("changed", [{"arguments": ("-m", "not slow")}, {"cpu_devices": 8}, {"tests": ("tests/nn",)}])
def test_a_change_of_how_the_tests_run_changes_the_hash(root, monkeypatch, changed):
    before, project = fingerprint.source_hash(root), fingerprint.project()
    monkeypatch.setattr(fingerprint, "project", lambda: replace(project, **changed))
    assert fingerprint.source_hash(root) != before


@pytest.mark.parametrize(
    "name",
    [
        "tests/harness/test_results.py",
        ".harness/docker/bridge/README.md",
        ".harness/docker/bridge/smoke_cases/test_a.py",
        ".harness/harness/rows/cells.py",
        "matrix.toml",
        "CONTRIBUTING.md",
        "docs/images/idea.svg",
        "docs/site_hooks.py",
        "equinox/__pycache__/x.cpython-311.pyc",
        "tests/.hypothesis/examples/1",
        ".harness/docker/bridge/.mypy_cache/3.11/cache.json",
        "results/py311-jax0.4.30-cpu.json",
    ],
)
def test_a_change_of_any_other_file_does_not_change_the_hash(root, name):
    before = fingerprint.source_hash(root)
    write(root, {name: "changed"})
    assert fingerprint.source_hash(root) == before


@pytest.mark.parametrize("page", ["README.md", "docs/matrix.md"])
@pytest.mark.parametrize(
    "old, new, shows",
    [
        ("a table", "| another |\n| table |", False),  # otherwise drawing the results would make them stale
        ("More, by people.", "Less.", False),
        ("More, by people.", "```sh\nmake test\n```", False),
        ("print(1)  # 1", "print(1)  # 2", True),
        ("More, by people.", "```python\n```", True),
        ("More, by people.", "`print(x)` gives:\n\n```text\n1\n```", True),
        ("More, by people.", "```text\n1\n```", False),
        ("More, by people.", "| [`jitf`](equinox/_transforms/jit.py) | what it does |", True),
    ],
)
def test_only_the_tested_parts_of_a_page_count(root, page, old, new, shows):
    """These are its Python code, what that prints, and its rows of the API."""
    before = fingerprint.source_hash(root)
    text = (root / page).read_text()
    assert old in text
    write(root, {page: text.replace(old, new)})
    assert (fingerprint.source_hash(root) != before) is shows


def test_all_tested_parts_of_our_pages_count():
    """tests/test_pages.py reads the code in all pages, what it prints, and the rows of the API."""
    patterns = {
        "code": r"(?ms)^```python\n(.*?)^```$",
        "printed": r"(?ms)^`print\((.+)\)` gives:\n\n```text\n(.*?)^```$",
        "rows": r"(?m)^\| \[`([\w.]+)`\]",
    }
    found = {kind: [] for kind in patterns}
    for path in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for kind, pattern in patterns.items():
            assert re.findall(pattern, pages.tested(text)) == re.findall(pattern, text)
            found[kind] += re.findall(pattern, text)
    assert all(found.values())
    text = README.read_text(encoding="utf-8")
    assert len(pages.tested(text)) < len(text) / 2


def test_moving_text_between_files_changes_the_hash(root):
    """So does moving text from a content into a name."""
    write(root, {"equinox/a": "xy", "equinox/b": "z"})
    before = fingerprint.source_hash(root)
    write(root, {"equinox/a": "x", "equinox/b": "yz"})
    assert fingerprint.source_hash(root) != before
    write(root, {"equinox/a": "xyequinox/b\0z"})
    (root / "equinox/b").unlink()
    assert fingerprint.source_hash(root) != before


def test_the_folder_and_the_time_do_not_matter(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere, dict(reversed(FILES.items())))
    assert fingerprint.source_hash(elsewhere) == fingerprint.source_hash(root)


def test_all_that_a_cell_is_given_is_hashed():
    """This test looks at the files of the real checkout."""
    found = [*fingerprint.files(ROOT), *fingerprint.files_of_harness(HOME)]
    paths = {path.relative_to(ROOT).as_posix() for path in found}
    assert {"equinox/__init__.py", "tests/conftest.py", "README.md", "docker/bridge/install.py"} <= paths
    assert not [path for path in paths if Path(path).match("tests/harness/*") or ".pyc" in path]


# ---- Locks -----------------------------------------------------------------------------------------------------------


def test_a_lock_is_hashed_by_its_contents(root):
    """Without a lock the hash is empty, so adding or removing a lock changes it. Other cells' locks don't matter."""
    assert fingerprint.hashes(cell(), root)["lock"] == ""
    write(root, {"locks/py311-jax0.4.30-cpu.txt": "jax==0.4.30"})
    one = fingerprint.hashes(cell(), root)["lock"]
    write(root, dict.fromkeys(["locks/py311-jax0.4.30-cuda.txt", "locks/py311-jax0.4.3-cpu.txt"], "another cell's"))
    assert fingerprint.hashes(cell(), root)["lock"] == one != ""
    write(root, {"locks/py311-jax0.4.30-cpu.txt": "jax==0.4.30 # !"})
    assert fingerprint.hashes(cell(), root)["lock"] not in (one, "")


def test_both_locks_of_a_cell_on_the_bridge_count(root):
    """The hash is the same, no matter which of the two locks is installed."""
    bridged = replace(cell("0.2.18"), bridge=True, original=replace(cell("0.2.18"), suffix=".archive"))
    write(root, {"locks/py311-jax0.2.18-cpu.txt": "jaxlib==0.4.13"})
    without = fingerprint.lock_hash(bridged, root)
    write(root, {"locks/py311-jax0.2.18-cpu.archive.txt": "jaxlib==0.1.69"})
    assert fingerprint.lock_hash(bridged, root) == fingerprint.lock_hash(bridged.original, root) != without


def test_a_floating_cell_is_hashed_by_its_requirements(root):
    asked = fingerprint.lock_hash(cell("latest", floating=True), root)
    write(root, {"locks/py311-jaxlatest-cpu.txt": "no lock of its own"})
    assert fingerprint.lock_hash(cell("latest", floating=True), root) == asked
    assert fingerprint.lock_hash(cell("latest", floating=True, requires=("numpy", "jax")), root) == asked
    assert fingerprint.lock_hash(cell("latest", floating=True, requires=("jax", "numpy<3")), root) != asked


def test_a_floating_cell_has_another_hash_each_day(root):
    floating, day = cell("latest", floating=True), datetime.date(2026, 11, 22)
    hashes = {fingerprint.lock_hash(floating, root, day + datetime.timedelta(days)) for days in (0, 0, 1)}
    assert len(hashes) == 2
    assert fingerprint.lock_hash(cell(), root, day) == fingerprint.lock_hash(cell(), root)


def test_hashes_of_many_cells_equal_those_of_each(root):
    cells = [cell(), cell("latest", floating=True)]
    assert fingerprint.hashes_of(cells, root) == {one.name: fingerprint.hashes(one, root) for one in cells}


def test_without_named_parts_a_whole_page_counts(root, monkeypatch):
    """Only the generated part doesn't count."""
    monkeypatch.setattr(pages, "project", lambda: replace(rows.project(), page_parts=()))
    before = fingerprint.source_hash(root)
    text = (root / "README.md").read_text()
    write(root, {"README.md": text.replace("a table", "| another |")})
    assert fingerprint.source_hash(root) == before
    write(root, {"README.md": text.replace("More, by people.", "Less.")})
    assert fingerprint.source_hash(root) != before


def test_a_tested_part_may_have_groups(monkeypatch):
    """All that matches counts, not only the groups."""
    monkeypatch.setattr(pages, "project", lambda: replace(rows.project(), page_parts=("^(a|b): .*?$", "^c$")))
    assert pages.tested("x\na: 1\nb: 2\ny: 3\nc\n") == "a: 1\nb: 2\nc"
