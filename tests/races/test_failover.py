"""A primary that is frozen, or waits for its standby: nobody waits for ever, and nothing is done
twice or lost.

Seen red: without a deadline of ours no Redeem succeeded in time after the primary was frozen (161 s
in a trial), and a call whose client had gone had its COMMIT cancelled, so that others saw what the
standby did not have.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.operations import doctor, preparation
from server.operations.findings import Verdict
from server.operations.places import Places
from server.platform import postgres_url
from server.platform.config import load_settings
from server.platform.errors import Reason
from tests.support import databases
from tests.support.gate import Terminal, World, a_world
from tests.support.gate_server import GateServer, gate_server
from tests.support.replicas import Replicas, replicas
from tests.support.rpc_server import SECRET_KEY, read_refusal

DATABASE = "failover"
FAILOVER_SECONDS = 60
"""Without a deadline of ours it took 161 s."""
GONE = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path / "replicas") as running:
        running.primary.ask(f"CREATE DATABASE {DATABASE}")
        preparation.prepare_database(running.url(DATABASE))
        yield running


@pytest.fixture
async def world(pair: Replicas) -> AsyncIterator[World]:
    async with a_world(pair.url(DATABASE)) as made:
        yield made


@pytest.fixture
async def server(world: World, pair: Replicas, redis_url: str) -> AsyncIterator[GateServer]:
    async with gate_server(pair.url(DATABASE), redis_url, drain_seconds=0) as running:
        yield running


def test_commands_read_urls_of_several_hosts(pair: Replicas, redis_url: str) -> None:
    """Also where the first host is the standby, which takes no writes. Seen red: refused as not
    understood.
    """
    hosts = f"127.0.0.1:{pair.standby.port},127.0.0.1:{pair.primary.port}"
    url = f"postgresql://deeptravel:s%40cret@{hosts}/{DATABASE}"
    preparation.prepare_database(url)
    settings = load_settings(database_url=url, redis_url=redis_url, secret_key=SECRET_KEY)
    assert settings.database_url
    findings = list(doctor.check_database(settings, Places(settings.database_url, redis_url)))
    findings += doctor.check_invariants(settings.database_url)
    assert {each.verdict for each in findings if each.subject in ("database", "schema")} == {
        Verdict.OK
    }
    (database,) = [each for each in findings if each.subject == "database"]
    assert f"postgresql://deeptravel@{hosts}/{DATABASE}" in database.found
    assert not [each for each in findings if "cret" in f"{each.found}{each.remedy}"]


async def until_it_succeeds(terminal: Terminal, token: str, request_id: str) -> Any:
    """Redeems as a terminal does: again, with the same id, as long as the server is not
    available.
    """
    while True:
        try:
            return await terminal.redeem(token, request_id=request_id)
        except grpc.aio.AioRpcError as error:
            if read_refusal(error).reason is not Reason.DATABASE_UNAVAILABLE:
                raise
            await asyncio.sleep(0.2)


async def test_a_frozen_primary_is_left_for_the_one_that_is_promoted(
    pair: Replicas, world: World, server: GateServer
) -> None:
    terminal = await Terminal.log_in(server.channel)
    tickets = [await world.ticket() for _ in range(4)]
    assert (await terminal.redeem(tickets[0].qr, request_id="before")).redemption_id

    began = time.monotonic()
    pair.primary.signal(signal.SIGSTOP)
    redeeming = [
        asyncio.create_task(until_it_succeeds(terminal, ticket.qr, f"during-{number}"))
        for number, ticket in enumerate(tickets[1:])
    ]
    await asyncio.sleep(0.5)  # so that all of them are sent to the one that is frozen
    await asyncio.to_thread(pair.promote)
    async with asyncio.timeout(FAILOVER_SECONDS - (time.monotonic() - began)):
        answers = await asyncio.gather(*redeeming)
    assert all(answer.redemption_id for answer in answers)
    again = await terminal.redeem(tickets[0].qr, request_id="before")
    assert again.redemption_id
    count = await asyncio.to_thread(events, pair)
    assert count == len(tickets)


def events(pair: Replicas) -> int:
    """How many redemptions the standby has."""
    url = databases.renamed(pair.standby.url, DATABASE)
    with postgres_url.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM redemption_events").fetchone()
        assert row
        return int(row[0])


async def test_calls_whose_clients_leave_while_the_standby_is_awaited(
    pair: Replicas, world: World, server: GateServer
) -> None:
    """One call is batched with others, and decided without its client; the other is ended with
    its client.
    """
    terminal = await Terminal.log_in(server.channel)
    supervisor = await world.log_in(server.channel, "sam", "T-2")
    used, ticket = await world.ticket(), await world.ticket()
    redemption_id = (await terminal.redeem(used.qr)).redemption_id

    async def facts() -> list[tuple[Any, ...]]:
        return await world.sql(
            "SELECT ticket_id, event_id, result FROM redemption_events ORDER BY 2"
        )

    before = await facts()
    pair.standby.signal(signal.SIGSTOP)
    calls = await asyncio.gather(
        terminal.redeem(ticket.qr, request_id="redeem", deadline_seconds=1.5),
        supervisor.reverse(redemption_id, request_id="reverse", deadline_seconds=1.5),
        return_exceptions=True,
    )
    for failed in calls:
        assert isinstance(failed, grpc.aio.AioRpcError)
        assert failed.code() in GONE
    await asyncio.sleep(0.5)  # nothing shall happen
    assert await facts() == before  # nobody sees what the standby does not have

    pair.standby.signal(signal.SIGCONT)
    async with asyncio.timeout(FAILOVER_SECONDS):
        redeemed = [await until_it_succeeds(terminal, ticket.qr, "redeem") for _ in range(2)]
        reversals = [
            await supervisor.reverse(redemption_id, request_id="reverse") for _ in range(2)
        ]
    assert redeemed[0] == redeemed[1]
    assert reversals[0] == reversals[1]
    assert len(await facts()) == len(before) + 2
