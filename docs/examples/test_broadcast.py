"""A chat broadcast with a reader who has stalled: the others must not notice."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from examples.chat import ChatFactory
from trioproto.errors import ConnectionClosed, OutboundOverflow
from trioproto.events import Closed, Event
from trioproto.testing import ScriptedPeer, peer, serving


async def enter(p: ScriptedPeer, name: str) -> None:
    await p.expect_line(r"What is your name\?")
    await p.send(f"{name}\n".encode())
    await p.expect_line(f"Welcome, {name}!.*")


async def test_a_stalled_reader_delays_nobody_and_is_dropped(autojump_clock: MockClock) -> None:
    reasons: list[ConnectionClosed] = []

    def note(event: Event) -> None:
        if isinstance(event, Closed):
            reasons.append(event.reason)

    factory = ChatFactory()
    factory.configure(high_water=5_000, low_water=1_000, max_buffered=10_000)
    factory.subscribe(note)
    async with serving(factory, capacity=1_000) as server:
        slow = await server.connect()
        await slow.send_all(b"Slow\n")  # and reads nothing, ever
        await wait_all_tasks_blocked()
        async with peer(await server.connect()) as anna:
            await enter(anna, "Anna")
            async with peer(await server.connect()) as ben:
                await enter(ben, "Ben")
                await anna.expect(b"* Ben has come\r\n")
                said = 0
                while "Slow" in factory.members:
                    await anna.send(b"x" * 900 + b"\n")
                    await ben.expect(b"<Anna> " + b"x" * 900 + b"\r\n")
                    await wait_all_tasks_blocked()
                    said += 900
                for p in (anna, ben):
                    await p.expect(b"* Slow has left\r\n")
            await anna.expect(b"* Ben has left\r\n")
        assert 10_000 < said < 13_000  # max_buffered, and what was on its way
        assert type(reasons[0]) is OutboundOverflow
        assert trio.current_time() == 0
