"""Random redemptions, retries, reversals, rotations, refunds and kills: is all that was answered,
and what is left in the database, explained by some serial order?

HISTORY_SECONDS=600 runs it for longer; HISTORY_SEED=... makes the same choices again, though not
the same races.

Seen red: without the row lock of redemptions or of reversals (a use too many or too few, which the
table's check makes a fault), without the rule that looks at the jti (a history with no order),
without looking for stored answers and their key (a repeat that was refused), with ticket and uses
committed before the rest (uses gone without a redemption).
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psycopg
import pytest
from deeptravel.redemption.v1 import redemption_pb2

from server.platform.errors import Reason
from tests.support.gate import (
    STATE,
    QrTicket,
    Terminal,
    World,
    a_world,
    remaining,
    scan_message,
    verdict,
)
from tests.support.gate_server import gate_process
from tests.support.history import NEVER, Call, Step, explain
from tests.support.redemption_model import Entitlement, Model, Outcome, Place
from tests.support.rpc_server import DETAILS, read_refusal
from tests.support.runs import share
from tests.support.server_process import ServerProcess

SECONDS = float(os.environ.get("HISTORY_SECONDS", share(8, 3)))
WORKERS = 8
TICKETS_AT_ONCE = 3
CALLS_OF_A_TICKET = 60

ENTITLEMENTS = (
    Entitlement("ferry"),
    Entitlement("gift", total=2),
    Entitlement("lounge", total=3, use_mode="MULTI_USE", guard_seconds=86_400),
    Entitlement("tokens", total=6, use_mode="MULTI_USE", guard_seconds=0),
)
FUNCTIONS = [entitlement.function_code for entitlement in ENTITLEMENTS]
NOW = datetime(2026, 11, 21, tzinfo=UTC)
HERE = Place(frozenset(FUNCTIONS), NOW)
LOST = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,  # what grpc.aio says of a stream that breaks while it writes
}
"""Without a word from the server: the call may have been done or not."""
AGAIN = {Reason.CONFLICT, Reason.DATABASE_UNAVAILABLE, Reason.SHUTTING_DOWN}


def a_ticket(jti: UUID) -> Model:
    return Model(jti, ENTITLEMENTS, NOW - timedelta(days=1), NOW + timedelta(days=1))


# What each call does to the model


def scanned(name: str, jti: UUID, function: str, quantity: int) -> Step:
    return lambda ticket: ticket.scan(f"{name}/{function}", jti, function, quantity, HERE)


def all_scanned(name: str, jti: UUID, functions: list[str]) -> Step:
    def step(ticket: Model) -> tuple[Any, Model]:
        after, outcomes = ticket, []
        for function in functions:
            outcome, after = scanned(name, jti, function, 1)(after)
            outcomes.append(outcome)
        if all(outcome.result == "SUCCESS" for outcome in outcomes):
            return tuple(outcomes), after
        withheld = Outcome("WITHHELD", "", ticket.state(), ticket.remaining())
        alone = [scanned(name, jti, function, 1)(ticket)[0] for function in functions]
        return tuple(withheld if o.result == "SUCCESS" else o for o in alone), ticket

    return step


def taken_back(redemption: str) -> Step:
    def step(ticket: Model) -> tuple[Any, Model]:
        after = ticket.reverse(redemption)
        if after is None:
            return Reason.REVERSAL_REFUSED, ticket
        return Outcome("REVERSED", "", after.state(), after.remaining()), after

    return step


def rotated(jti: UUID) -> Step:
    return lambda ticket: (True, replace(ticket, jti=jti))


def switched(to: bool) -> Step:
    return lambda ticket: (ticket.blocked != to, replace(ticket, blocked=to))


def moved(before: str, after: str) -> Step:
    def step(ticket: Model) -> tuple[Any, Model]:
        moves = ticket.state() == before
        return moves, replace(ticket, standing=after) if moves else ticket

    return step


# Two servers, one of which is killed now and then


@dataclass
class Servers:
    """Two server processes on one database; `channels` lead to them, both to one while the other
    is started.
    """

    prepare: Callable[[int], ServerProcess]
    stack: AsyncExitStack
    running: list[ServerProcess] = field(default_factory=list)
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    kills: int = 0

    async def begin(self) -> None:
        for slot in range(2):
            server, channel = await self._start(slot)
            self.running.append(server)
            self.channels.append(channel)

    async def kill_now_and_then(self, rng: random.Random, until: float) -> None:
        """The other one goes on; calls go to a dead one, too."""
        while time.monotonic() < until:
            await asyncio.sleep(rng.uniform(0.1, 1.0))
            slot = rng.randrange(2)
            self.running[slot].crash()
            self.kills += 1
            await asyncio.sleep(rng.uniform(0, 0.1))
            self.channels[slot] = self.channels[1 - slot]
            self.running[slot], self.channels[slot] = await self._start(slot)

    async def _start(self, slot: int) -> tuple[ServerProcess, grpc.aio.Channel]:
        server = self.prepare(slot)
        await asyncio.to_thread(server.start)
        self.stack.push_async_callback(asyncio.to_thread, server.__exit__)
        channel = grpc.aio.insecure_channel(server.target)
        return server, await self.stack.enter_async_context(channel)


# The callers

Names = dict[str, str]
"""The names of the model's redemptions by the server's redemption ids, which are known when all
is over.
"""


@dataclass(frozen=True)
class Record:
    """A call as it was seen."""

    name: str
    step: Callable[[Names], Step]
    answer: Any
    invoked: float
    returned: float

    def call(self, names: Names) -> Call:
        """The call in the model's words."""
        answer = self.answer
        if hasattr(answer, "results"):
            answer = tuple(outcome_of(result, names) for result in answer.results)
        elif hasattr(answer, "entitlements"):
            answer = outcome_of(answer, names)
        return Call(self.name, self.step(names), answer, self.invoked, self.returned)


def outcome_of(answer: Any, names: Names) -> Outcome:
    """What an answer says, in the model's words."""
    state, left = STATE[answer.ticket_status], tuple(remaining(answer).items())
    if not hasattr(answer, "result"):
        return Outcome("REVERSED", "", state, left)
    said = verdict(answer)
    if said in ("SUCCESS", "WITHHELD"):
        return Outcome(said, "", state, left)
    earlier = answer.earlier.redemption_id
    return Outcome("REJECT", said, state, left, names[earlier] if earlier else None)


@dataclass
class Tried:
    """A ticket under test: its QR codes, oldest first, the redemptions callers heard of, and
    what was done.
    """

    ticket: QrTicket
    codes: list[QrTicket]
    redemptions: list[str] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


@dataclass
class Caller:
    """A supervisor at a terminal, who does what comes to mind, at either server."""

    world: World
    servers: Servers
    terminal: Terminal
    rng: random.Random
    pg: psycopg.AsyncConnection[Any]
    numbers: "itertools.count[int]"

    async def act(self, tried: Tried) -> None:
        kinds = (self.scan, self.scan_all, self.take_back, self.rotate, self.refund, self.block)
        (kind,) = self.rng.choices(kinds, (60, 8, 14, 6, 8, 4))
        await kind(tried)

    async def scan(self, tried: Tried) -> None:
        name, code = self._name(), self._code(tried)
        function, quantity = self.rng.choice(FUNCTIONS), self.rng.choice((1, 1, 1, 2, 3))
        fields: dict[str, Any] = {"quantity": quantity, "request_id": name}

        async def unary(at: Terminal, seconds: float) -> Any:
            return await at.redeem(code.qr, function, deadline_seconds=seconds, **fields)

        async def streamed(at: Terminal, seconds: float) -> Any:
            stream = at.stream(deadline_seconds=seconds)
            await stream.write(scan_message("1", code.qr, function, **fields))
            await stream.done_writing()
            (message,) = [message async for message in stream]
            (answer,) = message.answers
            return answer.answer if answer.HasField("answer") else answer.failure

        step = scanned(name, code.jti, function, quantity)
        by = unary if self.rng.random() < 0.8 else streamed
        answer = await self._call(tried, name, lambda _: step, by)
        if answer is not None and verdict(answer) == "SUCCESS":
            tried.redemptions.append(answer.redemption_id)

    async def scan_all(self, tried: Tried) -> None:
        name, code = self._name(), self._code(tried)
        functions = self.rng.sample(FUNCTIONS, 2)
        items = [(code.qr, function) for function in functions]

        async def call(at: Terminal, seconds: float) -> Any:
            return await at.redeem_many(
                items, all_or_nothing=True, request_id=name, deadline_seconds=seconds
            )

        step = all_scanned(name, code.jti, functions)
        answer = await self._call(tried, name, lambda _: step, call)
        if answer is not None and answer.all_redeemed:
            tried.redemptions.extend(result.redemption_id for result in answer.results)

    async def take_back(self, tried: Tried) -> None:
        if not tried.redemptions:
            return
        name, redemption_id = self._name(), self.rng.choice(tried.redemptions)

        async def call(at: Terminal, seconds: float) -> Any:
            return await at.reverse(redemption_id, request_id=name, deadline_seconds=seconds)

        await self._call(tried, name, lambda names: taken_back(names[redemption_id]), call)

    async def rotate(self, tried: Tried) -> None:
        code = self.world.another_code(tried.ticket)
        await self._update(tried, rotated(code.jti), "jti = %s", code.jti)
        tried.codes.append(code)

    async def refund(self, tried: Tried) -> None:
        """Begun as the refund service does, and given up at once."""
        for was, to in (("ACTIVE", "REFUNDING"), ("REFUNDING", "ACTIVE")):
            await self._update(tried, moved(was, to), "state = %s", to, f"state = '{was}'")
            await asyncio.sleep(self.rng.uniform(0, 0.02))

    async def block(self, tried: Tried) -> None:
        for to in (True, False):
            await self._update(tried, switched(to), "blocked = %s", to, f"blocked <> {to}")
            await asyncio.sleep(self.rng.uniform(0, 0.02))

    def _name(self) -> str:
        return f"{self.terminal.device}-{next(self.numbers)}"

    def _code(self, tried: Tried) -> QrTicket:
        return tried.codes[-1] if self.rng.random() < 0.85 else self.rng.choice(tried.codes)

    async def _update(
        self, tried: Tried, step: Step, change: str, value: Any, condition: str = "true"
    ) -> None:
        """A move of the ticket by one guarded statement, as other services make it."""
        sql = f"UPDATE tickets SET {change} WHERE ticket_id = %s AND {condition}"
        invoked = time.monotonic()
        cursor = await self.pg.execute(sql, [value, tried.ticket.ticket_id])
        returned = time.monotonic()
        name = f"{change.replace('%s', str(value))} #{next(self.numbers)}"
        record = Record(name, lambda _: step, cursor.rowcount == 1, invoked, returned)
        tried.records.append(record)

    async def _call(
        self,
        tried: Tried,
        name: str,
        step: Callable[[Names], Step],
        call: Callable[[Terminal, float], Awaitable[Any]],
    ) -> Any:
        """Calls until there is an answer or the caller gives up; sometimes once more, for the same
        answer.
        """
        invoked, answer, tries_on = time.monotonic(), None, True
        while answer is None and tries_on:
            answer = await self._attempt(call, 0.02 if self.rng.random() < 0.1 else 20)
            tries_on = self.rng.random() < 0.8
        returned = NEVER if answer is None else time.monotonic()
        tried.records.append(Record(name, step, answer, invoked, returned))
        if answer is not None and self.rng.random() < 0.1:
            assert await self._attempt(call, 20) in (answer, None)
        return None if answer == Reason.REVERSAL_REFUSED else answer

    async def _attempt(
        self, call: Callable[[Terminal, float], Awaitable[Any]], seconds: float
    ) -> Any:
        """The answer; None if it was lost, or the server asks to call again."""
        at = self.terminal.at(self.rng.choice(self.servers.channels))
        try:
            answer = await call(at, self.rng.uniform(0, seconds))
        except grpc.aio.AioRpcError as error:
            is_refusal = DETAILS in dict(error.trailing_metadata() or ())
            reason = read_refusal(error).reason if is_refusal else None
            if reason == Reason.REVERSAL_REFUSED:
                return reason
            if reason in AGAIN or (not is_refusal and error.code() in LOST):
                return None
            raise
        except (asyncio.InvalidStateError, grpc.aio.InternalError):  # of a stream that broke
            return None
        if isinstance(answer, redemption_pb2.ScanFailure):
            assert answer.reason in AGAIN
            return None
        return answer


# The judgement

FINAL = """
SELECT t.ticket_id, t.jti, t.state, t.blocked,
       (SELECT array_agg(remaining_uses ORDER BY function_code) FROM entitlements e
       WHERE e.ticket_id = t.ticket_id), array(SELECT request_id || '/' || function_code
       FROM redemption_events s
             WHERE s.ticket_id = t.ticket_id AND s.result = 'SUCCESS' AND NOT EXISTS (
               SELECT FROM redemption_events r
               WHERE (r.ticket_id, r.reversed_event_id) = (s.ticket_id, s.event_id)))
FROM tickets t
"""
NAMES = """
SELECT lpad(to_hex(ticket_id), 16, '0') || lpad(to_hex(event_id), 16, '0'),
  request_id || '/' || function_code
FROM redemption_events WHERE result = 'SUCCESS'
"""


def judge(tried: Tried, names: Names, final: tuple[Any, ...]) -> None:
    """Fails with the whole history unless a serial order explains it and ends in the final
    state.
    """

    def is_final(ticket: Model) -> bool:
        left = [uses for _, uses in ticket.remaining()]
        redeemed = {redemption.name for redemption in ticket.redemptions}
        return (ticket.jti, ticket.state(), ticket.blocked, left, redeemed) == (
            *final[1:5],
            set(final[5]),
        )

    calls = [record.call(names) for record in tried.records]
    is_explained, order = explain(a_ticket(tried.ticket.jti), calls, is_final)
    if not is_explained:
        lines = [f"{c.invoked:.4f} {c.returned:.4f} {c.name}: {c.answer}" for c in calls]
        report = [f"no serial order explains {final}; this far it can be explained: {order}"]
        pytest.fail("\n".join([*report, *sorted(lines)]))


async def all_is_quiet(world: World) -> None:
    """Returns when what killed servers left behind is done."""
    others = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(30):
        while await world.sql(others):
            pass


async def test_every_history_is_explained_by_a_serial_order(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("HISTORY_SEED", random.SystemRandom().getrandbits(32)))
    print(f"HISTORY_SEED={seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    all_tried: list[Tried] = []
    async with a_world(database_url) as world:
        async with AsyncExitStack() as stack:
            servers = Servers(
                lambda n: gate_process(database_url, redis_url, tmp_path / f"{n}"), stack
            )
            await servers.begin()
            until = time.monotonic() + SECONDS
            callers = [await a_caller(world, servers, rng, n, stack) for n in range(WORKERS)]
            fresh = iter(await world.tickets(round(40 * SECONDS), ENTITLEMENTS))
            shown: list[Tried] = []

            async def work(caller: Caller) -> None:
                while time.monotonic() < until:
                    shown[:] = [t for t in shown if len(t.records) < CALLS_OF_A_TICKET]
                    while len(shown) < TICKETS_AT_ONCE:
                        ticket = next(fresh)
                        shown.append(Tried(ticket, [ticket]))
                        all_tried.append(shown[-1])
                    await caller.act(caller.rng.choice(shown))

            chaos = asyncio.create_task(servers.kill_now_and_then(random.Random(seed), until))
            await asyncio.gather(*map(work, callers))
            await chaos
        await all_is_quiet(world)
        names: Names = dict(await world.sql(NAMES))
        finals = {row[0]: row for row in await world.sql(FINAL)}
        assert await world.contradictions() == []
    for tried in all_tried:
        judge(tried, names, finals[tried.ticket.ticket_id])
    answers = Counter(type(r.answer).__name__ for t in all_tried for r in t.records)
    print(f"{len(all_tried)} tickets, {servers.kills} kills, {answers}")  # noqa: T201
    assert servers.kills


async def a_caller(
    world: World, servers: Servers, rng: random.Random, number: int, stack: AsyncExitStack
) -> Caller:
    terminal = await world.log_in(servers.channels[0], "sam", f"T-{number % 4 + 1}")
    pg = await psycopg.AsyncConnection.connect(world.pg.info.dsn, autocommit=True)
    await stack.enter_async_context(pg)
    mine = random.Random(rng.getrandbits(64))
    return Caller(world, servers, terminal, mine, pg, itertools.count(number, WORKERS))


# The judge itself

JTI = UUID(int=1)
ADMITTED = Outcome(
    "SUCCESS", "", "PARTIALLY_REDEEMED", (("ferry", 0), ("gift", 2), ("lounge", 3), ("tokens", 6))
)
REFUSED = ADMITTED._replace(result="REJECT", reason="ALREADY_REDEEMED", earlier="a/ferry")


def ferry(name: str, answer: Any, invoked: float, returned: float = NEVER) -> Call:
    return Call(name, scanned(name, JTI, "ferry", 1), answer, invoked, returned)


def explained(*calls: Call, redeemed: set[str]) -> list[str] | None:
    is_explained, order = explain(
        a_ticket(JTI), calls, lambda t: {r.name for r in t.redemptions} == redeemed
    )
    return order if is_explained else None


def test_the_judge_accepts_what_can_be() -> None:
    at_once = ferry("b", REFUSED, 1, 5), ferry("a", ADMITTED, 2, 4)
    assert explained(*at_once, redeemed={"a/ferry"}) == ["a", "b"]
    lost = ferry("a", None, 1), ferry("b", REFUSED, 2, 3)
    assert explained(*lost, redeemed={"a/ferry"}) == ["a", "b"]
    assert explained(ferry("a", None, 1), redeemed=set()) == []


def test_the_judge_refuses_what_cannot_be() -> None:
    twice = ferry("a", ADMITTED, 1, 2), ferry("b", ADMITTED, 1, 2)
    assert explained(*twice, redeemed={"a/ferry", "b/ferry"}) is None
    before_its_time = ferry("b", REFUSED, 1, 2), ferry("a", ADMITTED, 3, 4)
    assert explained(*before_its_time, redeemed={"a/ferry"}) is None
    forgotten = (ferry("a", ADMITTED, 1, 2),)
    assert explained(*forgotten, redeemed=set()) is None
    from_nowhere = (ferry("b", REFUSED, 1, 2),)
    assert explained(*from_nowhere, redeemed=set()) is None
    not_yet_begun = ferry("b", REFUSED, 1, 2), ferry("a", None, 3)
    assert explained(*not_yet_begun, redeemed={"a/ferry"}) is None
