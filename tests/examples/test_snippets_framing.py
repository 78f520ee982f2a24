"""The code that the pages on framing show does what the pages say."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.examples.snippets_framing import (
    Chat,
    ChatFactory,
    GuardedChat,
    Notes,
    Packets,
    Preamble,
    Reverse,
    Samples,
    Shout,
    TagCodec,
    Upgrade,
    ask,
    count_lines,
    shout,
    sized_records,
)
from trioproto import Factory, Protocol
from trioproto.errors import (
    ConnectionDone,
    FrameTooLong,
    IncompleteFrame,
    MalformedFrame,
)
from trioproto.framing import JsonLinesReceiver, SlipCodec
from trioproto.testing import (
    Case,
    Harness,
    VerificationFailed,
    chunks,
    frames,
    verify_codec,
    verify_protocol,
)


def connected(protocol: Protocol) -> Harness[Any]:
    harness: Harness[Any] = Harness(protocol)
    harness.connect()
    return harness


def exchange(protocol: Protocol, *pieces: bytes) -> bytes:
    """Feed the pieces; return what the protocol has answered."""
    harness = connected(protocol)
    for piece in pieces:
        harness.feed(piece)
    return harness.take()


# One format, two styles


async def test_both_styles_do_the_same() -> None:
    """Lines come back in capitals, by callbacks and by `async for`."""
    said, heard = b"one\r\ntwo\r\n\r\nthree\r\n", b"ONE\r\nTWO\r\n\r\nTHREE\r\n"
    assert exchange(Shout(), said) == heard
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(said)
    await ours.send_eof()
    await shout(theirs)
    assert b"".join([chunk async for chunk in ours]) == heard


# Callbacks


def test_a_string_comes_back_turned_round() -> None:
    """As a netstring."""
    assert exchange(Reverse(), b"3:ab", b"c,0:,") == b"3:cba,0:,"


def test_a_string_announced_too_long_gets_a_last_word() -> None:
    """Before anything of it has come; then the connection is closed."""
    harness = connected(Reverse())
    harness.feed(b"1:a,1001:")
    assert harness.take() == b"1:a,23:1001 bytes are too many,"
    assert isinstance(harness.reason, FrameTooLong)
    assert (harness.reason.limit, harness.reason.announced) == (1000, 1001)


def test_a_string_that_is_none_ends_the_connection() -> None:
    """The reason says what was wrong, and where."""
    harness = connected(Reverse())
    harness.feed(b"1:a,x:")
    assert isinstance(harness.reason, MalformedFrame)
    assert str(harness.reason) == "not a digit at offset 0 of the frame: b'x'"


def test_a_string_cut_off_is_an_incomplete_frame() -> None:
    """What had come of it is counted."""
    harness = connected(Reverse())
    harness.feed(b"5:hel")
    harness.feed_eof()
    assert isinstance(harness.reason, IncompleteFrame)
    assert harness.reason.pending == 5


def test_a_line_too_long_is_discarded_once() -> None:
    """One complaint for it, however it comes, and the next line is heard."""
    heard = exchange(Notes(), b"a\n" + b"x" * 81, b"x" * 1000, b"x\n", b"b\n")
    assert heard == b"noted\nnot noted: only the first 80 bytes fit\nnoted\n"


def test_any_codec_makes_a_receiver() -> None:
    """A packet comes back; what is none is told, and ends the connection."""
    codec = SlipCodec()
    harness = connected(Packets())
    harness.feed(codec.encode(b"a\xc0b"))
    assert harness.take() == codec.encode(b"a\xc0b")
    harness.feed(b"\xdbx\xc0")
    assert harness.take() == codec.encode(str(harness.reason).encode())
    assert isinstance(harness.reason, MalformedFrame)


def test_a_header_described_by_its_length_field() -> None:
    """The size counts the header; the frame is what comes after it."""
    codec = sized_records()
    assert codec.encode(b"hello") == b"\xab\xcd\x09\x00hello"
    verify_codec(
        sized_records,
        [
            (b"\xab\xcd\x09\x00hello\xab\xcd\x04\x00", [b"hello", b""]),
            (b"\xab\xcd\x03\x00", [], MalformedFrame("a length of -1 after adjustment", 2)),
        ],
    )


# A codec of one's own


def test_tags_however_they_arrive() -> None:
    verify_codec(
        TagCodec,
        [
            (b"\x01\x02ab\xff\x00", [(1, b"ab"), (255, b"")]),
            (b"\x01\x00\x00\x02ab", [(1, b"")], MalformedFrame("a tag of 0", 0, b"\0")),
            (b"\x01\x01a\x01\x65", [(1, b"a")], FrameTooLong(100, announced=101)),
            Case(b"\x01\x01a\x02\x03bc", [(1, b"a")], rest=b"\x02\x03bc"),
        ],
    )


@given(st.data())
def test_any_tags_in_any_pieces(data: st.DataObject) -> None:
    codec = TagCodec()
    tagged = st.tuples(st.integers(1, 255), st.binary(max_size=100))
    sent = data.draw(frames(codec, elements=tagged))
    received: list[tuple[int, bytes]] = []
    for chunk in data.draw(chunks(b"".join(map(codec.encode, sent)))):
        codec.feed(chunk)
        received += codec.frames()
    assert received == sent


@pytest.mark.parametrize("frame", [(0, b""), (256, b""), (1, bytes(101))])
def test_a_codec_of_ones_own_refuses_to_encode_what_it_would_not_read(
    frame: tuple[int, bytes],
) -> None:
    """A ValueError, in the program that made the mistake."""
    with pytest.raises(ValueError, match="a tag is from 1 to 255"):
        TagCodec().encode(frame)


def test_a_failed_verification_says_what_came_in_which_way() -> None:
    """And how the bytes were cut, so that it can be done again."""
    with pytest.raises(VerificationFailed) as caught:
        verify_protocol(Shout, [(b"one\r\n", b"one\r\n")])
    assert caught.value.way == "whole"
    assert caught.value.chunks == [b"one\r\n"]
    assert (caught.value.came, caught.value.expected) == (b"ONE\r\n", b"one\r\n")


def test_a_conversation_however_it_is_cut() -> None:
    verify_protocol(
        Preamble,
        [
            (b"words\r\n", b"I know lines, netstrings\r\n"),
            (b"netstrings\r\n", b"go on\r\n"),
            (b"3:abc,0:,", b"3:cba,0:,"),
        ],
    )


def test_a_conversation_with_states_however_it_is_cut() -> None:
    verify_protocol(
        GuardedFactory,
        [
            (b"", b"What is the password?\r\n"),
            (b"swordfish\r\n", b"What is your name?\r\n"),
            (b"Anna\r\n", b"Welcome!\r\n"),
            (b"Is anybody there?\r\n", b""),
        ],
    )


# Pull


class Doubling(JsonLinesReceiver):
    def json_received(self, value: Any) -> None:
        if value is not None:
            self.send_json(2 * value)


async def test_questions_are_answered() -> None:
    """Each in its turn."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Factory(Doubling).handle, theirs)
        assert await ask(ours, 1, "ab", [None]) == [2, "abab", [None, None]]


async def test_an_answer_that_does_not_come_is_not_waited_for(autojump_clock: MockClock) -> None:
    """Ten seconds, then TooSlowError."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Factory(Doubling).handle, theirs)
        start = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            await ask(ours, None)
        assert trio.current_time() - start == 10


async def test_lines_are_counted_in_batches() -> None:
    """Whole ones."""
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(b"a\n" * 10_000)
    await ours.send_eof()
    assert await count_lines(theirs) == 10_000


async def test_a_last_line_without_its_end_is_no_line() -> None:
    """It is an IncompleteFrame, as it is for a receiver."""
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(b"a\nb")
    await ours.send_eof()
    with pytest.raises(IncompleteFrame):
        await count_lines(theirs)


# Another protocol


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"lines\r\nabc\r\n", b"go on\r\nABC\r\n"),
        (b"netstrings\r\n3:abc,", b"go on\r\n3:cba,"),
        (b"words\r\nlines\r\nwords\r\n", b"I know lines, netstrings\r\ngo on\r\nWORDS\r\n"),
    ],
)
def test_a_preamble_chooses_the_format(said: bytes, heard: bytes) -> None:
    """However the bytes are cut: none is lost between the two."""
    for cut in range(len(said)):
        assert exchange(Preamble(), *filter(None, [said[:cut], said[cut:]])) == heard


def test_the_old_protocol_hears_no_more() -> None:
    """Not even of the end; the connection is the new one's."""
    heard: list[str] = []

    class Old(Preamble):
        def connection_lost(self, reason: Exception) -> None:
            heard.append("lost")

    harness = connected(Old())
    harness.feed(b"lines\r\n")
    (current,) = harness.factory.connections
    assert type(current) is Shout
    harness.feed_eof()
    assert type(harness.reason) is ConnectionDone
    assert heard == []


def test_an_upgrade_leads_to_the_other_protocol() -> None:
    """Netstrings that came together with the request are answered after its reply."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: netstrings\r\n\r\n"
    head, _, rest = exchange(Upgrade(), request + b"3:abc,").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == b"3:cba,"


def test_who_wants_no_upgrade_is_turned_away() -> None:
    """There is nothing else here."""
    harness = connected(Upgrade())
    harness.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n3:abc,")
    assert harness.take() == b"HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\n"
    assert harness.write_closed


# Bytes counted by state


def test_each_state_gets_its_bytes() -> None:
    """However they are cut; a state that needs none is entered at once."""
    data = b"\x01\x02\x00\x05\x00\x06" + b"\x02\x00" + b"\x03\x01\xff\xff"
    for cut in range(1, len(data)):
        harness = connected(Samples())
        harness.feed(data[:cut])
        harness.feed(data[cut:])
        assert harness.protocol.samples == [(1, [5, 6]), (2, []), (3, [65535])]


def test_a_state_that_needs_more_than_the_limit_ends_the_connection() -> None:
    """What the peer says is not believed without a limit."""

    class Few(Samples):
        max_length = 8

    harness = connected(Few())
    harness.feed(b"\x01\x05")
    assert isinstance(harness.reason, FrameTooLong)
    assert (harness.reason.limit, harness.reason.announced) == (8, 10)


def test_eof_in_the_middle_of_a_states_bytes_is_an_incomplete_frame() -> None:
    """Between two states it is a clean end, also where more was to come."""
    for data, reason in ((b"\x01", IncompleteFrame), (b"\x01\x02", ConnectionDone)):
        harness = connected(Samples())
        harness.feed(data)
        harness.feed_eof()
        assert type(harness.reason) is reason


# State machines


def enter(factory: ChatFactory, name: bytes) -> Harness[Chat]:
    harness = Harness(factory)
    harness.connect()
    harness.feed(name + b"\r\n")
    return harness


def test_a_chat_goes_from_state_to_state() -> None:
    """First a name, which nobody else has; then all that is said is told to the others."""
    factory = ChatFactory()
    anna, ben = enter(factory, b"Anna"), enter(factory, b"Anna")
    assert anna.take() == b"What is your name?\r\nWelcome!\r\n"
    assert ben.take() == b"What is your name?\r\nThat name is taken.\r\n"
    ben.feed(b"Ben\r\nHello\r\n")
    assert ben.take() == b"Welcome!\r\n"
    assert anna.take() == b"<Ben> Hello\r\n"


def test_a_name_is_free_when_its_owner_has_left() -> None:
    """And who never had a name takes none away."""
    factory = ChatFactory()
    anna, nameless = enter(factory, b"Anna"), enter(factory, b"Anna")
    nameless.feed_eof()
    assert list(factory.members) == ["Anna"]
    anna.feed_eof()
    assert factory.members == {}


class GuardedFactory(ChatFactory):
    protocol = GuardedChat


def test_a_subclass_adds_a_state() -> None:
    """A password before the name; then all is as it was."""
    harness = enter(GuardedFactory(), b"swordfish")
    harness.feed(b"Anna\r\n")
    assert harness.take() == b"What is the password?\r\nWhat is your name?\r\nWelcome!\r\n"
    stranger = enter(GuardedFactory(), b"sesame")
    assert stranger.take() == b"What is the password?\r\n"
    assert stranger.write_closed


def test_a_first_state_without_a_method_is_an_error_of_the_class() -> None:
    """It is found when the class is made, not when the first line comes."""
    with pytest.raises(TypeError, match="Mistyped has no state_nmae"):

        class Mistyped(Chat):
            state = "nmae"


def test_a_state_without_a_method_names_those_that_there_are() -> None:
    """A LookupError in the callback, which ends the connection."""
    harness = enter(ChatFactory(), b"Anna")
    harness.protocol.state = "nowhere"
    with pytest.raises(LookupError, match="no state_nowhere among state_chat, state_name"):
        harness.feed(b"Hello\r\n")
