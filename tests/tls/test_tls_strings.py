"""The endpoint strings ``tls:`` and ``ssl:``."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from trioproto.endpoints import (
    FDServerEndpoint,
    ServerEndpoint,
    SystemdServerEndpoint,
    TCPServerEndpoint,
    UnixServerEndpoint,
    parse_endpoint,
)
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.endpoints.tls import TLSServerEndpoint
from trioproto.errors import EndpointError


def parsed(text: str) -> TLSServerEndpoint:
    endpoint = parse_endpoint(text)
    assert isinstance(endpoint, TLSServerEndpoint)
    assert str(endpoint) == text
    return endpoint


def certificates_of(text: str) -> Certificates:
    certificates = parsed(text).tls
    assert isinstance(certificates, Certificates)
    assert certificates.text == text
    return certificates


def inner_of(text: str) -> Any:
    inner = parsed(text).inner
    assert isinstance(inner, TCPServerEndpoint)
    return inner


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("tls:443:privateKey=k", [("k", "k", None)]),
        ("tls:443:privateKey=k:certKey=c", [("c", "k", None)]),
        ("ssl:443:privateKey=k:certKey=c", [("c", "k", None)]),
        ("ssl:443:k:c", [("c", "k", None)]),
        ("ssl:port=443:certKey=c:privateKey=k", [("c", "k", None)]),
        ("tls:443:privateKey=k:certKey=c:extraCertChain=e", [("c", "k", "e")]),
        ("tls:443:privateKey=/a\\:b/k:certKey=c=d", [("c=d", "/a:b/k", None)]),
        ("tls:443:privateKey=k,l:certKey=c,d", [("c", "k", None), ("d", "l", None)]),
        ("tls:443:privateKey=k,l", [("k", "k", None), ("l", "l", None)]),
        ("tls:443:privateKey=k,l:extraCertChain=,f", [("k", "k", None), ("l", "l", "f")]),
    ],
)
def test_the_files_are_what_the_string_says(
    text: str, files: list[tuple[str, str, str | None]]
) -> None:
    assert certificates_of(text).files == tuple(CertificateFiles(*each) for each in files)


def test_the_rest_has_good_defaults() -> None:
    certificates = certificates_of("tls:443:privateKey=k")
    assert certificates.client_ca is None
    assert list(certificates.alpn) == []
    assert certificates.minimum_version is ssl.TLSVersion.TLSv1_2
    assert certificates.reload_interval == 5


def test_the_rest_is_what_the_string_says() -> None:
    text = "tls:443:privateKey=k:clientCA=/etc/ca:alpn=h2,http/1.1:minVersion=1.3"
    certificates = certificates_of(text)
    assert certificates.client_ca == "/etc/ca"
    assert list(certificates.alpn) == ["h2", "http/1.1"]
    assert certificates.minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("word", "version"),
    [
        ("1.2", ssl.TLSVersion.TLSv1_2),
        ("TLSv1_2", ssl.TLSVersion.TLSv1_2),
        ("1.3", ssl.TLSVersion.TLSv1_3),
        ("TLSv1_3", ssl.TLSVersion.TLSv1_3),
    ],
)
def test_a_version_has_two_spellings(word: str, version: ssl.TLSVersion) -> None:
    certificates = certificates_of(f"tls:443:privateKey=k:minVersion={word}")
    assert certificates.minimum_version is version


def test_what_belongs_to_the_port_goes_to_it() -> None:
    text = "tls:8443:privateKey=k:interface=\\:\\:1:backlog=5"
    inner = inner_of(text)
    assert (inner.port, inner.interface, inner.backlog) == (8443, "::1", 5)
    assert inner.text == text


@pytest.mark.parametrize("equals", ["=", "\\="])
def test_an_endpoint_may_stand_in_place_of_the_port(equals: str) -> None:
    text = f"tls:tcp\\:8443\\:interface{equals}\\\\\\:\\\\\\:1:privateKey=k"
    inner = inner_of(text)
    assert (inner.port, inner.interface) == (8443, "::1")
    assert inner.text == text


@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        ("unix\\:/run/echo.sock", UnixServerEndpoint),
        ("unix\\:/run/echo.sock\\:mode=660", UnixServerEndpoint),
        ("systemd\\:domain=INET\\:index=0", SystemdServerEndpoint),
        ("fd\\:3", FDServerEndpoint),
    ],
)
def test_any_kind_of_socket_may_have_tls(inner: str, kind: type[ServerEndpoint]) -> None:
    endpoint = parsed(f"tls:{inner}:privateKey=k:certKey=c")
    assert type(endpoint.inner) is kind


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls", "port is missing"),
        ("tls::privateKey=k", "port is missing"),
        ("tls:privateKey=k", "port is missing"),
        ("tls:http:privateKey=k", "'http'"),
        ("tls:65536:privateKey=k", "65536"),
        ("tls:443", "privateKey is missing: give"),
        ("tls:443:privateKey=", "privateKey is empty"),
        ("tls:443:privateKey=k:certKey=", "certKey is empty"),
        ("tls:443:privateKey=k:clientCA=", "clientCA is empty"),
        ("tls:443:privateKey=k:alpn=", "alpn is empty"),
        ("tls:443:privateKey=k:minVersion=", "minVersion is empty"),
        ("tls:443:privateKey=k:minVersion=1.1", "minVersion must be 1.2 or 1.3, not '1.1'"),
        ("tls:443:privateKey=k,l:certKey=c", "privateKey names 2 files, and certKey 1"),
        ("tls:443:privateKey=k:certKey=c,d", "privateKey names 1 files, and certKey 2"),
        ("tls:443:privateKey=k:extraCertChain=c,d", "extraCertChain 2"),
        ("tls:443:privateKey=k,:certKey=c,d", "is empty: take the comma away"),
        ("tls:443:privateKey=k,l:certKey=c,", "is empty: take the comma away"),
        ("tls:443:privatekey=k", "unknown keyword 'privatekey'; known are: port, privateKey"),
        ("ssl:443:privateKey=k:sslmethod=TLSv1_METHOD", "unknown keyword 'sslmethod'"),
        ("tls:443:k:privateKey=k", "privateKey is given twice"),
        ("tls:443:k:c:e", "'e' is one argument too many"),
        ("tls:nosuch\\:1:privateKey=k", "unknown kind 'nosuch'"),
        ("tls:tcp\\:http:privateKey=k", "'http'"),
        ("tls:tcp\\:1:privateKey=k:interface=\\:\\:1", "interface goes into the inner endpoint"),
        ("tls:1:privateKey=k:tcp\\:backlog=1", "unknown keyword 'tcp:backlog'"),
        ("tls:tcp\\:1:privateKey=k:backlog=1", "backlog goes into the inner endpoint"),
    ],
)
def test_a_bad_string_is_a_clear_error(text: str, said: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse_endpoint(text)
    assert caught.value.endpoint == text
    assert repr(text) in str(caught.value)
    assert said in caught.value.problem


async def test_a_bad_protocol_is_a_clear_error_before_anything_is_bound(
    files: CertificateFiles,
) -> None:
    text = f"tls:0:privateKey={files.private_key}:certKey={files.certificate}:alpn=h2,,http/1.1"
    with pytest.raises(EndpointError, match=r"alpn must name protocols.*not ''"):
        await parse_endpoint(text).bind()


async def test_a_missing_file_is_named_with_the_whole_string(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    text = f"tls:0:privateKey={path}"
    with pytest.raises(OSError, match="No such file") as caught:
        await parse_endpoint(text).bind()
    assert repr(text) in str(caught.value)
    assert f"privateKey {os.fspath(path)!r}" in str(caught.value)
