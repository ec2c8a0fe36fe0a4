"""Run a cell in a container: the result is right, and the container is always removed.

Most tests use a fake `docker` on the PATH. With `pytest --run-docker` the last tests use a real engine.
"""

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fake_docker import IMAGE
from programs import wait_until

from harness import results, rows
from harness.containers import bases, container, devices, engine, image
from harness.containers.docker_errors import DockerError
from harness.results import Outcome, Result, run_files
from harness.results.resume import Rerun, Step, decide
from harness.run import hardware, host, verdict
from harness.run.hardware import GPU, Hardware
from harness.system.paths import ROOT

CELLS = {cell.name: cell for cell in rows.load()}
CELL = CELLS["py311-jax0.4.30-cpu"]
ON_GPU = CELLS["py313-jax0.12.0.1-cuda"]
H100 = GPU("NVIDIA H100", (9, 0), "580.65.06", 81559)
REPORT = {"counts": {"passed": 3}, "failures": [], "evidence": {"processes": []}, "seconds": {"tests": 1.5}}
LAST = Result(CELL.name, Outcome.FAILED, "as it was", started="2026-11-20T10:00:00.000+00:00")


@pytest.fixture
def docker(docker):
    docker.leaves(report_json=REPORT, junit_xml="<testsuites/>")
    container.prepare_engine.cache_clear()
    return docker


@pytest.fixture
def folder(tmp_path):
    """A results folder with the files of an earlier run."""
    folder = tmp_path / "results"
    results.write(LAST, folder)
    (folder / (CELL.name + ".xml")).write_text("as it was")
    return folder


@pytest.fixture
def run(docker, folder):
    def run(cell=CELL, on_progress=lambda *said: None, cancel=None):
        return container.run(cell, on_progress, cancel or threading.Event(), folder=folder)

    return run


def junit(folder):
    return (folder / (CELL.name + ".xml")).read_text()


# The result


def test_passed(run, docker, folder):
    """The result names the hashes of what was tested, and the image."""
    result = run()
    assert result.outcome is Outcome.PASSED and result.where == "container" and result.counts == {"passed": 3}
    assert result.evidence["image"] == IMAGE
    assert result.hashes == container.hashes_of([CELL])[CELL.name] and all(result.hashes.values())
    assert result.seconds["tests"] == 1.5 and result.seconds["total"] >= result.seconds["setup"]
    assert results.read(CELL.name, folder) == result
    assert junit(folder) == "<testsuites/>"


def test_the_hash_is_of_the_source_that_was_built(run, docker, monkeypatch):
    """This holds even if the checkout changes while the image is built."""
    taken = []

    def take(folder, cell):
        taken.append(snapshot_take(folder, cell))
        (folder / "equinox" / "__init__.py").write_text("as it was then")
        taken.append(container.hashes_of([cell], folder)[cell.name])
        return folder

    snapshot_take = container.snapshot.take
    monkeypatch.setattr(container.snapshot, "take", take)
    result = run()
    assert docker.call("build")[-1] == str(taken[0]) and result.hashes == taken[1]
    assert result.hashes != container.hashes_of([CELL])[CELL.name]


def test_a_source_that_was_not_asked_for_is_not_run(run, docker, folder, monkeypatch):
    monkeypatch.setenv(container.snapshot.EXPECTED, "another")
    result = run()
    assert result.outcome is Outcome.NOT_RUN and "changed after this run began" in result.reason
    assert results.read(CELL.name, folder) == LAST and "build" not in docker.verbs


def test_failed(run, docker, folder):
    docker.leaves(report_json={**REPORT, "counts": {"failed": 1}, "failures": ["tests/test_x.py::test_y"]})
    docker.answer("inspect", out="exited 1\n")
    result = run()
    assert result.outcome is Outcome.FAILED and "test_x.py::test_y" in result.reason


def test_killed_in_the_container(run, docker, tmp_path):
    """This happens when the container runs out of memory."""
    (docker.home / "results" / "report.json").unlink()
    docker.answer("inspect", out="exited 137\n")
    result = run()
    assert result.outcome is Outcome.FAILED and "SIGKILL" in result.reason and "memory" in result.reason


def test_log_has_the_build_and_the_tests(run, docker, folder):
    docker.answer("build", err="#1 [base] FROM x\n")
    docker.answer("start", out="3 passed\n")
    run()
    lines = (folder / (CELL.name + ".log")).read_text().splitlines()
    assert lines[-2:] == ["#1 [base] FROM x", "3 passed"]


@pytest.mark.parametrize("known", [True, False])
def test_log_names_the_bases_without_a_digest(run, folder, monkeypatch, known):
    """The log has one line for each base image whose digest isn't known."""
    monkeypatch.setattr(bases, "floats", lambda base: not known and base != bases.NO_IMAGE)
    run()
    said = (folder / (CELL.name + ".log")).read_text()
    assert said.count("harness lock") == (not known) and (known or said.startswith("python:3.11-slim-bookworm: "))


def test_replaced_images_are_removed(run, docker):
    """Only old images of this cell and this checkout are removed. An image in use stays, and the run still passes."""
    docker.answer("image", out="sha256:old\nsha256:older\n")
    assert run().outcome is Outcome.PASSED
    listed, *removed = [call for call in docker.calls if call[0] == "image"]
    filters = {word.partition("=")[2] for word in listed if word.startswith("--filter=")}
    assert filters == {"dangling=true", "label=harness.run=mine", "label=harness.cell=" + CELL.name}
    assert "harness.run=mine" in docker.call("build")
    assert [call[1:] for call in removed] == [["rm", "sha256:old"], ["rm", "sha256:older"]]
    docker.answer("image", status=1, err="conflict: image is being used by a container\n")
    assert run().outcome is Outcome.PASSED


def test_progress(run, docker):
    """Progress reports the image first, then the tests: done, total, failed."""
    docker.answer("start", waits=True)
    docker.answer("exec", out='{"done": 3, "total": 10, "failed": 1}')
    heard, cancel = [], threading.Event()

    def on_progress(*said):
        heard.append(said)
        if said[1]:
            cancel.set()

    run(on_progress=on_progress, cancel=cancel)
    assert heard[:3] == [("image", 0, 0, 0), ("tests", 0, 0, 0), ("tests", 3, 10, 1)]


def test_nothing_of_this_machine_is_mounted(run, docker):
    """The engine may be on another machine."""
    run()
    words = [word for call in docker.calls for word in call]
    assert not [word for word in words if word.startswith(("-v", "--volume", "--mount"))]
    assert IMAGE in docker.call("create")


# Files from the container are not trusted


def link(path, target):
    path.unlink()
    path.symlink_to(target)


def fifo(path, target):
    path.unlink()
    os.mkfifo(path)


def folder_instead(path, target):
    path.unlink()
    path.mkdir()


def too_large(path, target):
    with path.open("ab") as file:
        file.truncate(run_files.MAX_BYTES[path.name] + 1)


@pytest.mark.parametrize("make", [link, fifo, folder_instead, too_large])
@pytest.mark.parametrize("name", ["report.json", "junit.xml"])
def test_only_regular_files_come_out(run, docker, folder, tmp_path, make, name):
    """A link from a container could point to a private file of this machine, and be published with the results."""
    secret = tmp_path / "id_rsa"
    secret.write_text(json.dumps(REPORT))
    make(docker.home / "results" / name, secret)
    result = run()
    assert result.outcome is Outcome.FAILED and "can't be used" in result.reason and name in result.reason
    assert not any(path.is_symlink() for path in folder.iterdir()) and junit(folder) == "as it was"
    assert docker.containers == []


def test_other_files_stay_in_the_container(run, docker, folder):
    (docker.home / "results" / "py312-jax0.10.2-cpu.json").write_text("{}")
    assert run().outcome is Outcome.PASSED
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".log", ".xml"]


@pytest.mark.parametrize(
    "said", ["[]", "7", "null", '{"done": 3}', '{"done": "3", "total": [], "failed": {}}', "[" * 9999]
)
def test_invalid_progress_is_ignored(run, docker, said):
    docker.answer("start", waits=True)
    docker.answer("exec", out=said)
    heard, cancel = [], threading.Event()
    threading.Thread(target=lambda: (wait_until(lambda: "exec" in docker.verbs), cancel.set())).start()
    run(on_progress=lambda *said: heard.append(said), cancel=cancel)
    assert heard == [("image", 0, 0, 0), ("tests", 0, 0, 0)]


def test_a_copy_that_never_ends_times_out(docker, monkeypatch):
    monkeypatch.setattr(engine, "ASK_S", 0.3)
    docker.answer("cp", waits=True)
    with pytest.raises(DockerError, match="within"):
        engine.receive("cp", "x:/results", "-", take=lambda stream: stream.read())


# After every failure the container is removed


STEPS = ("build", "create", "start", "inspect", "cp")


@pytest.mark.parametrize("step", STEPS)
def test_failing_step(run, docker, folder, step):
    """The last call removes the container. The result doesn't come from tests."""
    docker.answer(step, status=1, err="#9 ERROR: no such thing\n", made=True)
    if step == "start":
        docker.answer("inspect", out="created 128\n")
    result = run()
    assert result.outcome in (Outcome.UNAVAILABLE, Outcome.NOT_RUN) and "no such thing" in result.reason
    assert docker.containers == []
    if step != "build":
        assert docker.verbs[-1] == "rm" and docker.call("rm")[-1] == docker.call("create")[2]
    assert junit(folder) == "as it was"
    kept = results.read(CELL.name, folder)
    assert kept == (LAST if result.outcome is Outcome.NOT_RUN else result)


@pytest.mark.parametrize("step", ("build", "create", "start"))
def test_cancelled_step(run, docker, folder, step):
    """The earlier result stays unchanged."""
    docker.answer(step, waits=True)
    cancel = threading.Event()
    threading.Thread(target=lambda: (wait_until(lambda: docker.waiting), cancel.set())).start()
    result = run(cancel=cancel)
    assert result.outcome is Outcome.NOT_RUN and "interrupted" in result.reason
    assert docker.containers == []
    assert results.read(CELL.name, folder) == LAST and junit(folder) == "as it was"
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".log", ".xml"]


RUNNER = """
import sys, threading
sys.path.insert(0, {root!r})
from pathlib import Path
from harness import rows
from harness.containers import container, engine
engine.checkout = lambda: "mine"
cell = next(cell for cell in rows.load() if cell.name == {cell!r})
container.run(cell, lambda *said: None, threading.Event(), folder=Path({folder!r}))
"""


@pytest.mark.parametrize("step", ("create", "start"))
def test_kill_9(docker, folder, step):
    """The container is removed even if the process that started it is killed."""
    docker.answer(step, waits=True, made=True)
    code = RUNNER.format(root=str(ROOT), cell=CELL.name, folder=str(folder))
    runner = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: docker.waiting)
    assert len(docker.containers) == 1
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    wait_until(lambda: not docker.containers)
    assert results.read(CELL.name, folder) == LAST and junit(folder) == "as it was"


def test_the_engine_is_lost(run, docker, folder):
    """The tests may go on in the container, but their result is unknown."""
    docker.answer("inspect", out="running 0\n")
    result = run()
    assert result.outcome is Outcome.NOT_RUN and "connection" in result.reason
    assert docker.containers == [] and results.read(CELL.name, folder) == LAST


def test_log_that_cannot_be_written(run, docker, monkeypatch):
    """The error is raised, and docker doesn't block on a full pipe."""
    docker.answer("build", out="word " * 100000 + "\n")
    monkeypatch.setattr(container, "new_log", lambda cell, folder: open("/dev/full", "wb", buffering=0))
    with pytest.raises(OSError, match="No space left"):
        run()
    assert docker.containers == []


def test_log_is_a_new_file(folder):
    """A process that is left from a killed run may still write to the old file, but not to the new one."""
    with container.new_log(CELL, folder) as old, container.new_log(CELL, folder) as new:
        old.write(b"old")
        new.write(b"new")
    assert (folder / (CELL.name + ".log")).read_bytes() == b"new"


def test_a_package_that_cannot_be_installed(run, docker):
    """The message names the lock and the command that makes it again."""
    docker.answer(
        "build", status=1, err="#7 1.2 ERROR: No matching distribution found for optax==9\n#7 ERROR: exit code: 1\n"
    )
    reason = run().reason
    assert "locks/{}.txt".format(CELL.name) in reason and "harness verify {}".format(CELL.name) in reason


# The rights of the container


def test_the_container_is_confined(run, docker):
    result = run()
    assert set(devices.CONFINED) < set(docker.call("create"))
    assert set(devices.CONFINED) == set(result.evidence["options"])
    # Docker would pass on the proxies of its configuration. They may hold passwords, and a TPU container has a network.
    assert {"--env=HTTPS_PROXY=", "--env=https_proxy="} < set(docker.call("create"))


@pytest.fixture
def two_option_sets(monkeypatch):
    monkeypatch.setattr(devices, "check", lambda cell, log, cancel: (("--first",), ("--second",)))


def options_tried(docker):
    return [one for call in docker.calls if call[0] == "create" for one in ("--first", "--second") if one in call]


def test_more_rights_are_given_only_if_fewer_do_not_reach_the_device(run, docker, two_option_sets):
    assert run().evidence["options"] == ["--first"] and options_tried(docker) == ["--first"]
    docker.leaves(report_json={**REPORT, "refusal": "it is a CPU"})
    docker.answer("inspect", out="exited {}\n".format(verdict.OUT_OF_PLACE))
    result = run()
    assert options_tried(docker)[1:] == ["--first", "--second"] and docker.containers == []
    assert result.outcome is Outcome.FAILED and result.evidence["options"] == ["--second"]


def test_if_the_engine_refuses_options_the_next_ones_are_tried(run, docker, folder, two_option_sets):
    docker.answer("create", status=1, err="error gathering device information: no such file\n")
    assert "no such file" in run().reason and options_tried(docker) == ["--first", "--second"]
    assert "Trying the next options" in (folder / (CELL.name + ".log")).read_text()


# Which cells run


def test_unchanged_is_not_run_again(run, folder):
    """A pass in a container is kept until the recipe of its image changes. A pass on the host doesn't count there."""
    result = run()
    now = container.hashes_of([CELL])[CELL.name]
    assert decide(CELL, result, now, Rerun.NOTHING).step is Step.KEEP
    assert decide(CELL, result, {**now, "image": "other"}, Rerun.NOTHING).step is Step.RUN
    on_host = replace(result, where="host", hashes={**now, "image": ""})
    assert decide(CELL, on_host, now, Rerun.NOTHING).step is Step.RUN
    assert decide(CELL, result, {**now, "image": ""}, Rerun.NOTHING).step is Step.KEEP  # asked for on the host


def test_recipe(monkeypatch, tmp_path):
    """The recipe hashes the Dockerfile and its arguments. It doesn't hash the lock or the day."""
    before = container.recipe(CELL)
    monkeypatch.setattr(image.fingerprint, "lock_hash", lambda cell, source: "other")
    assert container.recipe(CELL) == before
    assert container.recipe(replace(CELL, base="python:3.14-slim-trixie")) != before
    asked = []
    monkeypatch.setattr(
        image, "build_args", lambda cell, today, source: asked.append(today) or {"LOCK": "", "HARNESS": ""}
    )
    container.recipe(CELL)
    assert asked[0] != datetime.date.today()
    monkeypatch.undo()
    other = tmp_path / "Dockerfile"
    other.write_text("FROM scratch\n")
    monkeypatch.setattr(image, "dockerfile", lambda cell, source: other)
    assert container.recipe(CELL) != before
    monkeypatch.undo()
    copy = container.snapshot.take(tmp_path / "copy", CELL)
    assert container.recipe(CELL, copy) == before
    (copy / "docker" / "wheel-constraints.txt").write_text("hatchling==1")
    assert container.recipe(CELL, copy) != before


# Before the run


def test_preflight_removes_leftovers_once(docker):
    """A run may leave a container if the machine loses its power. Only containers of this checkout are removed."""
    (docker.home / "containers" / "left").touch()
    assert container.preflight(CELL) is None and container.preflight(CELL) is None
    assert docker.containers == [] and docker.verbs.count("ps") == 1
    assert docker.call("ps")[-1] == "label=harness.run=mine"


def test_preflight_no_lock(docker, monkeypatch):
    refusal = Result(CELL.name, Outcome.UNAVAILABLE, "no lock")
    monkeypatch.setattr(host, "without_lock", lambda cell: refusal)
    assert container.preflight(CELL) == replace(refusal, where="container")


def test_preflight_no_engine(docker):
    docker.answer(
        "version", status=1, err="Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"
    )
    result = container.preflight(CELL)
    assert result.outcome is Outcome.NOT_RUN and "unix:///x" in result.reason and "start" in result.reason


def test_preflight_no_docker(docker, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "install Docker" in container.preflight(CELL).reason


def test_preflight_checks_local_devices_only_for_a_local_engine(docker, monkeypatch):
    """The devices of this machine say nothing about an engine on another machine."""
    refusal = Result(ON_GPU.name, Outcome.UNSUPPORTED, "too old a GPU")
    monkeypatch.setattr(hardware, "check", lambda cell: refusal)
    assert container.preflight(ON_GPU) == replace(refusal, where="container")
    docker.answer("context", out="ssh://elsewhere\n")
    assert container.preflight(ON_GPU) is None


def test_h100_cannot_run_an_older_jax(docker, monkeypatch):
    """The row in matrix.toml says so. Nothing is pulled or built."""
    old = next(
        cell
        for cell in CELLS.values()
        if cell.name.endswith("jax0.4.1-cuda") or "0.3" in cell.jax and cell.backend == "cuda"
    )
    monkeypatch.setattr(hardware, "here", lambda: Hardware(8, 1000, gpus=(H100,)))
    result = container.preflight(old)
    assert result.outcome is Outcome.UNSUPPORTED
    assert not {"build", "pull", "create"} & set(docker.verbs)


def test_devices_are_checked_before_the_build(run, docker, monkeypatch):
    def none(cell, log, cancel):
        raise DockerError("no such device", Outcome.UNSUPPORTED)

    monkeypatch.setattr(devices, "check", none)
    result = run(ON_GPU)
    assert result.outcome is Outcome.UNSUPPORTED and result.reason == "no such device" and "build" not in docker.verbs


def test_secrets_reach_the_build(run, docker, monkeypatch):
    monkeypatch.setattr(container, "secrets", lambda scratch: ["--secret=id=pip.conf,src=/x"])
    run()
    assert "--secret=id=pip.conf,src=/x" in docker.call("build")


def test_secrets(tmp_path):
    """The user's index and CA become secrets of the build. The user's pip.conf doesn't."""
    file = tmp_path / "file"
    file.touch()
    assert container.secrets(tmp_path, {"SSL_CERT_FILE": str(file)}) == ["--secret=id=ca.pem,src={}".format(file)]
    assert container.secrets(tmp_path, {"SSL_CERT_FILE": str(tmp_path / "missing")}) == []
    assert container.secrets(tmp_path, {"PIP_CONFIG_FILE": str(file)}) == []
    (secret,) = container.secrets(tmp_path, {"EQX_INDEX_URL": "https://me:pass%20word@mirror.example/simple"})
    name, path = secret.split(",src=")
    assert name == "--secret=id=pip.conf"
    assert Path(path).read_text() == "[global]\nindex-url = https://me:pass%20word@mirror.example/simple\n"


# With a real engine


@pytest.fixture(scope="module")
def real(request):
    """The image of the newest cell. The tests are skipped without `--run-docker`."""
    if not request.config.getoption("--run-docker", default=False):
        pytest.skip("builds an image: only with --run-docker")
    try:
        engine.check()
        with open(os.devnull, "wb") as log:
            return container.build(CELLS["py313-jax0.12.0.1-cpu"], log, threading.Event())
    except DockerError as error:
        pytest.skip(str(error))


def exists(name):
    return bool(engine.ask("ps", "--all", "--quiet", "--filter", "name=" + name))


def test_real_container(real, tmp_path):
    """The output, the exit status and the files of the container come back, and the container is removed."""
    never, command = threading.Event(), ("sh", "-c", "echo said; echo '{}' > /results/report.json; kill -9 $$")
    with (tmp_path / "log").open("wb") as log:
        with engine.container(real, "sh", "-c", "echo said; exit 7", log=log, cancel=never) as name:
            assert engine.execute(name, log, never) == engine.Completed(7, "said\n")
        with engine.container(real, *command, log=log, cancel=never) as name:
            engine.execute(name, log, never)
            assert container.copy_results(name, tmp_path).report.read_text() == "{}\n"
    assert not exists(name)


def test_real_container_that_is_cancelled(real, tmp_path):
    cancel = threading.Event()
    with (tmp_path / "log").open("wb") as log, pytest.raises(engine.Interrupted):
        with engine.container(real, "sh", "-c", "echo begun; sleep 600", log=log, cancel=cancel) as name:
            engine.execute(name, log, cancel, lambda: cancel.set() if log.tell() > 70 else None)
    assert not exists(name)


def test_real_leftovers(real, monkeypatch):
    """Only leftovers of this checkout are removed."""
    names = ["equinox-test-mine", "equinox-test-other"]
    with engine.remove_at_end(names[0]), engine.remove_at_end(names[1]):
        for name in names:
            engine.ask("create", "--name", name, "--label", "{}={}".format(engine.LABEL, name), real, "true")
        monkeypatch.setattr(engine, "checkout", lambda: names[0])
        engine.remove_leftovers()
        assert [exists(name) for name in names] == [False, True]


def test_real_engine_without_gpus(real, tmp_path):
    """Without a GPU, real docker refuses `--gpus`, and the harness understands its message."""
    if hardware.here().gpus:
        pytest.skip("there is a GPU here")
    never = threading.Event()
    with (tmp_path / "log").open("wb") as log, pytest.raises(DockerError, match="GPU|NVIDIA"):
        with engine.container(real, "true", options=("--gpus=all",), log=log, cancel=never) as name:
            engine.execute(name, log, never)
    assert not exists(name)
