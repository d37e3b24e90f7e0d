"""QR tokens as a terminal opens them: by public keys and the AES key, with which none can be made.
Pure.

The form is that of DOMAIN, "QR token"; `server/tickets/qr.py` has the other side.
"""

import base64
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from deeptravel import redemption

from deeptravel_terminal.rotating_codes import SEPARATOR

VERSION, TICKET, ORDER = 1, 1, 2
FLAG_TEST = 1
SIGNATURE_PREFIX = b"deeptravel qr token v1\x00"
_PART_BYTES = (14, 30, 16, 64)
_CLAIMS = struct.Struct(">16sQIBB")


class Claims(NamedTuple):
    """What a genuine token says, and the rotating code that is shown behind it, if one is."""

    jti: bytes
    number: int
    expiry: int  # Unix seconds
    kind: int
    flags: int
    code: str = ""


class TokenError(Exception):
    """Not a token of a key that is known; `unknown_key` is its key's id if the pack has it not."""

    def __init__(self, unknown_key: int | None = None) -> None:
        super().__init__("forged or damaged" if unknown_key is None else "unknown key")
        self.unknown_key = unknown_key


@dataclass(frozen=True)
class OpeningKey:
    """A key of tokens without its signing half."""

    verify_key: Ed25519PublicKey = field(repr=False)
    cipher: AESGCM = field(repr=False)


def keys_of(pack_keys: Iterable[redemption.PackQrKey]) -> dict[int, OpeningKey]:
    """Those of a pack, by key id. Raises ValueError for a key that is none."""
    return {
        each.key_id: OpeningKey(
            Ed25519PublicKey.from_public_bytes(each.verify_key), AESGCM(each.aes_key)
        )
        for each in pack_keys
    }


def opened(text: str, keys: Mapping[int, OpeningKey]) -> Claims:
    """What a token says; its expiry is the caller's. Raises TokenError.

    Args:
        text: in canonical form, as `codes.read` gives it.
        keys: by key id.
    """
    token, _, code = text.partition(SEPARATOR)
    parts = [_decoded(part) for part in token.split(":")]
    if tuple(map(len, parts)) != _PART_BYTES or parts[0][0] != VERSION:
        raise TokenError
    header, encrypted, tag, signature = parts
    key = keys.get(header[1])
    if key is None:
        raise TokenError(header[1])
    signed = SIGNATURE_PREFIX + token.rpartition(":")[0].encode()
    try:
        key.verify_key.verify(signature, signed)
        claims = Claims(*_CLAIMS.unpack(key.cipher.decrypt(header[2:], encrypted + tag, header)))
    except (InvalidSignature, InvalidTag):
        raise TokenError from None
    if claims.kind not in {TICKET, ORDER}:
        raise TokenError
    return claims._replace(code=code)


def _decoded(part: str) -> bytes:
    """Base32 in its one form. Raises TokenError."""
    try:
        content = base64.b32decode(part + "=" * (-len(part) % 8))
    except ValueError:
        raise TokenError from None
    if base64.b32encode(content).rstrip(b"=").decode() != part:
        raise TokenError
    return content
