"""What the examples share: their options, and one clear line when they cannot start."""

import argparse
import sys

import trioproto

DEFAULT = "tcp:8007:interface=127.0.0.1"


def options(name: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser that knows `--listen`; an example adds its own options to it."""
    parser = argparse.ArgumentParser(
        prog=f"python -m examples.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        metavar="ENDPOINT",
        action="append",
        help=f"where to listen; may be given several times (default: {DEFAULT})",
    )
    return parser


def run(factory: trioproto.Factory, args: argparse.Namespace) -> None:
    """Serve until a signal comes; if that cannot start, say why and exit with status 1."""
    try:
        trioproto.run(factory, *(args.listen or [DEFAULT]))
    except (trioproto.errors.EndpointError, OSError) as error:  # OSError: ListenError, no such file
        sys.exit(f"error: {error}")
