"""The primitive of a check: what the check gets under each transformation, and what it does to a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxprs import all_kinds, jaxpr_kinds

from equinox import _compat
from equinox._compat.primitives import primitive_class


class Recording:
    """A check that records the shapes that it gets, and how often it is lowered."""

    def __init__(self):
        self.shapes = []
        self.times_lowered = 0

    def __call__(self, *operands):
        assert all(type(x) is np.ndarray for x in operands)
        self.shapes.append(tuple(x.shape for x in operands))
        return operands[0].any()

    def lowered(self):
        self.times_lowered += 1


ONES, ZEROS = jnp.ones((2, 3), bool), jnp.zeros((2, 3), bool)


def test_the_value_is_that_of_the_check(run):
    check = Recording()
    fun = lambda pred: _compat.host_check(check, pred)  # noqa: E731
    assert bool(run(fun, ONES)) and not bool(run(fun, ZEROS))


@pytest.mark.parametrize("in_axes, shapes", [((0, None), ((3, 2), (3,))), ((1, 0), ((3, 2), (3,))), ((None, 0), 0)])
def test_a_batch_comes_at_once_with_its_axis_in_front(in_axes, shapes):
    """What isn't mapped is repeated. The result isn't mapped."""
    check = Recording()
    pred = {0: jnp.ones((3, 2), bool), 1: jnp.ones((2, 3), bool), None: jnp.ones(2, bool)}[in_axes[0]]
    index = jnp.array(1) if in_axes[1] is None else jnp.arange(3)
    fun = jax.vmap(lambda *args: _compat.host_check(check, *args), in_axes, out_axes=None)
    for mapped in (fun, jax.jit(fun)):
        assert np.asarray(mapped(pred, index)).shape == ()
    assert set(check.shapes) == {shapes or ((3, 2), (3,))}


def test_a_check_is_told_when_a_program_with_it_is_lowered():
    """Once for each program, also if the inner function isn't traced again."""
    check = Recording()
    inner = jax.jit(lambda pred: _compat.host_check(check, pred))
    for times in (1, 1):
        inner(ONES)
        assert check.times_lowered == times
    jax.jit(lambda pred: ~inner(pred))(ONES)
    assert check.times_lowered == 2
    jax.make_jaxpr(inner)(ONES)
    assert check.times_lowered == 2


def test_a_check_whose_value_is_not_used_does_not_run():
    check = Recording()

    @jax.jit
    def unused(pred):
        _compat.host_check(check, pred)
        return ~pred

    np.asarray(unused(ONES))
    assert not check.shapes


def test_it_is_one_equation():
    fun = lambda pred: _compat.host_check(len, pred)  # noqa: E731
    assert jaxpr_kinds(fun, ONES) == ["host_check"]
    assert all_kinds(jax.vmap(fun, out_axes=None), ONES).count("host_check") == 1


@pytest.mark.parametrize("release, where", [("0.4.26", "core"), ("0.2.18", "core")])
def test_the_class_of_primitives_in_old_releases(release, where):
    class Jax:
        __version__ = release

        class core:
            Primitive = "the class"

    assert primitive_class(Jax) == "the class"


def test_the_class_of_primitives_in_this_release():
    assert primitive_class()("name").name == "name"


def test_a_jax_that_cannot_call_the_host_says_so():
    """Before JAX 0.3.17 only the CPU can."""

    class Jax:
        __version__ = "0.3.16"

        @staticmethod
        def default_backend():
            return "gpu"

    with pytest.raises(NotImplementedError, match="`error_if on an accelerator` needs JAX 0.3.17 or newer"):
        _compat.host_check(None, ONES, jax=Jax)
