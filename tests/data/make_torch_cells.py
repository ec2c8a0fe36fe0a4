"""Write `torch_cells.json`: outputs and gradients of PyTorch's layers, for the tests of `equinox.nn`.

    uv venv --python 3.11 ENV && uv pip install --python ENV torch==2.13.0
    ENV/bin/python tests/data/make_torch_cells.py

Parameters and inputs are rounded before PyTorch gets them, so the file holds them exactly. PyTorch computes in double
precision. The random numbers come from the standard library and are the same everywhere. For the cells, `expected` is
h (and c) after each step. The gradients are those of `sum(cotangent * expected)`.
"""

import json
import pathlib
import random

import torch

FILE = pathlib.Path(__file__).with_name("torch_cells.json")
STEPS = 5


def draw(rng, *shape):
    """Numbers in [-1.5, 1.5]. A sigmoid isn't linear there, so a wrong gate gives a wrong result."""
    if not shape:
        return round(rng.uniform(-1.5, 1.5), 3)
    return [draw(rng, *shape[1:]) for _ in range(shape[0])]


def rounded(tensor):
    return json.loads(json.dumps(tensor.tolist()), parse_float=lambda text: round(float(text), 8))


def make_linear(rng, bias):
    layer = torch.nn.Linear(3, 4, bias=bias, dtype=torch.double)
    parameters = set_parameters(rng, layer)
    inputs = {"x": draw(rng, STEPS, 3)}
    tensors = as_tensors(inputs)
    return case(rng, layer, parameters, inputs, tensors, {"y": layer(tensors["x"])})


def make_gru(rng, bias):
    cell = torch.nn.GRUCell(3, 4, bias=bias, dtype=torch.double)
    parameters = set_parameters(rng, cell)
    inputs = {"x": draw(rng, STEPS, 3), "h": draw(rng, 4)}
    tensors = as_tensors(inputs)
    h, hs = tensors["h"], []
    for x in tensors["x"]:
        h = cell(x, h)
        hs.append(h)
    return case(rng, cell, parameters, inputs, tensors, {"h": torch.stack(hs)})


def make_lstm(rng, bias):
    cell = torch.nn.LSTMCell(3, 4, bias=bias, dtype=torch.double)
    parameters = set_parameters(rng, cell)
    inputs = {"x": draw(rng, STEPS, 3), "h": draw(rng, 4), "c": draw(rng, 4)}
    tensors = as_tensors(inputs)
    h, c, hs, cs = tensors["h"], tensors["c"], [], []
    for x in tensors["x"]:
        h, c = cell(x, (h, c))
        hs.append(h)
        cs.append(c)
    return case(rng, cell, parameters, inputs, tensors, {"h": torch.stack(hs), "c": torch.stack(cs)})


def set_parameters(rng, layer):
    parameters = {name: draw(rng, *p.shape) for name, p in layer.named_parameters()}
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(torch.tensor(parameters[name], dtype=torch.double))
    return parameters


def as_tensors(inputs):
    return {name: torch.tensor(x, dtype=torch.double, requires_grad=True) for name, x in inputs.items()}


def case(rng, layer, parameters, inputs, tensors, expected):
    cotangents = {name: draw(rng, *y.shape) for name, y in expected.items()}
    sum((torch.tensor(cotangents[name], dtype=torch.double) * y).sum() for name, y in expected.items()).backward()
    return {
        "parameters": parameters,
        "inputs": inputs,
        "expected": {name: rounded(y) for name, y in expected.items()},
        "cotangents": cotangents,
        "gradients": {
            "parameters": {name: rounded(p.grad) for name, p in layer.named_parameters()},
            "inputs": {name: rounded(x.grad) for name, x in tensors.items()},
        },
    }


def main():
    rng = random.Random(2021)
    made = {"made_by": "PyTorch {}, tests/data/make_torch_cells.py".format(torch.__version__)}
    for name, make in [("Linear", make_linear), ("GRUCell", make_gru), ("LSTMCell", make_lstm)]:
        made[name] = {"bias": make(rng, True), "no_bias": make(rng, False)}
    lines = ["{}: {}".format(json.dumps(name), json.dumps(value)) for name, value in made.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
