"""What a connection needs of whoever moves its bytes, and of its factory.

Two interfaces and no code: a :class:`Driver` for each connection (over a
socket, over a stream, by hand in tests), and the :class:`Owner` that all
connections of one factory share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.connection import Connection
    from trioproto.sansio.errors import ConnectionClosed
    from trioproto.sansio.layer import Layer
    from trioproto.sansio.tls_info import TLSContext


class Driver(Protocol):
    """Moves the bytes of one connection, and waits where it must not."""

    can_write_eof: bool
    """Whether one side can be ended alone."""

    server_side: bool
    """Whether the connection was accepted, and not made by us."""

    def time(self) -> float:
        """Return the time, in seconds, that deadlines are compared with."""
        ...

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call user code; the one place where a driver may prepare for that."""
        ...

    def opened(self) -> None:
        """Take it that the layers are ready, and the connection is open."""
        ...

    def exempt(self) -> None:
        """Count the connection in no limit any more."""
        ...

    def changed(self) -> None:
        """Look at the connection in its own turn: something outside changed it.

        The connection then does not ``tell`` again until the turn is over. Nothing may
        be sent or called back from inside this call.
        """
        ...

    def offer(self, *, one_turn: bool = False) -> None:
        """Send at once what can be sent without waiting, or in one turn; call nothing back."""
        ...

    def read_more(self) -> bytes:
        """Return some of what has arrived and can be read without waiting; ``b""``: nothing."""
        ...

    def start_soon(self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """Start a task in the connection's nursery."""
        ...

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Ask the socket, or raise ``NotSupported``."""
        ...

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Tell the socket, or raise ``NotSupported``."""
        ...

    async def wait_writable(self) -> None:
        """Send, and wait until less than ``high_water`` waits.

        Raises:
            ConnectionClosed: the connection's reason, once it is closing.
        """
        ...

    async def wait_closed(self) -> None:
        """Wait until ``connection_lost`` has returned."""
        ...

    async def wait_draining(self) -> None:
        """Wait until the server drains, or the connection ends."""
        ...

    async def send_file(self, path: str | PathLike[str], offset: int, count: int | None) -> int:
        """Send a part of a file in order with other output; return its bytes."""
        ...


class Owner(Protocol):
    """What the connections of one factory share."""

    def opened(self, connection: Connection) -> None:
        """Enter a connection into the books."""
        ...

    def switched(self, connection: Connection) -> None:
        """Enter the protocol that has taken over."""
        ...

    def closed(self, connection: Connection) -> None:
        """Take it out again."""
        ...

    def output_waits(self, change: int, limit: int) -> None:
        """Count *change* bytes more (or fewer) that wait; above *limit* somebody is aborted."""
        ...

    def report(self, peer: Address, reason: ConnectionClosed) -> None:
        """Log an error in user code, which is the ``__cause__`` of *reason*."""
        ...

    def opening_failed(self, peer: Address, reason: ConnectionClosed) -> None:
        """Log that the layers of a connection could not agree with the peer."""
        ...

    def tls_layer(
        self, context: TLSContext, server_hostname: str | None, server_side: bool
    ) -> Layer:
        """Make the layer for ``start_tls``."""
        ...
