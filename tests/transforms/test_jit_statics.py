"""Static leaves of `jitf`: which values are equal, so that they share a compiled function."""

import jax.numpy as jnp
import numpy as np
import pytest
from tracing import Model, TraceRecorder

import equinox as eqx
import equinox._dispatch.cache_key


def test_equal_statics_never_retrace():
    seen = TraceRecorder(lambda m, *rest: m.weight)
    f = eqx.filter_jit(seen)
    for i in range(4):
        f(Model(jnp.full(2, float(i)), "na" + "me"), 10**6 + 1, ("t", 1.5), np.ones(3) * i)
    assert seen.traces == 1


def test_true_one_and_one_point_zero_are_different_statics():
    f = eqx.filter_jit(lambda x, n: (x, type(n).__name__))
    x = jnp.ones(2)
    for _ in range(2):
        assert [f(x, n)[1] for n in (True, 1, 1.0)] == ["bool", "int", "float"]
        assert [f(x, [n])[1] for n in (True,)] == ["list"]
    g = eqx.filter_jit(lambda m: type(m.size).__name__)
    for _ in range(2):
        assert [g(Model(x, "n", size=n)) for n in (1, True, 1.0)] == ["int", "bool", "float"]
    h = eqx.jitf(lambda x, n: type(n).__name__, filter_fn=eqx.is_array, static_argnums=1)
    assert [h(x, n) for n in (1, True, 1.0, 1)] == ["int", "bool", "float", "int"]


def test_the_weak_type_of_a_static_array_counts():
    f = eqx.jitf(lambda h, s: h * s, filter_fn=eqx.is_array, static_argnums=1)
    half = jnp.ones(2, jnp.float16)
    for scale in (jnp.asarray(2.0), jnp.ones(()) * jnp.float32(2), jnp.asarray(2.0)):
        assert f(half, scale).dtype == (half * scale).dtype


def test_static_arrays_compare_by_value():
    for array in (np.array, jnp.array):
        seen = TraceRecorder(lambda x: x.tolist())
        f = eqx.jitf(seen, filter_fn=lambda x: False)
        x = array([1, 2])
        assert f(x) == f(array([1, 2])) == [1, 2] and seen.traces == 1
        assert f(array([1, 3])) == [1, 3] and seen.traces == 2
        assert f(array([1.0, 3.0])) == [1.0, 3.0] and seen.traces == 3
        assert f(array([[1, 3]])) == [[1, 3]] and seen.traces == 4


def test_a_static_numpy_array_changed_in_place_is_seen():
    f = eqx.jitf(lambda x: x.tolist(), filter_fn=eqx.is_inexact_array)
    x = np.array([1, 2])
    assert f(x) == [1, 2]
    x[0] = 7
    assert f(x) == [7, 2]


def test_a_static_numpy_array_is_copied():
    f = eqx.jitf(lambda x, s: x * s[0], filter_fn=eqx.is_inexact_array)
    s = np.array([1, 2])
    f(jnp.ones(2), s)
    s[0] = 7
    assert f(jnp.ones(3), np.array([1, 2])).tolist() == [1.0] * 3  # traced again, with the statics of the first call


def test_static_objects_are_compared_by_their_own_eq():
    class Config:
        def __init__(self, n):
            self.n = n

        def __eq__(self, other):
            return self.n == other.n

        def __hash__(self):
            return hash(self.n)

    seen = TraceRecorder(lambda c: c.n)
    f = eqx.filter_jit(seen)
    assert [f(Config(1)), f(Config(1)), f(Config(2)), f(Config(1))] == [1, 1, 2, 1]
    assert seen.traces == 2


X, Y = jnp.arange(2.0), jnp.ones(2)


class Subclass(np.ndarray):
    pass


MORE_THAN_BYTES = {
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "subclass": np.ones(2).view(Subclass),
    "matrix of objects": np.array([1, None], object),
    "structured with objects": np.zeros(2, [("a", object), ("b", int)]),
}
if hasattr(getattr(np, "dtypes", None), "StringDType"):
    MORE_THAN_BYTES["StringDType"] = np.array(["a", "b"], np.dtypes.StringDType())


@pytest.mark.parametrize("name", MORE_THAN_BYTES)
def test_a_static_array_with_more_than_its_bytes_is_refused(name):
    f = eqx.jitf(lambda m: m, filter_fn=lambda x: False)
    plain = np.array([1, 2])
    f(Model(plain, "name"))
    with pytest.raises(TypeError, match="`m.weight` static, so it must be a plain array without objects, got"):
        f(Model(MORE_THAN_BYTES[name], "name"))


@pytest.mark.parametrize(
    "arrays",
    [
        [np.array(["a"]), np.array(["b"])],
        [np.array(["2020"], "datetime64[Y]"), np.array(["2021"], "datetime64[Y]"), np.array([50], "timedelta64[Y]")],
        [
            np.array([(1, 2.0)], "i4,f4"),
            np.array([(1, 3.0)], "i4,f4"),
            np.array([(1, 2.0)], [("x", "i4"), ("y", "f4")]),
        ],
        [np.array([0.0]), np.array([-0.0])],
    ],
    ids=["text", "dates", "structured", "zeros"],
)
def test_static_numpy_arrays_are_told_apart(arrays):
    f = eqx.jitf(lambda x: (x.dtype, x.tobytes()), filter_fn=lambda x: False)
    for array in arrays + arrays:
        assert f(array) == (array.dtype, array.tobytes())


def test_an_array_of_text_is_static_after_a_traced_array():
    """Both are NumPy arrays, so their types are the same."""
    f = eqx.filter_jit(lambda x: x.dtype.kind)
    for _ in range(2):
        assert [f(x) for x in (np.ones(1), np.array(["a"]), np.ones(1))] == ["f", "U", "f"]


def test_a_static_jax_scalar_is_read_once_a_call(monkeypatch):
    """A bool that `jitf` returned is a new array at each step. To hold it static, the call must read it."""
    read = []
    to_numpy = equinox._dispatch.cache_key._compat.to_numpy
    monkeypatch.setattr(equinox._dispatch.cache_key._compat, "to_numpy", lambda x: read.append(x) or to_numpy(x))
    seen = TraceRecorder(lambda m: Model(m.weight + 1, bool(m.name)))
    step = eqx.jitf(seen, filter_fn=eqx.is_inexact_array)
    m = step(Model(X, True))
    for _ in range(3):
        m = step(m)
    assert eqx.is_array(m.name) and seen.traces == 2 and len(read) == 3
    with monkeypatch.context() as patch:
        patch.setattr("equinox._dispatch.dispatcher.Dispatcher._make_entry", None)
        del read[:]
        for _ in range(3):
            m = step(m)
        assert len(read) == 3 and m.weight.tolist() == [7.0, 8.0]
        for _ in range(8):
            step(m)
        assert len(read) <= 3 + 8


def test_the_sign_of_a_static_zero_counts():
    """`0.0 == -0.0`, but division by them differs."""
    divide = eqx.filter_jit(lambda x, y: x / y)
    for y, expected in [(0.0, np.inf), (-0.0, -np.inf), (0.0, np.inf), (-0.0, -np.inf)]:
        assert divide(jnp.ones(()), y) == expected
