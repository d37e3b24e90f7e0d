"""Redemptions by tokens that we did not issue: who has a key of ours makes tokens that are admitted
as long as nobody knows that the key is stolen, but not their records in `issued_tokens`.

A job looks at what was redeemed since it looked last (`check`), in the order of the transactions
that recorded it, and up to the oldest that is under way: so nothing is passed over, however long
that one takes. A token is recorded in the transaction that hands it out, so before it is scanned.
Another cluster of PostgreSQL, as after a restore from a dump, numbers its transactions anew: then
all is looked at again.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.metrics import UNISSUED_REDEMPTIONS
from server.platform.schedule import Progress
from server.platform.statements import Statement, run
from server.redemption.models import redemption_events, unissued_redemptions
from server.tickets.models import issuing_keys, qr_keys
from server.tickets.qr import FIRST_NUMBER, KeyState, QrKind

AT_ONCE = 5_000
"""Redemptions looked at in one piece."""


class _Place(NamedTuple):
    transaction_id: int
    ticket_id: int
    event_id: int


class _Beginning(NamedTuple):
    is_known: bool
    cluster_id: int
    oldest: int
    transaction_id: int
    ticket_id: int
    event_id: int


class _Piece(NamedTuple):
    looked_at: int
    found: int
    transaction_id: int
    ticket_id: int
    event_id: int


_BEGIN = Statement(
    """
SELECT m.cluster_id = c.system_identifier, c.system_identifier,
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint, m.transaction_id, m.ticket_id, m.event_id
FROM issue_check_marks m, pg_control_system() c
""",
    _Beginning,
)
# a key that has the id of a former one has not made what was redeemed before
_CHECK = Statement(
    f"""
WITH piece AS (
  SELECT transaction_id, ticket_id, event_id, qr_key_id, qr_digest, qr_order_id, occurred_time
  FROM redemption_events
  WHERE result <> 'REJECT' AND transaction_id IS NOT NULL
    AND transaction_id BETWEEN $1::bigint AND $4::bigint - 1
    AND (transaction_id, ticket_id, event_id) > ($1::bigint, $2::bigint, $3::bigint)
  ORDER BY transaction_id, ticket_id, event_id LIMIT $5::int
), noted AS (
  INSERT INTO unissued_redemptions (ticket_id, event_id, find_time)
  SELECT e.ticket_id, e.event_id, $6::timestamptz
  FROM piece e
  WHERE (e.qr_key_id >= {FIRST_NUMBER} OR EXISTS (
    SELECT FROM qr_keys k
    WHERE k.key_id = e.qr_key_id AND k.is_recorded AND k.create_time <= e.occurred_time
  )) AND NOT EXISTS (
    SELECT FROM issued_tokens i
    WHERE i.key_id = e.qr_key_id AND i.digest = e.qr_digest
      AND i.kind = CASE WHEN e.qr_order_id IS NULL THEN {QrKind.TICKET:d} ELSE {QrKind.ORDER:d} END
      AND i.number = coalesce(e.qr_order_id, e.ticket_id))
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*)::int FROM piece), (SELECT count(*)::int FROM noted),
  transaction_id, ticket_id, event_id
FROM piece ORDER BY transaction_id DESC, ticket_id DESC, event_id DESC LIMIT 1
""",  # noqa: S608 - our own
    _Piece,
)
_MARK = Statement("""
UPDATE issue_check_marks
SET cluster_id = $1::bigint, transaction_id = $2::bigint, ticket_id = $3::bigint,
  event_id = $4::bigint
""")
_COUNT = Statement(
    """
SELECT count(*)::int FROM unissued_redemptions u
JOIN redemption_events e USING (ticket_id, event_id)
LEFT JOIN qr_keys k ON k.key_id = e.qr_key_id
LEFT JOIN issuing_keys i ON i.number = e.qr_key_id
WHERE coalesce(k.state, i.state) NOT IN ('COMPROMISED', 'REVOKED')
""",
    int,
)


async def check(tx: AsyncConnection, now: datetime) -> Progress:
    """Looks at up to AT_ONCE redemptions; those that it notes are its items. A job."""
    (began,) = await run(tx, _BEGIN())
    after = _Place(*began[3:]) if began.is_known else _Place(0, 0, 0)
    pieces = await run(tx, _CHECK(*after, began.oldest, AT_ONCE, now))
    looked_at, found = 0, 0
    if pieces:
        looked_at, found, *place = pieces[0]
        await run(tx, _MARK(began.cluster_id, *place))
    more = looked_at == AT_ONCE
    if not more:
        (count,) = await run(tx, _COUNT())
        UNISSUED_REDEMPTIONS.set(count)
    return Progress(more, found)


class UnissuedRedemption(NamedTuple):
    """A redemption by a token that we did not issue; found when the job looked at it."""

    ticket_id: int
    event_id: int
    find_time: datetime
    ticket_code: str
    function_code: str
    quantity: int
    merchant_code: str
    venue_code: str
    terminal_device_id: str
    operator: str
    occurred_time: datetime
    qr_key_id: int
    key_state: KeyState


async def page(
    tx: AsyncConnection, *, after: tuple[datetime, int, int] | None, limit: int
) -> list[UnissuedRedemption]:
    """Up to `limit` after (time found, ticket, event), those found last first."""
    place = [unissued_redemptions.c[name] for name in ("find_time", "ticket_id", "event_id")]
    events = redemption_events.c
    is_event = (events.ticket_id == place[1]) & (events.event_id == place[2])
    query = (
        select(
            *(place[1], place[2], place[0]),
            *(events[name] for name in UnissuedRedemption._fields[3:-1]),
            func.coalesce(qr_keys.c.state, issuing_keys.c.state),
        )
        .join(redemption_events, is_event)
        .outerjoin(qr_keys, qr_keys.c.key_id == events.qr_key_id)
        .outerjoin(issuing_keys, issuing_keys.c.number == events.qr_key_id)
        .order_by(*(column.desc() for column in place))
        .limit(limit)
    )
    if after:
        query = query.where(tuple_(*place) < after)
    rows = await tx.execute(query)
    return [UnissuedRedemption._make([*row[:-1], KeyState(row[-1])]) for row in rows]
