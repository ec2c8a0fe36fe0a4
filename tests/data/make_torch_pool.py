"""Write `torch_pool.json`: pooling. How to run it: `torch_case.py`."""

import torch
from torch_case import draw, make_case, new_rng, write

rng = new_rng()
cases = {}


def add(kind, x_shape, note, x=None, **options):
    """`x_shape` has no batch. `x` is drawn if it isn't given."""
    layer = getattr(torch.nn, kind)(**options)
    inputs = {"x": draw(rng, *x_shape) if x is None else x}
    cases["{}, {}".format(kind, note)] = make_case(rng, layer, inputs, options=options)


def equal_numbers(*shape):
    """Few different numbers, so a window has several that are the largest."""
    return torch.tensor(draw(rng, *shape)).round().tolist()


for kind in ("MaxPool", "AvgPool"):
    add(kind + "1d", (2, 7), "one step", kernel_size=3, stride=1)
    add(kind + "1d", (2, 8), "without overlap", kernel_size=4, stride=4)
    add(kind + "1d", (1, 23), "large window", kernel_size=11, stride=3, padding=5)
    add(kind + "1d", (1, 13), "gaps", kernel_size=2, stride=5, padding=1)
    add(kind + "1d", (2, 6), "padding, ceil", kernel_size=3, stride=2, padding=1, ceil_mode=True)
    add(
        kind + "1d",
        (2, 5),
        "ceil, last window would begin in the padding",
        kernel_size=2,
        stride=3,
        padding=1,
        ceil_mode=True,
    )
    add(kind + "1d", (1, 2), "ceil, one window", kernel_size=3, stride=2, ceil_mode=True)
    add(kind + "2d", (2, 4, 6), "halves", kernel_size=2, stride=2)
    add(kind + "2d", (1, 7, 6), "padding", kernel_size=3, stride=2, padding=1)
    add(kind + "2d", (1, 7, 6), "each dimension", kernel_size=[3, 2], stride=[2, 3], padding=[1, 0], ceil_mode=True)
    add(kind + "2d", (2, 4, 3), "whole image", kernel_size=[4, 3], stride=1)
    add(kind + "3d", (1, 4, 5, 4), "ceil", kernel_size=2, stride=[2, 2, 1], padding=[0, 1, 1], ceil_mode=True)
for dimensions, shape in enumerate([(2, 9), (2, 5, 5), (1, 4, 4, 4)], 1):
    add("MaxPool{}d".format(dimensions), shape, "equal numbers", x=equal_numbers(*shape), kernel_size=3, stride=1)
for kind, x_shape, options in (
    ("AvgPool1d", (2, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("AvgPool2d", (1, 5, 6), {"kernel_size": [3, 4], "stride": 2, "padding": [1, 2]}),
    ("AvgPool3d", (1, 3, 4, 5), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
):
    add(kind, x_shape, "without padding in the count", count_include_pad=False, **options)
for kind in ("AdaptiveMaxPool", "AdaptiveAvgPool"):
    add(kind + "1d", (2, 7), "windows of two lengths", output_size=3)
    add(kind + "1d", (2, 5), "windows of one length that overlap", output_size=4)
    add(kind + "1d", (2, 3), "larger than the input", output_size=8)
    add(kind + "2d", (2, 4, 6), "sizes that divide", output_size=[2, 3])
    add(kind + "2d", (2, 3, 5), "one output", output_size=1)
    add(kind + "2d", (1, 5, 7), "sizes that don't divide", output_size=[2, 5])
    add(kind + "3d", (1, 3, 4, 5), "each dimension", output_size=[2, 4, 3])
for dimensions, shape in enumerate([(2, 7), (2, 5, 5), (1, 3, 4, 4)], 1):
    add("AdaptiveMaxPool{}d".format(dimensions), shape, "equal numbers", x=equal_numbers(*shape), output_size=3)

write(__file__, cases)
