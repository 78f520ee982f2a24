"""Client endpoint strings: what each kind means.

Origin: Twisted's endpoints documentation, "Clients".
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

from trioproto.endpoints.certificate_files import CertificateFiles
from trioproto.endpoints.client import (
    TIMEOUT,
    ClientEndpoint,
    TCPClientEndpoint,
    UnixClientEndpoint,
)
from trioproto.endpoints.client_context import client_context
from trioproto.endpoints.client_tls import MakeContext, TLSClientEndpoint
from trioproto.endpoints.words import Words, split
from trioproto.sansio.errors import EndpointError

_LONGEST_TIMEOUT = 24 * 60 * 60
_OF_TCP = ("timeout", "bindAddress")
_OF_TLS = ("hostname", "trustRoots", "certificate", "privateKey", "alpn", "minVersion")
_OLD_NAMES = {"caCertsDir": "trustRoots", "certKey": "certificate"}
"""What Twisted's ``ssl`` calls what its ``tls`` calls otherwise."""
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def parse_client_endpoint(text: str) -> ClientEndpoint:
    """Make a client endpoint of a string.

    No file is read, and no name looked up.

    Raises:
        EndpointError: the string is none; the message shows where.
    """
    words = split(text)
    kind = words.positional.pop(0) if words.positional else ""
    try:
        parse = _KINDS[kind]
    except KeyError:
        known = ", ".join(sorted(_KINDS))
        raise words.error(f"unknown kind {kind!r} at the start; known are: {known}") from None
    try:
        return parse(words)
    except EndpointError:
        raise
    except ValueError as exc:
        raise words.error(str(exc)) from exc


def _parse_tcp(words: Words) -> TCPClientEndpoint:
    _name_host_and_port(words)
    host = _take_needed(words, "host")
    port = words.take_number("port", 1, 65535)
    if port is None:
        raise words.error("the port is missing: tcp:HOST:PORT")
    timeout = words.take_number("timeout", 1, _LONGEST_TIMEOUT) or TIMEOUT
    bind_address = words.take_text("bindAddress")
    words.check_all_taken("host", "port", *_OF_TCP)
    return TCPClientEndpoint(
        host, port, timeout=timeout, bind_address=bind_address, text=words.text
    )


def _parse_unix(words: Words) -> UnixClientEndpoint:
    words.name_positional("path")
    path = _take_needed(words, "path")
    timeout = words.take_number("timeout", 1, _LONGEST_TIMEOUT) or TIMEOUT
    words.check_all_taken("path", "timeout")
    return UnixClientEndpoint(path, timeout=timeout, text=words.text)


def _parse_tls(words: Words) -> TLSClientEndpoint:
    _rename_old(words)
    _name_host_and_port(words)
    host = _take_needed(words, "host")
    inner = _parse_inner(words, host)
    hostname = words.take_text("hostname") or host
    context = _parse_context(words)
    words.check_all_taken("host", "port", *_OF_TCP, *_OF_TLS, "endpoint")
    return TLSClientEndpoint(inner, hostname, context, text=words.text)


def _rename_old(words: Words) -> None:
    for old, name in _OLD_NAMES.items():
        if old in words.keywords and name in words.keywords:
            raise words.error(f"{name} is given twice, once as {old}")
        if old in words.keywords:
            words.keywords[name] = words.keywords.pop(old)


def _parse_inner(words: Words, host: str) -> ClientEndpoint:
    """Take what is to be connected to: another endpoint, or a port of the host."""
    inner = words.take_text("endpoint")
    if inner is None:
        arguments = {"host": host}
        for name in ("port", *_OF_TCP):
            if name in words.keywords:
                arguments[name] = words.keywords.pop(name)
        return _parse_tcp(Words(words.text, keywords=arguments))
    words.keywords.pop("port", None)  # Twisted wants one, and does not use it either
    for name in _OF_TCP:
        if name in words.keywords:
            raise words.error(f"{name} goes into the inner endpoint, {inner!r}")
    try:
        return parse_client_endpoint(inner)
    except EndpointError as exc:
        raise words.error(f"in the inner endpoint, {inner!r}: {exc.problem}") from exc


def _parse_context(words: Words) -> MakeContext:
    """Take what the handshake needs; no file is read yet."""
    certificate, key = words.take_text("certificate"), words.take_text("privateKey")
    if key is not None and certificate is None:
        raise words.error("there is a privateKey, and no certificate that belongs to it")
    version = words.take_text("minVersion") or "1.2"
    if version not in _VERSIONS:
        raise words.error(f"minVersion must be 1.2 or 1.3, not {version!r}")
    alpn = words.take_text("alpn")
    pair = None if certificate is None else CertificateFiles(certificate, key or certificate)
    return partial(
        client_context,
        trust_roots=words.take_text("trustRoots"),
        certificate=pair,
        alpn=alpn.split(",") if alpn else (),
        minimum_version=_VERSIONS[version],
        text=words.text,
    )


def _name_host_and_port(words: Words) -> None:
    # As with Twisted, one argument beside the keyword ``host`` is the port.
    names = ("port",) if "host" in words.keywords else ("host", "port")
    words.name_positional(*names)


def _take_needed(words: Words, name: str) -> str:
    """Take a keyword that has to be there.

    Raises:
        EndpointError: it is not.
    """
    value = words.take_text(name)
    if value is None:
        raise words.error(f"the {name} is missing")
    return value


_KINDS: dict[str, Callable[[Words], ClientEndpoint]] = {
    "ssl": _parse_tls,
    "tcp": _parse_tcp,
    "tls": _parse_tls,
    "unix": _parse_unix,
}
