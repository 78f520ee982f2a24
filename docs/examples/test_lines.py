"""A line protocol with hypothesis: whatever the lines, and however they are cut."""

from hypothesis import given
from hypothesis import strategies as st

from trioproto.errors import FrameTooLong
from trioproto.framing import LineReceiver
from trioproto.testing import Harness, chunks, verify_protocol


class Reverse(LineReceiver):
    max_length = 20

    def line_received(self, line: bytes) -> None:
        self.send_line(line[::-1])


LINES = st.lists(
    st.binary(max_size=Reverse.max_length).filter(lambda line: not set(line) & set(b"\r\n"))
)


@given(LINES.flatmap(lambda lines: chunks(b"".join(line + b"\r\n" for line in lines))))
def test_each_line_is_answered_once_and_in_order(pieces: list[bytes]) -> None:
    harness = Harness(Reverse)
    harness.connect()
    for piece in pieces:
        harness.feed(piece)
    lines = b"".join(pieces).split(b"\r\n")[:-1]
    harness.expect(b"".join(line[::-1] + b"\r\n" for line in lines))


@given(st.integers(0, 40).map(lambda size: b"x" * size), st.data())
def test_a_line_of_the_longest_length_passes_and_no_longer_one(
    line: bytes, data: st.DataObject
) -> None:
    harness = Harness(Reverse)
    harness.connect()
    for piece in data.draw(chunks(line + b"\r\n")):
        harness.feed(piece)
    if len(line) <= Reverse.max_length:
        harness.expect(line + b"\r\n")
    else:
        harness.expect(b"")
        harness.feed_eof()
        assert harness.expect_lost(FrameTooLong).limit == Reverse.max_length


def test_a_conversation_however_it_is_cut_and_however_slowly_it_is_read() -> None:
    verify_protocol(Reverse, [(b"abc\r\n", b"cba\r\n"), (b"\r\nx\r\n", b"\r\nx\r\n")])
