"""What a test is about can be said in the same ways everywhere in the kit, and its settings too."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from trioproto import Factory, Protocol
from trioproto.layers import Direction
from trioproto.testing import Harness, Link, connected


class Oops(Exception):
    """What a callback raises."""


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Fails(Protocol):
    def data_received(self, data: bytes) -> None:
        raise Oops


class Echoes(Factory[Echo]):
    def build_protocol(self, peer: object) -> Echo:
        return Echo()


TARGETS: dict[str, Any] = {
    "protocol": Echo,
    "function": lambda: Echo(),  # noqa: PLW0108 - a function
    "factory": lambda: Factory(Echo),
    "class of a factory": lambda: Echoes,
    "instance": Echo,
}


def target(kind: str) -> Any:
    """Return one of a kind; those that can be used once are new."""
    return TARGETS[kind]() if "factory" in kind or kind == "instance" else TARGETS[kind]


@pytest.mark.parametrize("kind", TARGETS)
async def test_whatever_makes_a_protocol_can_be_tested(
    kind: str, autojump_clock: MockClock
) -> None:
    harness = Harness(target(kind))
    harness.connect()
    harness.exchange(b"by hand", b"by hand")

    link = Link(Protocol, target(kind))
    link.connect()[0].transport.write(b"to it")
    link.settle()
    said = [(each.direction, each.data) for each in link.client.transcript.entries[1:]]
    assert said == [(Direction.SENT, b"to it"), (Direction.RECEIVED, b"to it")]

    async with connected(target(kind)) as stream:
        await stream.send_all(b"in memory")
        assert await stream.receive_some() == b"in memory"


@pytest.mark.parametrize("wrong", [5, None, b"echo"])
def test_what_makes_nothing_is_refused_before_it_is_connected(wrong: Any) -> None:
    for about in (Harness, lambda wrong: Link(wrong, Echo), lambda wrong: Link(Echo, wrong)):
        with pytest.raises(TypeError, match="give a factory or its class, a protocol"):
            about(wrong)


def test_settings_are_those_of_the_factory_but_for_the_given_ones() -> None:
    factory = Factory(Echo, idle_timeout=7, linger=3)
    harness = Harness(factory, idle_timeout=5)
    harness.connect()
    assert harness.deadline == 5
    assert harness.transport.settings.linger == 3
    assert factory.settings.idle_timeout == 7
    with pytest.raises(TypeError, match="idle_tiemout"):
        Harness(factory, idle_tiemout=5)


def test_an_error_in_a_callback_comes_out_whatever_settings_are_given() -> None:
    """Else a test that says how long to be idle would pass, though its protocol crashes."""
    harness = Harness(Fails, idle_timeout=5)
    harness.connect()
    with pytest.raises(Oops):
        harness.feed(b"x")
    link = Link(Protocol, Fails, idle_timeout=5)
    client, _ = link.connect()
    client.transport.write(b"x")
    with pytest.raises(Oops):
        link.settle()


def test_a_link_can_log_what_callbacks_raise(logged_errors: list[Any]) -> None:
    link = Link(Protocol, Fails, callback_errors="log")
    client, _ = link.connect()
    client.transport.write(b"x")
    link.advance(1)
    assert link.lost
    assert len(logged_errors) == 1
