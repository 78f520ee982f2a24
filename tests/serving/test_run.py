"""``run``: signals, exit status and what is printed."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.serving.conversations import LOOPBACK, Greeter
from tests.tls.client_side import Client, for_client
from trioproto import Factory, run
from trioproto.errors import EndpointError, ListenError

SERVER = """
    import trio, trioproto

    class Polite(trioproto.Protocol):
        def data_received(self, data):
            self.transport.write(data)

    class Holds(Polite):
        def quiesce(self):
            print("quiescing", flush=True)

    class Counts(trioproto.Factory):
        def start_factory(self):
            print("started", flush=True)
        def stop_factory(self):
            print("stopped", flush=True)

    def over_tls():
        from tests.serving import test_drain_reports
        return test_drain_reports.over_tls()

    class Lingers(trioproto.Factory):
        def start_factory(self):
            print("started", flush=True)
        async def stop_factory(self):
            print("stopping", flush=True)
            with trio.CancelScope(shield=True):
                await trio.sleep(0.2)
            print("stopped", flush=True)

    print("returned", trioproto.run({factory}({protocol}), {endpoints}))
"""


class Running:
    """A server in a process of its own, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdout = process.stdout
        self.stderr = process.stderr

    def says(self, expected: str) -> str:
        line = self.stdout.readline().rstrip("\n")
        assert line.startswith(expected), line + self.stderr.read()
        return line

    def says_both(self, *expected: str) -> None:
        """In either order: the tasks that say so run side by side."""
        assert {self.stdout.readline().rstrip("\n") for _ in expected} == set(expected)

    def connect(self, line: str) -> socket.socket:
        prefix, _, port = line.rpartition(":")
        assert prefix == "listening on tcp:127.0.0.1"
        client = socket.create_connection(("127.0.0.1", int(port)), timeout=20)
        client.sendall(b"hi")
        assert client.recv(2) == b"hi"
        return client

    def ends(self) -> tuple[int, str, str]:
        out, err = self.stdout.read(), self.stderr.read()
        return self.process.wait(timeout=20), out, err


@contextmanager
def server(
    protocol: str = "Polite", endpoints: str = repr(LOOPBACK), factory: str = "Counts"
) -> Iterator[Running]:
    code = textwrap.dedent(SERVER).replace("{protocol}", protocol).replace("{factory}", factory)
    process = subprocess.Popen(
        [sys.executable, "-c", code.replace("{endpoints}", endpoints)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield Running(process)
    finally:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_drains_and_the_status_is_zero(number: int) -> None:
    with server() as running:
        running.says("started")
        with running.connect(running.says("listening on")) as client:
            running.process.send_signal(number)
            assert client.recv(10) == b""
        running.says("draining: 1 connection left")
        running.says("drained: 1 finished, 0 cancelled, 0 aborted")
        assert running.ends() == (0, "stopped\nreturned None\n", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_cancels_and_the_status_says_so(number: int, status: int) -> None:
    with server("Holds") as running:
        running.says("started")
        with running.connect(running.says("listening on")) as client:
            running.process.send_signal(signal.SIGTERM)
            running.says_both("draining: 1 connection left", "quiescing")
            running.process.send_signal(number)
            with pytest.raises(ConnectionResetError):
                client.recv(10)
        assert running.ends() == (status, "stopped\n", "")


@pytest.mark.parametrize(("second", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_while_it_cancels_change_nothing(second: int, status: int) -> None:
    with server("Holds", factory="Lingers") as running:
        running.says("started")
        with running.connect(running.says("listening on")):
            running.process.send_signal(signal.SIGTERM)
            running.says_both("draining: 1 connection left", "quiescing")
            running.process.send_signal(second)
            running.says("stopping")
            for further in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                running.process.send_signal(further)
        assert running.ends() == (status, "stopped\n", "")


def test_every_second_it_says_how_many_connections_are_left() -> None:
    with server("Holds", f"{LOOPBACK!r}, grace=1.5, force=0") as running:
        running.says("started")
        address = running.says("listening on")
        with running.connect(address) as first, running.connect(address):
            running.process.send_signal(signal.SIGINT)
            said = sorted(running.says("") for _ in range(3))
            assert said == ["draining: 2 connections left", "quiescing", "quiescing"]
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.close()  # which resets it: reading is paused, but that is noticed
            running.says("draining: 1 connection left")
            running.says("drained: 1 finished, 0 cancelled, 1 aborted")


def test_who_is_on_its_way_in_is_among_those_who_are_left() -> None:
    """Who stops in mid-handshake holds the drain up, though no protocol has met it yet."""
    with server(endpoints="over_tls()") as running:
        running.says("started")
        port = int(running.says("listening on").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(Client(for_client("TLSv1.3")).output())
            assert client.recv(1)  # the server has answered, and waits
            running.process.send_signal(signal.SIGTERM)
            running.says("draining: 1 connection left")


def test_a_reader_of_its_output_that_has_gone_does_not_disturb_a_drain() -> None:
    with server() as running:
        running.says("started")
        with running.connect(running.says("listening on")) as client:
            running.stdout.close()
            running.process.send_signal(signal.SIGTERM)
            assert client.recv(10) == b""
        running.process.wait(timeout=20)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_starts_ends_it(number: int, status: int) -> None:
    code = """
        import trio, trioproto

        class Slow(trioproto.Factory):
            async def start_factory(self):
                print("starting", flush=True)
                await trio.sleep_forever()
            def stop_factory(self):
                print("stopped", flush=True)

        trioproto.run(Slow(trioproto.Protocol), "tcp:0:interface=127.0.0.1")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            running = Running(process)
            running.says("starting")
            process.send_signal(number)
            assert running.ends() == (status, "", "")
        finally:
            process.kill()


def test_each_bound_address_is_printed_on_its_own_line() -> None:
    endpoints = f"{LOOPBACK!r}, {LOOPBACK!r}, 'tcp6:0:interface=\\\\:\\\\:1'"
    with server(endpoints=endpoints) as running:
        running.says("started")
        running.says("listening on tcp:127.0.0.1:")
        running.says("listening on tcp:127.0.0.1:")
        running.says("listening on tcp:[::1]:")
        running.process.send_signal(signal.SIGTERM)
        assert running.ends() == (0, "stopped\nreturned None\n", "")


def test_grace_and_force_are_taken() -> None:
    with server("Holds", f"{LOOPBACK!r}, grace=0, force=0") as running:
        running.says("started")
        with running.connect(running.says("listening on")):
            running.process.send_signal(signal.SIGINT)
            running.says_both("draining: 1 connection left", "quiescing")
            running.says("drained: 0 finished, 0 cancelled, 1 aborted")
            assert running.says("aborted: tcp:127.0.0.1:").endswith(", __main__.Holds")
            status, out, err = running.ends()
        assert (status, out, err) == (0, "stopped\nreturned None\n", "")


def test_a_bad_string_comes_as_itself() -> None:
    with pytest.raises(EndpointError):
        run(Factory(Greeter), "nosuch:1")


def test_a_port_in_use_comes_as_itself() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        with pytest.raises(ListenError):
            run(Factory(Greeter), endpoint)


def test_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(EndpointError):
        run(Factory(Greeter), "nosuch:1")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
