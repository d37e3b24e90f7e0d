"""API keys, tokens, session codes and passwords: how they are made, read and compared.

Keys and tokens are `<kind>_<id>_<secret>`: the id finds the row, the secret has 256 bits, so that
its SHA-256 is all that is stored. Base32 in lower case keeps them in one piece under a double
click.
"""

import asyncio
import base64
import re
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.identity.hashing_queue import OURS, HashingQueue, Share
from server.platform.crypto import digest

T = TypeVar("T")

SECRET_BYTES = 32
KEY_ID_BYTES = 6
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter that is read as a digit or as another."""

TEST_KEY_PREFIX = "dtk_test_"
"""Of keys of test mode, so that whoever sees one knows; others begin with `dtk_` and a digit or
letter of the id.
"""
_API_KEY = re.compile(r"dtk_(test_)?([0-9a-z]{4,32})_([a-z2-7]{52})")
_TOKEN = re.compile(r"dt([ar])_([0-9a-f]{32})_([a-z2-7]{52})")

# OWASP's second recommendation for Argon2id: 19 MiB, 2 passes, one thread; about 30 ms
ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_PASSES = 2
HASHING_THREADS = 1
"""Passwords hashed at once in a process: a flood of log-ins takes this much CPU and 19 MiB of
each, not more.
"""

_hasher = PasswordHasher(
    time_cost=ARGON2_PASSES, memory_cost=ARGON2_MEMORY_KIB, parallelism=1, salt_len=16, hash_len=32
)

DECOY_HASH = f"$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p=1${'A' * 22}${'A' * 43}"
"""Nobody's password: checking against it costs an unknown user what a known one's costs."""


class NewKey(NamedTuple):
    """A partner's new key: what to store, and the text which only the partner ever has."""

    key_id: str
    secret_hash: bytes
    api_key: str


class GivenKey(NamedTuple):
    """A key as somebody gives it: its id, the hash of its secret, whether it is of test mode."""

    key_id: str
    secret_hash: bytes
    is_test: bool


class NewToken(NamedTuple):
    """A new access or refresh token: the hash to store, and the text."""

    secret_hash: bytes
    text: str


def new_partner_key(*, is_test: bool = False) -> NewKey:
    """A partner's key, `dtk_<key_id>_<secret>`, or `dtk_test_<key_id>_<secret>` of test mode."""
    key_id, secret = secrets.token_hex(KEY_ID_BYTES), _new_secret()
    prefix = TEST_KEY_PREFIX if is_test else "dtk_"
    return NewKey(key_id, secret_hash(secret), f"{prefix}{key_id}_{secret}")


def new_token(kind: Literal["a", "r"], login_id: UUID) -> NewToken:
    """A token of a log-in: access `dta_<login_id>_<secret>` or refresh `dtr_...`."""
    secret = _new_secret()
    return NewToken(secret_hash(secret), f"dt{kind}_{login_id.hex}_{secret}")


def new_session_code() -> str:
    """A validator session's code, e.g. `VS-7K3M-9QXT`: to be read out, not to be kept secret."""
    letters = "".join(secrets.choice(CODE_ALPHABET) for _ in range(8))
    return f"VS-{letters[:4]}-{letters[4:]}"


def read_api_key(text: str) -> GivenKey | None:
    """What a text says as an API key; None if it is none."""
    match = _API_KEY.fullmatch(text)
    return GivenKey(match[2], secret_hash(match[3]), bool(match[1])) if match else None


def bearer_token(metadata: Mapping[str, str | bytes]) -> str | None:
    """Of `authorization`; None if it is not sent, empty, which nobody has, of another scheme."""
    header = metadata.get("authorization")
    if header is None:
        return None
    scheme, _, token = str(header).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def read_token(kind: Literal["a", "r"], text: str) -> tuple[UUID, bytes] | None:
    """Log-in and secret's hash; None if the text is no token of this kind."""
    match = _TOKEN.fullmatch(text)
    return (UUID(match[2]), secret_hash(match[3])) if match and match[1] == kind else None


def secret_hash(secret: str) -> bytes:
    """What is stored of a secret with full entropy."""
    return digest(secret.encode())


def _new_secret() -> str:
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=").lower()


def hash_password(password: str) -> str:
    """Argon2id hash with its parameters and salt; blocks for about 30 ms (in the server:
    `Passwords.hash`).
    """
    return _hasher.hash(password)


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than new ones are."""
    return _hasher.check_needs_rehash(password_hash)


def is_password(password_hash: str, password: str) -> bool:
    """Whether the password is the one that was hashed; blocks for about 30 ms (in the server:
    `Passwords.verify`).
    """
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


class Passwords:
    """Hashes and verifies passwords beside the event loop, a few at a time, each share in its turn.

    Raises SERVER_BUSY when too many wait (see `hashing_queue`).
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="argon2")
        self._turns = HashingQueue(HASHING_THREADS)

    async def hash(self, password: str, share: Share = OURS) -> str:
        """See `hash_password`."""
        return await self._run(lambda: hash_password(password), share)

    async def verify(self, password_hash: str, password: str, share: Share = OURS) -> bool:
        """See `is_password`."""
        return await self._run(lambda: is_password(password_hash, password), share)

    def close(self) -> None:
        """Gives the threads back."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T], share: Share) -> T:
        await self._turns.take(share)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException:
            self._turns.give_back()
            raise
        # not when the caller leaves: the thread is at it yet
        running.add_done_callback(lambda _: self._turns.give_back())
        return await asyncio.shield(running)
