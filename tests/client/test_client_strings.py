"""Client endpoint strings: Twisted's grammar, and errors that say what to do."""

from __future__ import annotations

from typing import Any

import pytest

import trioproto
from trioproto import Protocol
from trioproto.endpoints import (
    TCPClientEndpoint,
    TLSClientEndpoint,
    UnixClientEndpoint,
    parse_client_endpoint,
)
from trioproto.errors import EndpointError
from trioproto.testing.conformance.recorder import never

TCP = [
    ("tcp:localhost:80", "localhost", 80, 30, None),
    ("tcp:host=localhost:port=80", "localhost", 80, 30, None),
    ("tcp:80:host=localhost", "localhost", 80, 30, None),
    ("tcp:localhost:port=80", "localhost", 80, 30, None),
    ("tcp:\\:\\:1:8007", "::1", 8007, 30, None),
    ("tcp:127.0.0.1:65535:timeout=5:bindAddress=127.0.0.2", "127.0.0.1", 65535, 5, "127.0.0.2"),
    ("tcp:port=1:bindAddress=\\:\\:1:host=\\:\\:1", "::1", 1, 30, "::1"),
]


@pytest.mark.parametrize(("text", "host", "port", "timeout", "bind_address"), TCP)
def test_a_tcp_string_names_host_and_port(
    text: str, host: str, port: int, timeout: int, bind_address: str | None
) -> None:
    """By their place or by keywords, as Twisted has it."""
    endpoint = parse_client_endpoint(text)
    assert isinstance(endpoint, TCPClientEndpoint)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert (endpoint.timeout, endpoint.bind_address) == (timeout, bind_address)
    assert endpoint.text == str(endpoint) == text


@pytest.mark.parametrize(
    ("text", "path", "timeout"),
    [
        ("unix:/run/echo.sock", "/run/echo.sock", 30),
        ("unix:path=echo.sock:timeout=1", "echo.sock", 1),
        ("unix:@name", "@name", 30),
        ("unix:/odd\\:name", "/odd:name", 30),
    ],
)
def test_a_unix_string_names_a_path(text: str, path: str, timeout: int) -> None:
    endpoint = parse_client_endpoint(text)
    assert isinstance(endpoint, UnixClientEndpoint)
    assert (endpoint.path, endpoint.timeout, endpoint.text) == (path, timeout, text)


@pytest.mark.parametrize(
    ("text", "host", "port", "hostname"),
    [
        ("tls:example.org:443", "example.org", 443, "example.org"),
        ("ssl:example.org:443", "example.org", 443, "example.org"),
        ("tls:127.0.0.1:443:hostname=example.org", "127.0.0.1", 443, "example.org"),
        ("tls:example.org:443:alpn=h2,http/1.1:minVersion=1.3", "example.org", 443, "example.org"),
        ("tls:example.org:443:endpoint=tcp\\:127.0.0.1\\:80", "127.0.0.1", 80, "example.org"),
        ("tls:example.org:endpoint=tcp\\:127.0.0.1\\:80", "127.0.0.1", 80, "example.org"),
    ],
)
def test_a_tls_string_names_what_is_verified(
    text: str, host: str, port: int, hostname: str
) -> None:
    """The host itself, by default; ``endpoint`` says where else to connect, as in Twisted."""
    endpoint = parse_client_endpoint(text)
    assert isinstance(endpoint, TLSClientEndpoint)
    inner = endpoint.inner
    assert isinstance(inner, TCPClientEndpoint)
    assert (inner.host, inner.port) == (host, port)
    assert (endpoint.hostname, endpoint.text) == (hostname, text)


def test_the_timeout_of_a_tls_string_is_for_connecting() -> None:
    endpoint = parse_client_endpoint("tls:example.org:443:timeout=7:bindAddress=127.0.0.2")
    assert isinstance(endpoint, TLSClientEndpoint)
    inner = endpoint.inner
    assert isinstance(inner, TCPClientEndpoint)
    assert (inner.timeout, inner.bind_address) == (7, "127.0.0.2")


LONG = "x" * 108
TLS_OVER_TLS = "tls:a:endpoint=tls\\:b\\:443"
BAD = [
    ("", "unknown kind ''"),
    ("nosuch:1", "unknown kind 'nosuch' at the start; known are: ssl, tcp, tls, unix"),
    ("tcp6:localhost:1", "unknown kind 'tcp6'"),
    ("tcp", "the host is missing"),
    ("tcp:", "the host is missing"),
    ("tcp::80", "host is empty"),
    ("tcp:8007", "the port is missing: tcp:HOST:PORT"),
    ("tcp:localhost", "the port is missing"),
    ("tcp:host=localhost", "the port is missing"),
    ("tcp:localhost:http", "port must be a number from 1 to 65535, not 'http'"),
    ("tcp:localhost:0", "port must be a number from 1 to 65535, not '0'"),
    ("tcp:localhost:65536", "'65536'"),
    ("tcp:localhost:1:2", "'2' is one argument too many"),
    ("tcp:a:1:host=b", "one argument too many"),
    ("tcp:a:1:port=2", "port is given twice"),
    ("tcp:a:1:timeout=0", "timeout must be a number from 1"),
    ("tcp:a:1:timeout=1.5", "'1.5'"),
    ("tcp:a:1:bindAddress=", "bindAddress is empty: give it a value, or take it away"),
    ("tcp:a:1:interface=b", "unknown keyword 'interface'; known are: host, port, timeout"),
    ("tcp:a\0:1", "neither a name nor an address"),
    ("tcp:a:1\\", "backslash"),
    ("unix", "the path is missing"),
    ("unix:", "the path is missing"),
    ("unix:@", "the path is empty"),
    (f"unix:{LONG}", "the path has 108 bytes, a Unix socket's at most 107"),
    (f"unix:@{LONG}", "109 bytes"),
    ("unix:a\0b", "zero byte"),
    ("unix:a:b", "'b' is one argument too many"),
    ("unix:a:mode=600", "unknown keyword 'mode'; known are: path, timeout"),
    ("tls", "the host is missing"),
    ("tls:example.org", "the port is missing"),
    ("tls:a:443:privateKey=k", "there is a privateKey, and no certificate"),
    ("tls:a:443:certificate=", "certificate is empty"),
    ("tls:a:443:minVersion=1.1", "minVersion must be 1.2 or 1.3, not '1.1'"),
    ("tls:a:443:hostname=", "hostname is empty"),
    ("tls:a:443:certKey=/x:certificate=/y", "certificate is given twice, once as certKey"),
    ("ssl:a:443:caCertsDir=/x:trustRoots=/y", "trustRoots is given twice, once as caCertsDir"),
    ("tls:a:443:nosuch=1", "unknown keyword 'nosuch'; known are: host, port, timeout"),
    ("tls:a:endpoint=tcp\\:b", "in the inner endpoint, 'tcp:b': the port is missing"),
    ("tls:a:timeout=1:endpoint=unix\\:b", "timeout goes into the inner endpoint, 'unix:b'"),
    (TLS_OVER_TLS, "has TLS itself"),
]


@pytest.mark.parametrize(("text", "shown"), BAD)
def test_a_bad_string_is_a_clear_error(text: str, shown: str) -> None:
    """It names the whole string, and what is wrong with it."""
    with pytest.raises(EndpointError) as caught:
        parse_client_endpoint(text)
    assert caught.value.endpoint == text
    assert repr(text) in str(caught.value)
    assert shown in caught.value.problem


async def test_a_bad_string_is_found_before_anything_is_tried() -> None:
    """By the context managers too; nothing has been built then."""
    for manager in (
        trioproto.connect("tcp:8007", Protocol()),
        trioproto.stay_connected(trioproto.Factory(never), "tcp:8007"),
    ):
        with pytest.raises(EndpointError):
            await manager.__aenter__()


@pytest.mark.parametrize("given", [8007, None, b"tcp:localhost:1", object()])
async def test_what_is_no_endpoint_is_a_type_error(given: Any) -> None:
    with pytest.raises(TypeError, match="no client endpoint"):
        async with trioproto.connect(given, Protocol()):
            raise AssertionError


def test_a_host_of_an_endpoint_object_can_be_read_back() -> None:
    """Its text is the string that it might have been made of."""
    for endpoint in (TCPClientEndpoint("::1", 80), UnixClientEndpoint("/a:b=c\\d")):
        again = parse_client_endpoint(endpoint.text)
        assert vars(again) == vars(endpoint)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range_is_a_value_error(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        TCPClientEndpoint("localhost", port)
