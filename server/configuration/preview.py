"""The dry run of versions: what they would do to offers, and what they leave as it is.

Two catalogues are made of the same facts: as they are, and with the content of the versions in
place of what their objects have. Each offer of the next days is made by both and priced for one
party, by the functions that search, quote and order use; so the figures are those that follow.

However many offers there are, one look goes through OFFERS_AT_ONCE of them at the most, and says
where the next one goes on and what was counted so far; nothing is kept of an offer but its change,
and of changes no more than a page has.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import config_objects, config_versions, pricing
from server.catalog.catalogue import Catalogue
from server.catalog.catalogue_queries import CatalogueFacts, read_facts
from server.catalog.config_versions import (
    DRAFT,
    PROMOTION,
    ROUTE_FARES,
    SCHEDULED,
    ConfigVersion,
    VersionName,
    changed_fields,
)
from server.catalog.listed import ListedProduct
from server.catalog.offers import Offer
from server.catalog.promotions import PROMOTIONS
from server.configuration import kept_examples, preview_counts
from server.configuration.drafts import outdated_by
from server.configuration.preview_counts import StillSold
from server.platform.errors import DomainError

OFFERS_AT_ONCE = 5000
"""Offers that one look counts."""


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
    """An offer before and after; `terms` names what else of it changes than the price, by
    the keys of its snapshot.
    """

    offer: Offer
    travel_date: date
    before: PreviewSide
    after: PreviewSide
    terms: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether it changes at all."""
        return self.before != self.after or bool(self.terms)


class OfferCounts(NamedTuple):
    """Offers that were looked at, and of these those that change, by `kind_of`; and departures of
    which nothing can be bought any more.
    """

    offers: int = 0
    cheaper: int = 0
    dearer: int = 0
    closed: int = 0
    opened: int = 0
    terms: int = 0
    departures: int = 0

    @property
    def changes(self) -> int:
        """How many offers change."""
        return self.cheaper + self.dearer + self.closed + self.opened + self.terms

    def plus(self, kind: str) -> "OfferCounts":
        """With one more of these."""
        return self._replace(**{kind: getattr(self, kind) + 1})


NONE = OfferCounts()


class OfferPlace(NamedTuple):
    """A place in the order of what is looked at; `offer_id` is empty before the day's first."""

    travel_date: date
    offer_id: str = ""


FIRST, LAST = OfferPlace(date.min), OfferPlace(date.max)


class PreviewCursor(NamedTuple):
    """How far looks have come: the changes up to `shown` were shown, and the offers up to
    `counted` are counted, LAST when all are.
    """

    shown: OfferPlace = FIRST
    counted: OfferPlace = FIRST
    counts: OfferCounts = NONE


START = PreviewCursor()


@dataclass(slots=True)
class DryRun:
    """What versions would do.

    Attributes:
        changed: the fields that change; of several objects with their names.
        faults: why they could not be published now, as publishing would say it.
        counts: what was counted up to the day `until`, by the looks before too; everything that was
            asked for if `is_complete`.
        changes: the offers that change, by day and offer, of one page.
        closed_departures: the departures of which nothing can be bought any more, that this look
            has counted.
        kept: what stays as it was sold.
        following: where the next look goes on; None if nothing is left to show nor to count.
    """

    at: datetime
    until: date
    changed: list[str]
    faults: list[str]
    kept: StillSold
    counts: OfferCounts = NONE
    is_complete: bool = False
    changes: list[OfferChange] = field(default_factory=list)
    closed_departures: list[int] = field(default_factory=list)
    following: PreviewCursor | None = None


def kind_of(change: OfferChange) -> str:
    """What becomes of an offer, in one word."""
    before, after = change.before, change.after
    if before.sells != after.sells:
        return "closed" if before.sells else "opened"
    was, becomes = (each.price.total_minor if each.price else 0 for each in (before, after))
    if was == becomes:
        return "terms"
    return "cheaper" if becomes < was else "dearer"


async def read_preview(
    tx: AsyncConnection,
    names: Collection[VersionName],
    query: PreviewQuery,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> "PreviewFacts":
    """What is to be compared if versions took effect together, now or at their time if they are
    scheduled. All of it is read in one snapshot of the database, so it is the first in its
    transaction; the comparing needs none.

    Raises NOT_FOUND, PRODUCT_NOT_ON_SALE, ARCHIVED, INVALID_FIELD for two of one object.
    """
    config_versions.refuse_two_of_one(names)
    facts = await read_facts(tx, now)
    versions = [await config_versions.get(tx, *name) for name in sorted(names)]
    proposed, fields = facts, []
    for version in versions:
        is_now = await config_objects.read(tx, *version.subject)
        changed = changed_fields(is_now, version.content)
        proposed = {**proposed, **await _replaced(tx, proposed, version, changed)}
        of = "" if len(versions) == 1 else version.version_id.rpartition("-")[0] + "."
        fields += [of + name for name in changed]
    concerned = {each for version in versions for each in _products(version, facts)}
    times = [each.effective_time for each in versions if each.state == SCHEDULED]
    at = max([now, *(each for each in times if each)])
    return PreviewFacts(
        query=query,
        sides=(facts, proposed),
        used_up=await _used_up(tx, versions),
        concerned=concerned,
        at=at,
        today=at.astimezone(zone).date(),
        changed=fields,
        faults=await _faults(tx, versions),
        kept=await preview_counts.kept(tx, sorted(concerned), now=now),
    )


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """What is compared, as it was read; `sides` are the facts of two catalogues, `used_up` the
    promotions that do not apply any more on each, `concerned` the products whose offers may change,
    the rest as of a DryRun.
    """

    query: PreviewQuery
    sides: tuple[CatalogueFacts, CatalogueFacts]
    used_up: tuple[Collection[int], Collection[int]]
    concerned: Collection[int]
    at: datetime
    today: date
    changed: list[str]
    faults: list[str]
    kept: StillSold

    async def look(self, after: PreviewCursor = START, *, limit: int) -> DryRun:
        """Counts what follows a cursor, with up to `limit` of the changes."""
        return await asyncio.to_thread(self._look, after, limit)

    def _look(self, after: PreviewCursor, limit: int) -> DryRun:
        until = self.today + timedelta(days=self.query.days - 1)
        found = DryRun(self.at, until, self.changed, self.faults, self.kept)
        sides = [
            _side_of(Catalogue(each), self.query.codes, used_up)
            for each, used_up in zip(self.sides, self.used_up, strict=True)
        ]
        comparing = _Comparison(sides, self.concerned, self.query, self.at, self.today)
        comparing.look(found, after, limit)
        return found


async def _used_up(
    tx: AsyncConnection, versions: Sequence[ConfigVersion]
) -> tuple[Collection[int], Collection[int]]:
    """The promotions whose cap is reached, as it is and as it would be."""
    before = await preview_counts.used_up(tx)
    after = set(before)
    for version in versions:
        cap = version.content.get("cap")
        if version.object_type == PROMOTION and cap is not None:
            promotion = await PROMOTIONS.get(tx, version.object_id)
            is_used_up = promotion.held + promotion.used >= cap
            after = after | {version.object_id} if is_used_up else after - {version.object_id}
    return before, after


async def _faults(tx: AsyncConnection, versions: Sequence[ConfigVersion]) -> list[str]:
    found = []
    waiting = [each for each in versions if each.state in (DRAFT, SCHEDULED)]
    for version in waiting:
        try:
            await config_objects.check(tx, *version.subject, version.content)
            await outdated_by(tx, version)
        except DomainError as error:
            of = "" if len(versions) == 1 else f"{version.version_id}: "
            found.append(f"{error.reason.value}: {of}{error.message}")
    try:
        await kept_examples.require(tx, waiting)
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


def _products(version: ConfigVersion, facts: CatalogueFacts) -> set[int]:
    """The products whose offers may change."""
    if version.object_type == ROUTE_FARES:
        return {row[1] for row in facts["routes"] if row[0] == version.object_id}
    everything = {row[0] for row in facts["products"]}
    if version.object_type == PROMOTION:
        # before and after it may be for different ones
        return everything
    return {version.object_id} & everything


class _Catalogue(NamedTuple):
    """One side, with the promotions that may take something off there."""

    catalogue: Catalogue
    promotions: list[pricing.Promotion]


def _side_of(catalogue: Catalogue, codes: Sequence[str], used_up: Collection[int]) -> _Catalogue:
    offered = catalogue.promotions(codes)
    return _Catalogue(catalogue, [each for each in offered if each.promotion_id not in used_up])


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Both sides, and what of them is compared."""

    sides: Sequence[_Catalogue]
    concerned: Collection[int]
    query: PreviewQuery
    at: datetime
    today: date

    def look(self, found: DryRun, after: PreviewCursor, limit: int) -> None:
        """Goes through the offers after a cursor, and puts what it finds into `found`."""
        shown, counted, found.counts = after
        end = after.counts.offers + OFFERS_AT_ONCE
        closed: dict[int, OfferPlace | None] = {}
        has_more = False
        for place in self._places(after.shown, found.until):
            is_new = place > after.counted
            if (is_new and found.counts.offers >= end) or (has_more and not is_new):
                break
            change = self._compare(place.offer_id)
            if change is None:
                continue
            if is_new:
                counted = place
                self._count(found, change, closed)
            if change.differs and len(found.changes) < limit:
                shown = place
                found.changes.append(change)
            elif change.differs:
                has_more = True
        else:
            counted = LAST
        found.is_complete = counted == LAST
        found.until = min(found.until, max(counted.travel_date, self.today))
        if has_more or not found.is_complete:
            found.following = PreviewCursor(shown if has_more else counted, counted, found.counts)

    def _count(
        self, found: DryRun, change: OfferChange, closed: dict[int, OfferPlace | None]
    ) -> None:
        """Counts an offer; a departure of which nothing can be bought any more with the first of
        its offers, so that each is found once, however many offers and looks it has.
        """
        found.counts = found.counts.plus("offers")
        if not change.differs:
            return
        kind, journey = kind_of(change), change.offer.journey
        found.counts = found.counts.plus(kind)
        if kind != "closed" or journey is None:
            return
        departure_id = journey.departure_id
        if departure_id not in closed:
            closed[departure_id] = self._first_closed(departure_id)
        if closed[departure_id] == OfferPlace(change.travel_date, change.offer.offer_id):
            found.counts = found.counts.plus("departures")
            found.closed_departures.append(departure_id)

    def _places(self, after: OfferPlace, until: date) -> Iterator[OfferPlace]:
        for offset in range((until - self.today).days + 1):
            day = self.today + timedelta(days=offset)
            if day >= after.travel_date:
                places = (OfferPlace(day, each) for each in sorted(self._offer_ids(day)))
                yield from (place for place in places if place > after)

    def _offer_ids(self, day: date) -> set[str]:
        return {
            offer_id
            for side in self.sides
            for cities in side.catalogue.connections(self.concerned)
            for offer_id in side.catalogue.offer_ids(*cities, day)
        }

    def _compare(self, offer_id: str) -> OfferChange | None:
        """The offer on both sides; None if it is of another product."""
        offers = [each.catalogue.make(offer_id) for each in self.sides]
        # a package that is used in no city any more is none afterwards
        shown = offers[1] or offers[0]
        if shown is None or shown.product_id not in self.concerned:
            return None
        before, after = (
            _side(offer, each.promotions, self.query.party, self.at)
            for offer, each in zip(offers, self.sides, strict=True)
        )
        assert shown.travel_date, "an offer of the catalogue has a day"
        return OfferChange(shown, shown.travel_date, before, after, _terms(*offers))

    def _first_closed(self, departure_id: int) -> OfferPlace | None:
        """None if any offer of the departure can be bought afterwards."""
        found = []
        for offer_id in self.sides[0].catalogue.offers_of(departure_id):
            change = self._compare(offer_id)
            if change and change.after.sells:
                return None
            if change and change.before.sells and change.travel_date >= self.today:
                found.append(OfferPlace(change.travel_date, offer_id))
        return min(found, default=None)


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
