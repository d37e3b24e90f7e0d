"""Travellers as callers: log-in, tokens, rights, limits and blocks, through a server and in other
processes.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import traveller_pb2
from google.protobuf import empty_pb2  # noqa: F401 - the pool knows what is imported
from sqlalchemy import func, select

from server.identity.callers import Traveller
from server.identity.models import travellers
from server.identity.travellers import TravellerTokens, log_in, payer
from server.platform import change_feed
from server.platform.errors import DomainError, Reason
from tests.support import databases, probe
from tests.support.admin_client import ADMIN_SERVICE, AdminClient, Headers
from tests.support.admin_rows import BLOCKED_TRAVELLER, TRAVELLER
from tests.support.identity import now
from tests.support.probe import Backend
from tests.support.rpc_server import SECRET_KEY, Node, Offer, refusal_or_none, running_node
from tests.support.waiting import becomes

APP = {"app_id": "wx8888888888888888"}

LOUNGE = probe.service(
    """
syntax = "proto3";
package deeptravel.lounge.v1;
import "deeptravel/common/v1/options.proto";
import "google/protobuf/empty.proto";

service LoungeService {
  rpc Sit(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (deeptravel.common.v1.access) = {roles: [ROLE_TRAVELLER]};
  }
  rpc Serve(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (deeptravel.common.v1.access) = {roles: [ROLE_PARTNER, ROLE_OPERATOR, ROLE_SUPERVISOR]};
  }
}
""",
    "lounge.proto",
)
"""A service with a method of travellers, and one of all others but administrators."""

LOUNGE_SERVICE = Offer(
    LOUNGE,
    lambda backend, server: server.add_generic_rpc_handlers((backend,)),
    lambda _node: Backend([LOUNGE]),
)


@pytest.fixture
async def nodes(
    admin_url: str, redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[tuple[AdminClient, AdminClient]]:
    """Two processes, called by an administrator."""
    async with AsyncExitStack() as stack:
        pair = [
            await stack.enter_async_context(
                running_node(admin_url, redis_url, ADMIN_SERVICE, LOUNGE_SERVICE)
            )
            for _ in range(2)
        ]
        yield AdminClient(pair[0], seeded[1]), AdminClient(pair[1], seeded[1])


@pytest.fixture
def admin_client(nodes: tuple[AdminClient, AdminClient]) -> AdminClient:
    return nodes[0]


@pytest.fixture
def other(nodes: tuple[AdminClient, AdminClient]) -> AdminClient:
    return nodes[1]


def bearer(token: str) -> Headers:
    return (("authorization", f"Bearer {token}"),)


async def logged_in(node: Node, openid: str = "o-lin", **given: Any) -> Traveller:
    facts = {**APP, "openid": openid, "unionid": None, "now": now()} | given
    return await node.db.in_transaction(lambda tx: log_in(tx, **facts))


async def headers_of(node: Node, openid: str = "o-lin") -> Headers:
    traveller = await logged_in(node, openid)
    return bearer(node.identity.travellers.issue(traveller, now()).access_token)


async def outcome(node: Node, headers: Headers, method: str = "Sit") -> Reason | None:
    found = await refusal_or_none(call(node, headers, method))
    return found.reason if found else None


def call(node: Node, headers: Headers, method: str = "Sit") -> Any:
    stub: Any = node.channel.unary_unary(f"/{LOUNGE.full_name}/{method}")
    return stub(b"", metadata=headers)


# Log-in


async def test_a_traveller_is_the_same_at_every_log_in(admin_client: AdminClient) -> None:
    first = await logged_in(admin_client.node, unionid="u-1")
    assert await logged_in(admin_client.node) == first
    assert await logged_in(admin_client.node, "o-other") != first
    assert await logged_in(admin_client.node, app_id="wx-other") != first
    query = select(travellers).where(travellers.c.traveller_id == first.traveller_id)
    async with admin_client.node.db.transaction() as tx:
        row = (await tx.execute(query)).one()
        paying = await payer(tx, first.traveller_id)
    assert (row.unionid, row.state) == ("u-1", "ACTIVE")
    assert row.create_time == row.update_time < row.last_login_time
    assert (paying.app_id, paying.openid) == (APP["app_id"], "o-lin")
    assert 0 < first.traveller_id < 2**53


async def test_a_unionid_that_comes_later_is_kept(admin_client: AdminClient) -> None:
    traveller = await logged_in(admin_client.node)
    await logged_in(admin_client.node, unionid="u-2")
    query = select(travellers.c.unionid).where(travellers.c.traveller_id == traveller.traveller_id)
    assert await admin_client.scalar(query) == "u-2"


async def test_first_log_ins_at_once_make_one_traveller(
    admin_client: AdminClient, other: AdminClient
) -> None:
    made = await asyncio.gather(
        *(logged_in(process.node) for process in (admin_client, other) for _ in range(8))
    )
    assert len(set(made)) == 1
    many = await asyncio.gather(*(logged_in(admin_client.node, f"o-{n}") for n in range(60)))
    assert len(set(many)) == 60
    assert await admin_client.scalar(select(func.count()).select_from(travellers)) == 2 + 1 + 60


async def test_an_id_that_is_taken_is_drawn_again(
    admin_client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([5, 5, 5, 6])
    monkeypatch.setattr("server.identity.travellers.random.getrandbits", lambda _: next(drawn))
    at = now()
    first = await logged_in(admin_client.node, now=at)
    second = await logged_in(admin_client.node, "o-wu", now=at)
    assert second.traveller_id == first.traveller_id + 1


async def test_nobody_pays_for_who_is_unknown(admin_client: AdminClient) -> None:
    async with admin_client.node.db.transaction() as tx:
        with pytest.raises(DomainError) as refused:
            await payer(tx, 1)
    assert refused.value.metadata == {"resource": "traveller", "name": "1"}


# Tokens and rights


async def test_a_token_is_good_in_every_process(
    admin_client: AdminClient, other: AdminClient
) -> None:
    headers = await headers_of(admin_client.node)
    for process in (admin_client, other):
        assert await outcome(process.node, headers) is None
    lower_case = (("authorization", headers[0][1].replace("Bearer ", "bearer   ")),)
    assert await outcome(other.node, lower_case) is None


async def test_who_else_comes_is_refused(
    admin_client: AdminClient, subtests: pytest.Subtests
) -> None:
    traveller = await logged_in(admin_client.node)
    good = admin_client.node.identity.travellers.issue(traveller, now()).access_token
    past = admin_client.node.identity.travellers.issue(traveller, now() - timedelta(hours=3))
    foreign = TravellerTokens(bytes(32), life_seconds=7200).issue(traveller, now())
    ours = TravellerTokens(SECRET_KEY, life_seconds=7200).issue(traveller, now())
    middle = "A" if good[20] != "A" else "B"
    unauthenticated = Reason.UNAUTHENTICATED
    for name, headers, reason in (
        ("ours", bearer(ours.access_token), None),
        ("expired", bearer(past.access_token), unauthenticated),
        ("of another key", bearer(foreign.access_token), unauthenticated),
        ("forged", bearer(good[:20] + middle + good[21:]), unauthenticated),
        ("cut", bearer(good[:-1]), unauthenticated),
        ("nothing in it", bearer("dtt_"), unauthenticated),
        ("other scheme", (("authorization", f"Basic {good}"),), unauthenticated),
        ("no scheme", (("authorization", good),), unauthenticated),
        ("as API key", (("x-api-key", good),), unauthenticated),
        ("nobody", (), unauthenticated),
        ("partner", (await admin_client.partner()).headers, Reason.ROLE_NOT_ALLOWED),
        ("operator", (await admin_client.operator()).headers, Reason.ROLE_NOT_ALLOWED),
        ("administrator", admin_client.headers, Reason.ROLE_NOT_ALLOWED),
    ):
        with subtests.test(name):
            assert await outcome(admin_client.node, headers) == reason


async def test_a_traveller_may_call_what_is_for_travellers_alone(admin_client: AdminClient) -> None:
    headers = await headers_of(admin_client.node)
    assert await outcome(admin_client.node, headers, "Serve") == Reason.ROLE_NOT_ALLOWED
    assert await admin_client.called_by(*headers).reason("ListPartners") == Reason.ROLE_NOT_ALLOWED


async def test_recognising_costs_microseconds_and_no_statement(
    admin_client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 calls a second and more: no statement and no trip to Redis for any of them."""
    identity, metadata = admin_client.node.identity, dict(await headers_of(admin_client.node))
    await identity.authenticate(metadata, "")
    await admin_client.node.feed.stop()
    monkeypatch.setattr(change_feed, "TRUST_SECONDS", math.inf)  # however long the calls take
    await identity.authenticate(metadata, "")
    await admin_client.node.db.close()
    # any statement would fail
    admin_client.node.db.engine.pool.connect = None  # type: ignore[assignment]
    began = time.process_time()
    for _ in range(500):
        caller = await identity.authenticate(metadata, "")
        assert isinstance(caller, Traveller)
        assert await identity.allowance(caller)
    microseconds = (time.process_time() - began) / 500 * 1e6
    del admin_client.node.db.engine.pool.connect
    assert microseconds < 200  # of CPU; 10


async def test_requests_a_minute(admin_url: str, redis_url: str) -> None:
    settings = {"traveller_requests_per_minute": 5}
    async with running_node(admin_url, redis_url, LOUNGE_SERVICE, **settings) as node:
        first, second = await headers_of(node), await headers_of(node, "o-wu")
        assert [await outcome(node, first) for _ in range(6)] == [None] * 5 + [Reason.RATE_LIMITED]
        assert await outcome(node, second) is None
        calling = call(node, second)
        await calling
        trailers = dict(await calling.trailing_metadata())
        assert (trailers["x-ratelimit-limit"], trailers["x-ratelimit-remaining"]) == ("5", "3")
        refused = await refusal_or_none(call(node, first))
        assert refused
        assert refused.retry_seconds
        assert 1 <= refused.retry_seconds <= 12


# Blocks


async def test_a_block_is_seen_everywhere_within_a_second(
    admin_client: AdminClient, other: AdminClient
) -> None:
    """Seen red: without the bump in server/identity/traveller_blocks.py the other process never
    hears of it.
    """
    blocked, free = await headers_of(admin_client.node), await headers_of(admin_client.node, "o-wu")
    traveller = await logged_in(admin_client.node)
    for process in (admin_client, other):
        assert await outcome(process.node, blocked) is None
    named = {"traveller_id": traveller.traveller_id, "comment": "chargebacks"}
    answer = await admin_client.do("BlockTraveller", **named)
    assert answer.traveller.state == traveller_pb2.TRAVELLER_STATE_BLOCKED
    for process in (other, admin_client):
        await becomes(Reason.UNAUTHENTICATED, lambda p=process: outcome(p.node, blocked))  # type: ignore[misc]
        assert await outcome(process.node, free) is None
        with pytest.raises(DomainError) as refused:
            await process.node.identity.travellers.recheck(traveller)
        assert refused.value.reason == Reason.UNAUTHENTICATED
        with pytest.raises(DomainError) as refused:
            await logged_in(process.node)
        assert refused.value.reason == Reason.REVOKED
        assert refused.value.metadata == {
            "resource": "traveller",
            "name": str(traveller.traveller_id),
        }
    await admin_client.do("UnblockTraveller", **named | {"comment": "a mistake"})
    for process in (other, admin_client):
        await becomes(None, lambda p=process: outcome(p.node, blocked))  # type: ignore[misc]
        assert await logged_in(process.node) == traveller


async def test_a_silent_feed_hides_no_block(admin_client: AdminClient, other: AdminClient) -> None:
    """A process that no longer hears of changes asks the database."""
    headers, traveller = await headers_of(admin_client.node), await logged_in(admin_client.node)
    assert await outcome(other.node, headers) is None
    await other.node.feed.stop()
    await admin_client.do("BlockTraveller", traveller_id=traveller.traveller_id, comment="c")
    await becomes(Reason.UNAUTHENTICATED, lambda: outcome(other.node, headers))


async def test_a_log_in_waits_for_the_block_that_is_being_made(admin_client: AdminClient) -> None:
    """Seen red: with a log-in that reads the state before it writes, one slips through."""
    traveller = await logged_in(admin_client.node)
    async with admin_client.node.db.transaction() as tx:
        await tx.execute(
            travellers.update()
            .where(travellers.c.traveller_id == traveller.traveller_id)
            .values(state="BLOCKED")
        )
        trying = asyncio.create_task(logged_in(admin_client.node))
        await databases.until_a_lock_is_waited_for(admin_client.node.db)
        assert not trying.done()
    with pytest.raises(DomainError) as refused:
        await trying
    assert refused.value.reason == Reason.REVOKED


async def test_blocks_in_the_trail(admin_client: AdminClient) -> None:
    """Who, what and why; not whom WeChat means."""
    named = {"traveller_id": TRAVELLER, "comment": "fraud"}
    first = (await admin_client.do("BlockTraveller", **named)).traveller
    again = (await admin_client.do("BlockTraveller", **named)).traveller
    assert again == first
    assert first.update_time.ToNanoseconds() > first.create_time.ToNanoseconds()
    [blocked] = await admin_client.trail("traveller", str(TRAVELLER))
    assert (blocked.action, blocked.actor) == ("block", "admin:root")
    assert dict(blocked.before.items()) == {"state": "ACTIVE"}
    assert dict(blocked.after.items()) == {"state": "BLOCKED", "comment": "fraud"}


async def test_travellers_are_found(admin_client: AdminClient) -> None:
    for filters, found in (
        ({"state": traveller_pb2.TRAVELLER_STATE_BLOCKED}, [BLOCKED_TRAVELLER]),
        ({"state": traveller_pb2.TRAVELLER_STATE_ACTIVE}, [TRAVELLER]),
        ({"openid": f"o-{TRAVELLER}"}, [TRAVELLER]),
        ({"openid": "o-nobody"}, []),
    ):
        page = await admin_client.do("ListTravellers", **filters)
        assert [each.traveller_id for each in page.travellers] == found


async def test_without_a_limit_nothing_is_counted(admin_url: str, redis_url: str) -> None:
    settings = {"traveller_requests_per_minute": 0}
    async with running_node(admin_url, redis_url, LOUNGE_SERVICE, **settings) as node:
        assert await node.identity.allowance(Traveller(1)) is None
