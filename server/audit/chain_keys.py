"""What seals the audit trail's chain, and signs its checkpoints and segments: keys derived from the
secret key, which the database does not hold.
"""

import base64
from datetime import UTC, datetime
from typing import NamedTuple, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.audit.segments import Segment
from server.audit.trail import seals
from server.platform.crypto import Signer, derive

SEAL_BYTES = 16
LINE_WORD = "deeptravel-audit-checkpoint-1"


class Head(NamedTuple):
    """How long the chain is, the hash at its end, how many checkpoints there are, and when it was
    begun.
    """

    position: int
    chain_hash: bytes
    checkpoints: int
    begin_time: datetime


class Checkpoint(NamedTuple):
    """What was the end of the chain when it was taken; `signature` is of the line without it."""

    checkpoint_number: int
    position: int
    chain_hash: bytes
    create_time: datetime
    signature: bytes = b""

    def unsigned_line(self) -> str:
        """What is signed: a word, number, position, hash in hexadecimal and time."""
        moment = self.create_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return (
            f"{LINE_WORD} {self.checkpoint_number} {self.position} {self.chain_hash.hex()} {moment}"
        )

    def line(self) -> str:
        """One line that an operator can keep elsewhere."""
        return f"{self.unsigned_line()} {base64.b64encode(self.signature).decode()}"

    @classmethod
    def of_line(cls, line: str) -> Self:
        """A checkpoint of its line; its signature is yet to be checked. Raises ValueError."""
        word, number, position, chain_hash, moment, signature = line.split()
        if word != LINE_WORD:
            raise ValueError(f"begins with {word}, not with {LINE_WORD}")
        return cls(
            int(number),
            int(position),
            bytes.fromhex(chain_hash),
            datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC),
            base64.b64decode(signature, validate=True),
        )


SignedT = TypeVar("SignedT", Checkpoint, Segment)
"""What is signed: a line with its signature."""


class ChainKeys:
    """Seals and signs, and knows its own again."""

    def __init__(self, secret_key: bytes) -> None:
        self._events = seals(secret_key)
        self._adopted, self._places, self._heads = (
            Signer(secret_key, f"deeptravel audit {purpose}", mac_bytes=SEAL_BYTES)
            for purpose in ("adopted events", "chain", "head")
        )
        seed = derive(secret_key, "deeptravel audit checkpoints")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_key(self) -> bytes:
        """Of the signatures of checkpoints, 32 bytes."""
        return self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def adopt(self, digest: bytes) -> bytes:
        """The seal of an event that was recorded before there were seals."""
        return self._adopted.mac(digest)

    def is_ours(self, digest: bytes, seal: bytes | None) -> bool:
        """Whether a server, or a command, with this secret key has recorded or adopted an event."""
        return seal is not None and (
            self._events.has_signed(digest, seal) or self._adopted.has_signed(digest, seal)
        )

    def seal_place(self, position: int, chain_hash: bytes) -> bytes:
        """The seal of a place in the chain."""
        return self._places.mac(position.to_bytes(8, "big") + chain_hash)

    def seal_head(self, head: Head) -> bytes:
        """The seal of the chain's head."""
        moment = head.begin_time.astimezone(UTC).isoformat(timespec="microseconds")
        content = f"{head.position} {head.chain_hash.hex()} {head.checkpoints} {moment}"
        return self._heads.mac(content.encode())

    def sign(self, line: SignedT) -> SignedT:
        """The checkpoint or segment, signed."""
        signature = self._private.sign(line.unsigned_line().encode())
        return line._replace(signature=signature)

    def has_signed(self, line: Checkpoint | Segment) -> bool:
        """Whether the signature is ours."""
        return is_signed(line, self._private.public_key())


def is_signed(line: Checkpoint | Segment, public_key: Ed25519PublicKey) -> bool:
    """Whether a line is signed with the key that belongs to the public one."""
    try:
        public_key.verify(line.signature, line.unsigned_line().encode())
    except InvalidSignature:
        return False
    return True
