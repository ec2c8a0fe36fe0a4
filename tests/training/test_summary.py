"""`summary`: the layers of a model, against counts by hand and calls of the layers."""

import collections
import threading
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from helpers.devices import mesh_of, several, shards
from jax import tree_util
from modules import Affine, Nested, affine, make_net

import equinox as eqx
from equinox._module import call_listeners

X = jnp.ones(3)
KEYS = jrandom.split(jrandom.PRNGKey(0), 4)


def linear(inputs=3, outputs=3, i=0):
    return eqx.nn.Linear(inputs, outputs, key=KEYS[i])


def outputs(summary):
    """The output of each layer, by its path."""
    return {row.path: row.output for row in summary.all_rows}


class Twice(eqx.Module):
    """Calls its layers in a way that a test chooses."""

    first: Any
    second: Any
    way: Any = eqx.field(static=True, default=lambda layer: layer)

    def __call__(self, x):
        return self.way(self.second)(self.way(self.first)(x))


# Sizes


def test_sizes():
    """A row counts what is in the module, with everything inside."""
    model = {"net": make_net(), "layers": (linear(3, 2), [affine(), jnp.arange(5)]), "f": jax.nn.relu, "x": np.ones(2)}
    summary = eqx.summary(model)
    paths = ["", "['layers'][0]", "['layers'][1][0]", "['net']", "['net'].layers[0]", "['net'].layers[1]"]
    assert [row.path for row in summary.all_rows] == paths
    for row in summary.all_rows:
        node = eval("model" + row.path, {"model": model})
        arrays = [x for x in tree_util.tree_leaves(node) if eqx.is_array(x)]
        assert row.name == type(node).__name__ and row.repeats == 1
        assert row.parameters == row.trainable == eqx.count_parameters(node)
        assert row.nbytes == sum(x.size * x.dtype.itemsize for x in arrays)
        assert row.dtype == ", ".join(sorted({str(x.dtype) for x in arrays}))
        assert row.output == row.sharding == ""


def test_shapes_and_keys():
    """A model of shapes has the same rows. PRNG keys count as bytes, and not as parameters."""
    assert eqx.summary(eqx.filter_eval_shape(linear), X).rows == eqx.summary(linear(), X).rows
    keys = [jrandom.PRNGKey(0)] + ([jrandom.key(0)] if hasattr(jrandom, "key") else [])
    for key in keys:
        (row,) = eqx.summary([key]).rows
        assert row.parameters == row.trainable == 0 and row.nbytes == 8 and row.dtype == str(key.dtype)


def test_frozen_leaves():
    """A frozen array is a parameter, and isn't trainable. A frozen layer has its own row."""
    model = [linear(), linear(), eqx.freeze(linear(), lambda x: x.weight)]
    rows = eqx.summary(model).rows
    assert [(row.path, row.parameters, row.trainable) for row in rows] == [
        ("", 36, 27),
        ("[0:2]", 24, 24),
        ("[2]", 12, 3),
    ]
    frozen = eqx.freeze(model, lambda x: x[0])
    assert eqx.summary(frozen).rows[0].trainable == eqx.count_parameters(frozen, eqx.trainable) == 15
    assert eqx.count_parameters(frozen) == 36


@pytest.mark.parametrize("tree", [None, [], 1.0, jnp.ones(3), jax.nn.relu, linear().__call__])
def test_any_tree(tree):
    """The first row is the whole tree, whatever it is."""
    row = eqx.summary(tree).rows[0]
    assert row.path == "" and row.parameters == eqx.count_parameters(tree)
    assert str(eqx.summary(tree)).splitlines()[2].startswith("model")


def test_many_and_deep():
    """A deep tree needs no recursion, and repeats cost little."""
    model = affine()
    for _ in range(2000):
        model = Nested(affine(), [model])
    summary = eqx.summary(model)
    assert len(summary.rows) == len(summary.all_rows) == 2 * 2000 + 1
    assert summary.rows[0].parameters == 3 * 2001


# Outputs


def test_outputs():
    """The output is that of each call of a layer."""
    model = eqx.nn.MLP(3, 2, width_size=8, depth=2, key=KEYS[0])
    assert outputs(eqx.summary(model, X)) == {
        "": "f32[2]",
        ".layers[0]": "f32[8]",
        ".layers[1]": "f32[8]",
        ".layers[2]": "f32[2]",
    }


def in_scan(layer):
    def scanned(x):
        return eqx.filter_scan(lambda x, _: (layer(x), None), x, None, length=2)[0]

    return scanned


WAYS = {
    "directly": lambda layer: layer,
    "jax.vmap": lambda layer: lambda x: jax.vmap(layer)(x[None])[0],
    "jax.jit": lambda layer: jax.jit(lambda x: layer(x)),
    "jax.checkpoint": lambda layer: jax.checkpoint(lambda x: layer(x)),
    "filter_jit": eqx.filter_jit,
    "filter_checkpoint": eqx.filter_checkpoint,
    "filter_vmap": lambda layer: lambda x: eqx.filter_vmap(layer)(x[None])[0],
    "filter_scan": in_scan,
    "the method": lambda layer: layer.__call__,
    "a copy": lambda layer: tree_util.tree_map(lambda x: x, layer),
    "Partial": lambda layer: eqx.Partial(layer),
}


@pytest.mark.parametrize("way", WAYS)
def test_outputs_in_transformations(way):
    """A call is seen inside a transformation, also if JAX has traced it before."""
    model = Twice(linear(), eqx.nn.Sequential([linear(i=1), linear(i=2)]), WAYS[way])
    expected = dict.fromkeys(["", ".first", ".second", ".second.layers[0]", ".second.layers[1]"], "f32[3]")
    model(X)
    assert outputs(eqx.summary(model, X)) == expected
    assert outputs(eqx.summary(model, X)) == expected
    assert outputs(eqx.summary(eqx.filter_vmap(model), X[None]))[".__wrapped__"] == "f32[3]"


@pytest.mark.parametrize("jit", [jax.jit, eqx.filter_jit, eqx.filter_checkpoint])
def test_outputs_of_decorated_calls(jit):
    """`__call__` may be decorated. Compiled functions that JAX has traced before are traced again."""

    class Inner(eqx.Module):
        layer: Any

        @jit
        def __call__(self, x):
            return self.layer(x)

    model = Twice(Inner(linear()), Inner(linear(i=1)))
    model(X)
    assert set(outputs(eqx.summary(model, X)).values()) == {"f32[3]"}


def test_copies_of_layers_with_other_shapes():
    """A copy counts for the layer of its own shapes, in whatever order the layers are called."""

    class Backwards(Twice):
        def __call__(self, x):
            return self.way(self.first)(self.way(self.second)(x))

    layers = Affine(jnp.ones((4, 1, 1)), 0.0), Affine(jnp.ones((2, 3)), 0.0)
    backwards = Backwards(*layers, eqx.filter_checkpoint)
    assert outputs(eqx.summary(backwards, X)) == {"": "f32[4,2,3]", ".first": "f32[4,2,3]", ".second": "f32[2,3]"}
    forwards = Twice(*layers, eqx.filter_checkpoint)
    assert outputs(eqx.summary(forwards, X)) == {"": "f32[4,2,3]", ".first": "f32[4,1,3]", ".second": "f32[4,2,3]"}


def test_several_outputs():
    """Each different output of a layer is noted, once."""

    class Model(eqx.Module):
        layer: Any
        unused: Any

        def __call__(self, x):
            return [self.layer(x), {"a": self.layer(x[:1]), "b": (None, self.layer(x), 3)}]

    summary = eqx.summary(Model(eqx.nn.Lambda(jnp.abs), affine()), X)
    assert outputs(summary) == {
        "": "[f32[3], {'a': f32[1], 'b': (None, f32[3], 3)}]",
        ".layer": "f32[3]; f32[1]",
        ".unused": "",
    }


def test_state_and_keywords():
    """A model may take a state and keywords. A keyword may have the name of a parameter of `summary`."""
    model, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch")
    summary = eqx.summary(eqx.filter_vmap(model, in_axes=(0, None), axis_name="batch"), jnp.ones((2, 3)), state)
    assert outputs(summary)[".__wrapped__"] == "(f32[3], State(...))"

    class Model(eqx.Module):
        layer: Any

        def __call__(self, x, *, model, key):
            return self.layer(x, key=key) + model

    summary = eqx.summary(Model(eqx.nn.Dropout(0.5)), X, model=X, key=KEYS[0])
    assert outputs(summary) == {"": "f32[3]", ".layer": "f32[3]"}


def test_nothing_is_computed():
    """Shapes stand for arrays that no memory has room for. The model runs on traced values."""
    size = 10**7
    model = eqx.filter_eval_shape(lambda: Twice(linear(size, size), linear(size, 2)))
    summary = eqx.summary(model, jax.ShapeDtypeStruct((size,), jnp.float32))
    assert outputs(summary) == {"": "f32[2]", ".first": "f32[{}]".format(size), ".second": "f32[2]"}
    assert summary.rows[0].parameters == size * size + size + 2 * size + 2


def test_errors():
    """The error of the model comes through, and no listener is left. Without a callable model inputs are an error."""
    with pytest.raises(TypeError, match="summary"):
        eqx.summary([affine()], X)
    with pytest.raises(ValueError, match="shape"):
        eqx.summary(linear(), jnp.ones(7))
    assert not call_listeners.listeners
    eqx.summary(linear(), X)
    assert not call_listeners.listeners


def test_other_threads():
    """`summary` ignores the calls in other threads, also those of a module of the same class."""
    other, results = linear(7, 7), []

    class Model(eqx.Module):
        layer: Any

        def __call__(self, x):
            thread = threading.Thread(target=lambda: results.append(other(np.ones(7, np.float32)).shape))
            thread.start()
            thread.join()
            return x

    assert outputs(eqx.summary(Model(linear(7, 7)), X)) == {"": "f32[3]", ".layer": ""}
    assert results == [(7,)]


def test_methods_are_no_calls():
    """Only what `model(...)` runs is noted: not another method, and not `__call__` of a base class."""

    class Base(eqx.Module):
        weight: Any

        def __call__(self, x):
            return [x]

        def other(self, x):
            return {"x": x}

    class Derived(Base):
        def __call__(self, x):
            return super().__call__(x)[0]

    class Model(eqx.Module):
        called: Any
        other: Any

        def __call__(self, x):
            return self.other.other(self.called(x))["x"]

    summary = eqx.summary(Model(Derived(X), Derived(X)), X)
    assert outputs(summary) == {"": "f32[3]", ".called": "f32[3]", ".other": ""}


# Repeats


def expanded(rows):
    """The paths that the rows stand for, with how often they are. A slice stands for the items of a list."""
    paths = collections.Counter()
    for row in rows:
        below = [""]
        for part in row.path.replace("[", "\0[").split("\0"):
            if ":" in part:
                places, _, rest = part[1:].partition("]")
                numbers = range(10**6)[slice(*map(int, places.split(":")))]
                below = ["{}[{}]{}".format(path, number, rest) for path in below for number in numbers]
            else:
                below = [path + part for path in below]
        assert row.repeats == len(below)
        paths.update(below)
    return paths


def block(i, outputs=3):
    return eqx.nn.Sequential([linear(3, 3, i), jnp.abs, linear(3, 3, i), jnp.abs, linear(3, outputs, i)])


MODELS = {
    "equal layers": lambda: eqx.nn.Sequential([block(i) for i in range(4)]),
    "another at the end": lambda: eqx.nn.Sequential([block(0), block(1), block(2, outputs=2)]),
    "another in the middle": lambda: [block(0), block(1), block(2, outputs=2), block(3), block(0)],
    "uneven distances": lambda: [linear(), linear(), 0, linear(), 0, 0, linear()],
    "lists of lists": lambda: [[linear(), linear()], [linear(), linear()]],
    "a list and a field": lambda: [Nested(affine(), [affine(), affine()]), Nested(affine(), [affine(), affine()])],
    "another dtype": lambda: [affine(), eqx.cast(affine(), jnp.float16), affine()],
    "another class": lambda: [affine(), make_net(), affine()],
    "keys": lambda: {"a": affine(), "b": affine(), "c": [affine(), affine()]},
}


@pytest.mark.parametrize("name", MODELS)
def test_folded_rows_stand_for_all_rows(name):
    """The rows of the table, with their slices written out, are all rows. A row has the sums of those it stands for."""
    summary = eqx.summary(MODELS[name]())
    assert expanded(summary.rows) == {row.path: 1 for row in summary.all_rows}
    by_path = {row.path: row for row in summary.all_rows}
    for row in summary.rows:
        together = [by_path[path] for path in expanded([row])]
        for field in ("parameters", "trainable", "nbytes"):
            assert getattr(row, field) == sum(getattr(x, field) for x in together)
        for field in ("name", "dtype", "output", "sharding"):
            assert {getattr(x, field) for x in together} == {getattr(row, field)}


def test_folded_paths():
    """Equal layers are a slice of the list, also with a step. Different outputs keep them apart."""

    def paths(name, *inputs):
        return [row.path for row in eqx.summary(MODELS[name](), *inputs).rows]

    assert paths("equal layers", X) == ["", ".layers[0:4]", ".layers[0:4].layers[0:5:2]"]
    assert paths("another at the end")[:3] == ["", ".layers[0:2]", ".layers[0:2].layers[0:5:2]"]
    assert paths("uneven distances") == ["", "[0:2]", "[3:7:3]"]
    assert paths("another dtype") == ["", "[0]", "[1]", "[2]"]

    class Growing(eqx.Module):
        layers: Any

        def __call__(self, x):
            for layer in self.layers:
                x = layer(jnp.concatenate([x, x]))
            return x

    growing = Growing([eqx.nn.Lambda(jnp.abs), eqx.nn.Lambda(jnp.abs)])
    assert [row.path for row in eqx.summary(growing).rows] == ["", ".layers[0:2]"]
    assert [row.path for row in eqx.summary(growing, X).rows] == ["", ".layers[0]", ".layers[1]"]


# The text


def test_text():
    """The columns are aligned. There are totals. `repr` is the same text."""
    text = str(eqx.summary([affine(), affine(), linear(2000, 3)]))
    assert text == repr(eqx.summary([affine(), affine(), linear(2000, 3)]))
    assert text.splitlines() == [
        "path   class       parameters  trainable   bytes  dtype",
        "-----  ----------  ----------  ---------  ------  -------",
        "model  list             6,009      6,009  24,036  float32",
        "[0:2]  2 x Affine           6          6      24  float32",
        "[2]    Linear           6,003      6,003  24,012  float32",
        "",
        "6,009 parameters, 6,009 of them trainable. 24,036 bytes.",
    ]


def test_markdown_and_html():
    """Characters that mean something in Markdown or HTML are escaped. Notebooks get both."""
    summary = eqx.summary({"a|<b>": affine()})
    assert summary.markdown().splitlines()[3] == "| `['a\\|<b>']` | Affine | 3 | 3 | 12 | float32 |"
    assert "<code>[&#x27;a|&lt;b&gt;&#x27;]</code>" in summary.html() and "<b>" not in summary.html()
    assert summary.html().count("<tr>") == 1 + len(summary.rows)
    assert summary._repr_markdown_() == summary.markdown() and summary._repr_html_() == summary.html()
    quoted = eqx.summary({"a`b``c": affine()}).markdown().splitlines()[3]
    assert quoted.startswith("| ``` ['a`b``c'] ``` |")
    columns = {line.count("|") for line in eqx.summary(Affine(X, X), X).markdown().splitlines()[:3]}
    assert columns == {8}


@several
@shards
def test_sharding():
    """There is a column of shardings if an array is on several devices."""
    sharding = jax.sharding.NamedSharding(mesh_of(data=2), jax.sharding.PartitionSpec(None, "data"))
    model = [linear(2, 3), linear(2, 3)]
    assert "sharding" not in str(eqx.summary(model))
    model[1] = eqx.tree_at(lambda x: x.weight, model[1], jax.device_put(model[1].weight, sharding))
    summary = eqx.summary(model)
    assert [row.sharding for row in summary.rows] == [
        "P(None, 'data') on 2 devices",
        "",
        "P(None, 'data') on 2 devices",
    ]
    assert "sharding" in str(summary)
