"""A fake `docker` program: it records its calls, gives prepared answers, and keeps a list of containers."""

import json
import os
import sys
from pathlib import Path

IMAGE = "sha256:" + "1" * 64

PROGRAM = r"""#!{python}
import json, os, pathlib, sys, tarfile, time
home = pathlib.Path({home!r})
arguments = sys.argv[1:]
with open(home / "calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\n")
verb = arguments[0]
answer = json.loads((home / "answers").read_text()).get(verb, {{}})
containers = home / "containers"
status = answer.get("status", 0)

def after(option):
    return arguments[arguments.index(option) + 1]

sys.stdout.write(answer.get("out", ""))
sys.stderr.write(answer.get("err", ""))
sys.stdout.flush()
if verb == "create" and (status == 0 or answer.get("made")):
    (containers / after("--name")).touch()
if answer.get("waits"):
    parent = os.getppid()  # stop waiting if the parent is killed
    (home / "waiting").touch()
    while os.getppid() == parent and (verb != "start" or (containers / arguments[-1]).exists()):
        time.sleep(0.01)
if verb == "build" and status == 0:
    pathlib.Path(after("--iidfile")).write_text({image!r})
elif verb == "rm":
    for name in arguments[2:]:
        (containers / name).unlink(missing_ok=True)
elif verb == "ps":
    print(*(path.name for path in containers.iterdir()), sep="\n")
elif verb == "cp" and arguments[1] == "-":
    sys.stdin.buffer.read()
elif verb == "cp" and status == 0 and arguments[-1] == "-":  # as real docker: an archive that keeps links and devices
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        archive.add(home / "results", "results")
sys.exit(status)
"""


class FakeDocker:
    """Control the fake `docker` on the PATH, and read how it was called."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for folder in ("bin", "containers", "results"):
            (home / folder).mkdir(parents=True)
        program = home / "bin" / "docker"
        program.write_text(PROGRAM.format(python=sys.executable, home=str(home), image=IMAGE))
        program.chmod(0o755)
        self.answers = {
            "version": {"out": "27.0\n"},
            "context": {"out": "unix:///var/run/docker.sock\n"},
            "inspect": {"out": "exited 0\n"},
        }
        self.answer()

    @property
    def path(self) -> str:
        return os.pathsep.join([str(self.home / "bin"), os.environ["PATH"]])

    def answer(self, verb: str = "version", **answer: object) -> None:
        """Set what `docker <verb>` does from now on: print `out` and `err`, exit with `status`, or wait."""
        self.answers.setdefault(verb, {}).update(answer)
        (self.home / "answers").write_text(json.dumps(self.answers))

    def leaves(self, **files: object) -> None:
        """Set the files that the run of the suite leaves in /results."""
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (self.home / "results" / name.replace("_", ".")).write_text(text)

    @property
    def calls(self) -> list[list[str]]:
        record = self.home / "calls"
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def call(self, verb: str) -> list[str]:
        """The arguments of the last call of this verb."""
        return next(call for call in reversed(self.calls) if call[0] == verb)

    @property
    def containers(self) -> list[str]:
        return sorted(path.name for path in (self.home / "containers").iterdir())

    @property
    def waiting(self) -> bool:
        return (self.home / "waiting").exists()
