"""Isolation: of the caller's settings, the tools see only those that say how to reach the packages."""

import json
import os

import pytest
from programs import python, run
from server import serve

from harness.system.isolation import isolated
from harness.system.paths import ROOT
from harness.system.uv import uv_path

SETTINGS = {
    "UV_EXCLUDE_NEWER": "2024-01-01",
    "UV_REQUIRE_HASHES": "1",
    "UV_DEFAULT_INDEX": "https://other.example/simple",
    "UV_CONFIG_FILE": "/uv.toml",
    "PIP_TARGET": "/elsewhere",
    "PIP_CONFIG_FILE": "/pip.conf",
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": "/elsewhere",
}


def test_the_callers_settings_are_removed():
    assert isolated(SETTINGS) == isolated({}) == {"UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}


def test_index_proxy_and_certificates_are_kept():
    ways = {"EQX_INDEX_URL": "https://own.example", "HTTPS_PROXY": "http://proxy", "SSL_CERT_FILE": "/ca.pem"}
    env = isolated({**SETTINGS, **ways})
    assert {name: env[name] for name in ways} == ways
    assert env["UV_DEFAULT_INDEX"] == env["PIP_INDEX_URL"] == "https://own.example"
    assert env["PIP_CERT"] == "/ca.pem"
    assert isolated(env) == env


def test_the_user_may_choose_where_uv_keeps_its_files():
    kept = {"UV_CACHE_DIR": "/cache", "UV_OFFLINE": "1", "HOME": "/home"}
    assert kept.items() <= isolated(kept).items()


def test_environments_are_made_where_python_adds_no_folder_to_the_path():
    """With PYTHONSAFEPATH set, Python 3.11 and later don't put the folder of the program on the path."""
    done = python("harness/in_venv.py", "--help", PYTHONPATH="", PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stderr


RUN = """
import contextlib, io, json, os, runpy, sys
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    runpy.run_module("harness", run_name="__main__", alter_sys=True)
print(json.dumps(dict(os.environ)))
"""


@pytest.mark.parametrize("command, isolates", [(["list"], True), (["here", "tpu", "--fits"], False)])
def test_each_command_isolates_itself(command, isolates):
    """`here` is an exception: the JAX that is installed may need the settings."""
    done = python("-c", RUN, *command, **{**SETTINGS, "PYTHONPATH": str(ROOT)})
    kept = (set(SETTINGS) - {"PIP_CONFIG_FILE"}) & set(json.loads(done.stdout))
    assert not kept if isolates else kept == set(SETTINGS) - {"PIP_CONFIG_FILE"}


@pytest.fixture
def index():
    """The URL of an index without projects, and the paths that were asked for."""
    asked = []
    with serve(lambda method, path, headers, content: asked.append(path) or (404, b"")) as url:
        yield url + "/simple", asked


def test_uv_asks_the_chosen_index_and_reads_no_configuration(index, tmp_path):
    """The real uv, in a folder and with a home whose configuration files name another index."""
    uv = uv_path() or pytest.skip("there is no uv here")
    url, asked = index
    for place in (tmp_path / "uv.toml", tmp_path / "uv" / "uv.toml"):
        place.parent.mkdir(exist_ok=True)
        place.write_text('index-url = "http://127.0.0.1:9/simple"\n')
    places = {"XDG_CONFIG_HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1"}
    env = isolated({**os.environ, **SETTINGS, **places, "EQX_INDEX_URL": url})
    done = run(uv, "pip", "compile", "-", input="some-project", cwd=tmp_path, env=env)
    assert done.returncode != 0 and asked == ["/simple/some-project/"]
