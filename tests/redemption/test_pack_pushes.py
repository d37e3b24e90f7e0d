"""What changes of a venue's pack is pushed to the terminals that ask for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from deeptravel.redemption.v1 import access_pb2, redemption_pb2

from server.api.redemption import scan_stream
from server.identity.callers import Operator
from server.platform.errors import DomainError, Reason
from server.platform.loops import Loop
from server.redemption import offline_keys, pack_pushes
from server.redemption.offline_keys import OfflineKeys
from tests.support.gate import PASSWORD, World, a_world, scan_message
from tests.support.gate_server import GateServer, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.venue_pack import KeptPack, connected
from tests.support.waiting import WAIT_SECONDS, until

BLOCK = """
WITH moved AS (UPDATE tickets SET blocked = true WHERE ticket_id = %s RETURNING ticket_id, state)
INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
SELECT ticket_id, 1, 'block', state, 'administrator:root', now() FROM moved
"""


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


@pytest.fixture(scope="module")
async def verify_key(world: World, server: GateServer) -> bytes:
    request = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1", with_offline_key=True
    )
    stub = (await world.log_in(server.channel)).stub
    return (await stub.OperatorLogin(request)).offline_verify_key


async def until_ended(loop: Loop) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while loop.is_running:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_what_changes_is_pushed(world: World, server: GateServer, verify_key: bytes) -> None:
    """Redeemed elsewhere, taken back, blocked, being refunded: each as the pack has it."""
    party = await world.ticket((Entitlement("tokens", total=5, use_mode="MULTI_USE"),))
    bad, last = await world.tickets(2)
    other = await world.log_in(server.channel, "sam", device="T-2")
    async with connected(await world.log_in(server.channel), verify_key) as one:
        tickets = one.pack.tickets
        answer = await other.redeem(party.qr, "tokens", quantity=2)
        await one.until(lambda: tickets[party.ticket_id].uses["tokens"][0] == 3)
        assert tickets[party.ticket_id].uses["tokens"][1] > 0
        await other.reverse(answer.redemption_id, request_id="r1")
        await one.until(lambda: tickets[party.ticket_id].uses["tokens"] == (5, 0))
        await other.redeem("garbage")  # refused: no change
        await world.sql(BLOCK, bad.ticket_id)
        await one.until(lambda: tickets[bad.ticket_id].is_blocked)
        await other.redeem(last.qr)
        await one.until(lambda: tickets[last.ticket_id].uses["ferry"][0] == 0)
        assert one.asked == 1
        fresh = KeptPack(verify_key)
        await fresh.update(one.terminal)
        assert fresh.tickets == tickets
        before = dict(tickets)
        await one.pack.update(one.terminal)
        assert one.pack.tickets == before


async def test_a_push_that_is_lost_is_in_the_next_pack(
    world: World, server: GateServer, verify_key: bytes
) -> None:
    ticket, later = await world.tickets(2)
    async with connected(await world.log_in(server.channel), verify_key) as one:
        kept = KeptPack(verify_key)
        await kept.update(one.terminal)
        await world.sql(BLOCK, ticket.ticket_id)
        await one.until(lambda: one.pack.tickets[ticket.ticket_id].is_blocked)
        assert not kept.tickets[ticket.ticket_id].is_blocked
        await kept.update(one.terminal)
        assert kept.tickets[ticket.ticket_id].is_blocked
        assert not kept.tickets[later.ticket_id].is_blocked


async def test_who_does_not_ask_sees_answers_alone(
    world: World, server: GateServer, verify_key: bytes
) -> None:
    """And the server looks at nothing unless somebody asks; it ends looking with the last."""
    loop = server.app.loops._loops["pack-pushes"]
    await until_ended(loop)  # the streams of before are gone

    def is_looking() -> bool:
        return loop.is_running

    first, second, third = await world.tickets(3)
    silent: Any = (await world.log_in(server.channel, device="T-2")).stream()
    await silent.write(scan_message("1", first.qr))
    assert (await silent.read()).answers[0].scan_id == "1"
    assert not is_looking()
    async with connected(await world.log_in(server.channel), verify_key) as one:
        assert is_looking()
        await silent.write(scan_message("2", second.qr))
        await one.until(lambda: one.pack.tickets[second.ticket_id].uses["ferry"][0] == 0)
        await silent.write(scan_message("3", third.qr))
        await one.until(lambda: one.pack.tickets[third.ticket_id].uses["ferry"][0] == 0)
    for scan_id in ("2", "3"):
        message = await silent.read()
        assert (message.answers[0].scan_id, message.HasField("push")) == (scan_id, False)
    silent.cancel()
    await until_ended(loop)


async def test_a_change_of_another_process_committed_late_comes_once(
    world: World,
    server: GateServer,
    verify_key: bytes,
    module_database_url: str,
    module_redis_url: str,
) -> None:
    """Transactions with lower numbers than others that were pushed already, while one is open that
    holds back the oldest number.

    Seen red with the numbers above the last as what is new: the late one was missed; and without
    what was visible before: each look pushed all again.
    """
    slow, early, late = await world.tickets(3)
    async with (
        await psycopg.AsyncConnection.connect(module_database_url) as holding,
        await psycopg.AsyncConnection.connect(module_database_url) as other,
        gate_server(module_database_url, module_redis_url) as second,
        connected(await world.log_in(server.channel), verify_key) as one,
    ):
        await holding.execute(BLOCK, (slow.ticket_id,))
        await other.execute(BLOCK, (late.ticket_id,))
        await (await world.log_in(second.channel, device="T-2")).redeem(early.qr)
        await one.until(lambda: early.ticket_id in one.pushed)
        await other.commit()
        await one.until(lambda: late.ticket_id in one.pushed)
        versions: list[int] = []
        one.pack.version = 0
        again = await world.ticket()
        await world.sql(BLOCK, again.ticket_id)
        while again.ticket_id not in one.pushed:
            push = (await one.stream.read()).push
            pushed = one.pack.push(push)
            versions += [pushed.tickets.count]
            one.pushed += one.pack.tickets.keys() & {again.ticket_id}
        assert versions == [1]
        await holding.commit()
        await one.until(lambda: one.pack.tickets[slow.ticket_id].is_blocked)


async def test_venues_get_what_they_redeem(
    world: World, server: GateServer, verify_key: bytes
) -> None:
    """SHOP redeems no ferry, and another merchant's pier no gift; of one venue all get the same."""
    ferry, gift = await world.ticket((Entitlement("ferry"),)), await world.ticket()
    shop = await world.log_in(server.channel, device="T-SHOP")
    pier, second = [await world.log_in(server.channel, device=name) for name in ("T-1", "T-2")]
    async with (
        connected(shop, verify_key) as at_shop,
        connected(pier, verify_key) as at_pier,
        connected(second, verify_key) as beside,
    ):
        await pier.redeem(ferry.qr)
        for one in (at_pier, beside):
            await one.until(lambda one=one: ferry.ticket_id in one.pushed)  # type: ignore[misc]
        await pier.redeem(gift.qr, "gift")
        await at_shop.until(lambda: gift.ticket_id in at_shop.pushed)
        assert at_shop.pushed == [gift.ticket_id]
        assert at_shop.pack.tickets[gift.ticket_id].uses == {
            "gift": (0, at_shop.pack.tickets[gift.ticket_id].uses["gift"][1])
        }


async def test_configuration_has_the_terminals_of_the_venue_ask(
    world: World, server: GateServer, verify_key: bytes
) -> None:
    ticket = await world.ticket()
    elsewhere = await world.log_in(server.channel, "nick", device="T-N")
    async with (
        connected(await world.log_in(server.channel), verify_key) as one,
        connected(elsewhere, verify_key) as other,
    ):
        await world.sql(
            "WITH narrowed AS (UPDATE venues SET function_codes = '{ferry}'"
            " WHERE venue_code = 'PIER' RETURNING venue_code)"
            " INSERT INTO change_feed (kind, key) SELECT 'VENUE', venue_code FROM narrowed"
        )
        await one.until_asked()
        while [*one.pack.configuration.function_codes] != ["ferry"]:
            await one.pack.update(one.terminal)  # until log-ins are read anew
        # the stream is of an operator of before: it gets no tickets any more
        await world.sql(BLOCK, ticket.ticket_id)
        await one.until_asked()
        await other.until(lambda: ticket.ticket_id in other.pushed)
        assert (one.pushed, other.asked) == ([], 1)
        await world.sql("INSERT INTO change_feed (kind, key) VALUES ('QR_KEY', '7')")
        await other.until_asked()


async def test_a_cancelled_departure_has_them_ask(
    world: World, server: GateServer, verify_key: bytes
) -> None:
    """Of the catalogue nothing else has."""
    ticket = await world.ticket()
    in_two_days = datetime.now(UTC).date() + timedelta(days=2)
    async with connected(await world.log_in(server.channel), verify_key) as one:
        await world.sql("INSERT INTO change_feed (kind) VALUES ('CATALOGUE')")
        await world.sql(BLOCK, ticket.ticket_id)
        await one.until(lambda: ticket.ticket_id in one.pushed)
        assert one.asked == 1
        async with world.pg.transaction():
            await world.sql("SET LOCAL session_replication_role = replica")  # without a timetable
            await world.sql(
                "INSERT INTO departures (departure_id, timetable_id, travel_date, departure_time,"
                " state) VALUES (5, 1, %s, now(), 'CANCELLED')",
                in_two_days,
            )
            await world.sql("INSERT INTO change_feed (kind) VALUES ('CATALOGUE')")
        await one.until_asked()
        await one.pack.update(one.terminal)
        assert [*one.pack.configuration.cancelled_departure_ids] == [5]


async def test_where_too_much_changes_the_terminals_ask(
    world: World, server: GateServer, verify_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_pushes, "MOST_PUSHED", 1)
    tickets = await world.tickets(3)
    async with connected(await world.log_in(server.channel), verify_key) as one:
        async with world.pg.transaction():
            for ticket in tickets:
                await world.sql(BLOCK, ticket.ticket_id)
        await one.until_asked()
        await one.pack.update(one.terminal)
        assert all(one.pack.tickets[each.ticket_id].is_blocked for each in tickets)


async def test_where_a_push_cannot_be_made_the_terminals_ask(
    world: World, server: GateServer, verify_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red where the error alone went on: the change was never heard of."""
    sign, failed = OfflineKeys.sign, asyncio.Event()

    def fail_once(keys: OfflineKeys, purpose: bytes, content: bytes) -> bytes:
        if purpose == offline_keys.PUSH and not failed.is_set():
            failed.set()
            raise DomainError(Reason.DATABASE_UNAVAILABLE, "not today")
        return sign(keys, purpose, content)

    ticket = await world.ticket()
    async with connected(await world.log_in(server.channel), verify_key) as one:
        monkeypatch.setattr(OfflineKeys, "sign", fail_once)
        await world.sql(BLOCK, ticket.ticket_id)
        await one.until_asked()
        assert failed.is_set()
        await one.pack.update(one.terminal)
        assert one.pack.tickets[ticket.ticket_id].is_blocked


async def test_a_push_reaches_each_of_many_terminals(world: World, server: GateServer) -> None:
    """A few at a time, so that scans are answered between. Seen red with the first few alone."""
    pushes: Any = server.app.loops._loops["pack-pushes"]._run.look.__self__  # type: ignore[union-attr]
    place = "M", "PIER", "T-1", "Asia/Hong_Kong"
    operator = Operator("OPERATOR", uuid4(), "olga", *place, frozenset({"ferry"}), 60)
    received: list[list[Any]] = [[] for _ in range(2 * pack_pushes.AT_ONCE + 1)]
    with contextlib.ExitStack() as following:
        for each in received:
            following.enter_context(pushes.follow(operator, each.append))
        await until(lambda: all(received))
        await world.sql(BLOCK, (await world.ticket()).ticket_id)
        await until(lambda: all(each[-1] for each in received))
    assert len({next(filter(None, each)).packed_tickets for each in received}) == 1


async def test_to_a_terminal_that_does_not_read_pushes_are_dropped(
    world: World, server: GateServer
) -> None:
    nobody: Any = None
    stream = scan_stream.ScanStream(
        nobody,
        submit=nobody,
        serve=nobody,
        answer_message=nobody,
        stopping=asyncio.Event(),
        follow=nobody,
    )
    for _ in range(scan_stream.MAX_PUSHES_WAITING + 1):
        stream._receive(redemption_pb2.PackPush(packed_tickets=b"tickets"))
    assert [*stream._pushes] == [redemption_pb2.PackPush(ask_for_pack=True)]
