"""Allotments: how much of a product, of a class of a departure, of a day of use or of a fleet's day
each sales channel has (DOMAIN, Stock).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, Unpack
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, already_exists, archived, shown
from server.audit.rules import DIRECT_CHANNEL
from server.audit.trail import AuditedChange, audit
from server.catalog.days_of_use import require_to_come
from server.catalog.departures import hold_departure
from server.catalog.models import rental_fleets
from server.catalog.products import PRODUCTS, refuse_archived
from server.catalog.rules import MOST_TOTAL
from server.parties.models import partners
from server.parties.partners import PARTNERS
from server.parties.rules import SANDBOX_BIT, is_sandbox, live_id
from server.platform.change_feed import ChangeKind, publish
from server.platform.errors import DomainError, Reason, invalid, not_found, refuse_stale
from server.platform.statements import run_together
from server.stock import inventory
from server.stock.ids import DIRECT, day_stock_id, departure_parts, rental_stock_id, stock_id
from server.stock.models import stocks
from server.webhooks import events
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import ALLOTMENT_ADJUSTED


class AllotmentSubject(NamedTuple):
    """What an allotment is of: a product, or a class of one departure or one day of use of it; of a
    rental the cars of one of its fleets on one day.
    """

    product_id: int
    departure_id: int | None = None
    fare_class: str = ""
    use_date: date | None = None
    fleet_id: int | None = None

    def name(self, channel: str) -> str:
        """What it is called in errors and the audit trail, as the allotment of a channel."""
        parts = [str(self.product_id), channel]
        if self.departure_id is not None:
            parts += [str(self.departure_id), self.fare_class]
        if self.fleet_id is not None:
            parts.append(str(self.fleet_id))
        if self.use_date is not None:
            parts.append(self.use_date.isoformat())
        return "/".join(parts)


@dataclass(frozen=True, slots=True)
class Allotment:
    """Stock of one product, or of a part of it (see AllotmentSubject), for one channel: a
    partner_code, or DIRECT.

    Reservations of it last `hold_seconds`, and `max_hold_seconds` at the most; None as the settings
    say. What is free of it returns to DIRECT `release_days` before its day; None never.
    """

    stock_id: int
    product_id: int
    departure_id: int | None
    fare_class: str | None
    use_date: date | None
    fleet_id: int | None
    channel: str
    partner_id: int
    total: int
    held: int
    sold: int
    hold_seconds: int | None
    max_hold_seconds: int | None
    release_days: int | None
    update_time: datetime
    version: int
    archived: bool

    @property
    def subject(self) -> AllotmentSubject:
        """What it is of."""
        return AllotmentSubject(
            *(self.product_id, self.departure_id, self.fare_class or "", self.use_date),
            self.fleet_id,
        )

    @property
    def day(self) -> date | None:
        """The single day that it is of, if it is of one."""
        if self.departure_id is not None:
            return departure_parts(self.departure_id)[1]
        return self.use_date

    @property
    def name(self) -> str:
        """In errors and the audit trail."""
        return self.subject.name(self.channel)


ALLOTMENTS = (
    select(
        stocks.c.stock_id,
        stocks.c.product_id,
        stocks.c.departure_id,
        stocks.c.fare_class,
        stocks.c.use_date,
        stocks.c.fleet_id,
        func.coalesce(partners.c.partner_code, DIRECT_CHANNEL).label("channel"),
        stocks.c.partner_id,
        stocks.c.total,
        stocks.c.held,
        stocks.c.sold,
        stocks.c.hold_seconds,
        stocks.c.max_hold_seconds,
        stocks.c.release_days,
        stocks.c.update_time,
        stocks.c.allotment_version.label("version"),
        stocks.c.archived,
    )
    .outerjoin(partners, partners.c.partner_id == stocks.c.partner_id)
    .where(stocks.c.promotion_id.is_(None))
)


async def create_allotment(
    tx: AsyncConnection, *, product_id: int, channel: str, total: int, **by: Unpack[By]
) -> Allotment:
    """Stock for a channel that had none of the product.

    Raises ALREADY_EXISTS, NOT_FOUND for product and channel, REVOKED, PRODUCT_NOT_ON_SALE.
    """
    refuse_archived(await PRODUCTS.share(tx, product_id))
    partner_id = await live_channel(tx, channel)
    created = await inventory.create(
        tx,
        stock_id(product_id, partner_id),
        partner_id=partner_id,
        product_id=product_id,
        total=total,
        now=by["now"],
    )
    if not created:
        raise already_exists("allotment", AllotmentSubject(product_id).name(channel))
    if partner_id == DIRECT:  # a package is on sale from now on
        await publish(tx, ChangeKind.CATALOGUE)
    else:
        await inventory.copy_to_sandbox(
            tx, partner_id, stock=stock_id(product_id, partner_id), now=by["now"]
        )
    made = await get_allotment(tx, AllotmentSubject(product_id), channel)
    return await trace(tx, None, made, "create", **by)


async def get_allotment(
    tx: AsyncConnection, subject: AllotmentSubject, channel: str, *, lock: bool = False
) -> Allotment:
    """The stock of a channel now. Raises NOT_FOUND, INVALID_FIELD."""
    return await read_allotment(tx, subject, await channel_id(tx, channel), channel, lock=lock)


async def read_allotment(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    partner_id: int,
    channel: str,
    *,
    lock: bool = False,
) -> Allotment:
    """The same, of a channel that is known. Raises NOT_FOUND, INVALID_FIELD."""
    found = await of_stock(tx, await stock_of(tx, subject, partner_id), lock=lock)
    if found is None:
        raise not_found("allotment", subject.name(channel))
    return found


async def of_stock(tx: AsyncConnection, stock: int, *, lock: bool = False) -> Allotment | None:
    """The allotment with this key; None if there is none."""
    query = ALLOTMENTS.where(stocks.c.stock_id == stock)
    found = await tx.execute(query.with_for_update(of=stocks) if lock else query)
    row = found.mappings().one_or_none()
    return Allotment(**row) if row else None


async def stock_of(tx: AsyncConnection, subject: AllotmentSubject, partner_id: int) -> int:
    """The key of a channel's stock, whether or not there is any. What is of a day is of partners
    alone: our own channel has one stock of the product for all days; of a fleet it has one a day.

    Raises NOT_FOUND for a departure without such a class, or it or a fleet of another product,
    INVALID_FIELD.
    """
    product_id, departure_id, fare_class, use_date, fleet_id = subject
    if fleet_id is not None:
        return await _stock_of_fleet(tx, subject, partner_id)
    if departure_id is not None and use_date is not None:
        raise invalid("use_date", "send this, or departure_id with fare_class")
    if bool(fare_class) != (departure_id is not None):
        missing = "departure_id" if fare_class else "fare_class"
        raise invalid(missing, "is missing; a departure's stock is named with its class")
    if departure_id is not None:
        query = select(stocks.c.stock_id).where(
            stocks.c.departure_id == departure_id,
            stocks.c.fare_class == fare_class,
            stocks.c.product_id == product_id,
            stocks.c.partner_id == DIRECT,
        )
        direct = await tx.scalar(query)
        if direct is None:
            raise not_found("departure", f"{departure_id}/{fare_class}")
        return int(direct) | partner_id
    if use_date is None or partner_id == DIRECT:
        return stock_id(product_id, partner_id)
    try:
        return day_stock_id(product_id, use_date, partner_id)
    except ValueError as error:
        raise invalid("use_date", f"has no stock of its own: {error}") from None


async def _stock_of_fleet(tx: AsyncConnection, subject: AllotmentSubject, partner_id: int) -> int:
    product_id, departure_id, fare_class, use_date, fleet_id = subject
    assert fleet_id is not None, "it is of a fleet"
    if departure_id is not None or fare_class:
        raise invalid("fleet_id", "send this with use_date, or departure_id with fare_class")
    if use_date is None:
        raise invalid("use_date", "is missing; a fleet's stock is named with its day")
    of_product = select(rental_fleets.c.fleet_id).where(
        rental_fleets.c.fleet_id == fleet_id, rental_fleets.c.product_id == product_id
    )
    if await tx.scalar(of_product) is None:
        raise not_found("rental_fleet", f"{product_id}/{fleet_id}")
    try:
        return rental_stock_id(fleet_id, use_date, partner_id)
    except ValueError as error:
        raise invalid("use_date", f"has no stock of its own: {error}") from None


async def list_allotments(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    *,
    channel: str,
    is_archived: bool | None = None,
    after: int | None,
    limit: int,
) -> list[Allotment]:
    """Up to `limit` allotments after the stock id `after`; empty filters do not count, but that
    allotments of departures, days and fleets are listed only by these, of a fleet all days unless
    one is named, and those of a sandbox only by its code as the `channel`. Raises NOT_FOUND
    (channel).
    """
    query = (
        ALLOTMENTS.where(
            stocks.c.departure_id == subject.departure_id,
            stocks.c.fleet_id == subject.fleet_id,
        )
        .order_by(stocks.c.stock_id)
        .limit(limit)
    )
    if subject.fleet_id is None or subject.use_date is not None:
        query = query.where(stocks.c.use_date == subject.use_date)
    if subject.product_id:
        query = query.where(stocks.c.product_id == subject.product_id)
    if subject.fare_class:
        query = query.where(stocks.c.fare_class == subject.fare_class)
    if channel:
        query = query.where(stocks.c.partner_id == await channel_id(tx, channel))
    else:
        query = query.where(stocks.c.partner_id < SANDBOX_BIT)
    if is_archived is not None:
        query = query.where(stocks.c.archived.is_(is_archived))
    if after is not None:
        query = query.where(stocks.c.stock_id > after)
    return [Allotment(**row) for row in (await tx.execute(query)).mappings()]


async def update_allotment(
    tx: AsyncConnection,
    *,
    product_id: int,
    channel: str,
    total: int,
    version: int = 0,
    **by: Unpack[By],
) -> Allotment:
    """Sets the total; `version` is the one that was read, 0 any. Raises NOT_FOUND, STOCK_IN_USE if
    it would be less than is held and sold, VERSION_MISMATCH, ARCHIVED.
    """
    subject = AllotmentSubject(product_id)
    before = await get_allotment(tx, subject, channel, lock=True)
    refuse_sandbox(before.partner_id, channel)
    refuse_stale("allotment", before.name, sent=version, now=before.version)
    _refuse_archived(before)
    if not await inventory.set_total(tx, before.stock_id, total, now=by["now"]):
        raise _stock_in_use(before, total)
    return await trace(tx, before, await get_allotment(tx, subject, channel), "update", **by)


async def set_terms(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    channel: str,
    *,
    hold_seconds: int | None,
    max_hold_seconds: int | None,
    release_days: int | None,
    version: int = 0,
    **by: Unpack[By],
) -> Allotment:
    """Sets how long reservations of an allotment last, and when what is free of it returns to
    DIRECT; `version` is the one that was read, 0 any. Raises NOT_FOUND, INVALID_FIELD,
    VERSION_MISMATCH, ARCHIVED.
    """
    before = await get_allotment(tx, subject, channel, lock=True)
    refuse_sandbox(before.partner_id, channel)
    refuse_stale("allotment", before.name, sent=version, now=before.version)
    _refuse_archived(before)
    day = before.day
    if release_days is not None and (day is None or before.partner_id == DIRECT):
        raise invalid("release_days", "is for a partner's stock of a departure or day")
    if hold_seconds and max_hold_seconds and hold_seconds > max_hold_seconds:
        raise invalid("hold_seconds", f"is more than max_hold_seconds, {max_hold_seconds}")
    await inventory.set_terms(
        tx,
        before.stock_id,
        hold_seconds=hold_seconds,
        max_hold_seconds=max_hold_seconds,
        release_days=release_days,
        release_date=release_date(day, release_days),
    )
    if before.partner_id != DIRECT:
        await inventory.copy_to_sandbox(tx, before.partner_id, stock=before.stock_id, now=by["now"])
    return await trace(tx, before, await get_allotment(tx, subject, channel), "set_terms", **by)


async def move_allotment(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    *,
    from_channel: str,
    to_channel: str,
    quantity: int,
    zone: ZoneInfo,
    comment: str = "",
    creates: bool = False,
    **by: Unpack[By],
) -> tuple[Allotment, Allotment]:
    """Moves stock between channels; returns the one that shrank and the one that grew, which is
    made if it `creates` what is not there.

    Of a day that is over it moves back to DIRECT alone; `zone` is whose days count where neither
    product nor fleet has a city. Raises INVALID_FIELD (also for a departure that
    has left), NOT_FOUND, STOCK_IN_USE, REVOKED for the partner whose stock would grow,
    DEPARTURE_CANCELLED, ARCHIVED.
    """
    if from_channel == to_channel:
        raise invalid("to_channel", "is from_channel; name another")
    from_id, to_id = await channel_id(tx, from_channel), await live_channel(tx, to_channel)
    refuse_sandbox(from_id, from_channel)
    if to_id != DIRECT and subject.use_date:  # nobody could sell it there
        await require_to_come(
            *(tx, subject.product_id, subject.use_date, subject.fleet_id),
            zone=zone,
            now=by["now"],
        )
    ids = [await stock_of(tx, subject, each) for each in (from_id, to_id)]
    if subject.departure_id is not None:
        await hold_departure(tx, subject.departure_id, now=by["now"])
    if creates:
        await inventory.create_like(
            tx, ids[1], of=ids[0], partner_id=to_id, use_date=subject.use_date, now=by["now"]
        )
        if to_id == DIRECT:  # it may be on sale from now on
            await publish(tx, ChangeKind.CATALOGUE)
    # in one order, so that two moves in opposite directions do not wait for each other
    await inventory.lock_levels(tx, ids)
    source = await read_allotment(tx, subject, from_id, from_channel)
    target = await read_allotment(tx, subject, to_id, to_channel)
    for each in (source, target):
        _refuse_archived(each)
    if not await inventory.add_to_total(
        tx, source.stock_id, -quantity, limit=MOST_TOTAL, now=by["now"]
    ):
        raise _stock_in_use(source, source.total - quantity)
    if not await inventory.add_to_total(
        tx, target.stock_id, quantity, limit=MOST_TOTAL, now=by["now"]
    ):
        raise invalid("quantity", f"{to_channel} would have more than {MOST_TOTAL}")
    if creates and to_id != DIRECT:
        await inventory.copy_to_sandbox(tx, to_id, stock=ids[1], now=by["now"])
    action = "adjust" if creates else "move"
    shrunk = await read_allotment(tx, subject, from_id, from_channel)
    grown = await read_allotment(tx, subject, to_id, to_channel)
    return (
        await trace(tx, source, shrunk, action, comment=comment, **by),
        await trace(tx, target, grown, action, comment=comment, **by),
    )


async def set_test_stock(
    tx: AsyncConnection,
    subject: AllotmentSubject,
    *,
    sandbox_id: int,
    sandbox_code: str,
    total: int,
    version: int = 0,
    zone: ZoneInfo,
    **by: Unpack[By],
) -> Allotment:
    """Sets the total of a sandbox's stock, which comes from no channel: of a product that its
    partner has stock of, or of a class of a departure or a day of use of that; `version` is the one
    that was read, 0 any.

    Raises PRODUCT_NOT_ON_SALE, NOT_FOUND, INVALID_FIELD, DEPARTURE_CANCELLED, STOCK_IN_USE,
    VERSION_MISMATCH.
    """
    of_departures = subject.departure_id is not None
    source = await inventory.stock_of_product(
        tx, live_id(sandbox_id), subject.product_id, of_departures=of_departures
    )
    if source is None:
        raise inventory.not_on_sale(subject.product_id)
    if subject.use_date is not None:
        await require_to_come(tx, subject.product_id, subject.use_date, zone=zone, now=by["now"])
    if subject.departure_id is not None:
        await hold_departure(tx, subject.departure_id, now=by["now"])
        source = await stock_of(tx, subject, DIRECT)
    stock = await stock_of(tx, subject, sandbox_id)
    created = await inventory.create_like(
        tx, stock, of=source, partner_id=sandbox_id, use_date=subject.use_date, now=by["now"]
    )
    before = await read_allotment(tx, subject, sandbox_id, sandbox_code, lock=True)
    refuse_stale("allotment", before.name, sent=version, now=before.version)
    if not await inventory.set_total(tx, stock, total, now=by["now"]):
        raise _stock_in_use(before, total)
    after = await read_allotment(tx, subject, sandbox_id, sandbox_code)
    return await trace(
        tx, None if created else before, after, "create" if created else "update", **by
    )


async def channel_id(tx: AsyncConnection, channel: str) -> int:
    """The number of a channel. Raises NOT_FOUND."""
    if channel == DIRECT_CHANNEL:
        return DIRECT
    return (await PARTNERS.get(tx, channel)).partner_id


async def live_channel(tx: AsyncConnection, channel: str) -> int:
    """The number of a channel that is not revoked until the end of the transaction. Raises
    NOT_FOUND, REVOKED, INVALID_FIELD for a sandbox.
    """
    if channel == DIRECT_CHANNEL:
        return DIRECT
    partner_id = (await PARTNERS.rely_on(tx, channel)).partner_id
    refuse_sandbox(partner_id, channel)
    return partner_id


def release_date(day: date | None, release_days: int | None) -> date | None:
    """When what is free of an allotment of a day returns to DIRECT; None for never."""
    return day - timedelta(days=release_days) if day and release_days is not None else None


def _refuse_archived(allotment: Allotment) -> None:
    if allotment.archived:
        raise archived("allotment", allotment.name)


def refuse_sandbox(partner_id: int, channel: str) -> None:
    """Stock for trying is none of ours: it comes from no channel and goes to none."""
    if is_sandbox(partner_id):
        raise invalid("channel", f"{channel} is a sandbox, whose partner sets its test stock")


def _stock_in_use(allotment: Allotment, total: int) -> DomainError:
    return DomainError(
        Reason.STOCK_IN_USE,
        f"{allotment.channel} holds {allotment.held} and sold {allotment.sold} of"
        f" {allotment.total}; it cannot have {total}",
        held=allotment.held,
        sold=allotment.sold,
        total=allotment.total,
    )


async def trace(
    tx: AsyncConnection,
    before: Allotment | None,
    after: Allotment,
    action: str,
    *,
    comment: str = "",
    **by: Unpack[By],
) -> Allotment:
    """Records a change for the audit trail, and for the partner whose total is another now."""
    said = {"comment": comment} if comment else {}
    record = AuditedChange(
        actor=by["actor"],
        action=action,
        resource="allotment",
        name=after.name,
        before=shown(before) if before else None,
        after=shown(after) | said,
    )
    change = after.total - (before.total if before else 0)
    heard = [_adjusted(after, change)] if after.partner_id != DIRECT and change else []
    now = by["now"]
    await run_together(tx, audit(record, now=now), events.record(*heard, now=now))
    return after


def _adjusted(allotment: Allotment, change: int) -> PartnerEvent:
    """What a partner hears of its allotment: by how much it has changed, and what it is now."""
    data: dict[str, Any] = {
        "product_id": allotment.product_id,
        "quantity": change,
        "total": allotment.total,
    }
    if allotment.departure_id is not None:
        data["departure_id"] = str(allotment.departure_id)
        data["fare_class"] = allotment.fare_class
    if allotment.fleet_id is not None:
        data["fleet_id"] = allotment.fleet_id
    if allotment.use_date is not None:
        data["use_date"] = allotment.use_date.isoformat()
    return PartnerEvent(allotment.partner_id, ALLOTMENT_ADJUSTED, allotment.name, data)
