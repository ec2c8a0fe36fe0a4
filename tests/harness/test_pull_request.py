"""The comment on a pull request: there is one, each run updates it, and a fork gets none.

A small server stands for GitHub.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server import serve

from harness import command_line
from harness.report import pull_request
from harness.system.errors import CannotGoOn, WrongUsage

OWNER = {"id": 1, "user": {"type": "User"}}


class GitHub:
    """What GitHub knows, and what was asked of it."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.status = 200
        self.url = ""

    def answer(self, method: str, path: str, content: Any) -> Any:
        self.asked.append("{} {}".format(method, path))
        place, _, query = path.partition("?")
        if method == "GET":
            assert place == "/repos/me/project/issues/7/comments"
            number, size = (int(dict(one.split("=") for one in query.split("&"))[key]) for key in ("page", "per_page"))
            size = min(size, 100)  # GitHub sends no more at a time
            return self.comments[(number - 1) * size : number * size]
        if method == "POST":
            assert place == "/repos/me/project/issues/7/comments"
            self.comments.append({"id": 100 + len(self.comments), "user": {"type": "Bot"}, "body": content["body"]})
            return {"html_url": "new"}
        (one,) = (one for one in self.comments if place == "/repos/me/project/issues/comments/{}".format(one["id"]))
        one["body"] = content["body"]
        return {"html_url": "old"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    known = GitHub()

    def answer(method: str, path: str, headers: Any, content: bytes) -> tuple[int, bytes]:
        right = headers["Authorization"] == "Bearer secret" and known.status == 200
        found = known.answer(method, path, json.loads(content) if content else None) if right else {}
        return 200 if right else known.status, json.dumps(found).encode()

    with serve(answer) as known.url:
        yield known


@pytest.fixture
def job(github: GitHub, tmp_path: Path) -> dict[str, str]:
    """The variables of a job that a pull request of the repository itself started."""
    event = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "me/project"}}}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    return {
        "GITHUB_API_URL": github.url,
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REPOSITORY": "me/project",
        "GITHUB_RUN_ID": "5",
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_TOKEN": "secret",
    }


def write(job: dict[str, str], table: str, about: str = ".", backend: str = "cpu") -> str:
    return pull_request.comment(table, about, backend, pull_request.PullRequest.of_this_job(job))


def test_the_second_run_updates_the_comment_of_the_first(github: GitHub, job: dict[str, str]) -> None:
    assert "new" in write(job, "| first |") and "old" in write(job, "| second |")
    (one,) = github.comments
    assert "| second |" in one["body"] and "| first |" not in one["body"]
    assert "https://github.example/me/project/actions/runs/5" in one["body"]


def test_each_project_of_a_repository_has_its_own_comment(github: GitHub, job: dict[str, str]) -> None:
    for about in ("a", "b", "a"):
        write(job, "table of " + about, about)
    assert ["table of a" in one["body"] for one in github.comments] == [True, False]


def test_each_backend_has_its_own_comment(github: GitHub, job: dict[str, str]) -> None:
    """A workflow may run the cells of several backends. Without this, the last one would replace the other tables."""
    for about, backend in ((".", "cpu"), (".", "cuda"), ("a", "cuda"), (".", "cpu")):
        write(job, "table", about, backend)
    titles = [one["body"].splitlines()[1].removeprefix("### The tests on each JAX") for one in github.comments]
    assert titles == ["", ": `cuda`", ": `a`, `cuda`"]


def test_a_comment_that_a_person_wrote_stays(github: GitHub, job: dict[str, str]) -> None:
    """Even one that quotes the comment of a job."""
    write(job, "table")
    quoted = github.comments.pop()["body"]
    github.comments.append({**OWNER, "body": quoted})
    github.comments.append({**OWNER, "body": None})
    github.comments.append({"id": 2, "user": None, "body": quoted})
    write(job, "another")
    assert [one["body"] for one in github.comments[:3]] == [quoted, None, quoted] and len(github.comments) == 4


def test_the_comment_is_found_behind_many_others(github: GitHub, job: dict[str, str]) -> None:
    github.comments += [{**OWNER, "body": "talk"}] * 200
    assert "new" in write(job, "table") and "old" in write(job, "table")


def test_a_pull_request_from_a_fork_gets_no_comment_and_is_told_so(github: GitHub, job: dict[str, str]) -> None:
    for repo in ({"full_name": "stranger/project"}, None):
        event = {"pull_request": {"number": 7, "head": {"repo": repo}}}
        Path(job["GITHUB_EVENT_PATH"]).write_text(json.dumps(event))
        assert "fork" in write(job, "table")
    assert github.asked == []


def test_a_long_table_is_shortened_at_the_end_of_a_line(github: GitHub, job: dict[str, str]) -> None:
    for row in ("| row |", "| @a @b |"):
        write(job, (row + "\n") * 20_000)
        (one,) = github.comments
        assert len(one["body"]) < 65_536 and "goes on in the summary" in one["body"]
        assert len({line for line in one["body"].splitlines() if line.startswith("|")}) == 1


def test_a_name_in_the_table_notifies_nobody(github: GitHub, job: dict[str, str]) -> None:
    write(job, "test_x[@octocat] failed")
    assert "@octocat" not in github.comments[0]["body"] and "octocat" in github.comments[0]["body"]


def test_without_the_permission_the_message_names_it(github: GitHub, job: dict[str, str]) -> None:
    github.status = 403
    with pytest.raises(CannotGoOn, match="403.*`permissions: pull-requests: write`"):
        write(job, "table")


def test_a_server_that_does_not_answer_is_named(job: dict[str, str]) -> None:
    with pytest.raises(CannotGoOn, match="can't be reached"):
        write({**job, "GITHUB_API_URL": "http://127.0.0.1:1"}, "table")


def test_outside_of_a_pull_request_it_is_wrong_usage(job: dict[str, str]) -> None:
    with pytest.raises(WrongUsage, match="GITHUB_TOKEN is not set"):
        write({**job, "GITHUB_TOKEN": ""}, "table")
    Path(job["GITHUB_EVENT_PATH"]).write_text('{"ref": "refs/heads/main"}')
    with pytest.raises(WrongUsage, match="No pull request"):
        write(job, "table")


def test_the_command_writes_the_file(
    github: GitHub, job: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "table.md").write_text("| drawn |")
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert command_line.main(["github", "comment", str(tmp_path / "table.md"), "--about", "lib"]) == 0
    assert "| drawn |" in github.comments[0]["body"] and "`lib`" in github.comments[0]["body"]
    assert "new comment" in capsys.readouterr().out
