"""`shardings`: rules by path; and functions in `in_shardings` and `out_shardings`."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from devices import HOW_MANY, assert_close, layout, mesh_of, named, several, shards
from jax import tree_util
from tracing import TraceRecorder

import equinox as eqx
from equinox.nn import MLP

needs_in_shardings = pytest.mark.skipif(
    "in_shardings" not in inspect.signature(jax.jit).parameters,
    reason="jax.jit takes in_shardings since 0.4.4, this is " + jax.__version__,
)
WIDTH = 2 * HOW_MANY


def spec(*parts):
    return jax.sharding.PartitionSpec(*parts)


@pytest.fixture
def mlp(getkey):
    return MLP(3, WIDTH, WIDTH, 2, key=getkey())


@shards
@several
def test_the_first_rule_that_matches_counts(mlp):
    """Arrays that no rule matches are replicated. Other leaves have `None`."""
    mesh = mesh_of(a=HOW_MANY // 2, b=2)
    rules = [
        (".layers[0].weight", spec("a", None)),
        ("*.weight", spec(("a", "b"), None)),
        (".layers[?].bias", None),
    ]
    tree = {"mlp": mlp, "name": "text", "x": jnp.ones(HOW_MANY)}
    rules = [("['mlp']" + pattern if pattern[0] == "." else pattern, x) for pattern, x in rules]
    got = eqx.shardings(tree, rules, mesh)
    assert got["name"] is None and got["x"].spec == spec()
    assert type(got["mlp"]) is MLP and got["mlp"].depth == 2
    assert [x.weight.spec for x in got["mlp"].layers] == [spec("a", None)] + 2 * [spec(("a", "b"), None)]
    assert [x.bias.spec for x in got["mlp"].layers] == 3 * [spec()]
    assert all(x is None or x.mesh == mesh for x in tree_util.tree_leaves(got))


@shards
@several
def test_the_result_can_be_passed_on(mlp, draw):
    """To `filter_device_put`, `filter_shard`, `in_shardings` and `out_shardings`, and to `jax.device_put`."""
    chosen = eqx.shardings(mlp, [("*.weight", spec("d", None))], mesh_of(d=HOW_MANY))
    x = draw(3)
    expected = layout(jax.device_put(mlp.layers[0].weight, named("d", None)))
    put = eqx.filter_device_put(mlp, chosen)
    models = [put, eqx.filter_shard(mlp, chosen), eqx.filter_jit(lambda m: eqx.filter_shard(m, chosen))(mlp)]
    if "in_shardings" in inspect.signature(jax.jit).parameters:
        models.append(eqx.filter_jit(lambda m: m, out_shardings=chosen)(mlp))
        step = eqx.filter_jit(lambda m, x: (m(x), m), in_shardings=(chosen, None), out_shardings=(None, chosen))
        y, model = step(mlp, x)
        assert_close(y, mlp(x))
        models.append(model)
    for model in models:
        assert layout(model.layers[0].weight) == expected and len(set(layout(model.layers[0].bias).values())) == 1
        assert_close(eqx.filter_jit(model)(x), mlp(x))


@shards
@several
def test_shapes_may_stand_for_arrays(getkey):
    """So a model can be made in pieces: no device ever has all of it."""
    key = getkey()

    def make():
        return MLP(3, WIDTH, WIDTH, 1, key=key)

    rules = [("*.weight", spec("d", None))]
    chosen = eqx.shardings(eqx.filter_eval_shape(make), rules, mesh_of(d=HOW_MANY))
    expected = eqx.shardings(make(), rules, mesh_of(d=HOW_MANY))
    assert tree_util.tree_leaves(chosen) == tree_util.tree_leaves(expected)
    if "in_shardings" in inspect.signature(jax.jit).parameters:
        model = eqx.filter_jit(make, out_shardings=chosen)()
        assert layout(model.layers[0].weight) == layout(jax.device_put(make().layers[0].weight, named("d", None)))


@shards
@several
def test_rules_that_do_not_fit_are_refused(mlp):
    def refuse(rules, error, message, tree=mlp):
        with pytest.raises(error, match=message):
            eqx.shardings(tree, rules, mesh_of(d=HOW_MANY))

    def refuse_weights(parts, message):
        refuse([("*.weight", spec(*parts))], ValueError, message)

    refuse(
        [("*.wieght", spec("d"))], ValueError, r"for '\*.wieght', but no array .* Near paths: .*`.layers\[0\].weight`"
    )
    earlier = r"doesn't use its rule for '\*.weight', because earlier .* matches `.layers\[0\].weight` is '\*'"
    refuse([("*", None), ("*.weight", spec("d"))], ValueError, earlier)
    weight = r"can't shard `.layers\[0\].weight`, `.*` float32\[{},3\], as its rule for '\*.weight' says: ".format(
        WIDTH
    )
    refuse_weights([None, "d"], weight + ".* axis 1 into {} parts, but its size is 3".format(HOW_MANY))
    refuse_weights([None, None, "d"], weight + ".*is 3, but the number of axes is 2")
    refuse_weights(["z"], r"rule for '\*.weight' that names the axis 'z' of the mesh. The mesh has 'd'")
    refuse_weights(["d", "d"], r"rule for '\*.weight' that names an axis twice")
    for rule in ("*.bias", ("*.bias", "d"), (spec("d"), "*.bias"), ("*.bias", spec("d"), 1)):
        refuse([("*", None), rule], TypeError, r"expects `rules\[1\]` to be a pair of a pattern and")
    refuse([("*", None)], ValueError, "none, because there are no arrays", tree={"name": "text"})


def test_an_old_jax_has_no_shardings(mlp):
    if not hasattr(getattr(jax, "sharding", None), "PartitionSpec"):
        with pytest.raises(NotImplementedError, match="`shardings` needs JAX 0.4.1 or newer"):
            eqx.shardings(mlp, [], None)
        for name in ("in_shardings", "out_shardings"):
            with pytest.raises(NotImplementedError, match="`{}` needs JAX 0.4.4 or newer".format(name)):
                eqx.filter_jit(lambda x: x, **{name: None})
        with pytest.raises(NotImplementedError, match="`filter_shard_map` needs JAX 0.4.4 or newer"):
            eqx.filter_shard_map(lambda x: x, mesh=None, in_specs=None, out_specs=None)


# Functions in `in_shardings` and `out_shardings`


def where_it_fits(x):
    """Split the first axis if its size allows that. Else the array is replicated."""
    return named("d") if x.ndim and x.shape[0] % HOW_MANY == 0 else named()


@shards
@several
@needs_in_shardings
def test_functions_choose_shardings_by_shape():
    """They are asked again for new shapes. The function is traced as often as by `jax.jit`."""
    fun = TraceRecorder(lambda tree, name: ({"x": tree["x"] + 1}, name))
    f = eqx.filter_jit(fun, in_shardings=(where_it_fits, None), out_shardings=({"x": where_it_fits}, None))
    g = eqx.filter_jit(lambda tree, name: tree, in_shardings=where_it_fits, donate="all")
    for _ in range(2):
        for size in (HOW_MANY, HOW_MANY + 1, WIDTH):
            for array in (jnp.ones(size), np.ones(size, np.float32)):
                out, name = f({"x": array}, "name")
                assert name == "name" and layout(out["x"]) == layout(jax.device_put(array, where_it_fits(array)))
                assert layout(g({"x": array + 0, "n": len}, "name")["x"]) == layout(out["x"])
        assert fun.traces == 3
    for size in (HOW_MANY, HOW_MANY + 1):
        out, name = eqx.filter_jit(lambda x: (x + 1, "name"), out_shardings=where_it_fits)(jnp.ones(size))
        assert name == "name" and layout(out) == layout(jax.device_put(out, where_it_fits(out)))
    shardings = [lambda x: None, named("d")]
    out = eqx.filter_jit(lambda x: x, out_shardings=shardings)([jnp.ones(2), jnp.ones(HOW_MANY)])
    assert layout(out[1]) == layout(jax.device_put(jnp.ones(HOW_MANY), named("d")))


@shards
@several
@needs_in_shardings
def test_functions_apply_to_arrays_only():
    """They aren't asked about static leaves and numbers."""
    seen = []

    def choose(x):
        seen.append(x.shape)
        return named()

    f = eqx.jitf(lambda a, b: (a * b["n"], b["f"]), filter_fn=lambda x: x is not len, in_shardings=choose)
    out, rest = f(jnp.ones(HOW_MANY), {"n": 2.0, "f": len})
    assert rest is len and out.tolist() == [2.0] * HOW_MANY and seen == [(HOW_MANY,)]


@shards
@several
@needs_in_shardings
def test_an_array_that_can_not_be_split_is_named():
    x = {"a": [jnp.ones(HOW_MANY + 1)]}

    def message(root, name):
        array = r"`{}\['a'\]\[0\]`, `.*` float32\[{}\]".format(root, HOW_MANY + 1)
        return r"`filter_jit` can't shard {}, as `{}` says: .* axis 0 into {} parts".format(array, name, HOW_MANY)

    for given in (named("d"), lambda x: named("d")):
        for donate in ("none", "all"):
            f = eqx.filter_jit(lambda tree: tree, in_shardings=given, donate=donate)
            for call in (f, f.lower):
                with pytest.raises(ValueError, match=message("tree", "in_shardings")):
                    call(x)
        f = eqx.filter_jit(lambda tree: tree, out_shardings=given)
        with pytest.raises(ValueError, match=message("output", "out_shardings")):
            f(x)
    with pytest.raises(TypeError, match=r"function in `in_shardings` to return .* For `tree\['a'\]\[0\]` it"):
        eqx.filter_jit(lambda tree: tree, in_shardings=lambda x: where_it_fits)(x)


@shards
@several
@needs_in_shardings
def test_typed_keys_are_sharded():
    if not hasattr(jax.random, "wrap_key_data"):
        pytest.skip("`jax.random.wrap_key_data` came in JAX 0.4.16, this is " + jax.__version__)
    keys = jax.random.split(jax.random.key(0), HOW_MANY)
    for given in (named("d"), lambda x: named("d")):
        out = eqx.filter_jit(lambda keys, name: (keys, name), in_shardings=(given, None), out_shardings=(given, None))
        got, name = out(keys, "name")
        assert name == "name" and len(set(layout(got).values())) == HOW_MANY
        assert (jax.random.key_data(got) == jax.random.key_data(keys)).all()


@shards
@several
def test_rules_that_are_no_sequence_are_refused(mlp):
    with pytest.raises(TypeError, match="`shardings` expects `rules` to be a sequence of pairs, got"):
        eqx.shardings(mlp, 3, mesh_of(x=HOW_MANY))


@shards
@pytest.mark.parametrize("wrong", [3, None, jax.devices()], ids=["number", "None", "devices"])
def test_what_is_no_mesh_is_refused(wrong):
    with pytest.raises(TypeError, match="`shardings` expects `mesh` to be a `jax.sharding.Mesh`, got"):
        eqx.shardings({"w": np.ones(2)}, [], wrong)
