"""Use the Docker engine through the `docker` command.

The command knows contexts, engines behind ssh, credentials and BuildKit. The Python SDK of Docker would be one more
dependency, and it builds with the classic builder only.

A function that uses docker raises `DockerError` if that fails, and `Interrupted` if its `cancel` is set meanwhile. If a
log can't be written, it raises `OSError`.
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
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, BinaryIO

from harness.containers.docker_errors import PODMAN, DockerError, not_understood, understand
from harness.system import processes
from harness.system.files import write_whole
from harness.system.paths import ROOT, WORK

ASK_S = 60  # an engine behind ssh may be slow
STOP = ((signal.SIGKILL, 5.0),)  # kill at once: the engine cancels a request when its client is gone
LABEL = "harness.run"
LINES_KEPT = 2000


class Interrupted(Exception):
    """Cancelled by the user."""


@dataclass(frozen=True)
class Completed:
    """The exit status of a command, and the last lines of its output."""

    status: int
    output: str


def program() -> str:
    """The path of the `docker` command."""
    found = shutil.which("docker")
    if found is None:
        raise DockerError(
            "there is no `docker` on the PATH; install Docker Engine (https://docs.docker.com/engine/install), or run "
            "the cell on this host: add `--where host`"
        )
    return found


def ask(*arguments: str) -> str:
    """Run a short docker command and return its standard output."""
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
        raise DockerError(message.format(arguments[0], ASK_S)) from None
    if done.returncode != 0:
        raise understand(done.stderr) or not_understood(arguments[0], done.stderr)
    return done.stdout.strip()


def receive(*arguments: str, take: Callable[[IO[bytes]], None]) -> None:
    """Run a docker command while `take` reads its standard output. An error that `take` raises goes to the caller."""
    with tempfile.TemporaryFile() as errors:
        command = [program(), *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        late = threading.Timer(ASK_S, process.kill)
        late.start()
        try:
            take(process.stdout)
            while process.stdout.read(2**16):  # `take` may stop before the padding at the end of an archive
                pass
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):  # docker may never end if `take` stopped reading
                process.wait(1)
            overdue = not late.is_alive()
            late.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
            if overdue:
                raise DockerError("`docker {}` was not done within {} s".format(arguments[0], ASK_S))
            if process.returncode > 0:
                errors.seek(0)
                output = errors.read().decode("utf-8", "replace")
                raise understand(output) or not_understood(arguments[0], output)


def check() -> str:
    """Return the version and the address of the engine."""
    if "podman" in ask("--version").lower():
        raise DockerError(PODMAN)
    version = ask("version", "--format", "{{.Server.Version}}")
    return "Docker {} at {}".format(version, endpoint())


def endpoint() -> str:
    """The address of the engine, from DOCKER_HOST or from docker's context."""
    return ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def why_none() -> str:
    """Why no engine answers, or an empty string if one does.

    Raises:
        DockerError: The engine that the user names doesn't answer. It must be used, so there is no choice.
    """
    try:
        check()
    except DockerError as error:
        if "DOCKER_HOST" in os.environ or "DOCKER_CONTEXT" in os.environ:
            raise
        return str(error)
    return ""


def is_local() -> bool:
    """Whether the engine seems to be on this machine. Then it has the same devices and files."""
    return endpoint().startswith(("unix://", "npipe://"))


def follow(
    *arguments: str, log: BinaryIO, cancel: threading.Event, meanwhile: Callable[[], None] = lambda: None
) -> Completed:
    """Run a docker command that takes long. Each line of its output goes to the log at once.

    The output comes through a pipe. If this process is killed, the pipe breaks, and docker ends when it next prints
    something. The build ends with it. `meanwhile` is called now and then while the command runs.
    """
    output: deque[bytes] = deque(maxlen=LINES_KEPT)
    unwritten: list[OSError] = []

    def copy(stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                output.append(line)
                try:
                    log.write(line)
                    log.flush()
                except OSError as error:  # keep reading, so that docker doesn't block
                    unwritten.append(error)

    env = {**os.environ, "DOCKER_BUILDKIT": "1"}  # older versions of docker use the classic builder by default
    with processes.group([program(), *arguments], stop=STOP, env=env, stdout=subprocess.PIPE) as process:
        copier = threading.Thread(target=copy, args=[process.stdout], daemon=True)
        copier.start()
        try:
            while not processes.wait_briefly(process, cancel):
                meanwhile()
        finally:
            processes.stop_group(process, STOP)  # this ends its output
            copier.join()
    if unwritten:
        raise unwritten[0]
    if cancel.is_set():
        raise Interrupted
    return Completed(process.returncode, b"".join(output).decode("utf-8", "replace"))


def new_name() -> str:
    """A name for a container that no other container has."""
    return "harness-" + uuid.uuid4().hex[:12]


def remove_at_end(name: str) -> AbstractContextManager[object]:
    """Remove the container of that name at the end, even if this process is killed."""
    return processes.helper('read -r nothing; exec "$0" rm --force "$1"', program(), name)


@contextlib.contextmanager
def container(
    image: str, *command: str, options: tuple[str, ...] = (), log: BinaryIO, cancel: threading.Event
) -> Iterator[str]:
    """Create a container, yield its name, and remove it at the end. The container isn't started yet."""
    name = new_name()
    with remove_at_end(name):
        completed = follow(
            "create", "--name", name, "--label", checkout_label(), *options, image, *command, log=log, cancel=cancel
        )
        if completed.status != 0:
            raise understand(completed.output) or not_understood("create", completed.output)
        yield name


def execute(
    name: str, log: BinaryIO, cancel: threading.Event, meanwhile: Callable[[], None] = lambda: None
) -> Completed:
    """Start a container, and wait until it ends.

    The status is that of its command, or the negative number of the signal that killed it.
    """
    completed = follow("start", "--attach", name, log=log, cancel=cancel, meanwhile=meanwhile)
    state, code = ask("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name).split()
    if state == "created":
        raise understand(completed.output) or not_understood("start", completed.output)
    if state != "exited":
        message = "the connection to the engine broke while the tests were running (the container is {}); run it again"
        raise DockerError(message.format(state))
    status = int(code)
    return Completed(128 - status if 128 < status < 160 else status, completed.output)


def remove_leftovers() -> None:
    """Remove containers that an earlier run left, for example because the machine lost its power.

    No other run can use them: a checkout has one run at a time. See `harness.system.run_lock`.
    """
    found = ask("ps", "--all", "--quiet", "--filter", "label=" + checkout_label()).split()
    if found:
        ask("rm", "--force", *found)


def remove_replaced(label: str) -> None:
    """Remove the images of this checkout that have the label and have lost their name to a newer image.

    An image that a container still uses stays. Errors are ignored.
    """
    with contextlib.suppress(DockerError):
        wanted = ("dangling=true", "label=" + checkout_label(), "label=" + label)
        filters = ["--filter=" + each for each in wanted]
        for image in ask("image", "ls", "--quiet", "--no-trunc", *filters).split():
            with contextlib.suppress(DockerError):
                ask("image", "rm", image)


def checkout_label() -> str:
    """The label of all containers and images that this checkout makes."""
    return "{}={}".format(LABEL, checkout())


def checkout() -> str:
    """An id for this checkout. Other checkouts that use the same engine have another id."""
    file = WORK / "checkout-id"
    try:
        drawn = file.read_text(encoding="ascii")
    except FileNotFoundError:
        drawn = uuid.uuid4().hex
        write_whole(file, drawn)
    return hashlib.sha256("{} {}".format(drawn, ROOT).encode()).hexdigest()[:16]  # a copy of the folder gets its own id
