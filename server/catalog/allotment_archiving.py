"""Allotments of partners that are over, until an administrator takes them back: nothing is taken of
them, and what is free of them returns to DIRECT.
"""

from datetime import datetime
from typing import Unpack
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import days_of_use, departures
from server.catalog.allotments import (
    Allotment,
    AllotmentSubject,
    channel_id,
    live_channel,
    of_stock,
    read_allotment,
    refuse_sandbox,
    release_date,
    stock_of,
    trace,
)
from server.catalog.release import return_free
from server.platform.errors import invalid, refuse_stale
from server.platform.statements import run
from server.stock import inventory
from server.stock.ids import DIRECT


async def archive_allotment(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    channel: str,
    *,
    zone: ZoneInfo,
    version: int = 0,
    **by: Unpack[By],
) -> tuple[Allotment, Allotment | None]:
    """Has nothing taken of a partner's allotment, and what is free of it return to DIRECT, now and
    when it becomes free: where DIRECT has stock of the same, and its departure or day is to come.
    What is sold stays sold, and what is held may still be. The allotment, and DIRECT's if that has
    grown; a repeat changes nothing.

    `zone` is whose days count where neither product nor fleet has a city. Raises NOT_FOUND,
    INVALID_FIELD for DIRECT and sandboxes, VERSION_MISMATCH.
    """
    partner_id = await channel_id(tx, channel)
    _require_partner(partner_id, channel)
    ids = [await stock_of(tx, subject, each) for each in (partner_id, DIRECT)]
    returns = await _is_to_come(tx, subject, zone=zone, now=by["now"])
    await inventory.lock_levels(tx, ids)
    before = await read_allotment(tx, subject, partner_id, channel)
    refuse_stale("allotment", before.name, sent=version, now=before.version)
    if before.archived:
        return before, None
    today = by["now"].astimezone(zone).date() if returns else None
    await inventory.archive(tx, before.stock_id, release_date=today, now=by["now"])
    direct = await of_stock(tx, ids[1]) if returns else None
    if direct and (moved := await return_free(tx, before, direct, "archive", **by)):
        return moved
    after = await read_allotment(tx, subject, partner_id, channel)
    return await trace(tx, before, after, "archive", **by), None


async def unarchive_allotment(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    channel: str,
    *,
    version: int = 0,
    **by: Unpack[By],
) -> Allotment:
    """Takes an archived allotment back, with what is left in it; a repeat changes nothing.

    Raises NOT_FOUND, REVOKED and ARCHIVED (the partner), INVALID_FIELD for DIRECT and sandboxes,
    VERSION_MISMATCH.
    """
    partner_id = await live_channel(tx, channel)
    _require_partner(partner_id, channel)
    is_cancelled = await _is_cancelled(tx, subject)
    before = await read_allotment(tx, subject, partner_id, channel, lock=True)
    refuse_stale("allotment", before.name, sent=version, now=before.version)
    if not before.archived:
        return before
    await inventory.unarchive(
        tx,
        before.stock_id,
        closed=is_cancelled,
        release_date=release_date(before.day, before.release_days),
        now=by["now"],
    )
    after = await read_allotment(tx, subject, partner_id, channel)
    return await trace(tx, before, after, "unarchive", **by)


def _require_partner(partner_id: int, channel: str) -> None:
    if partner_id == DIRECT:
        raise invalid(
            "channel",
            "DIRECT is our own: archive the product, cancel the departure, or set its total",
        )
    refuse_sandbox(partner_id, channel)


async def _is_to_come(
    tx: AsyncConnection, subject: AllotmentSubject, *, zone: ZoneInfo, now: datetime
) -> bool:
    """Whether it can still be sold; its departure stays as it is until the end of the
    transaction.
    """
    if subject.departure_id is not None:
        (found,) = await run(tx, departures.held(subject.departure_id))
        return found.state != departures.CANCELLED and found.departure_time > now
    if subject.use_date is None:
        return True
    return await days_of_use.is_to_come(
        tx, subject.product_id, subject.use_date, subject.fleet_id, zone=zone, now=now
    )


async def _is_cancelled(tx: AsyncConnection, subject: AllotmentSubject) -> bool:
    """Whether its departure is, which stays so until the end of the transaction."""
    if subject.departure_id is None:
        return False
    found = await run(tx, departures.held(subject.departure_id))
    return any(each.state == departures.CANCELLED for each in found)
