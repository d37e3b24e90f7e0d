"""A QR key that others have: rehearsed from the theft to the admission by the new code.

Seen red with forged codes not looked for in the records: what says the jti of a ticket or order is
taken for a genuine one.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from deeptravel.admin.v1 import qr_key_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import access_pb2, redemption_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.credentials import new_partner_key
from server.orders import qr_reissue
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import issuing_keys, keys, qr
from server.tickets.issuing import Sealing, issue
from server.tickets.rules import DIRECT
from tests.support import gate
from tests.support.gate import PASSWORD, QrTicket, Terminal, World, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.issuing import check_redeemed
from tests.support.offline_terminal import VERDICT, OfflineTerminal
from tests.support.partner_client import KEY, PartnerClient
from tests.support.rpc_server import SECRET_KEY
from tests.support.venue_pack import KeptPack, connected
from tests.support.waiting import WAIT_SECONDS

CP = new_partner_key()
LEFT = "SELECT count(*) FROM outbox_tasks WHERE kind = 'qr_key.reissue' AND state = 'OPEN'"
SHOWN = "-ABCDEFGH"
"""A rotating code behind a token: seen red with the digest of both looked for in the records."""
SUBJECTS = "SELECT subject FROM partner_events WHERE type = 'ticket.qr_reissued' ORDER BY 1"
REISSUED = "SELECT count(*) FROM partner_events WHERE type = 'ticket.qr_reissued'"


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with gate.a_world(module_database_url) as filled:
        await filled.sql(KEY, CP.key_id, gate.PARTNER_ID, CP.secret_hash)
        yield filled


@pytest.fixture(scope="module")
async def servers(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[list[GateServer]]:
    """Two processes, but for the machine."""
    async with (
        gate_server(module_database_url, module_redis_url) as one,
        gate_server(module_database_url, module_redis_url) as other,
    ):
        yield [one, other]


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    made = Database(load_settings(), module_database_url)
    yield made
    await made.close()


@pytest.fixture
async def terminal(world: World, servers: list[GateServer]) -> Terminal:
    return await world.log_in(servers[0].channel)


@pytest.fixture
def client(servers: list[GateServer]) -> PartnerClient:
    return PartnerClient.at(servers[0].channel, CP.api_key)


async def code_of(client: PartnerClient, ticket: QrTicket) -> str:
    answer = await client.call("IssueQr", ota.IssueQrRequest(ticket_code=ticket.code))
    return str(answer.encrypted_data)


async def compromise(world: World, server: GateServer, key_id: int = 0) -> qr_key_pb2.QrKey:
    root = await world.log_in(server.channel, "root", device=None)
    request = qr_key_pb2.CompromiseQrKeyRequest(
        qr_key_id=key_id, comment="a laptop was stolen", request_id=uuid4().hex
    )
    admin = AdminServiceStub(server.channel)
    answer = await admin.CompromiseQrKey(request, metadata=root.metadata)
    return answer.qr_key


async def unissued(world: World, server: GateServer) -> list[tuple[str, int, str]]:
    """The redemptions that are listed: ticket, key and its state; a page has one."""
    root = await world.log_in(server.channel, "root", device=None)
    admin, request = AdminServiceStub(server.channel), qr_key_pb2.ListUnissuedRedemptionsRequest()
    request.page_size, found, page = 1, list[tuple[str, int, str]](), None
    while page is None or request.page_token:
        page = await admin.ListUnissuedRedemptions(request, metadata=root.metadata)
        for each in page.redemptions:
            state = qr_key_pb2.QrKeyState.Name(each.qr_key_state)[13:]
            found.append((each.ticket_code, each.qr_key_id, state))
        request.page_token = page.next_page_token
    return found


async def all_issued_anew(world: World) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await world.sql(LEFT))[0][0]:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)


async def test_from_the_theft_to_the_admission(
    world: World,
    servers: list[GateServer],
    terminal: Terminal,
    client: PartnerClient,
    db: Database,
) -> None:
    honest, by_number, early, robbed, untouched = await world.tickets(5)
    codes = [await code_of(client, each) for each in (honest, by_number, early, robbed)]
    forged = [
        world.seal(uuid4(), honest.ticket_id),
        world.seal(uuid4(), honest.ticket_id + 99),
        world.seal(honest.jti, honest.ticket_id),  # of who has read the database too
    ]
    gates = [terminal, terminal.at(servers[1].channel)]
    for at in gates:  # looked at before, so that it is remembered
        assert verdict(await at.decrypt(codes[0])) == ""
    # the thief has read the database too: nobody can know, until the check
    stolen = world.seal(robbed.jti, robbed.ticket_id)
    for token in (codes[2], stolen):
        assert verdict(await gates[1].redeem(token)) == "SUCCESS"
    await check_redeemed(db, clock.now())
    assert await unissued(world, servers[0]) == [(robbed.code, 0, "ACTIVE")]

    assert (await compromise(world, servers[0])).state == qr_key_pb2.QR_KEY_STATE_COMPROMISED
    for at in gates:
        for text in (codes[0], codes[0] + SHOWN):
            answer, look = await at.redeem(text), await at.decrypt(text)
            assert verdict(answer) == verdict(look) == "QR_KEY_COMPROMISED"
            assert answer.ticket_code == look.ticket_code == honest.code
        for token in forged:
            answer, look = await at.redeem(token), await at.decrypt(token)
            assert verdict(answer) == verdict(look) == "TOKEN_INVALID"
            assert answer.ticket_code == look.ticket_code == ""
    supervisor = await world.log_in(servers[1].channel, "sam", "T-2")
    request = redemption_pb2.RedeemByCodeRequest(
        ticket_code=by_number.code, function_code="ferry", comment="key", request_id=uuid4().hex
    )
    assert verdict(await supervisor.call("RedeemByCode", request)) == "SUCCESS"

    await all_issued_anew(world)
    assert await world.sql(REISSUED) == [(4,)]
    recorded = await world.sql("SELECT number, jti FROM qr_issues WHERE replace_time IS NOT NULL")
    reissued = {(each.ticket_id, each.jti) for each in (honest, by_number, early, robbed)}
    assert set(recorded) == reissued
    again = [await code_of(client, each) for each in (honest, by_number)]
    assert verdict(await gates[1].redeem(again[0])) == "SUCCESS"
    assert verdict(await gates[0].redeem(again[0])) == "ALREADY_REDEEMED"
    assert verdict(await gates[0].redeem(again[1])) == "ALREADY_REDEEMED"  # by its number
    assert verdict(await gates[0].redeem(codes[0])) == "QR_KEY_COMPROMISED"
    await check_redeemed(db, clock.now())
    assert await unissued(world, servers[1]) == [(robbed.code, 0, "COMPROMISED")]
    assert await world.uses(untouched) == (1, 1)
    assert await world.contradictions() == []


async def test_it_is_audited_listed_and_done_once(world: World, servers: list[GateServer]) -> None:
    first = await compromise(world, servers[0])
    assert await compromise(world, servers[1]) == first
    root = await world.log_in(servers[1].channel, "root", device=None)
    request = qr_key_pb2.ListQrKeysRequest(page_size=1)
    admin, states = AdminServiceStub(servers[1].channel), list[str]()
    while not states or request.page_token:
        page = await admin.ListQrKeys(request, metadata=root.metadata)
        states += [qr_key_pb2.QrKeyState.Name(each.state)[13:] for each in page.qr_keys]
        request.page_token = page.next_page_token
    assert states == ["COMPROMISED", "ACTIVE"]
    audited = await world.sql(
        "SELECT actor, after ->> 'comment' FROM audit_events WHERE action = 'compromise'"
    )
    assert audited == [("admin:root", "a laptop was stolen")]
    await all_issued_anew(world)


async def test_a_code_of_an_order(
    world: World, servers: list[GateServer], terminal: Terminal, client: PartnerClient
) -> None:
    order, (ticket, _) = await world.order(2)
    request = ota.IssueOrderQrRequest(order_id=order.code)
    code = (await client.call("IssueOrderQr", request)).encrypted_data
    until = datetime.now(UTC) + timedelta(days=1)
    forged = [
        qr.seal(qr.Claims(jti, order.ticket_id, until, qr.QrKind.ORDER), world.ring.active)
        for jti in (uuid4(), order.jti)
    ]
    await compromise(world, servers[0])
    genuine = dict.fromkeys((code, code + SHOWN), "QR_KEY_COMPROMISED")
    refused = dict.fromkeys(forged, "TOKEN_INVALID") | genuine
    for token, reason in refused.items():
        assert verdict(await terminal.redeem(token, ticket_code=ticket.code)) == reason
        assert verdict(await terminal.decrypt(token)) == reason
        look = redemption_pb2.LookupOrderRequest(encrypted_data=token)
        assert verdict(await terminal.call("LookupOrder", look)) == reason
    await all_issued_anew(world)
    again = (await client.call("IssueOrderQr", request)).encrypted_data
    assert verdict(await terminal.redeem(again, ticket_code=ticket.code)) == "SUCCESS"


async def test_of_a_key_from_before_the_records_the_jti_tells(
    world: World, servers: list[GateServer], terminal: Terminal
) -> None:
    await world.sql("UPDATE qr_keys SET is_recorded = false")
    ticket = await world.ticket()
    await compromise(world, servers[0])
    codes = {
        ticket.qr: "QR_KEY_COMPROMISED",
        world.seal(uuid4(), ticket.ticket_id): "TOKEN_INVALID",
    }
    for token, reason in codes.items():
        assert verdict(await terminal.redeem(token)) == reason
        assert verdict(await terminal.decrypt(token)) == reason


async def test_terminals_hear_of_it(
    world: World, servers: list[GateServer], terminal: Terminal, client: PartnerClient
) -> None:
    """One that is connected to whichever process at once, any other with its next pack. A terminal
    that could not know has admitted an honest ticket, which is used then; not so one that could,
    and never by a forged code.
    """
    login = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1", with_offline_key=True
    )
    verify_key = (await terminal.stub.OperatorLogin(login)).offline_verify_key
    pack = KeptPack(verify_key)
    await pack.update(terminal)
    early, late = await world.tickets(2)
    codes = [await code_of(client, each) for each in (early, late)]
    before = int(datetime.now(UTC).timestamp() * 1000) - 1
    async with connected(terminal.at(servers[1].channel), verify_key) as online:
        await compromise(world, servers[0])
        await online.until_asked()
        for each in (online.pack, pack):
            await each.update(terminal)
            assert [*each.configuration.compromised_key_ids] == [0]
    known = pack.configuration
    await all_issued_anew(world)
    assert [each.key_id for each in known.qr_keys] == [1]
    offline, now = OfflineTerminal(terminal), datetime.now(UTC)
    after = int(now.timestamp() * 1000) + 1
    offline.scan(codes[0], at=now, pack_version=before)
    offline.scan(codes[1], at=now, pack_version=after)
    offline.scan(world.seal(uuid4(), late.ticket_id), at=now, pack_version=after)
    verdicts = [VERDICT[each.verdict] for each in (await offline.upload()).scans]
    assert verdicts == ["ACCEPTED", "REFUSED", "MALFORMED"]
    assert (await world.uses(early), await world.uses(late)) == ((0, 1), (1, 1))


async def test_cut_off_it_goes_on_where_it_was(database_url: str) -> None:
    """Of tickets that are over, given back or have another code by now nothing is issued."""
    async with gate.a_world(database_url) as world:
        await cut_off(world, Database(load_settings(), database_url))


async def cut_off(world: World, db: Database) -> None:
    made: list[QrTicket] = await world.tickets(5)
    made += [await world.ticket(state="REFUNDED"), await world.ticket(blocked=True)]
    rotated = await world.ticket()
    for ticket in (*made, rotated):
        await world.sql(
            "INSERT INTO qr_issues VALUES (0, 1, %s, %s, now())", ticket.ticket_id, ticket.jti
        )
    await world.rotate(rotated)
    now = clock.now()
    by: dict[str, Any] = {"actor": "root", "comment": "stolen", "now": now}
    async with db.transaction() as tx:
        await keys.compromise(tx, SECRET_KEY, 0, **by)

    async def some(*, is_cut_off: bool = False) -> int:
        async with db.transaction() as tx:
            done = await qr_reissue.reissue_some(tx, 0, now=now, limit=3)
            if is_cut_off:
                raise InterruptedError
            return done

    assert await some() == 3
    with pytest.raises(InterruptedError):
        await some(is_cut_off=True)
    assert [await some() for _ in range(3)] == [3, 2, 0]
    await db.close()
    assert await world.sql(SUBJECTS) == [(each.code,) for each in made[:5]]


async def test_of_the_key_of_a_partners_day_that_alone_is_refused_and_issued_anew(
    world: World,
    servers: list[GateServer],
    terminal: Terminal,
    client: PartnerClient,
    db: Database,
) -> None:
    """Codes of another day, of our own tickets and of before issuing keys stay good; the thief's
    are never admitted, whichever ticket they name.
    """
    await keys.rotate(db, SECRET_KEY, clock.now(), by_day=True)
    day, until = date(2040, 2, 29), datetime.now(UTC) + timedelta(days=9)
    honest, by_number, other_day, former = await world.tickets(4)
    direct = await world.ticket(partner_id=DIRECT)

    async def issued(tx: AsyncConnection) -> tuple[Sealing, list[str]]:
        active = (await keys.load_key_ring(tx, SECRET_KEY)).active
        codes, sealings = [], []
        for partner_id, of_day, tickets in (
            (gate.PARTNER_ID, day, [honest, by_number]),
            (gate.PARTNER_ID, day + timedelta(days=1), [other_day]),
            (DIRECT, day, [direct]),
        ):
            now = clock.now()
            key = await issuing_keys.obtain(tx, SECRET_KEY, partner_id, of_day, now=now)
            sealings.append(Sealing(active, key))
            claims = [qr.Claims(each.jti, each.ticket_id, until) for each in tickets]
            codes += await issue(tx, claims, sealings[-1])
        return sealings[0], codes

    stolen, codes = await db.in_transaction(issued)
    gates = [terminal, terminal.at(servers[1].channel)]
    for at in gates:
        for code in [*codes, former.qr]:
            assert verdict(await at.decrypt(code)) == ""
    key = await compromise(world, servers[0], stolen.signer_id)
    state = qr_key_pb2.QrKeyState.Name(key.state)
    assert (state[13:], key.partner_code, key.issue_date) == ("COMPROMISED", "CP", "2040-02-29")
    named = [(honest.jti, honest), (uuid4(), honest), (former.jti, former), (direct.jti, direct)]
    forged = [qr.seal(qr.Claims(jti, each.ticket_id, until), *stolen) for jti, each in named]
    for at in gates:
        for code in codes[:2]:
            assert verdict(await at.redeem(code)) == "QR_KEY_COMPROMISED"
            assert verdict(await at.decrypt(code)) == "QR_KEY_COMPROMISED"
        for code in forged:
            assert verdict(await at.redeem(code)) == verdict(await at.decrypt(code))
            assert verdict(await at.decrypt(code)) == "TOKEN_INVALID"
    for code in [*codes[2:], former.qr]:
        assert verdict(await gates[1].redeem(code)) == "SUCCESS"
    supervisor = await world.log_in(servers[1].channel, "sam", "T-2")
    request = redemption_pb2.RedeemByCodeRequest(
        ticket_code=by_number.code, function_code="ferry", comment="key", request_id=uuid4().hex
    )
    assert verdict(await supervisor.call("RedeemByCode", request)) == "SUCCESS"
    await all_issued_anew(world)
    assert await world.sql(SUBJECTS) == [(honest.code,), (by_number.code,)]
    again = await code_of(client, honest)
    assert qr.seal_of(again).key_id not in (0, stolen.signer_id)
    assert verdict(await gates[1].redeem(again)) == "SUCCESS"
    ended = await compromise(world, servers[1], stolen.signer_id)
    assert (ended.issued, ended.replaced) == (2, 2)
    assert await world.contradictions() == []
