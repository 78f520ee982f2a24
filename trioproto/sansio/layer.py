"""Bytes in, bytes out: what may stand between the stream and the protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Layer(ABC):
    """A pure transformation of both directions of a connection.

    ``connection_made`` waits until every layer is ``ready``, for at most
    ``handshake_timeout``.
    """

    ready: bool = True
    """Whether bytes of the side above may pass."""

    @abstractmethod
    def receive(self, data: bytes) -> bytes:
        """Take what came from below; return what goes up (perhaps nothing).

        Raises:
            ConnectionClosed: the peer broke the rules; the reason of the end.
        """

    @abstractmethod
    def send(self, data: bytes) -> bytes:
        """Take what comes from above; return what goes down."""

    def output(self) -> bytes:
        """Return bytes of the layer's own that are to go down, once."""
        return b""
