"""The mail sink: a session, a mail in a file, STARTTLS, silence, and a drain."""

import ssl
from pathlib import Path

import trio
import trustme
from trio.testing import MockClock

from examples.smtp_sink import SinkFactory
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.testing import ScriptedPeer, connected, peer, serving

SENT = b"From: me\r\n\r\nHello\r\n..\r\n.\r\n"


async def ask(p: ScriptedPeer, *commands: bytes) -> None:
    """Say each of them, and hear that it is welcome."""
    for command in commands:
        await p.send(command + b"\r\n")
        await p.expect_line(rb"(220|250|354) .*")


async def greet(p: ScriptedPeer) -> None:
    await p.expect_line("220 .* ESMTP")
    await ask(p, b"HELO client.example.org")


async def begin_mail(p: ScriptedPeer) -> None:
    await ask(p, b"MAIL FROM:<me@example.org>", b"RCPT TO:<you@example.org>", b"DATA")


async def test_a_mail_is_kept_in_a_file(tmp_path: Path) -> None:
    async with connected(SinkFactory(folder=tmp_path)) as stream, peer(stream) as p:
        await greet(p)
        await begin_mail(p)
        await p.send(SENT)
        await p.expect(b"250 the mail is accepted\r\n")
        await p.send(b"QUIT\r\n")
        await p.expect(b"221 goodbye\r\n")
        await p.expect_eof()
    header, _, text = (tmp_path / "000001.eml").read_bytes().partition(b"From: ")
    assert header.startswith(b"Return-Path: <me@example.org>\r\nDelivered-To: you@example.org\r\n")
    assert text == b"me\r\n\r\nHello\r\n.\r\n"


async def test_a_whole_group_of_commands_is_answered_in_order() -> None:
    async with connected(SinkFactory()) as stream, peer(stream) as p:
        await greet(p)
        await p.send(b"RCPT TO:<you@x>\r\nMAIL FROM:<>\r\nRCPT TO:<you@x>\r\nDATA\r\n" + SENT)
        for code in (503, 250, 250, 354, 250):
            await p.expect_line(f"{code} .*")


async def test_tls_begins_in_mid_connection(tmp_path: Path) -> None:
    authority = trustme.CA()
    file = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    factory = SinkFactory(certificates=Certificates([CertificateFiles(file, file)]))
    async with connected(factory) as stream, peer(stream) as plain:
        await greet(plain)
        await ask(plain, b"STARTTLS")
        secure = trio.SSLStream(stream, trusting, server_hostname="localhost")
        async with peer(secure) as p:
            await p.send(b"MAIL FROM:<me@example.org>\r\n")
            await p.expect_line("503 .*")  # what was said in plain counts no more
            await ask(p, b"HELO client.example.org")
            await begin_mail(p)


async def test_silence_ends_after_five_minutes(autojump_clock: MockClock) -> None:
    async with connected(SinkFactory()) as stream, peer(stream) as p:
        await greet(p)
        await begin_mail(p)
        await p.expect_nothing(299.9)
        await p.expect(b"421 you were silent for too long\r\n")
        await p.expect_eof()


async def test_a_mail_that_was_begun_is_finished_in_a_drain() -> None:
    async with serving(SinkFactory()) as server, peer(await server.connect()) as p:
        await greet(p)
        await begin_mail(p)
        server.server.stop()
        await p.expect_nothing()
        await p.send(SENT)
        await p.expect_line("250 the mail is accepted")
        await p.expect_line("421 this server is being stopped, try later")
        await p.expect_eof()
