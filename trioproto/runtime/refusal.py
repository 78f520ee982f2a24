"""What is said to those who are refused: by a connection like any other, but in no books."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trioproto.factory import Factory
from trioproto.sansio.errors import OutboundOverflow
from trioproto.sansio.protocol import Protocol

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.connection import Connection
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.settings import Settings


class Refusal(Protocol):
    """Says its message, and closes."""

    def __init__(self, message: bytes) -> None:
        self._message = message

    def connection_made(self) -> None:
        """Say it."""
        self.transport.write(self._message)
        self.transport.close()


def has_words(settings: Settings, *, layered: bool) -> bool:
    """Whether there is something to say to a peer that is refused.

    A message alone is not worth a handshake; who wants one gives a protocol.
    """
    return settings.refusal is not None and not (layered and isinstance(settings.refusal, bytes))


class RefusingFactory(Factory[Protocol]):
    """Builds what speaks to one peer that a factory refuses.

    The connection shares the factory's state and its log, but it is not among its
    ``connections``, and has little time for each step.

    Args:
        factory: the factory that is served.
    """

    def __init__(self, factory: Factory[Any]) -> None:
        self._factory = factory
        time = factory.settings.refusal_timeout
        self.settings = replace(
            factory.settings,
            handshake_timeout=time,
            idle_timeout=time,
            write_timeout=time,
            close_timeout=time,
            linger=time,
            callback_timeout=time,
            max_age=time,
            drain_grace=time,
            first_byte_timeout=None,
            min_receive_rate=None,
            receive_rate=None,
            send_rate=None,
        )

    def build_protocol(self, peer: Address) -> Protocol | None:
        """Make what the setting ``refusal`` says."""
        refusal = self.settings.refusal
        assert refusal is not None
        if isinstance(refusal, bytes):
            return Refusal(refusal)
        protocol: Protocol | None = refusal()
        return protocol

    def opened(self, connection: Connection) -> None:
        """Have the protocol know the factory that it speaks for."""
        super().opened(connection)
        connection.protocol.factory = self._factory

    def output_waits(self, change: int, limit: int) -> None:
        """Count its output with the factory's; above the limit, abort it, and nobody else."""
        factory = self._factory
        factory._buffered += change
        if change > 0 and factory._buffered > limit:
            for connection in self._monitor.live():
                connection.abort(OutboundOverflow(factory._buffered, limit, "max_buffered_total"))

    def report(self, peer: Address | None, reason: ConnectionClosed) -> None:
        """Log an error of the protocol in the factory's log."""
        self._factory.report(peer, reason)

    def opening_failed(self, peer: Address, reason: ConnectionClosed) -> None:
        """Log a failed handshake in the factory's log."""
        self._factory.opening_failed(peer, reason)
