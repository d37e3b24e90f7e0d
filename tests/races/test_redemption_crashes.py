"""Whatever dies in the middle of a scan (the caller, the server, Redis): nothing is redeemed twice,
nothing half.

"Seen red" says what was taken out of a copy of the server, and how the test failed.
"""

import asyncio
import contextlib
import itertools
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psutil
import psycopg
import pytest
import redis
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

from server.api import interceptor
from server.platform.errors import Reason
from server.platform.idempotency import KeyedCall
from tests.support.gate import (
    QrTicket,
    Terminal,
    World,
    a_world,
    next_answers,
    scan_message,
    verdict,
)
from tests.support.gate_server import gate_process, gate_server
from tests.support.offline_terminal import VERDICT, OfflineTerminal
from tests.support.rpc_server import refusal, refusal_or_none
from tests.support.server_process import ServerProcess
from tests.support.table_rows import rows
from tools.dev.embedded.services import _valkey_binary

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as filled:
        yield filled
        assert await filled.contradictions() == []


# The caller


async def test_calls_that_are_given_up_do_all_or_nothing(
    world: World, database_url: str, redis_url: str
) -> None:
    """At every moment of their way; a repeat without haste tells what became of each."""
    tickets = await world.tickets(300)
    async with gate_server(database_url, redis_url) as server:
        terminal = await world.log_in(server.channel)

        async def hasty(number: int, ticket: QrTicket) -> Any:
            seconds = 0.001 * (1 + number % 60)
            call = terminal.redeem(ticket.qr, request_id=ticket.code, deadline_seconds=seconds)
            try:
                return await call
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                return None

        hurried = await asyncio.gather(*(hasty(n, ticket) for n, ticket in enumerate(tickets)))
        assert await world.contradictions() == []
        answers = await asyncio.gather(*(terminal.redeem(t.qr, request_id=t.code) for t in tickets))
    assert None in hurried
    for first, answer in zip(hurried, answers, strict=True):
        assert verdict(answer) == "SUCCESS"
        assert first in (None, answer)
    assert await world.events() == [("SUCCESS", "")] * len(tickets)


async def test_calls_of_many_that_are_given_up(
    world: World, database_url: str, redis_url: str
) -> None:
    tickets = await world.tickets(100)
    async with gate_server(database_url, redis_url) as server:
        terminal = await world.log_in(server.channel)
        calls = [
            asyncio.create_task(
                terminal.redeem_many(
                    [(t.qr, "ferry"), (t.qr, "gift")], all_or_nothing=True, request_id=t.code
                )
            )
            for t in tickets
        ]
        for _ in range(3):  # once around the loop for each, so that some are at the database
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    events = [await world.events(ticket) for ticket in tickets]
    assert all(of_ticket in ([], [("SUCCESS", "")] * 2) for of_ticket in events)


# A statement


@pytest.mark.parametrize(
    "table",
    ["tickets", "entitlements", "redemption_guards", "redemption_events", "idempotency_records"],
)
async def test_a_redemption_of_which_one_statement_fails_leaves_nothing(
    world: World, database_url: str, redis_url: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: with ticket and uses committed before the rest, the uses were gone without a
    redemption.
    """
    monkeypatch.setattr(interceptor, "log_fault", lambda error: None)
    ticket = await world.ticket()
    async with gate_server(database_url, redis_url) as server:
        terminal = await world.log_in(server.channel)
        before = await rows(database_url)
        await world.sql(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (false) NOT VALID")
        refused = await refusal(terminal.redeem(ticket.qr, request_id="r-1"))
        assert refused.reason == Reason.INTERNAL
        await world.sql(f"ALTER TABLE {table} DROP CONSTRAINT broken")
        assert await rows(database_url) == before
        assert verdict(await terminal.redeem(ticket.qr, request_id="r-1")) == "SUCCESS"


# The connection to the database


async def test_a_lost_connection_leaves_the_outcome_to_the_repeat(
    world: World, database_url: str, redis_url: str
) -> None:
    """All connections are cut, again and again, while scans come; then the server goes on as if
    nothing had been.
    """
    tickets = await world.tickets(400)
    answers: dict[str, Any] = {}
    async with gate_server(database_url, redis_url) as server:
        terminal = await world.log_in(server.channel)

        async def redeem(ticket: QrTicket) -> None:
            while ticket.code not in answers:
                call = terminal.redeem(ticket.qr, request_id=ticket.code)
                refused = await refusal_or_none(note(ticket.code, call))
                assert refused is None or refused.reason == Reason.DATABASE_UNAVAILABLE

        async def note(code: str, call: Awaitable[Any]) -> None:
            answers[code] = await call

        async def cut() -> None:
            for _ in range(20):
                await world.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                await asyncio.sleep(0.01)

        await asyncio.gather(cut(), *map(redeem, tickets))
        assert verdict(await terminal.redeem(tickets[0].qr, "gift")) == "SUCCESS"
    assert {verdict(answer) for answer in answers.values()} == {"SUCCESS"}
    assert await world.events() == [("SUCCESS", "")] * (len(tickets) + 1)


# Redis


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Valkey of the test's own: its URL, and the process."""
    address = tmp_path / "valkey.sock"
    command = [str(_valkey_binary()), "--port", "0", "--unixsocket", str(address), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
    url = f"unix://{address}"
    while True:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
            break
        except redis.ConnectionError:
            assert process.poll() is None
    yield url, process
    process.kill()
    process.wait()


async def test_a_lost_redis_admits_nobody_twice(
    world: World, database_url: str, mortal_redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    """Flushed, then killed while 64 gates scan each ticket; and every call is answered."""
    url, process = mortal_redis
    tickets = await world.tickets(9)
    async with (
        gate_server(database_url, url) as one,
        gate_server(database_url, url) as two,
    ):
        gates = [await world.log_in(one.channel), await world.log_in(two.channel, device="T-2")]
        for number, ticket in enumerate(tickets):
            scans = [asyncio.create_task(gates[n % 2].redeem(ticket.qr)) for n in range(64)]
            if number == 3:
                with redis.Redis.from_url(url) as client:
                    client.flushall()
            if number == 6:
                process.kill()
            verdicts = Counter(map(verdict, await asyncio.gather(*scans)))
            assert verdicts == {"SUCCESS": 1, "ALREADY_REDEEMED": 63}


# The server

Burst = Callable[[Terminal, Sequence[QrTicket]], AsyncIterator[Any]]


async def unary_burst(terminal: Terminal, tickets: Sequence[QrTicket]) -> AsyncIterator[Any]:
    """The answers as they come, 64 calls in flight, until one fails."""
    waiting = iter(tickets)
    calls: set[asyncio.Task[Any]] = set()
    while True:
        for ticket in itertools.islice(waiting, 64 - len(calls)):
            calls.add(asyncio.create_task(terminal.redeem(ticket.qr, request_id=ticket.code)))
        if not calls:
            return
        done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            if call.exception():
                await asyncio.gather(*done, *calls, return_exceptions=True)
                return
            yield call.result()


async def streamed_burst(terminal: Terminal, tickets: Sequence[QrTicket]) -> AsyncIterator[Any]:
    """The answers as they come, 64 scans in flight, until the stream breaks."""
    stream = terminal.stream()
    room = asyncio.Semaphore(64)  # or all may be answered before the first answer is read here

    async def write() -> None:
        for ticket in tickets:
            await room.acquire()
            await stream.write(scan_message(ticket.code, ticket.qr, request_id=ticket.code))
        await stream.done_writing()

    writing = asyncio.create_task(write())
    try:
        async for message in stream:
            for answer in message.answers:
                yield answer.answer
                room.release()
    except grpc.aio.AioRpcError:
        pass
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def answers_until(
    burst: AsyncIterator[Any], count: int, kill: Callable[[], object]
) -> dict[str, Any]:
    """The answers of a burst by ticket code; at the `count`th the server dies."""
    answers: dict[str, Any] = {}
    async for answer in burst:
        answers[answer.ticket_code] = answer
        if len(answers) == count:
            kill()
    return answers


@asynccontextmanager
async def serving(server: ServerProcess, access_token: str) -> AsyncIterator[Terminal]:
    """Starts the server; a terminal that calls it."""
    await asyncio.to_thread(server.start)
    try:
        async with grpc.aio.insecure_channel(server.target) as channel:
            yield Terminal("T-1", access_token, RedemptionServiceStub(channel))
    finally:
        await asyncio.to_thread(server.__exit__)


def assert_as_before(answers: dict[str, Any], before: dict[str, Any]) -> None:
    """All are admitted, and whoever was answered before is answered the same."""
    assert {verdict(answer) for answer in answers.values()} == {"SUCCESS"}
    for code in answers.keys() & before.keys():
        assert answers[code] == before[code]


async def test_a_killed_server_has_redeemed_each_ticket_once_or_not(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Killed in the middle of a burst of calls, then of a stream; then everything is repeated.

    Seen red: without looking for stored answers, whoever was answered before got CONFLICT.
    """
    tickets = await world.tickets(500)
    token = (await world.log_in(grpc.aio.insecure_channel("unused"))).access_token
    before: dict[str, Any] = {}
    for burst, shown in ((unary_burst, tickets), (streamed_burst, tickets[::-1])):
        server = gate_process(database_url, redis_url, tmp_path)
        async with serving(server, token) as terminal:
            answers = await answers_until(burst(terminal, shown), 100, server.crash)
        assert 100 <= len(answers) < len(tickets)
        assert_as_before(answers, before)
        before |= answers
        assert await world.contradictions() == []
    async with serving(gate_process(database_url, redis_url, tmp_path), token) as terminal:
        answers = await answers_until(unary_burst(terminal, tickets), 0, lambda: None)
    assert_as_before(answers, before)
    assert answers.keys() == {ticket.code for ticket in tickets}
    assert await world.events() == [("SUCCESS", "")] * len(tickets)


async def test_a_server_killed_before_it_hears_of_its_commit(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Its last statement waits for us, the commit stands behind it: the redemption is done, and
    nobody got an answer.
    """
    ticket = await world.ticket()
    token = (await world.log_in(grpc.aio.insecure_channel("unused"))).access_token
    long_timeout = {"DEEPTRAVEL_BATCH_LOCK_TIMEOUT_MS": "30000"}
    server = gate_process(database_url, redis_url, tmp_path, settings=long_timeout)
    async with (
        serving(server, token) as terminal,
        await psycopg.AsyncConnection.connect(world.pg.info.dsn) as pg,
    ):
        call = KeyedCall.of("terminal:T-1", "Redeem", "r-1", b"")
        await pg.execute(
            "INSERT INTO idempotency_records VALUES (%s, '', '', now())", [UUID(call.key)]
        )
        redeeming = asyncio.create_task(terminal.redeem(ticket.qr, request_id="r-1"))
        await world.waits_for_a_lock()
        server.crash()
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await redeeming
        assert lost.value.code() == UNAVAILABLE
        await pg.rollback()
    async with serving(gate_process(database_url, redis_url, tmp_path), token) as terminal:
        assert verdict(await terminal.redeem(ticket.qr, request_id="r-1")) == "SUCCESS"
    assert await world.events() == [("SUCCESS", "")]


async def test_a_killed_worker_has_redeemed_each_ticket_once_or_not(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """One of two that share a port; whoever was connected to it calls again, and reaches one
    that lives.
    """
    tickets = await world.tickets(500)
    token = (await world.log_in(grpc.aio.insecure_channel("unused"))).access_token
    server = gate_process(database_url, redis_url, tmp_path, "--workers", "2")
    own_connection = [("grpc.use_local_subchannel_pool", 1)]
    async with serving(server, token) as terminal, contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(server.target, own_connection)
            )
            for _ in range(8)
        ]
        answers: dict[str, Any] = {}
        killed: list[psutil.Process] = []

        async def redeem(number: int, ticket: QrTicket) -> None:
            at = terminal.at(channels[number % len(channels)])
            while ticket.code not in answers:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answers[ticket.code] = await at.redeem(ticket.qr, request_id=ticket.code)
                if len(answers) >= 100 and not killed:
                    killed.append(psutil.Process(server.process.pid).children()[0])
                    killed[0].kill()
                await asyncio.sleep(0.01)  # not to call a closed connection all the time

        await asyncio.gather(*itertools.starmap(redeem, enumerate(tickets)))
    assert {verdict(answer) for answer in answers.values()} == {"SUCCESS"}
    assert await world.events() == [("SUCCESS", "")] * len(tickets)


async def test_calls_of_many_of_a_killed_server_are_whole(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    tickets = await world.tickets(300)
    token = (await world.log_in(grpc.aio.insecure_channel("unused"))).access_token
    answers: list[Any] = []
    for is_last in (False, True):
        server = gate_process(database_url, redis_url, tmp_path)
        async with serving(server, token) as terminal:
            calls = [
                asyncio.create_task(
                    terminal.redeem_many(
                        [(one.qr, "ferry"), (other.qr, "gift")],
                        all_or_nothing=True,
                        request_id=one.code,
                    )
                )
                for one, other in zip(tickets, tickets[::-1], strict=True)
            ]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            if not is_last:
                server.crash()
            answers = await asyncio.gather(*calls, return_exceptions=not is_last)
        rows = await world.sql(
            "SELECT count(*) FROM redemption_events WHERE result = 'SUCCESS' GROUP BY request_id"
        )
        assert {count for (count,) in rows} == {2}
    assert all(answer.all_redeemed for answer in answers)
    assert await world.events() == [("SUCCESS", "")] * 2 * len(tickets)


def party_message(order: QrTicket, tickets: Sequence[QrTicket]) -> Any:
    """A whole party, by the QR of its order."""
    items = [
        redemption_pb2.RedeemItem(qr_token=order.qr, function_code="ferry", ticket_code=each.code)
        for each in tickets
    ]
    party = redemption_pb2.RedeemManyRequest(
        items=items, all_or_nothing=True, request_id=order.code
    )
    return redemption_pb2.ScanStreamRequest(scan_id=order.code, party=party)


def reversal_message(redemption_id: str) -> Any:
    reversal = redemption_pb2.ReverseRedemptionRequest(
        redemption_id=redemption_id, comment="a mistake", request_id=redemption_id
    )
    return redemption_pb2.ScanStreamRequest(scan_id=redemption_id, reversal=reversal)


async def asked(
    terminal: Terminal, messages: Sequence[Any], kill: Callable[[], object] | None = None
) -> dict[str, Any]:
    """The answers to all, by their ids; or, of a server that dies at the first, those that came."""
    stream, answers = terminal.stream(), dict[str, Any]()
    for message in messages:
        await stream.write(message)
    with contextlib.suppress(grpc.aio.AioRpcError):
        while len(answers) < len(messages):
            answers |= {answer.scan_id: answer for answer in await next_answers(stream)}
            if kill:
                kill()
    stream.cancel()
    return answers


async def test_parties_and_reversals_on_the_stream_of_a_killed_server(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Killed between questions and answers, twice; asked again with the same ids each is done once,
    and whoever was answered before is answered the same.
    """
    orders = [await world.order(2) for _ in range(40)]
    parties = [party_message(*each) for each in orders]
    offline = grpc.aio.insecure_channel("unused")
    token = (await world.log_in(offline, "sam")).access_token

    def process() -> ServerProcess:
        return gate_process(database_url, redis_url, tmp_path)

    server = process()
    async with serving(server, token) as terminal:
        first = await asked(terminal, parties, server.crash)
    server = process()
    async with serving(server, token) as terminal:
        answers = await asked(terminal, parties)
        ids = [each.redemption_id for a in answers.values() for each in a.party.results]
        reversals = [reversal_message(each) for each in ids]
        taken_back = await asked(terminal, reversals, server.crash)
    async with serving(process(), token) as terminal:
        again = await asked(terminal, reversals)
        assert await asked(terminal, parties) == answers
    assert len(ids) == 2 * len(orders)
    assert all(each.party.all_redeemed for each in answers.values())
    assert first.items() <= answers.items()
    assert taken_back.items() <= again.items()
    assert {each.WhichOneof("outcome") for each in again.values()} == {"reversal"}
    found = Counter(result for result, _ in await world.events())
    assert found == {"SUCCESS": len(ids), "REVERSED": len(ids)}


async def test_an_upload_of_a_killed_server_is_gone_on_with(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """What has a verdict keeps it, and the rest gets one."""
    tickets = await world.tickets(1_000)
    gate = OfflineTerminal(await world.log_in(grpc.aio.insecure_channel("unused")))
    token = gate.terminal.access_token
    known = "SELECT scan_hash, verdict, answer FROM offline_scans ORDER BY scan_hash"
    for ticket in [*tickets, *tickets[:10]]:
        gate.scan(ticket.qr)
    kept: list[Any] = []
    answers: list[Any] = []
    for is_last in (False, True):
        server = gate_process(database_url, redis_url, tmp_path)
        async with serving(server, token) as terminal:
            gate.terminal = terminal
            calls = [
                asyncio.create_task(gate.upload(part))
                for part in (gate.scans[:600], gate.scans[400:])
            ]
            while not kept:
                kept = await world.sql(known)
            if not is_last:
                server.crash()
            answers = await asyncio.gather(*calls, return_exceptions=not is_last)
        if not is_last:
            kept = await world.sql(known)
    assert 0 < len(kept) < len(gate.scans)
    assert {*kept} <= {*await world.sql(known)}
    accepted = Counter(VERDICT[scan.verdict] for scan in answers[0].scans)
    assert accepted == {"ACCEPTED": 600}
    found = Counter(VERDICT[scan.verdict] for scan in answers[1].scans)
    assert found == {"ACCEPTED": 600, "DUPLICATE": 10}
    assert await world.events() == [("SUCCESS", "")] * len(tickets)
