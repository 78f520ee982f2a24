"""Ports for those who have to be told one before they listen."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path


def free_port() -> int:
    """Return a TCP port that is free, and that the system gives to nobody who asks for any.

    So it is still free when the one it is for comes to it, whatever else runs on the machine.
    """
    given_to_any = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(given_to_any, 20_000))
        with suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port
