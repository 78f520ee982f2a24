"""What a failing exchange shows."""

from __future__ import annotations

import pickle

from trioproto.testing import Transcript, TranscriptError


def test_it_shows_what_was_said_in_order() -> None:
    transcript = Transcript()
    transcript.happened("connected", 0)
    transcript.received(b"1+1\r\n", 0.25)
    transcript.sent(memoryview(b"3\r\n"), 12)
    assert str(transcript).splitlines() == [
        "     0.000   connected",
        "     0.250 < b'1+1\\r\\n'",
        "    12.000 > b'3\\r\\n'",
    ]


def test_long_chunks_are_shown_by_their_beginning() -> None:
    for size, ending in ((159, "'"), (160, "'"), (161, "' and 1 bytes more")):
        transcript = Transcript()
        transcript.received(b"x" * size, 0)
        assert str(transcript).endswith(f"x{ending}")


def test_only_the_last_of_many_are_kept_and_fewer_are_shown() -> None:
    transcript = Transcript()
    for number in range(1000):
        transcript.received(b"%d" % number, number)
    assert len(transcript.entries) == 500
    assert transcript.entries[0].data == b"500"
    shown = str(transcript).splitlines()
    assert shown[0] == "  (940 before these)"
    assert (len(shown), shown[1], shown[-1]) == (
        61,
        "   940.000 < b'940'",
        "   999.000 < b'999'",
    )


def test_an_error_tells_what_came_what_was_to_come_and_where_they_differ() -> None:
    transcript = Transcript()
    transcript.sent(b"3\r\n", 0)
    error = TranscriptError("not what was to be sent", transcript, b"3\r\n", b"2\r\n")
    transcript.sent(b"later", 1)
    assert isinstance(error, AssertionError)
    assert str(error).splitlines() == [
        "not what was to be sent",
        "  came:     b'3\\r\\n'",
        "  expected: b'2\\r\\n'",
        "  from byte 0 on: b'3\\r\\n', expected b'2\\r\\n'",
        "the exchange (< received, > sent):",
        "     0.000 > b'3\\r\\n'",
    ]


def test_an_error_survives_a_way_to_another_process() -> None:
    error = TranscriptError("problem", "said", b"came", b"expected")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.came, again.expected) == (b"came", b"expected")
