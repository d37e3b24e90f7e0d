"""`deeptravel gtfs import` and `export`: timetables as feeds of the General Transit Feed
Specification.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli import exits
from server.platform.config import ConfigError

if TYPE_CHECKING:
    from server.gtfs.report import Departures, FeedReport
    from server.platform.database import Database

SHOWN_DAYS, SHOWN_TRIPS = 7, 10


app = typer.Typer(no_args_is_help=True, help="Timetables as GTFS feeds: import and export.")
"""Its context has what runs work with the database, for whoever runs the command."""


@app.command("import")
def import_gtfs(  # noqa: PLR0913, PLR0917 - options
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A zip archive or a folder of its files.")],
    feed: Annotated[str, typer.Option(help="By what name the feed is known here.")],
    product: Annotated[int, typer.Option(help="What its routes are sold as.")],
    seats: Annotated[list[str], typer.Option(help="Class and our seats, e.g. ECONOMY=200.")],
    city: Annotated[str, typer.Option(help="The city of its stops, e.g. HKG.")] = "",
    stop_city: Annotated[list[str] | None, typer.Option(help="Of one: STOP_ID=SZX.")] = None,
    agency: Annotated[str, typer.Option(help="Of several, whose routes.")] = "",
    routes: Annotated[list[str] | None, typer.Option(help="Only this route_id.")] = None,
    sale_days: Annotated[int, typer.Option(help="On sale so many days before.")] = 60,
    closing_minutes: Annotated[int, typer.Option(help="Not sold so shortly before.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Keep nothing.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Keep what is not refused.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Bring stops, routes, timetables and fares to what a feed says; a repeat changes nothing.

    Each refused line is printed, with exit code 1.
    """
    from server.gtfs.archives import read_path
    from server.gtfs.importing import ImportTerms, import_feed

    if not file.exists():
        raise ConfigError(f"{file}: there is no such file")
    terms = ImportTerms(
        feed_name=feed,
        product_id=product,
        seats={code: _number(total) for code, total in _pairs(seats)},
        city_code=city,
        stop_cities=dict(_pairs(stop_city or [])),
        agency_id=agency,
        route_ids=frozenset(routes or []),
        sale_days=sale_days,
        closing_minutes=closing_minutes,
        keep_going=keep_going,
    )
    files = read_path(file)

    async def work(db: "Database", actor: str) -> "FeedReport":
        async with db.transaction() as tx:
            now = datetime.now(UTC)
            return await import_feed(tx, files, terms, dry_run=dry_run, actor=actor, now=now)

    report: FeedReport = context.obj(work)
    if as_json:
        sys.stdout.write(json.dumps(_content(report), ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _sentences(report, dry_run=dry_run))
    raise typer.Exit(exits.WRONG if report.faults else 0)


@app.command("export")
def export_gtfs(  # noqa: PLR0913, PLR0917 - options
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The zip archive to write.")],
    agency_name: Annotated[str, typer.Option(help="Who sells.")],
    agency_url: Annotated[str, typer.Option(help="Its website, https://…")],
    agency_time_zone: Annotated[
        str, typer.Option(help="Whose days are service days.")
    ] = "Asia/Hong_Kong",
    agency_email: Annotated[str, typer.Option(help="Who answers for the feed.")] = "",
    routes: Annotated[list[int] | None, typer.Option(help="Only this route.")] = None,
    first_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
    last_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])] = None,
) -> None:
    """Write what is on sale as a feed for partners; without dates for 90 days from today."""
    from server.gtfs.exporting import ExportTerms, export_feed
    from server.gtfs.writing import FeedAgency

    first = first_date.date() if first_date else datetime.now(UTC).date()
    last = last_date.date() if last_date else first + timedelta(days=89)
    owner = FeedAgency(agency_name, agency_url, agency_time_zone, agency_email)
    terms = ExportTerms(owner, first, last, routes or [])

    async def work(db: "Database", _actor: str) -> bytes:
        async with db.transaction() as tx:
            return await export_feed(tx, terms)

    content: bytes = context.obj(work)
    file.write_bytes(content)
    sys.stdout.write(f"{len(content)} bytes are in {file}\n")


def _pairs(written: Sequence[str]) -> list[tuple[str, str]]:
    """What stands before and after the last `=` of each. Raises ConfigError."""
    for each in written:
        if not all(each.rpartition("=")[::2]):
            raise ConfigError(f"{each}: write NAME=VALUE")
    return [each.rpartition("=")[::2] for each in written]


def _number(written: str) -> int:
    if not written.isdecimal():
        raise ConfigError(f"{written}: seats are a whole number, as in ECONOMY=200")
    return int(written)


def _sentences(report: "FeedReport", *, dry_run: bool) -> list[str]:
    lines = [
        f"REFUSED {fault.file}:{fault.line} {fault.field}: {fault.description}"
        for fault in report.faults
    ]
    lines += [f"note: {note}" for note in report.notes]
    for noun in sorted({noun for noun, _ in report.objects}):
        counted = {what: number for (of, what), number in report.objects.items() if of == noun}
        lines.append(f"{noun}: {', '.join(f'{n} {what}' for what, n in sorted(counted.items()))}")
    lines.append(f"fares: {report.fares}")
    days = sorted(report.by_day.items())
    lines += [f"{day}: {_counted(each)}" for day, each in days[:SHOWN_DAYS]]
    trips = sorted(report.by_trip.items())
    lines += [f"trip {trip_id}: {_counted(each)}" for trip_id, each in trips[:SHOWN_TRIPS]]
    if len(days) > SHOWN_DAYS or len(trips) > SHOWN_TRIPS:
        lines.append(f"… {len(days)} days and {len(trips)} trips in all: --json has them")
    lines.append(f"departures: {_counted(report.departures)}")
    kept = "kept" if report.applied else "nothing was kept: mend what is refused, or --keep-going"
    lines.append("nothing was kept: a dry run" if dry_run else kept)
    return lines


def _counted(departures: "Departures") -> str:
    parts = [f"{number} {what}" for what, number in sorted(departures.counts.items()) if number]
    return f"{departures.expected} expected: {', '.join(parts) or 'none'}"


def _content(report: "FeedReport") -> dict[str, Any]:
    def counts(departures: "Departures") -> dict[str, int]:
        return {"expected": departures.expected, **departures.counts}

    return {
        "applied": report.applied,
        "objects": {f"{noun}_{what}": n for (noun, what), n in sorted(report.objects.items())},
        "fares": report.fares,
        "departures": counts(report.departures),
        "days": {f"{day}": counts(each) for day, each in sorted(report.by_day.items())},
        "trips": {trip_id: counts(each) for trip_id, each in sorted(report.by_trip.items())},
        "refused": [fault._asdict() for fault in report.faults],
        "notes": report.notes,
    }
