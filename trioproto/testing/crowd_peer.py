"""The other end of a connection, as a test plays it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from trioproto.testing.failures import compared, tells_all
from trioproto.testing.watched_harness import WatchedHarness

__tracebackhide__ = tells_all


class Peer:
    """Somebody who is connected to the protocol under test.

    What it sends arrives when the server reads; what it is sent it reads unless it
    stalls. It is named as hypothesis names it in a failing example.

    Args:
        name: its name.
        harness: its connection.
        fail: raises that something does not hold.

    Attributes:
        name: its name, ``peers_0`` say.
        harness: the connection, with its ``transport``, ``protocol`` and ``reason``.
        received: all bytes that it has read until now.
        rest: the rest of a message whose beginning it has sent.
        ended: whether it has ended its side.
        paused: whether the machine has paused reading from it.
    """

    def __init__(
        self, name: str, harness: WatchedHarness[Any], fail: Callable[[str], NoReturn]
    ) -> None:
        self.name = name
        self.harness = harness
        self.received = b""
        self.rest = b""
        self.ended = False
        self.paused = False
        self._fail = fail
        self._begun = b""
        self._on_its_way = bytearray()
        self._sent = 0
        self._ends: deque[tuple[int, bytes]] = deque()

    def __repr__(self) -> str:
        return self.name

    @property
    def protocol(self) -> Any:
        """The protocol that serves it."""
        return self.harness.protocol

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self.harness.lost

    @property
    def open(self) -> bool:
        """Whether the server has not begun to close the connection, nor lost it."""
        return not self.harness.transport.closing

    def check_received(self, expected: bytes) -> None:
        """Fail unless this peer has got *expected*, and nothing else.

        What waits for a peer that stalls counts as well. On a connection that broke,
        or was aborted, the end of it may be missing.

        Raises:
            AssertionError: something else came, or something has got lost.
        """
        came = self.received
        missing = len(expected) - len(came)
        if expected.startswith(came):
            if missing == (0 if self.lost else self.harness.transport.buffered):
                return
            if self.lost and not self.harness.write_closed:
                return
        problem = f"{self.name} has not got what it should"
        self._fail("\n".join([problem, *compared(came, expected)]))

    # What the rules ask

    @property
    def talks(self) -> bool:
        """Whether it may send something."""
        return not self.ended and not self.lost

    @property
    def owes_rest(self) -> bool:
        """Whether it has sent a part of a message only."""
        return bool(self.rest) and self.talks

    @property
    def reads(self) -> bool:
        """Whether it reads all that comes."""
        return self.harness.window is None

    @property
    def may_pause(self) -> bool:
        """Whether somebody may pause reading from it."""
        transport = self.harness.transport
        return not (transport.closing or transport.draining or self.harness.paused)

    @property
    def draining(self) -> bool:
        """Whether its protocol was told to end soon, or will be."""
        return self.harness.transport.draining

    # What is on its way to the server

    def send(self, data: bytes, whole: bytes | None = None) -> None:
        """Put bytes on their way, after the rest of an earlier message.

        Args:
            data: the bytes.
            whole: the message that is whole with them.
        """
        rest, self.rest = self.rest, b""
        if rest:
            self._put(rest, self._begun)
        self._put(data, whole)

    def begin(self, data: bytes, rest: bytes) -> None:
        """Put the beginning of a message on its way, and keep the *rest*, if there is any."""
        self.send(data, None if rest else data)
        self.rest, self._begun = rest, data + rest

    def _put(self, data: bytes, whole: bytes | None) -> None:
        self._on_its_way += data
        self._sent += len(data)
        if whole is not None:
            self._ends.append((self._sent, whole))

    @property
    def waits(self) -> bool:
        """Whether something would arrive if the server read now."""
        return bool(self._on_its_way) or self.ended

    def arrive(self, most: int) -> tuple[bytes, list[bytes]]:
        """Take at most so many bytes off the way, and the messages that are whole with them."""
        data = bytes(self._on_its_way[:most])
        del self._on_its_way[:most]
        arrived = self._sent - len(self._on_its_way)
        whole = []
        while self._ends and self._ends[0][0] <= arrived:
            whole.append(self._ends.popleft()[1])
        return data, whole
