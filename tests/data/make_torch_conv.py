"""Write `torch_conv.json`: convolutions and their transposes. How to run it: `torch_case.py`."""

import torch
from torch.nn import functional
from torch_case import draw, make_case, new_rng, write

rng = new_rng()
cases = {}


def add(name, x_shape, in_channels, out_channels, kernel_size, call=None, ours=None, **options):
    """Add a case. `ours` holds the options of `equinox.nn` that PyTorch spells in another way.

    Args:
        name: The name of the case. Its first word is the class.
        x_shape: The shape of a batch.
        in_channels: The number of input channels.
        out_channels: The number of output channels.
        kernel_size: The size of the kernel.
        call: A function of layer and input. The default calls the layer.
        ours: The options of our layer that differ from PyTorch's.
        **options: The options of PyTorch's layer.
    """
    kind = name.split()[0]
    layer = getattr(torch.nn, kind)(in_channels, out_channels, kernel_size, **options)
    given = dict(options, **(ours or {}))
    given = {("use_bias" if key == "bias" else key): value for key, value in given.items()}
    described = dict(given, kind=kind, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
    inputs = {"x": draw(rng, *x_shape)}
    apply = None if call is None else lambda layer, inputs: {"y": call(layer, inputs["x"])}
    cases[name] = make_case(rng, layer, inputs, apply, described)


def padded_by(*amounts):
    """Call the layer on an input with zeros around it. The last dimension comes first, as in `torch`."""
    return lambda layer, x: layer(functional.pad(x, amounts))


add("Conv1d plain", (2, 2, 6), 2, 3, 3)
add("Conv1d stride, padding, dilation", (2, 2, 9), 2, 3, 3, stride=2, padding=2, dilation=2)
add("Conv1d same, even kernel, no bias", (1, 2, 6), 2, 2, 4, padding="same", bias=False)
add("Conv1d same_lower", (1, 2, 5), 2, 2, 4, padded_by(2, 1), ours={"padding": "SAME_LOWER"})
add("Conv1d same, stride", (1, 2, 5), 2, 2, 4, padded_by(1, 2), ours={"padding": "SAME"}, stride=2)
add("Conv1d groups", (2, 4, 5), 4, 6, 2, groups=2)
add("Conv2d valid", (2, 2, 4, 5), 2, 3, (2, 3), padding="valid")
add("Conv2d stride, padding, dilation", (2, 2, 5, 6), 2, 2, 2, stride=(1, 2), padding=(2, 1), dilation=(2, 1))
add("Conv2d pairs", (1, 1, 4, 4), 1, 2, 3, padded_by(0, 2, 1, 0), ours={"padding": [[1, 0], [0, 2]]})
add("Conv2d same, dilation", (1, 1, 5, 4), 1, 2, (2, 3), padding="same", dilation=2)
add("Conv2d one by one", (2, 3, 3, 3), 3, 4, 1)
add("Conv2d depthwise, two filters a channel", (2, 2, 4, 4), 2, 4, 2, groups=2, padding=1, stride=2)
add("Conv3d plain", (1, 2, 3, 3, 4), 2, 2, (2, 2, 3))
add("Conv3d options", (1, 2, 3, 4, 3), 2, 4, 2, stride=(1, 2, 1), padding=1, dilation=(2, 1, 1), groups=2)
for mode in ("reflect", "replicate", "circular"):
    add("Conv1d " + mode, (1, 2, 5), 2, 2, 3, padding=2, stride=2, padding_mode=mode)
    add("Conv2d " + mode, (1, 1, 4, 3), 1, 2, (2, 3), padding=(2, 1), padding_mode=mode)
add("Conv2d same, reflect", (1, 1, 3, 4), 1, 1, (2, 3), padding="same", padding_mode="reflect")
add("Conv3d circular", (1, 1, 2, 3, 2), 1, 1, 2, padding=1, padding_mode="circular")

add("ConvTranspose1d plain", (2, 2, 4), 2, 3, 3)
add("ConvTranspose1d stride, output padding", (1, 2, 3), 2, 2, 3, stride=3, padding=1, output_padding=2)
add("ConvTranspose1d output padding below dilation", (1, 2, 3), 2, 2, 3, output_padding=1, dilation=2)
add("ConvTranspose1d padding beyond the kernel", (1, 2, 7), 2, 2, 2, padding=3)
add("ConvTranspose1d groups", (2, 4, 3), 4, 6, 2, groups=2, stride=2)
add("ConvTranspose2d options", (1, 2, 3, 2), 2, 2, (2, 3), stride=(2, 1), padding=(0, 1), dilation=(1, 2), bias=False)
add("ConvTranspose2d output padding", (1, 2, 2, 3), 2, 1, 3, stride=2, padding=1, output_padding=(1, 0))
add("ConvTranspose2d depthwise", (1, 3, 3, 3), 3, 3, 2, groups=3, stride=2)
add("ConvTranspose3d plain", (1, 2, 2, 2, 3), 2, 1, (1, 2, 2))
stride = {"stride": (2, 1, 2), "output_padding": (1, 0, 0)}
add("ConvTranspose3d options", (1, 2, 2, 2, 2), 2, 4, 2, padding=1, groups=2, **stride)

write(__file__, cases)
