"""Files of the published Equinox. The oracle is what it wrote, and the outputs of its layers."""

import io
import re

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from published_cases import VERSIONS, load, models, with_numbers, written

import equinox as eqx

MODELS = models(eqx)
FILES = {version: load(version) for version in VERSIONS}


def read(data, like, *args):
    return eqx.tree_deserialise_leaves(io.BytesIO(data), like, *args)


@pytest.mark.parametrize("version, name", [(version, name) for version in VERSIONS for name in FILES[version]])
def test_files_of_the_published_package(version, name):
    """A model that is read from such a file has the outputs of the published one. It is written as the same bytes."""
    data, outputs = FILES[version][name]
    make, call = MODELS[name]
    tree = read(data, make())
    np.testing.assert_allclose(call(tree), outputs, 1e-5, 2e-6)
    assert written(eqx, tree) == data


@pytest.mark.parametrize("name", MODELS)
def test_every_leaf_survives(name):
    """Also what a published layer can't hold, such as the two biases of a cell. It comes after the published leaves."""
    make, _ = MODELS[name]
    tree = with_numbers(make())
    data = written(eqx, tree)
    loaded = read(data, make())
    assert eqx.tree_equal(*map(jax.tree_util.tree_leaves, (loaded, tree)))
    assert written(eqx, loaded) == data
    published = FILES[VERSIONS[-1]][name][0]
    extra = data[len(published) :]
    assert extra.startswith(b"equinox: values before the conversion\n") == (name in ("GRUCell", "LSTMCell"))


def test_the_bias_of_a_cell_is_the_sum_of_two():
    """The published GRU has one bias for r and z, and two for n. Its LSTM has one bias."""
    cells = [with_numbers(cell(3, 2, key=jrandom.PRNGKey(0))) for cell in (eqx.nn.GRUCell, eqx.nn.LSTMCell)]
    file = io.BytesIO(written(eqx, cells))
    arrays = [np.load(file) for _ in range(7)]
    (gru_ih, gru_hh), (lstm_ih, lstm_hh) = [(np.asarray(c.bias_ih), np.asarray(c.bias_hh)) for c in cells]
    np.testing.assert_array_equal(arrays[2], np.concatenate([(gru_ih + gru_hh)[:4], gru_ih[4:]]))
    np.testing.assert_array_equal(arrays[3], gru_hh[4:])
    np.testing.assert_array_equal(arrays[6], lstm_ih + lstm_hh)


def test_values_of_the_structure_come_from_the_file():
    """They are leaves in the published package: the probability of a dropout, and the first number of a pool."""
    data = written(eqx, [eqx.nn.Dropout(0.25, True), eqx.nn.Pool(0.5, jax.lax.add, 1, 2)])
    dropout, pool = read(data, [eqx.nn.Dropout(), eqx.nn.Pool(1.0, jax.lax.add, 1, 2)])
    assert (dropout.p, dropout.deterministic, pool.init) == (0.25, True, 0.5)
    with_dropout, without = [eqx.nn.MultiheadAttention(2, 4, dropout_p=p, key=jrandom.PRNGKey(0)) for p in (0.5, 0.0)]
    assert read(written(eqx, with_dropout), without).dropout.p == 0.5
    assert read(written(eqx, without), without).dropout is None


def test_other_leaves():
    """Shapes, NumPy arrays, `None` and bools instead of arrays, and layers that are stacked."""
    make = lambda key: [eqx.nn.GRUCell(3, 2, key=key), eqx.nn.ConvTranspose1d(2, 3, 2, key=key), eqx.nn.PReLU()]  # noqa: E731
    tree = make(jrandom.PRNGKey(0))
    data = written(eqx, tree)
    shapes = jax.tree_util.tree_map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
    assert eqx.tree_equal(read(data, shapes), tree)
    arrays = jax.tree_util.tree_map(np.asarray, tree)
    assert written(eqx, arrays) == data
    assert eqx.tree_equal(read(data, jax.tree_util.tree_map(np.zeros_like, arrays)), arrays)
    stack = jax.tree_util.tree_map(lambda x: jnp.stack([x, 2 * x]), tree)
    assert eqx.tree_equal(read(written(eqx, stack), jax.tree_util.tree_map(jnp.zeros_like, stack)), stack)
    for part in (eqx.filter(tree, eqx.trainable(tree), inverse=True), jax.tree_util.tree_map(lambda x: True, tree)):
        assert eqx.tree_equal(read(written(eqx, part), part), part)
    no_hidden = eqx.tree_at(lambda t: t[0].bias_hh, tree, None)
    assert eqx.tree_equal(read(written(eqx, no_hidden), no_hidden), no_hidden)


def test_filters():
    """A published leaf gets the function of the first leaf of its layer. A layer that isn't read stays as it is."""
    skip = lambda file, x: x  # noqa: E731
    model = {"cell": eqx.nn.GRUCell(3, 2, key=jrandom.PRNGKey(0)), "drop": eqx.nn.Dropout(0.25)}
    functions = jax.tree_util.tree_map(lambda x: eqx.default_serialise_filter_spec, model["drop"])
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, model, {"cell": lambda file, x: None, "drop": functions})
    like = dict(model, drop=eqx.nn.Dropout(0.5))
    functions = jax.tree_util.tree_map(lambda x: eqx.default_deserialise_filter_spec, like["drop"])
    loaded = read(file.getvalue(), like, {"cell": skip, "drop": functions})
    assert eqx.tree_equal(loaded, model)
    assert loaded["cell"].bias_hh is model["cell"].bias_hh
    assert eqx.tree_equal(read(file.getvalue(), like, skip), like)


def test_a_layer_that_is_a_leaf():
    """A function that takes a whole layer gets it as it is. A leaf that only the published layer has gets one too."""
    layers = [eqx.nn.Dropout(0.25), eqx.nn.PReLU()]
    seen = []
    eqx.tree_serialise_leaves(io.BytesIO(), layers, lambda file, x: seen.append(x), lambda x: x is layers[0])
    assert seen[0] is layers[0] and len(seen) == 2 and seen[1].shape == ()
    del seen[:]
    functions = [jax.tree_util.tree_map(lambda _: lambda file, x: seen.append(x), layers[0]), lambda file, x: None]
    eqx.tree_serialise_leaves(io.BytesIO(), layers, functions)
    assert seen == [0.25, False]


def test_two_trees_in_one_file():
    """Whether the published package wrote them, or this one."""
    cell = eqx.nn.LSTMCell(3, 2, key=jrandom.PRNGKey(0))
    published = read(FILES["0.13.8"]["LSTMCell"][0], cell)
    for first, second in ((published, cell), (cell, published)):
        file = io.BytesIO(written(eqx, first) + written(eqx, second) + b"end")
        assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, cell), first)
        assert eqx.tree_equal(eqx.tree_deserialise_leaves(file, cell), second)
        assert file.read() == b"end"


class _Pipe(io.BytesIO):
    def seekable(self):
        return False


def test_a_file_that_cannot_seek():
    """One tree can be read from it. If another one follows, this is an error."""
    cell = eqx.nn.LSTMCell(3, 2, key=jrandom.PRNGKey(0))
    published = FILES["0.13.8"]["LSTMCell"][0]
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(_Pipe(written(eqx, cell)), cell), cell)
    assert eqx.tree_equal(eqx.tree_deserialise_leaves(_Pipe(published), cell), read(published, cell))
    with pytest.raises(ValueError, match="can't go back in this file"):
        eqx.tree_deserialise_leaves(_Pipe(published + published), cell)


key = jrandom.PRNGKey(0)
WRONG = {
    "shape": (
        "MLP",
        lambda: eqx.nn.MLP(3, 2, 5, 2, key=key),
        ".layers[0].weight` of a layer of the class `Linear`: expected `Array` float32[5,3], got",
    ),
    "layer": (
        "GRUCell",
        lambda: eqx.nn.LSTMCell(3, 2, key=key),
        ".weight_ih` of a layer of the class `LSTMCell`: expected `Array` float32[8,3], got",
    ),
    "hidden size": (
        "LSTMCell",
        lambda: eqx.nn.LSTMCell(3, 4, key=key),
        ".weight_ih` of a layer of the class `LSTMCell`: expected `Array` float32[16,3]",
    ),
    "mode of BatchNorm": (
        "BatchNorm",
        lambda: eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch"),
        "[1].values['model.running']['mean']`: expected `Array` float32[3], got `ndarray` bool[]",
    ),
    "activation": (
        "PReLU",
        lambda: eqx.nn.PReLU(num_parameters=3),
        ".negative_slope` of a layer of the class `PReLU`: expected `Array` float32[3], got `ndarray` float32[]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_of_leaves(name):
    """The error has the path of the leaf, the class of its layer, both sides, and the next move."""
    case, make, message = WRONG[name]
    with pytest.raises(ValueError, match=re.escape("can't read `like" + message)) as info:
        read(FILES["0.13.8"][case][0], make())
    assert str(info.value).endswith("Make `like` with the arguments of the layers that were written.")


@pytest.mark.parametrize("own", [False, True])
def test_cut_files(own):
    """Each beginning of a file is an error, unless it is the whole of the published leaves."""
    cell = eqx.nn.GRUCell(3, 2, key=jrandom.PRNGKey(0))
    published = FILES["0.13.8"]["GRUCell"][0]
    data = written(eqx, cell) if own else published
    for size in range(0, len(data), 11):
        if size >= len(published):
            continue
        with pytest.raises(ValueError, match="can't read `like.(weight_.h|bias_.h)`"):
            read(data[:size], cell)


def test_damage_after_the_published_leaves(tmp_path):
    """The file at a path has nothing else. The numbers of the layers are checked."""
    cell = eqx.nn.GRUCell(3, 2, key=jrandom.PRNGKey(0))
    path = str(tmp_path / "cell.eqx")
    data = written(eqx, cell)
    start = data.index(b"equinox: ")
    end = data.index(b"\x93NUMPY", start)
    for damaged in (data[: start + 3], data[:end], data[: end + 60], data[:-1], data + b"more"):
        with open(path, "wb") as file:
            file.write(damaged)
        with pytest.raises(ValueError, match="can't read `like|it has more"):
            eqx.tree_deserialise_leaves(path, cell)
    other = io.BytesIO()
    np.save(other, np.array([7]))
    with pytest.raises(
        ValueError, match="can't read `like` of .*`GRUCell`: expected values before the conversion for 1 layers"
    ):
        read(data[:end] + other.getvalue(), cell)
