"""Who gets which certificate and protocol, and who gets nothing."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.layers.hellos import first_flight
from tests.tls.handshakes import (
    LONG_AGO,
    ROUNDS,
    begin,
    loaded,
    problem_of,
    shake,
    trusting,
    write,
)
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.errors import EndpointError, HandshakeFailed
from trioproto.layers.tls import TLSLayer


class TestOneOfSeveralCertificates:
    """Is chosen by the name that the client asks for."""

    @pytest.fixture
    def several(self, ca: trustme.CA, tmp_path: Path) -> Certificates:
        names = [
            ("a.example.org", "b.example.org"),
            ("*.Wild.example.org", "wild.example.org"),
            ("a.example.org", "bücher.example.org", "192.0.2.1", "2001:db8::1"),
        ]
        leaves = [ca.issue_cert(*each) for each in names]
        leaves.append(ca.issue_cert(common_name="common.example.org"))
        leaves.append(ca.issue_cert("alternative.example.org", common_name="ignored.example.org"))
        return loaded(*(write(tmp_path, str(n), leaf) for n, leaf in enumerate(leaves)))

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("a.example.org", "b.example.org"),
            ("b.example.org", "b.example.org"),
            ("B.EXAMPLE.Org", "b.example.org"),
            ("b.example.org.", "b.example.org"),
            ("x.wild.example.org", "wild.example.org"),
            ("X.WILD.EXAMPLE.ORG", "wild.example.org"),
            ("wild.example.org", "wild.example.org"),
            ("xn--bcher-kva.example.org", "192.0.2.1"),
            ("alternative.example.org", "alternative.example.org"),
            (None, "b.example.org"),
        ],
    )
    def test_that_has_the_name(
        self, several: Certificates, ca: trustme.CA, name: str | None, shown: str
    ) -> None:
        pair = shake(several, trusting(ca), name)
        assert pair.talk() == b"hello, you"
        assert shown in pair.names
        assert pair.seen.server_name == name

    def test_that_has_a_common_name_only(self, several: Certificates, ca: trustme.CA) -> None:
        pair = shake(several, trusting(ca), "common.example.org")
        assert pair.names == set()
        assert pair.talk() == b"hello, you"

    @pytest.mark.parametrize(
        "name",
        [
            "unknown.example.org",
            "x.y.wild.example.org",
            "xwild.example.org",
            "example.org",
            "org",
            "ignored.example.org",
        ],
    )
    def test_that_has_no_such_name_is_refused_with_an_alert(
        self, several: Certificates, ca: trustme.CA, name: str
    ) -> None:
        pair = shake(several, trusting(ca), name)
        assert pair.server_error is not None
        assert "UNRECOGNIZED_NAME" in str(pair.client_error)
        assert "no certificate for the name" in str(pair.server_error)

    @pytest.mark.parametrize("odd", [b"\xff.example.org", b"\xc3\xbc.example.org", b"a\0b.c.d.org"])
    def test_is_not_asked_for_by_a_name_that_is_none(
        self, several: Certificates, odd: bytes
    ) -> None:
        """CPython would print a traceback, had it to tell a callback of such a name."""
        flight = first_flight("x" * len(odd)).replace(b"x" * len(odd), odd)
        layer = TLSLayer(several, server_side=True)
        with pytest.raises(HandshakeFailed, match="no certificate for the name"):
            layer.receive(flight)
        assert layer.output() == b"\x15\x03\x03\x00\x02\x02\x70"

    def test_is_chosen_though_the_clients_first_flight_comes_byte_by_byte(
        self, several: Certificates, ca: trustme.CA
    ) -> None:
        pair = begin(several, trusting(ca), "wild.example.org")
        pair.go_on_in_pieces(1)
        for _ in range(ROUNDS):
            pair.go_on()
        assert "wild.example.org" in pair.names

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_takes_up_no_session_of_another(
        self, several: Certificates, ca: trustme.CA, version: ssl.TLSVersion
    ) -> None:
        client = trusting(ca)
        client.maximum_version = version
        first = shake(several, client, "wild.example.org")
        first.talk()
        session = first.client.session
        assert session is not None
        again = shake(several, client, "wild.example.org", session)
        assert again.seen.resumed
        other = shake(several, client, "b.example.org", session)
        assert not other.seen.resumed
        assert other.seen.server_name == "b.example.org"
        assert "b.example.org" in other.names
        unknown = shake(several, client, "unknown.example.org", session)
        assert "UNRECOGNIZED_NAME" in str(unknown.client_error)

    def test_must_have_a_name(
        self, ca: trustme.CA, files: CertificateFiles, tmp_path: Path
    ) -> None:
        nameless = write(tmp_path, "nameless", ca.issue_cert("someone@example.org"))
        said = problem_of(EndpointError, files, nameless)
        assert f"certKey {os.fspath(nameless.certificate)!r} has no name" in said
        assert "subjectAltName" in said
        loaded(nameless)

    def test_alone_answers_to_every_name(self, files: CertificateFiles, ca: trustme.CA) -> None:
        certificates = loaded(files)
        for name in ("www.example.org", "whatever.example.org", None):
            pair = shake(certificates, trusting(ca), name)
            assert pair.names == {"www.example.org"}
            assert pair.seen.server_name == name

    def test_alone_answers_to_what_is_no_name_too(self, files: CertificateFiles) -> None:
        layer = TLSLayer(loaded(files), server_side=True)
        layer.receive(first_flight("xx.example.org").replace(b"xx.", b"\xc3\xbc."))
        assert len(layer.output()) > 500  # its certificate among it

    def test_may_have_expired(
        self, files: CertificateFiles, ca: trustme.CA, tmp_path: Path
    ) -> None:
        old = write(tmp_path, "old", ca.issue_cert("old.example.org", not_after=LONG_AGO))
        client = trusting(ca)
        pair = shake(loaded(files, old), client, "old.example.org")
        assert isinstance(pair.client_error, ssl.SSLCertVerificationError)
        assert "expired" in pair.client_error.verify_message

    def test_is_served_with_the_rules_of_all(
        self, ca: trustme.CA, files: CertificateFiles, tmp_path: Path
    ) -> None:
        clients = tmp_path / "clients.pem"
        ca.cert_pem.write_to_path(clients)
        other = write(tmp_path, "other", ca.issue_cert("other.example.org"))
        certificates = loaded(files, other, client_ca=clients, alpn=("h2",))
        client = trusting(ca)
        client.set_alpn_protocols(["h2"])
        assert shake(certificates, client, "other.example.org").server_error is not None
        ca.issue_cert("client@example.org").configure_cert(client)
        pair = shake(certificates, client, "other.example.org")
        assert pair.names == {"other.example.org"}
        assert pair.client.selected_alpn_protocol() == "h2"
        assert pair.seen.peer_certificate
        assert pair.talk() == b"hello, you"


class TestTheApplicationProtocol:
    def test_is_the_servers_preferred_one(self, files: CertificateFiles, ca: trustme.CA) -> None:
        client = trusting(ca)
        client.set_alpn_protocols(["http/1.1", "h2"])
        pair = shake(loaded(files, alpn=("h2", "http/1.1")), client)
        assert pair.client.selected_alpn_protocol() == "h2"
        assert pair.seen.alpn == "h2"

    @pytest.mark.parametrize("offered", [[], ["spdy/3"]])
    def test_is_none_if_there_is_none_in_common(
        self, files: CertificateFiles, ca: trustme.CA, offered: list[str]
    ) -> None:
        client = trusting(ca)
        if offered:
            client.set_alpn_protocols(offered)
        pair = shake(loaded(files, alpn=("h2",)), client)
        assert pair.seen.alpn is None
        assert pair.talk() == b"hello, you"

    @pytest.mark.parametrize("name", ["", "x" * 256, "grün"])
    def test_must_have_a_possible_name(self, files: CertificateFiles, name: str) -> None:
        said = problem_of(EndpointError, files, alpn=("h2", name))
        assert "alpn" in said
        assert repr(name) in said

    def test_must_not_be_a_bare_string(self, files: CertificateFiles) -> None:
        with pytest.raises(TypeError, match="'h2'"):
            loaded(files, alpn="h2")


class TestTheMinimumVersion:
    @pytest.mark.parametrize(
        ("minimum", "maximum", "content"),
        [
            (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, True),
            (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2, False),
        ],
    )
    def test_is_kept(
        self,
        files: CertificateFiles,
        ca: trustme.CA,
        minimum: ssl.TLSVersion,
        maximum: ssl.TLSVersion,
        content: bool,
    ) -> None:
        client = trusting(ca)
        client.maximum_version = maximum
        pair = shake(loaded(files, minimum_version=minimum), client)
        assert (pair.server_error is None) is content
        if not content:
            assert "PROTOCOL_VERSION" in str(pair.client_error)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.MINIMUM_SUPPORTED])
    def test_is_not_below_1_2(self, files: CertificateFiles, version: ssl.TLSVersion) -> None:
        said = problem_of(EndpointError, files, minimum_version=version)
        assert "minVersion must be 1.2 or 1.3" in said


class TestAClientsCertificate:
    @pytest.fixture
    def withdrawn(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture(params=["a file", "a folder"])
    def certificates(
        self,
        request: pytest.FixtureRequest,
        files: CertificateFiles,
        ca: trustme.CA,
        tmp_path: Path,
        withdrawn: trustme.CA,
    ) -> Certificates:
        place = tmp_path / "clients"
        place.mkdir()
        ca.cert_pem.write_to_path(place / "ca.crt")
        trustme.CA().cert_pem.write_to_path(place / "another.pem")
        withdrawn.cert_pem.write_to_path(place / "withdrawn.pem.bak")
        (place / "README.pem").write_text("certificates of our clients' authorities")
        (place / "folder.pem").mkdir()
        where = place / "ca.crt" if request.param == "a file" else place
        return loaded(files, client_ca=where)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_is_verified(
        self, certificates: Certificates, ca: trustme.CA, version: ssl.TLSVersion
    ) -> None:
        client = trusting(ca)
        client.maximum_version = version
        ca.issue_cert("client@example.org").configure_cert(client)
        pair = shake(certificates, client)
        seen: Any = pair.seen.peer_certificate
        assert seen["subjectAltName"] == (("email", "client@example.org"),)
        assert pair.talk() == b"hello, you"

    def test_is_required(self, certificates: Certificates, ca: trustme.CA) -> None:
        pair = shake(certificates, trusting(ca))
        assert pair.server_error is not None
        assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in str(pair.server_error)

    def test_of_another_authority_is_refused(
        self, certificates: Certificates, ca: trustme.CA
    ) -> None:
        client = trusting(ca)
        trustme.CA().issue_cert("client@example.org").configure_cert(client)
        assert isinstance(shake(certificates, client).server_error, ssl.SSLCertVerificationError)

    def test_of_an_authority_in_a_backup_file_is_refused(
        self, certificates: Certificates, ca: trustme.CA, withdrawn: trustme.CA
    ) -> None:
        client = trusting(ca)
        withdrawn.issue_cert("client@example.org").configure_cert(client)
        assert isinstance(shake(certificates, client).server_error, ssl.SSLCertVerificationError)

    def test_that_has_expired_is_refused(self, certificates: Certificates, ca: trustme.CA) -> None:
        client = trusting(ca)
        ca.issue_cert("client@example.org", not_after=LONG_AGO).configure_cert(client)
        error = shake(certificates, client).server_error
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert "expired" in error.verify_message
