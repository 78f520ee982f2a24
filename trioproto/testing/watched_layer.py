"""A layer that is used as a connection uses it, and held to its contract at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from trioproto.sansio.errors import ConnectionClosed, HandshakeFailed
from trioproto.sansio.layer import Layer
from trioproto.testing.failures import VerificationFailed


class _Flags(NamedTuple):
    """What does not become false again."""

    ready: bool
    ended: bool
    failure: bool


class WatchedLayer:
    """One end: the layer, what it has been fed, and what came of it.

    Args:
        layer: a new one.
        way: the name of what is tried, for failures.

    Attributes:
        up: what has gone up.
        down: what is to go down, and was not taken yet.
        reason: what has ended it.
    """

    def __init__(self, layer: Layer, way: str) -> None:
        self.layer = layer
        self.way = way
        self.up = b""
        self.down = b""
        self.reason: ConnectionClosed | None = None
        self._fed: list[bytes] = []
        self._ended_ours = False

    def begin(self) -> None:
        """Take the layer's first word."""
        if self.layer.ended or self.layer.failure is not None:
            self.fail("it has ended before it has begun", True, False)
        self._take_output()

    def feed(self, pieces: Sequence[bytes]) -> None:
        """Have it receive these pieces, one after the other."""
        for piece in pieces:
            self.receive(piece)

    def receive(self, data: bytes) -> None:
        """Have it receive; take what goes up, and what it answers."""
        assert data, "a layer is never given nothing"
        layer = self.layer
        over = layer.ended or self.reason is not None
        before = self._flags()
        self._fed.append(data)
        try:
            came = layer.receive(data)
        except ConnectionClosed as error:
            if isinstance(error, HandshakeFailed) and before.ready:
                self.fail("HandshakeFailed was raised after the handshake", error, None)
            self.reason = self.reason or error
            self._check_flags(before)
            self._take_output()
            return
        except Exception as error:
            self._raised("receive", error)
        if type(came) is not bytes:
            self.fail("`receive` has to return bytes", type(came).__name__, "bytes")
        if came and over:
            self.fail("something goes up after the end", came, b"")
        if came and not layer.ready:
            self.fail("something goes up before it is ready", came, b"")
        self.up += came
        self.reason = self.reason or layer.failure
        self._check_flags(before)
        self._check_news(before)

    def send(self, data: bytes | memoryview) -> None:
        """Have it send, which it does once it is ready."""
        if not self.layer.ready:
            self.fail("it is not ready", False, True)
        came = self._call("send", lambda: self.layer.send(data))
        self.down += came

    def end(self) -> None:
        """Have it end our side."""
        self.down += self._call("end", self.layer.end)
        self._ended_ours = True

    def take(self) -> bytes:
        """Return what goes down."""
        taken, self.down = self.down, b""
        return taken

    def check(self, problem: str, came: object, expected: object) -> None:
        """Fail unless *came* is what was *expected*."""
        if came != expected:
            self.fail(problem, came, expected)

    def fail(self, problem: str, came: object, expected: object) -> NoReturn:
        """Report what is wrong."""
        raise VerificationFailed(self.way, problem, self._fed, came, expected)

    # The contract

    def _flags(self) -> _Flags:
        return _Flags(self.layer.ready, self.layer.ended, self.layer.failure is not None)

    def _check_flags(self, before: _Flags) -> None:
        """Fail if it has forgotten that it was ready, or had ended."""
        now = self._flags()
        for name, was, is_now in zip(_Flags._fields, before, now, strict=True):
            if was and not is_now:
                self.fail(f"`{name}` was set, and is no more", is_now, was)

    def _check_news(self, before: _Flags) -> None:
        """Fail if something has changed and there were no ``news``: nobody would look."""
        news = self.layer.news
        said = self._take_output()
        if not news and said:
            self.fail("`news` is not set, and there was output", said, b"")
        if not news and self._flags() != before:
            self.fail("`news` is not set, and something has changed", self._flags(), before)

    def _take_output(self) -> bytes:
        """Take what the layer says itself, which it says once."""
        said = self._call("output", self.layer.output)
        again = self._call("output", self.layer.output)
        if again:
            self.fail("`output` returns the same again", again, b"")
        if not self._ended_ours:
            self.down += said
        return said

    def _call(self, name: str, call: Callable[[], bytes]) -> bytes:
        try:
            came = call()
        except ConnectionClosed as error:
            self.reason = error
            return b""
        except Exception as error:
            self._raised(name, error)
        if type(came) is not bytes:
            self.fail(f"`{name}` has to return bytes", type(came).__name__, "bytes")
        return came

    def _raised(self, name: str, error: Exception) -> NoReturn:
        problem = f"`{name}` has raised {type(error).__name__}, and not ConnectionClosed"
        raise VerificationFailed(self.way, problem, self._fed, error, None) from error
