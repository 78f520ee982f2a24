"""Where to listen: strings and classes that end in bound sockets."""

from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.endpoints.strings import parse_endpoint
from trioproto.endpoints.tcp import TCPServerEndpoint

__all__ = ["Bound", "ServerEndpoint", "TCPServerEndpoint", "parse_endpoint"]
