"""What the operator does to a single departure: cancels it, for good, or has it leave at another
time.

Here the departure changes, in one transaction, with its stocks locked; orders and tickets follow it
at once, as work of tasks of the outbox (server/aftersales/tasks.py).
"""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, Unpack

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog.changes import trace
from server.catalog.models import departures, products, routes, timetables
from server.catalog.operator_cause import MAX_MOVE
from server.catalog.policy import Policy
from server.catalog.timetables import FOLLOW_MOVE
from server.platform import outbox
from server.platform.errors import DomainError, Reason, invalid, not_found, refuse_stale
from server.platform.statements import Command, Statement, run
from server.platform.texts import clock_time
from server.stock import inventory
from server.stock.models import stocks
from server.webhooks import events
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import DEPARTURE_CANCELLED, DEPARTURE_MOVED, DEPARTURE_REINSTATED

CANCELLED = "CANCELLED"
FOLLOW_CANCELLATION = "departure.cancelled"
PARTNERS_FOLLOW = "departure.partners"
"""Kinds of outbox tasks, beside FOLLOW_MOVE: orders and tickets follow their departure, and what
partners have of it; the key is its number.
"""
AT_ONCE, AFTER_CHOICE = "AT_ONCE", "AFTER_CHOICE"
"""When the tickets of a cancelled departure are refunded by themselves: now, or when it would
have left.
"""


class ChangedDeparture(NamedTuple):
    """What the operator did to a departure: when it was to leave before, whether it is cancelled
    only now, and the code by which refunds and changes are free.
    """

    was_time: datetime
    is_first: bool
    waiver_code: str


async def cancel_departure(
    tx: AsyncConnection,
    departure: int,
    *,
    refunds: str,
    comment: str,
    waiver_code: str = "",
    withdrawn: bool = False,
    **by: Unpack[By],
) -> ChangedDeparture | None:
    """Cancels a departure for good, unless it is only `withdrawn`, of which nothing is held or
    sold: `reinstate` has that run again. Its tickets are refunded AT_ONCE or AFTER_CHOICE; empty:
    as its product says. Without a `waiver_code` one is made.

    A repeat changes nothing, and gives None; but one that says AT_ONCE ends the waiting for
    choices. Raises NOT_FOUND.
    """
    was = await _locked(tx, departure)
    if was.withdrawn and not withdrawn:
        await tx.execute(
            update(departures).where(departures.c.departure_id == departure).values(withdrawn=False)
        )
    if was.cancel_refunds is not None and (refunds != AT_ONCE or was.cancel_refunds == AT_ONCE):
        return None
    is_first = was.state != CANCELLED
    waiver_code = waiver_code if is_first else was.waiver_code or ""
    waiver_code = waiver_code or f"OPC-{departure}"
    after = {
        "state": CANCELLED,
        "cancel_refunds": refunds or await refunds_of_product(tx, departure),
        "waiver_code": waiver_code,
        "withdrawn": withdrawn,
    }
    this = departures.c.departure_id == departure
    await tx.execute(
        update(departures)
        .where(this)
        .values(**after, cancel_time=was.cancel_time or by["now"], version=was.version + 1)
    )
    await inventory.lock_departure(tx, departure)
    await inventory.close_departure(tx, departure, now=by["now"])
    before = {"state": was.state, "cancel_refunds": was.cancel_refunds}
    traced = {**after, "comment": comment}
    await trace(tx, "cancel", "departure", departure, before=before, after=traced, **by)
    await _ask(tx, FOLLOW_CANCELLATION, departure, now=by["now"])
    if is_first:
        await _tell_partners(tx, DEPARTURE_CANCELLED, departure, was.departure_time, by["now"])
    return ChangedDeparture(was.departure_time, is_first, waiver_code)


async def reinstate(
    tx: AsyncConnection, timetable_id: int, leaving: Mapping[date, datetime], **by: Unpack[By]
) -> int:
    """Has those departures of a timetable run again that were withdrawn, as they leave now by their
    days, with the seats that they had; those that are over stay. How many there were. Partners with
    an allotment hear of it.
    """
    columns = departures.c.departure_id, departures.c.travel_date, departures.c.version
    query = select(*columns).where(
        departures.c.timetable_id == timetable_id,
        departures.c.travel_date.in_([day for day, at in leaving.items() if at > by["now"]]),
        departures.c.withdrawn,
    )
    rows = (await tx.execute(query.order_by(departures.c.departure_id).with_for_update())).all()
    running = {"state": "SCHEDULED", "withdrawn": False, "planned_time": None, "cancel_time": None}
    running |= {"cancel_refunds": None, "waiver_code": None}
    for number, day, version in rows:
        after = {**running, "departure_time": leaving[day]}
        this = departures.c.departure_id == number
        await tx.execute(update(departures).where(this).values(**after, version=version + 1))
        await inventory.lock_departure(tx, number)
        await inventory.open_departure(tx, number, now=by["now"])
        before = {"state": CANCELLED, "withdrawn": True}
        await trace(tx, "reinstate", "departure", number, before=before, after=after, **by)
        await _tell_partners(tx, DEPARTURE_REINSTATED, number, leaving[day], by["now"])
    return len(rows)


async def move_departure(
    tx: AsyncConnection,
    departure: int,
    *,
    departure_time: datetime,
    comment: str,
    waiver_code: str = "",
    **by: Unpack[By],
) -> ChangedDeparture | None:
    """Has a departure leave its first stop at another time; a repeat changes nothing, and gives
    None. Without a `waiver_code` one is made.

    Raises INVALID_FIELD (in the past, or too far from its timetable), NOT_FOUND,
    DEPARTURE_CANCELLED.
    """
    was = await _locked(tx, departure)
    if was.state == CANCELLED:
        raise _stands_still(departure)
    if was.departure_time == departure_time:
        return None
    planned_time = was.planned_time or was.departure_time
    _require_move(departure_time, planned_time, by["now"])
    waiver_code = waiver_code or f"OPM-{departure}"
    await tx.execute(
        update(departures)
        .where(departures.c.departure_id == departure)
        .values(
            departure_time=departure_time,
            planned_time=planned_time,
            waiver_code=waiver_code,
            version=was.version + 1,
        )
    )
    # whoever sells a ticket at once, without an order that waits, has read the old time before, and
    # is done then
    await inventory.lock_departure(tx, departure)
    before = {"departure_time": was.departure_time}
    after = {
        "departure_time": departure_time,
        "waiver_code": waiver_code,
        "comment": comment,
    }
    await trace(tx, "move", "departure", departure, before=before, after=after, **by)
    await _ask(tx, FOLLOW_MOVE, departure, now=by["now"])
    await _tell_partners(tx, DEPARTURE_MOVED, departure, departure_time, by["now"])
    return ChangedDeparture(was.departure_time, is_first=True, waiver_code=waiver_code)


async def require_change(
    tx: AsyncConnection,
    departure: int,
    departure_time: datetime | None,
    *,
    now: datetime,
    lock: bool,
) -> None:
    """Refuses what `cancel_departure` refuses, or `move_departure` if there is a time, and with
    `lock` has nobody else change the departure until the end of the transaction.
    """
    was = await _locked(tx, departure, lock=lock)
    if departure_time is None:
        return
    if was.state == CANCELLED:
        raise _stands_still(departure)
    _require_move(departure_time, was.planned_time or was.departure_time, now)


def _stands_still(departure: int) -> DomainError:
    return departure_cancelled(departure, "it does not leave at any time")


def _require_move(departure_time: datetime, planned_time: datetime, now: datetime) -> None:
    if departure_time <= now:
        raise invalid("departure_time", "is over; send a time to come, or cancel the departure")
    if abs(departure_time - planned_time) > MAX_MOVE:
        hours = MAX_MOVE.total_seconds() / 3600
        raise invalid(
            "departure_time",
            f"is more than {hours:.0f} hours from {clock_time(planned_time)}, when it was to leave;"
            " cancel it, and have another departure run",
        )


async def set_departure_state(
    tx: AsyncConnection, departure: int, state: str, **by: Unpack[By]
) -> ChangedDeparture | None:
    """Cancels a departure as its product says; SCHEDULED changes nothing.

    Raises INVALID_FIELD, NOT_FOUND, DEPARTURE_CANCELLED for one that is to run after all.
    """
    if state not in ("SCHEDULED", CANCELLED):
        raise invalid("state", f"is {state!r}; send SCHEDULED or CANCELLED")
    if state == CANCELLED:
        return await cancel_departure(tx, departure, refunds="", comment="", **by)
    if (await _locked(tx, departure)).state == CANCELLED:
        raise departure_cancelled(departure, "it cannot run after all: its tickets are given back")
    return None


async def require_version(tx: AsyncConnection, departure: int, version: int) -> None:
    """Locks the departure if it is of that version still; 0 is any, and locks nothing.

    Raises NOT_FOUND, VERSION_MISMATCH.
    """
    if version:
        was = await _locked(tx, departure)
        refuse_stale("departure", departure, sent=version, now=was.version)


class DepartureNow(NamedTuple):
    """A departure as it is now."""

    departure_id: int
    state: str
    departure_time: datetime


_HELD = Statement(
    """
SELECT departure_id, state, departure_time FROM departures
WHERE departure_id = ANY($1::bigint[]) ORDER BY departure_id FOR SHARE
""",
    DepartureNow,
)
_NOW = Statement(
    """
SELECT departure_id, state, departure_time FROM departures WHERE departure_id = ANY($1::bigint[])
""",
    DepartureNow,
)


def held(departure_id: int) -> Command[DepartureNow]:
    """The departure, which nobody cancels or moves until the end of the transaction."""
    return _HELD([departure_id])


def as_they_are(departure_ids: Collection[int]) -> Command[DepartureNow] | None:
    """Departures as they are now."""
    return _NOW(sorted(departure_ids)) if departure_ids else None


async def hold_departure(tx: AsyncConnection, departure: int, *, now: datetime) -> None:
    """Has nobody cancel or move a departure until the end of the transaction. Raises NOT_FOUND,
    DEPARTURE_CANCELLED, INVALID_FIELD for one that has left.
    """
    query = select(departures.c.state, departures.c.departure_time)
    query = query.where(departures.c.departure_id == departure).with_for_update(read=True)
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_found("departure", departure)
    if row.state == CANCELLED:
        raise departure_cancelled(departure, "its stock stays where it is")
    if row.departure_time <= now:
        raise departure_left(row.departure_time)


def departure_left(departure_time: datetime) -> DomainError:
    """INVALID_FIELD for a departure that has left."""
    return invalid("departure_id", f"left at {clock_time(departure_time)}; name one to come")


def departure_cancelled(departure_id: int, remedy: str) -> DomainError:
    """DEPARTURE_CANCELLED, with what is done or to be done instead."""
    return DomainError(
        Reason.DEPARTURE_CANCELLED,
        f"departure {departure_id} is cancelled; {remedy}",
        departure_id=departure_id,
    )


async def _locked(
    tx: AsyncConnection, departure: int, *, lock: bool = True
) -> Row[Any, Any, Any, Any, Any, Any, Any, Any]:
    query = select(
        departures.c.state,
        departures.c.departure_time,
        departures.c.planned_time,
        departures.c.cancel_time,
        departures.c.cancel_refunds,
        departures.c.waiver_code,
        departures.c.withdrawn,
        departures.c.version,
    )
    query = query.where(departures.c.departure_id == departure)
    row = (await tx.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise not_found("departure", departure)
    return row


async def refunds_of_product(tx: AsyncConnection, departure: int) -> str:
    """When its tickets are refunded, if whoever cancels it does not say: AT_ONCE or
    AFTER_CHOICE.
    """
    policy = await tx.scalar(
        select(products.c.policy)
        .join(routes, routes.c.product_id == products.c.product_id)
        .join(timetables, timetables.c.route_id == routes.c.route_id)
        .join(departures, departures.c.timetable_id == timetables.c.timetable_id)
        .where(departures.c.departure_id == departure)
    )
    return AFTER_CHOICE if Policy.parse(policy or {}).refund_after_choice else AT_ONCE


async def _tell_partners(
    tx: AsyncConnection, kind: str, departure: int, departure_time: datetime, now: datetime
) -> None:
    """Each partner with an allotment of the departure hears of it, and what it has follows."""
    query = select(stocks.c.partner_id, stocks.c.product_id).distinct()
    query = query.where(stocks.c.departure_id == departure, stocks.c.partner_id > 0)
    rows = (await tx.execute(query.order_by(stocks.c.partner_id))).all()
    if not rows:
        return
    data = {
        "departure_id": str(departure),
        "departure_time": departure_time.astimezone(UTC).isoformat(),
    }
    heard = [
        PartnerEvent(row.partner_id, kind, str(departure), data | {"product_id": row.product_id})
        for row in rows
    ]
    await run(tx, events.record(*heard, now=now))
    await _ask(tx, PARTNERS_FOLLOW, departure, now=now)


async def _ask(tx: AsyncConnection, kind: str, departure: int, *, now: datetime) -> None:
    await run(tx, outbox.enqueue(outbox.NewTask(kind, str(departure), {}, now), now=now))
