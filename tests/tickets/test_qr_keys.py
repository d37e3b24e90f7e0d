"""QR keys without a database: what a key and a key ring may be, ids, and secrets at rest."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from server.platform.config import ConfigError
from server.platform.errors import DomainError, Reason
from server.tickets import keys
from server.tickets.keys import KeyInfo
from server.tickets.qr import KeyRing, KeyState, QrKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = QrKey.generate(7, KeyState.ACTIVE)
SECRET_KEY = os.urandom(32)


def info(key_id: int, state: KeyState, revoke_time: datetime | None = None) -> KeyInfo:
    return KeyInfo(key_id, state, KEY.verify_key, NOW, None, None, revoke_time)


@pytest.mark.parametrize("key_id", [-1, 256])
def test_a_key_id_is_a_byte(key_id: int) -> None:
    with pytest.raises(ValueError, match="key_id"):
        QrKey.generate(key_id, KeyState.ACTIVE)


@pytest.mark.parametrize(
    ("verify_key", "aes_key", "seed"),
    [
        (KEY.verify_key[:-1], KEY.aes_key, KEY.seed),
        (KEY.verify_key, KEY.aes_key[:16], KEY.seed),
        (KEY.verify_key, KEY.aes_key, os.urandom(32)),
        (KEY.verify_key, KEY.aes_key, os.urandom(31)),
    ],
    ids=["short verify_key", "short aes_key", "seed of another key", "short seed"],
)
def test_a_key_that_does_not_fit_together_is_refused(
    verify_key: bytes, aes_key: bytes, seed: bytes
) -> None:
    with pytest.raises(ValueError, match=r"key 7|seed"):
        QrKey(7, KeyState.ACTIVE, verify_key, aes_key=aes_key, seed=seed)


def test_a_key_does_not_print_its_secrets() -> None:
    assert KEY.seed is not None
    assert repr(KEY.aes_key) not in repr(KeyRing([KEY]))
    assert repr(KEY.seed) not in repr(KeyRing([KEY]))


def test_a_key_ring_leaves_out_revoked_keys() -> None:
    ring = KeyRing([KEY, QrKey.generate(3, KeyState.REVOKED)])
    assert ring.keys == (KEY,)
    assert ring.active is KEY


def test_a_key_ring_has_one_key_for_an_id_and_one_active() -> None:
    with pytest.raises(ValueError, match="once"):
        KeyRing([KEY, QrKey.generate(7, KeyState.VERIFY_ONLY)])
    with pytest.raises(ValueError, match="one ACTIVE"):
        KeyRing([KEY, QrKey.generate(8, KeyState.ACTIVE)])


def test_a_key_ring_without_an_active_key_cannot_seal() -> None:
    with pytest.raises(LookupError):
        _ = KeyRing([QrKey.generate(1, KeyState.PENDING)]).active


def test_key_ids_are_taken_in_turn() -> None:
    assert keys.free_key_id([]) == 0
    used = [info(0, KeyState.REVOKED, NOW), info(1, KeyState.ACTIVE)]
    assert keys.free_key_id(used) == 2


def test_after_256_keys_the_id_revoked_longest_ago_is_taken_again() -> None:
    used = [info(key_id, KeyState.VERIFY_ONLY) for key_id in range(254)]
    used += [info(254, KeyState.REVOKED, NOW), info(255, KeyState.REVOKED, NOW - timedelta(1))]
    assert keys.free_key_id(used) == 255


def test_256_keys_in_use_leave_no_id() -> None:
    with pytest.raises(DomainError) as refused:
        keys.free_key_id([info(key_id, KeyState.VERIFY_ONLY) for key_id in range(256)])
    assert refused.value.reason is Reason.INVALID_FIELD


def test_secrets_at_rest_come_back_under_the_same_secret_key() -> None:
    stored = keys.encrypt_secrets(KEY, SECRET_KEY)
    assert KEY.seed is not None
    assert KEY.seed not in stored
    assert KEY.aes_key not in stored
    assert stored != keys.encrypt_secrets(KEY, SECRET_KEY)
    back = keys.decrypt_secrets(stored, KEY.key_id, KEY.verify_key, SECRET_KEY)
    assert back == (KEY.seed, KEY.aes_key)


def test_secrets_of_another_secret_key_or_another_row_are_refused() -> None:
    stored = keys.encrypt_secrets(KEY, SECRET_KEY)
    with pytest.raises(ConfigError, match="DEEPTRAVEL_SECRET_KEY"):
        keys.decrypt_secrets(stored, KEY.key_id, KEY.verify_key, os.urandom(32))
    with pytest.raises(ConfigError):
        keys.decrypt_secrets(stored, KEY.key_id + 1, KEY.verify_key, SECRET_KEY)
    with pytest.raises(ConfigError):
        keys.decrypt_secrets(stored, KEY.key_id, os.urandom(32), SECRET_KEY)
