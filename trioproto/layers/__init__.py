"""Layers between the stream and the protocol: pure, bytes in, bytes out."""

from trioproto.layers.networks import is_trusted, parse_networks
from trioproto.layers.opening import Opening
from trioproto.layers.proxy_header import ProxyHeader, ProxyHeaderDecoder, TLVType
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.layer import Layer
from trioproto.sansio.recording import Piece, Recording
from trioproto.sansio.tape import Direction
from trioproto.sansio.traffic_log import TrafficLog

__all__ = [
    "Direction",
    "Layer",
    "Opening",
    "Piece",
    "ProxyHeader",
    "ProxyHeaderDecoder",
    "Recording",
    "TLSLayer",
    "TLVType",
    "TrafficLog",
    "is_trusted",
    "parse_networks",
]
