"""The command line: `deeptravel --help`."""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from server.cli import (
    audit_commands,
    channel_commands,
    exits,
    gtfs_feeds,
    key_commands,
    receipt_commands,
)
from server.platform import logs
from server.platform.config import Settings, load_settings, unknown_settings

if TYPE_CHECKING:
    from server.cli.development import DemoCredentials
    from server.operations.places import Places
    from server.platform.database import Database

EPILOG = (
    "Settings are environment variables that begin with DEEPTRAVEL_; without any, everything runs"
    " embedded, with data in .deeptravel. Exit codes: 0 done, 1 a check or a step failed, 2 wrong"
    " settings or arguments, 3 something that is needed is missing or in use, 130 interrupted"
    " before all was finished."
)

T = TypeVar("T")

app = typer.Typer(
    name="deeptravel",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tickets, QR codes and redemption for ferries, venues and the partners who sell them.",
    epilog=EPILOG,
)
catalog_app = typer.Typer(
    no_args_is_help=True, help="Cities, routes, fares, timetables …: import and export as files."
)
app.add_typer(catalog_app, name="catalog")
gtfs_work = {"obj": lambda work: _with_database(_settings(), lambda db, _: work(db, _actor()))}
app.add_typer(gtfs_feeds.app, name="gtfs", context_settings=gtfs_work)
statements_app = typer.Typer(no_args_is_help=True, help="Partners' monthly statements: rebuild.")
app.add_typer(statements_app, name="statements")
policies_app = typer.Typer(
    no_args_is_help=True, help="Fares, refund policies and entry: try examples of them."
)
app.add_typer(policies_app, name="policies")


@app.command()
def serve(
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that share the ports; one for each core.")
    ] = 1,
    channels: Annotated[
        bool, typer.Option("--channels", help="Simulate Ctrip, Booking.com and Expedia beside it.")
    ] = False,
) -> None:
    """Start the server with everything it needs.

    Without DEEPTRAVEL_DATABASE_URL and DEEPTRAVEL_REDIS_URL an embedded PostgreSQL and Valkey are
    started, with demo data and a WeChat simulator. With them DEEPTRAVEL_SECRET_KEY is needed too,
    and no simulator starts: the log says how to start one. The database is migrated first. Ctrl-C
    or SIGTERM ends it when the calls in flight are done; a second Ctrl-C at once.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop_before_serving)
    settings = _settings(serves=True, warn=True)
    if channels:  # Ctrip's simulated attractions channel calls us
        settings = settings.model_copy(update={"ctrip_ttd": True})
    from server.cli import development
    from server.operations import data_folder
    from server.platform import ports

    # While the database starts; joined before anything else is imported here, as two threads that
    # load modules which import each other may see them half made.
    embedded = settings.database_url is None
    loading = threading.Thread(target=_load, args=(embedded,), daemon=True)
    loading.start()
    with (
        ports.kept(
            settings
        ) as ready,  # before anything is made that a busy port would leave lying about
        development.open_wechat(ready) as wechat,
        development.open_places(ready, when_ours=wechat.start if wechat else None) as found,
        development.open_channels(ready.data_dir / "channels", wanted=channels),
    ):
        loading.join()
        from server.api.tls import Certificates
        from server.cli import serving, welcome
        from server.operations import preparation

        settings = preparation.with_secret_key(ready, found)
        preparation.prepare_database(found.database_url, embedded=found.embedded)
        preparation.check_redis(found.redis_url)
        Certificates.of(settings)
        credentials = asyncio.run(_fill(settings, found))
        settings = development.with_merchant(settings, wechat)
        settings = development.with_webhooks_to_this_machine(settings, found)
        settings = development.with_documentation_key(settings, found, credentials)
        places = development.with_simulator(found, wechat)
        development.warn_if_nobody_can_pay(settings)

        def announce(ports: Mapping[str, int]) -> None:
            if credentials:
                development.publish_credentials(settings)
            if found.embedded:
                data_folder.write_running(settings, found, **ports)
            welcome.show(settings, ports, credentials)

        if workers == 1:
            code = serving.serve_alone(settings, places, announce)
        else:
            code = serving.serve_with_workers(settings, places, announce, workers=workers)
    raise typer.Exit(code)


@app.command()
def migrate() -> None:
    """Bring the database to this release's schema.

    `serve` does it, too; this is for those who want to do it before, or under another account.
    """
    from server.cli import development
    from server.operations import preparation

    with development.open_places(_settings(), attach=True) as found:
        preparation.prepare_database(found.database_url, embedded=found.embedded)
        typer.echo(f"{preparation.shown(found.database_url)} has the schema of this release")


@app.command()
def demo_data() -> None:
    """Load the demo data: what is missing of it, and new credentials in place of lost ones.

    Partners CP and HK, products 106 to 108 with stock, a merchant with venues and terminals, an
    operator, a supervisor and an administrator. Their credentials are written to
    demo-credentials.json in the data folder.
    """
    from server.cli import development

    settings = _settings()
    path = _with_database(settings, lambda db, _key: development.load_demo_data(db, settings))
    typer.echo(f"the demo data are loaded; the credentials are in {path.resolve()}")


@app.command()
def demo(
    target: Annotated[
        str,
        typer.Option(help="host:port of a gRPC server with demo data; one of its own if empty."),
    ] = "",
    credentials: Annotated[
        Path | None, typer.Option(help="The server's demo-credentials.json, if it is elsewhere.")
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="PEM file of the CA to trust, if the server has TLS.")
    ] = None,
) -> None:
    """Walk through the whole main job: batch, QR, activation, look, redemption, refused double
    scan.

    Against --target, else against the server that runs over the data folder, else against one that
    is started for it. Exit code 0 only if every step held.
    """
    from server.cli import demo as walk
    from server.operations import data_folder

    settings = _settings()
    path = credentials or settings.data_dir / data_folder.DEMO_CREDENTIALS_FILE
    running = data_folder.running_port(settings)
    if not target and running:
        target = f"{settings.grpc_host}:{running}"
    given = nullcontext((target, path)) if target else walk.own_server()
    with given as (address, file):
        raise typer.Exit(walk.run(address, file, tls_ca))


@policies_app.command("test")
def try_policies(
    file: Annotated[Path, typer.Argument(help="YAML with terms and examples: given, expected.")],
) -> None:
    """Try examples of prices, refunds and entries against the terms in the same file.

    Needs no server and no database. Exit code 0 if all are answered as they say, 1 if not, 2 for a
    file that cannot be read.
    """
    from server.cli import examples

    raise typer.Exit(examples.run(file))


@catalog_app.command("import")
def import_catalogue(
    file: Annotated[
        Path, typer.Argument(help="YAML, one CSV file, or a ZIP or folder of CSV files.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would do; keep nothing.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Keep what is not refused, not all or nothing.")
    ] = False,
) -> None:
    """Create and change what a file says; each refused line is printed, with exit code 1."""
    from server.cli import catalog_files

    read = catalog_files.read(file)

    options = {"dry_run": dry_run, "keep_going": keep_going}
    raise typer.Exit(
        _with_database(
            _settings(), lambda db, _: catalog_files.bring(db, read, actor=_actor(), **options)
        )
    )


@catalog_app.command("export")
def export_catalogue(
    file: Annotated[
        Path, typer.Argument(help="A .yaml or .zip file to write, or a folder for CSV files.")
    ],
) -> None:
    """Write the catalogue to files that `catalog import` takes back."""
    from server.cli import catalog_files

    catalog_files.check_name(file)
    catalog_files.write(
        _with_database(_settings(), lambda db, _: catalog_files.take(db), reads=True), file
    )


@statements_app.command("rebuild")
def rebuild_statement(
    partner: Annotated[str, typer.Option(help="The partner's code, e.g. CP.")],
    month: Annotated[str, typer.Option(help="A month that is sealed, e.g. 2026-11.")],
) -> None:
    """Make a sealed statement again of the ledger's entries, and compare it byte for byte.

    Exit code 1 if it differs from what was sealed.
    """
    from server.cli.rebuilding import rebuild

    rebuilt = _with_database(_settings(), lambda db, _key: rebuild(db, partner, month))
    if rebuilt.fault:
        typer.echo(f"statement {month} of {partner}: {rebuilt.fault}")
        raise typer.Exit(exits.WRONG)
    typer.echo(
        f"statement {month} of {partner}: {len(rebuilt.document.canonical)} bytes, the same as"
        f" sealed, SHA-256 {rebuilt.document.content_sha256}"
    )


@app.command()
def create_administrator(
    username: Annotated[str, typer.Argument(help="Small letters, digits, dot, dash, underscore.")],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
) -> None:
    """Create a platform administrator: the first one, who makes everything else over
    AdminService.
    """
    from deeptravel.admin.v1 import account_pb2

    from server.api.fields import Checker
    from server.identity import accounts
    from server.identity.credentials import Passwords

    request = account_pb2.CreateAdministratorRequest(
        username=username, display_name=username, password=password, request_id="cli"
    )
    Checker.of(request.DESCRIPTOR).check(request)

    async def create(db: "Database", _key: bytes) -> None:
        async with db.transaction() as tx:
            await accounts.create_administrator(
                tx,
                Passwords(),
                username=username,
                display_name=username,
                password=password,
                actor=_actor(),
                now=datetime.now(UTC),
            )

    _with_database(_settings(), create)
    typer.echo(f"administrator {username} may log in now (AdminService/AdminLogin)")


@app.command()
def reset_second_factor(
    username: Annotated[str, typer.Argument(help="Of the administrator.")],
    reason: Annotated[str, typer.Option(help="For the audit trail, e.g. telephone lost.")],
) -> None:
    """Take an administrator's second factor away, and end the log-ins: for when nobody else can."""
    from server.identity import second_factors

    async def reset(db: "Database", _key: bytes) -> None:
        async with db.transaction() as tx:
            await second_factors.reset(
                tx, username, reason=reason, actor=_actor(), now=datetime.now(UTC)
            )

    _with_database(_settings(), reset)
    typer.echo(f"administrator {username} logs in by password alone now, and may enrol another")


@app.command()
def doctor(
    invariants: Annotated[
        bool,
        typer.Option(
            "--invariants",
            help="Look at the data instead: stock, money, orders and tickets tell one story.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Say what is wrong with settings, ports, TLS, database, Redis, clock and keys, and the remedy.

    Exit code 1 if something is wrong.
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from server.cli import development
    from server.operations.doctor import examine, examine_data
    from server.operations.findings import Verdict

    look = examine_data if invariants else examine
    findings = list(look(partial(development.open_places, attach=True)))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    else:
        colours = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.WRONG: "bold red"}
        table = Table("", "subject", "found", "remedy")
        for finding in findings:
            mark = Text(finding.verdict, colours[finding.verdict])
            table.add_row(mark, finding.subject, Text(finding.found), Text(finding.remedy))
        Console().print(table)
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        raise typer.Exit(exits.WRONG)


@app.command()
def reconcile(
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="A day in Beijing; yesterday if none."),
    ] = None,
) -> None:
    """Compare our payments and refunds of a day with WeChat's trade bill, and list what differs.

    The server does so by itself every morning. Exit code 1 if something differs.
    """
    from server.cli.reconciling import reconcile as compare

    settings = _settings()
    run, differences = _with_database(
        settings, lambda db, _: compare(db, settings, day.date() if day else None)
    )
    typer.echo(
        f"{run.bill_date}: {run.payment_count} payments of {run.payment_minor},"
        f" {run.refund_count} refunds of {run.refund_minor}, {run.difference_count} differences"
    )
    for each in differences:
        number = each.out_refund_no or each.out_trade_no
        typer.echo(
            f"{each.kind} {number}: {each.ours_minor} here, {each.theirs_minor} there {each.detail}"
        )
    if run.difference_count:
        raise typer.Exit(exits.WRONG)


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def admin(context: typer.Context) -> None:
    """Every call of AdminService at a server, for people: `admin --help`."""
    from server.cli.admin import commands

    raise typer.Exit(commands.main(context.args))


@app.command()
def version() -> None:
    """Print the versions of the server and of what it stands on."""
    typer.echo(f"deeptravel {installed_version('deeptravel-ticketing')}")
    typer.echo(f"Python {sys.version.split()[0]}, grpc {installed_version('grpcio')}")


def _settings(*, serves: bool = False, warn: bool = False) -> Settings:
    """The settings, with `warn` also a word in the log about each variable that is none.

    What `serves` collects no garbage before it does.
    """
    settings = load_settings()
    logs.configure(level=settings.log_level, style=settings.log_format)
    if not serves:
        gc.enable()
    if warn:
        for name, meant in unknown_settings(os.environ).items():
            remedy = f"did you mean {meant}?" if meant else "it has no effect: remove it"
            logs.get_logger().warning("settings.unknown", name=name, remedy=remedy)
    return settings


def _with_database(
    settings: Settings, work: Callable[["Database", bytes], Awaitable[T]], *, reads: bool = False
) -> T:
    """Runs `work` with the database, embedded or not, and the secret key; one that only reads
    changes no schema.
    """
    from server.audit import trail
    from server.cli import development
    from server.operations import preparation
    from server.orders import search_terms
    from server.platform import postgres_url
    from server.platform.database import Database

    async def run(settings: Settings, database_url: str) -> T:
        assert settings.secret_key is not None
        trail.seal_with(settings.secret_key.get_secret_value())
        search_terms.use_key(settings.secret_key.get_secret_value())
        db = Database(settings, database_url)
        try:
            return await work(db, settings.secret_key.get_secret_value())
        finally:
            await db.close()

    with development.open_places(settings, attach=True) as found:
        settings, url = preparation.with_secret_key(settings, found), found.database_url
        if reads and not found.embedded:
            url = postgres_url.for_reading(url)
            preparation.require_schema(url)
        else:
            preparation.prepare_database(url, embedded=found.embedded)
        return asyncio.run(run(settings, url))


async def _fill(settings: Settings, found: "Places") -> "DemoCredentials | None":
    """What a database has before it is served: a QR key, the holiday tables of this release, and
    demo data where they are wanted.
    """
    from server.audit import trail
    from server.cli import development
    from server.operations import preparation
    from server.orders import search_terms
    from server.platform.database import Database

    assert settings.secret_key is not None
    trail.seal_with(settings.secret_key.get_secret_value())
    search_terms.use_key(settings.secret_key.get_secret_value())
    db = Database(settings, found.database_url)
    try:
        await preparation.make_first_key(db, settings)
        await preparation.load_holiday_tables(db)
        return await development.load_demo_data_once(db, settings, embedded=found.embedded)
    finally:
        await db.close()


def _load(embedded: bool) -> None:
    if embedded:
        from server.cli import development

        development.load()
    for name in (
        "server.operations.preparation",
        "server.cli.serving",
        "server.cli.welcome",
    ):
        importlib.import_module(name)


def _actor() -> str:
    return f"cli:{os.environ.get('SUDO_USER') or os.environ.get('USER') or os.getuid()}"


def _stop_before_serving(_number: int, _frame: object) -> None:
    raise SystemExit(0)


app.add_typer(audit_commands.app(_settings, _with_database, _actor), name="audit")
app.add_typer(key_commands.app(_settings, _with_database, _actor), name="keys")
app.add_typer(receipt_commands.app(_settings, _with_database, _actor), name="receipts")
app.add_typer(channel_commands.app(_settings, _with_database, _actor), name="channels")


def main() -> None:
    """Runs the command; what a person can mend is said in one sentence, without a traceback."""
    exits.run(lambda: app(standalone_mode=True))


if __name__ == "__main__":
    main()
