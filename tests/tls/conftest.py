"""Authorities that the tests' certificates come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.tls.handshakes import write
from trioproto.endpoints.certificates import CertificateFiles


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def leaf(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("www.example.org")


@pytest.fixture
def files(leaf: trustme.LeafCert, tmp_path: Path) -> CertificateFiles:
    return write(tmp_path, "www", leaf)
