"""Where to listen: strings and classes that end in bound sockets."""

from trioproto.endpoints.strings import parse_endpoint
from trioproto.endpoints.tcp import TCPServerEndpoint

__all__ = ["TCPServerEndpoint", "parse_endpoint"]
