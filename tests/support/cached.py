"""What costs some hundredths of a second each time it is made, and is always the same: made once.

Only for servers in this process; what they are given is what they would have made.
"""

import functools
import os
from typing import Any

import httpcore2
from cryptography.hazmat.primitives.asymmetric import rsa

from server.identity import credentials
from server.platform.config import Settings
from server.wechat import client, signatures

password_hash = functools.cache(credentials.hash_password)
"""Of an account that a test makes without the server; the same each time."""


def remember() -> None:
    """From now on a key is checked once, a right password verified once (wrong ones each time),
    the list of certificate authorities read once, and settings of the same values made once.
    """
    _remember_settings()
    setattr(  # noqa: B010 - a name of a module, not of ours
        httpcore2, "default_ssl_context", functools.cache(httpcore2.default_ssl_context)
    )
    read = functools.cache(signatures.load_private_key)
    verify_password = credentials.is_password
    right: set[tuple[str, str]] = set()

    def load_private_key(pem: bytes) -> rsa.RSAPrivateKey:
        return read(pem)

    def is_password(password_hash: str, password: str) -> bool:
        if (password_hash, password) in right:
            return True
        if verify_password(password_hash, password):
            right.add((password_hash, password))
            return True
        return False

    for module in (client, signatures):
        setattr(module, "load_private_key", load_private_key)  # noqa: B010 - likewise
    setattr(credentials, "is_password", is_password)  # noqa: B010 - likewise


def _remember_settings() -> None:
    """Unless some come from the environment, or name a file that may be another later."""
    make = Settings.__init__
    made: dict[frozenset[Any], Settings] = {}

    def init(self: Settings, **given: Any) -> None:
        if _is_set() or not all(map(_stays, given.values())):
            make(self, **given)
        elif (values := frozenset((k, type(v), v) for k, v in given.items())) in made:
            for part in Settings.__slots__:
                content = getattr(made[values], part)
                object.__setattr__(self, part, dict(content) if part == "__dict__" else content)
        else:
            make(self, **given)
            made[values] = self

    setattr(Settings, "__init__", init)  # noqa: B010 - likewise


def _is_set() -> bool:
    return any(name.upper().startswith("DEEPTRAVEL_") for name in os.environ)


def _stays(value: object) -> bool:
    return isinstance(value, str | bytes | int | float | None)
