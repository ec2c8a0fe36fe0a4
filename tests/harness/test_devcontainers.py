"""Each dev container is built from the image of its backend, and gets only the device of that backend."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness import rows
from harness.system.paths import DOCKER, ROOT

FOLDER = ROOT / ".devcontainer"

each_backend = pytest.mark.parametrize("backend", rows.BACKENDS)


def path(backend: str) -> Path:
    return FOLDER / backend / "devcontainer.json"


def read(backend: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path(backend).read_text(encoding="utf-8"))
    return found


def test_each_backend_has_one() -> None:
    assert {file.parent.name for file in FOLDER.glob("*/devcontainer.json")} == set(rows.BACKENDS)


@each_backend
def test_it_is_made_from_the_image_of_its_backend(backend: str) -> None:
    build = read(backend)["build"]
    dockerfile = (path(backend).parent / build["dockerfile"]).resolve()
    assert dockerfile == DOCKER / (backend + ".Dockerfile")
    assert (path(backend).parent / build["context"]).resolve() == ROOT
    assert re.search(r"(?m)^FROM .* AS {}$".format(build["target"]), dockerfile.read_text(encoding="utf-8"))


@each_backend
def test_its_user_is_that_of_the_image(backend: str) -> None:
    """On a TPU the user is root, because the device nodes may belong to root: see harness/containers/devices.py."""
    dockerfile = (DOCKER / (backend + ".Dockerfile")).read_text(encoding="utf-8")
    user = read(backend)["remoteUser"]
    assert user == "root" if backend == "tpu" else re.search(r"useradd .* {}\n".format(user), dockerfile)


@each_backend
def test_only_the_dockerfile_names_versions(backend: str) -> None:
    assert "args" not in read(backend)["build"]
    assert not re.search(r"\d\.\d", path(backend).read_text(encoding="utf-8"))


@each_backend
def test_its_first_command_is_a_target_of_the_makefile(backend: str) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    wanted = re.findall(r"make ([a-z-]+)", read(backend)["postCreateCommand"])
    assert wanted
    assert set(wanted) <= targets


@each_backend
def test_it_asks_only_for_the_device_of_its_backend(backend: str) -> None:
    said = read(backend)
    assert ("--gpus" in path(backend).read_text(encoding="utf-8")) == (backend == "cuda")
    assert (said.get("hostRequirements") == {"gpu": True}) == (backend == "cuda")
    assert said.get("privileged", False) == (backend == "tpu")


def test_all_other_settings_are_the_same() -> None:
    own = {"name", "build", "hostRequirements", "privileged", "remoteUser", "runArgs"}
    shared = [{key: said for key, said in read(backend).items() if key not in own} for backend in rows.BACKENDS]
    assert shared == [shared[0]] * len(shared)
