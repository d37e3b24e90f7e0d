"""The decision of a scan by the pack. Pure: time is passed in.

In the order of `docs/guides/terminal-without-network.md`, which is that of the server's rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deeptravel import redemption, tickets

from deeptravel_terminal import rotating_codes
from deeptravel_terminal.packs import FunctionUses, PackTicket
from deeptravel_terminal.tokens import FLAG_TEST, ORDER, Claims

_FIRST_DAY = date(2020, 1, 1)
_SEQUENCE_BITS = 27
CODE_MASK = (1 << _SEQUENCE_BITS + 16) - 1
"""The bits of a number that its printed code spells; those above are the seller's."""
_REFUSED_STATES: dict[int, str] = {
    tickets.TICKET_STATE_REFUNDING: "TICKET_NOT_ACTIVE",
    tickets.TICKET_STATE_CHANGING: "TICKET_NOT_ACTIVE",
    tickets.TICKET_STATE_REFUNDED: "TICKET_REFUNDED",
    tickets.TICKET_STATE_CHANGED: "TICKET_CHANGED",
    tickets.TICKET_STATE_EXPIRED: "TICKET_EXPIRED",
}
_ADMITTED_STATES = {
    tickets.TICKET_STATE_ACTIVE,
    tickets.TICKET_STATE_PARTIALLY_REDEEMED,
    tickets.TICKET_STATE_USED,
}
_WHY = {
    "QR_KEY_COMPROMISED": (
        "此码的签发密钥已被盗，真伪不明",
        "Its key was stolen: this code may be forged",
    ),
    "TOKEN_INVALID": ("不是本平台的二维码", "Not one of our QR codes"),
    "TOKEN_EXPIRED": ("二维码已过期", "The QR code expired"),
    "TEST_TICKET": ("沙盒测试票", "A test ticket of a sandbox"),
    "TICKET_NOT_FOUND": ("名单中无此票：可能刚售出", "Not in the pack: perhaps sold since"),
    "FUNCTION_NOT_ALLOWED_HERE": ("此处不能核销该权益", "This function is not redeemed here"),
    "QR_SUPERSEDED": ("此码已换发新码", "A newer QR code was issued"),
    "DEPARTURE_CANCELLED": ("该车次已取消", "The departure was cancelled"),
    "TICKET_NOT_ACTIVE": (
        "退票或改签中，或未生效",
        "A refund or change is under way, or not active",
    ),
    "TICKET_REFUNDED": ("票券已退款", "The ticket was refunded"),
    "TICKET_CHANGED": ("票券已改签", "The ticket was changed"),
    "TICKET_EXPIRED": ("票券已过有效期", "The ticket's validity is over"),
    "TICKET_BLOCKED": ("票券已被冻结", "The ticket is blocked"),
    "WRONG_DEPARTURE": ("不是本车次的票", "The ticket is for another departure"),
    "FUNCTION_NOT_INCLUDED": ("票券不含该权益", "The ticket does not include this function"),
    "ALREADY_REDEEMED": ("此码已核销过该权益", "This QR code redeemed this function before"),
    "TICKET_NOT_YET_VALID": ("尚未到检票或生效时间", "Boarding or validity has not begun"),
    "BLACKOUT_DATE": ("该日期不可使用", "Not valid on this day"),
    "NO_USES_LEFT": ("剩余次数不足", "Fewer uses are left than asked for"),
    "ROTATING_CODE_EXPIRED": (
        "动态码不是现在的：可能是截图",
        "The code is not of now: perhaps a screenshot",
    ),
    "ROTATING_CODE_REQUIRED": (
        "须出示手机上的动态码",
        "The changing code of the phone is needed",
    ),
    "LEASED_ELSEWHERE": (
        "终端 {device} 已占用，至 {until}",
        "Terminal {device} has leased it until {until}",
    ),
}


class LocalUse(NamedTuple):
    """What this terminal redeemed and the pack does not know yet; `at` in milliseconds."""

    function_code: str
    quantity: int
    jti: bytes
    at: int


class Lease(NamedTuple):
    """Which terminal has leased a function, and until when, in milliseconds."""

    device: str
    until: int


NOBODY = Lease("", 0)


@dataclass(frozen=True)
class Known:
    """A ticket of the pack with what it goes by."""

    ticket: PackTicket
    terms: redemption.PackTerms
    departure: redemption.PackDeparture | None
    local: Sequence[LocalUse] = field(default=())
    # by function what another terminal has leased
    leased: Mapping[str, Lease] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Its printed code."""
        return _written(self.terms.code_prefix, self.ticket.number)

    @property
    def order_code(self) -> str:
        """That of its order; empty if it is of none."""
        _, _, seller = self.terms.code_prefix.partition("-")
        order = self.ticket.order
        return _written(f"ORD-{seller}", order.number) if order else ""

    @property
    def status(self) -> "tickets.TicketState.ValueType":
        """Its state, as the contract counts them."""
        return tickets.TicketState.ValueType(self.ticket.state)

    @property
    def bound_to(self) -> redemption.PackDeparture | None:
        """The departure it goes by; None for one of none, and for a shared one."""
        return self.departure if self.departure and not self.departure.is_shared else None

    @property
    def valid_from(self) -> int:
        """From when on it is admitted."""
        if self.departure is None:
            return self.ticket.valid_from
        opens = self.departure.departure_time - self.terms.boarding_minutes * 60_000
        return min(opens, self.ticket.valid_from) if self.departure.is_shared else opens

    def uses(self) -> Mapping[str, FunctionUses]:
        """What is left now, by function."""
        left = {}
        for function, packed in zip(self.terms.functions, self.ticket.uses, strict=True):
            code = function.function_code
            mine = [each for each in self.local if each.function_code == code]
            at = max((each.at for each in mine if each.jti[:8] == self.ticket.jti), default=0)
            taken = sum(each.quantity for each in mine)
            left[code] = FunctionUses(max(0, packed.left - taken), max(packed.redeemed_at, at))
        return left


@dataclass(frozen=True)
class Asked:
    """What a scan asks; `now` in milliseconds, `departure_id` that of the session, 0 for all, and
    `time_zone` that of the venue.
    """

    function_code: str
    quantity: int
    now: int
    departure_id: int = 0
    time_zone: str = "UTC"


def _written(prefix: str, number: int) -> str:
    day, sequence = divmod(number & CODE_MASK, 1 << _SEQUENCE_BITS)
    written = (_FIRST_DAY + timedelta(days=day)).strftime("%Y%m%d")
    return f"{prefix}-{written}-{sequence:06d}"


def number_of_code(code: str) -> int:
    """What a printed code spells of the number of its ticket or order; 0 if it names no day."""
    day, sequence = code.split("-")[-2:]
    try:
        days = (datetime.strptime(day, "%Y%m%d").date() - _FIRST_DAY).days  # noqa: DTZ007
    except ValueError:
        return 0
    return days << _SEQUENCE_BITS | int(sequence)


def refused_by_token(claims: Claims, now: int) -> str:
    """Why a genuine token redeems nothing; empty if it may."""
    if claims.flags & FLAG_TEST:
        return "TEST_TICKET"
    return "TOKEN_EXPIRED" if now >= claims.expiry * 1000 else ""


def refused(
    asked: Asked, claims: Claims | None, known: Known | None, pack: redemption.PackConfiguration
) -> str:
    """The reason of the first check that fails; empty if the scan is admitted. Without `claims` the
    ticket is named by its number, which stands for the QR that is valid.
    """
    if claims and (reason := refused_by_token(claims, asked.now)):
        return reason
    if known is None:
        return "TICKET_NOT_FOUND"
    return (
        _place(asked, known, pack)
        or _standing(claims, known, pack)
        or _departure(asked, known)
        or _guard(asked, known)
        or _validity(asked, known, pack)
        or _uses(asked, known)
        or _lease(asked, known)
        or _code(asked, claims, known)
    )


def refused_whatever(
    asked: Asked, claims: Claims | None, known: Known, pack: redemption.PackConfiguration
) -> str:
    """The reason why no function of a ticket would be admitted; empty if one might be."""
    return (
        _standing(claims, known, pack) or _departure(asked, known) or _validity(asked, known, pack)
    )


def answer_of(
    reason: str, asked: Asked, known: Known | None, left: Mapping[str, FunctionUses]
) -> redemption.RedeemResponse:
    """The answer as the server would give it, but for what a terminal does not know."""
    answer = redemption.RedeemResponse(result=redemption.REDEMPTION_RESULT_SUCCESS)
    if reason:
        answer.result = redemption.REDEMPTION_RESULT_REJECT
        answer.reason = reason_number(reason)
        answer.explanation.CopyFrom(explained(reason, asked, known))
    if known is None:
        return answer
    answer.ticket_code = known.code
    answer.entitlements.extend(_entitlements(known, left))
    _describe(answer.details, known)
    if reason == "ALREADY_REDEEMED":
        at = left[asked.function_code].redeemed_at
        answer.earlier.redeemed_at.FromMilliseconds(at)
    return answer


def reason_number(reason: str) -> "redemption.RefusalReason.ValueType":
    """The reason as the contract counts them."""
    return redemption.RefusalReason.Value(f"REFUSAL_REASON_{reason}")


def explained(reason: str, asked: Asked, known: Known | None) -> redemption.Explanation:
    """Why, in both languages."""
    lease = known.leased.get(asked.function_code, NOBODY) if known else NOBODY
    facts = {"device": lease.device, "until": _clock_time(lease.until, asked.time_zone)}
    chinese, english = _WHY[reason]
    return redemption.Explanation(zh=chinese.format(**facts), en=english.format(**facts))


def described(info: redemption.TicketInfo, known: Known) -> None:
    """Says of a ticket what a look does, but for its customer."""
    info.status = known.status
    info.entitlements.extend(_entitlements(known, known.uses()))
    _describe(info.details, known)


def _entitlements(known: Known, left: Mapping[str, FunctionUses]) -> Iterator[tickets.Entitlement]:
    for function in known.terms.functions:
        code = function.function_code
        yield tickets.Entitlement(
            function_code=code, remaining_uses=left[code].left, total_uses=function.total_uses
        )


def _describe(details: redemption.TicketDetails, known: Known) -> None:
    terms, ticket = known.terms, known.ticket
    details.product_id = terms.product_id
    details.display_name_en, details.display_name_zh = terms.display_name_en, terms.display_name_zh
    details.seat = ticket.seat
    details.valid_from_time.FromMilliseconds(known.valid_from)
    details.valid_until_time.FromMilliseconds(ticket.valid_until)
    if known.departure:
        journey = details.journey
        journey.departure_id = str(known.departure.departure_id)
        journey.service_number, journey.fare_class = terms.service_number, terms.fare_class
        journey.origin.display_name_en = terms.origin_en
        journey.origin.display_name_zh = terms.origin_zh
        journey.destination.display_name_en = terms.destination_en
        journey.destination.display_name_zh = terms.destination_zh
        journey.departure_time.FromMilliseconds(known.departure.departure_time)


def _place(asked: Asked, known: Known, pack: redemption.PackConfiguration) -> str:
    function = _function(asked, known)
    elsewhere = function is not None and function.venue_code
    here = asked.function_code in pack.function_codes and not elsewhere
    return "" if here else "FUNCTION_NOT_ALLOWED_HERE"


def _standing(claims: Claims | None, known: Known, pack: redemption.PackConfiguration) -> str:
    ticket, departure = known.ticket, known.bound_to
    if claims and is_superseded(claims, ticket):
        return "QR_SUPERSEDED"
    is_changed = ticket.state == tickets.TICKET_STATE_CHANGED
    if departure and departure.departure_id in pack.cancelled_departure_ids and not is_changed:
        return "DEPARTURE_CANCELLED"
    if ticket.state not in _ADMITTED_STATES:  # also what a newer server may add
        return _REFUSED_STATES.get(ticket.state, "TICKET_NOT_ACTIVE")
    return "TICKET_BLOCKED" if ticket.is_blocked else ""


def is_superseded(claims: Claims, ticket: PackTicket) -> bool:
    """Whether the QR does not open the ticket any more. That of an order counts in the last 32 bits
    of its jti how many QRs of its tickets had been rotated when it was issued: it opens none that
    was later.
    """
    if claims.kind != ORDER:
        return claims.jti[:8] != ticket.jti
    order = ticket.order
    if order is None or claims.jti[:8] != order.jti[:8]:
        return True
    issued_after = int.from_bytes(claims.jti[12:]) - int.from_bytes(order.jti[8:])
    return issued_after % (1 << 32) < order.rotation


def _departure(asked: Asked, known: Known) -> str:
    departure = known.bound_to
    if not asked.departure_id or departure is None:
        return ""
    return "" if departure.departure_id == asked.departure_id else "WRONG_DEPARTURE"


def _guard(asked: Asked, known: Known) -> str:
    function = _function(asked, known)
    if function is None:
        return "FUNCTION_NOT_INCLUDED"
    uses = known.uses()[asked.function_code]
    if not uses.redeemed_at:
        return ""
    if function.once_per_qr:
        return "ALREADY_REDEEMED"
    guarded = asked.now < uses.redeemed_at + function.guard_seconds * 1000
    return "ALREADY_REDEEMED" if guarded and function.guard_seconds and uses.left else ""


def _clock_time(moment: int, time_zone: str) -> str:
    """As the server writes it, e.g. `2026-12-04 07:00 UTC+08:00`."""
    local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(ZoneInfo(time_zone))
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} UTC{offset[:3]}:{offset[3:5]}"


def _validity(asked: Asked, known: Known, pack: redemption.PackConfiguration) -> str:
    if asked.now < known.valid_from:
        return "TICKET_NOT_YET_VALID"
    if asked.now >= known.ticket.valid_until:
        return "TICKET_EXPIRED"
    departure = known.bound_to
    at = departure.departure_time if departure else asked.now
    day = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(pack.time_zone)).date()
    return "BLACKOUT_DATE" if day.isoformat() in known.terms.blackout_dates else ""


def _uses(asked: Asked, known: Known) -> str:
    left = known.uses()[asked.function_code].left
    return "" if asked.quantity <= left else "NO_USES_LEFT"


def _lease(asked: Asked, known: Known) -> str:
    lease = known.leased.get(asked.function_code, NOBODY)
    return "LEASED_ELSEWHERE" if asked.now < lease.until else ""


def _code(asked: Asked, claims: Claims | None, known: Known) -> str:
    function = _function(asked, known)
    if claims is None or function is None or not function.looks_at_code:
        return ""
    if claims.kind == ORDER or not claims.code:  # an order has none
        return "ROTATING_CODE_REQUIRED" if function.needs_code else ""
    is_current = rotating_codes.is_current(claims.code, known.ticket.share, claims.jti, asked.now)
    return "" if is_current else "ROTATING_CODE_EXPIRED"


def _function(asked: Asked, known: Known) -> redemption.PackFunction | None:
    for each in known.terms.functions:
        if each.function_code == asked.function_code:
            return each
    return None
