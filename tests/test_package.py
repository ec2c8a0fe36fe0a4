"""The whole package: its public names, its imports, its use of JAX, and Python 3.7."""

import ast
import glob
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import typing

import pytest

import equinox as eqx

PACKAGE = os.path.dirname(os.path.abspath(eqx.__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEPENDENCIES = {"jax", "numpy", "typing_extensions"}
EXTRAS = {"safetensors"}  # imported by the functions that need them


def _python_files(folder):
    return sorted(glob.glob(os.path.join(folder, "**", "*.py"), recursive=True))


def _short(path):
    return os.path.relpath(path, os.path.dirname(PACKAGE)).replace(os.sep, "/")


def _read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


LIBRARY = _python_files(PACKAGE)
HARNESS = os.path.join(ROOT, "tests", "harness", "")  # needs a newer Python, that of the host
TESTS = [path for path in _python_files(os.path.join(ROOT, "tests")) if not path.startswith(HARNESS)]
EVERYTHING = (
    LIBRARY + TESTS + [path for name in ("examples", "docs") for path in _python_files(os.path.join(ROOT, name))]
)
FRONT_PAGES = pytest.mark.parametrize("module", [eqx, eqx.debug, eqx.nn], ids=lambda module: module.__name__)


def _public(module):
    return [(name, getattr(module, name)) for name in module.__all__]


# Public names


@FRONT_PAGES
def test_all_is_sorted_and_complete(module):
    """`__all__` is sorted, has no repeats, and holds exactly the names that don't begin with an underscore."""
    assert module.__all__ == sorted(set(module.__all__))
    assert module.__all__ == sorted(name for name in vars(module) if not name.startswith("_"))


@FRONT_PAGES
def test_star_import_brings_the_public_names(module):
    """`from equinox import *` brings exactly the names in `__all__`."""
    namespace = {}
    exec("from {} import *".format(module.__name__), namespace)
    assert set(module.__all__) == set(namespace) - {"__builtins__"}


@FRONT_PAGES
def test_public_objects_have_docstrings(module):
    """Each public object has its own docstring."""
    for name, x in [(module.__name__, module)] + _public(module):
        docstring = (
            vars(x).get("__doc__") if isinstance(x, type) else x.__doc__
        )  # a class would inherit that of its base
        assert docstring and docstring.strip(), name


@FRONT_PAGES
def test_public_objects_report_where_they_are_defined(module):
    """`__module__` and `__qualname__` lead to the object. Pickles and tracebacks need this."""
    for name, x in _public(module):
        if not inspect.ismodule(x):
            assert x.__module__.split(".")[0] == "equinox", name
            assert x.__name__ == x.__qualname__ == name
            assert getattr(sys.modules[x.__module__], name) is x


def test_version_is_a_version():
    """pip accepts `__version__`, which is the version of the wheel."""
    assert re.match(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?$", eqx.__version__)


def test_the_package_is_marked_as_typed():
    """The package has the file `py.typed`, so type checkers read its annotations."""
    assert os.path.exists(os.path.join(PACKAGE, "py.typed"))


# Its types


def _functions(module):
    """The public functions of a module and the methods of its public classes, with their names."""
    for name, x in _public(module):
        if isinstance(x, type):
            methods = [getattr(x, method) for method, value in vars(x).items() if inspect.isfunction(value)]
            # `dataclasses` adds `__replace__` on Python 3.13.
            yield from (("{}.{}".format(name, f.__name__), f) for f in methods if f.__module__ != "dataclasses")
        elif not inspect.ismodule(x):
            yield name, x


@FRONT_PAGES
def test_public_functions_are_annotated(module):
    """`typing.get_type_hints` has a type for each parameter of a public function or method, and for its result."""
    for name, function in _functions(module):
        parameters = list(inspect.signature(function).parameters)
        if "." in name:
            del parameters[0]  # `self`
        assert typing.get_type_hints(function).keys() >= {"return", *parameters}, name


# Imports


def _run_python(code, **environment):
    """Run `code` in a new interpreter that finds the same `equinox`. Returns: exit status, stdout, stderr."""
    env = dict(os.environ, PYTHONPATH=os.path.dirname(PACKAGE), **environment)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# A backend that doesn't exist. Starting it fails on every JAX. JAX before 0.2.22 reads `JAX_PLATFORM_NAME`.
NO_BACKEND = {"JAX_PLATFORMS": "no_such_backend", "JAX_PLATFORM_NAME": "no_such_backend"}


def test_import_starts_no_backend():
    """`import equinox` works where no backend can start."""
    status, _, errors = _run_python("import equinox", **NO_BACKEND)
    assert status == 0, errors


def test_an_array_starts_a_backend():
    """So the test above would fail if the import made an array."""
    status, _, errors = _run_python("import equinox, jax.numpy; jax.numpy.zeros(1)", **NO_BACKEND)
    assert status != 0
    assert "no_such_backend" in errors or "_default_backend.platform" in errors  # the error of JAX 0.2.28


def test_import_brings_only_its_dependencies():
    """`import equinox` loads its three dependencies, itself, and the standard library."""
    loaded = "; import json, sys; print(json.dumps({n: getattr(m, '__file__', None) for n, m in sys.modules.items()}))"
    dependencies = "import jax, jax.core, jax.nn, jax.numpy, jax.random, numpy, typing_extensions"
    before, after = (
        json.loads(_run_python(imports + loaded)[1]) for imports in (dependencies, dependencies + ", equinox")
    )
    assert "equinox" in after
    unexpected = {
        name: path
        for name, path in after.items()
        if name not in before and name.split(".")[0] != "equinox" and not _is_standard(path)
    }
    assert not unexpected


def _is_standard(path):
    """Whether `path`, the file of a module, belongs to the standard library. Builtin modules have no file."""
    if path in (None, "built-in", "frozen"):
        return True
    paths = sysconfig.get_paths()
    standard = [os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib")]
    path = os.path.realpath(path)
    return path.startswith(tuple(standard)) and "-packages" not in path


def _imports(path):
    """The top-level names of the absolute imports in a file, including those inside functions."""
    for node in ast.walk(ast.parse(_read(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", LIBRARY, ids=_short)
def test_imports_only_its_dependencies(path):
    """No file of the library imports anything but its dependencies, its extras and the standard library."""
    for name in set(_imports(path)) - DEPENDENCIES - EXTRAS:
        assert _is_standard(importlib.util.find_spec(name).origin), name


# Imports between folders

# A folder may import from itself and from the folders on the lines above its own line.
ROOMS = [
    {"_compat"},
    {"_trees"},
    {"_module", "_dispatch"},
    {"_transforms"},
    {"_runtime", "_training"},
    {"nn", "debug"},
    {"__init__"},
]
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def _dotted(path):
    """`"_trees.paths"` for the file of `equinox._trees.paths`, and `"_trees"` for that of `equinox._trees`."""
    parts = os.path.splitext(os.path.relpath(path, PACKAGE))[0].split(os.sep)
    return ".".join(parts if parts == ["__init__"] or parts[-1] != "__init__" else parts[:-1])


FILES = {_dotted(path): path for path in LIBRARY}


def _imports_of_itself(path):
    """The modules of the library that a file imports, relatively or absolutely, including those inside functions."""
    folder = os.path.relpath(os.path.dirname(path), PACKAGE).split(os.sep)
    above = ["equinox", *(part for part in folder if part != ".")]
    for node in ast.walk(ast.parse(_read(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = above[: len(above) + 1 - node.level] if node.level else []
            base = ".".join(start + ([node.module] if node.module else []))
            names = [base + "." + alias.name for alias in node.names]
        else:
            continue
        for parts in (name.split(".") for name in names):
            while len(parts) > 1 and ".".join(parts[1:]) not in FILES:
                parts.pop()  # the last part names an object in a module
            if parts[0] == "equinox":
                yield ".".join(parts[1:]) or "__init__"


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_point_one_way(name):
    """A folder imports from itself and from lower folders. Only `_transforms/jit` imports the dispatcher."""
    room = name.split(".")[0]
    for other in set(_imports_of_itself(FILES[name])):
        other_room = other.split(".")[0]
        assert other_room == room or LEVELS[other_room] < LEVELS[room], other
        if other == "_dispatch.dispatcher":
            assert room == "_dispatch" or name == "_transforms.jit"


def test_imports_are_found():
    """Known imports are found, for each way to write them. So the test above can fail."""
    for name, other in [
        ("__init__", "_trees.at"),
        ("__init__", "nn"),
        ("_trees.at", "_trees.paths"),
        ("_trees.format", "_compat"),
        ("_transforms.jit", "_trees.selection"),
    ]:
        assert other in _imports_of_itself(FILES[name])


@pytest.mark.parametrize("path", LIBRARY, ids=_short)
def test_imports_nothing_else_from_this_repository(path):
    """The library doesn't import the harness, the tests or other files of the repository."""
    beside = {os.path.splitext(name)[0] for name in os.listdir(ROOT)}
    assert not set(_imports(path)) & beside - {"equinox"}
    assert "harness" not in set(_imports(path))


# The use of JAX

JAX = "(jax|jnp|jrandom|lax|core|tree_util)"  # the names of JAX and its modules in the library


def _lines(path, pattern):
    """`(number, line)` for each line of a file that matches `pattern`."""
    return [(i, line) for i, line in enumerate(_read(path).splitlines(), 1) if re.search(pattern, line)]


@pytest.mark.parametrize("path", LIBRARY, ids=_short)
def test_uses_no_private_jax(path):
    """No file of the library uses `jax._src` or another private name of JAX."""
    assert _lines(path, r"\b{}(\.\w+)*\._[a-z]|from jax(\.\w+)* import .*\b_[a-z]".format(JAX)) == []


@pytest.mark.parametrize("path", [path for path in LIBRARY if "_compat" not in path], ids=_short)
def test_only_compat_asks_which_jax_it_is(path):
    """No file outside `_compat` reads the version of JAX, or checks whether JAX has a name."""
    asked = r"\bjax(lib)?\.__version|(?<!sys.)version_info|\b(hasattr|getattr|dir|vars)\({}\b"
    assert _lines(path, asked.format(JAX)) == []
    assert _lines(path, r"\bexcept\b.*\b(Import|ModuleNotFound|Attribute)Error\b") == []


# Python 3.7


@pytest.mark.parametrize("path", EVERYTHING, ids=_short)
def test_parses_as_python_37(path):
    """Each file of the library, the tests and the examples has the syntax of Python 3.7."""
    if sys.version_info < (3, 8):
        compile(_read(path), path, "exec")
    else:
        ast.parse(_read(path), path, feature_version=(3, 7))


@pytest.fixture(scope="module")
def python37():
    """The path of a Python 3.7, from PATH or from pyenv."""
    pyenv_root = os.environ.get("PYENV_ROOT") or os.path.join(os.path.expanduser("~"), ".pyenv")
    candidates = glob.glob(os.path.join(pyenv_root, "versions", "3.7*", "bin", "python3.7"))
    for candidate in [shutil.which("python3.7")] + candidates:
        if candidate is not None and _is_python37(candidate):
            return candidate
    return pytest.skip("no python3.7 on PATH or in pyenv")


def _is_python37(candidate):
    """Whether `candidate` runs, and is Python 3.7. A `python3.7` of pyenv may be on PATH and not run."""
    command = [candidate, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 7))"]
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
    except OSError:
        return False


def _run_python37(python37, code, *args, path=""):
    command = [python37, "-S", "-B", "-W", "error", "-c", code, *args]  # -S: without its installed packages
    done = subprocess.run(
        command,
        env=dict(os.environ, PYTHONPATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


COMPILE = """
import sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as f:
        compile(f.read(), path, "exec")
print(len(sys.argv) - 1)
"""


def test_compiles_on_python_37(python37):
    """A real Python 3.7 compiles each file of the library, the tests and the examples."""
    printed = _run_python37(python37, COMPILE, *EVERYTHING)
    assert printed.split() == [str(len(EVERYTHING))]


# The parts of JAX and typing_extensions that the import of the library and a module without arrays need. PyPI has no
# jaxlib for Python 3.7 today, so no real JAX can be installed there.
STAND_INS = {
    "jax.py": """
import sys, types
from unittest import mock

class Part(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=name)

jax = sys.modules["jax"] = Part("jax")
jax.__version__ = "0.2.18"
for name in ["core", "dtypes", "lax", "nn", "numpy", "random", "tree_util"]:
    part = sys.modules["jax." + name] = Part("jax." + name)
    setattr(jax, name, part)
jax.numpy.ndarray = type("ndarray", (), {})
jax.core.Tracer = type("Tracer", (), {})
jax.tree_util.tree_leaves = lambda tree: [tree]
""",
    "numpy.py": "class ndarray: pass\nclass generic: pass\nclass bool_: pass\n",
    "typing_extensions.py": """
from typing import TypeVar as ParamSpec

Concatenate = TypeGuard = None  # only in annotations, which nothing evaluates here

class Literal:
    def __class_getitem__(cls, value):
        return type(value)

def dataclass_transform(**options):
    return lambda cls: cls
""",
}

USE = """
import sys
import equinox as eqx

class Point(eqx.Module):
    x: int
    y: int = eqx.field(static=True, kw_only=True, default=2, converter=abs)

    def __call__(self, z):
        return self.x + self.y + z

point = Point(1, y=-3)
assert (point.x, point.y, point(5), point.__call__(6)) == (1, 3, 9, 10)
for wrong in [lambda: Point(), lambda: Point(1, 2), lambda: setattr(point, "x", 2), lambda: Point(1, y=[])]:
    try:
        wrong()
    except (TypeError, AttributeError):
        pass
    else:
        sys.exit("accepted")
print(len(eqx.__all__), len(eqx.nn.__all__))
"""


def test_imports_on_python_37(python37, tmp_path):
    """On a real Python 3.7, with stand-ins for JAX, the import works, and so do modules without arrays."""
    for name, code in STAND_INS.items():
        (tmp_path / name).write_text(code)
    path = os.pathsep.join([str(tmp_path), os.path.dirname(PACKAGE)])
    printed = _run_python37(python37, USE, path=path)
    assert printed.split() == [str(len(eqx.__all__)), str(len(eqx.nn.__all__))]
