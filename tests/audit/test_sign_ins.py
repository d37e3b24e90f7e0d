"""Sign-ins in the audit trail: accepted and refused ones, and of a flood no more than a bound."""

from server.identity.sign_ins import REFUSED_PER_MINUTE, RefusedSignIns
from server.platform.errors import Reason
from tests.support.admin_client import PASSWORD, AdminClient

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


def test_of_a_flood_no_more_is_written_than_a_bound() -> None:
    """What is left out is counted in the next that is written."""
    allowed = RefusedSignIns()
    taken = [allowed.take(at / 100) for at in range(10_000)]
    written = [each for each in taken if each is not None]
    assert len(written) <= REFUSED_PER_MINUTE * (1 + 100 / 60) + 1
    left_out = sum(written) + allowed._left_out
    assert len(written) + left_out == len(taken)
    assert allowed.take(10_000.0) is not None
