"""The third part of the seed's text: `Module`, its attributes, its `__init__`, and its methods."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import tree_util
from tracing import TraceRecorder

import equinox as eqx


class MyModule(eqx.Module):
    weight: Any
    bias: Any
    submodule: eqx.Module

    def meth(self, x):
        return self.weight * x + self.bias


class AnotherModule(eqx.Module):
    weight: Any

    def __init__(self, input_size, output_size, key):
        self.weight = jax.random.normal(key, (output_size, input_size))


class LinearWithoutBias(eqx.Module):
    weight: Any

    def __call__(self, x):
        return self.weight @ x


@pytest.fixture
def instance():
    return MyModule(jnp.array(2.0), jnp.array(3.0), LinearWithoutBias(jnp.eye(2)))


# Attributes


def test_a_model_inherits_from_module(instance):
    """`Module` is a base class: create your model by inheriting from it."""
    assert isinstance(instance, eqx.Module)
    assert not hasattr(eqx.Module(), "weight")


def test_attributes_are_specified_as_in_dataclasses():
    """You specify all attributes at the class level, identical to dataclasses: defaults and order included."""

    class WithDefault(eqx.Module):
        first: Any
        second: Any = 2
        third: Any = dataclasses.field(default_factory=list)

    @dataclasses.dataclass
    class Plain:
        first: Any
        second: Any = 2
        third: Any = dataclasses.field(default_factory=list)

    for cls in (WithDefault, Plain):
        assert dataclasses.is_dataclass(cls)
        assert [field.name for field in dataclasses.fields(cls)] == ["first", "second", "third"]
        assert dataclasses.astuple(cls(1)) == (1, 2, [])


def test_attributes_are_the_children(instance):
    """The attributes define the children of the pytree, in their order."""
    one_level, structure = tree_util.tree_flatten(instance, is_leaf=lambda x: x is not instance)
    assert [a is b for a, b in zip(one_level, (instance.weight, instance.bias, instance.submodule))] == [True] * 3
    assert len(one_level) == 3
    assert len(tree_util.tree_leaves(instance)) == 3
    assert structure.unflatten([1, 2, 3]).submodule == 3


# `__init__`


@pytest.mark.parametrize(
    "args, kwargs",
    [((1, 2, 3), {}), ((), {"weight": 1, "bias": 2, "submodule": 3}), ((1,), {"submodule": 3, "bias": 2})],
    ids=["by position", "by keyword", "by both"],
)
def test_a_default_init_is_provided(args, kwargs):
    """A default `__init__` fills in the attributes with the arguments, by position or by keyword."""
    made = MyModule(*args, **kwargs)
    assert (made.weight, made.bias, made.submodule) == (1, 2, 3)


@pytest.mark.parametrize(
    "args, kwargs, named",
    [((1, 2), {}, "submodule"), ((1, 2, 3), {"other": 4}, "other"), ((1, 2, 3), {"bias": 4}, "bias")],
    ids=["too few", "unknown", "twice"],
)
def test_the_default_init_refuses_other_arguments(args, kwargs, named):
    """The default `__init__` takes the attributes, and nothing else."""
    with pytest.raises(TypeError, match=named):
        MyModule(*args, **kwargs)


def test_an_init_of_your_own():
    """You can provide an `__init__` yourself, for example to specify sizes instead of raw weights."""
    key = jax.random.PRNGKey(0)
    made = AnotherModule(3, output_size=2, key=key)
    np.testing.assert_array_equal(made.weight, jax.random.normal(key, (2, 3)))


def test_init_assigns_every_attribute():
    """By the end of `__init__` every attribute must have been assigned. The error names the missing ones."""

    class Forgetful(eqx.Module):
        first: Any
        second: Any
        third: Any

        def __init__(self, what):
            for name in what:
                setattr(self, name, 1)

    with pytest.raises(ValueError, match="`Forgetful.__init__` must set every field; missing: `first`, `third`"):
        Forgetful(["second"])
    assert Forgetful(["third", "first", "second"]).second == 1


def test_init_assigns_nothing_but_attributes():
    """All attributes are specified at the class level. Another one can't be assigned, and the error names it."""

    class Surprise(eqx.Module):
        first: Any

        def __init__(self):
            self.first = 1
            self.second = 2

    with pytest.raises(AttributeError, match="`Surprise` has no field `second`"):
        Surprise()


# Immutability


@pytest.mark.parametrize("name", ["weight", "other", "meth"])
def test_models_are_immutable(instance, name):
    """After initialisation attributes cannot be modified, removed or added."""
    before = tree_util.tree_leaves(instance)
    with pytest.raises(AttributeError, match=name):
        setattr(instance, name, 1)
    with pytest.raises(AttributeError, match=name):
        delattr(instance, name)
    assert all(a is b for a, b in zip(before, tree_util.tree_leaves(instance)))


def test_models_are_immutable_inside_transformations(instance):
    """Models are immutable inside transformations too."""

    def function(model):
        with pytest.raises(AttributeError, match="weight"):
            model.weight = 1
        return model.weight

    assert jax.jit(function)(instance) == 2.0
    assert jax.grad(function)(instance).weight == 1.0


def test_updates_make_a_new_model(instance):
    """Updates of parameters make a new model instead of mutating the old one."""
    updated = eqx.apply_updates(instance, tree_util.tree_map(jnp.ones_like, instance))
    assert (float(updated.weight), float(instance.weight)) == (3.0, 2.0)
    assert updated is not instance and updated.submodule is not instance.submodule


# Methods


def test_methods_have_access_to_the_attributes(instance):
    """`self` is an input, treated as a pytree. Methods get its attributes, which are traced if the instance is."""
    seen = TraceRecorder(MyModule.meth)
    assert instance.meth(4.0) == 11.0
    assert jax.jit(seen)(instance, 4.0) == 11.0
    assert seen.kinds == ["traced"] * 4


def test_call_is_the_forward_pass():
    """Defining `__call__` gives an easy way to define a forward pass."""
    weight = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    np.testing.assert_allclose(LinearWithoutBias(weight)(np.array([5.0, 6.0])), weight @ np.array([5.0, 6.0]))


def test_jit_of_the_method_of_the_class(instance):
    """In `jax.jit(MyModule.meth)(instance, ...)` the instance is an input. Another instance needs no compilation."""
    seen = TraceRecorder(MyModule.meth)
    compiled = jax.jit(seen)
    assert compiled(instance, 4.0) == 11.0
    assert compiled(eqx.tree_at(lambda m: m.weight, instance, jnp.array(5.0)), 4.0) == 23.0
    assert seen.traces == 1
    assert jax.jit(MyModule.meth)(instance, 4.0) == 11.0


def test_jit_of_a_function_that_calls_the_method(instance):
    """A jitted function of the instance may call the method or the instance itself."""

    @jax.jit
    def func(instance, args):
        return instance.meth(args), instance.submodule(jnp.ones(2) * args)

    out, called = func(instance, 4.0)
    assert out == 11.0
    np.testing.assert_array_equal(called, [4.0, 4.0])


@pytest.mark.parametrize(
    "transform",
    [
        jax.grad,
        lambda f: eqx.jitf(eqx.gradf(f, filter_fn=eqx.is_inexact_array), filter_fn=eqx.is_array_like),
        lambda f: lambda *args: eqx.value_and_grad_f(f, filter_fn=eqx.is_inexact_array)(*args)[1],
    ],
    ids=["grad", "jitf and gradf", "value_and_grad_f"],
)
def test_other_transformations_of_the_method_of_the_class(transform, instance):
    """The same holds for `jax.grad`, `equinox.jitf` and so on."""
    gradient = transform(MyModule.meth)(instance, 4.0)
    assert (float(gradient.weight), float(gradient.bias)) == (4.0, 1.0)
    np.testing.assert_array_equal(gradient.submodule.weight, np.zeros((2, 2)))


def test_jit_of_a_bound_method(instance):
    """`jax.jit(instance.meth)` gets `self` implicitly. `self` can't be modified, so it is a pure function."""
    other = eqx.tree_at(lambda m: m.weight, instance, jnp.array(5.0))
    for model, expected in [(instance, 11.0), (other, 23.0), (instance, 11.0)]:
        assert jax.jit(model.meth)(4.0) == expected
        assert eqx.jitf(model.meth, filter_fn=eqx.is_array_like)(4.0) == expected
    assert jax.grad(instance.meth)(4.0) == 2.0
