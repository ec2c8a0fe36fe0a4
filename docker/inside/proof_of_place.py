"""A pytest plugin: refuse to test anywhere but where the cell says. Every cell loads it first: `-p proof_of_place`.

JAX falls back to the CPU when it finds no accelerator, in most of its releases without a word, and every test then
passes. So before any test is collected each process that will run tests looks at what it really has, and compares that
with what the cell expects (`EQX_EXPECT`, in JSON). Where they differ the run ends with exit status 70, having tested
nothing. What was seen goes into the cell's report, and into JUnit's properties.

`python proof_of_place.py FILE` does it without tests: it writes what was seen, and what is wrong, as JSON.

With pytest-xdist the controller runs no tests, and starts no backend, which its workers may need for themselves. It
checks the rest, and collects what the workers saw.
"""

import importlib
import importlib.util
import json
import os
import platform
import sys
import warnings

import accelerator_evidence
import pytest

try:
    from importlib.metadata import version
except ImportError:  # Python 3.7, to which pytest brings it
    from importlib_metadata import version

EXIT_STATUS = 70  # EX_SOFTWARE: none of pytest's own, and none of the harness's
KEYS = ("cell", "python", "jax", "jaxlib", "backend", "bridge")
NEXT_MOVE = {
    "cpu": "Unset JAX_PLATFORMS, or choose the cell of that backend.",
    "gpu": "Is there a GPU (`nvidia-smi`), and does JAX_PLATFORMS let JAX use it? A container needs `--gpus=all`. Else "
    "choose a `-cpu` cell.",
    "tpu": "Is there a TPU that no other process holds, and does JAX_PLATFORMS let JAX use it? A container needs "
    "`--privileged`. Else choose a `-cpu` cell.",
}

processes = []  # what each process that runs tests saw: this one, or the workers of this controller
refusal = None  # why this run was refused


# What is expected, what is there, and whether they agree


def expected(environ):
    """What `EQX_EXPECT` says. Raises: ValueError: it isn't there, or can't be understood."""
    text = environ.get("EQX_EXPECT")
    if not text:
        raise ValueError(
            "`-p proof_of_place` is for the cells of the matrix, which say in EQX_EXPECT where they are, and it isn't "
            "set. `make cell` names the cells that can be run. Or leave out `-p proof_of_place`."
        )
    try:
        found = json.loads(text)
        missing = [key for key in KEYS if key not in found]
    except (ValueError, TypeError):
        raise ValueError("EQX_EXPECT is expected to be a JSON object, and is `{}`.".format(text)) from None
    if missing or found["backend"] not in NEXT_MOVE:
        message = "EQX_EXPECT is expected to have {}, with a backend among {}, and is `{}`."
        raise ValueError(message.format(", ".join(KEYS), ", ".join(NEXT_MOVE), text))
    return found


def installation():
    """What is installed in this process's Python. Starts no backend."""
    return {
        "python": platform.python_version(),
        "jax": _version("jax"),
        "jaxlib": _version("jaxlib"),
        "bridge": _bridge(),
        "equinox": _folder("equinox"),
    }


def _version(name):
    """The version of a package, as it was installed, or why it can't be imported."""
    try:
        importlib.import_module(name)
        return version(name)
    except Exception as error:  # JAX refuses a jaxlib that it doesn't like by a RuntimeError
        return "none ({}: {})".format(type(error).__name__, error)


def _folder(name):
    """Where a package is. It isn't imported: what it warns of then is for the tests to meet."""
    spec = importlib.util.find_spec(name)
    return "nowhere" if spec is None or spec.origin is None else os.path.dirname(os.path.abspath(spec.origin))


def _bridge():
    """What docker/bridge says of itself where it is active, or `None`. Ask after `import jax`."""
    bridge = sys.modules.get("jax_bridge")
    facts = None if bridge is None else bridge.facts()
    return None if facts is None else dict(facts._asdict())


def installation_complaints(expect, seen):
    """What is installed otherwise than the cell expects, each with the next move."""
    complaints = []

    def complain(what, wanted, got, next_move):
        message = "cell `{}` expects {} `{}`, but this is `{}`. {}"
        complaints.append(message.format(expect["cell"], what, wanted, got, next_move))

    make_anew = "Make the cell's environment anew from its lock."
    if expect["python"] != ".".join(seen["python"].split(".")[:2]):
        complain("Python", expect["python"], seen["python"], make_anew)
    for name in ("jax", "jaxlib"):
        # None: a floating cell takes what there is. `+cuda11.cudnn82` is not part of the number.
        if expect[name] is not None and expect[name].split("+")[0] != seen[name].split("+")[0]:
            complain(name, expect[name], seen[name], make_anew)
    if bool(expect["bridge"]) != bool(seen["bridge"]):
        words = {True: "on the bridge", False: "on its own jaxlib"}
        complain("JAX to run", words[bool(expect["bridge"])], words[bool(seen["bridge"])], make_anew)
    if os.path.basename(os.path.dirname(seen["equinox"])) not in ("site-packages", "dist-packages"):
        complain(
            "equinox in",
            "site-packages",
            seen["equinox"],
            "Install the wheel, and run where no checkout is on the path (PYTHONPATH, the current folder).",
        )
    return complaints


def backend():
    """What JAX computes with. Starts the backend."""
    jax = importlib.import_module("jax")
    try:
        devices = jax.local_devices()
        result = jax.jit(lambda x: x + 1)(jax.numpy.arange(3))
        if result.tolist() != [1, 2, 3]:
            return {"error": "jit computes {} for [1, 2, 3]".format(result.tolist())}
    except Exception as error:  # whatever a backend raises that can't start
        return {"error": "{}: {}".format(type(error).__name__, " ".join(str(error).split())[:500])}
    return {
        "platform": devices[0].platform,
        "devices": [{"platform": d.platform, "kind": d.device_kind, "id": d.id} for d in devices],
        "shown": str(devices),
        "arrays_on": sorted({d.platform for d in devices_of(result)}),
    }


def devices_of(array):
    """The devices that hold an array: `.devices()` came with `jax.Array`, in JAX 0.3.18, to replace `.device()`."""
    return array.devices() if hasattr(array, "devices") else {array.device()}


def backend_complaints(expect, seen):
    wanted = expect["backend"]
    if "error" in seen:
        message = "cell `{}` expects backend `{}`, but JAX can't compute: {}. {}"
        return [message.format(expect["cell"], wanted, seen["error"], NEXT_MOVE[wanted])]
    if seen["platform"] != wanted:
        message = "cell `{}` expects backend `{}`, but JAX found `{}` (devices: {}{}). {}"
        asked = os.environ.get("JAX_PLATFORMS")
        asked = "" if not asked else "; JAX_PLATFORMS=" + asked
        return [
            message.format(expect["cell"], wanted, seen["platform"], seen["shown"], asked, NEXT_MOVE[wanted]),
        ]
    if seen["arrays_on"] != [wanted]:
        message = "cell `{}` expects arrays on `{}`, but what a jitted function gave is on `{}` (devices: {}). {}"
        where = ", ".join(seen["arrays_on"])
        return [message.format(expect["cell"], wanted, where, seen["shown"], NEXT_MOVE[wanted])]
    return []


def prove(expect, runs_tests):
    """What this process saw, and what is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what JAX says as it starts; pytest would make errors of it
        return _prove(expect, runs_tests)


def _prove(expect, runs_tests):
    seen = installation()
    complaints = installation_complaints(expect, seen)
    if runs_tests and not complaints:
        seen.update(backend())
        complaints = backend_complaints(expect, seen)
    if runs_tests and not complaints:
        seen["accelerator"], missing = accelerator_evidence.gather(expect["backend"])
        complaints = ["cell `{}` runs on `{}`, but {}".format(expect["cell"], expect["backend"], m) for m in missing]
    return seen, complaints


# What pytest calls


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Before anything is collected, and late enough for reports to be written of a run that is refused."""
    config = session.config
    is_controller = config.pluginmanager.hasplugin("dsession")
    worker = getattr(config, "workerinput", {}).get("workerid")
    try:
        seen, complaints = prove(expected(os.environ), runs_tests=not is_controller)
    except ValueError as error:
        seen, complaints = {}, [str(error)]
    if "equinox" in seen:  # only what was to be proven: the rest is of this machine, and results are published
        seen["equinox"] = "/".join(seen["equinox"].split(os.sep)[-2:])
    if complaints:
        _refuse("\n".join(complaints), config)
    if worker is not None:
        config.workeroutput["eqx_place"] = json.dumps(dict(seen, process=worker))
    elif not is_controller:
        _keep(config, dict(seen, process="main"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take what a worker of pytest-xdist saw when it ended. A worker that crashed reports nothing, and is replaced."""
    output = getattr(node, "workeroutput", {})
    if "eqx_refusal" in output:
        _refuse(output["eqx_refusal"], node.config)
    if "eqx_place" in output:
        _keep(node.config, json.loads(output["eqx_place"]))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    """Tests that ran where nobody looked prove nothing."""
    global refusal  # noqa: PLW0603  (a process is refused once)
    if exitstatus == 0 and not processes and not hasattr(session.config, "workerinput"):
        refusal = "No process that ran tests has shown where it ran: was `-p proof_of_place` taken from the workers?"
        session.exitstatus = EXIT_STATUS
        sys.stderr.write(refusal + "\n")


def _refuse(message, config):
    global refusal  # noqa: PLW0603
    refusal = message
    if hasattr(config, "workeroutput"):
        config.workeroutput["eqx_refusal"] = message
    pytest.exit(message, returncode=EXIT_STATUS)


def _keep(config, seen):
    processes.append(seen)
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "add_global_property"):  # JUnit's, which has no public name
            plugin.add_global_property("eqx_place_" + seen["process"], json.dumps(seen, sort_keys=True))


# As a program


def main(path):
    try:
        seen, complaints = prove(expected(os.environ), runs_tests=True)
    except ValueError as error:
        seen, complaints = {}, [str(error)]
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"seen": seen, "complaints": complaints}, out, indent=1, sort_keys=True)
    sys.stdout.write("\n".join(complaints + [""] * bool(complaints)))
    return EXIT_STATUS if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
