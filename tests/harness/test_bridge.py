"""The bridge, which runs an old JAX on a newer jaxlib: the patches that each release needs, and the import hook.

test_bridge_patches.py tests what the patches do to jaxlib. test_bridge_install.py tests the installation.
"""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import install
import pytest
from jax_bridge import hook, releases

BRIDGE = Path(install.__file__).resolve().parent

if BRIDGE not in Path(releases.__file__).resolve().parents:
    pytest.skip("this Python has a bridge installed; the harness is tested on the host", allow_module_level=True)

# The supported releases, and the patches for each


ALL = "versions lowerings shardings"
BELOW_0_4_9 = ALL + " classes jit_state compile_options mlir_ops"
BELOW_0_4_7 = BELOW_0_4_9 + " dispatch"
BELOW_0_4_0 = BELOW_0_4_7 + " buffers no_gpu"


@pytest.mark.parametrize(
    "jax, patches",
    [
        ("0.12.0.1", ""),
        ("0.4.13", ""),
        ("0.4.12", ALL),
        ("0.4.9", ALL),
        ("0.4.8", BELOW_0_4_9),
        ("0.4.7", BELOW_0_4_9),
        ("0.4.6", BELOW_0_4_7 + " arrays"),
        ("0.4.0", BELOW_0_4_7 + " arrays"),
        ("0.3.25", BELOW_0_4_0),
        ("0.3.16", BELOW_0_4_0),
        ("0.3.14", BELOW_0_4_0 + " tracebacks"),
        ("0.3.0", BELOW_0_4_0 + " tracebacks no_mlir lapack_builder"),
        ("0.2.18", BELOW_0_4_0 + " tracebacks no_mlir lapack_builder"),
    ],
)
def test_patches_of_a_release(jax, patches):
    """Each release gets exactly the patches that it needs, in this order."""
    assert " ".join(releases.patches_for(jax)) == patches


def test_every_patch_is_a_file_and_every_file_a_patch():
    """The list matches the folder, and each file has a function `apply` with one argument."""
    files = {path.stem: path for path in (BRIDGE / "jax_bridge" / "patches").glob("*.py") if path.stem != "__init__"}
    assert sorted(files) == sorted(patch.name for patch in releases.PATCHES)
    for path in files.values():
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        (apply,) = [function for function in functions if function.name == "apply"]
        assert [argument.arg for argument in apply.args.args] == ["jax"], path


def test_the_pinned_jaxlib_is_the_one_the_patches_are_for():
    """requirements.txt and the package name the same jaxlib, and every requirement is a pin."""
    lines = (BRIDGE / "requirements.txt").read_text().splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert "jaxlib==" + releases.JAXLIB in pins
    assert all(re.match(r"[\w-]+==[\d.]+(; python_version (<|>=) \"[\d.]+\")?$", pin) for pin in pins)


@pytest.mark.parametrize(
    "jax, jaxlib, needed",
    [
        ("0.2.18", "0.4.13", True),
        ("0.3.0", "0.4.13", True),
        ("0.3.14", "0.4.13", True),
        ("0.4.12", "0.4.13", True),
        ("0.4.13", "0.4.13", False),
        ("0.12.0.1", "0.12.0", False),
        ("0.2.18", "0.1.69", False),  # on the jaxlib of its time
        ("0.4.1", "0.4.1", False),
    ],
)
def test_when_the_bridge_is_needed(jax, jaxlib, needed):
    """JAX below 0.4.13 on jaxlib 0.4.13 needs it. A later JAX doesn't, and a JAX on the jaxlib of its time doesn't."""
    assert releases.needs_bridge(jax, jaxlib) is needed


@pytest.mark.parametrize(
    "jax, jaxlib, says",
    [
        ("0.3.1", "0.4.13", "Choose 0.3.0 or 0.3.14"),
        ("0.3.13", "0.4.13", "Choose 0.3.0 or 0.3.14"),
        ("0.2.17", "0.4.13", "JAX 0.2.18 and later"),
        ("0.4.1", "0.4.14", "pip install jaxlib==0.4.13"),
    ],
)
def test_an_unsupported_jax_or_jaxlib_is_an_error(jax, jaxlib, says):
    """A JAX in the gap, or a jaxlib that the patches aren't for, fails. The message says what to do."""
    with pytest.raises(ImportError, match=re.escape(says)):
        releases.needs_bridge(jax, jaxlib)


@pytest.mark.parametrize(
    "jax, pythons",
    [
        ("0.2.18", [(3, 8), (3, 9)]),
        ("0.2.21", [(3, 8), (3, 9)]),
        ("0.2.22", [(3, 8), (3, 9), (3, 10), (3, 11)]),
        ("0.4.12", [(3, 8), (3, 9), (3, 10), (3, 11)]),
    ],
)
def test_pythons_of_a_release(jax, pythons):
    """jaxlib 0.4.13 runs on Python 3.8 to 3.11. JAX before 0.2.22 can't be imported on 3.10."""
    asked = [(3, minor) for minor in range(6, 15)]
    assert [python for python in asked if releases.refuses_python(python, jax) is None] == pythons
    assert "this is 3.12. Choose one of those." in releases.refuses_python((3, 12), jax)


# The hook, tested with a module in place of jaxlib


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """The name of a module that can be imported. It is removed from `sys.modules` after the test."""
    (tmp_path / "bridge_stand_in.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield "bridge_stand_in"
    sys.modules.pop("bridge_stand_in", None)


def _hooks():
    return [finder for finder in sys.meta_path if isinstance(finder, hook.AfterImport)]


def test_hook_acts_once_before_the_importer_sees_the_module(stand_in):
    """The action sees the complete module, the importer sees what the action did, and the hook is gone."""

    def double():
        sys.modules[stand_in].value *= 2

    sys.meta_path.insert(0, hook.AfterImport(stand_in, double))
    module = importlib.import_module(stand_in)
    assert module.value == 2
    assert not _hooks()
    assert "exec_module" not in vars(module.__loader__)
    del sys.modules[stand_in]
    assert importlib.import_module(stand_in).value == 1


def test_looking_for_the_module_does_not_use_the_hook_up(stand_in):
    """`find_spec`, which asks whether jaxlib is installed, leaves the hook in place."""
    acted = []
    sys.meta_path.insert(0, hook.AfterImport(stand_in, lambda: acted.append(1)))
    assert importlib.util.find_spec(stand_in) is not None
    assert importlib.util.find_spec("json") is not None
    assert not acted
    importlib.import_module(stand_in)
    assert acted == [1]


def test_a_failing_action_fails_every_import(stand_in):
    """After an error the module can't be imported without its patches, even at the next attempt."""

    def fail():
        raise ImportError("no way across")

    sys.meta_path.insert(0, hook.AfterImport(stand_in, fail))
    for _ in range(2):
        with pytest.raises(ImportError, match="no way across"):
            importlib.import_module(stand_in)
        assert stand_in not in sys.modules


def test_a_missing_module_stays_missing(stand_in):
    """The hook doesn't change the error for a module that can't be found."""
    sys.meta_path.insert(0, hook.AfterImport("bridge_no_such_module", lambda: None))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("bridge_no_such_module")
