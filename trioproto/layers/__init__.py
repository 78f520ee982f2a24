"""Layers between the stream and the protocol: pure, bytes in, bytes out."""

from trioproto.layers.networks import is_trusted, parse_networks
from trioproto.layers.opening import Opening
from trioproto.layers.proxy_header import ProxyHeader, ProxyHeaderDecoder, TLVType
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.layer import Layer

__all__ = [
    "Layer",
    "Opening",
    "ProxyHeader",
    "ProxyHeaderDecoder",
    "TLSLayer",
    "TLVType",
    "is_trusted",
    "parse_networks",
]
