"""What every server's process does first, and how it says that it is ready."""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
from collections.abc import Callable, Mapping

HOST = "127.0.0.1"
BACKLOG = 1024
GREETING = b"welcome"  # what the load generator waits for in a broadcast

_PR_SET_PDEATHSIG = 1


def announce(port: int) -> None:
    """Tell the suite where to connect."""
    print(f"listening on tcp:{HOST}:{port}", flush=True)


def main(modes: Mapping[str, Callable[[], object]]) -> None:
    """Run the mode that the command line names, in a process that ends with the suite's."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if len(sys.argv) != 2 or sys.argv[1] not in modes:
        sys.exit(f"a mode is needed: {', '.join(modes)}")
    modes[sys.argv[1]]()
