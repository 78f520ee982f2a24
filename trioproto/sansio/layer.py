"""Bytes in, bytes out: what may stand between the stream and the protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.tls_info import TLSInfo


class Layer(ABC):
    """A pure transformation of both directions of a connection.

    ``connection_made`` waits until every layer is ``ready``, for at most
    ``handshake_timeout``.
    """

    __slots__ = ()

    ready: bool = True
    """Whether bytes of the side above may pass."""
    ended: bool = False
    """Whether the peer has ended its side within the layer: nothing more goes up."""
    marks_end: bool = False
    """Whether an end of input from below, without ``ended``, means that the stream was cut."""
    half_close: bool = True
    """Whether one side may be ended while the other goes on; known once ``ready``."""
    failure: ConnectionClosed | None = None
    """What ended the layer after it had given up what came whole before that."""
    tls: TLSInfo | None = None
    """What the peers have agreed on, if this is TLS; known once ``ready``."""

    stays_on_top: bool = False
    """Whether a layer that is put in later (STARTTLS) goes below this one."""

    news: bool = True
    """Whether the last ``receive`` has changed anything above, or there may be ``output``."""

    @abstractmethod
    def receive(self, data: bytes) -> bytes:
        """Take what came from below, at least one byte; return what goes up, perhaps nothing.

        Raises:
            HandshakeFailed: before the layer was ready; ``output`` may have a last
                word for the peer.
            ConnectionClosed: the peer broke the rules; the reason of the end. If
                something came whole before that, it is returned, and the reason
                is the ``failure``.
        """

    @abstractmethod
    def send(self, data: bytes | memoryview) -> bytes:
        """Take what comes from above; return what goes down."""

    def output(self) -> bytes:
        """Return bytes of the layer's own that are to go down, once."""
        return b""

    def end(self) -> bytes:
        """End our side within the layer; return what tells the peer so."""
        return b""
