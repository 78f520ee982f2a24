"""An event as plain values."""

from __future__ import annotations

import json

import pytest

from trioproto import TCPAddress, events
from trioproto.errors import ConnectionDone, IdleTimeout
from trioproto.monitoring.facts import facts
from trioproto.sansio.events import Event

PEER = TCPAddress("192.0.2.1", 4711)
LOCAL = TCPAddress("::1", 80)


def test_the_end_of_a_connection_in_plain_values() -> None:
    event = events.Closed(
        peer=PEER,
        local=LOCAL,
        protocol="chat.Chat",
        reason=IdleTimeout(60),
        opened=True,
        seconds=61.5,
        bytes_received=3,
        bytes_sent=4,
        transport=None,
    )
    assert facts(event) == {
        "event": "connection.closed",
        "peer": "tcp:192.0.2.1:4711",
        "local": "tcp:[::1]:80",
        "protocol": "chat.Chat",
        "reason": "IdleTimeout",
        "reason_text": "IdleTimeout after 60 s",
        "opened": True,
        "seconds": 61.5,
        "bytes_received": 3,
        "bytes_sent": 4,
    }


def test_the_text_of_an_error_has_an_end() -> None:
    event = events.Failed(peer=None, where="Chat.data_received", error=ValueError("x" * 1000))
    found = facts(event)
    assert found["peer"] is None
    assert found["error"] == "ValueError"
    assert found["error_text"] == "x" * 200


@pytest.mark.parametrize(
    "event",
    [
        events.ListenerStarted(address=PEER, endpoint="tcp:80"),
        events.Accepted(peer=PEER, local=LOCAL),
        events.Refused(peer=PEER, local=LOCAL, why="max_connections"),
        events.Failed(peer=PEER, where="Chat.data_received", error=ConnectionDone()),
        events.LimitReached(limit="max_accept_rate", maximum=0.5),
        events.DrainFinished(finished=1, cancelled=2, aborted=3, seconds=4),
        events.Suspended(),
    ],
    ids=lambda event: event.name,
)
def test_facts_can_be_written_as_json(event: Event) -> None:
    assert json.loads(json.dumps(facts(event)))["event"] == event.name
