"""`deeptravel keys …`: the keys that seal QR codes."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.platform.config import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from server.platform.database import Database

KeyId = Annotated[int, typer.Argument(min=0, max=255, help="As `keys list` shows it.")]
SigningKey = Annotated[
    int, typer.Argument(min=0, max=(1 << 24) - 1, help="As `keys list` shows it, also of a day.")
]
Day = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Of which day to list the issuing keys instead."),
]
ByDay = Annotated[
    bool,
    typer.Option(
        "--by-day",
        help="From now on codes are signed by keys of a day and partner, which end with the day:"
        " once no server of an older release runs. Terminals without network do not read such"
        " codes. It stays so.",
    ),
]
Comment = Annotated[str, typer.Option(help="What happened, for the audit trail.")]


def app(
    settings: Callable[[], Settings], with_database: Callable[..., Any], actor: Callable[[], str]
) -> typer.Typer:
    """The commands, which reach the database as all others do."""
    made = typer.Typer(
        no_args_is_help=True,
        help="The keys that seal QR codes: list, rotate, revoke, compromise; what stolen ones did.",
    )

    @made.command("list")
    def list_keys(day: Day = None) -> None:
        """List the keys: state, how much is issued anew, and whether each code is recorded."""
        shown = partial(_list_of_day, day.date()) if day else _list
        with_database(settings(), shown, reads=True)

    @made.command("rotate")
    def rotate_keys(by_day: ByDay = False) -> None:
        """Make a new key the one that seals, without downtime; what the former one sealed stays
        good.
        """

        async def rotate(db: "Database", secret_key: bytes) -> int:
            from server.tickets import keys

            now = datetime.now(UTC)
            key_id = await keys.rotate(db, secret_key, now, by_day=by_day)
            async with db.transaction() as tx:
                await _audit(tx, actor(), "rotate", key_id, "ACTIVE", now)
            return key_id

        typer.echo(f"QR key {with_database(settings(), rotate)} is the active one now")

    @made.command("revoke")
    def revoke_key(key_id: KeyId) -> None:
        """End a key: within a second every QR code that it sealed is refused, everywhere."""
        with_database(settings(), partial(_revoke, key_id, actor()))
        typer.echo(f"QR key {key_id} is revoked")

    @made.command("unissued")
    def list_unissued() -> None:
        """List redemptions by codes that were made with a key of ours, but not by us.

        The newest 200 that the hourly check has found; all are in `deeptravel admin
        unissued-redemptions list`. Exit code 1 if the key of one is neither compromised nor
        revoked.
        """
        if with_database(settings(), _list_unissued, reads=True):
            raise typer.Exit(1)

    @made.command("compromise")
    def compromise_key(key_id: SigningKey, comment: Comment) -> None:
        """Others have a key: refuse what was made with it, and issue the honest codes anew.

        When it answers every process refuses its codes, and another key seals. Servers issue anew
        in the background, which `keys list` shows. Honest travellers are admitted by ticket number.
        """

        async def compromise(db: "Database", secret_key: bytes) -> None:
            from server.tickets import keys

            by, now = actor(), datetime.now(UTC)
            async with db.transaction() as tx:
                await keys.compromise(tx, secret_key, key_id, actor=by, comment=comment, now=now)
            await keys.known_everywhere()

        with_database(settings(), compromise)
        typer.echo(f"QR key {key_id} is compromised: its codes are refused, and issued anew")

    return made


async def _revoke(key_id: int, actor: str, db: "Database", _key: bytes) -> None:
    from server.tickets import keys

    now = datetime.now(UTC)
    async with db.transaction() as tx:
        await keys.revoke(tx, key_id, now)
        await _audit(tx, actor, "revoke", key_id, "REVOKED", now)


async def _list(db: "Database", _key: bytes) -> None:
    from rich.console import Console
    from rich.table import Table

    from server.tickets import keys

    async with db.transaction() as tx:
        found = await keys.list_keys(tx)
    times = "made", "active from", "retired", "revoked", "compromised"
    table = Table("key", "state", *times, "issued anew", "recorded", "public key")
    for key in found:
        moments = (
            *(key.create_time, key.activate_time, key.retire_time),
            *(key.revoke_time, key.compromise_time),
        )
        shown = (f"{each:%Y-%m-%d %H:%M}Z" if each else "" for each in moments)
        anew = f"{key.replaced} of {key.issued}" if key.compromise_time else ""
        recorded = "yes" if key.is_recorded else "no"
        public = f"{key.verify_key.hex()[:16]}…"
        table.add_row(str(key.key_id), key.state, *shown, anew, recorded, public)
    Console().print(table)


async def _list_of_day(day: date, db: "Database", _key: bytes) -> None:
    from rich.console import Console
    from rich.table import Table

    from server.platform.statements import run
    from server.tickets import issuing_keys

    async with db.transaction() as tx:
        found = await run(tx, issuing_keys.OF_DAY(day))
    times = "made", "private half destroyed", "compromised"
    table = Table("key", "partner", "state", *times, "issued anew", "public key")
    for key in found:
        moments = key.create_time, key.retire_time, key.compromise_time
        shown = (f"{each:%Y-%m-%d %H:%M}Z" if each else "" for each in moments)
        anew = f"{key.replaced} of {key.issued}" if key.compromise_time else ""
        public = f"{key.verify_key.hex()[:16]}…"
        table.add_row(str(key.number), key.partner_code, key.state, *shown, anew, public)
    Console().print(table)


async def _list_unissued(db: "Database", _key: bytes) -> bool:
    """Prints them; whether the key of one still admits."""
    from rich.console import Console
    from rich.table import Table

    from server.redemption import issue_check
    from server.tickets.qr import KeyState

    async with db.transaction() as tx:
        found = await issue_check.page(tx, after=None, limit=200)
    table = Table("redeemed", "ticket", "function", "venue", "terminal", "operator", "key", "state")
    for each in found:
        place = each.function_code, each.venue_code, each.terminal_device_id, each.operator
        moment = f"{each.occurred_time:%Y-%m-%d %H:%M}Z"
        table.add_row(moment, each.ticket_code, *place, str(each.qr_key_id), each.key_state)
    Console().print(table)
    ended = KeyState.COMPROMISED, KeyState.REVOKED
    return any(each.key_state not in ended for each in found)


async def _audit(  # noqa: PLR0917 - who did what
    tx: "AsyncConnection", actor: str, action: str, key_id: int, state: str, now: datetime
) -> None:
    from server.audit.trail import AuditedChange, audit
    from server.platform.statements import run

    change = AuditedChange(actor, action, "qr_key", key_id, None, {"state": state})
    await run(tx, audit(change, now=now))
