"""What a refresh token gave, kept for its repeat: sealed under the token's own secret, which only
its owner has.

Neither the database nor the server's key opens it; of the token itself the database has the hash.
"""

from typing import NamedTuple

import orjson

from server.platform.crypto import Sealer, derive


class Successor(NamedTuple):
    """The tokens of one refresh."""

    access_token: str
    refresh_token: str


def seal(refresh_token: str, successor: Successor) -> bytes:
    """What is stored of the tokens that `refresh_token` gave."""
    return _sealer(refresh_token).seal(orjson.dumps(list(successor)))


def unseal(refresh_token: str, sealed: bytes) -> Successor:
    """The tokens again. Raises InvalidTag for another refresh token."""
    return Successor(*orjson.loads(_sealer(refresh_token).open(sealed)))


def _sealer(refresh_token: str) -> Sealer:
    # the token has 256 random bits, so that one hash makes a key of it
    return Sealer(derive(refresh_token.encode(), "deeptravel refresh successor"))
