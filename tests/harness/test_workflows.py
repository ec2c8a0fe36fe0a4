"""GitHub's workflows: tools are pinned, jobs have few rights, the cells come from the matrix, and commands exist.

`self-hosted` runners are machines of the project's own. jax-matrix.yml is for other repositories too.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from programs import git_in, run, write

from harness import command_line, rows
from harness.system.paths import ROOT

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
INSTALL = ROOT / ".github" / "actions" / "jax-matrix" / "action.yml"
FOR_ALL = FOLDER / "jax-matrix.yml"

each_file = pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])


def read(file: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def triggers(file: Any) -> dict[str, Any]:
    """The events that start a workflow. YAML reads the key `on` as `True`."""
    found: dict[str, Any] = read(file)[True]
    return found


def jobs(file: Any) -> dict[str, Any]:
    found: dict[str, Any] = read(file)["jobs"]
    return found


def steps(file: Any) -> Iterator[dict[str, Any]]:
    for job in jobs(file).values():
        yield from job.get("steps", ())


def is_self_hosted(job: dict[str, Any]) -> bool:
    return "self-hosted" in job.get("runs-on", ())


def test_all_kinds_of_runs_are_there() -> None:
    assert {file.name for file in FILES} >= {"accelerators.yml", "nightly.yml", "tests.yml"}


@pytest.mark.parametrize("file", [*FILES, INSTALL], ids=lambda file: file.name)
def test_an_action_is_pinned_by_its_commit_and_names_its_version(file: Any) -> None:
    for line in re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8")):
        if line.startswith("$/"):  # of this repository, at the commit of the file
            assert (ROOT / line.removeprefix("$/")).exists()
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line)


def test_all_workflows_use_the_same_version_of_an_action() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in [*FILES, INSTALL])
    pins = set(re.findall(r"uses: *([\w-]+/[\w-]+)(@.*)", text))
    assert len(pins) == len({action for action, _ in pins})


@each_file
def test_a_job_has_only_the_permissions_that_it_names(file: Any) -> None:
    """Only the table of a pull request is written, and only by the job `comment`, which takes what the caller gives."""
    if file != FOR_ALL:
        assert read(file)["permissions"] == {}
    for name, job in jobs(file).items():
        if (file, name) == (FOR_ALL, "comment"):
            assert "permissions" not in job
        elif job.get("uses") == "$/.github/workflows/jax-matrix.yml" and job["with"].get("comment"):
            assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
        else:
            assert job["permissions"] in ({}, {"contents": "read"})


def test_the_job_that_may_write_runs_nothing_of_the_pull_request() -> None:
    used = jobs(FOR_ALL)["comment"]["steps"]
    assert not any("actions/checkout" in step.get("uses", "") for step in used)
    assert [step["run"].split()[:3] for step in used if "run" in step] == [["jax-matrix", "github", "comment"]]


def test_each_input_for_other_repositories_is_explained_and_has_a_default() -> None:
    inputs = triggers(FOR_ALL)["workflow_call"]["inputs"]
    text = FOR_ALL.read_text(encoding="utf-8")
    for name, facts in inputs.items():
        assert facts["description"].endswith(".")
        assert "default" in facts and facts["type"]
        assert "inputs.{}".format(name) in text
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(inputs)


@each_file
def test_the_tool_is_that_of_the_commit_of_the_workflow(file: Any) -> None:
    """In a called workflow, `./` would be a file of the caller, which an earlier step may have written."""
    assert "uses: ./" not in file.read_text(encoding="utf-8")
    installs = [step for step in steps(file) if step.get("uses") == "$/.github/actions/jax-matrix"]
    assert bool(installs) is any("jax-matrix " in step.get("run", "") for step in steps(file))


@each_file
def test_commands_of_the_harness_exist(file: Any) -> None:
    for step in steps(file):
        command = step.get("run", "").partition(">")[0]
        if command.startswith("jax-matrix "):
            words = [re.sub(r"^\$(TIER|BACKEND)$", "cpu", word) for word in shlex.split(command)[1:]]
            command_line.parse(words)


def test_the_command_is_installed_from_locks() -> None:
    scripts = [step["run"] for step in read(INSTALL)["runs"]["steps"] if "run" in step]
    named = re.findall(r'\$GITHUB_ACTION_PATH/\.\./\.\./\.\./([^"]+)', " ".join(scripts))
    assert named == ["harness/requirements.lock", "docker/wheel-constraints.txt", "harness"]
    assert "--require-hashes" in scripts[0] and "--no-deps" in scripts[1]
    for name in named:
        assert (ROOT / name).exists()


@each_file
def test_a_checkout_leaves_no_credentials(file: Any) -> None:
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@each_file
def test_a_job_has_a_time_limit(file: Any) -> None:
    for job in jobs(file).values():
        limit = job.get("timeout-minutes")
        assert "uses" in job or limit == "${{ inputs.timeout-minutes }}" or limit <= 360


@each_file
def test_no_workflow_names_a_cell(file: Any) -> None:
    text = file.read_text(encoding="utf-8")
    for cell in rows.load():
        assert cell.name not in text
        if not cell.floating:
            assert not re.search(r"(?<![\w.])" + re.escape(cell.jax) + r"(?![\w.])", text)


@each_file
def test_targets_and_variables_of_make_exist(file: Any) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    variables = set(
        re.findall(r"(?m)^(?:[a-z -]+: )?([A-Z]+) \?=", makefile)
    )  # some have a value only for some targets
    for step in steps(file):
        for command in re.findall(r"(?m)^make (.*)", step.get("run", "")):
            target, *settings = command.replace('"', "").split()
            wanted = [target.replace("$DEVICE", device) for device in ("gpu", "tpu")]
            assert set(wanted) <= targets
            assert {setting.split("=")[0] for setting in settings} <= variables


@each_file
def test_a_script_is_one_line_without_expressions(file: Any) -> None:
    for step in steps(file):
        script = step.get("run", "").strip()
        assert "\n" not in script
        assert "${{" not in script


@each_file
def test_results_are_uploaded_even_after_a_failure(file: Any) -> None:
    for job in jobs(file).values():
        commands = " ".join(step.get("run", "") for step in job.get("steps", ()))
        if re.search(r"make \"?test|jax-matrix run", commands):
            last = job["steps"][-1]
            assert last["uses"].startswith("actions/upload-artifact@")
            assert last["if"] == "${{ always() }}"
            path = last["with"]["path"].replace("${{ steps.folder.outputs.path }}/", "")
            assert path in ("results/", "results/${{ matrix.cell.name }}.*")


@each_file
def test_no_path_for_github_holds_the_folder_as_the_user_writes_it(file: Any) -> None:
    """It is `.` by default. upload-artifact and `hashFiles` refuse `project/./results`: upload-artifact#176."""
    for step in steps(file):
        assert "inputs.project" not in str(step.get("with", ""))


@pytest.mark.parametrize("name", ["jax-matrix.yml", "_table.yml"])
@pytest.mark.parametrize(
    ("given", "path"), [(".", "project"), ("", "project"), ("./a/b/", "project/a/b"), ("a b", "project/a b")]
)
def test_the_path_of_the_folder_has_no_dots(tmp_path: Any, name: str, given: str, path: str) -> None:
    (script,) = (step["run"] for step in steps(FOLDER / name) if step.get("id") == "folder")
    (tmp_path / path).mkdir(parents=True)
    env = {**os.environ, "PROJECT": given, "GITHUB_OUTPUT": str(tmp_path / "output")}
    done = run("bash", "-e", "-c", script, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").read_text() == "path={}\n".format(path)


def test_cells_run_even_if_a_change_brings_results_of_its_own() -> None:
    commands = [step["run"] for file in FILES for step in steps(file) if "run" in step]
    runs = [command for command in commands if re.match("make .*test-|jax-matrix run", command)]
    assert len(runs) == 2 and all(re.search("RERUN=all|--rerun all$", command) for command in runs)
    for name, command in (("run", "make matrix "), ("container", "make cell ")):
        (line,) = (line for line in (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines() if command in line)
        assert line.endswith(" ${CI:+RERUN=all}")


@each_file
def test_generated_files_are_refused_before_anything_else_runs(file: Any) -> None:
    """In a project of somebody else they are removed instead."""
    for name, job in jobs(file).items():
        checkouts = [step for step in job.get("steps", ()) if step.get("uses", "").startswith("actions/checkout@")]
        places = [step["with"].get("path") for step in checkouts]
        scripts = [step["run"] for step in job.get("steps", ()) if "run" in step]
        if "project" in places:
            assert scripts[0] == "rm -rf results .tox" or name == "list"  # which reads no results
        elif checkouts:
            assert scripts[0] == ".ci/only-source"


def test_an_artifact_holds_the_result_of_one_cell() -> None:
    upload = jobs(FOR_ALL)["cell"]["steps"][-1]["with"]
    assert upload["name"] == "${{ needs.list.outputs.call }}results-${{ matrix.cell.name }}"
    assert upload["path"] == "${{ steps.folder.outputs.path }}/results/${{ matrix.cell.name }}.*"
    (download,) = (step["with"] for step in steps(FOLDER / "_table.yml") if "download-artifact" in step.get("uses", ""))
    assert "merge-multiple" not in download
    collect = 'jax-matrix github collect "$GITHUB_WORKSPACE/{}"'.format(download["path"])
    assert collect in [step.get("run") for step in steps(FOLDER / "_table.yml")]


def test_what_tells_two_calls_of_the_workflow_apart_also_tells_their_comments_apart() -> None:
    """Two calls in one run have artifacts of their own. Otherwise one would replace the comment of the other."""
    scripts = {job: [step.get("run", "") for step in jobs(FOR_ALL)[job]["steps"]] for job in ("list", "comment")}
    for option in ('--about "$PROJECT"', '--backend "$BACKEND"'):
        assert all(any(option in script for script in found) for found in scripts.values())


def test_there_are_always_two_artifacts_to_download() -> None:
    """download-artifact gives a single one no folder, so its name, which says whose result it is, would be lost."""
    found = [step for step in steps(FOLDER / "_table.yml") if "-artifact@" in step.get("uses", "")]
    first, download, _ = (step["with"] for step in found)
    assert [re.split("[/@]", step["uses"])[1] for step in found][:2] == ["upload-artifact", "download-artifact"]
    assert fnmatch.fnmatchcase(first["name"], download["pattern"])
    assert first["path"].endswith("/matrix.toml")  # which is always there, and is no result


def test_pinned_tools_audit_the_workflows() -> None:
    commands = [step.get("run", "") for step in jobs(FOLDER / "tests.yml")["workflows"]["steps"]]
    assert any(command.startswith("zizmor ") for command in commands)
    assert any(re.search(r"actionlint@v[\d.]+$", command) for command in commands)
    assert "pip install --require-hashes --requirement .github/zizmor.txt" in commands
    assert re.search(r"(?m)^zizmor==[\d.]+ ", (ROOT / ".github" / "zizmor.txt").read_text(encoding="utf-8"))


def test_strangers_cannot_start_jobs_on_self_hosted_runners() -> None:
    ours = [file for file in FILES if any(map(is_self_hosted, jobs(file).values()))]
    assert [file.name for file in ours] == ["accelerators.yml"]
    for file in ours:
        assert set(triggers(file)) == {"schedule", "workflow_dispatch"}
        for job in filter(is_self_hosted, jobs(file).values()):
            assert "!github.event.repository.fork" in job["if"] and "github.ref == 'refs/heads/main'" in job["if"]


def test_the_comments_name_the_settings_that_protect_a_runner() -> None:
    """A fork brings its own workflow files, so our files can't keep it from a runner."""
    for text in (FOLDER / "accelerators.yml", ROOT / "CONTRIBUTING.md"):
        said = text.read_text(encoding="utf-8")
        for what in ("approval", "group", "ephemeral", ".ci/runner-hook", "CODEOWNERS"):
            assert what in said


@pytest.mark.parametrize("event", ["schedule", "workflow_dispatch"])
def test_a_self_hosted_runner_accepts_the_workflow_of_the_main_branch(event: str) -> None:
    assert hook(event, "me/equinox/.github/workflows/accelerators.yml@refs/heads/main").returncode == 0


@pytest.mark.parametrize(
    "event, workflow",
    [
        ("pull_request", "me/equinox/.github/workflows/accelerators.yml@refs/pull/7/merge"),
        ("pull_request", "me/equinox/.github/workflows/accelerators.yml@refs/heads/main"),
        ("pull_request_target", "me/equinox/.github/workflows/accelerators.yml@refs/heads/main"),
        ("push", "me/equinox/.github/workflows/accelerators.yml@refs/heads/main"),
        ("workflow_dispatch", "me/equinox/.github/workflows/accelerators.yml@refs/heads/mine"),
        ("workflow_dispatch", "me/equinox/.github/workflows/mine.yml@refs/heads/main"),
        ("schedule", ""),
        ("", ""),
    ],
)
def test_a_self_hosted_runner_refuses_all_other_jobs(event: str, workflow: str) -> None:
    done = hook(event, workflow)
    assert done.returncode == 1 and "Refused" in done.stderr


def hook(event: str, workflow: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "GITHUB_EVENT_NAME": event, "GITHUB_WORKFLOW_REF": workflow}
    return run(ROOT / ".ci" / "runner-hook", env=env)


@pytest.mark.parametrize(
    "path", ["results/py311-jax0.4.30-cpu.json", ".tox/x/bin/python", ".venv-harness/ready-1", "my env/pyvenv.cfg", ""]
)
def test_a_commit_with_generated_files_is_refused(tmp_path: Any, path: str) -> None:
    """.gitignore lists such files, but `git add --force` adds them."""
    write(tmp_path, dict.fromkeys(filter(None, ["source.py", path, ".ci/x"]), ""))
    shutil.copy2(ROOT / ".ci" / "only-source", tmp_path / ".ci")
    for words in (["init", "--quiet"], ["add", "--force", "."]):
        git_in(tmp_path)(*words)
    done = run(tmp_path / ".ci" / "only-source")
    assert (done.returncode == 1 and path in done.stderr) if path else done.returncode == 0


def test_two_runs_never_share_a_device() -> None:
    for file in FILES:
        for job in filter(is_self_hosted, jobs(file).values()):
            assert job["concurrency"] == {"group": "accelerators-${{ matrix.device }}", "cancel-in-progress": False}


def test_the_check_all_waits_for_every_other_job() -> None:
    (all_of_them,) = (job for name, job in jobs(FOLDER / "tests.yml").items() if name == "all")
    assert set(all_of_them["needs"]) == set(jobs(FOLDER / "tests.yml")) - {"all"}
    assert all_of_them["if"] == "${{ always() }}"
    for result in ("failure", "cancelled", "skipped"):
        assert "contains(needs.*.result, '{}')".format(result) in all_of_them["steps"][0]["if"]


def test_the_table_is_drawn_even_after_failures() -> None:
    for name in ("jax-matrix.yml", "accelerators.yml"):
        table = jobs(FOLDER / name)["table"]
        assert "!cancelled()" in table["if"]
        assert table["uses"] == "$/.github/workflows/_table.yml"
    assert any("GITHUB_STEP_SUMMARY" in step.get("run", "") for step in steps(FOLDER / "_table.yml"))


def test_the_tiers_in_the_workflows_exist() -> None:
    said = [jobs(FOLDER / name)["matrix"]["with"]["tier"] for name in ("tests.yml", "nightly.yml")]
    said += triggers(FOLDER / "accelerators.yml")["workflow_dispatch"]["inputs"]["tier"]["options"]
    assert set(said) <= set(rows.TIERS)


def test_updates_are_proposed_only_when_they_are_a_week_old() -> None:
    """A hijacked action or package is mostly found within days."""
    found = json.loads((ROOT / ".github" / "renovate.json").read_text(encoding="utf-8"))
    assert found["minimumReleaseAge"] == "7 days" and found["internalChecksFilter"] == "strict"
    assert set(found["enabledManagers"]) >= {"github-actions", "pip-compile", "custom.regex"}
    patterns = [pattern.strip("/") for pattern in found["pip-compile"]["managerFilePatterns"]]
    locks = (
        "harness/requirements.lock",
        "docker/build-constraints.txt",
        "docker/wheel-constraints.txt",
        ".github/zizmor.txt",
    )
    for lock in locks:
        assert (ROOT / lock).is_file() and any(re.search(pattern, lock) for pattern in patterns)
    assert any("locks/bases" in pattern for one in found["customManagers"] for pattern in one["managerFilePatterns"])


@pytest.mark.parametrize("pattern", ["*.md", "docs/*.md", "docker/bridge/README.md"])
def test_no_page_pipes_a_script_from_the_network_into_a_shell(pattern: str) -> None:
    pages = list(ROOT.glob(pattern))
    assert pages
    for page in pages:
        assert not re.search(r"(curl|wget)[^\n]*\|\s*(sudo )?(ba)?sh", page.read_text(encoding="utf-8"))
