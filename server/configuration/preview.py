"""The dry run of a version: what it would do to offers, and what it leaves as it is.

Two catalogues are made of the same facts: as they are, and with the content of the version in
place of what its object has. Each offer of the next days is made by both and priced for one party,
by the functions that search, quote and order use; so the figures are those that follow.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import config_objects, config_versions, pricing
from server.catalog.catalogue import Catalogue, CatalogueFacts, read_facts
from server.catalog.config_versions import (
    DRAFT,
    PROMOTION,
    ROUTE_FARES,
    SCHEDULED,
    ConfigSubject,
    ConfigVersion,
    changed_fields,
)
from server.catalog.listed import ListedProduct
from server.catalog.offers import Offer
from server.catalog.promotions import PROMOTIONS
from server.configuration import kept_examples, preview_counts
from server.configuration.drafts import outdated_by
from server.configuration.preview_counts import StillSold
from server.platform.errors import DomainError

MOST_OFFERS = 20_000
"""Offers that one preview looks at; the days are as many as have so many."""


class PreviewQuery(NamedTuple):
    """What is to be looked at: the offers of so many days from today on, for a party given as
    customer types, with these codes.
    """

    days: int
    party: tuple[str, ...]
    codes: tuple[str, ...] = ()


class PreviewSide(NamedTuple):
    """An offer on one side: its price, None if somebody of the party has no fare, and why it cannot
    be bought whatever is left; empty if it can.
    """

    price: pricing.Price | None
    unavailable: str

    @property
    def sells(self) -> bool:
        """Whether the party can buy it, as long as something is left."""
        return not self.unavailable


class OfferChange(NamedTuple):
    """An offer that is another afterwards; `terms` names what else of it changes than the price, by
    the keys of its snapshot.
    """

    offer: Offer
    travel_date: date
    before: PreviewSide
    after: PreviewSide
    terms: tuple[str, ...]


@dataclass(slots=True)
class DryRun:
    """What a version would do.

    Attributes:
        changed: the fields of its object that change.
        faults: why it could not be published now, as publishing would say it.
        changes: the offers that change, by day and offer.
        looked_at: how many offers were looked at, `until` which day.
        closed_departures: the departures of which nothing can be bought any more.
        kept: what stays as it was sold.
    """

    version: ConfigVersion
    at: datetime
    until: date
    changed: list[str]
    faults: list[str]
    kept: StillSold
    changes: list[OfferChange] = field(default_factory=list)
    looked_at: int = 0
    closed_departures: list[int] = field(default_factory=list)

    def changes_after(self, after: tuple[date, str] | None, *, limit: int) -> list[OfferChange]:
        """Up to `limit` of the changes after a day and offer."""
        found = self.changes
        if after is not None:
            found = [each for each in found if (each.travel_date, each.offer.offer_id) > after]
        return found[:limit]

    def count(self, kind: str) -> int:
        """How many of the offers that change are `cheaper`, `dearer`, `closed` or `opened`, or have
        other `terms` alone.
        """
        return sum(1 for change in self.changes if kind_of(change) == kind)


def kind_of(change: OfferChange) -> str:
    """What becomes of an offer, in one word."""
    before, after = change.before, change.after
    if before.sells != after.sells:
        return "closed" if before.sells else "opened"
    was, becomes = (each.price.total_minor if each.price else 0 for each in (before, after))
    if was == becomes:
        return "terms"
    return "cheaper" if becomes < was else "dearer"


async def preview(
    tx: AsyncConnection,
    subject: ConfigSubject,
    number: int,
    query: PreviewQuery,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> DryRun:
    """What a version would do if it took effect now, or at its time if it is scheduled. All of it
    is read in one snapshot of the database, so it is the first in its transaction.

    Raises NOT_FOUND, PRODUCT_NOT_ON_SALE, ARCHIVED.
    """
    facts = await read_facts(tx, now)
    version = await config_versions.get(tx, subject, number)
    is_now = await config_objects.read(tx, *subject)
    changed = changed_fields(is_now, version.content)
    with_version = {**facts, **await _replaced(tx, facts, version, changed)}
    used_up = await preview_counts.used_up(tx)
    before, after = await asyncio.to_thread(lambda: (Catalogue(facts), Catalogue(with_version)))
    concerned = _products(version, before, after)
    at = version.effective_time if version.state == SCHEDULED and version.effective_time else now
    today = at.astimezone(zone).date()
    found = DryRun(
        version,
        at,
        today + timedelta(days=query.days - 1),
        changed,
        await _faults(tx, version),
        await preview_counts.kept(tx, sorted(concerned), now=now),
    )
    sides = [
        _Catalogue(each, [p for p in each.promotions(query.codes) if p.promotion_id not in used_up])
        for each in (before, after)
    ]
    await asyncio.to_thread(_compare, found, sides, concerned, query, today)
    return found


async def _faults(tx: AsyncConnection, version: ConfigVersion) -> list[str]:
    if version.state not in (DRAFT, SCHEDULED):
        return []
    found = []
    try:
        await config_objects.check(tx, *version.subject, version.content)
        await outdated_by(tx, version)
        await kept_examples.require(tx, version)
    except DomainError as error:
        found.append(f"{error.reason.value}: {error.message}")
    return found


async def _replaced(
    tx: AsyncConnection, facts: CatalogueFacts, version: ConfigVersion, changed: Collection[str]
) -> CatalogueFacts:
    """The rows of its object with what changes of it."""
    content = {name: version.content[name] for name in changed}
    if version.object_type == ROUTE_FARES:
        rows = facts["routes"]
        fares = content.get("fares")
        at = [fares is not None and row[0] == version.object_id for row in rows]
        return {
            "routes": [
                (*row[:5], fares) if mine else row for row, mine in zip(rows, at, strict=True)
            ]
        }
    if version.object_type == PROMOTION:
        is_capped = (await PROMOTIONS.get(tx, version.object_id)).capped
        others = [row for row in facts["promotions"] if row[0] != version.object_id]
        return {"promotions": sorted([*others, _promotion(version, is_capped)])}
    if "blackout_dates" in content:
        content["blackout_dates"] = [date.fromisoformat(day) for day in content["blackout_dates"]]
    return {
        "products": [
            tuple(ListedProduct(*row)._replace(**content)) if row[0] == version.object_id else row
            for row in facts["products"]
        ]
    }


def _promotion(version: ConfigVersion, is_capped: bool) -> tuple[Any, ...]:
    """As catalogue_queries reads it."""
    content = version.content
    moments = (datetime.fromisoformat(content[name]) for name in ("begin_time", "end_time"))
    return (
        *(version.object_id, content["code"] or ""),
        *(content["display_name_en"], content["display_name_zh"]),
        *(content["basis_points_off"], content["amount_off_minor"], *moments),
        *(content["min_party"], content["product_ids"], content["stackable"], is_capped),
        *(content["currency_code"] or "", content["max_per_traveller"]),
    )


def _products(version: ConfigVersion, *catalogues: Catalogue) -> set[int]:
    """The products whose offers may change."""
    everything = {each for catalogue in catalogues for each in catalogue.products}
    if version.object_type == PROMOTION:
        # before and after it may be for different ones
        return everything
    if version.object_type == ROUTE_FARES:
        found = catalogues[0].product_of_route(version.object_id)
        return {found} if found is not None else set()
    return {version.object_id} & everything


class _Catalogue(NamedTuple):
    """One side, with the promotions that may take something off there."""

    catalogue: Catalogue
    promotions: list[pricing.Promotion]


def _compare(
    found: DryRun,
    catalogues: Sequence[_Catalogue],
    concerned: Collection[int],
    query: PreviewQuery,
    today: date,
) -> None:
    """Looks at the offers, day by day."""
    sells_before: dict[int, bool] = {}
    sells_after: dict[int, bool] = {}
    for offset in range(query.days):
        day = today + timedelta(days=offset)
        for offer_id in sorted(_offer_ids(catalogues, concerned, day)):
            offers = [each.catalogue.offer(offer_id) for each in catalogues]
            shown = offers[1] or offers[0]
            if shown is None or shown.product_id not in concerned:
                continue
            found.looked_at += 1
            before, after = (
                _side(offer, each.promotions, query.party, found.at)
                for offer, each in zip(offers, catalogues, strict=True)
            )
            if shown.journey:
                number = shown.journey.departure_id
                sells_before[number] = sells_before.get(number, False) or before.sells
                sells_after[number] = sells_after.get(number, False) or after.sells
            terms = _terms(*offers)
            if before != after or terms:
                found.changes.append(OfferChange(shown, day, before, after, terms))
        if found.looked_at >= MOST_OFFERS:
            found.until = day
            break
    found.closed_departures = sorted(
        each for each, sold in sells_before.items() if sold and not sells_after.get(each)
    )


def _offer_ids(
    catalogues: Sequence[_Catalogue], concerned: Collection[int], day: date
) -> Iterator[str]:
    seen: set[str] = set()
    for catalogue, _ in catalogues:
        for cities in catalogue.connections(concerned):
            seen.update(catalogue.offer_ids(*cities, day))
    yield from seen


def _side(
    offer: Offer | None, promotions: Sequence[pricing.Promotion], party: Sequence[str], at: datetime
) -> PreviewSide:
    if offer is None:
        return PreviewSide(None, "NO_FARE")
    try:
        price = pricing.price(offer.terms, party, promotions, at)
    except pricing.NoFare:
        price = None
    return PreviewSide(price, offer.unavailable(at) or ("" if price else "NO_FARE"))


def _terms(before: Offer | None, after: Offer | None) -> tuple[str, ...]:
    """What else changes, by the keys of snapshots."""
    if before is None or after is None or before.snapshot_id == after.snapshot_id:
        return ()
    one, other = before.snapshot, after.snapshot
    return tuple(sorted(key for key in other if key != "fares" and one.get(key) != other[key]))
