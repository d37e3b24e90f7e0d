"""Orders and tickets found by administrators: by code, part of a name, document, telephone number.

Seen red: with words cut into triples alone, as trigram indexes do, 小明 found nobody; without the
comparison of names, 明王 found 王小明 by chance of order; with the customer of an order's first
ticket alone, a partner's second customer was not found.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from deeptravel.admin.v1 import account_pb2, audit_pb2, order_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.ticketing.v1 import order_pb2 as orders_pb2

from server.orders import order_search, search_terms
from server.orders.partner_orders import Sale, create_paid
from server.orders.passengers import Passenger
from server.platform.clock import now
from server.platform.errors import Reason
from tests.support import cached
from tests.support.order_scenario import a_scenario, tickets
from tests.support.rpc_server import SECRET_KEY, refusal
from tests.support.traveller import (
    TravellerClient,
    World,
    a_world,
    passenger,
    traveller_server,
)

PASSWORD = "correct horse battery staple"
PARTY = [
    passenger("王小明", document_number="E10004321"),
    passenger("Ana Müller-Johnson", document_number="K7654321"),
    passenger("阿卜杜拉·买买提", document_number="E55555555"),
]
PHONE = "+85291234567"


@dataclass
class SupportClient:
    """Administrators' calls of a server with orders in it."""

    world: World
    stub: Any
    database_url: str
    ours: str
    other: str
    tickets: list[str]
    tokens: dict[str, str]

    async def call(self, method: str, request: Any, who: str = "sup") -> Any:
        metadata = (("authorization", f"Bearer {self.tokens[who]}"),)
        return await getattr(self.stub, method)(request, metadata=metadata)

    async def orders(self, who: str = "sup", **search: Any) -> list[str]:
        request = order_pb2.SearchOrdersRequest(search=order_pb2.OrderSearch(**search))
        return [each.order_code for each in (await self.call("SearchOrders", request, who)).orders]

    async def tickets_of(self, **search: Any) -> list[str]:
        request = order_pb2.SearchTicketsRequest(search=order_pb2.OrderSearch(**search))
        return [each.customer_name for each in (await self.call("SearchTickets", request)).tickets]


@pytest.fixture(scope="module")
async def support(module_database_url: str, module_redis_url: str) -> AsyncIterator[SupportClient]:
    async with (
        a_world(module_database_url, departures=2) as world,
        traveller_server(module_database_url, module_redis_url) as server,
        a_scenario(module_database_url) as scenario,
    ):
        for name, role in (("root", "ADMINISTRATOR"), ("sup", "SUPPORT"), ("aud", "AUDITOR")):
            await world.sql(
                "INSERT INTO accounts (username, role, admin_roles, venue_codes, display_name,"
                " password_hash, state, create_time, update_time) VALUES (%s, 'ADMIN', %s, '{}',"
                " %s, %s, 'ACTIVE', now(), now())",
                *(name, [role], name, cached.password_hash(PASSWORD)),
            )
        me = TravellerClient.of(server.channel, 1)
        ours = await me.order(world.seat(), passengers=PARTY, contact_phone=PHONE)
        await scenario.pay(ours.order_id)
        other = await me.order(world.seat(2), passengers=[passenger("王大明")])
        codes = [each.ticket_code for each in await tickets(me)]
        stub, tokens = AdminServiceStub(server.channel), {}
        for name in ("root", "sup", "aud"):
            login = account_pb2.AdminLoginRequest(username=name, password=PASSWORD)
            tokens[name] = (await stub.AdminLogin(login)).access_token
        url = module_database_url
        yield SupportClient(world, stub, url, ours.order_id, other.order_id, codes, tokens)


@pytest.mark.parametrize(
    "search",
    [
        {"name": "王小明"},
        {"name": "小明"},
        {"name": "王小"},
        {"name": "王 小明"},
        {"name": "ｍｕｌｌｅｒ"},
        {"name": "johnson ANA"},
        {"name": "ohns"},
        {"name": "an"},
        {"name": "阿卜杜拉买买提"},
        {"name": "卜杜"},
        {"document_number": "e1000 4321"},
        {"document_number": "Ｋ７６５４３２１"},
        {"document_number": "5555"},
        {"contact_phone": "9123 4567"},
        {"contact_phone": "00852-91234567"},
        {"contact_phone": "4567"},
        {"name": "小明", "document_number": "4321", "contact_phone": "4567"},
    ],
    ids=str,
)
async def test_found_by_what_people_say(support: SupportClient, search: dict[str, str]) -> None:
    assert await support.orders(**search) == [support.ours]


@pytest.mark.parametrize(
    "search",
    [
        {"name": "明王"},
        {"name": "大小明"},
        {"name": "Jonson"},
        {"name": "na"},
        {"name": "小明", "document_number": "K7654321"},  # another one of the party
        {"name": "小明", "contact_phone": "4568"},
        {"document_number": "E1000432"},
        {"contact_phone": "+8613800138000"},
    ],
    ids=str,
)
async def test_found_by_nothing_else(support: SupportClient, search: dict[str, str]) -> None:
    assert await support.orders(**search) == []


async def test_codes_as_people_type_them(support: SupportClient) -> None:
    typed = support.ours.replace("-", " ").lower()
    assert await support.orders(code=typed) == [support.ours]
    for ticket in support.tickets:
        assert await support.orders(code=ticket.replace("-", "")) == [support.ours]
    assert await support.orders(code="ORD-DT-20200101-000001") == []
    assert await support.orders(code=support.ours, name="王大明") == []
    assert set(await support.orders()) == {support.ours, support.other}


async def test_tickets_of_whom_is_meant(support: SupportClient) -> None:
    assert await support.tickets_of(name="小明") == ["王小明"]
    assert await support.tickets_of(document_number="K7654321") == ["Ana Müller-Johnson"]
    assert len(await support.tickets_of(contact_phone=PHONE)) == len(PARTY)
    assert len(await support.tickets_of(code=support.tickets[0])) == 1
    assert await support.tickets_of(code=support.tickets[0], name="王大明") == []


async def test_pages(support: SupportClient) -> None:
    for method, request, noun, expected in (
        ("SearchOrders", order_pb2.SearchOrdersRequest(page_size=1), "orders", 2),
        ("SearchTickets", order_pb2.SearchTicketsRequest(page_size=1), "tickets", len(PARTY)),
    ):
        found, pages = [], 0
        while pages == 0 or request.page_token:
            answer = await support.call(method, request)
            found += [str(each) for each in getattr(answer, noun)]
            request.page_token = answer.next_page_token
            pages += 1
            assert pages < 10
        assert len(found) == len(set(found)) == expected


async def test_an_order_and_a_ticket_with_their_history(support: SupportClient) -> None:
    order = await support.call("GetOrder", order_pb2.GetOrderRequest(order_code=support.ours))
    assert [each.name for each in order.travellers] == [each.name for each in PARTY]
    assert order.travellers[0].document_masked == "E******21"
    assert order.contact_phone == PHONE
    assert [each.ticket_code for each in order.tickets] == sorted(support.tickets)
    happened = [(each.kind, each.state) for each in reversed(order.history)]
    assert happened[0] == (order_pb2.HISTORY_KIND_ORDER, "PENDING")
    assert (order_pb2.HISTORY_KIND_ORDER, "PAID") in happened
    assert (order_pb2.HISTORY_KIND_PAYMENT, "SUCCEEDED") in happened
    ticket = await support.call(
        "GetTicket", order_pb2.GetTicketRequest(ticket_code=support.tickets[0])
    )
    assert ticket.ticket.order_code == support.ours
    assert ticket.history[-1].state == "ACTIVE"
    missing = order_pb2.GetOrderRequest(order_code="ORD-DT-20200101-000001")
    assert (await refusal(support.call("GetOrder", missing))).reason == Reason.NOT_FOUND


async def test_an_auditor_sees_nobody(support: SupportClient) -> None:
    assert await support.orders("aud", code=support.ours) == [support.ours]
    for search in ({"name": "小明"}, {"document_number": "4321"}, {"contact_phone": "4567"}):
        refused = await refusal(support.orders("aud", **search))
        assert refused.reason == Reason.ROLE_NOT_ALLOWED
    request = order_pb2.GetOrderRequest(order_code=support.ours)
    shown = str(await support.call("GetOrder", request, "aud"))
    found = str(await support.call("SearchTickets", order_pb2.SearchTicketsRequest(), "aud"))
    ticket = order_pb2.GetTicketRequest(ticket_code=support.tickets[0])
    whole = str(await support.call("GetTicket", ticket, "aud"))
    for text in (shown, found, whole):
        assert not any(each.name in text for each in PARTY)
        assert "4321" not in text
        assert PHONE not in text


async def test_what_is_too_short_says_so(support: SupportClient) -> None:
    for search, name in (
        ({"name": "王"}, "search.name"),
        ({"name": "·"}, "search.name"),
        ({"document_number": "12"}, "search.document_number"),
        ({"contact_phone": "123"}, "search.contact_phone"),
    ):
        refused = await refusal(support.orders(**search))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (name,))


async def test_what_fits_too_many_says_so(
    support: SupportClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_search, "MOST_FITTING", 1)
    monkeypatch.setattr(order_search, "LOOKED_THROUGH", 1)
    assert await support.orders(name="小明") == [support.ours]
    await support.world.sql(
        "INSERT INTO order_search_terms SELECT 1, create_time, terms FROM order_search_terms"
        " WHERE order_id = (SELECT order_id FROM orders WHERE order_code = %s)",
        support.ours,
    )
    refused = await refusal(support.orders(name="小明"))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("name",))
    await support.world.sql("DELETE FROM order_search_terms WHERE order_id = 1")


async def test_of_many_that_fit_the_newest_are_looked_for(
    support: SupportClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page to the end, where all orders were looked through. Seen red without the look at
    what is beyond: the last page was refused.
    """
    monkeypatch.setattr(order_search, "MOST_FITTING", 1)
    await support.world.sql(
        "UPDATE order_search_terms SET terms = terms || (SELECT terms FROM order_search_terms"
        " JOIN orders USING (order_id) WHERE order_code = %s)",
        support.ours,
    )
    found, token = [], ""
    while True:
        request = order_pb2.SearchOrdersRequest(
            search=order_pb2.OrderSearch(name="小明"), page_size=1, page_token=token
        )
        page = await support.call("SearchOrders", request)
        found += [each.order_code for each in page.orders]
        if not (token := page.next_page_token):
            break
    assert found == [support.ours]


async def test_searches_are_audited_without_what_was_searched_for(support: SupportClient) -> None:
    await support.orders(name="卜杜", contact_phone="4567")
    request = audit_pb2.ListAuditEventsRequest(action="search", resource="order", page_size=1)
    (event,) = (await support.call("ListAuditEvents", request, "root")).audit_events
    assert event.actor == "admin:sup"
    assert list(event.after["searched_by"]) == ["name", "contact_phone"]
    for text in ("卜杜", "4567"):
        assert text not in str(event)


async def test_the_database_holds_no_part_of_a_name(support: SupportClient) -> None:
    rows = await support.world.sql("SELECT s::text FROM order_search_terms s")
    assert len(rows) == 2
    for (text,) in rows:
        assert not any(part in text for part in ("小明", "ohns", "4321", "4567"))


async def test_orders_of_earlier_releases_are_found_after_the_job(support: SupportClient) -> None:
    await support.world.sql("DELETE FROM order_search_terms")
    assert await support.orders(name="小明") == []
    await support.world.sql("INSERT INTO order_search_backfill VALUES ('orders', '1970-01-01', 0)")
    async with a_scenario(support.database_url) as scenario:
        work = order_search.backfilling(SECRET_KEY)
        for is_left in (True, False):
            async with scenario.db.transaction() as tx:
                done = await work(tx, now())
                # the server's own job may have come before
                assert not done.more
                assert is_left or not done.items
    assert await support.orders(name="小明") == [support.ours]
    assert await support.orders(name="大明") == [support.other]


async def test_a_partners_order_is_found_by_each_of_its_customers(support: SupportClient) -> None:
    partner: Any = SimpleNamespace(partner_id=77, partner_code="HK")
    sale = Sale("ADULT", "陈大文", "PAY-1", 100, "HKD", 2)
    async with a_scenario(support.database_url) as scenario, scenario.db.transaction() as tx:
        (made,) = await create_paid(
            *(tx, scenario.db, partner, [sale]),
            zone=ZoneInfo("Asia/Hong_Kong"),
            now=now(),
            names=[["陈大文", "欧阳小美"]],
        )
    await support.world.sql(
        "INSERT INTO tickets (ticket_id, ticket_code, jti, state, product_id, partner_id,"
        " distributor_id, snapshot_id, order_id, customer_name, valid_from_time, valid_until_time,"
        " create_time, update_time) SELECT 1 << 30, 'OTA-HK-1', gen_random_uuid(), 'ACTIVE', 1, 77,"
        " '', gen_random_uuid(), %s, '欧阳小美', now(), now() + interval '1 day', now(), now()",
        made.order_id,
    )
    for name in ("陈大文", "阳小"):
        assert await support.orders(name=name) == [made.order_code]
    assert await support.orders(name="大文美") == []
    assert await support.tickets_of(name="欧阳") == ["欧阳小美"]


def test_terms_need_the_key() -> None:
    people = [Passenger("王小明", "ADULT", "PASSPORT", "E1234567")]
    search_terms.use_key(b"another key of 32 bytes, or so...")
    others = search_terms.terms_of_party(people, PHONE)
    search_terms.use_key(SECRET_KEY)
    ours = search_terms.terms_of_party(people, PHONE)
    assert len(ours) == len(others) == 6
    assert set(ours).isdisjoint(others)


def test_names_are_redacted() -> None:
    for message, name in (
        (order_pb2.OrderSearch, "name"),
        (order_pb2.OrderOverview, "names"),
        (order_pb2.TicketOverview, "customer_name"),
        (orders_pb2.Order, "contact_phone"),
    ):
        assert message.DESCRIPTOR.fields_by_name[name].GetOptions().debug_redact
