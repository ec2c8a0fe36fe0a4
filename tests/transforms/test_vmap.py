"""`filter_vmap` agrees with a Python loop over the examples, and with `jax.vmap` of the arrays only."""

import functools as ft
import itertools
import pickle
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from jax import lax, tree_util
from jaxprs import jaxpr_kinds
from modules import Affine, Nested, affine
from random_trees import Pair, draw_prefix, flat, map_tree, same, trees
from tracing import TraceRecorder

import equinox as eqx

SIZE = 2
NUMBERS = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4) - 7


# Axes


@pytest.mark.parametrize("in_axes", list(itertools.product([0, 1, 2, -1, -3], [None, 0, 1, -1])), ids=str)
def test_every_combination_of_axes_equals_a_python_loop(in_axes):
    """NumPy splits the batch into examples and stacks the results."""
    of_x, of_y = in_axes
    x = np.moveaxis(NUMBERS, 0, of_x)
    y = NUMBERS[0, 0] if of_y is None else np.moveaxis(NUMBERS[:, 0], 0, of_y)

    def fun(x, y):
        return x * y, y[1:]

    examples = [fun(np.take(x, i, of_x), y if of_y is None else np.take(y, i, of_y)) for i in range(SIZE)]
    for out_axes in ((0, 0), (1, -1), (-1, None if of_y is None else 1), (-3, -2)):
        got = eqx.filter_vmap(fun, in_axes=in_axes, out_axes=out_axes)(jnp.asarray(x), jnp.asarray(y))
        for array, each, axis in zip(got, zip(*examples), out_axes):
            np.testing.assert_array_equal(array, each[0] if axis is None else np.stack(each, axis))


def test_axes_are_prefixes_of_the_inputs_and_of_the_output():
    m, x = Affine(NUMBERS[:, :, 0], NUMBERS[0, 0, 0]), NUMBERS[:, 0, :3]

    def fun(model, x):
        return {"y": [model(x), model.weight], "model": model}

    in_axes = (Affine(0, None), eqx.if_array(0))
    got = eqx.filter_vmap(fun, in_axes=in_axes, out_axes={"y": [1, -1], "model": Affine(lambda leaf: 0, None)})(m, x)
    np.testing.assert_array_equal(got["y"][0], (m.weight * x + m.bias).T)
    np.testing.assert_array_equal(got["y"][1], m.weight.T)
    np.testing.assert_array_equal(got["model"].weight, m.weight)
    assert got["model"].bias == m.bias
    for all_in, some_in in [(0, (0, 0)), (0, [0, 0]), (eqx.if_array(0), lambda leaf: 0)]:
        many = [eqx.filter_vmap(lambda x, y: x + y, in_axes=axes)(x, x).tolist() for axes in (all_in, some_in)]
        assert many[0] == many[1] == (2 * x).tolist()


def test_a_function_may_look_at_the_leaf():
    """Here it maps only matrices, along their last axis."""
    matrices_alone = lambda leaf: -1 if getattr(leaf, "ndim", 0) == 2 else None  # noqa: E731
    got = eqx.filter_vmap(lambda tree: (tree["m"] + tree["v"], tree["n"]), in_axes=matrices_alone)(
        {"m": NUMBERS[0], "v": NUMBERS[0, :, 0], "n": "name"}
    )
    np.testing.assert_array_equal(got[0], (NUMBERS[0] + NUMBERS[0, :, :1]).T)
    assert got[1] == "name"


def test_a_bound_method_in_the_axes_is_a_function_and_one_in_the_inputs_is_a_tree():
    class Chooser(eqx.Module):
        axis: Any = 0

        def choose(self, leaf):
            return self.axis

    method = Affine(NUMBERS[:, 0], NUMBERS[0, 0]).scaled
    axes = tree_util.tree_map(lambda x: 0 if x.ndim == 2 else None, method)
    for in_axes in [(axes, 0), (axes, Chooser().choose)]:
        got = eqx.filter_vmap(lambda f, x: f(x), in_axes=in_axes)(method, NUMBERS[:, 1])
        np.testing.assert_allclose(got, method(NUMBERS[:, 1]))


def test_keyword_arguments_are_mapped_along_axis_0():
    got = eqx.filter_vmap(lambda x, *, y, scale, name: (x + scale * y, name), in_axes=1)(
        NUMBERS[0, :, :2], y=NUMBERS[:, :, 0], scale=2.0, name="name"
    )
    np.testing.assert_array_equal(got[0], NUMBERS[0, :, :2].T + 2 * NUMBERS[:, :, 0])
    assert got[1] == "name"


def test_axis_size_is_enough_to_map():
    x = NUMBERS[0, 0]
    for out_axes, expected in [(0, np.stack([x, x, x])), (-1, np.stack([x, x, x], -1)), (None, x)]:
        got = eqx.filter_vmap(lambda x: x, in_axes=None, out_axes=out_axes, axis_size=3)(x)
        np.testing.assert_array_equal(got, expected)
    got = eqx.filter_vmap(lambda: (jrandom.PRNGKey(0), "text"), axis_size=np.int64(2))()
    assert got[0].shape[0] == 2 and got[1] == "text"
    assert eqx.filter_vmap(lambda x: x, axis_size=2)(NUMBERS).shape == NUMBERS.shape
    assert eqx.filter_vmap(lambda x: 2 * x)(NUMBERS[:0]).shape == (0, 3, 4)


def test_collectives_know_the_name_of_the_axis():
    got = eqx.filter_vmap(lambda tree: (tree[0] - lax.pmean(tree[0], "batch"), tree[1]), axis_name="batch")
    x, name = got([NUMBERS, "name"])
    np.testing.assert_allclose(x, NUMBERS - NUMBERS.mean(0))
    assert name == "name"


def test_other_options_are_those_of_jax():
    with_name = ft.partial(eqx.filter_vmap, lambda x: 2 * x, spmd_axis_name="batch")
    try:
        jax.vmap(lambda x: x, spmd_axis_name="batch")
    except TypeError:
        with pytest.raises(NotImplementedError, match=r"`spmd_axis_name` needs JAX 0\.3\.17"):
            with_name()
    else:
        np.testing.assert_array_equal(with_name()(NUMBERS), 2 * NUMBERS)


# Trees


def is_static(x):
    return not eqx.is_array(x)


of_examples = st.sampled_from([jnp.arange(2.0), jnp.ones((2, 3), jnp.bfloat16), NUMBERS, np.arange(2), np.ones((2, 0))])
statics = st.sampled_from(["text", 3, 2.5, True, len, jnp.tanh, np.array(["text"])])


@hypothesis.settings(max_examples=15)
@hypothesis.given(trees(st.one_of(of_examples, of_examples, statics)))
def test_only_the_arrays_of_a_tree_are_mapped(tree):
    """Any other leaf is returned as the same object."""
    f = lambda x: x[None]  # noqa: E731
    got = eqx.filter_vmap(lambda tree: map_tree(lambda x: x if is_static(x) else f(x), tree), axis_size=SIZE)(tree)
    arrays = [x for x in flat(tree) if not is_static(x)]
    expected = iter(jax.vmap(lambda arrays, _: [f(x) for x in arrays])(arrays, jnp.zeros(SIZE)))
    for x, y in zip(flat(got), flat(tree)):
        assert x is y if is_static(y) else eqx.tree_equal(x, next(expected))
    assert same(map_tree(lambda x: 0, got), map_tree(lambda x: 0, tree))


@hypothesis.settings(max_examples=15)
@hypothesis.given(trees(st.sampled_from(["a", "b", "c"]), max_leaves=6), st.data())
def test_prefixes_of_axes_are_those_of_plain_jax(tree, data):
    """Random prefixes for a random tree of arrays, all of whose axes have the same size."""
    cube = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
    tree = map_tree(lambda name: cube + ord(name), tree)
    in_axes, out_axes = [draw_prefix(data.draw, tree, st.sampled_from(axes)) for axes in ([0, 1, -1, None], [0, 1, 2])]
    fun = lambda tree, first: (map_tree(lambda x: x * first, tree), first)  # noqa: E731
    axes = {"in_axes": (in_axes, 0), "out_axes": (out_axes, 0)}
    got, expected = [vmap(fun, **axes)(tree, cube[0, 0]) for vmap in (eqx.filter_vmap, jax.vmap)]
    assert eqx.tree_equal(got, expected)


@pytest.mark.parametrize("in_axes, out_axes", [((0, None), (0, 0)), ((1, 0), (1, 0)), ((-1, 1), (-1, 1))], ids=str)
def test_the_jaxpr_is_that_of_plain_jax(in_axes, out_axes):
    """For a model with static leaves, it has the equations of a function that takes only the arrays."""
    weight, x = [NUMBERS[0] if axis is None else np.moveaxis(NUMBERS, 0, axis) for axis in in_axes]

    def on_arrays(weight, x):
        return jnp.tanh(weight * x + 2.0), weight

    def on_model(model, x):
        return model.rest[1](model(x)), model

    def filtered(weight, x):
        model = Nested(Affine(weight, 2.0), ["text", jnp.tanh])
        y, model = eqx.filter_vmap(on_model, in_axes=in_axes, out_axes=out_axes)(model, x)
        return y, model.first.weight

    kinds = jaxpr_kinds(jax.vmap(on_arrays, in_axes, out_axes), weight, x)
    assert jaxpr_kinds(filtered, weight, x) == kinds and "tanh" in kinds


# Models


def test_an_ensemble_is_made_and_called():
    make = lambda key: eqx.nn.MLP(4, 3, 5, 1, key=key)  # noqa: E731
    keys = jrandom.split(jrandom.PRNGKey(0), SIZE)
    models, x = eqx.filter_vmap(make)(keys), jnp.asarray(NUMBERS[0, 0])
    assert type(models) is eqx.nn.MLP and models.layers[0].weight.shape == (SIZE, 5, 4)
    got = eqx.filter_vmap(lambda m, x: m(x), in_axes=(eqx.if_array(0), None))(models, x)
    np.testing.assert_allclose(got, [make(key)(x) for key in keys], rtol=1e-5)
    got = eqx.filter_vmap(lambda m, x: m(x))(models, NUMBERS[:, 0])
    np.testing.assert_allclose(got, [make(key)(x) for key, x in zip(keys, NUMBERS[:, 0])], rtol=1e-5)


def test_a_model_that_is_called_is_not_mapped():
    m = Affine(NUMBERS[0, 0], 1.0)
    for fun in (m, m.__call__, ft.partial(m), tree_util.Partial(m), eqx.filter_jit(m)):
        np.testing.assert_allclose(eqx.filter_vmap(fun)(NUMBERS[:, 0]), m(NUMBERS[:, 0]))


def test_each_call_runs_the_function_once():
    seen = TraceRecorder(lambda x: x + 1)
    f = eqx.filter_vmap(seen)
    for number in (1, 2):
        f(NUMBERS)
        assert seen.traces == number


def test_no_tracer_outlives_the_call():
    with jax.checking_leaks():
        eqx.filter_vmap(lambda m, x: (m(x), m, "text"), in_axes=(None, 0))(affine(), NUMBERS[:, 0, :2])


# Nested


def test_nested_in_other_transformations():
    m, x = Pair(jnp.asarray(NUMBERS[0, 0]), "text"), jnp.asarray(NUMBERS[:, 0])
    loss = lambda m, x: (m.first * x**2).sum()  # noqa: E731
    of_example = eqx.filter_vmap(eqx.filter_grad(loss), in_axes=(None, 0))
    expected = np.asarray(x) ** 2
    np.testing.assert_allclose(of_example(m, x).first, expected)
    assert of_example(m, x).second is None
    np.testing.assert_allclose(eqx.filter_jit(of_example)(m, x).first, expected)
    total = lambda m: eqx.filter_vmap(loss, in_axes=(None, 0))(m, x).sum()  # noqa: E731
    np.testing.assert_allclose(eqx.filter_grad(total)(m).first, expected.sum(0))
    _, got = lax.scan(lambda carry, x: (carry, eqx.filter_vmap(loss, in_axes=(None, 0))(m, x)), 0, x[None])
    np.testing.assert_allclose(got[0], (np.asarray(m.first) * expected).sum(1))
    table = eqx.filter_vmap(eqx.filter_vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_array_equal(table(x[0], x[1]), np.outer(x[0], x[1]))
    np.testing.assert_array_equal(jax.vmap(eqx.filter_vmap(lambda x: 2 * x))(NUMBERS), 2 * NUMBERS)


# `if_array`


def test_if_array_is_equal_to_another_of_the_same_axis():
    f = eqx.if_array(1)
    assert f == eqx.if_array(1) != eqx.if_array(0) and hash(f) == hash(eqx.if_array(1))
    assert pickle.loads(pickle.dumps(f)) == f and repr(f) == "if_array(1)"
    assert [f(x) for x in (NUMBERS, jnp.ones(2), 1.0, "text", None)] == [1, 1, None, None, None]


# Errors


def test_sizes_that_differ_are_named_with_paths_and_shapes():
    m = Affine(NUMBERS, np.zeros(3))
    with pytest.raises(ValueError) as error:
        eqx.filter_vmap(lambda model, x, *, y: x, axis_size=4)(m, np.ones((3, 5)), y=NUMBERS)
    lines = str(error.value).splitlines()
    assert lines[1:4] == [
        "  size 2: axis 0 of `model.weight`, `ndarray` float32[2,3,4]; axis 0 of `y`, `ndarray` float32[2,3,4]",
        "  size 3: axis 0 of `model.bias`, `ndarray` float64[3]; axis 0 of `x`, `ndarray` float64[3,5]",
        "  size 4: `axis_size`",
    ]
    with pytest.raises(ValueError, match=r"size 3: .*`args\[7\]`, .*; 12 more"):
        eqx.filter_vmap(lambda *args: 0)(*[np.ones(3)] * 20, np.ones(2))


@pytest.mark.parametrize(
    "in_axes, inputs, message",
    [
        (
            (0,),
            "xy",
            r"`in_axes` .* inputs passed by position, .* At `in_axes` expected a `tuple` with `\[0\]`, `\[1\]`",
        ),
        ((0, [0]), "xy", r"At `in_axes\[1\]` expected a leaf \(`ndarray` float32\[2,3,4\]\), got a `list`"),
        (
            (0, 3),
            "xy",
            r"axis 3 of `y` \(by `in_axes`\), but the number of its axes is 3: it is `ndarray` float32\[2,3,4\]",
        ),
        ((0, -4), "xy", r"axis -4 of `y` \(by `in_axes`\)"),
        ((0, lambda leaf: "x"), "xy", r"function in `in_axes` to return an int .* For `y` it returned `str` 'x'"),
        ((None, None), "xy", "has nothing to map: .* Pass an array to map, or `axis_size`"),
        (0, "", "has nothing to map"),
    ],
    ids=["too few", "too deep", "no such axis", "no such negative axis", "no axis", "all None", "no inputs"],
)
def test_axes_that_do_not_fit_the_inputs(in_axes, inputs, message):
    seen = TraceRecorder()
    error = TypeError if "returned" in message else ValueError
    with pytest.raises(error, match="`filter_vmap` .*" + message):
        eqx.filter_vmap(lambda x=None, y=None: seen(x, y), in_axes=in_axes)(*[NUMBERS for _ in inputs])
    assert seen.traces == 0


@pytest.mark.parametrize(
    "out_axes, message",
    [
        ([0, 0], r"`out_axes` .* structure of the output, .* At `out_axes` expected a `tuple`, got a `list`"),
        ((0, {"b": 0}), r"At `out_axes\[1\]` expected a `dict` with `\['a'\]`"),
        (
            (3, 0),
            r"axis 3 of `output\[0\]` \(by `out_axes`\), but .*, with the mapped one, is 2: one .*float32\[4\]",
        ),
        ((0, {"a": -3}), r"axis -3 of `output\[1\]\['a'\]`"),
        (
            (0, lambda leaf: 0.5),
            r"in `out_axes` to return .* For `output\[1\]\['a'\]` it returned `float` 0.5",
        ),
        ((None, 0), r"`None` from `out_axes` for what differs between the examples. It is `output\[0\]`\. "),
        (None, r"`None` from `out_axes` for .* It is `output\[0\]` or `output\[1\]\['a'\]`\. "),
    ],
    ids=["another type", "another key", "no such axis", "no such negative axis", "no axis", "None", "all None"],
)
def test_axes_that_do_not_fit_the_output(out_axes, message):
    error = TypeError if "returned" in message else ValueError
    with pytest.raises(error, match="`filter_vmap` .*" + message):
        eqx.filter_vmap(lambda x: (x[0], {"a": x[1]}), out_axes=out_axes)(NUMBERS)


def test_an_error_of_the_function_is_raised_unchanged():
    def fun(x):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="^mine"):
        eqx.filter_vmap(fun, out_axes=None)(NUMBERS)


def test_axes_and_options_are_checked_when_decorating():
    for axes, path in [("x", ""), ((0, [1.5]), r"\[1\]\[0\]"), ({"a": True}, r"\['a'\]"), (np.zeros(2), "")]:
        for name in ("in_axes", "out_axes"):
            with pytest.raises(
                TypeError, match="`filter_vmap` expects `{}{}` to be an int, `None`, ".format(name, path)
            ):
                eqx.filter_vmap(lambda x: x, **{name: axes})
    with pytest.raises(TypeError, match="`filter_vmap` expects `axis_size` to be an int, got 'x'"):
        eqx.filter_vmap(lambda x: x, axis_size="x")
    with pytest.raises(ValueError, match="`filter_vmap` expects an `axis_size` of zero or more, got -1"):
        eqx.filter_vmap(lambda x: x, axis_size=-1)
    with pytest.raises(TypeError, match="`filter_vmap` passes its keyword arguments to `jax.vmap`.*nonsense"):
        eqx.filter_vmap(lambda x: x, nonsense=1)
