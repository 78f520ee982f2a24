"""A client and a server, wired to each other."""

import pytest

from trioproto.errors import WriteTimeout
from trioproto.framing import LineReceiver
from trioproto.testing import Faults, Link


class Adder(LineReceiver):
    """The server: answers `1+2` with `3`."""

    def line_received(self, line: bytes) -> None:
        self.send_line(b"%d" % sum(map(int, line.split(b"+"))))


class Asker(LineReceiver):
    """The client: asks what it is told to, and keeps the answers."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def line_received(self, line: bytes) -> None:
        self.answers.append(line)


@pytest.mark.parametrize("seed", range(20))
def test_every_question_is_answered_in_order_whatever_the_network_does(seed: int) -> None:
    link = Link(Asker, Adder, seed=seed)
    client, _ = link.connect()
    for number in range(5):
        client.send_line(b"%d+%d" % (number, number))
    link.run_until(lambda: len(client.answers) == 5)
    assert client.answers == [b"0", b"2", b"4", b"6", b"8"]


def test_a_server_that_has_vanished_is_given_up() -> None:
    cable_pulled = Faults(drop_after=100)
    link = Link(Asker, Adder, to_server=cable_pulled, capacity=1000)
    client, _ = link.connect()
    for _ in range(1000):
        client.send_line(b"1+1")
    link.advance(60)
    link.client.expect_lost(WriteTimeout)
    assert len(client.answers) == 20
