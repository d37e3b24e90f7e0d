"""Log-ins, lock-out and tokens, on a real database.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import argon2
import pytest
from sqlalchemy import select

from server.identity import credentials, hashing_queue
from server.identity.callers import Admin, Operator
from server.identity.credentials import DECOY_HASH
from server.identity.hashing_queue import OURS, Share
from server.identity.login_failures import Attempt, LoginFailures, unlock
from server.identity.models import (
    accounts,
    logins,
)
from server.identity.service import end_logins, purge_logins
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from tests.support.identity import (
    PASSWORD,
    PASSWORD_HASH,
    Server,
    bearer,
    now,
    reason_of,
    refresh_later,
    refused_within_a_second,
    running_on,
    seed,
)


@pytest.fixture(scope="module")
async def dbs(module_database_url: str) -> AsyncIterator[list[Database]]:
    """Connections of two processes."""
    made = [Database(load_settings(), module_database_url) for _ in range(2)]
    await seed(made[0])
    yield made
    for db in made:
        await db.close()


@pytest.fixture
async def server(dbs: list[Database], module_redis_url: str) -> AsyncIterator[Server]:
    async with running_on(dbs[0], load_settings(), module_redis_url) as one:
        yield one


@pytest.fixture
async def other(
    server: Server, dbs: list[Database], module_redis_url: str
) -> AsyncIterator[Server]:
    """Another process on the same database."""
    async with running_on(dbs[1], load_settings(), module_redis_url) as two:
        yield two


# Log-in


async def test_operator_logs_in(server: Server) -> None:
    tokens = await server.identity.log_in("pia", PASSWORD, "T-PIER", now())
    assert tokens.expires_in_seconds == 900
    caller = await server.identity.authenticate(bearer(tokens.access_token), "")
    assert isinstance(caller, Operator)
    assert caller == Operator(
        role="OPERATOR",
        login_id=caller.login_id,
        username="pia",
        merchant_code="M",
        venue_code="PIER",
        terminal_device_id="T-PIER",
        venue_time_zone="Asia/Hong_Kong",
        function_codes=frozenset({"ferry", "gift"}),
        reversal_window_seconds=600,
    )
    assert caller.key == "terminal:T-PIER"


async def test_supervisor_and_administrator_log_in(server: Server) -> None:
    supervisor = await server.operator("sam", "T-SHOP")
    assert supervisor.role == "SUPERVISOR"
    assert supervisor.function_codes == {"ferry", "gift", "tokens"}
    tokens = await server.identity.log_in("root", PASSWORD, None, now())
    caller = await server.identity.authenticate(bearer(tokens.access_token), "")
    assert isinstance(caller, Admin)
    assert (caller.role, caller.key) == ("ADMIN", "admin:root")


async def test_log_in_may_be_repeated(server: Server) -> None:
    first, second = await server.operator(), await server.operator()
    assert first.login_id != second.login_id
    assert await server.identity.recheck(first) == first


@pytest.mark.parametrize(
    ("username", "password", "terminal"),
    [
        ("nobody", PASSWORD, "T-PIER"),
        ("olga", "wrong", "T-PIER"),
        ("OLGA", PASSWORD, "T-PIER"),
        ("olga", PASSWORD, "T-UNKNOWN"),
        ("olga", PASSWORD, "T-GONE"),
        ("olga", PASSWORD, "T-ELSEWHERE"),
        ("olga", PASSWORD, None),
        ("pia", PASSWORD, "T-SHOP"),
        ("gone", PASSWORD, "T-PIER"),
        ("root", PASSWORD, "T-PIER"),
        ("root", "wrong", None),
    ],
)
async def test_failures_are_uniform(
    server: Server, username: str, password: str, terminal: str | None
) -> None:
    """All fail alike, and are locked out alike after five, also under names that do not exist."""
    answers = []
    for _ in range(7):
        with pytest.raises(DomainError) as refused:
            await server.identity.log_in(username, password, terminal, now())
        error = refused.value
        answers.append((error.reason, error.message, error.metadata, error.violations))
    assert len(set(map(str, answers[:5]))) == 1
    assert [answer[0] for answer in answers] == [Reason.LOGIN_FAILED] * 5 + [
        Reason.LOGIN_LOCKED
    ] * 2
    assert answers[0][1] == (
        "the user name, the password or the code is wrong, or the user may not log in here"
    )
    assert await server.count(logins) == 0


async def test_unknown_user_costs_a_password_check(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    verify = server.identity.passwords.verify

    async def spy(password_hash: str, password: str, share: Share = OURS) -> bool:
        checked.append(password_hash)
        return await verify(password_hash, password, share)

    monkeypatch.setattr(server.identity.passwords, "verify", spy)
    for username in ("nobody", "olga"):
        await reason_of(server.identity.log_in(username, "wrong", "T-PIER", now()))
    assert checked == [DECOY_HASH, PASSWORD_HASH]
    parameters = [argon2.extract_parameters(each) for each in checked]
    assert parameters[0] == parameters[1]


@pytest.mark.parametrize("username", ["olga", "nobody"])
async def test_lock_out_under_concurrency(server: Server, other: Server, username: str) -> None:
    """Forty guesses at once in two processes: five are judged, then not even the right password
    is let in.

    Seen red with the refusal taken out of `LoginFailures.count`: all forty were judged.
    """
    attempts = [
        reason_of(process.identity.log_in(username, f"guess {n}", "T-PIER", now()))
        for n in range(20)
        for process in (server, other)
    ]
    outcomes = Counter(await asyncio.gather(*attempts))
    assert outcomes[Reason.LOGIN_FAILED] == 5
    assert outcomes.keys() <= {Reason.LOGIN_FAILED, Reason.LOGIN_LOCKED, Reason.SERVER_BUSY}
    with pytest.raises(DomainError) as locked:
        await other.identity.log_in(username, PASSWORD, "T-PIER", now())
    assert locked.value.reason == Reason.LOGIN_LOCKED
    assert locked.value.retry_seconds
    assert 200 < locked.value.retry_seconds <= 300  # on a busy machine they take a while


async def test_right_password_while_guesses_lock_the_account(server: Server) -> None:
    """A log-in checked before the lock-out and finished after it is refused as well.

    Seen red with the refusal taken out of `LoginFailures.succeed`.
    """
    verify = server.identity.passwords.verify
    checked, locked = asyncio.Event(), asyncio.Event()

    async def slow(password_hash: str, password: str, share: Share = OURS) -> bool:
        right = await verify(password_hash, password, share)
        if right:
            checked.set()
            await locked.wait()
        return right

    server.identity.passwords.verify = slow  # type: ignore[method-assign]
    right = asyncio.create_task(
        reason_of(server.identity.log_in("olga", PASSWORD, "T-PIER", now()))
    )
    await checked.wait()
    for _ in range(5):
        await reason_of(server.identity.log_in("olga", "wrong", "T-PIER", now()))
    locked.set()
    assert await right == Reason.LOGIN_LOCKED


async def test_lock_out_ends_and_success_resets(server: Server) -> None:
    began = now()
    for _ in range(4):
        await reason_of(server.identity.log_in("olga", "wrong", "T-PIER", began))
    await server.identity.log_in("olga", PASSWORD, "T-PIER", began)
    for _ in range(5):
        failed = await reason_of(server.identity.log_in("olga", "wrong", "T-PIER", began))
        assert failed == Reason.LOGIN_FAILED
    log_in = server.identity.log_in
    assert await reason_of(log_in("olga", PASSWORD, "T-PIER", began)) == Reason.LOGIN_LOCKED
    assert await reason_of(log_in("sam", PASSWORD, "T-PIER", began)) is None
    later = began + timedelta(seconds=301)
    assert await reason_of(log_in("olga", "wrong", "T-PIER", later)) == Reason.LOGIN_FAILED
    assert await reason_of(log_in("olga", PASSWORD, "T-PIER", later)) is None


ELSEWHERE = "198.51.100.7"
HERE = "203.0.113.5"


async def guess(server: Server, username: str, device: str | None, address: str) -> Reason | None:
    """What a wrong password is answered."""
    call = server.identity.log_in(username, "wrong", device, now(), address=address)
    return await reason_of(call)


@pytest.mark.parametrize(
    ("username", "own"), [("olga", "T-PIER"), ("sam", "T-SHOP"), ("root", None)]
)
async def test_a_guesser_elsewhere_locks_nobody_out(
    server: Server, other: Server, username: str, own: str | None
) -> None:
    """Neither from another address with the terminal's name, nor from another terminal of the
    same address.
    """
    for device, address in ((own, ELSEWHERE), ("T-GUESS", HERE)):
        answers = [await guess(server, username, device, address) for _ in range(7)]
        assert answers == [Reason.LOGIN_FAILED] * 5 + [Reason.LOGIN_LOCKED] * 2
        right = other.identity.log_in(username, PASSWORD, device, now(), address=address)
        assert await reason_of(right) == Reason.LOGIN_LOCKED
    await server.identity.log_in(username, PASSWORD, own, now(), address=HERE)
    for _ in range(5):
        await guess(server, username, own, HERE)
    right = other.identity.log_in(username, PASSWORD, own, now(), address=HERE)
    assert await reason_of(right) == Reason.LOGIN_LOCKED


async def test_an_address_is_bounded_over_names_and_terminals(
    server: Server, other: Server
) -> None:
    """Fifty guesses, then none is judged, but an operator at the own terminal of that address logs
    in.
    """
    async with server.db.transaction() as tx:
        failures = LoginFailures(load_settings())
        for n in range(50):
            attempt = Attempt.of(f"name {n}", f"T-{n}", HERE)
            assert await failures.count(tx, attempt, now(), own_terminal=False) is None
    for username, device in (("nobody", "T-PIER"), ("olga", "T-ELSEWHERE"), ("root", None)):
        assert await guess(other, username, device, HERE) == Reason.LOGIN_LOCKED
        right = server.identity.log_in(username, PASSWORD, device, now(), address=HERE)
        assert await reason_of(right) == Reason.LOGIN_LOCKED
    # a wrong password is not distinguished from a name that does not exist
    assert await guess(server, "olga", "T-PIER", HERE) == Reason.LOGIN_LOCKED
    await server.identity.log_in("olga", PASSWORD, "T-PIER", now(), address=HERE)
    assert await guess(server, "nobody", "T-PIER", ELSEWHERE) == Reason.LOGIN_FAILED
    later = now() + timedelta(seconds=301)
    await server.identity.log_in("root", PASSWORD, None, later, address=HERE)


async def test_no_more_than_an_address_may_guess_at_once(server: Server, other: Server) -> None:
    """Seen red with the lock of the address's row taken out of `LoginFailures.count`."""
    settings = load_settings(login_failures_per_address=8)
    failures = LoginFailures(settings)

    async def fail(process: Server, name: str) -> Reason | None:
        attempt = Attempt.of(name, None, HERE)
        return await reason_of(
            process.db.in_transaction(
                lambda tx: failures.count(tx, attempt, now(), own_terminal=False)
            )
        )

    calls = (fail(process, f"{n}") for n in range(12) for process in (server, other))
    outcomes = Counter(await asyncio.gather(*calls))
    assert outcomes == {None: 8, Reason.LOGIN_LOCKED: 16}


async def test_unlock(server: Server) -> None:
    for _ in range(6):
        await reason_of(server.identity.log_in("olga", "wrong", "T-PIER", now()))
    async with server.db.transaction() as tx:
        await unlock(tx, "olga")
    await server.operator()


async def test_right_passwords_at_once_lock_nobody_out(server: Server) -> None:
    log_ins = (server.identity.log_in("olga", PASSWORD, "T-PIER", now()) for _ in range(12))
    tokens = await asyncio.gather(*log_ins)
    assert len({each.access_token for each in tokens}) == 12


async def test_flood_of_log_ins_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red with the bound taken out of `HashingQueue`: none was sent away."""
    monkeypatch.setattr(hashing_queue, "MOST_WAITING", 3)
    attempts = (server.identity.log_in(f"n{n}", "x", "T-PIER", now()) for n in range(10))
    outcomes = Counter(await asyncio.gather(*map(reason_of, attempts)))
    assert outcomes[Reason.SERVER_BUSY] + outcomes[Reason.LOGIN_FAILED] == 10
    assert outcomes[Reason.LOGIN_FAILED] >= 4
    assert outcomes[Reason.SERVER_BUSY] >= 1
    await server.operator()


async def test_hash_is_renewed_when_its_parameters_are_old(server: Server) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    olga = accounts.c.username == "olga"
    await server.change(accounts, olga, password_hash=old)
    await server.operator()
    async with server.db.transaction() as tx:
        renewed = (await tx.execute(select(accounts.c.password_hash).where(olga))).scalar_one()
    assert renewed != old
    assert not credentials.is_outdated(renewed)
    await server.operator()


async def test_password_changed_while_it_is_verified(server: Server) -> None:
    """Seen red with `_confirm_password` taken out: the old password still logged in."""
    verify = server.identity.passwords.verify

    async def slow(password_hash: str, password: str, share: Share = OURS) -> bool:
        right = await verify(password_hash, password, share)
        new_hash = credentials.hash_password("another")
        await server.change(accounts, accounts.c.username == "olga", password_hash=new_hash)
        return right

    server.identity.passwords.verify = slow  # type: ignore[method-assign]
    refused = await reason_of(server.identity.log_in("olga", PASSWORD, "T-PIER", now()))
    assert refused == Reason.LOGIN_FAILED
    assert await server.count(logins) == 0


# Tokens


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic b2xnYTpwYXNz",
        f"Bearer dta_{uuid4().hex}_{'a' * 52}",
        f"Bearer dta_{'g' * 32}_{'a' * 52}",
        "Bearer " + "x" * 100_000,
    ],
)
async def test_unknown_tokens(server: Server, header: str) -> None:
    call = server.identity.authenticate({"authorization": header}, "")
    assert await reason_of(call) == Reason.UNAUTHENTICATED


async def test_no_credentials(server: Server) -> None:
    assert await server.identity.authenticate({"user-agent": "x"}, "") is None


async def test_wrong_secret_and_wrong_kind(server: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    token = tokens.access_token
    changed = token[:-1] + ("a" if token[-1] != "a" else "b")
    for wrong in (changed, tokens.refresh_token, token.upper(), token + "a"):
        call = server.identity.authenticate(bearer(wrong), "")
        assert await reason_of(call) == Reason.UNAUTHENTICATED
    assert await server.identity.authenticate({"authorization": f"bearer {token}"}, "")


async def test_access_token_expires(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is remembered; seen red with the check in `authenticate` taken out."""
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    header = bearer(tokens.access_token)
    assert await server.identity.authenticate(header, "")
    clock = time.time
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: clock() + 900)
        call = server.identity.authenticate(header, "")
        assert await reason_of(call) == Reason.UNAUTHENTICATED
    await server.identity.refresh(tokens.refresh_token, now())


async def test_refresh_token_expires(server: Server) -> None:
    began = now()
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", began)
    late = began + timedelta(hours=12)
    refused = await reason_of(server.identity.refresh(tokens.refresh_token, late))
    assert refused == Reason.UNAUTHENTICATED
    early = late - timedelta(seconds=1)
    await server.identity.refresh(tokens.refresh_token, early)


async def test_stream_outlives_the_access_token_but_not_the_log_in(server: Server) -> None:
    for age, reason in (
        (timedelta(hours=1), None),
        (timedelta(hours=13), Reason.UNAUTHENTICATED),
    ):
        caller = await server.operator()
        await server.change(
            logins,
            logins.c.login_id == caller.login_id,
            access_expire_time=now() - age,
            refresh_expire_time=now() - age + timedelta(hours=12),
        )
        await server.feed.poll()
        assert await reason_of(server.identity.recheck(caller)) == reason


async def test_refresh(server: Server, other: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    before = await server.identity.authenticate(bearer(tokens.access_token), "")
    fresh = await other.identity.refresh(tokens.refresh_token, now())
    assert fresh.expires_in_seconds == 900
    for process in (server, other):
        assert await process.identity.authenticate(bearer(fresh.access_token), "") == before
    await server.identity.refresh(fresh.refresh_token, now())


async def test_used_refresh_token_ends_the_log_in(server: Server, other: Server) -> None:
    """Whoever comes second, the thief or the robbed, the tokens of both are dead, in every
    process.
    """
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    fresh = await server.identity.refresh(tokens.refresh_token, now())
    assert await other.identity.authenticate(bearer(fresh.access_token), "")
    assert await refresh_later(server, tokens, 31) == Reason.UNAUTHENTICATED
    call = server.identity.authenticate(bearer(fresh.access_token), "")
    assert await reason_of(call) == Reason.UNAUTHENTICATED
    assert await refresh_later(server, fresh, 32) == Reason.UNAUTHENTICATED
    await refused_within_a_second(other, lambda: bearer(fresh.access_token))


async def test_repeated_refresh_gets_the_same_successor(server: Server, other: Server) -> None:
    """The answer was lost: whichever process is asked again, for 30 s."""
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    began = now()
    fresh = await server.identity.refresh(tokens.refresh_token, began)
    for process, seconds in ((server, 0), (other, 5), (server, 29)):
        later = began + timedelta(seconds=seconds)
        again = await process.identity.refresh(tokens.refresh_token, later)
        assert again == replace(fresh, expires_in_seconds=900 - seconds)
    assert await other.identity.authenticate(bearer(fresh.access_token), "")
    following = await server.identity.refresh(fresh.refresh_token, now())
    # now it is older still, and refused as before
    assert await refresh_later(server, tokens, 5) == Reason.UNAUTHENTICATED
    assert await server.identity.authenticate(bearer(following.access_token), "")
    assert await refresh_later(server, tokens, 60) == Reason.UNAUTHENTICATED
    assert await refresh_later(server, following, 61) == Reason.UNAUTHENTICATED


async def test_refreshes_that_race_get_one_successor(server: Server, other: Server) -> None:
    """Seen red with `gets_successor_again` refusing every repeat: UNAUTHENTICATED."""
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    calls = (
        process.identity.refresh(tokens.refresh_token, now())
        for _ in range(8)
        for process in (server, other)
    )
    fresh = await asyncio.gather(*calls)
    assert len({(each.access_token, each.refresh_token) for each in fresh}) == 1
    assert await server.identity.authenticate(bearer(fresh[0].access_token), "")
    await server.identity.refresh(fresh[0].refresh_token, now())


async def test_a_repeat_after_the_log_out_gets_nothing(server: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    fresh = await server.identity.refresh(tokens.refresh_token, now())
    caller = await server.identity.authenticate(bearer(fresh.access_token), "")
    assert isinstance(caller, Operator)
    await server.identity.log_out(caller, now())
    assert await refresh_later(server, tokens, 1) == Reason.UNAUTHENTICATED


async def test_the_successor_is_kept_sealed_and_for_its_time(server: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    fresh = await server.identity.refresh(tokens.refresh_token, now())
    async with server.db.transaction() as tx:
        row = (await tx.execute(select(logins))).one()
        for secret in (*fresh.access_token.split("_")[2:], *fresh.refresh_token.split("_")[2:]):
            assert secret.encode() not in row.successor_sealed
        assert (await purge_logins(tx, now() + timedelta(seconds=20), 100)) == 0
        row = (await tx.execute(select(logins))).one()
        assert row.successor_sealed
        assert (await purge_logins(tx, now() + timedelta(seconds=40), 100)) == 0
        row = (await tx.execute(select(logins))).one()
        assert row.successor_sealed is None


async def test_bad_refresh_tokens_end_nothing(server: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    later = now() + timedelta(minutes=5)
    for bad in ("", "x", tokens.access_token, tokens.refresh_token[:-1]):
        call = server.identity.refresh(bad, later)
        assert await reason_of(call) == Reason.UNAUTHENTICATED
    await server.identity.refresh(tokens.refresh_token, later)


async def test_log_out(server: Server, other: Server) -> None:
    tokens = await server.identity.log_in("olga", PASSWORD, "T-PIER", now())
    header = bearer(tokens.access_token)
    caller = await server.identity.authenticate(header, "")
    assert isinstance(caller, Operator)
    assert await other.identity.authenticate(header, "") == caller
    code = await server.identity.sessions.open(caller, "T-PIER", now())
    await server.identity.log_out(caller, now())
    assert await reason_of(server.identity.authenticate(header, "")) == Reason.UNAUTHENTICATED
    assert await reason_of(server.identity.recheck(caller)) == Reason.UNAUTHENTICATED
    assert await refresh_later(server, tokens, 0) == Reason.UNAUTHENTICATED
    session = server.identity.sessions.require(caller, code)
    assert await reason_of(session) == Reason.SESSION_NOT_OPEN
    reopened = server.identity.sessions.open(caller, "T-PIER", now())
    assert await reason_of(reopened) == Reason.UNAUTHENTICATED
    await refused_within_a_second(other, lambda: header)
    await server.identity.log_out(caller, now())


async def test_end_logins(server: Server) -> None:
    mine, hers = await server.operator(), await server.operator("sam")
    for _ in range(5):
        await reason_of(server.identity.log_in("olga", "wrong", "T-PIER", now()))
    async with server.db.transaction() as tx:
        await end_logins(tx, "olga", now())
    await server.feed.poll()
    assert await reason_of(server.identity.recheck(mine)) == Reason.UNAUTHENTICATED
    assert await server.identity.recheck(hers) == hers
    await server.operator()
