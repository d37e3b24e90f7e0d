"""Payments, the notices of them, and what did not fit: rows that the rooms above lock and move.

Who moves a payment has locked its order; so payments need no locks of their own, but their
statements state the move again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import orjson
from sqlalchemy import ColumnElement, Select, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import rules
from server.payments.models import payment_incidents, payments
from server.platform import outbox
from server.platform.errors import not_found
from server.platform.statements import Command, Statement, Transaction, run

_INCIDENTS = UUID("6f0e5a3e-3c52-4d6e-9a58-1f6f1f5a2b11")
"""The namespace of their ids."""


CLOSE_PAYMENT = "payment.close"
"""Kind of outbox task: WeChat learns that a payment is not to be made any more; its key is the
out_trade_no.
"""


@dataclass(frozen=True, slots=True)
class Payment:
    """An attempt to have an order paid; the columns of models.payments."""

    order_id: int
    attempt: int
    out_trade_no: str
    state: str
    amount_minor: int
    currency_code: str
    openid: str
    prepay_id: str
    expire_time: datetime
    transaction_id: str
    success_time: datetime | None
    refunded_minor: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that did not fit; `facts` are what was expected and what came."""

    incident_id: UUID
    kind: str
    order_id: int | None
    facts: dict[str, Any]
    create_time: datetime
    resolve_time: datetime | None
    resolved_by: str | None
    comment: str | None


class Success(NamedTuple):
    """A payment that was made: which, under which number at WeChat, and when."""

    order_id: int
    attempt: int
    transaction_id: str
    success_time: datetime


class StoredNotice(NamedTuple):
    """A verified notice as it came."""

    notice_id: str
    event_type: str
    body: bytes
    headers: dict[str, str]
    receive_time: datetime


class NoticeBody(NamedTuple):
    """A stored notice."""

    notice_id: str
    body: bytes


_FIND = Statement(
    f"""
SELECT {", ".join(Payment.__dataclass_fields__)}
FROM unnest($1::bigint[], $2::int[]) AS v (order_id, attempt)
JOIN payments p USING (order_id, attempt)
""",  # noqa: S608 - names of columns
    Payment,
)
_LATEST = Statement(
    f"""
SELECT DISTINCT ON (order_id) {", ".join(Payment.__dataclass_fields__)}
FROM payments WHERE order_id = ANY($1::bigint[]) ORDER BY order_id, attempt DESC
""",  # noqa: S608 - names of columns
    Payment,
)
_SUCCEED = Statement(
    """
UPDATE payments p SET state = 'SUCCEEDED', transaction_id = v.transaction_id,
  success_time = v.success_time, update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::int[], $4::text[], $5::timestamptz[])
  AS v (order_id, attempt, transaction_id, success_time)
WHERE p.order_id = v.order_id AND p.attempt = v.attempt AND p.state <> 'SUCCEEDED'
RETURNING p.order_id
""",
    int,
)
_STORE_NOTICES = Statement(
    """
INSERT INTO notices (notice_id, event_type, body, headers, receive_time)
SELECT v.* FROM unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::timestamptz[]) v
ON CONFLICT DO NOTHING RETURNING notice_id
""",
    str,
)
_READ_NOTICES = Statement(
    "SELECT notice_id, body FROM notices WHERE notice_id = ANY($1::text[])", NoticeBody
)

_RECORD_INCIDENT = Statement("""
INSERT INTO payment_incidents (incident_id, kind, order_id, facts, create_time)
VALUES ($1::uuid, $2, $3::bigint, $4::jsonb, $5::timestamptz) ON CONFLICT DO NOTHING
""")

_PAYMENTS: Select[Any] = select(*[payments.c[name] for name in Payment.__dataclass_fields__])
_FOUND: Select[Any] = select(*[payment_incidents.c[name] for name in Incident.__dataclass_fields__])


# Payments


def latest_of(order_ids: Collection[int]) -> Command[Payment]:
    """The last attempt to have each of these orders paid."""
    return _LATEST(order_ids)


async def latest(tx: AsyncConnection, order_id: int) -> Payment | None:
    """The last attempt to have an order paid."""
    rows = await run(tx, latest_of([order_id]))
    return rows[0] if rows else None


async def close_waiting(tx: AsyncConnection, order_ids: Sequence[int], now: datetime) -> None:
    """Has the payments that wait for these orders closed at WeChat after the commit."""
    waiting = select(payments.c.out_trade_no).where(
        payments.c.order_id.in_(order_ids), payments.c.state == "PENDING"
    )
    numbers = (await tx.execute(waiting)).scalars()
    asks = [
        outbox.NewTask(CLOSE_PAYMENT, number, {"out_trade_no": number}, now) for number in numbers
    ]
    await run(tx, outbox.enqueue(*asks, now=now))


async def succeeded(tx: AsyncConnection, order_id: int) -> Payment | None:
    """The first payment of an order that was made."""
    query = _PAYMENTS.where(payments.c.order_id == order_id, payments.c.state == "SUCCEEDED")
    row = (await tx.execute(query.order_by(payments.c.attempt).limit(1))).one_or_none()
    return Payment(*row) if row else None


def find(named: Sequence[tuple[int, int]]) -> Command[Payment]:
    """Payments by order and attempt."""
    return _FIND([order_id for order_id, _ in named], [attempt for _, attempt in named])


async def by_number(tx: AsyncConnection, out_trade_no: str) -> Payment | None:
    """A payment by its number at WeChat."""
    named = rules.payment_of(out_trade_no)
    rows = await run(tx, find([named])) if named else []
    return rows[0] if rows else None


async def create(
    tx: AsyncConnection,
    order_id: int,
    attempt: int,
    *,
    amount_minor: int,
    currency_code: str,
    openid: str,
    expire_time: datetime,
    now: datetime,
) -> Payment:
    """A PENDING payment, before WeChat is asked for it; the caller has locked the order."""
    made = insert(payments).values(
        order_id=order_id,
        attempt=attempt,
        out_trade_no=rules.out_trade_no(order_id, attempt),
        state="PENDING",
        amount_minor=amount_minor,
        currency_code=currency_code,
        openid=openid,
        expire_time=expire_time,
        create_time=now,
        update_time=now,
    )
    columns = [payments.c[name] for name in Payment.__dataclass_fields__]
    return Payment(*(await tx.execute(made.returning(*columns))).one())


async def store_prepay(
    tx: AsyncConnection, payment: Payment, prepay_id: str, *, now: datetime
) -> bool:
    """Keeps what WeChat answered; False if the payment does not wait any more."""
    stored = await tx.execute(
        update(payments)
        .where(*_this(payment.order_id, payment.attempt), payments.c.state == "PENDING")
        .values(prepay_id=prepay_id, update_time=now)
    )
    return stored.rowcount == 1


def succeed(successes: Sequence[Success], *, now: datetime) -> Command[int] | None:
    """They are paid, also those that were closed; the caller has locked their orders. An order_id
    for each.
    """
    return _SUCCEED.of_rows(successes, now)


async def close(tx: AsyncConnection, out_trade_no: str, *, now: datetime) -> None:
    """It cannot be paid any more; nothing happens if it was, or is closed already."""
    named = rules.payment_of(out_trade_no)
    assert named is not None
    await tx.execute(
        update(payments)
        .where(*_this(*named), payments.c.state == "PENDING")
        .values(state="CLOSED", update_time=now)
    )


async def claim_query(
    tx: AsyncConnection, payment: Payment, *, untouched_since: datetime, now: datetime
) -> bool:
    """Whether the caller is the one to ask WeChat about a payment that waits, as nobody has
    since then.
    """
    claimed = await tx.execute(
        update(payments)
        .where(
            *_this(payment.order_id, payment.attempt),
            payments.c.state == "PENDING",
            payments.c.update_time <= untouched_since,
        )
        .values(update_time=now)
    )
    return claimed.rowcount == 1


def _this(order_id: int, attempt: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return payments.c.order_id == order_id, payments.c.attempt == attempt


# Notices


def store_notices(received: Iterable[StoredNotice]) -> Command[str] | None:
    """Keeps notices; the ids of those that did not come before."""
    return _STORE_NOTICES.of_rows(sorted(received, key=attrgetter("notice_id")))


def read_notices(notice_ids: Collection[str]) -> Command[NoticeBody]:
    """Stored notices as they came."""
    return _READ_NOTICES(notice_ids)


# Incidents


async def record_incident(
    tx: Transaction,
    kind: str,
    order_id: int | None,
    facts: dict[str, Any],
    *,
    now: datetime,
) -> None:
    """Puts what does not fit on the administrator's list; the same facts once more are the same
    incident.

    Of something that may happen again, and is then another, the time belongs to the facts.
    """
    content = orjson.dumps([kind, order_id, facts], option=orjson.OPT_SORT_KEYS)
    incident_id = uuid5(_INCIDENTS, content.decode())
    await run(tx, _RECORD_INCIDENT(incident_id, kind, order_id, facts, now))


async def incidents(
    tx: AsyncConnection,
    *,
    unresolved_only: bool,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Incident]:
    """Up to `limit` incidents recorded before (create_time, incident_id), the newest first."""
    position = payment_incidents.c.create_time, payment_incidents.c.incident_id
    query = _FOUND.order_by(*[column.desc() for column in position]).limit(limit)
    if unresolved_only:
        query = query.where(payment_incidents.c.resolve_time.is_(None))
    if before:
        query = query.where(tuple_(*position) < tuple_(*before))
    return [Incident(*row) for row in await tx.execute(query)]


async def resolve_incident(
    tx: AsyncConnection, incident_id: UUID, *, actor: str, comment: str, now: datetime
) -> tuple[Incident, Incident]:
    """An administrator has seen to it: as it was and as it is; who did first stays. Raises
    NOT_FOUND.
    """
    query = _FOUND.where(payment_incidents.c.incident_id == incident_id)
    row = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    if row is None:
        raise not_found("payment incident", str(incident_id))
    before = Incident(*row)
    if before.resolve_time is None:
        await tx.execute(
            update(payment_incidents)
            .where(payment_incidents.c.incident_id == incident_id)
            .values(resolve_time=now, resolved_by=actor, comment=comment)
        )
    return before, Incident(*(await tx.execute(query)).one())
