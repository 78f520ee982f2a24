"""A peer that says and hears what a test has it say and hear, over any trio stream.

It reads only when something is expected of it, so that it is a slow reader while
it waits for anything else, and so that an exchange needs no task of its own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from math import inf
from typing import TypeVarTuple

import trio

from trioproto.sansio.errors import NotSupported
from trioproto.testing.expect_buffer import EOF, RESET, ExpectBuffer
from trioproto.testing.failures import shown, tells_all
from trioproto.testing.session_replay import replay_over_stream
from trioproto.testing.sessions import Session
from trioproto.testing.timeouts import until_quiet, within
from trioproto.testing.transcript import Transcript

__tracebackhide__ = tells_all

Ts = TypeVarTuple("Ts")

_CHUNK = 64 * 1024
"""Bytes read at once: so many may be there besides those that were expected."""
_MOST_LEFT = 1024 * 1024
"""Bytes read of those that nobody expects, to show them."""


def peer(
    stream: trio.abc.Stream, *, timeout: float = 5.0
) -> AbstractAsyncContextManager[ScriptedPeer]:
    r"""Be the other side of a protocol, as a test says it.

    A conversation is held in a few lines::

        async with peer(stream) as p:
            await p.expect(b"220 mx.example.org ESMTP\r\n")
            await p.send(b"QUIT\r\n")
            await p.expect(b"221 goodbye\r\n")
            await p.expect_eof()

    The stream is closed when the block is left. Before that, if no exception
    leaves it, everything that has come must have been expected. An exception
    goes on as it is, and the stream is closed at once.

    Args:
        stream: connected to the protocol under test: in memory, of a socket, with
            TLS, or any other.
        timeout: seconds, of trio's clock, that each step may take.

    Raises:
        TranscriptError: when the block is left, bytes or a reset had come that
            nobody expected.
    """
    return _Block(stream, timeout)


class _Block(AbstractAsyncContextManager["ScriptedPeer"]):
    """The block of :func:`peer`; a generator's would show lines of contextlib's."""

    def __init__(self, stream: trio.abc.Stream, timeout: float) -> None:
        self._stream = stream
        self._timeout = timeout

    async def __aenter__(self) -> ScriptedPeer:
        self._peer = ScriptedPeer(self._stream, timeout=self._timeout)
        return self._peer

    async def __aexit__(self, kind: object, error: object, entry: object) -> None:
        in_order = False
        try:
            if error is None:
                await self._peer.check_nothing_is_left()
                in_order = True
        finally:
            if not in_order:  # It is closed at once, whatever else happens.
                with (
                    trio.CancelScope(shield=True, deadline=-inf),
                    suppress(trio.BrokenResourceError),
                ):
                    await self._stream.aclose()
        if in_order:
            # The test may have closed what is below TLS.
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await within(self._timeout, self._stream.aclose)


class ScriptedPeer:
    """The peer of a protocol under test; :func:`peer` makes it.

    Whatever is expected must come next, in whatever pieces, and no later than
    *timeout* seconds after the call; what comes at that very moment is in time.
    More may come behind it: that stays, and is expected next. As soon as what has
    come cannot be right any more, ``TranscriptError`` is raised, without waiting:
    it shows what came instead, and the whole exchange.

    After an error, or when it is cancelled, an expectation has taken nothing: what
    was read is still there, to be expected by another. ``send`` may have sent a
    part. At most 64 KiB are read besides what is expected.

    Args:
        stream: connected to the protocol.
        timeout: seconds that each step may take, if it is not told otherwise.

    Attributes:
        stream: the stream.
        timeout: as given.
        transcript: what was said. As everywhere in the kit it is seen from the
            protocol under test: ``<`` is what it receives, and ``>`` what it sends.
    """

    def __init__(self, stream: trio.abc.Stream, *, timeout: float = 5.0) -> None:
        self.stream = stream
        self.timeout = timeout
        self._began = trio.current_time()
        self.transcript = Transcript()
        self._came = ExpectBuffer(self.transcript)

    # To the protocol

    async def send(self, data: bytes, *, timeout: float | None = None) -> None:
        """Send bytes to the protocol.

        Raises:
            TranscriptError: the connection was reset, or the protocol did not take
                them all in time; a part may have been sent.
        """
        data = bytes(memoryview(data))
        self.transcript.received(data, self._now())
        await self._send(shown(data), timeout, self.stream.send_all, data)

    async def send_eof(self, *, timeout: float | None = None) -> None:
        """End our side; what the protocol sends can still be expected.

        Raises:
            NotSupported: the stream cannot do that, as with TLS.
            TranscriptError: as :meth:`send`.
        """
        if not isinstance(self.stream, trio.abc.HalfCloseableStream):
            raise NotSupported("this stream can only be closed both ways")
        self.transcript.happened("EOF received", self._now())
        await self._send(EOF, timeout, self.stream.send_eof)

    # From the protocol

    async def expect(self, data: bytes, *, timeout: float | None = None) -> None:
        """Expect exactly these bytes; more may follow."""
        data = bytes(memoryview(data))
        if not data:
            raise ValueError("expect at least one byte; or expect_nothing()")
        waited = await self._wait(self._came.prefix_is_decided(data), timeout)
        self._came.expect(data, waited)

    async def expect_exactly(self, count: int, *, timeout: float | None = None) -> bytes:
        """Expect so many bytes, and return them."""
        if count < 0:
            raise ValueError("expect at least 0 bytes")
        waited = await self._wait(lambda: len(self._came.data) >= count, timeout)
        return self._came.expect_exactly(count, waited)

    async def expect_until(
        self, separator: bytes, *, max_bytes: int = 64 * 1024, timeout: float | None = None
    ) -> bytes:
        """Expect bytes that end with *separator*; return them without it.

        Raises:
            TranscriptError: also if there are more than *max_bytes* before it.
        """
        waited = await self._wait_for(separator, max_bytes, timeout)
        return self._came.expect_until(separator, max_bytes, waited)

    async def expect_line(
        self,
        pattern: str | bytes | re.Pattern[bytes] = rb"(?s).*",
        *,
        newline: bytes = b"\r\n",
        max_bytes: int = 64 * 1024,
        timeout: float | None = None,
    ) -> bytes:
        """Expect a line; return it without its end.

        Args:
            pattern: a regular expression that the whole line must match.
            newline: ends the line.
            max_bytes: the length of the line, at most.
            timeout: seconds.
        """
        if isinstance(pattern, str):
            pattern = pattern.encode()
        waited = await self._wait_for(newline, max_bytes, timeout)
        return self._came.expect_line(pattern, newline, max_bytes, waited)

    async def expect_eof(self, *, timeout: float | None = None) -> None:
        """Expect that the protocol ends its side, before it sends anything else."""
        waited = await self._wait(self._anything, timeout)
        self._came.expect_end(EOF, waited)

    async def expect_reset(self, *, timeout: float | None = None) -> None:
        """Expect that the connection breaks, before anything else is sent.

        With TLS that is also an end of the connection without TLS's own end.
        """
        waited = await self._wait(self._anything, timeout)
        self._came.expect_end(RESET, waited)

    async def expect_nothing(self, seconds: float = 0.0) -> None:
        """Expect that nothing comes for so long: no byte, no EOF and no reset.

        Without *seconds*: not as an answer to what was sent until now, as far as
        this program gives it without waiting. After an end that was expected
        nothing can come.
        """
        if self._came.end_is_told:
            await trio.sleep(seconds)
        else:
            await self._wait(self._anything, seconds)
        self._came.expect_nothing()

    async def replay(
        self, session: Session, *, times: bool = False, timeout: float | None = None
    ) -> None:
        """Say what the peer says in a session, and expect what is sent in it.

        See :meth:`Session.replay <trioproto.testing.Session.replay>`.

        Args:
            session: what is to pass, from here on.
            times: send no earlier than the session's times, counted from this
                call; nothing that is sent then need come earlier than its time.
                This takes a mock clock, or patience.
            timeout: seconds for each step.

        Raises:
            TranscriptError: something else came; it names the line.
        """
        await replay_over_stream(session, self, times=times, timeout=self._or_default(timeout))

    async def check_nothing_is_left(self, *, reset: bool = True) -> None:
        """Fail if bytes or a reset have come that nobody expected; EOF is no such thing.

        This is what leaving the block does.

        Args:
            reset: whether a reset, too.
        """
        await self._read_what_is_there()
        self._came.expect_no_more(reset=reset)

    # How they wait

    async def _send(
        self,
        what: str,
        timeout: float | None,
        async_fn: Callable[[*Ts], Awaitable[object]],
        *args: *Ts,
    ) -> None:
        seconds = self._or_default(timeout)
        try:
            taken = await within(seconds, async_fn, *args)
        except trio.BrokenResourceError as error:
            self._came.broken = error
            self._came.fail(f"the connection was reset while {what} was sent")
        if not taken:
            self._came.fail(f"{what} was not all taken in {seconds:g} s")

    async def _wait_for(self, separator: bytes, max_bytes: int, timeout: float | None) -> str:
        if not separator:
            raise ValueError("what ends is at least one byte")
        return await self._wait(self._came.separator_is_decided(separator, max_bytes), timeout)

    async def _wait(self, decided: Callable[[], bool], timeout: float | None) -> str:
        """Read until *decided*, until the end, or for so long; return that as a phrase."""
        await trio.lowlevel.checkpoint()
        seconds = self._or_default(timeout)
        if not await within(seconds, self._read_until, decided) and seconds > 0:
            await until_quiet(self._read_until, decided)
        return f" in {seconds:g} s"

    async def _read_until(self, decided: Callable[[], bool]) -> None:
        while not decided() and self._came.end is None:
            try:
                data = await self.stream.receive_some(_CHUNK)
            except trio.BrokenResourceError as error:
                self._came.end, self._came.broken = RESET, error
                self.transcript.happened("reset", self._now())
                return
            if data:
                self._came.data += data
                self.transcript.sent(data, self._now())
            else:
                self._came.end = EOF
                self.transcript.happened("EOF sent", self._now())

    async def _read_what_is_there(self) -> None:
        with suppress(trio.ClosedResourceError):
            await until_quiet(self._read_until, lambda: len(self._came.data) > _MOST_LEFT)

    def _anything(self) -> bool:
        return bool(self._came.data)

    def _or_default(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    def _now(self) -> float:
        return trio.current_time() - self._began
