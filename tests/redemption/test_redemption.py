"""Looking and redeeming, through a real server: what is admitted, what is refused and why, and
repeats.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.identity.credentials import new_partner_key
from server.platform.errors import Reason
from server.tickets import qr
from tests.support.gate import (
    PARTNER_ID,
    QrTicket,
    Terminal,
    World,
    a_world,
    remaining,
    verdict,
)
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import KEY
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal
from tests.support.table_rows import rows

STATE = convert.enum_names(ticket_pb2.TicketState)
TOKENS = Entitlement("tokens", total=10, use_mode="MULTI_USE")


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


async def test_the_main_job(world: World, server: GateServer) -> None:
    """Log in, open a session, look, redeem each function, and be refused the second time."""
    terminal = await Terminal.log_in(server.channel)
    ticket = await world.ticket()
    session = await terminal.open_session()
    look = await terminal.decrypt(ticket.qr)
    assert (look.jti, look.ticket_code) == (str(ticket.jti), ticket.code)
    assert STATE[look.ticket_info.status] == "ACTIVE"
    assert look.ticket_info.customer_info.name == "张三"
    assert remaining(look.ticket_info) == {"ferry": 1, "gift": 1}
    assert not look.HasField("result")

    ferry = await terminal.redeem(ticket.qr, "ferry", session_code=session)
    assert (verdict(ferry), STATE[ferry.ticket_status]) == ("SUCCESS", "PARTIALLY_REDEEMED")
    assert remaining(ferry) == {"ferry": 0, "gift": 1}
    assert (ferry.ticket_code, ferry.explanation.check) == (ticket.code, "admitted")
    assert ferry.performance_metrics.fraud_checks_passed
    gift = await terminal.redeem(ticket.qr, "gift", session_code=session)
    assert (verdict(gift), STATE[gift.ticket_status]) == ("SUCCESS", "USED")

    again = await terminal.redeem(ticket.qr, "ferry", session_code=session)
    assert (verdict(again), again.explanation.check) == ("ALREADY_REDEEMED", "guard")
    assert not again.performance_metrics.fraud_checks_passed
    assert again.earlier.redemption_id == ferry.redemption_id
    assert (again.earlier.terminal_device_id, again.earlier.venue_code) == ("T-1", "PIER")
    assert abs(again.earlier.redeemed_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    assert await world.uses(ticket) == (0, 1)
    assert await world.events(ticket) == [("SUCCESS", "")] * 2 + [("REJECT", "ALREADY_REDEEMED")]
    rows = await world.sql("SELECT DISTINCT session_code, operator FROM redemption_events")
    assert rows == [(session, "olga")]


# Every refusal, by what makes it

Arranged = tuple[str, dict[str, Any]]
Arrange = Callable[[World], Awaitable[Arranged]]


def with_ticket(function_code: str = "ferry", **columns: Any) -> Arrange:
    async def arrange(world: World) -> Arranged:
        return (await world.ticket(**columns)).qr, {"function_code": function_code}

    return arrange


async def forged(world: World) -> Arranged:
    ticket = await world.ticket()
    stranger = qr.QrKey.generate(world.ring.active.key_id, qr.KeyState.ACTIVE)
    claims = qr.Claims(ticket.jti, ticket.ticket_id, datetime.now(UTC) + timedelta(days=1))
    return qr.seal(claims, stranger), {}


async def garbage(world: World) -> Arranged:
    return "not a code of ours", {}


async def token_expired(world: World) -> Arranged:
    ticket = await world.ticket()
    just_now = datetime.now(UTC) - timedelta(seconds=1)
    return world.seal(ticket.jti, ticket.ticket_id, expire_time=just_now), {}


async def token_expired_without_ticket(world: World) -> Arranged:
    return world.seal(uuid4(), 77, expire_time=datetime.now(UTC) - timedelta(days=1)), {}


async def no_such_ticket(world: World) -> Arranged:
    return world.seal(uuid4(), 77), {}


async def superseded(world: World) -> Arranged:
    ticket = await world.ticket()
    await world.rotate(ticket)
    return ticket.qr, {}


async def superseded_order(world: World) -> Arranged:
    order, (ticket,) = await world.order(1)
    await world.sql("UPDATE orders SET jti = %s WHERE order_id = %s", uuid4(), order.ticket_id)
    return order.qr, {"ticket_code": ticket.code}


async def order_without_ticket_code(world: World) -> Arranged:
    order, _ = await world.order(1)
    return order.qr, {}


async def ticket_of_another_order(world: World) -> Arranged:
    order, _ = await world.order(1)
    _, (other,) = await world.order(1)
    return order.qr, {"ticket_code": other.code}


async def ticket_code_of_another_partner(world: World) -> Arranged:
    order, (ticket,) = await world.order(1)
    return order.qr, {"ticket_code": ticket.code.replace("-CP-", "-HK-")}


async def redeemed_before(world: World) -> Arranged:
    ticket = await world.ticket()
    await world.sql(
        "INSERT INTO redemption_guards VALUES (%s, %s, 'ferry', 1, now(), 'T-9', 'SHOP')",
        ticket.ticket_id,
        ticket.jti,
    )
    return ticket.qr, {}


async def uses_gone(world: World) -> Arranged:
    ticket = await world.ticket()
    await world.sql(
        "UPDATE entitlements SET remaining_uses = 0 WHERE ticket_id = %s", ticket.ticket_id
    )
    return (await world.rotate(ticket)).qr, {}


ALL_TICKETS = "SELECT * FROM tickets JOIN entitlements USING (ticket_id) ORDER BY 1, function_code"
NEWEST_EVENT = """
SELECT lpad(to_hex(ticket_id), 16, '0') || lpad(to_hex(event_id), 16, '0'), result, reason,
  ticket_code
FROM redemption_events ORDER BY occurred_time DESC, event_id DESC LIMIT 1
"""
SOON, JUST_NOW = timedelta(hours=1), -timedelta(seconds=1)
REFUSALS: list[tuple[Arrange, str, str]] = [
    (garbage, "TOKEN_INVALID", "token"),
    (forged, "TOKEN_INVALID", "token"),
    (token_expired, "TOKEN_EXPIRED", "expiry"),
    (token_expired_without_ticket, "TOKEN_EXPIRED", "expiry"),
    (no_such_ticket, "TICKET_NOT_FOUND", "ticket"),
    (order_without_ticket_code, "TICKET_NOT_FOUND", "ticket_code"),
    (ticket_of_another_order, "TICKET_NOT_FOUND", "ticket"),
    (ticket_code_of_another_partner, "TICKET_NOT_FOUND", "ticket"),
    (superseded, "QR_SUPERSEDED", "jti"),
    (superseded_order, "QR_SUPERSEDED", "jti"),
    (with_ticket(state="PRE_GENERATED", order_id=None), "TICKET_NOT_ACTIVE", "state"),
    (with_ticket(state="REFUNDING"), "TICKET_NOT_ACTIVE", "state"),
    (with_ticket(state="CHANGING"), "TICKET_NOT_ACTIVE", "state"),
    (with_ticket(state="REFUNDED"), "TICKET_REFUNDED", "state"),
    (with_ticket(state="CHANGED"), "TICKET_CHANGED", "state"),
    (with_ticket(state="VOIDED", order_id=None), "TICKET_VOIDED", "state"),
    (with_ticket(state="EXPIRED"), "TICKET_EXPIRED", "validity"),
    (with_ticket(blocked=True), "TICKET_BLOCKED", "blocked"),
    (with_ticket(valid_from_time=datetime.now(UTC) + SOON), "TICKET_NOT_YET_VALID", "validity"),
    (with_ticket(valid_until_time=datetime.now(UTC) + JUST_NOW), "TICKET_EXPIRED", "validity"),
    (with_ticket("lounge"), "FUNCTION_NOT_INCLUDED", "function"),
    (with_ticket("cable-car"), "FUNCTION_NOT_ALLOWED_HERE", "place"),
    (redeemed_before, "ALREADY_REDEEMED", "guard"),
    (uses_gone, "NO_USES_LEFT", "uses"),
]  # BLACKOUT_DATE has a test of its own


async def test_refused(world: World, terminal: Terminal, subtests: pytest.Subtests) -> None:
    """Answered with the reason and what to do about it, recorded, and nothing is used."""
    for arrange, reason, check in REFUSALS:
        with subtests.test(arrange.__name__, reason=reason):
            token, fields = await arrange(world)
            before = await world.sql(ALL_TICKETS)
            answer = await terminal.redeem(token, **fields)
            assert (verdict(answer), answer.explanation.check) == (reason, check)
            assert answer.explanation.en
            assert answer.explanation.zh
            recorded = await world.sql(NEWEST_EVENT)
            assert recorded == [(answer.redemption_id, "REJECT", reason, answer.ticket_code)]
            assert await world.sql(ALL_TICKETS) == before
    assert len(await world.events()) == len(REFUSALS)


async def test_a_ticket_the_qr_does_not_stand_for_is_not_shown(
    world: World, terminal: Terminal
) -> None:
    for arrange in (no_such_ticket, ticket_of_another_order, ticket_code_of_another_partner):
        token, fields = await arrange(world)
        answer = await terminal.redeem(token, **fields)
        assert answer.ticket_code == ""
        assert not answer.HasField("ticket_status")
        assert not answer.entitlements


async def test_an_orders_bad_qr_says_nothing_about_other_orders_tickets(
    world: World, terminal: Terminal
) -> None:
    """Neither superseded nor expired; and nothing is recorded under the name of such a ticket."""
    order, _ = await world.order(1)
    _, (other,) = await world.order(1)
    expired = qr.Claims(
        order.jti, order.ticket_id, datetime(2026, 1, 1, tzinfo=UTC), qr.QrKind.ORDER
    )
    answers = [await terminal.redeem(qr.seal(expired, world.ring.active), ticket_code=other.code)]
    await world.sql("UPDATE orders SET jti = %s WHERE order_id = %s", uuid4(), order.ticket_id)
    answers.append(await terminal.redeem(order.qr, ticket_code=other.code))
    assert [verdict(answer) for answer in answers] == ["TOKEN_EXPIRED", "QR_SUPERSEDED"]
    assert [answer.ticket_code for answer in answers] == ["", ""]
    assert await world.events(other) == []


async def test_function_not_allowed_at_this_venue(world: World, server: GateServer) -> None:
    shop = await world.log_in(server.channel, device="T-SHOP")
    ticket = await world.ticket()
    assert verdict(await shop.redeem(ticket.qr, "ferry")) == "FUNCTION_NOT_ALLOWED_HERE"
    assert verdict(await shop.redeem(ticket.qr, "gift")) == "SUCCESS"


async def test_blackout_date_is_the_venues(world: World, server: GateServer) -> None:
    """Where the day is 25 hours ahead, it is another date at any moment."""
    east = await world.log_in(server.channel, device="T-EAST")
    west = await world.log_in(server.channel, device="T-WEST")
    kiritimati = ZoneInfo("Pacific/Kiritimati")
    while True:
        today = datetime.now(kiritimati).date()
        ticket = await world.ticket(blackout_dates=[today])
        refused, admitted = await east.redeem(ticket.qr), await west.redeem(ticket.qr)
        if datetime.now(kiritimati).date() == today:  # else midnight passed meanwhile
            break
    assert (verdict(refused), refused.explanation.check) == ("BLACKOUT_DATE", "blackout")
    assert verdict(admitted) == "SUCCESS"


async def test_a_partner_looks_by_the_days_of_the_platform(
    world: World, module_database_url: str, module_redis_url: str
) -> None:
    """Where the platform is 25 hours ahead, it is another date at any moment. Seen red: the days
    were those of UTC.
    """
    kiritimati, key = ZoneInfo("Pacific/Kiritimati"), new_partner_key()
    await world.sql(KEY, key.key_id, PARTNER_ID, key.secret_hash)

    async def seen(ticket: QrTicket, zone: str) -> Any:
        async with gate_server(module_database_url, module_redis_url, time_zone=zone) as server:
            return await RedemptionServiceStub(server.channel).DecryptQr(
                redemption_pb2.DecryptQrRequest(encrypted_data=ticket.qr),
                metadata=[("x-api-key", key.api_key)],
            )

    while True:
        today = datetime.now(kiritimati).date()
        ticket = await world.ticket(blackout_dates=[today])
        east, west = await seen(ticket, kiritimati.key), await seen(ticket, "Pacific/Niue")
        if datetime.now(kiritimati).date() == today:  # else midnight passed meanwhile
            break
    assert (verdict(east), verdict(west)) == ("BLACKOUT_DATE", "")


async def test_superseded_by_rotation(world: World, terminal: Terminal) -> None:
    """The new QR redeems what is left, the former nothing."""
    former = await world.ticket()
    assert verdict(await terminal.redeem(former.qr, "ferry")) == "SUCCESS"
    new = await world.rotate(former)
    assert verdict(await terminal.redeem(former.qr, "gift")) == "QR_SUPERSEDED"
    assert verdict(await terminal.redeem(new.qr, "gift")) == "SUCCESS"
    assert verdict(await terminal.redeem(new.qr, "ferry")) == "NO_USES_LEFT"


async def test_an_orders_qr_redeems_its_tickets(world: World, terminal: Terminal) -> None:
    order, (first, second) = await world.order(2)
    answer = await terminal.redeem(order.qr, ticket_code=second.code)
    assert (verdict(answer), answer.ticket_code) == ("SUCCESS", second.code)
    assert verdict(await terminal.redeem(second.qr)) == "ALREADY_REDEEMED"
    rotated = await world.rotate(first)
    assert verdict(await terminal.redeem(order.qr, ticket_code=first.code)) == "SUCCESS"
    assert verdict(await terminal.redeem(rotated.qr)) == "ALREADY_REDEEMED"


async def test_quantity_and_guard_time(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket([TOKENS])
    family = await terminal.redeem(ticket.qr, "tokens", quantity=4)
    assert (verdict(family), remaining(family)) == ("SUCCESS", {"tokens": 6})
    soon = await terminal.redeem(ticket.qr, "tokens")
    assert (verdict(soon), soon.explanation.check) == ("ALREADY_REDEEMED", "guard_time")
    assert soon.earlier.redemption_id == family.redemption_id

    async def guard_time_passes() -> None:
        await world.sql(
            "UPDATE redemption_guards SET redeemed_time = redeemed_time - interval '60 s'"
        )

    await guard_time_passes()
    too_many = await terminal.redeem(ticket.qr, "tokens", quantity=7)
    assert (verdict(too_many), remaining(too_many)) == ("NO_USES_LEFT", {"tokens": 6})
    last = await terminal.redeem(ticket.qr, "tokens", quantity=6)
    assert (verdict(last), STATE[last.ticket_status]) == ("SUCCESS", "USED")
    assert verdict(await terminal.redeem(ticket.qr, "tokens")) == "NO_USES_LEFT"
    await guard_time_passes()
    assert verdict(await terminal.redeem(ticket.qr, "tokens")) == "NO_USES_LEFT"


# Looking


async def test_looking_writes_nothing(
    world: World, terminal: Terminal, module_database_url: str
) -> None:
    """Not a row of any table is other than before, however good or bad the code."""
    ticket = await world.ticket()
    order, _ = await world.order(2)
    tokens = [ticket.qr, order.qr, (await superseded(world))[0], (await forged(world))[0]]
    tokens += [(await token_expired(world))[0], (await no_such_ticket(world))[0], "garbage"]
    await terminal.decrypt(ticket.qr)  # what is loaded for the first call is
    before = await rows(module_database_url)
    for token in tokens * 3:
        await terminal.decrypt(token)
        request = redemption_pb2.LookupOrderRequest(encrypted_data=token)
        await terminal.call("LookupOrder", request)
    assert await rows(module_database_url) == before


async def test_a_look_says_what_stands_in_the_way(
    world: World, terminal: Terminal, subtests: pytest.Subtests
) -> None:
    """As a scan would be refused; functions are not looked at."""
    of_functions = {"FUNCTION_NOT_INCLUDED", "FUNCTION_NOT_ALLOWED_HERE"}
    of_functions |= {"ALREADY_REDEEMED", "NO_USES_LEFT"}
    for arrange, reason, _ in REFUSALS:
        with subtests.test(arrange.__name__, reason=reason):
            token, fields = await arrange(world)
            if "ticket_code" in fields or arrange is order_without_ticket_code:
                continue  # the QR of an order: LookupOrder
            look = await terminal.decrypt(token)
            found = verdict(look) if look.HasField("result") else ""
            assert found == ("" if reason in of_functions else reason)
            assert bool(look.explanation.zh) == bool(found)
    assert await world.events() == []


async def test_a_large_order_is_looked_up_page_by_page(world: World, terminal: Terminal) -> None:
    """Seen red before there were pages: of 205 tickets 200 were shown, and the rest nowhere."""
    order, _ = await world.order(205)
    for page_size, sizes in ((0, [200, 5]), (100, [100, 100, 5])):
        codes: list[str] = []
        found: list[int] = []
        token = ""
        while not found or token:
            request = redemption_pb2.LookupOrderRequest(
                encrypted_data=order.qr, page_size=page_size, page_token=token
            )
            page = await terminal.call("LookupOrder", request)
            assert page.ticket_count == 205
            codes += [each.ticket_code for each in page.tickets]
            found.append(len(page.tickets))
            token = page.next_page_token
        assert found == sizes
        assert len(set(codes)) == 205


async def look_up(terminal: Terminal, **fields: Any) -> Any:
    return await terminal.call("LookupOrder", redemption_pb2.LookupOrderRequest(**fields))


async def test_look_up_an_order(world: World, terminal: Terminal) -> None:
    order, tickets = await world.order(3)
    await world.order(2)
    for fields in (
        {"order_id": order.code},
        {"encrypted_data": order.qr},
        {"encrypted_data": tickets[1].qr},
    ):
        found = await look_up(terminal, **fields)
        assert (found.order_id, found.ticket_count) == (order.code, 3)
        assert [t.ticket_code for t in found.tickets] == [t.code for t in tickets]
        assert [remaining(t.ticket_info) for t in found.tickets] == [{"ferry": 1, "gift": 1}] * 3
    assert verdict(await look_up(terminal, encrypted_data="garbage")) == "TOKEN_INVALID"
    await world.rotate(tickets[1])
    assert verdict(await look_up(terminal, encrypted_data=tickets[1].qr)) == "QR_SUPERSEDED"
    printed = await world.ticket(state="PRE_GENERATED", order_id=None)
    assert verdict(await look_up(terminal, encrypted_data=printed.qr)) == "TICKET_NOT_ACTIVE"


async def test_look_up_needs_one_name_that_exists(world: World, terminal: Terminal) -> None:
    order, _ = await world.order(1)
    for fields in ({}, {"order_id": order.code, "encrypted_data": order.qr}):
        refused = await refusal(look_up(terminal, **fields))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("encrypted_data",))
    for unknown in ("ORD-CP-20261121-999999", "ORD-XX-20261121-000001", "garbage"):
        assert (await refusal(look_up(terminal, order_id=unknown))).reason == Reason.NOT_FOUND


# Several in one call


async def test_many_each_on_its_own(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    items = [(ticket.qr, "ferry"), (ticket.qr, "ferry"), ("garbage", "ferry"), (ticket.qr, "gift")]
    answer = await terminal.redeem_many(items, all_or_nothing=False)
    verdicts = [verdict(result) for result in answer.results]
    assert verdicts == ["SUCCESS", "ALREADY_REDEEMED", "TOKEN_INVALID", "SUCCESS"]
    assert not answer.all_redeemed
    first, second, _, last = answer.results
    assert second.earlier.redemption_id == first.redemption_id
    assert [remaining(first), remaining(last)] == [{"ferry": 0, "gift": 1}, {"ferry": 0, "gift": 0}]
    assert await world.state(ticket) == "USED"


async def test_all_or_nothing_all(world: World, terminal: Terminal) -> None:
    order, tickets = await world.order(3)
    items = [
        redemption_pb2.RedeemItem(qr_token=order.qr, function_code="ferry", ticket_code=t.code)
        for t in tickets
    ]
    answer = await terminal.redeem_many(items, all_or_nothing=True)
    assert [verdict(result) for result in answer.results] == ["SUCCESS"] * 3
    assert answer.all_redeemed
    assert await world.events() == [("SUCCESS", "")] * 3


async def test_all_or_nothing_nothing(world: World, terminal: Terminal) -> None:
    """Seen red: without taking the tickets back after the refusal, the answer named a used
    ticket.
    """
    good, bad = await world.ticket(), await world.ticket(blocked=True)
    items = [(good.qr, "ferry"), (bad.qr, "ferry"), (good.qr, "gift")]
    answer = await terminal.redeem_many(items, all_or_nothing=True)
    verdicts = [verdict(result) for result in answer.results]
    assert verdicts == ["WITHHELD", "TICKET_BLOCKED", "WITHHELD"]
    withheld = answer.results[0]
    assert (withheld.redemption_id, STATE[withheld.ticket_status]) == ("", "ACTIVE")
    assert withheld.explanation.check == "withheld"
    assert remaining(withheld) == {"ferry": 1, "gift": 1}
    assert await world.events() == [("REJECT", "TICKET_BLOCKED")]
    assert await world.uses(good) == (1, 1)
    assert verdict(await terminal.redeem(good.qr, "ferry")) == "SUCCESS"


async def test_all_or_nothing_the_same_twice(world: World, terminal: Terminal) -> None:
    """The second stands in the way of the first; the answers tell of the ticket as it stays,
    unused.
    """
    ticket = await world.ticket()
    items = [(ticket.qr, "gift"), (ticket.qr, "ferry"), (ticket.qr, "ferry")]
    answer = await terminal.redeem_many(items, all_or_nothing=True)
    verdicts = [verdict(result) for result in answer.results]
    assert verdicts == ["WITHHELD", "WITHHELD", "ALREADY_REDEEMED"]
    assert [STATE[result.ticket_status] for result in answer.results] == ["ACTIVE"] * 3
    assert [remaining(result) for result in answer.results] == [{"ferry": 1, "gift": 1}] * 3
    assert await world.events() == [("REJECT", "ALREADY_REDEEMED")]
    twice = answer.results[2]
    assert twice.earlier.redemption_id == "", "there is no such redemption"
    assert await world.state(ticket) == "ACTIVE"


async def test_all_or_nothing_more_than_is_left(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket([Entitlement("tokens", 3, "MULTI_USE", guard_seconds=0)])
    item = redemption_pb2.RedeemItem(qr_token=ticket.qr, function_code="tokens", quantity=2)
    answer = await terminal.redeem_many([item, item], all_or_nothing=True)
    assert [verdict(result) for result in answer.results] == ["WITHHELD", "NO_USES_LEFT"]
    assert [remaining(result) for result in answer.results] == [{"tokens": 3}] * 2
    answer = await terminal.redeem_many([item, item], all_or_nothing=False)
    assert [verdict(result) for result in answer.results] == ["SUCCESS", "NO_USES_LEFT"]
    assert await world.uses(ticket, "tokens") == (1, 3)
