"""A pytest plugin that refuses to test in the wrong place. Every cell loads it first: `-p proof_of_place`.

When JAX finds no accelerator it falls back to the CPU, in most releases without a warning, and every test passes. So
each process that will run tests first checks its Python, its packages and its devices. It compares them with what the
cell expects (`EQX_EXPECT`, in JSON). If they differ, the run ends with exit status 70 before any test runs. What the
processes found goes into the cell's report and into the JUnit properties.

The packages are checked before the tests are collected, and the devices after that: some test modules choose the
devices when they are imported (`XLA_FLAGS`). That has no effect once the backend has started.

`python proof_of_place.py FILE` does the same without tests. It writes what it found, and what is wrong, as JSON.

With pytest-xdist the controller runs no tests. It starts no backend, because a backend could take the devices away from
the workers. It checks the packages, and collects what the workers found.
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
except ImportError:  # Python 3.7, where pytest installs the backport
    from importlib_metadata import version

EXIT_STATUS = 70  # EX_SOFTWARE: pytest and the harness don't use it for anything else
KEYS = ("cell", "python", "jax", "jaxlib", "backend", "bridge", "package")
NEXT_MOVE = {
    "cpu": "Unset JAX_PLATFORMS, or choose the cell of that backend.",
    "gpu": "Is there a GPU (`nvidia-smi`), and does JAX_PLATFORMS let JAX use it? A container needs `--gpus=all`. Else "
    "choose a `-cpu` cell.",
    "tpu": "Is there a TPU that no other process holds, and does JAX_PLATFORMS let JAX use it? A container needs "
    "`--privileged`. Else choose a `-cpu` cell.",
}

processes = []  # what each process that runs tests found: this one, or the workers of this controller
refusal = None  # why this run was refused


# Compare what the cell expects with what this process finds


def expected(environ):
    """What the cell expects, from `EQX_EXPECT`.

    Raises:
        ValueError: The variable isn't set, or its value isn't valid.
    """
    text = environ.get("EQX_EXPECT")
    if not text:
        raise ValueError(
            "`-p proof_of_place` is for the cells of the matrix. They set EQX_EXPECT, and it isn't set here. "
            "`python -m harness list` lists the cells that can be run. Or leave out `-p proof_of_place`."
        )
    try:
        found = json.loads(text)
        missing = [key for key in KEYS if key not in found]
    except (ValueError, TypeError):
        raise ValueError("EQX_EXPECT should be a JSON object, and is `{}`.".format(text)) from None
    if missing or found["backend"] not in NEXT_MOVE:
        message = "EQX_EXPECT should have the keys {}, with a backend among {}, and is `{}`."
        raise ValueError(message.format(", ".join(KEYS), ", ".join(NEXT_MOVE), text))
    return found


def installation(package):
    """What is installed in the Python of this process: JAX, and the package that is tested. This starts no backend."""
    return {
        "python": platform.python_version(),
        "jax": _version("jax"),
        "jaxlib": _version("jaxlib"),
        "bridge": _bridge(),
        "package": _folder(package),
    }


def _version(name):
    """The version of an installed package, or why it can't be imported."""
    try:
        importlib.import_module(name)
        return version(name)
    except Exception as error:  # for a jaxlib that JAX refuses, it raises RuntimeError
        return "none ({}: {})".format(type(error).__name__, error)


def _folder(name):
    """The folder of a package. It isn't imported here, because the tests must see its warnings."""
    spec = importlib.util.find_spec(name)
    return "nowhere" if spec is None or spec.origin is None else os.path.dirname(os.path.abspath(spec.origin))


def _bridge():
    """The facts of docker/bridge if it is active, else `None`. Call it after `import jax`."""
    bridge = sys.modules.get("jax_bridge")
    facts = bridge and bridge.facts()
    return facts and dict(facts._asdict())


def installation_complaints(expect, seen):
    """The differences between what is installed and what the cell expects, each with the next move."""
    complaints = []

    def complain(what, wanted, got, next_move):
        message = "cell `{}` expects {} `{}`, but this is `{}`. {}"
        complaints.append(message.format(expect["cell"], what, wanted, got, next_move))

    make_again = "Make the cell's environment again from its lock."
    if expect["python"] != ".".join(seen["python"].split(".")[:2]):
        complain("Python", expect["python"], seen["python"], make_again)
    for name in ("jax", "jaxlib"):
        # A floating cell expects `None` and accepts any version. The part from `+` on is ignored: `+cuda11.cudnn82`.
        if expect[name] is not None and expect[name].split("+")[0] != seen[name].split("+")[0]:
            complain(name, expect[name], seen[name], make_again)
    wanted, got = ("on the bridge" if each["bridge"] else "on its own jaxlib" for each in (expect, seen))
    if wanted != got:
        complain("JAX to run", wanted, got, make_again)
    if os.path.basename(os.path.dirname(seen["package"])) not in ("site-packages", "dist-packages"):
        next_move = "Install the wheel, and run where no checkout is on the path (PYTHONPATH, the current folder)."
        complain(expect["package"] + " in", "site-packages", seen["package"], next_move)
    return complaints


def backend():
    """What JAX computes on. This starts the backend."""
    jax = importlib.import_module("jax")
    try:
        devices = jax.local_devices()
        result = jax.jit(lambda x: x + 1)(jax.numpy.arange(3))
        if result.tolist() != [1, 2, 3]:
            return {"error": "jit computes {} for [1, 2, 3]".format(result.tolist())}
    except Exception as error:  # a backend that can't start raises many types
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
    """The differences between the backend that JAX uses and the one that the cell expects, each with the next move."""
    wanted = expect["backend"]
    if "error" in seen:
        message = "cell `{}` expects backend `{}`, but JAX can't compute: {}. {}"
        return [message.format(expect["cell"], wanted, seen["error"], NEXT_MOVE[wanted])]
    if seen["platform"] != wanted:
        message = "cell `{}` expects backend `{}`, but JAX found `{}` (devices: {}{}). {}"
        asked = os.environ.get("JAX_PLATFORMS")
        asked = "" if not asked else "; JAX_PLATFORMS=" + asked
        return [message.format(expect["cell"], wanted, seen["platform"], seen["shown"], asked, NEXT_MOVE[wanted])]
    if seen["arrays_on"] != [wanted]:
        message = "cell `{}` expects arrays on `{}`, but what a jitted function gave is on `{}` (devices: {}). {}"
        where = ", ".join(seen["arrays_on"])
        return [message.format(expect["cell"], wanted, where, seen["shown"], NEXT_MOVE[wanted])]
    if wanted == "cpu" and len(seen["devices"]) < expect.get("cpu_devices", 0):
        message = "cell `{}` expects {} devices on the CPU, but JAX has {}. {}"
        next_move = "If the tests set XLA_FLAGS, let them add to it. Or correct `cpu_devices` in matrix.toml."
        return [message.format(expect["cell"], expect["cpu_devices"], len(seen["devices"]), next_move)]
    return []


def prove(environ, runs_tests):
    """What this process found, and a list of complaints about it."""
    try:
        expect = expected(environ)
    except ValueError as error:
        return {}, [str(error)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX may warn when it starts, and pytest turns warnings into errors
        seen = installation(expect["package"])
        complaints = installation_complaints(expect, seen)
        if runs_tests and not complaints:
            seen.update(backend())
            complaints = backend_complaints(expect, seen)
        if runs_tests and not complaints:
            seen["accelerator"], missing = accelerator_evidence.gather(expect["backend"])
            message = "cell `{}` runs on `{}`, but {}"
            complaints = [message.format(expect["cell"], expect["backend"], each) for each in missing]
    return seen, complaints


# What pytest calls


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Check the packages before any test is collected, and late enough that a refused run still writes its reports."""
    _check(session.config, runs_tests=False)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session):
    """Check the devices before any test runs. The controller of pytest-xdist collects no tests."""
    config = session.config
    seen = _check(config, runs_tests=True)
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is None:
        _keep(config, dict(seen, process="main"))
    else:
        config.workeroutput["eqx_place"] = json.dumps(dict(seen, process=worker))


def _check(config, runs_tests):
    """What this process found. If the cell expects something else, the run ends here."""
    seen, complaints = prove(os.environ, runs_tests)
    if complaints:
        _refuse("\n".join(complaints), config)
    # Results are published, so keep the last two parts of the path only.
    return dict(seen, package="/".join(seen["package"].split(os.sep)[-2:]))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Collect what a worker of pytest-xdist found. A worker that crashed reports nothing, and another replaces it."""
    output = getattr(node, "workeroutput", {})
    if "eqx_refusal" in output:
        _refuse(output["eqx_refusal"], node.config)
    if "eqx_place" in output:
        _keep(node.config, json.loads(output["eqx_place"]))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session, exitstatus):
    """Refuse a run in which no process checked where it runs."""
    global refusal  # noqa: PLW0603  (a process is refused once)
    if exitstatus == 0 and not processes and not hasattr(session.config, "workerinput"):
        refusal = "No process that ran tests checked where it runs: did the workers run without `-p proof_of_place`?"
        session.exitstatus = EXIT_STATUS
        sys.stderr.write(refusal + "\n")


def _refuse(message, config):
    """End the run with the exit status of a refused run. A worker also tells its controller why."""
    global refusal  # noqa: PLW0603
    refusal = message
    if hasattr(config, "workeroutput"):
        config.workeroutput["eqx_refusal"] = message
    pytest.exit(message, returncode=EXIT_STATUS)


def _keep(config, seen):
    """Keep what a process found, for the report and for the JUnit file."""
    processes.append(seen)
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "add_global_property"):  # the JUnit plugin, which has no public name
            plugin.add_global_property("eqx_place_" + seen["process"], json.dumps(seen, sort_keys=True))


# As a program


def main(path):
    seen, complaints = prove(os.environ, runs_tests=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"seen": seen, "complaints": complaints}, out, indent=1, sort_keys=True)
    sys.stdout.writelines(complaint + "\n" for complaint in complaints)
    return EXIT_STATUS if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
