"""The other end of a connection, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tests.behaviour.drivers import Service

Ending = Literal["eof", "reset"]


class PeerWasReset(Exception):
    """The server cut the connection: what came before need not be whole."""


class Peer(ABC):
    """The other end of one connection."""

    service: Service

    @abstractmethod
    async def send(self, data: bytes) -> None: ...

    @abstractmethod
    async def send_eof(self) -> None: ...

    @abstractmethod
    async def reset(self) -> None:
        """End the connection as a crashed host does."""

    @abstractmethod
    async def aclose(self) -> None: ...

    def discard(self) -> None:  # noqa: B027 - most hold nothing
        """Close what the test still holds of it, however the test ended."""

    @abstractmethod
    async def receive_some(self) -> bytes:
        """Wait for bytes; ``b""`` is the server's EOF."""

    async def receive_exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            more = await self.receive_some()
            assert more, f"EOF after {bytes(received)!r}"
            received += more
        assert len(received) == count, bytes(received)
        return bytes(received)

    async def receive_until_eof(self) -> bytes:
        received = bytearray()
        while more := await self.receive_some():
            received += more
        return bytes(received)

    async def receive_all(self) -> tuple[bytes, Ending]:
        """Take what comes until the server ends the connection, and how it ended."""
        received = bytearray()
        try:
            while more := await self.receive_some():
                received += more
        except PeerWasReset:
            return bytes(received), "reset"
        return bytes(received), "eof"

    async def received_so_far(self) -> bytes:
        """Let all that can happen now happen, then take what has come."""
        await self.service.settle()
        return self.take()

    @abstractmethod
    def take(self) -> bytes:
        """What has come, without waiting and without its ending."""

    async def settle(self) -> None:
        await self.service.settle()

    async def pass_time(self, seconds: float) -> None:
        await self.service.pass_time(seconds)
