"""`python -m harness here`: when `make test-gpu` uses it, and what it needs."""

import os
import sys
import textwrap
from importlib import metadata

import pytest
from fake_docker import FakeDocker
from programs import python

from harness import command_line
from harness.run import device_check, installed_jax, which_jax
from harness.system.paths import ROOT
from harness.system.program import typed


@pytest.fixture(autouse=True)
def no_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """`installed(name=version)`: this Python seems to have only these packages."""

    def install(**versions):
        for name, version in versions.items():
            facts = tmp_path / "site" / "{}-{}.dist-info".format(name, version) / "METADATA"
            facts.parent.mkdir(parents=True)
            facts.write_text("Name: {}\nVersion: {}\n".format(name, version))
        only = list(metadata.distributions(path=[str(tmp_path / "site")]))
        monkeypatch.setattr(which_jax, "distributions", lambda: only)

    return install


@pytest.mark.parametrize(
    "versions, backends",
    [
        ({"jaxlib": "0.11.2", "jax_cuda13_plugin": "0.11.2"}, {"cpu", "cuda"}),
        ({"jaxlib": "0.4.20+cuda12.cudnn89"}, {"cpu", "cuda"}),
        ({"jaxlib": "0.11.2", "libtpu": "0.0.20"}, {"cpu", "tpu"}),
        ({"jaxlib": "0.4.30", "libtpu_nightly": "0.1.dev20240617"}, {"cpu", "tpu"}),
        ({"jaxlib": "0.11.2", "jax_cuda13_pjrt": "0.11.2", "torch": "2.11.0+cu130"}, {"cpu"}),
        ({"numpy": "2.4.0"}, set()),
    ],
)
def test_it_fits_if_there_is_a_jax_for_the_backend_and_no_engine(installed, capsys, versions, backends):
    installed(**versions)
    for backend in which_jax.JAX_FOR:
        assert command_line.main(["here", backend, "--fits"]) == (0 if backend in backends else 1)
        said = capsys.readouterr().out
        assert said.count("\n") == (backend in backends) and (sys.executable in said or not said)


def test_an_engine_that_answers_comes_first(installed, tmp_path, monkeypatch, capsys):
    installed(jaxlib="0.11.2", jax_cuda13_plugin="0.11.2")
    docker = FakeDocker(tmp_path / "docker")
    monkeypatch.setenv("PATH", docker.path)
    assert command_line.main(["here", "cuda", "--fits"]) == 1
    docker.answer("version", status=1, err="A warning\npermission denied, says the Docker daemon.\n")
    assert command_line.main(["here", "cuda", "--fits"]) == 0
    said = capsys.readouterr().out
    assert "because: `docker version` failed: permission denied, says the Docker daemon." in said
    assert "`{}` runs the cells of the matrix.".format(typed("run")) in said


@pytest.mark.parametrize("variable", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_an_engine_that_the_user_names_is_used(installed, monkeypatch, variable):
    """This holds even if the engine doesn't answer."""
    installed(jaxlib="0.11.2")
    monkeypatch.setenv(variable, "ssh://elsewhere")
    assert command_line.main(["here", "cpu", "--fits"]) == 1


@pytest.mark.parametrize("backend, install", [("cuda", "jax[cuda13]"), ("tpu", "jax[tpu]"), ("cpu", "jax[cpu]")])
def test_without_a_jax_for_the_backend_nothing_is_run(installed, monkeypatch, capsys, backend, install):
    """JAX would use the CPU, and the proof of place would only fail."""
    installed(**{"numpy": "2.4.0", **({} if backend == "cpu" else {"jaxlib": "0.11.2"})})
    monkeypatch.setattr(installed_jax, "run", None)
    assert command_line.main(["here", backend]) == 3
    said = capsys.readouterr().err
    assert "({}) has no JAX for {}".format(sys.executable, backend) in said
    assert "{} -m pip install '{}'".format(sys.executable, install) in said


def test_a_folder_of_an_interrupted_pip_is_no_package(installed, tmp_path):
    (tmp_path / "site" / "~umpy-2.4.0.dist-info").mkdir(parents=True)
    installed(jaxlib="0.11.2")
    assert which_jax.jax_for("cpu") == "jaxlib==0.11.2" and which_jax.jax_for("tpu") is None


def test_the_backend_and_the_arguments_of_pytest_are_passed_on(monkeypatch):
    asked = []
    monkeypatch.setattr(which_jax, "jax_for", lambda backend: "jaxlib==0.11.2")
    monkeypatch.setattr(installed_jax, "run", lambda *given: asked.append(given) or 7)
    assert command_line.main(["here", "cuda"]) == 7
    assert command_line.main(["here", "cpu", "--", "-k", "tree_at", "tests/trees/test_at.py"]) == 7
    assert asked == [("cuda", []), ("cpu", ["-k", "tree_at", "tests/trees/test_at.py"])]


def test_a_check_of_the_device_has_a_time_limit(monkeypatch):
    asked = []
    monkeypatch.setattr(which_jax, "jax_for", lambda backend: "jaxlib==0.11.2")
    monkeypatch.setattr(device_check, "run", lambda *given: asked.append(given) or 7)
    assert command_line.main(["here", "cuda", "--check", "--limit-s", "60"]) == 7
    assert command_line.main(["here", "cpu", "--check"]) == 7
    assert asked == [("cuda", 60), ("cpu", 480)]


def test_without_pytest_it_says_what_to_install():
    """This Python has only its standard library."""
    done = python("-S", "-E", "-m", "harness", "here", "cpu")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "which comes with pytest" in done.stderr and "{} -m pip install".format(sys.executable) in done.stderr


def test_it_imports_only_what_comes_with_pytest(tmp_path):
    """The other tools of the harness are hidden, because the machines that this is for don't have them."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(
            """
            import sys

            class Hidden:
                def find_spec(self, name, path=None, target=None):
                    if name.split(".")[0] in ("filelock", "rich", "tox", "tox_uv", "uv", "yaml"):
                        raise ModuleNotFoundError("no " + name, name=name)

            sys.meta_path.insert(0, Hidden())
            """
        )
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = python("-c", "from harness.run import device_check", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "8m", ""])
def test_the_time_limit_must_be_a_positive_number(text, capsys):
    """With other values, a check would end at once or never."""
    with pytest.raises(SystemExit):
        command_line.main(["here", "cpu", "--check", "--limit-s=" + text])
    assert "expected a whole number" in capsys.readouterr().err
