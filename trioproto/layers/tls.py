"""TLS as a layer: OpenSSL between two buffers in memory.

So it runs in the same step as everything else, over any stream, and in tests
without one. OpenSSL reads exactly one record at a time from its buffer: when
that is empty after a read, and the read gave less than it was asked for, nothing
complete is left behind, and no further read has to fail to say so.

Reasons keep OpenSSL's error as their cause, without its traceback: the frames there
would keep the connection alive until the garbage collector comes.
"""

from __future__ import annotations

import ssl

from trioproto.layers.client_hello import ClientHelloReader
from trioproto.sansio.errors import ConnectionClosed, ConnectionLost, HandshakeFailed
from trioproto.sansio.layer import Layer
from trioproto.sansio.tls_info import ServerContexts, TLSContext, TLSInfo

RECORD = 16 * 1024
"""Bytes of the largest record, and so of the most that one read gives."""
_TWO_RECORDS = 2 * 21
"""Bytes around the data of two records, at least: 21 for each with ChaCha20-Poly1305 in TLS 1.2
(RFC 7905), 22 in TLS 1.3. Around one there are 29 with AES-GCM; where there are more than this,
with AES-CBC or padding, each takes the longer way."""
_FAILED = "TLS handshake failed"
_UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
"""The record of a fatal alert: RFC 8446 section 6, RFC 6066 section 3."""


class TLSLayer(Layer):
    """One side of one TLS connection.

    Args:
        context: the certificates and rules; whoever changes it changes later
            connections only. On a server also what finds one for the name that
            the client asks for.
        server_side: which side this is.
        server_hostname: the name that a client asks for, and that the server's
            certificate must have if the context checks that.

    Raises:
        ssl.SSLError: the context is not for this side.
        TypeError: a client needs an ``SSLContext``.
        ValueError: the context checks host names, and there is none.

    Origin: RFC 8446, RFC 5246; the memory buffers of Python's ``ssl`` module.
    """

    # Slots: half of the cost of looking an attribute up, where a base has a default for it.
    __slots__ = (
        "_clean",
        "_contexts",
        "_hello",
        "_incoming",
        "_object",
        "_outgoing",
        "_read",
        "_server_name",
        "_write",
        "ended",
        "failure",
        "half_close",
        "news",
        "ready",
        "tls",
    )

    marks_end = True

    def __init__(
        self,
        context: TLSContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        self.ready = self.ended = False
        self._clean = False  # whether the next bytes begin a record, and there are no news
        self.half_close = self.news = True
        self.failure: ConnectionClosed | None = None
        self.tls: TLSInfo | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._hello = ClientHelloReader() if server_side else None
        self._server_name = None if server_side else server_hostname
        self._contexts: ServerContexts | None = None
        if not isinstance(context, ssl.SSLContext):
            if not server_side:
                raise TypeError(f"a client needs an SSLContext, not {context!r:.100}")
            context.find(None)  # what is wrong with it comes out here, and not at each hello
            self._contexts = context
        elif server_side:
            self._begin(context.wrap_bio(self._incoming, self._outgoing, server_side=True))
        elif context.check_hostname and not server_hostname:
            raise ValueError("the context checks the server's name: give server_hostname")
        else:
            bio = self._incoming, self._outgoing
            self._begin(context.wrap_bio(*bio, server_hostname=server_hostname))
            self._shake_hands()  # a client has the first word

    def _begin(self, session: ssl.SSLObject) -> None:
        self._object = session
        self._read = session.read
        self._write = session.write

    def receive(self, data: bytes) -> bytes:
        """Take records; return what they hold."""
        if not self._clean:
            return self._receive_carefully(data)
        # The common case: one whole record, with data. Its size shows that it was the only one,
        # so that nothing is left, and there was none of TLS's own, which would want an answer.
        # It holds less than its size; asking for more than that costs a large block of memory.
        size = len(data)
        self._incoming.write(data)
        try:
            plain = self._read(size)
        except ssl.SSLError as exc:
            return self._take_error(exc, [])
        if plain and size - len(plain) < _TWO_RECORDS:
            return plain
        return self._read_all([plain])

    def _receive_carefully(self, data: bytes) -> bytes:
        """Take records when the handshake is not done, or something is about to change."""
        if self.ended or self.failure is not None:
            return b""
        if self._hello is not None:
            data = self._read_hello(self._hello, data)
            if not data:
                return b""
        self._incoming.write(data)
        opening = not self.ready
        if opening:
            self._shake_hands()
            if not self.ready:
                return b""
        plain = self._read_all([])
        if opening:
            self.news = True
            self._clean = False
        return plain

    def _read_hello(self, hello: ClientHelloReader, data: bytes) -> bytes:
        """Keep the client's first flight until its name is known, and the context found."""
        data = hello.feed(data)
        if not hello.done:
            return b""
        self._hello = None
        if hello.name is not None:
            self._server_name = hello.name.decode("ascii", "backslashreplace")
        if self._contexts is not None:
            context = self._contexts.find(self._server_name)
            if context is None:
                self._outgoing.write(_UNRECOGNIZED_NAME)
                raise HandshakeFailed(f"{_FAILED}: no certificate for the name that was asked for")
            self._begin(context.wrap_bio(self._incoming, self._outgoing, server_side=True))
        return data

    def _read_all(self, chunks: list[bytes]) -> bytes:
        """Read on until nothing whole is left; *chunks* have been read already."""
        incoming = self._incoming
        rest_of_record = self._object.pending
        self.ended = bool(chunks) and not chunks[-1]
        try:
            while (incoming.pending or rest_of_record()) and not self.ended:
                data = self._read(RECORD)
                chunks.append(data)
                self.ended = not data
        except ssl.SSLError as exc:
            return self._take_error(exc, chunks)
        self._note_news()
        self._clean = not self.news
        return b"".join(chunks)

    def _take_error(self, exc: ssl.SSLError, chunks: list[bytes]) -> bytes:
        """Take what reading has raised; not all of it is an error."""
        if isinstance(exc, ssl.SSLZeroReturnError):
            self.ended = True
        elif not isinstance(exc, ssl.SSLWantReadError):
            self.failure = _lost(exc)
            self.failure.__cause__ = exc.with_traceback(None)
            if not any(chunks):
                raise self.failure
        self._note_news()
        self._clean = False  # a part of a record may have come
        return b"".join(chunks)

    def _note_news(self) -> None:
        self.news = self.ended or self.failure is not None or self._outgoing.pending > 0

    def send(self, data: bytes | memoryview) -> bytes:
        """Put data into records."""
        try:
            written = self._write(data)
            while written < len(data):
                written += self._write(memoryview(data)[written:])
        except ssl.SSLError as exc:
            raise _lost(exc) from exc.with_traceback(None)
        return self._outgoing.read()

    def output(self) -> bytes:
        """Return handshake records, tickets, answers to a change of keys."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def end(self) -> bytes:
        """Return the close_notify, once the handshake is done."""
        if self.ready:
            try:
                self._object.unwrap()
            except ssl.SSLError:
                pass  # the peer's own close_notify is not here yet
        return self.output()

    def _shake_hands(self) -> None:
        """Go on with the handshake, as far as the peer has answered."""
        session = self._object
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as exc:
            raise HandshakeFailed(f"{_FAILED}: {_in_words(exc)}") from exc.with_traceback(None)
        try:
            self.tls = _info(session, self._server_name)
        except (ssl.SSLError, ValueError) as exc:
            problem = "TLS: the peer's certificate cannot be read"
            raise HandshakeFailed(problem) from exc.with_traceback(None)
        self.ready = True
        self.half_close = session.version() == "TLSv1.3"


def _info(session: ssl.SSLObject, server_name: str | None) -> TLSInfo:
    cipher = session.cipher()
    return TLSInfo(
        version=session.version() or "",
        cipher=cipher[0] if cipher else "",
        alpn=session.selected_alpn_protocol(),
        server_name=server_name,
        peer_certificate=session.getpeercert(),
        peer_certificate_der=session.getpeercert(binary_form=True),
        resumed=bool(session.session_reused),
    )


def _lost(exc: ssl.SSLError) -> ConnectionLost:
    return ConnectionLost(f"TLS: {_in_words(exc)}")


def _in_words(exc: ssl.SSLError) -> str:
    """Say what OpenSSL means: ``CERTIFICATE_VERIFY_FAILED`` alone helps nobody."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    return (exc.reason or str(exc)).lower().replace("_", " ")
