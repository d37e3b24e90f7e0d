"""Files of the catalogue, read into records with their line numbers and written from records: YAML,
CSV, or a ZIP of CSV files.

What spreadsheet programs make of a file is understood: a byte order mark, CR LF, semicolons or tabs
between columns, full-width digits, leading zeros. A cell that a program would take for a formula is
written with an apostrophe before it, which is taken away when it is read.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

import yaml

from server.configuration.catalogue_nouns import BY_NAME, NOUNS, Column, FileNoun, ListField

MOST_BYTES = 20_000_000
"""Of a file, or of what a ZIP holds together."""
MOST_RECORDS = 50_000
"""Of all nouns together, lists not counted."""
MOST_LIST = 5_000
"""Entries of one list of a record."""
MOST_NODES = 1_500_000
MOST_DEPTH = 12
BYTE_ORDER_MARK = "\ufeff"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")
"""What makes a spreadsheet program read a text as a formula, and the sign that keeps it from it."""


class FileRefused(ValueError):  # noqa: N818 - as a sentence says it
    """Nothing of a file can be read; the text says why, and what to send instead."""


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """What of a file was refused: where it stands, whose field it is, what is wrong and what to
    write instead.
    """

    file: str
    line: int
    noun: str
    name: str
    field: str
    description: str


@dataclass(slots=True)
class FileRecord:
    """A record as a file has it: texts by field, lists of texts, and where it stands."""

    noun: FileNoun
    file: str
    line: int
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called."""
        parts = [self.values.get(key) for key in self.noun.key]
        return "/".join("?" if part is None else str(part) for part in parts)


@dataclass(slots=True)
class CatalogueFile:
    """What was read, and what could not be."""

    records: list[FileRecord] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)


def read(content: bytes, name: str = "") -> CatalogueFile:
    """Reads a file: a ZIP of CSV files, one of them by its `name`, or YAML. Raises FileRefused."""
    if len(content) > MOST_BYTES:
        raise FileRefused(f"has more than {MOST_BYTES} bytes; send it in parts")
    if content.startswith(b"PK\x03\x04"):
        return _of_tables(_unzipped(content))
    if name.lower().endswith(".csv"):
        return _of_tables({name: content})
    return _of_yaml(content)


def read_folder(files: Mapping[str, bytes]) -> CatalogueFile:
    """Reads the CSV files of a folder by their names. Raises FileRefused."""
    if sum(map(len, files.values())) > MOST_BYTES:
        raise FileRefused(f"has more than {MOST_BYTES} bytes; send it in parts")
    return _of_tables(files)


# YAML


def _of_yaml(content: bytes) -> CatalogueFile:
    try:
        written = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileRefused(f"is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    root = _composed(written)
    made = CatalogueFile()
    if root is None:
        return made
    if not isinstance(root, yaml.MappingNode):
        raise FileRefused("is no mapping of nouns, e.g. `cities:` with a list under it")
    for key, nodes in _pairs(root, made, "", ""):
        noun = BY_NAME.get(key.value)
        if noun is None:
            known = ", ".join(BY_NAME)
            made.refused.append(_at(key, "", "", key.value, f"is no noun; there are {known}"))
        elif not isinstance(nodes, yaml.SequenceNode):
            made.refused.append(_at(nodes, noun.name, "", "", "is no list of records"))
        else:
            for node in nodes.value:
                _yaml_record(node, noun, made)
    return made


def _composed(written: str) -> yaml.Node | None:
    """The nodes of the text, of bounded number and depth, without aliases, which can make much of
    little.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = count = 0
    try:
        for event in yaml.parse(written, Loader=loader):
            count += 1
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise FileRefused(f"line {line} has an alias; write it out")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH or count > MOST_NODES:
                raise FileRefused(f"has more than {MOST_NODES} values, or {MOST_DEPTH} levels")
        return yaml.compose(written, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise FileRefused(f"is no YAML: {where}{getattr(error, 'problem', error)}") from None


def _yaml_record(node: yaml.Node, noun: FileNoun, made: CatalogueFile) -> None:
    record = FileRecord(noun, noun.name, node.start_mark.line + 1)
    if not isinstance(node, yaml.MappingNode):
        made.refused.append(_at(node, noun.name, "", "", "is no record: write fields and values"))
        return
    lists = {each.name: each for each in noun.lists}
    for key, value in _pairs(node, made, noun.name, ""):
        name = key.value
        if name in lists:
            record.values[name] = _yaml_list(value, lists[name], noun, made)
        elif name in noun.by_name:
            record.values[name] = _yaml_text(value)
        else:
            fields = ", ".join([*noun.by_name, *lists])
            fault = f"is no field of {noun.name}; there are {fields}"
            made.refused.append(_at(key, noun.name, record.name, name, fault))
    made.records.append(record)


def _yaml_list(
    node: yaml.Node, wanted: ListField, noun: FileNoun, made: CatalogueFile
) -> list[tuple[int, dict[str, Any]]]:
    found: list[tuple[int, dict[str, Any]]] = []
    if not isinstance(node, yaml.SequenceNode):
        made.refused.append(_at(node, noun.name, "", wanted.name, "is no list"))
        return found
    known = {column.name for column in wanted.columns}
    for each in node.value:
        if not isinstance(each, yaml.MappingNode):
            made.refused.append(_at(each, noun.name, "", wanted.name, "is no mapping of fields"))
            continue
        entry = {}
        for key, value in _pairs(each, made, noun.name, wanted.name):
            if key.value in known:
                entry[key.value] = _yaml_text(value)
            else:
                fault = f"is no field of {wanted.name}; there are {', '.join(sorted(known))}"
                path = f"{wanted.name}.{key.value}"
                made.refused.append(_at(key, noun.name, "", path, fault))
        found.append((each.start_mark.line + 1, entry))
    return found


def _pairs(
    node: yaml.MappingNode, made: CatalogueFile, noun: str, path: str
) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            made.refused.append(_at(key, noun, "", path, "has a key that is no word"))
        elif key.value in seen:
            made.refused.append(_at(key, noun, "", key.value, "stands there twice; write it once"))
        else:
            seen.add(key.value)
            yield key, value


def _yaml_text(node: yaml.Node) -> Any:
    """A text as it is written, whatever YAML takes it for: 0012 is no octal number, NO no false.
    None for nothing; of a list or mapping its JSON.
    """
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(
        isinstance(each, yaml.ScalarNode) and each.tag.endswith((":str", ":int", ":timestamp"))
        for each in node.value
    ):
        return [str(each.value) for each in node.value]
    return _plain(node)


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each) for each in node.value]
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() in ("true", "yes", "on")
    if kind == "int" and node.value.lstrip("+-").isdigit():
        return int(node.value)
    return str(node.value)


def _at(node: yaml.Node, noun: str, name: str, path: str, description: str) -> RefusedLine:
    return RefusedLine(noun, node.start_mark.line + 1, noun, name, path, description)


# CSV


def _unzipped(content: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                if info.is_dir() or "__MACOSX" in info.filename:
                    continue
                if info.flag_bits & 1:
                    raise FileRefused(f"{info.filename} has a password; send it without")
                with archive.open(info) as file:
                    data = file.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise FileRefused(f"holds more than {MOST_BYTES} bytes; send it in parts")
                name = info.filename.rsplit("/", 1)[-1]
                if name in files:
                    raise FileRefused(f"has {name} twice; keep one of them")
                files[name] = data
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise FileRefused(f"is no ZIP that can be read: {error}") from None
    return files


def _of_tables(files: Mapping[str, bytes]) -> CatalogueFile:
    made = CatalogueFile()
    tables = {name.rsplit("/", 1)[-1].lower().removesuffix(".csv"): name for name in files}
    known = {noun.name for noun in NOUNS} | {each.file for noun in NOUNS for each in noun.lists}
    for table, name in tables.items():
        if table not in known:
            fault = f"is no table of the catalogue; there are {', '.join(sorted(known))}"
            made.refused.append(RefusedLine(name, 0, "", "", "", fault))
    for noun in NOUNS:
        records: dict[tuple[str, ...], FileRecord] = {}
        if noun.name in tables:
            name = tables[noun.name]
            for line, cells in _table(name, files[name], noun.name, noun.columns, made):
                record = FileRecord(noun, name, line, cells)
                records.setdefault(_key(noun, cells), record)
                made.records.append(record)
        for wanted in noun.lists:
            if wanted.file in tables:
                source = tables[wanted.file], files[tables[wanted.file]]
                _list_table(source, noun, wanted, records, made)
    return made


def _list_table(
    source: tuple[str, bytes],
    noun: FileNoun,
    wanted: ListField,
    records: dict[tuple[str, ...], FileRecord],
    made: CatalogueFile,
) -> None:
    """Gives records their lists; one that its own table does not have is changed in this list
    alone.
    """
    name, content = source
    own = [noun.by_name[key] for key in noun.key]
    for line, cells in _table(name, content, noun.name, (*own, *wanted.columns), made):
        key = _key(noun, cells)
        if key not in records:
            records[key] = FileRecord(
                noun, name, line, {each: cells.get(each) for each in noun.key}
            )
            made.records.append(records[key])
        entry = {
            column.name: cells[column.name] for column in wanted.columns if column.name in cells
        }
        records[key].values.setdefault(wanted.name, []).append((line, entry))
    # a table that is there says all of the lists: a record without a line has an empty one
    for record in records.values():
        record.values.setdefault(wanted.name, [])


def _key(noun: FileNoun, cells: Mapping[str, Any]) -> tuple[str, ...]:
    """The key of a record as it is compared: 0012 and 12 are one number."""
    parts = []
    for key in noun.key:
        try:
            parts.append(str(noun.by_name[key].read(cells.get(key) or "")))
        except ValueError:
            parts.append(str(cells.get(key)))
    return tuple(parts)


def _table(
    name: str, content: bytes, noun: str, columns: Sequence[Column], made: CatalogueFile
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """The rows of a CSV file with their lines; what cannot be read is refused."""

    def refuse(line: int, path: str, fault: str) -> None:
        made.refused.append(RefusedLine(name, line, noun, "", path, fault))

    try:
        written = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        refuse(line, "", "is not UTF-8; save it as `CSV UTF-8`")
        return
    head = written.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(written, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        known = {column.name for column in columns}
        for column in sorted(set(header) - known - {""}):
            refuse(1, column, f"is no column; there are {', '.join(c.name for c in columns)}")
        for column in sorted({each for each in header if each and header.count(each) > 1}):
            refuse(1, column, "stands there twice; keep one of them")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header):
                extra = f"has {len(cells)} cells, and the header {len(header)}; quote what has "
                refuse(reader.line_num, "", f"{extra}{delimiter!r} in it")
                continue
            row = dict(zip(header, map(_cell, cells), strict=False))
            yield reader.line_num, {key: row[key] for key in row if key in known}
    except csv.Error as error:
        refuse(reader.line_num, "", f"is no CSV: {error}; quote cells with quotes or line breaks")


def _cell(cell: str) -> str | None:
    """The text of a cell; None if it is empty."""
    stripped = cell.strip()
    if stripped.startswith("'") and stripped[1:2] in _FORMULAS:
        return stripped[1:]
    return stripped or None


# Writing


def written_cell(value: Any) -> str:
    """A value as a cell has it, or YAML a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat("minutes")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(each, str | int | date) for each in value):
        return " ".join(map(written_cell, value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)


def _guarded(cell: str, value: Any) -> str:
    is_text = isinstance(value, str)
    return f"'{cell}" if is_text and cell.startswith(_FORMULAS) else cell


def write_tables(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, bytes]:
    """The CSV files, by name."""
    files = {}
    for noun in NOUNS:
        rows = records.get(noun.name, ())
        files[f"{noun.name}.csv"] = _csv(noun.columns, rows)
        own = [noun.by_name[key] for key in noun.key]
        for each in noun.lists:
            entries = [
                {**{key: row[key] for key in noun.key}, **entry}
                for row in rows
                for entry in row[each.name]
            ]
            files[f"{each.file}.csv"] = _csv((*own, *each.columns), entries)
    return files


def write_zip(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """A ZIP of the CSV files; the same records make the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in write_tables(records).items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return made.getvalue()


def write_yaml(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """One YAML file: a line for each entry of a list."""
    lines = ["# The catalogue: `deeptravel catalog import` takes it back, whole or in parts."]
    for noun in NOUNS:
        rows = records.get(noun.name, ())
        if not rows:
            continue
        lines.append(f"{noun.name}:")
        for row in rows:
            start = "- "
            for column in noun.columns:
                lines.append(f"{start}{column.name}: {_scalar(row[column.name], column)}")
                start = "  "
            for each in noun.lists:
                lines.append(f"  {each.name}:{'' if row[each.name] else ' []'}")
                for entry in row[each.name]:
                    fields = ", ".join(
                        f"{c.name}: {_scalar(entry.get(c.name), c)}" for c in each.columns
                    )
                    lines.append(f"  - {{{fields}}}")
    return ("\n".join(lines) + "\n").encode()


def _scalar(value: Any, _column: Column) -> str:
    """A value as JSON, which is YAML; texts in quotes, so that nobody takes them for others."""
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, list | dict):
        plain = (
            [written_cell(each) if isinstance(each, date) else each for each in value]
            if (isinstance(value, list))
            else value
        )
        return json.dumps(plain, ensure_ascii=False, sort_keys=True)
    return json.dumps(written_cell(value), ensure_ascii=False)


def _csv(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> bytes:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        values = [row.get(column.name) for column in columns]
        writer.writerow([_guarded(written_cell(value), value) for value in values])
    return (BYTE_ORDER_MARK + made.getvalue()).encode()
