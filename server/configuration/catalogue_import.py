"""Bulk import of the catalogue: every record of a file is created or changed as by a call, in one
transaction; what is refused is reported with its line.
"""

from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import rental_fleets, timetables
from server.catalog.changes import ARCHIVED
from server.configuration.catalogue_files import (
    MOST_LIST,
    MOST_RECORDS,
    CatalogueFile,
    FileRecord,
    FileRefused,
    RefusedLine,
)
from server.configuration.catalogue_nouns import JSON_READERS, NOUNS, Column
from server.configuration.catalogue_records import KEEPERS, Keeper, Values
from server.platform.errors import DomainError, Reason

MOST_REFUSED = 1_000
"""Lines of a report; how many more were refused is counted."""
BROUGHT_AT_ONCE = 500
"""Records of one savepoint: one a record costs the database the square of their number, since each
locks the city of a stop anew.
"""
_PASSED_ON = {Reason.DATABASE_UNAVAILABLE, Reason.CONFLICT, Reason.DEADLINE_EXCEEDED}
"""Faults of the moment, not of a record."""


@dataclass(slots=True)
class ImportReport:
    """What an import did, or with `dry_run` would do: records by noun, and each refused line.

    `applied` is whether anything was kept.
    """

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    refused: list[RefusedLine] = field(default_factory=list)
    refused_count: int = 0
    applied: bool = False

    def refuse(self, *lines: RefusedLine) -> None:
        """Adds refused lines."""
        self.refused_count += len(lines)
        self.refused += lines[: max(0, MOST_REFUSED - len(self.refused))]


async def import_catalogue(
    tx: AsyncConnection,
    file: CatalogueFile,
    *,
    dry_run: bool = False,
    keep_going: bool = False,
    **by: Unpack[By],
) -> ImportReport:
    """Creates and changes what a file says, and removes nothing; what is so already stays
    untouched, so that a repeat changes nothing.

    All or nothing: if anything is refused, nothing is kept, unless `keep_going`. With `dry_run`
    nothing is kept either way: the report is what the import would do now. Raises FileRefused for
    more records than a file may have.
    """
    if len(file.records) > MOST_RECORDS:
        raise FileRefused(f"has more than {MOST_RECORDS} records; send it in parts")
    report = ImportReport()
    report.refuse(*file.refused)
    try:
        async with tx.begin_nested():
            await _bring(_Work(tx, report, by), file)
            if dry_run or (report.refused_count and not keep_going):
                raise _NotKept
            report.applied = bool(report.created or report.updated)
    except _NotKept:
        pass
    return report


class _NotKept(Exception):  # noqa: N818 - what becomes of it
    """Nothing of an import is to be kept."""


async def _bring(work: "_Work", file: CatalogueFile) -> None:
    by_noun = {noun.name: [each for each in file.records if each.noun is noun] for noun in NOUNS}
    for name, records in by_noun.items():
        seen: dict[str, int] = {}
        for begin in range(0, len(records), BROUGHT_AT_ONCE):
            part = records[begin : begin + BROUGHT_AT_ONCE]
            await work.bring([_read(record, seen) for record in part])
        if name == "timetables" and records:
            await timetables.make_departures(work.tx, work.by["now"])
        if name == "rental_fleets" and records:
            await rental_fleets.make_days(work.tx, work.by["now"])
    # what is archived goes last and from the end, since others could not be made of it
    for record, keeper, key in reversed(work.archived):
        assert keeper.archive is not None
        if error := await work.saved(keeper.archive(work.tx, key, **work.by)):
            work.report.refuse(*_of_error(record, error))


class _Read(NamedTuple):
    """A record as it was read: its values with the key among them, or what is wrong with them."""

    record: FileRecord
    key: Values
    values: Values
    faults: Sequence[RefusedLine]


def _read(record: FileRecord, seen: dict[str, int]) -> _Read:
    """Reads a record; `seen` are the lines of those before it, of the same noun."""
    values, faults = _values(record)
    if faults:
        return _Read(record, {}, values, faults)
    key = {name: values[name] for name in record.noun.key}
    line = seen.setdefault("/".join(map(str, key.values())), record.line)
    if line != record.line:
        fault = f"stands in line {line} already; keep one of them"
        faults = [_refused(record, record.noun.key[0], fault)]
    return _Read(record, key, values, faults)


@dataclass(slots=True)
class _Work:
    """An import that is under way; `archived` are records to be archived at its end."""

    tx: AsyncConnection
    report: ImportReport
    by: By
    archived: list[tuple[FileRecord, Keeper, Values]] = field(default_factory=list)

    async def bring(self, read: Sequence[_Read]) -> None:
        """Creates or changes what records of one noun say, all that are valid in one savepoint; if
        one of them is refused, each half anew, down to that one.
        """
        valid = [each for each in read if not each.faults]
        outcomes: list[Counter[str]] = []
        archived = len(self.archived)
        error = await self.saved(self._keep(valid, outcomes)) if valid else None
        if error and len(read) > 1:
            del self.archived[archived:]
            middle = len(read) // 2
            await self.bring(read[:middle])
            await self.bring(read[middle:])
            return
        for each in read:
            self.report.refuse(*each.faults)
            if error:
                self.report.refuse(*_of_error(each.record, error))
        if not error:
            for each, counter in zip(valid, outcomes, strict=True):
                counter[each.record.noun.name] += 1

    async def _keep(self, valid: Sequence[_Read], outcomes: "list[Counter[str]]") -> None:
        keeper = KEEPERS[valid[0].record.noun.name]
        before = await keeper.find(self.tx, [each.key for each in valid])
        new = [each for each, there in zip(valid, before, strict=True) if there is None]
        if new:
            complete = [_complete(each.record, each.values) for each in new]
            await keeper.create(self.tx, complete, **self.by)
        for each, there in zip(valid, before, strict=True):
            if there is not None:
                outcomes.append(await self._change(keeper, each, there))
                continue
            outcomes.append(self.report.created)
            if each.values.get("state") == ARCHIVED:
                self.archived.append((each.record, keeper, each.key))

    async def _change(self, keeper: Keeper, read: _Read, before: Values) -> "Counter[str]":
        record, key, values, _ = read
        tx, state = self.tx, before.get("state")
        wanted = values.get("state", state)
        changed = _changed(before, values, key)
        for name in sorted(keeper.fixed & changed.keys()):
            fault = f"is {before[name]} for good; create another record for {changed[name]}"
            raise DomainError(Reason.INVALID_FIELD, fault, violations=[(name, fault)])
        back = state == ARCHIVED and (wanted != ARCHIVED or changed)
        if back:
            assert keeper.unarchive is not None
            await keeper.unarchive(tx, key, **self.by)
        if changed:
            await keeper.update(tx, key, changed, **self.by)
        if wanted == ARCHIVED and (back or state != ARCHIVED):
            self.archived.append((record, keeper, key))
        is_same = not changed and wanted == state
        return self.report.unchanged if is_same else self.report.updated

    async def saved(self, work: Awaitable[object]) -> DomainError | None:
        """Does the work, or none of it: then why not."""
        try:
            async with self.tx.begin_nested():
                await work
        except DomainError as error:
            if error.reason in _PASSED_ON:
                raise
            return error
        return None


def _changed(before: Values, values: Values, key: Values) -> Values:
    """What of a record is to be otherwise."""
    return {
        name: value
        for name, value in values.items()
        if name not in key and name != "state" and not _same(before[name], value)
    }


def _of_error(record: FileRecord, error: DomainError) -> Iterator[RefusedLine]:
    if not error.violations:
        yield _refused(record, "", f"{error.reason}: {error.message}")
    for path, description in error.violations:
        yield _refused(record, path, description)


def _refused(
    record: FileRecord, path: str, description: str, line: int | None = None
) -> RefusedLine:
    """The refusal, at the line of the list's entry where the path names one."""
    if line is None:
        line = record.line
        head, _, rest = path.partition("[")
        number = rest.partition("]")[0]
        entries = record.values.get(head)
        if number.isdigit() and isinstance(entries, list) and int(number) < len(entries):
            entry = entries[int(number)]
            line = entry[0] if isinstance(entry, tuple) else line
    return RefusedLine(record.file, line, record.noun.name, record.name, path, description)


# From texts to values


def _values(record: FileRecord) -> tuple[Values, list[RefusedLine]]:
    """The values of a record's texts, and what cannot be read."""
    noun, faults, values = record.noun, [], {}
    for key in noun.key:
        if record.values.get(key) is None:
            faults.append(_refused(record, key, "is missing; it names the record"))
    for name, column in noun.by_name.items():
        # an empty cell of what every record needs says nothing of it
        if record.values.get(name) is not None or (
            name in record.values and column.value_if_new is not ...
        ):
            try:
                values[name] = _value(column, record.values[name])
            except ValueError as error:
                faults.append(_refused(record, name, str(error)))
    state = values.get("state", "ACTIVE")
    if state not in ("ACTIVE", "ARCHIVED"):
        faults.append(_refused(record, "state", f"is {state!r}; write ACTIVE or ARCHIVED"))
    for each in noun.lists:
        if each.name in record.values:
            made, wrong = _list(record, each.name, each.columns)
            values[each.name] = made
            faults += wrong
    return values, faults


def _list(
    record: FileRecord, name: str, columns: Sequence[Column]
) -> tuple[list[Values], list[RefusedLine]]:
    entries, faults = record.values[name], []
    if len(entries) > MOST_LIST:
        return [], [_refused(record, name, f"has {len(entries)} entries; at most {MOST_LIST}")]
    made = []
    for line, texts in entries:
        entry = {}
        for column in columns:
            path = f"{name}.{column.name}"
            try:
                written = texts.get(column.name)
                value = _value(column, written)
                if value is not column.left_out:
                    entry[column.name] = value
                if written is None and column.value_if_new is ...:
                    faults.append(_refused(record, path, "is missing; write a value", line))
            except ValueError as error:
                faults.append(_refused(record, path, str(error), line))
        made.append(entry)
    return made, faults


def _value(column: Column, written: Any) -> Any:
    """The value of a text, or of a list or mapping of YAML. Raises ValueError."""
    if written is None:
        return None if column.value_if_new is ... else column.value_if_new
    if isinstance(written, str) or column.read in JSON_READERS:
        return column.read(written)
    if isinstance(written, list) and all(isinstance(each, str | int) for each in written):
        return column.read(" ".join(map(str, written)))
    raise ValueError("is a list or mapping; write a text")


def _complete(record: FileRecord, values: Values) -> Values:
    """The values of a new record. Raises INVALID_FIELD for those it needs."""
    made = dict(values)
    missing = []
    for name, column in record.noun.by_name.items():
        if made.get(name) is None:
            if column.value_if_new is ...:
                missing.append((name, "is missing; a new record needs it"))
            else:
                made[name] = column.value_if_new
    for each in record.noun.lists:
        made.setdefault(each.name, [])
    if missing:
        name, fault = missing[0]
        raise DomainError(Reason.INVALID_FIELD, f"{name}: {fault}", violations=missing)
    return made


def _same(before: Any, value: Any) -> bool:
    """Whether a value is as it is kept; of lists whatever the order of days and fields."""
    if isinstance(before, Mapping) and isinstance(value, Mapping):
        return all(_same(before.get(name), value.get(name)) for name in {*before, *value})
    if isinstance(before, list) and isinstance(value, list):
        return len(before) == len(value) and all(map(_same, before, value))
    return bool(before == value)
