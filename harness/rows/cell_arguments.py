"""The arguments that choose cells. All commands share them."""

import argparse

from harness.rows import cells as rows


def add_arguments(parser: argparse.ArgumentParser, default: str = "all") -> None:
    """Add CELL, --tier and --backend. The help text names `default`, the tier that is used without --tier."""
    parser.add_argument("cells", nargs="*", metavar="CELL", help="a name, or a pattern such as 'py311-*'")
    parser.add_argument(
        "--tier",
        choices=rows.TIERS,
        help="the cells of this tier and of the tiers before it; default: {}".format(default),
    )
    parser.add_argument("--backend", choices=rows.BACKENDS, help="only the cells of this backend; default: all")
