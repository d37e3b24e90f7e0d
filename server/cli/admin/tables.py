"""Messages as tables for people: wide characters take two columns, long cells are cut at a
terminal.
"""

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from server.cli.admin import values

LEAST_CELL, MOST_CELL = 16, 80
"""Columns of a cell at least and at most; --json has what is cut off."""
GAP = "  "
_NARROW = ("Mn", "Me", "Cf")


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_width(character) for character in text)


def cut(text: str, columns: int) -> str:
    """A text in at most so many columns; what is cut off shows as an ellipsis."""
    if width(text) <= columns:
        return text
    kept, used = "", 1
    for character in text:
        used += _width(character)
        if used > columns:
            break
        kept += character
    return f"{kept}…"


def rows_field(answer: Descriptor) -> FieldDescriptor | None:
    """The field of an answer that has the rows of a table; None of one that is no list."""
    lists = [f for f in answer.fields if f.is_repeated and f.message_type is not None]
    others = [f for f in answer.fields if f.name != "next_page_token" and f not in lists]
    is_list = "next_page_token" in answer.fields_by_name or not others
    return lists[0] if lists and is_list else None


class Table:
    """Rows of messages of one kind, written page by page: the first page says how wide columns
    are.

    Attributes:
        left_out: headings of columns for which the terminal has no room.
    """

    def __init__(self, kind: Descriptor, zone: ZoneInfo, currency: str = "") -> None:
        self._fields = list(kind.fields)
        self._zone = zone
        self._currency = currency
        self._widths: list[int] = []
        self.left_out: list[str] = []

    def lines(self, rows: Sequence[Message]) -> list[str]:
        """The lines of a page, with a heading on the first; none where there are no rows."""
        if not rows:
            return []
        cells = [[self._cell(field, row) for field in self._fields] for row in rows]
        lines: list[list[str]] = []
        if not self._widths:
            self._leave_out_empty(cells)
            cells = [[self._cell(field, row) for field in self._fields] for row in rows]
            heading = [field.name.upper() for field in self._fields]
            self._widths = _fitting([heading, *cells])
            self.left_out = heading[len(self._widths) :]
            lines = [heading]
        return [self._line(line) for line in (*lines, *cells)]

    def _leave_out_empty(self, cells: Sequence[Sequence[str]]) -> None:
        kept = [
            field
            for index, field in enumerate(self._fields)
            if any(row[index] for row in cells) and not self._is_beside_amounts(field)
        ]
        self._fields = kept or self._fields[:1]

    def _is_beside_amounts(self, field: FieldDescriptor) -> bool:
        return field.name == values.CURRENCY and any(map(values.is_money, self._fields))

    def _cell(self, field: FieldDescriptor, row: Message) -> str:
        text = " ".join(values.show(field, row, self._zone, self._currency).split())
        return cut(text, MOST_CELL)

    def _line(self, cells: Sequence[str]) -> str:
        padded = [
            (shown := cut(cell, columns)) + " " * (columns - width(shown))
            for cell, columns in zip(cells, self._widths, strict=False)
        ]
        return GAP.join(padded).rstrip()


def beside(answer: Message, rows: FieldDescriptor, zone: ZoneInfo) -> list[str]:
    """What an answer says besides its rows, e.g. the sums of a preview and its `preview_id`."""
    others = type(answer)()
    others.CopyFrom(answer)
    for name in (rows.name, "next_page_token"):
        if name in answer.DESCRIPTOR.fields_by_name:
            others.ClearField(name)
    return record(others, zone)


def record(message: Message, zone: ZoneInfo, indent: str = "", currency: str = "") -> list[str]:
    """A message as lines of names and values; lists inside it as tables. Amounts without a currency
    beside them are in that of what they are in.
    """
    currency = values.currency_of(message) or currency
    fields = [field for field, _ in message.ListFields()]
    beside = any(map(values.is_money, fields))
    plain = [f for f in fields if not _is_inner(f) and not (beside and f.name == values.CURRENCY)]
    columns = max((len(field.name) for field in plain), default=0)
    lines = [
        f"{indent}{field.name.ljust(columns)}{GAP}{values.show(field, message, zone, currency)}"
        for field in plain
    ]
    for field in fields:
        if not _is_inner(field):
            continue
        inner = getattr(message, field.name)
        lines.append(f"{indent}{field.name}:")
        if field.is_repeated:
            inside = Table(values.message_of(field), zone, currency).lines(list(inner))
            lines += [f"{indent}  {line}" for line in inside]
        else:
            lines += record(inner, zone, f"{indent}  ", currency)
    return lines


def _is_inner(field: FieldDescriptor) -> bool:
    kind = field.message_type
    if kind is None or kind.GetOptions().map_entry:
        return False
    return not kind.full_name.startswith("google.protobuf.")


def _fitting(rows: Iterable[Sequence[str]]) -> list[int]:
    """The widths of columns: as their cells, but at a terminal all together no wider than it. Long
    cells are cut for that, down to LEAST_CELL; if it is not enough the last columns are left out.
    """
    natural = [max(map(width, column)) for column in zip(*rows, strict=True)]
    if not sys.stdout.isatty():
        return natural
    columns = shutil.get_terminal_size().columns
    for count in range(len(natural), 1, -1):
        widths = natural[:count]
        room = columns - len(GAP) * (count - 1)
        while sum(widths) > room and max(widths) > LEAST_CELL:
            widths[widths.index(max(widths))] -= 1
        if sum(widths) <= room:
            return widths
    return [min(natural[0], columns)]


def _width(character: str) -> int:
    if unicodedata.category(character) in _NARROW:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
