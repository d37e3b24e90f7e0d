"""Changes seen in other processes, partners and their limits, sessions, purge and audit, on a real
database and Valkey.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import ColumnElement, Table, func, select

from server.audit.models import audit_events
from server.audit.trail import AuditedChange, audit
from server.identity import credentials, keys
from server.identity.callers import Admin, Operator, Partner
from server.identity.credentials import new_partner_key
from server.identity.models import (
    accounts,
    login_failures,
    logins,
    partner_keys,
    validator_sessions,
)
from server.identity.service import purge_logins
from server.parties.models import merchants, partners, terminals, venues
from server.platform import change_feed, redis_client
from server.platform.config import load_settings
from server.platform.errors import DomainError, Reason
from server.platform.statements import run
from tests.support.identity import (
    KEY,
    OTHER_KEY,
    PASSWORD,
    Server,
    bearer,
    now,
    reason_of,
    refresh_later,
    refused_within_a_second,
    running,
    seed,
)
from tests.support.waiting import WAIT_SECONDS, WITHIN_SECONDS, becomes


@pytest.fixture
async def server(module_database_url: str, module_redis_url: str) -> AsyncIterator[Server]:
    async with running(load_settings(), module_database_url, module_redis_url) as one:
        await seed(one.db)
        yield one


@pytest.fixture
async def other(
    server: Server, module_database_url: str, module_redis_url: str
) -> AsyncIterator[Server]:
    """Another process on the same database."""
    async with running(load_settings(), module_database_url, module_redis_url) as two:
        yield two


# Changes seen in other processes

REVOKED: list[tuple[Table, ColumnElement[bool]]] = [
    (accounts, accounts.c.username == "olga"),
    (terminals, terminals.c.terminal_device_id == "T-PIER"),
    (venues, venues.c.venue_code == "PIER"),
    (merchants, merchants.c.merchant_code == "M"),
]


@pytest.mark.parametrize(("table", "which"), REVOKED, ids=[str(table) for table, _ in REVOKED])
async def test_revocation_is_seen_within_a_second(
    server: Server, other: Server, table: Table, which: ColumnElement[bool]
) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    header = bearer(tokens.access_token)
    caller = await other.identity.authenticate(header, "")
    assert isinstance(caller, Operator)
    assert await other.identity.recheck(caller) == caller
    await server.change(table, which, state="REVOKED")
    await refused_within_a_second(other, lambda: header)
    assert await reason_of(other.identity.recheck(caller)) == Reason.UNAUTHENTICATED
    assert await refresh_later(other, tokens, 0) == Reason.UNAUTHENTICATED
    relogged = other.identity.log_in("olga", PASSWORD, "T-PIER", now())
    assert await reason_of(relogged) == Reason.LOGIN_FAILED


async def test_changed_functions_are_seen_within_a_second(server: Server, other: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    header = bearer(tokens.access_token)
    caller = await other.identity.authenticate(header, "")
    assert isinstance(caller, Operator)
    assert await other.identity.recheck(caller) == caller
    await server.change(venues, venues.c.venue_code == "PIER", function_codes=["gift"])
    await asyncio.sleep(WITHIN_SECONDS)
    for seen in (
        await other.identity.authenticate(header, ""),
        await other.identity.recheck(caller),
    ):
        assert isinstance(seen, Operator)
        assert seen.function_codes == {"gift"}


async def test_nothing_remembered_is_trusted_when_the_feed_is_silent(
    server: Server, other: Server
) -> None:
    """A process that no longer hears of changes asks the database again."""
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    header = bearer(tokens.access_token)
    assert await other.identity.authenticate(header, "")
    await other.feed.stop()
    await server.change(accounts, accounts.c.username == "olga", state="REVOKED")
    await refused_within_a_second(other, lambda: header)


async def test_remembered_callers_cost_microseconds_and_no_statement(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    caller = await server.operator()
    headers: tuple[dict[str, str | bytes], ...] = (
        bearer(tokens.access_token),
        {"x-api-key": KEY.api_key},
    )
    for header in headers:
        await server.identity.authenticate(header, "192.0.2.1")
    await server.identity.recheck(caller)
    await server.feed.stop()
    monkeypatch.setattr(change_feed, "TRUST_SECONDS", math.inf)  # however long the calls take
    for header in headers:
        await server.identity.authenticate(header, "192.0.2.1")
    await server.identity.recheck(caller)
    await server.db.close()
    server.db.engine.pool.connect = None  # type: ignore[assignment] # any statement would fail
    began = time.process_time()
    for _ in range(1000):
        for header in headers:
            await server.identity.authenticate(header, "192.0.2.1")
        await server.identity.recheck(caller)
    microseconds = (time.process_time() - began) / 3000 * 1e6
    del server.db.engine.pool.connect
    assert microseconds < 50  # of CPU; 1 to 2


# Partners


async def test_partner_keys(server: Server) -> None:
    for key in (KEY, OTHER_KEY):
        caller = await server.identity.authenticate({"x-api-key": key.api_key}, "192.0.2.1")
        assert isinstance(caller, Partner)
        assert (caller.partner_code, caller.requests_per_minute) == ("CP", 100)
        assert (caller.role, caller.key) == ("PARTNER", "partner:CP")


@pytest.mark.parametrize(
    "api_key",
    [
        "",
        "nonsense",
        new_partner_key().api_key,
        f"dtk_{KEY.key_id}_{OTHER_KEY.api_key.split('_')[2]}",
        KEY.api_key.replace("dtk", "dta"),
        KEY.api_key + "a",
        "dtk_" + "x" * 10_000,
    ],
)
async def test_unknown_keys(server: Server, api_key: str) -> None:
    call = server.identity.authenticate({"x-api-key": api_key}, "192.0.2.1")
    assert await reason_of(call) == Reason.UNAUTHENTICATED


async def test_unknown_credentials_leave_nothing_behind(server: Server) -> None:
    for _ in range(30):
        key: dict[str, str | bytes] = {"x-api-key": new_partner_key().api_key}
        token = bearer(credentials.new_token("a", uuid4()).text)
        for metadata in (key, token):
            await reason_of(server.identity.authenticate(metadata, "192.0.2.1"))
    for remembered in (server.identity._tokens, server.identity._keys._keys):
        assert not remembered._values
        assert not remembered._loading
    assert not server.identity._keys._used


async def test_revoked_key_and_partner(server: Server, other: Server) -> None:
    first: dict[str, str | bytes] = {"x-api-key": KEY.api_key}
    second: dict[str, str | bytes] = {"x-api-key": OTHER_KEY.api_key}
    for header in (first, second):
        assert await other.identity.authenticate(header, "192.0.2.1")
    await server.change(partner_keys, partner_keys.c.key_id == KEY.key_id, revoke_time=now())
    await refused_within_a_second(other, lambda: first)
    assert await other.identity.authenticate(second, "192.0.2.1")
    await server.change(partners, partners.c.partner_code == "CP", state="REVOKED")
    await refused_within_a_second(other, lambda: second)


async def test_addresses(server: Server) -> None:
    cp = partners.c.partner_code == "CP"
    await server.change(partners, cp, allowed_addresses=["192.0.2.0/24", "2001:db8::1"])
    await server.feed.poll()
    header: dict[str, str | bytes] = {"x-api-key": KEY.api_key}
    for good in ("192.0.2.200", "2001:db8::1", "::ffff:192.0.2.1"):
        assert await server.identity.authenticate(header, good)
    with pytest.raises(DomainError) as refused:
        await server.identity.authenticate(header, "198.51.100.7")
    assert refused.value.reason == Reason.ADDRESS_NOT_ALLOWED
    assert refused.value.metadata == {"address": "198.51.100.7"}
    wrong: dict[str, str | bytes] = {"x-api-key": new_partner_key().api_key}
    call = server.identity.authenticate(wrong, "198.51.100.7")
    assert await reason_of(call) == Reason.UNAUTHENTICATED


async def last_used(server: Server, key_id: str) -> datetime | None:
    async with server.db.transaction() as tx:
        statement = select(partner_keys.c.last_used_time).where(partner_keys.c.key_id == key_id)
        used: datetime | None = (await tx.execute(statement)).scalar_one()
        return used


async def test_last_use_is_noted(server: Server) -> None:
    """Soon the first time, then once a minute; what is not yet written is written at the stop."""
    header: dict[str, str | bytes] = {"x-api-key": KEY.api_key}
    began = now()
    await server.identity.authenticate(header, "192.0.2.1")
    async with asyncio.timeout(WAIT_SECONDS):
        while (first := await last_used(server, KEY.key_id)) is None:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    assert began <= first <= now()
    await server.identity.authenticate(header, "192.0.2.1")
    await asyncio.sleep(1.5 * keys.NOTE_POLL_SECONDS)  # it shall not be written, which is no event
    assert await last_used(server, KEY.key_id) == first
    await server.identity.stop()
    second = await last_used(server, KEY.key_id)
    assert second
    assert second > first
    assert await last_used(server, OTHER_KEY.key_id) is None


async def test_uses_that_cannot_be_written_are_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(keys, "NOTE_USES", select(func.no_such_function()))
        await partner(server)
        await server.identity._keys._write(dict(server.identity._keys._used))
        assert await last_used(server, KEY.key_id) is None
    await server.identity.stop()
    assert await last_used(server, KEY.key_id)


async def partner(server: Server) -> Partner:
    caller = await server.identity.authenticate({"x-api-key": KEY.api_key}, "192.0.2.1")
    assert isinstance(caller, Partner)
    return caller


async def test_rate_limit_is_exact_over_processes(server: Server, other: Server) -> None:
    """Seen red with the turns taken out of RateLimiter: a burst ran out of connections and was
    let through.
    """
    caller = await partner(server)
    hits = [process.identity.allowance(caller) for _ in range(121) for process in (server, other)]
    allowances = await asyncio.gather(*hits)
    assert all(allowances)
    allowed = [each for each in allowances if each and each.allowed]
    assert len(allowed) == 100
    refused = next(each for each in allowances if each and not each.allowed)
    assert (refused.limit, refused.remaining) == (100, 0)
    assert 1 <= refused.reset_seconds <= 60


async def test_only_partners_are_limited(server: Server) -> None:
    assert await server.identity.allowance(await server.operator()) is None
    assert await server.identity.allowance(Admin(uuid4(), "root", frozenset())) is None


async def test_lost_redis_lets_calls_through(server: Server, module_database_url: str) -> None:
    settings = load_settings()
    gone = "redis://127.0.0.1:1/0"
    async with running(settings, module_database_url, gone) as lonely:
        caller = await partner(lonely)
        async with asyncio.timeout(redis_client.CALL_SECONDS):
            for _ in range(3):
                assert await lonely.identity.allowance(caller) is None


# Validator sessions


async def test_session(server: Server, other: Server) -> None:
    caller = await server.operator()
    codes = await asyncio.gather(
        *(p.identity.sessions.open(caller, "T-PIER", now()) for p in (server, other) for _ in "abc")
    )
    [code] = set(codes)
    for process in (server, other):
        await process.identity.sessions.require(caller, code)
    await server.identity.sessions.close(caller, code, now())
    await server.identity.sessions.close(caller, code, now())
    closed = server.identity.sessions.require(caller, code)
    assert await reason_of(closed) == Reason.SESSION_NOT_OPEN
    await becomes(
        Reason.SESSION_NOT_OPEN,
        lambda: reason_of(other.identity.sessions.require(caller, code)),
    )
    assert await server.identity.sessions.open(caller, "T-PIER", now()) != code


async def test_sessions_of_others(server: Server) -> None:
    mine = await server.operator()
    code = await server.identity.sessions.open(mine, "T-PIER", now())
    await server.identity.sessions.require(await server.operator(), code)  # logged in once more
    for stranger in (await server.operator("sam"), await server.operator("olga", "T-SHOP")):
        for call in (
            server.identity.sessions.require(stranger, code),
            server.identity.sessions.close(stranger, code, now()),
        ):
            assert await reason_of(call) == Reason.SESSION_NOT_OPEN
    unknown = server.identity.sessions.require(mine, "VS-0000-0000")
    assert await reason_of(unknown) == Reason.SESSION_NOT_OPEN
    await server.identity.sessions.require(mine, code)


async def test_session_at_another_terminal(server: Server) -> None:
    caller = await server.operator()
    for terminal in ("T-SHOP", "T-UNKNOWN", ""):
        call = server.identity.sessions.open(caller, terminal, now())
        assert await reason_of(call) == Reason.TERMINAL_MISMATCH


# Housekeeping and audit


async def test_purge(server: Server) -> None:
    kept, over = await server.operator(), await server.operator()
    await server.identity.sessions.open(over, "T-PIER", now())
    await reason_of(server.identity.log_in("nobody", "x", "T-PIER", now() - timedelta(hours=1)))
    await reason_of(server.identity.log_in("no one", "x", "T-PIER", now()))
    past = now() - timedelta(seconds=1)
    await server.change(
        logins,
        logins.c.login_id == over.login_id,
        refresh_expire_time=past,
        access_expire_time=past,
    )
    async with server.db.transaction() as tx:
        assert await purge_logins(tx, now(), 10) == 1
        assert await purge_logins(tx, now(), 10) == 0
        assert (await tx.execute(select(logins.c.login_id))).scalars().all() == [kept.login_id]
    assert await server.count(validator_sessions) == 0
    # of the name, and of the address
    assert await server.count(login_failures) == 2


async def test_audit(server: Server) -> None:
    """Secrets do not get in, not even by mistake."""
    made = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    async with server.db.transaction() as tx:
        change = AuditedChange(
            actor="admin:root",
            action="create",
            resource="operator",
            name="olga",
            before=None,
            after={
                "username": "olga",
                "password": "hunter2",
                "password_hash": "$argon2id$",
                "keys": [{"key_id": "k1", "secret_hash": b"\0", "api_key": None}],
                "function_codes": frozenset({"tokens", "ferry"}),
                "create_time": made,
                "login_id": UUID(int=7),
            },
        )
        await run(tx, audit(change, now=made))
        row = (await tx.execute(select(audit_events))).one()
    assert (row.actor, row.action, row.resource, row.name) == (
        "admin:root",
        "create",
        "operator",
        "olga",
    )
    assert row.occurred_time == made
    assert row.before is None
    assert row.after == {
        "username": "olga",
        "password": "(not recorded)",
        "password_hash": "(not recorded)",
        "keys": [{"key_id": "k1", "secret_hash": "(not recorded)", "api_key": None}],
        "function_codes": ["ferry", "tokens"],
        "create_time": "2026-01-02T03:04:00+00:00",
        "login_id": "00000000-0000-0000-0000-000000000007",
    }
