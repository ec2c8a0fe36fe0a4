"""Find the release of JAX that broke a test, by binary search between a good release and a bad one.

    make bisect TEST=tests/test_x.py::test_y GOOD=0.6.2 BAD=0.8.3

All final releases on the package index between the two are candidates, not only the rows of the matrix. If GOOD is the
newer one, the search finds the first release that is good again.

Exit status: 0 found; 1 only a range is found, because some releases can't be tried; 2 wrong usage; 3 it could not be
set up; 130 interrupted. The results of all tries are kept, and the next run uses them.
"""

import argparse
import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packaging.version import Version
from rich.console import Console

from harness import rows
from harness.bisect.memory import Memory, Trial
from harness.bisect.plan import Candidate, Index, Plan, plan
from harness.bisect.problem import Problem, SetupFailed, WrongUsage
from harness.bisect.report import Report
from harness.bisect.search import Verdict, bracket, next_to_try
from harness.bisect.trial import Bench, NotSetUp, Say, log_of
from harness.locks import index
from harness.source import fingerprint, snapshot, suite
from harness.system import interpreters
from harness.system.paths import RESULTS, ROOT, WORK
from harness.system.run_lock import AlreadyRunning, hold_lock
from harness.system.safe_text import safe

FOUND, NOT_FOUND, INTERRUPTED = 0, 1, 130

Try = Callable[[Candidate, Say], Trial]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    test_help = "a test as pytest takes it: tests/test_x.py::test_y; a release is bad if any of several tests fails"
    parser.add_argument("test", nargs="+", help=test_help)
    parser.add_argument("--good", required=True, metavar="JAX", help="a release that passes the test, such as 0.6.2")
    parser.add_argument("--bad", required=True, metavar="JAX", help="a release that fails the test")
    parser.add_argument("--python", metavar="3.12", help="the Python to use; default: one that runs both releases")
    parser.add_argument("--forget", action="store_true", help="forget the results of earlier tries")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bisect", description=(__doc__ or "").split("\n\n", 1)[0])
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(options: argparse.Namespace) -> int:
    return reporting(lambda: bisect(options, Console()))


def reporting(do: Callable[[], int]) -> int:
    """Call `do` and return its exit status. If it raises a known error, print the error and return its exit status."""
    try:
        return do()
    except Problem as problem:
        status, message = problem.status, str(problem)
    except rows.MatrixError as error:
        status, message = WrongUsage.status, str(error)
    except (index.IndexUnreachable, suite.BuildFailed, AlreadyRunning) as error:
        status, message = SetupFailed.status, str(error)
    except OSError as error:
        status = SetupFailed.status
        message = "{}. Correct that. The same command then goes on from here.".format(error)
    except KeyboardInterrupt:
        status = INTERRUPTED
        message = "Interrupted. The results so far are kept: the same command goes on from here."
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(safe(message))
    return status


def bisect(options: argparse.Namespace, console: Console) -> int:
    tests = test_ids(options.test, ROOT)
    cells = rows.load()
    pythons = [python for python in matrix_pythons(cells) if interpreters.find(python) is not None]
    found = Index(index.releases("jax"), index.releases("jaxlib"))
    what = plan(found, cells, options.good, options.bad, options.python, pythons)
    uv = interpreters.uv_path()
    if uv is None:
        raise SetupFailed("There is no uv here. Install the tools: pip install -r docker/requirements.lock")
    folder = WORK / "bisect"
    with hold_lock(folder / "lock"):
        source = snapshot.take(folder / "source", cells[0])
        memory = Memory(RESULTS / "bisect", tests, fingerprint.source_hash(source), what.one_python or "its own")
        if options.forget:
            memory.forget()
        memory.recall()
        suite.copy(folder / "suite", source)
        bench = Bench(
            tests=tests,
            suite=folder / "suite",
            wheel=suite.wheel(uv, source),
            environments=folder,
            logs=memory.logs,
            requires=lambda jax: (*rows.caps(jax), *rows.suite_requires()),
            interpreter=interpreter,
            uv=uv,
        )
        return search(what, memory, bench, Report(console, what, memory.logs), tests)


def matrix_pythons(cells: Sequence[rows.Cell]) -> list[str]:
    return sorted({cell.python for cell in cells}, key=Version)


def interpreter(python: str) -> str:
    found = interpreters.obtain(python)
    if found is None:
        raise NotSetUp(interpreters.missing(python))
    return str(found.path)


def test_ids(given: Sequence[str], root: Path) -> list[str]:
    """Split and check the ids of tests. make passes several ids as one word."""
    ids = [test for words in given for test in re.split(r"\s+(?=tests/)", words.strip()) if test]
    if not ids:
        raise WrongUsage("Which test? make bisect TEST=tests/test_x.py::test_y GOOD=0.6.2 BAD=0.8.3")
    for test in ids:
        path = test.split("::")[0]
        if not path.startswith("tests/") or path.startswith("tests/harness") or not (root / path).exists():
            near = nearest(path, root)
            advice = "The nearest: {}.".format(", ".join(near)) if near else "Write it as tests/test_x.py::test_y."
            raise WrongUsage("The suite has no file for the test `{}`. {}".format(test, advice))
    return ids


def nearest(path: str, root: Path) -> list[str]:
    """The test files that the user may have meant: the same name in another folder, or else a similar path."""
    files = sorted(file.relative_to(root).as_posix() for file in root.glob("tests/**/test_*.py"))
    files = [file for file in files if not file.startswith("tests/harness/")]
    namesakes = [file for file in files if Path(file).name == Path(path).name]
    return namesakes or difflib.get_close_matches(path, files, n=2)


def search(what: Plan, memory: Memory, try_: Try, report: Report, tests: Sequence[str]) -> int:
    """Try one release after another until the change is found. Returns the exit status."""
    candidates = what.candidates
    refuse_ends(candidates)
    known = {candidate.jax: memory.trials[candidate.jax] for candidate in candidates if candidate.jax in memory.trials}
    refused = {each.jax: Trial(Verdict.SKIPPED, each.refusal) for each in candidates if each.refusal}
    trials = {**refused, **known}
    report.start(tests, len(known))
    try:
        while True:
            verdicts = [trials[candidate.jax].verdict if candidate.jax in trials else None for candidate in candidates]
            check_ends(candidates, trials, memory.logs)
            number = next_to_try(verdicts)
            if number is None:
                break
            if Verdict.GOOD is verdicts[0] and Verdict.BAD is verdicts[-1]:
                report.left(bracket(verdicts))
            candidate = candidates[number]
            with report.trying(candidate) as say:
                trial = try_(candidate, say)
            memory.remember(candidate.jax, trial)
            trials[candidate.jax] = trial
            report.tried(candidate, trial)
    except KeyboardInterrupt:
        report.table(trials, known)
        raise
    report.table(trials, known)
    return FOUND if report.found(bracket(verdicts), trials) else NOT_FOUND


def refuse_ends(candidates: Sequence[Candidate]) -> None:
    for end in (candidates[0], candidates[-1]):
        if end.refusal:
            message = "Each end must be a release that can be tried, and {} can't: {}."
            raise WrongUsage(message.format(end.jax, end.refusal))


def check_ends(candidates: Sequence[Candidate], trials: Mapping[str, Trial], logs: Path) -> None:
    """Refuse an end whose result isn't what the user said. An end without a result is not checked yet."""
    for end, expected in ((candidates[0], Verdict.GOOD), (candidates[-1], Verdict.BAD)):
        trial = trials.get(end.jax)
        if trial is None or trial.verdict is expected:
            continue
        log = "... in " + os.path.relpath(log_of(end, logs))
        why = "\n  ".join(filter(None, (trial.reason, *trial.lines, log)))
        if trial.verdict is Verdict.SKIPPED:
            kind = WrongUsage if trial.lasting else SetupFailed
            raise kind("JAX {}, which is an end, can't be tried: {}".format(end.jax, why))
        verb = "fails" if trial.verdict is Verdict.BAD else "passes"
        message = (
            "The test {} on JAX {}, which was given as {}. There is nothing to bisect; choose another release.\n{}"
        )
        raise WrongUsage(message.format(verb, end.jax, expected.value, why).strip())
