"""What rotating codes are derived from, which only the server knows."""

import struct
from uuid import UUID

from server.platform.crypto import Signer
from server.tickets.rotating_codes import PACK_JTI_BYTES, SHARE_BYTES, secret_of

_NUMBER = struct.Struct(">Q")


class RotatingKeys:
    """Derives the secrets of all tickets, so that none is stored."""

    def __init__(self, secret_key: bytes) -> None:
        self._signer = Signer(secret_key, "deeptravel rotating codes", mac_bytes=SHARE_BYTES)

    def share(self, number: int, jti_begin: bytes) -> bytes:
        """What a terminal has of a ticket, by the first half of its jti."""
        return self._signer.mac(_NUMBER.pack(number) + jti_begin)

    def secret(self, number: int, jti: UUID) -> bytes:
        """What the traveller's phone has."""
        return secret_of(self.share(number, jti.bytes[:PACK_JTI_BYTES]), jti)
