"""Sign-ins in the audit trail: accepted and refused ones, how they ended, and of a flood no more
than a bound. Travellers' are in tests/payments/test_payments.py, where WeChat is.
"""

from datetime import UTC, datetime, timedelta

from server.identity.callers import Operator
from server.identity.sign_ins import REFUSED_PER_MINUTE, RefusedSignIns
from server.platform.errors import Reason
from tests.support.admin_client import PASSWORD, AdminClient
from tests.support.identity import reason_of

WRONG = "not the password of anybody"


async def test_sign_ins_are_written_down(admin_client: AdminClient) -> None:
    """With the address, and the request id that the caller gave; of a name that nobody has, which
    may be a password, nothing is kept. Seen red without the line in `log_in`.
    """
    named = admin_client.called_by(("x-request-id", "sign-in-1"))
    await named.log_in("second")
    for name in ("second", "hunter2"):
        reason = await named.reason("AdminLogin", username=name, password=WRONG)
        assert reason is Reason.LOGIN_FAILED
    found = (await admin_client.do("ListAuditEvents", resource="sign_in")).audit_events
    shown = [(each.actor, each.action, each.name, each.after["detail"]) for each in found[:2]]
    assert shown == [
        ("(unknown)", "refuse_sign_in", "(unknown)", "user unknown"),
        ("admin:second", "refuse_sign_in", "second", "password wrong"),
    ]
    accepted = found[2]
    assert (accepted.actor, accepted.action) == ("admin:second", "sign_in")
    assert "127.0.0.1" in accepted.address or accepted.address == "::1"
    assert {each.request_id for each in found[:3]} == {"sign-in-1"}
    assert "hunter2" not in str(found)
    assert PASSWORD not in str(found)


async def test_an_operator_signs_in_at_a_terminal(admin_client: AdminClient) -> None:
    await admin_client.operator()
    (found,) = await admin_client.trail("sign_in", "olga")
    assert (found.actor, found.terminal_device_id) == ("operator:olga", "T-1")


async def test_a_sign_out_is_written_down_once(admin_client: AdminClient) -> None:
    """A repeat ends nothing. Seen red on the code of before, which wrote nothing.

    It is a second later, since events of one moment have no order.
    """
    identity, now = admin_client.node.identity, datetime.now(UTC)
    tokens = await identity.log_in("olga", PASSWORD, "T-1", now)
    caller = await identity.authenticate({"authorization": f"Bearer {tokens.access_token}"}, "")
    assert isinstance(caller, Operator)
    for _ in range(2):
        await identity.log_out(caller, now + timedelta(seconds=1))
    last, signed_in = (await admin_client.trail("sign_in", "olga"))[:2]
    assert (last.actor, last.action) == ("operator:olga", "sign_out")
    assert signed_in.action == "sign_in"
    assert last.after["login_id"] == signed_in.after["login_id"]


async def test_a_stolen_refresh_token_is_written_down_once(admin_client: AdminClient) -> None:
    """Whoever sends the used token: it ended the log-in. Seen red on the code of before."""
    identity, now = admin_client.node.identity, datetime.now(UTC)
    used = (await identity.log_in("olga", PASSWORD, "T-1", now)).refresh_token
    await identity.refresh(used, now)
    for _ in range(2):
        refused = await reason_of(identity.refresh(used, now + timedelta(minutes=1)))
        assert refused is Reason.UNAUTHENTICATED
    *later, signed_in = (await admin_client.trail("sign_in", "olga"))[:3]
    ended, logged_out = sorted(later, key=lambda each: each.action)
    assert (ended.actor, ended.action) == ("(unknown)", "end_stolen_sign_in")
    assert (ended.terminal_device_id, signed_in.action) == ("T-1", "sign_in")
    assert ended.after["login_id"] == signed_in.after["login_id"]
    assert (logged_out.action, logged_out.after["detail"]) == ("refuse_sign_in", "logged out")


async def test_a_refused_refresh_that_ends_nothing_is_written_down(
    admin_client: AdminClient,
) -> None:
    """Expired, of one who has signed out, a late repeat, unknown: with why. Seen red on the code of
    before.
    """
    identity, now = admin_client.node.identity, datetime.now(UTC)
    first = (await identity.log_in("olga", PASSWORD, "T-1", now)).refresh_token
    expired = now + timedelta(days=3650)
    second = (await identity.refresh(first, now)).refresh_token
    third = (await identity.refresh(second, now)).refresh_token
    for token, at in ((third, expired), (first, now), ("r_none", now)):
        assert await reason_of(identity.refresh(token, at)) is Reason.UNAUTHENTICATED
    refused = [
        (each.actor, each.terminal_device_id, each.after["detail"])
        for name in ("olga", "(unknown)")
        for each in await admin_client.trail("sign_in", name)
        if each.action == "refuse_sign_in"
    ]
    assert sorted(refused) == [
        ("(unknown)", "", "refresh token unknown"),
        ("operator:olga", "T-1", "refresh token expired"),
        ("operator:olga", "T-1", "refresh token used before"),
    ]


def test_of_a_flood_no_more_is_written_than_a_bound() -> None:
    """What is left out is counted in the next that is written."""
    allowed = RefusedSignIns()
    taken = [allowed.take(at / 100) for at in range(10_000)]
    written = [each for each in taken if each is not None]
    assert len(written) <= REFUSED_PER_MINUTE * (1 + 100 / 60) + 1
    left_out = sum(written) + allowed._left_out
    assert len(written) + left_out == len(taken)
    assert allowed.take(10_000.0) is not None
