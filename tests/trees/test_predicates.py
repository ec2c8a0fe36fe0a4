"""What each predicate says of each kind of leaf, and that it agrees with JAX."""

import enum
import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from random_trees import Pair

import equinox as eqx

pytestmark = pytest.mark.filters


class HasArray:
    def __array__(self, dtype=None, copy=None):
        return np.ones(2, np.float32)


class HasJaxArray:
    def __jax_array__(self):
        return jnp.ones(2)


class Attributes:
    """An object that has the attributes of an array and is none."""

    aval = None
    shape = (2,)
    dtype = "float32"


class Number(enum.IntEnum):
    ONE = 1


# The answers are those of is_array, is_inexact_array, is_array_like and is_inexact_array_like.
ELEMENTS = {
    "jax float32": (jnp.ones(2), (1, 1, 1, 1)),
    "jax float16": (jnp.ones(2, jnp.float16), (1, 1, 1, 1)),
    "jax bfloat16": (jnp.ones(2, jnp.bfloat16), (1, 1, 1, 1)),
    "jax complex64": (jnp.ones(2, jnp.complex64), (1, 1, 1, 1)),
    "jax scalar": (jnp.array(1.0), (1, 1, 1, 1)),
    "jax empty": (jnp.zeros((0, 3)), (1, 1, 1, 1)),
    "jax int32": (jnp.ones(2, jnp.int32), (1, 0, 1, 0)),
    "jax uint8": (jnp.ones(2, jnp.uint8), (1, 0, 1, 0)),
    "jax bool": (jnp.ones(2, bool), (1, 0, 1, 0)),
    "old-style key": (jrandom.PRNGKey(0), (1, 0, 1, 0)),
    "numpy float64": (np.ones(2), (1, 0, 1, 1)),
    "numpy float32": (np.ones((2, 3), np.float32), (1, 0, 1, 1)),
    "numpy bfloat16": (np.ones(2, jnp.bfloat16), (1, 0, 1, 1)),
    "numpy complex128": (np.ones(2, complex), (1, 0, 1, 1)),
    "numpy int64": (np.ones(2, np.int64), (1, 0, 1, 0)),
    "numpy uint64": (np.array(2**63, np.uint64), (1, 0, 1, 0)),
    "numpy bool": (np.ones(2, bool), (1, 0, 1, 0)),
    "numpy empty": (np.zeros((0, 3)), (1, 0, 1, 1)),
    "numpy subclass": (np.ma.array([1.0, 2.0], mask=[False, False]), (1, 0, 1, 1)),
    "numpy float scalar": (np.float32(1), (1, 0, 1, 1)),
    "numpy double scalar": (np.float64(1), (1, 0, 1, 1)),
    "numpy complex scalar": (np.complex64(1), (1, 0, 1, 1)),
    "numpy int scalar": (np.int8(1), (1, 0, 1, 0)),
    "numpy bool scalar": (np.bool_(True), (1, 0, 1, 0)),
    "numpy text": (np.array(["a"]), (0, 0, 0, 0)),
    "numpy bytes": (np.array([b"a"]), (0, 0, 0, 0)),
    "numpy text scalar": (np.str_("a"), (0, 0, 0, 0)),
    "numpy objects": (np.array([1, None], object), (0, 0, 0, 0)),
    "numpy objects that are numbers": (np.array([1, 2], object), (0, 0, 0, 0)),
    "numpy dates": (np.array(["2021-09-01"], "M8[D]"), (0, 0, 0, 0)),
    "numpy durations": (np.timedelta64(1, "s"), (0, 0, 0, 0)),
    "numpy records": (np.zeros(2, [("a", int)]), (0, 0, 0, 0)),
    "numpy longdouble": (np.longdouble(1), (0, 0, 0, 0)),
    "numpy clongdouble": (np.ones(2, np.clongdouble), (0, 0, 0, 0)),
    "True": (True, (0, 0, 1, 0)),
    "int": (1, (0, 0, 1, 0)),
    "greatest int32": (2**31 - 1, (0, 0, 1, 0)),
    "least int32": (-(2**31), (0, 0, 1, 0)),
    "just too great an int": (2**31, (0, 0, 0, 0)),
    "just too small an int": (-(2**31) - 1, (0, 0, 0, 0)),
    "great int": (2**40, (0, 0, 0, 0)),
    "huge int": (2**70, (0, 0, 0, 0)),
    "enum of ints": (Number.ONE, (0, 0, 1, 0)),
    "float": (1.0, (0, 0, 1, 1)),
    "infinity": (float("inf"), (0, 0, 1, 1)),
    "nan": (float("nan"), (0, 0, 1, 1)),
    "complex": (1j, (0, 0, 1, 1)),
    "list of ints": ([1, 2], (0, 0, 1, 0)),
    "list of floats": ([1.0, 2], (0, 0, 1, 1)),
    "list of arrays": ([jnp.ones(2), jnp.ones(2)], (0, 0, 1, 1)),
    "empty list": ([], (0, 0, 1, 1)),
    "tuple": ((1,), (0, 0, 1, 0)),
    "ragged list": ([[1], [2, 3]], (0, 0, 0, 0)),
    "list of text": (["a"], (0, 0, 0, 0)),
    "range": (range(3), (0, 0, 1, 0)),
    "buffer": (memoryview(b"ab"), (0, 0, 1, 0)),
    "__array__": (HasArray(), (0, 0, 1, 1)),
    "None": (None, (0, 0, 0, 0)),
    "text": ("a", (0, 0, 0, 0)),
    "empty text": ("", (0, 0, 0, 0)),
    "bytes": (b"a", (0, 0, 0, 0)),
    "builtin": (len, (0, 0, 0, 0)),
    "function": (lambda x: x, (0, 0, 0, 0)),
    "jax function": (jax.nn.relu, (0, 0, 0, 0)),
    "partial": (ft.partial(len), (0, 0, 0, 0)),
    "class": (int, (0, 0, 0, 0)),
    "dtype class": (np.float32, (0, 0, 0, 0)),
    "dtype": (np.dtype("float32"), (0, 0, 0, 0)),
    "ShapeDtypeStruct": (jax.ShapeDtypeStruct((2,), jnp.float32), (0, 0, 0, 0)),
    "object": (object(), (0, 0, 0, 0)),
    "object with attributes": (Attributes(), (0, 0, 0, 0)),
    "set": ({1}, (0, 0, 0, 0)),
    "dict": ({"a": 1}, (0, 0, 0, 0)),
    "slice": (slice(1), (0, 0, 0, 0)),
    "Ellipsis": (..., (0, 0, 0, 0)),
    "exception": (ValueError("a"), (0, 0, 0, 0)),
    "module": (Pair(jnp.ones(2), 1), (0, 0, 0, 0)),
}
if hasattr(jrandom, "key"):  # typed keys came in JAX 0.4.11
    ELEMENTS["typed key"] = (jrandom.key(0), (1, 0, 1, 0))
    ELEMENTS["typed keys"] = (jrandom.split(jrandom.key(0), 2), (1, 0, 1, 0))

# The answers for these depend on the release of JAX. The oracle is `jnp.array`.
UNSETTLED = {
    "__jax_array__": HasJaxArray(),
    "list of None": [None],
    "enum of no numbers": enum.Enum("Color", "RED").RED,
    "int of another class": type("Int", (int,), {})(1),
    "float of another class": type("Float", (float,), {})(1.0),
    "list of arrays of different shapes": [jnp.ones(2), 1.0],
    "no gradient": np.zeros(2, jax.dtypes.float0),  # JAX accepts it and returns it unchanged
}

PREDICATES = [eqx.is_array, eqx.is_inexact_array, eqx.is_array_like, eqx.is_inexact_array_like]
each_element = pytest.mark.parametrize("name", ELEMENTS)


def says(predicates, element):
    """The answers of the predicates. Each must be `True` or `False`."""
    answers = [predicate(element) for predicate in predicates]
    assert all(type(answer) is bool for answer in answers)
    return answers


@each_element
def test_predicates(name):
    """The answers are those of the table. Each is asked twice, because a predicate may remember the type."""
    element, expected = ELEMENTS[name]
    assert says(PREDICATES, element) == [bool(x) for x in expected]
    assert says(PREDICATES, element) == [bool(x) for x in expected]


@pytest.mark.parametrize("name", [*ELEMENTS, *UNSETTLED])
def test_array_like_is_what_jax_takes(name):
    """`is_array_like` says whether `jnp.array` succeeds, and `is_inexact_array_like` whether its dtype is inexact."""
    element = UNSETTLED[name] if name in UNSETTLED else ELEMENTS[name][0]
    try:
        made = jnp.array(element)
    except Exception:
        made = None
    if element is None:  # some releases of JAX make NaN of `None`
        made = None
    if isinstance(element, np.ndarray) and element.dtype == jax.dtypes.float0:
        made = None
    assert eqx.is_array_like(element) == (made is not None)
    assert eqx.is_inexact_array_like(element) == (made is not None and bool(jnp.issubdtype(made.dtype, jnp.inexact)))


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**40, 2**63 - 1, -(2**63), 2**64, 2**70])
def test_great_ints_with_x64(x64, number):
    """Which ints are array-like depends on the default integer. This also holds after a first answer."""
    assert eqx.is_array_like(number) == (-(2**63) <= number < 2**63)


TRANSFORMATIONS = {
    "jit": lambda f, x: jax.jit(f)(x),
    "vmap": lambda f, x: jax.vmap(f)(x),
    "jit of vmap": lambda f, x: jax.jit(jax.vmap(f))(x),
    "grad": lambda f, x: jax.grad(lambda x: f(x).sum())(x) if jnp.issubdtype(x.dtype, jnp.floating) else None,
    "jvp": lambda f, x: jax.jvp(f, (x,), (x,)) if jnp.issubdtype(x.dtype, jnp.floating) else None,
    "scan": lambda f, x: jax.lax.scan(lambda carry, y: (carry, f(y)), 0, x),
    "make_jaxpr": lambda f, x: jax.make_jaxpr(f)(x),
}


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize(
    "name", ["jax float32", "jax bfloat16", "jax int32", "jax bool", "old-style key", "typed keys"]
)
def test_predicates_on_tracers(name, transformation):
    """A predicate gives the same answer for a tracer and for its array."""
    if name not in ELEMENTS:
        pytest.skip("this JAX has no `jax.random.key`")
    element, expected = ELEMENTS[name]
    said = [list(map(bool, expected))]

    def function(x):
        assert isinstance(x, jax.core.Tracer)
        said.append(says(PREDICATES, x))
        return x

    TRANSFORMATIONS[transformation](function, element)
    assert says(PREDICATES, element) == said[0]  # the same after a tracer was seen
    assert all(answer == said[0] for answer in said)


def test_predicates_inside_jit():
    """Inside a compiled function the answers are the same, although JAX traces everything that it makes."""

    @jax.jit
    def function(x):
        for name in ("jax float32", "jax int32", "numpy float64", "int", "list of floats", "text", "function", "None"):
            element, expected = ELEMENTS[name]
            assert says(PREDICATES, element) == list(map(bool, expected))
        return x

    function(1.0)


CONSTANTS = {"numpy": np.array([2.0, 3.0], np.float32), "jax": jnp.array([2.0, 3.0])}


def seen_by_a_rule(constant):
    """What the rule of a `custom_vjp` gets for `constant`, in the forward and in the backward pass."""
    seen = []

    @jax.custom_vjp
    def product(x, c):
        return (x * c).sum()

    def forwards(x, c):
        seen.append(c)
        return product(x, c), (x, c)

    def backwards(x_and_c, ct):
        seen.append(x_and_c[1])
        return ct * x_and_c[1], ct * x_and_c[0]

    product.defvjp(forwards, backwards)
    jax.grad(lambda x: product(x, constant))(jnp.ones(2))
    return seen


@pytest.mark.parametrize("name", CONSTANTS)
def test_predicates_on_constants_of_a_trace(name):
    """A constant among traced arrays has the same answers. Since 0.7.2 JAX wraps NumPy arrays in its own class."""
    for constant in seen_by_a_rule(CONSTANTS[name]):
        assert says(PREDICATES, constant) == says(PREDICATES, CONSTANTS[name])
        selected, others = eqx.partition([constant, "text"], eqx.is_inexact_array_like)
        assert selected[0] is constant and others == [None, "text"]


@pytest.mark.parametrize("filter_fn", [eqx.is_array, eqx.is_array_like])
def test_constants_of_a_trace_are_compiled_for(filter_fn):
    """`jitf` and `tree_equal` treat such a constant like the array that it stands for."""
    for constant in seen_by_a_rule(CONSTANTS["numpy"]):
        np.testing.assert_array_equal(eqx.jitf(lambda c: c * 2, filter_fn=filter_fn)(constant), [4, 6])
        np.testing.assert_array_equal(eqx.filter_jit(lambda c: c * 2)(constant), [4, 6])
        assert eqx.tree_equal([constant], [constant])
