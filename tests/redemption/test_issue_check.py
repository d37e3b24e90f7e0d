"""Redemptions by codes that we did not issue are found, honest ones never; each is looked at once.

Seen red without the comparison of digests: what a thief makes of a ticket or order that has a code
has the key, number and jti of that.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run
from server.redemption import issue_check
from server.tickets import issuing, qr
from server.tickets.issuing import Sealing
from tests.support import gate
from tests.support.gate import QrTicket, Terminal, World, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.issuing import check_redeemed
from tests.support.offline_terminal import OfflineTerminal

UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
TICKET, ORDER = qr.QrKind.TICKET, qr.QrKind.ORDER


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with gate.a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as started:
        yield started


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    made = Database(load_settings(), module_database_url)
    yield made
    await made.close()


def claims_of(ticket: QrTicket, kind: qr.QrKind = TICKET) -> qr.Claims:
    return qr.Claims(ticket.jti, ticket.ticket_id, UNTIL, kind)


async def issued(db: Database, world: World, *claims: qr.Claims) -> list[str]:
    return await db.in_transaction(lambda tx: issuing.issue(tx, claims, Sealing(world.ring.active)))


def forged(world: World, claims: qr.Claims) -> str:
    """As who has the key and the database makes it."""
    return qr.seal(claims, world.ring.active)


async def redeem(terminal: Terminal, *tokens: str) -> None:
    for token in tokens:
        assert verdict(await terminal.redeem(token)) == "SUCCESS"


async def listed(db: Database) -> list[int]:
    async with db.transaction() as tx:
        return [each.ticket_id for each in await issue_check.page(tx, after=None, limit=99)]


async def found(db: Database) -> Sequence[int]:
    await check_redeemed(db, datetime.now(UTC))
    return await listed(db)


async def test_only_what_we_did_not_issue_is_found(
    world: World, terminal: Terminal, db: Database
) -> None:
    honest, again, robbed, refused = await world.tickets(4)
    codes = await issued(db, world, *map(claims_of, (honest, again, again, robbed)))
    assert len(set(codes)) == 4
    await redeem(terminal, codes[0], codes[2], forged(world, claims_of(robbed)))
    unknown = await world.rotate(refused)
    await world.rotate(refused)
    assert verdict(await terminal.redeem(unknown.qr)) == "QR_SUPERSEDED"
    assert await found(db) == [robbed.ticket_id]


async def test_codes_of_orders(world: World, terminal: Terminal, db: Database) -> None:
    order, (first, second) = await world.order(2)
    (code,) = await issued(db, world, claims_of(order, ORDER))
    made = forged(world, claims_of(order, ORDER))
    for token, ticket in ((code, first), (made, second)):
        assert verdict(await terminal.redeem(token, ticket_code=ticket.code)) == "SUCCESS"
    assert await found(db) == [second.ticket_id]


async def test_what_was_redeemed_without_network(
    world: World, terminal: Terminal, db: Database
) -> None:
    honest, robbed = await world.tickets(2)
    (code,) = await issued(db, world, claims_of(honest))
    offline = OfflineTerminal(terminal)
    scans = [offline.scan(token) for token in (code, forged(world, claims_of(robbed)))]
    assert await offline.verdicts(*scans) == ["ACCEPTED", "ACCEPTED"]
    assert await found(db) == [robbed.ticket_id]


async def test_keys_of_before_the_records_say_nothing(
    world: World, terminal: Terminal, db: Database
) -> None:
    before, former = await world.tickets(2)
    await redeem(terminal, forged(world, claims_of(before)))
    await world.sql("UPDATE qr_keys SET is_recorded = false")
    assert await found(db) == []
    await redeem(terminal, forged(world, claims_of(former)))
    # another has got the id since
    await world.sql(
        "UPDATE qr_keys SET is_recorded = true, create_time = now() + interval '1 hour'"
    )
    assert await found(db) == []


async def test_it_goes_on_where_it_was(
    world: World, terminal: Terminal, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces of two, of which one is cut off; what was looked at is not looked at again, unless
    another cluster numbers transactions.
    """
    monkeypatch.setattr(issue_check, "AT_ONCE", 2)
    await check_redeemed(db, datetime.now(UTC))
    robbed = await world.tickets(5)
    await redeem(terminal, *(forged(world, claims_of(each)) for each in robbed))
    with pytest.raises(InterruptedError):
        await db.in_transaction(cut_off)
    assert await listed(db) == []
    assert sorted(await found(db)) == [each.ticket_id for each in robbed]

    await world.sql("DELETE FROM unissued_redemptions")
    assert await found(db) == []
    await world.sql("UPDATE issue_check_marks SET cluster_id = 1")
    async with db.transaction() as tx:
        assert (await issue_check.check(tx, datetime.now(UTC))).more
        (began,) = await run(tx, issue_check._BEGIN())
    assert began.is_known
    assert sorted(await found(db)) == [each.ticket_id for each in robbed]


async def cut_off(tx: AsyncConnection) -> None:
    await issue_check.check(tx, datetime.now(UTC))
    raise InterruptedError


async def test_what_is_not_committed_yet_is_waited_for(
    world: World, terminal: Terminal, db: Database
) -> None:
    """A redemption that is committed first, though it began later, is not passed over to."""
    first, second = await world.tickets(2)
    async with db.transaction() as slow:
        await slow.exec_driver_sql("SELECT pg_current_xact_id()")
        await redeem(terminal, forged(world, claims_of(first)))
        async with db.transaction() as tx:
            assert (await issue_check.check(tx, datetime.now(UTC))).items == 0
    await redeem(terminal, forged(world, claims_of(second)))
    assert sorted(await found(db)) == [first.ticket_id, second.ticket_id]
