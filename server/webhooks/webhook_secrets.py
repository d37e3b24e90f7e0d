"""Secrets of webhooks: made here, kept encrypted, two of them live while one takes the other's
place.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from server.platform.crypto import Sealer, derive
from server.webhooks.signatures import SECRET_BYTES


class StoredSecrets(NamedTuple):
    """A secret, and the one before it while that is still good, as tables have them."""

    encrypted: bytes
    encrypted_previous: bytes | None
    previous_expire_time: datetime | None


class WebhookSecrets:
    """Makes and opens secrets. Each is bound to what it belongs to, so that one in another row
    opens nothing.
    """

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel webhook secrets"))

    def new(self, owner: str) -> tuple[bytes, bytes]:
        """A new secret, and how it is stored."""
        secret = os.urandom(SECRET_BYTES)
        return secret, self._sealer.seal(secret, owner.encode())

    def live(self, stored: StoredSecrets, owner: str, now: datetime) -> Sequence[bytes]:
        """Those that are good now, the newest first."""
        live = [self._sealer.open(stored.encrypted, owner.encode())]
        expire_time = stored.previous_expire_time
        if stored.encrypted_previous and expire_time and now < expire_time:
            live.append(self._sealer.open(stored.encrypted_previous, owner.encode()))
        return live
