"""Who travels: names and documents, kept encrypted with the order, compared by keyed hashes,
shown masked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from server.orders import documents
from server.platform.crypto import Sealer, derive, fingerprint

PET = "PET"
_HASH_BYTES = 16


class Passenger(NamedTuple):
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
        self._sealer = Sealer(derive(secret_key, "deeptravel passengers"))
        self._hash_key = derive(secret_key, "deeptravel travel documents")
        self._audit_key = derive(secret_key, "deeptravel audited searches")

    def seal(
        self, order_id: int, passengers: Sequence[Passenger], *, contact_phone: str = ""
    ) -> bytes:
        """The passengers as they are stored with this order, and how to reach them."""
        content: Any = [
            [p.name, p.customer_type, p.document_type, p.document_number] for p in passengers
        ]
        if contact_phone:
            content = {"passengers": content, "contact_phone": contact_phone}
        return self._sealer.seal(orjson.dumps(content), order_id.to_bytes(8, "big"))

    def open(self, order_id: int, sealed: bytes) -> list[Passenger]:
        """The passengers of this order. Raises as `open_party`."""
        return self.open_party(order_id, sealed).passengers

    def open_party(self, order_id: int, sealed: bytes) -> PassengerParty:
        """The passengers of this order, and how to reach them.

        Raises InvalidTag for what is not, or was not sealed with our key.
        """
        content = orjson.loads(self._sealer.open(sealed, order_id.to_bytes(8, "big")))
        contact_phone = ""
        if isinstance(content, dict):
            content, contact_phone = content["passengers"], content["contact_phone"]
        return PassengerParty([Passenger(*fields) for fields in content], contact_phone)

    def document_hash(self, passenger: Passenger) -> bytes:
        """What stands for the document in `document_journeys`: 16 bytes that tell nothing
        without our key.
        """
        document = documents.identity(passenger.document_type, passenger.document_number)
        content = "\0".join(document).encode()
        return fingerprint(content, size_bytes=_HASH_BYTES, key=self._hash_key)

    def fingerprint(self, searched: str) -> str:
        """What stands in the audit trail for what was searched for: the same for the same."""
        return fingerprint(searched.encode(), size_bytes=_HASH_BYTES, key=self._audit_key).hex()
