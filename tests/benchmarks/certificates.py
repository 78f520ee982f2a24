"""The certificate of the TLS servers: made once a run, the same for all of them."""

from __future__ import annotations

import atexit
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def can_be_made() -> bool:
    return find_spec("trustme") is not None


@cache
def pair() -> tuple[Path, Path]:
    """The files of a key (ECDSA, P-256) and its certificate; they go when the run ends."""
    import trustme

    made = trustme.CA().issue_cert("localhost", "127.0.0.1")
    folder = tempfile.TemporaryDirectory(prefix="trioproto-bench-")
    atexit.register(folder.cleanup)
    key, certificate = Path(folder.name, "key.pem"), Path(folder.name, "cert.pem")
    made.private_key_pem.write_to_path(str(key))
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    return key, certificate
