"""Promotions: discounts in a window of time, by themselves or by a code that is typed in."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import BigInteger, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, already_exists, refuse, with_names
from server.audit.rules import Fault
from server.catalog import changes, config_versions
from server.catalog.changes import ACTIVE, create, refuse_archived, trace
from server.catalog.config_versions import ConfigContent, ConfigSubject, moment_text
from server.catalog.models import products, promotions
from server.catalog.pricing import BASIS_POINTS
from server.catalog.rules import MOST_TOTAL
from server.platform.change_feed import ChangeKind
from server.platform.currencies import currency_fault
from server.platform.errors import DomainError, Reason, invalid
from server.platform.texts import read_code
from server.stock import inventory
from server.stock.ids import CHANNEL_BITS, DIRECT, PROMOTION_STOCK, promotion_stock_id
from server.stock.models import stocks

MOST_CODE_LENGTH = 32
MOST_PER_TRAVELLER = 1000
MOST_PARTY = 100
MOST_OFF_MINOR = 2_147_483_647


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
    state: str = ACTIVE
    version: int = 1


@dataclass(frozen=True)
class KeptPromotion(PromotionRecord):
    """A promotion as it is kept, with its cap: for how many orders it is, and how many of them hold
    or have used it; all 0 if it is not capped.
    """

    cap: int = 0
    held: int = 0
    used: int = 0


_CAP = stocks.c.stock_id == PROMOTION_STOCK + cast(promotions.c.promotion_id, BigInteger) * (
    1 << CHANNEL_BITS
)
PROMOTIONS = Records(
    "promotion",
    promotions.c.promotion_id,
    select(
        *(promotions.c[field.name] for field in fields(PromotionRecord)),
        func.coalesce(stocks.c.total, 0).label("cap"),
        func.coalesce(stocks.c.held, 0).label("held"),
        func.coalesce(stocks.c.sold, 0).label("used"),
    ).outerjoin(stocks, _CAP),
    KeptPromotion,
    ChangeKind.CATALOGUE,
)


async def create_promotion(
    tx: AsyncConnection, promotion: PromotionRecord, *, cap: int = 0, **by: Unpack[By]
) -> KeptPromotion:
    """A new promotion, for `cap` orders if it is capped. Raises INVALID_FIELD, ALREADY_EXISTS
    (also for the code).
    """
    code = None if promotion.code is None else read_code(promotion.code)
    promotion = with_names(replace(promotion, code=code))
    refuse([*_faults(promotion), *(_cap_faults(cap) if promotion.capped else ())])
    await _refuse_products(tx, promotion)
    await _refuse_taken_code(tx, promotion)
    await create(tx, promotions, "promotion", [promotion], **by)
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
    kept = await PROMOTIONS.get(tx, promotion.promotion_id)
    await config_versions.record(tx, _subject(promotion), None, content_of(kept), **by)
    return kept


async def update_promotion(
    tx: AsyncConnection, promotion_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> KeptPromotion:
    """Changes the given fields, for orders from now on. Whether its uses are counted is for good.

    Raises INVALID_FIELD, NOT_FOUND, ARCHIVED, ALREADY_EXISTS (the code), STOCK_IN_USE (the cap).
    """
    before = await PROMOTIONS.lock(tx, promotion_id)
    refuse_archived("promotion", promotion_id, before)
    after = await checked_promotion(tx, before, values)
    given = {name: getattr(after, name) for name in values if name != "cap"}
    await changes.change(tx, PROMOTIONS, before, given, **by)
    if after.cap != before.cap:
        await _set_cap(tx, promotion_id, after.cap, **by)
    kept = await PROMOTIONS.get(tx, promotion_id)
    await config_versions.record(tx, _subject(before), content_of(before), content_of(kept), **by)
    return kept


async def checked_promotion(
    tx: AsyncConnection, before: KeptPromotion, values: Mapping[str, Any]
) -> KeptPromotion:
    """The promotion with these fields; a `cap` of None is as it was. Raises INVALID_FIELD,
    ALREADY_EXISTS (the code), STOCK_IN_USE (the cap).
    """
    given = {name: each for name, each in values.items() if name != "cap" or each is not None}
    if given.get("code"):
        given["code"] = read_code(given["code"])
    after = with_names(replace(before, **given))
    refuse([*_faults(after), *(_cap_faults(after.cap) if after.cap != before.cap else ())])
    if after.cap != before.cap:
        _refuse_cap(before, after.cap)
    await _refuse_products(tx, after)
    if after.code != before.code:
        await _refuse_taken_code(tx, after)
    return after


VERSIONED = (
    *("code", "display_name_en", "display_name_zh", "basis_points_off", "amount_off_minor"),
    *("currency_code", "begin_time", "end_time", "min_party", "product_ids", "stackable"),
    "max_per_traveller",
)
"""The fields that a version of a promotion has beside its cap: all that can be changed."""


def content_of(promotion: KeptPromotion) -> ConfigContent:
    """What a version of a promotion has; `cap` is None if its uses are not counted."""
    content = {name: getattr(promotion, name) for name in VERSIONED}
    content["cap"] = promotion.cap if promotion.capped else None
    return content | {name: moment_text(content[name]) for name in ("begin_time", "end_time")}


def _subject(promotion: PromotionRecord) -> ConfigSubject:
    return ConfigSubject(config_versions.PROMOTION, promotion.promotion_id)


async def _set_cap(tx: AsyncConnection, promotion_id: int, cap: int, **by: Unpack[By]) -> None:
    before = await PROMOTIONS.get(tx, promotion_id)
    if not await inventory.set_total(tx, promotion_stock_id(promotion_id), cap, now=by["now"]):
        raise _cap_in_use(await PROMOTIONS.get(tx, promotion_id), cap)
    this = promotions.c.promotion_id == promotion_id
    await tx.execute(update(promotions).where(this).values(version=promotions.c.version + 1))
    values = {"before": {"cap": before.cap}, "after": {"cap": cap}}
    await trace(tx, "update", "promotion", promotion_id, **values, **by)


def _refuse_cap(promotion: KeptPromotion, cap: int) -> None:
    if not promotion.capped:
        raise invalid("cap", "its uses are not counted, for good; create another promotion")
    if cap < promotion.held + promotion.used:
        raise _cap_in_use(promotion, cap)


def _cap_in_use(promotion: KeptPromotion, cap: int) -> DomainError:
    return DomainError(
        Reason.STOCK_IN_USE,
        f"cap: {promotion.held} uses are held and {promotion.used} sold; it cannot be {cap}",
        held=promotion.held,
        sold=promotion.used,
        total=promotion.cap,
    )


async def archive_promotion(
    tx: AsyncConnection, promotion_id: int, **by: Unpack[By]
) -> KeptPromotion:
    """Ends a promotion; a repeat changes nothing. Raises NOT_FOUND."""
    before = await PROMOTIONS.lock(tx, promotion_id)
    return await changes.archive(tx, PROMOTIONS, before, **by)


async def unarchive_promotion(
    tx: AsyncConnection, promotion_id: int, **by: Unpack[By]
) -> KeptPromotion:
    """Lets an archived promotion apply again, in its window; a repeat changes nothing. Raises
    NOT_FOUND.
    """
    before = await PROMOTIONS.lock(tx, promotion_id)
    return await changes.unarchive(tx, PROMOTIONS, before, **by)


async def _refuse_taken_code(tx: AsyncConnection, promotion: PromotionRecord) -> None:
    taken = select(promotions.c.promotion_id).where(
        promotions.c.code == promotion.code, promotions.c.promotion_id != promotion.promotion_id
    )
    if promotion.code and await tx.scalar(taken):
        raise already_exists("promotion", promotion.code)


async def _refuse_products(tx: AsyncConnection, promotion: PromotionRecord) -> None:
    """Raises INVALID_FIELD for products that there are not, or that are sold in another currency
    than an amount is in.
    """
    query = select(products.c.product_id, products.c.currency_code)
    rows = await tx.execute(query.where(products.c.product_id.in_(promotion.product_ids)))
    currency = {row.product_id: row.currency_code for row in rows}
    faults: list[Fault] = []
    for index, product_id in enumerate(promotion.product_ids):
        path, off_in = f"product_ids[{index}]", promotion.currency_code
        if product_id not in currency:
            faults.append((path, f"there is no product {product_id}; create it first"))
        elif off_in and currency[product_id] != off_in:
            faults.append(
                (path, f"{product_id} is sold in {currency[product_id]}, the amount is in {off_in}")
            )
    refuse(faults)


def _faults(promotion: PromotionRecord) -> Iterator[Fault]:
    if not 1 <= promotion.promotion_id < 1 << 31:
        yield "promotion_id", "is not within 1 to 2147483647"
    if promotion.code is not None and not 1 <= len(promotion.code) <= MOST_CODE_LENGTH:
        yield "code", f"has not 1 to {MOST_CODE_LENGTH} characters; leave it out to apply by itself"
    yield from _discount_faults(promotion)
    if promotion.begin_time >= promotion.end_time:
        yield "end_time", "is not after begin_time"
    if not 1 <= promotion.min_party <= MOST_PARTY:
        yield "min_party", f"is {promotion.min_party}, not within 1 to {MOST_PARTY}; 1 is everybody"
    for product_id, times in Counter(promotion.product_ids).items():
        if times > 1:
            yield "product_ids", f"{product_id} stands there {times} times; send it once"


def _discount_faults(promotion: PromotionRecord) -> Iterator[Fault]:
    if (promotion.basis_points_off > 0) == (promotion.amount_off_minor > 0):
        yield "basis_points_off", "is one of two ways, beside amount_off_minor; send exactly one"
    if not 0 <= promotion.basis_points_off <= BASIS_POINTS:
        yield "basis_points_off", f"is not within 0 to {BASIS_POINTS}"
    if not 0 <= promotion.amount_off_minor <= MOST_OFF_MINOR:
        yield "amount_off_minor", f"is not within 0 to {MOST_OFF_MINOR}"
    if (promotion.amount_off_minor > 0) != (promotion.currency_code is not None):
        yield "currency_code", "belongs to amount_off_minor: send both, or basis_points_off alone"
    elif promotion.currency_code and (fault := currency_fault(promotion.currency_code)):
        yield "currency_code", fault
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
