"""The keys that sign the tokens of one partner's day, in the database.

There is a row a partner and day, and it stays: a token that is over is not taken for a forgery. A
process knows those whose tokens may still be valid (`read`), and reads of them what has changed
since, by the numbers of transactions, as terminals' packs find tickets
(`redemption/pack_statements.py`).
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

from cryptography.exceptions import InvalidTag

from server.platform.config import ConfigError
from server.platform.crypto import Sealer
from server.platform.statements import BEGIN, Statement, Transaction, run
from server.tickets.qr import IssuingKey, IssuingKeys, Signature


class _Row(NamedTuple):
    number: int
    partner_id: int
    day: date
    verify_key: bytes
    encrypted_seed: bytes | None
    end_time: datetime
    is_stolen: bool
    compromise_time: datetime | None


_COLUMNS = """
  number, partner_id, day, verify_key, encrypted_seed, end_time, state = 'COMPROMISED',
  compromise_time"""
_LIVING = Statement(
    f"SELECT {_COLUMNS} FROM issuing_keys WHERE end_time > now()",  # noqa: S608
    _Row,
)
_CHANGED = Statement(
    f"SELECT {_COLUMNS} FROM issuing_keys WHERE transaction_id >= $1::bigint",  # noqa: S608
    _Row,
)
LOOK_UP = Statement(
    f"SELECT {_COLUMNS} FROM issuing_keys WHERE number = ANY($1::int[])",  # noqa: S608
    _Row,
)
"""Keys by number, whatever their end."""


class Reading(NamedTuple):
    """What a process has read: all changes before the transaction `since` of a database server."""

    server: datetime | None = None
    since: int = 0
    keys: IssuingKeys = IssuingKeys()


NOTHING = Reading()


async def read(tx: Transaction, secret_key: bytes, before: Reading = NOTHING) -> Reading:
    """The keys whose tokens may be valid, with what has changed since they were read `before`; of
    that those that are over by now are not dropped. Raises ConfigError for another secret key.
    """
    (began,) = await run(tx, BEGIN())  # before what is read: better twice than never
    is_known = before.server == began.server and before.since <= began.oldest
    rows = await run(tx, _CHANGED(before.since) if is_known else _LIVING())
    keys = before.keys if is_known else before.keys._replace(good={}, stolen={}, signing={})
    if rows:
        keys = _with(keys, sorted(rows), secret_key)
    return Reading(began.server, began.oldest, keys)


def _with(keys: IssuingKeys, rows: list[_Row], secret_key: bytes) -> IssuingKeys:
    good, stolen, signing = {**keys.good}, {**keys.stolen}, {**keys.signing}
    for row in rows:
        of = row.partner_id, row.day
        good.pop(row.number, None)
        if of in signing and signing[of].number == row.number:
            del signing[of]
        if row.is_stolen:
            stolen[row.number] = signature_of(row)
        else:
            good[row.number] = row.verify_key
        if row.encrypted_seed is not None:
            signing[of] = opened(row, secret_key)
    return keys._replace(good=good, stolen=stolen, signing=signing)


def signature_of(row: _Row) -> Signature:
    """How the tokens of a key are verified."""
    since = row.compromise_time or datetime.min.replace(tzinfo=UTC)
    return Signature(row.verify_key, since if row.is_stolen else None)


def sealed_seed(
    seed: bytes, partner_id: int, day: date, verify_key: bytes, secret_key: bytes
) -> bytes:
    """iv 12 B | AES-256-GCM of the seed, tag behind; bound to partner, day and public key."""
    return Sealer(secret_key).seal(seed, _bound(partner_id, day, verify_key))


def opened(row: _Row, secret_key: bytes) -> IssuingKey:
    """A key that signs. Raises ConfigError for another secret key, or an altered row."""
    bound = _bound(row.partner_id, row.day, row.verify_key)
    try:
        seed = Sealer(secret_key).open(row.encrypted_seed or b"", bound)
    except InvalidTag:
        raise ConfigError(
            f"DEEPTRAVEL_SECRET_KEY: issuing key {row.number} in the database was stored under"
            " another one; set that one again"
        ) from None
    return IssuingKey(row.number, row.verify_key, seed, row.end_time)


def _bound(partner_id: int, day: date, verify_key: bytes) -> bytes:
    return f"deeptravel issuing key\0{partner_id} {day.isoformat()} ".encode() + verify_key
