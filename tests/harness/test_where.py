"""docker/run.py: where cells run, and what it does with images instead of running any."""

import io
import os
import tarfile

import pytest
import run
from fake_docker import IMAGE, FakeDocker
from harness import by_hand, container, host, image, rows

NAME = "py311-jax0.4.30-cpu"
CELL = next(cell for cell in rows.load() if cell.name == NAME)
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"


@pytest.fixture
def docker(tmp_path, monkeypatch):
    docker = FakeDocker(tmp_path / "docker")
    monkeypatch.setenv("PATH", docker.path)
    monkeypatch.setattr(host, "POLL_S", 0.02)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    return docker


@pytest.fixture
def main():
    """The exit status, and what was handed on to whoever runs cells; None: nothing was."""

    def main(*argv):
        handed_on = {}
        status = run.main([NAME, *argv], run=lambda cells, **options: handed_on.update(options) or 0)
        return status, handed_on

    return main


def test_on_the_host_unless_said_otherwise(main, docker):
    """Nobody asks for an engine."""
    status, handed_on = main()
    assert status == 0 and handed_on["runner"] is host and handed_on["hashes"][NAME]["image"] == ""
    assert docker.calls == []


@pytest.mark.parametrize("where", ["container", "auto"])
def test_in_containers(main, docker, capsys, where):
    status, handed_on = main("--where", where)
    assert status == 0 and handed_on["runner"] is container
    assert handed_on["hashes"] == container.hashes_of([CELL])
    assert capsys.readouterr().out == "In containers: Docker 27.0 at unix:///var/run/docker.sock.\n"


@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_auto_without_the_engine_that_the_user_named(main, docker, capsys, monkeypatch, variable):
    """Whoever names an engine doesn't mean this host."""
    monkeypatch.setenv(variable, "ssh://elsewhere")
    docker.answer("version", status=1, err=NO_ENGINE)
    assert main("--where", "auto") == (3, {})
    assert "No containers" in capsys.readouterr().err


def test_auto_without_an_engine(main, docker, capsys):
    """It runs on the host, and says so, and why."""
    docker.answer("version", status=1, err=NO_ENGINE)
    status, handed_on = main("--where", "auto")
    assert status == 0 and handed_on["runner"] is host
    said = capsys.readouterr().out
    assert (
        said.startswith("On this host, not in containers: no Docker engine answers at unix:///x")
        and said.count("\n") == 1
    )


def test_container_without_an_engine(main, docker, capsys):
    """That was asked for: nothing is run."""
    docker.answer("version", status=1, err=NO_ENGINE)
    assert main("--where", "container") == (3, {})
    assert "no Docker engine answers at unix:///x" in capsys.readouterr().err


def test_image_only(main, docker, capsys):
    assert main("--image-only") == (0, {})
    assert image.tag(CELL) in docker.call("build")
    assert IMAGE in capsys.readouterr().out


def test_image_that_cannot_be_built(main, docker, capsys):
    docker.answer("build", status=1, err="#3 ERROR: registry.example/library/python:3.99: not found\n")
    assert main("--image-only") == (3, {})
    assert "python:3.99" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--image-only", "--shell"])
def test_nothing_is_built_where_no_engine_answers(main, docker, capsys, option):
    docker.answer("version", status=1, err=NO_ENGINE)
    assert main(option) == (3, {})
    assert "unix:///x" in capsys.readouterr().err and "build" not in docker.verbs


def test_shell_is_of_one_cell(docker, capsys):
    assert run.main(["py311-*", "--shell"]) == 2
    assert NAME in capsys.readouterr().err and docker.calls == []


def test_what_a_build_says_is_safe(main, docker, capsys):
    """It has the words of packages."""
    docker.answer("build", err="#7 from https://me:secret@mirror/x \x1b[2Jpassed \u202e\n")
    assert main("--image-only")[0] == 0
    said = capsys.readouterr().out
    assert "#7 from https://mirror/x passed" in said and "\x1b" not in said and "\u202e" not in said


def test_shell(main, docker):
    """In the source itself, as the user who started it."""
    docker.answer("run", status=7)
    assert main("--shell") == (7, {})
    command = docker.call("run")
    assert command[-2:] == [IMAGE, "bash"] and "--rm" in command
    assert '--mount=type=bind,"source={}",target=/source'.format(by_hand.ROOT) in command
    assert "--user={}:{}".format(os.getuid(), os.getgid()) in command


def test_shell_elsewhere(main, docker, capsys):
    """In a copy of the source, which is said; and no container stays."""
    docker.answer("context", out="ssh://elsewhere\n")
    docker.answer("start", status=7)
    assert main("--shell") == (7, {})
    assert [verb for verb in docker.verbs if verb in ("create", "cp", "start", "run", "rm")] == [
        "create",
        "cp",
        "start",
        "rm",
    ]
    assert not [word for call in docker.calls for word in call if word.startswith("--mount")]
    assert docker.containers == [] and "copy" in capsys.readouterr().out


def test_only_the_source_is_copied(tmp_path):
    for path in ("equinox/a.py", "equinox/__pycache__/a.pyc", ".git/config", ".tox/x", "results/x.json", "Makefile"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(tmp_path, "source", filter=by_hand.only_source)
        names = sorted(member.name for member in tar.getmembers() if member.isfile())
    assert names == ["source/Makefile", "source/equinox/a.py"]


def test_ctrl_c_while_an_image_is_built(main, docker, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(container, "build", interrupted)
    assert main("--image-only") == (130, {})
