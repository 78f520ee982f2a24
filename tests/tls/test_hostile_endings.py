"""Drains and cancellations in the middle of TLS handshakes, over real drivers."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import LoopService, Serving, serving
from tests.tls.client_side import (
    VERSIONS,
    Client,
    nothing_logged,
    usual_client,
)
from tests.tls.over_wire import (
    HELLO,
    OVER_TLS,
    SERVED_OVER_TLS,
    Keeps,
    Speaker,
    open_descriptors,
    raw,
    task_count,
)
from trioproto.errors import (
    ServerDraining,
)


@pytest.fixture(params=OVER_TLS)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


class TestADrain:
    @pytest.fixture(params=SERVED_OVER_TLS)
    def serve(self, request: pytest.FixtureRequest) -> Serving:
        return partial(serving, request.param)

    async def test_turns_silent_clients_away_at_once(
        self, serve: Serving, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps()
        async with serve(factory) as service:
            peers = [await raw(service) for _ in range(5)]
            begun = trio.current_time()
            await service.start_drain(grace=10, force=5)
            for peer in peers:
                assert (await peer.receive_all())[0] == b""
                await peer.aclose()
            assert isinstance(service, LoopService)
            await service.ended.wait()
            assert trio.current_time() - begun < 3
        assert all(each.heard == [] for each in factory.built)
        assert nothing_logged(caplog)

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_lets_a_handshake_that_has_begun_finish(
        self, serve: Serving, version: str, autojump_clock: MockClock
    ) -> None:
        factory = Keeps()
        async with serve(factory) as service:
            speaker = Speaker(await raw(service), Client(usual_client(version)))
            hello = speaker.client.output()
            await speaker.peer.send(hello[:20])
            await service.settle()
            await service.start_drain(grace=10, force=5)
            await speaker.peer.send(hello[20:])
            await speaker.shake()
            await speaker.receive_all()
            assert speaker.client.ended
            assert not speaker.was_reset
            assert factory.built[0].heard[:2] == ["connection_made", "quiesce"]
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert type(factory.built[0].reason) is ServerDraining

    async def test_answers_a_request_that_was_received(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        factory = Keeps()
        async with serve(factory) as service:
            speaker = Speaker(await raw(service), Client(usual_client("TLSv1.3")))
            await speaker.tell()
            await speaker.hear()
            assert speaker.client.shaken
            await service.start_drain(grace=10, force=5)
            await speaker.peer.send(speaker.client.output() + speaker.client.encrypt(b"request"))
            assert await speaker.receive_all() == b"request"
            assert speaker.client.ended
        heard = factory.built[0].heard
        assert heard[:3] == ["connection_made", "data_received", "quiesce"]

    async def test_is_not_held_by_a_handshake_that_never_ends(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        factory = Keeps(handshake_timeout=None)
        async with serve(factory) as service:
            peer = await raw(service)
            await peer.send(HELLO[:20])
            await service.settle()
            begun = trio.current_time()
            await service.start_drain(grace=10, force=5)
            assert isinstance(service, LoopService)
            await service.ended.wait()
            assert trio.current_time() - begun < 16
        assert factory.built[0].heard == []


class TestACancellation:
    async def test_after_any_number_of_steps_of_a_handshake_leaves_nothing_behind(
        self, serve: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = open_descriptors()
        made = 0
        for steps in range(40):
            factory = Keeps(max_connections=2)
            async with serve(factory) as service:
                assert isinstance(service, LoopService)
                peer = await raw(service)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(try_to_speak, peer)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    service.cancel()
                    await service.ended.wait()
                    nursery.cancel_scope.cancel()
                assert task_count(service) == 0
            assert service.failures == []
            assert len(factory.connections) == 0
            for protocol in factory.built:
                protocol.check()
                made += bool(protocol.heard)
        assert 0 < made < 40  # the handshake was cancelled before its end and after it
        assert open_descriptors() == before
        assert nothing_logged(caplog)

    @pytest.mark.parametrize("size", [0, 1, 5, 100, len(HELLO)])
    async def test_in_each_phase_gives_back_slot_and_socket(
        self, serve: Serving, size: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = open_descriptors()
        factory = Keeps(max_connections=1)
        for _ in range(3):
            async with serve(factory) as service:
                assert isinstance(service, LoopService)
                peer = await raw(service)
                await peer.send(HELLO[:size])
                await service.settle()
                service.cancel()
                await service.ended.wait()
            assert [each.heard for each in factory.built] == [[]] * len(factory.built)
        assert open_descriptors() == before
        assert nothing_logged(caplog)


async def try_to_speak(peer: object) -> None:
    speaker = Speaker(peer)  # type: ignore[arg-type]
    try:
        await speaker.tell()
        while not speaker.client.shaken and await speaker.hear():
            await speaker.tell()
        await speaker.say(b"request")
        await speaker.receive_all()
    except (OSError, trio.BrokenResourceError):
        pass
