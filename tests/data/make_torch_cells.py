"""Write `torch_cells.json`: PyTorch's `Linear`, and its cells over a few steps. How to run it: `torch_case.py`."""

import torch
from torch_case import draw, make_case, new_rng, write

STEPS = 5


def run(cell, tensors):
    """h (and c) after each step."""
    names = [name for name in ("h", "c") if name in tensors]
    state, states = tuple(tensors[name] for name in names), []
    for x in tensors["x"]:
        new = cell(x, state if len(state) > 1 else state[0])
        state = new if isinstance(new, tuple) else (new,)
        states.append(state)
    return {name: torch.stack(parts) for name, parts in zip(names, zip(*states))}


def main():
    rng = new_rng()
    cases = {}
    for bias in (True, False):
        suffix = "" if bias else " without bias"
        inputs = {"x": draw(rng, STEPS, 3)}
        linear = torch.nn.Linear(3, 4, bias=bias)
        cases["Linear" + suffix] = make_case(rng, linear, inputs, options={"bias": bias})
        for kind, options in [
            (torch.nn.RNNCell, {}),
            (torch.nn.RNNCell, {"nonlinearity": "relu"}),
            (torch.nn.GRUCell, {}),
            (torch.nn.LSTMCell, {}),
        ]:
            inputs = {"x": draw(rng, STEPS, 3), "h": draw(rng, 4)}
            if kind is torch.nn.LSTMCell:
                inputs["c"] = draw(rng, 4)
            name = " ".join([kind.__name__, *options.values()]) + suffix
            described = dict(options, bias=bias, kind=kind.__name__)
            cases[name] = make_case(rng, kind(3, 4, bias=bias, **options), inputs, run, described)
    write(__file__, cases)


if __name__ == "__main__":
    main()
