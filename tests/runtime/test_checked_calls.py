"""Only a call whose program holds a check waits for its output."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx
from equinox._dispatch import checks

GOOD, BAD = jnp.array([1.0, 4.0]), jnp.array([1.0, -4.0])
MESSAGE = "It is negative."


def root(x):
    return jnp.sqrt(eqx.error_if(x, x < 0, MESSAGE))


def raises(text=MESSAGE):
    return pytest.raises(eqx.EquinoxRuntimeError, match=text)


@pytest.fixture
def blocked(monkeypatch):
    """The number of the calls that have waited for their output, as the length of a list."""
    calls, block = [], checks.block
    monkeypatch.setattr(checks, "block", lambda out: (calls.append(1), block(out)))
    return calls


def test_a_call_without_a_check_returns_before_it_is_computed():
    """As under `jax.jit`. The function also holds a check for other inputs."""

    def heavy(x):
        if x.ndim:
            return root(x)
        return jax.lax.fori_loop(0, 40, lambda i, y: y @ y / 300, jnp.full((300, 300), x))

    def waits(call):
        call(GOOD[0]).block_until_ready()
        return all(call(GOOD[0]).is_ready() for _ in range(9))  # once is enough: this thread may have had to wait

    if not hasattr(GOOD, "is_ready") or waits(jax.jit(heavy)):
        pytest.skip("this JAX computes on the CPU before a call returns, or has no `is_ready`")
    filtered = eqx.filter_jit(heavy)
    filtered(GOOD)
    assert not waits(filtered)


def test_only_calls_with_a_check_are_waited_for(blocked):
    """Also while other functions hold checks, and for other shapes of the same function."""
    plain = eqx.filter_jit(jnp.sqrt)
    checks_pairs = eqx.filter_jit(lambda x: root(x) if x.shape == (2,) else jnp.sqrt(x))
    off = eqx.filter_jit(lambda x: eqx.error_if(x, x < 0, MESSAGE, on_error="off"))
    inside = eqx.filter_jit(lambda x: root(x))
    for _ in range(3):
        plain(GOOD), checks_pairs(jnp.ones(3)), off(GOOD), jax.jit(lambda x: inside(x) + 1)(GOOD)
        assert not blocked
    for i in range(3):
        checks_pairs(GOOD)
        assert len(blocked) == i + 1
    plain(GOOD), checks_pairs(jnp.ones(3))
    assert len(blocked) == 3


def test_a_call_that_shares_the_program_is_waited_for(blocked):
    """JAX makes these NumPy arrays float32, and doesn't lower the program again."""
    checked = eqx.filter_jit(root)
    for x in (GOOD, np.asarray(GOOD), np.asarray(GOOD, np.float64)):
        before = len(blocked)
        checked(x)
        assert len(blocked) == before + 1


def test_another_thread_that_compiles_a_check_makes_no_call_wait(blocked):
    def traced(x):
        thread = threading.Thread(target=lambda: jax.jit(root)(GOOD))
        thread.start()
        thread.join()
        return x + 1

    eqx.filter_jit(traced)(GOOD)
    assert not blocked


@pytest.mark.skipif(not hasattr(jax, "ensure_compile_time_eval"), reason="no `jax.ensure_compile_time_eval`")
@pytest.mark.parametrize("outer, number", [(jnp.sqrt, 0), (root, 1)], ids=["plain", "checked"])
def test_a_checked_call_inside_another_call_makes_only_itself_wait(blocked, outer, number):
    inner = eqx.filter_jit(lambda x: root(x) + 2)

    @eqx.filter_jit
    def call(x):
        with jax.ensure_compile_time_eval():
            constant = inner(jnp.ones(3))[0] + inner(jnp.ones(4))[0]
        return outer(x) + constant

    call(GOOD)
    assert len(blocked) == 2 + number
    for i in range(2):
        call(GOOD)
        assert len(blocked) == 2 + number * (i + 2)
