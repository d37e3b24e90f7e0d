"""A departure is cancelled or moved on a preview, and reported ticket by ticket: what was previewed
is what happens, rows and sums are the same, and each is done and notified once.
"""

import asyncio
import csv
import io
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from deeptravel.admin.v1 import catalog_pb2, disruption_pb2
from deeptravel.ticketing.v1 import order_pb2

from server.aftersales import disruptions
from server.audit.records import By
from server.platform import clock
from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager, followed, leaves, look_again
from tests.support.order_scenario import (
    OrderScenario,
    a_scenario,
    give_back,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
    request_id,
    traveller_server,
)

OUTCOME = disruption_pb2.DisruptionOutcome
STATE = disruption_pb2.DisruptionState
NOTICE = disruption_pb2.DisruptionNotice
AFTER_CHOICE = catalog_pb2.DEPARTURE_REFUNDS_AFTER_CHOICE
TRAVELLERS = 8


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=4, seats=40) as filled:
        await filled.enrol(*range(1, TRAVELLERS + 1))
        yield filled


async def ask(manager: Manager, method: str, **fields: Any) -> Any:
    request = getattr(disruption_pb2, f"{method}Request")(**fields)
    return await getattr(manager.stub, method)(request, metadata=manager.headers)


async def preview(manager: Manager, world: World, departure: int = 1, **fields: Any) -> Any:
    number = str(world.departure_id(departure))
    return await ask(manager, "PreviewDisruption", departure_id=number, **fields)


async def carry_out(manager: Manager, method: str, number: int, **fields: Any) -> str:
    values = {"departure_id": str(number), "comment": "typhoon", "request_id": request_id()}
    request = getattr(catalog_pb2, f"{method}Request")(**values | fields)
    answer = await getattr(manager.stub, method)(request, metadata=manager.headers)
    return str(answer.disruption_id)


async def rows(manager: Manager, disruption_id: str, **wanted: Any) -> list[Any]:
    """All pages of the tickets of a report."""
    found, token = [], ""
    while True:
        page = await ask(
            manager,
            "ListDisruptionTickets",
            disruption_id=disruption_id,
            page_size=3,
            page_token=token,
            **wanted,
        )
        found += page.tickets
        token = page.next_page_token
        if not token:
            return found


def sums(found: Any) -> Counter[tuple[str, str]]:
    """(outcome, currency): tickets and what goes back of them."""
    counted: Counter[tuple[str, str]] = Counter()
    for each in found:
        name = OUTCOME.Name(each.outcome).removeprefix("DISRUPTION_OUTCOME_")
        counted[name, "tickets"] += getattr(each, "tickets", 1)
        counted[name, each.currency_code] += each.refund_minor
    return counted


async def report(manager: Manager, disruption_id: str) -> Any:
    """A report, whose sums are those of its rows, and each ticket is in it once."""
    found = await ask(manager, "GetDisruption", disruption_id=disruption_id)
    each = await rows(manager, disruption_id)
    assert sums(found.totals) == sums(each)
    assert len({row.ticket_code for row in each}) == len(each)
    assert sum(total.tickets for total in found.notices) == len(each)
    return found


async def sell_all_kinds(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> dict[str, order_pb2.Order]:
    """Orders of every state that a ticket of departure 1 may be in."""
    made = {
        "party": await scenario.sell(client, world.seat(), passengers=party(5)),
        "two": await scenario.sell(client, world.seat(), world.seat(2, SECOND)),
        "given": await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(1)),
    }
    own = await tickets(client, order_id=made["party"].order_id)
    blocked, used, partly, expired = [each.ticket_code for each in own[:4]]
    await world.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", blocked)
    redeem = (
        "UPDATE entitlements SET remaining_uses = 0 FROM tickets t"
        " WHERE t.ticket_id = entitlements.ticket_id AND ticket_code = %s"
    )
    await world.sql(redeem, used)
    await world.sql("UPDATE tickets SET state = 'USED' WHERE ticket_code = %s", used)
    await world.sql(redeem + " AND function_code = 'boarding'", partly)
    await world.sql("UPDATE tickets SET state = 'EXPIRED' WHERE ticket_code = %s", expired)
    await give_back(client, made["given"].order_id)
    made["waiting"] = await client.order(world.seat(fare_class=SECOND), passengers=party(1))
    return made


async def test_what_was_previewed_is_what_happens(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    server: GateServer,
) -> None:
    """Every state of a ticket: the sums of the preview are those of the report in the end. Seen red
    while the report looked at a ticket's state, and the preview at its uses.
    """
    await sell_all_kinds(world, client, scenario)
    planned = await preview(manager, world, page_size=2)
    assert (planned.orders, planned.travellers, planned.waiting_orders) == (3, 1, 1)
    assert planned.connecting_tickets == 2
    assert {each.departure_id for each in planned.alternatives} == {
        str(world.departure_id(departure)) for departure in (2, 3, 4)
    }
    assert all(each.available > 0 for each in planned.alternatives)
    everyone, token = list(planned.tickets), planned.next_page_token
    while token:
        page = await preview(manager, world, page_size=2, page_token=token)
        assert page.preview_id == planned.preview_id
        everyone += page.tickets
        token = page.next_page_token
    assert sums(everyone) == sums(planned.totals)
    assert sum(each.waived_minor for each in planned.totals) > 0

    number = world.departure_id()
    disruption = await carry_out(
        manager, "CancelDeparture", number, preview_id=planned.preview_id, waiver_code="TYPHOON-8"
    )
    await followed(world)
    running = await report(manager, disruption)
    assert STATE.Name(running.state) == "DISRUPTION_STATE_RUNNING"
    await scenario.drain()
    done = await report(manager, disruption)
    assert sums(done.totals) == sums(planned.totals)
    assert STATE.Name(done.state) == "DISRUPTION_STATE_COMPLETED"
    assert (done.waiting_orders, done.orders_left) == (1, 0)
    assert done.disruption.comment == "typhoon"
    assert done.disruption.preview_id == planned.preview_id
    by_reason = Counter(row.reason for row in await rows(manager, disruption) if row.reason)
    assert by_reason == {
        "BLOCKED": 1,
        "BOARDED": 1,
        "EXPIRED": 1,
        "REFUND_REQUESTED_BEFORE": 1,
    }
    back = await rows(manager, disruption, outcome=OUTCOME.DISRUPTION_OUTCOME_REFUNDED)
    assert {row.waiver_code for row in back} == {"TYPHOON-8"}
    kept = await world.sql(
        "SELECT DISTINCT t ->> 'rule', t -> 'facts' ->> 'waiver_code' FROM refunds"
        " CROSS JOIN jsonb_array_elements(tickets) t WHERE cause = 'DEPARTURE_CANCELLED'"
    )
    assert kept == [("DEPARTURE_CANCELLED", "TYPHOON-8")]
    paid_back = sum(row.refund_minor for row in back)
    query = "SELECT sum(amount_minor) FROM refunds WHERE cause = 'DEPARTURE_CANCELLED'"
    assert await world.value(query) == paid_back
    # what is not in the way any more follows, in the same report
    await world.sql("UPDATE tickets SET blocked = false")
    await world.sql("UPDATE entitlements SET remaining_uses = total_uses")
    await world.sql("UPDATE tickets SET state = 'ACTIVE' WHERE state IN ('USED', 'EXPIRED')")
    await look_again(world)
    await scenario.drain()
    assert sums((await report(manager, disruption)).totals)["REFUNDED", "tickets"] == 7
    await _over_json(manager, server, disruption, len(await rows(manager, disruption)))


async def _over_json(manager: Manager, server: GateServer, disruption: str, count: int) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
        url = f"http://127.0.0.1:{server.app.http_port}/admin/disruptions/{disruption}"
        found = await manager.over_json(http, url)
        assert found.json()["disruption"]["waiver_code"] == "TYPHOON-8"
        file = await manager.over_json(http, f"{url}/tickets:download")
        read = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
        assert len(read) == count
        assert Counter(row["outcome"] for row in read)["REFUNDED"] == 7


async def test_an_outdated_preview_is_refused(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """With what has changed, and nothing is done. Seen red without the comparison, without what
    each ticket is in the digest, and without the action in it: then a departure was moved on the
    preview of another time.
    """
    await scenario.sell(client, world.seat(), passengers=party(1))
    number, later = world.departure_id(), await leaves(world) + timedelta(hours=3)
    actions: list[tuple[str, dict[str, Any]]] = [
        ("CancelDeparture", {}),
        ("MoveDeparture", {"departure_time": later}),
    ]
    for method, what in actions:
        planned = await preview(manager, world, **what)
        await scenario.sell(client, world.seat(), passengers=party(1))
        wanted = {"preview_id": planned.preview_id, **what}
        refused = await refusal(carry_out(manager, method, number, **wanted))
        assert refused.reason == Reason.PREVIEW_OUTDATED
        assert "tickets " in refused.metadata["changed"]
        # a ticket that is another, though as many and as dear
        planned = await preview(manager, world, **what)
        await world.sql("UPDATE tickets SET blocked = NOT blocked")
        wanted["preview_id"] = planned.preview_id
        refused = await refusal(carry_out(manager, method, number, **wanted))
        assert refused.reason == Reason.PREVIEW_OUTDATED
        await world.sql("UPDATE tickets SET blocked = false")
    of_another_action = (await preview(manager, world)).preview_id
    another_time = later + timedelta(hours=1)
    of_another_time = (await preview(manager, world, departure_time=another_time)).preview_id
    for text, reason in (
        ("P1-nonsense", Reason.INVALID_FIELD),
        (of_another_action, Reason.PREVIEW_OUTDATED),
        (of_another_time, Reason.PREVIEW_OUTDATED),
    ):
        moved = carry_out(manager, "MoveDeparture", number, departure_time=later, preview_id=text)
        assert (await refusal(moved)).reason == reason
    assert await world.value("SELECT count(*) FROM disruptions") == 0
    assert await world.value("SELECT state FROM departures WHERE departure_id = %s", number) == (
        "SCHEDULED"
    )


async def test_what_cannot_be_previewed(world: World, manager: Manager) -> None:
    over = await leaves(world) - timedelta(days=400)
    refused = await refusal(preview(manager, world, departure_time=over))
    assert refused.reason == Reason.INVALID_FIELD
    unknown = ask(manager, "PreviewDisruption", departure_id="1")
    assert (await refusal(unknown)).reason == Reason.NOT_FOUND
    await manager.cancel(world.departure_id())
    later = await leaves(world) + timedelta(hours=1)
    refused = await refusal(preview(manager, world, departure_time=later))
    assert refused.reason == Reason.DEPARTURE_CANCELLED
    for method in ("GetDisruption", "ListDisruptionTickets"):
        unknown = ask(manager, method, disruption_id=str(uuid4()))
        assert (await refusal(unknown)).reason == Reason.NOT_FOUND


async def test_the_choice_of_travellers(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """One changes for nothing, one takes the money, one waits: each keeps the waiver code."""
    first = await scenario.sell(client, world.seat(), passengers=party(3))
    codes = [each.ticket_code for each in await tickets(client, order_id=first.order_id)]
    planned = await preview(manager, world, refunds=AFTER_CHOICE)
    assert sums(planned.totals)["AWAITING_CHOICE", "tickets"] == 3
    assert sum(each.offered_minor for each in planned.totals) > 0
    number = world.departure_id()
    disruption = await carry_out(
        manager,
        "CancelDeparture",
        number,
        refunds=AFTER_CHOICE,
        preview_id=planned.preview_id,
    )
    await followed(world)
    waiting = await report(manager, disruption)
    assert STATE.Name(waiting.state) == "DISRUPTION_STATE_AWAITING_CHOICE"
    assert sums(waiting.totals)["AWAITING_CHOICE", "tickets"] == 3
    made = await swap(client, codes[0], world.seat(2))
    await give_back(client, first.order_id, codes[1])
    await scenario.drain()
    chosen = {row.ticket_code: row for row in await rows(manager, disruption)}
    names = [OUTCOME.Name(chosen[code].outcome).split("_", 2)[2] for code in codes]
    assert names == ["REBOOKED", "REFUNDED", "AWAITING_CHOICE"]
    assert chosen[codes[0]].new_ticket_code == made.ticket.ticket_code
    waiver = f"OPC-{number}"
    assert [chosen[code].waiver_code for code in codes] == [waiver, waiver, ""]
    # the waiting ends: the same report goes on
    assert await carry_out(manager, "CancelDeparture", number, refunds=1) == ""
    await followed(world)
    await scenario.drain()
    done = await report(manager, disruption)
    assert STATE.Name(done.state) == "DISRUPTION_STATE_COMPLETED"
    assert sums(done.totals)["REFUNDED", "tickets"] == 2
    listed = (await ask(manager, "ListDisruptions", departure_id=str(number))).disruptions
    assert [each.disruption_id for each in listed] == [disruption]


async def test_a_move_is_reported(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Beyond the tolerance refund and change are offered for nothing; the second move has a report
    of its own. Seen red with a repeat that begins a report, and, once it was moved back, without
    the look whether a later move came.
    """
    await scenario.sell(client, world.seat(), passengers=party(2))
    later = await leaves(world) + timedelta(hours=3)
    planned = await preview(manager, world, departure_time=later)
    (total,) = planned.totals
    assert OUTCOME.Name(total.outcome) == "DISRUPTION_OUTCOME_KEPT"
    assert (total.refund_minor, total.offered_minor) == (0, total.paid_minor)
    number = world.departure_id()
    wanted: dict[str, Any] = {"departure_time": later, "preview_id": planned.preview_id}
    first = await carry_out(manager, "MoveDeparture", number, **wanted)
    await followed(world)
    done = await report(manager, first)
    assert sums(done.totals)["KEPT", "tickets"] == 2
    assert {row.reason for row in await rows(manager, first)} == {"DEPARTURE_MOVED"}
    assert STATE.Name(done.state) == "DISRUPTION_STATE_COMPLETED"
    await until_notified(manager, first, 2)
    assert await carry_out(manager, "MoveDeparture", number, departure_time=later) == ""
    again = later + timedelta(hours=1)
    second = await carry_out(manager, "MoveDeparture", number, departure_time=again)
    await followed(world)
    assert sums((await report(manager, second)).totals)["KEPT", "tickets"] == 2
    assert (await report(manager, first)).totals == done.totals
    # back at the time it was sold for, as it was before the first move
    await carry_out(manager, "MoveDeparture", number, departure_time=later - timedelta(hours=3))
    await followed(world)
    assert (await report(manager, first)).totals == done.totals


async def until_notified(manager: Manager, disruption: str, count: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(500):
        found = await rows(manager, disruption)
        if sum(row.notice == NOTICE.DISRUPTION_NOTICE_NOTIFIED for row in found) == count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError([NOTICE.Name(row.notice) for row in found])


async def test_each_traveller_is_notified_once_in_his_language(
    world: World, server: GateServer, scenario: OrderScenario, manager: Manager
) -> None:
    """A party of two hears once. A message that was given up is one in the report."""
    clients = [TravellerClient.of(server.channel, number) for number in (2, 3)]
    for each in clients:
        await scenario.sell(each, world.seat(), passengers=party(2))
    await world.sql(
        "INSERT INTO notification_preferences (traveller_id, language, sms, email, update_time)"
        " VALUES (3, 'en', false, false, now())"
    )
    disruption = await carry_out(manager, "CancelDeparture", world.departure_id())
    await followed(world)
    found = await until_notified(manager, disruption, 4)
    assert Counter(row.language for row in found) == {"zh": 2, "en": 2}
    heard = (
        "SELECT traveller_id, count(*) FROM notifications WHERE kind = 'DEPARTURE_CANCELLED'"
        " GROUP BY 1 ORDER BY 1"
    )
    assert await world.sql(heard) == [(2, 1), (3, 1)]
    await world.sql(
        "INSERT INTO notification_deliveries (traveller_id, number, channel, order_id, kind,"
        " template_id, state, reason, due_time, attempts, create_time, update_time)"
        " SELECT traveller_id, number, 'SMS', order_id, kind, '', 'DEAD', 'x', now(), 12, now(),"
        " now() FROM notifications WHERE kind = 'DEPARTURE_CANCELLED' AND traveller_id = 3"
    )
    counted = {
        NOTICE.Name(each.notice).removeprefix("DISRUPTION_NOTICE_"): each.tickets
        for each in (await report(manager, disruption)).notices
    }
    assert counted == {"NOTIFIED": 2, "FAILED": 2}
    await scenario.drain()


async def test_who_must_act_for_what_failed(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """An order that cannot follow says why until it can, and the others follow; a refund that
    WeChat could not make is finance's.
    """
    broken = await scenario.sell(client, world.seat(), passengers=party(1))
    await world.sql("UPDATE payments SET refunded_minor = amount_minor")
    await scenario.sell(client, world.seat(), passengers=party(1))
    disruption = await carry_out(manager, "CancelDeparture", world.departure_id())
    await world.until("SELECT count(*) = 1 FROM disruption_tickets WHERE failure IS NOT NULL")
    (failed,) = await rows(manager, disruption, outcome=OUTCOME.DISRUPTION_OUTCOME_FAILED)
    assert failed.order_id == broken.order_id
    assert failed.assignee == disruption_pb2.DISRUPTION_ASSIGNEE_ADMINISTRATOR
    assert failed.reason
    await world.until("SELECT count(*) = 1 FROM refunds")
    await scenario.drain()
    state = (await report(manager, disruption)).state
    assert STATE.Name(state) == "DISRUPTION_STATE_NEEDS_ATTENTION"
    await world.sql(
        "UPDATE payments SET refunded_minor = 0 FROM orders o"
        " WHERE o.order_id = payments.order_id AND order_code = %s",
        broken.order_id,
    )
    await world.until("SELECT count(*) = 2 FROM refunds")
    scenario.wechat.state = "ABNORMAL"
    await scenario.drain()
    (failed,) = await rows(manager, disruption, outcome=OUTCOME.DISRUPTION_OUTCOME_FAILED)
    assert (failed.reason, failed.assignee) == (
        "REFUND_ABNORMAL",
        disruption_pb2.DISRUPTION_ASSIGNEE_FINANCE,
    )


async def test_killed_in_the_middle_it_is_gone_on_with(database_url: str, redis_url: str) -> None:
    """SIGKILL to the process at work when some orders have followed; a server that starts ends it,
    and no order has two refunds, events or messages.
    """
    orders = 2 * TRAVELLERS
    async with (
        a_world(database_url, seats=40, departures=2) as world,
        a_scenario(database_url) as scenario,
    ):
        await world.enrol(*range(1, TRAVELLERS + 1))
        async with traveller_server(database_url, redis_url) as selling:
            for number in range(1, TRAVELLERS + 1):
                client = TravellerClient.of(selling.channel, number)
                await scenario.sell(client, world.seat(), passengers=party(1))
                await scenario.sell(client, world.seat(), passengers=party(1))
        by: By = {"actor": "admin:manager", "now": clock.now()}
        async with scenario.db.transaction() as tx:
            await disruptions.cancel(tx, world.departure_id(), refunds="", comment="fog", **by)
        command = [sys.executable, "-m", "tests.support.departure_process", database_url]
        with subprocess.Popen(command) as working:  # noqa: ASYNC220
            await world.until("SELECT count(*) > 2 FROM refunds")
            working.kill()
            await asyncio.to_thread(working.wait)
        assert await world.value("SELECT count(*) FROM refunds") < orders
        # as it is some minutes later
        await world.sql("UPDATE outbox_tasks SET lease_until = now() WHERE lease_until > now()")
        async with traveller_server(database_url, redis_url) as server:
            manager = await Manager.hired(scenario.db, server.channel)
            await followed(world)
            await scenario.drain()
            (disruption,) = (await ask(manager, "ListDisruptions")).disruptions
            done = await report(manager, disruption.disruption_id)
            assert sums(done.totals)["REFUNDED", "tickets"] == orders
            once = "SELECT count(*), count(DISTINCT order_id) FROM "
            assert await world.sql(once + "refunds") == [(orders, orders)]
            heard = "order_events WHERE event = 'departure.cancelled'"
            assert await world.sql(once + heard) == [(orders, orders)]
            await until_notified(manager, disruption.disruption_id, orders)
            heard = "notifications WHERE kind = 'DEPARTURE_CANCELLED'"
            assert await world.sql(once + heard) == [(orders, orders)]
        assert_invariants(database_url)
