"""Extras of rentals: damage waiver, extended area, navigation, child seats, additional drivers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, already_exists, refuse, with_names
from server.audit.rules import Fault
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, refuse_archived
from server.catalog.limits import MOST_SURCHARGE_MINOR, code_faults, number_faults
from server.catalog.models import products, rental_extras
from server.catalog.rental_rules import PER_DAY, PER_RENTAL
from server.platform.change_feed import ChangeKind
from server.platform.currencies import currency_fault

EXTRA_CODE = "[a-z][a-z0-9_]{0,31}"
LIMITS = {
    "extra_id": (1, 99),
    "amount_minor": (0, MOST_SURCHARGE_MINOR),
    "max_quantity": (1, 9),
    "max_amount_minor": (0, MOST_SURCHARGE_MINOR),
}
"""Least and most of each number."""
MOST_PRODUCTS = 200


@dataclass(frozen=True)
class RentalExtra:
    """What a driver may have besides the car, at most `max_quantity` with each; one costs
    `amount_minor` for each day or the rental, as `charge_basis` says, and not more than
    `max_amount_minor`, unless that is 0. Without `product_ids` it is for all in its currency.
    """

    extra_id: int
    extra_code: str
    display_name_en: str
    display_name_zh: str
    charge_basis: str
    amount_minor: int
    currency_code: str
    max_quantity: int
    max_amount_minor: int
    product_ids: list[int]
    state: str = ACTIVE
    version: int = 1


EXTRAS = Records(
    "rental_extra",
    rental_extras.c.extra_id,
    select(*(rental_extras.c[field.name] for field in fields(RentalExtra))),
    RentalExtra,
    ChangeKind.CATALOGUE,
)


async def create_extra(tx: AsyncConnection, extra: RentalExtra, **by: Unpack[By]) -> RentalExtra:
    """A new extra. Raises INVALID_FIELD, ALREADY_EXISTS (number or code)."""
    extra = with_names(extra)
    await _check(tx, extra)
    other = select(rental_extras.c.extra_id).where(
        rental_extras.c.extra_code == extra.extra_code, rental_extras.c.extra_id != extra.extra_id
    )
    if await tx.scalar(other) is not None:
        raise already_exists("rental_extra", extra.extra_code)
    await create(tx, rental_extras, "rental_extra", [extra], **by)
    return await EXTRAS.get(tx, extra.extra_id)


async def update_extra(
    tx: AsyncConnection, extra_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> RentalExtra:
    """Changes the given fields for what is sold from now on. Raises INVALID_FIELD, NOT_FOUND,
    ARCHIVED.
    """
    before = await EXTRAS.lock(tx, extra_id)
    refuse_archived("rental_extra", extra_id, before)
    after = with_names(replace(before, **values))
    await _check(tx, after)
    return await changes.change(
        tx, EXTRAS, before, {name: getattr(after, name) for name in values}, **by
    )


async def archive_extra(tx: AsyncConnection, extra_id: int, **by: Unpack[By]) -> RentalExtra:
    """Takes an extra off sale; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.archive(tx, EXTRAS, await EXTRAS.lock(tx, extra_id), **by)


async def unarchive_extra(tx: AsyncConnection, extra_id: int, **by: Unpack[By]) -> RentalExtra:
    """Takes an archived extra back; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.unarchive(tx, EXTRAS, await EXTRAS.lock(tx, extra_id), **by)


async def _check(tx: AsyncConnection, extra: RentalExtra) -> None:
    refuse(list(_faults(extra)))
    query = select(products.c.product_id).where(
        products.c.product_id.in_(extra.product_ids),
        products.c.kind == "RENTAL",
        products.c.currency_code == extra.currency_code,
    )
    known = set(await tx.scalars(query))
    refuse(
        [
            (f"product_ids[{index}]", f"{each} is no rental sold in {extra.currency_code}")
            for index, each in enumerate(extra.product_ids)
            if each not in known
        ]
    )


def _faults(extra: RentalExtra) -> Iterator[Fault]:
    if extra.charge_basis not in (PER_DAY, PER_RENTAL):
        yield "charge_basis", f"is {extra.charge_basis!r}; name {PER_DAY} or {PER_RENTAL}"
    yield from number_faults(vars(extra), LIMITS)
    yield from code_faults("extra_code", extra.extra_code, EXTRA_CODE)
    if fault := currency_fault(extra.currency_code):
        yield "currency_code", fault
    if len(extra.product_ids) > MOST_PRODUCTS:
        yield "product_ids", f"are {len(extra.product_ids)}; at most {MOST_PRODUCTS}"
    if extra.max_amount_minor and extra.max_amount_minor < extra.amount_minor:
        yield "max_amount_minor", f"is below amount_minor, {extra.amount_minor}; or 0 for none"
    if len(set(extra.product_ids)) < len(extra.product_ids):
        yield "product_ids", "names one twice; send each once"
