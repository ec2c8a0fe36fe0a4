"""`--project`: the harness tests a project in another folder, or a release on the package index.

That a release is downloaded: test_source_release.
"""

import os
import sys

import programs
import pytest
from programs import write

from harness import command_line, rows
from harness.locks import source_release
from harness.system import paths

MATRIX = """
row = [{ jax = "0.4.30" }]
[project]
package = "tiny"
"""
CELL = "py311-jax0.4.30-cpu"


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "tiny", {"matrix.toml": MATRIX, "tests/test_x.py": ""})


# Which project


def test_the_root_is_the_nearest_folder_with_a_matrix(project, tmp_path):
    assert paths.find_root({}, project / "tests") == paths.find_root({}, project) == project
    assert paths.find_root({}, tmp_path) == tmp_path


def test_the_variable_names_the_root(project, tmp_path):
    """The processes that the harness starts get it."""
    assert paths.find_root({paths.PROJECT: str(project)}, tmp_path) == project


def run(*words, cwd, **more):
    env = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **more}
    return programs.run(sys.executable, *words, cwd=cwd, env=env)


def test_an_empty_variable_does_not_name_the_folder_of_the_results(project):
    """A workflow sets an empty variable for an input that isn't given."""
    code = "from harness.system import paths; print(paths.RESULTS)"
    done = run("-c", code, cwd=project, PYTHONPATH=str(paths.HOME), EQX_RESULTS="")
    assert (done.stdout, done.stderr) == ("{}/results\n".format(project), "")


def test_each_way_to_name_the_project(project):
    """In its folder, or by the option, before the command or after it."""
    harness = str(paths.HOME / "harness")
    ways = [
        (project / "tests", [harness, "list"]),
        (paths.HOME, ["-m", "harness", "--project", str(project), "list"]),
        (project.parent, [harness, "list", "--project=tiny"]),
    ]
    for folder, words in ways:
        done = run(*words, cwd=folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, CELL + "\n", "")


def test_init_writes_the_matrix_of_the_named_project(project, tmp_path):
    """It isn't that of the current folder, and the messages name the folder."""
    (project / "pyproject.toml").write_text("[project]\nname = 'tiny'\ndependencies = ['jax>=0.5']\n")
    (project / "tiny.py").touch()
    (project / "tests" / "test_x.py").unlink()
    words = (str(paths.HOME / "harness"), "--project", "tiny", "init", "--force")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2 and "harness init {} --tests FOLDER".format(project) in done.stderr
    (project / "tests" / "test_x.py").touch()
    done = run(*words, cwd=tmp_path)
    assert done.stdout.startswith("{} is written.".format(project / "matrix.toml")) and done.returncode == 0
    assert (project / "matrix.toml").read_text() != MATRIX and not (tmp_path / "matrix.toml").exists()


@pytest.mark.parametrize(("command", "step"), [("init", "unpacked"), ("list", "obtain")])
def test_a_release_on_the_index_needs_no_matrix_for_init(monkeypatch, tmp_path, command, step):
    monkeypatch.setattr(source_release, step, lambda name: tmp_path / name)
    started = []
    monkeypatch.setattr(command_line.os, "execv", lambda program, words: started.append(words[-1]))
    monkeypatch.setenv(paths.PROJECT, "")
    words = ["--project", "pypi:tiny==1.0", command]
    options = command_line.parse(words)
    command_line.start_again(options, words, options.function)
    assert (started, os.environ[paths.PROJECT]) == ([command], str(tmp_path / "tiny==1.0"))


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path):
    done = run(str(paths.HOME / "harness"), "--project", "nowhere", "list", cwd=tmp_path)
    assert done.returncode == 2 and "There is no folder {}/nowhere".format(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "given, left",
    [
        (["--project", "a", "run", "CELL"], ["run", "CELL"]),
        (["run", "--project=a", "CELL"], ["run", "CELL"]),
        (["run", "--tier", "pr", "--project", "a", "A", "--jobs", "2"], ["run", "--tier", "pr", "A", "--jobs", "2"]),
        (["here", "cpu", "--project", "a", "--", "--project", "b"], ["here", "cpu", "--", "--project", "b"]),
    ],
)
def test_the_command_starts_again_without_the_option(given, left):
    """What comes after `--` is for pytest."""
    assert command_line.without_project(given) == left


ARGUMENTS = {
    "here": ["here cpu"],
    "bisect": ["bisect tests/test_x.py --good 0.6.2 --bad 0.8.3"],
    "github": ["github cells", "github collect folder", "github summary", "github comment table.md"],
}


@pytest.mark.parametrize("words", [words for name in command_line.COMMANDS for words in ARGUMENTS.get(name, [name])])
def test_a_shortened_option_is_refused(words, capsys):
    """Otherwise it would stay in the arguments, and the command would start again without end."""
    with pytest.raises(SystemExit) as left:
        command_line.parse([*words.split(), "--proj", "a"])
    assert left.value.code == 2 and "unrecognized arguments: --proj" in capsys.readouterr().err


def test_what_follows_two_dashes_is_for_pytest():
    options = command_line.parse(["run", CELL, "--rerun", "all", "--", "-k", "x", "--pdb"])
    assert (options.cells, options.rerun, options.part) == ([CELL], "all", ["-k", "x", "--pdb"])
    assert command_line.parse(["run", CELL]).part == []
    assert command_line.parse(["here", "cpu", "--", "-x"]).args == ["-x"]


# What a project claims


@pytest.mark.parametrize(
    "dependencies, words",
    [
        (["jax"], ""),
        (["jax>=0.4", "numpy<1"], ""),
        (["jax>=0.5"], "jax>=0.5"),
        (["jax", "jaxlib<0.4.30"], "jaxlib<0.4.30"),
        (["jax>=0.5; python_version >= '3.12'"], ""),
        (["jax>=0.5; python_version >= '3.11'"], "jax>=0.5"),
    ],
)
def test_a_jax_that_the_project_does_not_claim_is_named(project, dependencies, words):
    (project / "pyproject.toml").write_text("[project]\nname = 'tiny'\ndependencies = {}\n".format(dependencies))
    (cell,) = rows.load(project / "matrix.toml")
    said = rows.why_unclaimed(cell, project)
    assert words in said and bool(said) == bool(words)
