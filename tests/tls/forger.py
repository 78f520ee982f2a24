"""TLS records made by hand: what no well-behaved client would send.

A forger takes over the sending side of a client after its handshake, with the
keys that OpenSSL was asked to log. The client goes on to read.

Origin: RFC 8446 sections 5.2, 7.1 and 7.3; RFC 5246 section 6.3, RFC 5288.
"""

from __future__ import annotations

import hmac
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.tls.client_side import Client, for_client

ALERT, HANDSHAKE, DATA = 21, 22, 23
WARNING, FATAL = 1, 2
CLOSE_NOTIFY, UNEXPECTED_MESSAGE, INTERNAL_ERROR, USER_CANCELED = 0, 10, 80, 90
CLIENT_HELLO, KEY_UPDATE = 1, 24
HASH = "sha384"


def client_that_logs(folder: Path, version: str) -> Client:
    """Make a client whose keys a forger can find in *folder*."""
    context = for_client(version)
    context.keylog_filename = str(folder / "keys")
    return Client(context)


class Forger13:
    """Makes TLS 1.3 records of a client."""

    def __init__(self, folder: Path) -> None:
        self._use(_logged(folder, "CLIENT_TRAFFIC_SECRET_0"))

    def record(self, content: bytes, kind: int = DATA, *, padding: int = 0) -> bytes:
        """Encrypt one record, whatever is in it."""
        inner = content + bytes([kind]) + bytes(padding)
        header = struct.pack("!BHH", DATA, 0x0303, len(inner) + 16)
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + AESGCM(self._key).encrypt(nonce, inner, header)

    def alert(self, description: int, level: int = FATAL) -> bytes:
        return self.record(bytes([level, description]), ALERT)

    def key_update(self, *, asks: bool) -> bytes:
        """Change to new keys; *asks*: the server should do so too."""
        record = self.record(message(KEY_UPDATE, bytes([asks])), HANDSHAKE)
        self._use(_expand(self._secret, b"traffic upd", 48))
        return record

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._key = _expand(secret, b"key", 32)
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
        self._number = 0


class Forger12:
    """Makes TLS 1.2 records of a client (AES-256-GCM)."""

    def __init__(self, folder: Path, client: Client) -> None:
        line = _line(folder, "CLIENT_RANDOM")
        client_random, master = bytes.fromhex(line[1]), bytes.fromhex(line[2])
        server_random = bytes(client.seen[11:43])  # in the ServerHello
        block = _prf(master, b"key expansion" + server_random + client_random, 72)
        self._key, self._salt = block[:32], block[64:68]
        self._number = 1  # the Finished had 0

    def record(self, content: bytes, kind: int = DATA) -> bytes:
        number = self._number.to_bytes(8, "big")
        self._number += 1
        about = number + struct.pack("!BHH", kind, 0x0303, len(content))
        sealed = AESGCM(self._key).encrypt(self._salt + number, content, about)
        return struct.pack("!BHH", kind, 0x0303, 8 + len(sealed)) + number + sealed

    def alert(self, description: int, level: int = FATAL) -> bytes:
        return self.record(bytes([level, description]), ALERT)


def message(kind: int, body: bytes) -> bytes:
    """Make a handshake message."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def _line(folder: Path, label: str) -> list[str]:
    lines = [line.split() for line in (folder / "keys").read_text().splitlines()]
    (found,) = [line for line in lines if line[0] == label]
    return found


def _logged(folder: Path, label: str) -> bytes:
    return bytes.fromhex(_line(folder, label)[2])


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label, of no more bytes than the hash has: its first block."""
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return _hmac(secret, info + b"\1")[:length]


def _prf(secret: bytes, seed: bytes, length: int) -> bytes:
    made, state = b"", seed
    while len(made) < length:
        state = _hmac(secret, state)
        made += _hmac(secret, state + seed)
    return made[:length]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, HASH)
