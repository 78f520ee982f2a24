"""State machines for the tests of what they are made of."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from trioproto import Factory
from trioproto.framing import LineReceiver
from trioproto.testing.stateful import Peer, ProtocolMachine

QUICK = settings(
    derandomize=True,
    deadline=None,
    max_examples=50,
    stateful_step_count=30,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
"""What finds an example, and does not shrink it."""


class LineEcho(LineReceiver):
    """Sends each line back, unless it is told to do something else."""

    def connection_made(self) -> None:
        self.lines: list[bytes] = []

    def line_received(self, line: bytes) -> None:
        self.lines.append(line)
        match line:
            case b"close":
                self.transport.close()
            case b"abort":
                self.transport.abort()
            case b"pause":
                self.transport.pause_reading()
            case b"fail":
                raise ZeroDivisionError("as it was told")
        self.send_line(line)


class EchoMachine(ProtocolMachine):
    """Follows what is sent and told by its hooks; its factory is set by subclasses."""

    messages = st.sampled_from([b"one\r\n", b"three\r\n", b"\r\n"])
    settings: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Any, ...]] = []
        self.expected: dict[Peer, bytes] = {}
        self.checks = 0

    def make_factory(self) -> Factory:
        return Factory(LineEcho, **self.settings)

    def on_connected(self, peer: Peer) -> None:
        self.heard.append(("connected", peer))
        self.expected[peer] = b""

    def on_sent(self, peer: Peer, message: bytes) -> None:
        self.heard.append(("sent", peer, message))
        if peer.open:
            self.expected[peer] += message

    def on_lost(self, peer: Peer) -> None:
        self.heard.append(("lost", peer, type(peer.harness.reason)))

    def check(self) -> None:
        self.checks += 1
        for peer, expected in self.expected.items():
            peer.check_received(expected)


def failure_of(machine: type[RuleBasedStateMachine], how: settings = QUICK) -> Exception | None:
    """Return what a machine fails with, if it does."""
    try:
        run_state_machine_as_test(machine, settings=how)
    except Exception as error:
        return error
    return None


def connected(machine: EchoMachine) -> Peer:
    """Have a peer connect by hand."""
    peer = machine.connect()
    assert isinstance(peer, Peer)
    return peer
