"""`field(trainable=False)`, `freeze`, `unfreeze` and `trainable`: which leaves are trained, and what keeps this."""

import copy
import pickle
from typing import Any

import jax
import jax.nn as jnn
import jax.numpy as jnp
import jax.random as jrandom
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import tree_util

import equinox as eqx


class Part(eqx.Module):
    weight: Any
    bias: Any = None
    scale: Any = eqx.field(trainable=False, default_factory=lambda: jnp.ones(2))


class Whole(eqx.Module):
    first: Any
    parts: Any
    teacher: Any = eqx.field(trainable=False)
    name: str = eqx.field(static=True, default="whole")


class Derived(Part):
    more: Any = eqx.field(trainable=False, default_factory=lambda: jnp.ones(2))


def array(i=0):
    return jnp.arange(2.0) + i


def part(i=0):
    return Part(array(i), [array(i + 1), {"a": array(i + 2)}])


def whole():
    return Whole(part(), (part(1), [part(2)]), part(3))


def trained(tree):
    """The paths of the trained leaves."""
    return [path for path, _ in eqx.named_leaves(eqx.filter(tree, eqx.trainable))]


def structure(tree):
    return tree_util.tree_structure(tree)


PATHS = [path for path, _ in eqx.named_leaves(whole())]
DECLARED = [path for path in PATHS if ".teacher" in path or path.endswith(".scale")]
SOME = [".first.weight", ".parts[0].bias[0]", ".parts[1][0].bias[1]['a']"]


def at(paths):
    """A `where` that picks the leaves at these paths."""
    return lambda tree: [leaf for path, leaf in eqx.named_leaves(tree) if path in paths]


FROZEN = eqx.freeze(whole(), at(SOME))


def test_without_marks_the_inexact_arrays_are_trained():
    tree = {
        "float": jnp.ones(2),
        "half": jnp.ones(2, jnp.float16),
        "complex": jnp.ones(2, jnp.complex64),
        "numpy": np.ones(2),
        "scalar": np.float32(1),
        "shape": jax.ShapeDtypeStruct((2,), jnp.float32),
        "integer": jnp.arange(2),
        "flag": jnp.array(True),
        "shape of integers": jax.ShapeDtypeStruct((2,), jnp.int32),
        "key": jrandom.PRNGKey(0),
        "number": 1.0,
        "function": jnp.tanh,
        "text": "text",
        "none": None,
    }
    expected = ("float", "half", "complex", "numpy", "scalar", "shape")
    assert eqx.trainable(tree) == {name: None if name == "none" else name in expected for name in tree}


def test_fields_that_are_declared_are_not_trained():
    """All leaves below such a field count, and subclasses inherit the declaration."""
    assert trained(whole()) == [path for path in PATHS if path not in DECLARED]
    assert trained(Derived(array())) == [".weight"]


@given(st.sets(st.sampled_from(PATHS), min_size=1), st.sets(st.sampled_from(PATHS), min_size=1))
def test_freeze_and_unfreeze_mark_exactly_the_picked_leaves(frozen, unfrozen):
    """The oracle is a set of paths. The structure depends only on which leaves are trained."""
    tree = eqx.unfreeze(eqx.freeze(whole(), at(frozen)), at(unfrozen))
    expected = set(PATHS) - set(DECLARED) - frozen | unfrozen
    assert set(trained(tree)) == expected
    off, on = set(PATHS) - expected, expected
    for one_by_one in (sorted(off), sorted(off, reverse=True)):
        other = eqx.unfreeze(whole(), at(on))
        for path in one_by_one:
            other = eqx.freeze(other, at([path]))
        assert structure(other) == structure(tree)
    restored = eqx.freeze(eqx.unfreeze(tree), at(DECLARED))
    assert structure(restored) == structure(whole())


def test_a_picked_subtree_means_all_its_leaves():
    tree = eqx.freeze(whole(), lambda tree: (tree.first, tree.parts[1]))
    assert trained(tree) == [".parts[0].weight", ".parts[0].bias[0]", ".parts[0].bias[1]['a']"]
    assert trained(eqx.freeze(whole())) == []
    assert trained(eqx.unfreeze(whole())) == PATHS
    assert trained(eqx.freeze(whole(), eqx.select(whole(), "*.bias*"))) == [
        path for path in PATHS if path.endswith("weight") and ".teacher" not in path
    ]


def test_freeze_changes_no_leaf_and_not_its_input():
    tree = whole()
    before = structure(tree)
    new = eqx.freeze(tree, at(SOME))
    assert structure(tree) == before != structure(new)
    assert all(x is y for x, y in zip(tree_util.tree_leaves(tree), tree_util.tree_leaves(new)))
    assert structure(eqx.freeze(new, at(SOME))) == structure(new)


def _through_scan(tree):
    return eqx.filter_scan(lambda carry, _: (carry, None), tree, None, length=1)[0]


KEEPERS = {
    "tree_map": lambda tree: tree_util.tree_map(lambda x: x + 1, tree),
    "partition": lambda tree: eqx.combine(*eqx.partition(tree, eqx.is_inexact_array)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda tree: pickle.loads(pickle.dumps(tree)),
    "replace": lambda tree: eqx.replace(tree, first=tree.first),
    "tree_at": lambda tree: eqx.tree_at(lambda tree: tree.first.weight, tree, array(7)),
    "filter_jit": eqx.filter_jit(lambda tree: tree),
    "jax.jit": jax.jit(lambda tree: tree),
    "filter_vmap": eqx.filter_vmap(lambda tree: tree),
    "filter_eval_shape": lambda tree: eqx.filter_eval_shape(lambda tree: tree, tree),
    "filter_scan": _through_scan,
    "grad": jax.grad(lambda tree: sum(x.sum() for x in tree_util.tree_leaves(tree))),
    "apply_updates": lambda tree: eqx.apply_updates(tree, tree),
    "cast": lambda tree: eqx.cast(tree, jnp.float16),
}


@pytest.mark.parametrize("name", KEEPERS)
def test_everything_keeps_the_marks(name):
    new = KEEPERS[name](FROZEN)
    assert structure(new) == structure(FROZEN)
    assert trained(new) == [path for path in PATHS if path not in DECLARED and path not in SOME]


LAYERS = {
    "Stacked": lambda: eqx.nn.Stacked(lambda key: eqx.nn.Linear(2, 2, key=key), 3, key=jrandom.PRNGKey(0)),
    "MLP": lambda: eqx.nn.MLP(2, 2, 2, 3, key=jrandom.PRNGKey(0)),
    "Shared": lambda: eqx.nn.Shared((part(), part()), where="[1].weight", get="[0].weight"),
}
KEEPERS_OF_LAYERS = {
    "reinitialise": lambda model: eqx.nn.reinitialise(model, {"*weight": jnn.initializers.ones}, jrandom.PRNGKey(0)),
    "inference_mode": eqx.nn.inference_mode,
    "copies": lambda model: pickle.loads(pickle.dumps(copy.deepcopy(model))),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", KEEPERS_OF_LAYERS)
def test_layers_keep_the_marks(layer, name):
    model = LAYERS[layer]()
    frozen = eqx.freeze(model, eqx.select(model, "*.bias*" if layer == "Shared" else "*.weight"))
    new = KEEPERS_OF_LAYERS[name](frozen)
    assert structure(new) == structure(frozen) != structure(model)


def test_the_layers_of_a_stack_are_frozen_together():
    stacked = LAYERS["Stacked"]()
    frozen = eqx.freeze(stacked, lambda stacked: stacked.layers.weight)
    assert all(trained(layer) == [".bias"] for layer in frozen)
    assert structure(eqx.nn.Stacked.from_layers(frozen)) == structure(frozen)
    assert structure(frozen[:2]) == structure(eqx.freeze(stacked[:2], lambda stacked: stacked.layers.weight))
    with pytest.raises(ValueError, match="`layer` to be a `Linear`, got a `Linear` with `.weight` frozen .see `eqx.f"):
        stacked.replace_layer(0, frozen[0])


class Called(eqx.Module):
    part: Part

    def __call__(self, x):
        return x


SLICES = [slice(1, None), slice(None), slice(None, None, -1), slice(0, 2), slice(3, None)]


@pytest.mark.parametrize("index", SLICES, ids=str)
def test_a_slice_of_a_sequential_keeps_the_marks_of_its_items(index):
    """An item may be a function with arrays, which is no module. Its marks are in the `Sequential`."""
    functions = [tree_util.Partial(function, array()) for function in (jnp.multiply, jnp.add)]
    model = eqx.nn.Sequential([functions[0], Called(part()), functions[1], Called(part())])
    sliced = eqx.freeze(model, lambda model: (model[0], model[1]))[index]
    expected, picked = model[index], [i for i, before in enumerate(range(4)[index]) if before < 2]
    if picked:
        expected = eqx.freeze(expected, lambda model: [model[i] for i in picked])
    assert structure(sliced) == structure(expected)


def test_a_class_gets_the_same_structures_before_and_after_its_first_mark():
    """The code of a class looks for marks only after an instance is marked."""

    class New(Part):
        pass

    class Below(New):
        pass

    before = [structure(cls(array())) for cls in (New, Below)]
    frozen = [eqx.freeze(cls(array())) for cls in (New, Below)]
    assert [structure(cls(array())) for cls in (New, Below)] == before
    assert [structure(eqx.unfreeze(x, lambda x: x.weight)) for x in frozen] == before
    assert [trained(before[i].unflatten([array(), array()])) for i in range(2)] == [[".weight"], [".weight"]]
    New.method = lambda self: 1  # the class gets new code
    New.__init__ = New.__init__
    assert all(trained(copy.deepcopy(x)) == trained(tree_util.tree_map(jnp.sin, x)) == [] for x in frozen)


def test_a_mark_that_changes_nothing_is_dropped():
    """`unfreeze` marks the layer inside a field with `trainable=False`. Alone, the layer needs no mark."""
    inner = eqx.unfreeze(whole()).teacher
    assert trained(inner) == trained(eqx.unfreeze(part()))
    assert structure(eqx.unfreeze(inner)) == structure(eqx.unfreeze(part()))


def test_a_difference_of_marks_is_said_in_words():
    frozen = eqx.freeze(part(), lambda tree: (tree.weight, tree.bias))
    assert list(map(str, eqx.tree_diff(part(), frozen))) == [
        "the tree: a `Part` -> a `Part` with `.bias[0]` frozen, `.bias[1]['a']` frozen, `.weight` frozen"
    ]
    with_scale = eqx.unfreeze(part(), lambda tree: tree.scale)
    assert str(eqx.tree_diff([part()], [with_scale])[0]) == (
        "[0]: a `Part` with `.scale` frozen -> a `Part` with `.scale` trained"
    )


class Saved(eqx.Module):
    x: Any

    def __getstate__(self):
        return {"y": self.x}

    def __setstate__(self, state):
        self.x = state["y"]


def test_a_class_with_its_own_state_keeps_the_marks():
    frozen = eqx.freeze(Saved(array()))
    for new in (copy.copy(frozen), copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert structure(new) == structure(frozen)


def test_a_module_keeps_its_marks_in_another_model():
    assert trained([FROZEN.first, {"a": FROZEN.parts[1][0]}]) == [
        "[0].bias[0]",
        "[0].bias[1]['a']",
        "[1]['a'].weight",
        "[1]['a'].bias[0]",
    ]


def test_what_replaces_a_frozen_leaf_is_frozen_unless_it_has_a_nearer_mark():
    frozen = eqx.freeze(Part(array()), lambda tree: tree.weight)
    inner = eqx.unfreeze(Part(array()), lambda tree: tree.scale)
    assert trained(eqx.tree_at(lambda tree: tree.weight, frozen, inner)) == [".weight.scale"]


def test_a_compiled_function_is_traced_once_for_each_set_of_marks():
    traces = []

    @eqx.filter_jit
    def f(tree):
        traces.append(trained(tree))

    for _ in range(2):
        f(Part(array()))
        f(eqx.freeze(Part(array())))
        f(eqx.unfreeze(eqx.freeze(Part(array())), lambda tree: tree.weight))
    assert traces == [[".weight"], []]


def _loss(tree):
    return sum(jnp.sum(x**2) for x in tree_util.tree_leaves(tree))


@pytest.mark.parametrize("jit", [False, True])
def test_a_frozen_leaf_has_no_gradient(jit):
    expected = jax.grad(_loss)(FROZEN)
    for gradient in (
        eqx.gradf(_loss, filter_fn=eqx.trainable),
        eqx.gradf(_loss, filter_tree=eqx.trainable),
        eqx.gradf(_loss, filter_tree=eqx.trainable(FROZEN)),
        lambda tree: eqx.value_and_grad_f(_loss, filter_fn=eqx.trainable)(tree)[1],
    ):
        grads = (eqx.filter_jit(gradient) if jit else gradient)(FROZEN)
        assert [path for path, _ in eqx.named_leaves(grads)] == trained(FROZEN)
        assert eqx.tree_equal(grads, eqx.filter(expected, eqx.trainable))


def test_as_filter_it_is_asked_about_the_whole_input():
    """It may be a part of a specification. The marks above that part count, too."""
    everything = eqx.trainable(FROZEN)
    assert eqx.tree_equal(eqx.filter([FROZEN, array()], [eqx.trainable, False])[0], eqx.filter(FROZEN, everything))
    spec = tree_util.tree_map(lambda _: eqx.trainable, FROZEN)
    assert eqx.tree_equal(eqx.filter(FROZEN, spec), eqx.filter(FROZEN, everything))
    assert trained(eqx.filter(FROZEN, eqx.trainable, is_leaf=lambda x: isinstance(x, Part))) == []
    inner, outer = eqx.partition((FROZEN, 1), eqx.trainable)
    assert len(tree_util.tree_leaves(inner)) == len(trained(FROZEN))
    grads = eqx.gradf(lambda a, b: _loss(a) + _loss(b), filter_fn=eqx.trainable, argnums=(0, 1))(FROZEN, array())
    assert [path for path, _ in eqx.named_leaves(grads[0])] == trained(FROZEN) and grads[1] is not None
    cast = eqx.cast(FROZEN, jnp.float16, eqx.trainable)
    assert {path for path, x in eqx.named_leaves(cast) if x.dtype == jnp.float16} == set(trained(FROZEN))


def test_a_compiled_filter_asks_again_for_another_dtype():
    """`jitf` traces the trained leaves. The others are static, so they must be hashable."""
    model = Part(1.0, None, 2)
    f = eqx.jitf(lambda tree, x: (isinstance(x, jax.core.Tracer), tree.scale * x), filter_fn=eqx.trainable)
    assert [float(f(model, x)[1]) for x in (jnp.ones(()), jnp.full((), 2.0))] == [2.0, 4.0]


def test_states_are_not_trained():
    model, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch")
    assert trained((model, state)) == ["[0].weight", "[0].bias"]
    assert trained(eqx.nn.BatchNorm(3, "batch")) == [".weight", ".bias"]
    with pytest.raises(ValueError, match=r"`unfreeze` can't mark the leaf `tree.values\[.*it is in no module"):
        eqx.unfreeze(state)


def test_lora_freezes_the_wrapped_layer():
    lora = eqx.nn.LoRA(eqx.nn.Linear(3, 2, key=jrandom.PRNGKey(0)), 1, key=jrandom.PRNGKey(0))
    assert trained(lora) == [".lora_a", ".lora_b"]
    assert trained(lora.merge()) == [".weight", ".bias"]


@pytest.mark.parametrize("function", [eqx.freeze, eqx.unfreeze])
def test_errors_name_what_is_wrong(function):
    name = function.__name__
    with pytest.raises(ValueError, match=r"`{}` can't mark the leaf `tree\[1\]\['a'\]`: it is in no".format(name)):
        function([whole(), {"a": array()}])
    with pytest.raises(ValueError, match="`{}` expects `where` to return nodes with leaves".format(name)):
        function(Part(array()), lambda tree: tree.bias)
    with pytest.raises(ValueError, match="`where` returned .* which is no node of the tree"):
        function(whole(), lambda tree: object())
    for where in ("*.first", Part):
        with pytest.raises(TypeError, match="`{}` expects `where` to be a function, got .*`eqx.select".format(name)):
            function(whole(), where)
    with pytest.raises(TypeError, match="`{}` expects the tree first, and then `where`. Got `function`".format(name)):
        function(lambda tree: tree.first, whole())
    with pytest.raises(TypeError, match="`where` used the leaf"):
        function(whole(), lambda tree: tree.first.weight + 1)


def test_field_refuses_another_trainable():
    with pytest.raises(TypeError, match="`field` expects `trainable` to be a bool, got 'no'"):
        eqx.field(trainable="no")
