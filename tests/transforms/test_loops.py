"""`filter_scan`, `filter_while_loop`, `filter_fori_loop`, `filter_map`: JAX's loops on models, against plain JAX."""

import operator
import re
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import core, lax, tree_util
from jaxprs import jaxpr_sizes
from loops import MARK, STEPS, XS, Cell, cell
from modules import Affine
from random_trees import arrays_of, doubled, same, statics_of, trees, with_arrays

import equinox as eqx


def scan(body, init):
    return eqx.filter_scan(lambda carry, _: (body(carry), None), init, length=STEPS)[0]


def while_loop(body, init):
    out = eqx.filter_while_loop(lambda both: both[0] < STEPS, lambda both: (both[0] + 1, body(both[1])), (ZERO, init))
    return out[1]


def fori_loop(body, init):
    return eqx.filter_fori_loop(0, STEPS, lambda i, carry: body(carry), init)


def dynamic_fori_loop(body, init):
    return eqx.filter_fori_loop(ZERO, jnp.array(STEPS), lambda i, carry: body(carry), init)


ZERO = jnp.array(0)

LOOPS = {"scan": scan, "while_loop": while_loop, "fori_loop": fori_loop, "fori_loop on traced": dynamic_fori_loop}

PLAIN = {
    "scan": lambda body, init: lax.scan(lambda carry, _: (body(carry), None), init, None, STEPS)[0],
    "while_loop": lambda body, init: lax.while_loop(
        lambda both: both[0] < STEPS, lambda both: (both[0] + 1, body(both[1])), (ZERO, init)
    )[1],
    "fori_loop": lambda body, init: lax.fori_loop(0, STEPS, lambda i, carry: body(carry), init),
    "fori_loop on traced": lambda body, init: lax.fori_loop(ZERO, jnp.array(STEPS), lambda i, carry: body(carry), init),
}

each_loop = pytest.mark.parametrize("loop", LOOPS)


def python_loop(body, init):
    for _ in range(STEPS):
        init = body(init)
    return init


# The carry


@each_loop
@hypothesis.given(tree=trees(max_leaves=6))
@hypothesis.settings(max_examples=6)
def test_any_tree_is_carried_and_its_program_is_that_of_its_arrays(loop, tree):
    """The statics come back as they are, and JAX sees the arrays alone."""
    arrays, statics = arrays_of(tree), []

    def filtered(*arrays):
        out = LOOPS[loop](doubled, with_arrays(tree, arrays))
        statics.append(statics_of(out))
        return arrays_of(out)

    assert jaxpr_sizes(filtered, *arrays) == jaxpr_sizes(lambda *arrays: PLAIN[loop](doubled, list(arrays)), *arrays)
    assert same(statics[0], statics_of(tree))


@each_loop
def test_a_loop_gives_what_a_python_loop_gives(loop, run):
    def body(both):
        model, text = both
        return Affine(model(model.weight), model.bias / 2), text

    def looped(weight, bias):
        model, text = LOOPS[loop](body, (Affine(weight, bias), "text"))
        assert text == "text"
        return model.weight, model.bias

    weight, bias = np.array([0.5, -0.25], np.float32), np.float32(0.125)
    got = run(looped, jnp.asarray(weight), jnp.asarray(bias))
    expected = python_loop(lambda both: (both[0] * both[0] + both[1], both[1] / 2), (weight, bias))
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-6)


@each_loop
def test_each_step_gets_the_very_statics(loop):
    """Also those that are equal to nothing, or can't be hashed."""
    statics = (MARK, {1, 2}, np.array(["text"]), float("nan"), jnp.tanh, 3)
    seen = []

    def body(carry):
        seen.append(carry[1])
        return carry[0] + 1, carry[1]

    out = LOOPS[loop](body, (jnp.ones(2), statics))
    assert all(map(operator.is_, out[1], statics)) and len(seen) >= 1
    assert all(x is y for step in seen for x, y in zip(step, statics))


@each_loop
def test_a_body_may_return_an_equal_static(loop):
    out = LOOPS[loop](lambda carry: (carry[0] + 1, "".join(["t", "ext"])), (jnp.ones(2), "text"))
    assert out[1] == "text"


@each_loop
def test_numpy_arrays_are_carried_as_arrays(loop):
    """Also NumPy scalars, and of a dtype that JAX narrows."""
    out = LOOPS[loop](lambda carry: [np.float64(1.5), carry[1] + 1], [np.float64(0), np.ones(2)])
    assert [float(out[0]), out[1].tolist()] == [1.5, [4.0, 4.0]] and all(map(eqx.is_array, out))


BODIES = {
    "plus int": lambda x: x + 1,
    "plus float": lambda x: x + 1.5,
    "to bfloat16": lambda x: x.astype(jnp.bfloat16),
    "to int": lambda x: x.astype(jnp.int32),
    "int": lambda x: 2,
    "float": lambda x: 2.5,
    "longer": lambda x: jnp.stack([x, x]),
}

INITS = {
    "weak int": lambda: jnp.asarray(1),
    "weak float": lambda: jnp.asarray(1.0),
    "int": lambda: jnp.array(1, jnp.int32),
    "float16": lambda: jnp.array(1, jnp.float16),
    "bool": lambda: jnp.array(True),
}


@each_loop
@pytest.mark.parametrize("init", INITS)
def test_dtypes_are_carried_as_jax_carries_them(loop, init):
    """Weakly typed arrays too: what JAX takes is taken, with the same result, and what it refuses is refused."""
    init = INITS[init]()

    def outcome(loops, body):
        try:
            out = jax.eval_shape(lambda x: loops[loop](body, x), init)
        except TypeError:
            return "refused"
        return out.dtype, out.shape

    for body in BODIES.values():
        assert outcome(LOOPS, body) == outcome(PLAIN, body)


CHANGES = {  # what the body makes of a cell, and what the message says
    "an int": (
        lambda m: eqx.tree_at(lambda m: m.count, m, m.count + 1),
        r"`carry.count` from `int` 3 to `int` 4. Make .* `jnp.asarray`",
    ),
    "the type of a number": (
        lambda m: eqx.tree_at(lambda m: m.count, m, 3.0),
        r"`carry.count` from `int` 3 to `float` 3.0",
    ),
    "an int to an array": (
        lambda m: eqx.tree_at(lambda m: m.count, m, jnp.array(4)),
        r"`carry.count` from `int` 3 to an array int32\[\]. Make .* `jnp.asarray`",
    ),
    "an object": (
        lambda m: eqx.tree_at(lambda m: m.mark, m, "text"),
        r"`carry.mark` from `object` .* to `str` 'text'. What isn't",
    ),
    "an array to text": (
        lambda m: eqx.tree_at(lambda m: m.weight, m, "a"),
        r"`carry.weight` from an array float32\[2\] to `str` 'a'",
    ),
    "an array to None": (
        lambda m: eqx.replace(m, weight=None),
        r"`carry.weight` from a leaf \(`Tracer` float32\[2\]\) to `None`",
    ),
    "a shape": (
        lambda m: eqx.replace(m, weight=m.weight[:1]),
        r"`carry.weight` from an array float32\[2\] to an array float32\[1\]. Each step must",
    ),
    "a dtype": (
        lambda m: eqx.replace(m, weight=m.weight.astype(jnp.int32)),
        r"`carry.weight` from an array float32\[2\] to an array int32\[2\]. Each step must",
    ),
    "a static field": (
        lambda m: eqx.replace(m, name="x"),
        r"`carry` from a `Cell` with `name='cell'` to a `Cell` with `name='x'`",
    ),
    "the structure": (lambda m: [m], r"`carry` from a `Cell` to a `list`"),
    "a field's structure": (lambda m: eqx.replace(m, mark=[m.mark]), r"`carry.mark` from a leaf .* to a `list`"),
}


@each_loop
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_body_changes_is_named_with_before_and_after(loop, change):
    body, message = CHANGES[change]
    path = "carry[1]" if loop == "while_loop" else "carry"
    parameter = "f" if loop == "scan" else "body"
    message = "`filter_{}` expects `{}` to return .* it changed ".format(loop.split(" ")[0], parameter) + message
    with pytest.raises(TypeError, match=message.replace("carry", re.escape(path))):
        LOOPS[loop](body, cell())


@each_loop
def test_keys_are_carried(loop):
    """Old-style ones, and typed ones where JAX has them."""
    makers = [jax.random.PRNGKey] + ([jax.random.key] if hasattr(jax.random, "key") else [])
    for make in makers:
        key, text = LOOPS[loop](lambda carry: (jax.random.split(carry[0])[0], carry[1]), (make(0), "text"))
        expected = python_loop(lambda key: jax.random.split(key)[0], make(0))
        assert jnp.array_equal(jax.random.uniform(key), jax.random.uniform(expected)) and text == "text"


def test_loops_run_in_python_where_jit_is_disabled():
    def step(carry, x):
        assert not isinstance(x, core.Tracer)
        return (carry[0] + x.sum(), carry[1]), (x, carry[1])

    with jax.disable_jit():
        carry, ys = eqx.filter_scan(step, (jnp.zeros(()), "text"), XS)
        assert carry[1] == ys[1] == "text" and eqx.tree_equal(ys[0], XS) and carry[0] == XS.sum()
        assert eqx.filter_map(lambda x: (x, "text"), XS)[1] == "text"
        for loop in LOOPS.values():
            assert loop(lambda carry: [carry[0] + 1, carry[1]], [ZERO, MARK]) == [STEPS, MARK]


@pytest.mark.parametrize(
    "call",
    [
        lambda: eqx.filter_scan(3, ZERO, length=2),
        lambda: eqx.filter_while_loop(lambda x: x, 3, ZERO),
        lambda: eqx.filter_while_loop(3, lambda x: x, ZERO),
        lambda: eqx.filter_fori_loop(0, 1, 3, ZERO),
        lambda: eqx.filter_map(3, jnp.ones(2)),
    ],
    ids=["scan", "body", "cond", "fori_loop", "map"],
)
def test_what_cannot_be_called_is_refused(call):
    with pytest.raises(TypeError, match="expects a function or another callable for `(f|body|cond)`, got `int` 3"):
        call()


def test_what_jax_refuses_is_refused():
    with pytest.raises(TypeError):
        eqx.filter_while_loop(lambda carry: carry[0], lambda carry: carry, (XS, "text"))
    with pytest.raises(TypeError):
        eqx.filter_fori_loop(0.5, 2, lambda i, carry: carry, (XS, "text"))


def test_an_error_of_the_body_is_its_own():
    def fails(*args):
        raise KeyError("on purpose")

    for loop in LOOPS.values():
        with pytest.raises(KeyError, match="on purpose"):
            loop(fails, cell())


# What JAX remembers

CALLED = {  # a loop of a function `f` over a state that holds `n`, the state at the end, and what `f` computes
    "scan": (lambda f, n: eqx.filter_scan(f, [ZERO, n], XS)[0], lambda carry, x: (carry, x)),
    "checkpoint": (lambda f, n: eqx.filter_scan(f, [ZERO, n], XS, checkpoint=True)[0], lambda carry, x: (carry, x)),
    "xs": (lambda f, n: eqx.filter_scan(f, ZERO, [XS, n])[1], lambda carry, x: (carry, x)),
    "while_loop": (
        lambda f, n: eqx.filter_while_loop(lambda carry: carry[0] < 2, f, [ZERO, n]),
        lambda carry: [carry[0] + 1, carry[1]],
    ),
    "cond": (
        lambda f, n: eqx.filter_while_loop(f, lambda carry: [carry[0] + 1, carry[1]], [ZERO, n]),
        lambda carry: carry[0] < 2,
    ),
    "fori_loop": (lambda f, n: eqx.filter_fori_loop(0, 2, f, [ZERO, n]), lambda i, carry: carry),
    "map": (lambda f, n: eqx.filter_map(f, [XS, n]), lambda x: x),
}


@pytest.mark.parametrize("name", CALLED)
def test_the_same_function_is_traced_once(name):
    """As JAX itself does outside of `jit`: again only where the static leaves, or their types, are others."""
    loop, computed = CALLED[name]
    traced = []

    def f(*args):
        traced.append(args)
        return computed(*args)

    for n in (1, 2, True, MARK):
        before = len(traced)
        assert loop(f, n)[1] is n
        after = len(traced)
        assert loop(f, n)[1] is n
        assert before < after == len(traced)


def test_the_method_of_a_model_is_traced_once():
    """It is another object in each call. A list in the model may change."""

    class Adds(eqx.Module):
        weight: Any
        added: Any

        def step(self, carry, x):
            traced.append(self)
            return carry + sum(self.added) * x.sum(), None

    traced, model = [], Adds(jnp.ones(()), [1, 2])
    for total in (3, 3, 5, 5):
        model.added[1] = total - 1
        assert eqx.filter_scan(model.step, jnp.zeros(()), jnp.ones(2))[0] == 2 * total
    assert len(traced) == 2


def test_a_static_leaf_that_cannot_be_hashed_may_change_between_calls():
    """JAX doesn't remember what was traced for the leaf, as the leaf may be another then."""
    sizes = {1}

    def step(carry, x):
        return [carry[0] + len(carry[1]), carry[1]], None

    assert eqx.filter_scan(step, [ZERO, sizes], XS)[0][0] == 3
    sizes.add(2)
    assert eqx.filter_scan(step, [ZERO, sizes], XS)[0][0] == 6


# Other transformations around and inside


def test_loops_nest_in_each_other_and_in_other_transformations():
    """`jit` of `vmap` of `grad` of a scan of all other loops of a model, which each of them carries."""

    def loss(model, x):
        def apply(i, carry):
            model, x = carry
            return model, eqx.filter_map(lambda both: both[0](both[1]), (model, x))

        def body(both):
            i, carry = both
            return i + 1, apply(i, carry)

        def step(carry, _):
            stopped = tree_util.tree_map(lambda x: lax.stop_gradient(x) if eqx.is_array(x) else x, carry)
            _, (_, ahead) = eqx.filter_while_loop(lambda both: both[0] < 2, body, (ZERO, stopped))
            return eqx.filter_fori_loop(0, 2, apply, carry), ahead

        (_, x), ahead = eqx.filter_scan(step, (model, x), length=2)
        return x.sum(), ahead[-1]

    def plain(weight, x):
        for _ in range(4):
            x = jnp.tanh(weight * x)
        return x.sum(), x

    weights, x = jnp.array([[0.5, 0.75], [1.5, 0.25]]), jnp.array([0.5, 1.0])
    gradient = eqx.filter_grad(loss, has_aux=True)
    grads, ahead = eqx.filter_jit(jax.vmap(lambda w: gradient(Cell(w), x)))(weights)
    expected, values = jax.vmap(lambda w: jax.grad(plain, has_aux=True)(w, x))(weights)
    np.testing.assert_allclose(grads.weight, expected, rtol=1e-5)
    np.testing.assert_allclose(ahead, values, rtol=1e-5)
