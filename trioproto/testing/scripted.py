"""A peer that says and hears what a test has it say and hear, over any trio stream.

It reads only when something is expected of it, so that it is a slow reader while
it waits for anything else, and so that an exchange needs no task of its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import NoReturn, TypeVarTuple

import trio

from trioproto.sansio.errors import NotSupported
from trioproto.testing.partitions import shown
from trioproto.testing.quiet import until_quiet, within
from trioproto.testing.transcript import Transcript, TranscriptError

Ts = TypeVarTuple("Ts")

_CHUNK = 64 * 1024
"""Bytes read at once: so many may be there besides those that were expected."""
_MOST_LEFT = 1024 * 1024
"""Bytes read of those that nobody expects, to show them."""

_EOF = "EOF"
_RESET = "a reset"


@asynccontextmanager
async def peer(stream: trio.abc.Stream, *, timeout: float = 5.0) -> AsyncIterator[ScriptedPeer]:
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
    scripted = ScriptedPeer(stream, timeout=timeout)
    try:
        yield scripted
        await scripted.check_nothing_is_left()
    except BaseException:
        # It is closed at once, whatever else happens.
        with trio.CancelScope(shield=True, deadline=-inf), suppress(trio.BrokenResourceError):
            await stream.aclose()
        raise
    with trio.move_on_after(timeout), suppress(trio.BrokenResourceError):
        await stream.aclose()


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
            protocol under test: ``<`` is what it receives, ``>`` what it sends.
    """

    def __init__(self, stream: trio.abc.Stream, *, timeout: float = 5.0) -> None:
        self.stream = stream
        self.timeout = timeout
        self.transcript = Transcript()
        self._began = trio.current_time()
        self._came = bytearray()
        self._end: str | None = None
        self._broken: trio.BrokenResourceError | None = None
        self._end_is_told = False

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
        self.transcript.happened("<eof", self._now())
        await self._send("EOF", timeout, self.stream.send_eof)

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
            self._broken = error
            problem = f"the connection was reset while {what} was sent"
            raise TranscriptError(problem, self.transcript) from error
        if not taken:
            problem = f"{what} was not all taken in {seconds:g} s"
            raise TranscriptError(problem, self.transcript)

    # From the protocol

    async def expect(self, data: bytes, *, timeout: float | None = None) -> None:
        """Expect exactly these bytes; more may follow."""
        data = bytes(memoryview(data))
        if not data:
            raise ValueError("expect at least one byte; or expect_nothing()")
        await self._wait(self._prefix(data), timeout)
        if not self._came.startswith(data):
            end = min(len(data), len(self._came))
            self._fail(data, timeout, wrong=self._came[:end] != data[:end])
        self._take(len(data))

    async def expect_exactly(self, count: int, *, timeout: float | None = None) -> bytes:
        """Expect so many bytes, and return them."""
        if count < 0:
            raise ValueError("expect at least 0 bytes")
        await self._wait(lambda: len(self._came) >= count, timeout)
        if len(self._came) < count:
            self._fail(f"{count} bytes", timeout)
        return self._take(count)

    async def expect_until(
        self, separator: bytes, *, max_bytes: int = 64 * 1024, timeout: float | None = None
    ) -> bytes:
        """Expect bytes that end with *separator*; return them without it.

        Raises:
            TranscriptError: also if there are more than *max_bytes* before it.
        """
        if not separator:
            raise ValueError("a separator is at least one byte")
        enough = max_bytes + len(separator)

        def decided() -> bool:
            return separator in self._came or len(self._came) >= enough

        await self._wait(decided, timeout)
        size = self._came.find(separator, 0, enough)
        if size < 0:
            expected = f"at most {max_bytes} bytes and {separator!r}"
            self._fail(expected, timeout, wrong=decided())
        return self._take(size + len(separator))[:size]

    async def expect_line(
        self,
        pattern: str | bytes | re.Pattern[bytes] | None = None,
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
        line = await self.expect_until(newline, max_bytes=max_bytes, timeout=timeout)
        if pattern is not None and not re.fullmatch(pattern, line):
            self._came[:0] = line + newline
            self._fail(re.compile(pattern), timeout, wrong=True)
        return line

    async def expect_eof(self, *, timeout: float | None = None) -> None:
        """Expect that the protocol ends its side, before it sends anything else."""
        await self._expect_end(_EOF, timeout)

    async def expect_reset(self, *, timeout: float | None = None) -> None:
        """Expect that the connection breaks, before anything else is sent.

        With TLS that is also an end of the connection without TLS's own end.
        """
        await self._expect_end(_RESET, timeout)

    async def expect_nothing(self, seconds: float = 0.0) -> None:
        """Expect that nothing comes for so long: no byte, no EOF and no reset.

        Without *seconds*: not as an answer to what was sent until now, as far as
        this program gives it without waiting.
        """
        if not self._end_is_told:
            await self._wait(lambda: bool(self._came), seconds)
        else:
            await trio.sleep(seconds)
        if self._came or (self._end and not self._end_is_told):
            self._end_is_told = self._end is not None
            came = shown(bytes(self._came)) if self._came else self._end
            raise TranscriptError(f"nothing was to come, and {came} came", self.transcript)

    async def check_nothing_is_left(self) -> None:
        """Fail if bytes or a reset have come that nobody expected; EOF is no such thing.

        This is what leaving the block does.
        """
        if self._end is None:
            with suppress(trio.ClosedResourceError):
                await until_quiet(self._read_until, lambda: len(self._came) > _MOST_LEFT)
        else:
            await trio.lowlevel.checkpoint()
        if self._came:
            problem = f"{shown(bytes(self._came))} came, and nobody expected it"
            raise TranscriptError(problem, self.transcript)
        if self._end == _RESET and not self._end_is_told:
            problem = "a reset came, and nobody expected it"
            raise TranscriptError(problem, self.transcript) from self._broken

    # How they wait

    async def _expect_end(self, end: str, timeout: float | None) -> None:
        await self._wait(lambda: bool(self._came), timeout)
        # A reset that a send has met is shown to nobody after it.
        met = end == _RESET and self._end is not None and self._broken is not None
        if self._came or not (met or self._end == end):
            self._fail(end, timeout, wrong=bool(self._came))
        self._end_is_told = True

    async def _wait(self, decided: Callable[[], bool], timeout: float | None) -> None:
        """Read until *decided*, until the end, or for *timeout* seconds."""
        await trio.lowlevel.checkpoint()
        seconds = self._or_default(timeout)
        if not await within(seconds, self._read_until, decided) and seconds > 0:
            await until_quiet(self._read_until, decided)

    async def _read_until(self, decided: Callable[[], bool]) -> None:
        while not decided() and self._end is None:
            await self._read()

    async def _read(self) -> None:
        try:
            data = await self.stream.receive_some(_CHUNK)
        except trio.BrokenResourceError as error:
            self._end, self._broken = _RESET, error
            self.transcript.happened("reset", self._now())
            return
        if data:
            self._came += data
            self.transcript.sent(data, self._now())
        else:
            self._end = _EOF
            self.transcript.happened(">eof", self._now())

    # What has come

    def _prefix(self, expected: bytes) -> Callable[[], bool]:
        """Return what tells whether *expected* has come, or cannot come any more.

        Cost: linear in the bytes, in whatever pieces they come.
        """
        same = 0

        def decided() -> bool:
            nonlocal same
            end = min(len(expected), len(self._came))
            if self._came[same:end] != expected[same:end]:
                return True
            same = end
            return end == len(expected)

        return decided

    def _take(self, count: int) -> bytes:
        taken = bytes(self._came[:count])
        del self._came[:count]
        return taken

    def _fail(self, expected: object, timeout: float | None, *, wrong: bool = False) -> NoReturn:
        """Report that what has come is *wrong*, or that it is all that came."""
        came = bytes(self._came)
        if wrong:
            problem = "not what was to come"
        elif self._end is not None:
            self._end_is_told = True
            problem = f"{shown(came)} came, and then {self._end}"
            problem = problem if came else f"{self._end} came instead"
        else:
            which = f"only {shown(came)}" if came else "nothing"
            problem = f"{which} came in {self._or_default(timeout):g} s"
        raise TranscriptError(problem, self.transcript, came, expected) from self._broken

    def _or_default(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    def _now(self) -> float:
        return trio.current_time() - self._began
