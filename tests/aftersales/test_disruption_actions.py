"""An administrator rebooks and refunds tickets of a disruption for travellers who were asked, each
with an outcome of its own; the report adds up, its refunds by payment too.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import catalog_pb2, disruption_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from tests.aftersales.test_disruptions import ask, carry_out, preview, report, rows, sums
from tests.support.operations import Manager, followed, leaves, look_again
from tests.support.order_scenario import OrderScenario, tickets
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
    request_id,
)

ACTION = disruption_pb2.DisruptionActionState
OUTCOME = disruption_pb2.DisruptionOutcome
AFTER_CHOICE = catalog_pb2.DEPARTURE_REFUNDS_AFTER_CHOICE
CHILD = ticket_pb2.CUSTOMER_TYPE_CHILD


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=4, seats=6) as filled:
        await filled.enrol(1, 2)
        yield filled


async def waiting(world: World, manager: Manager) -> str:
    """Departure 1 is cancelled, and its tickets wait for a choice."""
    number = world.departure_id()
    disruption = await carry_out(manager, "CancelDeparture", number, refunds=AFTER_CHOICE)
    await followed(world)
    return disruption


async def do(manager: Manager, what: str, disruption: str, **fields: Any) -> Any:
    """Rebooks or refunds tickets of a disruption."""
    said = {"disruption_id": disruption, "comment": "asked by phone", "request_id": request_id()}
    return await ask(manager, f"{what}DisruptionTickets", **said | fields)


def done(answer: Any) -> dict[str, tuple[str, str]]:
    """(state, reason) by ticket."""
    return {
        each.ticket_code: (ACTION.Name(each.state).rpartition("STATE_")[2], each.reason)
        for each in answer.actions
    }


async def codes_of(client: TravellerClient, order_code: str) -> list[str]:
    return [each.ticket_code for each in await tickets(client, order_id=order_code)]


async def test_tickets_are_rebooked_as_far_as_there_are_seats(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Six of eight fit, one in a class with room; each is notified in his language, none pays, and
    a repeat finds the first answer.
    """
    order = await scenario.sell(client, world.seat(), passengers=party(5))
    await world.sql(
        "INSERT INTO notification_preferences (traveller_id, language, sms, email, update_time)"
        " VALUES (1, 'en', false, false, now())"
    )
    await scenario.sell(client, world.seat(2), passengers=party(3))
    codes = await codes_of(client, order.order_id)
    disruption = await waiting(world, manager)
    listed = await rows(manager, disruption, outcome=OUTCOME.DISRUPTION_OUTCOME_AWAITING_CHOICE)
    assert [each.ticket_code for each in listed] == codes
    target, same = str(world.departure_id(2)), request_id()
    wanted = {"departure_id": target, "request_id": same}
    answer = await do(manager, "Rebook", disruption, **wanted)
    assert list(done(answer).values()) == [("DONE", "")] * 3 + [("REFUSED", "SOLD_OUT")] * 2
    assert answer.tickets_left == 2
    assert await do(manager, "Rebook", disruption, **wanted) == answer
    all_or_none = {"bulk": disruption_pb2.DISRUPTION_BULK_ALL_OR_NONE}
    elsewhere = str(world.departure_id(3))
    named = {"ticket_codes": [*codes[3:], codes[0]], "departure_id": elsewhere}
    refused = await do(manager, "Rebook", disruption, **named, **all_or_none)
    assert done(refused) == {
        codes[0]: ("REFUSED", "TICKET_STATE_REFUSES"),
        codes[3]: ("NOT_DONE", ""),
        codes[4]: ("NOT_DONE", ""),
    }
    assert refused.tickets_left == 2
    named = {"ticket_codes": codes[3:], "departure_id": elsewhere}
    rest = await do(manager, "Rebook", disruption, **named, **all_or_none)
    assert set(done(rest).values()) == {("DONE", "")}
    assert rest.tickets_left == 0
    found = await report(manager, disruption)
    assert sums(found.totals)["REBOOKED", "tickets"] == 5
    assert found.state == disruption_pb2.DISRUPTION_STATE_COMPLETED
    new_codes = {each.new_ticket_code for each in (*answer.actions, *rest.actions)} - {""}
    assert new_codes == {each.new_ticket_code for each in await rows(manager, disruption)}
    heard = (
        "SELECT count(*), min(language), count(DISTINCT order_id) FROM notifications"
        " WHERE kind = 'TICKET_REBOOKED'"
    )
    await world.until("SELECT count(*) = 5 FROM notifications WHERE kind = 'TICKET_REBOOKED'")
    assert await world.sql(heard) == [(5, "en", 5)]
    audited = "SELECT count(*) FROM audit_events WHERE action = 'rebook'"
    assert await world.value(audited) == 3


async def test_a_child_goes_with_its_company(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Whichever of them has the smaller number: the adult is rebooked first. Seen red: in the order
    of numbers the child was refused.
    """
    passengers = party(2)
    passengers[0].customer_type = CHILD
    order = await scenario.sell(client, world.seat(), passengers=passengers)
    disruption = await waiting(world, manager)
    answer = await do(manager, "Rebook", disruption, departure_id=str(world.departure_id(2)))
    assert list(done(answer)) == await codes_of(client, order.order_id)
    assert set(done(answer).values()) == {("DONE", "")}


async def test_the_operator_bears_what_is_dearer_and_gives_back_what_is_cheaper(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Of first and second class of one departure each goes in the other. What goes back is in the
    report, and what was rebooked is refunded later at what was paid.
    """
    cheap = await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(1))
    dear = await scenario.sell(client, world.seat(), passengers=party(1))
    assert dear.total_minor > cheap.total_minor
    disruption = await waiting(world, manager)
    (low,), (high,) = [await codes_of(client, each.order_id) for each in (cheap, dear)]
    target = {"departure_id": str(world.departure_id(2))}
    up = await do(manager, "Rebook", disruption, ticket_codes=[low], class_code="FIRST", **target)
    down = await do(
        manager, "Rebook", disruption, ticket_codes=[high], class_code="SECOND", **target
    )
    assert done(up) == {low: ("DONE", "")}
    assert (up.actions[0].refund_minor, up.actions[0].refund_id) == (0, "")
    assert done(down) == {high: ("DONE", "")}
    difference = dear.total_minor - cheap.total_minor
    assert down.actions[0].refund_minor == difference
    await scenario.drain()
    found = await report(manager, disruption)
    (total,) = found.refunds
    assert (total.refunds, total.amount_minor, total.tickets_minor) == (1, difference, difference)
    assert sum(each.refund_minor for each in found.totals) == difference
    worth = "SELECT amount_minor FROM ticket_sales JOIN tickets USING (ticket_id)"
    raised = up.actions[0].new_ticket_code
    assert await world.value(f"{worth} WHERE ticket_code = %s", raised) == cheap.total_minor


async def test_refunds_are_reported_by_payment(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Each with payment, number, amount and state; all that is for tickets of the report adds up to
    its totals, and tickets of another departure in the same order do not count.
    """
    both = await scenario.sell(client, world.seat(), world.seat(2, SECOND), passengers=party(2))
    alone = await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(1))
    disruption = await waiting(world, manager)
    listed = await rows(manager, disruption)
    first = listed[0].ticket_code
    answer = await do(manager, "Refund", disruption, ticket_codes=[first, "DIR-DT-20200101-000001"])
    assert list(done(answer).values()) == [("REFUSED", "NOT_FOUND"), ("DONE", "")]
    assert answer.actions[1].refund_id == f"{both.order_id}-R1"
    assert answer.tickets_left == 2
    running = await report(manager, disruption)
    assert [(each.refunds, each.tickets_minor) for each in running.refunds] == [
        (1, answer.actions[1].refund_minor)
    ]
    rest = await do(manager, "Refund", disruption)
    assert set(done(rest).values()) == {("DONE", "")}
    assert rest.tickets_left == 0
    await scenario.drain()
    finished = await report(manager, disruption)
    by_state = {each.state: each for each in finished.refunds}
    assert len(by_state) == 1
    found, token = [], ""
    while True:
        page = await ask(
            manager,
            "ListDisruptionRefunds",
            disruption_id=disruption,
            page_size=2,
            page_token=token,
        )
        found += page.refunds
        token = page.next_page_token
        if not token:
            break
    assert [each.refund.refund_id for each in found] == [
        *(f"{both.order_id}-R1", f"{both.order_id}-R2", f"{alone.order_id}-R1"),
    ]
    assert sum(each.tickets_minor for each in found) == sum(
        each.refund_minor for each in finished.totals
    )
    parts = [part for each in found for part in each.refund.parts]
    assert len({part.out_refund_no for part in parts}) == 3
    assert all(part.out_trade_no and part.state == found[0].refund.state for part in parts)
    assert sum(part.amount_minor for part in parts) == sum(
        each.amount_minor for each in finished.refunds
    )
    again = await do(manager, "Refund", disruption, ticket_codes=[first])
    assert done(again) == {first: ("REFUSED", "TICKET_STATE_REFUSES")}


async def test_what_was_moved_is_free_too(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Beyond the tolerance; within it a ticket waits for nothing."""
    await scenario.sell(client, world.seat(), passengers=party(2))
    near = await leaves(world) + timedelta(minutes=10)
    number, target = world.departure_id(), str(world.departure_id(2))
    moved = await carry_out(manager, "MoveDeparture", number, departure_time=near)
    await followed(world)
    codes = [each.ticket_code for each in await rows(manager, moved)]
    answer = await do(manager, "Rebook", moved, ticket_codes=codes, departure_id=target)
    assert set(done(answer).values()) == {("REFUSED", "TICKET_STATE_REFUSES")}
    far = near + timedelta(hours=3)
    moved = await carry_out(manager, "MoveDeparture", number, departure_time=far)
    await followed(world)
    answer = await do(manager, "Rebook", moved, ticket_codes=codes[:1], departure_id=target)
    assert done(answer) == {codes[0]: ("DONE", "")}
    answer = await do(manager, "Refund", moved, ticket_codes=codes[1:])
    assert done(answer) == {codes[1]: ("DONE", "")}
    await scenario.drain()
    assert await world.sql("SELECT cause, state FROM refunds") == [("ADMINISTRATOR", "SUCCEEDED")]
    totals = sums((await report(manager, moved)).totals)
    assert (totals["REBOOKED", "tickets"], totals["REFUNDED", "tickets"]) == (1, 1)


async def test_where_nobody_is_rebooked(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    disruption = await waiting(world, manager)
    await manager.cancel(world.departure_id(3))
    for departure, reason in (
        (world.departure_id(), Reason.INVALID_FIELD),
        (world.departure_id(3), Reason.DEPARTURE_CANCELLED),
        (5, Reason.NOT_FOUND),
    ):
        call = do(manager, "Rebook", disruption, departure_id=str(departure))
        assert (await refusal(call)).reason == reason
    wanted = {"departure_id": str(world.departure_id(2)), "class_code": "NONE"}
    answer = await do(manager, "Rebook", disruption, **wanted)
    assert list(done(answer).values()) == [("REFUSED", "OFFER_NOT_AVAILABLE")]


async def test_a_departure_is_not_cancelled_when_its_tickets_are_expired(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Neither on a preview, which says so, nor in the older form; while one is left it is, and the
    preview and the report name those that stay. Seen red: it was cancelled, and gave nothing back.
    """
    order = await scenario.sell(client, world.seat(), passengers=party(3))
    codes = await codes_of(client, order.order_id)
    expire = "UPDATE tickets SET state = 'EXPIRED' WHERE ticket_code = ANY(%s)"
    await world.sql(expire, codes)
    number = world.departure_id()
    for call in (preview(manager, world), carry_out(manager, "CancelDeparture", number)):
        refused = await refusal(call)
        assert refused.reason == Reason.DEPARTURE_OVER
        assert refused.metadata["expired"] == "3"
    older = manager.call(
        "SetDepartureState",
        departure_id=str(number),
        state=catalog_pb2.DEPARTURE_STATE_CANCELLED,
        request_id=request_id(),
    )
    assert (await refusal(older)).reason == Reason.DEPARTURE_OVER
    assert await world.value("SELECT count(*) FROM disruptions") == 0
    await world.sql("UPDATE tickets SET state = 'ACTIVE' WHERE ticket_code <> %s", codes[0])
    await world.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", codes[1])
    planned = await preview(manager, world)
    assert sums(planned.totals)["KEPT", "tickets"] == 2
    disruption = await carry_out(manager, "CancelDeparture", number, preview_id=planned.preview_id)
    await followed(world)
    await scenario.drain()
    assert sums((await report(manager, disruption)).totals) == sums(planned.totals)
    assert {each.reason for each in await rows(manager, disruption)} == {"", "BLOCKED", "EXPIRED"}
    # as the others are, for the invariants
    await world.sql("UPDATE tickets SET state = 'ACTIVE' WHERE state = 'EXPIRED'")
    await world.sql("UPDATE tickets SET blocked = false")
    await look_again(world)
    await scenario.drain()
