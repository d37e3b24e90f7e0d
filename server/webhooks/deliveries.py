"""What is to be delivered to which endpoint, and what became of it.

A delivery is made with the event's number (sequencing.py). Every process takes what is due, a few
of each endpoint, with a lease of some seconds; so what a process that died had taken is taken again
when that is over, and is sent again under the same id. Of one subject, such as a ticket, only the
first that is PENDING is taken: the next waits until it is delivered or dead.

The lease is in no index: to take a delivery writes its row anew on the same page, and nothing else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import outbox
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.outbox import NewTask
from server.platform.statements import Command, Statement, Transaction, run, run_all
from server.platform.task_worker import MAX_COUNTED, WaitingWork
from server.webhooks import endpoints, events
from server.webhooks.rules import ENDPOINT_TEST, TEST_DATA

KIND = "webhook"
"""Kind of the dead letters of deliveries that were given up."""
MAX_REPLAYED = 10_000
"""Events whose delivery one call asks for anew."""
SHOWN_ATTEMPTS = 20
REPLAYED = "webhook_deliveries"
"""What a transaction that asks for a delivery notifies."""


class DueEndpoint(NamedTuple):
    """An endpoint that something is due for, and how many deliveries it takes."""

    partner_id: int
    endpoint_id: UUID
    room: int
    url: str
    encrypted_secret: bytes
    encrypted_previous_secret: bytes | None
    previous_secret_expire_time: datetime | None


class DueDelivery(NamedTuple):
    """A delivery that this process has taken until `lease_time`."""

    partner_id: int
    endpoint_id: UUID
    event_id: UUID
    type: str
    occurred_time: datetime
    sequence: int
    data: dict[str, Any]
    attempt: int
    lease_time: datetime


class AttemptOutcome(NamedTuple):
    """What became of an attempt; `lease` is the delivery's `lease_time`, which proves who made
    it.
    """

    partner_id: int
    endpoint_id: UUID
    event_id: UUID
    lease: datetime
    state: str
    due_time: datetime
    attempt_time: datetime
    http_status: int
    duration_ms: int
    error: str
    answer: str


class Delivery(NamedTuple):
    """A delivery as its partner sees it."""

    event_id: UUID
    type: str
    sequence: int
    state: str
    due_time: datetime
    create_time: datetime


class DeliveryAttempt(NamedTuple):
    """One attempt of a delivery."""

    event_id: UUID
    attempt_time: datetime
    http_status: int
    duration_ms: int
    error: str
    answer: str


# Of a queue that was empty a moment ago the planner believes that it still is, and would read it
# whole as soon as by key. So its rows are asked for one endpoint at a time, by keys that begin with
# it, in the order of the index that is meant; and `state || ''` keeps the partial indexes out.
#
# Of the endpoints that are busy or failing, $2 and $3 say how many more they take; others take $4.
# An endpoint that another process takes from at this moment is left to that.
_DUE_ENDPOINTS = """
FROM webhook_endpoints p
LEFT JOIN unnest($2::uuid[], $3::int[]) AS r (endpoint_id, room) ON r.endpoint_id = p.endpoint_id
WHERE p.state = 'ENABLED' AND coalesce(r.room, $4::int) > 0 AND (
  SELECT true FROM webhook_deliveries d WHERE d.partner_id = p.partner_id
    AND d.endpoint_id = p.endpoint_id AND d.state = 'PENDING' AND d.due_time <= $1::timestamptz
  ORDER BY d.due_time LIMIT 1)
"""
_ANY_DUE = Statement(f"SELECT EXISTS (SELECT {_DUE_ENDPOINTS})", bool)
_FIND_DUE = Statement(
    f"""
SELECT p.partner_id, p.endpoint_id, coalesce(r.room, $4::int), p.url, p.encrypted_secret,
  p.encrypted_previous_secret, p.previous_secret_expire_time
{_DUE_ENDPOINTS}
FOR NO KEY UPDATE OF p SKIP LOCKED
""",
    DueEndpoint,
)
# what another has taken since this statement began is found taken; a ticket's waits for its batch's
_TAKE = Statement(
    """
UPDATE webhook_deliveries d SET lease_time = $4::timestamptz, attempts = d.attempts + 1
WHERE d.partner_id = $1::int AND d.endpoint_id = $2::uuid AND d.event_id = ANY(ARRAY(
    SELECT e.event_id FROM webhook_deliveries e
    WHERE e.partner_id = $1::int AND e.endpoint_id = $2::uuid AND e.state = 'PENDING'
      AND e.due_time <= $3::timestamptz
      AND (e.lease_time IS NULL OR e.lease_time <= $3::timestamptz) AND e.sequence = (
        SELECT f.sequence FROM webhook_deliveries f
        WHERE f.partner_id = $1::int AND f.endpoint_id = $2::uuid AND f.state = 'PENDING'
          AND f.subject = e.subject ORDER BY f.sequence LIMIT 1)
      AND (e.batch IS NULL OR NOT EXISTS (
        SELECT FROM webhook_deliveries g
        WHERE g.partner_id = $1::int AND g.endpoint_id = $2::uuid AND g.state = 'PENDING'
          AND g.subject = e.batch AND g.sequence < e.sequence))
    ORDER BY e.due_time LIMIT $5::int))
  AND d.state || '' = 'PENDING' AND d.due_time <= $3::timestamptz
  AND (d.lease_time IS NULL OR d.lease_time <= $3::timestamptz)
RETURNING d.partner_id, d.endpoint_id, d.event_id, d.type, d.occurred_time, d.sequence,
  coalesce(d.test_data, (SELECT v.data FROM partner_events v
    WHERE v.partner_id = d.partner_id AND v.event_id = d.event_id), '{}'),
  d.attempts, d.lease_time
""",
    DueDelivery,
)
# What waits for one of its subject, or for its batch's, is not looked at before that is due again,
# and at once when it is over.
_SETTLE = Statement(
    """
WITH settled AS (
  UPDATE webhook_deliveries d
  SET state = ($5::text[])[array_position($3::uuid[], d.event_id)],
    due_time = ($6::timestamptz[])[array_position($3::uuid[], d.event_id)],
    lease_time = NULL, update_time = $7::timestamptz
  WHERE d.partner_id = $1::int AND d.endpoint_id = $2::uuid AND d.event_id = ANY($3::uuid[])
    AND d.state || '' = 'PENDING'
    AND d.lease_time = ($4::timestamptz[])[array_position($3::uuid[], d.event_id)]
  RETURNING d.event_id, d.subject, d.sequence, d.state, d.due_time),
followers AS MATERIALIZED (
  SELECT f.event_id, CASE WHEN s.state = 'PENDING' THEN s.due_time ELSE $7::timestamptz END
    AS due_time
  FROM settled s CROSS JOIN LATERAL (
    (SELECT e.event_id, e.due_time, e.attempts FROM webhook_deliveries e
     WHERE e.partner_id = $1::int AND e.endpoint_id = $2::uuid AND e.state = 'PENDING'
       AND e.subject = s.subject AND e.sequence > s.sequence ORDER BY e.sequence)
    UNION ALL
    (SELECT e.event_id, e.due_time, e.attempts FROM webhook_deliveries e
     WHERE e.partner_id = $1::int AND e.endpoint_id = $2::uuid AND e.state = 'PENDING'
       AND e.batch = s.subject AND e.sequence > s.sequence ORDER BY e.sequence)) f
  WHERE CASE WHEN s.state = 'PENDING' THEN f.due_time < s.due_time
    ELSE f.attempts = 0 AND f.due_time > $7::timestamptz END),
moved AS (
  UPDATE webhook_deliveries d SET due_time = (
    SELECT f.due_time FROM followers f WHERE f.event_id = d.event_id)
  WHERE d.partner_id = $1::int AND d.endpoint_id = $2::uuid
    AND d.event_id = ANY(ARRAY(SELECT event_id FROM followers)) AND d.state || '' = 'PENDING')
SELECT event_id FROM settled WHERE state = 'DEAD'
""",
    UUID,
)
# Of an endpoint at which something is tried, what is due waits for the partner, not for us: so its
# time begins with the last attempt. One that is disabled is sent nothing.
_WAITING = Statement(
    """
SELECT coalesce(sum(v.waiting), 0)::bigint, greatest(0, max(
    extract(epoch FROM $1::timestamptz - greatest(v.oldest, v.tried)))
  FILTER (WHERE p.state = 'ENABLED' AND v.oldest IS NOT NULL))::float8
FROM webhook_endpoints p CROSS JOIN LATERAL (
  SELECT count(*) AS waiting, min(due_time) FILTER (WHERE due_time <= $1::timestamptz) AS oldest,
    greatest(max(update_time) FILTER (WHERE attempts > 0), max(lease_time)) AS tried
  FROM (
    SELECT d.due_time, d.update_time, d.attempts, d.lease_time FROM webhook_deliveries d
    WHERE d.partner_id = p.partner_id AND d.endpoint_id = p.endpoint_id AND d.state = 'PENDING'
    ORDER BY d.due_time LIMIT $2::int) d) v
""",
    WaitingWork,
)
_NOTE = Statement("""
INSERT INTO webhook_attempts (partner_id, endpoint_id, event_id, attempt_time, http_status,
  duration_ms, error, answer)
SELECT v.* FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::int[], $6::int[],
  $7::text[], $8::text[]) v
ON CONFLICT DO NOTHING
""")
_DISABLE = Statement("""
UPDATE webhook_endpoints SET state = 'DISABLED', disabled_reason = 'GONE',
  update_time = $3::timestamptz, version = version + 1
FROM unnest($1::int[], $2::uuid[]) AS v (partner_id, endpoint_id)
WHERE webhook_endpoints.partner_id = v.partner_id
  AND webhook_endpoints.endpoint_id = v.endpoint_id AND state = 'ENABLED'
""")
_ADD_TEST = Statement(
    """
INSERT INTO webhook_deliveries (partner_id, endpoint_id, event_id, sequence, type, subject,
  occurred_time, test_data, state, due_time, attempts, create_time, update_time)
VALUES ($1::int, $2::uuid, $3::uuid, 0, $4, $3::text, $5::timestamptz, $6::jsonb, 'PENDING',
  $5::timestamptz, 0, $5::timestamptz, $5::timestamptz)
""",
    notifies=REPLAYED,
)
_PAGE = Statement(
    """
SELECT event_id, type, sequence, state, due_time, create_time FROM webhook_deliveries
WHERE partner_id = $1::int AND endpoint_id = $2::uuid AND ($3 = '' OR state = $3)
  AND ($4::uuid IS NULL OR event_id < $4::uuid)
ORDER BY event_id DESC LIMIT $5::int
""",
    Delivery,
)
_ATTEMPTS = Statement(
    """
SELECT a.* FROM unnest($3::uuid[]) AS v (event_id) CROSS JOIN LATERAL (
  SELECT event_id, attempt_time, http_status, duration_ms, error, answer FROM webhook_attempts a
  WHERE a.partner_id = $1::int AND a.endpoint_id = $2::uuid AND a.event_id = v.event_id
  ORDER BY attempt_time DESC LIMIT $4::int) a
""",
    DeliveryAttempt,
)
_REPLAY = Statement(
    """
UPDATE webhook_deliveries SET state = 'PENDING', due_time = $4::timestamptz, lease_time = NULL,
  attempts = 0, update_time = $4::timestamptz
WHERE partner_id = $1::int AND endpoint_id = $2::uuid AND event_id = $3::uuid
RETURNING event_id
""",
    UUID,
    notifies=REPLAYED,
)
_REPLAY_RANGE = Statement(
    """
INSERT INTO webhook_deliveries AS d (partner_id, endpoint_id, event_id, sequence, type, subject,
  occurred_time, state, due_time, attempts, create_time, update_time, batch)
SELECT p.partner_id, p.endpoint_id, e.event_id, e.sequence, e.type, e.subject, e.occurred_time,
  'PENDING', $5::timestamptz, 0, $5::timestamptz, $5::timestamptz,
  CASE WHEN e.type LIKE 'ticket.%' THEN e.data ->> 'batch_id' END
FROM webhook_endpoints p JOIN partner_events e ON e.partner_id = p.partner_id
  AND e.sequence > $3::bigint AND e.sequence <= $4::bigint
  AND (cardinality(p.types) = 0 OR e.type = ANY(p.types))
WHERE p.partner_id = $1::int AND p.endpoint_id = $2::uuid
ORDER BY e.sequence
ON CONFLICT (partner_id, endpoint_id, event_id) DO UPDATE SET state = 'PENDING',
  due_time = excluded.due_time, lease_time = NULL, attempts = 0,
  update_time = excluded.update_time
WHERE d.state = 'DEAD' OR $6::boolean AND d.state = 'DELIVERED'
RETURNING d.event_id
""",
    UUID,
    notifies=REPLAYED,
)
_PURGED = Statement("SELECT purged_sequence FROM partner_feeds WHERE partner_id = $1::int", int)
_OLD = """
SELECT partner_id, endpoint_id, event_id FROM webhook_deliveries
WHERE state <> 'PENDING' AND update_time < $1::timestamptz LIMIT $2::int"""
_PURGE = Statement(
    f"""
WITH old AS MATERIALIZED ({_OLD}),
attempts AS (
  DELETE FROM webhook_attempts a USING old WHERE a.partner_id = old.partner_id
    AND a.endpoint_id = old.endpoint_id AND a.event_id = old.event_id),
gone AS (
  DELETE FROM webhook_deliveries d USING old WHERE d.partner_id = old.partner_id
    AND d.endpoint_id = old.endpoint_id AND d.event_id = old.event_id RETURNING 1)
SELECT count(*)::int FROM gone
""",  # noqa: S608 - our own
    int,
)


def content(event_type: str, occurred_time: datetime, data: Mapping[str, Any]) -> bytes:
    """The body of a webhook: always a JSON object."""
    return orjson.dumps({"type": event_type, "timestamp": occurred_time.isoformat(), "data": data})


def letter_key(partner_id: int, endpoint_id: UUID, event_id: UUID) -> str:
    """The key of a delivery's dead letter."""
    return f"{partner_id}/{endpoint_id}/{event_id}"


async def settle(tx: Transaction, outcomes: Sequence[AttemptOutcome], *, now: datetime) -> None:
    """Writes what became of attempts: those whose time was over, and which somebody else has taken,
    are noted alone. What is given up becomes a dead letter; 410 disables its endpoint.
    """
    notes = [(*outcome[:3], *outcome[6:]) for outcome in outcomes]
    gone = {outcome[:2] for outcome in outcomes if outcome.http_status == 410}
    rows: dict[tuple[int, UUID], list[AttemptOutcome]] = {}
    for outcome in sorted(outcomes, key=lambda each: each[:3]):
        rows.setdefault((outcome.partner_id, outcome.endpoint_id), []).append(outcome)
    settling = [
        _SETTLE(*endpoint, *zip(*(each[2:6] for each in ended), strict=True), now)
        for endpoint, ended in rows.items()
    ]
    disabling = _DISABLE(*zip(*sorted(gone), strict=True), now) if gone else None
    *settled, _, _ = await run_all(tx, [*settling, _NOTE.of_rows(notes), disabling])
    dead = {event_id for found in settled for event_id in found}
    if dead:
        letters = [
            (NewTask(KIND, letter_key(*each[:3]), {}, now), each.error)
            for each in {each[:3]: each for each in outcomes if each.state == "DEAD"}.values()
            if each.event_id in dead
        ]
        await run(tx, outbox.bury(letters, now=now))


def any_due(rooms: Mapping[UUID, int], *, room: int, now: datetime) -> Command[bool]:
    """Whether `find_due` would find an endpoint, or does not only since another has it."""
    return _ANY_DUE(now, list(rooms), list(rooms.values()), room)


def find_due(rooms: Mapping[UUID, int], *, room: int, now: datetime) -> Command[DueEndpoint]:
    """Endpoints that something is due for, locked for the transaction that takes it; each takes as
    many deliveries as `rooms` says, or `room`.
    """
    return _FIND_DUE(now, list(rooms), list(rooms.values()), room)


def take(
    found: Sequence[DueEndpoint], *, limit: int, lease: timedelta, now: datetime
) -> list[Command[DueDelivery] | None]:
    """Takes what is due for these endpoints, `limit` deliveries in all; a command for each."""
    taking: list[Command[DueDelivery] | None] = []
    for endpoint in found:
        many = min(endpoint.room, limit)
        limit -= many
        key = endpoint.partner_id, endpoint.endpoint_id
        taking.append(_TAKE(*key, now, now + lease, many) if many else None)
    return taking


def waiting(now: datetime) -> Command[WaitingWork]:
    """What waits to be delivered, up to MAX_COUNTED an endpoint; since when something is due at an
    endpoint and nothing was tried there.
    """
    return _WAITING(now, MAX_COUNTED)


async def add_test(
    tx: AsyncConnection, partner_id: int, endpoint_id: UUID, *, now: datetime
) -> str:
    """Has a test event sent to an endpoint; the event's id. Raises NOT_FOUND."""
    await endpoints.find(tx, partner_id, endpoint_id, now=now)
    event_id = events.new_id(now)
    await run(tx, _ADD_TEST(partner_id, endpoint_id, event_id, ENDPOINT_TEST, now, dict(TEST_DATA)))
    return events.public_id(event_id)


async def page(
    tx: AsyncConnection,
    partner_id: int,
    endpoint_id: UUID,
    *,
    state: str,
    before: UUID | None,
    limit: int,
    now: datetime,
) -> list[tuple[Delivery, list[DeliveryAttempt]]]:
    """Up to `limit` deliveries of an endpoint, those of the latest events first, each with its
    latest attempts.

    Raises NOT_FOUND.
    """
    await endpoints.find(tx, partner_id, endpoint_id, now=now)
    found = await run(tx, _PAGE(partner_id, endpoint_id, state, before, limit))
    ids = [delivery.event_id for delivery in found]
    attempts: dict[UUID, list[DeliveryAttempt]] = {event_id: [] for event_id in ids}
    for attempt in await run(tx, _ATTEMPTS(partner_id, endpoint_id, ids, SHOWN_ATTEMPTS)):
        attempts[attempt.event_id].append(attempt)
    return [(delivery, attempts[delivery.event_id]) for delivery in found]


async def replay(
    tx: AsyncConnection, partner_id: int, endpoint_id: UUID, event: str, *, now: datetime
) -> None:
    """Has an event delivered again, with all attempts. Raises NOT_FOUND."""
    event_id = events.event_number(event)
    found = event_id and await run(tx, _REPLAY(partner_id, endpoint_id, event_id, now))
    if not event_id or not found:
        raise not_found("webhook delivery", event)
    await run(tx, outbox.close([letter_key(partner_id, endpoint_id, event_id)], KIND, now=now))


async def replay_range(
    tx: AsyncConnection,
    partner_id: int,
    endpoint_id: UUID,
    *,
    after: int,
    until: int,
    with_delivered: bool,
    now: datetime,
) -> int:
    """Has the events of a range delivered that were not; how many.

    Raises NOT_FOUND, INVALID_FIELD for too long a range, EVENTS_REMOVED.
    """
    if not after < until <= after + MAX_REPLAYED:
        raise invalid("until_cursor", f"must be 1 to {MAX_REPLAYED} after after_cursor")
    await endpoints.find(tx, partner_id, endpoint_id, now=now)
    for purged in await run(tx, _PURGED(partner_id)):
        if after < purged:
            raise DomainError(
                Reason.EVENTS_REMOVED,
                f"after_cursor: events up to {purged} are not kept any more",
                after_cursor=after,
                oldest_cursor=purged,
            )
    asked = await run(tx, _REPLAY_RANGE(partner_id, endpoint_id, after, until, now, with_delivered))
    keys = [letter_key(partner_id, endpoint_id, event_id) for event_id in asked]
    await run(tx, outbox.close(keys, KIND, now=now))
    return len(asked)


def replay_letter(key: str, *, now: datetime) -> Command[UUID]:
    """Has the delivery of a dead letter made again, as an administrator asked."""
    partner_id, endpoint_id, event_id = key.split("/")
    return _REPLAY(int(partner_id), UUID(endpoint_id), UUID(event_id), now)


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, limit: int) -> int:
    """Removes up to `limit` deliveries that ended longer than `keep` ago, with their attempts."""
    (removed,) = await run(tx, _PURGE(now - keep, limit))
    return removed
