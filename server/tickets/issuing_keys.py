"""The keys that sign the tokens of one partner's day, in the database.

A key is made when a partner, or DIRECT, first needs one on a day of the platform's time zone; where
one has been used lately, a day ahead (`tending`): midnight is no cliff, and a pack of a day ago has
it. Its private half is destroyed when its day is over. Two processes that make one at once make
one: the second waits at the unique index for the commit of the first, which does nothing else.

There is a row a partner and day, and it stays: a token that is over is not taken for a forgery. A
process knows those whose tokens may still be valid (`read`), and reads of them what has changed
since, by the numbers of transactions, as terminals' packs find tickets
(`redemption/pack_statements.py`).
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidTag
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import change_feed
from server.platform.config import ConfigError
from server.platform.crypto import Sealer
from server.platform.errors import not_found
from server.platform.schedule import Progress, Work
from server.platform.statements import BEGIN, Statement, Transaction, run
from server.tickets.qr import IssuingKey, IssuingKeys, Signature, new_pair

END_STEP = timedelta(days=32)
"""To whole steps since 1970 the end of a key is rounded up, so that a day's tokens write it a few
times."""
AHEAD = timedelta(days=1)
USED_WITHIN = timedelta(days=7)
"""Who has used a key of these days gets one of the next day."""
AT_ONCE = 200
"""Keys in one piece of the job."""


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


_ACTIVE = Statement(
    f"""
SELECT {_COLUMNS} FROM issuing_keys
WHERE partner_id = $1::int AND day = $2::date AND state = 'ACTIVE'
""",  # noqa: S608 - our own
    _Row,
)
_MAKE = Statement(
    """
INSERT INTO issuing_keys
  (partner_id, day, state, verify_key, encrypted_seed, create_time, end_time)
VALUES ($1::int, $2::date, 'ACTIVE', $3::bytea, $4::bytea, $5::timestamptz, $6::timestamptz)
ON CONFLICT (partner_id, day) WHERE state = 'ACTIVE' DO NOTHING
RETURNING number
""",
    int,
)
_EXTEND = Statement(
    """
UPDATE issuing_keys
SET end_time = $2::timestamptz, transaction_id = pg_current_xact_id()::text::bigint
WHERE number = $1::int AND end_time < $2::timestamptz RETURNING number
""",
    int,
)
_RETIRE = Statement(
    """
UPDATE issuing_keys
SET state = 'VERIFY_ONLY', encrypted_seed = NULL, retire_time = $2::timestamptz,
  transaction_id = pg_current_xact_id()::text::bigint
WHERE number = ANY(ARRAY(
  SELECT number FROM issuing_keys WHERE state = 'ACTIVE' AND day < $1::date LIMIT $3::int))
RETURNING number
""",
    int,
)
_WITHOUT_NEXT = Statement(
    """
SELECT DISTINCT k.partner_id FROM issuing_keys k
WHERE k.day BETWEEN $1::date AND $2::date
  AND EXISTS (SELECT FROM issued_tokens i WHERE i.key_id = k.number)
  AND NOT EXISTS (
    SELECT FROM issuing_keys n WHERE n.partner_id = k.partner_id AND n.day = $3::date
      AND n.state = 'ACTIVE')
LIMIT $4::int
""",
    int,
)


_COMPROMISE = Statement(
    """
UPDATE issuing_keys k
SET state = 'COMPROMISED', encrypted_seed = NULL, compromise_time = $2::timestamptz,
  transaction_id = pg_current_xact_id()::text::bigint
FROM (SELECT number, state FROM issuing_keys WHERE number = $1::int FOR UPDATE) before
WHERE k.number = before.number AND before.state <> 'COMPROMISED'
RETURNING before.state
""",
    str,
)


class ListedKey(NamedTuple):
    """An issuing key as an operator sees it; of a compromised one of how many tickets and orders
    QRs were issued under it, and how many of these are to be asked for anew, or of no use any more.
    """

    number: int
    state: str
    verify_key: bytes
    create_time: datetime
    retire_time: datetime | None
    compromise_time: datetime | None
    partner_code: str
    day: date
    issued: int
    replaced: int


_LISTED = """
SELECT k.number, k.state, k.verify_key, k.create_time, k.retire_time, k.compromise_time,
  coalesce(p.partner_code, 'DT'), k.day, i.issued, i.replaced
FROM issuing_keys k
LEFT JOIN partners p ON p.partner_id = k.partner_id
CROSS JOIN LATERAL (
  SELECT count(*)::int AS issued, count(replace_time)::int AS replaced FROM issuing_key_issues
  WHERE key_number = k.number AND k.state = 'COMPROMISED') i
"""
PAGE = Statement(f"{_LISTED} WHERE k.number > $1::int ORDER BY k.number LIMIT $2::int", ListedKey)
"""Up to so many after a number."""
OF_DAY = Statement(
    f"{_LISTED} WHERE k.day = $1::date ORDER BY k.partner_id, k.number",
    ListedKey,
)
"""Those of a day."""


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


def end_for(expire_time: datetime) -> datetime:
    """The end of a key one of whose tokens expires then."""
    step = int(END_STEP.total_seconds())
    return datetime.fromtimestamp(-(-int(expire_time.timestamp()) // step) * step, UTC)


async def obtain(
    tx: AsyncConnection, secret_key: bytes, partner_id: int, day: date, *, now: datetime
) -> IssuingKey:
    """The key that signs a partner's tokens of a day, made unless there is one."""
    key = None
    while key is None:
        found = await run(tx, _ACTIVE(partner_id, day))
        key = opened(found[0], secret_key) if found else None
        key = key or await _make(tx, secret_key, partner_id, day, now=now)
    return key


async def _make(
    tx: AsyncConnection, secret_key: bytes, partner_id: int, day: date, *, now: datetime
) -> IssuingKey | None:
    """A new one; None if somebody else has made one meanwhile."""
    verify_key, seed = new_pair()
    sealed = Sealer(secret_key).seal(seed, _bound(partner_id, day, verify_key))
    end = end_for(datetime.combine(day, time(), UTC) + 2 * AHEAD)  # its day is over, in any zone
    for number in await run(tx, _MAKE(partner_id, day, verify_key, sealed, now, end)):
        await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, number)
        return IssuingKey(number, verify_key, seed, end)
    return None


async def compromise(tx: AsyncConnection, number: int, now: datetime) -> str | None:
    """Ends a key that others have, whose private half is destroyed at once; its state before, None
    if it was ended so before. Raises NOT_FOUND.
    """
    states = await run(tx, _COMPROMISE(number, now))
    if not states and not await run(tx, LOOK_UP([number])):
        raise not_found("qr_key", number)
    return states[0] if states else None


async def extend(tx: AsyncConnection, key: IssuingKey, expire_time: datetime) -> None:
    """Has a key be read as long as a token of it may be valid that expires then."""
    end = end_for(expire_time)
    if key.end_time < end and await run(tx, _EXTEND(key.number, end)):
        await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, key.number)


def tending(secret_key: bytes | None, zone: ZoneInfo) -> Work:
    """The work of a job: destroys the private halves of keys whose day is over, and makes those of
    tomorrow.
    """

    async def work(tx: AsyncConnection, now: datetime) -> Progress:
        today = now.astimezone(zone).date()
        retired = await run(tx, _RETIRE(today, now, AT_ONCE))
        if retired:
            await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, *retired)
        partners: list[int] = []
        if secret_key:
            wanting = _WITHOUT_NEXT(today - USED_WITHIN, today, today + AHEAD, AT_ONCE)
            partners = await run(tx, wanting)
            for partner_id in sorted(partners):
                await obtain(tx, secret_key, partner_id, today + AHEAD, now=now)
        more = AT_ONCE in (len(retired), len(partners))
        return Progress(more, len(retired) + len(partners))

    return work


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
