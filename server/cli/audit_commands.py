"""`deeptravel audit …`: its commands; what they do is in `auditing.py`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from server.cli import exits
from server.platform.config import Settings


def app(settings_of: Callable[[], Settings], with_database: Callable[..., Any]) -> typer.Typer:
    """The commands, which get settings and database from those who have them."""
    audit = typer.Typer(no_args_is_help=True, help="The audit trail: verify, sign, export.")

    @audit.command("verify")
    def verify_audit(
        checkpoints: Annotated[
            Path | None,
            typer.Option(
                help="A file with lines of checkpoints that were kept elsewhere, e.g. a log."
            ),
        ] = None,
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
        )

    return audit


def _verify(settings: Settings, checkpoints: Path | None) -> None:
    from server.cli import auditing, development
    from server.operations import preparation

    with development.open_places(settings, attach=True) as found:
        settings = preparation.with_secret_key(settings, found)
        preparation.prepare_database(found.database_url, embedded=found.embedded)
        assert settings.secret_key is not None
        secret_key = settings.secret_key.get_secret_value()
        verified = auditing.verify(found.database_url, secret_key, checkpoints)
    for line in auditing.report(verified):
        typer.echo(line)
    if verified.fault:
        raise typer.Exit(exits.WRONG)
