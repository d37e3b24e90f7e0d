"""The decisions of a ticket: its number and code, and which moves its state allows. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from server.parties.rules import PARTNER_BITS, is_sandbox
from server.platform.texts import clock_time

DAY_BITS = 16
SEQUENCE_BITS = 27
EPOCH = date(2020, 1, 1)
MAX_NUMBER = (1 << 63) - 1
"""No ticket or order has a greater number."""
DIRECT = 0
"""The partner number of our own sales channel."""
DIRECT_CODE = "DT"
"""What stands for the partner's code in the codes of our own sales channel; no partner may have
it.
"""

PARTNER_PREFIX = "OTA"
DIRECT_PREFIX = "DIR"
ORDER_PREFIX = "ORD"
"""What the codes of partners' tickets, of our own, and of orders begin with."""

UNSOLD = "PRE_GENERATED"
"""The state of a partner's ticket until it is activated or cancelled."""
FINAL_STATES = frozenset({"USED", "REFUNDED", "CHANGED", "EXPIRED", "VOIDED"})

MOVES = frozenset(
    {
        ("PRE_GENERATED", "ACTIVE"),
        ("PRE_GENERATED", "VOIDED"),
        ("ACTIVE", "PARTIALLY_REDEEMED"),
        ("ACTIVE", "USED"),
        ("PARTIALLY_REDEEMED", "PARTIALLY_REDEEMED"),
        ("PARTIALLY_REDEEMED", "USED"),
        ("ACTIVE", "REFUNDING"),
        ("REFUNDING", "REFUNDED"),
        ("REFUNDING", "ACTIVE"),
        # only if its policy refunds in proportion to the uses left (DOMAIN, Refund and change)
        ("PARTIALLY_REDEEMED", "REFUNDING"),
        ("REFUNDING", "PARTIALLY_REDEEMED"),
        ("ACTIVE", "CHANGING"),
        ("CHANGING", "CHANGED"),
        ("CHANGING", "ACTIVE"),
        ("ACTIVE", "EXPIRED"),
        ("PARTIALLY_REDEEMED", "EXPIRED"),
        ("PARTIALLY_REDEEMED", "ACTIVE"),
        ("USED", "ACTIVE"),
        ("USED", "PARTIALLY_REDEEMED"),
    }
)
"""Every move a ticket may make (DOMAIN, States); every other is refused."""

_CODE = re.compile(r"(OTA|DIR|ORD)-([A-Z0-9]{1,12})-(\d{8})-(\d{6,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """The number of a ticket or order: channel, day and sequence packed into 63 bits.

    The token carries it, the readable code spells it, so neither needs an index of its own; the
    tickets of a partner, a day or a batch are a range of numbers.
    """

    partner_id: int
    day: date
    sequence: int

    def __int__(self) -> int:
        days = (self.day - EPOCH).days
        for value, bits in (
            (self.partner_id, PARTNER_BITS),
            (days, DAY_BITS),
            (self.sequence, SEQUENCE_BITS),
        ):
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{self} does not fit into {bits} bits")
        return (self.partner_id << DAY_BITS | days) << SEQUENCE_BITS | self.sequence

    @classmethod
    def unpack(cls, number: int) -> "Number":
        """The parts of a packed number."""
        sequence = number & (1 << SEQUENCE_BITS) - 1
        days = number >> SEQUENCE_BITS & (1 << DAY_BITS) - 1
        return cls(number >> SEQUENCE_BITS + DAY_BITS, EPOCH + timedelta(days=days), sequence)

    def code(self, prefix: str, partner_code: str) -> str:
        """The readable form, e.g. `OTA-CP-20251103-000001`."""
        day = self.day.isoformat().replace("-", "")  # strftime takes ten times as long
        return f"{prefix}-{partner_code}-{day}-{self.sequence:06d}"


@dataclass(frozen=True, slots=True)
class Code:
    """A readable code taken apart: `OTA` or `DIR` for tickets, `ORD` for orders."""

    prefix: str
    partner_code: str
    day: date
    sequence: int

    @classmethod
    def parse(cls, text: str) -> "Code | None":
        """The parts of a code; None if it is not one, or not as we write it."""
        match = _CODE.fullmatch(text)
        if not match:
            return None
        prefix, partner_code, day, sequence = match.groups()
        try:
            parsed = cls(
                prefix, partner_code, date(int(day[:4]), int(day[4:6]), int(day[6:])), int(sequence)
            )
        except ValueError:
            return None
        fits = (
            f"{parsed.sequence:06d}" == sequence
            and parsed.sequence < 1 << SEQUENCE_BITS
            and 0 <= (parsed.day - EPOCH).days < 1 << DAY_BITS
        )
        return parsed if fits else None

    def number(self, partner_id: int) -> int:
        """The packed number, for the partner whose code this names."""
        return int(Number(partner_id, self.day, self.sequence))


def is_direct(ticket_id: int) -> bool:
    """Whether a ticket is of our own sales channel, by its number."""
    return ticket_id >> DAY_BITS + SEQUENCE_BITS == DIRECT


def is_test(number: int) -> bool:
    """Whether a ticket or order is of a sandbox, for trying, by its number."""
    return is_sandbox(partner_of(number))


def partner_of(number: int) -> int:
    """Whose a ticket or order is, by its number; DIRECT is ourselves."""
    return number >> DAY_BITS + SEQUENCE_BITS


def partner_range(partner_id: int) -> tuple[int, int]:
    """The first number of a partner, and the first after its last."""
    shift = DAY_BITS + SEQUENCE_BITS
    return partner_id << shift, (partner_id + 1) << shift


def number_range(
    partner_id: int, time_from: datetime | None, time_until: datetime | None, zone: tzinfo
) -> tuple[int, int]:
    """The numbers a partner's tickets have that were made from `time_from` on and before
    `time_until`.

    They share their days in `zone`, the one that counts in codes, with some that were made before
    or after. Both ends belong to the range.
    """
    first, end = partner_range(partner_id)
    last = end - 1
    if time_from:
        first = int(Number(partner_id, _day(time_from, zone), 0))
    if time_until:
        last = int(Number(partner_id, _day(time_until, zone), (1 << SEQUENCE_BITS) - 1))
    return first, last


def why_not_activated(
    state: str, *, blocked: bool, valid_until_time: datetime, now: datetime
) -> str | None:
    """Why a ticket cannot be activated; None if it can."""
    if state != "PRE_GENERATED":
        return f"is {state}; only PRE_GENERATED tickets are activated"
    return _why_useless(blocked=blocked, valid_until_time=valid_until_time, now=now)


def why_no_qr(
    state: str, *, blocked: bool, valid_until_time: datetime, now: datetime
) -> str | None:
    """Why a ticket gets no QR; None if it does."""
    if state in FINAL_STATES:
        return f"is {state} for good"
    return _why_useless(blocked=blocked, valid_until_time=valid_until_time, now=now)


def _why_useless(*, blocked: bool, valid_until_time: datetime, now: datetime) -> str | None:
    if blocked:
        return "is blocked; ask the platform's administrator"
    if now >= valid_until_time:
        return f"was valid until {clock_time(valid_until_time)}"
    return None


_FIRST_MOMENT = datetime(2020, 1, 2, tzinfo=UTC)
_LAST_MOMENT = datetime(2199, 1, 1, tzinfo=UTC)


def _day(moment: datetime, zone: tzinfo) -> date:
    """The day of a moment, brought into the days that numbers have."""
    return min(max(moment, _FIRST_MOMENT), _LAST_MOMENT).astimezone(zone).date()


def state_after_redemption(remaining: int, total: int) -> str:
    """The state of an active ticket with `remaining` of `total` uses over all its entitlements."""
    if remaining == 0:
        return "USED"
    return "ACTIVE" if remaining == total else "PARTIALLY_REDEEMED"
