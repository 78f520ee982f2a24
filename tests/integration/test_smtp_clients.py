"""The SMTP sink, used by programs that send mails."""

from __future__ import annotations

import random
import shutil
import smtplib
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import pytest

from tests.behaviour.tls_peers import authority
from tests.examples.running import PATIENCE, Example, example, running
from tests.tls.handshakes import trusting, write

ME, YOU = "me@example.org", "you@example.org"
# Lines that a sender has to protect, or that end in no ordinary way for a text.
AWKWARD = b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\nQUIT\r\n" + b"x" * 998 + b"\r\n.\r\n"


def needs(client: str) -> pytest.MarkDecorator:
    reason = f"{client} is not installed (Debian: apt-get install swaks libnet-ssleay-perl openssl)"
    return pytest.mark.skipif(shutil.which(client) is None, reason=reason)


class Sink:
    """A sink that runs, what it has kept, and the authority of its certificate."""

    def __init__(self, server: Example, folder: Path, authority_file: Path) -> None:
        self.server = server
        self.folder = folder
        self.authority_file = authority_file
        self.tls_port = int(server.read_line().rpartition(":")[2])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def mails(self) -> list[bytes]:
        return [file.read_bytes() for file in sorted(self.folder.glob("*.eml"))]

    @property
    def texts(self) -> list[bytes]:
        """The mails without what the sink has put before them: its last line is `Received`."""
        return [mail.partition(b"Received: ")[2].partition(b"\r\n")[2] for mail in self.mails]

    @property
    def ways(self) -> list[str]:
        """How each mail has come."""
        ends = [mail.partition(b" with ")[2].partition(b";")[0] for mail in self.mails]
        return [end.decode() for end in ends]


@pytest.fixture(scope="module")
def running_sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """It has a port for STARTTLS and plain mails, and one for TLS from the beginning."""
    place = tmp_path_factory.mktemp("sink")
    files = write(place, "mx", authority().issue_cert("127.0.0.1", "localhost"))
    authority().cert_pem.write_to_path(place / "ca.pem")
    key, certificate = str(files.private_key), str(files.certificate)
    folder = place / "mails"
    with example(
        "smtp_sink",
        "--listen", f"tls:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
        "--certificate", certificate, "--private-key", key, "--save", str(folder),
    ) as server:  # fmt: skip
        yield Sink(server, folder, place / "ca.pem")


@pytest.fixture
def sink(running_sink: Sink) -> Sink:
    """The sink of all these tests, with no mail yet."""
    running_sink.server.begin_again()
    for mail in running_sink.folder.iterdir():
        mail.unlink()
    return running_sink


# smtplib


def connect(sink: Sink) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", sink.server.port, timeout=PATIENCE)


def verifying() -> ssl.SSLContext:
    return trusting(authority(), check_hostname=True)


def test_smtplib_sends_a_message(sink: Sink) -> None:
    """To several people, one of whom is only in the envelope, with more than ASCII in it."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ME, YOU, "Grüße"
    message.set_content("Hallöchen\n.\n..\nbye\n", cte="8bit")
    with connect(sink) as client:
        assert client.send_message(message, to_addrs=[YOU, "third@example.org"]) == {}
    (mail,) = sink.mails
    assert b"Delivered-To: you@example.org\r\nDelivered-To: third@example.org\r\n" in mail
    assert "\r\n\r\nHallöchen\r\n.\r\n..\r\nbye\r\n".encode() in mail
    assert sink.ways == ["ESMTP"]


def test_smtplib_begins_tls(sink: Sink) -> None:
    """It verifies the certificate, and sees other extensions from then on."""
    with connect(sink) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=verifying())
        client.ehlo()
        assert not client.has_extn("starttls")
        assert client.sendmail(ME, YOU, AWKWARD) == {}
    assert sink.texts == [AWKWARD]
    assert sink.ways == ["ESMTPS (TLSv1.3)"]


def test_smtplib_over_tls_from_the_beginning(sink: Sink) -> None:
    """The endpoint does it; the example has no part in it."""
    with smtplib.SMTP_SSL(
        "127.0.0.1", sink.tls_port, context=verifying(), timeout=PATIENCE
    ) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail(ME, YOU, AWKWARD)
    assert sink.texts == [AWKWARD]
    assert sink.ways == ["ESMTPS (TLSv1.3)"]


def test_smtplib_turns_away_from_a_stranger(sink: Sink) -> None:
    """It does not trust the certificate; the server says so in a line, and goes on."""
    with connect(sink) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
    stderr = sink.server.process.stderr
    assert stderr is not None
    assert any(b"handshake failed" in line for line in stderr)
    with connect(sink) as client:
        client.sendmail(ME, YOU, AWKWARD)
    assert sink.texts == [AWKWARD]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_smtplib_sends_a_large_mail(sink: Sink, tls: bool) -> None:
    """Nine megabytes of any bytes, in lines of any length."""
    chance = random.Random(7)
    lines = (chance.randbytes(chance.randrange(150)) for _ in range(120_000))
    text = b"\r\n".join(line.replace(b"\r", b"").replace(b"\n", b".") for line in lines) + b"\r\n"
    with connect(sink) as client:
        if tls:
            client.starttls(context=verifying())
        client.sendmail(ME, YOU, text)
    assert len(text) > 9_000_000
    assert sink.texts == [text]


def test_smtplib_is_told_that_a_mail_is_too_large(sink: Sink) -> None:
    """Before it sends it, since it says the size; the connection can be used again."""
    with connect(sink) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            client.sendmail(ME, YOU, b"x" * 78 * 150_000)
        assert caught.value.smtp_code == 552
        client.sendmail(ME, YOU, AWKWARD)
    assert sink.texts == [AWKWARD]


def test_smtplib_is_told_that_a_line_is_too_long(sink: Sink) -> None:
    """After the mail; the connection can be used again."""
    with connect(sink) as client:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail(ME, YOU, b"x" * 1_000_000)
        assert caught.value.smtp_code == 554
        client.sendmail(ME, YOU, AWKWARD)
    assert sink.texts == [AWKWARD]


def test_smtplib_sends_many_mails_on_one_connection(sink: Sink) -> None:
    """Each has its own file, in order."""
    texts = [b"Subject: %d\r\n\r\n%b\r\n" % (i, b"." * (i % 70)) for i in range(300)]
    with connect(sink) as client:
        client.starttls(context=verifying())
        for text in texts:
            assert client.sendmail(ME, [YOU, ME], text) == {}
    assert sink.texts == texts


def test_smtplib_sends_from_many_threads(sink: Sink) -> None:
    """Half of them with TLS; no mail is lost, none is mixed with another."""
    threads = [threading.Thread(target=send_ten, args=(sink, number)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [text_of(i, number) for i in range(10) for number in range(20)]
    assert sorted(sink.texts) == sorted(texts)


def send_ten(sink: Sink, number: int) -> None:
    with connect(sink) as client:
        if number % 2:
            client.starttls(context=verifying())
        for i in range(10):
            client.sendmail(ME, YOU, text_of(i, number))


def text_of(i: int, number: int) -> bytes:
    return b"Subject: %d of %d\r\n\r\n" % (i, number) + b"%d\r\n" % number * 1000


def test_smtplib_asks_this_and_that(sink: Sink) -> None:
    with connect(sink) as client:
        assert client.noop()[0] == 250
        assert client.help()
        assert client.verify(YOU)[0] == 252
        assert client.docmd("BOGUS")[0] == 500
        assert client.rset()[0] == 250


# swaks


@cache
def swaks_can_do_tls() -> bool:
    with running("swaks", "--support") as program:
        return "TLS supported" in program.finish()[1]


def swaks(sink: Sink, *options: str) -> tuple[str, ...]:
    if "--tls" in options and not swaks_can_do_tls():
        pytest.skip("swaks cannot do TLS (Debian: apt-get install libnet-ssleay-perl)")
    who = ["--from", ME, "--to", YOU, "--helo", "client.example.org"]
    return ("swaks", "--server", sink.address, *who, *options)


@needs("swaks")
@pytest.mark.parametrize(
    ("options", "way"),
    [
        ([], "ESMTP"),
        (["--pipeline"], "ESMTP"),
        (["--protocol", "SMTP"], "SMTP"),
        (["--tls"], "ESMTPS (TLSv1.3)"),
        (["--tls", "--pipeline"], "ESMTPS (TLSv1.3)"),
        (["--tls", "--tls-protocol", "tlsv1_2"], "ESMTPS (TLSv1.2)"),
    ],
    ids=["plain", "pipelined", "HELO", "TLS", "TLS pipelined", "TLS 1.2"],
)
def test_swaks_sends_a_mail(sink: Sink, options: list[str], way: str) -> None:
    """Step by step or all at once, with and without TLS."""
    with running(*swaks(sink, "--body", ".\ntwo\n..", *options)) as client:
        status, out, err = client.finish()
    assert (status, err) == (0, ""), out
    assert "<-  250 the mail is accepted" in out or "<~  250 the mail is accepted" in out
    assert b"\r\n\r\n.\r\ntwo\r\n..\r\n" in sink.texts[0]
    assert sink.ways == [way]


@needs("swaks")
def test_swaks_verifies_the_certificate(sink: Sink) -> None:
    options = ["--tls", "--tls-verify", "--tls-ca-path", str(sink.authority_file)]
    with running(*swaks(sink, *options)) as client:
        status, out, _ = client.finish()
    assert status == 0, out
    assert sink.ways == ["ESMTPS (TLSv1.3)"]


# openssl


@needs("openssl")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_begins_tls(sink: Sink, version: str) -> None:
    """It says EHLO and STARTTLS itself, verifies the certificate, and ends each line with CRLF."""
    said = f"EHLO client\nMAIL FROM:<{ME}>\nRCPT TO:<{YOU}>\nDATA\nhello\n..\n.\nQUIT\n"
    with running(
        "openssl", "s_client", "-connect", sink.address, "-starttls", "smtp", "-crlf", "-quiet",
        "-CAfile", str(sink.authority_file), "-verify_return_error", "-verify_ip", "127.0.0.1",
        "-no_ign_eof", f"-tls{version.replace('.', '_')}",
    ) as client:  # fmt: skip
        client.stdin.write(said.encode())
        client.stdin.flush()
        client.read_until("354 ")
        assert client.read_line() == "250 the mail is accepted"
        assert client.read_line() == "221 goodbye"
        status, out, err = client.finish()
    assert (status, out) == (0, ""), err
    assert sink.texts == [b"hello\r\n.\r\n"]
    assert sink.ways == [f"ESMTPS (TLSv{version})"]
