"""Tickets that were made and not sold: cancelled, and reassigned to another distributor."""

from typing import Any

import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.tickets.v1 import ticket_pb2

from server.partners import reservations, unsold_tickets
from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.partner_client import CP, STATE_NAME, Market, PartnerClient, customer, payment
from tests.support.rpc_server import refusal

UNKNOWN = "OTA-CP-20251103-000001"


async def states(market: Market) -> dict[str, str]:
    return dict(await market.sql("SELECT ticket_code, state FROM tickets"))


async def test_cancelled_by_code(
    market: Market, client: PartnerClient, module_database_url: str
) -> None:
    """Each has a verdict, in the order of the request; what is voided is back in stock."""
    codes = await client.codes(5)
    others = await client.codes(1, product_id=107)
    await client.activate(codes[1])
    await market.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", codes[2])
    assert await client.inventory() == {
        99: (10, 0, 0, 10),
        106: (200_000, 0, 5, 199_995),
        107: (200_000, 0, 1, 199_999),
    }
    asked = [others[0], codes[2], UNKNOWN, codes[1], codes[0], codes[0].replace("CP", "HK")]
    answer = await client.cancel(asked, request_id="c")
    seen = [
        (v.ticket_code, v.cancelled, STATE_NAME[v.status], v.HasField("status"), v.reason)
        for v in answer.verdicts
    ]
    assert seen == [
        (others[0], True, "VOIDED", True, ""),
        (codes[2], True, "VOIDED", True, ""),
        (UNKNOWN, False, "", False, "NOT_FOUND"),
        (codes[1], False, "ACTIVE", True, "TICKET_STATE_REFUSES"),
        (codes[0], True, "VOIDED", True, ""),
        (asked[5], False, "", False, "NOT_FOUND"),
    ]
    assert (answer.cancelled_count, answer.refused_count) == (3, 3)
    assert (await client.inventory())[106] == (200_000, 0, 3, 199_997)
    assert (await client.inventory())[107] == (200_000, 0, 0, 200_000)
    found = await states(market)
    assert [found[code] for code in codes] == [
        *("VOIDED", "ACTIVE", "VOIDED", "PRE_GENERATED", "PRE_GENERATED")
    ]
    events = await market.sql(
        "SELECT ticket_code, action, e.state, actor FROM ticket_events e JOIN tickets USING"
        " (ticket_id) WHERE action <> 'activated' ORDER BY 1"
    )
    cancelled = sorted([codes[0], codes[2], others[0]])
    assert events == [(code, "cancelled", "VOIDED", "partner:CP") for code in cancelled]
    subjects = "SELECT subject FROM partner_events WHERE type = 'ticket.voided' ORDER BY subject"
    assert await market.sql(subjects) == [(code,) for code in cancelled]
    # a repeat gets the same, and gives nothing back again
    assert await client.cancel(asked, request_id="c") == answer
    again = await client.cancel(asked)
    # one event a call that has moved some; seen red on the code of before
    audited = await market.sql(
        "SELECT actor, action, after ->> 'done_count', after ->> 'refused_count'"
        " FROM audit_events WHERE resource = 'tickets'"
    )
    assert audited == [("partner:CP", "cancel", "3", "3")]
    assert (again.cancelled_count, again.refused_count) == (0, 6)
    assert (await client.inventory())[106] == (200_000, 0, 3, 199_997)
    refused = await refusal(client.activate(codes[0]))
    assert refused.reason is Reason.TICKET_STATE_REFUSES
    assert (await refusal(client.qr(codes[0]))).reason is Reason.TICKET_STATE_REFUSES
    assert await market.contradictions() == []
    assert_invariants(module_database_url)


async def test_the_stock_that_comes_back_can_be_sold(market: Market, client: PartnerClient) -> None:
    await market.sql("UPDATE stocks SET total = 3 WHERE (product_id, partner_id) = (106, 1)")
    codes = await client.codes(3)
    assert (await refusal(client.batch(1))).reason is Reason.SOLD_OUT
    await client.cancel(codes[:2])
    await client.batch(2)
    assert (await refusal(client.batch(1))).reason is Reason.SOLD_OUT


async def test_a_batch_is_cancelled(
    market: Market,
    client: PartnerClient,
    monkeypatch: pytest.MonkeyPatch,
    module_database_url: str,
) -> None:
    """All that were not sold, however many chunks; of the others so many verdicts."""
    monkeypatch.setattr(unsold_tickets, "CHUNK_TICKETS", 7)
    monkeypatch.setattr(unsold_tickets, "MAX_REFUSED", 2)
    await client.batch(2)
    batch = await client.batch(30)
    await client.batch(2)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    sold = [codes[index] for index in (0, 6, 7, 29)]
    await client.activate_many([(code, customer(), payment()) for code in sold])
    answer = await client.cancel(batch_id=batch.batch_id, request_id="b")
    assert (answer.cancelled_count, answer.refused_count) == (26, 4)
    assert [(v.ticket_code, v.reason) for v in answer.verdicts] == [
        (code, "TICKET_STATE_REFUSES") for code in sold[:2]
    ]
    assert await client.cancel(batch_id=batch.batch_id, request_id="b") == answer
    assert await client.listed(batch_id=batch.batch_id, status=ticket_pb2.TICKET_STATE_ACTIVE) == (
        sold
    )
    assert (await client.inventory())[106] == (200_000, 0, 8, 199_992)
    assert await market.contradictions() == []
    assert_invariants(module_database_url)


async def test_tickets_of_a_reservation(
    market: Market, client: PartnerClient, module_database_url: str
) -> None:
    """Their stock is held, not sold: the reservation holds so much less then, is COMPLETED when
    all that is left of it is activated, and RELEASED when nothing is left.
    """
    made = await client.reserve(10)
    codes = await client.codes(6, reservation_id=made.reservation_id)
    assert (await client.inventory())[106] == (200_000, 10, 0, 199_990)
    assert (await client.cancel(codes[:2])).cancelled_count == 2
    assert (await client.inventory())[106] == (200_000, 8, 0, 199_992)
    rows = "SELECT quantity, generated, activated, state FROM reservations"
    assert await market.sql(rows) == [(8, 4, 0, "OPEN")]
    # so four more can be made of it
    codes += await client.codes(4, reservation_id=made.reservation_id)
    await client.activate(codes[2])
    await client.activate(codes[9])
    sold = (await client.cancel(codes)).cancelled_count
    assert sold == 6
    assert await market.sql(rows) == [(2, 2, 2, "COMPLETED")]
    assert (await client.inventory())[106] == (200_000, 0, 2, 199_998)
    assert await market.contradictions() == []
    assert_invariants(module_database_url)

    other = await client.reserve(3)
    batch = await client.batch(3, reservation_id=other.reservation_id)
    assert (await client.cancel(batch_id=batch.batch_id)).cancelled_count == 3
    assert (await client.inventory())[106] == (200_000, 0, 2, 199_998)
    state = "SELECT state, voids_pending FROM reservations WHERE reservation_id = %s"
    assert await market.sql(state, other.reservation_id) == [("RELEASED", False)]
    assert await market.contradictions() == []
    assert_invariants(module_database_url)


async def test_a_reservation_that_has_ended_gives_nothing_back_again(
    market: Market, client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its tickets are still being voided."""
    monkeypatch.setattr(reservations, "MAX_VOIDED", 1)
    made = await client.reserve(5)
    codes = await client.codes(5, reservation_id=made.reservation_id)
    await client.release(made.reservation_id)
    assert (await client.inventory())[106] == (200_000, 0, 0, 200_000)
    await client.cancel(codes)
    assert (await client.inventory())[106] == (200_000, 0, 0, 200_000)
    assert set((await states(market)).values()) == {"VOIDED"}


async def test_of_whom(client: PartnerClient, other_client: PartnerClient) -> None:
    batch = await client.batch(2)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    verdicts = (await other_client.cancel(codes)).verdicts
    assert [(v.cancelled, v.reason) for v in verdicts] == [(False, "NOT_FOUND")] * 2
    for batch_id in (batch.batch_id, "none"):
        refused = await refusal(other_client.cancel(batch_id=batch_id))
        assert (refused.reason, refused.metadata["name"]) == (Reason.NOT_FOUND, batch_id)
        refused = await refusal(other_client.reassign([], "", batch_id=batch_id))
        assert refused.reason is Reason.NOT_FOUND
    await client.distributor("D")
    refused = await refusal(other_client.reassign(codes, "D"))
    assert (refused.reason, refused.metadata["resource"]) == (Reason.NOT_FOUND, "distributor")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "ticket_codes"),
        ({"ticket_codes": [UNKNOWN], "batch_id": "b"}, "ticket_codes"),
        ({"ticket_codes": [UNKNOWN, UNKNOWN]}, "ticket_codes[1]"),
        ({"ticket_codes": ["OTA CP 20251103 000001", UNKNOWN]}, "ticket_codes[1]"),
        ({"ticket_codes": [""]}, "ticket_codes"),
        ({"ticket_codes": [f"OTA-CP-20251103-{n:06d}" for n in range(1001)]}, "ticket_codes"),
        ({"ticket_codes": [UNKNOWN], "request_id": ""}, "request_id"),
    ],
)
async def test_wrong_fields(client: PartnerClient, fields: dict[str, Any], field: str) -> None:
    values = {"ticket_codes": []} | fields
    refused = await refusal(client.cancel(**values))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    refused = await refusal(client.reassign(distributor_id="", **values))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_reassigned(market: Market, client: PartnerClient, module_database_url: str) -> None:
    """The line of sale is the new one, at the price of the batch, whatever the product costs
    now.
    """
    await client.distributor("North", commission_basis_points=500)
    await client.distributor("Shop", "North", commission_basis_points=1_000)
    await client.distributor("South", commission_basis_points=2_000)
    batch = await client.batch(4, distributor_id="Shop")
    codes = [ticket.ticket_code for ticket in batch.tickets]
    await client.activate(codes[3])
    await market.sql("UPDATE products SET fares = '[]' WHERE product_id = 106")
    answer = await client.reassign([codes[0], codes[3], UNKNOWN], "South", request_id="r")
    assert [(v.reassigned, STATE_NAME[v.status], v.reason) for v in answer.verdicts] == [
        (True, "PRE_GENERATED", ""),
        (False, "ACTIVE", "TICKET_STATE_REFUSES"),
        (False, "", "NOT_FOUND"),
    ]
    assert (answer.reassigned_count, answer.refused_count) == (1, 2)
    assert await client.reassign([codes[0], codes[3], UNKNOWN], "South", request_id="r") == answer
    lines = await market.sql(
        "SELECT ticket_code, distributor_id, jsonb_path_query_array(content,"
        " '$.line_of_sale[*].amounts[*].net_price_minor') FROM tickets JOIN snapshots USING"
        " (snapshot_id) ORDER BY ticket_id"
    )
    assert lines == [
        (codes[0], "South", [9_600]),
        (codes[1], "Shop", [10_200, 10_800]),
        (codes[2], "Shop", [10_200, 10_800]),
        (codes[3], "Shop", [10_200, 10_800]),
    ]
    assert await client.listed(distributor_id="South") == codes[:1]
    assert await client.listed(distributor_id="North") == codes[1:]
    # what was asked of the batch stays; so does the price, and the QR
    answer_of_batch = await client.call("GetBatch", ota.GetBatchRequest(batch_id=batch.batch_id))
    assert answer_of_batch.distributor_id == "Shop"
    await client.activate(codes[0])
    events = await market.sql(
        "SELECT action, e.state FROM ticket_events e JOIN tickets USING (ticket_id)"
        " WHERE ticket_code = %s ORDER BY event_id",
        codes[0],
    )
    assert events == [("reassigned", "PRE_GENERATED"), ("activated", "ACTIVE")]
    data = await market.sql("SELECT data FROM partner_events WHERE type = 'ticket.reassigned'")
    ((reassigned,),) = data
    assert (reassigned["distributor_id"], reassigned["previous_distributor_id"]) == (
        "South",
        "Shop",
    )
    assert_invariants(module_database_url)


async def test_a_batch_is_reassigned(
    market: Market,
    client: PartnerClient,
    monkeypatch: pytest.MonkeyPatch,
    module_database_url: str,
) -> None:
    """And back to the partner itself; one snapshot for all that had one."""
    monkeypatch.setattr(unsold_tickets, "CHUNK_TICKETS", 7)
    await client.distributor("South", commission_basis_points=2_000)
    batch = await client.batch(30)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    await client.activate(codes[9])
    await client.cancel(codes[29:])
    answer = await client.reassign([], "South", batch_id=batch.batch_id)
    assert (answer.reassigned_count, answer.refused_count) == (28, 2)
    assert [v.ticket_code for v in answer.verdicts] == [codes[9], codes[29]]
    reassigned = [code for code in codes if code not in (codes[9], codes[29])]
    assert await client.listed(distributor_id="South") == reassigned
    assert await market.value("SELECT count(*) FROM snapshots") == 2
    answer = await client.reassign([], "", batch_id=batch.batch_id)
    assert answer.reassigned_count == 28
    assert await client.listed(distributor_id="South") == []
    assert_invariants(module_database_url)


async def test_over_json(client: PartnerClient, ota_server: GateServer) -> None:
    await client.distributor("D")
    codes = await client.codes(2)
    base = f"http://127.0.0.1:{ota_server.app.http_port}"
    headers = {"x-api-key": CP.api_key}
    async with httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False) as http:
        body = {"ticket_codes": codes, "distributor_id": "D", "request_id": "j-1"}
        moved = await http.post("/ota/tickets:reassign", json=body)
        assert moved.status_code == 200, moved.text
        assert moved.json()["reassigned_count"] == 2
        body = {"ticket_codes": [codes[0], UNKNOWN], "request_id": "j-2"}
        voided = await http.post("/ota/tickets:cancel", json=body)
        assert voided.json() == {
            "verdicts": [
                {
                    "ticket_code": codes[0],
                    "cancelled": True,
                    "status": "VOIDED",
                    "reason": "",
                },
                {"ticket_code": UNKNOWN, "cancelled": False, "reason": "NOT_FOUND"},
            ],
            "cancelled_count": 1,
            "refused_count": 1,
        }
