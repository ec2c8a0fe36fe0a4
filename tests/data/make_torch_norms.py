"""Write `torch_norms.json`: the layers that normalise. How to run it: `torch_case.py`."""

import torch
from torch_case import draw, make_case, new_rng, rounded, write

rng = new_rng()
cases = {}


def add(name, layer, x_shape, **options):
    cases[name] = make_case(rng, layer, {"x": draw(rng, *x_shape)}, options=dict(options, kind=name.split()[0]))


nn = torch.nn
add("LayerNorm vector", nn.LayerNorm(5), (2, 5), shape=[5])
add("LayerNorm image, eps", nn.LayerNorm((2, 3), eps=0.1), (2, 2, 3), shape=[2, 3], eps=0.1)
add("LayerNorm no bias", nn.LayerNorm(5, bias=False), (2, 5), shape=[5], use_bias=False)
no_weight = nn.LayerNorm(4, elementwise_affine=False)
add("LayerNorm no parameters", no_weight, (2, 4), shape=[4], use_weight=False, use_bias=False)
add("RMSNorm vector", nn.RMSNorm(5, eps=1e-5), (2, 5), shape=[5], use_bias=False)
add("RMSNorm image, eps", nn.RMSNorm((2, 3), eps=0.1), (2, 2, 3), shape=[2, 3], eps=0.1, use_bias=False)
no_weight = nn.RMSNorm(4, eps=1e-5, elementwise_affine=False)
add("RMSNorm no parameters", no_weight, (2, 4), shape=[4], use_weight=False, use_bias=False)
add("GroupNorm two groups", nn.GroupNorm(2, 4), (2, 4, 3), groups=2, channels=4)
add("GroupNorm one group, vector", nn.GroupNorm(1, 4), (2, 4), groups=1, channels=4)
add("GroupNorm image, eps", nn.GroupNorm(3, 6, eps=0.1), (2, 6, 2, 2), groups=3, channels=6, eps=0.1)
add("GroupNorm no parameters", nn.GroupNorm(2, 4, affine=False), (2, 4, 3), groups=2, channelwise_affine=False)
add("InstanceNorm sequence", nn.InstanceNorm1d(3), (2, 3, 4))
affine = nn.InstanceNorm2d(2, eps=0.1, affine=True)
add("InstanceNorm image, affine", affine, (2, 2, 3, 2), channels=2, eps=0.1, channelwise_affine=True)


def add_batch_norm(name, layer, shape, **options):
    """Three steps of training and one of inference, with the running statistics."""

    def call(layer, inputs):
        outputs = {}
        for i in range(3):
            layer.train()
            outputs["y{}".format(i)] = layer(inputs["x{}".format(i)])
        layer.eval()
        outputs["inference"] = layer(inputs["x0"])
        return outputs

    inputs = {"x{}".format(i): draw(rng, *shape) for i in range(3)}
    case = make_case(rng, layer, inputs, call, dict(options, channels=shape[1]))
    case["running"] = {"mean": rounded(layer.running_mean), "var": rounded(layer.running_var), "steps": 3}
    cases[name] = case


add_batch_norm("BatchNorm vector", nn.BatchNorm1d(3), (4, 3))
add_batch_norm("BatchNorm sequence, eps", nn.BatchNorm1d(2, eps=0.1), (3, 2, 2), eps=0.1)
add_batch_norm("BatchNorm image, momentum", nn.BatchNorm2d(2, momentum=0.3), (2, 2, 2, 2), momentum=0.3)
plain = nn.BatchNorm1d(3, affine=False)
add_batch_norm("BatchNorm no parameters", plain, (4, 3), channelwise_affine=False)


def add_spectral(name, layer, x_shape, **options):
    """Two steps of training and one of inference, with the vectors before and after."""
    layer = nn.utils.parametrizations.spectral_norm(layer, **options)
    layer.double()
    norm = layer.parametrizations.weight[0]
    before = {"u": rounded(norm._u), "v": rounded(norm._v)}
    norm._u.copy_(torch.tensor(before["u"], dtype=torch.double))
    norm._v.copy_(torch.tensor(before["v"], dtype=torch.double))

    def call(layer, inputs):
        layer.train()
        outputs = {"y0": layer(inputs["x"]), "y1": layer(inputs["x"])}
        layer.eval()
        outputs["inference"] = layer(inputs["x"])
        return outputs

    case = make_case(rng, layer, {"x": draw(rng, *x_shape)}, call, dict(options))
    case["before"], case["after"] = before, {"u": rounded(norm._u), "v": rounded(norm._v)}
    cases[name] = case


torch.manual_seed(0)
add_spectral("SpectralNorm linear", nn.Linear(3, 4), (2, 3))
add_spectral("SpectralNorm three iterations", nn.Linear(4, 2), (2, 4), n_power_iterations=3)

weight_norm = nn.utils.parametrizations.weight_norm
for name, dim in (("rows", 0), ("columns", 1), ("whole", None)):
    layer = weight_norm(nn.Linear(3, 4), dim=dim)
    cases["WeightNorm " + name] = make_case(rng, layer, {"x": draw(rng, 2, 3)}, options={"axis": dim})

write(__file__, cases)
