"""Sessions replayed: what is the same passes, with a loop and without; what is not is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from examples import calculator, chat, memcached
from examples._memcached_store import Store
from tests.examples.running import REPOSITORY
from tests.examples.smtp_talk import Kept
from tests.examples.snippets_traffic import Mailbox
from trioproto import Factory, TrafficFiles, TrafficLog
from trioproto.errors import (
    AsyncCallbackError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
)
from trioproto.framing import LineReceiver
from trioproto.testing import Harness, Session, TranscriptError, chunks, connected, peer

Later = Coroutine[Any, Any, None]
Replay = Callable[..., None]


class Answers(LineReceiver):
    """Greets, and does what it is told to."""

    def connection_made(self) -> None:
        self.send_line(b"hello")

    def line_received(self, line: bytes) -> None:
        match line.split():
            case [b"say", *words]:
                for word in words:
                    self.send_line(word)
            case [b"bye"]:
                self.send_line(b"bye")
                self.transport.close()
            case [b"abort"]:
                self.transport.abort()
            case [b"wait", seconds]:
                self.transport.set_timeout(float(seconds))
            case [b"crash"]:
                raise KeyError("that")

    def timed_out(self) -> None:
        self.send_line(b"you said nothing")
        self.transport.close()

    def eof_received(self) -> bool:
        self.send_line(b"eof")
        self.transport.write_eof()
        return True


async def held(session: Session, factory: Factory[Any], **options: Any) -> None:
    """Replay a session over a stream."""
    async with connected(factory) as stream, peer(stream) as p:
        await p.replay(session, **options)


def over_stream(session: Session, **options: Any) -> None:
    trio.run(
        lambda: held(session, Factory(Answers), **options), clock=MockClock(autojump_threshold=0)
    )


def by_hand(session: Session, **options: Any) -> None:
    session.replay(Answers, **options)


both = pytest.mark.parametrize("replay", [by_hand, over_stream])


def failure(replay: Replay, text: str, **options: Any) -> TranscriptError:
    with pytest.raises(TranscriptError) as caught:
        replay(Session.parse(text, name="that.txt"), **options)
    return caught.value


GOOD = {
    "greeting": "> hello",
    "answers": "> hello\n< say a b\n> a\n> b\n< say c\n> c",
    "at once": "> hello\n< say a\n< say b\n> b'a\\r\\nb\\r\\n'",
    "cut anywhere": "> b'hel'\n> b'lo\\r\\n'\n< b'sa'\n< b'y a\\r'\n< b'\\nsay b\\r\\n'\n> a\n> b",
    "faster than it was": "> hello\n< say a b\n> a\n< say c\n> b\n> c",
    "patterns": ">~ h.*o\n< say 12:30 x\n>~ [0-9:]+\n> x",
    "closed": "> hello\n< bye\n> bye",
    "closed, and told": "> hello\n< bye\n> bye\n>eof",
    "ended by the peer": "> hello\n<eof\n> eof\n>eof",
    "aborted": "> hello\n< abort",
    "with times that are not kept": "+0.000001 > hello\n+900.0 < say a\n+901.5 > a",
}


@both
@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_the_same_passes(replay: Replay, text: str) -> None:
    replay(Session.parse(text))


BAD = {
    "another answer": ("> hello\n< say x\n> a", 3, "not what was to come", b"x\r\n", b"a\r\n"),
    "too little": ("> b'hello\\r\\nand'", 1, "b'hello\\r\\n' came", b"hello\r\n", b"hello\r\nand"),
    "nothing": ("> hello\n# that was all\n> more\n", 3, "nothing came", b"", b"more\r\n"),
    "more in the middle": (
        "> hello\n< say a b\n> a\n< say c\n> c",
        5,
        "not what was",
        None,
        b"c\r\n",
    ),
    "more in the end": ("> hello\n< say a b\n> a", 3, "b'b\\r\\n' came, and nobody", None, None),
    "more than nothing": ("< say a", 1, "came, and nobody expected it", None, None),
    "no match": ("> hello\n< say 12-30\n>~ [0-9:]+", 3, "not what was", b"12-30\r\n", None),
    "no end of a line": ("> hello\n>~ x", 2, "nothing came", b"", None),
    "no eof": ("> hello\n>eof", 2, "nothing came", b"", "EOF"),
    "eof too early": ("> hello\n< bye\n> bye\n> more", 4, "EOF came instead", b"", b"more\r\n"),
    "eof in the middle": ("> hello\n< bye\n> b'bye\\r\\nb'", 3, "came, and then EOF", None, None),
    "bytes before eof": ("> hello\n< bye\n>eof", 3, "not what was to come", b"bye\r\n", "EOF"),
}


@both
@pytest.mark.parametrize(("text", "line", "problem", "came", "expected"), BAD.values(), ids=BAD)
def test_what_is_not_the_same_names_its_line(
    replay: Replay, text: str, line: int, problem: str, came: object, expected: object
) -> None:
    error = failure(replay, text)
    assert error.problem.startswith(f"that.txt, line {line}: ")
    assert problem in error.problem
    assert came is None or error.came == came
    assert expected is None or error.expected == expected


def test_the_error_shows_the_exchange() -> None:
    error = failure(by_hand, "> hello\n< say a\n> b")
    assert str(error) == (
        "that.txt, line 3: not what was to come\n"
        "  came:     b'a\\r\\n'\n"
        "  expected: b'b\\r\\n'\n"
        "  from byte 0 on: b'a\\r\\n', expected b'b\\r\\n'\n"
        "the exchange (< received, > sent):\n"
        "     0.000   connected\n"
        "     0.000 > b'hello\\r\\n'\n"
        "     0.000 < b'say a\\r\\n'\n"
        "     0.000 > b'a\\r\\n'"
    )


def test_a_connection_that_has_ended_receives_nothing() -> None:
    error = failure(by_hand, "> hello\n< abort\n< say a")
    assert error.problem.startswith("that.txt, line 3: the connection has ended before this: ")
    error = failure(over_stream, "> hello\n< abort\n< say a\n> a")
    assert error.problem == "that.txt, line 4: a reset came instead"


@both
@given(st.data())
def test_the_peers_bytes_may_be_cut_anywhere(replay: Replay, data: st.DataObject) -> None:
    """A session whose pieces are cut in another way is the same."""
    sent = b"say a b\r\nsay c\r\nbye\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1))))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    lines = ["> hello", *(f"< {piece!r}" for piece in pieces), "> a", "> b", "> c", "> bye", ">eof"]
    replay(Session.parse("\n".join(lines)))


# Time

TIMED = "+0.0 > hello\n+1.0 < wait 5\n+{} > you said nothing\n+{} >eof"


@both
@pytest.mark.parametrize("time", [5.9, 5.9995, 6.0, 6.5])
def test_time_passes_as_it_did(replay: Replay, time: float) -> None:
    """A millisecond is forgiven by hand, and the timeout over a stream."""
    session = Session.parse(TIMED.format(time, time))
    if replay is by_hand and time == 5.9:
        assert "line 3: nothing came" in failure(replay, session.to_text(), times=True).problem
    else:
        replay(session, times=True)


@both
def test_nothing_is_received_before_its_time(replay: Replay) -> None:
    text = "+0.0 > hello\n+1.0 < wait 5\n+{} < say a\n+9.0 > a"
    replay(Session.parse(text.format(5.9)), times=True)
    error = failure(replay, text.format(6.1), times=True)
    assert "line 4: " in error.problem
    assert (error.came, error.expected) == (b"you said nothing\r\n", b"a\r\n")


def test_without_times_by_hand_no_time_passes() -> None:
    assert "line 3: nothing came" in failure(by_hand, TIMED.format(6, 6)).problem
    by_hand(Session.parse("+5.0 > hello\n-1.0 < say a\n+4.0 > a"), times=True)


@pytest.mark.parametrize(("timeout", "enough"), [(4.99, False), (5, True)])
def test_without_times_a_stream_waits_for_the_timeout(timeout: float, enough: bool) -> None:
    text = TIMED.format(100, 100)
    if enough:
        over_stream(Session.parse(text), timeout=timeout)
    else:
        error = failure(over_stream, text, timeout=timeout)
        assert error.problem == "that.txt, line 3: nothing came in 4.99 s"


def test_an_answer_has_the_timeout_after_its_own_time() -> None:
    text = TIMED.format(3, 3)
    assert "nothing came in 4.99 s" in failure(over_stream, text, times=True, timeout=2.99).problem
    over_stream(Session.parse(text), times=True, timeout=3)


# What user code raises


def test_what_a_callback_raises_comes_out_with_its_line() -> None:
    with pytest.raises(KeyError, match="that") as caught:
        by_hand(Session.parse("> hello\n< say a\n> a\n< crash", name="that.txt"))
    assert caught.value.__notes__ == ["raised at that.txt, line 4"]


def test_in_the_end_the_peer_is_gone() -> None:
    lost: list[type[ConnectionClosed]] = []

    class Told(Answers):
        def connection_lost(self, reason: ConnectionClosed) -> None:
            lost.append(type(reason))

    for text in ("> hello", "> hello\n< bye\n> bye", "> hello\n< abort"):
        Session.parse(text).replay(Told)
    assert lost == [ConnectionLost, ConnectionDone, ConnectionAborted]


def test_async_callbacks_need_a_stream() -> None:
    session = Session.parse('< {"op": "add", "args": [1, 2]}\n>~ .*"result":3}', newline=b"\n")
    with pytest.raises(AsyncCallbackError):
        session.replay(calculator.Calculator)
    trio.run(held, session, Factory(calculator.Calculator))


def test_a_target_is_whatever_makes_a_protocol() -> None:
    session = Session.parse("> hello")
    for target in (Answers, Factory(Answers), lambda: Factory(Answers)):
        session.replay(target)


async def test_a_session_may_be_a_part_of_a_script(autojump_clock: MockClock) -> None:
    async with connected(Factory(Answers)) as stream, peer(stream) as p:
        await p.replay(Session.parse("> hello\n< say a\n> a"))
        await p.send(b"say b\r\n")
        await p.expect(b"b\r\n")
        await p.replay(Session.parse("< bye\n> bye\n>eof"))


async def test_a_replay_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with connected(Factory(Answers)) as stream, peer(stream) as p:
        with trio.move_on_after(1) as scope:
            await p.replay(Session.parse("> hello\n> more"))
        assert scope.cancelled_caught


# What a traffic log has written


class Recorded:
    """Serves a factory, and has each connection's recording written to a file."""

    def __init__(self, folder: Path, factory: Factory[Any]) -> None:
        self._files = TrafficFiles(folder, "text")
        self.factory = factory
        factory.configure(traffic_log=TrafficLog())

    async def session(self, *said: bytes) -> Session:
        """Hold a conversation; the peer waits a while after each piece, and goes."""
        async with connected(self.factory) as stream:
            await trio.testing.wait_all_tasks_blocked()
            (protocol,) = self.factory.connections
            transport = protocol.transport
            for each in said:
                await stream.send_all(each)
                await trio.sleep(4)
            await stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
            recording = transport.traffic()
        assert recording is not None
        return Session.read(self._files.write(recording))


def smtp() -> Factory[Any]:
    return Kept()


def memory() -> Factory[Any]:
    return memcached.MemcachedFactory(Store(1 << 20, lambda: 0.0))


EXAMPLES: dict[str, tuple[Callable[[], Factory[Any]], list[bytes]]] = {
    "smtp_sink": (
        smtp,
        [
            b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
            b"Subject: h\xc3\xa9\r\n\r\n..\r\n.\r",
            b"\nNOPE\r\nQUIT\r\n",
        ],
    ),
    "memcached": (
        memory,
        [
            b"set a 0 0 300\r\n" + bytes(range(256)) + b"x" * 44 + b"\r\n",
            b"get a b\r\nincr a 1\r\n",
            b"delete a noreply\r\nget a\r\n" + b"no" * 20 + b"\r\n",
        ],
    ),
    "chat": (chat.ChatFactory, [b"me\nwe\n", b"hello\r\n", "\u00fc\n".encode()]),
    "calculator": (
        lambda: Factory(calculator.Calculator),
        [
            b'{"id": 1, "op": "add", "args": [1, 2.5]}\n{"op":',
            b' "delay", "args": [3]}\n{"op": "sqrt", "args": [2]}\n',
            b"not json\n",
        ],
    ),
}


@pytest.mark.parametrize(("new", "said"), EXAMPLES.values(), ids=EXAMPLES)
async def test_what_was_recorded_replays_against_the_same(
    autojump_clock: MockClock, tmp_path: Path, new: Callable[[], Factory[Any]], said: list[bytes]
) -> None:
    session = await Recorded(tmp_path, new()).session(*said)
    received = [step.what for step in session.steps if step.direction.value == "<"]
    assert b"".join(each for each in received if isinstance(each, bytes)) == b"".join(said)
    began = trio.current_time()
    await held(session, new())
    assert trio.current_time() - began == (3 if new is EXAMPLES["calculator"][0] else 0)
    await held(session, new(), times=True)


@pytest.mark.parametrize("name", ["memcached", "chat"])
async def test_what_was_recorded_replays_by_hand(
    autojump_clock: MockClock, tmp_path: Path, name: str
) -> None:
    new, said = EXAMPLES[name]
    session = await Recorded(tmp_path, new()).session(*said)
    session.replay(new)
    session.replay(new, times=True)
    with pytest.raises(TranscriptError):
        session.replay(Answers)


@given(st.data())
def test_whatever_was_recorded_replays_the_same(data: st.DataObject) -> None:
    """However the peer's bytes were cut, and however long it waited between them."""
    new, said = EXAMPLES[data.draw(st.sampled_from(["memcached", "chat"]))]
    harness = Harness(new(), traffic_log=TrafficLog())
    harness.connect()
    for piece in data.draw(chunks(b"".join(said))):
        harness.advance(data.draw(st.sampled_from([0.0, 0.000_001, 2.5])))
        harness.feed(piece)
    recording = harness.transport.traffic()
    assert recording is not None
    session = Session.parse(recording.to_text())
    session.replay(new)
    session.replay(new, times=True)
    assert Session.parse(session.to_text()).steps == session.steps


async def test_what_ended_by_an_error_replays_too(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """As the file is written in production: when the connection has failed."""
    log = TrafficLog(write=TrafficFiles(tmp_path, "text"))
    factory = Factory(calculator.Calculator, traffic_log=log)
    async with connected(factory) as stream:
        await stream.send_all(b'{"op": "add", "args": [1, 2]}\n{oops\n')
        await trio.sleep(1)
        await stream.aclose()
    (path,) = tmp_path.iterdir()
    session = Session.read(path)
    assert len(session.steps) == 2
    await held(session, Factory(calculator.Calculator))


async def test_a_recording_without_its_beginning_is_refused(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    recorded = Recorded(tmp_path, chat.ChatFactory())
    recorded.factory.configure(traffic_log=TrafficLog(size=100))
    with pytest.raises(ValueError, match="line 3: the connection's beginning is not in this"):
        await recorded.session(b"me\n", b"x" * 80 + b"\n")


def test_the_recording_that_the_docs_show_fails_as_it_did() -> None:
    page = (REPOSITORY / "docs" / "traffic-log.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(# .*?)^```$", page, re.MULTILINE | re.DOTALL)
    with pytest.raises(KeyError, match="QUIT") as caught:
        Session.parse(shown, name="that.txt").replay(Mailbox)
    assert caught.value.__notes__ == ["raised at that.txt, line 8"]
