"""`python -m harness`: whether cells run on the host or in containers; images and shells."""

import os

import pytest
from fake_docker import IMAGE

from harness import command_line, rows
from harness.containers import container, image, interactive
from harness.run import host, scheduler

NAME = "py311-jax0.4.30-cpu"
CELL = next(cell for cell in rows.load() if cell.name == NAME)
NO_ENGINE = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"


@pytest.fixture
def main(monkeypatch):
    """Do a command. Returns the exit status, and the options of the call of `scheduler.run` (none without a call)."""

    def main(*argv, command="run"):
        passed = {}
        monkeypatch.setattr(scheduler, "run", lambda cells, **options: passed.update(options) or 0)
        return command_line.main([command, NAME, *argv]), passed

    return main


def test_the_host_is_the_default(main, docker):
    """No engine is asked."""
    status, passed = main()
    assert status == 0 and passed["runner"] is host and passed["hashes"][NAME]["image"] == ""
    assert docker.calls == []


@pytest.mark.parametrize("where", ["container", "auto"])
def test_in_containers(main, docker, capsys, where):
    status, passed = main("--where", where)
    assert status == 0 and passed["runner"] is container
    assert passed["hashes"] == container.hashes_of([CELL])
    assert capsys.readouterr().out == "In containers: Docker 27.0 at unix:///var/run/docker.sock.\n"


@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_auto_without_the_engine_that_the_user_named(main, docker, capsys, monkeypatch, variable):
    """If the user names an engine, the host is no replacement for it."""
    monkeypatch.setenv(variable, "ssh://elsewhere")
    docker.answer("version", status=1, err=NO_ENGINE)
    assert main("--where", "auto") == (3, {})
    assert "No containers" in capsys.readouterr().err


def test_auto_without_an_engine(main, docker, capsys):
    """The cells run on the host. A message says so, and why."""
    docker.answer("version", status=1, err=NO_ENGINE)
    status, passed = main("--where", "auto")
    assert status == 0 and passed["runner"] is host
    said = capsys.readouterr().out
    assert (
        said.startswith("On this host, not in containers: no Docker engine answers at unix:///x")
        and said.count("\n") == 1
    )


def test_container_without_an_engine(main, docker, capsys):
    """The user asked for containers, so nothing runs on the host."""
    docker.answer("version", status=1, err=NO_ENGINE)
    assert main("--where", "container") == (3, {})
    assert "no Docker engine answers at unix:///x" in capsys.readouterr().err


def test_image_only(main, docker, capsys):
    assert main(command="image") == (0, {})
    assert image.tag(CELL) in docker.call("build")
    assert IMAGE in capsys.readouterr().out


def test_image_that_cannot_be_built(main, docker, capsys):
    docker.answer("build", status=1, err="#3 ERROR: registry.example/library/python:3.99: not found\n")
    assert main(command="image") == (3, {})
    assert "python:3.99" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["image", "shell"])
def test_nothing_is_built_if_no_engine_answers(main, docker, capsys, command):
    docker.answer("version", status=1, err=NO_ENGINE)
    assert main(command=command) == (3, {})
    assert "unix:///x" in capsys.readouterr().err and "build" not in docker.verbs


def test_a_shell_needs_exactly_one_cell(docker, capsys):
    assert command_line.main(["shell", "py311-*"]) == 2
    assert NAME in capsys.readouterr().err and docker.calls == []


def test_build_output_is_made_safe(main, docker, capsys):
    """The output holds text from packages: passwords and control characters are removed."""
    docker.answer("build", err="#7 from https://me:secret@mirror/x \x1b[2Jpassed \u202e\n")
    assert main(command="image")[0] == 0
    said = capsys.readouterr().out
    assert "#7 from https://mirror/x passed" in said and "\x1b" not in said and "\u202e" not in said


def test_shell(main, docker):
    """The shell works on the checkout itself, as the user who started it."""
    docker.answer("run", status=7)
    assert main(command="shell") == (7, {})
    command = docker.call("run")
    assert command[-2:] == [IMAGE, "bash"] and "--rm" in command
    assert '--mount=type=bind,"source={}",target=/source'.format(interactive.ROOT) in command
    assert "--user={}:{}".format(os.getuid(), os.getgid()) in command


def test_a_shell_needs_an_engine_that_can_mount_this_folder(main, docker, capsys):
    docker.answer("context", out="ssh://elsewhere\n")
    assert main(command="shell") == (3, {})
    assert "ssh://elsewhere is on another machine" in capsys.readouterr().err and "build" not in docker.verbs


def test_ctrl_c_while_an_image_is_built(main, docker, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(container, "build", interrupted)
    assert main(command="image") == (130, {})
