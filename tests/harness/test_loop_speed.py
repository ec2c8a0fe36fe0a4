"""The measurement of loops, with a fake clock and fake loops. JAX isn't used."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def loop_speed(monkeypatch):
    """The module, with fakes for what it imports."""
    jax, equinox = ModuleType("jax"), ModuleType("equinox")
    jax.numpy, jax.lax = ModuleType("jax.numpy"), ModuleType("jax.lax")
    jax.tree_util = SimpleNamespace(tree_leaves=lambda tree: [tree])
    for module in (jax, jax.numpy, jax.lax, equinox):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "loop_speed", raising=False)
    yield importlib.import_module("loop_speed")
    sys.modules.pop("loop_speed")


class Machine:
    """A machine whose loops take `cost(length)` seconds, multiplied by `disturb(call)`."""

    def __init__(self, cost, disturb=lambda call: 1):
        self.now, self.calls, self.cost, self.disturb = 0.0, 0, cost, disturb

    def make(self, length):
        def loop():
            self.calls += 1
            self.now += self.cost(length) * self.disturb(self.calls)
            return SimpleNamespace(block_until_ready=lambda: None)

        return loop, ()

    def clock(self):
        return self.now


def test_equal_steps_give_a_ratio_of_one(loop_speed):
    machine = Machine(lambda length: length * 1e-7)
    assert loop_speed.slowdown(machine.make, clock=machine.clock) == pytest.approx(1)


def test_steps_that_copy_the_buffer_give_the_ratio_of_lengths(loop_speed):
    """Then each step costs as much as the loop is long."""
    machine = Machine(lambda length: length**2 * 1e-9)
    assert loop_speed.slowdown(machine.make, clock=machine.clock) == pytest.approx(loop_speed.LONG / loop_speed.SHORT)


def test_a_busy_machine_gives_the_same(loop_speed):
    """A disturbance of some runs doesn't change the ratio."""
    machine = Machine(lambda length: length * 1e-7, disturb=lambda call: 1 if call in (12, 17) else 5 + 25 * (call % 2))
    assert loop_speed.slowdown(machine.make, clock=machine.clock) == pytest.approx(1)


@pytest.mark.parametrize("step_s", [1e-9, 1.0])
def test_measuring_ends(loop_speed, step_s):
    """After the maximum of turns or when the time is over, but not before the minimum of turns."""
    machine = Machine(lambda length: length * step_s)
    loop_speed.slowdown(machine.make, seconds=2, clock=machine.clock)
    turns = machine.calls / 2 - 1  # one call of each loop compiles it
    assert turns == (loop_speed.MAX_TURNS if step_s < 1e-6 else loop_speed.MIN_TURNS)
