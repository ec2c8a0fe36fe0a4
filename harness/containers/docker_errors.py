"""Turn the error messages of docker, the engine, BuildKit and pip into one line with the cause and the next move."""

import re

from harness.results import Outcome
from harness.system.errors import HarnessError
from harness.system.outputs import decisive_line, explain, uncoloured
from harness.system.program import typed


class DockerError(HarnessError):
    """A failure that isn't the fault of the cell. The message, for the user, ends with the next move."""

    def __init__(self, message: str, outcome: Outcome = Outcome.NOT_RUN) -> None:
        super().__init__(message)
        self.outcome = outcome


def understand(output: str, **names: str) -> DockerError | None:
    """The error that the first matching rule finds in the output, or `None` if no rule matches.

    `names` fill the other placeholders of the messages, see `package_source.Source`.
    """
    for outcome, rules in RULES.items():
        message = explain(plain(output), rules, **{**UNKNOWN, **names})
        if message is not None:
            return DockerError(message, outcome)
    return None


# These fill the placeholders in a message that is not about a cell.
UNKNOWN = {
    "file": "the lock",
    "cure": "make it again: `{}`".format(typed("lock")),
    "lost": "`{}` says which files are lost".format(typed("verify")),
}


def failed_step(output: str) -> str:
    """The part of a build's output that comes from the step that failed."""
    failures = re.findall(r"^#(\d+) ERROR: .*", output, re.MULTILINE)
    if failures:
        of_step = r"^#{} (?:[\d.]+ .*|ERROR: .*)".format(failures[-1])
        output = "\n".join(re.findall(of_step, output, re.MULTILINE))
    return plain(output)


def plain(output: str) -> str:
    """The output without colours, and without the step numbers and seconds that BuildKit puts before each line."""
    return re.sub(r"^#\d+ (?:\d+\.\d+ ?)?", "", uncoloured(output), flags=re.MULTILINE).strip()


def not_understood(command: str, output: str) -> DockerError:
    return DockerError("`docker {}` failed: {}".format(command, decisive_line(plain(output)) or "it printed nothing"))


PODMAN = (
    "`docker` is Podman here, which has no contexts and no BuildKit; install Docker Engine "
    "(https://docs.docker.com/engine/install), or run the cell on this host: add `--where host`"
)
NO_ENGINE = "(Cannot connect to the Docker daemon|failed to connect to the docker API) at "
NEEDS_TOOLKIT = (
    "install the NVIDIA Container Toolkit there, run `nvidia-ctk runtime configure --runtime=docker`, and restart the "
    "engine"
)

UNSUPPORTED = {
    r"nvidia-container-cli: requirement error: (?P<what>.*?)(: unknown)?\.?$": (
        "the NVIDIA driver there is too old for the image ({what}); update the driver, or choose an earlier JAX"
    ),
}
NOT_RUN = {
    # Reaching the engine
    r"permission denied while trying to connect to the docker (daemon socket|API) at (?P<at>\S+?)(:? |:?$)": (
        "this user may not use the Docker engine at {at}; `sudo usermod -aG docker $USER` and a new login allow it"
    ),
    r"stderr=(?P<ssh>ssh: .*|.*(Permission denied|Host key verification failed).*)": (
        "the engine's machine can't be reached: {ssh}; `ssh HOST docker version` has to work without a question"
    ),
    r"command \[ssh .*\] has exited with exit status.*": (
        "the engine's machine can be reached, but Docker there doesn't answer; see what `ssh HOST docker version` says"
    ),
    r'context "(?P<context>[^"]+)"(: context not found| does not exist)': (
        "there is no Docker context `{context}`; `docker context ls` lists the contexts"
    ),
    NO_ENGINE + r"(?P<at>unix:///run/user/\S+?)[.;] ": (
        "no Docker engine answers at {at}, the address of a rootless engine; start it: `systemctl --user start docker`"
    ),
    NO_ENGINE + r"(?P<at>\S+?)[.;] ": (
        "no Docker engine answers at {at}; start it (`sudo systemctl start docker`), or name another by DOCKER_HOST "
        "or `docker context use`"
    ),
    r"error during connect: .*": ("no Docker engine can be reached ({line}); see DOCKER_HOST and `docker context ls`"),
    r"buildx component is missing or broken|requires the buildx|unknown command: docker buildx|"
    r"unknown flag: --(progress|format)": (
        "this `docker` has no buildx, which the build needs; install docker-buildx-plugin or docker-buildx"
    ),
    # Devices
    r'could not select device driver "[^"]*" with capabilities: \[\[gpu\]\]|no known GPU vendor found': (
        "the engine can give no GPU to a container; on a machine that has one, " + NEEDS_TOOLKIT
    ),
    r"bpf_prog_query\(BPF_CGROUP_DEVICE\) failed.*|failed to add device rules.*|"
    r"container error: cgroup subsystem devices not found.*": (
        "NVIDIA's toolkit may not change control groups ({line}); the engine is probably rootless. On its machine run "
        "`sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups=true --in-place`, then restart the engine"
    ),
    r"Failed to initialize NVML: (Unknown Error|Insufficient Permissions)": (
        "the container may not open the GPU ({line}); if the engine has root, run `sudo nvidia-ctk config --set "
        "nvidia-container-cli.no-cgroups=false --in-place` on its machine, then restart the engine"
    ),
    r"nvidia-container-cli: (?P<what>.*?)(: unknown)?\.?$|unresolvable CDI devices.*": (
        "the engine finds no working NVIDIA driver ({line}); on its machine `nvidia-smi` has to work"
    ),
    r'"?nvidia-smi"?: (executable file not found|no such file).*': (
        "the engine puts no NVIDIA driver into containers, although it takes `--gpus`; " + NEEDS_TOOLKIT
    ),
    r"unable to apply caps: operation not permitted|error setting rlimits? .*operation not permitted|"
    r"privileged mode is incompatible.*|.*privileged.*(not allowed|forbidden|denied).*": (
        "the engine refuses `--privileged`, which a TPU needs ({line}); it is probably rootless or runs in a "
        "container. Use the engine of the TPU VM itself"
    ),
    r"cgroups?: cannot find cgroup mount destination.*|devices cgroup isn't mounted.*|"
    r"unable to apply cgroup configuration.*|cgroup\S* .*(permission denied|operation not permitted|read-only).*": (
        "the engine may not make control groups ({line}); it is probably rootless or runs in a container. Let systemd "
        "delegate them (https://rootlesscontaine.rs/getting-started/common/cgroup2), or use an engine with root"
    ),
}
UNAVAILABLE = {
    # Disk and memory
    r"no space left on device|disk quota exceeded": (
        "{line}: free some space on the engine's disk (`docker builder prune`, `docker image prune`), and run it again"
    ),
    r"exit code: 137|returned a non-zero code: 137|^MemoryError$|cannot allocate memory|^Killed$": (
        "the build was killed ({line}), probably because memory ran out; give the engine more, or build one at a time: "
        "add `--jobs 1`"
    ),
    # The base image and the packages
    r"toomanyrequests.*|429 Too Many Requests": (
        "the registry got too many requests from here ({line}); run `docker login`, or wait, and run it again"
    ),
    r"\S+: (failed to resolve source metadata for \S+: \S+: )?not found$|"
    r"pull access denied.*|manifest (for \S+ )?(unknown|not found).*|repository does not exist.*": (
        "the base image isn't there ({line}); does `base` in matrix.toml name one that the registry has?"
    ),
    r'(failed to do request: Head|Error response from daemon: Get) "https?://(?P<registry>[^/"]+)/.*': (
        "the engine can't reach the registry {registry} for the base image ({line}); see its network, or `docker pull` "
        "the image when it is up, and run it again"
    ),
    r"these packages do not match the hashes.*|in --require-hashes mode.*|hashes are required.*": (
        "the files on the index don't have the hashes in {file}, or that file was edited; {cure}"
    ),
    r"(SSLError|certificate verify failed)[^']*": (
        "the index isn't trusted in the build ({line}); set SSL_CERT_FILE to the file of your CA"
    ),
    r"Failed to establish a new connection[^']*|temporary failure in name resolution.*|Could not resolve host.*|"
    r"Temporary failure resolving.*|ReadTimeoutError.*|ConnectTimeoutError.*|Connection reset by peer.*": (
        "the index can't be reached from the build ({line}); see the engine's network, or name a mirror by "
        "EQX_INDEX_URL"
    ),
    r"no matching distribution found for (?P<what>\S+)": ("the index has no {what} for this Python; {lost}"),
}

# The known errors, as `harness.system.outputs` reads them, by the outcome of the cell.
RULES = {Outcome.UNSUPPORTED: UNSUPPORTED, Outcome.NOT_RUN: NOT_RUN, Outcome.UNAVAILABLE: UNAVAILABLE}
