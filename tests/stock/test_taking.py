"""What may be taken of stock, and what that writes: one decision for single and batched orders."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.platform.errors import DomainError, Reason
from server.stock import taking
from server.stock.journeys import Journey, Journeys, Ride, Span
from server.stock.known_seats import UNKNOWN, SeatBits, Version
from server.stock.seating import SeatMap
from server.stock.taking import Stock, StockFacts, Wanted

NOW = datetime(2026, 11, 28, tzinfo=UTC)
HOUR = timedelta(hours=1)
DOCUMENT = b"d" * 32
OFFER = "TR-7-1-a-b"
SEATS = SeatMap.parse({"rows": 1, "columns": "ABC"})


def wanted(**changes: Any) -> Wanted:
    """Two places of a departure that has a limit of four for a traveller."""
    item = Wanted(
        OFFER, 3, 70, 1, 4, [0, 1], None, 7, Ride(0, 3600), Span(NOW, NOW + HOUR), [DOCUMENT, None]
    )
    return item._replace(**changes)


def facts(*, left: int = 4, closed: bool = False, counted: int = 0, taken: int = 0) -> StockFacts:
    stock = Stock(3, left, closed, taken)
    return StockFacts({70: stock}, {wanted().quota: counted}, Journeys())


def refusal(items: list[Wanted], known: StockFacts) -> DomainError:
    with pytest.raises(DomainError) as refused:
        taking.decide(items, known)
    return refused.value


def test_items_of_an_order_count_together() -> None:
    assert taking.decide([wanted(documents=[None, None])] * 2, facts()) == [[None, None]] * 2
    refused = refusal([wanted(documents=[None, None])] * 2, facts(left=3))
    assert (refused.reason, refused.metadata["available"]) == (Reason.SOLD_OUT, "3")
    refused = refusal([wanted(documents=[None, None])] * 2, facts(counted=1))
    assert (refused.reason, refused.metadata["held"]) == (Reason.TOO_MANY_FOR_TRAVELLER, "3")


def test_a_cancelled_departure_is_named_before_it_is_sold_out() -> None:
    assert refusal([wanted()], facts(left=0, closed=True)).reason is Reason.OFFER_NOT_AVAILABLE
    unknown = StockFacts({}, {}, Journeys())
    assert refusal([wanted()], unknown).reason is Reason.SOLD_OUT


@pytest.mark.parametrize(
    ("departure_id", "begin", "reason"),
    [
        (7, NOW + 5 * HOUR, Reason.DUPLICATE_PASSENGER),
        (8, NOW + HOUR / 2, Reason.OVERLAPPING_JOURNEY),
        (8, NOW + HOUR, None),
    ],
)
def test_a_document_travels_on_one_departure_at_a_time(
    departure_id: int, begin: datetime, reason: Reason | None
) -> None:
    """But for the journey of the ticket that is changed."""
    known = facts()
    journey = Journey(departure_id, 9, Span(begin, begin + HOUR))
    known.journeys.of(DOCUMENT).append(journey)
    if reason:
        assert refusal([wanted()], known).reason is reason
        taking.decide([wanted(instead_of=journey.key)], known)
    else:
        taking.decide([wanted()], known)


def test_seats_that_were_wanted_or_others() -> None:
    def seats(taken: int, *had: int) -> list[int | None]:
        item = wanted(seat_map=SEATS, passengers=[0], documents=[None], seats=had)
        return list(taking.decide([item], facts(taken=taken))[0])

    assert seats(0b000, 2) == [2]
    assert seats(0b100, 2) != [2]
    assert refusal([wanted(seat_map=SEATS)], facts(taken=0b110)).reason is Reason.SOLD_OUT
    # a place that is the changed ticket's stays, however full it is
    kept = wanted(seat_map=SEATS, seats=[1], has_own_place=False, is_counted=False)
    assert taking.decide([kept], facts(left=0, counted=4, taken=0b111)) == [[1]]


def test_what_one_order_takes_is_not_left_for_the_next() -> None:
    known = facts(left=3)
    item = wanted(seat_map=SEATS)
    seats = taking.decide([item], known)
    taking.take(1, [item], seats, known, NOW)
    assert refusal([item], known).reason is Reason.SOLD_OUT
    assert (known.stocks[70].left, known.held, known.quotas[item.quota]) == (1, {70: 2}, 2)
    assert [seat.order_id for seat in known.seats] == [1, 1]
    assert known.additions == {DOCUMENT: {"7:1": [0, 3600]}}
    assert refusal([wanted(passengers=[0], documents=[DOCUMENT])], known).reason is (
        Reason.DUPLICATE_PASSENGER
    )


def test_who_finds_no_seat_by_what_is_remembered_has_it_forgotten() -> None:
    """There are places left, so the seats may be others by now."""
    known = facts(taken=0b111)
    known.known_seats.remember(70, SeatBits(Version(NOW, 0, 0), 0b111))
    refused = refusal([wanted(seat_map=SEATS)], known)
    assert refused.reason is Reason.SOLD_OUT
    assert known.known_seats.of(70) is UNKNOWN
