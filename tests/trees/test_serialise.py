"""`tree_serialise_leaves` and `tree_deserialise_leaves`. The oracle is NumPy's own format."""

import io
import os
import re

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from devices import layout, named, several, shards
from hypothesis import given
from random_trees import map_tree, trees

import equinox as eqx
from equinox._trees.predicates import is_jax_array


def cleared(x):
    """A leaf of the same kind as `x`, with another value. What isn't written stays."""
    if is_jax_array(x):
        return jnp.zeros_like(x)
    if eqx.is_array(x):
        return np.zeros_like(x) if isinstance(x, np.ndarray) else type(x)(0)
    return type(x)() if type(x) in (bool, float, complex) else x


def written(tree, **options):
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, tree, **options)
    return io.BytesIO(file.getvalue())


def can_be_written(x):
    """NumPy's format has no integers of more than 64 bits and no Python objects."""
    return abs(x) < 2**60 if type(x) is int else not (isinstance(x, np.ndarray) and x.dtype.hasobject)


@given(trees().filter(lambda tree: all(map(can_be_written, jax.tree_util.tree_leaves(tree)))))
def test_reading_undoes_writing(tree):
    """For each random tree. Nothing is left in the file."""
    file = written(tree)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, map_tree(cleared, tree)), tree)
    assert file.read() == b""


def test_the_file_is_a_sequence_of_npy_files(tmp_path):
    """One for each array and number, in the order of flattening. A path without a suffix gets `.eqx`."""
    tree = {"a": jnp.arange(3), "b": [2.5, jax.nn.relu, "text"], "c": True, "d": np.ones((2, 0))}
    eqx.tree_serialise_leaves(tmp_path / "model", tree)
    with open(str(tmp_path / "model.eqx"), "rb") as file:
        for x in (np.asarray(tree["a"]), np.array(2.5), np.array(True), tree["d"]):
            got = np.load(file)
            assert got.dtype == x.dtype and got.tolist() == x.tolist()
        assert file.read() == b""
    like = {"a": jnp.zeros_like(tree["a"]), "b": [0.0, jax.nn.relu, "text"], "c": False, "d": np.zeros((2, 0))}
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(tmp_path / "model", like), tree)
    assert os.listdir(str(tmp_path)) == ["model.eqx"]


def test_rare_dtypes_and_shapes():
    """Dtypes that NumPy itself doesn't have. A `ShapeDtypeStruct` stands for an array."""
    x = jnp.array([1, 2], jnp.bfloat16)
    loaded = eqx.tree_deserialise_leaves(written([x]), [jax.ShapeDtypeStruct((2,), jnp.bfloat16)])
    assert eqx.tree_equal(loaded, [x])


def test_arrays_that_jax_does_not_have():
    """NumPy's arrays of text and dates are written too, as the published package does."""
    tree = [np.array(["a", "bc"]), np.array("2020-01-01", "M8[D]"), np.longdouble(2) / 3, jnp.ones(2)]
    like = [np.array(["", "xy"]), np.array("2021-01-01", "M8[D]"), np.longdouble(0), jnp.zeros(2)]
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(written(tree), like), tree)


@shards
@several
def test_arrays_go_where_those_of_like_are():
    """Typed keys too."""
    makers = [lambda seed: jnp.full(16, seed)]
    if hasattr(jrandom, "wrap_key_data"):  # since JAX 0.4.16
        makers.append(lambda seed: jrandom.split(jrandom.key(seed), 16))
    like = [jax.device_put(make(0), named("d")) for make in makers]
    loaded = eqx.tree_deserialise_leaves(written([make(3) for make in makers]), like)
    assert [layout(x) for x in loaded] == [layout(x) for x in like]


def test_typed_keys():
    """They come back as typed keys."""
    if not hasattr(jrandom, "wrap_key_data"):
        pytest.skip("`jax.random.wrap_key_data` came in JAX 0.4.16, this is " + jax.__version__)
    tree = [jrandom.key(1), jrandom.split(jrandom.key(2))]
    like = [jrandom.key(0), jrandom.split(jrandom.key(0))]
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(written(tree), like), tree)
    for other in (1.0, jnp.ones(2), jnp.ones(3, jnp.uint32)):
        with pytest.raises(ValueError, match=r"can't read `like\[0\]`: expected the data of `Array` key"):
            eqx.tree_deserialise_leaves(written([other]), like)


def test_filters():
    """A function for one leaf, and a prefix of the tree."""
    skip = lambda file, x: x  # noqa: E731
    tree = {"a": jnp.ones(2), "b": [jnp.ones(3), 1]}
    file = written(tree, filter_spec={"a": skip, "b": eqx.default_serialise_filter_spec})
    like = {"a": jnp.zeros(2), "b": [jnp.zeros(3), 0]}
    loaded = eqx.tree_deserialise_leaves(file, like, {"a": skip, "b": eqx.default_deserialise_filter_spec})
    assert eqx.tree_equal(loaded, {"a": jnp.zeros(2), "b": tree["b"]})
    texts = written([[1, 2]], filter_spec=lambda file, x: file.write(bytes(x)), is_leaf=lambda x: x == [1, 2])
    assert texts.read() == b"\1\2"


ERRORS = {
    "shape": ([jnp.ones(2)], [jnp.ones(3)], "`like[0]`: expected `Array` float32[3], got `ndarray` float32[2]"),
    "dtype": ({"a": np.ones(2)}, {"a": np.ones(2, int)}, "`like['a']`: expected `ndarray` int64[2], got"),
    "number": ([1], [1.0], "`like[0]`: expected `float` 1.0, got `ndarray` int64[]"),
    "too short": ([1.0], [1.0, 2.0], "can't read `like[1]`"),
    "text": ([np.array(["a"])], [np.array(["ab"])], "`like[0]`: expected `ndarray` <U2[1], got `ndarray` <U1[1]"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_leaves(name):
    """The error has the path of the leaf, and both sides."""
    tree, like, message = ERRORS[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        eqx.tree_deserialise_leaves(written(tree), like)


def zipped():
    file = io.BytesIO()
    np.savez(file, np.ones(2))
    return file.getvalue()


def test_other_errors(tmp_path):
    """A file with more leaves, a file that was cut off, and bad arguments. A failure leaves the old file."""
    path = str(tmp_path / "x.eqx")
    eqx.tree_serialise_leaves(path, [1.0, 2.0])
    with pytest.raises(ValueError, match="it has more"):
        eqx.tree_deserialise_leaves(path, [1.0])
    data = written([jnp.ones(2)]).read()
    for size in range(len(data)):
        with pytest.raises(ValueError, match=r"can't read `like\[0\]`"):
            eqx.tree_deserialise_leaves(io.BytesIO(data[:size]), [jnp.ones(2)])
    for archive in (b"PK\3\4 is no archive", zipped()):
        with pytest.raises(ValueError, match=r"can't read `like\[0\]`"):
            eqx.tree_deserialise_leaves(io.BytesIO(archive), [jnp.ones(2)])
    with pytest.raises(TypeError, match=r"can't write `pytree\[0\]`: expected an array with values"):
        jax.jit(lambda x: eqx.tree_serialise_leaves(path, [x]))(1.0)
    with pytest.raises(ValueError, match=r"can't write `pytree\[0\]`: Object arrays"):
        eqx.tree_serialise_leaves(path, [np.array([jnp], object)])
    with pytest.raises(TypeError, match="`path_or_file` to be a path or a file, got `int` 1"):
        eqx.tree_serialise_leaves(1, [])
    with pytest.raises(TypeError, match="a function from a file and a leaf"):
        eqx.tree_serialise_leaves(path, [1.0], [True])
    with pytest.raises(ValueError, match="`filter_spec` must have the structure of `pytree`"):
        eqx.tree_serialise_leaves(path, [1.0], [abs, abs])
    with pytest.raises(ValueError, match=r"can't write `pytree\[1\]`"):
        eqx.tree_serialise_leaves(path, [1.0, 10**100])
    with pytest.raises(ZeroDivisionError):
        eqx.tree_serialise_leaves(path, [1.0], lambda file, x: 1 / 0)
    assert eqx.tree_deserialise_leaves(path, [0.0, 0.0]) == [1.0, 2.0]
