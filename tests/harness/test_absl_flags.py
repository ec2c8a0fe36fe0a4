"""In a suite of absltest, a flag that no command line sets has its default."""

import sys
import types

import absl_flags
import pytest


class Flags:
    """As `absl.flags.FLAGS`: it refuses to be parsed twice."""

    def __init__(self, parsed):
        self.parsed = parsed
        self.marked = 0

    def is_parsed(self):
        return self.parsed

    def mark_as_parsed(self):
        self.marked += 1


@pytest.mark.parametrize("parsed", [False, True])
def test_flags_are_marked_as_parsed_once(monkeypatch, parsed):
    flags = Flags(parsed)
    module = types.ModuleType("absl")
    module.flags = types.SimpleNamespace(FLAGS=flags)
    monkeypatch.setitem(sys.modules, "absl", module)
    monkeypatch.setitem(sys.modules, "absl.flags", module.flags)
    absl_flags.pytest_configure(None)
    assert flags.marked == (not parsed)


def test_a_suite_of_unittest_need_not_have_absl(monkeypatch):
    monkeypatch.setitem(sys.modules, "absl", None)  # the import fails
    absl_flags.pytest_configure(None)
