"""Write `torch_models.json`: models and layers of PyTorch with their `state_dict`. How to run it: `torch_case.py`."""

import torch
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch_case import draw, new_rng, rounded, write

nn = torch.nn


def fill(rng, model):
    """Give the parameters and statistics of `model` new short numbers. Variances are positive."""
    model.double()
    with torch.no_grad():
        for name, x in model.state_dict().items():
            if x.is_floating_point():
                low = 0.5 if name.endswith("running_var") else -0.5
                x.copy_(torch.tensor(draw(rng, *x.shape, low=low, high=low + 1), dtype=torch.double))
    return {name: x.tolist() for name, x in model.state_dict().items()}


def cnn(rng):
    """Convolutions with `BatchNorm`: in evaluation, and the output and the statistics of a training step."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6, momentum=0.3), nn.PReLU(6)),
        nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    state_dict, x = fill(rng, model), draw(rng, 3, 2, 6, 6)
    inputs = torch.tensor(x, dtype=torch.double)
    model.eval()
    evaluated = rounded(model(inputs))
    model.train()
    trained = rounded(model(inputs))
    after = {name: rounded(x) for name, x in model.named_buffers()}
    return {"state_dict": state_dict, "x": x, "evaluated": evaluated, "trained": trained, "after": after}


def transformer(rng):
    """Two layers of an encoder, each with its normalisation first, and a last normalisation."""
    layer = nn.TransformerEncoderLayer(8, 2, 12, 0.0, activation="gelu", batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8), enable_nested_tensor=False)
    state_dict, x = fill(rng, model), draw(rng, 2, 5, 8)
    return {"state_dict": state_dict, "x": x, "y": rounded(model(torch.tensor(x, dtype=torch.double)))}


def lstm(rng):
    """An embedding, an LSTM of two layers in both directions, and a linear layer on each output."""
    rnn = nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
    model = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "lstm": rnn, "head": nn.Linear(8, 2)})
    state_dict, x = fill(rng, model), [[0, 3, 1, 4], [2, 2, 0, 1]]
    y = model["head"](model["lstm"](model["embedding"](torch.tensor(x)))[0])
    return {"state_dict": state_dict, "x": x, "y": rounded(y)}


# Layers that the other files don't have, each with the shape of its input, as one example.
LAYERS = {
    "RNN": (nn.RNN(3, 2, bias=False, batch_first=True), (4, 3)),
    "RNN with weight norm": (weight_norm(nn.RNN(3, 2, batch_first=True), "weight_hh_l0"), (4, 3)),
    "weight norm of ConvTranspose1d": (weight_norm(nn.ConvTranspose1d(3, 2, 4)), (3, 5)),
    "weight norm of the whole Conv1d": (weight_norm(nn.Conv1d(3, 2, 4), dim=None), (3, 5)),
    "spectral norm of ConvTranspose1d": (spectral_norm(nn.ConvTranspose1d(3, 2, 4)), (3, 5)),
    "spectral norm of Conv2d with groups": (spectral_norm(nn.Conv2d(4, 2, 2, groups=2)), (4, 3, 3)),
    "spectral norm of weight norm": (spectral_norm(weight_norm(nn.Linear(3, 2))), (3,)),
}


def run(rng, layer, shape):
    layer.eval()
    state_dict, x = fill(rng, layer), draw(rng, *shape)
    y = layer(torch.tensor(x, dtype=torch.double)[None])
    y = y[0] if isinstance(y, tuple) else y
    return {"state_dict": state_dict, "x": x, "y": rounded(y[0])}


def main():
    rng = new_rng()
    cases = {"cnn": cnn(rng), "transformer": transformer(rng), "lstm": lstm(rng)}
    cases.update({name: run(rng, layer.double(), shape) for name, (layer, shape) in LAYERS.items()})
    write(__file__, cases)


if __name__ == "__main__":
    main()
