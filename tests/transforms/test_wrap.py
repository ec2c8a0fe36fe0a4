"""What all transformations have in common: decorators, the class of what they return, copies and pickles."""

import copy
import functools as ft
import inspect
import pickle
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from devices import CAN_SHARD, mesh_of
from jax import tree_util
from modules import Affine, affine

import equinox as eqx
from equinox import _compat
from equinox._transforms.wrap import _transformations

X = jnp.array([3.0, 4.0])


def total(model, x, scale=1.0):
    """Sum the output of a model."""
    return (scale * model(x)).sum()


total.attribute = "kept"


def total_jvp(primals, tangents):
    return jax.jvp(total, primals, tangents)


def total_fwd(perturbed, model, x):
    return total(model, x), None


def total_bwd(residuals, grad_out, perturbed, model, x):
    return None


def shard_map_options():
    """For a mesh of one device, where JAX has meshes."""
    mesh = mesh_of(d=1) if CAN_SHARD else None
    return {"mesh": mesh, "in_specs": None, "out_specs": None}


TRANSFORMATIONS = {
    "assert_max_traces": (eqx.debug.assert_max_traces, {"max_traces": None}),
    "filter_checkpoint": (eqx.filter_checkpoint, {}),
    "filter_custom_jvp": (eqx.filter_custom_jvp, {"jvp": total_jvp}),
    "filter_custom_vjp": (eqx.filter_custom_vjp, {"fwd": total_fwd, "bwd": total_bwd}),
    "filter_grad": (eqx.filter_grad, {}),
    "filter_hessian": (eqx.filter_hessian, {}),
    "filter_jacfwd": (eqx.filter_jacfwd, {}),
    "filter_jacrev": (eqx.filter_jacrev, {}),
    "filter_jit": (eqx.filter_jit, {}),
    "filter_make_jaxpr": (eqx.filter_make_jaxpr, {}),
    "filter_pmap": (eqx.filter_pmap, {"in_axes": (None, 0)}),
    "filter_shard_map": (eqx.filter_shard_map, shard_map_options()),
    "filter_value_and_grad": (eqx.filter_value_and_grad, {}),
    "filter_vmap": (eqx.filter_vmap, {"in_axes": (None, 0)}),
    "gradf": (eqx.gradf, {"filter_fn": eqx.is_inexact_array}),
    "jitf": (eqx.jitf, {"filter_fn": eqx.is_array}),
    "value_and_grad_f": (eqx.value_and_grad_f, {"filter_fn": eqx.is_inexact_array}),
}
OPTIONS = {
    "assert_max_traces": {"max_traces": 9},
    "filter_checkpoint": {"prevent_cse": False},
    "filter_custom_jvp": {"jvp": None},
    "filter_custom_vjp": {"fwd": total_fwd},
    "filter_grad": {"argnums": (0, 1)},
    "filter_hessian": {"holomorphic": False},
    "filter_jacfwd": {"holomorphic": False},
    "filter_jacrev": {"allow_int": False},
    "filter_jit": {"static_argnums": 2},
    "filter_make_jaxpr": {"axis_env": [("batch", 2)]},
    "filter_pmap": {"in_axes": (None, 0), "out_axes": eqx.if_array(-1), "axis_size": 2},
    "filter_shard_map": dict(shard_map_options(), check_vma=False),
    "filter_value_and_grad": {"has_aux": False, "holomorphic": False},
    "filter_vmap": {"in_axes": (None, 0), "out_axes": eqx.if_array(-1), "axis_size": 2},
    "gradf": {"filter_tree": Affine(True, False)},
    "jitf": {"filter_tree": (Affine(True, True), True)},
    "value_and_grad_f": {"argnums": 1, "filter_fn": eqx.is_inexact_array},
}


EQUAL_TO_ITSELF = {"assert_max_traces"}  # each result has a count of its own
WITHOUT_PICKLES = {"filter_shard_map"}  # JAX pickles no mesh


@pytest.fixture(params=sorted(TRANSFORMATIONS))
def name(request):
    return existing(request.param)


@pytest.fixture(params=sorted(set(TRANSFORMATIONS) - EQUAL_TO_ITSELF))
def comparable(request):
    """The name of a transformation whose results are equal if the functions and the options are."""
    return existing(request.param)


@pytest.fixture(params=sorted(set(TRANSFORMATIONS) - EQUAL_TO_ITSELF - WITHOUT_PICKLES))
def portable(request):
    """The name of a transformation whose results have pickles that are equal to them."""
    return request.param


def existing(name):
    """The name, if the running JAX has what the transformation needs."""
    if name in _compat.SINCE:
        try:
            _compat.require(name)
        except NotImplementedError as error:
            pytest.skip(str(error))
    return name


def transformed(name, fun=total):
    function, options = TRANSFORMATIONS[name]
    return function(fun, **options)


def test_a_keyword_argument_may_have_any_name(name):
    names = {"self", "args", "kwargs", *inspect.signature(TRANSFORMATIONS[name][0]).parameters}
    seen = []

    def fun(model, value, **keywords):
        seen.append(set(keywords))
        return value.sum()

    transformed(name, fun)(affine(), X[:1], **dict.fromkeys(names, 1.0))
    assert seen[-1] == names


def same(f, g):
    """Whether two functions return the same for the same inputs."""
    return eqx.tree_equal(*[tree_util.tree_map(shown, h(affine(), X)) for h in (f, g)])


def shown(x):
    """Each leaf as it is compared: a jaxpr is only equal to itself."""
    return x if eqx.is_array(x) else str(x)


def test_all_transformations_are_tested():
    assert set(TRANSFORMATIONS) == set(_transformations) <= {*eqx.__all__, *eqx.debug.__all__}


def test_a_call_and_both_decorators_are_the_same(comparable):
    function, options = TRANSFORMATIONS[comparable]
    spelled = [function(total, **options), function(**options)(total), ft.partial(function, **options)(total)]
    assert spelled[0] == spelled[1] == spelled[2]
    assert same(spelled[0], spelled[1]) and same(spelled[0], spelled[2])


def test_it_has_the_name_docstring_signature_and_attributes_of_its_function(name):
    f = transformed(name)
    assert (f.__name__, f.__qualname__, f.__doc__, f.__module__) == ("total", "total", total.__doc__, __name__)
    assert inspect.signature(f) == inspect.signature(total)
    assert f.__wrapped__ is total and inspect.unwrap(f) is total and f.attribute == "kept"
    assert eqx.filter_jit(f).attribute == "kept"
    with pytest.raises(AttributeError, match="no attribute `other`"):
        _ = f.other
    assert name in repr(f) and "total" in repr(f)


def test_it_does_not_have_the_fields_of_a_model(name):
    f = transformed(name, affine())
    assert not hasattr(f, "weight") and f.__wrapped__.weight.shape == (2,) and not hasattr(f, "__name__")


def test_an_object_that_is_not_callable_is_refused(name):
    with pytest.raises(TypeError, match="`{}` expects a function or another callable, got `int` 3".format(name)):
        transformed(name, 3)


# A pytree whose child is the function


def test_it_is_a_pytree_whose_child_is_its_function(name):
    f, m = transformed(name), affine()
    assert tree_util.tree_leaves(f) == [total]
    g = transformed(name, m)
    assert [x is y for x, y in zip(tree_util.tree_leaves(g), [m.weight, m.bias])] == [True, True]
    doubled = tree_util.tree_map(lambda x: 2 * x, g)
    assert type(doubled) is type(g) and eqx.tree_equal(doubled.__wrapped__, Affine(2 * m.weight, 2 * m.bias))
    assert eqx.tree_at(lambda g: g.__wrapped__.bias, g, None).__wrapped__.bias is None
    assert eqx.tree_equal(jax.jit(lambda g: g)(g), g)


@pytest.mark.parametrize("child", [None, 1, object(), [X], {}], ids=lambda x: type(x).__name__)
def test_any_child_may_take_the_place_of_the_function(name, child):
    """JAX and users put placeholders into trees. Nothing is checked, and nothing is computed."""
    g = tree_util.tree_unflatten(tree_util.tree_structure(transformed(name)), [child])
    assert g.__wrapped__ is child


def test_a_transformed_model_is_seen_by_the_next_transformation():
    """Its gradient holds the gradient of the model."""
    m = affine()
    f = eqx.filter_jit(m)
    grads = jax.grad(lambda f: f(X).sum())(f)
    expected = jax.grad(lambda m: m(X).sum())(m)
    assert type(grads) is type(f) and eqx.tree_equal(grads.__wrapped__, expected)


# Equality, hashing, references


def test_it_hashes_and_compares_by_its_function_and_options(comparable):
    m = affine()
    assert transformed(comparable) == transformed(comparable) and hash(transformed(comparable)) == hash(
        transformed(comparable)
    )
    assert transformed(comparable, m) == transformed(comparable, m) and hash(transformed(comparable, m)) == hash(
        transformed(comparable, m)
    )
    assert transformed(comparable, m) != transformed(comparable, affine()) and transformed(comparable) != total
    function, _ = TRANSFORMATIONS[comparable]
    with_options = [function(total, **OPTIONS[comparable]) for _ in range(2)]
    assert with_options[0] == with_options[1] != transformed(comparable)
    assert len({*with_options, transformed(comparable), transformed(comparable)}) == 2


def test_options_that_cannot_be_hashed_are_only_equal_to_themselves():
    options = {"filter_fn": eqx.is_array, "static_argnums": {1}}
    f, g = eqx.jitf(total, **options), eqx.jitf(total, **options)
    assert f == f and f != g and hash(f) == hash(f)
    assert tree_util.tree_map(lambda x: x, f) == f


def test_it_can_be_referred_to_weakly(name):
    f = transformed(name)
    assert weakref.ref(f)() is f


# Methods


class Plain:
    """A class that is no module."""

    def __init__(self, factor):
        self.factor = factor

    @eqx.filter_jit
    def jitted(self, x):
        return self.factor * x

    @eqx.filter_grad(argnums=1)
    def slope(self, x):
        return self.factor * x**2


class Modular(eqx.Module):
    factor: Any

    @eqx.filter_jit
    def jitted(self, x):
        return self.factor * x

    @eqx.filter_grad(argnums=1)
    def slope(self, x):
        return self.factor * x**2

    @eqx.filter_grad
    def gradient(self, x):
        return (self.factor * x) ** 2


@pytest.mark.parametrize("cls", [Plain, Modular])
def test_it_binds_as_a_method_does(cls):
    instance = cls(3.0)
    assert instance.jitted(X).tolist() == [9.0, 12.0] and cls.jitted(instance, X).tolist() == [9.0, 12.0]
    two = jnp.array(2.0)
    assert instance.slope(two) == 12.0 == cls.slope(instance, two)


def test_the_gradient_of_a_method_is_that_of_its_model():
    assert Modular(jnp.array(3.0)).gradient(2.0).factor == 24.0


# Copies and pickles


@eqx.filter_jit
def module_level(x):
    return x + 1


def test_a_copy_of_a_transformed_function_is_itself(name):
    f = transformed(name)
    assert copy.copy(f) is f and copy.deepcopy(f) is f


def test_a_deep_copy_of_a_transformed_model_has_a_model_of_its_own(name):
    f = transformed(name, affine())
    g = copy.deepcopy(f)
    assert type(g) is type(f) and g.__wrapped__ is not f.__wrapped__ and eqx.tree_equal(g.__wrapped__, f.__wrapped__)
    assert copy.copy(f) is f


def test_a_pickle_keeps_function_and_options(portable):
    function, _ = TRANSFORMATIONS[portable]
    for f in (transformed(portable), function(total, **OPTIONS[portable])):
        assert pickle.loads(pickle.dumps(f)) == f
    g = pickle.loads(pickle.dumps(transformed(portable, affine())))
    assert eqx.tree_equal(g.__wrapped__, affine())


def test_a_list_among_the_options_may_change_later():
    """The options keep a copy from the time when the function was transformed. A pickle has this copy."""
    argnums, spec = [0, 1], [True, False]
    f = eqx.gradf(jnp.multiply, argnums=argnums, filter_tree=spec)
    argnums.pop()
    spec[1] = True
    for g in (f, pickle.loads(pickle.dumps(f))):
        assert g(X[0], X[1]) == (4.0, None)


@pytest.mark.parametrize("child", [None, False, 1, [1]])
def test_a_placeholder_for_the_function_is_copied_and_pickled(portable, child):
    """A tree of gradients or of bools has such placeholders."""
    f = tree_util.tree_unflatten(tree_util.tree_structure(transformed(portable)), [child])
    for again in (copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert type(again) is type(f) and again.__wrapped__ == child
        assert tree_util.tree_structure(again) == tree_util.tree_structure(f)


def test_a_pickle_of_a_transformation_that_does_not_exist_says_so():
    pickled = pickle.dumps(eqx.filter_jit(total), 2).replace(b"filter_jit", b"filter_jut")
    with pytest.raises(
        pickle.UnpicklingError, match="the transformation 'filter_jut', which this version of equinox doesn't have"
    ):
        pickle.loads(pickled)


def test_a_decorated_function_of_a_module_is_pickled_by_its_name():
    """Unpickling returns the same object, as for a plain function."""
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert pickle.loads(pickle.dumps(Modular.jitted)) is Modular.jitted
    again = eqx.filter_jit(module_level)
    assert pickle.loads(pickle.dumps(again)) == again
