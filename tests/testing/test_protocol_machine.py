"""The state machine: what each of its rules does, and what its hooks are told."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.testing.machines import QUICK, EchoMachine, LineEcho, connected, failure_of
from trioproto import Factory
from trioproto.errors import (
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    OutboundOverflow,
    ServerCancelled,
    ServerDraining,
)
from trioproto.testing.stateful import Peer, ProtocolMachine

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def machine() -> EchoMachine:
    return EchoMachine()


class WithSettings(EchoMachine):
    """As it is made by hand, with settings of the factory."""

    def __init__(self, **options: Any) -> None:
        self.settings = options
        super().__init__()


def sent(machine: EchoMachine) -> list[bytes]:
    return [what[2] for what in machine.heard if what[0] == "sent"]


def losses(machine: EchoMachine) -> list[tuple[Peer, type]]:
    return [what[1:] for what in machine.heard if what[0] == "lost"]


# Coming and sending


def test_a_correct_protocol_passes() -> None:
    run_state_machine_as_test(EchoMachine, settings=QUICK)


def test_peers_are_named_as_hypothesis_names_them(machine: EchoMachine) -> None:
    peers = [connected(machine) for _ in range(3)]
    assert [repr(peer) for peer in peers] == ["peers_0", "peers_1", "peers_2"]
    assert len({peer.harness.transport.peer for peer in peers}) == 3
    assert machine.live == peers
    assert machine.heard == [("connected", peer) for peer in peers]


def test_who_is_refused_is_no_peer() -> None:
    class Refusing(EchoMachine):
        def make_factory(self) -> Factory:
            protocols = iter([None, LineEcho()])
            factory: Factory[Any] = Factory(lambda: next(protocols))
            return factory

    machine = Refusing()
    machine.connect()
    assert (machine.live, machine.heard) == ([], [])
    assert "peers_0 is refused" in str(machine.transcript)
    assert connected(machine).name == "peers_0"


def test_a_protocol_that_raises_is_not_a_refusal() -> None:
    class Refused(LineEcho):
        def connection_made(self) -> None:
            raise ConnectionRefusedError("by somebody else")

    class Raising(EchoMachine):
        def make_factory(self) -> Factory:
            return Factory(Refused)

    with pytest.raises(ConnectionRefusedError, match="by somebody else"):
        Raising().connect()


def test_a_message_is_told_of_when_its_last_byte_arrives(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send_chunks(peer, [b"on", b"e\r", b"\n"])
    assert sent(machine) == [b"one\r\n"]
    assert peer.received == b"one\r\n"
    assert "peers_0 < b'e\\r'" in str(machine.transcript)


def test_the_rest_of_a_message_goes_before_the_next_as_one_chunk(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send_beginning(peer, (b"o", b"ne\r\n"))
    assert sent(machine) == []
    machine.send_beginning(peer, (b"tw", b"o\r\n"))
    assert sent(machine) == [b"one\r\n"]
    machine.send_chunks(peer, [b"thr", b"ee\r\n"])
    assert sent(machine) == [b"one\r\n", b"two\r\n", b"three\r\n"]
    lines = [line.strip() for line in str(machine.transcript).splitlines() if "<" in line]
    assert [line.partition("< ")[2] for line in lines] == [
        "b'o'",
        "b'ne\\r\\ntw'",
        "b'o\\r\\nthr'",
        "b'ee\\r\\n'",
    ]


def test_the_rest_of_a_message_may_go_alone(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send_beginning(peer, (b"o", b"ne\r\n"))
    machine.send_rest(peer)
    machine.send_rest(peer)
    assert sent(machine) == [b"one\r\n"]


def test_a_beginning_may_be_the_whole(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send_beginning(peer, (b"one\r\n", b""))
    assert sent(machine) == [b"one\r\n"]
    assert not peer.owes_rest


def test_messages_may_come_together(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send_together(peer, [b"one\r\n", b"two\r\n"])
    assert sent(machine) == [b"one\r\n", b"two\r\n"]
    assert "peers_0 < b'one\\r\\ntwo\\r\\n'" in str(machine.transcript)


def test_several_may_come_at_once_as_long_as_there_is_room(machine: EchoMachine) -> None:
    machine.connect_several(2)
    assert names(machine.live) == ["peers_0", "peers_1"]
    machine.connect_several(4)
    assert names(machine.live) == ["peers_0", "peers_1", "peers_2", "peers_3"]


def test_eof_cuts_a_message_off(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send_beginning(peer, (b"o", b"ne\r\n"))
    machine.send_eof(peer)
    assert sent(machine) == []
    assert [peer for peer, _ in losses(machine)] == [peer]
    for step in (machine.send_rest, machine.send_eof):
        step(peer)
    machine.send(peer, b"one\r\n")
    machine.send_beginning(peer, (b"o", b"ne\r\n"))
    assert sent(machine) == []


def test_what_comes_while_the_server_closes_is_not_told_of() -> None:
    class Closing(EchoMachine):
        def check(self) -> None: ...

    machine = Closing()
    peer = connected(machine)
    machine.send(peer, b"close\r\n")
    assert (peer.open, peer.lost) == (False, False)
    machine.send(peer, b"one\r\n")
    assert sent(machine) == [b"close\r\n"]


class Hello(LineEcho):
    """Hears of the peer's end after another protocol has."""

    def eof_received(self) -> bool:
        return False


class Switching(LineEcho):
    def eof_received(self) -> bool:
        self.transport.switch_protocol(Hello())
        return True


def test_each_protocol_of_a_connection_has_an_order_of_its_own() -> None:
    class Machine(EchoMachine):
        def make_factory(self) -> Factory:
            return Factory(Switching)

    machine = Machine()
    peer = connected(machine)
    machine.send_eof(peer)
    assert isinstance(peer.protocol, Hello)
    assert losses(machine) == [(peer, ConnectionDone)]


# Reading


def test_a_peer_that_stalls_reads_what_it_says(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.stall(peer)
    machine.send(peer, b"three\r\n")
    assert peer.received == b""
    machine.read_some(peer, 2)
    machine.read_some(peer, 3)
    assert peer.received == b"three"
    machine.read_on(peer)
    assert peer.received == b"three\r\n"
    machine.read_some(peer, 3)
    machine.send(peer, b"one\r\n")
    assert peer.received == b"three\r\none\r\n"


def test_a_peer_may_read_what_comes_later(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.stall(peer)
    machine.read_some(peer, 2)
    machine.read_some(peer, 3)
    machine.send(peer, b"three\r\n")
    assert peer.received == b"three"


def test_what_is_sent_while_reading_is_paused_arrives_later(machine: EchoMachine) -> None:
    peer, other = connected(machine), connected(machine)
    machine.pause_reading(peer)
    machine.pause_reading(peer)
    machine.send(peer, b"one\r\n")
    machine.send_eof(peer)
    machine.send(other, b"three\r\n")
    assert sent(machine) == [b"three\r\n"]
    machine.resume_reading(peer)
    assert sent(machine) == [b"three\r\n", b"one\r\n"]
    assert losses(machine) == [(peer, ConnectionDone)]


def test_a_pause_of_the_protocols_own_is_not_lifted() -> None:
    machine = EchoMachine()
    peer = connected(machine)
    machine.send(peer, b"pause\r\n")
    machine.pause_reading(peer)
    machine.resume_reading(peer)
    machine.send(peer, b"one\r\n")
    assert sent(machine) == [b"pause\r\n"]


def test_a_factory_with_rates_is_read_and_written_no_faster() -> None:
    machine = WithSettings(receive_rate=3.0, read_size=4)
    peer = connected(machine)
    machine.send(peer, b"three\r\n")
    assert peer.received == b""
    machine.pass_time(10.0)
    assert peer.received == b"three\r\n"
    machine = WithSettings(send_rate=1.0)
    peer = connected(machine)
    machine.send(peer, b"three\r\n")
    machine.send(peer, b"three\r\n")
    assert len(peer.received) < 14
    machine.pass_time(100.0)
    assert peer.received == b"three\r\nthree\r\n"


def test_a_slow_reader_may_be_dropped() -> None:
    class Told(WithSettings):
        pass

    machine = Told(max_buffered=10, high_water=10, low_water=0)
    peer = connected(machine)
    machine.stall(peer)
    for _ in range(3):
        machine.send(peer, b"three\r\n")
    machine.pass_time(0.1)
    machine.read_some(peer, 5)
    assert machine.live == [peer]
    peer.protocol.auto_pause = False
    peer.protocol.transport.resume_reading()
    for _ in range(3):
        peer.protocol.transport.write(bytes(11))
    machine.heard.clear()
    machine.expected[peer] = b"three\r\n" * 3
    machine.pass_time(0.1)
    assert losses(machine) == [(peer, OutboundOverflow)]


# Ends


def test_a_reset_loses_what_is_on_its_way(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.pause_reading(peer)
    machine.send(peer, b"one\r\n")
    machine.reset(peer)
    assert losses(machine) == [(peer, ConnectionLost)]
    assert sent(machine) == []
    assert machine.live == []


def test_a_drain_is_of_those_who_are_there(machine: EchoMachine) -> None:
    peer, paused = connected(machine), connected(machine)
    machine.pause_reading(paused)
    machine.start_drain()
    assert (peer.open, paused.open) == (False, False)
    assert not paused.paused
    machine.start_drain()
    assert str(machine.transcript).count("is drained") == 2
    newcomer = connected(machine)
    machine.send(newcomer, b"one\r\n")
    machine.pass_time(10.0)
    assert losses(machine) == [(peer, ServerDraining), (paused, ServerDraining)]
    assert machine.live == [newcomer]


def test_losses_are_told_in_their_order() -> None:
    class Farewell(LineEcho):
        """Takes the one that came after it along."""

        def connection_lost(self, reason: Exception) -> None:
            others = list(self.factory.connections)
            if others:
                others[-1].transport.abort()

    class Chain(EchoMachine):
        def make_factory(self) -> Factory:
            return Factory(Farewell)

    machine = Chain()
    first, second, third = (connected(machine) for _ in range(3))
    machine.reset(second)
    assert [peer for peer, _ in losses(machine)] == [second, third, first]


def test_teardown_ends_all_that_are_left(machine: EchoMachine) -> None:
    peer, other = connected(machine), connected(machine)
    checks = machine.checks
    machine.teardown()
    assert losses(machine) == [(peer, ServerCancelled), (other, ServerCancelled)]
    assert len(machine.factory.connections) == 0
    assert machine.checks > checks


# Time


@pytest.mark.parametrize(("when", "lost"), [("just before", 0), ("at", 1), ("just after", 1)])
def test_time_passes_until_about_the_next_deadline(when: Any, lost: int) -> None:
    machine = WithSettings(idle_timeout=10, linger=0)
    connected(machine)
    machine.pass_time(1.0)
    connected(machine)
    machine.pass_deadline(when)
    assert len(losses(machine)) == lost
    assert machine.now == pytest.approx(10, abs=0.0011)


def test_each_deadline_on_the_way_fires_at_its_own_time() -> None:
    class Ending(WithSettings):
        def on_lost(self, peer: Peer) -> None:
            super().on_lost(peer)
            self.heard.append(("at", self.now))

    machine = Ending(idle_timeout=10, linger=0)
    peer = connected(machine)
    machine.pass_time(1.0)
    other = connected(machine)
    machine.pass_time(100.0)
    assert machine.heard[2:] == [
        ("lost", peer, IdleTimeout),
        ("at", 10.0),
        ("lost", other, IdleTimeout),
        ("at", 11.0),
    ]
    assert machine.now == 101.0


def test_all_peers_have_one_time(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.pass_time(10.0)
    other = connected(machine)
    machine.pass_moment()
    assert peer.harness.time() == other.harness.time() == machine.now == pytest.approx(10.001)


def test_without_a_deadline_no_time_passes() -> None:
    machine = WithSettings(idle_timeout=None)
    connected(machine)
    assert machine.next_deadline() == inf
    machine.pass_deadline("at")
    assert machine.now == 0.0


def test_a_deadline_that_is_near_takes_no_time_back() -> None:
    machine = WithSettings(idle_timeout=10)
    connected(machine)
    machine.advance_to(9.9995)
    machine.pass_deadline("just before")
    assert machine.now == 9.9995


# What a subclass says


def test_the_steps_of_an_example_are_of_all_kinds() -> None:
    followed: set[str] = set()
    counts: set[int] = set()

    class Watching(EchoMachine):
        max_peers = 3

        def check(self) -> None:
            super().check()
            counts.add(len(self.live))
            followed.update(str(self.transcript).split())

    assert failure_of(Watching) is None
    assert counts == {0, 1, 2, 3}
    steps = "connects ends breaks stalls reads paused resumed drained cancelled < >"
    assert followed >= {*steps.split(), "ConnectionDone()", "ServerDraining()"}


def test_rules_may_be_left_out() -> None:
    seen: set[str] = set()

    class Calm(EchoMachine):
        leave_out = ("reset", "start_drain", "pass_time", "pass_deadline")

        def check(self) -> None:
            seen.update(str(self.transcript).split())

    assert failure_of(Calm) is None
    assert "connects" in seen
    assert not {"breaks", "drained"} & seen
    machine = Calm()
    machine.reset(connected(machine))
    assert machine.live == []


@pytest.mark.parametrize("name", ["nothing", "settle", "teardown"])
def test_what_is_left_out_is_a_rule(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' in leave_out is no rule"):

        class Mistyped(EchoMachine):
            leave_out = (name,)


def test_messages_may_be_others_from_then_on() -> None:
    numbers: set[bytes] = set()

    class Counting(EchoMachine):
        def on_sent(self, peer: Peer, message: bytes) -> None:
            super().on_sent(peer, message)
            numbers.add(message)
            self.messages = st.just(b"%d\r\n" % len(self.heard))

    assert failure_of(Counting) is None
    assert len(numbers) > 5


def test_no_message_is_empty() -> None:
    messages: set[bytes] = set()

    class Terse(EchoMachine):
        messages = st.sampled_from([b"", b"one\r\n"])

        def on_sent(self, peer: Peer, message: bytes) -> None:
            super().on_sent(peer, message)
            messages.add(message)

    assert failure_of(Terse) is None
    assert messages == {b"one\r\n"}


def test_a_subclass_may_have_rules_of_its_own() -> None:
    class Announcing(EchoMachine):
        told = 0

        @rule(peer=ProtocolMachine.peers, text=st.sampled_from([b"a\r\n", b"b\r\n"]))
        def announce(self, peer: Peer, text: bytes) -> None:
            if peer.open:
                type(self).told += 1
                self.expected[peer] += text
                peer.protocol.transport.write(text)
            self.settle()

    assert failure_of(Announcing) is None
    assert Announcing.told


def test_what_is_received_is_held_against_what_is_expected(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send(peer, b"one\r\n")
    machine.stall(peer)
    machine.send(peer, b"two\r\n")
    peer.check_received(b"one\r\ntwo\r\n")
    for wrong in (b"", b"one\r\n", b"one\r\ntwo\r\nx", b"one\r\ntwo", b"onx\r\ntwo\r\n"):
        with pytest.raises(AssertionError, match="peers_0 has not got what it should"):
            peer.check_received(wrong)
    machine.reset(peer)
    for cut in (b"one\r\ntwo\r\n", b"one\r\n"):
        peer.check_received(cut)
    with pytest.raises(AssertionError, match="has not got"):
        peer.check_received(b"one")


def test_after_a_clean_end_nothing_may_be_missing(machine: EchoMachine) -> None:
    peer = connected(machine)
    machine.send(peer, b"one\r\n")
    machine.send_eof(peer)
    assert peer.lost
    peer.check_received(b"one\r\n")
    with pytest.raises(AssertionError, match="5 bytes came, expected 6"):
        peer.check_received(b"one\r\nx")


def names(peers: Iterable[Peer]) -> list[str]:
    return [peer.name for peer in peers]


def load(name: str) -> Any:
    """Import a module of those that are printed in the docs."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_docs_show_an_example_of_the_planted_bug() -> None:
    """Its steps can be taken by hand, and lead to what the docs show, whatever hypothesis finds."""
    page = (DOCS / "testing-hypothesis.md").read_text(encoding="utf-8")
    _, _, after = page.partition("```text\npeers_1 has not got")
    shown, _, _ = ("peers_1 has not got" + after).partition("\n```")
    problem, _, rest = shown.partition("\nFailing test case: <state machine>\n")
    steps, _, exchange = rest.partition("\nthe exchange (< received, > sent):\n")
    assert steps.startswith("state = ForgetfulMachine()\n")
    assert steps.endswith("\nstate.teardown()")
    namespace = {"ForgetfulMachine": load("test_chat_machine").ForgetfulMachine}
    with pytest.raises(AssertionError) as failure:
        exec(steps, namespace)
    assert str(failure.value) == problem
    assert str(namespace["state"].transcript) == exchange
