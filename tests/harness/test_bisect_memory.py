"""A bisection keeps the results of its tries in a file."""

import pytest

from harness.bisect.memory import Memory, Trial
from harness.bisect.search import Verdict
from harness.system.errors import CannotGoOn

GOOD, BAD = Verdict.GOOD, Verdict.BAD


def test_each_test_source_and_python_has_its_own_memory(tmp_path):
    of = {Memory(tmp_path, [test], source, python).path for test in "ab" for source in "cd" for python in "ef"}
    assert len(of) == 8


def test_a_kept_result_is_read_back(tmp_path):
    trial = Trial(BAD, "test_y", ("assert 1", "assert 2"), 3.5)
    Memory(tmp_path, ["a"], "b", "c").remember("0.5.0", trial)
    assert Memory(tmp_path, ["a"], "b", "c").recall() == {"0.5.0": trial}


def test_forget_removes_all_results(tmp_path):
    memory = Memory(tmp_path, ["a"], "b", "c")
    memory.remember("0.5.0", Trial(GOOD))
    memory.forget()
    memory.forget()
    assert memory.recall() == {} == Memory(tmp_path, ["a"], "b", "c").recall()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"trials": {"0.5.0": {"verdict": "odd", "lines": []}}}'])
def test_a_broken_memory_is_named(tmp_path, content):
    memory = Memory(tmp_path, ["a"], "b", "c")
    memory.path.write_text(content)
    with pytest.raises(CannotGoOn, match=memory.path.name + ".*--forget"):
        memory.recall()
