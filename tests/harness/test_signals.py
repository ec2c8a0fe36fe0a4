"""Signals: heard while that is wanted, ignored where they were, and always there to stop a process with."""

import os
import signal
import subprocess
import sys

import pytest
from harness import signals
from harness.places import DOCKER

each = pytest.mark.parametrize("number", signals.NUMBERS)


@pytest.fixture
def set_to():
    """`set_to(number, handler)`, for the length of a test."""
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


@each
def test_heard_and_then_as_before(set_to, number):
    before, heard = signal.getsignal(number), []
    with signals.heard_by(heard.append):
        os.kill(os.getpid(), number)
    assert heard == [number] and signal.getsignal(number) == before


@each
def test_what_is_ignored_stays_so(set_to, number):
    set_to(number, signal.SIG_IGN)
    heard = []
    with signals.heard_by(heard.append):
        os.kill(os.getpid(), number)
    assert heard == [] and signal.getsignal(number) is signal.SIG_IGN


@each
def test_a_process_can_be_stopped_by_what_is_ignored_here(set_to, number):
    """As in a script that is run by nohup, or started in the background."""
    set_to(number, signal.SIG_IGN)
    with signals.heard_by(print):
        asks = "import signal; print(signal.getsignal({}) is signal.SIG_IGN)".format(int(number))
        assert subprocess.check_output([sys.executable, "-c", asks], text=True) == "False\n"


WAIT = """
import sys
from harness import signals
signals.as_ctrl_c()
try:
    script = "import time; print('begins', flush=True); time.sleep(20); print('goes on')"
    signals.call([sys.executable, "-c", script])
except KeyboardInterrupt:
    sys.exit(130)
"""


@each
def test_what_is_waited_for_ends_with_this_process(number):
    """Also where the signal comes to this process alone, as from make."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT], env={**os.environ, "PYTHONPATH": str(DOCKER)}, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "begins\n"
        process.send_signal(number)
        assert process.stdout.read() == ""  # all that could write there have ended
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
        signals.call([sys.executable, "-c", "import time; time.sleep(20)"])
    assert started[0].returncode == -signal.SIGKILL


@each
def test_a_program_inherits_that_a_signal_is_ignored(set_to, number):
    """So what `nohup` has started goes on."""
    set_to(number, signal.SIG_IGN)
    asks = "import signal, sys; sys.exit(signal.getsignal({}) is signal.SIG_IGN)".format(int(number))
    assert signals.call([sys.executable, "-c", asks]) == 1


@each
def test_what_is_ignored_is_no_ctrl_c(set_to, number):
    set_to(number, signal.SIG_IGN)
    signals.as_ctrl_c()
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("program", ["matrix.py", "run.py", "in_venv.py"])
def test_each_program_that_waits_for_others_ends_them(program):
    """docker/here.py hears signals by itself, see `found.attempt`."""
    assert "signals.as_ctrl_c()" in (DOCKER / program).read_text(encoding="utf-8").partition("__main__")[2]
