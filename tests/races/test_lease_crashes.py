"""A server that is killed while it leases: each lease is granted or not, never half, and the repeat
of the call agrees with what is so.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel.redemption.v1 import leases_pb2

from tests.support.gate import Terminal, World, a_world, verdict
from tests.support.gate_server import gate_process, gate_server
from tests.support.killed_servers import HELD_THERE, LONG_LOCKS, locked
from tests.support.waiting import WAIT_SECONDS

HELD = f"SELECT pg_advisory_xact_lock({HELD_THERE})"
# each terminal's call is held at another step: as its first row is written, with the lease written
# and nothing else, with all but its audit event, and in the commit itself
KILL_POINTS = f"""
CREATE FUNCTION hold_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF to_jsonb(NEW) ->> TG_ARGV[0] = TG_ARGV[1] THEN
    PERFORM pg_advisory_xact_lock({HELD_THERE});
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a BEFORE UPDATE ON entitlements
  FOR EACH ROW EXECUTE FUNCTION hold_it('leased_by', 'T-1');
CREATE TRIGGER b BEFORE INSERT ON ticket_events
  FOR EACH ROW EXECUTE FUNCTION hold_it('actor', 'terminal:T-2');
CREATE TRIGGER c BEFORE INSERT ON audit_events
  FOR EACH ROW EXECUTE FUNCTION hold_it('name', 'T-3');
CREATE CONSTRAINT TRIGGER d AFTER INSERT ON ticket_events DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION hold_it('actor', 'terminal:T-4');
"""
NO_KILL_POINTS = "DROP FUNCTION hold_it() CASCADE"
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
LEASED = """
SELECT e.leased_by, count(*), min(e.leased_until) FROM entitlements e
WHERE e.leased_by IS NOT NULL GROUP BY 1 ORDER BY 1
"""
TRACES = "SELECT name, action FROM audit_events WHERE resource = 'terminal' ORDER BY 1, 2 DESC"
EVENTS = (
    "SELECT actor, action, count(*) FROM ticket_events WHERE actor LIKE 'terminal:%'"
    " GROUP BY 1, 2 ORDER BY 1, 2 DESC"
)
TICKETS = 3


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as filled:
        yield filled


async def test_a_server_killed_while_it_leases(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Three terminals lease, T-3 gives back what it has.

    Seen red with the leases committed before the rest: T-2 had some that no event, and no answer to
    a repeat, knew of.
    """
    devices = "T-1", "T-2", "T-3", "T-4"
    of = {device: await world.tickets(TICKETS) for device in devices}
    codes = {device: [ticket.code for ticket in tickets] for device, tickets in of.items()}
    asked: dict[str, tuple[str, Any]] = {
        device: (
            "LeaseTickets",
            leases_pb2.LeaseTicketsRequest(
                ticket_codes=codes[device], function_code="ferry", request_id="r-1"
            ),
        )
        for device in devices
    }
    asked["T-3"] = "GiveBackLeases", leases_pb2.GiveBackLeasesRequest(request_id="r-1")
    server = gate_process(database_url, redis_url, tmp_path, settings=LONG_LOCKS)
    await asyncio.to_thread(server.start)
    try:
        async with grpc.aio.insecure_channel(server.target) as channel:
            gates = {device: await world.log_in(channel, device=device) for device in devices}
            await gates["T-3"].lease(*codes["T-3"])
            await world.pg.execute(KILL_POINTS.encode())
            async with locked(database_url, HELD) as wait:
                calls = [
                    asyncio.ensure_future(gates[device].call(*asked[device])) for device in devices
                ]
                await wait(len(devices), "advisory")
                server.crash()
                lost = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, grpc.aio.AioRpcError) for each in lost)
    finally:
        await asyncio.to_thread(server.__exit__)

    async with asyncio.timeout(WAIT_SECONDS):
        while await world.sql(OTHERS) != [(0,)]:  # noqa: ASYNC110 - nobody else tells
            await asyncio.sleep(0.01)
    await world.pg.execute(NO_KILL_POINTS)
    # of T-4 the commit was under way: it is done, though nobody heard of it
    granted = await world.sql(LEASED)
    assert [row[:2] for row in granted] == [("T-3", TICKETS), ("T-4", TICKETS)]
    assert await world.sql(TRACES) == [("T-3", "leased"), ("T-4", "leased")]
    async with gate_server(database_url, redis_url) as another:
        gates = {device: gate.at(another.channel) for device, gate in gates.items()}
        answers = {device: await gates[device].call(*asked[device]) for device in devices}
        await agree(world, answers, granted)
        await each_redeems_its_own(gates, of)


async def agree(world: World, answers: dict[str, Any], granted: list[tuple[Any, ...]]) -> None:
    """What the repeats answered, and what is so."""
    now = await world.sql(LEASED)
    assert [row[:2] for row in now] == [(device, TICKETS) for device in ("T-1", "T-2", "T-4")]
    assert now[2] == granted[1], "a repeat leases nothing for longer"
    for device, _, until in now:
        tickets = answers[device].tickets
        assert [each.HasField("lease_until_time") for each in tickets] == [True] * TICKETS
        shown = {each.lease_until_time.ToMicroseconds() for each in tickets}
        assert shown == {round(until.timestamp() * 1e6)}
    assert answers["T-3"].lease_count == TICKETS
    assert await world.sql(TRACES) == [
        *(("T-1", "leased"), ("T-2", "leased"), ("T-3", "leased")),
        *(("T-3", "lease_ended"), ("T-4", "leased")),
    ]
    assert await world.sql(EVENTS) == [
        *((f"terminal:{device}", "leased", TICKETS) for device in ("T-1", "T-2", "T-3")),
        ("terminal:T-3", "lease_ended", TICKETS),
        ("terminal:T-4", "leased", TICKETS),
    ]


async def each_redeems_its_own(gates: dict[str, Terminal], of: dict[str, Any]) -> None:
    for device, (first, *_) in of.items():
        other = gates["T-4" if device == "T-1" else "T-1"]
        expected = "SUCCESS" if device == "T-3" else "LEASED_ELSEWHERE"
        assert verdict(await other.redeem(first.qr)) == expected
    for device in ("T-1", "T-2", "T-4"):
        assert verdict(await gates[device].redeem(of[device][0].qr)) == "SUCCESS"
