"""Where travellers play: the server, which is killed now and then, WeChat, whose notices go
wrong, and an administrator.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
import pytest
from deeptravel.admin.v1 import refund_pb2 as admin_refund_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.ticketing.v1 import refund_pb2

from server.platform.errors import Reason
from tests.support import gate
from tests.support.invariants import assert_invariants
from tests.support.rpc_server import refusal_or_none
from tests.support.server_process import ServerProcess
from tests.support.traveller import (
    World,
)
from tests.support.wechat import WechatSimulator

REST_SECONDS = 60
# What a dead process had taken is free, and what is to be done later is to be done now
LEASES_END = "UPDATE outbox_tasks SET lease_until = now() WHERE lease_until IS NOT NULL"
TIME_PASSES = (
    "UPDATE outbox_tasks SET due_time = now() WHERE state = 'OPEN' AND lease_until IS NULL"
)
AT_REST = """
SELECT NOT EXISTS (SELECT FROM orders WHERE state = 'PENDING')
  AND NOT EXISTS (SELECT FROM refunds WHERE state IN ('PROCESSING', 'ABNORMAL'))
  AND NOT EXISTS (SELECT FROM payments WHERE state = 'PENDING')
  AND NOT EXISTS (SELECT FROM outbox_tasks WHERE state = 'OPEN')
"""
STUCK = {
    "orders": "SELECT order_code, hold_expire_time FROM orders WHERE state = 'PENDING' LIMIT 5",
    "refunds": "SELECT order_id, refund_no, r.state, cause, p.state, p.out_refund_no FROM refunds r"
    " LEFT JOIN refund_parts p USING (order_id, refund_no) WHERE r.state IN ('PROCESSING',"
    " 'ABNORMAL') LIMIT 5",
    "payments": (
        "SELECT p.*, o.state, o.cancel_reason FROM payments p JOIN orders o USING (order_id)"
        " WHERE p.state = 'PENDING' LIMIT 5"
    ),
    "tasks": (
        "SELECT kind, key, state, attempts, lease_until, last_error FROM outbox_tasks"
        " WHERE state <> 'DONE' LIMIT 5"
    ),
    "incidents": (
        "SELECT kind, order_id, facts FROM payment_incidents ORDER BY create_time DESC LIMIT 5"
    ),
}
SWITCHES: list[dict[str, Any]] = [
    {"lost_notices": True},
    {"notice_delay_seconds": 2.0},
    {"notice_copies": 4},
    {"hold_notices": True},
    {"forged_notices": True},
    {"probe_notices": True},
    {"sign_notices": "alternate"},
    {"notice_age_seconds": 900},
    {"refund_seconds": 1.5},
    {"lost_answers": {"prepay": 2, "refund": 2, "close": 1, "query": 1}},
    {"down": {"prepay": 2, "query": 2, "refund": 2, "close": 2}},
    {"limited": {"query": 1, "refund": 1}},
    {"forged_answers": {"query": 1, "prepay": 1}},
]
CLOSED_REFUNDS: dict[str, Any] = {"refund_outcome": "CLOSED"}
"""In some runs: in the others a ticket that is REFUNDING stays given back."""
NOTHING_WRONG: dict[str, Any] = {
    "lost_notices": False,
    "notice_delay_seconds": 0,
    "notice_copies": 1,
    "hold_notices": False,
    "forged_notices": False,
    "probe_notices": False,
    "sign_notices": "public_key",
    "notice_age_seconds": 0,
    "refund_seconds": 0,
    "refund_outcome": "SUCCESS",
    "lost_answers": {},
    "down": {},
    "limited": {},
    "forged_answers": {},
}


@dataclass
class TravellerScenario:
    """The server, which is killed now and then, WeChat, and what is played there."""

    world: World
    wechat: WechatSimulator
    database_url: str
    prepare: Callable[[], ServerProcess]
    server: ServerProcess
    channel: grpc.aio.Channel
    terminal: gate.Terminal
    admin: tuple[tuple[str, str], ...]
    until: float
    seed: str
    refunds_close: bool
    families: list[Any] = field(default_factory=list)
    kills: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    async def kill_now_and_then(self, rng: random.Random) -> None:
        """The server dies and another takes its place."""
        while time.monotonic() < self.until:
            await asyncio.sleep(rng.uniform(3, 7))
            self.server.crash()
            await asyncio.to_thread(self.server.__exit__)
            self.kills += 1
            await self.world.sql(LEASES_END)
            # of whatever it was doing, nothing is half done
            await asyncio.to_thread(assert_invariants, self.database_url)
            self.server = self.prepare()
            await asyncio.to_thread(self.server.start)

    async def trouble_wechat(self, rng: random.Random) -> None:
        """Something goes wrong, then nothing, then something else, until everything has."""
        troubles = [*SWITCHES, CLOSED_REFUNDS] if self.refunds_close else list(SWITCHES)
        rng.shuffle(troubles)
        for trouble in itertools.cycle(troubles):
            await self.wechat.switch(**NOTHING_WRONG | trouble)
            await asyncio.sleep(rng.uniform(0.5, 2))
            await self.wechat.switch(**NOTHING_WRONG)
            await asyncio.sleep(rng.uniform(0, 1))
            if rng.random() < 0.3:
                await self.world.sql(TIME_PASSES)
            if time.monotonic() > self.until:
                break

    async def see_to_refunds(self, rng: random.Random) -> None:
        """What an administrator does about refunds that WeChat has closed: asks again, or leaves
        it at that.
        """
        abnormal = admin_refund_pb2.ListRefundsRequest(state=refund_pb2.REFUND_STATE_ABNORMAL)
        for refund in (await self.admin_client("ListRefunds", abnormal)).refunds:
            named: Any = {"refund_id": refund.refund_id, "request_id": uuid4().hex}
            method = "RetryRefund"
            request: Any = admin_refund_pb2.RetryRefundRequest(**named)
            if refund.tickets and rng.random() < 0.5:
                closed = refund_pb2.REFUND_STATE_CLOSED
                method = "SettleRefund"
                request = admin_refund_pb2.SettleRefundRequest(state=closed, comment="no", **named)
            refused = await refusal_or_none(self.admin_client(method, request))
            # it has settled since, or is being settled
            assert refused is None or refused.reason == Reason.REFUND_REFUSED

    def admin_client(self, method: str, request: Any) -> Any:
        """A call of an administrator."""
        stub = AdminServiceStub(self.channel)
        return getattr(stub, method)(request, metadata=self.admin, timeout=10)

    async def rest(self, rng: random.Random) -> None:
        """Waits until nothing happens any more by itself."""
        await self.wechat.switch(**NOTHING_WRONG)
        try:
            async with asyncio.timeout(REST_SECONDS):
                while not await self.world.value(AT_REST):
                    await self.world.sql(TIME_PASSES)
                    await self.see_to_refunds(rng)
                    await asyncio.sleep(0.3)
        except TimeoutError:
            stuck = {name: await self.world.sql(query) for name, query in STUCK.items()}
            pytest.fail(f"seed {self.seed}: it does not come to rest: {stuck}")
        dead = await self.world.sql(
            "SELECT kind, key, last_error FROM outbox_tasks WHERE state = 'DEAD'"
        )
        assert not dead, f"seed {self.seed}: {dead}"
