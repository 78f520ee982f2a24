"""What every server's process does first, and how it says that it is ready."""

from __future__ import annotations

import ctypes
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Mapping

HOST = "127.0.0.1"
BACKLOG = 1024
GREETING = b"welcome"  # what the load generator waits for in a broadcast

_PR_SET_PDEATHSIG = 1


def announce(port: int) -> None:
    """Tell the suite where to connect."""
    print(f"listening on tcp:{HOST}:{port}", flush=True)


def pair() -> list[str]:
    """The files of the key and the certificate, if the suite wants TLS: it gives them then."""
    return sys.argv[2:4]


def tls_context() -> ssl.SSLContext | None:
    """What a server has that wants TLS; who can give it in a string does that."""
    if not pair():
        return None
    key, certificate = pair()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def free_a_large_block() -> None:
    """Do once what every server does sooner or later: free a block of more than 128 KiB.

    Until then glibc gives each such block back to the system when it is freed; from then on it
    keeps them. asyncio and uvloop read from TLS into 256 KiB, and uvloop would pay three system
    calls and as many page faults for each message, until the first connection ends: it is 2.5
    times slower for so long. Not to be measured by chance.
    """
    block = bytes(1 << 20)
    del block


def main(modes: Mapping[str, Callable[[], object]]) -> None:
    """Run the mode that the command line names, in a process that ends with the suite's."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if len(sys.argv) < 2 or sys.argv[1] not in modes:
        sys.exit(f"a mode is needed: {', '.join(modes)}")
    if pair():
        free_a_large_block()
    modes[sys.argv[1]]()
