"""Descriptors that run out, in a process that has few, and are freed again."""

from __future__ import annotations

import trio

from tests.hostile.callers import BAD, HEALTHY, LATE, Caller, Healthy, call
from tests.hostile.child import Child, child
from trioproto.testing.conformance.peer import PeerWasReset

DESCRIPTORS = 64
CALLERS = 150
PATIENCE = 20  # seconds; only reached when something is broken


async def test_when_descriptors_run_out_the_connected_are_served_on_and_the_queued_are_shed() -> (
    None
):
    callers: list[Caller] = []
    with child(DESCRIPTORS) as server:
        try:
            with trio.fail_after(PATIENCE):
                await _exhaust(server, callers)
        finally:
            for caller in callers:
                caller.discard()
    assert "connections shed" in server.errors


async def _exhaust(server: Child, callers: list[Caller]) -> None:
    address = server.address
    callers.append(await call(address, HEALTHY))
    healthy = Healthy(callers[0])
    healthy.hurry()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(healthy.run)
        await healthy.served(10)
        before = server.descriptors()
        bad: list[Caller] = []
        for _ in range(CALLERS):
            bad.append(await call(address, BAD))
            callers.append(bad[-1])
        outcomes = [await _outcome(each) for each in bad]  # nobody is left hanging
        assert outcomes.count(True) == DESCRIPTORS - before
        await healthy.served(100)
        for caller in bad:
            caller.discard()
        while server.descriptors() > before:  # noqa: ASYNC110 - the system does not tell
            await trio.sleep(0.01)
        callers.append(await call(address, LATE))
        await Healthy(callers[-1]).ask()
        await healthy.served(10)
        nursery.cancel_scope.cancel()


async def _outcome(caller: Caller) -> bool:
    """Whether a caller is served; it is served or shed, but not left hanging."""
    try:
        await caller.send(b"me too\r\n")
        return await caller.receive_some() == b"me too\r\n"
    except (PeerWasReset, OSError):
        return False
