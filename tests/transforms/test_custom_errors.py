"""What `filter_custom_jvp` and `filter_custom_vjp` refuse: inputs without a rule, and results that don't fit."""

import jax
import jax.numpy as jnp
import pytest

import equinox as eqx

TWO, THREE = jnp.array(2.0), jnp.array(3.0)

WRAPPERS = pytest.mark.parametrize("wrap", [lambda f: f, eqx.filter_jit], ids=["eager", "filter_jit"])


def multiply(x, y, *, z=1.0):
    return x["a"] * y * (z["b"] if isinstance(z, dict) else z)


def forward_multiply():
    f = eqx.filter_custom_jvp(multiply)
    f.def_jvp(lambda primals, tangents, **kwargs: (f(*primals, **kwargs), tangents[0]["a"]))
    return f


def backward_multiply():
    f = eqx.filter_custom_vjp(multiply)
    f.def_fwd(lambda perturbed, *args, **kwargs: (f(*args, **kwargs), None))
    f.def_bwd(lambda residuals, grad_out, perturbed, *args, **kwargs: {"a": grad_out})
    return f


NAMES = {forward_multiply: "filter_custom_jvp", backward_multiply: "filter_custom_vjp"}


@WRAPPERS
def test_differentiating_what_has_no_rule_is_refused_by_path(wrap):
    x = {"a": TWO}
    f = forward_multiply()
    of_keyword = lambda z: f(x, THREE, z={"b": z})  # noqa: E731
    message = r"`filter_custom_jvp` differentiates only positional inputs, but `z\['b'\]` is differentiated too\. Pass"
    with pytest.raises(ValueError, match=message):
        jax.grad(wrap(of_keyword))(TWO)
    g = backward_multiply()
    message = r"`filter_custom_vjp` differentiates only the first input, but `{}` is differentiated too\. Put it into"
    with pytest.raises(ValueError, match=message.format(r"z\['b'\]")):
        jax.grad(wrap(lambda z: g(x, THREE, z={"b": z})))(TWO)
    with pytest.raises(ValueError, match=message.format("y")):
        jax.grad(wrap(lambda y: g(x, y)))(TWO)
    with pytest.raises(ValueError, match=message.format("y")):
        jax.grad(wrap(lambda y: jax.vmap(g)({"a": jnp.stack([y, y])}, jnp.stack([y, y])).sum()))(TWO)


@WRAPPERS
@pytest.mark.parametrize("make", [forward_multiply, backward_multiply], ids=["jvp", "vjp"])
def test_differentiating_what_a_function_closes_over_is_refused_by_path(make, wrap):
    """Also through another function. Where it isn't differentiated, it may be closed over as in JAX."""

    def loss(w, x):
        tree = {"w": [w]}
        inner = lambda x: tree["w"][0] * x  # noqa: E731
        rules = {"jvp": lambda primals, tangents: (6 * TWO, tangents[0])}
        if make is backward_multiply:
            rules = {"fwd": lambda perturbed, x: (6 * TWO, None), "bwd": lambda residuals, grad_out, *_: grad_out}
        return getattr(eqx, NAMES[make])(lambda x: inner(x), **rules)(x)

    message = r"`{}` differentiates only .*, but `tree\['w'\]\[0\]` is differentiated too\.".format(NAMES[make])
    if make is backward_multiply and wrap is eqx.filter_jit:
        message = "{}|custom_vjp function with respect to a closed-over value".format(message)  # of JAX, from 0.2.19 on
    for argnums in (0, (0, 1)):
        with pytest.raises(Exception, match=message):
            jax.grad(wrap(loss), argnums)(TWO, THREE)
    assert jax.grad(wrap(loss), 1)(TWO, THREE) == 1
    assert jax.vmap(wrap(loss), (0, None))(jnp.stack([TWO, THREE]), THREE).tolist() == [6, 9]


@WRAPPERS
def test_a_stopped_gradient_is_no_differentiation(wrap):
    stop = jax.lax.stop_gradient
    f, g = forward_multiply(), backward_multiply()
    assert jax.grad(wrap(lambda y: y * f({"a": TWO}, THREE, z={"b": stop(y)})))(TWO) == 12
    assert jax.grad(wrap(lambda y: y * g({"a": TWO}, stop(y), z={"b": stop(y)})))(TWO) == 8
    assert jax.vmap(wrap(lambda y: g({"a": TWO}, y, z={"b": y})))(jnp.stack([TWO]))[0] == 8


def test_a_function_without_a_rule_says_what_to_do():
    f = eqx.filter_custom_jvp(multiply)
    with pytest.raises(AttributeError, match=r"`filter_custom_jvp` expects a rule .* `@multiply\.def_jvp`"):
        f({"a": TWO}, THREE)
    g = eqx.filter_custom_vjp(multiply)
    g.def_bwd(lambda *args: None)
    with pytest.raises(AttributeError, match=r"`filter_custom_vjp` expects a rule .* `@multiply\.def_fwd`"):
        g({"a": TWO}, THREE)


@pytest.mark.filterwarnings("ignore:`defvjp` is the old way")
def test_rules_that_are_not_callable_are_refused():
    for define in (eqx.filter_custom_jvp(multiply).def_jvp, lambda x: eqx.filter_custom_jvp(multiply, jvp=x)):
        with pytest.raises(TypeError, match="expects a function or another callable.*, got `int` 3"):
            define(3)
    f = eqx.filter_custom_vjp(multiply)
    for define in (f.def_fwd, f.def_bwd, lambda x: f.defvjp(len, x), lambda x: f.defvjp(x, len)):
        with pytest.raises(TypeError, match="expects a function or another callable.*, got `int` 3"):
            define(3)


def test_the_first_input_of_a_custom_vjp_comes_by_position():
    with pytest.raises(TypeError, match="`filter_custom_vjp` expects its first input by position"):
        backward_multiply()(x={"a": TWO}, y=THREE)


X = {"a": TWO, "n": 3, "i": jnp.arange(2)}

BAD_OUTPUTS = [
    (lambda t: 3, TypeError, r"expects `jvp` to return a pair `\(out, out_tangents\)`, got `int` 3"),
    (lambda t: (1, 2, 3), ValueError, r"expects `jvp` to return a pair .*, got a `tuple` of length 3"),
]

# Tangents or gradients of `X`.
BAD_TANGENTS = [
    (lambda t: {"a": t}, ValueError, r"At `{0}` expected a `dict` with `\['a'\]`, `\['i'\]`, `\['n'\]`, got a `dict`"),
    (lambda t: t, ValueError, r"At `{0}` expected a `dict`, got a leaf"),
    (lambda t: {"a": [t], "n": None, "i": None}, ValueError, r"At `{0}\['a'\]` expected a leaf .*, got a `list`"),
    (
        lambda t: {"a": jnp.stack([t]), "n": None, "i": None},
        ValueError,
        r"got an array float32\[1\] for `{0}\['a'\]`, but `{1}\['a'\]` is an array float32\[\]\.",
    ),
    (
        lambda t: {"a": t.astype("bfloat16"), "n": None, "i": None},
        TypeError,
        r"got an array bfloat16\[\] for `{0}\['a'\]`, but `{1}\['a'\]` is an array float32\[\]\.",
    ),
    (lambda t: {"a": t, "n": t, "i": None}, TypeError, r"for `{0}\['n'\]`, but `{1}\['n'\]` is no .* but `int` 3\."),
    (lambda t: {"a": t, "n": None, "i": X["i"]}, TypeError, r"for `{0}\['i'\]`, but `{1}\['i'\]` is no .*Give `None`"),
    (lambda t: {"a": "t", "n": None, "i": None}, TypeError, r"got `str` 't' for `{0}\['a'\]`"),
]

BAD_TANGENTS_IDS = ["keys", "leaf", "list", "shape", "dtype", "static", "integer", "text"]


@pytest.mark.parametrize(
    "returned, error, message",
    BAD_OUTPUTS + [((lambda t, make=make: (X, make(t))), error, text) for make, error, text in BAD_TANGENTS],
    ids=["no pair", "three", *BAD_TANGENTS_IDS],
)
def test_tangents_that_do_not_fit_are_named(returned, error, message):
    f = eqx.filter_custom_jvp(lambda x: dict(X, a=x), jvp=lambda primals, tangents: returned(tangents[0]))
    for wrap in (lambda f: f, jax.jit):
        with pytest.raises(error, match="`filter_custom_jvp` .*" + message.format("out_tangents", "out")):
            jax.grad(lambda x, wrap=wrap: wrap(lambda x: f(x)["a"])(x))(TWO)


@pytest.mark.parametrize("returned, error, message", BAD_TANGENTS, ids=BAD_TANGENTS_IDS)
def test_gradients_that_do_not_fit_are_named(returned, error, message):
    f = eqx.filter_custom_vjp(lambda x: x["a"])
    f.def_fwd(lambda perturbed, x: (f(x), None))
    f.def_bwd(lambda residuals, grad_out, perturbed, x: returned(grad_out))
    for wrap in (lambda f: f, eqx.filter_jit):
        with pytest.raises(error, match="`filter_custom_vjp` .*" + message.format("grad", "x")):
            eqx.filter_grad(lambda x, wrap=wrap: wrap(f)(x))(X)


@pytest.mark.parametrize(
    "other, message",
    [
        ({"a": TWO, "n": 4, "i": X["i"]}, r"at `out\['n'\]` the function returns `int` 3, and the rule `int` 4"),
        ({"a": TWO, "n": 3}, r"at `out` the function returns a `dict` with .*, and the rule a `dict`"),
        (
            dict(X, a=jnp.ones(2)),
            r"at `out\['a'\]` the function returns an array float32\[\], and the rule an array",
        ),
    ],
    ids=["static", "structure", "shape"],
)
def test_an_output_of_a_rule_that_is_not_that_of_the_function_is_named(other, message):
    """It is compared if the function was traced before, as in a loop."""

    def traced(fun):
        return jax.grad(lambda x: eqx.filter_scan(lambda x, _: (fun(x)["a"], 0), x, length=1)[0])

    f = eqx.filter_custom_jvp(lambda x: dict(X, a=x), jvp=lambda primals, tangents: (other, None))
    with pytest.raises(TypeError, match="`filter_custom_jvp` expects `jvp` to return the output of the .*" + message):
        traced(f)(TWO)
    g = eqx.filter_custom_vjp(lambda x: dict(X, a=x), fwd=lambda perturbed, x: (other, None), bwd=lambda *args: None)
    with pytest.raises(TypeError, match="`filter_custom_vjp` expects `fwd` to return the output of the .*" + message):
        traced(g)(TWO)


def test_a_first_rule_that_returns_no_pair_is_refused():
    f = eqx.filter_custom_vjp(lambda x: x, fwd=lambda perturbed, x: x, bwd=lambda *args: None)
    with pytest.raises(
        TypeError, match=r"`filter_custom_vjp` expects `fwd` to return a pair `\(out, residuals\)`, got"
    ):
        jax.grad(f)(TWO)
