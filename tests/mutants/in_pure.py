"""Mutants of the pure part: what the drivers share, and the framing."""

from __future__ import annotations

from . import places
from .mutant import Mutant

IN_PURE = (
    Mutant(
        "deliver-frame-after-close",
        "deliver after close",
        "close() in a callback does not stop the frames that came in the same chunk",
        "sansio/connection.py",
        """
        -        if self.state >= State.FLUSHING or self.holds & stopping:
        +        if self.holds & stopping:
                     return True
        """,
        (places.RECEIVERS, places.LINES),
    ),
    Mutant(
        "deliver-chunk-after-close",
        "deliver after close",
        "a chunk that waits for an async callback comes although the callback has closed",
        "sansio/connection.py",
        """
        -        if self.holds & holds.BUSY or not State.OPEN <= self.state <= State.WRITE_ENDED:
        +        if self.holds & holds.BUSY or not State.OPEN <= self.state <= State.FLUSHING:
                     return False
        """,
        (places.FRAMES,),
    ),
    Mutant(
        "lose-tail-at-close",
        "lose the tail",
        "our side is shut down when close() is called, whatever still waits",
        "sansio/layered.py",
        """
        -        if self.buffered or self.sending_file or self._farewell_due:
        +        if self.sending_file or self._farewell_due:
                     return False
                 if self.state is State.FLUSHING:
        """,
        (places.CLOSING, places.WRITING),
    ),
    Mutant(
        "lose-tail-unread-input",
        "lose the tail",
        "a socket with unread input is closed at once, and its reset overtakes the reply",
        "sansio/connection.py",
        """
        -            lingers = self._driver.can_write_eof and not self._eof
        +            lingers = self._driver.can_write_eof and self._eof
        """,
        (places.CLOSING,),
    ),
    Mutant(
        "double-frame-when-stopped",
        "double a frame",
        "a frame is only taken off the buffer when the next one is asked for",
        "framing/length_field.py",
        """
        -                self._offset = end
                         yield data[start - kept : end]
        +                self._offset = end
        """,
        (places.FRAMES, places.RECEIVERS),
    ),
    Mutant(
        "double-rest-in-raw-mode",
        "double a frame",
        "what is taken away as raw data stays with the codec, to be made lines of",
        "framing/line_codec.py",
        """
                 rest = b"".join([whole, self._unfinished(), *self._fed])
        -        self._fed.clear()
                 self._forget()
        """,
        (places.LINE_MODES, places.SWITCHING),
    ),
    Mutant(
        "ignore-write-timeout",
        "ignore a deadline",
        "a peer that takes nothing holds its connection for ever",
        "sansio/timed.py",
        """
        -        deadline = min(self._phase_ends, self._output_deadline())
        +        deadline = self._phase_ends
                 if self.throttle is not None:
        """,
        (places.CLOSING, places.DEADLINES),
    ),
    Mutant(
        "ignore-handshake-timeout",
        "ignore a deadline",
        "a handshake that begins with STARTTLS may take any time",
        "sansio/layered.py",
        """
                 timeout = self.settings.handshake_timeout
        -        self._phase_ends = inf if timeout is None else self._driver.time() + timeout
        +        self._phase_ends = inf
                 if early:
        """,
        (places.STARTTLS_HANDSHAKE,),
    ),
    Mutant(
        "lost-twice-by-reset",
        "call connection_lost twice",
        "a reset is told at once, and again when the connection has ended",
        "sansio/connection.py",
        """
                 reason.__cause__ = cause.with_traceback(None)  # whose frames would keep us alive
                 self._break(reason)
        +        self._call(self.protocol.connection_lost, reason)
        """,
        (places.LIFECYCLE,),
    ),
    Mutant(
        "lost-twice-by-switch",
        "call connection_lost twice",
        "a protocol that hands its connection over is told that it is lost, as is the next one",
        "sansio/connection.py",
        """
                 self._ask(self.protocol.detached, None)
        +        self._call(self.protocol.connection_lost, ConnectionDone())
                 self.protocol = new
        """,
        (places.SWITCHING,),
    ),
    Mutant(
        "early-plaintext-of-receiver",
        "deliver early plaintext after STARTTLS",
        "what a receiver has buffered before the handshake is delivered after it",
        "sansio/layered.py",
        """
        -        early = self._ask(self.protocol.take_rest, b"") + b"".join(self._input or ())
        +        early = b"".join(self._input or ())
                 self._input = None
        """,
        (places.STARTTLS,),
    ),
    Mutant(
        "early-plaintext-held",
        "deliver early plaintext after STARTTLS",
        "what came before the handshake is not refused but kept for later",
        "sansio/layered.py",
        """
                 if early:
        -            self._break(EarlyPlaintext(early))
        +            self._hold_input(early)
                 elif self._eof:
        """,
        (places.STARTTLS,),
    ),
)
