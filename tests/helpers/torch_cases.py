"""Compare a layer with PyTorch's numbers, which `tests/data/make_torch_*.py` wrote."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import equinox as eqx


def load(family):
    """Return the cases of `tests/data/torch_<family>.json`, by name."""
    path = pathlib.Path(__file__).parent.parent / "data" / "torch_{}.json".format(family)
    cases = json.loads(path.read_text())
    del cases["made_by"]
    return cases


def each_case(family, *kinds):
    """Parametrise a test with `case`. If there are `kinds`, only cases whose name begins with one of these words."""
    cases = {name: case for name, case in load(family).items() if not kinds or name.split()[0] in kinds}
    return pytest.mark.parametrize("case", list(cases.values()), ids=list(cases))


def filled(like, arrays):
    """`like` with the arrays of PyTorch, whose names and layouts `torch_names` knows. It also gives them back."""
    names = eqx.nn.torch_names(like)
    numbers = {name: np.random.RandomState(0).normal(size=x.shape).astype(x.dtype) for name, x in arrays.items()}
    in_numpy = jax.tree_util.tree_map(lambda x: np.zeros(x.shape, x.dtype) if eqx.is_array(x) else x, like)
    back = eqx.to_dict(eqx.from_dict(in_numpy, numbers, rename=names), rename=names)
    assert sorted(back) == sorted(numbers)
    for name, x in numbers.items():
        np.testing.assert_array_equal(back[name], x)
    return eqx.from_dict(like, arrays, rename=names)


def check(case, call, rtol=1e-4, atol=1e-5):
    """Assert that values and gradients are PyTorch's.

    `call(parameters, inputs)` gets the numbers of PyTorch in dictionaries by PyTorch's names. It makes the layer, fills
    in the parameters, calls it, and returns a dictionary of outputs. So the gradients have PyTorch's layout too.
    """
    parameters = {name: jnp.array(x) for name, x in case["parameters"].items()}
    inputs = {name: jnp.array(x) for name, x in case["inputs"].items()}
    floating = {name: x for name, x in inputs.items() if jnp.issubdtype(x.dtype, jnp.floating)}
    rest = {name: x for name, x in inputs.items() if name not in floating}

    def total(parameters, floating):
        outputs = call(parameters, dict(floating, **rest))
        return sum(jnp.sum(jnp.array(case["cotangents"][name]) * y) for name, y in outputs.items()), outputs

    in_parameters, in_inputs = {}, {}
    if parameters or floating:
        (in_parameters, in_inputs), outputs = jax.jit(jax.grad(total, (0, 1), has_aux=True))(parameters, floating)
    else:
        outputs = jax.jit(total)(parameters, floating)[1]
    assert sorted(outputs) == sorted(case["expected"])
    got = {"expected": outputs, "parameters": in_parameters, "inputs": in_inputs}
    expected = {"expected": case["expected"]}
    expected.update(case["gradients"])
    for kind, by_name in expected.items():
        for name, numbers in by_name.items():
            np.testing.assert_allclose(
                got[kind][name], np.array(numbers), rtol=rtol, atol=atol, err_msg="{} {}".format(kind, name)
            )
