"""Imports a GTFS feed into the catalogue: all of it or nothing, and again and again.

What of the feed is which of ours is kept in `gtfs_ids`, under the name of the feed. What is in the
catalogue as the feed says is left as it is; what is gone from the feed is archived, but never a
departure of which something is held or sold: that stays, under the times it was sold with, until
it has left.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, Unpack
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.catalog import cities, pricing, routes, timetables
from server.catalog.changes import ACTIVE, ARCHIVED
from server.catalog.cities import STOPS, Stop
from server.catalog.departures import cancel_departure, reinstate
from server.catalog.holidays import list_holidays
from server.catalog.models import cities as city_rows
from server.catalog.models import departures
from server.catalog.models import routes as route_rows
from server.catalog.models import stops as stop_rows
from server.catalog.models import timetables as timetable_rows
from server.catalog.products import PRODUCTS, Product, refuse_archived
from server.catalog.routes import ROUTES, Route
from server.catalog.timetables import TIMETABLES, Timetable
from server.gtfs import report as outcomes
from server.gtfs.days import running_days
from server.gtfs.feed_fares import FareTerms, FeedFares, PlannedFare
from server.gtfs.models import gtfs_ids
from server.gtfs.planning import (
    Plan,
    PlannedRoute,
    PlannedStop,
    PlannedTimetable,
    Selection,
    plan,
    read_feed,
)
from server.gtfs.report import FeedReport
from server.platform.crypto import digest
from server.platform.errors import invalid
from server.platform.statements import run

SALE_DAYS, CLOSING_MINUTES = 60, 30
STOP, ROUTE, TIMETABLE = "STOP", "ROUTE", "TIMETABLE"
MOST_TIMETABLE_ID = (1 << 20) - 1
RETIRED = "#"
"""Stands in the feed id of a timetable that another has come in place of, before its number."""
GONE = "not in the feed any more"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('deeptravel gtfs import'))")


@dataclass(frozen=True)
class ImportTerms:
    """What a feed does not say.

    `feed_name` is by what it is known here; `product_id` what is sold, in its currency; `seats`
    are ours of each departure by class, the first being that of fares without one.
    """

    feed_name: str
    product_id: int
    seats: Mapping[str, int]
    city_code: str = ""
    stop_cities: Mapping[str, str] = field(default_factory=dict)
    agency_id: str = ""
    route_ids: Collection[str] = ()
    sale_days: int = SALE_DAYS
    closing_minutes: int = CLOSING_MINUTES
    keep_going: bool = False


async def import_feed(
    tx: AsyncConnection,
    files: Mapping[str, bytes],
    terms: ImportTerms,
    *,
    dry_run: bool = False,
    **by: Unpack[By],
) -> FeedReport:
    """Brings the catalogue to what a feed says, unless lines are refused and not to be skipped; of
    a dry run nothing stays. Raises INVALID_FIELD, NOT_FOUND, PRODUCT_NOT_ON_SALE, STOCK_IN_USE.
    """
    try:
        async with tx.begin_nested():
            report = await _import_feed(tx, files, terms, **by)
            if dry_run:
                raise _DryRunError(report)
    except _DryRunError as done:
        report = done.report
        report.applied = False
    return report


class _DryRunError(Exception):
    """Ends the savepoint of what is not to be kept."""

    def __init__(self, report: FeedReport) -> None:
        super().__init__()
        self.report = report


async def _import_feed(
    tx: AsyncConnection, files: Mapping[str, bytes], terms: ImportTerms, **by: Unpack[By]
) -> FeedReport:
    await tx.execute(_LOCK)  # two imports would give their new routes the same numbers
    product = await PRODUCTS.share(tx, terms.product_id)
    refuse_archived(product)
    if product.kind != "TRANSPORT":
        raise invalid(
            "product_id", f"{terms.product_id} is of kind {product.kind}; name a TRANSPORT"
        )
    if not terms.seats:
        raise invalid("seats", "is empty; name at least one class with its seats")
    feed = read_feed(files)
    zones = {
        code: ZoneInfo(zone)
        for code, zone in await tx.execute(
            select(city_rows.c.city_code, city_rows.c.time_zone).where(city_rows.c.state == ACTIVE)
        )
    }
    wanted = Selection(terms.agency_id, terms.route_ids, terms.city_code, terms.stop_cities, zones)
    made = plan(feed, wanted, files)
    fares = FeedFares(feed, await _fare_terms(tx, product, terms))
    of_routes = {key: fares.of_route(route) for key, route in made.routes.items()}
    report = FeedReport(notes=made.notes)
    report.refuse([*made.faults, *fares.faults])
    for trip_id, number in made.refused.items():
        report.count(outcomes.REFUSED, trip_id, None, number)
    if (report.faults and not terms.keep_going) or not made.timetables:
        for planned in made.timetables.values():
            for day in planned.days.values():
                report.count(outcomes.REFUSED, planned.trip_id, day)
        return report
    applied = of_routes if fares.has_fares else None
    await _Import(tx, terms, (made, applied), report, zones=zones, by=by).run()
    return report


async def _fare_terms(tx: AsyncConnection, product: Product, terms: ImportTerms) -> FareTerms:
    listed = await list_holidays(tx, product.calendar_code)
    types = {each.day: each.day_type for each in listed}
    return FareTerms(
        product.currency_code, list(terms.seats), lambda day: pricing.day_type(day, types)
    )


class _Known(NamedTuple):
    """A row of gtfs_ids."""

    our_id: str
    feed_route_id: str


class _Import:
    """One import, step by step."""

    def __init__(
        self,
        tx: AsyncConnection,
        terms: ImportTerms,
        made: tuple[Plan, Mapping[str, list[PlannedFare]] | None],
        report: FeedReport,
        *,
        zones: Mapping[str, ZoneInfo],
        by: By,
    ) -> None:
        self._tx, self._terms, self._report, self._by = tx, terms, report, by
        self._plan, self._fares = made
        self._zones = zones  # the clocks of our cities
        self._known: dict[str, dict[str, _Known]] = {STOP: {}, ROUTE: {}, TIMETABLE: {}}
        self._stop_codes: dict[str, str] = {}
        self._route_ids: dict[str, int] = {}
        self._timetable_ids: dict[str, int] = {}
        self._kept: dict[str, set[date]] = {}

    async def run(self) -> None:
        """All of it."""
        rows = await self._tx.execute(
            select(gtfs_ids).where(gtfs_ids.c.feed_name == self._terms.feed_name)
        )
        for row in rows:
            self._known[row.kind][row.feed_id] = _Known(row.our_id, row.feed_route_id)
        await self._stops()
        await self._routes()
        await self._retire_timetables()
        await self._timetables()
        await self._retire_routes()
        await timetables.make_departures(self._tx, self._by["now"])
        await self._count()
        self._report.applied = True
        await self._trace()

    # Stops

    async def _stops(self) -> None:
        taken = set(await self._tx.scalars(select(stop_rows.c.stop_code)))
        known = self._known[STOP]
        codes = [known[feed_id].our_id for feed_id in self._plan.stops if feed_id in known]
        before = await STOPS.lock_all(self._tx, codes)
        new: dict[str, Stop] = {}
        for feed_id, planned in sorted(self._plan.stops.items()):
            if feed_id in known:
                code = known[feed_id].our_id
                await self._update_stop(before[code], planned)
            else:
                code = _stop_code(self._terms.feed_name, feed_id, taken)
                taken.add(code)
                new[feed_id] = Stop(code, *planned[1:])
                self._counted("stops", "created")
            self._stop_codes[feed_id] = code
        await cities.create_stops(self._tx, list(new.values()), **self._by)
        await self._keep(STOP, {key: _Known(stop.stop_code, "") for key, stop in new.items()})

    async def _update_stop(self, before: Stop, planned: PlannedStop) -> None:
        code = before.stop_code
        if before.state == ARCHIVED:
            before = await cities.unarchive_stop(self._tx, code, **self._by)
        values = _others(before, planned._asdict())
        if values.get("latitude_microdegrees", 0) is None:  # what was set by hand stays
            values.pop("latitude_microdegrees")
            values.pop("longitude_microdegrees", None)
        if values:
            await cities.update_stop(self._tx, code, values, **self._by)
        self._counted("stops", "updated" if values else "unchanged")

    # Routes

    async def _routes(self) -> None:
        last = await self._tx.scalar(select(func.max(route_rows.c.route_id))) or 0
        for feed_id, planned in sorted(self._plan.routes.items()):
            known = self._known[ROUTE].get(feed_id)
            before = await ROUTES.lock(self._tx, int(known.our_id)) if known else None
            if before and before.product_id == self._terms.product_id:
                await self._update_route(before, feed_id)
                self._route_ids[feed_id] = before.route_id
                continue
            last += 1
            await routes.create_route(self._tx, self._route(last, planned), **self._by)
            await self._keep(ROUTE, {feed_id: _Known(str(last), planned.feed_route_id)})
            self._counted("routes", "created")
            self._route_ids[feed_id] = last

    async def _update_route(self, before: Route, feed_id: str) -> None:
        if before.state == ARCHIVED:
            before = await routes.unarchive_route(self._tx, before.route_id, **self._by)
        has = [each["class_code"] for each in before.fare_classes]
        values: dict[str, Any] = {}
        if not set(self._terms.seats) <= set(has):
            values["fare_classes"] = self._classes(before.fare_classes)
        if self._fares is not None:
            values["fares"] = self._route_fares(feed_id)
            self._report.fares += len(values["fares"])
        values = _others(before, values)
        if values:
            await routes.update_route(self._tx, before.route_id, values, **self._by)
        self._counted("routes", "updated" if values else "unchanged")

    def _route(self, route_id: int, planned: PlannedRoute) -> Route:
        fares = self._route_fares(planned.feed_id)
        self._report.fares += len(fares)
        return Route(
            route_id,
            self._terms.product_id,
            planned.vehicle,
            [
                {
                    "stop_code": self._stop_codes[call.stop_id],
                    "arrive_minutes": call.arrive_minutes,
                    "depart_minutes": call.depart_minutes,
                    **({"approximate": True} if call.approximate else {}),
                }
                for call in planned.calls
            ],
            self._classes([]),
            fares,
        )

    def _classes(self, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The classes of before, and after them those that they do not have."""
        classes = [dict(each) for each in before]
        codes = {each["class_code"] for each in classes}
        free = (
            number
            for number in range(100)
            if number not in {each["class_index"] for each in before}
        )
        for code in self._terms.seats:
            if code not in codes:
                name = code.replace("_", " ").capitalize()
                names = {"display_name_en": name, "display_name_zh": name}
                classes.append(
                    {"class_code": code, "class_index": next(free), "seat_map": None, **names}
                )
        return classes

    def _route_fares(self, feed_id: str) -> list[dict[str, Any]]:
        return [
            {
                **fare._asdict(),
                "origin": self._stop_codes[fare.origin],
                "destination": self._stop_codes[fare.destination],
            }
            for fare in (self._fares or {}).get(feed_id, ())
        ]

    # Timetables

    async def _retire_timetables(self) -> None:
        """Archives those whose trip is gone or goes by another route; what is sold stays."""
        for feed_id, known in sorted(self._known[TIMETABLE].items()):
            planned = self._plan.timetables.get(feed_id)
            start, _, variant = feed_id.rpartition("@")
            trip_id = start.rpartition("@")[0]
            if not self._is_wanted(known.feed_route_id) or trip_id in self._plan.refused:
                continue
            before = await TIMETABLES.lock(self._tx, int(known.our_id))
            if planned and before.route_id == self._route_ids[planned.route]:
                continue
            sold = await self._give_up(before, keep=())
            if planned and sold:
                key = f"{feed_id}{RETIRED}{before.timetable_id}"
                await self._keep(TIMETABLE, {key: known})
            if sold:
                self._kept.setdefault(start, set()).update(sold)
            if not sold and RETIRED in variant:
                await self._forget(TIMETABLE, feed_id)
            await self._restrict(before, sold)

    async def _restrict(self, before: Timetable, sold: set[date]) -> None:
        if before.state == ARCHIVED:
            return
        if not sold:
            await timetables.archive_timetable(self._tx, before.timetable_id, **self._by)
            self._counted("timetables", "archived")
            return
        values = _others(before, {**running_days(sold)._asdict()})
        if values:
            await timetables.change_timetable(self._tx, before.timetable_id, values, **self._by)
        named = ", ".join(map(str, sorted(sold)[:5]))
        self._report.notes.append(
            f"timetable {before.timetable_id} ({before.service_number}) is {GONE} as it was, and"
            f" sold on {len(sold)} days ({named}): it stays for these; cancel or move them"
        )

    async def _give_up(self, before: Timetable, *, keep: Collection[date]) -> set[date]:
        """Withdraws the departures to come of which nothing is held or sold, but on the days to
        keep, where any is sold; the days of those that are.
        """
        parameters = {"timetable_id": before.timetable_id, "now": self._by["now"]}
        rows = (await self._tx.execute(_TAKEN, parameters)).all()
        gone = [row for row in rows if row.travel_date not in keep]
        sold = {row.travel_date for row in gone if row.taken}
        if keep or sold:  # else all of it is archived
            for row in gone:
                if not row.taken:
                    how: Any = {"refunds": "AT_ONCE", "comment": GONE, "withdrawn": True}
                    await cancel_departure(self._tx, row.departure_id, **how, **self._by)
        return sold

    async def _timetables(self) -> None:
        last = await self._tx.scalar(select(func.max(timetable_rows.c.timetable_id))) or 0
        new: list[Timetable] = []
        kept: dict[str, _Known] = {}
        for feed_id, planned in sorted(self._plan.timetables.items()):
            days = set(planned.days) - self._kept.get(feed_id.rpartition("@")[0], set())
            if not days:
                continue
            known = self._known[TIMETABLE].get(feed_id)
            route_id = self._route_ids[planned.route]
            before = await TIMETABLES.lock(self._tx, int(known.our_id)) if known else None
            if before and before.route_id == route_id:
                await self._update_timetable(before, planned, days)
                self._timetable_ids[feed_id] = before.timetable_id
                continue
            last += 1
            if last > MOST_TIMETABLE_ID:
                raise invalid("archive", "there are no numbers of timetables left for it")
            new.append(self._timetable(last, route_id, planned, days))
            kept[feed_id] = _Known(str(last), planned.feed_route_id)
            self._timetable_ids[feed_id] = last
            self._counted("timetables", "created")
        await timetables.create_timetables(self._tx, new, **self._by)
        await self._keep(TIMETABLE, kept)

    async def _update_timetable(
        self, before: Timetable, planned: PlannedTimetable, days: set[date]
    ) -> None:
        if before.state == ARCHIVED:
            before = await timetables.unarchive_timetable(self._tx, before.timetable_id, **self._by)
        after = self._timetable(before.timetable_id, before.route_id, planned, days)
        values = {each.name: getattr(after, each.name) for each in fields(after)}
        values = _others(before, {k: v for k, v in values.items() if k not in ("state", "version")})
        if values:
            await timetables.change_timetable(self._tx, before.timetable_id, values, **self._by)
        sold = await self._give_up(before, keep=days)
        zone = self._zone_of(planned)
        leaving = {day: datetime.combine(day, planned.clock, zone).astimezone(UTC) for day in days}
        await reinstate(self._tx, before.timetable_id, leaving, **self._by)
        if sold:
            named = ", ".join(map(str, sorted(sold)[:5]))
            self._report.notes.append(
                f"timetable {before.timetable_id} ({before.service_number}) does not run on"
                f" {len(sold)} days any more on which it is sold ({named}); cancel these departures"
            )
        self._counted("timetables", "updated" if values else "unchanged")

    def _timetable(
        self, number: int, route_id: int, planned: PlannedTimetable, days: set[date]
    ) -> Timetable:
        running = running_days(days)
        return Timetable(
            timetable_id=number,
            route_id=route_id,
            service_number=planned.service_number,
            departure_clock=planned.clock,
            seats=dict(self._terms.seats),
            sale_days=self._terms.sale_days,
            closing_minutes=self._terms.closing_minutes,
            headway_seconds=planned.headway,
            **running._asdict(),
        )

    async def _retire_routes(self) -> None:
        """Archives the patterns that are gone, but those that a timetable still goes by."""
        for feed_id, known in sorted(self._known[ROUTE].items()):
            if feed_id in self._plan.routes or not self._is_wanted(known.feed_route_id):
                continue
            route_id = int(known.our_id)
            used = select(timetable_rows.c.timetable_id).where(
                timetable_rows.c.route_id == route_id, timetable_rows.c.state == ACTIVE
            )
            before = await ROUTES.lock(self._tx, route_id)
            if before.state == ACTIVE and await self._tx.scalar(used.limit(1)) is None:
                await routes.archive_route(self._tx, route_id, **self._by)
                self._counted("routes", "archived")

    # What is left

    async def _count(self) -> None:
        """Where each departure of the feed is now."""
        query = select(
            departures.c.timetable_id, departures.c.travel_date, departures.c.state
        ).where(departures.c.timetable_id.in_(list(self._timetable_ids.values())))
        states = {(row[0], row[1]): row[2] for row in await self._tx.execute(query)}
        now = self._by["now"]
        for feed_id, planned in self._plan.timetables.items():
            number = self._timetable_ids.get(feed_id, 0)
            zone = self._zone_of(planned)
            kept = self._kept.get(feed_id.rpartition("@")[0], set())
            for travel_date, day in planned.days.items():
                state = states.get((number, travel_date))
                leaves = datetime.combine(travel_date, planned.clock, zone).astimezone(UTC)
                if travel_date in kept:
                    outcome = outcomes.KEPT
                elif state is not None:
                    outcome = outcomes.MADE if state == "SCHEDULED" else outcomes.CANCELLED
                else:
                    outcome = outcomes.PAST if leaves <= now else outcomes.LATER
                self._report.count(outcome, planned.trip_id, day)

    async def _trace(self) -> None:
        counts = {f"{kind}_{what}": n for (kind, what), n in sorted(self._report.objects.items())}
        change = AuditedChange(
            self._by["actor"],
            "import",
            "gtfs_feed",
            self._terms.feed_name,
            None,
            {**counts, **self._report.departures.counts, "product_id": self._terms.product_id},
        )
        await run(self._tx, audit(change, now=self._by["now"]))

    def _zone_of(self, planned: PlannedTimetable) -> ZoneInfo:
        """The clock of its first stop."""
        first = self._plan.routes[planned.route].calls[0]
        return self._zones[self._plan.stops[first.stop_id].city_code]

    def _is_wanted(self, feed_route_id: str) -> bool:
        return not self._terms.route_ids or feed_route_id in self._terms.route_ids

    def _counted(self, kind: str, what: str) -> None:
        self._report.objects[kind, what] += 1

    async def _keep(self, kind: str, known: Mapping[str, _Known]) -> None:
        """Keeps which of ours each is, by the ids of the feed."""
        named = {"feed_name": self._terms.feed_name, "kind": kind}
        rows = [{**named, "feed_id": key, **ours._asdict()} for key, ours in known.items()]
        adding = pg_insert(gtfs_ids)
        adding = adding.on_conflict_do_update(
            index_elements=[*named, "feed_id"],
            set_={name: adding.excluded[name] for name in _Known._fields},
        )
        if rows:
            await self._tx.execute(adding, rows)

    async def _forget(self, kind: str, feed_id: str) -> None:
        await self._tx.execute(
            delete(gtfs_ids).where(
                gtfs_ids.c.feed_name == self._terms.feed_name,
                gtfs_ids.c.kind == kind,
                gtfs_ids.c.feed_id == feed_id,
            )
        )


# locked, so that nothing is taken of them meanwhile: sale and cancellation come one after the other
_TAKEN = text("""
WITH locked AS (
  SELECT s.departure_id, s.held + s.sold AS taken FROM stocks s
  JOIN departures d ON d.departure_id = s.departure_id
  WHERE d.timetable_id = :timetable_id AND d.departure_time > :now AND d.state = 'SCHEDULED'
  ORDER BY s.stock_id FOR NO KEY UPDATE OF s
)
SELECT d.departure_id, d.travel_date,
  EXISTS (SELECT FROM locked l WHERE l.departure_id = d.departure_id AND l.taken > 0) AS taken
FROM departures d
WHERE d.timetable_id = :timetable_id AND d.departure_time > :now AND d.state = 'SCHEDULED'
ORDER BY d.departure_id
""")


def _others(before: object, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a record has otherwise."""
    return {
        name: value
        for name, value in values.items()
        if hasattr(before, name) and getattr(before, name) != value
    }


def _stop_code(feed_name: str, feed_id: str, taken: Collection[str]) -> str:
    """A code for a new stop: its id if that can be one and is free."""
    code = feed_id.upper().replace("_", "-").replace(" ", "-")
    fits = 2 <= len(code) <= 16 and all(
        each.isascii() and (each.isalnum() or each == "-") for each in code
    )
    if fits and code not in taken:
        return code
    hashed = digest(f"{feed_name}\0{feed_id}".encode()).hex().upper()
    return next(made for length in range(8, 15) if (made := f"S-{hashed[:length]}") not in taken)
