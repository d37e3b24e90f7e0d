"""What a refresh token gave, kept for its repeat: sealed under the token's own secret, which only
its owner has.

Neither the database nor the server's key opens it; of the token itself the database has the hash.
"""

import hmac
import os
from typing import NamedTuple

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Successor(NamedTuple):
    """The tokens of one refresh."""

    access_token: str
    refresh_token: str


def seal(refresh_token: str, successor: Successor) -> bytes:
    """What is stored of the tokens that `refresh_token` gave."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(refresh_token).encrypt(nonce, orjson.dumps(list(successor)), None)


def unseal(refresh_token: str, sealed: bytes) -> Successor:
    """The tokens again. Raises InvalidTag for another refresh token."""
    opened = _cipher(refresh_token).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    return Successor(*orjson.loads(opened))


def _cipher(refresh_token: str) -> AESGCM:
    # the token has 256 random bits, so that one hash makes a key of it
    return AESGCM(hmac.digest(refresh_token.encode(), b"deeptravel refresh successor", "sha256"))
