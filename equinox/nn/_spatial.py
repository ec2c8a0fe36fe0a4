"""Spatial dimensions, as convolution and pooling see them: padding, and the sizes of what comes out."""

from typing import Any, Sequence, Tuple, Union

from ._checks import as_size, in_words

Pair = Tuple[int, int]
Sizes = Union[int, Sequence[int]]  # an argument: one for all spatial dimensions, or one for each
PaddingArgument = Union[str, int, Sequence[Union[int, Pair]]]
Padding = Union[str, Tuple[Pair, ...]]  # "SAME", "SAME_LOWER", or what is added before and after each dimension


def as_padding(value: Any, dimensions: int, layer: str) -> Padding:
    """`value`, the argument `padding` of `layer`, as `"SAME"`, `"SAME_LOWER"`, or a pair for each spatial dimension."""
    if isinstance(value, str):
        named = value.upper()
        if named in ("SAME", "SAME_LOWER"):
            return named
        if named == "VALID":
            return ((0, 0),) * dimensions
        raise ValueError(
            "`{}` expects `padding` to be 'SAME', 'SAME_LOWER', 'VALID' or integers, got {!r}.".format(layer, value)
        )
    if not isinstance(value, (tuple, list)):
        return (_as_pair(value, "padding", layer),) * dimensions
    if len(value) != dimensions:
        raise ValueError(
            "`{}` expects `padding` to be an integer, or an integer or a pair of integers for each of its {} spatial "
            "dimensions, got {}: {}.".format(layer, dimensions, in_words(value), value)
        )
    return tuple(_as_pair(item, "padding[{}]".format(i), layer) for i, item in enumerate(value))


def _as_pair(value: Any, name: str, layer: str) -> Pair:
    if not isinstance(value, (tuple, list)):
        size = as_size(value, name, layer, 0)
        return size, size
    if len(value) != 2:
        raise ValueError(
            "`{}` expects `{}` to be an integer, or two: before and after the dimension. Got {}: {}.".format(
                layer, name, in_words(value), value
            )
        )
    return as_size(value[0], name + "[0]", layer, 0), as_size(value[1], name + "[1]", layer, 0)


def axis_names(dimensions: int) -> Tuple[str, ...]:
    """The usual names of the spatial axes, for messages."""
    if dimensions <= 3:
        return (("length",), ("height", "width"), ("depth", "height", "width"))[dimensions - 1]
    return tuple("size_{}".format(i) for i in range(dimensions))


def extents(kernel: Sequence[int], dilation: Sequence[int]) -> Tuple[int, ...]:
    """The length that a kernel covers in each dimension, with its gaps."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))


def padding_pairs(
    padding: Padding, sizes: Sequence[int], extent: Sequence[int], stride: Sequence[int]
) -> Tuple[Pair, ...]:
    """What is added before and after each dimension of an input of `sizes`.

    `"SAME"` gives `ceil(size / stride)` outputs. If what it adds is odd, `"SAME"` adds one more after the dimension.
    `"SAME_LOWER"` adds it before the dimension.
    """
    if not isinstance(padding, str):
        return padding
    totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, extent, stride)]
    pairs = tuple((total // 2, total - total // 2) for total in totals)
    return pairs if padding == "SAME" else tuple((after, before) for before, after in pairs)


def output_sizes(
    layer: str, sizes: Sequence[int], extent: Sequence[int], stride: Sequence[int], pairs: Sequence[Pair]
) -> Tuple[int, ...]:
    """The number of places in each dimension where a kernel of `extent` fits into the padded input."""
    padded = tuple(before + n + after for n, (before, after) in zip(sizes, pairs))
    if any(e > n for n, e in zip(padded, extent)):
        raise ValueError(
            "`{}` expects a kernel that fits into the padded input, got a kernel that covers {} and an input of sizes "
            "{}, padded to {}. Use a larger input, more `padding`, or a smaller kernel.".format(
                layer, extent, tuple(sizes), padded
            )
        )
    return tuple((n - e) // s + 1 for n, e, s in zip(padded, extent, stride))
