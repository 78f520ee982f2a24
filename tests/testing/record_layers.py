"""A layer of records with a handshake and an end, and the same with a defect each."""

from __future__ import annotations

from trioproto.errors import ConnectionClosed, HandshakeFailed, MalformedFrame
from trioproto.layers import Layer

HELLO = b"HI"


class Records(Layer):
    """Each side says hello. Then come records: a length of two bytes, and the data; 0 is the end.

    A record is sealed with a last byte, the sum of the others, so that a change is seen.
    """

    marks_end = True

    def __init__(self) -> None:
        self.ready = False
        self.buffer = b""
        self.says = HELLO

    def receive(self, data: bytes) -> bytes:
        was_ready = self.ready
        self.news = False
        if self.ended or self.failure is not None:
            return b""
        self.buffer += data
        if not self.ready and not self.take_hello():
            return b""
        up = self.take_records()
        self.news = self.ended or self.failure is not None or not was_ready
        return up

    def take_hello(self) -> bool:
        if not HELLO.startswith(self.buffer[: len(HELLO)]):
            raise HandshakeFailed("no hello")
        if len(self.buffer) >= len(HELLO):
            self.buffer = self.buffer[len(HELLO) :]
            self.ready = True
        return self.ready

    def take_records(self) -> bytes:
        up = b""
        while not self.ended and len(self.buffer) >= 3:
            size = int.from_bytes(self.buffer[:2], "big")
            if len(self.buffer) < size + 3:
                break
            record, seal = self.buffer[2 : size + 2], self.buffer[size + 2]
            self.buffer = self.buffer[size + 3 :]
            if sum(record) % 256 != seal:
                self.failure = self.broken()
                if not up:
                    raise self.failure
                break
            self.ended = not record
            up += record
        return up

    def broken(self) -> ConnectionClosed:
        return MalformedFrame("the sum is wrong", 0)

    def send(self, data: bytes | memoryview) -> bytes:
        records = b""
        for start in range(0, len(data), 60_000):
            records += self.record(bytes(data[start : start + 60_000]))
        return records

    def record(self, data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data + bytes([sum(data) % 256])

    def output(self) -> bytes:
        says, self.says = self.says, b""
        return says

    def end(self) -> bytes:
        return self.record(b"") if self.ready else b""


# With a defect


class ForgetsHalfARecord(Records):
    def receive(self, data: bytes) -> bytes:
        up = super().receive(data)
        if self.ready:
            self.buffer = b""
        return up


class TakesOneRecord(Records):
    """Leaves the others of a chunk until the next one comes."""

    def take_records(self) -> bytes:
        size = int.from_bytes(self.buffer[:2], "big") + 3
        self.buffer, rest = self.buffer[:size], self.buffer[size:]
        up = super().take_records()
        self.buffer += rest
        return up


class WaitsForAChunkAfterTheHandshake(Records):
    def receive(self, data: bytes) -> bytes:
        was_ready = self.ready
        up = super().receive(data)
        if up and not was_ready:
            self.buffer = self.record(up) + self.buffer
            return b""
        return up


class DeliversBeforeItIsReady(Records):
    def receive(self, data: bytes) -> bytes:
        return super().receive(data) or (b"" if self.ready else data)


class SpeaksAgain(Records):
    def output(self) -> bytes:
        return self.says


class KeepsBeingReadyToItself(Records):
    def receive(self, data: bytes) -> bytes:
        up = super().receive(data)
        self.news = self.ended
        return up


class KeepsTheEndToItself(Records):
    def receive(self, data: bytes) -> bytes:
        ready = self.ready
        up = super().receive(data)
        self.news = self.news and not ready
        return up


class MissesTheEnd(Records):
    def take_records(self) -> bytes:
        up = super().take_records()
        self.ended = False
        return up


class GoesOnAfterTheEnd(Records):
    def receive(self, data: bytes) -> bytes:
        if self.ended:
            return data
        return super().receive(data)


class ReadsOnBehindTheEnd(Records):
    def take_records(self) -> bytes:
        up = super().take_records()
        if self.ended:
            self.ended = False
            up += super().take_records()
            self.ended = True
        return up


class ForgetsThatItWasReady(Records):
    def receive(self, data: bytes) -> bytes:
        up = super().receive(data)
        if self.ended:
            self.ready = False
        return up


class GivesAnArray(Records):
    def receive(self, data: bytes) -> bytes:
        return bytearray(super().receive(data))  # type: ignore[return-value]


class CannotSendAView(Records):
    def send(self, data: bytes | memoryview) -> bytes:
        return self.record(data + b"")  # type: ignore[operator]


class SendsNothingLarge(Records):
    def send(self, data: bytes | memoryview) -> bytes:
        return self.record(bytes(data)[: 1 << 16 - 1])


class RaisesWhatItWants(Records):
    def broken(self) -> ConnectionClosed:
        raise ValueError("the sum is wrong")


class FailsAsInAHandshake(Records):
    def broken(self) -> ConnectionClosed:
        raise HandshakeFailed("the sum is wrong")


class NeverEndsTheHandshake(Records):
    def take_hello(self) -> bool:
        self.says = HELLO
        self.buffer = b""
        return False


class EndsNothing(Records):
    def end(self) -> bytes:
        return b""


DEFECTS: dict[type[Records], str] = {
    ForgetsHalfARecord: "byte by byte",
    TakesOneRecord: "whole",
    WaitsForAChunkAfterTheHandshake: "many at once",
    DeliversBeforeItIsReady: "byte by byte",
    SpeaksAgain: "whole",
    KeepsBeingReadyToItself: "whole",
    KeepsTheEndToItself: "whole",
    MissesTheEnd: "whole",
    GoesOnAfterTheEnd: "after the end",
    ReadsOnBehindTheEnd: "after the end",
    ForgetsThatItWasReady: "whole",
    GivesAnArray: "whole",
    CannotSendAView: "whole",
    SendsNothingLarge: "many at once",
    RaisesWhatItWants: "with a changed byte",
    FailsAsInAHandshake: "with a changed byte",
    NeverEndsTheHandshake: "whole",
    EndsNothing: "whole",
}
"""The defects that a pair shows, and in which way."""
