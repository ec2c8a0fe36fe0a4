"""What GitHub runs: only what is pinned, with as few rights as it needs, from the one list of cells, and by make."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from harness import rows
from harness.places import ROOT

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))

each_file = pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])


def read(file: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def triggers(file: Any) -> dict[str, Any]:
    """The events that start a workflow. `on` is a bool to YAML."""
    found: dict[str, Any] = read(file)[True]
    return found


def jobs(file: Any) -> dict[str, Any]:
    found: dict[str, Any] = read(file)["jobs"]
    return found


def steps(file: Any) -> Iterator[dict[str, Any]]:
    for job in jobs(file).values():
        yield from job.get("steps", ())


def uses_devices_of_ours(job: dict[str, Any]) -> bool:
    return "self-hosted" in job.get("runs-on", ())


def test_all_kinds_of_runs_are_there() -> None:
    assert {file.name for file in FILES} >= {"accelerators.yml", "nightly.yml", "tests.yml"}


@each_file
def test_an_action_is_pinned_by_its_commit_and_says_its_version(file: Any) -> None:
    for line in re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8")):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+|\./\.github/workflows/\w+\.yml", line)
        if line.startswith("./"):
            assert (ROOT / line).is_file()


def test_an_action_is_the_same_everywhere() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in FILES)
    pins = set(re.findall(r"uses: *([\w-]+/[\w-]+)(@.*)", text))
    assert len(pins) == len({action for action, _ in pins})


@each_file
def test_nothing_is_permitted_but_what_a_job_says_it_needs(file: Any) -> None:
    assert read(file)["permissions"] == {}
    for job in jobs(file).values():
        assert job["permissions"] in ({}, {"contents": "read"})


@each_file
def test_a_checkout_leaves_no_credentials(file: Any) -> None:
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@each_file
def test_a_job_ends(file: Any) -> None:
    for job in jobs(file).values():
        assert "uses" in job or job["timeout-minutes"] <= 360


@each_file
def test_the_list_of_cells_is_in_no_workflow(file: Any) -> None:
    text = file.read_text(encoding="utf-8")
    for cell in rows.load():
        assert cell.name not in text
        if not cell.floating:
            assert not re.search(r"(?<![\w.])" + re.escape(cell.jax) + r"(?![\w.])", text)


@each_file
def test_what_make_is_asked_for_is_in_the_makefile(file: Any) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    variables = set(re.findall(r"(?m)^(?:[a-z -]+: )?([A-Z]+) \?=", makefile))  # some have a value for some targets
    for step in steps(file):
        for command in re.findall(r"(?m)^make (.*)", step.get("run", "")):
            target, *settings = command.replace('"', "").split()
            wanted = [target.replace("$DEVICE", device) for device in ("gpu", "tpu")]
            assert set(wanted) <= targets
            assert {setting.split("=")[0] for setting in settings} <= variables


@each_file
def test_a_script_is_one_line_and_nothing_is_put_into_its_text(file: Any) -> None:
    for step in steps(file):
        script = step.get("run", "").strip()
        assert "\n" not in script
        assert "${{" not in script


@each_file
def test_what_was_found_is_kept_even_where_it_failed(file: Any) -> None:
    for job in jobs(file).values():
        commands = " ".join(step.get("run", "") for step in job.get("steps", ()))
        if re.search(r"make \"?(test|cell)", commands):
            last = job["steps"][-1]
            assert last["uses"].startswith("actions/upload-artifact@")
            assert last["if"] == "${{ always() }}"
            assert last["with"]["path"] == "results/"


def test_no_stranger_starts_what_runs_on_machines_of_ours() -> None:
    ours = [file for file in FILES if any(map(uses_devices_of_ours, jobs(file).values()))]
    assert [file.name for file in ours] == ["accelerators.yml"]
    for file in ours:
        assert set(triggers(file)) == {"schedule", "workflow_dispatch"}
        for job in filter(uses_devices_of_ours, jobs(file).values()):
            assert "!github.event.repository.fork" in job["if"]


def test_two_runs_never_share_a_device() -> None:
    for file in FILES:
        for job in filter(uses_devices_of_ours, jobs(file).values()):
            assert job["concurrency"] == {"group": "accelerators-${{ matrix.device }}", "cancel-in-progress": False}


def test_one_check_stands_for_all_that_a_change_has_to_pass() -> None:
    (all_of_them,) = (job for name, job in jobs(FOLDER / "tests.yml").items() if name == "all")
    assert set(all_of_them["needs"]) == set(jobs(FOLDER / "tests.yml")) - {"all"}
    assert all_of_them["if"] == "${{ always() }}"
    for result in ("failure", "cancelled", "skipped"):
        assert "contains(needs.*.result, '{}')".format(result) in all_of_them["steps"][0]["if"]


def test_the_table_is_drawn_whatever_came_before() -> None:
    for name in ("_cells.yml", "accelerators.yml"):
        table = jobs(FOLDER / name)["table"]
        assert "always()" in table["if"]
        assert table["uses"] == "./.github/workflows/_table.yml"
    assert any("GITHUB_STEP_SUMMARY" in step.get("run", "") for step in steps(FOLDER / "_table.yml"))


def test_a_tier_is_one_that_there_is() -> None:
    said = [jobs(FOLDER / name)["matrix"]["with"]["tier"] for name in ("tests.yml", "nightly.yml")]
    said += triggers(FOLDER / "accelerators.yml")["workflow_dispatch"]["inputs"]["tier"]["options"]
    assert set(said) <= set(rows.TIERS)
