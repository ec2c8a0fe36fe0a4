"""Write `torch_recurrent.json`: PyTorch's `GRU` and `LSTM` over sequences. See `torch_case.py`."""

import torch
from torch_case import draw, make_case, new_rng, write

LENGTHS = [4, 2]


def run(layer, tensors):
    """Run over a batch of two sequences, of the shape (batch, length, input)."""
    names = [name for name in ("h", "c") if name in tensors]
    state = tuple(tensors[name] for name in names)
    state = None if not state else state if isinstance(layer, torch.nn.LSTM) else state[0]
    xs = tensors["xs"]
    if "lengths" in tensors:
        xs = torch.nn.utils.rnn.pack_padded_sequence(xs, tensors["lengths"], batch_first=True)
    ys, final = layer(xs, state)
    if "lengths" in tensors:
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, batch_first=True)
    final = final if isinstance(layer, torch.nn.LSTM) else (final,)
    return dict(zip(("ys", "h_n", "c_n"), (ys, *final)))


def main():
    rng = new_rng()
    cases = {}
    for kind in (torch.nn.GRU, torch.nn.LSTM):
        for name, options, with_lengths, with_state in [
            ("one layer", {}, False, False),
            ("state", {"bias": False}, True, True),
            ("layers", {"num_layers": 2}, False, True),
            ("both directions", {"num_layers": 2, "bidirectional": True}, True, True),
        ]:
            layer = kind(3, 2, batch_first=True, **options)
            count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
            inputs = {"xs": draw(rng, 2, 4, 3)}
            if with_state:
                inputs["h"] = draw(rng, count, 2, 2)
                if kind is torch.nn.LSTM:
                    inputs["c"] = draw(rng, count, 2, 2)
            if with_lengths:
                inputs["lengths"] = LENGTHS
            described = dict(options, kind=kind.__name__)
            cases["{} {}".format(kind.__name__, name)] = make_case(rng, layer, inputs, run, described)
    write(__file__, cases)


if __name__ == "__main__":
    main()
