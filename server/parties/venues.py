"""Merchants, their venues, and the terminals there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, checked
from server.parties.models import merchants, terminals, venues
from server.platform.change_feed import ChangeKind
from server.platform.errors import invalid

DEFAULT_REVERSAL_WINDOW_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant, and the function codes it may redeem."""

    merchant_code: str
    display_name: str
    function_codes: list[str]
    reversal_window_seconds: int
    state: str
    create_time: datetime
    update_time: datetime
    version: int
    offline_pack_seconds: int
    offline_clock_seconds: int
    offline_over_admission: bool
    offline_bears_refunds: bool


@dataclass(frozen=True, slots=True)
class Venue:
    """A merchant's venue; without function codes of its own it redeems all the merchant may, and
    what it has not of a policy for terminals without network is the merchant's.
    """

    venue_code: str
    merchant_code: str
    display_name: str
    time_zone: str
    function_codes: list[str]
    state: str
    create_time: datetime
    update_time: datetime
    version: int
    offline_pack_seconds: int | None
    offline_clock_seconds: int | None
    offline_over_admission: bool | None
    offline_bears_refunds: bool | None


@dataclass(frozen=True, slots=True)
class Terminal:
    """A device at a venue."""

    terminal_device_id: str
    venue_code: str
    display_name: str
    state: str
    create_time: datetime
    update_time: datetime
    version: int


class NewMerchant(TypedDict):
    """The fields of a new merchant."""

    merchant_code: str
    display_name: str
    function_codes: Sequence[str]
    reversal_window_seconds: int


class NewVenue(TypedDict):
    """The fields of a new venue."""

    venue_code: str
    merchant_code: str
    display_name: str
    time_zone: str
    function_codes: Sequence[str]


class NewTerminal(TypedDict):
    """The fields of a new terminal."""

    terminal_device_id: str
    venue_code: str
    display_name: str


MERCHANTS = Records(
    "merchant", merchants.c.merchant_code, select(merchants), Merchant, ChangeKind.MERCHANT
)
VENUES = Records("venue", venues.c.venue_code, select(venues), Venue, ChangeKind.VENUE)
TERMINALS = Records(
    "terminal",
    terminals.c.terminal_device_id,
    select(terminals),
    Terminal,
    ChangeKind.TERMINAL,
)


async def create_merchant(tx: AsyncConnection, merchant: NewMerchant, **by: Unpack[By]) -> Merchant:
    """A new merchant. Raises INVALID_FIELD, ALREADY_EXISTS."""
    return await MERCHANTS.create(tx, checked({**merchant, "state": "ACTIVE"}), **by)


async def update_merchant(
    tx: AsyncConnection, merchant_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> Merchant:
    """Changes the given fields. Raises INVALID_FIELD, NOT_FOUND, REVOKED, ARCHIVED."""
    before = await MERCHANTS.lock_active(tx, merchant_code)
    return await MERCHANTS.change(tx, before, checked(values), **by)


async def create_venue(tx: AsyncConnection, venue: NewVenue, **by: Unpack[By]) -> Venue:
    """A new venue of a merchant. Raises INVALID_FIELD, ALREADY_EXISTS; NOT_FOUND and REVOKED for
    the merchant.
    """
    values = checked({**venue, "state": "ACTIVE"})
    merchant = await MERCHANTS.rely_on(tx, venue["merchant_code"])
    _refuse_foreign_functions(merchant, venue["function_codes"])
    return await VENUES.create(tx, values, **by)


async def update_venue(
    tx: AsyncConnection, venue_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> Venue:
    """Changes the given fields. Raises INVALID_FIELD, NOT_FOUND, REVOKED, ARCHIVED."""
    before = await VENUES.lock_active(tx, venue_code)
    merchant = await MERCHANTS.get(tx, before.merchant_code)
    _refuse_foreign_functions(merchant, values.get("function_codes", ()))
    return await VENUES.change(tx, before, checked(values), **by)


async def create_terminal(tx: AsyncConnection, terminal: NewTerminal, **by: Unpack[By]) -> Terminal:
    """A new terminal. Raises ALREADY_EXISTS; NOT_FOUND and REVOKED for the venue, REVOKED for
    its merchant.
    """
    await rely_on_venue(tx, terminal["venue_code"])
    return await TERMINALS.create(tx, {**terminal, "state": "ACTIVE"}, **by)


async def update_terminal(
    tx: AsyncConnection, terminal_device_id: str, values: Mapping[str, Any], **by: Unpack[By]
) -> Terminal:
    """Changes the given fields. Raises NOT_FOUND and REVOKED, also for a new venue."""
    before = await TERMINALS.lock_active(tx, terminal_device_id)
    if "venue_code" in values:
        await rely_on_venue(tx, values["venue_code"])
    return await TERMINALS.change(tx, before, values, **by)


async def rely_on_venue(tx: AsyncConnection, venue_code: str) -> Venue:
    """The venue; neither it nor its merchant is revoked until the end of the transaction. Raises
    NOT_FOUND, REVOKED.
    """
    venue = await VENUES.rely_on(tx, venue_code)
    await MERCHANTS.rely_on(tx, venue.merchant_code)
    return venue


def _refuse_foreign_functions(merchant: Merchant, function_codes: Iterable[str]) -> None:
    foreign = [code for code in function_codes if code not in merchant.function_codes]
    if foreign:
        raise invalid(
            "function_codes",
            f"merchant {merchant.merchant_code} may not redeem {', '.join(foreign)};"
            f" it may redeem {', '.join(merchant.function_codes) or 'nothing'}",
        )
