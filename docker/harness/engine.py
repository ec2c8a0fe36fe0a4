"""The Docker engine, by way of its command line.

That knows contexts, hosts that are reached by ssh, credentials, and BuildKit. The SDK for Python builds with the
classic builder only, and would be one more thing to install.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from harness import host
from harness.files import write_whole
from harness.places import ROOT, WORK
from harness.trouble import PODMAN, Trouble, not_understood, understand

ASK_S = 60  # an engine that is reached by ssh takes its time
STOP = ((signal.SIGKILL, 5.0),)  # at once: the engine gives up what it was asked for when nobody listens any more
LABEL = "equinox.run"
LINES_KEPT = 2000


class Interrupted(Exception):
    """The user wants no more of it."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended, and the last that it said."""

    status: int
    said: str


def program() -> str:
    """Raises: Trouble: there is none."""
    found = shutil.which("docker")
    if found is None:
        raise Trouble(
            "there is no `docker` on the PATH; install Docker Engine (https://docs.docker.com/engine/install), or run "
            "the cell on this host: `WHERE=host` behind the make command, or `--where host` behind docker/run.py"
        )
    return found


def ask(*arguments: str) -> str:
    """What docker answers, on its standard output.

    Raises: Trouble: it doesn't.
    """
    command = [program(), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = "the engine gave no answer to `docker {}` within {} s; is its machine up, and can it be reached?"
        raise Trouble(message.format(arguments[0], ASK_S)) from None
    if done.returncode != 0:
        raise understand(done.stderr) or not_understood(arguments[0], done.stderr)
    return done.stdout.strip()


def receive(*arguments: str, take: Callable[[IO[bytes]], None]) -> None:
    """Have `take` read what docker writes to its standard output.

    Raises: Trouble: docker fails, or isn't done in time. Whatever `take` raises.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdout is not None
        late = threading.Timer(ASK_S, process.kill)
        late.start()
        try:
            take(process.stdout)
            while process.stdout.read(2**16):  # an archive is padded at its end
                pass
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that writes on would never end by itself
                process.wait(1)
            overdue = not late.is_alive()
            late.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
            if overdue:
                raise Trouble("`docker {}` was not done within {} s".format(arguments[0], ASK_S))
            if process.returncode > 0:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace")
                raise understand(said) or not_understood(arguments[0], said)


def check() -> str:
    """Say which engine this is.

    Raises: Trouble: none answers.
    """
    if "podman" in ask("--version").lower():
        raise Trouble(PODMAN)
    version = ask("version", "--format", "{{.Server.Version}}")
    return "Docker {} at {}".format(version, endpoint())


def endpoint() -> str:
    """Where the engine listens: that of the context, or of DOCKER_HOST."""
    return ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def is_local() -> bool:
    """Whether the engine is on this machine, as far as that can be told: its devices are those here, and its files."""
    return endpoint().startswith(("unix://", "npipe://"))


def follow(
    *arguments: str,
    log: BinaryIO,
    cancel: threading.Event,
    meanwhile: Callable[[], None] = lambda: None,
) -> Ended:
    """Have docker do what takes long. What it says goes to the log at once; `meanwhile` is called now and then.

    It speaks through a pipe that ends here: when this process is killed, docker goes at its next word, and what was
    being built with it.

    Raises: Interrupted: `cancel` was set. Trouble: there is no docker. OSError: the log can't be written.
    """
    process = subprocess.Popen(
        [program(), *arguments],
        env={**os.environ, "DOCKER_BUILDKIT": "1"},  # older engines have the classic builder for their default
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C at the terminal comes to us alone
    )
    said: deque[bytes] = deque(maxlen=LINES_KEPT)
    unwritten: list[OSError] = []

    def copy() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                said.append(line)
                try:
                    log.write(line)
                    log.flush()
                except OSError as error:  # docker isn't kept waiting for somebody to listen
                    unwritten.append(error)

    copier = threading.Thread(target=copy, daemon=True)
    copier.start()
    try:
        while not host.ended(process, cancel):
            meanwhile()
    finally:
        host.end(process, STOP)
        copier.join()
    if unwritten:
        raise unwritten[0]
    if cancel.is_set():
        raise Interrupted
    return Ended(process.returncode, b"".join(said).decode("utf-8", "replace"))


# ---- Containers ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def removed(name: str) -> Iterator[None]:
    """Whatever happens in the meantime: in the end there is no container of that name.

    A small process waits for the pipe between it and this one to be closed, as the kernel does it for a process that
    was killed, and removes the container.
    """
    remover = subprocess.Popen(
        ["sh", "-c", 'read -r nothing; exec "$0" rm --force "$1"', program(), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert remover.stdin is not None
        remover.stdin.close()
        remover.wait()


@contextlib.contextmanager
def container(
    image: str, *command: str, options: tuple[str, ...] = (), log: BinaryIO, cancel: threading.Event
) -> Iterator[str]:
    """The name of a container that isn't started yet, and is gone in the end.

    Raises: Interrupted. Trouble: it can't be made.
    """
    name = "equinox-" + uuid.uuid4().hex[:12]
    with removed(name):
        ended = follow("create", "--name", name, "--label", ours(), *options, image, *command, log=log, cancel=cancel)
        if ended.status != 0:
            raise understand(ended.said) or not_understood("create", ended.said)
        yield name


def execute(name: str, log: BinaryIO, cancel: threading.Event, meanwhile: Callable[[], None] = lambda: None) -> Ended:
    """Start a container, and wait for it to end. The status is that of its command; negative: the signal that ended it.

    Raises: Interrupted. Trouble: it can't be started, or the engine was lost.
    """
    ended = follow("start", "--attach", name, log=log, cancel=cancel, meanwhile=meanwhile)
    state, code = ask("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name).split()
    if state == "created":
        raise understand(ended.said) or not_understood("start", ended.said)
    if state != "exited":
        message = "the connection to the engine broke while the tests were running (the container is {}); run it again"
        raise Trouble(message.format(state))
    status = int(code)
    return Ended(128 - status if 128 < status < 160 else status, ended.said)


def remove_leftovers() -> None:
    """Remove the containers that an earlier run could not, as when this machine lost its power.

    Nobody else can be using them: there is one run at a time in a checkout, see `harness.alone`.
    """
    found = ask("ps", "--all", "--quiet", "--filter", "label=" + ours()).split()
    if found:
        ask("rm", "--force", *found)


# ---- Images ----------------------------------------------------------------------------------------------------------


def remove_replaced(label: str) -> None:
    """Remove the images of this checkout that have the label, and no name since a newer one took it.

    Those that a container is made from stay, until the next time. That it can't be done fails nothing.
    """
    with contextlib.suppress(Trouble):
        filters = ["--filter={}".format(each) for each in ("dangling=true", "label=" + ours(), "label=" + label)]
        for image in ask("image", "ls", "--quiet", "--no-trunc", *filters).split():
            with contextlib.suppress(Trouble):
                ask("image", "rm", image)


# ---- Whose they are --------------------------------------------------------------------------------------------------


def ours() -> str:
    """The label of what this checkout makes."""
    return "{}={}".format(LABEL, checkout())


def checkout() -> str:
    """What tells the containers and images of this checkout from those of all others that use the same engine."""
    file = WORK / "checkout-id"
    try:
        drawn = file.read_text(encoding="ascii")
    except FileNotFoundError:
        drawn = uuid.uuid4().hex
        write_whole(file, drawn)
    return hashlib.sha256("{} {}".format(drawn, ROOT).encode()).hexdigest()[:16]  # a copied folder is another checkout
