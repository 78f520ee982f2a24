"""Standard input and output, as one connection."""

from __future__ import annotations

import errno
import os
import sys

import trio

from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.endpoints.words import Words
from trioproto.sansio.addresses import UnknownAddress
from trioproto.sansio.errors import ListenError

STDIO = UnknownAddress("stdio:")
"""The address that is bound."""


class StdioServerEndpoint(ServerEndpoint):
    """One connection on standard input and output: pipes, a terminal, files, or a socket.

    It begins at once. When it has ended there is nothing more to accept, and a
    server with no other endpoint ends. Whatever else the program prints on
    standard output gets in between of what is sent.

    Args:
        text: the endpoint as the user wrote it, for messages.
    """

    def __init__(self, *, text: str = "stdio:") -> None:
        self.text = text

    async def bind(self) -> list[Bound]:
        """See that both are open.

        Raises:
            ListenError: one is closed.
        """
        await trio.lowlevel.checkpoint()
        # Python looks at its start: later the descriptor may be anything.
        for name, file in (("input", sys.__stdin__), ("output", sys.__stdout__)):
            if file is None:
                problem = f"standard {name} is closed: start the program with it open"
                raise ListenError(self.text, errno.EBADF, problem)
        return [Bound(_StdioListener(), STDIO, self.text)]


class StandardStream(trio.abc.Stream):
    """Receives from standard input, and sends to standard output.

    It works on duplicates: what it closes does not close the standard ones. So
    there is no end that could be sent to one side alone. The open files, which
    other processes may share, are non-blocking meanwhile.

    Raises:
        OSError: no descriptors are left.
    """

    def __init__(self) -> None:
        source = os.dup(0)
        try:
            sink = os.dup(1)
        except OSError:
            os.close(source)
            raise
        # Both may be one open file: what is made last finds it non-blocking, and is closed first.
        self._input = trio.lowlevel.FdStream(source)
        self._output = trio.lowlevel.FdStream(sink)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive from standard input."""
        return bytes(await self._input.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send to standard output."""
        await self._output.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until standard output may take something."""
        await self._output.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Let go of both."""
        try:
            await self._output.aclose()
        finally:
            await self._input.aclose()


class _StdioListener(trio.abc.Listener[StandardStream]):
    """Gives one stream."""

    def __init__(self) -> None:
        self._given = False

    async def accept(self) -> StandardStream:
        """Give the stream.

        Raises:
            trio.EndOfChannel: it was given already.
        """
        await trio.lowlevel.checkpoint()
        if self._given:
            raise trio.EndOfChannel
        stream = StandardStream()
        self._given = True
        return stream

    async def aclose(self) -> None:
        """Give none from now on."""
        self._given = True
        await trio.lowlevel.checkpoint()


def parse(words: Words) -> StdioServerEndpoint:
    """Make an endpoint of ``stdio:``.

    Raises:
        EndpointError: there is an argument.

    Origin: Twisted's endpoints documentation, "Servers".
    """
    words.name_positional()
    words.check_all_taken()
    return StdioServerEndpoint(text=words.text)
