"""A driver as somebody else might write it: a simulator of many connections.

Its time is a number, its network a few buffers, and it takes one step after the
other in a fixed order, so that a run is the same each time. Nothing of it waits,
and so it has no async callbacks. It uses public names only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from errno import ECONNRESET
from math import inf
from os import PathLike
from typing import Any, NoReturn

import trio

from trioproto import Factory, TCPAddress
from trioproto.errors import AsyncCallbackError, CallbackError, NotSupported
from trioproto.sansio.addresses import Address
from trioproto.sansio.connection import Connection
from trioproto.sansio.lifecycle import State
from trioproto.testing.conformance import SMALL, Feature, Peer, PeerWasReset, Service

SERVER = TCPAddress("192.0.2.1", 8007)


class Wire:
    """Bytes one way, and the room that there is for more."""

    def __init__(self, room: float = inf) -> None:
        self.data = bytearray()
        self.room = room
        self.ended = False
        self.cut = False

    def put(self, data: bytes | memoryview) -> int:
        taken = int(min(self.room, len(data)))
        self.data += data[:taken]
        self.room -= taken
        return taken

    def take(self, size: int | None = None) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken


class Simulation:
    """The time, and all connections; what happens to one of them happens in its own turn."""

    def __init__(self) -> None:
        self.now = 0.0
        self.drivers: list[SimulatedDriver] = []
        self.changed: list[SimulatedDriver] = []
        self.raised: list[BaseException] = []

    def settle(self) -> None:
        """Take turns until nobody has anything to do at this time."""
        busy = True
        while busy:
            while self.changed:
                self.changed.pop(0).turn()
            busy = False
            for driver in self.drivers:
                busy |= driver.receive() or driver.is_due()
        self.drivers = [each for each in self.drivers if each.connection.state < State.LOST]

    def pass_time(self, seconds: float) -> None:
        """Go from one deadline to the next."""
        end = self.now + seconds
        self.settle()
        while self.now < (deadline := self.next_deadline()) <= end:
            self.now = deadline
            self.settle()
        self.now = end

    def next_deadline(self) -> float:
        return min((each.connection.deadline for each in self.drivers), default=inf)


class SimulatedDriver:
    """Moves the bytes of one connection."""

    can_write_eof = True
    server_side = True
    connection: Connection

    def __init__(self, world: Simulation, incoming: Wire, outgoing: Wire) -> None:
        self.world = world
        self.incoming = incoming
        self.outgoing = outgoing

    def accept(self, factory: Factory[Any], peer: Address) -> None:
        """Begin, if the factory builds a protocol."""
        try:
            connection = factory.accept(self, peer, SERVER)
        except BaseException as error:
            self.outgoing.cut = True
            if not isinstance(error, CallbackError):
                self.world.raised.append(error)
            return
        if connection is None:
            self.outgoing.ended = True
            return
        self.connection = connection
        self.world.drivers.append(self)
        self.step(connection.open)

    # What happens to it

    def receive(self) -> bool:
        """Take what the peer has done; say whether there was anything."""
        connection, incoming = self.connection, self.incoming
        if connection.state >= State.ENDED:
            return False
        if incoming.cut:
            self.step(connection.lost, OSError(ECONNRESET, "connection reset by peer"))
            return True
        if not connection.wants_read:
            return False
        if incoming.data:
            size = connection.receive_size(self.world.now)
            self.step(self.feed, size)
            return size > 0
        if incoming.ended:
            self.step(connection.feed_eof)
            return True
        return False

    def is_due(self) -> bool:
        """Act on a deadline that has come; say whether there was one."""
        due = self.connection.deadline <= self.world.now
        if due:
            self.step(self.connection.on_timeout, self.world.now)
        return due

    def feed(self, size: int) -> None:
        """Let the connection have some of what has come."""
        if size:
            self.connection.feed(self.incoming.take(size), self.world.now)

    def step(self, action: Callable[..., None], *args: Any) -> None:
        """Do something to the connection, and then what follows from it."""
        self.connection.tell = False
        action(*args)
        self.turn()

    def turn(self) -> None:
        """Do what the connection asks for, until it asks for nothing more."""
        connection = self.connection
        if connection.state is State.LOST:
            return
        connection.begin_turn()
        before: object = None
        while before != (before := (connection.state, connection.buffered, connection.holds)):
            connection.advance()
            self.refuse_to_wait()
            self.offer()
            if connection.wants_shutdown:
                self.outgoing.ended = True
                connection.shut_down()
        if connection.state is State.ENDED:
            self.end()
        connection.tell = True
        if connection.crash is not None:
            self.world.raised.append(connection.crash)
            connection.crash = None

    def end(self) -> None:
        """Close both ways, and make the last callback."""
        self.outgoing.ended = True
        self.outgoing.cut = self.connection.broken
        self.connection.report_lost()
        self.refuse_to_wait()

    def refuse_to_wait(self) -> None:
        """End a connection whose callback is async."""
        pending = self.connection.take_pending()
        if pending is not None:
            pending.close()
            self.connection.callback_raised(AsyncCallbackError("a simulation waits for nobody"))

    # What the connection asks for

    def time(self) -> float:
        return self.world.now

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        return callback(*args)

    def opened(self) -> None: ...

    def exempt(self) -> None: ...

    def changed(self) -> None:
        self.world.changed.append(self)

    def offer(self, *, one_turn: bool = False) -> None:
        """Send what there is room for."""
        connection, now = self.connection, self.world.now
        sent = taken = 0
        connection.encode_output()
        while data := connection.wire.peek():
            room = min(len(data), self.outgoing.room)
            taken = self.send(data, int(room and connection.send_size(int(room), now)))
            if not taken:
                break
            connection.wire.sent(taken)
            connection.spend_sent(taken, now)
            connection.encode_output()
            sent += taken
        connection.output_tried(sent, now)

    def send(self, data: bytes | memoryview, size: int) -> int:
        return self.outgoing.put(data[:size])

    def read_more(self) -> bytes:
        return self.incoming.take(self.connection.settings.read_size)

    def start_soon(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> NoReturn:
        raise AsyncCallbackError("a simulation has no tasks")

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> NoReturn:
        raise NotSupported("a simulation has no socket")

    def setsockopt(self, level: int, option: int, value: int | bytes) -> NoReturn:
        raise NotSupported("a simulation has no socket")

    async def wait_writable(self) -> None:
        raise AsyncCallbackError("a simulation waits for nobody")

    wait_closed = wait_draining = wait_writable

    async def send_file(self, path: str | PathLike[str], offset: int, count: int | None) -> int:
        raise AsyncCallbackError("a simulation waits for nobody")


class SimulatedPeer(Peer):
    """The other end."""

    def __init__(self, world: Simulation, driver: SimulatedDriver, address: Address) -> None:
        self.world = world
        self.sent = driver.incoming
        self.heard = driver.outgoing
        self.own_address = address

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.put(data)
        self.world.settle()

    async def send_eof(self) -> None:
        self.sent.ended = True

    async def reset(self) -> None:
        self.sent.cut = True

    async def aclose(self) -> None:
        self.world.settle()
        self.sent.cut = bool(self.heard.data)  # as TCP does, if not all was read
        self.sent.ended = True

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        self.world.settle()
        taken = self.take()
        if not taken and self.heard.cut:
            raise PeerWasReset
        assert taken or self.heard.ended, "nothing will ever come"
        return taken

    def take(self) -> bytes:
        taken = self.heard.take()
        self.heard.room += len(taken)
        self.world.changed += self.world.drivers
        return taken

    def allow(self, count: int) -> None:
        self.heard.room = count
        self.world.changed += self.world.drivers

    @property
    def address(self) -> Address:
        return self.own_address

    @property
    def server_address(self) -> Address:
        return SERVER


class SimulatedService(Service):
    """Serves a factory in a simulation."""

    name = "simulated"
    features = frozenset(
        {
            Feature.DRAINS,
            Feature.HALF_CLOSE,
            Feature.RATES,
            Feature.SEES_RESETS,
            Feature.SENDS_AT_ONCE,
            Feature.READS_ON,
            Feature.EXACT_WINDOW,
            Feature.ERROR_NUMBERS,
            Feature.ADDRESSES,
        }
    )
    driver: Callable[[Simulation, Wire, Wire], SimulatedDriver] = SimulatedDriver

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        self.world = Simulation()
        self.world.raised = self.failures
        yield
        self.world.settle()
        for driver in self.world.drivers:  # who has not noticed yet that its peer has gone
            driver.incoming.cut = True
        self.world.settle()

    async def new_peer(self) -> Peer:
        driver = type(self).driver(self.world, Wire(), Wire(SMALL if self.small_buffers else inf))
        peer = SimulatedPeer(self.world, driver, TCPAddress("198.51.100.7", 1024 + len(self.peers)))
        driver.accept(self.factory, peer.address)
        return peer

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        self.world.settle()

    async def pass_time(self, seconds: float) -> None:
        await self.settle()
        self.world.pass_time(seconds)

    def cancel(self) -> None:
        for driver in self.world.drivers:
            driver.step(driver.connection.cancel)

    async def wait_ended(self) -> None:
        await self.settle()

    async def start_drain(self, grace: float | None = None, force: float | None = None) -> None:
        await self.settle()
        for driver in self.world.drivers:
            driver.step(driver.connection.drain)
        await self.settle()


class OneWayDriver(SimulatedDriver):
    """Has a network that cannot end one side alone."""

    can_write_eof = False


class OneWayService(SimulatedService):
    name = "one_way"
    features = SimulatedService.features - {Feature.HALF_CLOSE}
    driver = OneWayDriver
