"""Verifies redemption receipts by a public key alone: no server, no network, nobody to be trusted.

    python -m deeptravel.receipts receipt.txt key.pem

Needs the package `cryptography` (`pip install 'deeptravel[receipts]'`). The form of a receipt, and
what one proves, stand in the platform's guide to receipts. This file needs nothing else of the
package, and may be copied out of it.
"""

import base64
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

__all__ = ["FIELDS", "ReceiptError", "verify"]

FORM = "deeptravel-redemption-receipt-1"
FIELDS = (
    *("key_id", "result", "redemption_id", "ticket_code", "function_code", "quantity"),
    *("occurred_time", "merchant_code", "venue_code", "terminal_device_id", "operator", "reverses"),
    *("chain_position", "chain_hash_before", "chain_hash"),
    *("issue_time", "reversed_time", "reversal_id"),
)
"""The lines of a receipt between the first and the signature, in their order."""
MOST_BYTES = 4096
GENUINE, NOT_GENUINE, NOT_READ = 0, 1, 2
"""Exit codes of the command."""
_CHAIN_PREFIX = b"deeptravel redemption chain 1\0"
_LINE = re.compile(r"([a-z_]+): ([^\n]+)")
_SIGNATURE = b"signature: "


class ReceiptError(Exception):
    """The text is no receipt, or not as it was signed; the text says what is wrong."""


def verify(receipt: bytes, public_key_pem: bytes) -> Mapping[str, str]:
    """What a genuine receipt says, by the names of `FIELDS`; `-` is a value that there is not.

    Args:
        receipt: byte for byte as it was given.
        public_key_pem: of GetReceiptKeys; the one that its `key_id` names.

    Raises:
        ReceiptError: it is not genuine.
        ValueError: `public_key_pem` is no Ed25519 key.
    """
    key = load_pem_public_key(public_key_pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the key is no Ed25519 key")
    if len(receipt) > MOST_BYTES:
        raise ReceiptError(f"a receipt has no more than {MOST_BYTES} bytes")
    signed, found, last = receipt.rpartition(_SIGNATURE)
    try:
        signature = base64.b64decode(last.removesuffix(b"\n"), validate=True)
        # as it stands, so that no other text passes for the same receipt
        if not found or base64.b64encode(signature) + b"\n" != last:
            raise ValueError
    except ValueError:
        raise ReceiptError("the last line has to be `signature: ` and Base64") from None
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        raise ReceiptError("the signature is not that of this text by this key") from None
    fields = _fields(signed)
    if _chain_hash(fields) != fields["chain_hash"]:
        raise ReceiptError("chain_hash is not that of the lines above it")
    return fields


def _fields(signed: bytes) -> dict[str, str]:
    form, *lines = signed.decode().removesuffix("\n").split("\n")
    if form != FORM:
        raise ReceiptError(f"the first line is not {FORM}")
    found = [match for match in map(_LINE.fullmatch, lines) if match]
    if len(found) != len(lines) or tuple(match[1] for match in found) != FIELDS:
        raise ReceiptError(f"the lines are not {', '.join(FIELDS)}")
    return {match[1]: match[2] for match in found}


def _chain_hash(fields: Mapping[str, str]) -> str:
    """As the receipt's event, place and what was before it make it."""
    names = FIELDS[FIELDS.index("result") : FIELDS.index("chain_position")]
    event = "".join(f"{name}: {fields[name]}\n" for name in names).encode()
    place = int(fields["chain_position"]).to_bytes(8, "big")
    before = bytes.fromhex(fields["chain_hash_before"])
    linked = _CHAIN_PREFIX + before + place + hashlib.sha256(event).digest()
    return hashlib.sha256(linked).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: says what a genuine receipt says, or what is wrong; its exit code."""
    named = sys.argv[1:] if arguments is None else arguments
    if len(named) != 2:
        print("usage: python -m deeptravel.receipts RECEIPT KEY.PEM", file=sys.stderr)
        return NOT_READ
    try:
        receipt, pem = (Path(name).read_bytes() for name in named)
        fields = verify(receipt, pem)
    except ReceiptError as error:
        print(f"not genuine: {error}", file=sys.stderr)
        return NOT_GENUINE
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return NOT_READ
    for name, value in fields.items():
        print(f"{name}: {value}")
    return GENUINE


if __name__ == "__main__":
    sys.exit(main())
