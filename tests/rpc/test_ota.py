"""Batches, stock, lists and activation, through a real server."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import grpc
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.api import convert
from server.platform.errors import Reason
from server.tickets import tickets
from tests.support.gate_server import GateServer
from tests.support.partner_desk import (
    STATE_NAME,
    TABLES,
    Desk,
    Market,
    customer,
    payment,
    today,
)
from tests.support.rpc_server import refusal

ZONE = ZoneInfo("Asia/Hong_Kong")
NOTHING = dict.fromkeys(TABLES, 0)
NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
"""A channel with these options reads no further ahead than it must."""
NONE_OPEN = """
SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL
AND pid <> pg_backend_pid()
"""


def timestamp(moment: datetime) -> Timestamp:
    made = convert.timestamp(moment)
    assert made is not None
    return made


def activation(**fields: Any) -> ota.Activation:
    return ota.Activation(customer=customer(), payment=payment(**fields))


# Batches


async def test_batch(market: Market, desk: Desk) -> None:
    began = datetime.now(UTC)
    batch = await desk.batch(3, distributor_id="D-7")
    codes = [f"OTA-CP-{today()}-{sequence:06d}" for sequence in (1, 2, 3)]
    assert [ticket.ticket_code for ticket in batch.tickets] == codes
    assert {STATE_NAME[ticket.status] for ticket in batch.tickets} == {"PRE_GENERATED"}
    assert (batch.quantity, batch.next_page_token, batch.order_id) == (3, "", "")
    assert await desk.inventory(106) == {106: (200_000, 0, 3, 199_997)}

    (page,) = await desk.pages(batch_id=batch.batch_id)
    assert [ticket.ticket_code for ticket in page.tickets] == codes
    ticket = page.tickets[0]
    assert (ticket.batch_id, ticket.product_id, ticket.distributor_id) == (
        batch.batch_id,
        106,
        "D-7",
    )
    assert (STATE_NAME[ticket.status], ticket.order_id) == ("PRE_GENERATED", "")
    uses = [(e.function_code, e.remaining_uses, e.total_uses) for e in ticket.entitlements]
    assert uses == [("ferry", 1, 1), ("gift", 1, 1)]
    made = ticket.create_time.ToDatetime(UTC)
    assert began <= made <= datetime.now(UTC)
    assert ticket.valid_from_time == ticket.create_time
    # 30 days: to the end of the day that comes 30 days later
    last_day = made.astimezone(ZONE).date() + timedelta(days=30)
    end = datetime.combine(last_day + timedelta(days=1), datetime.min.time(), ZONE)
    assert ticket.valid_until_time.ToDatetime(UTC) == end

    jtis = [row[0] for row in await market.sql("SELECT jti FROM tickets")]
    assert len(set(jtis)) == 3
    assert {jti.version for jti in jtis} == {4}
    assert await market.contradictions() == []


async def test_seed_004_as_written(desk: Desk) -> None:
    """Step 1 gives a ticket that can be scanned at once."""
    batch = await desk.batch(1, activation=activation(reference="PAY-9"))
    (ticket,) = batch.tickets
    assert STATE_NAME[ticket.status] == "ACTIVE"
    assert batch.order_id == f"ORD-CP-{today()}-000001"
    issued = await desk.qr(ticket.ticket_code)
    assert (issued.ticket_code, len(issued.encrypted_data)) == (ticket.ticket_code, 203)


async def test_batch_that_is_sold_already(market: Market, desk: Desk) -> None:
    batch = await desk.batch(250, activation=activation(reference="PAY-9", amount_minor=3_000_000))
    listed = await desk.pages(batch_id=batch.batch_id, page_size=200)
    everything = [ticket for page in listed for ticket in page.tickets]
    assert {(STATE_NAME[t.status], t.order_id) for t in everything} == {("ACTIVE", batch.order_id)}
    rows = await market.sql(
        "SELECT order_code, state, customer_type, customer_name, ticket_count, payment_reference,"
        " amount_minor, currency_code FROM orders"
    )
    assert rows == [
        (batch.order_id, "PAID", "ADULT", "张三", 250, "PAY-9", 3_000_000, "HKD"),
    ]
    customers = await market.sql("SELECT DISTINCT customer_type, customer_name FROM tickets")
    assert customers == [("ADULT", "张三")]
    assert await market.contradictions() == []


async def test_text_of_any_kind_survives_the_copy(market: Market, desk: Desk) -> None:
    """Of what a name may hold: control characters are refused before."""
    awkward = "\\N\\t\\.\\r\\n'\"{};\\\\x\\b 張三 \U0001f6a2"
    sold = ota.Activation(customer=customer(awkward), payment=payment(amount_minor=24_000))
    await desk.batch(2, distributor_id=awkward, activation=sold)
    rows = await market.sql("SELECT DISTINCT distributor_id, customer_name FROM tickets")
    assert rows == [(awkward, awkward)]
    rows = await market.sql("SELECT distributor_id FROM batches")
    assert rows == [(awkward,)]
    (page,) = await desk.pages(distributor_id=awkward)
    assert [ticket.distributor_id for ticket in page.tickets] == [awkward, awkward]


async def test_first_page_and_the_rest(desk: Desk) -> None:
    await desk.batch(2)
    batch = await desk.batch(450)
    await desk.batch(2)
    assert len(batch.tickets) == 200
    rest = await desk.listed(
        batch_id=batch.batch_id, page_token=batch.next_page_token, page_size=120
    )
    codes = [ticket.ticket_code for ticket in batch.tickets] + rest
    assert codes == [f"OTA-CP-{today()}-{sequence:06d}" for sequence in range(3, 453)]
    assert codes == await desk.listed(batch_id=batch.batch_id, page_size=200)
    mixed = ota.ListTicketsRequest(
        batch_id=batch.batch_id,
        page_token=batch.next_page_token,
        status=ticket_pb2.TICKET_STATE_ACTIVE,
    )
    refused = await refusal(desk.call("ListTickets", mixed))
    assert refused.reason == Reason.PAGE_TOKEN_INVALID


async def test_numbers_go_on_where_the_last_batch_ended(desk: Desk, other_desk: Desk) -> None:
    assert await desk.codes(2) == [f"OTA-CP-{today()}-000001", f"OTA-CP-{today()}-000002"]
    assert await desk.codes(1, product_id=107) == [f"OTA-CP-{today()}-000003"]
    assert await other_desk.codes(1) == [f"OTA-HK-{today()}-000001"]


async def test_repeat_gets_the_first_answer(market: Market, desk: Desk, other_desk: Desk) -> None:
    first = await desk.batch(300, request_id="r", distributor_id="D")
    counts = await market.counts()
    assert await desk.batch(300, request_id="r", distributor_id="D") == first
    assert await market.counts() == counts
    for other in (
        {"quantity": 301},
        {"product_id": 107},
        {"distributor_id": ""},
        {"activation": activation()},
    ):
        fields: Any = {"quantity": 300, "request_id": "r", "distributor_id": "D"} | other
        refused = await refusal(desk.batch(**fields))
        assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await market.sold() == 300
    # another partner's r is another
    assert (await other_desk.batch(300, request_id="r", distributor_id="D")) != first
    assert await market.contradictions() == []


async def test_sold_out_says_what_is_left_and_leaves_nothing(
    market: Market, other_desk: Desk
) -> None:
    refused = await refusal(other_desk.batch(1001, request_id="r"))
    assert refused.reason == Reason.SOLD_OUT
    assert refused.metadata == {"product_id": "106", "requested": "1001", "available": "1000"}
    assert await market.counts() == NOTHING
    # a call that failed is not remembered
    assert (await other_desk.batch(1000, request_id="r")).quantity == 1000
    refused = await refusal(other_desk.batch(1))
    assert refused.metadata == {"product_id": "106", "requested": "1", "available": "0"}
    assert await market.contradictions() == []


async def test_not_on_sale(market: Market, desk: Desk, other_desk: Desk) -> None:
    """Archived, not allotted to this partner, unknown."""
    for asked, product_id in ((desk, 99), (other_desk, 107), (desk, 12345), (desk, 2**31 - 1)):
        refused = await refusal(asked.batch(1, product_id=product_id))
        assert refused.reason == Reason.PRODUCT_NOT_ON_SALE
        assert refused.metadata == {"product_id": str(product_id)}
    assert await market.counts() == NOTHING


OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"quantity": 0}, "quantity"),
    ({"quantity": -1}, "quantity"),
    ({"quantity": 50_001}, "quantity"),
    ({"product_id": 0}, "product_id"),
    ({"request_id": ""}, "request_id"),
    ({"request_id": "r" * 65}, "request_id"),
    ({"distributor_id": "\0"}, "distributor_id"),
    ({"activation": ota.Activation(payment=payment())}, "activation.customer"),
    ({"activation": ota.Activation(customer=customer())}, "activation.payment"),
    ({"activation": activation(currency_code="hkd")}, "activation.payment.currency_code"),
    ({"activation": activation(amount_minor=-1)}, "activation.payment.amount_minor"),
    ({"valid_from_time": Timestamp(seconds=-(2**40))}, "valid_from_time"),
    ({"valid_from_time": Timestamp(seconds=2**33)}, "valid_from_time"),
    ({"valid_from_time": Timestamp(seconds=253402300799)}, "valid_from_time"),
    ({"valid_from_time": Timestamp(seconds=-62135596800)}, "valid_from_time"),
]


async def test_fields_out_of_range(market: Market, desk: Desk, subtests: pytest.Subtests) -> None:
    for fields, field in OUT_OF_RANGE:
        with subtests.test(field, **fields):
            refused = await refusal(desk.batch(**fields))
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    assert await market.counts() == NOTHING


async def test_validity_may_begin_later(desk: Desk) -> None:
    start = datetime(2026, 12, 31, 15, 59, tzinfo=UTC)  # 23:59 in Hong Kong
    start = start.replace(year=datetime.now(UTC).year + 1)
    batch = await desk.batch(1, valid_from_time=timestamp(start))
    ((ticket,),) = [page.tickets for page in await desk.pages(batch_id=batch.batch_id)]
    assert ticket.valid_from_time.ToDatetime(UTC) == start
    end = datetime(start.year + 1, 1, 31, tzinfo=ZONE)  # the end of 30 January
    assert ticket.valid_until_time.ToDatetime(UTC) == end


@pytest.mark.parametrize(
    ("arrange", "city"),
    [
        ("UPDATE products SET city_code = 'TYO' WHERE product_id = 106", "Asia/Tokyo"),
        ("UPDATE products SET city_code = 'LON' WHERE product_id = 106", "Europe/London"),
        (
            "UPDATE routes SET product_id = 106",
            "Asia/Tokyo",
        ),
    ],
)
async def test_validity_goes_by_the_city_of_use(
    market: Market, desk: Desk, arrange: str, city: str
) -> None:
    """As travellers' does. Seen red: with the platform's zone."""
    await market.sql(
        "INSERT INTO cities VALUES ('TYO', 'Tokyo', '东京', 'Asia/Tokyo'), ('LON', 'London', '伦敦', 'Europe/London')"
    )
    await market.sql("INSERT INTO stops VALUES ('HND', 'TYO', 'Haneda', '羽田')")
    bus = '[{"stop_code": "HND"}]'
    await market.sql("INSERT INTO routes VALUES (9, 107, 'BUS', %s, '[]', '[]', 'ACTIVE')", bus)
    await market.sql(arrange)
    # 23:30 at the platform: in Tokyo the next day has begun, in London the same one goes on
    start = datetime(datetime.now(ZONE).year + 1, 3, 2, 23, 30, tzinfo=ZONE)
    await desk.batch(1, valid_from_time=timestamp(start))
    until = await market.value("SELECT valid_until_time FROM tickets")
    zone = ZoneInfo(city)
    last_day = start.astimezone(zone).date() + timedelta(days=30)
    assert until == datetime.combine(last_day + timedelta(days=1), datetime.min.time(), zone)


async def test_snapshot_is_what_the_batch_was_made_under(market: Market, desk: Desk) -> None:
    batch = await desk.batch(2, distributor_id="D")
    await market.sql(
        """UPDATE products SET currency_code = 'CNY', validity_days = 1, entitlements = '[]',
        fares = '[{"customer_type": "CHILD", "day_type": "holiday", "amount_minor": 1}]' WHERE product_id = 106"""
    )
    found = await desk.call("GetBatch", ota.GetBatchRequest(batch_id=batch.batch_id))
    assert (found.batch_id, found.product_id, found.quantity, found.distributor_id) == (
        batch.batch_id,
        106,
        2,
        "D",
    )
    assert found.currency_code == "HKD"
    (fare,) = found.fares
    assert (fare.customer_type, fare.day_type, fare.amount_minor) == (
        ticket_pb2.CUSTOMER_TYPE_ADULT,
        "weekday",
        12_000,
    )
    content = await market.value("SELECT content FROM snapshots")
    assert content.keys() == {
        "kind",
        "display_name_en",
        "display_name_zh",
        "currency_code",
        "fares",
        "entitlements",
        "blackout_dates",
        "validity_days",
    }
    assert (content["blackout_dates"], content["validity_days"]) == (["2026-12-25"], 30)
    assert [e["function_code"] for e in content["entitlements"]] == ["ferry", "gift"]


async def test_large_batch_that_is_given_up_leaves_nothing(market: Market, desk: Desk) -> None:
    """The caller's deadline passes in the middle; connections are as good as before."""
    for _ in range(3):
        request = ota.BulkGenerateTicketsRequest(product_id=106, quantity=50_000, request_id="r")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await desk.call("BulkGenerateTickets", request, timeout=0.15)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await market.until(NONE_OPEN)
    assert await market.counts() == NOTHING
    assert await market.sold() == 0
    assert (await desk.batch(1000, request_id="r")).quantity == 1000
    assert await market.contradictions() == []


# What a partner sees


async def test_inventory(desk: Desk, other_desk: Desk) -> None:
    await desk.batch(5)
    await other_desk.batch(7)
    assert await desk.inventory() == {
        99: (10, 0, 0, 10),
        106: (200_000, 0, 5, 199_995),
        107: (200_000, 0, 0, 200_000),
    }
    assert await other_desk.inventory() == {106: (1000, 0, 7, 993)}
    assert await other_desk.inventory(107) == {}


async def test_a_partner_sees_only_its_own(desk: Desk, other_desk: Desk) -> None:
    batch = await desk.batch(2, activation=activation(amount_minor=24_000))
    code = batch.tickets[0].ticket_code
    assert await other_desk.listed() == []
    assert await other_desk.listed(batch_id=batch.batch_id) == []
    for method, request in (
        ("GetBatch", ota.GetBatchRequest(batch_id=batch.batch_id)),
        ("IssueQr", ota.IssueQrRequest(ticket_code=code)),
        ("IssueQr", ota.IssueQrRequest(ticket_code=code, rotate=True)),
        ("IssueOrderQr", ota.IssueOrderQrRequest(order_id=batch.order_id)),
        (
            "ActivateTicket",
            ota.ActivateTicketRequest(
                ticket_code=code, request_id="r", customer=customer(), payment=payment()
            ),
        ),
    ):
        refused = await refusal(other_desk.call(method, request))
        assert refused.reason == Reason.NOT_FOUND, method
    # nor under its own code
    own = code.replace("OTA-CP", "OTA-HK")
    assert (await refusal(other_desk.qr(own))).reason == Reason.NOT_FOUND
    stream = other_desk.streamed(batch.batch_id)
    assert (await refusal(stream)).reason == Reason.NOT_FOUND
    verdicts = (await other_desk.activate_many([(code, customer(), payment())])).verdicts
    assert [(v.activated, v.HasField("status"), v.reason) for v in verdicts] == [
        (False, False, "NOT_FOUND")
    ]


async def test_unknown_batch(desk: Desk) -> None:
    for batch_id in ("none", str(uuid4())):
        found = desk.call("GetBatch", ota.GetBatchRequest(batch_id=batch_id))
        assert (await refusal(found)).reason == Reason.NOT_FOUND
        assert (await refusal(desk.streamed(batch_id))).reason == Reason.NOT_FOUND


async def test_rights(ota_server: GateServer) -> None:
    nobody = Desk.at(ota_server.channel, "dtk_0000_none")
    assert (await refusal(nobody.inventory())).reason == Reason.UNAUTHENTICATED
    assert (await refusal(nobody.streamed(str(uuid4())))).reason == Reason.UNAUTHENTICATED


# Lists


async def test_list_filters(market: Market, desk: Desk) -> None:
    first = await desk.batch(3, distributor_id="D-1")
    second = await desk.batch(3, distributor_id="D-2")
    third = await desk.batch(2, distributor_id="D-2", activation=activation(amount_minor=24_000))
    of_first, of_second, of_third = (
        [ticket.ticket_code for ticket in batch.tickets] for batch in (first, second, third)
    )
    await desk.activate(of_second[1])
    active, pre_generated = ticket_pb2.TICKET_STATE_ACTIVE, ticket_pb2.TICKET_STATE_PRE_GENERATED
    assert await desk.listed() == of_first + of_second + of_third
    assert await desk.listed(distributor_id="D-2") == of_second + of_third
    assert await desk.listed(status=active) == [of_second[1], *of_third]
    assert await desk.listed(status=active, batch_id=second.batch_id) == [of_second[1]]
    assert await desk.listed(status=pre_generated, distributor_id="D-2") == [
        of_second[0],
        of_second[2],
    ]
    assert await desk.listed(batch_id=first.batch_id, distributor_id="D-2") == []
    refused = await refusal(desk.listed(batch_id="none"))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("batch_id",))


async def test_list_by_time(market: Market, desk: Desk) -> None:
    """Times split a day too, and may lie outside of all days that numbers have."""
    early, late = await desk.batch(2), await desk.batch(2)
    of_early, of_late = ([t.ticket_code for t in batch.tickets] for batch in (early, late))
    ((moment,),) = await market.sql(
        "SELECT create_time FROM batches WHERE batch_id = %s", late.batch_id
    )
    boundary = timestamp(moment)
    assert await desk.listed(create_time_from=boundary) == of_late
    assert await desk.listed(create_time_until=boundary) == of_early
    tomorrow = timestamp(moment + timedelta(days=1))
    assert await desk.listed(create_time_from=boundary, create_time_until=tomorrow) == of_late
    assert await desk.listed(create_time_from=tomorrow) == []
    assert await desk.listed(create_time_from=tomorrow, create_time_until=boundary) == []
    always = {
        "create_time_from": Timestamp(seconds=-62135596800),
        "create_time_until": Timestamp(seconds=253402300799),
    }
    assert await desk.listed(**always) == of_early + of_late
    await desk.batch(1, request_id="yesterday")
    # a ticket of another day, as the next morning would see it
    await market.sql(
        "UPDATE tickets SET create_time = create_time - interval '1 day',"
        " ticket_id = ticket_id - (1 << 27) WHERE ticket_code LIKE '%%-000005'"
    )
    assert len(await desk.listed(create_time_until=boundary)) == 3
    assert await desk.listed(create_time_from=boundary) == of_late


async def test_short_pages_lose_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page looks at ten tickets at the most; every ticket comes once."""
    monkeypatch.setattr(tickets, "MAX_SCANNED", 10)
    batch = await desk.batch(43)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    sold = [codes[index] for index in (0, 9, 10, 21, 22, 23, 42)]
    await desk.activate_many([(code, customer(), payment()) for code in sold])
    active, voided = ticket_pb2.TICKET_STATE_ACTIVE, ticket_pb2.TICKET_STATE_VOIDED
    for size in (1, 2, 3, 7, 10, 200):
        assert await desk.listed(page_size=size) == codes
        pages = await desk.pages(status=active, page_size=size)
        assert [ticket.ticket_code for page in pages for ticket in page.tickets] == sold
        assert all(len(page.tickets) <= size for page in pages)
        assert await desk.listed(status=voided, page_size=size) == []
    assert len(await desk.pages(status=active, page_size=200)) == 5


async def test_pages_of_a_distributor_begin_with_its_tickets(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others lie between: no page is empty."""
    monkeypatch.setattr(tickets, "MAX_SCANNED", 10)
    codes: list[str] = []
    for quantity in (1, 15, 3):
        await desk.batch(40, distributor_id="other")
        codes += await desk.codes(quantity, distributor_id="D")
    await desk.batch(40)
    for size in (1, 2, 7, 200):
        pages = await desk.pages(distributor_id="D", page_size=size)
        assert [ticket.ticket_code for page in pages for ticket in page.tickets] == codes
        assert all(page.tickets for page in pages[:-1])
    assert await desk.listed(distributor_id="none") == []


# The stream


async def test_stream(market: Market, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.batch(5)
    batch = await desk.batch(2500)
    await desk.batch(5)
    streamed = await desk.streamed(batch.batch_id)
    codes = [ticket.ticket_code for ticket in streamed]
    assert codes == await desk.listed(batch_id=batch.batch_id, page_size=200)
    assert {(STATE_NAME[t.status], t.encrypted_data) for t in streamed} == {("PRE_GENERATED", "")}
    for place in (0, 999, 1000, 2498, 2499):
        resumed = await desk.streamed(batch.batch_id, after_ticket_code=codes[place])
        assert [ticket.ticket_code for ticket in resumed] == codes[place + 1 :]
    for elsewhere in ("none", "OTA-CP-20200101-000001", codes[0].replace("CP", "HK")):
        refused = await refusal(desk.streamed(batch.batch_id, after_ticket_code=elsewhere))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("after_ticket_code",))


async def test_stream_with_tokens(market: Market, desk: Desk) -> None:
    batch = await desk.batch(1200)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    await market.sql("UPDATE tickets SET state = 'VOIDED' WHERE ticket_code = %s", codes[3])
    await market.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", codes[4])
    streamed = await desk.streamed(batch.batch_id, with_qr=True)
    assert [index for index, t in enumerate(streamed) if not t.encrypted_data] == [3, 4]
    rows = await market.sql("SELECT ticket_code, ticket_id, jti, valid_until_time FROM tickets")
    known = {code: (number, jti, until) for code, number, jti, until in rows}
    for ticket in streamed:
        if ticket.encrypted_data:
            claims = market.claims(ticket.encrypted_data)
            assert (claims.number, claims.jti, claims.expire_time) == known[ticket.ticket_code]


async def test_slow_reader_of_a_stream_holds_no_transaction(
    market: Market, ota_server: GateServer, desk: Desk
) -> None:
    batch = await desk.batch(20_000)
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{ota_server.app.grpc_port}", options=NARROW
    ) as channel:
        request = ota.StreamBatchTicketsRequest(batch_id=batch.batch_id)
        stream = Desk.at(channel).call("StreamBatchTickets", request)
        read = 0
        for _ in range(3):
            await asyncio.sleep(0.3)  # until no more fits into the pipe
            await market.until(NONE_OPEN)  # a loaded machine still reads a page then
            async for _ in stream:
                read += 1
                if read % 5000 == 0:
                    break
        read += len([ticket async for ticket in stream])
        assert read == 20_000
