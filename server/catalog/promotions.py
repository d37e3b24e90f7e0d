"""Promotions, and the days of calendars that are not what their weekday says."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Unpack

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, already_exists, refuse, with_names
from server.audit.rules import Fault
from server.audit.trail import AuditedChange, audit
from server.catalog.models import holidays, promotions
from server.catalog.pricing import BASIS_POINTS
from server.catalog.rules import MOST_TOTAL
from server.catalog.transport import DAY_TYPES, MOST_MINOR, create, trace
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import run
from server.platform.texts import read_code
from server.stock import inventory
from server.stock.ids import DIRECT, promotion_stock_id

MOST_CODE_LENGTH = 32
MOST_PER_TRAVELLER = 1000


@dataclass(frozen=True)
class PromotionRecord:
    """A discount, see pricing.Promotion; without a code it applies by itself. `capped` if its uses
    are counted.

    An amount has the `currency_code` of the prices it is for. One traveller may use it in
    `max_per_traveller` orders that are held or paid, any number if None; that takes a code, since
    nobody knows who asks for a price.
    """

    promotion_id: int
    code: str | None
    display_name_en: str
    display_name_zh: str
    basis_points_off: int
    amount_off_minor: int
    begin_time: datetime
    end_time: datetime
    min_party: int
    product_ids: list[int]
    stackable: bool
    capped: bool
    currency_code: str | None = None
    max_per_traveller: int | None = None


@dataclass(frozen=True)
class Holiday:
    """A day that is not what its weekday says; a working Saturday is a `weekday` (调休)."""

    calendar_code: str
    day: date
    day_type: str
    display_name_en: str
    display_name_zh: str


async def create_promotion(
    tx: AsyncConnection, promotion: PromotionRecord, *, cap: int = 0, **by: Unpack[By]
) -> None:
    """A new promotion, for `cap` orders if it is capped. Raises INVALID_FIELD, ALREADY_EXISTS
    (also for the code).
    """
    code = None if promotion.code is None else read_code(promotion.code)
    promotion = with_names(replace(promotion, code=code))
    refuse(list(_faults(promotion, cap)))
    taken = promotions.c.code == promotion.code
    if promotion.code and await tx.scalar(select(promotions.c.promotion_id).where(taken)):
        raise already_exists("promotion", promotion.code)
    await create(tx, promotions, "promotion", [promotion], state="ACTIVE", **by)
    if promotion.capped:
        created = await inventory.create(
            tx,
            promotion_stock_id(promotion.promotion_id),
            partner_id=DIRECT,
            promotion_id=promotion.promotion_id,
            total=cap,
            now=by["now"],
        )
        assert created, "a new promotion has no cap yet"


async def set_promotion_cap(
    tx: AsyncConnection, promotion_id: int, cap: int, **by: Unpack[By]
) -> None:
    """For how many orders a capped promotion is. Raises INVALID_FIELD, NOT_FOUND, STOCK_IN_USE."""
    refuse(list(_cap_faults(cap)))
    stock_id = promotion_stock_id(promotion_id)
    row = await inventory.lock_level(tx, stock_id)
    if row is None:
        raise not_found("capped promotion", promotion_id)
    if not await inventory.set_total(tx, stock_id, cap, now=by["now"]):
        raise DomainError(
            Reason.STOCK_IN_USE,
            f"cap: {row.held} uses are held and {row.sold} sold; it cannot be {cap}",
            held=row.held,
            sold=row.sold,
            total=row.total,
        )
    before, after = {"cap": row.total}, {"cap": cap}
    await trace(tx, "update", "promotion", promotion_id, before=before, after=after, **by)


async def archive_promotion(tx: AsyncConnection, promotion_id: int, **by: Unpack[By]) -> None:
    """Ends a promotion, for good; a repeat changes nothing. Raises NOT_FOUND."""
    this = promotions.c.promotion_id == promotion_id
    state = await tx.scalar(select(promotions.c.state).where(this).with_for_update())
    if state is None:
        raise not_found("promotion", promotion_id)
    if state == "ACTIVE":
        await tx.execute(update(promotions).where(this).values(state="ARCHIVED"))
        before, after = {"state": state}, {"state": "ARCHIVED"}
        await trace(tx, "archive", "promotion", promotion_id, before=before, after=after, **by)


async def set_holidays(tx: AsyncConnection, new: Sequence[Holiday], **by: Unpack[By]) -> None:
    """Days of calendars, whatever they were before. Raises INVALID_FIELD."""
    for holiday in new:
        if holiday.day_type not in DAY_TYPES:
            raise invalid("day_type", f"is {holiday.day_type!r}; send one of {sorted(DAY_TYPES)}")
    new = [with_names(holiday) for holiday in new]
    query = select(holidays).with_for_update()
    known = {(row.calendar_code, row.day): row._asdict() for row in await tx.execute(query)}
    rows = {(each.calendar_code, each.day): asdict(each) for each in new}
    changed = {key: row for key, row in rows.items() if known.get(key) != row}
    if not changed:
        return
    added = pg_insert(holidays).values(list(changed.values()))
    values = {
        name: added.excluded[name] for name in ("day_type", "display_name_en", "display_name_zh")
    }
    await tx.execute(
        added.on_conflict_do_update(index_elements=["calendar_code", "day"], set_=values)
    )
    made = [
        AuditedChange(by["actor"], "update", "holiday", _name(*key), known.get(key), row)
        for key, row in changed.items()
    ]
    await run(tx, audit(*made, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.CATALOGUE)


async def remove_holiday(
    tx: AsyncConnection, calendar_code: str, day: date, **by: Unpack[By]
) -> None:
    """Makes a day what its weekday says. Raises NOT_FOUND."""
    this = holidays.c.calendar_code == calendar_code, holidays.c.day == day
    removed = await tx.execute(delete(holidays).where(*this).returning(holidays))
    row = removed.one_or_none()
    if row is None:
        raise not_found("holiday", _name(calendar_code, day))
    name = _name(calendar_code, day)
    await trace(tx, "delete", "holiday", name, before=asdict(Holiday(*row)), after=None, **by)


def _name(calendar_code: str, day: date) -> str:
    return f"{calendar_code}/{day}"


def _faults(promotion: PromotionRecord, cap: int) -> Iterator[Fault]:
    if not 1 <= promotion.promotion_id < 1 << 31:
        yield "promotion_id", "is not within 1 to 2147483647"
    if promotion.code is not None and not 1 <= len(promotion.code) <= MOST_CODE_LENGTH:
        yield "code", f"has not 1 to {MOST_CODE_LENGTH} characters; leave it out to apply by itself"
    yield from _discount_faults(promotion)
    if promotion.begin_time >= promotion.end_time:
        yield "end_time", "is not after begin_time"
    if promotion.min_party < 1:
        yield "min_party", f"is {promotion.min_party}; 1 is everybody"
    if promotion.capped:
        yield from _cap_faults(cap)


def _discount_faults(promotion: PromotionRecord) -> Iterator[Fault]:
    if (promotion.basis_points_off > 0) == (promotion.amount_off_minor > 0):
        yield "basis_points_off", "is one of two ways, beside amount_off_minor; send exactly one"
    if not 0 <= promotion.basis_points_off <= BASIS_POINTS:
        yield "basis_points_off", f"is not within 0 to {BASIS_POINTS}"
    if not 0 <= promotion.amount_off_minor <= MOST_MINOR:
        yield "amount_off_minor", f"is not within 0 to {MOST_MINOR}"
    if (promotion.amount_off_minor > 0) != (promotion.currency_code is not None):
        yield "currency_code", "belongs to amount_off_minor: send both, or basis_points_off alone"
    elif promotion.currency_code and not re.fullmatch("[A-Z]{3}", promotion.currency_code):
        yield "currency_code", f"{promotion.currency_code!r} is no ISO 4217 code such as CNY"
    if promotion.max_per_traveller is not None:
        if not 1 <= promotion.max_per_traveller <= MOST_PER_TRAVELLER:
            yield "max_per_traveller", f"is not within 1 to {MOST_PER_TRAVELLER}; None is no limit"
        if promotion.code is None:
            yield (
                "max_per_traveller",
                "needs a code: a price that is asked for without a log-in is anybody's",
            )


def _cap_faults(cap: int) -> Iterator[Fault]:
    if not 0 <= cap <= MOST_TOTAL:
        yield "cap", f"is {cap}, not within 0 to {MOST_TOTAL}"
