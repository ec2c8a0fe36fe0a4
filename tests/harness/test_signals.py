"""Signals: heard while that is wanted, ignored where they were, and always there to stop a process with."""

import os
import signal
import subprocess
import sys

import pytest
from harness import signals

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
