"""Random redemptions, retries, reversals, rotations, refunds and kills: is what was answered, and what is left, explained
by some serial order?

HISTORY_SECONDS=600 runs it for longer, HISTORY_SEED=... makes the same choices again (not the same races).
"""

import asyncio
import base64
import itertools
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psycopg

from server import rpc
from server.errors import Reason
from tests.support.gate import STATE, QrTicket, Terminal, World, a_world, remaining, verdict
from tests.support.history import NEVER, Call, Step, explain
from tests.support.redemption_model import Entitlement, Model, Outcome, Place
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess

SECONDS = float(os.environ.get("HISTORY_SECONDS", "20"))
WORKERS = 8
TICKETS_AT_ONCE = 3
CALLS_OF_A_TICKET = 60
PATIENCE_SECONDS = 20.0

ENTITLEMENTS = (
    Entitlement("ferry"),
    Entitlement("gift", total=2),
    Entitlement("lounge", total=3, use_mode="MULTI_USE", guard_seconds=86_400),
    Entitlement("tokens", total=6, use_mode="MULTI_USE", guard_seconds=0),
)
FUNCTIONS = [entitlement.function_code for entitlement in ENTITLEMENTS]
BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
HERE = Place(frozenset(FUNCTIONS), BEGAN)
AGAIN = {
    Reason.CONFLICT,
    Reason.DATABASE_UNAVAILABLE,
    Reason.SERVER_BUSY,
    Reason.SHUTTING_DOWN,
}
"""Failures that ask for a repeat; after some the outcome is unknown until then."""


# The model's side of each call


def scanned(name: str, jti: UUID, function: str, quantity: int) -> Step:
    return lambda ticket: ticket.scan(name, jti, function, quantity, HERE)


def scanned_all_or_nothing(name: str, jti: UUID, functions: list[str]) -> Step:
    def step(ticket: Model) -> tuple[Any, Model]:
        after, outcomes = ticket, []
        for function in functions:
            outcome, after = after.scan(f"{name}/{function}", jti, function, 1, HERE)
            outcomes.append(outcome)
        if all(outcome.result == "SUCCESS" for outcome in outcomes):
            return tuple(outcomes), after
        withheld = Outcome("WITHHELD", "", ticket.state(), ticket.remaining())
        alone = (ticket.scan(name, jti, function, 1, HERE)[0] for function in functions)
        return tuple(withheld if o.result == "SUCCESS" else o for o in alone), ticket

    return step


def reversed_(redemption: str) -> Step:
    def step(ticket: Model) -> tuple[Any, Model]:
        after = ticket.reverse(redemption)
        if after is None:
            return Reason.REVERSAL_REFUSED, ticket
        return ("REVERSED", after.state(), after.remaining()), after

    return step


def moved(**changes: Any) -> Step:
    return lambda ticket: (True, replace(ticket, **changes))


def moved_if(state: str, to: str) -> Step:
    def step(ticket: Model) -> tuple[Any, Model]:
        if ticket.state() != state:
            return False, ticket
        return True, replace(ticket, standing=to)

    return step


# The servers


@dataclass
class Servers:
    """Two server processes on one database, one of which is killed and started again all the time."""

    database_url: str
    redis_url: str
    folder: Path
    stack: AsyncExitStack
    up: dict[int, grpc.aio.Channel] = field(default_factory=dict)
    kills: int = 0
    running: dict[int, ServerProcess] = field(default_factory=dict)

    async def start(self, slot: int) -> None:
        env = {
            "DEEPTRAVEL_DATABASE_URL": self.database_url,
            "DEEPTRAVEL_REDIS_URL": self.redis_url,
            "DEEPTRAVEL_SECRET_KEY": base64.b64encode(SECRET_KEY).decode(),
        }
        server = ServerProcess(data_dir=self.folder / str(slot), env=env)
        await asyncio.to_thread(server.start)
        self.stack.push_async_callback(asyncio.to_thread, server.__exit__)
        self.running[slot] = server
        self.up[slot] = await self.stack.enter_async_context(
            grpc.aio.insecure_channel(server.target)
        )

    async def kill_on(self, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(rng.uniform(0.2, 1.5))
            slot = rng.randrange(2)
            self.running[slot].process.kill()
            await asyncio.sleep(rng.uniform(0, 0.05))  # calls go there although it is dead
            del self.up[slot]
            self.kills += 1
            await self.start(slot)


# The callers


@dataclass
class Recorded:
    """A ticket under test: what its callers know of it, and what they did."""

    first: QrTicket
    codes: list[QrTicket]
    calls: list[Call] = field(default_factory=list)
    redemptions: list[str] = field(default_factory=list)  # ids of those a caller heard of


@dataclass
class Worker:
    """One caller, at one terminal; a supervisor, so that it may reverse."""

    world: World
    servers: Servers
    rng: random.Random
    terminal: Terminal
    pg: psycopg.AsyncConnection[Any]
    numbers: itertools.count[int]
    repeats: int = 0

    async def act(self, ticket: Recorded) -> None:
        """One random call, recorded."""
        kinds = (self.scan, self.scan_many, self.reverse, self.rotate, self.refund, self.block)
        (kind,) = self.rng.choices(kinds, (60, 8, 14, 6, 8, 4))
        await kind(ticket)

    async def scan(self, ticket: Recorded) -> None:
        name, code = self._name(), self._code(ticket)
        function, quantity = self.rng.choice(FUNCTIONS), self.rng.choice((1, 1, 1, 2, 3))
        step = scanned(f"{name}/{function}", code.jti, function, quantity)

        async def call(at: Terminal, deadline: float) -> Any:
            return await at.redeem(
                code.qr, function, quantity=quantity, request_id=name, deadline_seconds=deadline
            )

        answer = await self._remote(ticket, name, step, call)
        if answer and verdict(answer) == "SUCCESS":
            ticket.redemptions.append(answer.redemption_id)

    async def scan_many(self, ticket: Recorded) -> None:
        name, code = self._name(), self._code(ticket)
        functions = self.rng.sample(FUNCTIONS, 2)
        items = [(code.qr, function) for function in functions]

        async def call(at: Terminal, deadline: float) -> Any:
            return await at.redeem_many(items, all_or_nothing=True, request_id=name)

        answer = await self._remote(
            ticket, name, scanned_all_or_nothing(name, code.jti, functions), call
        )
        if answer and answer.all_redeemed:
            ticket.redemptions.extend(result.redemption_id for result in answer.results)

    async def reverse(self, ticket: Recorded) -> None:
        if not ticket.redemptions:
            return
        name, redemption_id = self._name(), self.rng.choice(ticket.redemptions)

        async def call(at: Terminal, deadline: float) -> Any:
            return await at.reverse(redemption_id, request_id=name)

        await self._remote(ticket, name, redemption_id, call)

    async def rotate(self, ticket: Recorded) -> None:
        new = self.world.another_qr(ticket.first)
        sql = "UPDATE tickets SET jti = %s WHERE ticket_id = %s"
        await self._local(ticket, "rotate", moved(jti=new.jti), sql, new.jti)
        ticket.codes.append(new)

    async def refund(self, ticket: Recorded) -> None:
        """Begun, and taken back at once: it is most interesting while it is under way."""
        sql = "UPDATE tickets SET state = %s WHERE ticket_id = %s AND state = %s"
        begin, back = moved_if("ACTIVE", "REFUNDING"), moved_if("REFUNDING", "ACTIVE")
        await self._local(ticket, "refund", begin, sql, "REFUNDING", expected="ACTIVE")
        await asyncio.sleep(self.rng.uniform(0, 0.02))
        await self._local(ticket, "refund fails", back, sql, "ACTIVE", expected="REFUNDING")

    async def block(self, ticket: Recorded) -> None:
        sql = "UPDATE tickets SET blocked = %s WHERE ticket_id = %s"
        await self._local(ticket, "block", moved(blocked=True), sql, True)  # noqa: FBT003
        await asyncio.sleep(self.rng.uniform(0, 0.02))
        await self._local(ticket, "unblock", moved(blocked=False), sql, False)  # noqa: FBT003

    def _name(self) -> str:
        return f"{self.terminal.device}-{next(self.numbers)}"

    def _code(self, ticket: Recorded) -> QrTicket:
        return ticket.codes[-1] if self.rng.random() < 0.85 else self.rng.choice(ticket.codes)
