"""Seat maps and which seats a party gets, compared with a search of all there are on small maps."""

from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.stock.seating import SeatMap, allot, bitmap

TRAIN = {"rows": 3, "columns": "ABC DF", "missing": ["1A", "2B"]}


def seats(seat_map: SeatMap, *labels: str) -> int:
    return bitmap(seat_map.indexes[label] for label in labels)


def allotted(content: dict[str, Any], taken: tuple[str, ...], party: int) -> list[str] | None:
    seat_map = SeatMap.parse(content)
    found = allot(seat_map, seats(seat_map, *taken), party)
    return None if found is None else [seat_map.labels[seat] for seat in found]


def test_seats_are_numbered_row_by_row_without_the_missing() -> None:
    seat_map = SeatMap.parse(TRAIN)
    assert " ".join(seat_map.labels) == "1B 1C 1D 1F 2A 2C 2D 2F 3A 3B 3C 3D 3F"
    assert seat_map.size == 13
    assert all(seat_map.indexes[label] == seat for seat, label in enumerate(seat_map.labels))


def test_rows_may_be_named() -> None:
    assert SeatMap.parse({"rows": [12, 14], "columns": "A F"}).labels == (
        "12A",
        "12F",
        "14A",
        "14F",
    )


@pytest.mark.parametrize(
    "faulty",
    [
        {"rows": 0},
        {"rows": -1},
        {"rows": None},
        {"rows": True},
        {"rows": 1.0},
        {"rows": []},
        {"rows": [1, 1]},
        {"rows": ["1"]},
        {"rows": 10**12},
        {"rows": 1_001},
        {"columns": None},
        {"columns": ""},
        {"columns": " "},
        {"columns": "AB "},
        {"columns": "A  B"},
        {"columns": "ABA"},
        {"columns": "ab"},
        {"columns": "A1"},
        {"columns": "Ä"},
        {"missing": "1A"},
        {"missing": [1]},
        {"missing": ["4A"]},
        {"missing": ["1E"]},
        {"missing": ["1 "]},
        {"rows": 1, "columns": "A", "missing": ["1A"]},
        {"seats": 5},
    ],
)
def test_what_is_no_seat_map_is_refused(faulty: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        SeatMap.parse(TRAIN | {"missing": []} | faulty)


ROW: dict[str, Any] = {"rows": 1, "columns": "ABCDEFGHJK"}
TWO: dict[str, Any] = {"rows": 2, "columns": "ABC DEF"}
THREE: dict[str, Any] = {"rows": 3, "columns": "AB CD"}


@pytest.mark.parametrize(
    ("content", "taken", "party", "expected"),
    [
        (ROW, "", 2, "1A 1B"),
        (ROW, "1C 1F", 2, "1A 1B"),  # an exact fit
        (ROW, "1D 1G", 2, "1E 1F"),  # the exact fit, though it is not the foremost
        (ROW, "1D 1J 1K", 2, "1E 1F"),  # of gaps of three and four, the one that leaves no single
        (ROW, "1D 1H 1J 1K", 2, "1A 1B"),  # only gaps of three
        (ROW, "1C 1G", 1, "1D"),  # rather than half of a pair
        (ROW, "1A 1C 1D 1E 1F 1H 1J 1K", 1, "1B"),
        (TWO, "", 3, "1A 1B 1C"),
        (TWO, "1A", 2, "1B 1C"),
        (TWO, "", 4, "1A 1B 1C 1D"),  # across the aisle
        (TWO, "1C", 4, "2A 2B 2C 2D"),
        (TWO, "", 6, "1A 1B 1C 1D 1E 1F"),
        (TWO, "1A 1C 1E 2A 2B 2C 2E", 2, "1B 1D"),  # a taken seat and an aisle between
        (TWO, "", 8, "1A 1B 1C 1D 1E 1F 2A 2B"),
        (TWO, "1B 1C 1D 1E 1F 2A", 3, "2D 2E 2F"),
        (THREE, "1B 1C 1D 2A 2C 2D 3B", 3, "3A 3C 3D"),  # one row, though its second seat is taken
        (THREE, "1B 1C 1D 2A 2C 2D 3A 3B", 3, "2B 3C 3D"),  # two rows rather than three
        (THREE, "1B 1C 1D 2A 2B 2C 2D 3B 3C 3D", 2, "1A 3A"),
        (THREE, "1B 1C 1D 2A 2B 2C 2D 3B 3C 3D", 3, None),
    ],
)
def test_the_seats_of_a_party(
    content: dict[str, Any], taken: str, party: int, expected: str | None
) -> None:
    found = allotted(content, tuple(taken.split()), party)
    assert (found and " ".join(found)) == expected


@pytest.mark.parametrize("party", [0, -1])
def test_nobody_is_not_seated(party: int) -> None:
    with pytest.raises(ValueError, match="party"):
        allot(SeatMap.parse(ROW), 0, party)


@st.composite
def vehicles(draw: st.DrawFn) -> tuple[dict[str, Any], SeatMap]:
    columns = draw(st.sampled_from(["A", "AB", "A B", "ABC DF", "AB CDE FG", "ABCDEF"]))
    rows = draw(st.integers(1, 5))
    labels = [f"{row}{column}" for row in range(1, rows + 1) for column in columns if column != " "]
    missing = draw(st.lists(st.sampled_from(labels), unique=True, max_size=len(labels) - 1))
    content = {"rows": rows, "columns": columns, "missing": missing}
    return content, SeatMap.parse(content)


def gaps(free: list[str], columns: str) -> list[list[str]]:
    """Free seats each of which is beside the next, by their labels alone."""
    found: list[list[str]] = []
    for label in free:
        last = found[-1][-1] if found else ""
        if last[:-1] == label[:-1] and columns.index(label[-1]) == columns.index(last[-1]) + 1:
            found[-1].append(label)
        else:
            found.append([label])
    return found


@given(vehicles(), st.sets(st.integers(0, 40)), st.integers(1, 12))
def test_the_best_there_is_by_trying_all(
    vehicle: tuple[dict[str, Any], SeatMap], marked: set[int], party: int
) -> None:
    content, seat_map = vehicle
    taken = {seat for seat in marked if seat < seat_map.size}
    free = [label for seat, label in enumerate(seat_map.labels) if seat not in taken]
    found = allot(seat_map, bitmap(taken), party)
    if len(free) < party:
        assert found is None
        return
    assert found is not None
    assert found == sorted(set(found))
    labels = [seat_map.labels[seat] for seat in found]
    assert len(labels) == party
    assert set(labels) <= set(free)

    beside = [gap for gap in gaps(free, content["columns"]) if len(gap) >= party]
    if beside:
        in_gap = [gap for gap in beside if set(labels) <= set(gap)]
        assert len(in_gap) == 1, "beside each other, since there are such seats"
        rank = [(len(gap) == party + 1, len(gap)) for gap in beside]
        assert (len(in_gap[0]) == party + 1, len(in_gap[0])) == min(rank)
        assert labels == in_gap[0][:party]
        assert in_gap[0] == beside[rank.index(min(rank))]
        return
    in_rows = [list(row) for _, row in groupby(seat_map.labels, key=lambda label: label[:-1])]
    windows = [row[at : at + party] for row in in_rows for at in range(len(row) - party + 1)]
    across = [window for window in windows if set(window) <= set(free)]
    if across:
        assert labels in across
        return
    assert rows_of(labels) == min(
        last - first + 1
        for first in range(1, content["rows"] + 1)
        for last in range(first, content["rows"] + 1)
        if sum(first <= int(label[:-1]) <= last for label in free) >= party
    )


def rows_of(labels: list[str]) -> int:
    """How many neighbouring rows these seats lie in."""
    rows = [int(label[:-1]) for label in labels]
    return max(rows) - min(rows) + 1


@given(vehicles(), st.lists(st.integers(1, 6), min_size=1, max_size=60))
def test_no_seat_is_given_twice_and_none_is_kept(
    vehicle: tuple[dict[str, Any], SeatMap], parties: list[int]
) -> None:
    seat_map = vehicle[1]
    taken, left = 0, seat_map.size
    for party in parties:
        found = allot(seat_map, taken, party)
        assert found == allot(seat_map, taken, party)
        assert (found is None) == (party > left)
        if found:
            assert not taken & bitmap(found)
            taken |= bitmap(found)
            left -= party
    assert taken.bit_count() == seat_map.size - left


def test_a_hall_of_five_thousand_is_sold_to_the_last_seat() -> None:
    seat_map = SeatMap.parse({"rows": 500, "columns": "ABCDE FGHJK"})
    taken = 0
    for _ in range(2_500):
        found = allot(seat_map, taken, 2)
        assert found is not None
        assert not taken & bitmap(found)
        taken |= bitmap(found)
    assert taken.bit_count() == seat_map.size == 5_000
    assert allot(seat_map, taken, 1) is None


def test_neighbours_in_the_bitmaps_are_in_one_row() -> None:
    seat_map = SeatMap.parse(TRAIN)
    for seat, (label, following) in enumerate(pairwise(seat_map.labels)):
        assert bool(seat_map.in_row >> seat & 1) == (label[:-1] == following[:-1])
        beside = label[:-1] + "ABC DF"["ABC DF".index(label[-1]) :][1:2] == following
        assert bool(seat_map.abreast >> seat & 1) == beside
