"""What the makers of `torch_*.json` share: outputs and gradients of PyTorch's layers, for the tests of `equinox.nn`.

    uv venv --python 3.11 ENV && uv pip install --python ENV torch==2.13.0
    ENV/bin/python tests/data/make_torch_cells.py

Parameters and inputs are rounded before PyTorch gets them, so a file holds them exactly. PyTorch computes in double
precision. The random numbers come from the standard library and are the same everywhere.
"""

import json
import pathlib
import random

import torch


def draw(rng, *shape, low=-1.5, high=1.5):
    """Nested lists of short numbers."""
    if not shape:
        return round(rng.uniform(low, high), 2)
    return [draw(rng, *shape[1:], low=low, high=high) for _ in range(shape[0])]


def make_case(rng, layer, inputs, call=None, options=None):
    """Run `layer` on `inputs`, and describe what came out.

    Args:
        rng: A `random.Random`.
        layer: A `torch.nn.Module`, or `None` for a function. Its parameters get new random numbers, its buffers don't.
        inputs: A dictionary of nested lists, as from `draw`. Lists of ints are not differentiated.
        call: A function of the layer and the inputs (tensors, by name) that returns a dictionary of outputs. The
            default calls the layer on the input `x`, for the output `y`.
        options: Anything that JSON can hold, for the test.

    Returns:
        A dictionary. The gradients are those of `sum(cotangent * output)` over all outputs.
    """
    parameters = {}
    if layer is not None:
        layer.double()
        with torch.no_grad():
            for name, p in layer.named_parameters():
                parameters[name] = draw(rng, *p.shape)
                p.copy_(torch.tensor(parameters[name], dtype=torch.double))
    tensors = {name: torch.tensor(x) for name, x in inputs.items()}
    for name, x in tensors.items():
        if x.is_floating_point():
            tensors[name] = x.double().requires_grad_()
    outputs = {"y": layer(tensors["x"])} if call is None else call(layer, tensors)
    cotangents = {name: draw(rng, *y.shape) for name, y in outputs.items()}
    sum((torch.tensor(cotangents[name], dtype=torch.double) * y).sum() for name, y in outputs.items()).backward()
    named = {} if layer is None else dict(layer.named_parameters())
    return {
        "options": options or {},
        "parameters": parameters,
        "inputs": inputs,
        "expected": {name: rounded(y) for name, y in outputs.items()},
        "cotangents": cotangents,
        "gradients": {
            "parameters": {name: rounded(p.grad) for name, p in named.items() if p.grad is not None},
            "inputs": {name: rounded(x.grad) for name, x in tensors.items() if x.grad is not None},
        },
    }


def rounded(tensor):
    """Nested lists of six significant digits."""
    return json.loads(json.dumps(tensor.tolist()), parse_float=lambda text: float("{:.6g}".format(float(text))))


def write(maker, cases):
    """Write `cases`, a dictionary by name, one a line. `make_torch_pool.py` writes `torch_pool.json`."""
    maker = pathlib.Path(maker)
    file = maker.with_name(maker.stem.replace("make_", "") + ".json")
    made = {"made_by": "PyTorch {}, tests/data/{}".format(torch.__version__, maker.name)}
    made.update(cases)
    lines = [
        "{}: {}".format(json.dumps(name), json.dumps(value, separators=(",", ":"))) for name, value in made.items()
    ]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def new_rng():
    return random.Random(2021)
