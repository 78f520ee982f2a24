"""Where to connect to: classes that end in connected streams."""

from __future__ import annotations

import errno
import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import trio

from trioproto.endpoints.words import quote
from trioproto.layers.opening import Opening

PLAIN_CLIENT = Opening(server_side=False)
"""The protocol hears of the connection as soon as there is one."""

TIMEOUT = 30
"""Seconds to connect in, by default: Twisted's."""

_LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes that the address of a Unix socket has room for."""
_RETRY = 0.02
"""Seconds between two attempts while a Unix socket's backlog is full."""


class ClientEndpoint(ABC):
    """Where to connect to, any number of times.

    Attributes:
        text: the endpoint as the user wrote it, for messages.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    @abstractmethod
    async def open(self) -> trio.abc.Stream:
        """Connect; if cancelled, nothing stays open.

        Raises:
            OSError: it cannot be reached; ``TimeoutError``: not in time.
        """

    def opening(self) -> Opening:
        """Return what the connection goes through first: nothing, in general."""
        return PLAIN_CLIENT

    async def prepare(self) -> None:
        """Read the files that it needs, if any; once, before the first ``open``.

        Raises:
            EndpointError: a file is not what it should be.
            OSError: a file cannot be read.
        """
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close what it was given and has not given on: nothing, in general."""
        await trio.lowlevel.checkpoint()


class TCPClientEndpoint(ClientEndpoint):
    """A port of a host.

    Args:
        host: an address, or a name, whose addresses are tried one after the
            other, or at once when one keeps us waiting (RFC 6555).
        port: 1 to 65535.
        timeout: seconds to look the name up and to connect in; ``None``: no limit.
        bind_address: the address of our own to connect from.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: the host cannot be one, or the port is out of range.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float | None = TIMEOUT,
        bind_address: str | None = None,
        text: str | None = None,
    ) -> None:
        if not host or "\0" in host:
            raise ValueError(f"host {host!r} is neither a name nor an address")
        if not 1 <= port <= 65535:
            raise ValueError(f"port must be from 1 to 65535, not {port}")
        self.host = host
        self.port = port
        self.timeout = timeout
        self.bind_address = bind_address
        self.text = text or f"tcp:{quote(host)}:{port}"

    async def open(self) -> trio.SocketStream:
        """Connect to whichever address answers first.

        Raises:
            OSError: none can be reached; the ``__cause__`` is a group of what
                befell each. ``socket.gaierror``: the name cannot be looked up.
            TimeoutError: it took longer than ``timeout``.
        """
        with _limit(self):
            try:
                return await trio.open_tcp_stream(
                    self.host, self.port, local_address=self.bind_address
                )
            except UnicodeError as exc:
                problem = f"{self.host!r} cannot be the name of a host: {exc}"
                raise socket.gaierror(socket.EAI_NONAME, problem) from exc


class UnixClientEndpoint(ClientEndpoint):
    """A Unix socket.

    Args:
        path: the path; ``@name`` for an abstract name (Linux).
        timeout: seconds to connect in; ``None``: no limit.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: the path is empty, has a zero byte, or is longer than an address
            has room for.
    """

    def __init__(
        self, path: str, *, timeout: float | None = TIMEOUT, text: str | None = None
    ) -> None:
        if path in ("", "@"):
            raise ValueError("the path is empty")
        if "\0" in path:
            raise ValueError("the path has a zero byte in it; an abstract name begins with @")
        size = len(os.fsencode(path))
        if size > _LONGEST_PATH:
            raise ValueError(
                f"the path has {size} bytes, a Unix socket's at most {_LONGEST_PATH}: "
                "use a shorter one, relative to the working directory say"
            )
        self.path = path
        self.timeout = timeout
        self.text = text or f"unix:{quote(path)}"

    async def open(self) -> trio.SocketStream:
        """Connect; while the server's backlog is full, try again.

        Raises:
            OSError: nobody listens there, or we may not connect.
            TimeoutError: the backlog has been full for ``timeout``.
        """
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            with _limit(self):
                await self._connect(sock)
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    async def _connect(self, sock: socket.socket) -> None:
        address = "\0" + self.path[1:] if self.path.startswith("@") else self.path
        await trio.lowlevel.checkpoint()
        while True:
            try:
                sock.connect(address)
                return
            except BlockingIOError:
                # Not under way, as over TCP, but failed: trio's own would call it connected.
                await trio.sleep(_RETRY)
            except OSError as exc:
                exc.filename = self.path  # the system does not say which
                raise


class StreamClientEndpoint(ClientEndpoint):
    """A stream that is connected already: one in memory, say, for TLS over it.

    Args:
        stream: any stream; it can be used once, and is closed at the end.
        text: for messages.
    """

    def __init__(self, stream: trio.abc.Stream, *, text: str | None = None) -> None:
        self.stream = stream
        self.text = text or type(stream).__name__
        self._opened = False

    async def open(self) -> trio.abc.Stream:
        """Return the stream.

        Raises:
            ClosedResourceError: it was returned before.
        """
        await trio.lowlevel.checkpoint()
        if self._opened:
            raise trio.ClosedResourceError(f"{self.text}: a ready-made stream can be used once")
        self._opened = True
        return self.stream

    async def aclose(self) -> None:
        """Close the stream, unless it was returned."""
        if self._opened:
            await trio.lowlevel.checkpoint()
        else:
            await trio.aclose_forcefully(self.stream)


@contextmanager
def _limit(endpoint: TCPClientEndpoint | UnixClientEndpoint) -> Iterator[None]:
    """Have a ``TimeoutError`` come after the endpoint's timeout."""
    seconds = inf if endpoint.timeout is None else endpoint.timeout
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        problem = f"no connection to {endpoint.text!r} within {seconds:g} s"
        raise TimeoutError(errno.ETIMEDOUT, problem) from None
