"""Seat maps, and which seats a party gets. Pure.

A seat is a dense index from 0 on, row by row; its label is row and column, e.g. 12F. Sets of seats
are integers with the bit of each index set: on them 5,000 seats are searched in some microseconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

MAX_SEATS = 5_000
AISLE = " "


@dataclass(frozen=True, slots=True)
class SeatMap:
    """The seats of a vehicle: `labels` by index, `indexes` by label.

    `row_starts` are the index of each row's first seat, and after them the number of seats.
    `abreast` has the bit of each seat whose next one is beside it; `in_row`, of each whose next one
    is in its row, be it across an aisle or a missing seat. `longest_row` is in seats.
    """

    labels: tuple[str, ...]
    indexes: Mapping[str, int]
    row_starts: tuple[int, ...]
    abreast: int
    in_row: int
    longest_row: int

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From its JSON: {"rows": how many, or a list of their numbers, "columns": "ABC DF",
        "missing": ["1A"]}.

        A space in `columns` is an aisle; `missing` may be left out. Raises ValueError, with what is
        wrong and what to send instead, if it is not such a map or has no seat or room for more than
        5,000.
        """
        if unknown := content.keys() - {"rows", "columns", "missing"}:
            raise ValueError(f"has unknown fields {sorted(unknown)}")
        rows, columns = _rows(content.get("rows")), _columns(content.get("columns"))
        if len(rows) * len(columns.replace(AISLE, "")) > MAX_SEATS:
            raise ValueError(f"has more than {MAX_SEATS} places for seats")
        missing = _missing(content.get("missing", []), rows, columns)
        labels: list[str] = []
        starts = [0]
        abreast = in_row = 0
        for row in rows:
            last = None
            for place, column in enumerate(columns):
                label = f"{row}{column}"
                if column == AISLE or label in missing:
                    continue
                if last is not None:
                    in_row |= 1 << len(labels) - 1
                    abreast |= (last == place - 1) << len(labels) - 1
                last = place
                labels.append(label)
            starts.append(len(labels))
        if not labels:
            raise ValueError("has no seat")
        return cls(
            tuple(labels),
            {label: index for index, label in enumerate(labels)},
            tuple(starts),
            abreast,
            in_row,
            max(end - start for start, end in pairwise(starts)),
        )

    @property
    def size(self) -> int:
        """How many seats there are."""
        return len(self.labels)


def bitmap(seats: Iterable[int]) -> int:
    """The set of these indexes as an integer."""
    bits = 0
    for seat in seats:
        bits |= 1 << seat
    return bits


def allot(seat_map: SeatMap, taken: int, party: int) -> list[int] | None:
    """The indexes of the seats a party gets, ascending; None if too few are free. The same facts
    give the same seats.

    `taken` is the bitmap of the seats that are not free; add `bitmap(seats)` to it before the next
    party is seated. The first of these that there is: seats beside each other; seats of one row
    with only an aisle or a missing seat between; the fewest neighbouring rows that have room, the
    foremost if several do. A gap of just the party's size is taken first, one that would be left
    with a single seat last, else the smallest, and of these the foremost.
    """
    if party < 1:
        raise ValueError(f"a party of {party}")
    free = ((1 << seat_map.size) - 1) & ~taken
    if free.bit_count() < party:
        return None
    return _one_row(seat_map, free, party) or _neighbouring_rows(seat_map, free, party)


def _one_row(seat_map: SeatMap, free: int, party: int) -> list[int]:
    """Free seats of one row, beside each other or else with only aisles between; none if there
    are none.
    """
    for beside in (seat_map.abreast, seat_map.in_row):
        first = _gap(free, beside, party, seat_map.longest_row)
        if first is not None:
            return list(range(first, first + party))
    return []


def _gap(free: int, beside: int, party: int, longest: int) -> int | None:
    """The first seat of the gap to fill: of free seats each of which is beside the next; None if
    no gap is so large.
    """
    joined = free & free >> 1 & beside  # free, and so is the one beside it
    first = free & ~(joined << 1)  # of its gap
    start = free  # of `length` free seats beside each other
    single_left = None
    for length in range(1, longest + 1):
        if length >= party:
            gaps = start & first & ~(joined >> length - 1)
            if gaps:
                found = (gaps & -gaps).bit_length() - 1
                if length != party + 1:
                    return found
                single_left = found
        start &= joined >> length - 1
        if not start:
            break
    return single_left


def _neighbouring_rows(seat_map: SeatMap, free: int, party: int) -> list[int]:
    """Seats of the fewest neighbouring rows with room for the party; there is room in all rows
    together.

    Every row but the last is then taken as a whole, and in that one the seats are chosen as if for
    a party of their own.
    """
    starts = seat_map.row_starts
    picture = f"{free:0{seat_map.size}b}"[::-1]
    room = [picture.count("1", start, end) for start, end in pairwise(starts)]
    fewest = len(room) + 1
    begin = first = last = seated = 0
    for row, seats in enumerate(room):
        seated += seats
        while seated - room[begin] >= party:
            seated -= room[begin]
            begin += 1
        if seated >= party and row - begin + 1 < fewest:
            fewest, first, last = row - begin + 1, begin, row
    whole = [seat for seat in range(starts[first], starts[last]) if free >> seat & 1]
    rest = party - len(whole)
    singles = [seat for seat in range(starts[last], starts[last + 1]) if free >> seat & 1]
    return whole + (_one_row(seat_map, bitmap(singles), rest) or singles[:rest])


def _rows(rows: Any) -> list[int]:
    if type(rows) is int:
        rows = list(range(1, min(rows, MAX_SEATS + 1) + 1))
    if (
        not isinstance(rows, list)
        or not rows
        or not all(type(row) is int and 1 <= row <= 9999 for row in rows)
        or len(set(rows)) < len(rows)
    ):
        raise ValueError("rows is neither how many there are, nor a list of their numbers")
    return rows


def _columns(columns: Any) -> str:
    letters = columns.replace(AISLE, "") if isinstance(columns, str) else ""
    if (
        not letters
        or not (letters.isascii() and letters.isalpha() and letters.isupper())
        or len(set(letters)) < len(letters)
        or columns.split(AISLE) != columns.split()
    ):
        raise ValueError("columns is no text such as 'ABC DF': capitals, and one space per aisle")
    return str(columns)


def _missing(missing: Any, rows: Iterable[int], columns: str) -> frozenset[str]:
    if not isinstance(missing, list) or not all(isinstance(label, str) for label in missing):
        raise ValueError("missing is no list of labels such as '12F'")
    places = {f"{row}{column}" for row in rows for column in columns if column != AISLE}
    if unknown := set(missing) - places:
        raise ValueError(
            f"missing names seats that rows and columns do not have: {sorted(unknown)}"
        )
    return frozenset(missing)
