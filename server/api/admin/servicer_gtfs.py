"""The methods of AdminService that import and export GTFS feeds."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import catalogue_file_pb2, gtfs_pb2

from server.api import calls, convert, pieces
from server.api.admin.noun_messages import seats
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.repeats import ChangingCall, changing
from server.api.requests import optional
from server.gtfs.archives import read_archive
from server.gtfs.exporting import ExportTerms, export_feed
from server.gtfs.importing import CLOSING_MINUTES, SALE_DAYS, ImportTerms, import_feed
from server.gtfs.report import (
    MOST_DAYS,
    MOST_FAULTS,
    MOST_TRIPS,
    OUTCOMES,
    Departures,
    FeedReport,
)
from server.gtfs.writing import FeedAgency
from server.identity.callers import Admin
from server.platform import clock
from server.platform.errors import invalid

ZIP = "application/zip"
EXPORTED_DAYS = 90
HONG_KONG = "Asia/Hong_Kong"


class GtfsMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo

    @changing
    async def ImportGtfs(
        self, request: gtfs_pb2.ImportGtfsRequest, call: ChangingCall[Admin]
    ) -> gtfs_pb2.ImportGtfsResponse:
        # a thread: a large feed takes seconds
        files = await asyncio.to_thread(read_archive, request.archive)
        terms = _terms(request)
        report = await import_feed(call.tx, files, terms, dry_run=request.dry_run, **by(call))
        return report_message(report)

    async def ExportGtfs(
        self,
        request: gtfs_pb2.ExportGtfsRequest,
        context: Context[gtfs_pb2.ExportGtfsRequest, gtfs_pb2.ExportGtfsResponse],
    ) -> AsyncIterator[gtfs_pb2.ExportGtfsResponse]:
        zone = request.agency_time_zone or HONG_KONG
        today = clock.now().astimezone(self._zone).date()
        first = convert.day(request, "first_date") or today
        last = convert.day(request, "last_date") or first + timedelta(days=EXPORTED_DAYS - 1)
        agency = FeedAgency(request.agency_name, request.agency_url, zone, request.agency_email)
        terms = ExportTerms(agency, first, last, list(request.route_ids))
        async with self._db.report(calls.caller(Admin).key) as tx:
            content = await export_feed(tx, terms)
        for body in pieces.of_file(ZIP, content):
            yield gtfs_pb2.ExportGtfsResponse(body=body)


def _terms(request: gtfs_pb2.ImportGtfsRequest) -> ImportTerms:
    """What an import asks for. Raises INVALID_FIELD."""
    stop_cities: dict[str, str] = {}
    for index, each in enumerate(request.stop_cities):
        if each.stop_id in stop_cities:
            raise invalid(f"stop_cities[{index}].stop_id", f"{each.stop_id} is there already")
        stop_cities[each.stop_id] = each.city_code
    return ImportTerms(
        feed_name=request.feed_name,
        product_id=request.product_id,
        seats=seats(request.seats),
        city_code=request.city_code,
        stop_cities=stop_cities,
        agency_id=request.agency_id,
        route_ids=frozenset(request.route_ids),
        sale_days=optional(request, "sale_days", SALE_DAYS),
        closing_minutes=optional(request, "closing_minutes", CLOSING_MINUTES),
        keep_going=request.keep_going,
    )


def report_message(report: FeedReport) -> gtfs_pb2.ImportGtfsResponse:
    """What an import did."""
    nouns = sorted({noun for noun, _ in report.objects})
    trips = sorted(report.by_trip.items(), key=lambda each: (-each[1].counts["refused"], each[0]))
    return gtfs_pb2.ImportGtfsResponse(
        applied=report.applied,
        nouns=[
            catalogue_file_pb2.CatalogueNounReport(
                noun=noun,
                **{
                    what: report.objects[noun, what] for what in ("created", "updated", "unchanged")
                },
            )
            for noun in nouns
        ],
        archived=sum(report.objects[noun, "archived"] for noun in nouns),
        fares=report.fares,
        departures=_counts(report.departures),
        days=[
            gtfs_pb2.GtfsDayReport(service_day=day.isoformat(), departures=_counts(each))
            for day, each in sorted(report.by_day.items())[:MOST_DAYS]
        ],
        trips=[
            gtfs_pb2.GtfsTripReport(trip_id=trip_id, departures=_counts(each))
            for trip_id, each in trips[:MOST_TRIPS]
        ],
        refused=_lines(report),
        refused_count=len(report.faults),
        notes=report.notes,
    )


def _lines(report: FeedReport) -> Iterable[catalogue_file_pb2.RefusedLine]:
    for fault in report.faults[:MOST_FAULTS]:
        yield catalogue_file_pb2.RefusedLine(
            file_name=fault.file,
            line=fault.line,
            field=fault.field,
            description=fault.description,
        )


def _counts(departures: Departures) -> gtfs_pb2.GtfsDepartureCounts:
    counted = {outcome: departures.counts[outcome] for outcome in OUTCOMES}
    return gtfs_pb2.GtfsDepartureCounts(expected=departures.expected, **counted)
