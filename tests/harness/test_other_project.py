"""`--project`: the harness tests a project in another folder, or a release on the package index."""

import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile

import programs
import pytest
from programs import write

from harness import command_line, rows
from harness.locks import index, source_release
from harness.system import paths
from harness.system.errors import CannotGoOn, WrongUsage

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


# A release on the index


def archive(files):
    """A source distribution as bytes."""
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stored.getvalue()


class FakeIndex:
    """Replaces `urllib.request.urlopen`."""

    def __init__(self, files, sha256=None):
        self.files, self.sha256, self.asked = files, sha256, []

    def __call__(self, request, timeout):
        self.asked.append(request.full_url)
        name = request.full_url.rsplit("/", 1)[1]
        if name in self.files:
            return io.BytesIO(self.files[name])
        entries = [
            {
                "filename": name,
                "url": "../../files/" + name,
                "hashes": {"sha256": self.sha256 or hashlib.sha256(content).hexdigest()},
            }
            for name, content in self.files.items()
        ]
        return io.BytesIO(json.dumps({"files": entries}).encode())


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(index, "index_url", lambda: "https://index/simple")


SDIST = {"tiny-1.0/matrix.toml": MATRIX.encode(), "tiny-1.0/tests/test_x.py": b"def test_x(): pass"}


def test_a_release_is_downloaded_once(tmp_path):
    """Its locks and results are in its folder, so the folder is never replaced."""
    opener = FakeIndex({"tiny-1.0.tar.gz": archive(SDIST), "tiny-1.0-py3-none-any.whl": b"wheel"})
    root = source_release.obtain("Tiny==1.0", opener, tmp_path)
    assert root == tmp_path / "projects" / "tiny-1.0"
    assert (root / "tests" / "test_x.py").read_bytes() == b"def test_x(): pass"
    assert opener.asked == ["https://index/simple/tiny/", "https://index/files/tiny-1.0.tar.gz"]
    (root / "results").mkdir()
    assert source_release.obtain("tiny==1.0", opener, tmp_path) == root and len(opener.asked) == 2
    assert (root / "results").is_dir() and [path.name for path in root.parent.iterdir()] == ["tiny-1.0"]


def test_a_zip_is_unpacked_too(tmp_path):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as zipped:
        for name, content in SDIST.items():
            zipped.writestr(name, content)
    root = source_release.obtain("tiny==1.0", FakeIndex({"tiny-1.0.zip": stored.getvalue()}), tmp_path)
    assert (root / "matrix.toml").read_text() == MATRIX


def test_init_writes_the_matrix_that_a_release_lacks(tmp_path, monkeypatch):
    opener = FakeIndex({"tiny-1.0.tar.gz": archive({"tiny-1.0/setup.py": b""})})
    started = []
    monkeypatch.setattr(source_release.subprocess, "run", lambda command, **options: started.append((command, options)))
    with pytest.raises(
        WrongUsage, match=r"`init` couldn't write .*tiny-1.0/matrix.toml.*--project pypi:tiny==1.0 init --help"
    ):
        source_release.obtain("tiny==1.0", opener, tmp_path)
    ((command, options),) = started
    assert command[-2:] == ["init", str(tmp_path / "projects" / "tiny-1.0")]
    assert options["stdout"] == sys.stderr.fileno()  # a script reads the output of the user's command, as of `list`


@pytest.mark.parametrize(
    "opener, words",
    [
        (FakeIndex({"tiny-1.0.tar.gz": archive(SDIST)}, sha256="0" * 64), "doesn't have the hash"),
        (FakeIndex({"tiny-1.0.tar.gz": archive({**SDIST, "../outside": b"x"})}), "can't be unpacked: '.*outside"),
        (FakeIndex({"tiny-1.0.tar.gz": archive({**SDIST, "second/x": b"x"})}), "one folder"),
        (FakeIndex({"tiny-1.0.tar.gz": b"no archive"}), "can't be unpacked"),
    ],
    ids=["hash", "outside", "two-folders", "broken"],
)
def test_a_wrong_archive_leaves_nothing(tmp_path, opener, words):
    with pytest.raises(CannotGoOn, match=words):
        source_release.obtain("tiny==1.0", opener, tmp_path / "cache")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "cache" / "projects").iterdir()) == []


@pytest.mark.parametrize(
    "name, words",
    [
        ("tiny==2.0", r"no tiny 2.0. Its newest releases: 1.0"),
        ("tiny", "Expected a release such as"),
        ("tiny>=1.0", "Expected a release such as"),
        ("tiny==1.*", "Expected a release such as"),
        ("tiny[extra]==1.0", "Expected a release such as"),
    ],
)
def test_a_release_that_is_not_there_is_wrong_usage(tmp_path, name, words):
    with pytest.raises(WrongUsage, match=words):
        source_release.obtain(name, FakeIndex({"tiny-1.0.tar.gz": archive(SDIST)}), tmp_path)


def test_a_release_without_a_source_distribution_is_wrong_usage(tmp_path):
    with pytest.raises(WrongUsage, match="no source distribution"):
        source_release.obtain("tiny==1.0", FakeIndex({"tiny-1.0-py3-none-any.whl": b""}), tmp_path)
