"""All transformations nest in each other, in any order. The oracle is the same nesting in plain JAX, on arrays alone.

Each transformation is used twice. The first use takes a function `(model, x) -> (y, MARK)` and returns another one. The
second use takes a function `((weight, bias), x) -> y` and returns another one. So each use can take what any other one
returned.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from devices import mesh_of
from jax import lax

import equinox as eqx
from equinox import _compat
from equinox._compat.release import jax_release

MARK = object()  # what isn't an array comes back as it is, through all transformations
X = jnp.array([0.5, -0.25])
ONES = jnp.ones(2)


class Model(eqx.Module):
    weight: Any
    bias: Any
    mark: Any = MARK
    activation: Any = jnp.tanh
    name: str = eqx.field(static=True, default="model")

    def step(self, x):
        return self.activation(self.weight * x + self.bias), self.mark


def filtered_step(model, x):
    assert model.mark is MARK and model.name == "model"
    return model.step(x)


def plain_step(arrays, x):
    weight, bias = arrays
    return jnp.tanh(weight * x + bias)


def array_of(out):
    """`y` of `(y, MARK)`."""
    y, mark = out
    assert mark is MARK
    return y


def cotangent(model):
    """A tree like a gradient of `model`."""
    return Model(model.weight, model.bias, None, None)


def both(x):
    return jnp.stack([x, 2 * x])


# Derivatives. The result is one array of them, so that it is `y` for the next transformation.


def filtered_grad(f):
    def slope(model, x):
        grads, mark = eqx.filter_grad(lambda model: (array_of(f(model, x)).sum(), MARK), has_aux=True)(model)
        assert grads.mark is None
        return grads.weight + grads.bias, mark

    return slope


def plain_grad(f):
    def slope(arrays, x):
        weight, bias = jax.grad(lambda arrays: f(arrays, x).sum())(arrays)
        return weight + bias

    return slope


def filtered_value_and_grad(f):
    def slope(model, x):
        value, grads = eqx.filter_value_and_grad(lambda model: array_of(f(model, x)).sum())(model)
        return value * grads.weight, MARK

    return slope


def plain_value_and_grad(f):
    def slope(arrays, x):
        value, (weight, _) = jax.value_and_grad(lambda arrays: f(arrays, x).sum())(arrays)
        return value * weight

    return slope


def filtered_jvp(f):
    def direction(model, x):
        (_, mark), (y, none) = eqx.filter_jvp(f, (model, x), (cotangent(model), ONES))
        assert none is None
        return y, mark

    return direction


def plain_jvp(f):
    return lambda arrays, x: jax.jvp(f, (arrays, x), (arrays, ONES))[1]


def filtered_vjp(f):
    def pulled_back(model, x):
        (y, mark), vjp = eqx.filter_vjp(f, model, x)
        grads, slope = vjp((y, None))
        return grads.weight + slope, mark

    return pulled_back


def plain_vjp(f):
    def pulled_back(arrays, x):
        y, vjp = jax.vjp(f, arrays, x)
        (weight, _), slope = vjp(y)
        return weight + slope

    return pulled_back


def filtered_jacobian(transformation):
    def transform(f):
        def columns(model, x):
            jacobian, none = transformation(f)(model, x)
            assert jacobian.mark is None and none is None
            return jacobian.weight.sum(0), MARK

        return columns

    return transform


def plain_jacobian(transformation):
    return lambda f: lambda arrays, x: transformation(f)(arrays, x)[0].sum(0)


def filtered_hessian(f):
    def curvature(model, x):
        hessian = eqx.filter_hessian(lambda model: array_of(f(model, x)).sum())(model)
        assert hessian.mark is None
        return hessian.weight.bias.sum() + hessian.weight.weight.sum(0), MARK

    return curvature


def plain_hessian(f):
    def curvature(arrays, x):
        (of_weight, of_bias), _ = jax.hessian(lambda arrays: f(arrays, x).sum())(arrays)
        return of_bias.sum() + of_weight.sum(0)

    return curvature


# Custom rules. They give the true derivatives.


def filtered_custom_jvp(f):
    custom = eqx.filter_custom_jvp(f)

    @custom.def_jvp
    def jvp(primals, tangents):
        out, (y, _) = eqx.filter_jvp(f, primals, tangents)
        return out, (y, None)

    return custom


def plain_custom_jvp(f):
    custom = jax.custom_jvp(f)
    custom.defjvp(lambda primals, tangents: jax.jvp(f, primals, tangents))
    return custom


def filtered_custom_vjp(f):
    custom = eqx.filter_custom_vjp(lambda both: f(*both))

    @custom.def_fwd
    def fwd(perturbed, both):
        assert perturbed[0].mark is False
        return f(*both), (MARK, both)

    @custom.def_bwd
    def bwd(residuals, grad_out, perturbed, both):
        mark, both = residuals
        assert mark is MARK
        (_, vjp), (y, _) = eqx.filter_vjp(lambda both: f(*both), both), grad_out
        return vjp((jnp.zeros(2) if y is None else y, None))[0]

    return lambda model, x: custom((model, x))


def plain_custom_vjp(f):
    custom = jax.custom_vjp(f)
    custom.defvjp(lambda *both: (f(*both), both), lambda both, grad: jax.vjp(f, *both)[1](grad))
    return custom


# Loops and branches


def filtered_scan(f):
    def steps(model, x):
        step = lambda carry, _: ((carry[0], array_of(f(*carry))), MARK)  # noqa: E731
        (_, y), mark = eqx.filter_scan(step, (model, x), length=2)
        return y, mark

    return steps


def plain_scan(f):
    return lambda arrays, x: lax.scan(lambda carry, _: ((carry[0], f(*carry)), None), (arrays, x), None, 2)[0][1]


def filtered_while_loop(f):
    def steps(model, x):
        step = lambda carry: (carry[0] + 1, carry[1], f(carry[1], carry[2][0]))  # noqa: E731
        return eqx.filter_while_loop(lambda carry: carry[0] < 2, step, (jnp.array(0), model, (x, MARK)))[2]

    return steps


def plain_while_loop(f):
    def steps(arrays, x):
        step = lambda carry: (carry[0] + 1, carry[1], f(carry[1], carry[2]))  # noqa: E731
        return lax.while_loop(lambda carry: carry[0] < 2, step, (jnp.array(0), arrays, x))[2]

    return steps


def filtered_fori_loop(f):
    return lambda model, x: eqx.filter_fori_loop(0, 2, lambda i, carry: f(model, carry[0]), (x, MARK))


def plain_fori_loop(f):
    return lambda arrays, x: lax.fori_loop(0, 2, lambda i, carry: f(arrays, carry), x)


def filtered_map(f):
    def one_by_one(model, x):
        y, mark = eqx.filter_map(lambda x: f(model, x), both(x))
        return y.sum(0), mark

    return one_by_one


def plain_map(f):
    return lambda arrays, x: lax.map(lambda x: f(arrays, x), both(x)).sum(0)


def filtered_cond(f):
    def chosen(model, x):
        double = lambda model, x: (2 * array_of(f(model, x)), MARK)  # noqa: E731
        return eqx.filter_cond(x[0] > 0, f, double, model, x)

    return chosen


def plain_cond(f):
    def chosen(arrays, x):
        return lax.cond(x[0] > 0, lambda both: f(*both), lambda both: 2 * f(*both), (arrays, x))

    return chosen


def filtered_switch(f):
    return lambda model, x: eqx.filter_switch(jnp.argmax(x), [f, lambda model, x: (x, MARK)], model, x)


def plain_switch(f):
    return lambda arrays, x: lax.switch(jnp.argmax(x), [lambda both: f(*both), lambda both: both[1]], (arrays, x))


# All other transformations


def filtered_vmap(f):
    def mapped(model, x):
        y, mark = eqx.filter_vmap(f, in_axes=(None, 0))(model, both(x))
        return y.sum(0), mark

    return mapped


def plain_vmap(f):
    return lambda arrays, x: jax.vmap(f, in_axes=(None, 0))(arrays, both(x)).sum(0)


def filtered_closure_convert(f):
    """The arrays of the model are those that the converted function closes over."""
    return lambda model, x: eqx.filter_closure_convert(lambda x: f(model, x), x)(x)


def filtered_error_if(f):
    def checked(model, x):
        return f(*eqx.error_if((model, x), x > 100, "`x` is too large."))

    return checked


def unchanged(f):
    return f


def filtered_shard(f):
    def constrained(model, x):
        return eqx.filter_shard(f(model, x), jax.devices()[0])

    return constrained


def filtered_device_put(f):
    return lambda model, x: f(eqx.filter_device_put(model), x)


def filtered_shard_map(f):
    whole = jax.sharding.PartitionSpec()
    return eqx.filter_shard_map(f, mesh=mesh_of(d=1), in_specs=whole, out_specs=whole)


def plain_shard_map(f):
    whole = jax.sharding.PartitionSpec()
    return _compat.shard_map(f, mesh_of(d=1), (whole, whole), whole)


def filtered_eval_shape(f):
    def shaped(model, x):
        shape, mark = eqx.filter_eval_shape(f, model, x)
        return jnp.zeros(shape.shape, shape.dtype) + x, mark

    return shaped


def filtered_make_jaxpr(f):
    def staged(model, x):
        jaxpr, (shape, _), (_, mark) = eqx.filter_make_jaxpr(f)(model, x)
        assert len(jaxpr.in_avals) == 3 and len(jaxpr.out_avals) == 1
        return jnp.zeros(shape.shape, shape.dtype) + x, mark

    return staged


def plain_shape(f):
    return lambda arrays, x: jnp.zeros(jax.eval_shape(f, arrays, x).shape) + x


def filtered_pure_callback(f):
    def called(model, x):
        y, mark = f(model, x)
        host = lambda model, y: (np.tanh(model.weight * y), MARK)  # noqa: E731
        shapes = jax.ShapeDtypeStruct((2,), np.float32), mark
        return eqx.filter_pure_callback(host, model, y, result_shape_dtypes=shapes, vmap_method="sequential")

    return called


def plain_pure_callback(f):
    def called(arrays, x):
        host = lambda weight, y: np.tanh(weight * y)  # noqa: E731
        new = "vmap_method" in inspect.signature(jax.pure_callback).parameters
        options = {"vmap_method": "sequential"} if new else {}
        return jax.pure_callback(host, jax.ShapeDtypeStruct((2,), np.float32), arrays[0], f(arrays, x), **options)

    return called


# Public name -> its two uses. Each pair of these is tested.
USES = {
    "error_if": (filtered_error_if, unchanged),
    "filter_checkpoint": (eqx.filter_checkpoint, jax.checkpoint),
    "filter_closure_convert": (filtered_closure_convert, unchanged),
    "filter_cond": (filtered_cond, plain_cond),
    "filter_custom_jvp": (filtered_custom_jvp, plain_custom_jvp),
    "filter_custom_vjp": (filtered_custom_vjp, plain_custom_vjp),
    "filter_eval_shape": (filtered_eval_shape, plain_shape),
    "filter_grad": (filtered_grad, plain_grad),
    "filter_jacfwd": (filtered_jacobian(eqx.filter_jacfwd), plain_jacobian(jax.jacfwd)),
    "filter_jacrev": (filtered_jacobian(eqx.filter_jacrev), plain_jacobian(jax.jacrev)),
    "filter_jit": (eqx.filter_jit, jax.jit),
    "filter_jvp": (filtered_jvp, plain_jvp),
    "filter_make_jaxpr": (filtered_make_jaxpr, plain_shape),
    "filter_map": (filtered_map, plain_map),
    "filter_pure_callback": (filtered_pure_callback, plain_pure_callback),
    "filter_scan": (filtered_scan, plain_scan),
    "filter_vjp": (filtered_vjp, plain_vjp),
    "filter_vmap": (filtered_vmap, plain_vmap),
    "filter_while_loop": (filtered_while_loop, plain_while_loop),
}
# They share their code with those above, or JAX has them late. They are tested in chains.
RELATIVES = {
    "filter_fori_loop": (filtered_fori_loop, plain_fori_loop),
    "filter_device_put": (filtered_device_put, unchanged),
    "filter_hessian": (filtered_hessian, plain_hessian),
    "filter_shard": (filtered_shard, unchanged),
    "filter_shard_map": (filtered_shard_map, plain_shard_map),
    "filter_switch": (filtered_switch, plain_switch),
    "filter_value_and_grad": (filtered_value_and_grad, plain_value_and_grad),
}
CHAINS = [
    "vmap grad scan custom_vjp checkpoint cond",
    "jit jacfwd vmap scan custom_jvp switch",
    "jacrev map value_and_grad closure_convert jvp",
    "hessian fori_loop custom_jvp switch jit",
    "scan vjp custom_vjp map value_and_grad checkpoint",
    "custom_vjp vmap while_loop jit grad fori_loop",
    "checkpoint switch jacrev scan closure_convert vmap",
    "while_loop make_jaxpr hessian eval_shape vjp",
    "vmap shard device_put grad scan shard jit",
    "grad shard_map scan custom_jvp jit",
    "jit shard_map vmap grad cond custom_vjp",
]


def outputs(chain, weight, bias, x):
    """What both uses of a chain of transformations return. The first one is the outermost. An error is returned too."""
    uses = dict(USES, **RELATIVES)
    filtered, plain = filtered_step, plain_step
    for name in reversed(chain):
        filtered, plain = uses[name][0](filtered), uses[name][1](plain)
    got = returned_or_raised(lambda: array_of(filtered(Model(weight, bias), x)))
    return got, returned_or_raised(lambda: plain((weight, bias), x))


def returned_or_raised(fun):
    try:
        return fun()
    except (NotImplementedError, TypeError, ValueError) as error:
        return error


def check(chains):
    """Compare both uses of each chain. All of them are in one program, because compiling many takes longer."""
    errors = {}

    def program(weight, bias, x):
        found = {}
        for chain in chains:
            pair = outputs(chain, weight, bias, x)
            (errors if any(isinstance(y, Exception) for y in pair) else found)[chain] = pair
        return found

    compared = jax.jit(program)(jnp.array([0.75, -0.5]), jnp.array([0.125, 0.25]), X)
    for chain, (got, expected) in compared.items():
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=" of ".join(chain))
    for chain, (got, expected) in errors.items():
        assert type(got) is type(expected), "{}: {!r}, expected {!r}".format(" of ".join(chain), got, expected)
    return set(errors)


def lacking(names):
    """The message that names what the running JAX lacks for these transformations. `None` if it has all."""
    try:
        for name in names:
            feature = {"filter_shard": "filter_shard in a transformation"}.get(name, name)
            if feature in _compat.SINCE:
                _compat.require(feature)
    except NotImplementedError as error:
        return str(error)


def inner_names(outer):
    """The transformations whose result `outer` takes."""
    late = {"filter_jvp": "filter_custom_vjp"}  # JAX refuses this pair as late as when it compiles the program
    return [name for name in sorted(USES) if not lacking([name]) and name != late.get(outer)]


@pytest.mark.parametrize("outer", sorted(USES))
def test_each_transformation_takes_what_each_other_returns(outer):
    """Where plain JAX refuses a pair, the filtered pair is refused with an error of the same type."""
    if lacking([outer]):
        pytest.skip(lacking([outer]))
    refused = check([(outer, inner) for inner in inner_names(outer)])
    assert {inner for _, inner in refused} <= {"filter_pure_callback", "filter_while_loop", "filter_custom_vjp"}


@pytest.mark.parametrize("chain", CHAINS)
def test_transformations_nest_in_long_chains(chain):
    names = tuple("filter_" + name for name in chain.split())
    if lacking(names):
        pytest.skip(lacking(names))
    if "shard_map" in chain and "custom" in chain and jax_release(jax) < (0, 6, 2):
        pytest.skip("JAX up to 0.4.38 wants `check_vma=False` of shard_map around a custom rule")
    assert not check([names])


def test_all_transformations_are_nested():
    others = {"filter_pmap"}  # needs a device for each example
    assert {*USES, *RELATIVES, *others} >= {name for name in eqx.__all__ if name.startswith("filter_")}
    assert {"filter_" + name for chain in CHAINS for name in chain.split()} >= set(RELATIVES)
