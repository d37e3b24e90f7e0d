"""A report as CSV, line by line: UTF-8 with a byte order mark, without which Excel reads Chinese
names in the code page of the machine; lines end with CR LF (RFC 4180).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from server.platform.errors import DomainError, Reason
from server.reports.rules import Uncounted

BYTE_ORDER_MARK = "\ufeff"
CONTENT_TYPE = "text/csv; charset=utf-8"
CHUNK_CHARACTERS = 32_000
"""A piece is handed on when it is so long; its bytes are few more, most being ASCII."""
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet program read a text as a formula; amounts that begin so are numbers."""


def csv_pieces(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, names: Sequence[str]
) -> Iterator[bytes]:
    """The file in pieces; `names` are the columns whose texts people chose."""
    chosen = [column in names for column in columns]
    text = io.StringIO(BYTE_ORDER_MARK)
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [_harmless(str(cell)) if free else cell for cell, free in zip(row, chosen, strict=True)]
        )
        if text.tell() > CHUNK_CHARACTERS:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    if text.tell():
        yield text.getvalue().encode()


def require_counted(uncounted: Uncounted | None) -> None:
    """A file says nowhere that figures are missing. Raises RANGE_TOO_LARGE if some are."""
    if uncounted:
        first, last = (each.isoformat(timespec="seconds") for each in uncounted)
        raise DomainError(
            Reason.RANGE_TOO_LARGE,
            f"what happened from {first} until {last} is not summed up yet; ask again in some"
            " minutes, or for days outside of it",
        )


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell
