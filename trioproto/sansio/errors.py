"""Every reason and every error, and whose doing it is.

Two families share one root. A :class:`ConnectionClosed` is a *reason*: it says
why a connection ended, is handed to ``connection_lost`` and is raised by calls
that wait on a connection which has ended. The others are *errors* of the
program that uses this library, raised where the mistake was made.

Exceptions take typed arguments and build their own message.
"""

from __future__ import annotations

SHOWN = 32
"""Bytes of a peer's that a message shows."""


class TrioprotoError(Exception):
    """Root of all exceptions that this library defines."""


class ConnectionClosed(TrioprotoError):
    """Why a connection has ended; the argument of ``connection_lost``."""


class ConnectionDone(ConnectionClosed):
    """A clean end: the peer's EOF, or our own ``close()``."""


class ConnectionLost(ConnectionClosed):
    """The network or the peer broke the connection.

    ``__cause__`` is the ``OSError`` (with its ``errno``), or the stream's own
    error where there is no socket.
    """


class ConnectionAborted(ConnectionClosed):
    """Our own ``abort()``."""


class ConnectionRefused(ConnectionClosed):
    """The peer was sent away at a limit.

    Attributes:
        limit: the setting's name.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"refused: {self.limit} is reached"


class ServerDraining(ConnectionClosed):
    """Ended because the server drains."""


class ServerCancelled(ConnectionClosed):
    """The connection's task was cancelled from outside."""


class ConnectionTimeout(ConnectionClosed):
    """A deadline passed.

    Attributes:
        seconds: how long was waited.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{type(self).__name__} after {self.seconds:g} s"


class HandshakeTimeout(ConnectionTimeout):
    """The layers below the protocol were not ready in ``handshake_timeout``."""


class HandshakeFailed(ConnectionClosed):
    """The peer and the layers below the protocol could not agree.

    ``__cause__`` is what the layer met, an ``ssl.SSLError`` say.

    Attributes:
        problem: what was wrong, in words.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class ProxyHeaderError(HandshakeFailed):
    """The connection does not begin with a PROXY header.

    Attributes:
        problem: what is wrong, in words.
        offset: where, in bytes from the start of the connection.
        found: the offending bytes, at most the first 32; may be empty.
    """

    def __init__(self, problem: str, offset: int, found: bytes = b"") -> None:
        ConnectionClosed.__init__(self, problem, offset, found[:SHOWN])
        self.problem = problem
        self.offset = offset
        self.found = found[:SHOWN]

    def __str__(self) -> str:
        found = f": {self.found!r}" if self.found else ""
        return f"PROXY header: {self.problem} at offset {self.offset}{found}"


class EarlyPlaintext(HandshakeFailed):
    """The peer sent plain bytes where only TLS could follow: somebody may have injected them.

    Attributes:
        found: those bytes, at most the first 32.
    """

    def __init__(self, found: bytes) -> None:
        ConnectionClosed.__init__(self, found[:SHOWN])
        self.problem = "plaintext before the TLS handshake"
        self.found = found[:SHOWN]

    def __str__(self) -> str:
        return f"{self.problem}: {self.found!r}"


class IdleTimeout(ConnectionTimeout):
    """The peer sent nothing for ``idle_timeout`` while we waited for it."""


class FirstByteTimeout(IdleTimeout):
    """The peer sent nothing at all for ``first_byte_timeout`` after the opening."""


class PeerTooSlow(ConnectionClosed):
    """The peer sent less than ``min_receive_rate``, in a frame that it had begun.

    Attributes:
        received: bytes that came in the window.
        seconds: the window's length.
        rate: bytes a second that it should have been.
    """

    def __init__(self, received: int, seconds: float, rate: float) -> None:
        super().__init__(received, seconds, rate)
        self.received = received
        self.seconds = seconds
        self.rate = rate

    def __str__(self) -> str:
        return f"{self.received} bytes in {self.seconds:g} s, less than {self.rate:g} a second"


class AgeTimeout(ConnectionTimeout):
    """The connection was open for ``max_age``."""


class WriteTimeout(ConnectionTimeout):
    """The peer took no byte of waiting output for ``write_timeout``."""


class CloseTimeout(ConnectionTimeout):
    """Closing did not finish within ``close_timeout`` and its size's allowance."""


class CallbackTimeout(ConnectionTimeout):
    """An async callback ran for longer than ``callback_timeout``."""


class OutboundOverflow(ConnectionClosed):
    """More output was waiting than the peer, or all peers together, may cause.

    Attributes:
        buffered: bytes that were waiting.
        limit: bytes that may wait.
        setting: which limit that is, ``"max_buffered"`` or ``"max_buffered_total"``.
    """

    def __init__(self, buffered: int, limit: int, setting: str = "max_buffered") -> None:
        super().__init__(buffered, limit, setting)
        self.buffered = buffered
        self.limit = limit
        self.setting = setting
        self.problem = f"more output waiting than {setting}"

    def __str__(self) -> str:
        return f"{self.buffered} bytes of output waiting, {self.setting} is {self.limit}"


class FramingError(ConnectionClosed):
    """The peer's bytes are no frame of this protocol."""


class FrameTooLong(FramingError):
    """A frame is longer than allowed.

    Attributes:
        limit: bytes that a frame may have.
        announced: the length that the peer announced, if the format does that.
        begun: what has arrived of it, if the format ends a frame with a delimiter.
    """

    def __init__(self, limit: int, announced: int | None = None, begun: bytes = b"") -> None:
        super().__init__(limit, announced, begun)
        self.limit = limit
        self.announced = announced
        self.begun = begun

    def __str__(self) -> str:
        if self.announced is None:
            return f"frame longer than {self.limit} bytes"
        return f"frame of {self.announced} bytes announced, limit is {self.limit}"


class MalformedFrame(FramingError):
    """Bytes that no frame can have at this place.

    Attributes:
        problem: what is wrong, in words.
        offset: where, in bytes from the start of the frame.
        found: the offending bytes, at most the first 32; may be empty.
    """

    def __init__(self, problem: str, offset: int, found: bytes = b"") -> None:
        found = found[:SHOWN]
        super().__init__(problem, offset, found)
        self.problem = problem
        self.offset = offset
        self.found = found

    def __str__(self) -> str:
        found = f": {self.found!r}" if self.found else ""
        return f"{self.problem} at offset {self.offset} of the frame{found}"


class IncompleteFrame(FramingError):
    """The peer's EOF came in the middle of a frame.

    Attributes:
        pending: bytes of the unfinished frame that had arrived.
    """

    def __init__(self, pending: int) -> None:
        super().__init__(pending)
        self.pending = pending

    def __str__(self) -> str:
        return f"end of input after {self.pending} bytes of an unfinished frame"


class CallbackError(ConnectionClosed):
    """User code raised: a callback, ``build_protocol`` or a task of the connection.

    ``__cause__`` is the exception.

    Attributes:
        callback: the qualified name of what was called, ``data_received`` for
            what a receiver calls.
    """

    def __init__(self, callback: str, cause: BaseException | None = None) -> None:
        super().__init__(callback)
        self.callback = callback
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"error in {self.callback}"


class StringTooLong(TrioprotoError, ValueError):
    """A string to be sent is longer than its length prefix can say.

    Attributes:
        length: its bytes.
        limit: the most that the prefix can say.
    """

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(length, limit)
        self.length = length
        self.limit = limit

    def __str__(self) -> str:
        return f"a string of {self.length} bytes, the prefix can say {self.limit} at most"


class NotSupported(TrioprotoError):
    """The connection's kind of stream cannot do this, now or ever."""


class AsyncCallbackError(TrioprotoError):
    """Async user code met a harness that has no event loop to run it."""


class EndpointError(TrioprotoError, ValueError):
    """A bad endpoint string.

    Attributes:
        endpoint: the whole string.
        problem: what is wrong with it, and where.
    """

    def __init__(self, endpoint: str, problem: str) -> None:
        super().__init__(endpoint, problem)
        self.endpoint = endpoint
        self.problem = problem

    def __str__(self) -> str:
        return f"endpoint {self.endpoint!r}: {self.problem}"


class ListenError(TrioprotoError, OSError):
    """An endpoint could not be bound; ``__cause__`` is the ``OSError``.

    Attributes:
        endpoint: the endpoint, as it was given.
        errno: the system's error number (``None`` for a failed name look-up).
    """

    def __init__(self, endpoint: str, errno: int | None, problem: str) -> None:
        OSError.__init__(self, errno, problem)
        self.endpoint = endpoint

    def __reduce__(self) -> tuple[object, ...]:
        """Be copied and pickled with all that it was made of."""
        return type(self), (self.endpoint, self.errno, self.strerror)

    def __str__(self) -> str:
        return f"cannot listen on {self.endpoint!r}: {self.strerror}"
