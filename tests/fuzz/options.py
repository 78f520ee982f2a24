"""The options that both ways to fuzz have."""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def parse(description: str | None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what is not known is given back."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, metavar="N", help="about so long")
    parser.add_argument("--again", type=Path, metavar="FILE", help="try one input only")
    parser.add_argument("--seed", type=int, metavar="N", help="where to begin")
    options, others = parser.parse_known_args()
    if options.seconds < 1:
        parser.error("at least one second is needed")
    if options.seed is None:
        options.seed = int(time.time())
    return options, others
