"""The other end of a connection, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from trioproto.testing.failures import compared

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.testing.conformance.service import Service

Ending = Literal["eof", "reset"]


class PeerWasReset(Exception):
    """The server cut the connection: what came before need not be whole."""


class Peer(ABC):
    """The other end of one connection; it stalls simply by not reading.

    What is abstract here is what an implementer writes; the rest follows from it.

    Attributes:
        service: what it is a peer of; the service sets it.
    """

    service: Service

    # What an implementer writes

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send all of this, in order; wait while the connection does not read.

        A test may cancel it. What the service raises for a connection that has
        ended is an ``OSError`` or ``trio.BrokenResourceError``, if anything.
        """

    @abstractmethod
    async def send_eof(self) -> None:
        """End our side, after what was sent; do not wait."""

    @abstractmethod
    async def reset(self) -> None:
        """End the connection as a crashed host does, whatever is under way."""

    @abstractmethod
    async def aclose(self) -> None:
        """End both sides; it does not matter if they have ended already."""

    @abstractmethod
    async def receive_some(self) -> bytes:
        """Wait for bytes; ``b""`` is the server's EOF.

        Who cannot wait in trio for them fails if nothing can ever come.

        Raises:
            PeerWasReset: the server did not end its side cleanly: the
                connection was aborted, or has never been.
        """

    @abstractmethod
    def take(self) -> bytes:
        """Return what has come, without waiting and without its ending."""

    def discard(self) -> None:  # noqa: B027 - most hold nothing
        """Close what the test still holds of it, however the test ended."""

    def allow(self, count: int) -> None:
        """Have room for *count* bytes more from now on; with ``Feature.EXACT_WINDOW``."""
        raise NotImplementedError("how much this peer takes is not exact")

    @property
    def address(self) -> Address:
        """Our own address; with ``Feature.ADDRESSES``."""
        raise NotImplementedError("this peer knows no addresses")

    @property
    def server_address(self) -> Address:
        """The address of the server's end; with ``Feature.ADDRESSES``."""
        raise NotImplementedError("this peer knows no addresses")

    # What tests use besides

    async def say(self, data: bytes) -> None:
        """Send this, and let happen what follows from it."""
        await self.send(data)
        await self.settle()

    async def say_eof(self) -> None:
        """End our side, and let happen what follows from it."""
        await self.send_eof()
        await self.settle()

    async def crash(self) -> None:
        """Reset the connection, and let happen what follows from it."""
        await self.reset()
        await self.settle()

    async def leave(self) -> None:
        """End both sides, and let happen what follows from it."""
        await self.aclose()
        await self.settle()

    async def receive_exactly(self, count: int) -> bytes:
        """Wait for as many bytes, which must not be followed by others yet."""
        received = bytearray()
        while len(received) < count:
            more = await self.receive_some()
            assert more, f"EOF after {bytes(received)!r}"
            received += more
        assert len(received) == count, bytes(received)
        return bytes(received)

    async def receive_until_eof(self) -> bytes:
        """Take what comes until the server has ended its side."""
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

    async def settle(self) -> None:
        """Let all happen that needs no time to pass."""
        await self.service.settle()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        await self.service.pass_time(seconds)


def check_same(came: bytes, expected: bytes) -> None:
    """Fail if megabytes are not the same.

    As ``assert`` does, but that pytest would compare them byte by byte, for minutes.
    """
    if came != expected:
        raise AssertionError("\n".join(["not what was to come", *compared(came, expected)]))
