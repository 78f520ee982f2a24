"""Port forwarders: ``python -m tests.benchmarks.servers.forwarders MODE PORT``, to that port.

Each becomes another program, in the same process: its own CPU time is what is measured.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from functools import partial

from .common import BACKLOG, HOST, announce, main

PATIENCE_SECONDS = 5.0


def trioproto() -> None:
    """Ours, as its user runs it; it says itself where it listens."""
    command = [sys.executable, "-m", "examples.portforward"]
    listen = f"tcp:0:interface={HOST}:backlog={BACKLOG}"
    os.execv(sys.executable, [*command, "--listen", listen, "--to", f"tcp:{HOST}:{sys.argv[2]}"])


def socat(*options: str) -> None:
    """socat, which says nothing: a child does, and ends."""
    port = free_port()
    if os.fork() == 0:
        if listens(port):
            announce(port)
        os._exit(0)
    listen = f"TCP-LISTEN:{port},bind={HOST},backlog={BACKLOG},fork,reuseaddr,nodelay"
    os.execvp("socat", ["socat", *options, listen, f"TCP:{HOST}:{sys.argv[2]},nodelay"])


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Wait until it does, but not for ever."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        with socket.socket() as client:
            if client.connect_ex((HOST, port)) == 0:
                return True
        time.sleep(0.01)
    return False


if __name__ == "__main__":
    main(
        {
            "trioproto": trioproto,
            "socat": socat,
            "socat-64k": partial(socat, "-b", "65536"),
        }
    )
