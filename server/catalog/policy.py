"""Refund and change: what a policy gives back for a ticket, and what a change costs. Pure.

Source: DOMAIN, Refund and change; States. Amounts are integers in minor units of the ticket's
currency, times are aware.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, NamedTuple, Self

from server.catalog.operator_cause import (
    DEFAULT_TOLERANCE_MINUTES,
    DEPARTURE_CANCELLED,
    MAX_TOLERANCE_MINUTES,
    OPERATOR_CAUSES,
)

MAX_TIERS = 20
MAX_MINUTES = 366 * 24 * 60
MAX_CHANGES = 100
MAX_FEE_MINOR = 1_000_000_000

REASONS = frozenset(
    {
        "NOT_ACTIVE",
        "BLOCKED",
        "REDEEMED",
        "EXPIRED",
        "VOIDED",
        "REFUNDING",
        "REFUNDED",
        "CHANGING",
        "CHANGED",
        "NOT_REFUNDABLE",
        "NOT_CHANGEABLE",
        "CHANGES_USED_UP",
        "TOO_LATE",
        "SHARED",
        "CHANGED_TOO_LATE",
    }
)
"""Every reason of a Refused."""

RULES = frozenset({"FREE", "TIER", "PRO_RATA"}) | OPERATOR_CAUSES
"""Every rule of a RefundOffer: all of it back; a share or all less a fee; in proportion to the uses
left; what the operator did to the departure, for which all that is unused comes back.
"""

_REFUSED_STATES = {
    "PRE_GENERATED": "NOT_ACTIVE",
    "USED": "REDEEMED",
    **{
        state: state
        for state in ("EXPIRED", "VOIDED", "REFUNDING", "REFUNDED", "CHANGING", "CHANGED")
    },
}


class RefundTier(NamedTuple):
    """`percent` back of what was paid, until `minutes_before` departure or the first moment of use.

    Negative minutes are after it. 0 is until departure or, for what does not depart, until the
    validity ends: so long nothing need be used (DOMAIN, Refund and change).
    """

    minutes_before: int
    percent: int


class TicketStart(StrEnum):
    """What a ticket begins with, by which its deadlines are reckoned: the moment of a departure or
    of a car's pick-up, or the first day of use.
    """

    DEPARTURE = "DEPARTURE"
    PICK_UP = "PICK_UP"
    FIRST_DAY = "FIRST_DAY"


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be given back or changed, and until when.

    `refund_tiers` stand from the earliest to the last, their percentages never rising; after the
    last nothing is given back, and none at all is not refundable. `refund_fee_minor` is kept of
    each ticket, `change_fee_minor` added to each change. A ticket may be changed `changes_allowed`
    times, until `change_minutes_before`, which counts as a tier's. With `pro_rata` a partly
    redeemed ticket is refunded in proportion to the uses left; without, not at all.

    When the operator moves a departure by more than `move_tolerance_minutes`, or cancels it, refund
    and change are free. With `refund_after_choice` a cancelled departure is not refunded at once
    but when it would have left, so that the traveller may change instead.
    """

    refund_tiers: tuple[RefundTier, ...] = ()
    refund_fee_minor: int = 0
    changes_allowed: int = 0
    change_minutes_before: int = 0
    change_fee_minor: int = 0
    pro_rata: bool = False
    move_tolerance_minutes: int = DEFAULT_TOLERANCE_MINUTES
    refund_after_choice: bool = False

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From its JSON, as `content` returns it; what is left out is as in Policy(), so {} gives
        nothing back and changes nothing.

        Raises ValueError, with the field, what is wrong and what to send instead.
        """
        numbers = {
            "refund_fee_minor": (0, MAX_FEE_MINOR),
            "changes_allowed": (0, MAX_CHANGES),
            "change_minutes_before": (-MAX_MINUTES, MAX_MINUTES),
            "change_fee_minor": (0, MAX_FEE_MINOR),
            "move_tolerance_minutes": (0, MAX_TOLERANCE_MINUTES),
        }
        flags = ("pro_rata", "refund_after_choice")
        if unknown := content.keys() - {"refund_tiers", *flags, *numbers}:
            raise ValueError(f"has unknown fields {sorted(unknown)}")
        values: dict[str, Any] = {
            name: _number(name, content.get(name, getattr(cls(), name)), limits)
            for name, limits in numbers.items()
        }
        values |= {name: _flag(name, content.get(name, False)) for name in flags}
        return cls(refund_tiers=_tiers(content.get("refund_tiers", [])), **values)

    def content(self) -> dict[str, Any]:
        """The policy as it is stored in JSON."""
        return {
            "refund_tiers": [tier._asdict() for tier in self.refund_tiers],
            "refund_fee_minor": self.refund_fee_minor,
            "changes_allowed": self.changes_allowed,
            "change_minutes_before": self.change_minutes_before,
            "change_fee_minor": self.change_fee_minor,
            "pro_rata": self.pro_rata,
            "move_tolerance_minutes": self.move_tolerance_minutes,
            "refund_after_choice": self.refund_after_choice,
        }


@dataclass(frozen=True, slots=True)
class PolicyTicket:
    """A sold ticket as these decisions see it.

    `paid_minor` is what was paid for it, all changes included. `value_minor` is what leaves its
    order with it when it is given back, after the party discount of those who stay was worked out
    again (see orders/party.py); None: what was paid. `reference_time` is the departure of its leg,
    or the first moment of use for what does not depart; `remaining_uses` and `total_uses` are over
    all its entitlements. `operator_cause` is what the operator did to its departure, one of
    OPERATOR_CAUSES or empty; `boarded` is whether its boarding was redeemed. `refund_percent_cap`
    is what the tickets it was changed from would have got back at their changes, the least of them.
    Moments in facts are in `zone`, the city's. `waiver_code` is by what the operator's doing is
    free; the facts of a refund keep it.
    """

    state: str
    paid_minor: int
    remaining_uses: int
    total_uses: int
    reference_time: datetime
    valid_until_time: datetime
    blocked: bool = False
    operator_cause: str = ""
    boarded: bool = False
    start: TicketStart = TicketStart.DEPARTURE
    value_minor: int | None = None
    refund_percent_cap: int = 100
    zone: tzinfo = UTC
    waiver_code: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a ticket is not refunded or changed: one of REASONS, and the values it was decided on."""

    reason: str
    facts: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundOffer:
    """What comes back of a ticket, and what is kept of it: amount, fee and party discount are
    together what was paid.

    `party_discount_minor` is the discount that those who stay lose; below zero if one that an
    earlier refund has kept is given back with this ticket. `fee_minor` is all else that is kept:
    the share that the tier does not give, the uses made, the fee. `amount_minor` may be 0, if they
    are all of it. `rule` is one of RULES, `facts` the values it was decided on. The offer holds
    until `until_time`, when its tier ends or the validity does.
    """

    amount_minor: int
    fee_minor: int
    party_discount_minor: int
    percent: int
    rule: str
    until_time: datetime
    facts: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class ChangeOffer:
    """What a change costs: `pay_minor` to be paid or `refund_minor` to be given back, one of them
    0.

    `fee_minor` is contained. `forfeited_minor` is what is kept of the difference to something
    cheaper besides the fee: old + pay = new + fee + forfeited + refund. `refund_percent` is the
    share that the old ticket would have got as a refund now, and the most that the new one ever
    gets. The offer holds until `until_time`, when that share falls or the ticket can no longer be
    changed. With an `operator_cause` the change is free, does not count, and leaves the share as it
    was.
    """

    pay_minor: int
    refund_minor: int
    fee_minor: int
    old_minor: int
    new_minor: int
    until_time: datetime
    operator_cause: str = ""
    forfeited_minor: int = 0
    refund_percent: int = 100
    waiver_code: str = ""


def refund(ticket: PolicyTicket, policy: Policy, now: datetime) -> RefundOffer | Refused:
    """What is given back of a ticket at `now`.

    The share of the tier, never above the ticket's cap, and with `pro_rata` that of the uses left,
    is taken at once of the ticket's value and rounded half-up; then the fee is kept, as far as
    there is something to keep it of. Of a departure that the operator cancelled, or moved and that
    has not left yet, all that is unused is given back, whatever policy and cap say.
    """
    if _operator_answers(ticket, now):
        return _operator_refund(ticket, now)
    refused = _standing(ticket, now, partly_redeemed=policy.pro_rata)
    if refused:
        return refused
    if not any(tier.percent for tier in policy.refund_tiers):
        return Refused("NOT_REFUNDABLE")
    if not ticket.refund_percent_cap:
        return Refused("CHANGED_TOO_LATE", {"refund_percent_cap": 0})
    steps = _steps(ticket, policy)
    for tier in steps:
        end = _moment(ticket, tier.minutes_before)
        if now <= end:
            break
    else:
        return Refused("TOO_LATE", _deadline(ticket, steps[-1].minutes_before))
    value = ticket.paid_minor if ticket.value_minor is None else ticket.value_minor
    remaining, total = (ticket.remaining_uses, ticket.total_uses) if ticket.total_uses else (1, 1)
    share = _share(value, remaining * tier.percent, total * 100)
    amount = max(0, share - policy.refund_fee_minor)
    rule = "FREE" if amount == ticket.paid_minor else "TIER"
    facts: dict[str, str | int] = {
        "percent": tier.percent,
        "minutes_before": tier.minutes_before,
        "start": ticket.start.value,
        "until_time": _shown(ticket, min(end, ticket.valid_until_time)),
        "fee_per_ticket_minor": policy.refund_fee_minor,
    }
    if ticket.refund_percent_cap < 100:
        facts["refund_percent_cap"] = ticket.refund_percent_cap
    if remaining < total:
        rule = "PRO_RATA"
        facts |= {"remaining_uses": remaining, "total_uses": total}
    return RefundOffer(
        amount_minor=amount,
        fee_minor=value - amount,
        party_discount_minor=ticket.paid_minor - value,
        percent=tier.percent,
        rule=rule,
        until_time=min(end, ticket.valid_until_time),
        facts=facts,
    )


def change(
    ticket: PolicyTicket, policy: Policy, *, changes_made: int, new_price_minor: int, now: datetime
) -> ChangeOffer | Refused:
    """What it costs at `now` to change a ticket, already changed `changes_made` times, to one of
    `new_price_minor`.

    Of what the new one is cheaper the share comes back that a refund of the old one would have
    given, rounded half-up, less the fee of the change (the fee of a refund is kept of what is given
    back, which this ticket is not). So a change never gives back what a refund would not (DOMAIN,
    Refund and change). Free, and as often as that happens, while its departure is cancelled or
    moved and would not have left yet.
    """
    refused = _standing(ticket, now, partly_redeemed=False)
    if refused:
        return refused
    if ticket.operator_cause and now <= ticket.reference_time:
        difference = new_price_minor - ticket.paid_minor
        return ChangeOffer(
            pay_minor=max(0, difference),
            refund_minor=max(0, -difference),
            fee_minor=0,
            old_minor=ticket.paid_minor,
            new_minor=new_price_minor,
            forfeited_minor=0,
            refund_percent=ticket.refund_percent_cap,
            until_time=min(ticket.reference_time, ticket.valid_until_time),
            operator_cause=ticket.operator_cause,
            waiver_code=ticket.waiver_code,
        )
    if not policy.changes_allowed:
        return Refused("NOT_CHANGEABLE")
    if changes_made >= policy.changes_allowed:
        return Refused(
            "CHANGES_USED_UP",
            {"changes_made": changes_made, "changes_allowed": policy.changes_allowed},
        )
    end = _moment(ticket, policy.change_minutes_before)
    if now > end:
        return Refused("TOO_LATE", _deadline(ticket, policy.change_minutes_before))
    given = refund(ticket, policy, now)
    percent = given.percent if isinstance(given, RefundOffer) else 0
    fee, cheaper_by = policy.change_fee_minor, ticket.paid_minor - new_price_minor
    pay = max(0, fee - cheaper_by)
    back = max(0, _share(cheaper_by, percent, 100) - fee) if cheaper_by > 0 else 0
    ends = [end, ticket.valid_until_time]
    if isinstance(given, RefundOffer):
        ends.append(given.until_time)
    return ChangeOffer(
        pay_minor=pay,
        refund_minor=back,
        fee_minor=fee,
        old_minor=ticket.paid_minor,
        new_minor=new_price_minor,
        forfeited_minor=cheaper_by + pay - fee - back,
        refund_percent=percent,
        until_time=min(ends),
    )


def deadline(refused: Refused) -> dict[str, Any]:
    """The moment after which it is refused, as {"deadline_time": ISO 8601 in the city's zone};
    empty if there is none.
    """
    for name in ("deadline_time", "valid_until_time"):
        if name in refused.facts:
            return {"deadline_time": str(refused.facts[name])}
    return {}


def _operator_answers(ticket: PolicyTicket, now: datetime) -> bool:
    """Whether what the operator did decides: for good when the departure is cancelled, until it
    leaves when it moved.
    """
    if ticket.operator_cause == DEPARTURE_CANCELLED:
        return True
    return bool(ticket.operator_cause) and now <= ticket.reference_time


def _operator_refund(ticket: PolicyTicket, now: datetime) -> RefundOffer | Refused:
    """All of what was paid, or of a partly redeemed ticket the share of the uses left; nothing once
    it was boarded with.

    A cancelled departure is answered for also when the validity is over meanwhile.
    """
    cancelled = ticket.operator_cause == DEPARTURE_CANCELLED
    until_time = min(ticket.reference_time, ticket.valid_until_time)
    if cancelled:
        until_time = max(ticket.valid_until_time, now + timedelta(days=1))
    refused = _standing(ticket, now, partly_redeemed=not ticket.boarded, ignores_validity=cancelled)
    if refused:
        return refused
    remaining, total = (ticket.remaining_uses, ticket.total_uses) if ticket.total_uses else (1, 1)
    value = ticket.paid_minor if ticket.value_minor is None else ticket.value_minor
    amount = _share(value, remaining, total)
    facts: dict[str, str | int] = {"remaining_uses": remaining, "total_uses": total}
    if ticket.waiver_code:
        facts["waiver_code"] = ticket.waiver_code
    if not cancelled:
        facts["until_time"] = _shown(ticket, until_time)
    return RefundOffer(
        amount_minor=amount,
        fee_minor=value - amount,
        party_discount_minor=ticket.paid_minor - value,
        percent=100,
        rule=ticket.operator_cause,
        until_time=until_time,
        facts=facts,
    )


def _standing(
    ticket: PolicyTicket, now: datetime, *, partly_redeemed: bool, ignores_validity: bool = False
) -> Refused | None:
    """Whether the ticket, by itself, can be neither refunded nor changed; the first check that
    fails decides.
    """
    reason = _REFUSED_STATES.get(ticket.state)
    if reason == "EXPIRED":  # in the words of one that will be within a minute
        return _over(ticket)
    if reason:
        return Refused(reason, {"state": ticket.state})
    if ticket.blocked:
        return Refused("BLOCKED")
    redeemed = ticket.state == "PARTIALLY_REDEEMED" or ticket.remaining_uses < ticket.total_uses
    if redeemed and not (partly_redeemed and ticket.remaining_uses):
        return Refused(
            "REDEEMED",
            {
                "state": ticket.state,
                "remaining_uses": ticket.remaining_uses,
                "total_uses": ticket.total_uses,
            },
        )
    if now >= ticket.valid_until_time and not ignores_validity:
        return _over(ticket)
    return None


def _over(ticket: PolicyTicket) -> Refused:
    return Refused("EXPIRED", {"valid_until_time": _shown(ticket, ticket.valid_until_time)})


def reachable(policy: Policy, start: TicketStart) -> list[RefundTier]:
    """The tiers that may ever apply: what does not depart has none after the one until its
    validity ends.
    """
    tiers = list(policy.refund_tiers)
    if start is not TicketStart.FIRST_DAY or not any(tier.minutes_before == 0 for tier in tiers):
        return tiers
    return [tier for tier in tiers if tier.minutes_before >= 0]


def _steps(ticket: PolicyTicket, policy: Policy) -> list[RefundTier]:
    """The tiers that give something back under the ticket's cap; of those that give as much, the
    last.
    """
    steps: dict[int, RefundTier] = {}
    for tier in reachable(policy, ticket.start):
        percent = min(tier.percent, ticket.refund_percent_cap)
        if percent:
            steps[percent] = RefundTier(tier.minutes_before, percent)
    return list(steps.values())


def _share(amount_minor: int, part: int, whole: int) -> int:
    """`part` of `whole` of an amount, half-up."""
    return (amount_minor * part * 2 + whole) // (2 * whole)


def _moment(ticket: PolicyTicket, minutes_before: int) -> datetime:
    if not minutes_before and ticket.start is TicketStart.FIRST_DAY:
        return ticket.valid_until_time
    return ticket.reference_time - timedelta(minutes=minutes_before)


def _shown(ticket: PolicyTicket, moment: datetime) -> str:
    return moment.astimezone(ticket.zone).isoformat()


def _deadline(ticket: PolicyTicket, minutes_before: int) -> dict[str, str | int]:
    return {
        "deadline_time": _shown(ticket, _moment(ticket, minutes_before)),
        "minutes_before": minutes_before,
    }


def _tiers(content: Any) -> tuple[RefundTier, ...]:
    if not isinstance(content, list) or len(content) > MAX_TIERS:
        raise ValueError(f"refund_tiers is no list of at most {MAX_TIERS} tiers")
    tiers = []
    for entry in content:
        if not isinstance(entry, dict) or entry.keys() != {"minutes_before", "percent"}:
            raise ValueError(f"refund_tiers: {entry!r} needs minutes_before and percent, no more")
        tiers.append(
            RefundTier(
                _number("minutes_before", entry["minutes_before"], (-MAX_MINUTES, MAX_MINUTES)),
                _number("percent", entry["percent"], (0, 100)),
            )
        )
    tiers.sort(reverse=True)
    if len({tier.minutes_before for tier in tiers}) < len(tiers):
        raise ValueError("refund_tiers has two tiers with the same minutes_before; keep one")
    if tiers != sorted(tiers, key=lambda tier: -tier.percent):
        raise ValueError("refund_tiers gives more back later; a percentage must not rise with time")
    return tuple(tiers)


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{name} is {value!r}, neither true nor false")
    return value


def _number(name: str, value: Any, limits: tuple[int, int]) -> int:
    if type(value) is not int or not limits[0] <= value <= limits[1]:
        raise ValueError(f"{name} is {value!r}, no whole number from {limits[0]} to {limits[1]}")
    return value
