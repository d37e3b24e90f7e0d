"""Who travels: names and documents, kept encrypted with the order, compared by keyed hashes,
shown masked.
"""

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.orders import documents

PET = "PET"
_NONCE_BYTES = 12
_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Passenger:
    """Somebody who travels; the document's type and number are empty where none is needed."""

    name: str
    customer_type: str
    document_type: str = ""
    document_number: str = ""

    @property
    def document_masked(self) -> str:
        """The number as answers show it."""
        return documents.mask(self.document_number)


@dataclass(frozen=True, slots=True)
class PassengerParty:
    """Who travels, and a telephone number to reach them in the form E.164, empty if none was
    said.
    """

    passengers: list[Passenger]
    contact_phone: str = ""


class PassengerSeals:
    """Seals the passengers of orders (`orders.passengers_sealed`: nonce, then AES-256-GCM bound
    to the order's id).
    """

    def __init__(self, secret_key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(secret_key, b"deeptravel passengers", "sha256"))
        self._hash_key = hmac.digest(secret_key, b"deeptravel travel documents", "sha256")

    def seal(
        self, order_id: int, passengers: Sequence[Passenger], *, contact_phone: str = ""
    ) -> bytes:
        """The passengers as they are stored with this order, and how to reach them."""
        nonce = os.urandom(_NONCE_BYTES)
        content: Any = [
            [p.name, p.customer_type, p.document_type, p.document_number] for p in passengers
        ]
        if contact_phone:
            content = {"passengers": content, "contact_phone": contact_phone}
        plain = orjson.dumps(content)
        return nonce + self._cipher.encrypt(nonce, plain, order_id.to_bytes(8, "big"))

    def open(self, order_id: int, sealed: bytes) -> list[Passenger]:
        """The passengers of this order. Raises as `open_party`."""
        return self.open_party(order_id, sealed).passengers

    def open_party(self, order_id: int, sealed: bytes) -> PassengerParty:
        """The passengers of this order, and how to reach them.

        Raises InvalidTag for what is not, or was not sealed with our key.
        """
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        plain = self._cipher.decrypt(nonce, encrypted, order_id.to_bytes(8, "big"))
        content = orjson.loads(plain)
        contact_phone = ""
        if isinstance(content, dict):
            content, contact_phone = content["passengers"], content["contact_phone"]
        return PassengerParty([Passenger(*fields) for fields in content], contact_phone)

    def document_hash(self, passenger: Passenger) -> bytes:
        """What stands for the document in `document_journeys`: 16 bytes that tell nothing
        without our key.
        """
        document = documents.identity(passenger.document_type, passenger.document_number)
        hashed = blake2b("\0".join(document).encode(), key=self._hash_key, digest_size=_HASH_BYTES)
        return hashed.digest()
