"""Twisted's Protocol and Factory on trio's structured concurrency.

PYTEST_DONT_REWRITE: nothing in here is for pytest to rewrite.
"""

from trioproto import endpoints, errors, events, framing, layers
from trioproto.layers.proxy_header import ProxyHeader
from trioproto.runtime.channel import FrameChannel
from trioproto.runtime.client import connect
from trioproto.runtime.drain import DrainedConnection, DrainReport
from trioproto.runtime.factory import Factory
from trioproto.runtime.reconnect import Reconnector, stay_connected
from trioproto.runtime.run import run, run_protocol
from trioproto.runtime.server import Server, open_server, serve
from trioproto.runtime.traffic_files import TrafficFiles
from trioproto.sansio.addresses import (
    Address,
    Addressed,
    Credentials,
    TCPAddress,
    UnixAddress,
    UnknownAddress,
)
from trioproto.sansio.connection_info import ConnectionInfo
from trioproto.sansio.counts import Statistics
from trioproto.sansio.protocol import Protocol
from trioproto.sansio.settings import Settings
from trioproto.sansio.subscriptions import Subscription
from trioproto.sansio.tls_info import ServerContexts, TLSInfo
from trioproto.sansio.traffic_log import TrafficLog
from trioproto.sansio.transport import Transport

__all__ = [
    "Address",
    "Addressed",
    "ConnectionInfo",
    "Credentials",
    "DrainReport",
    "DrainedConnection",
    "Factory",
    "FrameChannel",
    "Protocol",
    "ProxyHeader",
    "Reconnector",
    "Server",
    "ServerContexts",
    "Settings",
    "Statistics",
    "Subscription",
    "TCPAddress",
    "TLSInfo",
    "TrafficFiles",
    "TrafficLog",
    "Transport",
    "UnixAddress",
    "UnknownAddress",
    "connect",
    "endpoints",
    "errors",
    "events",
    "framing",
    "layers",
    "open_server",
    "run",
    "run_protocol",
    "serve",
    "stay_connected",
]
