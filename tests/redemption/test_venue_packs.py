"""A venue's pack: what is in it, what has changed since, and that no change is missed."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from deeptravel.redemption.v1 import access_pb2, offline_pb2
from nacl.exceptions import BadSignatureError

from server.api.redemption import packs
from server.api.streams import RECHECK_SECONDS
from server.orders import qr_codes
from server.platform import postgres_url
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.platform.statements import Statement
from server.redemption import pack_statements, venue_packs
from tests.support.gate import PASSWORD, Terminal, World, a_world
from tests.support.gate_server import GateServer, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal
from tests.support.venue_pack import KeptPack, connected

FERRY = (Entitlement("ferry"),)
TOKENS = Entitlement("tokens", total=10, use_mode="MULTI_USE")


MOVE = """
WITH moved AS (UPDATE tickets SET state = 'REFUNDING' WHERE ticket_id = %(ticket)s
  RETURNING ticket_id)
INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
SELECT ticket_id, 1, 'refund_requested', 'REFUNDING', 'traveller:1', now() FROM moved
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


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


@pytest.fixture(scope="module")
async def verify_key(world: World, server: GateServer) -> bytes:
    """What a terminal keeps from its first log-in."""
    request = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1", with_offline_key=True
    )
    stub = (await world.log_in(server.channel)).stub
    return (await stub.OperatorLogin(request)).offline_verify_key


async def first_chunk(
    terminal: Terminal, cursor: str
) -> tuple[offline_pb2.GetVenuePackResponse, offline_pb2.PackChunk]:
    """The first chunk after a cursor, signed and opened."""
    request = offline_pb2.GetVenuePackRequest(cursor=cursor)
    async for response in terminal.stub.GetVenuePack(request, metadata=terminal.metadata):
        return response, offline_pb2.PackChunk.FromString(zlib.decompress(response.packed_chunk))
    raise AssertionError("a pack has a chunk")


async def test_a_pack_has_what_a_scan_is_decided_by(
    world: World, server: GateServer, terminal: Terminal, verify_key: bytes
) -> None:
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    blocked = await world.ticket(blocked=True, valid_from_time=begins)
    party = await world.ticket((Entitlement("ferry", total=3), TOKENS, Entitlement("spa")))
    used, refunded = await world.ticket(FERRY), await world.ticket(state="REFUNDED")
    unsold = await world.ticket(state="PRE_GENERATED", order_id=None)
    over = await world.ticket(valid_until_time=datetime.now(UTC) - timedelta(seconds=1))
    elsewhere = await world.ticket((Entitlement("spa"),))
    await terminal.redeem(used.qr)
    await terminal.redeem(party.qr, "tokens", quantity=4)
    pack = KeptPack(verify_key)
    await pack.update(terminal)
    assert pack.tickets.keys() == {each.ticket_id for each in (blocked, party, used, refunded)}, [
        unsold,
        over,
        elsewhere,
    ]
    found = pack.tickets[blocked.ticket_id]
    assert (found.state, found.is_blocked, found.jti) == ("ACTIVE", True, blocked.jti.bytes[:8])
    assert found.valid_from == begins.timestamp() * 1000
    found = pack.tickets[party.ticket_id]
    assert found.state == "PARTIALLY_REDEEMED"
    assert found.terms.code_prefix == "OTA-CP"
    assert found.uses["ferry"] == (3, 0)
    remaining, redeemed_time = found.uses["tokens"]
    assert remaining == 6
    ((when,),) = await world.sql(
        "SELECT redeemed_time FROM redemption_guards WHERE ticket_id = %s", party.ticket_id
    )
    assert abs(redeemed_time - when.timestamp() * 1000) <= 1
    terms = {each.function_code: each for each in found.terms.functions}
    assert (terms["tokens"].total_uses, terms["tokens"].once_per_qr) == (10, False)
    assert terms["ferry"].once_per_qr
    assert [pack.tickets[each.ticket_id].state for each in (used, refunded)] == ["USED", "REFUNDED"]
    known = pack.configuration
    assert [*known.function_codes] == ["ferry", "gift", "lounge", "tokens"]
    assert [key.verify_key for key in known.qr_keys] == [world.ring.active.verify_key]


async def test_a_ticket_says_what_its_orders_qr_is_verified_by(
    world: World, terminal: Terminal, verify_key: bytes, module_database_url: str
) -> None:
    """And the next pack, and a push, say so when the order gets another QR. Seen red without the
    orders among what has changed.
    """
    order, (one, other) = await world.order(2)
    lone = await world.ticket(order_id=1)  # of an order that is none
    await world.sql("UPDATE tickets SET rotation = 3 WHERE ticket_id = %s", other.ticket_id)
    async with connected(terminal, verify_key) as gate:
        known = gate.pack.tickets
        jti = order.jti.bytes[:8] + order.jti.bytes[12:]
        assert known[one.ticket_id].order == (order.ticket_id, jti, 0)
        assert known[other.ticket_id].order == (order.ticket_id, jti, 3)
        assert known[lone.ticket_id].order is None
        pack = KeptPack(verify_key)
        await pack.update(terminal)
        db = Database(load_settings(), module_database_url)
        try:
            async with db.transaction() as tx:
                now = datetime.now(UTC)
                rotating = qr_codes._order(tx, order.ticket_id, rotate=True, actor="p", now=now)
                new = (await rotating).jti.bytes
        finally:
            await db.close()
        expected = order.ticket_id, new[:8] + new[12:], 3
        await gate.until(lambda: known[other.ticket_id].order == expected)
        before = pack.chunks
        await pack.update(terminal)
        assert pack.tickets[other.ticket_id].order == expected
        assert pack.tickets[one.ticket_id].order == (*expected[:2], 0)
        assert pack.chunks == before + 1


@pytest.mark.parametrize("statement", [pack_statements.LIVE, pack_statements.NAMED])
def test_a_page_is_not_joined_row_by_row(database_url: str, statement: Statement[Any]) -> None:
    """Of the rows that a page has read, each with each, however few the planner takes them for: the
    second page of 200,000 tickets took longer than a statement may. Seen red, of those
    that are named, without the part that is empty.
    """
    values = ["'{ferry}'", "now()", "1", "5000"]
    if statement is pack_statements.NAMED:
        values = ["'{ferry}'", "'{1}'"]
    sql = statement.sql.decode()
    for number, value in enumerate(values, 1):
        sql = sql.replace(f"${number}", value)
    with postgres_url.connect(database_url) as connection:
        explained = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode()).fetchone()
    assert explained

    def again_and_again(plan: dict[str, Any]) -> list[str]:
        below = plan.get("Plans", [])
        found = [each for part in below for each in again_and_again(part)]
        if plan["Node Type"] == "Nested Loop" and "CTE Name" in below[1]:
            found.append(below[1]["CTE Name"])
        return found

    assert again_and_again(explained[0][0]["Plan"]) == []


async def test_what_changes_comes_with_the_next(
    world: World, terminal: Terminal, verify_key: bytes
) -> None:
    tickets = await world.tickets(8)
    pack = KeptPack(verify_key)
    await pack.update(terminal)
    before = len(pack.tickets)
    await terminal.redeem(tickets[3].qr)
    await terminal.redeem(tickets[4].qr)
    await terminal.redeem(tickets[4].qr)  # refused: no change
    new = await world.ticket()
    chunks = pack.chunks
    assert await pack.update(terminal) == 1
    assert len(pack.tickets) == before + 1
    assert new.ticket_id in pack.tickets
    assert pack.tickets[tickets[3].ticket_id].uses["ferry"][0] == 0
    assert pack.chunks == chunks + 1
    assert await pack.update(terminal) == 1
    assert pack.configuration.merchant_code == "M"


async def test_what_is_committed_late_is_not_missed(
    world: World, module_database_url: str, terminal: Terminal, verify_key: bytes
) -> None:
    """Transactions that were under way when the pack was read, and have lower numbers than others
    that it has. Seen red with the snapshot's xmax as the cursor.
    """
    moved, rotated, early = await world.tickets(3)
    pack = KeptPack(verify_key)
    await pack.update(terminal)
    async with await psycopg.AsyncConnection.connect(module_database_url) as late:
        await late.execute(MOVE, {"ticket": moved.ticket_id})
        await world.sql(MOVE.replace("%(ticket)s", str(early.ticket_id)))
        await pack.update(terminal)
        assert pack.tickets[early.ticket_id].state == "REFUNDING"
        assert pack.tickets[moved.ticket_id].state == "ACTIVE"
        await late.commit()
    await world.sql(MOVE.replace("%(ticket)s", str(rotated.ticket_id)))
    await pack.update(terminal)
    assert {pack.tickets[each.ticket_id].state for each in (moved, rotated)} == {"REFUNDING"}


async def test_a_terminal_goes_on_after_the_last_chunk_it_has(
    world: World, terminal: Terminal, verify_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venue_packs, "PAGE_TICKETS", 4)
    tickets = await world.tickets(11)
    pack = KeptPack(verify_key)
    assert await pack.update(terminal, most_chunks=1) == 1
    assert not pack.tickets  # the former one is used until the pack is complete
    version = pack.version
    await terminal.redeem(tickets[0].qr)  # of a page that is here, or is to come
    chunks = await pack.update(terminal)
    everything = await world.sql("SELECT count(*) FROM tickets WHERE state <> 'PRE_GENERATED'")
    assert 4 * (chunks + 1) >= everything[0][0]
    assert pack.version == version
    assert {each.ticket_id for each in tickets} <= pack.tickets.keys()
    for ticket in tickets:
        await terminal.redeem(ticket.qr, "gift")
    assert await pack.update(terminal, most_chunks=2) == 2
    await terminal.redeem(tickets[1].qr)
    assert await pack.update(terminal) == 1
    assert {pack.tickets[each.ticket_id].uses["gift"][0] for each in tickets} == {0}
    await pack.update(terminal)
    used = [pack.tickets[ticket.ticket_id].uses["ferry"][0] for ticket in tickets]
    assert used == [0, 0] + [1] * 9


async def test_a_pack_ends_when_its_terminal_is_revoked(
    world: World, server: GateServer, verify_key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venue_packs, "PAGE_TICKETS", 1)
    tickets = await world.tickets(40)
    terminal = await world.log_in(server.channel, device="T-3")
    begun, revoked = asyncio.Event(), asyncio.Event()
    signed = packs.signed_chunk

    async def slowly(*arguments: Any) -> offline_pb2.GetVenuePackResponse:
        begun.set()
        await revoked.wait()
        await asyncio.sleep(RECHECK_SECONDS)
        return await signed(*arguments)

    monkeypatch.setattr(packs, "signed_chunk", slowly)
    pack = KeptPack(verify_key)
    reading = asyncio.create_task(pack.update(terminal))
    await begun.wait()
    await world.change("UPDATE terminals SET state = 'REVOKED' WHERE terminal_device_id = 'T-3'")
    revoked.set()
    assert (await refusal(reading)).reason == Reason.UNAUTHENTICATED
    assert pack.chunks < len(tickets)


async def test_a_cursor_is_good_at_its_terminal_and_configuration_alone(
    world: World, server: GateServer, terminal: Terminal, verify_key: bytes
) -> None:
    await world.tickets(2)
    pack = KeptPack(verify_key)
    await pack.update(terminal)
    other = await world.log_in(server.channel, device="T-2")
    for caller, cursor in ((other, pack.cursor), (terminal, "AAAA"), (terminal, pack.cursor[:-3])):
        assert (await first_chunk(caller, cursor))[1].is_full
    await world.change("UPDATE venues SET function_codes = '{ferry}' WHERE venue_code = 'PIER'")
    while not (answer := await first_chunk(terminal, pack.cursor))[1].is_full:
        pass  # until the server has read the change
    response, chunk = answer
    assert [*chunk.configuration.function_codes] == ["ferry"]
    altered = offline_pb2.GetVenuePackResponse(
        packed_chunk=response.packed_chunk[:-1] + b"!", signature=response.signature
    )
    with pytest.raises(BadSignatureError):
        pack.store(altered)
