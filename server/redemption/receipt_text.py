"""The text of a redemption receipt: what it says, its place in its ticket's chain, and how it is
signed and verified. Pure; to be made again, in any language, by what docs/guides/receipts.md says.

Everything is in the text: lines of a name, a colon, a space and a value, in the order of the
fields of `Receipt`, each ended by a line feed, in UTF-8. The last line is the signature of all
before it. What was once a receipt must verify for ever: another form gets another first line.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.platform.crypto import digest

FORM = "deeptravel-redemption-receipt-1"
CHAIN_PREFIX = b"deeptravel redemption chain 1\0"
FIRST_HASH = bytes(32)
"""Before the first event of a ticket."""
NONE = "-"
MOST_CHARACTERS = 4096
_LINE = re.compile(r"([a-z_]+): ([^\n]+)")
_SIGNATURE_LINE = "signature: "


class BadReceiptError(Exception):
    """A text is no receipt, or is not as it was signed; says which line is at fault, if one is."""


class ReceiptEvent(NamedTuple):
    """A redemption (SUCCESS), or the taking back of one (REVERSED), as the chain has it: who, what,
    when and where; `reverses` is the id of what it took back.
    """

    result: str
    redemption_id: str
    ticket_code: str
    function_code: str
    quantity: int
    occurred_time: datetime
    merchant_code: str
    venue_code: str
    terminal_device_id: str
    operator: str
    reverses: str = ""

    def hash_after(self, before: bytes, position: int) -> bytes:
        """The chain's hash at this event."""
        place = position.to_bytes(8, "big")
        return digest(CHAIN_PREFIX + before + place + digest(_lines(self._asdict()).encode()))


class ChainPlace(NamedTuple):
    """Where an event stands among those of its ticket, from 1, and the chain's hash before and at
    it.
    """

    position: int
    hash_before: bytes
    hash: bytes


class Receipt(NamedTuple):
    """What a receipt says, beside the key that signs it: until `issue_time` the redemption was not
    taken back, or was at `reversed_time`.
    """

    event: ReceiptEvent
    place: ChainPlace
    issue_time: datetime
    reversed_time: datetime | None
    reversal_id: str

    def signed(self, key_id: str, key: Ed25519PrivateKey) -> str:
        """Its text."""
        unsigned = f"{FORM}\n" + _lines(
            {
                "key_id": key_id,
                **self.event._asdict(),
                "chain_position": self.place.position,
                "chain_hash_before": self.place.hash_before.hex(),
                "chain_hash": self.place.hash.hex(),
                "issue_time": self.issue_time,
                "reversed_time": self.reversed_time,
                "reversal_id": self.reversal_id,
            }
        )
        signature = base64.b64encode(key.sign(unsigned.encode())).decode()
        return f"{unsigned}{_SIGNATURE_LINE}{signature}\n"


FIELDS = (
    "key_id",
    *ReceiptEvent._fields,
    "chain_position",
    "chain_hash_before",
    "chain_hash",
    "issue_time",
    "reversed_time",
    "reversal_id",
)


def chain(events: Iterable[ReceiptEvent]) -> list[ChainPlace]:
    """The places of a ticket's events, which are all of them, in the order they were recorded."""
    places, before = [], FIRST_HASH
    for position, event in enumerate(events, start=1):
        after = event.hash_after(before, position)
        places.append(ChainPlace(position, before, after))
        before = after
    return places


def verify(text: str, public_key: Ed25519PublicKey) -> Mapping[str, str]:
    """The fields of a receipt that is as it was signed. Raises BadReceiptError."""
    if len(text) > MOST_CHARACTERS:
        raise BadReceiptError(f"a receipt has no more than {MOST_CHARACTERS} characters")
    unsigned, found, signature = text.rpartition(_SIGNATURE_LINE)
    try:
        # as it stands, so that no other text passes for the same receipt
        raw = base64.b64decode(signature.removesuffix("\n"), validate=True)
        if not found or f"{base64.b64encode(raw).decode()}\n" != signature:
            raise ValueError
    except ValueError:
        raise BadReceiptError("the last line has to be `signature: ` and Base64") from None
    try:
        public_key.verify(raw, unsigned.encode())
    except InvalidSignature:
        raise BadReceiptError("the signature is not that of this text by this key") from None
    fields = _fields(unsigned)
    event = _lines({name: fields[name] for name in ReceiptEvent._fields}).encode()
    place = int(fields["chain_position"]).to_bytes(8, "big")
    before = bytes.fromhex(fields["chain_hash_before"])
    if digest(CHAIN_PREFIX + before + place + digest(event)).hex() != fields["chain_hash"]:
        raise BadReceiptError("chain_hash is not that of the lines above it")
    return fields


def _fields(unsigned: str) -> dict[str, str]:
    form, *lines = unsigned.removesuffix("\n").split("\n")
    if form != FORM:
        raise BadReceiptError(f"the first line is not {FORM}")
    found = [_LINE.fullmatch(line) for line in lines]
    names = tuple(match[1] if match else "" for match in found)
    if names != FIELDS:
        raise BadReceiptError(f"the lines are not {', '.join(FIELDS)}")
    return {match[1]: match[2] for match in found if match}


def _lines(fields: Mapping[str, object]) -> str:
    return "".join(f"{name}: {_written(value)}\n" for name, value in fields.items())


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if value is None or value == "":
        return NONE
    return str(value)
