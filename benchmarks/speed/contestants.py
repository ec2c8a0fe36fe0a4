"""Who is measured: this library, and the peers that run the same work."""

import dataclasses

OURS = "equinox, here"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A library in the comparison.

    Attributes:
        library: The name that the worker has for its cases.
        shown: Which of their contenders it stands for, and their names in the table and in the plot.
    """

    name: str
    library: str
    shown: dict[str, str]
    cases: tuple[str, ...] = ()
    checkout: bool = False


HERE = Contestant(
    OURS,
    "equinox",
    {
        "equinox": OURS,
        "jitf": "jitf, here",
        "raw jit, dict": "raw jit on a dict",
        "raw jit, modules": "raw jit on modules",
        "raw jit": "raw jit",
    },
    checkout=True,
)
PUBLISHED = Contestant(
    "equinox, published",
    "equinox",
    {"equinox": "equinox, published"},
    ("dispatch", "nodes", "trees", "tracing", "overlap", "imports", "layers"),
)
NNX = Contestant("Flax NNX", "nnx", {"nnx": "Flax NNX", "nnx cached": "Flax NNX, cached"})

PEERS = (PUBLISHED, NNX)
