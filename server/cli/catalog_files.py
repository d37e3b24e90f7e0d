"""`deeptravel catalog import` and `export`: the catalogue as files."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from server.cli import exits
from server.configuration import catalogue_files
from server.configuration.catalogue_files import CatalogueFile, FileRefused
from server.configuration.catalogue_import import ImportReport, import_catalogue
from server.configuration.catalogue_nouns import NOUNS
from server.configuration.catalogue_records import Values, read_catalogue
from server.platform.config import ConfigError
from server.platform.database import Database


def read(path: Path) -> CatalogueFile:
    """Reads a file, or the CSV files of a folder. Raises ConfigError."""
    try:
        if path.is_dir():
            found = sorted(path.glob("*.csv"))
            if not found:
                raise ConfigError(f"{path}: has no CSV file")
            return catalogue_files.read_folder({each.name: each.read_bytes() for each in found})
        return catalogue_files.read(path.read_bytes(), path.name)
    except FileRefused as refused:
        raise ConfigError(f"{path}: {refused}") from None


async def bring(
    db: Database, file: CatalogueFile, *, dry_run: bool, keep_going: bool, actor: str
) -> int:
    """Imports what was read, in one transaction, and prints what it did; the exit code."""
    async with db.transaction() as tx:
        report = await import_catalogue(
            tx,
            file,
            dry_run=dry_run,
            keep_going=keep_going,
            actor=actor,
            now=datetime.now(UTC),
        )
    return show(report, dry_run=dry_run)


def show(report: ImportReport, *, dry_run: bool) -> int:
    """Prints what an import did; the exit code."""
    for line in report.refused:
        where = ":".join(str(part) for part in (line.file, line.line) if part)
        what = " ".join(part for part in (line.noun, line.name, line.field) if part)
        sys.stdout.write(f"REFUSED {where} {what}: {line.description}\n")
    for noun in NOUNS:
        counts = (report.created, report.updated, report.unchanged)
        created, updated, unchanged = (each[noun.name] for each in counts)
        if created + updated + unchanged:
            sys.stdout.write(
                f"{noun.name}: {created} new, {updated} changed, {unchanged} as they are\n"
            )
    if dry_run:
        outcome = "nothing was kept: a dry run"
    elif report.refused_count and not report.applied:
        outcome = "nothing was kept: mend what is refused, or keep the rest with --keep-going"
    else:
        outcome = "kept" if report.applied else "there was nothing to do"
    sys.stdout.write(f"{report.refused_count} refused; {outcome}\n")
    return exits.WRONG if report.refused_count else 0


async def take(db: Database) -> dict[str, list[Values]]:
    """All records of the catalogue."""
    async with db.transaction() as tx:
        return await read_catalogue(tx)


def check_name(path: Path) -> None:
    """Raises ConfigError for a name whose form is not known."""
    if path.suffix.lower() not in ("", ".yaml", ".yml", ".zip"):
        raise ConfigError(f"{path}: name a .yaml or .zip file, or a folder for CSV files")


def write(records: dict[str, list[Values]], path: Path) -> None:
    """Writes records to a YAML file, a ZIP, or as CSV files into a folder."""
    if path.suffix.lower() == ".zip":
        path.write_bytes(catalogue_files.write_zip(records))
    elif path.suffix:
        path.write_bytes(catalogue_files.write_yaml(records))
    else:
        path.mkdir(parents=True, exist_ok=True)
        for name, content in catalogue_files.write_tables(records).items():
            (path / name).write_bytes(content)
    sys.stdout.write(f"{sum(map(len, records.values()))} records are in {path}\n")
