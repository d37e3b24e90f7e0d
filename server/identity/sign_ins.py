"""Sign-ins in the audit trail: all that were accepted, how they ended, and of those refused as many
as a flood cannot fill the disk with.

Refused ones are bounded three times: by the lock-outs (`login_failures.py`), after which nothing is
counted; by the addresses', over all names; and here, over all, in each process: what is beyond that
is counted, and the next one that is written says how many there were. The log has each of them.
"""

import time
from uuid import UUID

from server.audit import origins
from server.audit.origins import ChangeOrigin
from server.audit.trail import AuditedChange
from server.identity.callers import Person, Traveller

RESOURCE = "sign_in"
"""What the audit trail calls one."""
REFUSED_PER_MINUTE = 60
UNKNOWN = "(unknown)"
"""What stands for a name that nobody has: it may be a password that was typed into the wrong field.
"""


class RefusedSignIns:
    """How many refused sign-ins this process may still write. Time is in seconds and only grows."""

    def __init__(self, per_minute: int = REFUSED_PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._allowed = float(per_minute)
        self._at = 0.0
        self._left_out = 0

    def take(self, at: float) -> int | None:
        """How many were left out before this one; None to leave it out too."""
        passed = max(0.0, at - self._at)
        self._allowed = min(self._per_minute, self._allowed + passed * self._per_minute / 60)
        self._at = at
        if self._allowed < 1:
            self._left_out += 1
            return None
        self._allowed -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def accepted(
    role: str, username: str, facts: dict[str, object], origin: ChangeOrigin
) -> AuditedChange:
    """Somebody has signed in."""
    actor = f"{role.lower()}:{username}"
    return AuditedChange(actor, "sign_in", RESOURCE, username, None, facts, origin=origin)


def refused(
    role: str | None, username: str, detail: str, left_out: int, origin: ChangeOrigin
) -> AuditedChange:
    """Somebody has not; without a role nobody has the name."""
    name = username if role else UNKNOWN
    actor = f"{role.lower()}:{name}" if role else UNKNOWN
    facts: dict[str, object] = {"detail": detail}
    if left_out:
        facts["left_out_before"] = left_out
    return AuditedChange(actor, "refuse_sign_in", RESOURCE, name, None, facts, origin=origin)


def signed_out(caller: Person) -> AuditedChange:
    """Somebody has signed out."""
    facts = {"login_id": caller.login_id}
    actor = f"{caller.role.lower()}:{caller.username}"
    return AuditedChange(actor, "sign_out", RESOURCE, caller.username, None, facts)


def stolen(username: str, login_id: UUID, terminal_device_id: str | None) -> AuditedChange:
    """A used refresh token has ended a log-in. Who sent it is not known, its owner or a thief."""
    facts = {"login_id": login_id, "detail": "a refresh token came that was used before"}
    origin = origins.current()
    if terminal_device_id:
        origin = origin._replace(terminal_device_id=terminal_device_id)
    return AuditedChange(
        UNKNOWN, "end_stolen_sign_in", RESOURCE, username, None, facts, origin=origin
    )


def traveller_accepted(traveller: Traveller) -> AuditedChange:
    """A traveller has signed in by the mini-program. Who that is in WeChat is not kept here."""
    return AuditedChange(
        traveller.key, "sign_in", RESOURCE, traveller.traveller_id, None, {"by": "wechat"}
    )


def traveller_refused(
    traveller_id: object | None, detail: str, refused: RefusedSignIns
) -> AuditedChange | None:
    """A traveller has not, None for one that is not known by name; None if there are too many."""
    left_out = refused.take(time.monotonic())
    if left_out is None:
        return None
    facts: dict[str, object] = {"by": "wechat", "detail": detail}
    if left_out:
        facts["left_out_before"] = left_out
    actor = UNKNOWN if traveller_id is None else f"traveller:{traveller_id}"
    name = UNKNOWN if traveller_id is None else traveller_id
    return AuditedChange(actor, "refuse_sign_in", RESOURCE, name, None, facts)


def origin_of(terminal_device_id: str | None, address: str) -> ChangeOrigin:
    """From where: the terminal is the one that was named."""
    return ChangeOrigin(address, terminal_device_id or "", origins.current().request_id)
