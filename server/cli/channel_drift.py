"""`deeptravel channels drift`: what a channel was sent otherwise than is true now."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli.channel_runner import Code, Limit, Runner

if TYPE_CHECKING:
    from server.audit.records import By
    from server.channels.drifting import DriftedValue
    from server.channels.outgoing import Drift, ValueFault
    from server.platform.database import Database


def add_drift(made: typer.Typer, runner: Runner) -> None:
    """The command."""

    @made.command()
    def drift(
        code: Code,
        item: Annotated[str, typer.Option(help="Only what is listed as this.")] = "",
        limit: Limit = 50,
    ) -> None:
        """Work out what is true now, and show what a channel was sent otherwise, and how far it is
        behind; exit code 1 if there is anything. `channels sync` mends it.
        """
        kept, faults, counts, shown = runner.look(_look(runner, code, item, limit))
        for each in kept:
            _say_kept(each, counts[each.what])
        for each in shown:
            _say_drifted(each)
        if (more := counts.total() - len(shown)) > 0:
            typer.echo(f"and {more} more; see --limit")
        for fault in faults:
            _say_fault(fault)
        raise typer.Exit(1 if counts or faults else 0)


def _look(runner: Runner, code: str, item: str, limit: int) -> Any:
    from server.catalog.catalogue import Catalogues
    from server.channels import outgoing
    from server.channels.channel_records import CHANNELS
    from server.channels.drifting import DriftDetector
    from server.platform.change_feed import ChangeFeed
    from server.platform.statements import run

    zone = runner.settings().zone

    async def work(db: "Database", by: "By") -> Any:
        detector = DriftDetector(Catalogues(ChangeFeed(db), db), zone)
        today = by["now"].astimezone(zone).date()
        counts, shown = Counter[str](), list["DriftedValue"]()
        async with db.transaction() as tx:
            channel = await CHANNELS.get(tx, code)
            kept = await run(tx, outgoing.drift(code, today=today))
            faults = await run(tx, outgoing.faults(code, today=today, limit=limit))
            async for each in detector.every(tx, channel, item_id=item, now=by["now"]):
                counts[each.what] += 1
                if len(shown) < limit:
                    shown.append(each)
        unknown = counts.keys() - {each.what for each in kept}
        kept += [outgoing.Drift(what, 0, 0, 0, None, None) for what in sorted(unknown)]
        return kept, faults, counts, shown

    return work


def _say_kept(kept: "Drift", drifted: int) -> None:
    since = f" since {kept.oldest_time:%Y-%m-%d %H:%M:%S}" if kept.oldest_time else ""
    sent = f"{kept.sent_time:%Y-%m-%d %H:%M:%S}" if kept.sent_time else "never"
    typer.echo(
        f"{kept.what}: {drifted} drifted of {kept.known} known, {kept.waiting} waiting{since},"
        f" {kept.faulty} faulty; last sent {sent}"
    )


def _say_drifted(found: "DriftedValue") -> None:
    from server.channels.differences import value_cells

    was = value_cells(found.sent, found.sent_currency_code, found.sent_content)
    true = value_cells(found.wanted, found.currency_code, found.content)
    how = "waits to be sent" if found.is_waiting else "not worked out since"
    typer.echo(
        f"{found.what} {found.item_id}{_on(found.day)}: sent {_said(was) or 'nothing'}, true"
        f" {_said(true)}; {found.fault or how}"
    )


def _say_fault(fault: "ValueFault") -> None:
    kinds = ", ".join(fault.kinds)
    typer.echo(
        f"{fault.fault}: {fault.values} values ({kinds}), first {fault.item_id}{_on(fault.day)}",
        err=True,
    )


def _said(cells: tuple[str, str]) -> str:
    return " ".join(filter(None, cells))


def _on(day: Any) -> str:
    from server.channels.static_values import NO_DAY

    return "" if day == NO_DAY else f" {day}"
