"""What is measured of the listeners: TLS, accepting, and forwarding."""

from __future__ import annotations

from .scenario import (
    ASYNCIO,
    LIMIT,
    LINE,
    POLL,
    SERVE_TCP,
    UVLOOP,
    Contender,
    IdleMemory,
    Scenario,
    Target,
    Throughput,
    Visits,
)

SERVE_SSL = "trio serve_ssl_over_tcp"
PORTFORWARD = "examples.portforward"
SOCAT = "socat"
SOCAT_64K = "socat -b 65536"

TLS_SMALL = Scenario(
    "tls_small",
    "64-byte echo over TLS",
    Throughput(LINE),
    (
        Contender(POLL, "on_trioproto", "echo"),
        Contender(UVLOOP, "on_uvloop", "echo"),
        Contender(SERVE_SSL, "on_trio", "echo"),
        Contender(ASYNCIO, "on_asyncio", "echo"),
    ),
    (
        Target(POLL, UVLOOP, 0.95),
        Target(POLL, SERVE_SSL, 3.5),
    ),
    tls=True,
)

TLS_64K = Scenario(
    "tls_64k",
    "64 KiB echo over TLS",
    Throughput(64 * 1024),
    (
        Contender(POLL, "on_trioproto", "echo"),
        Contender(UVLOOP, "on_uvloop", "echo"),
        Contender(SERVE_SSL, "on_trio", "echo"),
        Contender(ASYNCIO, "on_asyncio", "echo"),
    ),
    (Target(POLL, UVLOOP, 0.85),),
    tls=True,
)

TLS_HANDSHAKES = Scenario(
    "tls_handshakes",
    "full TLS handshakes, a line and its answer, close",
    Visits(),
    (
        Contender(POLL, "on_trioproto", "once"),
        Contender(ASYNCIO, "on_asyncio", "once"),
        Contender(UVLOOP, "on_uvloop", "once"),
        Contender(SERVE_SSL, "on_trio", "once"),
    ),
    (
        Target(POLL, ASYNCIO, 0.95),
        # With OpenSSL 3.0 a handshake costs the generator more than most servers: it decodes the
        # certificate anew each time. The ratio above is then nearer to 1 than the servers are.
        Target(POLL, ASYNCIO, 0.95, cpu=True),
    ),
    tls=True,
)

TLS_IDLE = Scenario(
    "tls_idle",
    "memory of an idle TLS connection",
    IdleMemory(),
    (
        Contender(POLL, "on_trioproto", "echo-many"),
        Contender(ASYNCIO, "on_asyncio", "echo"),
        Contender(UVLOOP, "on_uvloop", "echo"),
        Contender(SERVE_SSL, "on_trio", "echo"),
    ),
    (Target(POLL, ASYNCIO, 1.0),),
    tls=True,
)

ACCEPT = Scenario(
    "accept",
    "connections: accept, a line and its answer, close",
    Visits(),
    (
        Contender(POLL, "on_trioproto", "once"),
        Contender(SERVE_TCP, "on_trio", "once"),
        Contender(UVLOOP, "on_uvloop", "once"),
        Contender(ASYNCIO, "on_asyncio", "once"),
        Contender(LIMIT, "limit", "once"),
    ),
    (Target(POLL, SERVE_TCP, 1.2),),
)

FORWARD_64K = Scenario(
    "forward_64k",
    "64 KiB echo through a port forwarder",
    Throughput(64 * 1024),
    (
        Contender(PORTFORWARD, "forwarders", "trioproto"),
        Contender(SOCAT, "forwarders", "socat"),
        Contender(SOCAT_64K, "forwarders", "socat-64k"),
    ),
    (
        Target(PORTFORWARD, SOCAT, 0.5),
        # Its own buffer is 8 KiB; with one that holds a chunk it is at its best.
        Target(PORTFORWARD, SOCAT_64K, 0.5),
    ),
    forwarded=True,
    programs=("socat",),
)

LISTENER_SCENARIOS = (
    TLS_SMALL, TLS_64K, TLS_HANDSHAKES, TLS_IDLE, ACCEPT, FORWARD_64K,
)  # fmt: skip
