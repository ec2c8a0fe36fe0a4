"""`tox -e CELL` with the real tox, in a small checkout: two cells, small locks, and a fake pytest.

Nothing is downloaded. All wheels are there already, and the fake pytest is part of the suite.
"""

import datetime
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import programs
import pytest
from programs import PATIENCE_S, wait_until, write
from server import serve
from small_matrix import PROJECT, a_cell

from harness import rows
from harness.source import fingerprint, pages, wheel
from harness.system import interpreters
from harness.system.run_lock import AlreadyRunning, hold_lock

pytest.importorskip("tox")
pytest.importorskip("tox_uv")

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "{}.{}".format(*sys.version_info)
RELEASES = ("0.4.30", "0.4.31")
FIRST, SECOND = ("py{}-jax{}-cpu".format(PYTHON.replace(".", ""), jax) for jax in RELEASES)
CELL = a_cell(RELEASES[0], python=PYTHON, as_of=datetime.date(2024, 7, 15))

MATRIX = """
[install]
cpu.index.requires = ["jax=={jax}", "jaxlib=={jaxlib}"]
cuda = {}
tpu = {}
"""
ROW = """
[[row]]
jax = "{jax}"
jaxlib = "{jax}"
python = "{python}"
as_of = 2024-07-15
tier = "pr"
cpu = {{ install = "index" }}
"""

# The fake pytest. It records its environment, writes the report that docker/inside would write, and follows its plan.
PYTEST = """
import importlib, json, os, pathlib, signal, sys, time
package = importlib.import_module(json.loads(os.environ["EQX_EXPECT"])["package"])
plan = json.loads(pathlib.Path("tests/plan.json").read_text())
seen = {"package": package.__file__, "prefix": sys.prefix, "folder": os.getcwd(), "arguments": sys.argv[1:]}
seen["environ"] = dict(os.environ)
pathlib.Path(os.environ["EQX_REPORT"]).with_name("seen.json").write_text(json.dumps(seen))
junit = next(argument for argument in sys.argv if argument.startswith("--junitxml=")).partition("=")[2]
pathlib.Path(junit).write_text("<testsuites/>")
if plan.get("wait"):
    pathlib.Path(plan["wait"]).write_text(str(os.getpid()))
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # tox sends it too
        time.sleep(plan.get("end_s", 0))
        sys.exit(2)
if plan.get("kill"):
    os.kill(os.getpid(), plan["kill"])
pathlib.Path(os.environ["EQX_REPORT"]).write_text(json.dumps(plan["report"]))
sys.exit(plan["status"])
"""
REPORT = {"counts": {"passed": 3}, "failures": [], "versions": {"jax": "0.4.30"}, "seconds": {"tests": 0.5}}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A small checkout and its wheel."""
    found = interpreters.look(PYTHON, {**os.environ, "PATH": path_with_this_python()})
    if found is None:
        pytest.skip("no Python {} outside of an environment".format(PYTHON))
    root = tmp_path_factory.mktemp("template")
    constraints = ("docker/build-constraints.txt", "docker/wheel-constraints.txt")
    for name in ("toxfile.py", "tox.ini", "pyproject.toml", "README.md", "LICENSE", *constraints):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy2(str(ROOT / name), str(root / name))
    for name in ("harness", "docker/bridge", "docker/inside"):
        shutil.copytree(str(ROOT / name), str(root / name), ignore=shutil.ignore_patterns("__pycache__", "smoke*"))
    small = make_wheel(root / "wheels", "small")
    digest = hashlib.sha256(small.read_bytes()).hexdigest()
    lock = "--find-links {}\nsmall==1.0 --hash=sha256:{}\n".format(small.parent, digest)
    rows = [ROW.format(jax=jax, python=PYTHON) for jax in RELEASES]
    files = {
        "docs/api.md": "",
        "docker/inside/pytest.py": PYTEST,
        "equinox/__init__.py": "raise ImportError('this is the checkout, and not the wheel')\n",
        "examples/train.py": "",
        "locks/{}.txt".format(FIRST): lock,
        "locks/{}.txt".format(SECOND): lock,
        "matrix.toml": PROJECT + MATRIX + "".join(rows),
        "tests/harness/test_x.py": "",
    }
    write(root, files)
    put_wheel(root)
    return root


def put_wheel(root):
    """Put the wheel where the harness looks for the wheel of this library."""
    make_wheel(wheel.folder_of(root, root / ".tox") / PYTHON, "equinox")


def make_wheel(folder, name):
    """A wheel of an empty package. The library's wheel requires JAX, which isn't available here."""
    folder.mkdir(parents=True)
    info = name + "-1.0.dist-info/"
    metadata = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n".format(name)
    path = folder / (name + "-1.0-py3-none-any.whl")
    with zipfile.ZipFile(str(path), "w") as wheel:
        wheel.writestr(name + "/__init__.py", "")
        wheel.writestr(info + "METADATA", metadata + "Requires-Dist: jax\n" * (name == "equinox"))
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", name + "/__init__.py,,\n")
    return path


def path_with_this_python():
    return os.pathsep.join([str(Path(sys.base_prefix) / "bin"), os.environ["PATH"]])


class Checkout:
    def __init__(self, root):
        self.root = root
        self.plan()

    def plan(self, status=0, report=REPORT, **more):
        """Set what the fake pytest does."""
        plan = {"status": status, "report": report, **more}
        (self.root / "tests" / "plan.json").write_text(json.dumps(plan))

    def start(self, *arguments, program=None, **env):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOX", "EQX_"))}
        return subprocess.Popen(
            [sys.executable, *([program] if program else ["-m", "tox"]), *arguments],
            cwd=str(self.root),
            env={**kept, "PATH": path_with_this_python(), "UV_OFFLINE": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def tox(self, *arguments, **env):
        """Run tox. Returns its exit status and its output."""
        process = self.start(*arguments, **env)
        said, _ = process.communicate(timeout=PATIENCE_S)
        return process.returncode, said

    def result(self, cell=FIRST):
        path = self.root / "results" / (cell + ".json")
        return json.loads(path.read_text()) if path.exists() else None

    def environment(self, cell=FIRST):
        return self.root / ".tox" / cell

    def seen(self, cell=FIRST):
        return json.loads((self.environment(cell) / "seen.json").read_text())

    def lock(self, cell=FIRST):
        return self.root / "locks" / (cell + ".txt")


@pytest.fixture
def checkout(template, tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    shutil.copytree(str(template), str(root))
    monkeypatch.setattr(fingerprint, "HOME", root)  # it has its own harness, and its own matrix
    for module in (fingerprint, pages):
        monkeypatch.setattr(module, "project", lambda: rows.project(root / "matrix.toml"))
    return Checkout(root)


# Another project


THEIR_MATRIX = """
row = [{{ jax = "0.4.30", python = "{python}" }}]
[project]
package = "tiny"
"""
# It needs nothing from an index. It builds a wheel for the Python that runs it.
THEIR_BACKEND = """
import sys, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-cp{0}{1}-cp{0}{1}-linux_x86_64.whl".format(*sys.version_info)
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.write("src/tiny/__init__.py", "tiny/__init__.py")
        metadata = "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\nRequires-Dist: jax\\n"
        wheel.writestr("tiny-1.0.dist-info/METADATA", metadata)
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
"""
THEIR_PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
dependencies = ["jax>=0.5"]
"""


@pytest.fixture
def theirs(checkout, tmp_path):
    """A project in another folder: it has a `src` layout, a backend, a tox.ini, a toxfile.py and a docker folder."""
    files = {
        "pyproject.toml": THEIR_PYPROJECT,
        "backend.py": THEIR_BACKEND,
        "matrix.toml": THEIR_MATRIX.format(python=PYTHON),
        "src/tiny/__init__.py": "name = 'theirs'",
        "tox.ini": "[tox]\nenv_list = other\n[testenv]\ncommands = false\n",
        "toxfile.py": "raise SystemExit('the toxfile of the project is loaded')",
        "docker/build-constraints.txt": "no requirement\n",
        "locks/{}.txt".format(FIRST): checkout.lock().read_text(),
    }
    root = write(tmp_path / "their project", files)
    (root / "tests").mkdir()
    return Checkout(root)


def test_another_project_is_tested_whatever_it_has(checkout, theirs):
    """Its own backend builds the wheel, by the Python of the cell. Its own tox.ini isn't read.

    All that is generated is below its root. It claims another JAX. It is tested anyway, and the result says it.
    """

    def run(*more):
        env = {"PATH": path_with_this_python(), "UV_OFFLINE": "1", "HOME": os.environ["HOME"]}
        command = [sys.executable, str(checkout.root / "harness"), "--project", str(theirs.root), "run", FIRST, *more]
        done = programs.run(*command, cwd=checkout.root, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run()
    result, seen = theirs.result(), theirs.seen()
    assert result["outcome"] == "passed" and result["counts"] == {"passed": 3}
    assert result["reason"] == "the project doesn't claim this JAX: it requires jax>=0.5"
    assert Path(seen["package"]).read_text() == "name = 'theirs'" and "site-packages" in seen["package"]
    assert Path(seen["prefix"]) == theirs.environment() and seen["arguments"][-1] == "tests"
    assert len(list(theirs.root.glob(".tox/wheel/*/{}/*.whl".format(PYTHON)))) == 1
    assert not (checkout.root / "results").exists() and not checkout.environment().exists()
    assert "no result is written" in run("--", "tests/test_x.py", "-k", "y")
    assert theirs.seen()["arguments"][-3:] == ["tests/test_x.py", "-k", "y"] and theirs.result() == result


# Names


def test_list_has_the_cells_of_the_matrix_and_no_others(checkout):
    assert checkout.tox("-l") == (0, "{}\n{}\n".format(FIRST, SECOND))


@pytest.mark.parametrize(
    "wrong", [FIRST + "x", FIRST.replace("30", "33"), FIRST.replace("-cpu", ""), FIRST + "-" + SECOND, "py", "py*"]
)
def test_a_wrong_name_is_refused(checkout, wrong):
    """This includes combinations of known parts, which tox would accept. Nothing is made before."""
    status, said = checkout.tox("run", "-e", "{},{}".format(SECOND, wrong))
    assert status == 2 and "`{}`".format(wrong) in said
    assert not checkout.environment(SECOND).exists()


def test_the_error_of_a_wrong_name_suggests_the_nearest(checkout):
    assert FIRST in checkout.tox("-e", FIRST.replace("jax", "jx"))[1]


def test_a_wrong_name_in_toxenv_is_refused(checkout):
    assert checkout.tox("run", TOXENV=FIRST + "x")[0] == 2


def test_no_name_is_refused(checkout):
    """Otherwise tox would run all cells."""
    status, said = checkout.tox()
    assert status == 2 and "tox -l" in said


# Running


def test_passed(checkout):
    """The wheel is tested outside of the source tree. The result and JUnit's report are written."""
    status, said = checkout.tox("-e", FIRST)
    assert status == 0, said
    result, seen = checkout.result(), checkout.seen()
    assert (result["cell"], result["outcome"], result["counts"]) == (FIRST, "passed", {"passed": 3})
    assert set(result["seconds"]) == {"setup", "tests", "total"} and result["started"] > "2026"
    assert all(result["hashes"][what] for what in ("lock", "source"))
    assert (checkout.root / "results" / (FIRST + ".xml")).read_text() == "<testsuites/>"
    environment = checkout.environment()
    assert Path(seen["prefix"]) == environment and Path(seen["folder"]) == environment / "suite"
    assert "site-packages" in seen["package"] and environment in Path(seen["package"]).parents
    assert "tests" in seen["arguments"] and ["-p", "proof_of_place"] == seen["arguments"][:2]


@pytest.mark.parametrize("file", ["tests/plan.json", "locks/{}.txt".format(FIRST), "equinox/__init__.py"])
def test_the_hash_is_of_the_source_that_was_run(checkout, file):
    """This holds even if the user switches to another branch while the environment is made."""
    links, pins = checkout.lock().read_text().split("\n", 1)
    checkout.lock().write_text(pins)
    before = fingerprint.hashes(CELL, checkout.root)
    wheel = Path(links.split()[1]) / "small-1.0-py3-none-any.whl"

    def index(method, path, headers, content):
        if path == "/simple/small/":
            (checkout.root / file).write_text("{}")
            return 200, '<a href="/{0}">{0}</a>'.format(wheel.name).encode()
        return (200, wheel.read_bytes()) if path == "/" + wheel.name else (404, b"")

    with serve(index) as url:
        status, said = checkout.tox("-e", FIRST, UV_OFFLINE="0", EQX_INDEX_URL=url + "/simple", NO_PROXY="127.0.0.1")
    assert status == 0 and checkout.result()["outcome"] == "passed", said
    assert checkout.result()["hashes"] == before != fingerprint.hashes(CELL, checkout.root)


def test_a_source_that_was_not_asked_for_is_not_run(checkout):
    """The user may switch to another branch while other cells run. Nothing is made, and the last result stays."""
    asked = fingerprint.source_hash(checkout.root)
    assert checkout.tox("-e", FIRST, EQX_EXPECTED_SOURCE=asked)[0] == 0
    last = checkout.result()
    checkout.plan(status=1)
    status, said = checkout.tox("-e", FIRST, EQX_EXPECTED_SOURCE=asked)
    assert status == 76 and "the source changed after this run began" in said
    assert checkout.result() == last


def test_the_callers_variables_do_not_reach_the_tests(checkout):
    unwanted = {
        "PYTHONPATH": "/x",
        "PYTEST_ADDOPTS": "-x",
        "XLA_FLAGS": "--x",
        "JAX_PLATFORMS": "tpu",
        "LD_LIBRARY_PATH": "/x",
    }
    checkout.tox("-e", FIRST, EQX_SEED="7", EQX_WORKERS="3", **unwanted)
    seen = checkout.seen()["environ"]
    assert {name: seen.get(name) for name in unwanted} == {
        "PYTHONPATH": str(checkout.environment() / "plugins"),
        "PYTEST_ADDOPTS": None,
        "XLA_FLAGS": None,
        "JAX_PLATFORMS": "cpu",
        "LD_LIBRARY_PATH": None,
    }
    assert (seen["EQX_SEED"], seen["EQX_WORKERS"], seen["EQX_CELL"]) == ("7", "3", FIRST)


def test_a_result_has_the_id_of_its_run(checkout):
    """The tests can't read this id, so they can't forge a result."""
    checkout.tox("-e", FIRST, EQX_RUN="drawn")
    assert checkout.result()["run"] == "drawn" and "drawn" not in json.dumps(checkout.seen())
    checkout.tox("-e", FIRST)
    assert len(checkout.result()["run"]) == 32


def test_no_secret_of_the_caller_reaches_the_tests(checkout):
    """The tests run code of the installed packages. uv may use some of the secrets, to reach the index."""
    secrets = {
        "NETRC": "/x/netrc",
        "SSH_AUTH_SOCK": "/x/agent",
        "https_proxy": "http://me:s3cret@proxy",
        "HTTPS_PROXY": "http://me:s3cret@proxy",
        "EQX_INDEX_URL": "https://me:s3cret@mirror",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "GITHUB_TOKEN": "s3cret",
        "CURL_CA_BUNDLE": "/x/ca",
    }
    status, said = checkout.tox("-e", FIRST, **secrets, NO_COLOR="1")
    assert status == 0, said
    seen = checkout.seen()["environ"]
    assert not [value for value in seen.values() if "s3cret" in value or value.startswith("/x/")]
    assert seen["NO_COLOR"] == "1" and seen["HOME"] == os.environ["HOME"]


def test_a_variable_that_the_user_adds_reaches_the_tests(checkout):
    checkout.tox("-x", "testenv.pass_env+=XLA_FLAGS", "-e", FIRST, XLA_FLAGS="--x")
    assert checkout.seen()["environ"]["XLA_FLAGS"] == "--x"


@pytest.mark.parametrize(
    "plan, words",
    [
        ({"status": 1, "report": {**REPORT, "failures": ["tests/test_x.py::y"]}}, "tests/test_x.py::y"),
        ({"status": 70, "report": {**REPORT, "refusal": "it is a CPU"}}, "it is a CPU"),
        ({"status": 2}, "exit status 2"),
        ({"kill": signal.SIGSEGV}, "SIGSEGV"),
    ],
)
def test_failed(checkout, plan, words):
    """tox's exit status is 1 for every failure of pytest. The result is written."""
    checkout.plan(**plan)
    status, said = checkout.tox("-e", FIRST)
    assert status == 1, said
    assert checkout.result()["outcome"] == "failed" and words in checkout.result()["reason"]
    assert words in said


def test_a_part_of_the_suite_makes_no_result(checkout):
    status, said = checkout.tox("-e", FIRST, "--", "tests/test_x.py", "-k", "y")
    assert status == 0 and "no result is written" in said
    assert checkout.result() is None
    assert checkout.seen()["arguments"][-3:] == ["tests/test_x.py", "-k", "y"]


def test_notest_makes_no_result(checkout):
    status, said = checkout.tox("run", "--notest", "-e", FIRST)
    assert status == 0, said
    assert checkout.result() is None
    assert checkout.tox("-e", FIRST)[0] == 0 and checkout.result()["outcome"] == "passed"


@pytest.mark.parametrize("limit", ["2", "all"])
def test_cells_can_run_in_parallel(checkout, limit):
    status, said = checkout.tox("-p", limit, "-e", "{},{}".format(FIRST, SECOND))
    assert status == 0, said
    for cell in (FIRST, SECOND):
        assert checkout.result(cell)["outcome"] == "passed"
        assert checkout.seen(cell)["environ"]["EQX_JOBS"] == "2"  # they share the cores


def test_a_cell_runs_only_once_at_a_time(checkout, tmp_path):
    checkout.plan(wait=str(tmp_path / "runs"))
    first = checkout.start("-e", FIRST)
    try:
        wait_until((tmp_path / "runs").exists, first)
        status, said = checkout.tox("-e", FIRST)
        assert status == 75 and "already running" in said
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_interrupted_writes_no_result(checkout, tmp_path):
    """Ctrl-C reaches tox and pytest. The output of an interrupted pytest isn't a result. The last result stays."""
    checkout.tox("-e", FIRST)
    last = checkout.result()
    checkout.plan(wait=str(tmp_path / "runs"))
    process = checkout.start("-e", FIRST)
    wait_until((tmp_path / "runs").exists, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert checkout.result() == last


@pytest.mark.parametrize("send, number", [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)])
def test_a_signal_ends_a_part_of_the_suite_in_order(checkout, tmp_path, send, number):
    """`harness run CELL -- ARG`: pytest has ended when the command ends. tox gives it the time for that.

    Ctrl-C reaches all processes, and `kill` only the first.
    """
    checkout.plan(wait=str(tmp_path / "runs"), end_s=2)
    process = checkout.start("run", FIRST, "--", "-x", program=str(checkout.root / "harness"))
    wait_until((tmp_path / "runs").exists, process)
    send(process.pid, number)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and "interrupted; no result is written" in said, said
    assert not programs.is_running(int((tmp_path / "runs").read_text()))
    assert checkout.result() is None


def test_ctrl_c_may_be_heard_after_pytest_has_ended(monkeypatch):
    """tox and pytest get the signal together. tox's thread that waits for pytest may be faster than its main thread."""
    monkeypatch.syspath_prepend(str(ROOT))
    toxfile = importlib.import_module("toxfile")
    monkeypatch.setattr(toxfile, "SESSION", toxfile.Session())
    assert not toxfile.was_interrupted(exit_code=1)
    threading.Timer(0.1, toxfile.SESSION.interrupted.set).start()
    assert toxfile.was_interrupted(exit_code=2)


PARENT = """
import os, subprocess, sys
env = {**os.environ, "EQX_PARENT": str(os.getpid())}
subprocess.Popen([sys.executable, "-m", "tox", *sys.argv[1:]], env=env).wait()
"""


def is_free(lock):
    """Whether the tox that held the lock has ended."""
    try:
        with hold_lock(lock):
            return True
    except AlreadyRunning:
        return False


def test_tox_ends_if_the_harness_that_started_it_is_killed(checkout, tmp_path):
    """A killed process can't stop its children itself."""
    checkout.plan(wait=str(tmp_path / "runs"))
    env = {**os.environ, "PATH": path_with_this_python(), "UV_OFFLINE": "1"}
    command = [sys.executable, "-c", PARENT, "-e", FIRST]
    with open(str(tmp_path / "said"), "w") as said:
        parent = subprocess.Popen(
            command, cwd=str(checkout.root), env=env, stdout=said, stderr=said, start_new_session=True
        )
    wait_until((tmp_path / "runs").exists, parent)
    assert not is_free(checkout.root / ".tox" / (FIRST + ".lock"))
    parent.kill()
    parent.wait()
    wait_until(lambda: is_free(checkout.root / ".tox" / (FIRST + ".lock")))
    assert checkout.result() is None


# Places


@pytest.mark.parametrize("name", ["with spaces", "it's a # b, [c] {d} %e $f"])
def test_the_checkout_may_be_anywhere(template, tmp_path, name):
    """The home folder is read-only here, as in some containers."""
    root = tmp_path / name / "checkout"
    shutil.copytree(str(template), str(root))
    checkout = Checkout(root)
    status, said = checkout.tox("-e", FIRST, HOME="/proc/nobody", UV_OFFLINE="1")
    assert status == 0, said
    assert checkout.result()["outcome"] == "passed"
    assert (root / "results" / (FIRST + ".xml")).read_text() == "<testsuites/>"


def test_a_path_with_a_colon_is_refused(template, tmp_path):
    root = tmp_path / "a:b" / "checkout"
    shutil.copytree(str(template), str(root))
    status, said = Checkout(root).tox("-e", FIRST)
    assert status == 2 and "a:b" in said and "Move the checkout" in said and "Traceback" not in said


# Environments


def test_an_environment_is_made_again_only_if_its_lock_changes(checkout):
    """A changed library is installed into the same environment. If nothing changes, nothing is installed."""
    mine = checkout.environment() / "mine"
    checkout.tox("-e", FIRST)
    mine.touch()
    status, said = checkout.tox("-e", FIRST)
    assert status == 0 and mine.exists() and "install" not in said and "venv>" not in said
    (checkout.root / "equinox" / "new.py").touch()
    put_wheel(checkout.root)
    assert checkout.tox("-e", FIRST)[0] == 0 and mine.exists()
    checkout.lock().write_text(checkout.lock().read_text() + "# another word\n")
    assert checkout.tox("-e", FIRST)[0] == 0 and not mine.exists()


def test_an_environment_is_made_again_if_its_making_was_killed(checkout):
    """Real tox and uv wait for an index that never answers, and are killed. The environment isn't trusted."""
    lock = checkout.lock().read_text()
    with socket.create_server(("127.0.0.1", 0)) as index:
        url = "http://127.0.0.1:{}/".format(index.getsockname()[1])
        checkout.lock().write_text(lock + "other==1.0 --hash=sha256:{}\n".format("0" * 64))
        process = checkout.start("-e", FIRST, UV_OFFLINE="0", EQX_INDEX_URL=url)
        index.settimeout(60)
        connection, _ = index.accept()  # now uv is installing
        os.killpg(process.pid, signal.SIGKILL)
        connection.close()
        process.communicate()
    half = checkout.environment() / "half"
    assert (checkout.environment() / "pyvenv.cfg").exists()
    half.touch()
    checkout.lock().write_text(lock)
    assert checkout.tox("-e", FIRST)[0] == 0
    assert not half.exists()


def test_a_lock_that_cannot_be_installed_is_unavailable(checkout):
    """A hash in the lock is wrong. The reason names the package and the file."""
    lock = checkout.lock().read_text()
    checkout.lock().write_text(re.sub("sha256:....", "sha256:0000", lock))
    status, said = checkout.tox("-e", FIRST)
    assert status == 3
    result = checkout.result()
    assert result["outcome"] == "unavailable" and result["reason"] in said
    assert "small==1.0" in result["reason"] and "locks/{}.txt".format(FIRST) in result["reason"]


def test_a_lock_without_hashes_is_refused(checkout):
    checkout.lock().write_text(re.sub(" --hash.*", "", checkout.lock().read_text()))
    assert checkout.tox("-e", FIRST)[0] == 3
    assert "must have a hash" in checkout.result()["reason"]


def test_a_wheel_that_cannot_be_built_is_unavailable(checkout):
    (checkout.root / "pyproject.toml").write_text(
        re.sub(r"hatchling", "no-such-thing", (checkout.root / "pyproject.toml").read_text())
    )
    status, _ = checkout.tox("-e", FIRST)
    assert status == 3 and checkout.result()["outcome"] == "unavailable"


def test_a_cell_that_cannot_run_here_is_refused_before_anything_is_made(checkout):
    checkout.lock(SECOND).unlink()
    status, said = checkout.tox("-e", "{},{}".format(FIRST, SECOND))
    assert status == 3 and SECOND in said and "harness lock" in said
    assert checkout.result(SECOND)["outcome"] == "unavailable"
    assert not checkout.environment(FIRST).exists()
