"""A client and a server, and whatever a network may do to what they say."""

from hypothesis import given

from trioproto.framing import LineReceiver
from trioproto.testing import Faults, Link, any_faults

NUMBERS = range(5)
SUMS = [b"0", b"2", b"4", b"6", b"8"]


class Adder(LineReceiver):
    """The server: answers `1+2` with `3`."""

    def line_received(self, line: bytes) -> None:
        self.send_line(b"%d" % sum(map(int, line.split(b"+"))))


class Asker(LineReceiver):
    """The client: asks at once, and keeps the answers."""

    def connection_made(self) -> None:
        self.answers: list[bytes] = []
        for number in NUMBERS:
            self.send_line(b"%d+%d" % (number, number))

    def line_received(self, line: bytes) -> None:
        self.answers.append(line)


@given(any_faults(25, lossless=True), any_faults(15, lossless=True))
def test_what_arrives_late_and_in_pieces_is_answered(there: Faults, back: Faults) -> None:
    link = Link(Asker, Adder, to_server=there, to_client=back)
    client, _ = link.connect()
    link.run_until(lambda: len(client.answers) == len(NUMBERS))
    assert client.answers == SUMS


@given(any_faults(25), any_faults(15))
def test_what_is_lost_is_noticed_and_no_answer_is_wrong(there: Faults, back: Faults) -> None:
    link = Link(Asker, Adder, to_server=there, to_client=back)
    client, _ = link.connect()
    link.advance(200)  # more than idle_timeout: who waits for nothing gives up
    assert link.lost
    assert client.answers == SUMS[: len(client.answers)]
