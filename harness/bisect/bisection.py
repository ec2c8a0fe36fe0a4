"""Bisect: plan it, search, and print what was found."""

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from harness import rows
from harness.bisect.memory import Memory, Trial
from harness.bisect.plan import Candidate, Index, Plan, plan
from harness.bisect.report import Report
from harness.bisect.search import Verdict, bracket, next_to_try
from harness.bisect.trial import Bench, NotSetUp, Say, log_of
from harness.locks import index
from harness.source import fingerprint, snapshot, suite, wheel
from harness.system import interpreters
from harness.system.errors import CannotGoOn, WrongUsage
from harness.system.paths import RESULTS, ROOT, WORK
from harness.system.program import GET_TOOLS, typed
from harness.system.run_lock import hold_lock
from harness.system.uv import uv_path

FOUND, NOT_FOUND = 0, 1

Try = Callable[[Candidate, Say], Trial]


def run(given: Sequence[str], good: str, bad: str, python: str | None, forget: bool) -> int:
    """Find the change, and print it. Returns the exit status.

    Raises:
        HarnessError: It can't be done.
    """
    tests = test_ids(given, ROOT)
    cells = rows.load()
    pythons = [python for python in rows.pythons(cells) if interpreters.find(python) is not None]
    found = Index(index.releases("jax"), index.releases("jaxlib"))
    what = plan(found, cells, good, bad, python, pythons)
    uv = uv_path()
    if uv is None:
        raise CannotGoOn("There is no uv here. {}.".format(GET_TOOLS))
    folder = WORK / "bisect"
    with hold_lock(folder / "lock"):
        source = snapshot.take(folder / "source", cells[0])
        memory = Memory(RESULTS / "bisect", tests, fingerprint.source_hash(source), what.one_python or "its own")
        if forget:
            memory.forget()
        memory.recall()
        suite.copy(folder / "suite", source)
        bench = Bench(
            tests=tests,
            suite=folder / "suite",
            wheel=lambda python, interpreter: wheel.obtain(uv, python, interpreter, source),
            environments=folder,
            logs=memory.logs,
            requires=lambda jax: (*rows.caps(jax), *rows.suite_requires()),
            interpreter=interpreter,
            uv=uv,
        )
        return search(what, memory, bench, Report(Console(), what, memory.logs), tests)


def interpreter(python: str) -> str:
    found = interpreters.obtain(python)
    if found is None:
        raise NotSetUp(interpreters.missing(python))
    return str(found.path)


def test_ids(given: Sequence[str], root: Path) -> list[str]:
    """Split and check the ids of tests. make passes several ids as one word."""
    starts = "|".join(re.escape(one.partition("::")[0]) for one in rows.project().tests)
    between = r"\s+(?=(?:{})(?:/|\.|::|(?<=\.py)(?:\s|$)))".format(starts)
    ids = [test for words in given for test in re.split(between, words.strip()) if test]
    if not ids:
        example = typed("bisect", "tests/test_x.py::test_y", "--good", "0.6.2", "--bad", "0.8.3")
        raise WrongUsage("Which test? {}".format(example))
    for test in () if rows.project().installed else ids:  # pytest looks for installed tests by itself
        path = test.split("::")[0]
        if not is_tested(path) or not (root / path).exists():
            near = nearest(path, root)
            advice = "The nearest: {}.".format(", ".join(near)) if near else "Write it as tests/test_x.py::test_y."
            raise WrongUsage("The suite has no file for the test `{}`. {}".format(test, advice))
    return ids


def is_tested(path: str) -> bool:
    """Whether the path belongs to the tests of the project."""
    tests = [one.partition("::")[0] for one in rows.project().tests]
    left_out = any(Path(path).is_relative_to(part) for part in rows.project().left_out)
    return not left_out and any(Path(path).is_relative_to(test) for test in tests)


def nearest(path: str, root: Path) -> list[str]:
    """The test files that the user may have meant: the same name in another folder, or else a similar path."""
    folders = [root / test.partition("::")[0] for test in rows.project().tests]  # not `root`, which has environments
    found = {file for folder in folders for pattern in ("test*.py", "*_test.py") for file in folder.rglob(pattern)}
    found |= set(filter(Path.is_file, folders))  # `tests` may name files
    files = sorted(filter(is_tested, (file.relative_to(root).as_posix() for file in found)))
    namesakes = [file for file in files if Path(file).name == Path(path).name]
    return namesakes or difflib.get_close_matches(path, files, n=2)


def search(what: Plan, memory: Memory, try_: Try, report: Report, tests: Sequence[str]) -> int:
    """Try one release after another until the change is found. Returns the exit status."""
    candidates = what.candidates
    known = {each.jax: memory.trials[each.jax] for each in candidates if each.jax in memory.trials}
    refused = {each.jax: Trial(Verdict.SKIPPED, each.refusal) for each in candidates if each.refusal}
    trials = {**refused, **known}
    report.start(tests, len(known))
    try:
        while True:
            verdicts = [trials[each.jax].verdict if each.jax in trials else None for each in candidates]
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


def check_ends(candidates: Sequence[Candidate], trials: Mapping[str, Trial], logs: Path) -> None:
    """Refuse an end whose result isn't what the user said. An end without a result is not checked yet."""
    for end, expected in ((candidates[0], Verdict.GOOD), (candidates[-1], Verdict.BAD)):
        trial = trials.get(end.jax)
        if trial is None or trial.verdict is expected:
            continue
        log = "" if end.refusal else "... in " + os.path.relpath(log_of(end, logs))
        why = "\n  ".join(filter(None, (trial.reason, *trial.lines, log)))
        if trial.verdict is Verdict.SKIPPED:
            kind = WrongUsage if trial.lasting else CannotGoOn
            raise kind("JAX {}, which is an end, can't be tried: {}".format(end.jax, why))
        verb = "fails" if trial.verdict is Verdict.BAD else "passes"
        message = "The test {} on JAX {}, which was given as {}. There is nothing to bisect; choose another release."
        raise WrongUsage("{}\n{}".format(message.format(verb, end.jax, expected.value), why).strip())
