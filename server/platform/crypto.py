"""Keys derived from a secret, and what is signed, sealed and hashed with them.

Each purpose has a key of its own, so that what is made for one is worth nothing for another: the
purposes, and the forms below, are those of what is stored and issued, and must not change
(tests/platform/test_crypto.py has examples). The QR token's codec (`server/tickets/qr.py`), the
codes of phones (`server/tickets/rotating_codes.py`), and the signatures of WeChat
(`server/wechat/`) and channels (`server/channels/`), have forms of their own.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
MAC_BYTES = 16


def derive(secret: bytes, purpose: str) -> bytes:
    """The key of 32 bytes for one purpose; `secret` has full entropy, so that one HMAC-SHA-256 of
    the purpose makes a key of it.
    """
    return hmac.digest(secret, purpose.encode(), "sha256")


def digest(content: bytes) -> bytes:
    """SHA-256: what is stored of a secret with full entropy, or stands for a content."""
    return hashlib.sha256(content).digest()


def fingerprint(content: bytes, *, size_bytes: int, key: bytes = b"") -> bytes:
    """BLAKE2b of so many bytes; with a key it tells nothing to those who do not have it."""
    return hashlib.blake2b(content, key=key, digest_size=size_bytes).digest()


def same(one: bytes, other: bytes) -> bool:
    """Whether two secrets or digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


class Signer:
    """Signs for one purpose by HMAC-SHA-256.

    Attributes:
        mac_bytes: the length to which `mac` is cut.
    """

    def __init__(self, secret: bytes, purpose: str, *, mac_bytes: int = MAC_BYTES) -> None:
        self._key = derive(secret, purpose)
        self.mac_bytes = mac_bytes

    def mac(self, content: bytes) -> bytes:
        """What proves that the content is ours."""
        return hmac.digest(self._key, content, "sha256")[: self.mac_bytes]

    def has_signed(self, content: bytes, mac: bytes) -> bool:
        """Whether `mac` is the content's."""
        return same(mac, self.mac(content))

    def token(self, body: bytes, bind: Callable[[bytes], bytes]) -> str:
        """A text of URL-safe Base64 that carries `body`; `bind` makes of a body what is signed, so
        that the token is good there alone where it makes the same again.
        """
        return base64.urlsafe_b64encode(self.mac(bind(body)) + body).decode().rstrip("=")

    def read_token(self, text: str, bind: Callable[[bytes], bytes]) -> bytes | None:
        """The body of a token; None for one that is not ours, or is bound to something else."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[: self.mac_bytes], raw[self.mac_bytes :]
        return body if self.has_signed(bind(body), mac) else None


class Sealer:
    """Encrypts with one key by AES-256-GCM: a nonce of 12 bytes, the ciphertext, its tag."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, bound: bytes | None = None) -> bytes:
        """The content sealed, so that it opens only together with `bound`."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes | None = None) -> bytes:
        """The content again. Raises InvalidTag for another key, another `bound`, or altered
        bytes.
        """
        return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
