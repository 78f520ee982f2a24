"""Conversations, said line by line or as they were recorded."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from examples._memcached_store import Store
from examples.memcached import MemcachedFactory
from examples.smtp_sink import SinkFactory
from trioproto.testing import Session, connected, peer, read_sessions

SESSIONS = Path(__file__).parent / "sessions"


def smtp_sink() -> SinkFactory:
    factory = SinkFactory()
    factory.host = "mx.example.org"
    return factory


def memcached() -> MemcachedFactory:
    return MemcachedFactory(Store(1024 * 1024, clock=lambda: 0.0))


async def test_who_is_greeted_may_leave() -> None:
    async with connected(smtp_sink()) as stream, peer(stream) as p:
        await p.expect(b"220 mx.example.org ESMTP\r\n")
        await p.send(b"NOOP\r\nQUIT\r\n")
        assert await p.expect_line("250 .*") == b"250 nothing done"
        await p.expect_line("221 .*")
        await p.expect_eof()


async def test_who_says_nothing_is_sent_away(autojump_clock: MockClock) -> None:
    async with connected(smtp_sink()) as stream, peer(stream) as p:
        await p.expect_line("220 .*")
        await p.send(b"NO")  # and then nothing more
        await p.expect_nothing(299)
        await p.expect(b"421 you were silent for too long\r\n", timeout=1)
        await p.expect_eof()


@pytest.mark.parametrize("session", read_sessions(SESSIONS / "smtp"), ids=str)
async def test_a_mail_session(session: Session, autojump_clock: MockClock) -> None:
    async with connected(smtp_sink()) as stream, peer(stream) as p:
        await p.replay(session)


@pytest.mark.parametrize("session", read_sessions(SESSIONS / "memcached"), ids=str)
def test_a_cache_session(session: Session) -> None:
    session.replay(memcached)
