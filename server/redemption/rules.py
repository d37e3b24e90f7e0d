"""The decision of a scan: facts and time in, admitted or refused with a reason out. Pure.

Source: DOMAIN, Redemption 2, 4, 5 and 7; the reasons are `RefusalReason` of
deeptravel.redemption.v1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from server.platform.texts import clock_time
from server.tickets.rotating_codes import STEP_SECONDS, CodeShown
from server.tickets.rules import is_direct, is_test, partner_of

ONCE_PER_QR = "ONCE_PER_QR"
MULTI_USE = "MULTI_USE"
NO_CODE, CODE_OPTIONAL, CODE_REQUIRED = "NONE", "OPTIONAL", "REQUIRED"
"""Whether a function asks for the rotating code of the traveller's phone."""
RETURN = "return"
"""The function that a rental's voucher is redeemed by when the car is brought back."""

_REFUSED_STATES = {
    "PRE_GENERATED": "TICKET_NOT_ACTIVE",
    "REFUNDING": "TICKET_NOT_ACTIVE",
    "CHANGING": "TICKET_NOT_ACTIVE",
    "REFUNDED": "TICKET_REFUNDED",
    "CHANGED": "TICKET_CHANGED",
    "VOIDED": "TICKET_VOIDED",
    "EXPIRED": "TICKET_EXPIRED",
}
_REVERSIBLE_STATES = frozenset({"ACTIVE", "PARTIALLY_REDEEMED", "USED"})


@dataclass(frozen=True, slots=True)
class TicketTerms:
    """How an entitlement may be used, from the ticket's snapshot."""

    use_mode: str
    guard_seconds: int
    rotating_code: str = NO_CODE


class TicketStop(NamedTuple):
    """A station or pier."""

    stop_code: str
    city_code: str
    display_name_en: str
    display_name_zh: str


class TicketLeg(NamedTuple):
    """What of a departure was sold: in which class, from where to where; `travel_seconds` on the
    way by plan.
    """

    service_number: str
    fare_class: str
    fare_class_name_en: str
    fare_class_name_zh: str
    origin: TicketStop
    destination: TicketStop
    travel_seconds: int
    numbered_seats: bool


class RentedFrom(NamedTuple):
    """The locations, by number, where a rental begins and ends."""

    pick_up_location_id: int
    drop_off_location_id: int

    def location_of(self, function_code: str) -> int:
        """Where a function of the voucher is redeemed: the return where the car is returned, all
        else where it is picked up.
        """
        is_return = function_code == RETURN
        return self.drop_off_location_id if is_return else self.pick_up_location_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rules a ticket was sold under: entitlements by function code, and the days it is not
    valid.

    And what it was sold as: the product's names, the leg of a departure, when boarding of that
    opens, the locations of a rental.
    """

    terms: Mapping[str, TicketTerms]
    blackout_dates: frozenset[date]
    display_name_en: str = ""
    display_name_zh: str = ""
    leg: TicketLeg | None = None
    boarding_minutes: int = 120
    rental: RentedFrom | None = None


class TicketDeparture(NamedTuple):
    """The departure a ticket is for, as it is planned now where the customer boards.

    `is_shared` of a ticket for a shared entitlement: it was sold with the departure, but is not
    bound to it, since those who share it may have changed to others.
    """

    departure_id: int
    departure_time: datetime
    seat: str
    is_cancelled: bool
    is_shared: bool
    leg: TicketLeg
    boarding_minutes: int

    @property
    def boarding_time(self) -> datetime:
        """When boarding opens, be it on the day before."""
        return self.departure_time - timedelta(minutes=self.boarding_minutes)

    @property
    def arrival_time(self) -> datetime:
        """When the customer arrives, by plan."""
        return self.departure_time + timedelta(seconds=self.leg.travel_seconds)


class Lease(NamedTuple):
    """The terminal that alone redeems a function, and until before when."""

    terminal_device_id: str
    until: datetime


@dataclass(slots=True)
class Uses:
    """The uses of one entitlement, and its lease if it has one now."""

    total: int
    remaining: int
    lease: Lease | None = None


class Earlier(NamedTuple):
    """The redemption that holds the guard of (jti, function_code)."""

    event_id: int
    redeemed_time: datetime
    terminal_device_id: str
    venue_code: str


@dataclass(slots=True)
class ScannedTicket:
    """A locked ticket as the decision sees it; `apply` keeps it true for the next scan of the
    same transaction.
    """

    ticket_id: int
    ticket_code: str
    jti: UUID
    state: str
    blocked: bool
    order_id: int | None
    product_id: int
    valid_from_time: datetime
    valid_until_time: datetime
    snapshot: Snapshot
    # which of its order's rotations the last of its own QR was, see `order_qr_standing`
    rotation: int = 0
    departure: TicketDeparture | None = None
    # of a rental's functions those that one venue redeems alone, and its code
    venues: Mapping[str, str] = field(default_factory=dict)
    uses: dict[str, Uses] = field(default_factory=dict)
    guards: dict[tuple[UUID, str], Earlier] = field(default_factory=dict)

    @property
    def begin_time(self) -> datetime:
        """From when on it is admitted: a departure's from the opening of boarding, others as they
        were sold.

        A shared one from the earlier of both.
        """
        if self.departure is None:
            return self.valid_from_time
        opens = self.departure.boarding_time
        return min(opens, self.valid_from_time) if self.departure.is_shared else opens

    @property
    def bound_to(self) -> TicketDeparture | None:
        """The departure it goes by; None for a ticket of none, and for a shared one."""
        return self.departure if self.departure and not self.departure.is_shared else None

    def asks_for_code(self, function_code: str) -> str:
        """Whether a function of it asks for a rotating code, which partners' tickets have none
        of.
        """
        if not is_direct(self.ticket_id):
            return NO_CODE
        return self.snapshot.terms[function_code].rotating_code

    def copy(self) -> "ScannedTicket":
        """The ticket as it is now, to go back to."""
        uses = {function: replace(uses) for function, uses in self.uses.items()}
        return replace(self, uses=uses, guards=dict(self.guards))


class Scan(NamedTuple):
    """What is asked: `quantity` uses of `function_code`, at a place, `venue_code`, that redeems
    `allowed` functions.

    `now` is in the venue's time zone: its date is the one that counts, its clock the one the
    operator reads. `admits` is the departure that the operator's session is for, None if all. The
    simulated terminal of a sandbox, `sandbox_id`, admits its test tickets, and nothing else.
    `shown` is the rotating code behind the QR; None where no QR was shown.
    """

    jti: UUID
    function_code: str
    quantity: int
    allowed: frozenset[str]
    now: datetime
    admits: "Admits | None" = None
    sandbox_id: int = 0
    venue_code: str = ""
    terminal_device_id: str = ""
    shown: CodeShown | None = None


class Admits(NamedTuple):
    """The departure that a session is for, and how people call it."""

    departure_id: int
    service_number: str
    travel_date: date


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a scan is refused: the reason, the check that decided, the values it saw, and what
    stands in the way.
    """

    reason: str
    check: str
    facts: dict[str, str | int] = field(default_factory=dict)
    earlier: Earlier | None = None


def decide(scan: Scan, ticket: ScannedTicket) -> Refusal | None:
    """Whether the scan is admitted (None) or refused; the first check that fails decides."""
    return (
        mode(ticket, scan.sandbox_id)
        or _place(scan, ticket)
        or standing(ticket, scan.jti, scan.now)
        or wrong_departure(ticket, scan.admits, scan.now)
        or _guard(scan, ticket)
        or validity(ticket, scan.now)
        or _uses(scan, ticket)
        or _lease(scan, ticket)
        # last: whoever is sent to open the app is admitted then
        or _code(scan.function_code, ticket, scan.shown, scan.now)
    )


def why_not_leased(scan: Scan, ticket: ScannedTicket) -> Refusal | None:
    """Why a terminal does not get a lease: what would refuse the scan, but that it comes too early;
    the terminal sees to that.
    """
    refusal = decide(scan, ticket)
    if refusal and refusal.reason == "TICKET_NOT_YET_VALID":
        return _uses(scan, ticket) or _lease(scan, ticket)
    return refusal


def apply(scan: Scan, ticket: ScannedTicket, earlier: Earlier) -> None:
    """Consumes the uses of an admitted scan; `earlier` is what the scan is to scans after it."""
    ticket.uses[scan.function_code].remaining -= scan.quantity
    ticket.guards[scan.jti, scan.function_code] = earlier
    left = sum(uses.remaining for uses in ticket.uses.values())
    ticket.state = "USED" if left == 0 else "PARTIALLY_REDEEMED"


def mode(ticket: ScannedTicket, sandbox_id: int = 0) -> Refusal | None:
    """Whether the ticket is for trying and the terminal is not: no terminal of a venue admits a
    test ticket, whatever else it is, and the simulated one of a sandbox no other's.
    """
    if sandbox_id:
        is_own = partner_of(ticket.ticket_id) == sandbox_id
        return None if is_own else Refusal("TICKET_NOT_FOUND", "ticket")
    return Refusal("TEST_TICKET", "mode") if is_test(ticket.ticket_id) else None


def standing(ticket: ScannedTicket, jti: UUID, now: datetime) -> Refusal | None:
    """Whether the ticket, by itself, keeps this QR from redeeming anything.

    A cancelled departure is named whatever its ticket is meanwhile, but for one that was changed to
    another departure.
    """
    if jti != ticket.jti:
        return Refusal("QR_SUPERSEDED", "jti")
    departure = ticket.bound_to
    if departure and departure.is_cancelled and ticket.state != "CHANGED":
        return Refusal("DEPARTURE_CANCELLED", "departure", _named(departure, now))
    reason = _REFUSED_STATES.get(ticket.state)
    if reason == "TICKET_EXPIRED":  # in the words of one that will be within a minute
        return _over(ticket, now)
    if reason:
        return Refusal(reason, "state", {"state": ticket.state})
    if ticket.blocked:
        return Refusal("TICKET_BLOCKED", "blocked")
    return None


def order_qr_standing(issued_after: int | None, ticket: ScannedTicket | None) -> Refusal | None:
    """Whether an order's QR is superseded: as a whole, or for this ticket of the order.

    `issued_after` says how many rotations of the order's tickets it was issued after, None if the
    order's own QR was rotated since; `ticket.rotation` which of them the ticket's last was.
    """
    if issued_after is None:
        return Refusal("QR_SUPERSEDED", "jti")
    if ticket and ticket.rotation > issued_after:
        return Refusal("QR_SUPERSEDED", "rotation")
    return None


def no_code(
    ticket: ScannedTicket, allowed: frozenset[str] | None, shown: CodeShown, now: datetime
) -> Refusal | None:
    """Whether what was shown behind the QR keeps it from redeeming anything: of the functions with
    uses left those that are `allowed`, all if None.
    """
    refusals = [
        _code(function, ticket, shown, now)
        for function, uses in ticket.uses.items()
        if uses.remaining and (allowed is None or function in allowed)
    ]
    return refusals[0] if refusals and all(refusals) else None


def wrong_departure(ticket: ScannedTicket, admits: Admits | None, now: datetime) -> Refusal | None:
    """Whether the ticket is for another departure than the session's; one that goes by none is
    not.
    """
    departure = ticket.bound_to
    if admits is None or departure is None or departure.departure_id == admits.departure_id:
        return None
    here = f"{admits.service_number} ({admits.travel_date.isoformat()})"
    return Refusal("WRONG_DEPARTURE", "departure", {**_named(departure, now), "here": here})


def validity(ticket: ScannedTicket, now: datetime) -> Refusal | None:
    """Whether the ticket is outside its validity, or its day is a blackout date of its product.

    A departure's ticket is valid from the opening of boarding, whatever day that is; its day is
    that of the departure.
    """
    begin, departure = ticket.begin_time, ticket.bound_to
    facts: dict[str, str | int]
    if now < begin and departure:
        facts = {**_named(departure, now), "opens": _clock(begin, now)}
        return Refusal("TICKET_NOT_YET_VALID", "boarding", facts)
    if now < begin:
        return Refusal("TICKET_NOT_YET_VALID", "validity", {"valid_from": _clock(begin, now)})
    if now >= ticket.valid_until_time:
        return _over(ticket, now)
    day = (departure.departure_time.astimezone(now.tzinfo) if departure else now).date()
    if day in ticket.snapshot.blackout_dates:
        return Refusal("BLACKOUT_DATE", "blackout", {"date": day.isoformat()})
    return None


def _over(ticket: ScannedTicket, now: datetime) -> Refusal:
    facts: dict[str, str | int] = {"valid_until": _clock(ticket.valid_until_time, now)}
    return Refusal("TICKET_EXPIRED", "validity", facts)


def _named(departure: TicketDeparture, now: datetime) -> dict[str, str | int]:
    leg = departure.leg
    return {
        "service": leg.service_number,
        "departs": _clock(departure.departure_time, now),
        "origin_en": leg.origin.display_name_en,
        "origin_zh": leg.origin.display_name_zh,
        "destination_en": leg.destination.display_name_en,
        "destination_zh": leg.destination.display_name_zh,
    }


def _clock(moment: datetime, now: datetime) -> str:
    return clock_time(moment.astimezone(now.tzinfo), "seconds")


def _place(scan: Scan, ticket: ScannedTicket) -> Refusal | None:
    facts: dict[str, str | int] = {"function": scan.function_code}
    if scan.function_code not in scan.allowed:
        facts["allowed"] = ", ".join(sorted(scan.allowed)) or "-"
        return Refusal("FUNCTION_NOT_ALLOWED_HERE", "place", facts)
    venue = ticket.venues.get(scan.function_code, scan.venue_code)
    if venue != scan.venue_code:
        return Refusal("FUNCTION_NOT_ALLOWED_HERE", "venue", facts | {"venue": venue})
    return None


def _guard(scan: Scan, ticket: ScannedTicket) -> Refusal | None:
    if scan.function_code not in ticket.uses:
        included = ", ".join(sorted(ticket.uses)) or "-"
        facts: dict[str, str | int] = {"function": scan.function_code, "included": included}
        return Refusal("FUNCTION_NOT_INCLUDED", "function", facts)
    earlier = ticket.guards.get((scan.jti, scan.function_code))
    if earlier is None:
        return None
    facts = {
        "function": scan.function_code,
        "at": _clock(earlier.redeemed_time, scan.now),
        "terminal": earlier.terminal_device_id,
        "venue": earlier.venue_code,
    }
    terms = ticket.snapshot.terms[scan.function_code]
    if terms.use_mode == ONCE_PER_QR:
        return Refusal("ALREADY_REDEEMED", "guard", facts, earlier)
    free_at = earlier.redeemed_time + timedelta(seconds=terms.guard_seconds)
    guarded = terms.guard_seconds > 0 and scan.now < free_at  # another server's clock may be ahead
    if guarded and ticket.uses[scan.function_code].remaining > 0:
        facts["again_at"] = _clock(free_at, scan.now)
        return Refusal("ALREADY_REDEEMED", "guard_time", facts, earlier)
    return None


def _uses(scan: Scan, ticket: ScannedTicket) -> Refusal | None:
    uses = ticket.uses[scan.function_code]
    if scan.quantity <= uses.remaining:
        return None
    facts: dict[str, str | int] = {
        "function": scan.function_code,
        "asked": scan.quantity,
        "remaining": uses.remaining,
        "total": uses.total,
    }
    return Refusal("NO_USES_LEFT", "uses", facts)


def _lease(scan: Scan, ticket: ScannedTicket) -> Refusal | None:
    lease = ticket.uses[scan.function_code].lease
    if lease is None or lease.terminal_device_id == scan.terminal_device_id:
        return None
    facts: dict[str, str | int] = {
        "function": scan.function_code,
        "terminal": lease.terminal_device_id,
        "until": _clock(lease.until, scan.now),
    }
    return Refusal("LEASED_ELSEWHERE", "lease", facts)


def why_not_reversible(
    result: str,
    redeemed_time: datetime,
    ticket_state: str,
    *,
    is_reversed: bool,
    window_seconds: int,
    now: datetime,
) -> str | None:
    """Why a recorded redemption cannot be reversed, in words; None if it can."""
    if result != "SUCCESS":
        return "only an admitted redemption can be reversed"
    if is_reversed:
        return "it is reversed already"
    if now > redeemed_time + timedelta(seconds=window_seconds):
        return f"its window of {window_seconds} s is over"
    if ticket_state not in _REVERSIBLE_STATES:
        return f"the ticket is {ticket_state} now"
    return None


def _code(
    function_code: str, ticket: ScannedTicket, shown: CodeShown | None, now: datetime
) -> Refusal | None:
    if shown in (None, CodeShown.CURRENT):
        return None
    asked = ticket.asks_for_code(function_code)
    if asked == NO_CODE or (asked == CODE_OPTIONAL and shown is CodeShown.NO_CODE):
        return None
    facts: dict[str, str | int] = {"function": function_code}
    if shown is CodeShown.NO_CODE:
        return Refusal("ROTATING_CODE_REQUIRED", "rotating_code", facts)
    facts = {"now": _clock(now, now), "seconds": STEP_SECONDS}
    return Refusal("ROTATING_CODE_EXPIRED", "rotating_code", facts)
