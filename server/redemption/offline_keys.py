"""What is made for terminals without network by keys that are derived from the secret key: what
is signed, of which they know the public half, and what they verify rotating codes by.
"""

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from server.platform.crypto import derive
from server.tickets.rotating_keys import RotatingKeys

PACK = b"deeptravel venue pack v1\x00"
"""Before a chunk of a venue's pack; keeps its signature from passing as that of anything else."""
PUSH = b"deeptravel venue push v1\x00"
"""Likewise, before tickets that are pushed."""
SIGNATURE_BYTES = 64


class OfflineKeys:
    """Signs by Ed25519.

    Attributes:
        verify_key: the public half, 32 bytes.
        rotating: what shares of tickets' secrets are made by.
    """

    def __init__(self, secret_key: bytes) -> None:
        seed = derive(secret_key, "deeptravel terminals without network")
        self.verify_key, self._secret = crypto_sign_seed_keypair(seed)
        self.rotating = RotatingKeys(secret_key)

    def sign(self, purpose: bytes, content: bytes) -> bytes:
        """The signature, 64 bytes, of `purpose` and content."""
        return crypto_sign(purpose + content, self._secret)[:SIGNATURE_BYTES]
