"""With the fixtures of the pytest plugin."""

from examples.chat import ChatFactory
from trioproto import Factory, Protocol
from trioproto.testing import ServeFactory, peer


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def test_a_line_comes_back(serve_factory: ServeFactory) -> None:
    async with serve_factory(Echo) as server:
        stream = await server.connect()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


async def test_one_who_comes_is_announced(serve_factory: ServeFactory) -> None:
    async with serve_factory(ChatFactory()) as server, peer(await server.connect()) as anna:
        await anna.expect_line(r"What is your name\?")
        await anna.send(b"Anna\n")
        await anna.expect_line("Welcome, Anna!.*")


async def test_it_is_so_over_tcp_too(serve_factory: ServeFactory) -> None:
    async with serve_factory(Factory(Echo), "tcp:0:interface=127.0.0.1") as server:
        stream = await server.connect()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
