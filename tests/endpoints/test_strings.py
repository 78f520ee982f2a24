"""Endpoint strings: what each kind means, and what is wrong with a bad one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trioproto.endpoints import (
    FDServerEndpoint,
    ProxyServerEndpoint,
    ServerEndpoint,
    StdioServerEndpoint,
    SystemdServerEndpoint,
    TCPServerEndpoint,
    UnixServerEndpoint,
    parse_endpoint,
)
from trioproto.errors import EndpointError
from trioproto.layers.networks import parse_networks

LONG = "/" + 106 * "x"

GOOD: list[tuple[str, type[ServerEndpoint], dict[str, Any]]] = [
    ("tcp:8007", TCPServerEndpoint, {"port": 8007, "interface": "", "reuse_port": False}),
    ("tcp:8007:reuse_port=yes", TCPServerEndpoint, {"reuse_port": True, "ipv6": False}),
    ("tcp:8007:reuse_port=no", TCPServerEndpoint, {"reuse_port": False}),
    ("tcp:8007:127.0.0.1:5", TCPServerEndpoint, {"interface": "127.0.0.1", "backlog": 5}),
    ("tcp6:8007:reuse_port=yes", TCPServerEndpoint, {"reuse_port": True, "ipv6": True}),
    ("unix:/run/x", UnixServerEndpoint, {"path": "/run/x", "mode": 0o600, "backlog": None}),
    ("unix:x y", UnixServerEndpoint, {"path": "x y"}),
    (r"unix:a\:b", UnixServerEndpoint, {"path": "a:b"}),
    ("unix:path=x", UnixServerEndpoint, {"path": "x"}),
    ("unix:x:mode=660:backlog=7", UnixServerEndpoint, {"mode": 0o660, "backlog": 7}),
    ("unix:x:660:7", UnixServerEndpoint, {"mode": 0o660, "backlog": 7}),
    ("unix:x:mode=0", UnixServerEndpoint, {"mode": 0}),
    ("unix:x:mode=0777", UnixServerEndpoint, {"mode": 0o777}),
    ("unix:@x", UnixServerEndpoint, {"path": "@x", "abstract": True}),
    ("unix:./@x", UnixServerEndpoint, {"path": "./@x", "abstract": False}),
    ("unix:@a@b/c:backlog=7", UnixServerEndpoint, {"path": "@a@b/c", "backlog": 7}),
    (f"unix:{LONG}", UnixServerEndpoint, {"path": LONG}),
    (f"unix:@{LONG}", UnixServerEndpoint, {"path": "@" + LONG}),
    ("systemd:domain=INET:index=0", SystemdServerEndpoint, {"domain": "INET", "index": 0}),
    ("systemd:INET6:3", SystemdServerEndpoint, {"domain": "INET6", "index": 3, "name": None}),
    ("systemd:UNIX:name=a b", SystemdServerEndpoint, {"name": "a b", "index": None}),
    ("systemd:name=web", SystemdServerEndpoint, {"name": "web", "domain": None}),
    ("systemd:index=1", SystemdServerEndpoint, {"index": 1, "domain": None}),
    ("fd:0", FDServerEndpoint, {"fd": 0}),
    ("fd:fd=12", FDServerEndpoint, {"fd": 12}),
    ("stdio:", StdioServerEndpoint, {}),
    ("stdio", StdioServerEndpoint, {}),
    (
        "haproxy:trusted=10.0.0.0/8:tcp:8007",
        ProxyServerEndpoint,
        {"trusted": parse_networks("10.0.0.0/8")},
    ),
    (
        r"haproxy:trusted=10.0.0.0/8,\:\:1:tcp:8007",
        ProxyServerEndpoint,
        {"trusted": parse_networks("10.0.0.0/8,::1")},
    ),
    (
        r"haproxy:trusted=10.0.0.0/8,\:\:1:tcp\:8007",
        ProxyServerEndpoint,
        {"trusted": parse_networks("10.0.0.0/8,::1")},
    ),
]


@pytest.mark.parametrize(("text", "kind", "attributes"), GOOD, ids=[each[0] for each in GOOD])
def test_a_good_string_makes_what_it_says(
    text: str, kind: type[ServerEndpoint], attributes: dict[str, Any]
) -> None:
    endpoint = parse_endpoint(text)
    assert type(endpoint) is kind
    assert endpoint.text == str(endpoint) == text
    assert {name: getattr(endpoint, name) for name in attributes} == attributes


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        (r"haproxy:trusted=\:\:1:tcp6:8007:interface=\:\:1", r"tcp6:8007:interface=\:\:1"),
        (r"haproxy:trusted=\:\:1:tcp6\:8007\:interface\=\\\:\\\:1", r"tcp6:8007:interface=\:\:1"),
        ("haproxy:trusted=127.0.0.1:unix:/run/x:mode=666", "unix:/run/x:mode=666"),
        ("haproxy:trusted=127.0.0.1:fd:3", "fd:3"),
    ],
)
def test_the_endpoint_inside_of_another_is_as_if_alone(text: str, inner: str) -> None:
    endpoint = parse_endpoint(text)
    assert isinstance(endpoint, ProxyServerEndpoint)
    assert vars(endpoint.inner) == vars(parse_endpoint(inner))


BAD: list[tuple[str, list[str]]] = [
    # What the message has to name: the field, and what would be right.
    ("", ["''", "known are"]),
    ("nosuch:1", ["'nosuch'", "haproxy", "stdio", "tls", "unix"]),
    ("tcp", ["port", "tcp:8007"]),
    ("tcp:", ["port", "tcp:8007"]),
    ("tcp:0:reuse_port=maybe", ["reuse_port", "yes or no", "'maybe'"]),
    ("tcp:0:reuse_port=", ["reuse_port", "yes or no"]),
    ("tcp:0:reuse_port=yes:reuse_port=yes", ["reuse_port", "again", "take one away"]),
    ("tcp:0:mode=600", ["'mode'", "known are", "reuse_port"]),
    ("tcp:0:a:1:x", ["'x'", "too many"]),
    ("tcp:0:port=0", ["port", "twice"]),
    ("tcp:0:interface=::1", ["''", r"\:"]),
    ("tcp:0:backlog=0", ["backlog", "from 1"]),
    ("unix", ["path", "unix:/run"]),
    ("unix:", ["path", "unix:/run"]),
    ("unix:path=", ["path", "empty"]),
    ("unix:@", ["path", "empty"]),
    ("unix:a\0b", ["path", "zero"]),
    ("unix:x:mode=888", ["mode", "octal", "777", "'888'"]),
    ("unix:x:mode=1777", ["mode", "777", "'1777'"]),
    ("unix:x:mode=0o600", ["mode", "octal"]),
    ("unix:x:mode=-1", ["mode", "octal"]),
    ("unix:x:mode=rw", ["mode", "octal"]),
    ("unix:x:mode=", ["mode", "empty"]),
    ("unix:x:mode=6\u06600", ["mode", "octal"]),
    ("unix:x:mode=600\n", ["mode", "octal"]),
    ("unix:x:mode=600:mode=600", ["mode", "again"]),
    ("unix:x:600:mode=600", ["mode", "twice"]),
    ("unix:x:backlog=-1", ["backlog", "from 1"]),
    ("unix:x:lockfile=0", ["'lockfile'", "known are", "path, mode, backlog"]),
    ("unix:@x:mode=600", ["mode", "abstract", "take it away"]),
    (f"unix:{LONG}x", ["path", "108 bytes", "107", "shorter"]),
    (f"unix:@{LONG}x", ["path", "108 bytes", "107"]),
    ("unix:" + 54 * "ä", ["path", "108 bytes", "107"]),
    ("systemd", ["index", "name"]),
    ("systemd:", ["index", "name"]),
    ("systemd:domain=INET", ["index", "name"]),
    ("systemd:INET:0:name=x", ["index", "name"]),
    ("systemd:domain=inet:index=0", ["domain", "INET, INET6, UNIX", "'inet'"]),
    ("systemd:domain=:index=0", ["domain", "empty"]),
    ("systemd:index=-1", ["index", "from 0", "'-1'"]),
    ("systemd:name=", ["name", "empty"]),
    ("systemd:fd=3", ["'fd'", "known are"]),
    ("fd", ["descriptor", "fd:3"]),
    ("fd:", ["descriptor", "fd:3"]),
    ("fd:x", ["fd must be a number", "'x'"]),
    ("fd:-1", ["fd", "from 0"]),
    ("fd:99999999999", ["fd", "2147483647"]),
    ("fd:3:4", ["'4'", "too many"]),
    ("fd:3:x=4", ["'x'", "unknown"]),
    ("stdio:x", ["'x'", "too many"]),
    ("stdio:x=1", ["'x'", "unknown"]),
    ("stdio::", ["''", "too many"]),
    ("haproxy", ["trusted", "anybody could claim", "haproxy:trusted="]),
    ("haproxy:", ["trusted", "anybody could claim"]),
    ("haproxy:tcp:8007", ["trusted", "haproxy:trusted=10.0.0.0/8:tcp:8007"]),
    (r"haproxy:tcp\:8007", ["trusted", "haproxy:trusted=10.0.0.0/8:tcp:8007"]),
    ("haproxy:tcp:8007:trusted=10.0.0.0/8", ["trusted", "haproxy:trusted="]),
    ("haproxy:trusted=10.0.0.0/8", ["behind trusted", "tcp:8007"]),
    ("haproxy:trusted=10.0.0.0/8:", ["behind trusted", "tcp:8007"]),
    ("haproxy:trusted=:tcp:8007", ["trusted", "''"]),
    ("haproxy:trusted=10.0.0.0/33:tcp:8007", ["trusted", "'10.0.0.0/33'"]),
    ("haproxy:trusted=10.0.0.1/8:tcp:8007", ["trusted", "'10.0.0.1/8'"]),
    ("haproxy:trusted=::1:tcp:8007", ["trusted", r"\:"]),
    ("haproxy:trusted=fe80::/10:tcp:8007", ["trusted", "'fe80'", r"\:"]),
    ("haproxy:trusted=1.1.1.1,:tcp:8007", ["trusted", "''"]),
    ("haproxy:trusted=1.1.1.1:trusted=1.1.1.1:tcp:8007", ["'trusted' again"]),
    ("haproxy:trust=1.1.1.1:tcp:8007", ["'trust'", "known are", "trusted"]),
    ("haproxy:trusted=1.1.1.1:tcp:x", ["'tcp:x'", "port", "'x'"]),
    ("haproxy:trusted=1.1.1.1:nosuch:1", ["'nosuch:1'", "known are"]),
    ("haproxy:trusted=1.1.1.1:tcp:0\\", ["backslash"]),
    (r"haproxy:trusted=1.1.1.1:tcp\:0\\", ["inside", "backslash"]),
]


@pytest.mark.parametrize(("text", "named"), BAD, ids=[repr(each[0])[:60] for each in BAD])
def test_a_bad_string_is_told_with_its_field_and_what_would_be_right(
    text: str, named: list[str]
) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    assert caught.value.endpoint == text
    assert str(caught.value) == f"endpoint {text!r}: {caught.value.problem}"
    for each in named:
        assert each in caught.value.problem


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TCPServerEndpoint(0, "::1"), r"tcp:0:interface=\:\:1"),
        (lambda: TCPServerEndpoint(0, ipv6=True), "tcp6:0:interface="),
        (lambda: UnixServerEndpoint("/run/a:b"), r"unix:/run/a\:b"),
        (lambda: UnixServerEndpoint(Path("/run/x")), "unix:/run/x"),
        (lambda: SystemdServerEndpoint(index=0), "systemd:index=0"),
        (
            lambda: SystemdServerEndpoint(name="a:b", domain="UNIX"),
            r"systemd:domain=UNIX:name=a\:b",
        ),
        (lambda: FDServerEndpoint(3), "fd:3"),
        (StdioServerEndpoint, "stdio:"),
        (
            lambda: ProxyServerEndpoint(TCPServerEndpoint(0, "::1"), parse_networks("::1,1.1.1.1")),
            r"haproxy:trusted=\:\:1/128,1.1.1.1/32:tcp:0:interface=\:\:1",
        ),
    ],
)
def test_what_a_class_makes_has_a_text_that_makes_it_again(
    make: Callable[[], ServerEndpoint], text: str
) -> None:
    endpoint = make()
    assert endpoint.text == text
    assert type(parse_endpoint(text)) is type(endpoint)
    assert parse_endpoint(text).text == text


@pytest.mark.parametrize(
    "make",
    [
        lambda: TCPServerEndpoint(65536),
        lambda: UnixServerEndpoint(""),
        lambda: UnixServerEndpoint("x", mode=0o1777),
        lambda: UnixServerEndpoint("x", mode=-1),
        lambda: FDServerEndpoint(-1),
        SystemdServerEndpoint,
        lambda: SystemdServerEndpoint(index=-1),
        lambda: SystemdServerEndpoint(index=0, name="x"),
        lambda: SystemdServerEndpoint(index=0, domain="VSOCK"),
        lambda: ProxyServerEndpoint(TCPServerEndpoint(0), []),
    ],
)
def test_a_class_refuses_what_cannot_be(make: Callable[[], ServerEndpoint]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()
