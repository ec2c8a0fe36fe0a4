"""The contenders of a benchmark do the same work, and the plot shows them. No test checks how fast they are."""

import importlib
import itertools
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import equinox as eqx

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCHMARKS = os.path.join(ROOT, "benchmarks")
IN_CELLS = os.path.join(BENCHMARKS, "in_cells")  # a cell has only these

needs_benchmarks = pytest.mark.skipif(
    sys.version_info < (3, 10) or not os.path.exists(os.path.join(BENCHMARKS, "speed")),
    reason="the benchmarks need a checkout, and Python 3.10 or later",
)
needs_in_cells = pytest.mark.skipif(not os.path.exists(IN_CELLS), reason="no benchmarks/in_cells beside the tests")


@pytest.fixture
def load(monkeypatch):
    """`load(name)`: a module of the benchmarks, or a module that they share with the cells."""
    monkeypatch.syspath_prepend(IN_CELLS)
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def _arrays(tree):
    """The arrays of a tree without scalars, such as a loss: contenders return scalars in different places."""
    return [np.asarray(x) for x in jax.tree_util.tree_leaves(tree) if eqx.is_array(x) and x.ndim]


def _same(result, floor, rtol=1e-5, atol=1e-6):
    """Check that the arrays are the same. Their order may differ."""
    assert sorted(x.shape for x in result) == sorted(x.shape for x in floor)
    for x, y in zip(*(sorted(arrays, key=lambda x: (x.shape, x.ravel().tolist())) for arrays in (result, floor))):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@needs_in_cells
@pytest.mark.parametrize("name", ["dispatch_in", "dispatch_in_out", "train_step"])
def test_contenders_in_a_cell_do_the_same_work(load, name):
    """In a first call, and in a second one that continues from it."""
    work, _ = load("dispatch_speed").WORKS[name]
    calls = work(10)
    for _ in range(2):
        results = {contender: _arrays(call()) for contender, call in calls.items()}
        assert results["floor"]
        _same(results["equinox"], results["floor"])


@needs_benchmarks
def test_several_programs_are_called_in_turn(load):
    """Each contender's programs are compiled before and after those of the others. The first ones aren't measured."""
    called, numbers = [], itertools.count()

    def make():
        number = next(numbers)
        return {name: lambda name=name: called.append((name, number)) for name in "ab"}

    calls = load("speed.case").several(make, leaves=1000, number=2)
    assert called == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    del called[:]
    for _ in range(3):
        calls["a"]()
    assert called == [("a", 1), ("a", 2), ("a", 1)]
    assert list(load("speed.case").several(make, leaves=10)) == ["a", "b"] and next(numbers) == 4


@needs_in_cells
def test_a_training_step_learns(load):
    call = load("dispatch_speed").train_step(4)["equinox"]
    losses = [float(call()[0]) for _ in range(100)]
    assert losses[-1] < losses[0]


@needs_in_cells
def test_a_cell_measures_with_few_libraries(load):
    """It needs only the standard library, JAX, NumPy, Optax and this library."""
    measured = load("dispatch_speed").measure(leaves=4, seconds=0.01)
    assert set(measured) <= {"dispatch_in_4", "dispatch_in_out_4", "train_step_4"}
    assert all(ratio > 0 for ratio in measured.values())


@needs_benchmarks
@pytest.mark.parametrize("name", ["dispatch_in", "dispatch_in_out", "train_step"])
def test_contenders_of_dispatch_do_the_same_work(load, name):
    dispatch = load("speed.cases.dispatch")
    (case,) = [case for case in dispatch.cases() if (case.name, case.size) == (name, 10)]
    results = {contender: _arrays(call()) for contender, call in case.make().items()}
    assert len(results) >= 3
    for result in results.values():
        _same(result, results["floor"])


@needs_benchmarks
def test_a_step_of_the_optimiser_is_that_of_optax(load):
    case = next(
        case for case in load("speed.cases.optimizer").cases() if (case.name, case.size) == ("optimizer_step", 10)
    )
    results = {contender: _arrays(call()) for contender, call in case.make().items()}
    assert len(results["floor"]) == 3 * 10  # the parameters, and two moments of each
    _same(results["equinox"], results["floor"])


@needs_benchmarks
def test_a_layer_returns_what_the_handwritten_code_returns(load):
    for case in load("speed.cases.layers").cases():
        results = {contender: _arrays(call()) for contender, call in case.make().items()}
        assert results["floor"], case.name
        _same(results["equinox"], results["floor"], rtol=2e-3, atol=1e-5)


@needs_benchmarks
@pytest.mark.parametrize("name", ["tree_at", "partition", "combine", "tree_equal"])
def test_contenders_return_the_same_trees(load, name):
    calls = getattr(load("speed.cases.trees"), name)(10)
    result, floor = calls["equinox"](), calls["floor"]()
    if name == "tree_equal":
        assert result and floor
    elif name == "partition":  # the floor returns only the whole tree
        assert eqx.tree_equal(eqx.combine(*result), floor[0])
    else:
        assert eqx.tree_equal(result, floor)


@needs_benchmarks
def test_contenders_of_files_load_and_name_the_same_arrays(load):
    files = load("speed.cases.files")
    for calls in (files.load((2, 3)), files.to_dict(10)):
        result, floor = calls["equinox"](), calls["floor"]()
        assert len(result) == len(floor) > 10
        assert all(x is y or np.array_equal(x, y) for x, y in zip(result, floor))


@needs_benchmarks
def test_each_target_belongs_to_a_case(load):
    names = {
        case.name.split(":")[0]
        for module in load("worker").CASES["equinox"]
        for case in load("speed.cases." + module).cases()
    }
    assert set(load("speed.targets").TARGETS) <= names


@needs_benchmarks
def test_the_worker_prints_what_it_does():
    """It runs in its own process, and prints lines of JSON."""
    command = [
        sys.executable,
        os.path.join(BENCHMARKS, "worker.py"),
        "equinox",
        "--only",
        "read_field",
        "--speed",
        "0.01",
    ]
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=ROOT)
    ).stdout
    ready, begin, end = map(json.loads, output.splitlines())
    assert (ready["event"], begin["event"], end["event"]) == ("ready", "begin", "end")
    assert ready["versions"]["jax"] == jax.__version__
    assert end["contenders"]["floor"]["ratio"] == 1 and end["contenders"]["equinox"]["seconds"] > 0


@needs_benchmarks
@pytest.mark.filterwarnings(r"ignore:'\w+' (argument is )?deprecated\b.* use '\w+':DeprecationWarning")
def test_the_plot_has_a_line_for_each_measured_contender(load, tmp_path):
    """It is written as SVG and as PNG. A noisy figure isn't drawn."""
    plot = load("speed.plot")

    def case(size, **ratios):
        contenders = {name.replace("_", " "): {"ratio": abs(x), "noisy": x < 0} for name, x in ratios.items()}
        return {"case": "dispatch_in", "size": size, "contenders": contenders}

    here = {plot.OURS: {"ratio": 1.2, "noisy": False}}
    content = {"cases": [case(10, Flax_NNX=70.0), case(100, Flax_NNX=-90.0)]}
    for one in content["cases"]:
        one["contenders"].update(here)
    assert plot.lines(content, "dispatch_in") == {plot.OURS: [(10, 1.2), (100, 1.2)], "Flax NNX": [(10, 70.0)]}
    svg, png = plot.draw(content, tmp_path)
    assert plot.OURS in svg.read_text() and "Flax NNX" in svg.read_text()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert plot.draw({"cases": []}, tmp_path) == []


@needs_benchmarks
def test_labels_of_the_plot_do_not_overlap(load):
    placed = load("speed.plot").spread_out({"a": 1.0, "b": 1.01, "c": 5.0}, apart=1.2)
    assert placed["a"] == 1.0 and placed["b"] >= 1.2 and placed["c"] == 5.0
