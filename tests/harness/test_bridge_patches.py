"""What the bridge does to jaxlib. The tests start a Python with fakes for jaxlib and JAX, and no other packages."""

import json
import subprocess
import sys
from pathlib import Path

import install
import pytest
from jax_bridge import releases

if Path(install.__file__).resolve().parent not in Path(releases.__file__).resolve().parents:
    pytest.skip("this Python has a bridge installed; the harness is tested on the host", allow_module_level=True)

MOCK = "import sys\nfrom unittest.mock import MagicMock\nsys.modules[__name__] = MagicMock()\n"
JAXLIB = {
    "jaxlib/__init__.py": "from .version import __version__\n",
    "jaxlib/cpu/__init__.py": "",
    "jaxlib/cpu/_lapack.py": MOCK,
    "jaxlib/ducc_fft.py": MOCK,
    "jaxlib/lapack.py": MOCK,
    "jaxlib/mlir/__init__.py": "",
    "jaxlib/mlir/ir.py": """
class Type: ...
class Value: ...
class OpView: ...
class DenseElementsAttr: ...
class RankedTensorType: ...
""",
    "jaxlib/mlir/dialects/__init__.py": "",
    "jaxlib/mlir/dialects/builtin.py": MOCK,
    "jaxlib/mlir/dialects/func.py": MOCK,
    "jaxlib/mlir/dialects/mhlo.py": MOCK
    + """
from ..ir import OpView
class ConstantOp(OpView):
    def __init__(self, value): self.made_of = value
class ReshapeOp(OpView):
    def __init__(self, result, operand): self.made_of = result, operand
class AllReduceOp(OpView):
    def __init__(self, result, operands, *, where): self.made_of = result, operands, where
sys.modules[__name__].__dict__.update(ConstantOp=ConstantOp, ReshapeOp=ReshapeOp, AllReduceOp=AllReduceOp)
""",
    "jaxlib/mlir/dialects/stablehlo.py": MOCK,
    "jaxlib/xla_client.py": MOCK
    + """
class ArrayImpl:
    _npy_value = property(lambda self: None)
    __cuda_array_interface__ = property()
    def _(self): return "C++"
    delete = is_deleted = is_ready = block_until_ready = on_device_size_in_bytes = unsafe_buffer_pointer = _
    _single_device_array_to_np_array = _
sys.modules[__name__].ArrayImpl = ArrayImpl
""",
    "numpy.py": "",
}


@pytest.fixture
def site(tmp_path):
    """`site(jax, jaxlib)` makes a folder of packages with these versions, the bridge and its `.pth` file."""

    def make(jax, jaxlib="0.4.13", files=()):
        folder = tmp_path / "site"
        version = "__version__ = {!r}\n".format(jaxlib)
        for name, text in dict(JAXLIB, **{"jaxlib/version.py": version}, **dict(files)).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        if jax is not None:
            (folder / "jax-{}.dist-info".format(jax)).mkdir()
            (folder / "jax-{}.dist-info".format(jax) / "METADATA").write_text(
                "Metadata-Version: 2.1\nName: jax\nVersion: {}\n".format(jax)
            )
        install.copy_package(folder)
        install.write_whole(folder / "jax_bridge.pth", install.ACTIVATE + "\n")
        return folder

    return make


def _python(site, code):
    """Run `code` in a new Python with `site` as its site-packages. Returns its output."""
    start = "import site, sys; site.addsitedir({!r})\n".format(str(site))
    command = [sys.executable, "-I", "-S", "-B", "-c", start + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


REPORT = """
import json, jax_bridge, importlib
from jax_bridge.hook import AfterImport
before = jax_bridge.active()
importlib.import_module("jaxlib")
print(json.dumps({
    "before": before, "active": jax_bridge.active(), "facts": jax_bridge.facts(),
    "claim": sys.modules["jaxlib.version"].__version__, "jaxlib": sys.modules["jaxlib"].__version__,
    "hooks": [finder.name for finder in sys.meta_path if isinstance(finder, AfterImport)],
}))
"""


@pytest.mark.parametrize(
    "jax, claim, hooks",
    [
        ("0.2.18", "0.1.76", []),
        ("0.3.0", "0.3.0", []),
        ("0.3.14", "0.3.14", []),
        ("0.3.25", "0.3.25", []),
        ("0.4.1", "0.4.1", ["jax._src.array"]),
        ("0.4.8", "0.4.8", []),
        ("0.4.12", "0.4.12", []),
    ],
)
def test_active_after_import(site, jax, claim, hooks):
    """Importing jaxlib activates the bridge. Then jaxlib reports a version that JAX accepts."""
    assert json.loads(_python(site(jax), REPORT)) == {
        "before": False,
        "active": True,
        "facts": [jax, "0.4.13", list(releases.patches_for(jax))],
        "claim": claim,
        "jaxlib": "0.4.13",
        "hooks": hooks,
    }


@pytest.mark.parametrize(
    "jax, jaxlib",
    [("0.4.13", "0.4.13"), ("0.4.30", "0.4.30"), ("0.12.0.1", "0.12.0"), ("0.2.18", "0.1.69"), (None, "0.4.13")],
)
def test_does_nothing_where_it_is_not_needed(site, jax, jaxlib):
    """With a later JAX, a JAX on the jaxlib of its time, or no JAX, jaxlib isn't changed. The hook is removed."""
    report = json.loads(_python(site(jax, jaxlib), REPORT))
    assert (report["active"], report["facts"], report["hooks"]) == (False, None, [])
    assert report["claim"] == report["jaxlib"] == jaxlib


def test_a_release_in_the_gap_is_an_error_at_the_import(site):
    """Each `import jaxlib`, and so each `import jax`, fails and says what to do."""
    code = """
for _ in range(2):
    try:
        import jaxlib
    except ImportError as error:
        print(error)
"""
    message = "The bridge doesn't support JAX 0.3.1 to 0.3.13, and so not 0.3.7. Choose 0.3.0 or 0.3.14 instead."
    assert _python(site("0.3.7"), code).splitlines() == [message] * 2


def test_activated_twice_is_activated_once(site):
    """Two `.pth` files, or one and a call, install one hook. A call after the import installs none."""
    code = """
import jax_bridge
from jax_bridge.hook import AfterImport
hooks = lambda: [finder.name for finder in sys.meta_path if isinstance(finder, AfterImport)]
jax_bridge.wait_for_jaxlib()
print(hooks())
import jaxlib
jax_bridge.wait_for_jaxlib()
print(hooks())
"""
    assert _python(site("0.4.12"), code).splitlines() == ["['jaxlib']", "[]"]


def test_native_methods_of_arrays_come_back(site):
    """JAX 0.4.0 to 0.4.6 replaces methods of the C++ class. The patch restores those that never return.

    It also lets jax set attributes that the class computes itself.
    """
    array = """
from jaxlib import xla_client as xc
xc.ArrayImpl.delete = xc.ArrayImpl.tolist = lambda self: "jax"
xc.ArrayImpl.weak_type = property(lambda self: "weak")
"""
    files = {"jax/__init__.py": "", "jax/_src/__init__.py": "import jaxlib", "jax/_src/array.py": array}
    code = """
import jax._src.array
from jaxlib import xla_client as xc
array = xc.ArrayImpl()
array.weak_type = array._device = "as jax sets them"
print(array.delete(), array.tolist(), array.weak_type)
"""
    assert _python(site("0.4.1", files=files), code) == "C++ jax weak"


@pytest.mark.parametrize("jax, must_import", [("0.3.14", False), ("0.3.25", True)])
def test_no_gpu(site, jax, must_import):
    """jaxlib's modules for GPUs can't be imported up to 0.3.14. In later releases all their functions are `None`."""
    code = """
import jaxlib
try:
    import jaxlib.gpu_solver
    print(jaxlib.gpu_solver.anything, sys.modules["jaxlib.gpu_solver"].anything)
except ImportError:
    print("absent")
"""
    files = {} if must_import else {"jaxlib/gpu_solver.py": ""}
    code = code.replace("jaxlib.gpu_solver.anything, ", "") if must_import else code
    assert _python(site(jax, files=files), code) == ("None" if must_import else "absent")


DISPATCH = """
import jaxlib
from jaxlib import xla_client as xc
from jax_bridge.patches.dispatch import PythonDispatch, _pjit

def f(*args):
    "doc of f"
    return "called", args
def miss(*args, **kwargs):
    return ("missed", args, kwargs), "what C++ would keep"
jitted = xc._xla.jax_jit.jit(f, miss, "get_device", static_argnums=(), cache=xc._xla.jax_jit.CompiledFunctionCache())
"""


def test_every_call_is_a_cache_miss(site):
    """A jitted function calls jax's Python code each time, or the function itself if jit is disabled."""
    code = """
xc._xla.jax_jit.jit_is_disabled.return_value = False
print(jitted(1, k=2), jitted.__name__, jitted.__doc__, jitted._clear_cache())
xc._xla.jax_jit.jit_is_disabled.return_value = True
print(jitted(1))
"""
    assert _python(site("0.2.18"), DISPATCH + code).splitlines() == [
        "('missed', (1,), {'k': 2}) f doc of f None",
        "('called', (1,))",
    ]


def test_jitted_functions_bind_as_methods(site):
    """In a class body a jitted function is a method, as that of C++ was."""
    code = """
xc._xla.jax_jit.jit_is_disabled.return_value = False
class C:
    method = jitted
c = C()
print(c.method(1)[1] == (c, 1), C.method is jitted)
"""
    assert _python(site("0.2.18"), DISPATCH + code) == "True True"


def test_pjit_of_every_release(site):
    """The function and the cache miss are found in the arguments of each release."""
    code = """
for args in [(f, miss, []), ("name", miss, []), ("name", f, miss, [], []), ("name", None, miss, [], [])]:
    made = _pjit(*args)
    print(made._fun is f, made._fun is None, made._cache_miss is miss)
"""
    assert _python(site("0.3.25"), DISPATCH + code).splitlines() == [
        "True False True",
        "False True True",
        "True False True",
        "False True True",
    ]


def test_mlir_operations_take_their_old_arguments(site):
    """Operations also have their old names, ignore types that they now infer, and take a single operand."""
    code = """
import jaxlib
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import mhlo
t, x = ir.Type(), ir.Value()
print(mhlo.ConstOp(t, 1).made_of, mhlo.ConstOp([t], 1).made_of, mhlo.ConstOp(1).made_of, mhlo.ConstOp([]).made_of)
print(mhlo.ReshapeOp(t, x).made_of == (t, x))
print(mhlo.AllReduceOp(t, x, where=0).made_of == ([t], [x], 0), mhlo.AllReduceOp([t], [x], where=0).made_of[1] == [x])
"""
    assert _python(site("0.3.25"), code).splitlines() == ["1 1 1 []", "True", "True True"]


def test_an_option_that_was_a_bool(site):
    """jax up to 0.4.8 sets a bool, which becomes a list. Later releases set the list."""
    client = """
class ExecutableBuildOptions:
    def _set(self, value): self.kept = value
    allow_spmd_sharding_propagation_to_output = property(lambda self: self.kept, _set)
sys.modules[__name__]._xla.ExecutableBuildOptions = ExecutableBuildOptions
"""
    code = """
import jaxlib
from jaxlib import xla_client as xc
options = xc._xla.ExecutableBuildOptions()
for value in (True, [False, True]):
    options.allow_spmd_sharding_propagation_to_output = value
    print(options.kept)
"""
    files = {"jaxlib/xla_client.py": JAXLIB["jaxlib/xla_client.py"] + client}
    assert _python(site("0.4.8", files=files), code).splitlines() == ["[True]", "[False, True]"]


def test_lowerings_get_shapes(site):
    """jaxlib's LAPACK takes shapes that jax up to 0.4.12 doesn't pass. The patch computes them, and keeps old names."""
    lapack = """
def geqrf_hlo(dtype, a, *, a_shape_vals): return "geqrf", a_shape_vals
def trsm_hlo(dtype, a): return "trsm"
"""
    ir = "class RankedTensorType:\n    def __init__(self, type): self.shape = type\n"
    code = """
import jaxlib
from jaxlib import lapack
class Matrix:
    type = [2, 3]
print(lapack.geqrf_hlo("f4", Matrix()), lapack.geqrf_mhlo("f4", Matrix()), lapack.trsm_mhlo("f4", Matrix()))
print(lapack.geqrf_hlo("f4", Matrix(), a_shape_vals="told"))
import jaxlib.pocketfft
"""
    files = {"jaxlib/lapack.py": lapack, "jaxlib/mlir/ir.py": JAXLIB["jaxlib/mlir/ir.py"] + ir}
    assert _python(site("0.4.12", files=files), code).splitlines() == [
        "('geqrf', (2, 3)) ('geqrf', (2, 3)) trsm",
        "('geqrf', 'told')",
    ]


def test_deleted_arrays_say_so(site):
    """jax below 0.4 puts an empty object in place of a deleted buffer."""
    code = """
import jaxlib
from jaxlib import xla_client as xc
class DeviceArray(xc.DeviceArrayBase):
    pass
array = DeviceArray()
array.device_buffer = jaxlib.xla_client.CompileOptions()
array.device_buffer.is_deleted.return_value = False
print(array.is_deleted())
array.device_buffer = object()
print(array.is_deleted())
"""
    assert _python(site("0.3.25"), code).splitlines() == ["False", "True"]
