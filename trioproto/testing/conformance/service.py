"""What the suite needs of a driver: a service that it serves a factory with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, Self, TypeVar

import trio
import trio.testing

from trioproto.runtime.factory import Factory
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder

AnyProtocol = TypeVar("AnyProtocol", bound=Protocol)

SMALL = 4096
"""Bytes that a peer which does not read leaves room for, roughly, with small buffers."""
MORE_THAN_FITS = 2 << 20
"""Bytes that are more than any service takes from us while the peer reads nothing."""
UNMARKED: dict[str, Any] = {
    "high_water": 2 * MORE_THAN_FITS,
    "max_buffered": 2 * MORE_THAN_FITS,
    "write_timeout": None,
    "idle_timeout": None,
}
"""Settings with which output that waits pauses nothing."""


class Service(ABC):
    """One factory, served over the driver under test, and its peers.

    Args:
        factory: what is served.
        small_buffers: whether a peer that does not read leaves room for a few
            kilobytes only, and not for megabytes.
        half_close: whether each side can be ended alone. Only services with
            ``Feature.HALF_CLOSE_IS_OPTIONAL`` are asked for ``False``.

    Attributes:
        name: what the service is called in the names of the tests.
        features: what it has.
        peers: all that were connected.
        failures: what came out of it and was not asked for by ``failure`` yet.
    """

    name: ClassVar[str] = "service"
    features: ClassVar[frozenset[Feature]] = frozenset()

    def __init__(self, factory: Factory[Any], *, small_buffers: bool, half_close: bool) -> None:
        self.factory = factory
        self.small_buffers = small_buffers
        self.half_close = half_close
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.discard()

    @abstractmethod
    def serve(self) -> AbstractAsyncContextManager[None]:
        """Serve the factory in this context.

        It is left normally when all peers have been closed, and then waits for
        the end of all connections. What is raised there by the driver, or by user
        code through it, goes to ``failures`` as it is. The test goes on meanwhile:
        neither an error nor ``cancel`` may cancel what runs in the context.
        """

    async def connect(self) -> Peer:
        """Open a connection, and let ``connection_made`` happen."""
        peer = await self.open_peer()
        await self.settle()
        return peer

    async def open_peer(self) -> Peer:
        """Open a connection, and do not wait until it is served."""
        peer = await self.new_peer()
        peer.service = self
        self.peers.append(peer)
        return peer

    @abstractmethod
    async def new_peer(self) -> Peer:
        """Make a peer that is connected, or about to be.

        Also if the factory builds no protocol for it: then it is one that was
        reset, or sees our EOF.
        """

    @abstractmethod
    async def settle(self) -> None:
        """Let all happen that needs no time to pass.

        When this returns, everything that was sent has been delivered, as far as
        the connection reads and the peer has room; deadlines that are due have
        fired; and all callbacks have returned, or wait for something else.
        """

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let time pass, each deadline on the way at its own time, and settle.

        A test that needs more than a moment has trio's ``autojump_clock``.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Cancel from outside whatever serves, without waiting for it."""

    @abstractmethod
    async def wait_ended(self) -> None:
        """Wait until nothing is served any more: after ``cancel``, or an error that ends all."""

    async def start_drain(self, grace: float | None = None, force: float | None = None) -> None:
        """Ask for a drain, and let it begin; with ``Feature.DRAINS``.

        Args:
            grace: seconds until what still runs is cancelled; with ``Feature.SERVER``.
            force: seconds from then until what is left is aborted.
        """
        raise NotImplementedError(f"{self.name} has no drain")

    def do(self, call: Callable[[], object]) -> None:
        """Do what may call back; an error that comes out of it is the service's failure."""
        call()

    async def failure(self) -> BaseException:
        """Return what came out of the service, once it has ended."""
        await self.wait_ended()
        assert self.failures, "nothing came out of the service"
        return self.failures.pop(0)


Serving = Callable[..., AbstractAsyncContextManager[Service]]
Connecting = Callable[..., AbstractAsyncContextManager[Peer]]


def in_turn(protocols: Iterable[AnyProtocol], **settings: Any) -> Factory[AnyProtocol]:
    """Make a factory that builds each of these protocols, in this order."""
    return Factory(iter(protocols).__next__, **settings)


@asynccontextmanager
async def serving(
    kind: type[Service],
    protocol: Factory[Any] | Protocol,
    *,
    small_buffers: bool = False,
    half_close: bool = True,
    **settings: Any,
) -> AsyncIterator[Service]:
    """Serve a factory, or a factory of this one protocol, until all peers have gone.

    Whatever comes out of the service and is not asked for by ``failure()`` is
    raised here. Nothing may take for ever: if it would, the test fails.
    """
    factory = protocol if isinstance(protocol, Factory) else Factory(lambda: protocol, **settings)
    service = kind(factory, small_buffers=small_buffers, half_close=half_close)
    with trio.fail_after(patience()), service:
        async with service.serve():
            yield service
            for peer in service.peers:
                await peer.aclose()
    match service.failures:
        case [failure]:
            raise failure
        case [_, *_]:
            raise BaseExceptionGroup("failures of the service", service.failures)
    if isinstance(protocol, Recorder):
        protocol.check()


@asynccontextmanager
async def connecting(
    kind: type[Service], protocol: Factory[Any] | Protocol, **options: Any
) -> AsyncIterator[Peer]:
    """Serve as ``serving`` does, with one peer connected."""
    async with serving(kind, protocol, **options) as service:
        yield await service.connect()


def patience() -> float:
    """Longer than any test takes: seconds of the virtual clock cost nothing."""
    virtual = isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock)
    return 100_000 if virtual else 5
