"""Where to listen, and where to connect to: strings, and classes that end in sockets."""

from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.endpoints.client import (
    ClientEndpoint,
    StreamClientEndpoint,
    TCPClientEndpoint,
    UnixClientEndpoint,
)
from trioproto.endpoints.client_context import client_context
from trioproto.endpoints.client_strings import parse_client_endpoint
from trioproto.endpoints.client_tls import TLSClientEndpoint
from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.endpoints.inherited import FDServerEndpoint, SystemdServerEndpoint
from trioproto.endpoints.proxy import ProxyServerEndpoint
from trioproto.endpoints.stdio import StdioServerEndpoint
from trioproto.endpoints.strings import parse_endpoint
from trioproto.endpoints.tcp import TCPServerEndpoint
from trioproto.endpoints.tls import TLSServerEndpoint
from trioproto.endpoints.unix import UnixServerEndpoint

__all__ = [
    "Bound",
    "CertificateFiles",
    "Certificates",
    "ClientEndpoint",
    "FDServerEndpoint",
    "ProxyServerEndpoint",
    "ServerEndpoint",
    "StdioServerEndpoint",
    "StreamClientEndpoint",
    "SystemdServerEndpoint",
    "TCPClientEndpoint",
    "TCPServerEndpoint",
    "TLSClientEndpoint",
    "TLSServerEndpoint",
    "UnixClientEndpoint",
    "UnixServerEndpoint",
    "client_context",
    "parse_client_endpoint",
    "parse_endpoint",
]
