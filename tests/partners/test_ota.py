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
from server.tickets import listing
from tests.support.databases import NONE_OPEN
from tests.support.gate_server import GateServer
from tests.support.partner_client import (
    STATE_NAME,
    TABLES,
    Market,
    PartnerClient,
    customer,
    payment,
    today,
)
from tests.support.rpc_server import refusal

ZONE = ZoneInfo("Asia/Hong_Kong")
NOTHING = dict.fromkeys(TABLES, 0)
NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
"""A channel with these options reads no further ahead than it must."""


def timestamp(moment: datetime) -> Timestamp:
    made = convert.timestamp(moment)
    assert made is not None
    return made


def activation(**fields: Any) -> ota.Activation:
    return ota.Activation(customer=customer(), payment=payment(**fields))


# Batches


async def test_batch(market: Market, client: PartnerClient) -> None:
    began = datetime.now(UTC)
    batch = await client.batch(3, distributor_id="D-7")
    codes = [f"OTA-CP-{today()}-{sequence:06d}" for sequence in (1, 2, 3)]
    assert [ticket.ticket_code for ticket in batch.tickets] == codes
    assert {STATE_NAME[ticket.status] for ticket in batch.tickets} == {"PRE_GENERATED"}
    assert (batch.quantity, batch.next_page_token, batch.order_id) == (3, "", "")
    assert await client.inventory(106) == {106: (200_000, 0, 3, 199_997)}

    (page,) = await client.pages(batch_id=batch.batch_id)
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


async def test_seed_004_as_written(client: PartnerClient) -> None:
    """Step 1 gives a ticket that can be scanned at once."""
    batch = await client.batch(1, activation=activation(reference="PAY-9"))
    (ticket,) = batch.tickets
    assert STATE_NAME[ticket.status] == "ACTIVE"
    assert batch.order_id == f"ORD-CP-{today()}-000001"
    issued = await client.qr(ticket.ticket_code)
    assert (issued.ticket_code, len(issued.encrypted_data)) == (ticket.ticket_code, 203)


async def test_batch_that_is_sold_already(market: Market, client: PartnerClient) -> None:
    batch = await client.batch(
        250, activation=activation(reference="PAY-9", amount_minor=3_000_000)
    )
    listed = await client.pages(batch_id=batch.batch_id, page_size=200)
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


async def test_text_of_any_kind_survives_the_copy(market: Market, client: PartnerClient) -> None:
    """Of what a name may hold: control characters are refused before."""
    awkward = "\\N\\t\\.\\r\\n'\"{};\\\\x\\b 張三 \U0001f6a2"
    sold = ota.Activation(customer=customer(awkward), payment=payment(amount_minor=24_000))
    await client.batch(2, distributor_id=awkward, activation=sold)
    rows = await market.sql("SELECT DISTINCT distributor_id, customer_name FROM tickets")
    assert rows == [(awkward, awkward)]
    rows = await market.sql("SELECT distributor_id FROM batches")
    assert rows == [(awkward,)]
    (page,) = await client.pages(distributor_id=awkward)
    assert [ticket.distributor_id for ticket in page.tickets] == [awkward, awkward]


async def test_first_page_and_the_rest(client: PartnerClient) -> None:
    await client.batch(2)
    batch = await client.batch(450)
    await client.batch(2)
    assert len(batch.tickets) == 200
    rest = await client.listed(
        batch_id=batch.batch_id, page_token=batch.next_page_token, page_size=120
    )
    codes = [ticket.ticket_code for ticket in batch.tickets] + rest
    assert codes == [f"OTA-CP-{today()}-{sequence:06d}" for sequence in range(3, 453)]
    assert codes == await client.listed(batch_id=batch.batch_id, page_size=200)
    mixed = ota.ListTicketsRequest(
        batch_id=batch.batch_id,
        page_token=batch.next_page_token,
        status=ticket_pb2.TICKET_STATE_ACTIVE,
    )
    refused = await refusal(client.call("ListTickets", mixed))
    assert refused.reason == Reason.PAGE_TOKEN_INVALID


async def test_numbers_go_on_where_the_last_batch_ended(
    client: PartnerClient, other_client: PartnerClient
) -> None:
    assert await client.codes(2) == [f"OTA-CP-{today()}-000001", f"OTA-CP-{today()}-000002"]
    assert await client.codes(1, product_id=107) == [f"OTA-CP-{today()}-000003"]
    assert await other_client.codes(1) == [f"OTA-HK-{today()}-000001"]


async def test_repeat_gets_the_first_answer(
    market: Market, client: PartnerClient, other_client: PartnerClient
) -> None:
    first = await client.batch(300, request_id="r", distributor_id="D")
    counts = await market.counts()
    assert await client.batch(300, request_id="r", distributor_id="D") == first
    assert await market.counts() == counts
    for other in (
        {"quantity": 301},
        {"product_id": 107},
        {"distributor_id": ""},
        {"activation": activation()},
    ):
        fields: Any = {"quantity": 300, "request_id": "r", "distributor_id": "D"} | other
        refused = await refusal(client.batch(**fields))
        assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await market.sold() == 300
    # another partner's r is another
    assert (await other_client.batch(300, request_id="r", distributor_id="D")) != first
    assert await market.contradictions() == []


async def test_sold_out_says_what_is_left_and_leaves_nothing(
    market: Market, other_client: PartnerClient
) -> None:
    refused = await refusal(other_client.batch(1001, request_id="r"))
    assert refused.reason == Reason.SOLD_OUT
    assert refused.metadata == {"product_id": "106", "requested": "1001", "available": "1000"}
    assert await market.counts() == NOTHING
    # a call that failed is not remembered
    assert (await other_client.batch(1000, request_id="r")).quantity == 1000
    refused = await refusal(other_client.batch(1))
    assert refused.metadata == {"product_id": "106", "requested": "1", "available": "0"}
    assert await market.contradictions() == []


async def test_not_on_sale(
    market: Market, client: PartnerClient, other_client: PartnerClient
) -> None:
    """Archived, not allotted to this partner, unknown."""
    for asked, product_id in (
        (client, 99),
        (other_client, 107),
        (client, 12345),
        (client, 2**31 - 1),
    ):
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


async def test_fields_out_of_range(
    market: Market, client: PartnerClient, subtests: pytest.Subtests
) -> None:
    for fields, field in OUT_OF_RANGE:
        with subtests.test(field, **fields):
            refused = await refusal(client.batch(**fields))
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    assert await market.counts() == NOTHING


async def test_validity_may_begin_later(client: PartnerClient) -> None:
    start = datetime(2026, 12, 31, 15, 59, tzinfo=UTC)  # 23:59 in Hong Kong
    start = start.replace(year=datetime.now(UTC).year + 1)
    batch = await client.batch(1, valid_from_time=timestamp(start))
    ((ticket,),) = [page.tickets for page in await client.pages(batch_id=batch.batch_id)]
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
    market: Market, client: PartnerClient, arrange: str, city: str
) -> None:
    """As travellers' does. Seen red: with the platform's zone."""
    await market.sql(
        "INSERT INTO cities VALUES ('TYO', 'Tokyo', '东京', 'Asia/Tokyo'), ('LON', 'London', '伦敦',"
        " 'Europe/London')"
    )
    await market.sql("INSERT INTO stops VALUES ('HND', 'TYO', 'Haneda', '羽田')")
    bus = '[{"stop_code": "HND"}]'
    await market.sql("INSERT INTO routes VALUES (9, 107, 'BUS', %s, '[]', '[]', 'ACTIVE')", bus)
    await market.sql(arrange)
    # 23:30 at the platform: in Tokyo the next day has begun, in London the same one goes on
    start = datetime(datetime.now(ZONE).year + 1, 3, 2, 23, 30, tzinfo=ZONE)
    await client.batch(1, valid_from_time=timestamp(start))
    until = await market.value("SELECT valid_until_time FROM tickets")
    zone = ZoneInfo(city)
    last_day = start.astimezone(zone).date() + timedelta(days=30)
    assert until == datetime.combine(last_day + timedelta(days=1), datetime.min.time(), zone)


async def test_snapshot_is_what_the_batch_was_made_under(
    market: Market, client: PartnerClient
) -> None:
    batch = await client.batch(2, distributor_id="D")
    await market.sql(
        """UPDATE products SET currency_code = 'CNY', validity_days = 1, entitlements = '[]',
        fares = '[{"customer_type": "CHILD", "day_type": "holiday", "amount_minor": 1}]'
          WHERE product_id = 106"""
    )
    found = await client.call("GetBatch", ota.GetBatchRequest(batch_id=batch.batch_id))
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
        "provisional",
        "line_of_sale",
    }
    assert (content["blackout_dates"], content["validity_days"]) == (["2026-12-25"], 30)
    assert [e["function_code"] for e in content["entitlements"]] == ["ferry", "gift"]


async def test_large_batch_that_is_given_up_leaves_nothing(
    market: Market, client: PartnerClient
) -> None:
    """The caller's deadline passes in the middle; connections are as good as before."""
    for _ in range(3):
        request = ota.BulkGenerateTicketsRequest(product_id=106, quantity=50_000, request_id="r")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await client.call("BulkGenerateTickets", request, timeout=0.15)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await market.until(NONE_OPEN)
    assert await market.counts() == NOTHING
    assert await market.sold() == 0
    assert (await client.batch(1000, request_id="r")).quantity == 1000
    assert await market.contradictions() == []


# What a partner sees


async def test_inventory(client: PartnerClient, other_client: PartnerClient) -> None:
    await client.batch(5)
    await other_client.batch(7)
    assert await client.inventory() == {
        99: (10, 0, 0, 10),
        106: (200_000, 0, 5, 199_995),
        107: (200_000, 0, 0, 200_000),
    }
    assert await other_client.inventory() == {106: (1000, 0, 7, 993)}
    assert await other_client.inventory(107) == {}


async def test_a_batch_says_that_its_fares_are_provisional(
    market: Market, client: PartnerClient
) -> None:
    """And stays so when the calendar is known: its price snapshot is what it was made under."""
    batches = []
    for day in ("2020-01-01", "2099-12-31"):
        await market.sql(f"UPDATE holiday_calendars SET known_until = '{day}'")
        batches.append((await client.batch(1)).batch_id)
    found = [await client.call("GetBatch", ota.GetBatchRequest(batch_id=each)) for each in batches]
    assert [each.provisional for each in found] == [True, False]


async def test_a_partner_sees_only_its_own(
    client: PartnerClient, other_client: PartnerClient
) -> None:
    batch = await client.batch(2, activation=activation(amount_minor=24_000))
    code = batch.tickets[0].ticket_code
    assert await other_client.listed() == []
    assert await other_client.listed(batch_id=batch.batch_id) == []
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
        refused = await refusal(other_client.call(method, request))
        assert refused.reason == Reason.NOT_FOUND, method
    # nor under its own code
    own = code.replace("OTA-CP", "OTA-HK")
    assert (await refusal(other_client.qr(own))).reason == Reason.NOT_FOUND
    stream = other_client.streamed(batch.batch_id)
    assert (await refusal(stream)).reason == Reason.NOT_FOUND
    verdicts = (await other_client.activate_many([(code, customer(), payment())])).verdicts
    assert [(v.activated, v.HasField("status"), v.reason) for v in verdicts] == [
        (False, False, "NOT_FOUND")
    ]


async def test_unknown_batch(client: PartnerClient) -> None:
    for batch_id in ("none", str(uuid4())):
        found = client.call("GetBatch", ota.GetBatchRequest(batch_id=batch_id))
        assert (await refusal(found)).reason == Reason.NOT_FOUND
        assert (await refusal(client.streamed(batch_id))).reason == Reason.NOT_FOUND


async def test_rights(ota_server: GateServer) -> None:
    nobody = PartnerClient.at(ota_server.channel, "dtk_0000_none")
    assert (await refusal(nobody.inventory())).reason == Reason.UNAUTHENTICATED
    assert (await refusal(nobody.streamed(str(uuid4())))).reason == Reason.UNAUTHENTICATED


# Lists


async def test_list_filters(market: Market, client: PartnerClient) -> None:
    first = await client.batch(3, distributor_id="D-1")
    second = await client.batch(3, distributor_id="D-2")
    third = await client.batch(2, distributor_id="D-2", activation=activation(amount_minor=24_000))
    of_first, of_second, of_third = (
        [ticket.ticket_code for ticket in batch.tickets] for batch in (first, second, third)
    )
    await client.activate(of_second[1])
    active, pre_generated = ticket_pb2.TICKET_STATE_ACTIVE, ticket_pb2.TICKET_STATE_PRE_GENERATED
    assert await client.listed() == of_first + of_second + of_third
    assert await client.listed(distributor_id="D-2") == of_second + of_third
    assert await client.listed(status=active) == [of_second[1], *of_third]
    assert await client.listed(status=active, batch_id=second.batch_id) == [of_second[1]]
    assert await client.listed(status=pre_generated, distributor_id="D-2") == [
        of_second[0],
        of_second[2],
    ]
    assert await client.listed(batch_id=first.batch_id, distributor_id="D-2") == []
    refused = await refusal(client.listed(batch_id="none"))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("batch_id",))


async def test_list_by_time(market: Market, client: PartnerClient) -> None:
    """Times split a day too, and may lie outside of all days that numbers have."""
    early, late = await client.batch(2), await client.batch(2)
    of_early, of_late = ([t.ticket_code for t in batch.tickets] for batch in (early, late))
    ((moment,),) = await market.sql(
        "SELECT create_time FROM batches WHERE batch_id = %s", late.batch_id
    )
    boundary = timestamp(moment)
    assert await client.listed(create_time_from=boundary) == of_late
    assert await client.listed(create_time_until=boundary) == of_early
    tomorrow = timestamp(moment + timedelta(days=1))
    assert await client.listed(create_time_from=boundary, create_time_until=tomorrow) == of_late
    assert await client.listed(create_time_from=tomorrow) == []
    assert await client.listed(create_time_from=tomorrow, create_time_until=boundary) == []
    always = {
        "create_time_from": Timestamp(seconds=-62135596800),
        "create_time_until": Timestamp(seconds=253402300799),
    }
    assert await client.listed(**always) == of_early + of_late
    await client.batch(1, request_id="yesterday")
    # a ticket of another day, as the next morning would see it
    await market.sql(
        "UPDATE tickets SET create_time = create_time - interval '1 day',"
        " ticket_id = ticket_id - (1 << 27) WHERE ticket_code LIKE '%%-000005'"
    )
    await market.sql(
        "UPDATE batches SET create_time = create_time - interval '1 day',"
        " first_ticket_id = first_ticket_id - (1 << 27) WHERE first_ticket_id & 127 = 5"
    )
    assert len(await client.listed(create_time_until=boundary)) == 3
    assert await client.listed(create_time_from=boundary) == of_late


async def test_short_pages_lose_nothing(
    client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page looks at ten tickets at the most; every ticket comes once."""
    monkeypatch.setattr(listing, "MAX_SCANNED", 10)
    batch = await client.batch(43)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    sold = [codes[index] for index in (0, 9, 10, 21, 22, 23, 42)]
    await client.activate_many([(code, customer(), payment()) for code in sold])
    active, voided = ticket_pb2.TICKET_STATE_ACTIVE, ticket_pb2.TICKET_STATE_VOIDED
    for size in (1, 2, 3, 7, 10, 200):
        assert await client.listed(page_size=size) == codes
        pages = await client.pages(status=active, page_size=size)
        assert [ticket.ticket_code for page in pages for ticket in page.tickets] == sold
        assert all(len(page.tickets) <= size for page in pages)
        assert await client.listed(status=voided, page_size=size) == []
    assert len(await client.pages(status=active, page_size=200)) == 5


async def test_pages_of_a_distributor_begin_with_its_tickets(
    client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many others lie between: no page is empty."""
    monkeypatch.setattr(listing, "MAX_SCANNED", 10)
    codes: list[str] = []
    for quantity in (1, 15, 3):
        await client.batch(40, distributor_id="other")
        codes += await client.codes(quantity, distributor_id="D")
    await client.batch(40)
    for size in (1, 2, 7, 200):
        pages = await client.pages(distributor_id="D", page_size=size)
        assert [ticket.ticket_code for page in pages for ticket in page.tickets] == codes
        assert all(page.tickets for page in pages[:-1])
    assert await client.listed(distributor_id="none") == []


# The stream


async def test_stream(
    market: Market, client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.batch(5)
    batch = await client.batch(2500)
    await client.batch(5)
    streamed = await client.streamed(batch.batch_id)
    codes = [ticket.ticket_code for ticket in streamed]
    assert codes == await client.listed(batch_id=batch.batch_id, page_size=200)
    assert {(STATE_NAME[t.status], t.encrypted_data) for t in streamed} == {("PRE_GENERATED", "")}
    for place in (0, 999, 1000, 2498, 2499):
        resumed = await client.streamed(batch.batch_id, after_ticket_code=codes[place])
        assert [ticket.ticket_code for ticket in resumed] == codes[place + 1 :]
    for elsewhere in ("none", "OTA-CP-20200101-000001", codes[0].replace("CP", "HK")):
        refused = await refusal(client.streamed(batch.batch_id, after_ticket_code=elsewhere))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("after_ticket_code",))


async def test_stream_with_tokens(market: Market, client: PartnerClient) -> None:
    batch = await client.batch(1200)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    await market.sql("UPDATE tickets SET state = 'VOIDED' WHERE ticket_code = %s", codes[3])
    await market.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", codes[4])
    streamed = await client.streamed(batch.batch_id, with_qr=True)
    assert [index for index, t in enumerate(streamed) if not t.encrypted_data] == [3, 4]
    rows = await market.sql("SELECT ticket_code, ticket_id, jti, valid_until_time FROM tickets")
    known = {code: (number, jti, until) for code, number, jti, until in rows}
    for ticket in streamed:
        if ticket.encrypted_data:
            claims = market.claims(ticket.encrypted_data)
            assert (claims.number, claims.jti, claims.expire_time) == known[ticket.ticket_code]


async def test_slow_reader_of_a_stream_holds_no_transaction(
    market: Market, ota_server: GateServer, client: PartnerClient
) -> None:
    batch = await client.batch(6_000)
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{ota_server.app.grpc_port}", options=NARROW
    ) as channel:
        request = ota.StreamBatchTicketsRequest(batch_id=batch.batch_id)
        stream = PartnerClient.at(channel).call("StreamBatchTickets", request)
        read = 0
        for _ in range(3):
            await asyncio.sleep(0.3)  # until no more fits into the pipe
            await market.until(NONE_OPEN)  # a loaded machine still reads a page then
            async for _ in stream:
                read += 1
                if read % 1500 == 0:
                    break
        read += len([ticket async for ticket in stream])
        assert read == 6_000
