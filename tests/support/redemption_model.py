"""A ticket and its redemptions in the plainest words of DOMAIN: what the server is measured
against.

Nothing is counted down or kept beside: what is left, which redemption stands in the way and the
ticket's state all follow from the list of redemptions. Every state is hashable, so that a search
can remember where it has been.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

ONCE_PER_QR, MULTI_USE = "ONCE_PER_QR", "MULTI_USE"

REASON_OF_STATE = {
    "PRE_GENERATED": "TICKET_NOT_ACTIVE",
    "REFUNDING": "TICKET_NOT_ACTIVE",
    "CHANGING": "TICKET_NOT_ACTIVE",
    "REFUNDED": "TICKET_REFUNDED",
    "CHANGED": "TICKET_CHANGED",
    "VOIDED": "TICKET_VOIDED",
    "EXPIRED": "TICKET_EXPIRED",
}


class Entitlement(NamedTuple):
    """What a ticket allows of one function."""

    function_code: str
    total: int = 1
    use_mode: str = ONCE_PER_QR
    guard_seconds: int = 60
    rotating_code: str = "NONE"


class Redemption(NamedTuple):
    """An admitted scan that was not reversed."""

    name: Hashable
    jti: Hashable
    function_code: str
    quantity: int
    time: datetime


class Outcome(NamedTuple):
    """The answer to a scan, as far as it says what happened; `earlier` names the redemption in
    the way.
    """

    result: str
    reason: str
    state: str
    remaining: tuple[tuple[str, int], ...]
    earlier: Hashable = None


class Place(NamedTuple):
    """Where and when a scan is made; `time` is in the venue's zone. With a `code` of the phone
    that is of now (True), of another time (False), or without.
    """

    allowed: frozenset[str]
    time: datetime
    code: bool | None = None


@dataclass(frozen=True)
class Model:
    """One ticket. `standing` is its state by other moves than redemption: ACTIVE lets redemption
    decide.
    """

    jti: Hashable
    entitlements: tuple[Entitlement, ...]
    valid_from: datetime
    valid_until: datetime
    blackout_dates: frozenset[date] = frozenset()
    standing: str = "ACTIVE"
    blocked: bool = False
    redemptions: tuple[Redemption, ...] = ()

    def remaining(self) -> tuple[tuple[str, int], ...]:
        """Uses left by function code, in the order of the codes."""
        return tuple((e.function_code, self._left(e)) for e in sorted(self.entitlements))

    def state(self) -> str:
        """The ticket's state."""
        if self.standing != "ACTIVE":
            return self.standing
        if not self.redemptions:
            return "ACTIVE"
        return "PARTIALLY_REDEEMED" if any(left for _, left in self.remaining()) else "USED"

    def scan(
        self, name: Hashable, jti: Hashable, function_code: str, quantity: int, place: Place
    ) -> tuple[Outcome, "Model"]:
        """The answer to a scan, and the ticket after it."""
        reason, earlier = self._why_not(jti, function_code, quantity, place)
        if reason:
            name_of_earlier = earlier.name if earlier else None
            outcome = Outcome("REJECT", reason, self.state(), self.remaining(), name_of_earlier)
            return outcome, self
        mine = Redemption(name, jti, function_code, quantity, place.time)
        after = replace(self, redemptions=(*self.redemptions, mine))
        return Outcome("SUCCESS", "", after.state(), after.remaining()), after

    def reverse(self, name: Hashable) -> "Model | None":
        """The ticket without the redemption; None if it cannot be taken back."""
        kept = tuple(redemption for redemption in self.redemptions if redemption.name != name)
        if len(kept) == len(self.redemptions) or self.standing != "ACTIVE":
            return None
        return replace(self, redemptions=kept)

    def _left(self, entitlement: Entitlement) -> int:
        function = entitlement.function_code
        used = sum(r.quantity for r in self.redemptions if r.function_code == function)
        return entitlement.total - used

    def _why_not(
        self, jti: Hashable, function_code: str, quantity: int, place: Place
    ) -> tuple[str, Redemption | None]:
        """The first reason that holds, empty if none does, and the redemption it is about."""
        found = [e for e in self.entitlements if e.function_code == function_code]
        earlier = self._in_the_way(jti, found[0], place.time) if found else None
        left = self._left(found[0]) if found else 0
        asked = found[0].rotating_code if found else "NONE"
        reasons = (
            (function_code not in place.allowed, "FUNCTION_NOT_ALLOWED_HERE"),
            (jti != self.jti, "QR_SUPERSEDED"),
            (self.standing != "ACTIVE", REASON_OF_STATE.get(self.standing, "")),
            (self.blocked, "TICKET_BLOCKED"),
            (not found, "FUNCTION_NOT_INCLUDED"),
            (earlier is not None, "ALREADY_REDEEMED"),
            (place.time < self.valid_from, "TICKET_NOT_YET_VALID"),
            (place.time >= self.valid_until, "TICKET_EXPIRED"),
            (place.time.date() in self.blackout_dates, "BLACKOUT_DATE"),
            (quantity > left, "NO_USES_LEFT"),
            (asked != "NONE" and place.code is False, "ROTATING_CODE_EXPIRED"),
            (asked == "REQUIRED" and place.code is None, "ROTATING_CODE_REQUIRED"),
        )
        reason = next((reason for holds, reason in reasons if holds), "")
        return reason, earlier if reason == "ALREADY_REDEEMED" else None

    def _in_the_way(
        self, jti: Hashable, entitlement: Entitlement, now: datetime
    ) -> Redemption | None:
        same = [
            redemption
            for redemption in self.redemptions
            if (redemption.jti, redemption.function_code) == (jti, entitlement.function_code)
        ]
        if not same:
            return None
        if entitlement.use_mode == ONCE_PER_QR:
            return same[-1]
        guarded = now < same[-1].time + timedelta(seconds=entitlement.guard_seconds)
        return same[-1] if guarded and self._left(entitlement) else None
