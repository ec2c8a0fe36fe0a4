"""The list of cells: the cells of a row, how cells are selected, and which mistakes are refused."""

import datetime
import re

import pytest
from jax_bridge import releases
from packaging.requirements import Requirement
from packaging.version import Version
from small_matrix import BACKENDS

from harness import rows
from harness.system.paths import MATRIX

PROJECT = """
[project]
name = "equinox"
dependencies = ["jax>=0.2.18", "numpy", "typing_extensions>=4.2"]
[project.optional-dependencies]
examples = ["optax!=0.1.8"]
test = ["equinox[examples]", "pytest"]
lint = ["ruff"]
"""

LIST = (
    BACKENDS
    + """
[install.cpu.archive]
requires = ["jax=={jax}", "jaxlib=={jaxlib}"]
find_links = ["https://archive.example/jax.html"]
[install.cpu.bridge]
requires = ["jax=={jax}"]
requirements = "bridge.txt"
stands_in_for = "archive"
[install.cpu.index]
requires = ["jax=={jax}", "jaxlib=={jaxlib}"]
[install.cpu.latest]
requires = ["jax"]
[install.cuda.plugin]
requires = ["jax[cuda12]=={jax}"]
base = "nvidia/cuda:12"
compute_capability = ["5.2", "9.0"]
driver = "525.60.13"
[install.tpu.pinned]
requires = ["jax=={jax}", "libtpu=={libtpu}"]

[[cap]]
jax = "<0.4"
requires = ["numpy<1.23"]
why = "it is old"

[[row]]
jax = "0.2.18"
jaxlib = "0.1.69"
python = "3.9"
as_of = 2024-07-15
tier = "pr"
cpu = { install = "bridge" }

[[row]]
jax = "0.4.30"
jaxlib = "0.4.30"
python = "3.11"
as_of = 2024-08-01
tier = "nightly"
cpu = { install = "index" }
cuda = { install = "plugin" }
tpu = { install = "pinned", libtpu = "0.0.7", generations = ["v2", "v3"] }

[[row]]
jax = "0.6.2"
jaxlib = "0.6.2"
python = "3.12"
as_of = 2025-07-10
tier = "pr"
cuda = { install = "plugin", compute_capability = ["5.2", ""] }

[[row]]
jax = "latest"
python = "3.13"
tier = "canary"
cpu = { install = "latest" }
"""
)

BRIDGE = "# what the bridge needs\njaxlib==0.4.13   # the oldest\n\nml_dtypes==0.2.0\n"


@pytest.fixture
def load(tmp_path):
    """`load(old, new)` reads the list above, with `old` replaced by `new`."""

    def load_changed(old="", new="", text=LIST):
        assert old in text, old
        (tmp_path / "bridge.txt").write_text(BRIDGE)
        (tmp_path / "pyproject.toml").write_text(PROJECT)
        path = tmp_path / "matrix.toml"
        path.write_text(text.replace(old, new, 1) if old else text)
        return rows.load(path, tmp_path / "pyproject.toml")

    return load_changed


@pytest.fixture
def cells(load):
    return {cell.name: cell for cell in load()}


# The cells of a row


def test_names_are_derived_in_the_order_of_the_rows(cells):
    assert list(cells) == [
        "py39-jax0.2.18-cpu",
        "py311-jax0.4.30-cpu",
        "py311-jax0.4.30-cuda",
        "py311-jax0.4.30-tpu",
        "py312-jax0.6.2-cuda",
        "py313-jaxlatest-cpu",
    ]


def test_a_cell_requires_jax_its_caps_and_the_tools_of_the_suite(cells):
    tools = ("numpy", "optax!=0.1.8", "pytest", "typing_extensions>=4.2")
    assert cells["py311-jax0.4.30-cpu"].requires == ("jax==0.4.30", "jaxlib==0.4.30", *tools)
    assert cells["py311-jax0.4.30-tpu"].requires == ("jax==0.4.30", "libtpu==0.0.7", *tools)
    assert cells["py39-jax0.2.18-cpu"].requires == (
        "jax==0.2.18",
        "jaxlib==0.4.13",
        "ml_dtypes==0.2.0",
        "numpy<1.23",
        *tools,
    )


def test_a_cell_expects_what_is_installed_and_names_devices_as_jax_does(cells):
    assert cells["py311-jax0.4.30-cuda"].expects == {
        "cell": "py311-jax0.4.30-cuda",
        "python": "3.11",
        "jax": "0.4.30",
        "jaxlib": "0.4.30",
        "backend": "gpu",
        "bridge": False,
        "package": "equinox",
        "versions": list(rows.project().versions),
        "measures": rows.project().programs,
    }


def test_the_bridge_stands_in_for_the_jaxlib_of_the_time(cells):
    cell = cells["py39-jax0.2.18-cpu"]
    assert cell.bridge and cell.jaxlib == "0.1.69" and cell.expects["jaxlib"] == "0.4.13"
    original = cell.original
    assert original is not None and not original.bridge and original.original is None
    assert original.name == cell.name
    assert original.expects["jaxlib"] == "0.1.69"
    assert original.requires[:2] == ("jax==0.2.18", "jaxlib==0.1.69")
    assert original.find_links == ("https://archive.example/jax.html",)
    assert (cell.lock.name, original.lock.name) == ("py39-jax0.2.18-cpu.txt", "py39-jax0.2.18-cpu.archive.txt")


def test_a_floating_cell_expects_no_version(cells):
    cell = cells["py313-jaxlatest-cpu"]
    assert cell.floating and not cells["py39-jax0.2.18-cpu"].floating
    assert cell.requires[0] == "jax"
    assert (cell.expects["jax"], cell.expects["jaxlib"]) == (None, None)


def test_hardware_limits_come_from_the_install_table_unless_the_row_has_its_own(cells):
    cuda = cells["py311-jax0.4.30-cuda"].supports
    assert (cuda.compute_capability_min, cuda.compute_capability_max) == ((5, 2), (9, 0))
    assert cuda.driver_min == "525.60.13"
    assert cells["py312-jax0.6.2-cuda"].supports.compute_capability_max is None
    assert cells["py311-jax0.4.30-tpu"].supports.tpu == ("v2", "v3")
    assert cells["py311-jax0.4.30-cpu"].supports == rows.Supports()


def test_the_base_image_comes_from_the_backend_unless_the_install_table_has_its_own(cells):
    assert cells["py311-jax0.4.30-cpu"].base == "python:3.11-slim"
    assert cells["py311-jax0.4.30-cuda"].base == "nvidia/cuda:12"


def test_caps_are_known_for_releases_without_a_row(load, tmp_path):
    load()
    assert rows.caps("0.3.7", tmp_path / "matrix.toml") == ("numpy<1.23",)
    assert rows.caps("0.5.0", tmp_path / "matrix.toml") == ()


# Selecting cells


def test_a_tier_includes_the_tiers_before_it(cells):
    def names(tier):
        return [cell.name for cell in rows.select(list(cells.values()), tier=tier)]

    assert names("pr") == ["py39-jax0.2.18-cpu", "py312-jax0.6.2-cuda"]
    assert len(names("nightly")) == 5
    assert names("canary") == list(cells) == names(None)


def test_names_patterns_and_backends_choose_in_the_order_of_the_list(cells):
    everything = list(cells.values())
    chosen = rows.select(everything, ["py311-*", "py39-jax0.2.18-cpu"])
    assert [cell.name for cell in chosen] == list(cells)[:4]
    assert rows.select(everything, ["py311-*"], backend="tpu") == [cells["py311-jax0.4.30-tpu"]]


@pytest.mark.parametrize(
    "name", ["py39-jax0.2.19-cpu", "py39-jax0.2.18-cp", "PY39-jax0.2.18-cpu", "py39-jax0.2.18*cuda"]
)
def test_an_unknown_cell_is_refused_with_the_nearest_names(cells, name):
    with pytest.raises(rows.UnknownCell, match=re.escape("`{}`".format(name))) as refused:
        rows.select(list(cells.values()), ["py311-*", name])
    assert "py39-jax0.2.18-cpu" in str(refused.value)


def test_an_unknown_cell_unlike_all_others_is_refused_with_the_command_that_lists_them(cells):
    with pytest.raises(rows.UnknownCell, match="`python -m harness list`"):
        rows.select(list(cells.values()), ["?"])


def test_an_unknown_tier_or_backend_is_refused(cells):
    with pytest.raises(rows.MatrixError, match="pr, nightly, canary"):
        rows.select(list(cells.values()), tier="weekly")
    with pytest.raises(rows.MatrixError, match="cpu, cuda, tpu"):
        rows.select(list(cells.values()), backend="gpu")


# Mistakes: a change of the list above, and a part of the message.


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tier = "pr"', 'teir = "pr"', "row 1 (jax 0.2.18): key `teir` is unknown. Did you mean `tier`?"),
        ('tier = "pr"', "", "row 1 (jax 0.2.18): key `tier` is missing: expected a string."),
        (
            'tier = "pr"',
            'tier = "often"',
            "row 1 (jax 0.2.18): key `tier`: expected one of pr, nightly, canary, and got `often`.",
        ),
        (
            "2024-07-15",
            '"2024-07-15"',
            "row 1 (jax 0.2.18): key `as_of`: expected a date such as 2023-07-10, without quotes",
        ),
        ("2024-07-15", "2024-07-15T00:00:00", "key `as_of`: expected a date"),
        ("as_of = 2024-07-15", "", "key `as_of` is missing"),
        ('python = "3.9"', "python = 3.9", "key `python`: expected a string, and got 3.9."),
        ('python = "3.9"', 'python = "39"', "key `python`: expected a version such as 3.11, and got `39`."),
        ('jax = "0.2.18"', 'jax = "0.2.x"', "row 1 (jax 0.2.x): key `jax`: expected a version"),
        ('jaxlib = "0.1.69"', 'jaxlib = "old"', "key `jaxlib`: expected a version, and got `old`."),
        ('jaxlib = "0.1.69"', "", "key `jaxlib` is missing"),
        (
            'jax = "latest"',
            'jax = "latest"\nas_of = 2024-07-15',
            "row 4 (jax latest): key `as_of` is given: a row has none",
        ),
        ('cpu = { install = "bridge" }', "", "row 1 (jax 0.2.18): expected at least one of cpu, cuda, tpu"),
        (
            'install = "bridge"',
            'install = "brigde"',
            "row 1 (jax 0.2.18), cpu: key `install`: expected one of archive, bridge",
        ),
        ('install = "plugin"', 'install = "plugin", drivers = "1"', "Did you mean `driver`?"),
        ('libtpu = "0.0.7", ', "", "`libtpu=={libtpu}` needs `libtpu`, which the row doesn't give."),
        ('generations = ["v2", "v3"]', "generations = [2, 3]", "expected a list of strings, and got [2, 3]."),
        ('["5.2", "9.0"]', '["5.2"]', "install.cuda.plugin: key `compute_capability`: expected two"),
        ('["5.2", ""]', '["5", ""]', "row 3 (jax 0.6.2), cuda: key `compute_capability`: expected two"),
        ('"<0.4"', '"before 0.4"', "cap 1: key `jax`: expected bounds such as >=0.4.9,<0.4.16, and got `before 0.4`."),
        ('why = "it is old"', "", "cap 1: key `why` is missing"),
        ('["numpy<1.23"]', '["numpy below 1.23"]', "cap 1: expected requirements such as numpy<2"),
        ('["jax"]', '["jax 1"]', "row 4 (jax latest), cpu: expected requirements"),
        ('requires = ["jax"]', 'requires = "jax"', "install.cpu.latest: key `requires`: expected a list of strings"),
        (
            'stands_in_for = "archive"',
            'stands_in_for = "museum"',
            "install.cpu.bridge: key `stands_in_for`: expected one of",
        ),
        ('requirements = "bridge.txt"', 'requirements = "other.txt"', "there is no `other.txt`"),
        ('platform = "gpu"', "", "backend.cuda: key `platform` is missing"),
        ("[backend.cuda]", "[backend.rocm]", "backend: expected the tables cpu, cuda, tpu."),
        ("[[cap]]", "[cap]", "key `cap`: expected tables, each below its name in double brackets"),
        ("[[cap]]", "[[caps]]", "matrix.toml: key `caps` is unknown. Did you mean `cap`?"),
        ("[[cap]]", "[[cap]", "matrix.toml isn't TOML"),
        (
            'jax = "0.4.30"\njaxlib = "0.4.30"\npython = "3.11"',
            'jax = "0.2.18"\njaxlib = "0.4.30"\npython = "3.9"',
            "row 2 (jax 0.2.18): expected each cell once, and an earlier row also makes `py39-jax0.2.18-cpu`.",
        ),
    ],
)
def test_a_mistake_is_refused_with_file_place_and_what_was_expected(load, old, new, message):
    with pytest.raises(rows.MatrixError, match=re.escape(message)) as refused:
        load(old, new)
    assert str(refused.value).startswith("matrix.toml")


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(rows.MatrixError, match="can't be read"):
        rows.load(tmp_path / "matrix.toml")


# The list itself


@pytest.fixture(scope="module")
def ours():
    return rows.load()


def test_every_jax_minor_release_is_on_every_backend(ours):
    lines = list(dict.fromkeys(cell.jax for cell in ours))
    assert [cell.backend for cell in ours] == ["cpu", "cuda", "tpu"] * len(lines)
    assert lines[0] == "0.2.18" and lines[-2:] == ["latest", "nightly"]
    versions = list(map(Version, lines[:-2]))
    assert versions == sorted(versions) and len(versions) >= 16


def test_the_floor_and_the_newest_are_tested_on_every_change(ours):
    every_change = [cell.jax for cell in rows.select(ours, tier="pr", backend="cpu")]
    newest = [cell.jax for cell in ours if not cell.floating][-1]
    assert len(every_change) >= 5 and {every_change[0], every_change[-1]} == {"0.2.18", newest}


def test_the_bridge_runs_exactly_the_cells_that_need_it(ours):
    for cell in ours:
        if not cell.floating and cell.backend == "cpu":
            assert cell.bridge == releases.needs_bridge(cell.jax, releases.JAXLIB), cell.name
        if cell.bridge:
            python = tuple(map(int, cell.python.split(".")))
            assert cell.installed_jaxlib == releases.JAXLIB
            assert releases.refuses_jax(cell.jax) is None and releases.refuses_python(python, cell.jax) is None


def test_every_requirement_is_valid_and_no_date_is_before_its_jax(ours):
    for cell in ours:
        assert all(Requirement(line) for line in cell.requires)
        assert cell.floating or cell.as_of >= datetime.date(2021, 7, 21)


def test_the_default_list_is_the_matrix_of_the_repository():
    assert MATRIX.is_file()
