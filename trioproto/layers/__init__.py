"""Layers between the stream and the protocol: pure, bytes in, bytes out.

The interface is :class:`~trioproto.sansio.layer.Layer`; the layers themselves
(PROXY header, TLS, traffic log) come with the issues that need them.
"""

from trioproto.sansio.layer import Layer

__all__ = ["Layer"]
