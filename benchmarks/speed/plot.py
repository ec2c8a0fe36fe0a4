"""The plot for the README: the ratio to the floor, against the number of arrays in the model.

The background is transparent. Text and colours have a middle lightness, so they can be read on white and on black. The
colours are those of Okabe and Ito, which colour-blind people can tell apart. Each line has its label at its end.
"""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from speed.contestants import OURS

PANELS = {
    "dispatch_in": "model in",
    "dispatch_in_out": "model in and out",
    "train_step": "training step (Adam)",
}
COLOURS = {
    OURS: "#009E73",
    "equinox, published": "#D55E00",
    "Flax NNX": "#CC79A7",
    "Flax NNX, cached": "#9A6FB0",
    "raw jit on a dict": "#4C93C9",
}
INK = "#7D8590"
FILES = ("dispatch.svg", "dispatch.png")
TICKS = (1, 2, 5, 10, 20, 50, 100, 200)
BOTTOM = 0.6  # of the vertical axis
LABEL = 0.055  # the height of a label, as a share of that axis


def draw(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the panels for which something was measured, and write them to `folder`. Returns the files."""
    panels = {case: lines(content, case) for case in PANELS}
    panels = {case: found for case, found in panels.items() if found}
    if not panels:
        return []
    style = {"text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK}
    with rc_context({**style, "font.size": 10, "svg.hashsalt": "equinox", "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.4 * len(panels), 4.2))
        axes = list(figure.subplots(1, len(panels), sharey=True, squeeze=False).flat)
        highest = max(ratio for found in panels.values() for points in found.values() for _, ratio in points)
        for ax, (case, found) in zip(axes, panels.items(), strict=True):
            panel(ax, PANELS[case], found, top=max(highest, 5) * 1.3)
        axes[0].set_ylabel("time of a call, as a multiple of the floor")
        figure.tight_layout()
        written = [folder / name for name in FILES]
        for path in written:
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(path, transparent=True, dpi=160, metadata=metadata)
    return written


def lines(content: dict[str, Any], case: str) -> dict[str, list[tuple[int, float]]]:
    """For each contender, its points (leaves, ratio). Points that are too noisy are left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for measured in content["cases"]:
        if measured["case"] == case:
            for name, figures in measured["contenders"].items():
                if name in COLOURS and not figures["noisy"]:
                    found.setdefault(name, []).append((measured["size"], figures["ratio"]))
    return {name: sorted(points) for name, points in found.items()}


def panel(ax: Any, title: str, found: dict[str, list[tuple[int, float]]], top: float) -> None:
    sizes = sorted({size for points in found.values() for size, _ in points})
    ax.set(title=title, xscale="log", yscale="log", xlim=(sizes[0] / 1.4, sizes[-1] * 50), ylim=(BOTTOM, top))
    ax.plot([sizes[0], sizes[-1]], [1, 1], color=INK, linestyle="--", linewidth=1)
    ax.text(sizes[0], 0.94, "floor: jax.jit on a flat list", color=INK, va="top", fontsize=9)
    heights = spread_out({name: points[-1][1] for name, points in found.items()}, apart=(top / BOTTOM) ** LABEL)
    for name, points in found.items():
        emphasis = {"linewidth": 2.6, "markersize": 6} if name == OURS else {"linewidth": 1.6, "markersize": 4}
        ax.plot(*zip(*points, strict=True), color=COLOURS[name], marker="o", **emphasis)
        place = points[-1][0] * 1.3, heights[name]
        ax.text(*place, name, color=COLOURS[name], va="center", fontsize=9, fontweight="bold" if name == OURS else None)
    ax.set_xticks(sizes, ["{:,}".format(size) for size in sizes])
    ax.set_yticks([tick for tick in TICKS if tick <= top])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: "{:g}×".format(y)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("arrays in the model", loc="left")
    ax.spines[["top", "right"]].set_visible(False)


def spread_out(heights: dict[str, float], apart: float) -> dict[str, float]:
    """Heights of labels on a log axis: each is at least a factor `apart` above the one below it."""
    placed: dict[str, float] = {}
    lowest = 0.0
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        lowest = placed[name] = max(height, lowest * apart)
    return placed
