"""An administrator's second factor: RFC 6238's own examples, a code taken once also in a race,
failures that count as those of passwords, recovery codes, the reset, and the setting that requires
one. "Seen red" says which guard was taken out.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from server.identity import one_time_codes
from server.identity.models import admin_factors
from server.identity.one_time_codes import totp_of
from server.platform import clock
from server.platform.errors import Reason
from tests.support.admin_client import ADMIN_SERVICE, PASSWORD, AdminClient, Headers, code_of
from tests.support.rpc_server import running_node
from tests.support.waiting import becomes

SECOND: dict[str, Any] = {"username": "second", "password": PASSWORD}


async def enrolled(admin_client: AdminClient) -> tuple[AdminClient, str, list[str]]:
    """The second administrator with a confirmed factor: the caller, its secret, recovery codes.

    The code of the step before was taken, so those of now and of the next are yet to be.
    """
    second = await admin_client.log_in("second")
    secret = (await second.do("EnrolSecondFactor")).secret
    confirmed = await second.do("ConfirmSecondFactor", code=code_of(secret, -1))
    return second, secret, list(confirmed.recovery_codes)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("seconds", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")]
)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    """Appendix B of RFC 6238, the last six of its eight digits."""
    assert totp_of(b"12345678901234567890").generate(seconds).decode() == code
    now = datetime.fromtimestamp(seconds, UTC)
    assert list(one_time_codes.matching(b"12345678901234567890", code, now)) == [seconds // 30]


async def test_a_log_in_needs_a_code_once_it_is_confirmed(admin_client: AdminClient) -> None:
    second, secret, _ = await enrolled(admin_client)
    assert await admin_client.reason("AdminLogin", **SECOND) is Reason.SECOND_FACTOR_REQUIRED
    assert await admin_client.reason("AdminLogin", code=code_of(secret), **SECOND) is None
    shown = {each.username: each for each in (await second.do("ListAdministrators")).administrators}
    assert (shown["second"].second_factor, shown["root"].second_factor) == (True, False)
    stored = await admin_client.scalar(select(admin_factors.c.secret_sealed))
    assert secret.encode() not in stored
    assert await second.reason("EnrolSecondFactor") is Reason.ALREADY_EXISTS


async def test_new_recovery_codes_put_those_of_before_out_of_use(
    admin_client: AdminClient,
) -> None:
    """By a code of the authenticator alone, taken once; the trail knows when, and no code. Seen red
    without the DELETE: the old ones logged in.
    """
    root_refused = await admin_client.reason("RenewRecoveryCodes", code="123456")
    assert root_refused is Reason.NOT_FOUND
    second, secret, old = await enrolled(admin_client)
    assert await second.reason("RenewRecoveryCodes", code=old[0]) is Reason.INVALID_FIELD
    new = list((await second.do("RenewRecoveryCodes", code=code_of(secret))).recovery_codes)
    assert len(set(new)) == len(new) == 10
    assert not set(new) & set(old)
    again = await second.reason("RenewRecoveryCodes", code=code_of(secret))
    assert again is Reason.INVALID_FIELD
    for code, expected in ((old[1], Reason.LOGIN_FAILED), (new[0], None)):
        assert await admin_client.reason("AdminLogin", code=code, **SECOND) is expected
    events = await admin_client.trail("second_factor", "second")
    renewed = next(each for each in events if each.action == "renew_recovery_codes")
    assert renewed.actor == "admin:second"
    assert sum(each.action == "refuse_code" for each in events) == 2
    assert not any(code in str(events) for code in (*old, *new))


async def test_wrong_codes_for_new_recovery_codes_lock_out_as_log_ins_do(
    admin_client: AdminClient,
) -> None:
    """Also of many at once, and the right code then, too. Seen red without the count."""
    second, secret, _ = await enrolled(admin_client)
    wrong = [f"{number:06}" for number in range(20) if f"{number:06}" != code_of(secret)]
    reasons = await asyncio.gather(
        *(second.reason("RenewRecoveryCodes", code=code) for code in wrong)
    )
    assert set(reasons) == {Reason.INVALID_FIELD, Reason.LOGIN_LOCKED}
    locked = await second.reason("RenewRecoveryCodes", code=code_of(secret))
    assert locked is Reason.LOGIN_LOCKED
    assert await admin_client.reason("AdminLogin", **SECOND) is Reason.LOGIN_LOCKED


async def test_an_authenticator_reads_the_uri(admin_client: AdminClient) -> None:
    made = await (await admin_client.log_in("second")).do("EnrolSecondFactor")
    assert made.otpauth_uri.startswith("otpauth://totp/DeepTravel:second?")
    assert f"secret={made.secret}" in made.otpauth_uri
    assert "digits=6" in made.otpauth_uri
    assert "period=30" in made.otpauth_uri
    assert made.svg.startswith("<svg")


@pytest.mark.parametrize(
    ("steps", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
async def test_a_clock_may_be_one_step_off(
    admin_client: AdminClient, monkeypatch: pytest.MonkeyPatch, steps: int, taken: bool
) -> None:
    _, secret, _ = await enrolled(admin_client)
    later = datetime.now(UTC) + timedelta(minutes=5)
    monkeypatch.setattr(clock, "now", lambda: later)
    reason = await admin_client.reason("AdminLogin", code=code_of(secret, steps), **SECOND)
    assert reason is (None if taken else Reason.LOGIN_FAILED)


async def test_a_code_is_taken_once_also_by_several_at_once(
    admin_client: AdminClient, other_admin_client: AdminClient
) -> None:
    """In two processes. Seen red with the guard on `last_step` taken out: all six came in."""
    _, secret, _ = await enrolled(admin_client)
    code, callers = code_of(secret), (admin_client, other_admin_client) * 3
    reasons = await asyncio.gather(
        *[each.reason("AdminLogin", code=code, **SECOND) for each in callers]
    )
    assert reasons.count(None) == 1
    assert set(reasons) <= {None, Reason.LOGIN_FAILED, Reason.LOGIN_LOCKED}
    # nor is the one before it any more
    before = await admin_client.reason("AdminLogin", code=code_of(secret, -1), **SECOND)
    assert before in (Reason.LOGIN_FAILED, Reason.LOGIN_LOCKED)


async def test_wrong_codes_count_as_wrong_passwords_do(admin_client: AdminClient) -> None:
    """And once they are too many, the right one is not looked at."""
    _, secret, _ = await enrolled(admin_client)
    limit = admin_client.node.settings.login_failures
    reasons = [
        await admin_client.reason("AdminLogin", code="000000", **SECOND) for _ in range(limit + 1)
    ]
    assert reasons == [Reason.LOGIN_FAILED] * limit + [Reason.LOGIN_LOCKED]
    locked = await admin_client.reason("AdminLogin", code=code_of(secret), **SECOND)
    assert locked is Reason.LOGIN_LOCKED


async def test_recovery_codes_are_taken_once_each(admin_client: AdminClient) -> None:
    _, _, codes = await enrolled(admin_client)
    assert len(set(codes)) == 10
    first, second = codes[0].upper().replace("-", " "), codes[1]
    for code, expected in ((first, None), (codes[0], Reason.LOGIN_FAILED), (second, None)):
        assert await admin_client.reason("AdminLogin", code=code, **SECOND) is expected
    used = await admin_client.trail("second_factor", "second")
    assert [each.action for each in used] == ["use_recovery_code"] * 2 + ["confirm", "enrol"]


async def test_another_administrator_resets_it(admin_client: AdminClient) -> None:
    """With a reason, and the log-ins end."""
    second, _, codes = await enrolled(admin_client)
    own: Any = {"username": "second", "comment": "mine"}
    assert await second.reason("ResetSecondFactor", **own) is Reason.OWN_ACCOUNT
    reset = await admin_client.do("ResetSecondFactor", username="second", comment="lost")
    assert not reset.administrator.second_factor
    await becomes(Reason.UNAUTHENTICATED, lambda: second.reason("ListPartners"))
    assert await admin_client.reason("AdminLogin", **SECOND) is None
    assert (await admin_client.trail("second_factor", "second"))[0].reason == "lost"
    again = await enrolled(admin_client)
    old = await admin_client.reason("AdminLogin", code=codes[5], **SECOND)
    assert old is Reason.LOGIN_FAILED
    assert set(again[2]).isdisjoint(codes)


async def test_a_setting_lets_those_without_one_do_nothing_but_enrol(
    admin_url: str, redis_url: str, seeded: tuple[str, Headers]
) -> None:
    """Also with log-ins of before; and the confirmed one may all within a second."""
    async with running_node(
        admin_url, redis_url, ADMIN_SERVICE, require_second_factor=True
    ) as node:
        root = AdminClient(node, seeded[1])
        assert await root.reason("ListPartners") is Reason.SECOND_FACTOR_REQUIRED
        secret = (await root.do("EnrolSecondFactor")).secret
        assert await root.reason("ListPartners") is Reason.SECOND_FACTOR_REQUIRED
        wrong = await root.reason("ConfirmSecondFactor", code="12 34 56 7")
        assert wrong is Reason.INVALID_FIELD
        await root.do("ConfirmSecondFactor", code=code_of(secret))
        await becomes(None, lambda: root.reason("ListPartners"))
