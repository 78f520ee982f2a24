"""What lies between the wire and the protocol: layers, and input that waits.

Without layers ``wire`` is ``outbound``, and bytes go straight through. With
them, output is passed down a little ahead of what the driver sends, and input
is passed up as it comes. A layer may be put in while the connection runs
(STARTTLS): what was written before goes out as it is, what has arrived before
is an error, and all else waits until the handshake is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from trioproto.sansio import holds
from trioproto.sansio.books import AHEAD
from trioproto.sansio.errors import (
    ConnectionClosed,
    ConnectionLost,
    EarlyPlaintext,
    HandshakeFailed,
)
from trioproto.sansio.lifecycle import Event, State
from trioproto.sansio.outbound import OutboundBuffer
from trioproto.sansio.sending import Sending

if TYPE_CHECKING:
    from ssl import SSLContext

    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver, Owner
    from trioproto.sansio.layer import Layer
    from trioproto.sansio.protocol import Protocol
    from trioproto.sansio.settings import Settings


class Layered(Sending):
    """The part of a connection that passes bytes through its layers."""

    __slots__ = ("_eof", "_heard", "_input", "_layers", "_said_farewell")

    def __init__(
        self,
        protocol: Protocol,
        owner: Owner,
        driver: Driver,
        settings: Settings,
        peer: Address,
        local: Address,
        layers: Iterable[Layer],
    ) -> None:
        super().__init__(protocol, owner, driver, settings, peer, local)
        self._layers = tuple(layers)
        if self._layers:
            self.wire = OutboundBuffer()
            self.holds |= holds.LAYERED
        self._input: list[bytes] | None = None
        self._eof = False
        self._heard = False
        self._said_farewell = not self._layers

    def _layers_are_ready(self) -> None:
        """Go on to the protocol."""
        raise NotImplementedError

    # Down

    def encode_output(self) -> None:
        """Pass what was written down through the layers, as far as it is sent next."""
        if not self._layers or self.holds & holds.HANDSHAKING:
            return
        outbound = self.outbound
        wire = self.wire
        try:
            while wire.size < AHEAD and (data := outbound.peek()) is not None:
                if len(data) > AHEAD:
                    data = memoryview(data)[:AHEAD]
                self._encode(data)
                outbound.sent(len(data))
            if self._farewell_due:
                self._said_farewell = True
                self._say_farewell()
        except ConnectionClosed as reason:
            self._break(reason.with_traceback(None))

    def encode_part(self, data: bytes) -> None:
        """Pass a part of a file down, ahead of what was written after it."""
        self._encode(data)

    def _encode(self, data: bytes | memoryview) -> None:
        """Pass *data* down, and whatever the layers have to say themselves."""
        for layer in reversed(self._layers):
            sent = layer.send(data) if data else b""
            data = sent + layer.output()
        if data:
            assert isinstance(data, bytes)
            self.wire.append(data)

    def _say_farewell(self) -> None:
        """Have each layer end our side, the topmost first."""
        data = b""
        for layer in reversed(self._layers):
            data = (layer.send(data) if data else b"") + layer.end()
        if data:
            self.wire.append(data)

    @property
    def _farewell_due(self) -> bool:
        """Whether the layers should end our side now: everything else is on the wire."""
        if self._said_farewell or self.outbound.size or self.sending_file:
            return False
        if self.state is State.FLUSHING:
            return not self.holds & (holds.BUSY | holds.HANDSHAKING)
        return self.state is State.WRITE_ENDED

    @property
    def sendable(self) -> bool:
        """Whether there is something to be sent now."""
        if self.wire.sendable:
            return True
        if self.wire is self.outbound or self.holds & holds.HANDSHAKING:
            return False
        return self.outbound.sendable or self._farewell_due

    @property
    def wants_shutdown(self) -> bool:
        """Whether our side should be shut down now."""
        if self.buffered or self.sending_file or self._farewell_due:
            return False
        if self.state is State.FLUSHING:
            return not self.holds & holds.BUSY
        return self.state is State.WRITE_ENDED and not self.shut

    @property
    def can_write_eof(self) -> bool:
        """Whether ``write_eof`` is supported."""
        return self._driver.can_write_eof and all(layer.half_close for layer in self._layers)

    # Up

    def decode(self, data: bytes) -> bytes:
        """Pass what came from the peer up; return what is for the protocol."""
        layers = self._layers
        try:
            for layer in layers:
                data = layer.receive(data)
            self._encode(b"")
        except HandshakeFailed as reason:
            self._refuse(reason.with_traceback(None))
            return b""
        except ConnectionClosed as reason:
            self._break(reason.with_traceback(None))
            return b""
        if layers[-1].ended and not self._eof:
            self._eof = True
            self.holds |= holds.INPUT
        if self.state is State.OPENING or self.holds & holds.HANDSHAKING:
            self._heard = True
            if all(layer.ready for layer in layers):
                self._layers_are_ready()
        return data

    def _stream_ended(self) -> ConnectionClosed | None:
        """Return what is wrong if the stream below the layers ends now."""
        if self.state is State.OPENING or self.holds & holds.HANDSHAKING:
            if self._heard:
                return HandshakeFailed("the peer ended the connection in the handshake")
            return ConnectionLost("end of input before the connection was open")
        if self.settings.require_close_notify and any(layer.marks_end for layer in self._layers):
            return ConnectionLost("end of input without close_notify: the stream may be cut")
        return None

    def _refuse(self, reason: HandshakeFailed) -> None:
        """Send the layers' last word, and close: nothing else can be sent any more."""
        try:
            self._encode(b"")
        except ConnectionClosed:
            pass  # a lower layer is not ready to pass it
        self.outbound.clear()
        self.count_output()
        self._said_farewell = True
        self.holds &= ~holds.HANDSHAKING
        self._set_reason(reason)
        if self.state < State.FLUSHING:
            self._move(Event.CLOSE)
        self.note_change()

    # A layer put in later

    def start_tls(
        self,
        context: SSLContext,
        *,
        server_hostname: str | None = None,
        server_side: bool | None = None,
    ) -> None:
        """Go on in TLS."""
        if self.closing:
            return
        if self.state is not State.OPEN or self.sending_file:
            raise RuntimeError("TLS needs both sides of the connection, and no file on its way")
        if self.holds & holds.HANDSHAKING:
            raise RuntimeError("a handshake is under way already")
        if server_side is None:
            server_side = self._driver.server_side
        layer = self._owner.tls_layer(context, server_hostname, server_side)
        if self._layers:
            while (data := self.outbound.peek()) is not None:
                self._encode(data)
                self.outbound.sent(len(data))
        else:
            self.wire, self.outbound = self.outbound, OutboundBuffer()
        self._layers += (layer,)
        self._said_farewell = False
        self.holds |= holds.LAYERED | holds.HANDSHAKING | holds.STARTING
        self._set_fast_limit()
        self._encode(b"")
        self.note_change()

    def _begin_handshake(self) -> None:
        """Refuse what came before the handshake; from here on its deadline counts."""
        self.holds &= ~holds.STARTING
        early = self._ask(self.protocol.take_rest, b"") + b"".join(self._input or ())
        self._input = None
        self.holds &= ~(holds.INPUT | holds.FRAMES)
        timeout = self.settings.handshake_timeout
        self._phase_ends = inf if timeout is None else self._driver.time() + timeout
        if early:
            self._break(EarlyPlaintext(early))
        elif self._eof:
            self._break(HandshakeFailed("the peer ended the connection before the handshake"))

    # Input that waits

    def _hold_input(self, data: bytes) -> None:
        self.holds |= holds.INPUT
        if self._input is None:
            self._input = [data]
        else:
            self._input.append(data)

    def _take_input(self) -> bytes:
        chunks = self._input
        assert chunks
        data = chunks.pop(0)
        if not chunks:
            self._input = None
            if not self._eof:
                self.holds &= ~holds.INPUT
        return data

    def _undelivered(self) -> bool:
        """Whether something that was received is still on its way to the protocol."""
        return bool(self._input) or bool(self.holds & holds.FRAMES)
