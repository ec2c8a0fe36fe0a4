"""The figure for the speed of loops, with a fake clock and fake loops. What it says of JAX is for JAX to show."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def loop_speed(monkeypatch):
    """The module, on stand-ins for what it imports."""
    jax, equinox = ModuleType("jax"), ModuleType("equinox")
    jax.numpy, jax.lax = ModuleType("jax.numpy"), ModuleType("jax.lax")
    jax.tree_util = SimpleNamespace(tree_leaves=lambda tree: [tree])
    for module in (jax, jax.numpy, jax.lax, equinox):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "loop_speed", raising=False)
    yield importlib.import_module("loop_speed")
    sys.modules.pop("loop_speed")


class Machine:
    """Loops that take `cost(length)` seconds, where `disturb(call)` says how often over."""

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


def test_a_step_that_costs_the_same_gives_one(loop_speed):
    machine = Machine(lambda length: length * 1e-7)
    assert loop_speed.slowdown(machine.make, clock=machine.clock) == pytest.approx(1)


def test_a_step_that_costs_as_much_as_the_loop_is_long_gives_the_ratio_of_lengths(loop_speed):
    """Where each step copies the whole buffer."""
    machine = Machine(lambda length: length**2 * 1e-9)
    assert loop_speed.slowdown(machine.make, clock=machine.clock) == pytest.approx(loop_speed.LONG / loop_speed.SHORT)


def test_a_busy_machine_gives_the_same(loop_speed):
    """What slows down some of the runs, whichever they are, isn't seen."""
    machine = Machine(lambda length: length * 1e-7, disturb=lambda call: 1 if call in (12, 17) else 5 + 25 * (call % 2))
    assert loop_speed.slowdown(machine.make, clock=machine.clock) == pytest.approx(1)


@pytest.mark.parametrize("step_s", [1e-9, 1.0])
def test_it_ends(loop_speed, step_s):
    """After so many runs, or when the time is over, but never after a single one."""
    machine = Machine(lambda length: length * step_s)
    loop_speed.slowdown(machine.make, seconds=2, clock=machine.clock)
    turns = machine.calls / 2 - 1  # one of each is for compiling
    assert turns == (loop_speed.MAX_TURNS if step_s < 1e-6 else loop_speed.MIN_TURNS)
