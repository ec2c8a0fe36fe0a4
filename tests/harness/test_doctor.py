"""`python -m harness doctor` reports all that it finds, and never ends with an error. Fakes answer its questions."""

import datetime
import http.client
import io
import urllib.error
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from rich.console import Console
from small_matrix import a_cell

from harness import rows
from harness.containers.docker_errors import DockerError
from harness.report import doctor
from harness.results import Outcome
from harness.rows import Supports
from harness.run.hardware import GPU, TPU, Hardware
from harness.system.interpreters import Interpreter

H100 = GPU("NVIDIA H100", (9, 0), "580.65.06", 81559)
BARE = Hardware(2, 4096, (), "no GPU here", None, "no TPU here")
PAGE = "https://jax.example/releases.html"


def cell(backend="cpu", jax="latest", python="3.12", **options):
    """A cell. With the default `jax` it floats, so it needs no lock."""
    return a_cell(jax, backend, python=python, **options)


def find(version):
    """Only Python 3.12 is here."""
    return Interpreter(Path("/opt/python3.12"), "3.12.1") if version == "3.12" else None


def here(hardware=BARE, unresolved=None, problems=None):
    return doctor.Here(hardware, find, unresolved or {}, problems or {})


# The project


def test_the_project(tmp_path):
    """Its folder, its tests, and the cells that it doesn't claim, by reason. A lost folder of tests is a fault."""
    (tmp_path / "tests").mkdir()
    cells = [cell(jax="0.5"), cell(jax="0.6"), cell(jax="0.7")]

    def why(cell, root):
        assert root == tmp_path
        return "" if cell.jax == "0.5" else "it requires jax<0.6"

    project = rows.Project(package="some", tests=("tests",))
    named, tests, claims = doctor.tested(project, cells, tmp_path, why)
    assert named.says == "some, in {}".format(tmp_path)
    assert (tests.ok, tests.says) == (True, "tests")
    assert claims.says == "py312-jax0.6-cpu, py312-jax0.7-cpu: it requires jax<0.6, and tested anyway"
    _, lost = doctor.tested(replace(project, tests=("test",)), [], tmp_path, why)
    assert not lost.ok and "test not found" in lost.says
    _, wheel = doctor.tested(rows.Project(package="some", installed=True, tests=("some",)), [], tmp_path, why)
    assert wheel.ok and wheel.says == "some, as the wheel installs them"


# What this machine has


def test_pythons():
    """Each Python that a cell needs is listed once, in order: where it is, or how to install it."""
    lines = list(doctor.pythons([cell(python="3.12"), cell(python="3.9"), cell("cuda", python="3.12")], find))
    assert [line.what for line in lines] == ["Python 3.9", "Python 3.12"]
    assert [line.ok for line in lines] == [None, True]
    assert "pyenv install 3.9" in lines[0].says
    assert "3.12.1 at /opt/python3.12" in lines[1].says


def test_tools(monkeypatch):
    lines = list(doctor.tools("/bin/uv"))
    assert [(line.what, line.ok) for line in lines] == [("uv", True), ("tox", True)]

    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)
    lines = list(doctor.tools(None))
    assert [(line.what, line.ok) for line in lines] == [("uv", False), ("tox", False)]
    assert all("pip install -r harness/requirements.lock" in line.says for line in lines)


def test_containers():
    """The report names the engine, or says why none answers. Having none is not an error."""
    (line,) = doctor.containers(lambda: "Docker 27.1 at unix:///x")
    assert line.ok and "27.1" in line.says

    def none():
        raise DockerError("no Docker engine answers at unix:///x; start it")

    (line,) = doctor.containers(none)
    assert line.ok is None and "unix:///x; start it" in line.says


def test_accelerators():
    lines = {line.what: line for line in doctor.accelerators(replace(BARE, gpus=(H100,), tpu=TPU("v5e", 4)))}
    assert lines["GPU"].says == "NVIDIA H100, 80 GiB, compute capability 9.0, driver 580.65.06"
    assert lines["TPU"].says == "v5e, 4 chips"
    assert [(line.ok, line.says) for line in doctor.accelerators(BARE)] == [
        (None, "no GPU here"),
        (None, "no TPU here"),
    ]


def test_network():
    """All cells need the index, and only some need JAX's pages. Each page is shown once, without its password."""
    env = {"EQX_INDEX_URL": "https://me:secret@mirror.example/simple"}
    cells = [cell(find_links=(PAGE,)), cell(index_url=PAGE), cell()]
    pages = doctor.pages(cells, env)
    assert list(pages) == ["https://me:secret@mirror.example/simple", PAGE]
    lines = list(doctor.network(pages, doctor.reach_all(pages, lambda url: "" if "mirror" in url else "no such host")))
    assert [line.ok for line in lines] == [True, None]
    assert lines[0].says == "https://mirror.example/simple answers"
    assert "no such host" in lines[1].says
    (line, _) = doctor.network(pages, dict.fromkeys(pages, "refused"))
    assert line.ok is False


@pytest.mark.parametrize(
    "error, said",
    [
        (urllib.error.URLError("no such host"), "no such host"),
        (TimeoutError("timed out"), "timed out"),
        (urllib.error.HTTPError("u", 404, "gone", None, None), "HTTP status 404"),
        (urllib.error.HTTPError("u", 405, "not so", None, None), ""),  # the page exists, but not for this method
        (http.client.InvalidURL("nonnumeric port"), "nonnumeric port"),
    ],
)
def test_reach(error, said):
    """The password of the page is a header of the request."""

    def opener(request, timeout):
        assert timeout <= 10 and request.full_url == "https://jax.example" and request.get_header("Authorization")
        raise error

    assert doctor.reach("https://me:secret@jax.example", opener) == said


def test_machine():
    lines = {line.what: line for line in doctor.machine(BARE, free_gib=1.0)}
    assert lines["memory"].ok
    assert lines["disk"].ok is False
    assert "memory" not in {line.what for line in doctor.machine(replace(BARE, memory_mib=None), 9.0)}


# Which cells can run


def test_why_not(tmp_path):
    """The first reason counts: hardware, then packages, then Python."""
    assert here().why_not(cell()) is None
    assert here().why_not(cell("cuda")) == (Outcome.NOT_RUN, "no GPU here")
    outcome, reason = here().why_not(cell(python="3.9"))
    assert outcome is Outcome.NOT_RUN and reason.startswith("there is no Python 3.9 here yet; ")
    outcome, reason = here(problems={PAGE: "refused"}).why_not(cell(index_url=PAGE))
    assert outcome is Outcome.UNAVAILABLE
    assert PAGE in reason
    old = Supports(compute_capability_max=(8, 6))
    outcome, reason = here(replace(BARE, gpus=(H100,))).why_not(cell("cuda", supports=old))
    assert outcome is Outcome.UNSUPPORTED


def test_a_cell_without_a_lock_is_unavailable():
    """The reason is the one that `make lock` wrote. Without one, the message names the command that makes the lock."""
    locked = replace(cell(jax="0.0.1"), as_of=datetime.date(2020, 1, 1))
    assert here().why_not(locked) == (
        Outcome.UNAVAILABLE,
        "no lock; this makes all locks: python -m harness lock",
    )
    assert here(unresolved={locked.name: "gone"}).why_not(locked) == (Outcome.UNAVAILABLE, "gone")


def test_backends():
    """The report counts the cells that can run, and groups the others by reason. Few cells are listed by name.

    A backend without cells isn't listed.
    """
    cells = [cell(), cell(python="3.9"), *[cell("cuda", str(n)) for n in range(5)]]
    cpu, cuda = doctor.backends(cells, here())
    assert cpu.can_run == "1 of 2\npy312-jaxlatest-cpu"
    assert cpu.others.startswith("py39-jaxlatest-cpu not run: there is no Python 3.9 here yet")
    assert cuda.can_run == "0 of 5"
    assert cuda.others == "all not run: no GPU here"
    locked = [replace(cell(jax=str(number)), as_of=datetime.date(2020, 1, 1)) for number in range(20)]
    (many,) = doctor.backends(locked, here())
    assert many.can_run == "0 of 20"
    assert many.others == "all unavailable: no lock; this makes all locks: python -m harness lock"
    (many,) = doctor.backends([cell(jax=str(number)) for number in range(20)], here())
    assert many.can_run == "20 of 20"


def test_needs():
    """The needs of a backend are a range from its oldest cell to its newest, in the order of versions."""
    gpus = [
        cell("cuda", supports=Supports((7, 5), None, "580")),
        cell("cuda", supports=Supports((3, 5), (8, 6), "450.80.02")),
        cell("cuda", supports=Supports((5, 2), (9, 0), "525.60.13")),
    ]
    assert doctor.needs("cuda", gpus) == (
        "an NVIDIA GPU, driver 450.80.02 (the oldest cell) to 580 (the newest) or later, "
        "compute capability 3.5 or higher"
    )
    assert doctor.needs("cpu", [cell(python="3.12"), cell(python="3.9")]) == (
        "Python 3.9 (the oldest cell) to 3.12 (the newest)"
    )
    assert doctor.needs("tpu", [cell("tpu", supports=Supports(tpu=("v2",)))]) == "a TPU VM, v2"
    assert [doctor.needs(backend, []) for backend in ("cuda", "tpu")] == ["an NVIDIA GPU", "a TPU VM"]


def test_a_machine_with_nothing_gets_a_whole_report(tmp_path):
    """Every check fails, and each failure is shown. Without a terminal the report is plain text."""
    out = io.StringIO()

    def no_engine():
        raise DockerError("there is no engine")

    doctor.show(
        [cell(), cell("cuda", find_links=(PAGE,)), cell("tpu")],
        console=Console(file=out, width=120),
        here=BARE,
        find=lambda version: None,
        reach=lambda url: "no network [at all]",
        check=no_engine,
        env={"PATH": ""},
        folder=tmp_path,
        what=rows.Project(package="some"),
        why_unclaimed=lambda cell, root: "",
    )
    shown = out.getvalue()
    for words in "Project Pythons Tools Containers Accelerators Network Machine".split() + [
        "no network [at all]",
        "there is no engine",
        "no GPU here",
        "no TPU here",
        "0 of 1",
    ]:
        assert words in shown
    assert "\x1b" not in shown
