"""The list of cells: the cells of a row, how cells are selected, and which mistakes are refused."""

import datetime
import re

import pytest
from jax_bridge import releases
from packaging.requirements import Requirement
from packaging.version import Version
from small_matrix import BACKENDS, PROJECT

from harness import rows
from harness.rows import matrix_file
from harness.system.paths import MATRIX

PYPROJECT = """
[project]
name = "equinox"
dependencies = ["jax>=0.2.18", "numpy", "typing_extensions>=4.2"]
[project.optional-dependencies]
examples = ["optax!=0.1.8"]
test = ["equinox[examples]", "pytest"]
lint = ["ruff"]
"""

# What is true of JAX, as jax.toml says it
JAX = (
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
jax = [">=0.4,<0.5", ">=0.6"]
requires = ["jax=={jax}", "jaxlib=={jaxlib}"]
[install.cpu.latest]
jax = ["latest"]
requires = ["jax"]
[install.cuda.plugin]
requires = ["jax[cuda12]=={jax}"]
base = "nvidia/cuda:12"
compute_capability = ["5.2", "9.0"]
driver = "525.60.13"
[install.cuda.newer]
requires = ["jax[cuda12]=={jax}"]
compute_capability = ["5.2", ""]
[install.tpu.pinned]
requires = ["jax=={jax}", "libtpu=={libtpu}"]

[[cap]]
jax = "<0.4"
requires = ["numpy<1.23"]
why = "it is old"

[[cap]]
jax = "<0.4"
requires = ["optax==0.1.2", "chex==0.1.2"]
why = "it is old too"

[generation]
v2 = ">=0.2"
v4 = ">=0.6"

[release]
"0.4.31" = { python = "3.11", pythons = "3.9-3.12", as_of = 2024-09-01, libtpu = "0.0.8" }
"0.4.37" = { jaxlib = "0.4.36", python = "3.12", pythons = "3.9-3.13", as_of = 2025-01-09 }
"0.5.0" = { python = "3.12", pythons = "3.9-3.13", as_of = 2025-02-09 }
latest = { python = "3.14", pythons = "3.12-3.14" }
"""
)
ROWS = """
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
tpu = { install = "pinned", libtpu = "0.0.7" }

[[row]]
jax = "0.6.2"
jaxlib = "0.6.2"
python = "3.12"
as_of = 2025-07-10
tier = "pr"
cuda = { install = "newer" }

[[row]]
jax = "latest"
python = "3.13"
tier = "canary"
cpu = { install = "latest" }
"""
LIST = PROJECT + ROWS

BRIDGE = "# what the bridge needs\njaxlib==0.4.13   # the oldest\n\nml_dtypes==0.2.0\n"


@pytest.fixture
def load(tmp_path):
    """`load(old, new)` reads the list above, with `old` replaced by `new` in both files."""

    def load_changed(old="", new="", text=LIST, pyproject=PYPROJECT):
        assert old in text + JAX, old
        (tmp_path / "bridge.txt").write_text(BRIDGE)
        (tmp_path / "pyproject.toml").write_text(pyproject)
        for name, content in (("matrix.toml", text), ("jax.toml", JAX)):
            (tmp_path / name).write_text(content.replace(old, new, 1) if old else content)
        return rows.load(tmp_path / "matrix.toml", tmp_path / "jax.toml", tmp_path)

    return load_changed


@pytest.fixture
def cells(load):
    return {cell.name: cell for cell in load()}


# The cells of a row


SHORT = PROJECT + '[[row]]\njax = "0.4.31"\n'


def test_a_row_needs_only_its_jax(load):
    """The rest comes from what is known of the release, the backends from the project."""
    (cell,) = load(text=SHORT)
    assert (cell.name, cell.tier, cell.jaxlib) == ("py311-jax0.4.31-cpu", "nightly", "0.4.31")
    assert cell.as_of == datetime.date(2024, 9, 1)
    assert cell.requires[:2] == ("jax==0.4.31", "jaxlib==0.4.31")
    cells = load('["cpu"]', '["cpu", "tpu"]', SHORT + 'tpu = { install = "pinned" }')
    assert [(one.backend, one.requires[1], one.supports.tpu) for one in cells] == [("tpu", "libtpu==0.0.8", ("v2",))]


def test_a_row_overrides_what_is_known_of_its_release(load):
    (cell,) = load(text=SHORT + 'python = "3.12"\njaxlib = "0.4.30"\nas_of = 2024-10-01\ntier = "pr"\n')
    assert (cell.name, cell.tier, cell.jaxlib) == ("py312-jax0.4.31-cpu", "pr", "0.4.30")
    assert cell.as_of == datetime.date(2024, 10, 1)


def test_a_release_may_have_the_jaxlib_of_an_older_one(load):
    (cell,) = load(text=SHORT.replace("0.4.31", "0.4.37"))
    assert (cell.jax, cell.jaxlib) == ("0.4.37", "0.4.36")


def test_a_floating_row_needs_only_its_jax(load):
    (cell,) = load(text=SHORT.replace("0.4.31", "latest"))
    assert (cell.name, cell.requires[0], cell.as_of) == ("py314-jaxlatest-cpu", "jax", None)


def test_the_way_to_install_is_that_of_the_release(load):
    """Each way names its releases. Without one, the row is refused."""
    with pytest.raises(rows.MatrixError, match=re.escape("no way to install JAX 0.5.0 here")):
        load(text=SHORT.replace("0.4.31", "0.5.0"))
    (cell,) = load(text=SHORT.replace("0.4.31", "0.5.0") + 'cpu = { install = "latest" }\n')
    assert cell.requires[0] == "jax"


def test_a_project_overrides_a_part_of_a_way_to_install(load):
    (cell,) = load(text=SHORT + '[install.cpu.index]\nbase = "my/image"\n')
    assert (cell.base, cell.requires[0]) == ("my/image", "jax==0.4.31")


def test_a_project_adds_caps(load):
    (cell,) = load(text=SHORT + '[[cap]]\njax = "<0.5"\nrequires = ["optax<0.3"]\nwhy = "of ours"\n')
    assert "optax<0.3" in cell.requires


REQUIRING = """
[project]
name = "Some.Thing"
requires-python = ">=3.9"
dependencies = ["jax>=0.4", "jaxlib>=0.4", "numpy<2; python_version < '3.12'", "numpy>=2; python_version >= '3.12'"]
[project.optional-dependencies]
Test = ["some-thing[more]", "pywin32; sys_platform == 'win32'", "pytest>=7"]
more = ["more; python_version < '3.11'"]
[dependency-groups]
dev = ["pytest-xdist>=3", {include-group = "types"}]
types = ["mypy"]
"""


def test_a_cell_requires_what_its_python_needs(load, tmp_path):
    """Also from dependency groups, files and the list in the matrix. Never JAX, and always what runs the suite."""
    (tmp_path / "more.txt").write_text("# more\n-r base.txt  # too\n--index-url x\nchex >= 0.1 \\\n --hash=sha256:0\n")
    (tmp_path / "base.txt").write_text("absl-py==2.1\n")
    more = 'groups = ["dev"]\nrequirements = ["more.txt"]\nrequires = ["jax", "attrs"]\n'
    text = SHORT.replace("[[row]]", more + "[[row]]")
    (cell,) = load(text=text, pyproject=REQUIRING)
    expected = ["absl-py==2.1", "attrs", "chex>=0.1", "mypy", "numpy<2", "pytest-xdist>=3", "pytest>=7"]
    assert list(cell.requires[2:]) == expected
    (cell,) = load(text=text + 'python = "3.12"\n', pyproject=REQUIRING)
    assert "numpy>=2" in cell.requires and "numpy<2" not in cell.requires
    (cell,) = load('extras = ["test"]\n', "", SHORT, REQUIRING.replace("numpy", "scipy"))
    assert cell.requires[2:] == ("pytest", "pytest-xdist", "scipy<2")


def test_a_group_that_includes_itself_is_refused(load):
    circle = '[dependency-groups]\ndev = [{include-group = "more"}]\nmore = [{include-group = "dev"}]\n'
    with pytest.raises(rows.MatrixError, match="a dependency group includes itself"):
        load('extras = ["test"]', 'groups = ["dev"]', pyproject='[project]\nname = "x"\n' + circle)


PKG_INFO = """\
Metadata-Version: 2.1
Name: something
Requires-Python: >=3.9
Requires-Dist: jax>=0.4
Requires-Dist: numpy>=1.20
Provides-Extra: test
Requires-Dist: chex; extra == "test"
Requires-Dist: old; (python_version < "3.9") and extra == 'test'
Requires-Dist: new ; python_version >= "3.9" and extra == "test"
Requires-Dist: newer; extra == "test" and python_version >= "3.10"
Requires-Dist: older; extra == "test" and (python_version < "3.9" or python_version < "3.8")

Requires-Dist: a line of the description
"""


@pytest.mark.parametrize("pyproject", ["[build-system]", '[project]\nname = "x"\ndynamic = ["dependencies"]'])
def test_a_source_distribution_has_what_pyproject_leaves_to_the_build(load, tmp_path, pyproject):
    (tmp_path / "PKG-INFO").write_text(PKG_INFO)
    (cell,) = load('extras = ["test"]\n' * ("dynamic" in pyproject), "", SHORT, pyproject)
    tools = ("chex", "new", "newer", "numpy>=1.20", "pytest", "pytest-xdist")
    assert cell.requires[2:] == (tools if "dynamic" not in pyproject else tools[3:])


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
    tools = ("numpy", "optax!=0.1.8", "pytest", "pytest-xdist", "typing_extensions>=4.2")
    assert cells["py311-jax0.4.30-cpu"].requires == ("jax==0.4.30", "jaxlib==0.4.30", *tools)
    assert cells["py311-jax0.4.30-tpu"].requires == ("jax==0.4.30", "libtpu==0.0.7", *tools)
    assert cells["py39-jax0.2.18-cpu"].requires == (
        "jax==0.2.18",
        "jaxlib==0.4.13",
        "ml_dtypes==0.2.0",
        "numpy<1.23",
        "optax==0.1.2",
        "chex==0.1.2",
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


def test_hardware_limits_come_from_the_way_to_install_and_from_the_release(cells):
    cuda = cells["py311-jax0.4.30-cuda"].supports
    assert (cuda.compute_capability_min, cuda.compute_capability_max) == ((5, 2), (9, 0))
    assert cuda.driver_min == "525.60.13"
    assert cells["py312-jax0.6.2-cuda"].supports.compute_capability_max is None
    assert cells["py311-jax0.4.30-tpu"].supports.tpu == ("v2",)
    assert cells["py311-jax0.4.30-cpu"].supports == rows.Supports()


def test_the_base_image_comes_from_the_backend_unless_the_install_table_has_its_own(cells):
    assert cells["py311-jax0.4.30-cpu"].base == "python:3.11-slim"
    assert cells["py311-jax0.4.30-cuda"].base == "nvidia/cuda:12"


def test_caps_are_known_for_releases_without_a_row(load, tmp_path):
    load()
    matrix = matrix_file.Matrix(tmp_path / "matrix.toml", tmp_path / "jax.toml", tmp_path)
    assert matrix.caps("0.3.7") == ("numpy<1.23",)
    assert matrix.caps("0.5.0", ["optax"]) == matrix.caps("latest", ["optax"]) == ()


def test_a_cap_counts_only_for_a_project_that_requires_its_package(load, tmp_path):
    """JAX itself requires NumPy. The project needn't, and no cap adds a package to its cells."""
    load()
    matrix = matrix_file.Matrix(tmp_path / "matrix.toml", tmp_path / "jax.toml", tmp_path)
    assert matrix.caps("0.3.7", ["Optax"]) == ("numpy<1.23", "optax==0.1.2", "chex==0.1.2")
    assert matrix.caps("0.3.7", ["chex"]) == ("numpy<1.23",)


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
        (
            'tier = "pr"',
            'tier = "often"',
            "row 1 (jax 0.2.18): key `tier`: expected one of pr, nightly, canary, and got 'often'.",
        ),
        (
            "2024-07-15",
            '"2024-07-15"',
            "row 1 (jax 0.2.18): key `as_of`: expected a date such as 2023-07-10, without quotes",
        ),
        ("2024-07-15", "2024-07-15T00:00:00", "key `as_of`: expected a date"),
        ("as_of = 2024-07-15", "", "Otherwise the row needs its own `as_of`."),
        ('python = "3.9"', "python = 3.9", "key `python`: expected a string, and got 3.9."),
        ('python = "3.9"', 'python = "39"', "key `python`: expected a version such as 3.11, and got '39'."),
        ('jax = "0.2.18"', 'jax = "0.2.x"', "row 1 (jax 0.2.x): key `jax`: expected a version"),
        ('jaxlib = "0.1.69"', 'jaxlib = "old"', "key `jaxlib`: expected a version, and got 'old'."),
        ('jaxlib = "0.1.69"', "", "row 1 (jax 0.2.18): `0.2.18` isn't a release that the harness knows."),
        (
            'jax = "0.4.30"\njaxlib = "0.4.30"',
            'jax = "0.4.33"',
            "`0.4.33` isn't a release that the harness knows. Did you mean 0.4.37 or 0.4.31?",
        ),
        ('jax = "0.4.30"\njaxlib = "0.4.30"', "jax = 0.4", "row 2 (jax 0.4): key `jax`: expected a string"),
        (
            'jax = "latest"',
            'jax = "latest"\nas_of = 2024-07-15',
            "row 4 (jax latest): key `as_of` is given, and `latest` names no release.",
        ),
        (
            'cpu = { install = "bridge" }',
            "",
            "row 1 (jax 0.2.18), cpu: the harness knows no way to install JAX 0.2.18 here. Name one: install =",
        ),
        (
            'backends = ["cpu"]',
            'backends = ["gpu"]',
            "project: key `backends`: expected one of cpu, cuda, tpu, and got",
        ),
        ('extras = ["test"]', 'extras = ["tests"]', "the project has no extra `tests`: it has examples, lint, test."),
        ('extras = ["test"]', 'groups = ["dev"]', "the project has no dependency group `dev`: it has none."),
        ('"examples", "docs"', '"../docs"', "project: key `suite`: expected what is below the folder of matrix.toml"),
        (
            'built_from = ["equinox"',
            'built_from = [".."',
            "project: key `built_from`: expected what is below the folder",
        ),
        ('"docker/wheel-', '"../wheel-', "project: key `build_constraints`: expected what is below the folder"),
        ('extras = ["test"]', 'tests = ["/x"]', "project: key `tests`: expected what is below the folder"),
        (
            'extras = ["test"]',
            'tests = ["a/../../x::test_y"]',
            "project: key `tests`: expected what is below the folder",
        ),
        ('extras = ["test"]', 'page_parts = ["(a"]', "key `page_parts`: expected regular expressions, and got `(a`"),
        (LIST, "row = []\n" + PROJECT, "key `row`: expected at least one row."),
        ('extras = ["test"]', 'requires = ["a b"]', "matrix.toml, project: expected requirements such as numpy<2"),
        ('[">=0.4,<0.5", ">=0.6"]', '["0.4"]', "install.cpu.index: key `jax`: expected bounds such as >=0.4.9,<0.4.16"),
        ('"3.9-3.12"', '"3.9"', "release.0.4.31: key `pythons`: expected two versions such as 3.9-3.12"),
        (
            'install = "bridge"',
            'install = "brigde"',
            "row 1 (jax 0.2.18), cpu: key `install`: expected one of archive, bridge",
        ),
        ('install = "plugin"', 'instal = "plugin"', "Did you mean `install`?"),
        (', libtpu = "0.0.7"', "", "`libtpu=={libtpu}` needs `libtpu`, which the row doesn't give."),
        ('["5.2", "9.0"]', '["5.2"]', "install.cuda.plugin: key `compute_capability`: expected two"),
        ('["5.2", ""]', '["5", ""]', "install.cuda.newer: key `compute_capability`: expected two"),
        (
            '"<0.4"',
            '"before 0.4"',
            "cap 1 (jax before 0.4): key `jax`: expected bounds such as >=0.4.9,<0.4.16, and got 'before 0.4'.",
        ),
        ('why = "it is old"', "", "cap 1 (jax <0.4): key `why` is missing"),
        (
            '["numpy<1.23"]',
            '["numpy below 1.23"]',
            "cap 1 (jax <0.4): key `requires`: expected requirements such as numpy<2, and got ['numpy below 1.23']",
        ),
        ('["jax"]', '["jax 1"]', "row 4 (jax latest), cpu: expected requirements"),
        ('requires = ["jax"]', 'requires = "jax"', "install.cpu.latest: key `requires`: expected a list of strings"),
        (
            'stands_in_for = "archive"',
            'stands_in_for = "museum"',
            "install.cpu.bridge: key `stands_in_for`: expected one of",
        ),
        ('platform = "gpu"', "", "backend.cuda: key `platform` is missing"),
        ("[backend.cuda]", "[backend.rocm]", "backend: expected the tables cpu, cuda, tpu."),
        (ROWS, "[row]", "key `row`: expected tables, each below its name in double brackets"),
        ("[[cap]]", "[[caps]]", "jax.toml: key `caps` is unknown. Did you mean `cap`?"),
        ("[[row]]", "[[row]", "matrix.toml isn't TOML"),
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
    assert str(refused.value).startswith("matrix.toml" if old in LIST or message.startswith("row") else "jax.toml")


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ('[install.cpu.mine]\nrequires = ["jax"]\nstands_in_for = "museum"', "install.cpu.mine"),
        ('[[cap]]\njax = "old"\nrequires = []\nwhy = "x"', "cap"),
        ('[backend.rocm]\nplatform = "gpu"\nbase = "x"', "backend"),
    ],
)
def test_a_table_of_the_project_is_named_as_its_own(load, own, place):
    with pytest.raises(rows.MatrixError, match="^matrix.toml, {}".format(re.escape(place))):
        load(text=LIST + own)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(rows.MatrixError, match=r"There is no .*matrix.toml. Write one: python -m harness init /"):
        rows.load(tmp_path / "matrix.toml")
    (tmp_path / "matrix.toml").mkdir()
    with pytest.raises(rows.MatrixError, match="There is no"):
        rows.load(tmp_path / "matrix.toml")


def test_a_missing_file_of_requirements_is_refused(load):
    with pytest.raises(rows.MatrixError, match="other.txt can't be read"):
        load('requirements = "bridge.txt"', 'requirements = "other.txt"')
    with pytest.raises(rows.MatrixError, match="no.txt can't be read"):
        load('extras = ["test"]', 'requirements = ["no.txt"]')


def test_a_line_that_is_no_requirement_is_named_with_its_file(load, tmp_path):
    (tmp_path / "dev.txt").write_text("numpy  # a comment\n.[test]\n")
    with pytest.raises(rows.MatrixError, match=r"/dev.txt: expected requirements such as numpy<2, and got `.\[test\]`"):
        load('extras = ["test"]', 'requirements = ["dev.txt"]')


def test_a_file_that_is_not_utf_8_is_refused(load, tmp_path):
    (tmp_path / "dev.txt").write_bytes("numpy".encode("utf-16"))
    with pytest.raises(rows.MatrixError, match="dev.txt can't be read: .*utf-8"):
        load('extras = ["test"]', 'requirements = ["dev.txt"]')
    (tmp_path / "matrix.toml").write_bytes(b"# \xff")
    with pytest.raises(rows.MatrixError, match=r"matrix.toml isn't TOML: .*utf-8"):
        rows.load(tmp_path / "matrix.toml")


# The list itself


@pytest.fixture(scope="module")
def ours():
    return rows.load()


def test_what_is_known_of_jax_is_complete(ours):
    """Each release has exactly one way to be installed on the CPU, and the landmarks are releases."""
    known = matrix_file.known()
    for jax, release in known.release.items():
        ways = [name for name, way in known.install["cpu"].items() if any(jax in releases for releases in way.jax)]
        assert len(ways) == 1, (jax, ways)
        lowest, highest = map(Version, release.pythons.split("-"))
        assert lowest <= Version(release.python) <= highest
        assert jax in matrix_file.FLOATING or release.as_of is not None
        if ways == ["bridge"]:
            python = tuple(map(int, release.python.split(".")))
            assert releases.refuses_jax(jax) is None and releases.refuses_python(python, jax) is None
    assert {*known.landmark, *(cell.jax for cell in ours)} <= set(known.release)


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
