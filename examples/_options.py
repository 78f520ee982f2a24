"""What the examples share: their options, and one clear line when they cannot start."""

import argparse
import sys
from typing import Any

import trioproto

DEFAULT = "tcp:8007:interface=127.0.0.1"


def options(name: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser of what every example knows; an example adds its own options to it."""
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
    limits = parser.add_argument_group("limits", "Without them the library's defaults hold.")
    limits.add_argument("--max-connections", metavar="N", type=int, help="at once, from all peers")
    limits.add_argument("--per-peer", metavar="N", type=int, help="at once, from one address")
    limits.add_argument(
        "--idle-timeout", metavar="SECONDS", type=float, help="of silence; 0: as long as they like"
    )
    limits.add_argument(
        "--drain", metavar="SECONDS", type=float, help="to finish, after the first Ctrl-C"
    )
    return parser


def run(factory: trioproto.Factory, args: argparse.Namespace) -> None:
    """Serve until a signal comes; if that cannot start, say why and exit with status 1."""
    try:
        factory.configure(**limits(args))
        trioproto.run(factory, *(args.listen or [DEFAULT]))
    # ValueError: EndpointError, a limit out of its range; OSError: ListenError, no such file.
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def limits(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given as options."""
    given = {
        "max_connections": args.max_connections,
        "max_per_peer": args.per_peer,
        "idle_timeout": args.idle_timeout,
        "drain_grace": args.drain,
    }
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if settings.get("idle_timeout") == 0:
        settings["idle_timeout"] = None
    return settings
