"""Two gates without network and one with it on the same uses, in the plainest words of DOMAIN: what
the server's verdicts are measured against.

Times are a test's own, of an hour ago, a second a step: which of two things was first never depends
on how fast the machine is.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from server.parties.offline_policy import USUAL, OfflinePolicy
from tests.support.redemption_model import ONCE_PER_QR, Entitlement


class WrittenScan(NamedTuple):
    """A scan as a gate has written it down: `clock` is its clock's time, None without one."""

    device: str
    function_code: str
    quantity: int
    clock: datetime | None
    pack_time: datetime
    admitted: bool
    was_redeemed: bool = False
    """Online, under the same id, without the gate's hearing of it."""


class Expected(NamedTuple):
    """A verdict, and who bears it."""

    verdict: str
    liable: str = ""


@dataclass
class SharedTicket:
    """A ticket that all gates scan.

    `accepted` has the quantity of all that was accepted and not reversed, `last` the gate of the
    last of them, by function; None where that was reversed.
    """

    entitlements: tuple[Entitlement, ...]
    accepted: dict[str, int] = field(default_factory=dict)
    last: dict[str, str | None] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)
    blocked_at: datetime | None = None
    refunded_at: datetime | None = None
    policy: OfflinePolicy = USUAL

    def left(self, function_code: str) -> int:
        """Uses that are left."""
        (of,) = [each for each in self.entitlements if each.function_code == function_code]
        return of.total - self.accepted.get(function_code, 0)

    @property
    def is_unused(self) -> bool:
        """Whether it may be given back."""
        return not any(self.accepted.values())

    def refused(self, device: str, function_code: str, quantity: int = 1) -> str:
        """Why a scan is refused now; empty if it is admitted."""
        if self.refunded_at:
            return "TICKET_REFUNDED"
        if self.blocked_at:
            return "TICKET_BLOCKED"
        (of,) = [each for each in self.entitlements if each.function_code == function_code]
        if of.use_mode == ONCE_PER_QR and self.accepted.get(function_code):
            return "ALREADY_REDEEMED"
        if quantity > self.left(function_code):
            return "NO_USES_LEFT"
        if self.leases.get(function_code, device) != device:
            return "LEASED_ELSEWHERE"
        return ""

    def accept(self, device: str, function_code: str, quantity: int = 1) -> None:
        """Consumes uses."""
        self.accepted[function_code] = self.accepted.get(function_code, 0) + quantity
        self.last[function_code] = device

    def uploaded(self, scan: WrittenScan) -> Expected:
        """The verdict on a scan that was not uploaded before, and what it does."""
        if not scan.admitted:
            return Expected("RECORDED")
        if scan.was_redeemed:
            return Expected("ACCEPTED")
        moment, is_suspect = believed(scan, timedelta(seconds=self.policy.clock_seconds))
        revoked = min(filter(None, (self.refunded_at, self.blocked_at)), default=None)
        if revoked and (self.refunded_at or moment >= revoked):
            if moment < revoked:
                bears = "MERCHANT" if self.policy.bears_refunds else "PLATFORM"
                return Expected("CONFLICT", bears)
            age = moment - scan.pack_time
            is_fresh = age <= timedelta(seconds=self.policy.pack_seconds)
            could_not_know = scan.pack_time < revoked and is_fresh
            return Expected("REVOKED_AT_SCAN", "PLATFORM" if could_not_know else "MERCHANT")
        blocked, self.blocked_at = self.blocked_at, None  # it was not, then
        reason = self.refused(scan.device, scan.function_code, scan.quantity)
        self.blocked_at = blocked
        if not reason:
            self.accept(scan.device, scan.function_code, scan.quantity)
            return Expected("CLOCK_SUSPECT" if is_suspect else "ACCEPTED")
        earlier = self.last.get(scan.function_code)
        if reason == "LEASED_ELSEWHERE" or earlier is None:
            return Expected("REFUSED", "MERCHANT")
        if earlier == scan.device:
            return Expected("DUPLICATE", "MERCHANT")
        return Expected("OVER_ADMITTED" if self.policy.over_admission else "CONFLICT", "MERCHANT")


def believed(scan: WrittenScan, tolerance: timedelta) -> tuple[datetime, bool]:
    """When it was made, and whether its clock was wrong. It is uploaded after all of the times."""
    uploaded = datetime.now(UTC)
    if scan.clock is None:
        return uploaded, True
    is_wrong = not scan.pack_time - tolerance <= scan.clock <= uploaded + tolerance
    return min(max(scan.clock, scan.pack_time), uploaded), is_wrong
