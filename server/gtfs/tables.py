"""The files of a GTFS feed as tables: lines with their numbers, read and written. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST_LINES = 2_000_000
"""Of one file."""


class LineFault(NamedTuple):
    """A line, or a file as a whole (line 1 is its header), that is refused: what is wrong, and
    what to do.
    """

    file: str
    line: int
    field: str
    description: str


@dataclass(frozen=True, slots=True)
class FeedLine:
    """A line of a file: its number, and its cells by column."""

    file: str
    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """The cell; empty if there is no such column."""
        return self.cells.get(column, "")

    def fault(self, field: str, description: str) -> LineFault:
        """What is wrong with it."""
        return LineFault(self.file, self.number, field, description)


class FeedTable(NamedTuple):
    """A file: its columns and lines, and what is wrong with those that are left out."""

    columns: list[str]
    lines: list[FeedLine]
    faults: list[LineFault]


def read_table(file: str, content: bytes) -> FeedTable:
    """The lines of a file: UTF-8, with or without a byte order mark, lines ended by LF or CR LF."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        what = f"byte {content[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        return FeedTable([], [], [LineFault(file, number, "", what)])
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    lines: list[FeedLine] = []
    faults: list[LineFault] = []
    number = 1
    try:
        for cells in reader:
            begins, number = number, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [cell.strip() for cell in cells]
                repeated = sorted({each for each in columns if columns.count(each) > 1})
                if repeated:
                    what = f"columns {repeated} stand there twice; leave one"
                    return FeedTable(columns, [], [LineFault(file, begins, repeated[0], what)])
            elif len(cells) > len(columns):
                what = f"has {len(cells)} cells for {len(columns)} columns; quote cells with commas"
                faults.append(LineFault(file, begins, "", what))
            else:
                filled = zip(columns, (cell.strip() for cell in cells), strict=False)
                lines.append(FeedLine(file, begins, dict(filled)))
                if len(lines) > MOST_LINES:
                    what = (
                        f"the file has more than {MOST_LINES} lines; import some routes at a time"
                    )
                    return FeedTable(columns, [], [LineFault(file, begins, "", what)])
    except csv.Error as error:
        what = f"cannot be read as CSV: {error}; quote cells as RFC 4180 says"
        faults.append(LineFault(file, number, "", what))
    return FeedTable(columns, lines, faults)


def write_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """A file: UTF-8 without a byte order mark, lines ended by CR LF (RFC 4180), the rows in the
    order given.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row.get(column, "") for column in columns])
    return text.getvalue().encode()
