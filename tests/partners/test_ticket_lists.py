"""Lists of tickets and batches: filters, pages while others are made, lines of sale."""

from itertools import chain
from typing import Any

import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.tickets.v1 import ticket_pb2

from server.partners import ticket_lists
from server.platform.errors import Reason
from server.tickets import listing
from tests.support.gate_server import GateServer
from tests.support.partner_client import CP, Market, PartnerClient, customer, payment
from tests.support.rpc_server import refusal

ACTIVE = ticket_pb2.TICKET_STATE_ACTIVE


async def batches(client: PartnerClient, **fields: Any) -> list[list[ota.BatchSummary]]:
    pages: list[list[ota.BatchSummary]] = []
    token = ""
    while token or not pages:
        request = ota.ListBatchesRequest(page_token=token, **fields)
        page = await client.stub.ListBatches(request, metadata=client.metadata)
        pages.append(list(page.batches))
        token = page.next_page_token
    return pages


async def test_every_filter_with_every_other(
    client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against what all tickets say themselves, with pages of any size and windows of few."""
    await client.distributor("North", commission_basis_points=500)
    await client.distributor("Shop", "North", commission_basis_points=100)
    made = []
    for product_id, distributor_id in (
        *((106, "North"), (107, "Shop"), (106, ""), (106, "Shop")),
        *((107, "other"), (106, "North"), (107, "Shop")),
    ):
        made.append(await client.batch(7, product_id=product_id, distributor_id=distributor_id))
    codes = [[ticket.ticket_code for ticket in batch.tickets] for batch in made]
    await client.activate_many(
        [(code, customer(), payment(f"P-{n}")) for n in range(7) for code in codes[n][n % 3 :: 3]]
    )
    await client.reassign(codes[2][:2], "Shop")
    everything = [ticket for page in await client.pages() for ticket in page.tickets]
    assert [ticket.ticket_code for ticket in everything] == [*chain(*codes)]
    through = {"North": {"North", "Shop"}, "Shop": {"Shop"}, "other": {"other"}}
    middle = everything[20].create_time
    monkeypatch.setattr(listing, "MAX_SCANNED", 10)
    for status in (0, ACTIVE):
        for product_id in (0, 107):
            for distributor_id in ("", "North", "Shop", "other"):
                for times in ({}, {"create_time_from": middle}, {"create_time_until": middle}):
                    filters: dict[str, Any] = {
                        "status": status,
                        "product_id": product_id,
                        "distributor_id": distributor_id,
                    } | times
                    expected = [
                        ticket.ticket_code
                        for ticket in everything
                        if (not status or ticket.status == status)
                        and (not product_id or ticket.product_id == product_id)
                        and (not distributor_id or ticket.distributor_id in through[distributor_id])
                        and ("create_time_from" not in times or not before(ticket, middle))
                        and ("create_time_until" not in times or before(ticket, middle))
                    ]
                    assert await client.listed(**filters, page_size=3) == expected, filters
    assert await client.listed(batch_id=made[3].batch_id, product_id=107) == []
    assert await client.listed(batch_id=made[3].batch_id, distributor_id="North") == codes[3]


def before(ticket: ticket_pb2.Ticket, moment: Any) -> bool:
    return bool(ticket.create_time.ToDatetime() < moment.ToDatetime())


@pytest.mark.parametrize(("name", "value"), [("MAX_SPANS", 3), ("MAX_BATCHES", 4)])
async def test_many_small_batches(
    client: PartnerClient, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    """A page looks at so many batches at the most, and loses none.

    Seen red with a page that takes the end of what it looked at for the end of all.
    """
    monkeypatch.setattr(listing, name, value)
    for n in range(10):
        await client.batch(1, product_id=106 + n % 2, distributor_id=("A", "B", "")[n % 3])
    everything = [ticket for page in await client.pages() for ticket in page.tickets]
    for fields in (
        *({"product_id": 106}, {"product_id": 107}, {"distributor_id": "A"}),
        *({"distributor_id": "B", "product_id": 107}, {"product_id": 99}),
    ):
        expected = [
            ticket.ticket_code
            for ticket in everything
            if all(getattr(ticket, name) == value for name, value in fields.items())
        ]
        assert await client.listed(**fields) == expected, fields


async def test_of_an_order_and_of_a_payment(
    client: PartnerClient, other_client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = await client.codes(6)
    first = await client.activate_many([(code, customer(), payment("P-1")) for code in codes[:3]])
    await client.activate(codes[4], payment=payment("P-1"))
    await client.activate(codes[5], payment=payment("P-2"))
    order = first.verdicts[0].order_id
    assert await client.listed(order_id=order, page_size=2) == codes[:3]
    assert await client.listed(payment_reference="P-1", page_size=3) == [*codes[:3], codes[4]]
    assert await client.listed(payment_reference="P-2") == codes[5:]
    assert await client.listed(payment_reference="P-1", order_id=order) == codes[:3]
    assert await client.listed(payment_reference="P-2", order_id=order) == []
    assert await client.listed(order_id=order, product_id=107) == []
    assert await client.listed(order_id=order, distributor_id="D") == []
    assert await client.listed(order_id=order, status=ticket_pb2.TICKET_STATE_USED) == []
    for unknown in ("ORD-CP-20251103-000001", "ORD-HK-20251103-000001", "nonsense"):
        assert await client.listed(order_id=unknown) == []
    assert await other_client.listed(order_id=order) == []
    assert await other_client.listed(payment_reference="P-1") == []
    monkeypatch.setattr(ticket_lists, "MAX_ORDERS", 1)
    assert await client.listed(payment_reference="P-1") == codes[:3]


async def test_pages_while_others_are_made(client: PartnerClient) -> None:
    """Every ticket that was there comes once, at its place. A token is of its filter alone."""
    codes = await client.codes(20)
    seen: list[str] = []
    token = ""
    while token or not seen:
        request = ota.ListTicketsRequest(page_size=6, page_token=token)
        page = await client.stub.ListTickets(request, metadata=client.metadata)
        seen += [ticket.ticket_code for ticket in page.tickets]
        if len(seen) < 30:
            codes += await client.codes(3)
        token = page.next_page_token
    assert seen == codes
    refused = await refusal(client.listed(product_id=107, page_token=await first_token(client)))
    assert refused.reason is Reason.PAGE_TOKEN_INVALID


async def first_token(client: PartnerClient) -> str:
    request = ota.ListTicketsRequest(page_size=1)
    page = await client.stub.ListTickets(request, metadata=client.metadata)
    return str(page.next_page_token)


async def test_lines_of_sale_come_once_each(client: PartnerClient) -> None:
    await client.distributor("North", commission_basis_points=500)
    await client.distributor("Shop", "North", commission_basis_points=1_000)
    await client.batch(3, distributor_id="Shop")
    await client.batch(2)
    (page,) = await client.pages(with_lines_of_sale=True)
    lines = {line.line_of_sale_id: line for line in page.lines_of_sale}
    assert len(lines) == 2
    of_shop, of_none = (
        lines[page.tickets[0].line_of_sale_id],
        lines[page.tickets[4].line_of_sale_id],
    )
    assert of_shop.currency_code == "HKD"
    assert [
        (level.distributor_id, level.amounts[0].commission_minor, level.amounts[0].net_price_minor)
        for level in of_shop.levels
    ] == [("North", 600, 10_200), ("Shop", 1_200, 10_800)]
    assert list(of_none.levels) == []
    (plain,) = await client.pages()
    assert (len(plain.lines_of_sale), plain.tickets[0].line_of_sale_id) == (0, "")


async def test_batches_are_listed(
    market: Market, client: PartnerClient, other_client: PartnerClient, ota_server: GateServer
) -> None:
    await client.distributor("North")
    await client.distributor("Shop", "North")
    sold = ota.Activation(customer=customer(), payment=payment(amount_minor=24_000))
    made = [
        await client.batch(2, distributor_id="Shop"),
        await client.batch(3, product_id=107),
        await client.batch(2, activation=sold),
        await client.batch(1, distributor_id="North"),
    ]
    ids = [batch.batch_id for batch in made]
    for size in (1, 3, 200):
        pages = await batches(client, page_size=size)
        assert [batch.batch_id for page in pages for batch in page] == ids
        assert all(len(page) <= size for page in pages)
    ((first, second, third, _),) = await batches(client)
    assert (first.product_id, first.quantity, first.distributor_id) == (106, 2, "Shop")
    assert (second.product_id, second.order_id, third.order_id) == (107, "", made[2].order_id)

    async def listed(**fields: Any) -> list[int]:
        return [
            ids.index(each.batch_id) for page in await batches(client, **fields) for each in page
        ]

    assert await listed(distributor_id="North") == [0, 3]
    assert await listed(distributor_id="Shop") == [0]
    assert await listed(product_id=107) == [1]
    assert await listed(create_time_from=third.create_time) == [2, 3]
    assert await listed(create_time_until=third.create_time) == [0, 1]
    assert await batches(other_client) == [[]]
    await client.reassign([made[1].tickets[0].ticket_code], "Shop")
    assert await listed(distributor_id="North", product_id=107) == [1]
    base = f"http://127.0.0.1:{ota_server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
        url = "/ota/batches?distributor_id=Shop&page_size=1"
        answer = await http.get(url, headers={"x-api-key": CP.api_key})
        assert [each["batch_id"] for each in answer.json()["batches"]] == ids[:1]
