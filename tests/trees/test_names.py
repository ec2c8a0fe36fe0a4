"""`to_dict` and `from_dict`, against an oracle that names the leaves without JAX."""

import collections
import re

import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import optax
import pytest
from devices import DEVICES, HOW_MANY, layout, named, several, shards
from hypothesis import given
from jax import tree_util
from random_trees import Pair, Point, children, flat, map_tree, same, trees

import equinox as eqx
from equinox._trees.predicates import is_jax_array

EVERYTHING = True  # the filter that selects each leaf


def names_of(tree, above=()):
    """The names of the leaves of `tree`, as tuples of their parts."""
    below = children(tree)
    if below is None:
        return [above]
    if isinstance(tree, dict):
        keys = list(tree) if isinstance(tree, collections.OrderedDict) else sorted(tree)
    elif isinstance(tree, (Point, Pair)):
        keys = ["x", "y"] if isinstance(tree, Point) else ["first", "second"]
    else:
        keys = [str(i) for i in range(len(below))]
    return [name for key, (_, child) in zip(keys, below) for name in names_of(child, (*above, key))]


@given(trees())
def test_names_of_any_tree(tree):
    """There is one name for each leaf, in JAX's order. A mapped tree has the same names."""
    for sep in (".", "/", "::"):
        arrays = eqx.to_dict(tree, EVERYTHING, sep=sep)
        assert list(arrays) == [sep.join(name) for name in names_of(tree)]
        assert same(list(arrays.values()), flat(tree))
        assert list(eqx.to_dict(map_tree(lambda x: 0, tree), EVERYTHING, sep=sep)) == list(arrays)


@given(trees())
def test_from_dict_undoes_to_dict(tree):
    """So it does for a tree of the same shapes with other values, and with NumPy arrays instead of JAX arrays."""
    like = map_tree(lambda x: jnp.zeros_like(x) if is_jax_array(x) else 0.0 if type(x) is float else x, tree)
    arrays = eqx.to_dict(tree, EVERYTHING)
    assert eqx.tree_equal(eqx.from_dict(like, arrays), tree)
    assert eqx.tree_equal(eqx.from_dict(tree, eqx.to_dict(tree)), tree)
    as_numpy = {key: np.asarray(x) if is_jax_array(x) else x for key, x in arrays.items()}
    assert eqx.tree_equal(eqx.from_dict(tree, as_numpy), tree)


NAMES = {
    "leaf": (jnp.ones(2), [""]),
    "None": (None, []),
    "numbers as keys": ({2: jnp.ones(2), 1: [jnp.ones(2)]}, ["1.0", "2"]),
    "quotes in a key": ({"it's": jnp.ones(2), 'a "b"\n': jnp.ones(2)}, ['a "b"\n', "it's"]),
    "empty key": ({"": {"": jnp.ones(2), "a": jnp.ones(2)}}, [".", ".a"]),
    "no arrays": (["text", 1, jax.nn.relu, np.array(["text"])], []),
    "module": (eqx.nn.MLP(2, 2, 2, 1, key=jrandom.PRNGKey(0)), 2 * ["layers.{}.weight", "layers.{}.bias"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_known_trees(name):
    """Each tree of the table has these names for its arrays."""
    tree, names = NAMES[name]
    assert list(eqx.to_dict(tree)) == [x.format(i // 2) for i, x in enumerate(names)]


def test_a_filter_selects_the_leaves():
    """A function, and a prefix of the tree."""
    tree = {"a": [jnp.ones(2), jnp.arange(2)], "b": "text"}
    assert list(eqx.to_dict(tree, eqx.is_inexact_array)) == ["a.0"]
    assert list(eqx.to_dict(tree, {"a": [False, True], "b": True})) == ["a.1", "b"]
    with pytest.raises(ValueError, match="`filter_spec` must have the structure of `tree`"):
        eqx.to_dict(tree, {"a": True})


@pytest.mark.parametrize("keys", [("a.b", "c"), ("a", "b.c")])
def test_equal_names_are_an_error(keys):
    """Two leaves never share a name. Another separator helps."""
    tree = {keys[0]: {keys[1]: 1}, "a": {"b": {"c": 2}}}
    if keys[0] == "a":
        tree = {"a": {"b.c": 1, "b": {"c": 2}}}
    for function in (eqx.to_dict, lambda tree: eqx.from_dict(tree, {})):
        with pytest.raises(ValueError, match=r"have the same name, 'a\.b\.c'\. Pass a `sep`"):
            function(tree)
    assert len(eqx.to_dict(tree, EVERYTHING, sep="/")) == 2


def test_all_mismatches_are_in_one_error():
    """The error names what is missing, unknown, and of another shape, dtype or type, with near names."""
    like = {"weight": jnp.ones((2, 3)), "bias": jnp.ones(2), "scale": 1.0, "count": np.ones(2, np.int32)}
    arrays = {"weights": jnp.ones((2, 3)), "bias": jnp.ones(3), "scale": 1, "count": np.ones(2, np.int16)}
    with pytest.raises(ValueError) as error:
        eqx.from_dict(like, arrays)
    assert str(error.value).splitlines()[1:] == [
        "Missing (1):",
        "    `weight`: `Array` float32[2,3]. Near: `weights`",
        "Unknown in `like` (1):",
        "    `weights`: `Array` float32[2,3]. Near: `weight`",
        "Another shape, dtype or type (3):",
        "    `bias`: `Array` float32[3]. Expected `Array` float32[2]",
        "    `scale`: `int` 1. Expected `float` 1.0",
        "    `count`: `ndarray` int16[2]. Expected `ndarray` int32[2]",
    ]


def test_another_float_dtype():
    """The error says how to convert the floats. It says so only if there are floats to convert."""
    linear = eqx.nn.Linear(2, 3, key=jrandom.PRNGKey(0))
    arrays = {name: np.asarray(x, np.float16) for name, x in eqx.to_dict(linear).items()}
    with pytest.raises(ValueError, match=r"To convert floats, pass `eqx\.cast\(arrays, dtype\)` to `from_dict`\."):
        eqx.from_dict(linear, arrays)
    assert eqx.tree_equal(eqx.from_dict(linear, eqx.cast(arrays, jnp.float32)), linear, rtol=1e-2, atol=1e-3)
    for wrong in (np.ones(3, np.int32), np.ones(4, np.float32), np.ones(3, np.complex64)):
        with pytest.raises(ValueError, match=r"`bias`: .*Expected `Array` float32\[3\]$") as error:
            eqx.from_dict(linear, {"weight": linear.weight, "bias": wrong})
        assert "To convert" not in str(error.value)


def test_a_long_error_is_cut():
    """Ten lines of each kind are shown, and how many there are."""
    with pytest.raises(ValueError, match=r"Missing \(30\):\n(    .*\n){10}    and 20 more\nUnknown") as error:
        eqx.from_dict([jnp.ones(1)] * 30, {str(i): 1 for i in range(30, 60)})
    assert len(str(error.value).splitlines()) == 25


def test_what_fits_is_taken_if_not_strict():
    """The rest is returned under the names that it has in the dictionary."""
    like = [jnp.zeros(2), jnp.zeros(3), "text"]
    arrays = {"x.0": jnp.ones(2), "x.1": jnp.ones(2), "x.2": 5, "y": "other"}
    tree, rest = eqx.from_dict(like, arrays, strict=False, rename={"x.*": "*"})
    assert tree[0] is arrays["x.0"] and tree[1] is like[1] and tree[2] == "text"
    assert rest == {name: arrays[name] for name in ("x.1", "x.2", "y")}
    assert eqx.from_dict(like, {}, strict=False)[1] == {}


RENAMES = {
    "function": lambda name: name.replace("encoder", "body").replace("gamma", "weight"),
    "patterns": {"encoder.*.gamma": "body.*.weight", "encoder.*": "body.*"},
    "the first counts": {"encoder.*gamma": "body.*weight", "*encoder*": "*body*", "encoder.0.gamma": None},
}


@pytest.mark.parametrize("name", RENAMES)
def test_names_are_changed(name):
    """By a function, or by the first pattern that matches the whole name."""
    arrays = {"encoder.0.gamma": 1, "encoder.1.bias": 2, "head.encoder": 3}
    like = {"body": [{"weight": 0}, {"bias": 0}], "head": {"encoder": 0}}
    if name != "patterns":
        like["head"] = {"body": 0}
    expected = tree_util.tree_unflatten(tree_util.tree_structure(like), [1, 2, 3])
    assert eqx.from_dict(like, arrays, rename=RENAMES[name]) == expected


def test_in_a_pattern_only_the_star_is_special():
    """A dot and a bracket stand for themselves. A name without `*` is taken as it is. `None` leaves an array out."""
    arrays = {"a.b": 1, "axb": 2, "[c]": 3, "d": 4}
    got = eqx.from_dict({"p": 0, "axb": 0, "q": 0}, arrays, rename={"a.b": "p", "[*]": "q", "d": None})
    assert got == {"p": 1, "axb": 2, "q": 3}
    assert eqx.from_dict({"x-y\nz": 0}, {"x_y\nz": 1}, rename={"*_*": "*-*"}) == {"x-y\nz": 1}
    assert eqx.from_dict({"x-y_z": 0}, {"x_y_z": 1}, rename={"*_*": "*-*"}) == {"x-y_z": 1}  # the first `*` is short
    _, rest = eqx.from_dict({}, arrays, rename=lambda name: None, strict=False)
    assert rest == arrays


def test_an_error_shows_both_names():
    """The name in the dictionary, and the new one."""
    with pytest.raises(ValueError, match=re.escape("    `b`, renamed from `a`: `int` 1")):
        eqx.from_dict({}, {"a": 1}, rename={"a": "b"})


ERRORS = {
    "no dictionary": (TypeError, lambda: eqx.from_dict(0, [1]), "`arrays` to be a dictionary of arrays by name"),
    "keys": (TypeError, lambda: eqx.from_dict(0, {1: 1}), "the keys of `arrays` to be texts, got `int` 1"),
    "rename": (TypeError, lambda: eqx.from_dict(0, {}, rename=1), "`rename` to be a function from a name"),
    "new name": (TypeError, lambda: eqx.from_dict(0, {"a": 1}, rename=lambda x: 1), "For 'a' it gives `int` 1"),
    "pattern": (TypeError, lambda: eqx.from_dict(0, {}, rename={None: None}), "`rename` to map patterns to names"),
    "new pattern": (TypeError, lambda: eqx.from_dict(0, {}, rename={"a": 1}), "`rename` to map patterns to names"),
    "stars": (ValueError, lambda: eqx.from_dict(0, {}, rename={"*": "*.*"}), r"as many `*` as its pattern"),
    "twice": (
        ValueError,
        lambda: eqx.from_dict(0, {"a": 1, "b": 2}, rename=lambda x: "c"),
        "`rename` gives the name 'c' to 'a' and 'b'",
    ),
    "sep of to_dict": (TypeError, lambda: eqx.to_dict(0, sep=None), "`to_dict` expects `sep` to be a text"),
    "sep of from_dict": (TypeError, lambda: eqx.from_dict(0, {}, sep=1), "`from_dict` expects `sep` to be a text"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """Bad arguments are named."""
    error, call, message = ERRORS[name]
    with pytest.raises(error, match=re.escape(message)):
        call()


def aligned_ones():
    """A NumPy array of two ones that begins at a multiple of 64 bytes. JAX can share its memory."""
    memory = np.ones(64, np.float32)
    begin = -memory.ctypes.data % 64 // 4
    return memory[begin : begin + 2]


def test_kinds_of_arrays():
    """A NumPy array becomes what `like` has. It is copied, because it may change later."""
    like = [jnp.zeros(2), np.zeros(2, np.float32), np.float32(0), jax.ShapeDtypeStruct((2,), jnp.float32)]
    x = aligned_ones()
    got = eqx.from_dict(like, {"0": x, "1": jnp.ones(2), "2": jnp.ones(()), "3": x})
    assert isinstance(got[1], np.ndarray) and got[1].flags.writeable and isinstance(got[2], np.float32)
    assert eqx.is_inexact_array(got[0]) and got[0] is got[3]
    one, two = eqx.from_dict((np.zeros(2, np.float32), np.zeros(2, np.float32)), {"0": x, "1": x})
    assert one is two
    x[0] = 5
    assert got[0].tolist() == one.tolist() == [1, 1]


def test_an_array_at_two_places_is_converted_once():
    """The dictionary has two names for one object, and so has the new tree."""
    shared = jnp.ones(2)
    arrays = eqx.to_dict({"embed": shared, "head": shared})
    assert arrays["embed"] is arrays["head"] is shared
    x = np.ones(2, np.float32)
    got = eqx.from_dict({"embed": jnp.zeros(2), "head": jnp.zeros(2)}, {"embed": x, "head": x})
    assert got["embed"] is got["head"]


def test_typed_keys():
    """They stay typed keys. Their data doesn't fit, because it has another dtype."""
    if not hasattr(jrandom, "key"):
        pytest.skip("this JAX has no `jax.random.key`")
    tree = {"key": jrandom.key(1), "keys": jrandom.split(jrandom.key(2)), "x": jnp.ones(2, jnp.uint32)}
    arrays = eqx.to_dict(tree)
    like = {"key": jrandom.key(0), "keys": jrandom.split(jrandom.key(0)), "x": jnp.zeros(2, jnp.uint32)}
    assert eqx.tree_equal(eqx.from_dict(like, arrays), tree)
    for name, other in [("key", arrays["x"]), ("x", arrays["keys"]), ("key", np.ones((), np.float32))]:
        with pytest.raises(ValueError, match="    `{}`: ".format(name)):
            eqx.from_dict(like, dict(arrays, **{name: other}))


def test_the_state_of_an_optimiser_and_of_layers():
    """Each array has a name, and comes back."""
    model, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch")
    opt_state = optax.adam(1e-3).init(eqx.filter(model, eqx.is_inexact_array))
    tree = (model, state, opt_state)
    arrays = eqx.to_dict(tree)
    assert {"0.weight", "2.0.count", "2.0.mu.bias"} <= set(arrays)
    assert eqx.tree_equal(eqx.from_dict(tree, {name: np.asarray(x) for name, x in arrays.items()}), tree)


def test_inside_jit():
    """Both functions work on traced arrays."""

    @jax.jit
    def double(tree):
        arrays = {name: 2 * x for name, x in eqx.to_dict(tree).items()}
        return eqx.from_dict(tree, dict(arrays, b=np.ones(2, np.float32)))

    got = double({"a": jnp.ones(2), "b": jnp.zeros(2)})
    assert got["a"].tolist() == [2, 2] and got["b"].tolist() == [1, 1]


@shards
@several
def test_arrays_go_where_those_of_like_are():
    """NumPy arrays get the sharding of the array of `like`, or of the `ShapeDtypeStruct`."""
    like = jax.device_put(jnp.zeros(8), named("d"))
    x = np.arange(8, dtype=np.float32)
    got = eqx.from_dict({"a": like, "b": jnp.zeros(8)}, {"a": x, "b": x})
    assert layout(got["a"]) == layout(like) and layout(got["b"]) == layout(jnp.zeros(8))
    assert got["a"].tolist() == got["b"].tolist() == x.tolist()
    x = aligned_ones()
    got = eqx.from_dict(jax.device_put(jnp.zeros(2), DEVICES[1]), {"": x})
    x[0] = 5
    assert layout(got) == layout(jax.device_put(jnp.zeros(2), DEVICES[1])) and got.tolist() == [1, 1]


@shards
def test_a_mesh_of_one_device_stays():
    """With explicit axes it is part of the type of an array."""
    mesh = jax.sharding.Mesh(np.array(DEVICES[:1]), ("d",))
    like = jax.device_put(jnp.zeros(2), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("d")))
    got = eqx.from_dict(like, {"": np.ones(2, np.float32)})
    assert got.sharding == like.sharding and got.tolist() == [1, 1]


@shards
@several
def test_a_shape_on_an_abstract_mesh_is_nowhere():
    """`jax.eval_shape` gives such shapes for arrays with explicit axes. JAX chooses the device."""
    if not hasattr(jax, "set_mesh"):
        pytest.skip("`jax.set_mesh` came in JAX 0.7, this is " + jax.__version__)
    explicit = jax.make_mesh((HOW_MANY,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(explicit):
        x = jax.device_put(jnp.zeros(HOW_MANY), jax.sharding.NamedSharding(explicit, jax.sharding.PartitionSpec("d")))
        like = jax.eval_shape(jnp.sin, x)
    assert eqx.from_dict(like, {"": np.ones(HOW_MANY, np.float32)}).tolist() == [1] * HOW_MANY
