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
    OutboundOverflow,
)
from trioproto.sansio.lifecycle import Event, State
from trioproto.sansio.outbound import OutboundBuffer
from trioproto.sansio.sending import Sending
from trioproto.sansio.stack import stacked, with_new
from trioproto.sansio.traffic_recorder import TrafficRecorder

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver, Owner
    from trioproto.sansio.layer import Layer
    from trioproto.sansio.protocol import Protocol
    from trioproto.sansio.recording import Recording
    from trioproto.sansio.settings import Settings
    from trioproto.sansio.tls_info import TLSContext


RECORDS = 4096
"""Bytes that layers put around a read's or a send's worth of data, at most."""
_NOT_SAID = -1
"""In place of the size of a farewell."""


class Layered(Sending):
    """The part of a connection that passes bytes through its layers.

    Attributes:
        layer: all layers as one, or ``None``.
        recorder: the topmost of them, if there is a ``traffic_log``.
    """

    __slots__ = ("_eof", "_farewell", "_heard", "_input", "layer", "recorder")

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
        self.recorder: TrafficRecorder | None = None
        log = settings.traffic_log
        if log is not None:
            ours = driver.server_side
            self.recorder = TrafficRecorder(log, driver.time, owner, peer, local, accepted=ours)
            layers = (*layers, self.recorder)
        self.layer = stacked(*layers)
        if self.layer is not None:
            self.wire = OutboundBuffer()
            self.holds |= holds.LAYERED | holds.HANDSHAKING
        self._input: list[bytes] | None = None
        self._eof = False
        self._heard = False
        self._farewell = 0 if self.layer is None else _NOT_SAID

    def _layers_are_ready(self) -> None:
        """Go on to the protocol."""
        raise NotImplementedError

    # Down

    def encode_output(self) -> None:
        """Pass what was written down through the layers, as far as it is sent next."""
        if self.layer is None or self.holds & holds.HANDSHAKING:
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
                self._say_farewell()
        except Exception as exc:
            self.layer_raised(exc)

    def encode_part(self, data: bytes) -> None:
        """Pass a part of a file, or nothing, down ahead of what was written after it."""
        try:
            self._encode(data)
        except Exception as exc:
            self.layer_raised(exc)

    def _encode(self, data: bytes | memoryview) -> None:
        """Pass *data* down, and whatever the layers have to say themselves."""
        assert self.layer is not None
        sent = self.layer.send(data) if data else b""
        sent += self.layer.output()
        if sent:
            self.wire.append(sent)

    def _say_farewell(self) -> None:
        """Have the layers end our side."""
        assert self.layer is not None
        data = self.layer.end()
        self._farewell = len(data)
        if data:
            self.wire.append(data)

    @property
    def _farewell_due(self) -> bool:
        """Whether the layers should end our side now: everything else is on the wire."""
        if self._farewell != _NOT_SAID or self.outbound.size or self.sending_file:
            return False
        if self.state is State.FLUSHING:
            return not self.holds & (holds.BUSY | holds.HANDSHAKING)
        return self.state is State.WRITE_ENDED

    @property
    def _only_farewell_waits(self) -> bool:
        """Whether the peer has ended its side, and has got all of ours but that we end too."""
        if self.layer is None or self._farewell <= 0 or self.outbound.size:
            return False
        return self._eof and self.wire.size <= self._farewell

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
        half_close = self.layer is None or self.layer.half_close
        return self._driver.can_write_eof and half_close

    # Up

    def decode(self, data: bytes) -> bytes:
        """Pass what came from the peer up; return what is for the protocol.

        What is to be done besides is done by ``feed_decoded``, with what this returns.
        """
        layer = self.layer
        assert layer is not None
        try:
            data = layer.receive(data)
        except Exception as exc:
            self.layer_raised(exc)
            return b""
        if layer.news:
            self.take_news()
        return data

    def take_news(self) -> None:
        """Take it that the layer has ``news``, after it has received something."""
        layer = self.layer
        assert layer is not None
        try:
            self._pass_own_output_down(layer)
        except Exception as exc:
            self.layer_raised(exc)
        else:
            self._look_at(layer)

    def _look_at(self, layer: Layer) -> None:
        """See what has changed in the layers."""
        if self.holds & holds.HANDSHAKING:
            self._heard = True
            if layer.ready:
                self._layers_are_ready()
        if layer.ended and not self._eof:
            self._eof = True
            self.holds |= holds.INPUT
        elif layer.failure is not None:
            self.holds |= holds.INPUT

    def feed_decoded(self, data: bytes) -> None:
        """Take what ``decode`` has returned, perhaps nothing."""
        if data:
            self._hold_input(data)
            if self.watch is not None:
                self.watch.heard()
        self.advance()
        failure = self.layer.failure if self.layer is not None else None
        if failure is not None:
            self._break(failure.with_traceback(None))

    def _pass_own_output_down(self, layer: Layer) -> None:
        """Have the layers' own answers sent, but not after our side has ended.

        A peer that asks for answers, and does not read them, may not fill our memory.
        """
        if self._farewell != _NOT_SAID:
            layer.output()
            return
        self._encode(b"")
        limit = max(self.settings.max_buffered, 2 * AHEAD + RECORDS)
        if self.wire.size > limit:
            self._break(OutboundOverflow(self.wire.size, limit))

    def layer_raised(self, exc: Exception) -> None:
        """End this connection; what is no reason for that is a defect of the layer's."""
        if isinstance(exc, HandshakeFailed) and self.holds & holds.HANDSHAKING:
            self._refuse(exc.with_traceback(None))
        elif isinstance(exc, ConnectionClosed):
            self._break(exc.with_traceback(None))
        else:
            self.failed(type(self.layer).__qualname__, exc)

    def _handshake_cut_off(self) -> ConnectionClosed:
        """Return what it means that the stream has ended before the layers were ready."""
        if self._heard or self.state is not State.OPENING:
            return HandshakeFailed("the peer ended the connection in the handshake")
        return ConnectionLost("end of input before the connection was open")

    def _stream_cut_off(self) -> ConnectionClosed | None:
        """Return what is wrong if the stream below the layers has ended, and they have not."""
        layer = self.layer
        if layer is None or layer.ended or not layer.marks_end:
            return None
        if not self.settings.require_close_notify:
            return None
        return ConnectionLost("end of input without close_notify: the stream may be cut")

    def _refuse(self, reason: HandshakeFailed) -> None:
        """Send the layers' last word, and close: nothing else can be sent any more."""
        try:
            self._encode(b"")
        except Exception:
            pass  # a lower layer is not ready to pass it
        self.layer = None  # which nothing can be passed through any more
        self.outbound.clear()
        self.count_output()
        self._farewell = 0
        self.holds &= ~holds.HANDSHAKING
        self._set_reason(reason)
        if self.state < State.FLUSHING:
            self._move(Event.CLOSE)
        self.note_change()

    # A layer put in later

    def start_tls(
        self,
        context: TLSContext,
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
        if self.layer is None:
            self.wire, self.outbound = self.outbound, OutboundBuffer()
            self.layer = layer
        else:
            while (data := self.outbound.peek()) is not None:
                self._encode(data)
                self.outbound.sent(len(data))
            self.layer = with_new(self.layer, layer)
        self._farewell = _NOT_SAID
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

    # The traffic log

    def traffic(self) -> Recording | None:
        """Take a recording."""
        return None if self.recorder is None else self.recorder.taken(self.reason)

    def _write_traffic(self) -> None:
        """Have what was recorded written, if the end was an error."""
        assert self.recorder is not None
        assert self.reason is not None
        self.recorder.write(self.reason)

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
