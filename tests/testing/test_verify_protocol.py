"""The verifier of protocols: a right one passes, and a wrong one fails where it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from trioproto import Factory, Protocol
from trioproto.errors import AsyncCallbackError, ConnectionClosed
from trioproto.framing import LineReceiver
from trioproto.testing import VerificationFailed, verify_protocol

ONE = [(b"ab\r\n", b"<ab>\r\n")]
TWO = [(b"ab\r\n", b"<ab>\r\n"), (b"cd\r\n", b"<cd>\r\n")]
PAIR = [(b"ab\r\ncd\r\n", b"<ab>\r\n<cd>\r\n")]


class Right(LineReceiver):
    """Answers each line."""

    def line_received(self, line: bytes) -> None:
        self.send_line(b"<" + line + b">")


class Greeting(Right):
    """Greets, and says goodbye to who says it."""

    def connection_made(self) -> None:
        self.send_line(b"hello")

    def line_received(self, line: bytes) -> None:
        super().line_received(line)
        if line == b"bye":
            self.transport.close()


class ByHand(Protocol):
    """Answers each line, with a buffer of its own."""

    def __init__(self) -> None:
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            self.answer(line)

    def answer(self, line: bytes) -> None:
        self.transport.write(b"<" + line + b">\r\n")


class UpperCase(ByHand):
    def answer(self, line: bytes) -> None:
        super().answer(line.upper())


class Echo(Protocol):
    """Takes each chunk for a line."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"<" + data.removesuffix(b"\r\n") + b">\r\n")


class Crashes(ByHand):
    """Does not expect a line in pieces."""

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"\r\n"):
            raise IndexError("nothing there")
        super().data_received(data)


class ForgetsBehindLeftOver(ByHand):
    """Completes a line that had begun, and drops what came behind it in the chunk."""

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = data[: data.find(b"\n") + 1] or data
        super().data_received(data)


class OneForEachChunk(ByHand):
    """Answers one line, and the next when something comes again."""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if b"\r\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            self.answer(line)


class AnswersWhatIsCutOff(ByHand):
    def eof_received(self) -> None:
        if self.buffer:
            self.answer(self.buffer)


class CrashesAtTheEnd(ByHand):
    def eof_received(self) -> None:
        assert not self.buffer, "a line was cut off"


class DropsWhenSlow(ByHand):
    """Forgets answers that the peer has no room for."""

    auto_pause = False
    slow = False

    def pause_writing(self) -> None:
        self.slow = True

    def resume_writing(self) -> None:
        self.slow = False

    def answer(self, line: bytes) -> None:
        if not self.slow:
            super().answer(line)


class LosesWhatIsHeld(Right):
    """Gives up the rest of a chunk when it is stopped."""

    def line_received(self, line: bytes) -> None:
        super().line_received(line)
        if self.transport.stopped:
            self.clear_line_buffer()


class AnswersWhenIdle(ByHand):
    """Takes output that waits for a reason to leave something out."""

    def data_received(self, data: bytes) -> None:
        if not self.transport.buffered:
            super().data_received(data)


@pytest.mark.parametrize("protocol", [Right, ByHand])
@pytest.mark.parametrize("exchanges", [ONE, TWO, PAIR])
def test_a_right_protocol_passes(protocol: Any, exchanges: Any) -> None:
    verify_protocol(protocol, exchanges)


@pytest.mark.parametrize("count", [100, 101, 201])
def test_a_conversation_may_be_long(count: int) -> None:
    verify_protocol(Right, [(b"hello\r\n", b"<hello>\r\n")] * count)


def test_up_to_400_bytes_are_cut_at_every_place_whichever_exchange_has_them() -> None:
    cut_at: set[int] = set()

    class Notes(ByHand):
        def data_received(self, data: bytes) -> None:
            if self.buffer + data == line + b"\r\n":
                cut_at.add(len(self.buffer))
            super().data_received(data)

    line = bytes(97)
    long = [(line + b"\r\n", b"<" + line + b">\r\n")]
    verify_protocol(Notes, [*TWO * 5, *long, *TWO * 5])
    assert cut_at == set(range(99))


def test_a_greeting_is_what_comes_when_nothing_was_sent() -> None:
    verify_protocol(Greeting, [(b"", b"hello\r\n"), *TWO])
    with pytest.raises(VerificationFailed):
        verify_protocol(Greeting, TWO)


def test_a_protocol_may_close() -> None:
    verify_protocol(Greeting, [(b"", b"hello\r\n"), (b"bye\r\n", b"<bye>\r\n"), (b"more\r\n", b"")])


BROKEN = [
    (UpperCase, TWO, "whole"),
    (Echo, TWO, "byte by byte"),
    (Crashes, TWO, "byte by byte"),
    (ForgetsBehindLeftOver, PAIR, "at every split"),
    (OneForEachChunk, TWO, "many at once"),
    (AnswersWhatIsCutOff, TWO, "with left-overs"),
    (CrashesAtTheEnd, TWO, "with left-overs"),
    (DropsWhenSlow, PAIR, "with pauses"),
    (LosesWhatIsHeld, PAIR, "with pauses"),
    (AnswersWhenIdle, PAIR, "with pauses"),
]


@pytest.mark.parametrize(("protocol", "exchanges", "way"), BROKEN)
def test_a_broken_protocol_fails_in_the_way_that_shows_it(
    protocol: type[Protocol], exchanges: Any, way: str
) -> None:
    with pytest.raises(VerificationFailed) as failed:
        verify_protocol(protocol, exchanges)
    assert failed.value.way == way


def test_what_a_callback_raises_is_the_cause_of_the_failure() -> None:
    with pytest.raises(VerificationFailed, match="IndexError was raised") as failed:
        verify_protocol(Crashes, ONE)
    assert isinstance(failed.value.__cause__, IndexError)


def test_a_failure_is_an_assertion_that_shows_what_was_fed_and_what_came() -> None:
    with pytest.raises(AssertionError) as failed:
        verify_protocol(ForgetsBehindLeftOver, [*ONE, *PAIR])
    assert str(failed.value).splitlines() == [
        "at every split: not the right answer",
        r"  fed:      b'ab\r\n' | b'a' | b'b\r\ncd\r\n'",
        r"  came:     b'<ab>\r\n<ab>\r\n'",
        r"  expected: b'<ab>\r\n<ab>\r\n<cd>\r\n'",
        "  12 bytes came, expected 18",
    ]


def test_an_answer_that_comes_too_late_is_none() -> None:
    class Late(ByHand):
        """Answers a line when the next one has come."""

        late: bytes | None = None

        def answer(self, line: bytes) -> None:
            if self.late is not None:
                super().answer(self.late)
            self.late = line

    with pytest.raises(VerificationFailed) as failed:
        verify_protocol(Late, [(b"ab\r\n", b""), (b"cd\r\n", b"<ab>\r\n<cd>\r\n")])
    assert failed.value.way == "whole"


class Counting(LineReceiver):
    """Counts the lines of all its factory's connections."""

    def line_received(self, line: bytes) -> None:
        self.factory.lines += 1
        self.send_line(b"%d" % self.factory.lines)


class CountingFactory(Factory[Counting]):
    protocol = Counting
    lines = 0


def test_each_way_has_a_factory_of_its_own_if_a_callable_makes_it() -> None:
    verify_protocol(CountingFactory, [(b"ab\r\n", b"1\r\n"), (b"\r\n", b"2\r\n")])
    with pytest.raises(VerificationFailed):
        verify_protocol(CountingFactory(), [(b"ab\r\n", b"1\r\n"), (b"\r\n", b"2\r\n")])


def test_a_factory_whose_connections_share_nothing_may_be_given_itself() -> None:
    factory = Factory(Right)
    verify_protocol(factory, TWO)
    assert len(factory.connections) == 0


def test_every_connection_is_ended() -> None:
    class Ends(Right):
        def connection_made(self) -> None:
            opened.append(self)

        def connection_lost(self, reason: ConnectionClosed) -> None:
            ended.append(self)

    opened: list[Protocol] = []
    ended: list[Protocol] = []
    verify_protocol(Ends, TWO)
    assert opened == ended
    assert len(opened) > 20


def test_async_callbacks_are_refused_as_the_harness_does() -> None:
    class Async(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            raise AssertionError("there is nothing to run this")

    with pytest.raises(AsyncCallbackError):
        verify_protocol(Async, ONE)


@pytest.mark.parametrize("exchanges", [[], [(b"", b"hello\r\n")]])
def test_without_an_exchange_there_is_nothing_to_pass(exchanges: Any) -> None:
    with pytest.raises(ValueError, match="no exchange"):
        verify_protocol(Greeting, exchanges)
