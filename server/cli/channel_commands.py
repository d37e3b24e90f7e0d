"""`deeptravel channels …`: outside channels connected, mapped, listed, tested, paused, compared."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.audit.records import By
from server.cli.channel_drift import add_drift
from server.cli.channel_runner import Code, Limit, Runner
from server.platform.config import ConfigError, Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from server.channels.booking_seals import StoredBooking
    from server.channels.disconnecting import Ending

Kind = Annotated[str, typer.Argument(help="CATEGORY, FEATURE, FUEL, LOCATION, STATUS …")]


def app(
    settings: Callable[[], Settings], with_database: Callable[..., Any], actor: Callable[[], str]
) -> typer.Typer:
    """The commands, which reach the database as all others do."""
    made = typer.Typer(
        no_args_is_help=True,
        help="Outside channels (Ctrip, Booking.com, Expedia …): connect, test, map, list, sync.",
    )
    runner = Runner(settings, with_database, actor)
    for add in (
        *(
            _add_connecting,
            _add_disconnecting,
            _add_words,
            _add_listings,
            _add_listed,
            _add_unlisting,
            _add_sync,
            _add_list,
            _add_cadences,
            _add_differences,
        ),
        *(_add_views, add_drift, _add_bookings, _add_test, _add_demo),
    ):
        add(made, runner)
    return made


def _add_connecting(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def connect(  # noqa: PLR0917 - options
        code: Code,
        vendor: Annotated[str, typer.Option(help="ctrip, booking_com, expedia, kayak, zuzuche.")],
        currency: Annotated[str, typer.Option(help="Of amounts without a currency, e.g. CNY.")],
        credentials: Annotated[
            Path | None, typer.Option(help="A JSON file of what the vendor gave us; - is input.")
        ] = None,
        base_url: Annotated[str, typer.Option(help="The vendor's if empty.")] = "",
        partner: Annotated[
            str, typer.Option(help="Whose allotments are sold there; our own if empty.")
        ] = "",
        calls_per_minute: Annotated[int, typer.Option(help="The vendor's usual if 0.")] = 0,
    ) -> None:
        """Connect a channel. Its words begin with those that the vendor's document gives."""
        from server.channels.channel_credentials import ChannelSeals
        from server.channels.channel_records import NewChannel, connect_channel

        given = _credentials(credentials)

        async def work(tx: "AsyncConnection", key: bytes, by: By) -> Any:
            new = NewChannel(
                channel_code=code,
                vendor_code=vendor,
                partner_code=partner,
                base_url=base_url,
                currency_code=currency,
                calls_per_minute=calls_per_minute,
            )
            return await connect_channel(tx, ChannelSeals(key), new, given, **by)

        typer.echo(f"{runner.run(work).channel_code} is connected; try `channels test {code}`")

    @made.command()
    def rotate(
        code: Code, credentials: Annotated[Path, typer.Argument(help="A JSON file; - is input.")]
    ) -> None:
        """Give a channel other credentials, which count from its next call on."""
        from server.channels.channel_credentials import ChannelSeals
        from server.channels.channel_records import rotate_credentials

        given = _credentials(credentials)

        async def work(tx: "AsyncConnection", key: bytes, by: By) -> Any:
            return await rotate_credentials(tx, ChannelSeals(key), code, given, **by)

        typer.echo(f"{code} has credentials of version {runner.run(work).credentials_version}")

    @made.command()
    def pause(code: Code) -> None:
        """Send a channel nothing; what changes meanwhile waits."""
        typer.echo(f"{code} is {_set_paused(runner, code, paused=True)}")

    @made.command()
    def resume(code: Code) -> None:
        """Send a paused channel what has changed meanwhile."""
        typer.echo(f"{code} is {_set_paused(runner, code, paused=False)}")


def _add_disconnecting(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def disconnect(
        code: Code,
        keep_bookings: Annotated[
            bool, typer.Option("--keep-bookings", help="Though some are not over.")
        ] = False,
        at_once: Annotated[
            bool, typer.Option("--at-once", help="Without telling it: it cannot be called.")
        ] = False,
    ) -> None:
        """End a channel: it is sent that nothing is left, and then loses its credentials."""
        from server.audit.records import REVOKED
        from server.channels.channel_credentials import ChannelSeals
        from server.channels.disconnecting import disconnect_channel, waits_of

        zone = runner.settings().zone

        async def work(tx: "AsyncConnection", key: bytes, by: By) -> Any:
            today = by["now"].astimezone(zone).date()
            found = await disconnect_channel(
                *(tx, ChannelSeals(key), code),
                today=today,
                keep_bookings=keep_bookings,
                at_once=at_once,
                **by,
            )
            return found, await waits_of(tx, found, today=today)

        found, waits = runner.run(work)
        if found.state == REVOKED:
            typer.echo(f"{code} is disconnected")
            return
        typer.echo(
            f"{code} is sent, by a server that runs, that nothing is left, and disconnected"
            " then; `channels list` shows when"
        )
        for line in _waits(code, waits):
            typer.echo(line)


def _add_words(made: typer.Typer, runner: Runner) -> None:
    @made.command("map")
    def map_word(code: Code, kind: Kind, ours: str, theirs: str) -> None:
        """Say what the vendor calls a word of ours; of STATUS and ERROR_CODE, what theirs means."""
        from server.channels import channel_words
        from server.channels.words import WordPair

        pair = WordPair(_kind(kind), ours, theirs)

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            return await channel_words.map_word(tx, code, pair, **by)

        runner.run(work)
        typer.echo(f"{code}: {kind} {ours} is {theirs}; what waited for it is sent")

    @made.command()
    def unmap(code: Code, kind: Kind, word: str) -> None:
        """Remove a word: theirs of STATUS and ERROR_CODE, ours of all others."""
        from server.channels.channel_words import unmap_word

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            return await unmap_word(tx, code, _kind(kind), word, **by)

        runner.run(work)
        typer.echo(f"{code}: {kind} {word} is mapped to nothing")

    @made.command()
    def words(code: Code) -> None:
        """Show the vendor's words beside ours."""
        from server.channels.channel_words import words_of

        for pair in runner.run(lambda tx, _key, _by: words_of(tx, code), reads=True):
            typer.echo(f"{pair.kind:20} {pair.ours:24} {pair.theirs}")


def _add_listings(made: typer.Typer, runner: Runner) -> None:
    @made.command("list-item")
    def list_item(  # noqa: PLR0913, PLR0917 - options
        code: Code,
        item: Annotated[str, typer.Argument(help="By what id the vendor knows it.")],
        location: Annotated[str, typer.Option(help="Our word for the place, mapped to theirs.")],
        currency: Annotated[str, typer.Option(help="In which it is sold there.")],
        product: Annotated[int | None, typer.Option(help="A package.")] = None,
        timetable: Annotated[int | None, typer.Option(help="Or departures of a timetable.")] = None,
        seat_class: Annotated[
            int | None, typer.Option("--class", help="Index of the class.")
        ] = None,
        origin: Annotated[int | None, typer.Option(help="Position of the stop.")] = None,
        destination: Annotated[int | None, typer.Option(help="Position of the stop.")] = None,
        customer_type: Annotated[str, typer.Option(help="Whose fare.")] = "ADULT",
        rate_millionths: Annotated[
            int, typer.Option(help="Of a unit of the product's currency; needed if it is another.")
        ] = 1_000_000,
        markup_basis_points: Annotated[int, typer.Option(help="On top, or off.")] = 0,
        threshold: Annotated[int, typer.Option(help="So many left are sent at once.")] = 5,
        days: Annotated[int, typer.Option(help="How far ahead.")] = 90,
        rental_location: Annotated[
            int | None, typer.Option(help="Number of the location where the product's cars are.")
        ] = None,
        price_pace: Annotated[
            str, typer.Option(help="DAILY, FOUR_HOURLY, HOURLY or AT_ONCE; the vendor's if empty.")
        ] = "",
    ) -> None:
        """List a package, rented cars, or a class of a timetable's departures, at a price plan."""
        from server.channels.listings import ChannelListing, add_listing

        new = ChannelListing(
            *(code, item, location, currency, product, timetable, seat_class, origin),
            *(destination, customer_type, rate_millionths, markup_basis_points, threshold, days),
            rental_location_id=rental_location,
            price_pace=price_pace.upper(),
        )

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            return await add_listing(tx, new, **by)

        runner.run(work)
        typer.echo(f"{code}: {item} is listed")


def _add_listed(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def listings(code: Code, limit: Limit = 50) -> None:
        """Show what is listed at a channel, and by which price plan."""
        from server.channels import listings

        async def work(tx: "AsyncConnection", _key: bytes, _by: By) -> Any:
            return await listings.page(tx, code, after=None, limit=limit)

        for each in runner.run(work, reads=True):
            of = f"timetable {each.timetable_id}" if each.timetable_id else each.product_id
            typer.echo(
                f"{each.item_id:24} {each.location:16} {of} {each.customer_type}"
                f" {each.currency_code} x {each.rate_millionths / 1e6:g}"
                f" {each.markup_basis_points / 100:+g} % {each.price_pace}, threshold"
                f" {each.threshold}, {each.days_ahead} days"
            )


def _add_unlisting(made: typer.Typer, runner: Runner) -> None:
    @made.command("unlist-item")
    def unlist_item(code: Code, item: str) -> None:
        """End a listing: the channel is sent that nothing is left of it."""
        from server.channels.listings import remove_listing

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            await remove_listing(tx, code, item, **by)

        runner.run(work)
        typer.echo(f"{code}: {item} is listed no more")


def _add_sync(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def sync(
        code: Code,
        everything: Annotated[
            bool, typer.Option("--all", help="Also what the channel was sent already.")
        ] = False,
    ) -> None:
        """Have a running server compare and send now; of all, see `channels differences` then."""
        from server.channels.asking import sync_channel

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            await sync_channel(tx, code, everything=everything, **by)

        runner.run(work)
        typer.echo(f"{code} is compared and sent what differs, by a server that runs")


def _add_list(made: typer.Typer, runner: Runner) -> None:
    @made.command("list")
    def list_channels(limit: Limit = 50) -> None:
        """Show the channels that there are."""
        from server.channels.channel_records import CHANNELS
        from server.channels.disconnecting import waits_of

        zone = runner.settings().zone

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            today = by["now"].astimezone(zone).date()
            found = await CHANNELS.page(tx, after=None, limit=limit)
            return [(each, await waits_of(tx, each, today=today)) for each in found]

        for each, waits in runner.run(work, reads=True):
            typer.echo(
                f"{each.channel_code:32} {each.vendor_code:12} {each.state:13}"
                f" {each.currency_code} {each.partner_code or 'DIRECT':12} {each.base_url}"
            )
            for line in _waits(each.channel_code, waits):
                typer.echo(f"  {line}")


def _add_cadences(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def cadences(
        code: Annotated[str, typer.Argument(help="A channel; all that are active if empty.")] = "",
    ) -> None:
        """Show how often channels are compared, sent and asked: last time and next."""
        from server.channels import syncs
        from server.channels.cadence_rules import IN_WORDS
        from server.channels.channel_records import CHANNELS

        settings = runner.settings()

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            if code:
                await CHANNELS.get(tx, code)
            return await syncs.active(tx, by["now"], settings.zone, settings.channel_peak, code)

        found = runner.run(work, reads=True)
        if not found:
            typer.echo(f"{code} is not active" if code else "no channel is active", err=True)
        if found:
            typer.echo(f"times are of {settings.zone}")
        for each in found:
            last = each.done_time and f"{each.done_time.astimezone(settings.zone):%m-%d %H:%M}"
            due = f"{each.due_time.astimezone(settings.zone):%m-%d %H:%M}"
            typer.echo(
                f"{each.channel_code:24} {each.part:18} last {last or 'never':11} next {due}"
                f"  {IN_WORDS[each.part]}"
            )


def _add_differences(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def differences(
        code: Code,
        uncorrected: Annotated[
            bool, typer.Option("--uncorrected", help="Only what the channel was not sent since.")
        ] = False,
        csv: Annotated[bool, typer.Option("--csv", help="All, as a CSV file.")] = False,
        limit: Limit = 50,
    ) -> None:
        """Show what full syncs found that a channel had been sent otherwise."""
        from server.channels import differences
        from server.channels.channel_records import CHANNELS
        from server.platform.statements import run
        from server.reports.report_csv import csv_pieces

        async def work(tx: "AsyncConnection", _key: bytes, _by: By) -> Any:
            await CHANNELS.get(tx, code)
            return await run(tx, differences.every(code, uncorrected=uncorrected))

        cells = [each.cells() for each in runner.run(work, reads=True)]
        if csv:
            for piece in csv_pieces(differences.COLUMNS, cells, names=differences.CHOSEN):
                typer.echo(piece, nl=False)
            return
        for row in cells[:limit]:
            when, what, item, day, sent, sent_in, true, true_in, corrected, fault = row
            was, now = f"{sent or 'nothing'} {sent_in}".strip(), f"{true} {true_in}".strip()
            said = f"{when} {what} {item} {day}: sent {was}, true {now}; corrected: {corrected}"
            typer.echo(f"{said} {fault}".strip())


def _add_views(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def log(code: Code, limit: Limit = 50) -> None:
        """Show the last calls, the newest first."""
        from server.channels import call_log
        from server.channels.channel_records import CHANNELS
        from server.platform.statements import run

        async def work(tx: "AsyncConnection", _key: bytes, _by: By) -> Any:
            await CHANNELS.get(tx, code)
            return await run(tx, call_log.newest(code, before=None, limit=limit))

        for each in runner.run(work, reads=True):
            typer.echo(
                f"{each.create_time:%Y-%m-%d %H:%M:%S} {each.method:4} {each.endpoint:32}"
                f" {each.http_status:3} {each.outcome:15} {each.duration_ms} ms"
                f" {each.request_bytes}/{each.response_bytes} B {each.error}"
            )


def _add_bookings(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def fetch(code: Code) -> None:
        """Have a running server fetch all bookings that are not over now."""
        from server.channels.asking import fetch_bookings

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            await fetch_bookings(tx, code, **by)

        runner.run(work)
        typer.echo(f"{code}: bookings are fetched by a server that runs")

    @made.command()
    def bookings(
        code: Code,
        state: Annotated[str, typer.Option(help="CONFIRMED, RECEIVED, …; all if empty.")] = "",
        faulty: Annotated[bool, typer.Option("--faulty", help="Only what does not go on.")] = False,
        limit: Limit = 50,
    ) -> None:
        """Show a channel's bookings, the newest first, without who booked, and why they were
        rejected or cancelled, or do not go on.
        """
        from server.channels import bookings
        from server.channels.booking_rules import STATES
        from server.channels.channel_records import CHANNELS
        from server.platform.statements import run

        async def work(tx: "AsyncConnection", _key: bytes, _by: By) -> Any:
            await CHANNELS.get(tx, code)
            return await run(
                tx, bookings.page(code, state=wanted, faulty=faulty, before=None, limit=limit)
            )

        wanted = state.upper()
        if wanted and wanted not in STATES:
            raise ConfigError(f"{state} is none of {', '.join(STATES)}")
        for each in runner.run(work, reads=True):
            typer.echo(
                f"{each.create_time:%Y-%m-%d %H:%M:%S} {each.booking_id:24} {each.state:15}"
                f" {_booked(each)} {each.confirmation_number or '-':14} {_why(each)}".rstrip()
            )

    @made.command("cancel-booking")
    def cancel_booking(
        code: Code,
        booking: Annotated[str, typer.Argument(help="The vendor's id of it.")],
        comment: Annotated[str, typer.Argument(help="Why, for the vendor.")],
        reason: Annotated[str, typer.Option(help="other, fraud, …")] = "other",
    ) -> None:
        """Cancel a booking at the channel, or reject it; its order is given back whole."""
        from server.channels.booking_ends import request_cancellation

        async def work(tx: "AsyncConnection", _key: bytes, by: By) -> Any:
            await request_cancellation(tx, code, booking, reason, comment, **by)

        runner.run(work)
        typer.echo(f"{code}: {booking} is cancelled by a server that runs")


def _add_test(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def test(code: Code) -> None:
        """Call a channel with the credentials that it has here."""
        from server.channels.facts import ChannelCallError, UnmappedError, UntestableError

        try:
            runner.call(code)
        except UntestableError as error:
            typer.echo(f"{code} was not called: {error}")
            return
        except ChannelCallError as error:
            typer.echo(f"{code}: {error.with_remedy}", err=True)
            raise typer.Exit(1) from None
        except UnmappedError as error:
            typer.echo(f"{code}: {error}", err=True)
            raise typer.Exit(1) from None
        typer.echo(f"{code} answers, and knows us")


def _add_demo(made: typer.Typer, runner: Runner) -> None:
    @made.command()
    def demo(  # noqa: PLR0917 - options
        product: Annotated[int, typer.Option(help="A package that is on sale.")] = 106,
        timetable: Annotated[int, typer.Option(help="A timetable on sale.")] = 202_100,
        destination: Annotated[int, typer.Option(help="Position of the stop.")] = 1,
        car: Annotated[int, typer.Option(help="A car that is rented out.")] = 301,
        rental_location: Annotated[int, typer.Option(help="Where.")] = 1,
        currency: Annotated[str, typer.Option(help="In which all is sold.")] = "CNY",
        partner: Annotated[str, typer.Option(help="Whose allotments are sold, too.")] = "CP",
    ) -> None:
        """Book a package, a departure and a car at each simulated channel of `serve --channels`,
        and the former two of a partner's allotment at one more; change and cancel them.
        """
        from server.channels.asking import get_booking
        from server.cli import channel_demo
        from server.operations import data_folder

        folder = runner.settings().data_dir / "channels"

        def look(code: str, booking: str) -> "StoredBooking":
            found: StoredBooking = runner.run(
                lambda tx, _key, _by: get_booking(tx, code, booking), reads=True
            )
            return found

        port = data_folder.read_running(runner.settings()).get("http_port")
        url = f"http://127.0.0.1:{port}" if port else ""
        sold = channel_demo.DemoSale(
            product, timetable, destination, car, rental_location, currency, partner
        )
        command = channel_demo.commands(made, folder)
        for line in channel_demo.walk(folder, sold, command, look, server_url=url):
            typer.echo(line)


def _waits(code: str, waits: "Ending | None") -> Iterator[str]:
    """What a channel that ends waits for, and what to do about it."""
    if waits is None:
        return
    yield (
        f"waits until it was sent that nothing is left on {waits.on_sale} days, and until"
        f" {waits.unfinished} bookings are seen to"
    )
    for quantity in waits.faulty:
        yield f"{quantity.item_id} {quantity.day} cannot be sent: {quantity.fault}"
    for booking in waits.held_up:
        yield (
            f"booking {booking.booking_id}, {booking.state}, holds it up: {booking.fault}; mend"
            f" that, or `channels cancel-booking {code} {booking.booking_id}`"
        )
    if waits.faulty or waits.held_up:
        yield f"or end it as it is: `channels disconnect {code} --at-once --keep-bookings`"


def _set_paused(runner: Runner, code: str, *, paused: bool) -> str:
    from server.channels.channel_credentials import ChannelSeals
    from server.channels.channel_records import set_paused

    async def work(tx: "AsyncConnection", key: bytes, by: By) -> Any:
        return await set_paused(tx, ChannelSeals(key), code, paused=paused, **by)

    return str(runner.run(work).state)


def _booked(booking: "StoredBooking") -> str:
    if booking.pickup_day is None:  # not read yet
        return "unread"
    total = f"{booking.total_minor} {booking.currency_code} fee {booking.fee_minor}"
    return f"{booking.item_id} {booking.pickup_day} {total}"


def _why(booking: "StoredBooking") -> str:
    """Reason and detail of a rejection or cancellation, and the fault."""
    reason, fault = booking.cancel_reason, booking.fault
    if reason and booking.cancel_comment:
        reason += f": {booking.cancel_comment}"
    return "; ".join(filter(None, (reason, fault and f"fault: {fault}")))


def _kind(word: str) -> Any:
    from server.channels.facts import MappingKind

    try:
        return MappingKind(word.upper())
    except ValueError:
        raise ConfigError(f"{word} is none of {', '.join(MappingKind)}") from None


def _credentials(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text()
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is no JSON file: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ConfigError(f"{path}: is no JSON object of texts")
    return found
