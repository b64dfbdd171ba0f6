"""What `satomori test-rules` can be told; apart, so that the command line loads nothing else."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="stories, as TOML")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the gateway.toml to test, whichever a FILE names (not those with rules of their own)",
    )
