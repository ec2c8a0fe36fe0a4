"""Write the table as a comment on a pull request. Each project and backend has one comment, and each run updates it.

The comment begins with a marker that GitHub doesn't show. A later run finds the comment by this marker.
"""

import itertools
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.system.errors import CannotGoOn, WrongUsage

LONGEST = 60_000  # characters; GitHub refuses a comment of more than 65,536
PER_PAGE = 100
TIMEOUT_S = 30
BOT = "Bot"  # GitHub's word for the kind of user that a job is
FROM_A_FORK = (
    "The table is only in this summary. The pull request comes from a fork, and the job of a fork may write no comment."
)


@dataclass(frozen=True)
class PullRequest:
    """The pull request that started this job."""

    api: str  # "https://api.github.com"
    repository: str  # "owner/name"
    number: int
    head: str  # the repository with the change
    token: str
    run_url: str

    @classmethod
    def of_this_job(cls, env: Mapping[str, str] = os.environ) -> "PullRequest":
        """Read what GitHub says about the job.

        Raises:
            WrongUsage: This is not a job of a pull request, or it doesn't pass the token.
        """
        names = ("GITHUB_API_URL", "GITHUB_EVENT_PATH", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_SERVER_URL")
        missing = [name for name in (*names, "GITHUB_TOKEN") if not env.get(name)]
        if missing:
            message = "{} is not set. This command is for a GitHub job, with `GITHUB_TOKEN: ${{{{ github.token }}}}`."
            raise WrongUsage(message.format(missing[0]))
        event = json.loads(Path(env["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8")).get("pull_request")
        if not event:
            raise WrongUsage("No pull request started this job. Run this command only for the event `pull_request`.")
        api, _, repository, run, server = (env[name] for name in names)
        head = (event["head"]["repo"] or {}).get("full_name", "")  # null: the fork was removed
        run_url = "{}/{}/actions/runs/{}".format(server, repository, run)
        return cls(api, repository, int(event["number"]), head, env["GITHUB_TOKEN"], run_url)

    @property
    def from_a_fork(self) -> bool:
        return self.head != self.repository

    def comments(self) -> Iterator[dict[str, Any]]:
        """The comments, oldest first."""
        for page in itertools.count(1):
            found = self.ask("GET", "issues/{}/comments?per_page={}&page={}".format(self.number, PER_PAGE, page))
            yield from found
            if len(found) < PER_PAGE:
                return

    def ask(self, method: str, path: str, content: Mapping[str, str] | None = None) -> Any:
        """Send a request to GitHub's interface for the repository, and return the answer.

        Raises:
            CannotGoOn: GitHub can't be reached, or refuses.
        """
        request = urllib.request.Request(
            "{}/repos/{}/{}".format(self.api, self.repository, path),
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": "Bearer " + self.token, "Accept": "application/vnd.github+json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = "GitHub refuses the comment: {} {}.".format(error.code, error.reason)
            if error.code in (401, 403, 404):
                said += " The job that calls the workflow needs `permissions: pull-requests: write`."
            raise CannotGoOn(said) from error
        except OSError as error:
            raise CannotGoOn("GitHub can't be reached: {}. Run the job again.".format(error)) from error


def comment(table: str, about: str, backend: str, pull_request: PullRequest) -> str:
    """Write the table, which is Markdown, as the comment about a project on a backend. Returns what was done.

    Raises:
        CannotGoOn: GitHub can't be reached, or refuses.
    """
    if pull_request.from_a_fork:
        return FROM_A_FORK
    words = [about, *([backend] if backend != "cpu" else [])]
    marker = "<!-- jax-matrix: {} -->".format(", ".join(words).replace("--", "- -"))
    body = {"body": text(table, marker, [word for word in words if word != "."], pull_request.run_url)}
    for one in pull_request.comments():
        writer = one["user"] or {}  # null: the account was removed
        if writer.get("type") == BOT and (one["body"] or "").startswith(marker):
            answer = pull_request.ask("PATCH", "issues/comments/{}".format(one["id"]), body)
            return "The table is in a comment, which was updated: {}".format(answer["html_url"])
    answer = pull_request.ask("POST", "issues/{}/comments".format(pull_request.number), body)
    return "The table is in a new comment: {}".format(answer["html_url"])


def text(table: str, marker: str, words: Sequence[str], run_url: str) -> str:
    """The text of the comment. Names of users in it don't notify these users, since tests may print any text.

    The title has the words, such as the project if a repository has several.
    """
    title = ": ".join(filter(None, ("### The tests on each JAX", ", ".join("`{}`".format(word) for word in words))))
    end = "[The logs, and a page with all details]({}#artifacts)".format(run_url)
    table = re.sub(r"@(?=\w)", "@\u2060", table)
    if len(table) > LONGEST:
        table = table[:LONGEST].rpartition("\n")[0] + "\n\n</details>\n\nThe table goes on in the summary of the run.\n"
    return "\n".join((marker, title, "", table, end))
