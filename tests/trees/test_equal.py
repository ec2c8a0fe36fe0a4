"""`tree_equal`, against a comparison by hand."""

import cmath
import collections
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modules import Layer
from random_trees import (
    JAX_ARRAYS,
    NUMPY_ARRAYS,
    Pair,
    Point,
    children,
    each_container,
    map_tree,
    nest,
    nodes,
    recursion_limit_for,
    replace_at,
    trees,
)

import equinox as eqx

NAN = float("nan")


def nested(array):
    """Make an object array that holds an array."""
    box = np.empty(2, object)
    box[:] = [array, None]
    return box


class Other(eqx.Module):
    weight: Any
    bias: Any
    name: str = eqx.field(static=True, default="layer")


@dataclasses.dataclass(frozen=True)
class Config:
    """A class that JAX doesn't know, so an instance is a leaf."""

    n: Any


class Unregistered(dict):
    """Another one."""


# Functions that make two leaves or trees, and whether the two are equal.
PAIRS = {
    "jax arrays": (lambda: jnp.arange(3.0), lambda: jnp.arange(3.0), True),
    "jax values": (lambda: jnp.arange(3.0), lambda: jnp.arange(3.0).at[2].set(9), False),
    "jax shapes": (lambda: jnp.ones(3), lambda: jnp.ones(2), False),
    "jax shapes that broadcast": (lambda: jnp.ones((3, 1)), lambda: jnp.ones((1, 1)), False),
    "jax scalar and vector": (lambda: jnp.array(1.0), lambda: jnp.ones(1), False),
    "jax dtypes": (lambda: jnp.ones(2), lambda: jnp.ones(2, jnp.int32), False),
    "jax float16 and bfloat16": (lambda: jnp.ones(2, jnp.float16), lambda: jnp.ones(2, jnp.bfloat16), False),
    "jax weak types": (lambda: jnp.asarray(1.0), lambda: jnp.ones((), jnp.float32), True),
    "jax nan": (lambda: jnp.array([1, NAN]), lambda: jnp.array([1, NAN]), False),
    "jax zeros": (lambda: jnp.array([0.0]), lambda: jnp.array([-0.0]), True),
    "jax empty": (lambda: jnp.zeros((0, 2)), lambda: jnp.zeros((0, 2)), True),
    "jax empty shapes": (lambda: jnp.zeros((0, 2)), lambda: jnp.zeros((2, 0)), False),
    "jax bfloat16": (lambda: jnp.ones(2, jnp.bfloat16), lambda: jnp.ones(2, jnp.bfloat16), True),
    "jax bfloat16 values": (lambda: jnp.ones(2, jnp.bfloat16), lambda: jnp.zeros(2, jnp.bfloat16), False),
    "jax bfloat16 nan": (lambda: jnp.array(NAN, jnp.bfloat16), lambda: jnp.array(NAN, jnp.bfloat16), False),
    "jax bool": (lambda: jnp.array([True]), lambda: jnp.array([True]), True),
    "jax complex": (lambda: jnp.array([1j]), lambda: jnp.array([1j]), True),
    "jax complex values": (lambda: jnp.array([1j]), lambda: jnp.array([-1j]), False),
    "keys": (lambda: jrandom.PRNGKey(0), lambda: jrandom.PRNGKey(0), True),
    "keys of other seeds": (lambda: jrandom.PRNGKey(0), lambda: jrandom.PRNGKey(1), False),
    "jax and numpy": (lambda: jnp.ones(2), lambda: np.ones(2, np.float32), False),
    "jax and numpy scalars": (lambda: jnp.array(1.0), lambda: np.float32(1), False),
    "jax and float": (lambda: jnp.array(1.0), lambda: 1.0, False),
    "jax and None": (lambda: jnp.array(1.0), lambda: None, False),
    "numpy arrays": (lambda: np.arange(3), lambda: np.arange(3), True),
    "numpy values": (lambda: np.arange(3), lambda: np.arange(3) + 1, False),
    "numpy shapes that broadcast": (lambda: np.ones((3, 1)), lambda: np.ones((1, 1)), False),
    "numpy dtypes": (lambda: np.ones(2), lambda: np.ones(2, np.float32), False),
    "numpy nan": (lambda: np.array([1, NAN]), lambda: np.array([1, NAN]), False),
    "numpy empty": (lambda: np.zeros((0, 2)), lambda: np.zeros((0, 2)), True),
    "numpy bfloat16": (lambda: np.ones(2, jnp.bfloat16), lambda: np.ones(2, jnp.bfloat16), True),
    "numpy text": (lambda: np.array(["a", "b"]), lambda: np.array(["a", "b"]), True),
    "numpy text values": (lambda: np.array(["a", "b"]), lambda: np.array(["a", "c"]), False),
    "numpy dates": (lambda: np.array(["2021-09"], "M8[M]"), lambda: np.array(["2021-09"], "M8[M]"), True),
    "numpy records": (lambda: np.ones(2, [("a", int)]), lambda: np.ones(2, [("a", int)]), True),
    "numpy records values": (lambda: np.ones(2, [("a", int)]), lambda: np.zeros(2, [("a", int)]), False),
    "numpy subclass": (lambda: np.ma.array([1.0]), lambda: np.array([1.0]), False),
    "numpy objects": (lambda: np.array([1, "a", None]), lambda: np.array([1, "a", None]), True),
    "numpy objects of other types": (lambda: np.array([1, None]), lambda: np.array([True, None]), False),
    "numpy objects that are nan": (lambda: np.array([NAN, None]), lambda: np.array([NAN, None]), False),
    "numpy array of arrays": (lambda: nested(np.ones(2)), lambda: nested(np.ones(2)), True),
    "numpy array of other arrays": (lambda: nested(np.ones(2)), lambda: nested(np.ones(3)), False),
    "numpy array of jax arrays": (lambda: nested(jnp.ones(2)), lambda: nested(jnp.ones(2)), True),
    "numpy scalars": (lambda: np.float32(1), lambda: np.float32(1), True),
    "numpy scalars of other types": (lambda: np.float32(1), lambda: np.float64(1), False),
    "numpy scalar and array": (lambda: np.float32(1), lambda: np.array(1, np.float32), False),
    "numpy scalar and float": (lambda: np.float64(1), lambda: 1.0, False),
    "numpy scalar and bool": (lambda: np.bool_(True), lambda: True, False),
    "numpy scalar nan": (lambda: np.float32(NAN), lambda: np.float32(NAN), False),
    "ints": (lambda: 2**70, lambda: 2**70, True),
    "int and bool": (lambda: 1, lambda: True, False),
    "int and float": (lambda: 1, lambda: 1.0, False),
    "bool and float": (lambda: False, lambda: 0.0, False),
    "float and complex": (lambda: 1.0, lambda: 1 + 0j, False),
    "bools": (lambda: True, lambda: True, True),
    "nan": (lambda: NAN, lambda: NAN, False),
    "text": (lambda: "ab", lambda: "".join("ab"), True),
    "text and bytes": (lambda: "a", lambda: b"a", False),
    "functions": (lambda: jax.nn.relu, lambda: jax.nn.relu, True),
    "other functions": (lambda: len, lambda: print, False),
    "sets": (lambda: {1, 2}, lambda: {2, 1}, True),
    "sets of other types": (lambda: {1, 2}, lambda: {True, 2}, False),
    "frozensets of other types": (lambda: frozenset([1]), lambda: frozenset([1.0]), False),
    "dataclasses": (lambda: Config((1, "a")), lambda: Config((1, "a")), True),
    "dataclasses with other values": (lambda: Config(1), lambda: Config(2), False),
    "dataclasses of other types": (lambda: Config(1), lambda: Config(True), False),
    "dataclasses with lists": (lambda: Config([Config(1)]), lambda: Config([Config(1)]), True),
    "dataclasses with lists of other types": (lambda: Config([Config(1)]), lambda: Config([Config(1.0)]), False),
    "unregistered": (lambda: Unregistered(a=1), lambda: Unregistered(a=1), True),
    "unregistered of other types": (lambda: Unregistered(a=1), lambda: Unregistered(a=True), False),
    "unregistered with keys of other types": (lambda: Unregistered({1: 1}), lambda: Unregistered({True: 1}), False),
    "zeros": (lambda: 0.0, lambda: -0.0, True),
    "objects": (object, object, False),
    "None": (lambda: None, lambda: None, True),
    "None and a leaf": (lambda: None, lambda: 0, False),
    "None and an empty tree": (lambda: None, lambda: (), False),
    "list and tuple": (lambda: [1], lambda: (1,), False),
    "tuple and namedtuple": (lambda: (1, 2), lambda: Point(1, 2), False),
    "dicts": (lambda: {"a": 1, "b": 2}, lambda: {"b": 2, "a": 1}, True),
    "dicts with other keys": (lambda: {"a": 1}, lambda: {"b": 1}, False),
    "dict and ordered": (lambda: {"a": 1}, lambda: collections.OrderedDict(a=1), False),
    "another order": (
        lambda: collections.OrderedDict([("a", 1), ("b", 1)]),
        lambda: collections.OrderedDict([("b", 1), ("a", 1)]),
        False,
    ),
    "longer list": (lambda: [1, 2], lambda: [1, 2, 3], False),
    "another nesting": (lambda: [[1], 2], lambda: [1, [2]], False),
    "modules": (lambda: Layer(jnp.ones(2), None), lambda: Layer(jnp.ones(2), None), True),
    "other leaves": (lambda: Layer(jnp.ones(2), 1), lambda: Layer(jnp.ones(2), 2), False),
    "other static data": (lambda: Layer(1, 2), lambda: Layer(1, 2, "other"), False),
    "static data of another type": (lambda: Layer(1, 2, True), lambda: Layer(1, 2, 1), False),
    "another class": (lambda: Layer(1, 2), lambda: Other(1, 2), False),
}
if hasattr(jrandom, "key"):  # typed keys came in JAX 0.4.11
    PAIRS["typed keys"] = (lambda: jrandom.key(0), lambda: jrandom.key(0), True)
    PAIRS["typed keys of other seeds"] = (lambda: jrandom.key(0), lambda: jrandom.key(1), False)
    PAIRS["typed keys of other shapes"] = (lambda: jrandom.key(0), lambda: jrandom.split(jrandom.key(0)), False)
    PAIRS["typed and old-style"] = (lambda: jrandom.key(0), lambda: jrandom.PRNGKey(0), False)
if hasattr(jrandom, "key_impl"):  # several kinds of typed keys came in 0.4.30
    PAIRS["typed keys of other kinds"] = (lambda: jrandom.key(0), lambda: jrandom.key(0, impl="rbg"), False)


@pytest.mark.parametrize("name", PAIRS)
def test_equal_pairs(name):
    """Each pair of the table gives the same `bool` alone and in a tree, in both orders."""
    left, right, expected = PAIRS[name]
    assert eqx.tree_equal(left(), right()) is expected
    assert eqx.tree_equal(right(), left()) is expected
    assert eqx.tree_equal({"a": [1, left()]}, {"a": [1, right()]}) is expected
    assert eqx.tree_equal(left(), left(), right()) is (expected and eqx.tree_equal(left(), left()))


@pytest.mark.parametrize("name", PAIRS)
def test_equal_to_itself(name):
    """A leaf is equal to itself, unless it holds a NaN."""
    leaf = PAIRS[name][0]()
    assert eqx.tree_equal(leaf, leaf) is ("nan" not in name)


def equal_by_hand(a, b):
    below, other = children(a), children(b)
    if type(a) is not type(b):
        return False
    if below is not None:
        names = [name for name, _ in below] == [name for name, _ in other]
        return (
            names
            and getattr(a, "name", 0) == getattr(b, "name", 0)
            and all(equal_by_hand(x, y) for (_, x), (_, y) in zip(below, other))
        )
    if hasattr(a, "dtype"):
        return (a.shape, str(a.dtype)) == (b.shape, str(b.dtype)) and np.asarray(a).tolist() == np.asarray(b).tolist()
    return a == b


@given(trees(), trees(), st.data())
def test_equal_trees(a, b, data):
    """Two random trees, and two trees that differ in at most one leaf, are compared as by hand."""
    assert eqx.tree_equal(a, b) is equal_by_hand(a, b)
    copy = map_tree(lambda x: jnp.array(np.asarray(x)) if any(x is array for array in JAX_ARRAYS) else x, a)
    assert eqx.tree_equal(a, copy) is True
    path = data.draw(st.sampled_from([path for path, node in nodes(a) if not children(node)] or [""]))
    new = data.draw(st.sampled_from([*JAX_ARRAYS, *NUMPY_ARRAYS, None, 0, 1, True, 1.0, "", ()]))
    changed = replace_at(a, path, new)
    assert eqx.tree_equal(copy, changed) is equal_by_hand(copy, changed)


# Two values, the tolerances, and whether the values are equal. JAX and NumPy arrays and Python numbers agree.
NEAR = {
    "near": (1.0, 1.01, {"rtol": 0.1}, True),
    "not near": (1.0, 1.2, {"rtol": 0.1}, False),
    "near the larger": (0.9, 1.0, {"rtol": 0.105}, True),
    "absolute": (0.0, 0.01, {"atol": 0.1}, True),
    "not absolute": (0.0, 0.2, {"atol": 0.1}, False),
    "the sum of both": (1.0, 1.15, {"rtol": 0.1, "atol": 0.1}, True),
    "negative": (-1.0, -1.01, {"rtol": 0.1}, True),
    "another sign": (-1.0, 1.0, {"rtol": 0.1}, False),
    "nan": (NAN, NAN, {"rtol": 1, "atol": 1}, False),
    "infinite": (float("inf"), float("inf"), {"rtol": 0.1}, True),
    "infinite and finite": (float("inf"), 1.0, {"rtol": 1, "atol": 1}, False),
    "both signs of infinity": (float("inf"), -float("inf"), {"rtol": 1, "atol": 1}, False),
    "large": (3e38, -3e38, {"rtol": 1.0}, False),
    "complex": (1 + 1j, 1.01 + 1j, {"rtol": 0.1}, True),
    "not near complex": (1 + 1j, 1 + 2j, {"rtol": 0.1}, False),
    "ints": (100, 101, {"rtol": 1, "atol": 9}, False),
    "bools": (True, False, {"rtol": 1, "atol": 9}, False),
}


@pytest.mark.parametrize("kind", ["Python", "NumPy scalar", "NumPy", "JAX"])
@pytest.mark.parametrize("name", NEAR)
def test_equal_within_tolerances(name, kind):
    """The table holds for each kind of number, in both orders, and in an array of objects."""
    dtypes = {float: np.float32, complex: np.complex64, int: np.int32, bool: np.bool_}
    make = {
        "Python": lambda x: x,
        "NumPy scalar": lambda x: dtypes[type(x)](x),
        "NumPy": lambda x: np.array([x, x], dtypes[type(x)]),
        "JAX": lambda x: jnp.array([x, x], dtypes[type(x)]),
    }[kind]
    left, right, tolerances, expected = NEAR[name]
    for a, b in [(left, right), (right, left)]:
        assert eqx.tree_equal(make(a), make(b), **tolerances) is expected
        assert eqx.tree_equal([nested(make(a)), 1], [nested(make(b)), 1], **tolerances) is expected
        assert eqx.tree_equal(make(a), make(b)) is (a == b)


@given(st.complex_numbers(max_magnitude=1e3), st.complex_numbers(max_magnitude=0.2), st.sampled_from(["rtol", "atol"]))
def test_equal_within_one_tolerance_is_isclose(x, change, name):
    """With one of the two tolerances, it agrees with Python's `cmath.isclose`."""
    y, option = x * (1 + change), {"rtol": "rel_tol", "atol": "abs_tol"}[name]
    assert eqx.tree_equal(x, y, **{name: 0.1}) is cmath.isclose(x, y, **dict({"rel_tol": 0.0}, **{option: 0.1}))


def test_equal_within_tolerances_on_traced_arrays(run):
    """Traced arrays are compared as concrete ones. A difference doesn't overflow in a dtype of 16 bits."""

    def function(x, y, big):
        def near(a, b, **options):
            return jnp.asarray(eqx.tree_equal([a, "text"], [b, "text"], **options))

        return (
            near(x, y, rtol=0.1),
            near(x, y, rtol=0.001),
            near(x, -y, rtol=0.1, atol=0.1),
            near(x, y * jnp.nan, rtol=0.1),
            near(big, -big, rtol=1.5),
            near(big, -big, rtol=2.0),
        )

    x = jnp.array([1.0, jnp.inf, 2.0])
    answers = run(function, x, x * 1.01, jnp.array([6e4], jnp.float16))
    assert list(map(bool, answers)) == [True, False, False, False, False, True]


def test_equal_in_weak_type():
    """With `typematch` the weak types of JAX arrays must be equal, too. Other leaves are compared as without it."""
    strong = jnp.array(2.0, jnp.float32)
    weak = next(x for x in (jnp.asarray(2.0), jnp.array(2.0), jax.jit(lambda: 2.0)()) if x.weak_type)
    assert eqx.tree_equal(strong, weak) is True
    assert eqx.tree_equal([1, strong], [1, weak], typematch=True) is False
    assert eqx.tree_equal(weak, strong, typematch=True) is False
    assert eqx.tree_equal(weak, weak + 0, typematch=True) is True
    assert eqx.tree_equal([strong, np.ones(2), "a"], [strong + 0, np.ones(2), "a"], typematch=True) is True
    assert eqx.tree_equal(strong, np.float32(2), typematch=True) is False

    def function(x, y):
        return [eqx.tree_equal(x, x + 1, typematch=True), jnp.asarray(eqx.tree_equal(x, y, typematch=True))]

    known, other = jax.jit(lambda x: function(x, weak))(strong)
    assert not known and not other


@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_equal_refuses_tolerances(name):
    """A tolerance is a finite number that isn't negative. The error names the argument."""
    for value in (-1, NAN, float("inf")):
        with pytest.raises(ValueError, match="`{}` to be finite and at least 0".format(name)):
            eqx.tree_equal(1, 1, **{name: value})
    for value in (None, "much", [1, 2]):
        with pytest.raises(TypeError, match="`{}` to be a number".format(name)):
            eqx.tree_equal(1, 1, **{name: value})
    assert eqx.tree_equal(1.0, 1.01, **{name: jnp.float32(0.1)}) is True


def test_equal_many():
    """All of several trees must be equal to the first. No tree and one tree are equal."""
    assert eqx.tree_equal() is True
    assert eqx.tree_equal([jnp.array(NAN)]) is True
    equal = [Layer(jnp.ones(2), 1) for _ in range(4)]
    assert eqx.tree_equal(*equal) is True
    for i in range(4):
        different = equal[:i] + [Layer(jnp.ones(2), 2)] + equal[i + 1 :]
        assert eqx.tree_equal(*different) is False


def test_equal_on_traced_arrays(run):
    """The answer is the same as NumPy's eagerly, under `jit` and under `vmap`."""

    def function(x, y):
        tree = lambda x, y: Pair([x, "a"], {"y": y, "f": len})  # noqa: E731
        return (
            jnp.asarray(eqx.tree_equal(tree(x, y), tree(x, y))),
            jnp.asarray(eqx.tree_equal(tree(x, y), tree(x + 1, y))),
            jnp.asarray(eqx.tree_equal(tree(x, y), tree(x, y), tree(x, -y))),
            jnp.asarray(eqx.tree_equal(tree(x, y), tree(x, 1))),
        )

    assert [bool(answer) for answer in run(function, jnp.arange(3.0), jnp.ones(2))] == [True, False, False, False]
    assert [bool(answer) for answer in run(function, jnp.array([1, NAN]), jnp.zeros(2))] == [False] * 4


def test_equal_inside_jit():
    """While JAX traces, the answer is a `bool` unless it depends on traced values. Then it is a traced scalar."""
    known, negative = jnp.arange(3.0), -jnp.arange(3.0)

    @jax.jit
    def function(x):
        assert eqx.tree_equal([known, "a"], [jnp.asarray(known), "a"]) is True
        assert eqx.tree_equal([known], [np.asarray(known)]) is False
        assert eqx.tree_equal([x, known], [x, negative]) is False
        assert eqx.tree_equal([x, 1], [x, 2]) is False
        assert eqx.tree_equal([x, 1], [x, 1.0]) is False
        assert eqx.tree_equal(x, x[:1]) is False
        assert eqx.tree_equal(x, x.astype(jnp.bfloat16)) is False
        assert eqx.tree_equal(x, np.arange(3.0, dtype=np.float32)) is False
        assert eqx.tree_equal(x, x, (x,)) is False
        assert eqx.tree_equal(x) is True
        answers = [eqx.tree_equal(x, x), eqx.tree_equal([x, 1], [known, 1]), eqx.tree_equal(known, x, -x)]
        for answer in answers:
            assert isinstance(answer, jax.core.Tracer)
            assert answer.shape == ()
            assert answer.dtype == bool
        return answers

    assert list(map(bool, function(known))) == [True, True, False]
    assert list(map(bool, function(known + 1))) == [True, False, False]


def test_equal_under_vmap():
    """There is one answer for each example."""
    x = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, NAN]])
    answers = jax.vmap(lambda x, y: eqx.tree_equal([x, "a"], [y, "a"]))(x, x.at[1, 0].set(0))
    np.testing.assert_array_equal(answers, [True, False, False])


def test_equal_under_grad():
    """The answer can be used in a function that is differentiated."""

    def function(x, y):
        return jnp.where(eqx.tree_equal({"a": x}, {"a": y}), 2.0, 3.0) * x.sum()

    x = jnp.arange(3.0)
    np.testing.assert_array_equal(jax.grad(function)(x, x), [2, 2, 2])
    np.testing.assert_array_equal(jax.grad(function)(x, x + 1), [3, 3, 3])


def test_equal_typed_keys_inside_jit():
    """Typed keys can be compared while they are traced."""
    if not hasattr(jrandom, "key"):
        pytest.skip("this JAX has no `jax.random.key`")
    keys = jrandom.split(jrandom.key(0), 3)
    equal = jax.jit(lambda *keys: eqx.tree_equal(*keys))
    assert bool(equal(keys, jrandom.split(jrandom.key(0), 3)))
    assert not bool(equal(keys, jrandom.split(jrandom.key(1), 3)))
    np.testing.assert_array_equal(jax.vmap(eqx.tree_equal)(keys, keys[jnp.array([0, 2, 2])]), [True, False, True])


@each_container
def test_equal_deep_trees(wrap):
    """Trees may be deeper than Python's limit of recursion."""
    with recursion_limit_for(1100):
        assert eqx.tree_equal(nest(1100, wrap, "leaf"), nest(1100, wrap, "leaf")) is True
        assert eqx.tree_equal(nest(1100, wrap, "leaf"), nest(1100, wrap, "other")) is False
        assert eqx.tree_equal(nest(1100, wrap, "leaf"), nest(1099, wrap, "leaf")) is False


class Spanning:
    """Stands for an array that spans several processes. NumPy can't read its values."""

    shape = (2,)
    dtype = np.dtype("float32")

    def __init__(self, values):
        self.values = jnp.array(values)

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("spans non-addressable devices")

    def __eq__(self, other):
        return self.values == other.values

    __hash__ = None


def test_equal_where_numpy_sees_no_values(monkeypatch):
    """JAX itself compares arrays that span several processes."""
    monkeypatch.setattr("equinox._trees.equal.is_jax_array", lambda x: isinstance(x, Spanning))
    monkeypatch.setattr("equinox._trees.equal.concrete_array_types", {Spanning})
    assert eqx.tree_equal(Spanning([1.0, 2.0]), Spanning([1.0, 2.0])) is True
    assert eqx.tree_equal(Spanning([1.0, 2.0]), Spanning([1.0, 3.0])) is False
