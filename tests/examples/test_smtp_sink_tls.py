"""The SMTP sink's STARTTLS."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from examples.smtp_sink import SinkFactory
from tests.behaviour.tls_peers import authority
from tests.examples.smtp_talk import (
    EHLO,
    HOST,
    MAIL,
    RCPT,
    Client,
    Kept,
    call,
    certified,
    talking,
)
from tests.tls.handshakes import trusting, write
from tests.tls.test_reload import until
from trioproto.errors import EarlyPlaintext, HandshakeFailed, HandshakeTimeout
from trioproto.testing import Faults, connected, serving

STARTTLS = b"STARTTLS\r\n"


@pytest.fixture
def factory(tmp_path: Path) -> Kept:
    return certified(tmp_path)


async def secure(client: Client) -> None:
    """Up to the end of the handshake."""
    assert await client.ask(EHLO + STARTTLS) == [250, 220]
    await client.start_tls()


async def test_a_mail_comes_through_tls(factory: Kept) -> None:
    """The certificate is the one for the host's name, and verified."""
    async with talking(factory) as client:
        await secure(client)
        await client.ask(EHLO)
        assert await client.send_mail(b"secret\r\n") == 250
        await client.stream.send_all(b"QUIT\r\n")
        assert await client.rest() == b"221 goodbye\r\n"  # and a close_notify, or this raises
    assert factory.texts == [b"secret\r\n"]


async def test_starttls_is_offered_until_it_is_used(factory: Kept) -> None:
    async with talking(factory) as client:
        await client.stream.send_all(EHLO)
        assert "250-STARTTLS" in await client.reply()
        assert await client.ask(STARTTLS) == [220]
        await client.start_tls()
        await client.stream.send_all(EHLO)
        assert not [line for line in await client.reply() if "STARTTLS" in line]


async def test_starttls_twice_is_out_of_order(factory: Kept) -> None:
    """The connection stays as it is."""
    async with talking(factory) as client:
        await secure(client)
        assert await client.ask(EHLO + STARTTLS) == [250, 503]
        assert await client.send_mail(b"secret\r\n") == 250


async def test_without_a_certificate_there_is_no_starttls() -> None:
    """Nor is it offered; the client may go on in plain."""
    async with talking() as client:
        await client.stream.send_all(EHLO)
        assert not [line for line in await client.reply() if "STARTTLS" in line]
        assert await client.ask(STARTTLS) == [502]
        assert await client.send_mail(b"plain\r\n") == 250


async def test_starttls_within_a_mail_forgets_all(factory: Kept) -> None:
    """The mail, and who the client was: it has to say EHLO again."""
    async with talking(factory) as client:
        assert await client.ask(EHLO + MAIL + RCPT + STARTTLS) == [250, 250, 250, 220]
        await client.start_tls()
        assert await client.ask(b"DATA\r\n" + RCPT + MAIL + STARTTLS) == [503] * 4
        assert await client.ask(EHLO + RCPT) == [250, 503]
    (session,) = factory.sessions
    assert session.mail is None


@pytest.mark.parametrize("early", [EHLO, MAIL + RCPT, b"x", b"\r\n"])
async def test_what_is_sent_in_plain_after_starttls_is_not_obeyed(
    factory: Kept, early: bytes
) -> None:
    """Somebody may have put it there: the connection is reset, before any handshake."""
    async with talking(factory) as client:
        await client.ask(EHLO)
        await client.stream.send_all(STARTTLS + early)
        (session,) = factory.sessions
        assert type(await session.transport.wait_closed()) is EarlyPlaintext
    assert session.state == "connected"
    assert session.mail is None


async def test_one_who_does_not_shake_hands_harms_nobody(factory: Kept) -> None:
    """Nonsense after STARTTLS ends that connection; the next is served."""
    async with serving(factory) as server:
        client = await call(server)
        await client.ask(EHLO + STARTTLS)
        await client.stream.send_all(MAIL)
        await client.stream.aclose()
        (session,) = factory.sessions
        assert type(await session.transport.wait_closed()) is HandshakeFailed
        await secure(await call(server))


async def test_one_who_is_silent_after_starttls_is_left(
    factory: Kept, autojump_clock: MockClock
) -> None:
    """At the handshake's deadline, not at that for commands."""
    async with serving(factory) as server:
        client = await call(server)
        await client.ask(EHLO + STARTTLS)
        start = trio.current_time()
        (session,) = factory.sessions
        assert type(await session.transport.wait_closed()) is HandshakeTimeout
        assert trio.current_time() - start == factory.settings.handshake_timeout
        await client.stream.aclose()


async def test_bytes_may_come_one_by_one(factory: Kept) -> None:
    """Those of the handshake, of the records, and of what is in them."""
    async with talking(factory, to_server=Faults(reads=(1,))) as client:
        await secure(client)
        for byte in EHLO + MAIL + RCPT + b"DATA\r\n" + b"..\r\n.\r\n":
            await client.stream.send_all(bytes([byte]))
        assert await client.codes(5) == [250, 250, 250, 354, 250]
    assert factory.texts == [b".\r\n"]


async def test_the_summary_names_the_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of one who got TLS by the endpoint, without a word of SMTP."""
    certificates = certified(tmp_path).certificates
    assert certificates is not None
    factory = SinkFactory(certificates=certificates)
    factory.host = HOST
    async with talking(factory) as client:
        await secure(client)
        await client.ask(EHLO)
        assert await client.send_mail(b"") == 250
    contexts = certificates, trusting(authority(), check_hostname=True)
    async with connected(factory, tls=contexts, server_hostname=HOST) as stream:
        client = Client(stream)
        assert await client.codes(1) == [220]
        assert await client.ask(EHLO + STARTTLS) == [250, 503]
        assert await client.send_mail(b"") == 250
    line = "from=<me@example.org> to=<you@example.org> bytes=0 tls=TLSv1.3"
    assert capsys.readouterr().out.splitlines() == [line] * 2


async def test_a_new_certificate_is_shown_without_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """While the server runs, to those who begin TLS from then on."""
    factory = certified(tmp_path, reload_interval=1)
    certificates = factory.certificates
    assert certificates is not None
    async with factory:
        before = certificates.context
        write(tmp_path, "mx", authority().issue_cert(HOST, "renewed.example.org"))
        await until(lambda: certificates.context is not before)
