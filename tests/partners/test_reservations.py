"""Reservations through a real server: what they hold, make, sell and give back, and when they end.

The clock of a test is the reservation's row: its times are put back instead of waited for.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deeptravel.ota.v1 import event_pb2, reservation_pb2
from deeptravel.ota.v1 import reservation_pb2 as pb
from sqlalchemy import text

from server.partners import reservations
from server.partners.reservation_expiry import ReservationExpiry
from server.partners.reservations import ReservationFilter
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from tests.support.partner_client import (
    STATE_NAME,
    Market,
    PartnerClient,
    customer,
    payment,
)
from tests.support.rpc_server import refusal

DAY_SECONDS = 86_400
OPEN, COMPLETED = pb.RESERVATION_STATE_OPEN, pb.RESERVATION_STATE_COMPLETED
RELEASED, EXPIRED = pb.RESERVATION_STATE_RELEASED, pb.RESERVATION_STATE_EXPIRED
TOTAL = 200_000


def seconds_of(found: reservation_pb2.Reservation) -> float:
    """How long it was to last when it was made."""
    return (found.expire_time.ToDatetime() - found.create_time.ToDatetime()).total_seconds()


async def age(market: Market, reservation_id: str, seconds: float) -> None:
    """Puts the reservation's times back."""
    await market.sql(
        "UPDATE reservations SET expire_time = expire_time - make_interval(secs => %s),"
        " warn_time = warn_time - make_interval(secs => %s) WHERE reservation_id = %s",
        seconds,
        seconds,
        reservation_id,
    )


async def stock(client: PartnerClient, product_id: int = 106) -> tuple[int, int]:
    """What is held and sold."""
    _, held, sold, _ = (await client.inventory(product_id))[product_id]
    return held, sold


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process closes reservations."""

    async def look(self: Any) -> None:
        del self

    monkeypatch.setattr(ReservationExpiry, "_close_all", look)


async def test_held_then_sold(market: Market, client: PartnerClient) -> None:
    """What is reserved is held; tickets of it change nothing; each is sold when it is activated."""
    made = await client.reserve(5)
    assert (made.quantity, made.generated, made.activated, made.held) == (5, 0, 0, 5)
    assert made.status == OPEN
    assert seconds_of(made) == DAY_SECONDS
    assert await client.inventory(106) == {106: (TOTAL, 5, 0, TOTAL - 5)}
    codes = await client.codes(3, reservation_id=made.reservation_id)
    assert await stock(client) == (5, 0)
    await client.activate(codes[0])
    assert await stock(client) == (4, 1)
    answer = await client.activate_many(
        [(code, customer(), payment("P-2")) for code in codes]  # the first is sold already
    )
    assert [verdict.activated for verdict in answer.verdicts] == [False, True, True]
    assert await stock(client) == (2, 3)
    found = await client.reservation(made.reservation_id)
    assert (found.generated, found.activated, found.held, found.status) == (3, 3, 2, OPEN)
    assert await market.contradictions() == []


async def test_sold_out_is_completed(market: Market, client: PartnerClient) -> None:
    """The last of it completes the reservation, and its end changes nothing any more."""
    made = await client.reserve(2)
    codes = await client.codes(2, reservation_id=made.reservation_id)
    for code in codes:
        await client.activate(code)
    found = await client.reservation(made.reservation_id)
    assert (found.status, found.held) == (COMPLETED, 0)
    assert found.HasField("close_time")
    refused = await refusal(client.release(made.reservation_id))
    assert refused.reason == Reason.RESERVATION_STATE_REFUSES
    assert refused.metadata == {"reservation_id": made.reservation_id, "status": "COMPLETED"}
    assert await stock(client) == (0, 2)
    assert await market.contradictions() == []


async def test_batch_of_a_reservation_that_is_sold_already(
    market: Market, client: PartnerClient
) -> None:
    made = await client.reserve(4)
    batch = await client.batch(
        3,
        reservation_id=made.reservation_id,
        activation={"customer": customer(), "payment": payment("P-1", 3 * 12_000)},
    )
    assert batch.order_id
    assert await stock(client) == (1, 3)
    assert await market.contradictions() == []


async def test_no_more_than_was_reserved(market: Market, client: PartnerClient) -> None:
    made = await client.reserve(3)
    await client.codes(2, reservation_id=made.reservation_id)
    refused = await refusal(client.batch(2, reservation_id=made.reservation_id))
    assert refused.reason == Reason.RESERVATION_USED_UP
    assert refused.metadata == {
        "reservation_id": made.reservation_id,
        "requested": "2",
        "available": "1",
    }
    await client.codes(1, reservation_id=made.reservation_id)
    assert await market.contradictions() == []


async def test_what_is_held_cannot_be_taken_otherwise(
    market: Market, other_client: PartnerClient
) -> None:
    """HK has 1,000: a reservation of 990 leaves 10, to reservations and batches alike."""
    made = await other_client.reserve(990)
    for taken in (other_client.reserve(11), other_client.batch(11)):
        refused = await refusal(taken)
        assert refused.reason == Reason.SOLD_OUT
        assert refused.metadata == {"product_id": "106", "requested": "11", "available": "10"}
    await other_client.codes(10)
    await other_client.release(made.reservation_id)
    assert await other_client.inventory(106) == {106: (1000, 0, 10, 990)}
    assert await market.contradictions() == []


async def test_release(market: Market, client: PartnerClient) -> None:
    """Unsold tickets are VOIDED, with a trace, and the stock returns; what is sold stays sold."""
    made = await client.reserve(10)
    sold, unsold = await client.codes(2, reservation_id=made.reservation_id)
    await client.activate(sold)
    released = await client.release(made.reservation_id, "r")
    assert (released.status, released.held, released.activated) == (RELEASED, 0, 1)
    assert await client.release(made.reservation_id, "r") == released
    assert await stock(client) == (0, 1)
    states = {
        each.ticket_code: STATE_NAME[each.status] for each in (await client.pages())[0].tickets
    }
    assert states == {sold: "ACTIVE", unsold: "VOIDED"}
    trace = await market.sql(
        "SELECT action, e.state, actor FROM ticket_events e JOIN tickets USING (ticket_id)"
        " WHERE ticket_code = %s",
        unsold,
    )
    assert trace == [("voided", "VOIDED", "partner:CP")]
    for refused in (
        client.release(made.reservation_id),
        client.extend(made.reservation_id, 60),
        client.batch(1, reservation_id=made.reservation_id),
        client.activate(unsold),
    ):
        assert (await refusal(refused)).reason == Reason.RESERVATION_STATE_REFUSES
    assert await market.contradictions() == []


async def test_expiry(market: Market, client: PartnerClient) -> None:
    """Within a second or two a process finds it; nobody has to ask."""
    made = await client.reserve(10)
    sold, unsold = await client.codes(2, reservation_id=made.reservation_id)
    await client.activate(sold)
    await age(market, made.reservation_id, DAY_SECONDS)
    await market.until(
        "SELECT held = 0 AND sold = 1 FROM stocks WHERE (product_id, partner_id) = (106, 1)"
    )
    await market.until("SELECT NOT voids_pending FROM reservations")
    found = await client.reservation(made.reservation_id)
    assert (found.status, found.held, found.activated) == (EXPIRED, 0, 1)
    states = {
        each.ticket_code: STATE_NAME[each.status] for each in (await client.pages())[0].tickets
    }
    assert states == {sold: "ACTIVE", unsold: "VOIDED"}
    refused = await refusal(client.activate(unsold))
    assert refused.reason == Reason.RESERVATION_EXPIRED
    assert set(refused.metadata) == {"reservation_id", "expire_time"}
    assert await market.contradictions() == []


@pytest.mark.usefixtures("nobody_looks")
async def test_nothing_after_its_second(market: Market, client: PartnerClient) -> None:
    """Also where no process has closed it: nothing is made, activated, extended or released.

    Seen red: without `refusal` in activate the guard of `_ACTIVATE` fails the call with INTERNAL;
    without the time in `_GENERATE` and `require_open` the batch was made.
    """
    made = await client.reserve(10)
    code, other = await client.codes(2, reservation_id=made.reservation_id)
    await age(market, made.reservation_id, DAY_SECONDS)
    for refused in (
        client.batch(1, reservation_id=made.reservation_id),
        client.activate(code),
        client.extend(made.reservation_id, 60),
        client.release(made.reservation_id),
    ):
        assert (await refusal(refused)).reason == Reason.RESERVATION_EXPIRED
    answer = await client.activate_many([(other, customer(), payment())])
    assert answer.verdicts[0].reason == "RESERVATION_EXPIRED"
    found = await client.reservation(made.reservation_id)
    assert (found.status, found.held) == (EXPIRED, 0)
    assert await stock(client) == (10, 0)
    expired = await client.call("ListReservations", pb.ListReservationsRequest(status=EXPIRED))
    assert [each.reservation_id for each in expired.reservations] == [made.reservation_id]
    still_open = await client.call("ListReservations", pb.ListReservationsRequest(status=OPEN))
    assert not still_open.reservations


async def test_many_tickets_of_an_expired_reservation(
    market: Market, client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are voided in chunks, after the stock is back."""
    monkeypatch.setattr("server.partners.reservations.MAX_VOIDED", 10)
    made = await client.reserve(40)
    await client.codes(25, reservation_id=made.reservation_id)
    await client.codes(10, reservation_id=made.reservation_id)
    await age(market, made.reservation_id, DAY_SECONDS)
    await market.until("SELECT bool_and(state = 'VOIDED') FROM tickets")
    await market.until("SELECT NOT voids_pending FROM reservations")
    assert await stock(client) == (0, 0)
    assert await market.value("SELECT count(*) FROM ticket_events WHERE action = 'voided'") == 35
    assert await market.contradictions() == []


async def test_extension(market: Market, client: PartnerClient) -> None:
    """Up to three days in all, if nothing else is said; never shorter."""
    made = await client.reserve(1)
    longer = await client.extend(made.reservation_id, 2 * DAY_SECONDS, "e")
    assert await client.extend(made.reservation_id, 2 * DAY_SECONDS, "e") == longer
    gained = longer.expire_time.ToDatetime() - made.expire_time.ToDatetime()
    assert timedelta(days=1) <= gained < timedelta(days=1, minutes=1)
    assert (await client.extend(made.reservation_id, 60)).expire_time == longer.expire_time
    refused = await refusal(client.extend(made.reservation_id, 3 * DAY_SECONDS + 1))
    assert refused.reason == Reason.RESERVATION_TOO_LONG
    latest = datetime.fromisoformat(refused.metadata["max_expire_time"])
    assert latest == made.max_expire_time.ToDatetime(tzinfo=UTC)


async def test_terms_of_the_channel(market: Market, client: PartnerClient) -> None:
    """The allotment says how long, and how long at the most."""
    await market.sql(
        "UPDATE stocks SET hold_seconds = 900, max_hold_seconds = 1800 WHERE partner_id = 1"
    )
    made = await client.reserve(1)
    assert seconds_of(made) == 900
    assert seconds_of(await client.reserve(1, hold_seconds=1800)) == 1800
    for refused in (
        client.reserve(1, hold_seconds=1801),
        client.extend(made.reservation_id, 1801),
    ):
        assert (await refusal(refused)).reason == Reason.RESERVATION_TOO_LONG
    assert await stock(client) == (2, 0)


async def test_warned_once(market: Market, client: PartnerClient) -> None:
    """An hour before the end, or at half of it where that is later; once more if it is extended."""
    made = await client.reserve(1)
    short = await client.reserve(1, hold_seconds=600)
    times = dict(
        await market.sql(
            "SELECT reservation_id::text, extract(epoch FROM expire_time - warn_time)::int"
            " FROM reservations"
        )
    )
    assert times == {made.reservation_id: 3600, short.reservation_id: 300}
    await age(market, made.reservation_id, DAY_SECONDS - 3600)
    unwarned = "SELECT count(*) = 1 FROM reservations WHERE warn_time IS NOT NULL"
    await market.until(unwarned)
    await client.extend(made.reservation_id, DAY_SECONDS)
    assert not await market.value(unwarned)


async def test_repeat_of_a_reservation(market: Market, client: PartnerClient) -> None:
    first = await client.reserve(2, request_id="r")
    assert await client.reserve(2, request_id="r") == first
    mismatch = await refusal(client.reserve(3, request_id="r"))
    assert mismatch.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await stock(client) == (2, 0)


async def test_pages(market: Market, client: PartnerClient) -> None:
    """Newest first, also while others are made."""
    made = [(await client.reserve(1)).reservation_id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await client.call(
            "ListReservations", pb.ListReservationsRequest(page_size=2, page_token=token)
        )
        seen += [each.reservation_id for each in page.reservations]
        token = page.next_page_token
        if not token:
            break
        await client.reserve(1)
    assert seen == made[::-1]


async def test_another_partner_sees_nothing(
    market: Market, client: PartnerClient, other_client: PartnerClient
) -> None:
    made = (await client.reserve(2)).reservation_id
    for call in (
        other_client.reservation(made),
        other_client.extend(made, 60),
        other_client.release(made),
        other_client.batch(1, reservation_id=made),
    ):
        assert (await refusal(call)).reason == Reason.NOT_FOUND
    listed = await other_client.call("ListReservations", pb.ListReservationsRequest())
    assert not listed.reservations


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": 50_001}, "quantity"),
        ({"hold_seconds": 0}, "hold_seconds"),
        ({"use_date": "2026-13-01"}, "use_date"),
        ({"use_date": "tomorrow"}, "use_date"),
        ({"departure_id": "12"}, "fare_class"),
        ({"fare_class": "FIRST"}, "departure_id"),
        ({"departure_id": "12", "fare_class": "FIRST", "use_date": "2027-01-01"}, "use_date"),
        ({"request_id": ""}, "request_id"),
    ],
)
async def test_wrong_input(client: PartnerClient, fields: dict[str, Any], field: str) -> None:
    refused = await refusal(client.reserve(**{"quantity": 1} | fields))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_not_on_sale(client: PartnerClient) -> None:
    """Archived or unknown, whatever departure or day of it is named."""
    for fields in (
        {"product_id": 99},
        {"product_id": 1},
        {"product_id": 1, "use_date": "2027-01-01"},
        {"product_id": 1, "departure_id": "12", "fare_class": "FIRST"},
    ):
        refused = await refusal(client.reserve(1, **fields))
        assert refused.reason == Reason.PRODUCT_NOT_ON_SALE


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"use_date": "2027-01-01"}, "use_date"),
        ({"use_date": "2300-01-01"}, "use_date"),
        ({"departure_id": "12", "fare_class": "FIRST"}, "departure_id"),
    ],
)
async def test_nothing_allotted_of_that(
    client: PartnerClient, fields: dict[str, Any], field: str
) -> None:
    """The product is on sale: what is missing is this partner's stock of a day or a departure.

    Seen red: the answer was that product 106 is not on sale.
    """
    refused = await refusal(client.reserve(1, **fields))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_wrong_reservation_of_a_batch(market: Market, client: PartnerClient) -> None:
    made = (await client.reserve(2)).reservation_id
    other_product = await refusal(client.batch(1, product_id=107, reservation_id=made))
    assert other_product.fields == ("product_id",)
    for unknown in ("no id", "00000000-0000-0000-0000-000000000000"):
        refused = await refusal(client.batch(1, reservation_id=unknown))
        assert refused.reason == Reason.NOT_FOUND


async def test_events(market: Market, client: PartnerClient) -> None:
    """A reservation's life is in the partner's feed, in order; a batch names its reservation."""
    made = await client.reserve(5)
    await client.codes(2, reservation_id=made.reservation_id)
    await client.extend(made.reservation_id, 2 * DAY_SECONDS)
    await age(market, made.reservation_id, 2 * DAY_SECONDS - 60)
    await market.until("SELECT warn_time IS NULL FROM reservations")
    await age(market, made.reservation_id, 60)
    await market.until("SELECT state = 'EXPIRED' AND NOT voids_pending FROM reservations")
    released = await client.reserve(1)
    await client.release(released.reservation_id)
    await market.until("SELECT count(*) = 9 FROM partner_events WHERE sequence IS NOT NULL")
    found = (await client.call("ListEvents", event_pb2.ListEventsRequest())).events
    assert [each.type for each in found] == [
        "reservation.created",
        "batch.generated",
        "reservation.extended",
        "reservation.expiring",
        "reservation.expired",
        "ticket.voided",
        "ticket.voided",
        "reservation.created",
        "reservation.released",
    ]
    of_first = [each for each in found if each.data.reservation_id == made.reservation_id]
    assert len(of_first) == 5
    assert [each.data.quantity for each in of_first] == [5, 2, 5, 5, 5]
    assert of_first[0].data.expire_time == made.expire_time


MANY = """
INSERT INTO reservations (reservation_id, partner_id, stock_id, product_id, quantity, generated,
  activated, state, expire_time, max_expire_time, create_time, close_time)
SELECT gen_random_uuid(), partner_id, stock_id, product_id, 1, 1, 1, 'COMPLETED', expire_time,
  max_expire_time, create_time - make_interval(secs => n), now()
FROM reservations, generate_series(1, 5000) n WHERE reservation_id = %s
"""
READ = text("""
SELECT pg_stat_get_xact_tuples_fetched('reservations'::regclass)
  + pg_stat_get_xact_tuples_returned('reservations'::regclass)
""")


async def test_few_of_many_are_listed_without_reading_all(
    market: Market, client: PartnerClient, module_database_url: str
) -> None:
    """Seen red without the lists' own indexes: all 5,000 rows were read for one."""
    first = await client.reserve(1)
    await client.reserve(1, product_id=107)
    await market.sql(MANY, first.reservation_id)
    await market.sql("ANALYZE reservations")
    db = Database(load_settings(), module_database_url)
    for wanted in (ReservationFilter(product_id=107), ReservationFilter(state="OPEN")):
        async with db.transaction() as tx:
            found = await reservations.list_page(
                tx, 1, wanted, before=None, limit=51, now=datetime.now(UTC)
            )
            assert {each.state for each in found} == {"OPEN"}
            assert await tx.scalar(READ) < 100
    await db.close()
