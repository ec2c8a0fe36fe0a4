"""The Dockerfiles agree with matrix.toml and tox.ini, and a second build gives the same image."""

import datetime
import json
import re
import shlex
import threading
from importlib.metadata import distributions

import inventory
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from programs import git_in

from harness import locks, rows
from harness.containers import bases, engine, image
from harness.containers.docker_errors import DockerError
from harness.run import environment
from harness.source import fingerprint, suite
from harness.system.paths import BUILD_CONSTRAINTS, DOCKER, ROOT

CELLS = rows.load()
DOCKERFILES = {backend: (DOCKER / (backend + ".Dockerfile")).read_text(encoding="utf-8") for backend in rows.BACKENDS}
TODAY = datetime.date(2026, 11, 22)

backends = pytest.mark.parametrize("backend", rows.BACKENDS)
each_cell = pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])


def newest(backend):
    return [cell for cell in CELLS if cell.backend == backend and not cell.floating][-1]


def defaults(text):
    """The build arguments that are declared above the first stage."""
    head = text.split("\nFROM ", 1)[0]
    found = dict(line[4:].split("=", 1) for line in head.splitlines() if line.startswith("ARG "))
    return {name: "".join(shlex.split(value)) for name, value in found.items()}


def instructions(text):
    """The instructions of a Dockerfile, each on one line."""
    joined = re.sub(r"\\\n *", "", re.sub(r"(?m)^#.*\n", "", text))
    return [line for line in joined.splitlines() if line]


def variables_set(text, args):
    """The variables that the stage `cell` sets with ENV."""
    stage = "\n".join(instructions(text)).split("\nFROM dependencies AS cell\n")[1]
    found = {}
    for line in stage.splitlines():
        if line.startswith("ENV "):
            pairs = [pair.split("=", 1) for pair in shlex.split(line[4:])]
            found.update((name, re.sub(r"\${(\w+)}", lambda m: args[m[1]], value)) for name, value in pairs)
    return found


@pytest.mark.parametrize("package", ["equinox", "My_Package", "_private_", "google.brain"])
def test_docker_takes_the_name_of_an_image(monkeypatch, package):
    """The name of a package may have capitals and underscores. Docker refuses those."""
    monkeypatch.setattr(image, "project", lambda: rows.Project(package=package))
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-cell:" + re.escape(CELLS[0].name), image.tag(CELLS[0]))


@backends
def test_defaults_are_the_newest_cell(backend):
    """`docker build -f docker/cpu.Dockerfile .` without arguments builds the newest cell."""
    expected = dict(
        image.build_args(newest(backend), today=TODAY),
        LOCK="",
        BASE=bases.base_images(newest(backend))[0],
        SETUPTOOLS_SCM_PRETEND_VERSION="",
    )
    assert defaults(DOCKERFILES[backend]) == expected


@each_cell
def test_every_argument_is_declared_and_on_one_line(cell):
    args = image.build_args(cell, revision="1234", today=TODAY)
    assert args.keys() == defaults(DOCKERFILES[cell.backend]).keys()
    assert all("\n" not in value for value in args.values())


@each_cell
def test_requirements_hold_no_spaces(cell):
    """The Dockerfile splits them at spaces. A requirement with a marker would be split in two."""
    words = image.build_args(cell, today=TODAY)["INSTALL"].split()
    if cell.floating:
        assert set(cell.requires) <= set(words)
    else:
        assert words == ["--no-deps", "--require-hashes", "-r", "/locks/{}.txt".format(cell.name)]


@each_cell
def test_variables_are_those_of_the_host(cell):
    """In its image, a cell gets the same variables as from tox on the host."""
    args = image.build_args(cell, today=TODAY)
    found = variables_set(DOCKERFILES[cell.backend], args)
    for_container = {name: found.pop(name) for name in list(found) if name.startswith("NVIDIA_")}
    assert found == environment.variables(cell, image.INSIDE)
    assert bool(for_container) == (cell.backend == "cuda")


@backends
def test_command_is_that_of_the_host(backend):
    (found,) = [line for line in instructions(DOCKERFILES[backend]) if line.startswith("CMD ")]
    assert json.loads(found[4:]) == ["python", "-m", "pytest", *environment.pytest_arguments(image.INSIDE)]


def test_the_common_part_of_the_three_dockerfiles_is_the_same():
    common = [text.split("\n# --- ")[1] for text in DOCKERFILES.values()]
    assert common[0] == common[1] == common[2]


@backends
def test_only_public_bases_and_old_syntax(backend):
    """There is no private registry and no user's home. BuildKit of 2020 understands the file."""
    text = DOCKERFILES[backend]
    sources = {line.split()[1] for line in instructions(text) if line.startswith("FROM ")}
    assert sources <= {"${BASE}", "${TOOLKIT}", "base", "python", "dependencies"}
    assert "/root" not in text and "/home" not in text and "HEALTHCHECK" not in text
    assert "LD_LIBRARY_PATH=" not in text and "# syntax" not in text and "<<" not in text


WHEEL_CONSTRAINTS = DOCKER / "wheel-constraints.txt"


def builders(python, *files):
    """The packages that build source archives on a Python, with their pins."""
    lines = re.findall(r"(?m)^[a-z].*(?= \\$)", "".join(file.read_text(encoding="utf-8") for file in files))
    pins = [Requirement(line) for line in lines]
    here = {"python_version": python, "python_full_version": python + ".0"}
    return {pin.name: str(pin.specifier) for pin in pins if pin.marker is None or pin.marker.evaluate(here)}


@pytest.mark.parametrize("python", sorted({cell.python for cell in CELLS}, key=Version))
def test_build_tools_are_pinned(python):
    """Below Python 3.12, JAX is built from source. Our wheel always is."""
    pinned = builders(python, BUILD_CONSTRAINTS, WHEEL_CONSTRAINTS)
    assert pinned.keys() >= {"hatchling", *(["setuptools", "wheel"] if Version(python) < Version("3.12") else [])}
    assert all(re.fullmatch(r"==[\d.]+", specifier) for specifier in pinned.values())


@each_cell
def test_build_tools_are_in_no_lock(cell):
    """pip before 25.3 applies build constraints to the lock as well, and refuses a lock with other releases."""
    pins = locks.read(cell.lock).pins if not cell.floating and cell.lock.exists() else ()
    assert builders(cell.python, BUILD_CONSTRAINTS).keys().isdisjoint(pin.project for pin in pins)


@pytest.mark.parametrize("file", [BUILD_CONSTRAINTS, WHEEL_CONSTRAINTS], ids=lambda file: file.name)
def test_build_tools_have_hashes(file):
    """So do the packages that they depend on."""
    pins = locks.read(file).pins
    assert pins and all(pin.hashes for pin in pins)
    if file is WHEEL_CONSTRAINTS:
        assert {"hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"} <= {pin.project for pin in pins}


def test_nightly_jax_comes_only_from_its_own_index():
    """pip merges indexes, and would take a `jax` with a higher version from another one."""
    nightly = [cell for cell in CELLS if cell.index_url]
    assert nightly and all(not image.build_args(cell)["INSTALL_FIRST"] for cell in CELLS if cell not in nightly)
    for cell in nightly:
        args = image.build_args(cell, today=TODAY)
        first = args["INSTALL_FIRST"].split()
        assert first[:4] == ["--no-deps", "--pre", "--index-url", cell.index_url]
        assert {"jax", "jaxlib"} <= set(first) and "jaxtyping" not in first and not {"optax", "numpy"} & set(first)
        assert ("libtpu" in first) == (cell.backend == "tpu")
        assert ("jax-cuda13-plugin[with-cuda]" in first) == (cell.backend == "cuda")
        assert not [word for word in args["INSTALL"].split() if word.startswith("-")]
    for text in DOCKERFILES.values():
        assert "--extra-index-url" not in text


def test_bridge_and_lock():
    (cell,) = rows.select(CELLS, ["py39-jax0.2.18-cpu"])
    args = image.build_args(cell)
    assert (args["BRIDGE"], args["AS_OF"]) == ("0.2.18", "2024-07-15") and len(args["LOCK"]) == 64
    original = image.build_args(cell.original)
    assert original["BRIDGE"] == "" and original["INSTALL"].endswith("/locks/py39-jax0.2.18-cpu.archive.txt")


def test_a_floating_cell_is_built_again_each_day():
    cell = [cell for cell in CELLS if cell.floating][0]
    first, second = [image.build_args(cell, today=TODAY + datetime.timedelta(days)) for days in (0, 1)]
    assert first != second and dict(first, AS_OF="") == dict(second, AS_OF="")


def test_cuda_and_python_come_from_different_images():
    (old,) = rows.select(CELLS, ["py39-jax0.2.18-cuda"])
    args = image.build_args(old)
    assert args["BASE"].startswith("python:3.9-slim-bookworm") and args["TOOLKIT"].startswith("nvidia/cuda:11.1.1")
    assert image.build_args(newest("cuda"))["TOOLKIT"] == "scratch"


def test_a_folder_whose_name_has_a_space_is_refused(tmp_path):
    """The Dockerfile would look for two folders. A file that isn't there is not copied, whatever its name."""
    (tmp_path / "my tests").mkdir()
    assert image.existing(["my docs"], tmp_path) == ""
    with pytest.raises(DockerError, match="`my tests`, because its name has a space.*--where host"):
        image.existing(["my tests"], tmp_path)


@backends
def test_the_wheel_has_the_version_of_the_last_tag(backend, monkeypatch):
    """The source in the image has no git. Some build backends fail without the version from it."""
    monkeypatch.setattr(image, "version_of_tag", lambda: {"SETUPTOOLS_SCM_PRETEND_VERSION": "1.2"})
    assert image.build_args(newest(backend))["SETUPTOOLS_SCM_PRETEND_VERSION"] == "1.2"
    stage = "\n".join(instructions(DOCKERFILES[backend])).split("\nFROM python AS wheel\n")[1].split("\nRUN ")[0]
    assert "ARG SETUPTOOLS_SCM_PRETEND_VERSION" in stage.splitlines()
    monkeypatch.setattr(image, "version_of_tag", dict)  # in a source distribution
    assert image.build_args(newest(backend))["SETUPTOOLS_SCM_PRETEND_VERSION"] == ""


def test_revision(tmp_path, monkeypatch):
    git = git_in(tmp_path)

    with monkeypatch.context() as without_git:
        without_git.setenv("PATH", "/nowhere")
        assert image.revision() == ""
    assert image.revision(root=tmp_path) == ""
    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    git("tag", "-m", "v1", "v1")
    assert re.fullmatch("[0-9a-f]{40}", image.revision(root=tmp_path))
    (tmp_path / "file").write_text("two")
    assert re.fullmatch("[0-9a-f]{40}-dirty", image.revision(root=tmp_path))


@backends
def test_the_build_context_is_what_the_dockerfile_copies(backend):
    """.dockerignore lists all files that the engine gets. Only these can change an image."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and "tests/harness" in lines
    tested = rows.project()
    of_harness = {suite.PLUGINS, "docker/bridge", fingerprint.BUILDERS}
    assert sent == {*tested.built_from, tested.build_constraints, *tested.suite, *of_harness, "locks"}
    args, used = image.build_args(newest(backend)), set()
    for line in instructions(DOCKERFILES[backend]):
        if line.startswith("COPY "):
            sources = (word.replace("${HARNESS}/", "") for word in line.split()[1:-1] if not word.startswith("--"))
            used |= {word.split("/${")[0] for word in sources}
        used |= {args[name] for name in re.findall(r"/mnt/\${(BUILD_\w+)}", line)}
        for name in re.findall(r"cp --recursive --parents \${(\w+)}", line):
            used |= set(args[name].split())
        used |= set(re.findall(r"/mnt/\${HARNESS}/(docker/\w+)", line))
    assert used == sent


# ---- What an image holds ---------------------------------------------------------------------------------------------


def installed(folder, name, record):
    info = folder / "{}-1.0.dist-info".format(name)
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n".format(name))
    (info / "RECORD").write_text("\n".join(record))
    return folder


def test_inventory_distinguishes_packages_by_their_files(tmp_path):
    """The order of the files, and compiled files, don't matter."""
    record = ["an/__init__.py,sha256=one,3", "an_x-1.0.dist-info/RECORD,,"]
    folders = [
        installed(tmp_path / "1", "An_x", record),
        installed(tmp_path / "2", "An_x", [*reversed(record), "an/__pycache__/__init__.cpython-311.pyc,,"]),
        installed(tmp_path / "3", "An_x", [record[0].replace("one", "two"), record[1]]),
    ]
    first, same, other = [inventory.lines(distributions(path=[str(folder)])) for folder in folders]
    assert first == same != other
    assert re.fullmatch("an-x==1.0 sha256:[0-9a-f]{64}", *first)


@pytest.fixture
def docker(request):
    """`engine.ask`. The test is skipped without `--run-docker`."""
    if not request.config.getoption("--run-docker", default=False):
        pytest.skip("builds images, in minutes: only with --run-docker")
    try:
        engine.check()
    except DockerError as error:
        pytest.skip(str(error))
    return engine.ask


def test_a_second_build_holds_the_same(docker, tmp_path):
    """The versions, files and wheel are the same, although the second build uses no cache."""
    cell = newest("cpu")
    args = ["--build-arg={}={}".format(*item) for item in image.build_args(cell).items()]
    found = []
    for _ in range(2):
        id_file = tmp_path / "id"
        with (tmp_path / "log").open("wb") as log:
            command = ["build", "--no-cache", "--iidfile", str(id_file), "--file", str(image.dockerfile(cell)), *args]
            completed = engine.follow(*command, str(ROOT), log=log, cancel=threading.Event())
        assert completed.status == 0, completed.output
        found.append(docker("run", "--rm", id_file.read_text(), "python", "-m", "inventory").splitlines())
        docker("image", "rm", id_file.read_text())
    first, second = found
    assert first == second
    assert {line.split("==")[0] for line in first} >= {"equinox", "jax", "jaxlib", "pytest"}
