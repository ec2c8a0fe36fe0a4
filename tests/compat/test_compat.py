"""Each function of `_compat` in each of its branches. Stand-ins for the `jax` module make this work on any JAX."""

import collections
import copy
import re
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import tree_util
from random_trees import Pair, Point
from stand_in import Only

from equinox import _compat


def make_node_class():
    class Node:
        def __init__(self, left, right):
            self.left, self.right = left, right

    def flatten_with_names(node):
        return [("left", node.left), ("right", node.right)], "aux"

    def flatten(node):
        return (node.left, node.right), "aux"

    def unflatten(aux, children):
        assert aux == "aux"
        return Node(*children)

    return Node, flatten_with_names, flatten, unflatten


def old_jax(version="0.4.7"):
    """A stand-in for an old JAX, with what pytrees need. It calls the real JAX."""
    return Only(
        __version__=version,
        tree_util=Only(
            register_pytree_node=tree_util.register_pytree_node,
            tree_flatten=tree_util.tree_flatten,
            all_leaves=tree_util.all_leaves,
        ),
    )


class Attribute:
    def __init__(self, name):
        self.name = name

    def __str__(self):
        return "." + self.name


def new_jax(version="0.4.8"):
    """A stand-in for a newer JAX, with what pytrees need. It has its own registry of classes."""
    registry = {}

    def register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten_func):
        registry[cls] = flatten_with_keys
        tree_util.register_pytree_node(cls, flatten_func, unflatten)

    def tree_flatten_with_path(node, is_leaf):
        assert not is_leaf(node)
        children, aux = registry[type(node)](node)
        assert all(is_leaf(child) for _, child in children)
        return [((key,), child) for key, child in children], aux

    return Only(
        __version__=version,
        tree_util=Only(
            GetAttrKey=Attribute,
            register_pytree_with_keys=register_pytree_with_keys,
            tree_flatten_with_path=tree_flatten_with_path,
            keystr=lambda path: "".join(map(str, path)),
            all_leaves=tree_util.all_leaves,
        ),
    )


ARMS = pytest.mark.parametrize(
    "jax",
    [old_jax(), old_jax("0.2.18"), new_jax(), new_jax("0.12.0.1"), jax],
    ids=["0.4.7", "0.2.18", "0.4.8", "0.12", "real"],
)


@ARMS
def test_register_node_and_named_children(jax):
    """A registered class is a pytree node, and its children have names. This holds with and without JAX's support."""
    cls, *functions = make_node_class()
    _compat.register_node(cls, *functions, jax=jax)
    node = cls([1], None)
    assert tree_util.tree_leaves(node) == [1]
    doubled = tree_util.tree_map(lambda x: 2 * x, node)
    assert type(doubled) is cls
    assert doubled.left == [2]
    assert doubled.right is None
    assert _compat.named_children(node, jax=jax) == [(".left", node.left), (".right", None)]
    assert _compat.named_children(node, lambda x: x is node, jax=jax) is None
    assert _compat.named_children(1, jax=jax) is None


def test_newest_names_alone():
    """From 0.4.8 on, no name of the old API is used. Before it, no name of the new API is used."""
    for stand_in, expected in (
        (new_jax(), {"GetAttrKey", "register_pytree_with_keys", "tree_flatten_with_path", "keystr", "all_leaves"}),
        (old_jax(), {"register_pytree_node", "tree_flatten", "all_leaves"}),
    ):
        cls, *functions = make_node_class()
        _compat.register_node(cls, *functions, jax=stand_in)
        _compat.named_children(cls(1, 2), jax=stand_in)
        assert set(stand_in.tree_util.asked) == expected


class Unnamed:
    def __init__(self, *children):
        self.children = children


class Keyed(dict):
    """A dictionary that is registered with other children."""


tree_util.register_pytree_node(Unnamed, lambda x: (x.children, None), lambda _, children: Unnamed(*children))
tree_util.register_pytree_node(Keyed, lambda x: (tuple(x), None), lambda _, children: Keyed.fromkeys(children))

CHILDREN = {
    "list": ([5, [6]], [("[0]", 5), ("[1]", [6])]),
    "tuple": ((5, None), [("[0]", 5), ("[1]", None)]),
    "empty": ((), []),
    "None": (None, []),
    "dict": ({"b": 5, "a": 6}, [("['a']", 6), ("['b']", 5)]),
    "dict of numbers": ({2: 5, 1: 6}, [("[1]", 6), ("[2]", 5)]),
    "OrderedDict": (collections.OrderedDict([("b", 5), ("a", 6)]), [("['b']", 5), ("['a']", 6)]),
    "defaultdict": (collections.defaultdict(int, a=5, b=6), [("['a']", 5), ("['b']", 6)]),
    "namedtuple": (Point(5, 6), [(".x", 5), (".y", 6)]),
    "without names": (Unnamed(5, 6), [("[<flat index 0>]", 5), ("[<flat index 1>]", 6)]),
    "registered otherwise": (Keyed({"a": 1, 2: 3}), [("[<flat index 0>]", "a"), ("[<flat index 1>]", 2)]),
    "int": (5, None),
    "array": (np.ones(2), None),
    "unregistered dict": (collections.Counter({"a": 1, 2: 3}), None),
}


@pytest.mark.parametrize("name", CHILDREN)
@pytest.mark.parametrize("version", ["old", "real"])
def test_children_of_jax_containers(name, version):
    """The children of JAX's own containers have the names that `keystr` gives, with and without `keystr`."""
    node, expected = CHILDREN[name]
    children = _compat.named_children(node, jax=old_jax() if version == "old" else jax)
    assert children == expected


def test_children_of_modules():
    """The children of a module have the names of its fields, on the running JAX."""
    assert _compat.named_children(Pair(1, [2])) == [(".first", 1), (".second", [2])]


class Dtype:
    """Stands for the dtype of typed keys. It isn't NumPy's."""


KEY, OTHER = Dtype(), Dtype()
BEFORE = Only(dtypes=Only())
BETWEEN = BEFORE  # it has typed keys, and no name for their dtype
AFTER = Only(
    dtypes=Only(prng_key="prng_key"),
    numpy=Only(issubdtype=lambda dtype, kind: np.bool_(dtype is KEY and kind == "prng_key")),
)


def test_is_typed_key():
    """Typed keys are recognised before 0.4.11, from 0.4.11 to 0.4.15, after that, and on the running JAX."""
    numpy_dtype, key, other = (SimpleNamespace(dtype=dtype) for dtype in (np.dtype("uint32"), KEY, OTHER))
    assert _compat.is_typed_key(numpy_dtype, BEFORE) is False
    assert _compat.is_typed_key(key, BETWEEN) is True
    assert _compat.is_typed_key(numpy_dtype, AFTER) is False
    assert _compat.is_typed_key(key, AFTER) is True
    assert _compat.is_typed_key(other, AFTER) is False
    assert _compat.is_typed_key(jrandom.PRNGKey(0)) is False
    assert _compat.is_typed_key(jnp.ones(2, jnp.bfloat16)) is False
    if hasattr(jrandom, "key"):
        assert _compat.is_typed_key(jrandom.key(0)) is True
        answers = []
        jax.jit(lambda key: answers.append(_compat.is_typed_key(key)))(jrandom.key(0))
        assert answers == [True]


def test_key_impl_name():
    """JAX's name if it gives one. Otherwise the implementation whose keys have the same dtype."""
    keys = SimpleNamespace(dtype="key<rbg>")

    def with_impl(**more):
        make = lambda seed, impl: SimpleNamespace(dtype="key<{}>".format(impl))  # noqa: E731
        return SimpleNamespace(__version__="0.4.20", random=SimpleNamespace(key=make, **more))

    assert _compat.key_impl_name(keys, jax=with_impl(key_impl=lambda x: "mine")) == "mine"
    assert _compat.key_impl_name(keys, jax=with_impl(key_impl=lambda x: object())) == "rbg"
    assert _compat.key_impl_name(keys, jax=with_impl()) == "rbg"
    with pytest.raises(NotImplementedError, match="Keys of dtype other have no name in JAX 0.4.20"):
        _compat.key_impl_name(SimpleNamespace(dtype="other"), jax=with_impl())
    with pytest.raises(NotImplementedError, match="needs JAX 0.4.16 .* This is JAX 0.4.13"):
        _compat.key_impl_name(keys, jax=SimpleNamespace(__version__="0.4.13"))


def test_typed_keys():
    """They are made by JAX, if it has them."""
    wrap = lambda data, impl: (data, impl)  # noqa: E731
    new = SimpleNamespace(__version__="0.4.16", random=SimpleNamespace(wrap_key_data=wrap))
    assert _compat.typed_keys("data", "rbg", jax=new) == ("data", "rbg")
    with pytest.raises(NotImplementedError, match="needs JAX 0.4.16 .* This is JAX 0.4.13"):
        _compat.typed_keys("data", "rbg", jax=SimpleNamespace(__version__="0.4.13"))


@pytest.mark.parametrize("name", ["bool", "int8", "uint32", "float16", "bfloat16", "complex64"])
def test_dtype_named(name):
    """Each number of JAX has its dtype."""
    assert _compat.dtype_named(name).name == name


@pytest.mark.parametrize("name", ["", "object", "O", "str", "float9", "float_power", "int8, object", "array"])
def test_no_dtype_has_another_name(name):
    """What is no dtype of a number has none."""
    assert _compat.dtype_named(name) is None


def test_abstract():
    """The shape of the array, perhaps without an axis, and the dtype that JAX has for it."""
    x = np.zeros((2, 3, 4))
    for without_axis, shape in [(None, (2, 3, 4)), (0, (3, 4)), (2, (2, 3))]:
        got = _compat.abstract(x, without_axis)
        assert type(got) is jax.ShapeDtypeStruct and (got.shape, got.dtype) == (shape, jnp.asarray(x).dtype)
        assert _compat.abstract(got) == got
    keys = [jrandom.PRNGKey(0)] + ([jrandom.key(0)] if hasattr(jrandom, "key") else [])
    assert [_compat.abstract(key).dtype for key in keys] == [key.dtype for key in keys]


class Array:
    """Stands for a JAX array. If `error` is given, reading its values raises it."""

    dtype = np.dtype("float32")

    def __init__(self, error=None, **attributes):
        self.error = error
        self.__dict__.update(attributes)

    def __array__(self, dtype=None, copy=None):
        if self.error is not None:
            raise self.error
        return np.arange(2, dtype=np.float32)


def test_to_numpy():
    """The values are returned if this process sees them. If other processes hold some, the result is `None`.

    Other errors are passed on.
    """
    assert _compat.to_numpy(Array(), BEFORE).tolist() == [0, 1]
    assert _compat.to_numpy(Array(RuntimeError("spans"), is_fully_addressable=False), BEFORE) is None
    for array in (Array(RuntimeError("deleted"), is_fully_addressable=True), Array(RuntimeError("deleted"))):
        with pytest.raises(RuntimeError, match="deleted"):
            _compat.to_numpy(array, BEFORE)
    with_keys = Only(dtypes=Only(), random=Only(key_data=lambda key: np.array([key.number, 2])))
    assert _compat.to_numpy(SimpleNamespace(dtype=KEY, number=1), with_keys).tolist() == [1, 2]
    assert _compat.to_numpy(jnp.arange(3)).tolist() == [0, 1, 2]
    assert _compat.to_numpy(jnp.ones(2, jnp.bfloat16)).tolist() == [1, 1]
    if hasattr(jrandom, "key"):
        assert _compat.to_numpy(jrandom.key(3)).tolist() == [0, 3]


@pytest.mark.parametrize(
    "name, module, expected",
    [
        ("LiteralArray", "jax._src.literals", True),
        ("TypedNdArray", "jax._src.literals", True),
        ("TypedNdArray", "jaxtyping", False),
        ("Array", "jax", False),
    ],
)
def test_is_numpy_array(name, module, expected):
    """NumPy arrays count, and so do the wrappers of JAX 0.7.2 to 0.9.1, which are known by their name and package."""
    constant = type(name, (), {"__module__": module})()
    assert _compat.is_numpy_array(constant, jax=Only(__name__="jax")) is expected
    assert _compat.is_numpy_array(np.ones(2)) and _compat.is_numpy_array(np.ma.array([1.0]))
    assert not any(map(_compat.is_numpy_array, (jnp.ones(2), np.float32(1), 1.0, [1.0], None)))
    assert _compat.is_numpy_constant(constant, jax=Only(__name__="jax")) is expected
    assert not any(map(_compat.is_numpy_constant, (np.ones(2), np.ma.array([1.0]), jnp.ones(2))))


@pytest.mark.parametrize(
    "version, expected", [("0.2.18", True), ("0.2.28", True), ("0.3.0", False), ("0.3.25", False), ("0.10.2", False)]
)
def test_pickles_arrays_as_numpy(version, expected):
    """JAX before 0.3.0 pickled arrays as NumPy arrays."""
    assert _compat.pickles_arrays_as_numpy(jax=Only(__version__=version)) is expected


def test_pickles_arrays_as_numpy_is_true_of_this_jax():
    """The answer agrees with what the running JAX does."""
    assert _compat.pickles_arrays_as_numpy() == isinstance(copy.deepcopy(jnp.ones(2)), np.ndarray)


def callbacks_jax(version, *names):
    """A stand-in whose `pure_callback` takes options of these names. It returns what it was given."""
    parameters = ", ".join(["callback", "shapes", "*args", *map("{}=None".format, names)])
    namespace = {}
    exec("def pure_callback({}): return locals()".format(parameters), namespace)
    return Only(__version__=version, pure_callback=namespace["pure_callback"])


OLD = callbacks_jax("0.4.13", "vectorized")
MIDDLE = callbacks_jax("0.4.30", "sharding", "vectorized")
NEW = callbacks_jax("0.4.38", "sharding", "vectorized", "vmap_method")


@pytest.mark.parametrize(
    "version, sharding, vmap_method, given",
    [
        (OLD, None, None, {}),
        (OLD, None, "sequential", {"vectorized": False}),
        (OLD, None, "legacy_vectorized", {"vectorized": True}),
        (MIDDLE, "s", "sequential", {"vectorized": False, "sharding": "s"}),
        (NEW, "s", "sequential", {"vmap_method": "sequential", "sharding": "s"}),
        (NEW, None, "expand_dims", {"vmap_method": "expand_dims"}),
        (NEW, None, None, {}),
    ],
)
def test_pure_callback(version, sharding, vmap_method, given):
    """Each release is given the options that it has."""
    got = _compat.pure_callback("f", "shapes", [1, 2], sharding, vmap_method, jax=version)
    assert (got.pop("callback"), got.pop("shapes"), got.pop("args")) == ("f", "shapes", (1, 2))
    assert {name: value for name, value in got.items() if value is not None} == given


@pytest.mark.parametrize(
    "version, sharding, vmap_method, feature",
    [
        (Only(__version__="0.3.14"), None, None, "filter_pure_callback"),
        (OLD, "s", None, "filter_pure_callback(sharding=...)"),
        (OLD, None, "expand_dims", "filter_pure_callback(vmap_method=...)"),
        (MIDDLE, None, "broadcast_all", "filter_pure_callback(vmap_method=...)"),
    ],
)
def test_pure_callback_with_what_a_release_lacks(version, sharding, vmap_method, feature):
    with pytest.raises(NotImplementedError, match=re.escape("`{}` needs JAX".format(feature))):
        _compat.pure_callback("f", "shapes", [], sharding, vmap_method, jax=version)


@pytest.mark.parametrize("feature", sorted(_compat.SINCE))
def test_what_a_release_lacks_is_refused_by_its_name(feature):
    """The error names the feature, the release that it needs and the running JAX."""
    release, _ = _compat.SINCE[feature]
    first = ".".join(map(str, release))
    _compat.require(feature, jax=Only(__version__=first))
    message = "`{}` needs JAX {} or newer, which added .*. This is JAX 0.2.17".format(re.escape(feature), first)
    with pytest.raises(NotImplementedError, match=message):
        _compat.require(feature, jax=Only(__version__="0.2.17"))


@pytest.mark.parametrize(
    "version, expected",
    [
        ("0.2.18", (0, 2, 18)),
        ("0.4.1", (0, 4, 1)),
        ("0.12.0.1", (0, 12, 0)),
        ("0.4.36.dev20241125", (0, 4, 36)),
        ("0.5.0rc1", (0, 5, 0)),
        ("0.6.2+cuda12", (0, 6, 2)),
        ("1.0", (1, 0)),
    ],
)
def test_jax_version(version, expected):
    """The first three numbers are read. What follows is ignored."""
    assert _compat.release.jax_release(Only(__version__=version)) == expected
    assert _compat.release.jax_release(jax) == tuple(map(int, jax.__version__.split(".")[:3]))


def test_row_or_nan_without_modes_of_a_gather():
    """By `jax.lax.gather` and without it, there are the same rows."""
    table = jnp.arange(6.0).reshape(3, 2)
    for stand_in in (jax, Only(lax=Only(), numpy=jnp)):
        for index, row in ((2, [4, 5]), (3, [np.nan] * 2), (-1, [np.nan] * 2)):
            np.testing.assert_array_equal(_compat.row_or_nan(table, jnp.array(index), jax=stand_in), row)


@pytest.mark.parametrize("version, dtype", [("0.4.12", "float32"), ("0.4.13", "bfloat16")])
def test_dot_general_in(version, dtype):
    """Older JAX converts the arrays first. Nothing is converted if the dtype is that of the arrays."""
    asked = []

    def dot_general(a, b, numbers, **options):
        asked.append((a.dtype, b.dtype, options))

    stand_in = Only(__version__=version, lax=Only(dot_general=dot_general))
    x = jnp.ones(2, jnp.bfloat16)
    for wide in (jnp.float32, jnp.bfloat16):
        _compat.dot_general_in(wide, x, x, None, jax=stand_in)
    options = {} if dtype == "float32" else {"preferred_element_type": jnp.float32}
    assert asked == [(dtype, dtype, options), ("bfloat16", "bfloat16", {})]


def test_import_touches_nothing_deprecated():
    """After JAX is imported, importing and using the library raises no warning."""
    program = """
import jax, jax.numpy as jnp, jax.random, warnings
x = jnp.ones(2)
warnings.simplefilter("error")
import equinox as eqx
from equinox import _compat
from equinox._compat import autodiff
from equinox._trees import paths
class M(eqx.Module):
    a: int
    b: int
m = M(x, [1, None])
paths.leaf_paths(m), _compat.to_numpy(x), _compat.is_typed_key(x), _compat.pickles_arrays_as_numpy()
assert eqx.tree_equal(eqx.apply_updates(m, eqx.filter(m, eqx.is_array_like)), M(x + x, [2, None]))
eqx.tree_at(lambda m: m.b[1], m, 2), repr(m)
"""
    run = subprocess.run([sys.executable, "-c", program], check=False, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stderr
