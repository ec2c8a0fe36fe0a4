"""Which cells a command is about: the arguments that say so, the same for all commands."""

import argparse

from harness import rows


def add_arguments(parser: argparse.ArgumentParser, default: str = "all") -> None:
    """CELL, --tier and --backend. `default`: the tier where none is named."""
    parser.add_argument("cells", nargs="*", metavar="CELL", help="a name, or a pattern such as 'py311-*'")
    parser.add_argument(
        "--tier",
        choices=rows.TIERS,
        help="those of this tier, and of the ones before it; if left out: {}".format(default),
    )
    parser.add_argument("--backend", choices=rows.BACKENDS, help="only its cells; all, if left out")
