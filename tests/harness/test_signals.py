"""Signals: the listener hears them, ignored signals stay ignored, and they can still stop child processes."""

import os
import signal
import subprocess
import sys

import pytest

from harness import command_line
from harness.system import isolation, signals
from harness.system.paths import ROOT

each = pytest.mark.parametrize("number", signals.NUMBERS)


@pytest.fixture
def set_to():
    """`set_to(number, handler)` sets a handler until the test ends."""
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


@each
def test_the_listener_hears_a_signal_and_the_handler_is_restored(set_to, number):
    before, heard = signal.getsignal(number), []
    with signals.heard_by(heard.append):
        os.kill(os.getpid(), number)
    assert heard == [number] and signal.getsignal(number) == before


@each
def test_an_ignored_signal_stays_ignored(set_to, number):
    set_to(number, signal.SIG_IGN)
    heard = []
    with signals.heard_by(heard.append):
        os.kill(os.getpid(), number)
    assert heard == [] and signal.getsignal(number) is signal.SIG_IGN


@each
def test_a_child_can_be_stopped_by_a_signal_that_is_ignored_here(set_to, number):
    """As under nohup, or in a script that starts this in the background."""
    set_to(number, signal.SIG_IGN)
    with signals.heard_by(print):
        asks = "import signal; print(signal.getsignal({}) is signal.SIG_IGN)".format(int(number))
        assert subprocess.check_output([sys.executable, "-c", asks], text=True) == "False\n"


WAIT = """
import sys
from harness import command_line
from harness.system import isolation, signals
signals.as_ctrl_c()
try:
    script = "import time; print('begins', flush=True); time.sleep(600); print('goes on')"
    signals.call([sys.executable, "-c", script])
except KeyboardInterrupt:
    sys.exit(130)
"""


@each
def test_a_child_that_is_waited_for_ends_with_this_process(number):
    """Also if only this process gets the signal, as from make."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "begins\n"
        process.send_signal(number)
        assert process.stdout.read() == ""  # it ends when all writers have ended
    assert process.returncode == 130


@each
def test_a_signal_while_a_program_starts_ends_the_program(set_to, monkeypatch, number):
    started = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    set_to(number, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        signals.call([sys.executable, "-c", "import time; time.sleep(600)"])
    assert started[0].returncode == -signal.SIGKILL


@each
def test_a_program_inherits_that_a_signal_is_ignored(set_to, number):
    """So what `nohup` has started goes on."""
    set_to(number, signal.SIG_IGN)
    asks = "import signal, sys; sys.exit(signal.getsignal({}) is signal.SIG_IGN)".format(int(number))
    assert signals.call([sys.executable, "-c", asks]) == 1


@each
def test_an_ignored_signal_does_not_interrupt(set_to, number):
    set_to(number, signal.SIG_IGN)
    signals.as_ctrl_c()
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("argv, expected", [(["list"], True), (["here", "cpu", "--fits"], False)])
def test_each_command_ends_its_children(set_to, monkeypatch, argv, expected):
    """`here` is an exception. It handles signals itself, see `installed_jax.attempt`."""
    set_to(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setattr(isolation, "isolate", lambda: None)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    command_line.start(argv)
    assert (signal.getsignal(signal.SIGTERM) is signal.default_int_handler) is expected


def test_the_maker_of_environments_ends_its_children():
    assert (
        "signals.as_ctrl_c()" in (ROOT / "harness" / "in_venv.py").read_text(encoding="utf-8").partition("__main__")[2]
    )
