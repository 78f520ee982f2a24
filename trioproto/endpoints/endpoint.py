"""What every kind of endpoint is, and what it gives to the server."""

from __future__ import annotations

import errno
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import trio

from trioproto.layers.opening import Opening
from trioproto.sansio.addresses import Address
from trioproto.sansio.errors import ListenError

MAX_BACKLOG = 2**31 - 1
"""What the kernel can be asked for; it keeps fewer."""


@dataclass(slots=True)
class Bound:
    """A socket, or a ready-made listener, that an endpoint has taken hold of.

    Whoever has it closes it.

    Attributes:
        source: a bound, non-blocking socket, or what gives streams.
        address: what was bound.
        text: the endpoint as the user wrote it.
        backlog: connections that the kernel keeps; ``None``: the factory's setting.
        listens: whether it listens already, with a backlog that is not ours to change.
        opening: what each of its connections goes through first.
        services: what has to run while connections are accepted, each for ever.
        release: what is done after the socket is closed.
    """

    source: socket.socket | trio.abc.Listener[Any]
    address: Address
    text: str
    backlog: int | None = None
    listens: bool = False
    opening: Opening = field(default_factory=Opening)
    services: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    release: Callable[[], None] | None = None

    def listen(self, backlog: int) -> None:
        """Begin to listen, unless it does already.

        Raises:
            ListenError: another socket listens on the same address.
        """
        if self.listens or not isinstance(self.source, socket.socket):
            return
        try:
            self.source.listen(self.backlog or backlog)
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise listen_error(self.text, exc) from exc
            problem = f"{self.address} has been a connection: give a socket that was not connected"
            raise ListenError(self.text, exc.errno, problem) from exc

    def close(self) -> None:
        """Close a socket, if its acceptor has not; a listener is closed by who waits."""
        if isinstance(self.source, socket.socket):
            self.source.close()
        release, self.release = self.release, None
        if release is not None:
            release()


class ServerEndpoint(ABC):
    """Where to listen.

    Attributes:
        text: the endpoint as the user wrote it, for messages.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    @abstractmethod
    async def bind(self) -> list[Bound]:
        """Take hold of its sockets, which do not listen yet.

        Raises:
            EndpointError: what it names cannot be served.
            ListenError: an address cannot be bound, a file not be read. Nothing
                stays bound then.
        """


async def close_all(bound: Iterable[Bound]) -> None:
    """Close what nobody accepts on any more, listeners too."""
    for each in bound:
        each.close()
        if isinstance(each.source, trio.abc.Listener):
            await trio.aclose_forcefully(each.source)


def listen_error(text: str, exc: OSError) -> ListenError:
    """Say of *exc* which endpoint it befell."""
    problem = os.strerror(exc.errno) if exc.errno else str(exc)
    return ListenError(text, exc.errno, problem)
