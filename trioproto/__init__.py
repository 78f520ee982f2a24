"""Twisted's Protocol and Factory on trio's structured concurrency."""

from trioproto import endpoints, errors, framing
from trioproto.runtime.channel import FrameChannel
from trioproto.runtime.factory import Factory
from trioproto.runtime.run import run, run_protocol
from trioproto.runtime.scope import DrainReport
from trioproto.runtime.server import Server, open_server, serve
from trioproto.sansio.addresses import (
    Address,
    Credentials,
    TCPAddress,
    UnixAddress,
    UnknownAddress,
)
from trioproto.sansio.protocol import Protocol
from trioproto.sansio.settings import Settings
from trioproto.sansio.transport import Transport

__all__ = [
    "Address",
    "Credentials",
    "DrainReport",
    "Factory",
    "FrameChannel",
    "Protocol",
    "Server",
    "Settings",
    "TCPAddress",
    "Transport",
    "UnixAddress",
    "UnknownAddress",
    "endpoints",
    "errors",
    "framing",
    "open_server",
    "run",
    "run_protocol",
    "serve",
]
