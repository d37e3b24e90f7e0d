"""Partners' tickets of a departure: made of a reservation of one class, with seats, sold, given
back, expired, admitted at the gate, and what becomes of them when the operator cancels or moves it.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import partner_pb2
from deeptravel.ota.v1 import event_pb2, export_pb2, ota_service_pb2, reservation_pb2

from server.orders import partner_orders
from server.partners import partner_tickets
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.stock.ids import departure_stock_id
from server.tickets import generation
from tests.support import gate
from tests.support.changes import show_changes
from tests.support.disruptions import partners_reported_as_planned, preview_of_partners
from tests.support.gate import Terminal, verdict
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager, followed, leaves
from tests.support.partner_client import (
    CP,
    KEY,
    STATE_NAME,
    PartnerClient,
    customer,
    payment,
    sandbox_key,
)
from tests.support.rpc_server import refusal
from tests.support.sandbox_clock import advance, moment, shown
from tests.support.traveller import (
    FIRST,
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
    traveller_server,
)

SEATS = 10
ALLOTTED = 6
TRAIN = 1
FARE = {FIRST: 20_000, SECOND: 10_000}
ALLOT = """
INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class, total, update_time)
SELECT stock_id | 1, product_id, 1, departure_id, fare_class, %s, now() FROM stocks
WHERE departure_id IS NOT NULL AND partner_id = 0
"""
LEAVES = "UPDATE departures SET departure_time = now() + %s::interval WHERE departure_id = %s"


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    """Of each class of two departures the partner CP has ALLOTTED places, and DIRECT the rest."""
    async with a_world(module_database_url, seats=SEATS, departures=2) as filled:
        await filled.enrol(1)
        gates = gate.World(filled.pg, filled.ring)
        await gates.open_gates()
        await filled.sql("UPDATE merchants SET function_codes = '{boarding,ferry,gift,lounge}'")
        await filled.sql(KEY, CP.key_id, 1, CP.secret_hash)
        await filled.sql(ALLOT, ALLOTTED)
        await filled.sql(
            "UPDATE stocks SET total = total - %s WHERE partner_id = 0"
            " AND departure_id IS NOT NULL",
            ALLOTTED,
        )
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert_invariants(module_database_url)


@pytest.fixture(scope="module")
async def server(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def partner(server: GateServer) -> PartnerClient:
    return PartnerClient.at(server.channel)


@pytest.fixture(scope="module")
async def db(module_database_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(), module_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def manager(world: World, db: Database, server: GateServer) -> Manager:
    return await Manager.hired(db, server.channel)


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await gate.World(world.pg, world.ring).log_in(server.channel)


async def reserve(
    world: World, partner: PartnerClient, quantity: int = 3, fare_class: str = "FIRST"
) -> reservation_pb2.Reservation:
    return await partner.reserve(
        quantity,
        product_id=TRAIN,
        departure_id=str(world.departure_id()),
        fare_class=fare_class,
    )


async def batch(
    partner: PartnerClient, reserved: reservation_pb2.Reservation, quantity: int = 3, **fields: Any
) -> ota_service_pb2.BulkGenerateTicketsResponse:
    return await partner.batch(
        quantity, product_id=TRAIN, reservation_id=reserved.reservation_id, **fields
    )


async def sell(partner: PartnerClient, code: str, fare_class: int = FIRST) -> Any:
    return await partner.activate(code, payment=payment("PAY-1", FARE[fare_class], "CNY"))


async def stock(world: World, fare_class: int = FIRST) -> tuple[int, int, int]:
    """The partner's total, held and sold."""
    return await world.stock_of(departure_stock_id(world.departure_id(), fare_class, 1))


async def states(world: World) -> list[str]:
    rows = await world.sql("SELECT state FROM tickets WHERE partner_id = 1 ORDER BY ticket_id")
    return [state for (state,) in rows]


async def seats_taken(world: World) -> set[int]:
    rows = await world.sql("SELECT seat_index FROM taken_seats")
    return {seat for (seat,) in rows}


async def events(partner: PartnerClient, *types: str) -> list[event_pb2.Event]:
    """Those there are, when there are some."""
    async with asyncio.timeout(30):
        while True:
            request = event_pb2.ListEventsRequest(types=types, after_cursor=0, page_size=200)
            found = list((await partner.call("ListEvents", request)).events)
            if found:
                return found
            await asyncio.sleep(0.05)


async def test_made_with_seats_and_sold(world: World, partner: PartnerClient) -> None:
    """Seen red: a batch of a reservation of a departure was refused."""
    reserved = await reserve(world, partner)
    made = await batch(partner, reserved)
    assert [each.seat for each in made.tickets] == ["1A", "1B", "1C"]
    assert await stock(world) == (ALLOTTED, 3, 0)
    sold = await sell(partner, made.tickets[0].ticket_code)
    assert STATE_NAME[sold.status] == "ACTIVE"
    assert sold.order_id
    assert await stock(world) == (ALLOTTED, 2, 1)
    request = ota_service_pb2.GetBatchRequest(batch_id=made.batch_id)
    found = await partner.call("GetBatch", request)
    assert found.departure.departure_id == str(world.departure_id())
    leg = found.departure.origin_stop_code, found.departure.destination_stop_code
    assert leg == ("XJA", "FTN")
    assert {(fare.day_type, fare.amount_minor) for fare in found.fares} == {
        ("weekday", 20_000),
        ("weekday", 10_000),
        ("weekday", 1_000),
    }


async def test_lists_and_exports_say_departure_and_seat(
    world: World, partner: PartnerClient
) -> None:
    made = await batch(partner, await reserve(world, partner))
    (page,) = await partner.pages()
    assert [(each.departure_id, each.seat) for each in page.tickets] == [
        (str(world.departure_id()), seat) for seat in ("1A", "1B", "1C")
    ]
    request = ota_service_pb2.ListBatchTicketsRequest(batch_id=made.batch_id)
    listed = await partner.call("ListBatchTickets", request)
    assert [each.seat for each in listed.tickets] == ["1A", "1B", "1C"]
    assert [each.seat for each in await partner.streamed(made.batch_id)] == ["1A", "1B", "1C"]
    stream = partner.call("ExportTickets", export_pb2.ExportTicketsRequest())
    exported = [ticket async for part in stream for ticket in part.tickets]
    assert [(each.departure_id, each.seat) for each in exported] == [
        (str(world.departure_id()), seat) for seat in ("1A", "1B", "1C")
    ]
    stream = partner.call(
        "ExportTickets", export_pb2.ExportTicketsRequest(format=export_pb2.EXPORT_FORMAT_CSV)
    )
    text = b"".join([part.file.data async for part in stream]).decode()
    assert text.splitlines()[1].endswith(f",{world.departure_id()},1A")


async def test_a_class_without_numbered_seats(world: World, partner: PartnerClient) -> None:
    made = await batch(partner, await reserve(world, partner, 2, "SECOND"), 2)
    assert [each.seat for each in made.tickets] == ["", ""]
    await sell(partner, made.tickets[1].ticket_code, SECOND)
    assert await stock(world, SECOND) == (ALLOTTED, 1, 1)


async def test_no_seat_is_sold_twice(
    world: World, partner: PartnerClient, server: GateServer
) -> None:
    """Our own travellers and the partner sit in one car, whose seats are all taken in the end.

    Seen red: with seats counted by the partner's own stock both got 1A. The other time of our own
    stock's row keeps no seat safe, the key does: it spares who remembers the seats an attempt.
    """
    client = TravellerClient.of(server.channel, 1)
    await client.create(world.seat(), passengers=party(1))
    first = await batch(partner, await reserve(world, partner, 4), 4)
    await client.create(world.seat(), passengers=party(2))
    rest = await batch(partner, await reserve(world, partner, 2), 2)
    await client.create(world.seat(), passengers=party(1))
    assert await seats_taken(world) == set(range(SEATS))
    seats = [each.seat for each in (*first.tickets, *rest.tickets)]
    assert len(set(seats)) == ALLOTTED


async def test_cancelled_tickets_leave_their_seats(world: World, partner: PartnerClient) -> None:
    reserved = await reserve(world, partner)
    made = await batch(partner, reserved)
    codes = [each.ticket_code for each in made.tickets]
    await partner.cancel(codes[1:2])
    assert await seats_taken(world) == {0, 2}
    assert await stock(world) == (ALLOTTED, 2, 0)
    await partner.cancel(batch_id=made.batch_id)
    assert await seats_taken(world) == set()
    assert await stock(world) == (ALLOTTED, 0, 0)
    ended = await partner.reservation(reserved.reservation_id)
    assert ended.end_reason == reservation_pb2.RESERVATION_END_REASON_TICKETS_CANCELLED


@pytest.mark.parametrize("way", ["release", "expiry"])
async def test_unsold_tickets_of_a_reservation_that_ends(
    world: World, partner: PartnerClient, way: str
) -> None:
    """They leave their seats at once, and are VOIDED; what is sold stays."""
    reserved = await reserve(world, partner)
    made = await batch(partner, reserved)
    await sell(partner, made.tickets[1].ticket_code)
    if way == "release":
        await partner.release(reserved.reservation_id)
    else:
        await world.sql("UPDATE reservations SET expire_time = now(), warn_time = NULL")
    await world.until("SELECT count(*) = 2 FROM tickets WHERE state = 'VOIDED'")
    assert await states(world) == ["VOIDED", "ACTIVE", "VOIDED"]
    assert await seats_taken(world) == {1}
    assert await stock(world) == (ALLOTTED, 0, 1)
    ended = await partner.reservation(reserved.reservation_id)
    reason = "PARTNER" if way == "release" else "TIME_OVER"
    name = reservation_pb2.ReservationEndReason.Name(ended.end_reason)
    assert name == f"RESERVATION_END_REASON_{reason}"
    kind = "reservation.released" if way == "release" else "reservation.expired"
    (event,) = await events(partner, kind)
    assert event.data.reason == reason


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"valid_from_time": datetime.now(UTC) + timedelta(days=1)}, "valid_from_time"),
        ({"origin_stop_code": "FTN", "destination_stop_code": "XJA"}, "origin_stop_code"),
        ({"destination_stop_code": "XXX"}, "destination_stop_code"),
    ],
)
async def test_wrong_input(
    world: World, partner: PartnerClient, fields: dict[str, Any], field: str
) -> None:
    reserved = await reserve(world, partner)
    refused = await refusal(batch(partner, reserved, **fields))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    assert await seats_taken(world) == set()
    await batch(partner, reserved, origin_stop_code="XJA", destination_stop_code="FTN")


async def test_the_price_is_that_of_the_day(world: World, partner: PartnerClient) -> None:
    """And of the class and leg; another is refused, of one ticket as of a batch that is sold."""
    reserved = await reserve(world, partner)
    made = await batch(partner, reserved, 1)
    wrong = partner.activate(made.tickets[0].ticket_code, payment=payment("PAY-1", 9_999, "CNY"))
    assert (await refusal(wrong)).reason == Reason.PAYMENT_MISMATCH
    sale = ota_service_pb2.Activation(
        customer=customer(), payment=payment("P-2", 2 * FARE[FIRST], "CNY")
    )
    sold = await batch(partner, reserved, 2, activation=sale)
    assert STATE_NAME[sold.tickets[0].status] == "ACTIVE"
    assert [each.seat for each in sold.tickets] == ["1B", "1C"]
    assert await stock(world) == (ALLOTTED, 1, 2)


async def test_nothing_is_made_when_the_sale_is_over(world: World, partner: PartnerClient) -> None:
    reserved = await reserve(world, partner)
    await world.sql("UPDATE timetables SET closing_minutes = 60 * 24 * 30")
    await show_changes(world)
    refused = await refusal(batch(partner, reserved))
    why = refused.metadata["why"]
    assert (refused.reason, why) == (Reason.OFFER_NOT_AVAILABLE, "SALE_CLOSED")


async def test_at_the_gate(world: World, partner: PartnerClient, terminal: Terminal) -> None:
    """Admitted from the opening of boarding on, with service, seat and times; not for another
    departure. Seen red: without READ_PARTNERS_DEPARTURES it had no departure.
    """
    made = await batch(partner, await reserve(world, partner))
    code = made.tickets[0].ticket_code
    await sell(partner, code)
    token = (await partner.qr(code)).encrypted_data
    early = await terminal.redeem(token, "boarding")
    assert verdict(early) == "TICKET_NOT_YET_VALID"
    assert early.details.seat == "1A"
    assert early.details.journey.departure_id == str(world.departure_id())
    assert early.details.journey.service_number == "G5001"
    await world.sql("UPDATE departure_tickets SET reference_time = now() + interval '1 hour'")
    admitted = await terminal.redeem(token, "boarding")
    assert verdict(admitted) == "SUCCESS"
    assert STATE_NAME[admitted.ticket_status] == "USED"
    # back to where the invariants look for it
    await world.sql(
        "UPDATE departure_tickets d SET reference_time = p.departure_time FROM departures p"
        " WHERE p.departure_id = d.departure_id"
    )


async def test_cancelled_departure(
    world: World, partner: PartnerClient, manager: Manager, terminal: Terminal
) -> None:
    """Reservations are released, unsold tickets VOIDED, sold ones REFUNDED with their orders; the
    gate names the cancellation, and the partner hears of each.

    Seen red: reservations stayed OPEN until their own end, and tickets as they were.
    """
    reserved = await reserve(world, partner, 4)
    other = await reserve(world, partner, 1, "SECOND")
    made = await batch(partner, reserved, 3)
    codes = [each.ticket_code for each in made.tickets]
    await sell(partner, codes[0])
    token = (await partner.qr(codes[0])).encrypted_data
    unsold = (await partner.qr(codes[1])).encrypted_data
    planned = await preview_of_partners(manager, world)
    assert (planned.reservations, planned.reserved_unsold) == (2, 4)
    await manager.cancel(world.departure_id(), preview_id=planned.preview_id)
    late = await refusal(sell(partner, codes[1]))
    assert late.reason in {
        Reason.DEPARTURE_CANCELLED,
        Reason.RESERVATION_STATE_REFUSES,
        Reason.TICKET_STATE_REFUSES,
    }
    await followed(world)
    await world.until("SELECT NOT EXISTS (SELECT FROM reservations WHERE voids_pending)")
    assert await states(world) == ["REFUNDED", "VOIDED", "VOIDED"]
    assert await seats_taken(world) == set()
    assert await stock(world) == (ALLOTTED, 0, 0)
    assert await stock(world, SECOND) == (ALLOTTED, 0, 0)
    assert await world.sql("SELECT DISTINCT state FROM orders") == [("CANCELLED",)]
    for each in (reserved, other):
        ended = await partner.reservation(each.reservation_id)
        assert ended.status == reservation_pb2.RESERVATION_STATE_RELEASED
        reason = reservation_pb2.RESERVATION_END_REASON_DEPARTURE_CANCELLED
        assert (ended.end_reason, ended.held) == (reason, 0)
    for code in (token, unsold):
        assert verdict(await terminal.redeem(code, "boarding")) == "DEPARTURE_CANCELLED"
    (cancelled,) = await events(partner, "departure.cancelled")
    assert cancelled.data.departure_id == str(world.departure_id())
    assert cancelled.data.product_id == TRAIN
    for kind, quantity in (
        ("reservation.released", 2),
        ("ticket.voided", 2),
        ("ticket.refunded", 1),
    ):
        found = await events(partner, kind)
        assert [each.data.reason for each in found] == ["DEPARTURE_CANCELLED"] * quantity
    await partners_reported_as_planned(manager, world, planned.totals)


async def test_in_a_sandbox_it_has_the_time_of_the_clock(
    world: World, server: GateServer, manager: Manager, module_database_url: str
) -> None:
    """Refunds and releases by the operator stand after what its partner did before them; seen red
    with the time of the task, which is an hour behind the clock.
    """
    sandbox = PartnerClient.at(server.channel, await sandbox_key(module_database_url))
    await advance(sandbox, by_seconds=3600)
    begin = await shown(sandbox)
    made = await batch(sandbox, await reserve(world, sandbox, 2), 1)
    await sell(sandbox, made.tickets[0].ticket_code)
    await manager.cancel(world.departure_id())
    await followed(world)
    found = [
        *await events(sandbox, "ticket.refunded"),
        *await events(sandbox, "reservation.released"),
        *await events(sandbox, "departure.cancelled"),
    ]
    end = await shown(sandbox)
    assert all(begin <= moment(each.occurred_time) <= end for each in found)


async def test_a_blocked_ticket_is_refunded_when_it_is_unblocked(
    world: World, partner: PartnerClient, manager: Manager
) -> None:
    made = await batch(partner, await reserve(world, partner), 1)
    await sell(partner, made.tickets[0].ticket_code)
    await world.sql("UPDATE tickets SET blocked = true")
    await manager.cancel(world.departure_id())
    await followed(world)
    assert await states(world) == ["ACTIVE"]
    await world.sql("UPDATE tickets SET blocked = false")
    await world.sql("UPDATE outbox_tasks SET due_time = now() WHERE kind = 'departure.partners'")
    await followed(world)
    assert await states(world) == ["REFUNDED"]


async def test_moved_departure(world: World, partner: PartnerClient, manager: Manager) -> None:
    """Tickets have its new times; a reservation does not outlast it, and is not made longer.

    Seen red: a departure that was moved did not move its reservations.
    """
    reserved = await partner.reserve(
        3,
        product_id=TRAIN,
        departure_id=str(world.departure_id()),
        fare_class="FIRST",
        hold_seconds=86_400 * 2,
    )
    made = await batch(partner, reserved)
    await sell(partner, made.tickets[0].ticket_code)
    before = [
        each.valid_until_time.seconds for (page) in await partner.pages() for each in page.tickets
    ]
    left = await leaves(world)
    later = left + timedelta(hours=2)
    await manager.move(world.departure_id(), later)
    await followed(world)
    rows = await world.sql("SELECT reference_time FROM departure_tickets")
    assert {moment for (moment,) in rows} == {later}
    (page,) = await partner.pages()
    assert [each.valid_until_time.seconds for each in page.tickets] == [
        seconds + 2 * 3600 for seconds in before
    ]
    same = await partner.reservation(reserved.reservation_id)
    assert same.max_expire_time == reserved.max_expire_time
    (event,) = await events(partner, "departure.moved")
    assert event.data.departure_time.ToDatetime(UTC) == later


async def test_a_departure_that_leaves_earlier_ends_its_reservations(
    world: World, partner: PartnerClient, manager: Manager
) -> None:
    """To the second, by the reservations' own clock."""
    reserved = await reserve(world, partner)
    await batch(partner, reserved, 2)
    soon = datetime.now(UTC) + timedelta(hours=3)
    await world.sql(LEAVES, "4 hours", world.departure_id())
    await world.sql(
        "UPDATE departures SET planned_time = departure_time WHERE departure_id = %s",
        world.departure_id(),
    )
    await manager.move(world.departure_id(), soon)
    await followed(world)
    shorter = await partner.reservation(reserved.reservation_id)
    assert shorter.expire_time.ToDatetime(UTC) == soon
    assert shorter.max_expire_time.ToDatetime(UTC) == soon
    await world.sql(LEAVES, "0 seconds", world.departure_id())
    await world.sql("UPDATE reservations SET expire_time = now(), warn_time = NULL")
    await world.until("SELECT count(*) = 2 FROM tickets WHERE state = 'VOIDED'")
    ended = await partner.reservation(reserved.reservation_id)
    assert ended.status == reservation_pb2.RESERVATION_STATE_EXPIRED
    assert ended.end_reason == reservation_pb2.RESERVATION_END_REASON_DEPARTURE_LEFT
    (event,) = await events(partner, "reservation.expired")
    assert event.data.reason == "DEPARTURE_LEFT"


async def test_tickets_expire_and_complete_their_order(
    world: World, partner: PartnerClient
) -> None:
    made = await batch(partner, await reserve(world, partner), 1)
    await sell(partner, made.tickets[0].ticket_code)
    for table, columns in (
        ("departure_tickets", ["reference_time"]),
        ("tickets", ["valid_from_time", "valid_until_time"]),
    ):
        earlier = ", ".join(f"{name} = {name} - interval '100 days'" for name in columns)
        await world.sql(f"UPDATE {table} SET {earlier}")
    await world.sql("UPDATE job_runs SET run_time = '2020-01-01Z'")
    await world.until("SELECT state = 'EXPIRED' FROM tickets")
    assert await world.sql("SELECT state FROM orders") == [("COMPLETED",)]


async def test_a_batch_under_way_when_its_departure_is_moved(
    world: World, partner: PartnerClient, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move waits for it, and finds its tickets.

    Seen red without FOR SHARE on the departure: the task that moves tickets did not see those that
    were not committed yet, and they kept the old times.
    """
    reserved = await reserve(world, partner)
    reached, generate = asyncio.Event(), generation.generate

    async def slowly(tx: Any, new: Any) -> None:
        await generate(tx, new)
        reached.set()
        await asyncio.sleep(3)

    monkeypatch.setattr(partner_tickets, "generate", slowly)
    making = asyncio.ensure_future(batch(partner, reserved))
    await reached.wait()
    later = await leaves(world) + timedelta(hours=1)
    await manager.move(world.departure_id(), later)
    await making
    await followed(world)
    rows = await world.sql("SELECT DISTINCT reference_time FROM departure_tickets")
    assert rows == [(later,)]


async def test_an_activation_under_way_when_its_departure_is_cancelled(
    world: World, partner: PartnerClient, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sold, and then REFUNDED: what follows the cancellation waits for the reservation.

    Seen red without the lock of the reservations in `activate`: INTERNAL.
    """
    made = await batch(partner, await reserve(world, partner))
    reached, create_paid = asyncio.Event(), partner_orders.create_paid

    async def slowly(*arguments: Any, **options: Any) -> Any:
        reached.set()
        await asyncio.sleep(3)
        return await create_paid(*arguments, **options)

    monkeypatch.setattr(partner_tickets, "create_paid", slowly)
    selling = asyncio.ensure_future(sell(partner, made.tickets[0].ticket_code))
    await reached.wait()
    await manager.cancel(world.departure_id())
    assert STATE_NAME[(await selling).status] == "ACTIVE"
    await followed(world)
    await world.until("SELECT NOT EXISTS (SELECT FROM reservations WHERE voids_pending)")
    assert await states(world) == ["REFUNDED", "VOIDED", "VOIDED"]
    assert await stock(world) == (ALLOTTED, 0, 0)


async def test_a_sandbox_takes_no_real_seat(
    world: World, partner: PartnerClient, manager: Manager, server: GateServer
) -> None:
    """Its car has as many seats, of its own stock. Seen red with those of our own stock."""
    create = partner_pb2.CreatePartnerKeyRequest(
        partner_code="CP", mode=partner_pb2.PARTNER_MODE_TEST, request_id="k"
    )
    made = await manager.stub.CreatePartnerKey(create, metadata=manager.headers)
    trying = PartnerClient.at(server.channel, made.api_key)
    tried = await batch(trying, await reserve(world, trying))
    real = await batch(partner, await reserve(world, partner))
    for tickets in (tried.tickets, real.tickets):
        assert [each.seat for each in tickets] == ["1A", "1B", "1C"]
    codes = [each.ticket_code for each in tried.tickets]
    await trying.cancel(codes[:1])
    await sell(trying, codes[1])
    await manager.cancel(world.departure_id())
    await followed(world)
    await world.until("SELECT NOT EXISTS (SELECT FROM reservations WHERE voids_pending)")
    assert await seats_taken(world) == set()
    found = await world.sql("SELECT DISTINCT state FROM tickets ORDER BY 1")
    assert found == [("REFUNDED",), ("VOIDED",)]


async def test_a_reservation_that_waits_while_its_departure_is_moved(
    world: World, partner: PartnerClient
) -> None:
    """It is made anew, with the departure as it is then.

    Seen red without the second look at the departure: it outlasted one that leaves earlier.
    """
    await world.sql(LEAVES, "20 hours", world.departure_id())
    await world.sql("BEGIN")
    await world.sql("SELECT FROM stocks FOR UPDATE")
    reserving = asyncio.ensure_future(reserve(world, partner))
    await world.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
    await world.sql(LEAVES, "10 hours", world.departure_id())
    await world.sql("COMMIT")
    made = await reserving
    assert made.max_expire_time.ToDatetime(UTC) == await leaves(world)
