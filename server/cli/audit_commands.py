"""`deeptravel audit …`: its commands; what they do is in `auditing.py`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from server.cli import exits
from server.platform.config import Settings

Checkpoints = Annotated[
    Path | None,
    typer.Option(help="A file with lines of checkpoints that were kept elsewhere, e.g. a log."),
]


def app(
    settings_of: Callable[[], Settings],
    with_database: Callable[..., Any],
    actor: Callable[[], str],
) -> typer.Typer:
    """The commands, which get settings, database and who calls from those who have them."""
    audit = typer.Typer(no_args_is_help=True, help="The audit trail: verify, sign, resume, export.")

    @audit.command("verify")
    def verify_audit(
        checkpoints: Checkpoints = None,
    ) -> None:
        """Verify the chain of audit events, and name the first that is not as it was recorded.

        Exit code 1 if there is one. It reads the whole trail, as a stream.
        """
        _verify(settings_of(), checkpoints)

    @audit.command("checkpoint")
    def take_audit_checkpoint() -> None:
        """Sign the end of the chain now, as the server does daily, and print the line to keep."""
        from server.cli import auditing

        typer.echo(with_database(settings_of(), auditing.checkpoint).line())

    @audit.command("resume")
    def resume_audit_chain(
        reason: Annotated[str, typer.Option(help="What has been found out about the break.")],
        checkpoints: Checkpoints = None,
    ) -> None:
        """Begin a new segment of a chain that is broken, so that events are chained again.

        What is wrong is signed, is an event of the trail, and is named by `verify` for ever. Exit
        code 1 if nothing is wrong.
        """
        _resume(settings_of(), with_database, reason, actor(), checkpoints)

    @audit.command("export")
    def export_audit(  # noqa: PLR0913, PLR0917 - one for each filter
        as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of JSON lines.")] = False,
        output: Annotated[
            Path | None, typer.Option(help="A file; standard output if none.")
        ] = None,
        actor: Annotated[str, typer.Option(help="E.g. admin:root.")] = "",
        action: Annotated[str, typer.Option(help="E.g. revoke.")] = "",
        resource: Annotated[str, typer.Option(help="E.g. partner.")] = "",
        name: Annotated[str, typer.Option(help="Of what was changed, e.g. CP.")] = "",
        reason: Annotated[str, typer.Option(help="A part of the reason.")] = "",
        since: Annotated[datetime | None, typer.Option(help="At or after this time, UTC.")] = None,
        until: Annotated[datetime | None, typer.Option(help="Before this time, UTC.")] = None,
        with_personal_data: Annotated[
            bool, typer.Option("--with-personal-data", help="Names, documents, telephones too.")
        ] = False,
    ) -> None:
        """Export audit events, newest first, without personal data unless it is asked for."""
        from server.audit.audit_events import AuditFilter
        from server.cli import auditing

        times = (each and each.replace(tzinfo=each.tzinfo or UTC) for each in (since, until))
        wanted = AuditFilter(resource, name, actor, action, reason, *times)
        form: Literal["CSV", "JSON_LINES"] = "CSV" if as_csv else "JSON_LINES"
        with_database(
            settings_of(),
            lambda db, _key: auditing.export(
                db, wanted, form, output, with_personal_data=with_personal_data
            ),
            reads=True,
        )

    return audit


def _resume(
    settings: Settings,
    with_database: Callable[..., Any],
    reason: str,
    actor: str,
    checkpoints: Path | None,
) -> None:
    from server.cli import auditing

    segment, line = with_database(
        settings, lambda db, key: auditing.resume(db, key, reason, actor, checkpoints)
    )
    typer.echo(f"segment {segment.segment_number} begins at position {segment.begin_position}")
    typer.echo(f"it stays known: {segment.fault}")
    typer.echo(line)


def _verify(settings: Settings, checkpoints: Path | None) -> None:
    from server.cli import auditing, development
    from server.operations import preparation
    from server.platform import postgres_url

    with development.open_places(settings, attach=True) as found:
        settings = preparation.with_secret_key(settings, found)
        url = postgres_url.for_reading(found.database_url)
        preparation.require_schema(url)
        assert settings.secret_key is not None
        verified = auditing.verify(url, settings.secret_key.get_secret_value(), checkpoints)
    for line in auditing.report(verified):
        typer.echo(line)
    if verified.fault:
        raise typer.Exit(exits.WRONG)
