"""Accept every mail, and deliver none.

Each is told of in one line; or, with --save, kept in a file of its own. With a
certificate clients may begin TLS in mid-connection (STARTTLS).
"""

import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import trio

from examples import _smtp_mail as smtp
from examples._options import options, run
from examples._smtp_mail import Mail, Refused
from trioproto import Factory
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.framing import LineReceiver

MAX_SIZE = 10 * 1024 * 1024  # bytes
Later: TypeAlias = Coroutine[Any, Any, None] | None

# What may come in each state; all other commands may come at any time.
IN_ORDER = {"MAIL", "RCPT", "DATA", "STARTTLS"}
ALLOWED = {
    "connected": set[str](),
    "greeted": {"MAIL", "STARTTLS"},
    "sender": {"RCPT", "STARTTLS"},
    "recipients": {"RCPT", "DATA", "STARTTLS"},
}


class SMTP(LineReceiver):
    factory: "SinkFactory"
    max_length = smtp.LINE_LENGTH + 1  # a line of a mail, and the dot before it
    on_too_long = "discard"
    state = "connected"  # a key of ALLOWED; or "text", when each line belongs to the mail
    protocol = client = ""
    mail: Mail | None = None
    leaving = False  # whether the server drains

    def connection_made(self) -> None:
        self.reply(220, f"{self.factory.host} ESMTP")

    def line_received(self, line: bytes) -> Later:
        if self.state == "text":
            return self.text_received(line)
        try:
            self.obey(line)
        except Refused as refusal:
            self.send_line(str(refusal).encode())
        self.leave_between_mails()
        return None

    def line_length_exceeded(self, line: bytes) -> None:
        if self.mail is not None and self.state == "text":
            self.mail.refuse_long_line()
        else:
            self.reply(500, "the line is too long")

    def reply(self, code: int, *lines: str) -> None:
        for line in lines[:-1]:
            self.send_line(f"{code}-{line}".encode())
        self.send_line(f"{code} {lines[-1]}".encode())

    # Commands

    def obey(self, line: bytes) -> None:
        if len(line) > smtp.COMMAND_LENGTH:
            raise Refused("500 the line is too long")
        text = line.decode("latin-1").rstrip(" ")
        if not (text.isascii() and text.isprintable()):
            raise Refused("501 only printable ASCII here")
        name, _, argument = text.partition(" ")
        command = getattr(self, f"command_{name.lower()}", None)
        if command is None:
            raise Refused("500 there is no such command")
        if name.upper() in IN_ORDER - ALLOWED[self.state]:
            raise Refused("503 not now: a mail is EHLO, MAIL, RCPT, DATA")
        command(argument)

    def command_helo(self, argument: str) -> None:
        self.greet("SMTP", argument)
        self.reply(250, self.factory.host)

    def command_ehlo(self, argument: str) -> None:
        self.greet("ESMTP", argument)
        starttls = ["STARTTLS"] if self.factory.certificates and not self.transport.tls else []
        size = f"SIZE {self.factory.max_size}"
        self.reply(250, self.factory.host, "PIPELINING", "8BITMIME", size, *starttls, "HELP")

    def greet(self, protocol: str, argument: str) -> None:
        self.protocol, self.client = protocol, smtp.client_name(argument)
        self.forget_mail()

    def command_mail(self, argument: str) -> None:
        self.mail = Mail(smtp.sender(argument, self.factory.max_size), self.factory.max_size)
        self.state = "sender"
        self.reply(250, "sender accepted")

    def command_rcpt(self, argument: str) -> None:
        assert self.mail is not None
        self.mail.add_recipient(smtp.recipient(argument))
        self.state = "recipients"
        self.reply(250, "recipient accepted")

    def command_data(self, argument: str) -> None:
        smtp.nothing(argument)
        self.state = "text"
        self.reply(354, "end with a dot on a line of its own")

    def command_rset(self, argument: str) -> None:
        smtp.nothing(argument)
        if self.mail is not None:
            self.forget_mail()
        self.reply(250, "forgotten")

    def command_noop(self, _argument: str) -> None:
        self.reply(250, "nothing done")

    def command_help(self, _argument: str) -> None:
        self.reply(214, "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY STARTTLS HELP QUIT")

    def command_vrfy(self, argument: str) -> None:
        if not argument:
            raise Refused("501 whom?")
        self.reply(252, "every mail is accepted, for anybody")

    def command_quit(self, argument: str) -> None:
        smtp.nothing(argument)
        self.reply(221, "goodbye")
        self.transport.close()

    def command_starttls(self, argument: str) -> None:
        smtp.nothing(argument)
        if self.transport.tls:
            raise Refused("503 TLS is on already")
        if self.factory.certificates is None:
            raise Refused("502 there is no TLS here")
        self.reply(220, "begin")
        # RFC 3207: whatever was said in plain counts no more, not even the client's name.
        self.forget_mail()
        self.state = "connected"
        self.transport.start_tls(self.factory.certificates)

    def forget_mail(self) -> None:
        self.mail = None
        self.state = "greeted"

    # The mail's text

    def text_received(self, line: bytes) -> Later:
        assert self.mail is not None
        if line == b".":
            return self.mail_received(self.mail)
        self.mail.add_line(line)
        return None

    async def mail_received(self, mail: Mail) -> None:
        """Keep the mail; what comes meanwhile waits, so the answers stay in order."""
        self.forget_mail()
        if mail.refusal is None:
            try:
                await self.factory.keep(mail, self)
            except OSError as error:
                print(f"a mail could not be kept: {error}", file=sys.stderr)
                mail.refuse("451 the mail could not be kept, try later")
        self.send_line((mail.refusal or "250 the mail is accepted").encode())
        self.leave_between_mails()

    # Ends

    def timed_out(self) -> Later:
        self.reply(421, "you were silent for too long")
        return super().timed_out()

    def quiesce(self) -> None:
        """Let a mail that was begun be finished; nobody loses what was half sent."""
        self.leaving = True
        self.transport.resume_reading()
        self.leave_between_mails()

    def leave_between_mails(self) -> None:
        if self.leaving and self.mail is None:
            self.reply(421, "this server is being stopped, try later")
            super().quiesce()


class SinkFactory(Factory):
    protocol = SMTP
    idle_timeout = 300  # RFC 5321, section 4.5.3.2.7
    max_connections = 100  # each may hold a mail of `max_size` in memory

    def __init__(
        self,
        *,
        max_size: int = MAX_SIZE,
        folder: Path | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.max_size = max_size
        self.folder = folder
        self.certificates = certificates
        self.host = socket.gethostname()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Find the first file's number; load the certificates, and again when they change."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.numbers = count(smtp.next_number(self.folder))
        if self.certificates is not None:
            self.certificates.load()
        async with trio.open_nursery() as nursery:
            if self.certificates is not None:
                nursery.start_soon(self.certificates.keep_fresh)
            yield
            nursery.cancel_scope.cancel()

    async def keep(self, mail: Mail, session: SMTP) -> None:
        tls = session.transport.tls.version if session.transport.tls else None
        if self.folder is None:
            print(mail.summary(tls), flush=True)
            return
        file = self.folder / f"{next(self.numbers):06}.eml"
        header = mail.header(session.client, self.host, session.protocol, tls)
        await trio.to_thread.run_sync(smtp.write, file, header, mail.text)


def main() -> None:
    parser = options("smtp_sink", __doc__)
    parser.add_argument("--save", metavar="DIR", type=Path, help="keep each mail in a file here")
    parser.add_argument("--certificate", metavar="FILE", help="for STARTTLS, in PEM form")
    parser.add_argument("--private-key", metavar="FILE", help="if it is not in the same file")
    parser.add_argument("--max-size", metavar="BYTES", type=int, default=MAX_SIZE, help="of a mail")
    args = parser.parse_args()
    if args.max_size < 1:
        parser.error("--max-size must be at least 1")
    if args.private_key and not args.certificate:
        parser.error("--private-key needs --certificate")
    certificates = None
    if args.certificate:
        files = CertificateFiles(args.certificate, args.private_key or args.certificate)
        certificates = Certificates([files], text=f"--certificate={args.certificate}")
    run(SinkFactory(max_size=args.max_size, folder=args.save, certificates=certificates), args)


if __name__ == "__main__":
    main()
