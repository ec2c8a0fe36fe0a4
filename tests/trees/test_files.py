"""`save`, `load` and `load_metadata`: what is saved is what is loaded. test_safetensors.py tests the files."""

import os
import re

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
import pytest
from devices import layout, named, several, shards
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util
from random_trees import trees

import equinox as eqx
from equinox._trees.predicates import is_jax_array

SAVED = (bool, int, float, complex, str)


@pytest.fixture
def path(tmp_path):
    """The path of a file that isn't there yet, in an empty folder."""
    return str(tmp_path / "model.safetensors")


@pytest.fixture(scope="module")
def shared_path(tmp_path_factory):
    """The path of a file that may be there."""
    return str(tmp_path_factory.mktemp("files") / "model.safetensors")


def cleared(x):
    """A leaf of the same kind as `x`, with another value. What isn't saved stays."""
    if is_jax_array(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype)
    if eqx.is_array(x):
        return np.zeros_like(x) if isinstance(x, np.ndarray) else type(x)(0)
    return type(x)() if type(x) in SAVED else x


KINDS = {
    "bfloat16": jnp.array([1, 2], jnp.bfloat16),
    "float16": np.float16(0.5),
    "float64": np.array([1 / 3, np.inf, -0.0]),
    "int64": np.array([2**62]),
    "uint8": jnp.array([[255]], jnp.uint8),
    "bool": np.array([True, False]),
    "complex64": jnp.array([[1 + 2j, 3]], jnp.complex64),
    "complex128": np.array(1 - 2j),
    "no dimensions": jnp.array(2.0),
    "empty": jnp.zeros((3, 0, 2), jnp.bfloat16),
    "empty complex": np.zeros((0, 2), np.complex64),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(6.0)[::-2],
    "float": [0.1, 1e400, -0.0, 5e-324],
    "complex": [complex(-0.0, 0.0), complex(1e400, -0.0), 0.1j],
    "int": [0, -(10**100)],
    "text": ["", 'é\n"\u2028\U0001f600', "True"],
    "True": [True, False],
    "strange names": {"é /'\"\n": jnp.ones(2), "equinox": jnp.ones(1), ', "record_checksum": "0': jnp.ones(1)},
    "nothing": [jax.nn.relu, None, ()],
}
DAMAGES_MEMORY = ("int4", "uint4") if jax.__version__ == "0.4.20" else ()  # `jnp.asarray` does. 0.4.13 and 0.4.30 don't
for kind in ("int4", "uint4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e8m0fnu"):
    if hasattr(jnp, kind) and kind not in DAMAGES_MEMORY:
        KINDS[kind] = np.array([1, 2, 4], getattr(jnp, kind))


def assert_same_bits(got, expected):
    """The trees have the same structure, and leaves of the same kinds and values, bit for bit."""
    assert tree_util.tree_structure(got) == tree_util.tree_structure(expected)
    for a, b in zip(tree_util.tree_leaves(got), tree_util.tree_leaves(expected)):
        if not eqx.is_array(b):
            assert type(a) is type(b) and (repr(a) == repr(b) if type(b) in SAVED else a is b)
            continue
        assert is_jax_array(a) == is_jax_array(b) and a.shape == b.shape and a.dtype == b.dtype
        assert bits(a) == bits(b)


def bits(x):
    return np.asarray(x if isinstance(x.dtype, np.dtype) else jrandom.key_data(x)).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_leaves(kind, path):
    """Each kind of leaf comes back as it was."""
    tree = KINDS[kind]
    eqx.save(path, tree)
    assert_same_bits(eqx.load(path, tree_util.tree_map(cleared, tree)), tree)


def random_array(dtype, shape, numbers):
    """A NumPy array, or a JAX array where JAX has the dtype. Its bits are random if each bit pattern is a number."""
    size = int(np.prod(shape))
    if dtype.name in ("bool", "int4", "uint4"):
        x = np.array(numbers.choices([0, 1], k=size)).astype(dtype)
    else:
        x = np.frombuffer(bytes(numbers.choices(range(256), k=size * dtype.itemsize)), dtype)
    x = x.reshape(shape)
    return jnp.asarray(x) if dtype.itemsize < 8 and numbers.random() < 0.5 else x


DTYPES = sorted({x.dtype for x in tree_util.tree_leaves(KINDS) if eqx.is_array(x)}, key=lambda dtype: dtype.name)
KEYS = list(jrandom.split(jrandom.key(1))) if hasattr(jrandom, "wrap_key_data") else []
saved_leaves = st.one_of(
    st.builds(
        random_array,
        st.sampled_from(DTYPES),
        st.sampled_from([(), (0,), (3,), (2, 0, 3), (2, 1)]),
        st.randoms(use_true_random=False),
    ),
    st.sampled_from([jnp.arange(3), np.float16(2), jax.nn.relu, *KEYS]),  # each may be at several places
    st.integers(),
    st.booleans(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=3),
)


@given(st.data())
def test_load_undoes_save(shared_path, data):
    """For each random tree, and for states of optimisers. Without `like`, the same leaves are in a dictionary."""
    parts = trees(saved_leaves, max_leaves=6)
    adam = st.builds(optax.ScaleByAdamState, st.just(jnp.array(3)), parts, parts)
    tree = data.draw(st.one_of(st.tuples(parts), st.tuples(parts, adam, st.just(optax.EmptyState()))))
    eqx.save(shared_path, tree)
    like = tree_util.tree_map(cleared, tree)
    assert_same_bits(eqx.load(shared_path, like), tree)
    leaves = eqx.to_dict(tree, lambda x: eqx.is_array(x) or type(x) in SAVED)
    loaded = eqx.load(shared_path)
    assert loaded.keys() == leaves.keys()
    assert_same_bits(eqx.from_dict(like, loaded), tree)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_typed_keys(impl, path):
    """Typed keys of each implementation, and none of them, come back. Keys of another implementation don't fit."""
    if not hasattr(jrandom, "wrap_key_data"):
        pytest.skip("`jax.random.wrap_key_data` came in JAX 0.4.16, this is " + jax.__version__)
    key = jrandom.key(3, impl=impl)
    tree = {"key": key, "keys": jrandom.split(key, 2)}
    eqx.save(path, tree)
    like = {"key": jrandom.key(0, impl=impl), "keys": jrandom.split(jrandom.key(0, impl=impl), 2)}
    assert eqx.tree_equal(eqx.load(path, like), tree)
    assert eqx.tree_equal(eqx.load(path)["key"], key)
    other = jrandom.key(0, impl="rbg" if impl != "rbg" else "threefry2x32")
    with pytest.raises(ValueError, match="`load` can't take the arrays for `like`"):
        eqx.load(path, dict(like, key=other))


def test_the_bytes_of_another_order(path):
    """An array whose first byte is the largest one is saved with the usual order of bytes."""
    x = np.array([1.5, -2.0], ">f4")
    eqx.save(path, x)
    assert_same_bits(eqx.load(path)[""], np.array([1.5, -2.0], np.float32))


def test_an_array_at_two_places_is_saved_once(path):
    """So the file is smaller, and the loaded tree has one array again."""
    x = jnp.arange(1000.0)
    eqx.save(path, {"a": x, "b": x + 1})
    size = os.path.getsize(path)
    eqx.save(path, {"embed": x, "head": [x]})
    assert os.path.getsize(path) < size - 3500
    like = {"embed": jnp.zeros(1000), "head": [jnp.zeros(1000)]}
    loaded = eqx.load(path, like)
    assert loaded["embed"] is loaded["head"][0]
    arrays = eqx.load(path)
    assert arrays["embed"] is arrays["head.0"]
    assert eqx.tree_equal(loaded, {"embed": x, "head": [x]})


def test_the_state_of_layers_has_names(path):
    """They are the paths of the layers, also if the state was made by `State` alone. So another run loads it."""

    def make(seed):
        key = jrandom.PRNGKey(seed)
        return {"conv": eqx.nn.Conv1d(1, 3, 2, key=key), "norms": [eqx.nn.BatchNorm(3, "batch")]}

    model, state = eqx.nn.make_with_state(make)(0)
    names = {"1.values.model['norms'][0].running." + name for name in ("mean", "steps", "var")}
    assert names == {name for name in eqx.to_dict((model, state)) if name.startswith("1.")}
    x = jrandom.normal(jrandom.PRNGKey(2), (4, 3, 5))
    norm = model["norms"][0]
    _, state = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    eqx.save(path, (model, state))
    loaded = eqx.load(path, eqx.nn.make_with_state(make)(1))
    assert_same_bits(loaded, (model, state))
    other = make(1)
    _, state_alone = eqx.load(path, (eqx.nn.delete_init_state(other), eqx.nn.State(other)))
    assert_same_bits(state_alone.get(other["norms"][0].running), state.get(norm.running))


def test_options_of_from_dict(path):
    """`rename`, `strict` and `sep` mean the same as there."""
    eqx.save(path, {"old": {"a": jnp.ones(2), "b": jnp.ones(3)}}, sep="/")
    like = {"new": [jnp.zeros(2)]}
    tree, rest = eqx.load(path, like, rename={"old/a": "new/0"}, sep="/", strict=False)
    assert eqx.tree_equal(tree, {"new": [jnp.ones(2)]}) and list(rest) == ["old/b"]
    with pytest.raises(
        ValueError, match=r"(?s)`load` can't take.*Missing \(1\):\n    `new.0`.*Unknown in `like` \(2\)"
    ):
        eqx.load(path, like)
    for options in ({"rename": {}}, {"strict": False}):
        with pytest.raises(ValueError, match="Pass `like`"):
            eqx.load(path, **options)


def test_metadata(path):
    """What JSON can express comes back. Without metadata it is empty."""
    metadata = {"name": "mlp", "sizes": [3, 8], "rate": 0.1, "more": {"é": None}}
    eqx.save(path, jnp.ones(2), metadata=metadata)
    assert eqx.load_metadata(path) == metadata
    eqx.save(path, jnp.ones(2), metadata={"b": {2: (1, 2), "2": "last", "a": 1}, "a": float("inf")})
    assert eqx.load_metadata(path) == {"b": {"2": "last", "a": 1}, "a": float("inf")}
    eqx.save(path, jnp.ones(2))
    assert eqx.load_metadata(path) == {}


def test_a_newer_version_is_an_error(path, monkeypatch):
    """The error says which versions can be read."""
    monkeypatch.setattr("equinox._trees.files._VERSION", 2)
    eqx.save(path, jnp.ones(2))
    monkeypatch.undo()
    for load in (eqx.load, eqx.load_metadata):
        with pytest.raises(
            ValueError, match="has version 2 of the format of `eqx.save`. This library reads versions up"
        ):
            load(path)


def make_cycle():
    metadata = {}
    metadata["again"] = metadata
    return metadata


def make_deep():
    deep = []
    for _ in range(100000):
        deep = [deep]
    return deep


def deleted():
    x = jnp.ones(2)
    x.delete()
    return x


ERRORS = {
    "metadata": (TypeError, lambda path: eqx.save(path, 1, metadata=[1]), "`metadata` to be a dictionary"),
    "JSON": (TypeError, lambda path: eqx.save(path, 1, metadata={"a": {1, 2}}), "`metadata` that JSON can express"),
    "a value": (
        TypeError,
        lambda path: eqx.save(path, 1, metadata={"loss": [np.float32(2)]}),
        "it has `float32` float32[]",
    ),
    "a key": (TypeError, lambda path: eqx.save(path, 1, metadata={"a": {(1, 2): 3}}), "JSON can express: keys must be"),
    "deep": (TypeError, lambda path: eqx.save(path, 1, metadata={"a": make_deep()}), "JSON can express: maximum recur"),
    "itself": (TypeError, lambda path: eqx.save(path, 1, metadata=make_cycle()), "Circular reference"),
    "no path": (
        TypeError,
        lambda path: eqx.save([1], path),
        "`save` expects `path` to be the path of a file, got `list`",
    ),
    "no path to load": (TypeError, lambda path: eqx.load([1], path), "`load` expects `path` to be the path of a file"),
    "no path of metadata": (
        TypeError,
        lambda path: eqx.load_metadata(None),
        "`load_metadata` expects `path` to be the",
    ),
    "texts": (
        TypeError,
        lambda path: eqx.save(path, [np.array(["a"])]),
        "`save` can't save `0`, `ndarray` <U1[1]: JAX",
    ),
    "shapes": (TypeError, lambda path: eqx.save(path, [jax.ShapeDtypeStruct((), jnp.int32)]), "`0`: it has no values"),
    "objects": (
        TypeError,
        lambda path: eqx.save(path, {"x": np.array([None])}),
        "`save` can't save `x`, `ndarray` object",
    ),
    "surrogates": (ValueError, lambda path: eqx.save(path, {"a": "\ud83d\ude00"}), "two surrogates in its text"),
    "reserved": (ValueError, lambda path: eqx.save(path, {"__metadata__": 1}), "a leaf with the name '__metadata__'"),
    "same name": (ValueError, lambda path: eqx.save(path, {"a.b": 1, "a": {"b": 1}}), "`save` needs a name for each"),
    "traced": (
        TypeError,
        lambda path: jax.jit(lambda x: eqx.save(path, [x]))(1.0),
        "can't save `0`: expected an array",
    ),
    "deleted": (ValueError, lambda path: eqx.save(path, [deleted()]), "can't save `0`: `Array` float32[2] was deleted"),
    "no file": (OSError, eqx.load, "No such file"),
    "no folder": (OSError, lambda path: eqx.save(os.path.join(path, "x"), 1), "No such file"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, path):
    """Bad arguments are named, and nothing is written."""
    error, call, message = ERRORS[name]
    with pytest.raises(error, match=re.escape(message)):
        call(path)
    assert os.listdir(os.path.dirname(path)) == []


@shards
@several
def test_arrays_on_several_devices(path):
    """They are gathered, and loaded to where the array of `like` is."""
    x = jnp.arange(16.0)
    eqx.save(path, [jax.device_put(x, named("d"))])
    assert eqx.load(path)["0"].tolist() == x.tolist()
    loaded = eqx.load(path, [jax.device_put(jnp.zeros(16), named("d"))])
    assert layout(loaded[0]) == layout(jax.device_put(x, named("d"))) and loaded[0].tolist() == x.tolist()


@shards
@several
def test_typed_keys_go_where_those_of_like_are(path):
    """Keys are placed as other arrays are."""
    if not hasattr(jrandom, "wrap_key_data"):
        pytest.skip("`jax.random.wrap_key_data` came in JAX 0.4.16, this is " + jax.__version__)
    keys = jrandom.split(jrandom.key(3), 16)
    eqx.save(path, [keys])
    like = jax.device_put(jrandom.split(jrandom.key(0), 16), named("d"))
    (loaded,) = eqx.load(path, [like])
    assert layout(loaded) == layout(like) and eqx.tree_equal(jrandom.key_data(loaded), jrandom.key_data(keys))
