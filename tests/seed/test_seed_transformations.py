"""The second part of the seed's text, its API: the filtered transformations, and the filters."""

import inspect
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from tracing import TraceRecorder

import equinox as eqx


class Scale(eqx.Module):
    weight: Any
    flag: Any

    def __call__(self, x):
        return x if self.flag else self.weight * x


@pytest.fixture
def scale():
    return Scale(jnp.array(2.0), False)


ALL_THREE = pytest.mark.parametrize(
    "transformation", [eqx.jitf, eqx.gradf, eqx.value_and_grad_f], ids=["jitf", "gradf", "value_and_grad_f"]
)
BOTH_GRADS = pytest.mark.parametrize(
    "gradient_of",
    [eqx.gradf, lambda *args, **kwargs: lambda *xs: eqx.value_and_grad_f(*args, **kwargs)(*xs)[1]],
    ids=["gradf", "value_and_grad_f"],
)

# The list


def test_the_full_list():
    """Each name of the API list exists."""
    names = "jitf gradf value_and_grad_f is_inexact_array is_array_like Module apply_updates tree_at tree_equal".split()
    layers = "Linear Identity Dropout GRUCell LSTMCell Sequential MLP".split()
    assert set(names) <= set(eqx.__all__)
    assert set(layers) <= set(eqx.nn.__all__)


@ALL_THREE
def test_signature(transformation):
    """The signature is `(fun, *, filter_fn=None, filter_tree=None, **kwargs)`."""
    parameters = inspect.signature(transformation).parameters
    assert list(parameters)[0] == "fun"
    assert parameters["fun"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    for name in ("filter_fn", "filter_tree"):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[name].default is None
    assert list(parameters.values())[-1].kind is inspect.Parameter.VAR_KEYWORD
    with pytest.raises(TypeError):
        transformation(jnp.sum, eqx.is_inexact_array)


# All three transformations


@ALL_THREE
def test_one_of_the_filters_must_be_passed(transformation):
    """Exactly one of `filter_fn` and `filter_tree` must be passed."""
    for filters in ({}, {"filter_fn": None}, {"filter_fn": eqx.is_array_like, "filter_tree": True}):
        with pytest.raises(ValueError, match="exactly one of `filter_fn` and `filter_tree`"):
            transformation(jnp.sum, **filters)


@ALL_THREE
def test_filter_tree_has_the_structure_of_the_inputs(transformation):
    """`filter_tree` must have the structure of the inputs. The error says where it differs."""
    function = transformation(lambda tree: tree["a"], filter_tree={"b": True})
    with pytest.raises(ValueError, match="filter_tree"):
        function({"a": 1.0})


@ALL_THREE
def test_a_tuple_of_another_length_is_refused(transformation):
    """A tuple of trees must have one tree for each input."""
    argnums = {} if transformation is eqx.jitf else {"argnums": (0, 1)}
    function = transformation(lambda x, y: x * y, filter_tree=(True, True, True), **argnums)
    with pytest.raises(ValueError, match="filter_tree"):
        function(1.0, 2.0)


@ALL_THREE
@pytest.mark.parametrize("leaf", ["yes", 1, 1.0])
def test_leaves_of_filter_tree_are_bools(transformation, leaf):
    """Every leaf of `filter_tree` must be `True` or `False`. The error names another leaf."""
    with pytest.raises(TypeError, match=r"filter_tree\['a'\]"):
        transformation(lambda tree: tree["a"], filter_tree={"a": leaf})({"a": 1.0})


@ALL_THREE
def test_unknown_keyword_arguments(transformation):
    """`**kwargs` are the other arguments of JAX's transformation. If JAX doesn't know one, it is a `TypeError`."""
    with pytest.raises(TypeError, match="no_such_option"):
        transformation(jnp.sum, filter_fn=eqx.is_array_like, no_such_option=1)


# jitf


def test_jitf_wraps_jit():
    """`jitf` wraps `jax.jit`: the function is traced once for inputs of the same kind, and gives the same result."""
    seen = TraceRecorder(lambda x, y: {"sum": x + y, "sine": jnp.sin(x)})
    compiled = eqx.jitf(seen, filter_fn=eqx.is_array)
    plain = jax.jit(seen.fun)
    for x in (1.0, 2.0):
        inputs = jnp.array(x), jnp.arange(3.0)
        assert eqx.tree_equal(compiled(*inputs), plain(*inputs))
    assert seen.traces == 1


def test_jitf_returns_arrays_as_jit_does():
    """A number in the output becomes a JAX array, as in `jax.jit`. What `jax.jit` refuses is returned unchanged."""

    def function(x):
        return {"bool": True, "int": 2, "float": 3.0, "numpy": np.arange(2), "x": x, "none": None}

    anything = object()
    compiled = eqx.jitf(lambda x: (function(x), anything, "text"), filter_fn=eqx.is_array)
    out, *others = compiled(jnp.ones(2))
    assert eqx.tree_equal(out, jax.jit(function)(jnp.ones(2)))
    assert others[0] is anything and others[1] == "text"


def test_jitf_filter_fn_is_called_on_every_leaf(scale):
    """`filter_fn` is called on every leaf of every input. If it is true, the leaf is traced. Otherwise it is static."""
    asked = []

    def filter_fn(leaf):
        asked.append(leaf)
        return isinstance(leaf, (float, jnp.ndarray))

    seen = TraceRecorder(lambda *args, **kwargs: None)
    text = "text"
    eqx.jitf(seen, filter_fn=filter_fn)(scale, [1.0, {"a": 2}], keyword=text)
    for leaf in [scale.weight, False, 1.0, 2, text]:
        assert any(leaf is x for x in asked)
    assert len({id(x) for x in asked}) == 5
    assert seen.kinds == ["traced", "bool", "traced", "int", "str"]


def test_jitf_static_leaves_are_compiled_for():
    """A new value of a traced leaf needs no compilation. A new value of a static leaf needs one."""
    seen = TraceRecorder(lambda tree, number: tree["x"] * number if number > 1 else tree["x"])
    compiled = eqx.jitf(seen, filter_fn=lambda leaf: isinstance(leaf, float))
    assert [float(compiled({"x": x}, 2)) for x in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]
    assert seen.traces == 1
    assert compiled({"x": 5.0}, 1) == 5.0
    assert seen.traces == 2


def test_jitf_filter_tree_for_one_input(scale):
    """`filter_tree` is a tree like the input. It is true where a leaf is traced, and false where it is static."""
    for filter_tree, kinds in [((True, False), ["traced", "bool"]), ((True, True), ["traced", "traced"])]:
        seen = TraceRecorder()
        eqx.jitf(seen, filter_tree=Scale(*filter_tree))(scale)
        assert seen.kinds == kinds


@pytest.mark.parametrize("sequence", [tuple, list])
def test_jitf_filter_tree_for_several_inputs(sequence, scale):
    """`filter_tree` is a tuple or list with one tree for each input."""
    seen = TraceRecorder()
    filter_tree = sequence([Scale(True, False), [False, True], True])
    eqx.jitf(seen, filter_tree=filter_tree)(scale, [1, 2], 3.0)
    assert seen.kinds == ["traced", "bool", "int", "traced", "traced"]


@pytest.mark.parametrize("sequence", [tuple, list])
def test_jitf_filter_tree_with_static_argnums(sequence):
    """With `static_argnums`, `filter_tree` has trees only for the inputs that aren't static."""
    seen = TraceRecorder()
    compiled = eqx.jitf(seen, filter_tree=sequence([True, [False, True]]), static_argnums=1)
    compiled(1.0, ("static", 2.0), [3, 4])
    assert seen.kinds == ["traced", "str", "float", "int", "traced"]
    one = eqx.jitf(seen, filter_tree=[False, True], static_argnums=(0, 2))
    one(1.0, [2.0, 3.0], 4.0)
    assert seen.kinds == ["float", "float", "traced", "float"]


def test_jitf_marks_static_by_filter_or_static_argnums(scale):
    """A leaf is static if the filter says so, or if `static_argnums` names its input."""
    seen = TraceRecorder()
    compiled = eqx.jitf(seen, filter_fn=lambda leaf: not isinstance(leaf, bool), static_argnums=1)
    compiled((1.0, True), (2.0, False))
    assert seen.kinds == ["traced", "bool", "float", "bool"]
    named = TraceRecorder(lambda x, y: None)
    eqx.jitf(named, filter_fn=lambda leaf: True, static_argnames="y")(x=1.0, y=2.0)
    assert named.kinds == ["traced", "float"]


def test_jitf_with_is_array_like(scale):
    """With `is_array_like`, everything that can be traced is traced. Everything else is static."""
    seen = TraceRecorder()
    inputs = [jnp.ones(2), np.ones(2), np.float32(1), 1, 1.0, True, 1j, "text", jnp.tanh, object()]
    eqx.jitf(seen, filter_fn=eqx.is_array_like)(inputs)
    assert seen.kinds[:7] == ["traced"] * 7
    assert "traced" not in seen.kinds[7:]
    for leaf, kind in zip(inputs, seen.kinds):
        if kind == "traced":
            jax.jit(lambda x: x)(leaf)
        else:
            with pytest.raises(TypeError):
                jax.jit(lambda x: x)(leaf)


def test_tree_at_makes_the_filter_tree(scale):
    """`tree_at` is an easy way to create the `filter_tree`."""
    nothing = tree_util.tree_map(lambda _: False, scale)
    filter_tree = eqx.tree_at(lambda scale: scale.weight, nothing, replace=True)
    seen = TraceRecorder(lambda model, x: model(x))
    compiled = eqx.jitf(seen, filter_tree=(filter_tree, True))
    assert compiled(scale, 3.0) == 6.0
    assert seen.kinds == ["traced", "bool", "traced"]
    gradient = eqx.gradf(lambda model: model(3.0), filter_tree=filter_tree)(scale)
    assert (gradient.weight, gradient.flag) == (3.0, None)


# gradf and value_and_grad_f


def test_gradf_wraps_grad():
    """`gradf` wraps `jax.grad`. If everything is differentiated, both give the same result."""

    def function(x, tree):
        return jnp.sum(jnp.sin(x) * tree["a"])

    inputs = jnp.arange(3.0), {"a": jnp.array(2.0)}
    for argnums in (0, 1, -1, (0, 1), (1, 0)):
        filtered = eqx.gradf(function, filter_fn=eqx.is_inexact_array, argnums=argnums)(*inputs)
        assert eqx.tree_equal(filtered, jax.grad(function, argnums=argnums)(*inputs))


def test_value_and_grad_f_wraps_value_and_grad(scale):
    """`value_and_grad_f` wraps `jax.value_and_grad`, with the arguments of `gradf`."""

    def function(x, y):
        return jnp.sum(x * y), "aux"

    x, y = jnp.arange(3.0), jnp.ones(3)
    options = {"argnums": (0, 1), "has_aux": True}
    (value, aux), grads = eqx.value_and_grad_f(function, filter_fn=eqx.is_inexact_array, **options)(x, y)
    (plain_value, _), plain_grads = jax.value_and_grad(function, **options)(x, y)
    assert eqx.tree_equal((value, grads), (plain_value, plain_grads))
    assert aux == "aux"
    value, grads = eqx.value_and_grad_f(lambda model: model(3.0), filter_tree=Scale(True, False))(scale)
    assert (value, grads.weight, grads.flag) == (6.0, 3.0, None)


@BOTH_GRADS
def test_grad_filter_fn_is_called_on_the_leaves_in_argnums(gradient_of):
    """`filter_fn` is called on every leaf of the inputs in `argnums`, and on no others."""
    asked = []

    def filter_fn(leaf):
        asked.append(leaf)
        return leaf > 2

    function = gradient_of(lambda x, y, z: x[0] * x[1] * y * z, filter_fn=filter_fn, argnums=(0, 2))
    gradient = function([1.0, 3.0], 5.0, 7.0)
    assert asked == [1.0, 3.0, 7.0]
    assert gradient == ([None, 35.0], 15.0)


@BOTH_GRADS
def test_grad_filter_tree_for_one_input(gradient_of, scale):
    """`filter_tree` is a tree like the input. It is true where a leaf is differentiated, and false elsewhere."""
    product = {"a": 2.0, "b": (3.0, 5.0)}
    function = gradient_of(
        lambda tree: tree["a"] * tree["b"][0] * tree["b"][1], filter_tree={"a": True, "b": (False, True)}
    )
    assert function(product) == {"a": 15.0, "b": (None, 6.0)}


@BOTH_GRADS
@pytest.mark.parametrize("sequence", [tuple, list])
def test_grad_filter_tree_for_several_inputs(gradient_of, sequence):
    """`filter_tree` is a tuple or list with one tree for each input in `argnums`."""
    function = gradient_of(
        lambda a, b, c: a * b[0] * b[1] * c, argnums=(0, 1), filter_tree=sequence([True, [False, True]])
    )
    assert function(2.0, [3.0, 5.0], 7.0) == (105.0, [None, 42.0])
    swapped = gradient_of(lambda a, b: a * b, argnums=(1, 0), filter_tree=sequence([False, True]))
    assert swapped(2.0, 3.0) == (None, 3.0)


@BOTH_GRADS
def test_a_leaf_is_differentiated_by_filter_and_argnums(gradient_of, scale):
    """A leaf is differentiated if the filter says so and its input is in `argnums`."""

    def function(model, tree):
        return model(tree["x"]) * tree["y"]

    gradient = gradient_of(function, filter_fn=lambda leaf: leaf is not tree["y"], argnums=1)
    tree = {"x": jnp.array(3.0), "y": jnp.array(5.0)}
    assert gradient(scale, tree) == {"x": 10.0, "y": None}


def test_grad_takes_the_other_arguments_of_jax_grad():
    """`**kwargs` are the usual other arguments of `jax.grad`: `has_aux`, `holomorphic`, `allow_int`."""
    gradient, aux = eqx.gradf(lambda x: (x**2, "aux"), filter_fn=eqx.is_array_like, has_aux=True)(3.0)
    assert (gradient, aux) == (6.0, "aux")
    z = jnp.array(1.0 + 2.0j)
    holomorphic = eqx.gradf(lambda z: z**2, filter_fn=eqx.is_inexact_array, holomorphic=True)(z)
    np.testing.assert_allclose(holomorphic, jax.grad(lambda z: z**2, holomorphic=True)(z))
    integer = eqx.gradf(lambda x, i: x[i], filter_fn=eqx.is_array, argnums=(0, 1), allow_int=True)
    assert integer(jnp.ones(2), jnp.array(1))[1].dtype == jax.dtypes.float0


def test_is_inexact_array_differentiates_all_floating_arrays():
    """With `is_inexact_array`, all floating-point arrays are differentiated, and nothing else."""
    tree = [jnp.array(2.0), jnp.array(3, jnp.int32), jnp.array(4, jnp.bfloat16), True, 5.0, "text", jnp.tanh]
    gradient = eqx.gradf(lambda tree: tree[0] * tree[1] * tree[2] * tree[4], filter_fn=eqx.is_inexact_array)(tree)
    assert [None if leaf is None else float(leaf) for leaf in gradient] == [60.0, None, 30.0, None, None, None, None]
    assert gradient[2].dtype == jnp.bfloat16


def test_gradients_are_none_where_there_are_none(scale):
    """The gradient has the structure of the input, and is `None` for every part that isn't differentiated."""
    gradient = eqx.gradf(lambda tree: tree["model"](tree["x"]), filter_fn=eqx.is_inexact_array)
    gradient = gradient({"model": scale, "x": 3.0, "name": "text"})
    assert gradient["x"] is gradient["name"] is gradient["model"].flag is None
    expected = {"model": Scale(0.0, None), "x": None, "name": None}
    assert tree_util.tree_structure(gradient) == tree_util.tree_structure(expected)


def test_a_simple_tree_map_of_the_update_fails(scale):
    """A simple `tree_map` of the update fails at a `None`. `apply_updates` handles it."""
    gradient = eqx.gradf(lambda model: model(3.0), filter_fn=eqx.is_inexact_array)(scale)
    with pytest.raises((TypeError, ValueError)):
        tree_util.tree_map(lambda m, g: m - 0.1 * g, scale, gradient)
    updated = eqx.apply_updates(scale, tree_util.tree_map(lambda g: -0.1 * g, gradient))
    np.testing.assert_allclose(updated.weight, 2.0 - 0.1 * 3.0)
    assert updated.flag is False


def test_jax_tree_map():
    """The seed's text uses `jax.tree_map`. If this JAX has removed it, the error says so.

    `jax.tree_util.tree_map` always exists.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was deprecated before it was removed
        try:
            tree_map = jax.tree_map
        except AttributeError as error:
            assert "tree_map" in str(error)
            tree_map = tree_util.tree_map
        assert tree_map(lambda x: x + 1, Scale(1, 2)) == Scale(2, 3)


# Filters


def test_any_function_is_a_filter():
    """Any function from anything to a bool can be used as a filter."""
    tree = {"weight": jnp.ones((2, 2)), "bias": jnp.ones(2)}

    def matrices(leaf):
        return leaf.ndim == 2

    gradient = eqx.gradf(lambda tree: jnp.sum(tree["weight"] @ tree["bias"]), filter_fn=matrices)(tree)
    np.testing.assert_array_equal(gradient["weight"], np.ones((2, 2)))
    assert gradient["bias"] is None
    seen = TraceRecorder()
    eqx.jitf(seen, filter_fn=lambda leaf: leaf.ndim == 1 or leaf.size > 1)(tree)
    assert seen.kinds == ["traced", "traced"]


@pytest.mark.parametrize("predicate", [eqx.is_inexact_array, eqx.is_array_like], ids=lambda f: f.__name__)
def test_signatures_of_filters(predicate):
    """The filters that are provided take one argument, `element`."""
    assert list(inspect.signature(predicate).parameters) == ["element"]
    assert predicate(element=jnp.ones(2)) is True


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.complex64], ids=lambda x: x.__name__)
def test_is_inexact_array_of_floating_arrays(dtype):
    """`is_inexact_array` is true for a floating-point JAX array, but not for a NumPy array."""
    array = jnp.ones(2, dtype)
    assert eqx.is_inexact_array(array) is True
    assert eqx.is_inexact_array(np.asarray(array)) is False
    assert eqx.is_inexact_array(np.asarray(array)[0]) is False


@pytest.mark.parametrize(
    "element", [1.0, 1j, 1, True, [1.0], "1.0", None, jnp.tanh, object()], ids=lambda x: type(x).__name__
)
def test_is_inexact_array_of_what_is_no_array(element):
    """`is_inexact_array` is false for what is no JAX array, and for an array of integers or bools."""
    assert eqx.is_inexact_array(element) is False
    assert eqx.is_inexact_array(jnp.ones(2, int)) is eqx.is_inexact_array(jnp.ones(2, bool)) is False


class NoArray:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array")


@pytest.mark.parametrize(
    "element",
    [
        *[jnp.ones(2), jnp.ones(2, int), np.ones(2), np.float32(1), np.array("text"), np.array([None])],
        *[True, 1, 1.0, 1j, 2**31 - 1, 2**70, -(2**70), float("nan")],
        *[[1.0, 2], (1, 2.0), [], [[1, 2], [3]], [jnp.ones(2), np.ones(2)], [object()]],
        *["text", b"bytes", object(), jnp.tanh, int, {"a": 1}, {1}, NoArray(), slice(1)],
    ],
    ids=lambda x: "{}-{}".format(type(x).__name__, str(x)[:20].split(" at ")[0]),
)
def test_is_array_like(element):
    """`is_array_like` is true if `jax.numpy.array` succeeds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            jnp.array(element)
    except Exception:
        expected = False
    else:
        expected = True
    assert eqx.is_array_like(element) is expected


def test_none_is_no_array():
    """`is_array_like(None)` is false on every JAX, although some releases of `jax.numpy.array` make NaN of it."""
    assert eqx.is_array_like(None) is False
