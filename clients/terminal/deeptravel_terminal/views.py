"""What the screen says to an answer: tone, large word, facts, why not and what to do. Pure."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol

from deeptravel import redemption, ticketing, tickets
from google.protobuf.timestamp_pb2 import Timestamp

from deeptravel_terminal.codes import Kind


class Tone(enum.Enum):
    """What the whole field says by its colour; each with the large word, Chinese and English."""

    READY = ("请扫", "SCAN")
    PASS = ("通过", "PASS")
    STOP = ("拒绝", "STOP")
    LOOK = ("查看", "LOOK")
    FOREIGN = ("错码", "WRONG")
    WAIT = ("等待", "WAIT")
    NO_NETWORK = ("断网", "NO NET")
    TAKEN_BACK = ("撤销", "BACK")
    FAULT = ("故障", "FAULT")

    @property
    def zh(self) -> str:
        """The large word."""
        return self.value[0]

    @property
    def en(self) -> str:
        """In English."""
        return self.value[1]


@dataclass(frozen=True)
class View:
    """One screen.

    Attributes:
        tone: colour, large word and sound.
        beside: large, beside the word: the seat; the word in English if empty.
        headline: of the ticket: who and what for.
        facts: what was redeemed, what is left.
        why: Chinese, then English.
        todo: what the operator does now, likewise.
        ticket_code: of the ticket; empty if unknown.
        redemption_id: of the redemption that may be taken back; empty if there is none.
    """

    tone: Tone
    beside: str = ""
    headline: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    todo: tuple[str, ...] = ()
    ticket_code: str = ""
    redemption_id: str = ""

    def named(self, customer: tickets.CustomerInfo) -> "View":
        """With the customer's name, which comes with a look alone."""
        name = _customer(customer)
        return replace(self, headline=(name, *self.headline)) if name else self

    def by_pack(self, age_seconds: int) -> "View":
        """Decided without network, by a pack of this age."""
        hours, minutes = divmod(max(0, age_seconds) // 60, 60)
        fact = f"离线 decided offline, 名单 pack {hours}:{minutes:02d} h"
        return replace(self, facts=(*self.facts, fact))


READY = View(Tone.READY, todo=("扫描二维码", "Scan a QR code"))

_TODO: dict[str, tuple[str, str]] = {
    "QR_KEY_COMPROMISED": (
        "请客人重新打开票券；不行由主管按 F3 输入票号",
        "Have the ticket opened again; else a supervisor types its number: F3",
    ),
    "TOKEN_INVALID": ("请客人重新打开票券再扫", "Have the ticket opened again, then scan"),
    "TOKEN_EXPIRED": ("请客人刷新二维码", "Have the QR code refreshed"),
    "QR_SUPERSEDED": ("请出示最新的二维码", "Ask for the newest QR code"),
    "TICKET_NOT_FOUND": ("请联系售票方", "Ask the seller"),
    "TICKET_NOT_ACTIVE": ("请客人联系售票方", "Send the customer to the seller"),
    "TICKET_NOT_YET_VALID": ("请客人届时再来", "Ask to come back then"),
    "TICKET_EXPIRED": ("请购新票", "A new ticket is needed"),
    "TICKET_REFUNDED": ("请购新票", "A new ticket is needed"),
    "TICKET_CHANGED": ("请出示新票", "Ask for the new ticket"),
    "TICKET_VOIDED": ("请购新票", "A new ticket is needed"),
    "TICKET_BLOCKED": ("请呼叫主管", "Call a supervisor"),
    "FUNCTION_NOT_INCLUDED": ("按 F5 选择其他权益", "Choose another function with F5"),
    "LEASED_ELSEWHERE": ("请到该终端核销，或稍后再试", "Go to that terminal, or try later"),
    "ROTATING_CODE_EXPIRED": (
        "请旅客打开小程序中的票券再扫",
        "Have the ticket opened in the app, then scan",
    ),
    "ROTATING_CODE_REQUIRED": (
        "请旅客打开小程序；不行由主管按 F3 输入票号",
        "Have it opened in the app; else a supervisor types its number: F3",
    ),
    "NO_USES_LEFT": ("请减少次数或购新票", "Fewer uses, or a new ticket"),
    "ALREADY_REDEEMED": ("请勿放行；有误呼叫主管", "Do not admit; a supervisor can reverse"),
    "FUNCTION_NOT_ALLOWED_HERE": ("引导至正确的核销点", "Send to the right venue"),
    "BLACKOUT_DATE": ("请改日使用", "Valid on another day"),
    "WRONG_DEPARTURE": ("引导至其车次", "Send to the departure of the ticket"),
    "DEPARTURE_CANCELLED": ("引导至服务台", "Send to customer service"),
    "TEST_TICKET": ("请出示正式的票", "Ask for a ticket that was sold"),
}
_FOREIGN: dict[Kind, tuple[str, str]] = {
    Kind.DAMAGED: ("二维码未读全，请再扫一次", "Only part of our QR code was read: scan again"),
    Kind.PAYMENT: ("这是付款码", "This is a payment code"),
    Kind.BOARDING_PASS: ("这是航班登机牌", "This is an airline's boarding pass"),
    Kind.RAIL_TICKET: ("这是铁路车票", "This is a rail ticket"),
    Kind.ID_CARD: ("这是身份证号", "This is the number of an identity card"),
    Kind.URL: ("这是网页链接", "This is a link"),
    Kind.PRODUCT: ("这是商品条码", "This is the barcode of a product"),
    Kind.OTHER_TICKET: ("这是其他系统的票码", "This is another system's ticket or code"),
    Kind.OTHER: ("这不是我们的码", "This is no code of ours"),
}
_STATES = {
    tickets.TICKET_STATE_PRE_GENERATED: "未激活 not sold",
    tickets.TICKET_STATE_ACTIVE: "有效 active",
    tickets.TICKET_STATE_PARTIALLY_REDEEMED: "部分已用 partly used",
    tickets.TICKET_STATE_USED: "已用完 used up",
    tickets.TICKET_STATE_REFUNDING: "退票中 refund under way",
    tickets.TICKET_STATE_REFUNDED: "已退 refunded",
    tickets.TICKET_STATE_CHANGING: "改签中 change under way",
    tickets.TICKET_STATE_CHANGED: "已改签 changed",
    tickets.TICKET_STATE_EXPIRED: "已过期 expired",
    tickets.TICKET_STATE_VOIDED: "已作废 cancelled",
}
_TYPES = {
    tickets.CUSTOMER_TYPE_ADULT: "成人 adult",
    tickets.CUSTOMER_TYPE_CHILD: "儿童 child",
    tickets.CUSTOMER_TYPE_SENIOR: "长者 senior",
    tickets.CUSTOMER_TYPE_STUDENT: "学生 student",
    tickets.CUSTOMER_TYPE_PET: "宠物 pet",
}


class _Refusable(Protocol):
    """What may carry the reason of a refusal."""

    reason: "redemption.RefusalReason.ValueType"

    def HasField(self, name: Any, /) -> bool: ...  # noqa: N802 # protobuf's


def reason_of(answer: _Refusable) -> str:
    """The reason of a refusal, without its prefix; empty if it is none."""
    if not answer.HasField("reason"):
        return ""
    try:
        name = redemption.RefusalReason.Name(answer.reason)
    except ValueError:  # a newer server's
        return f"REASON_{answer.reason}"
    return name.removeprefix("REFUSAL_REASON_")


def redeemed(
    answer: redemption.RedeemResponse, function: str, quantity: int, zone: tzinfo | None = None
) -> View:
    """The answer to a scan that was to redeem."""
    admitted = answer.result == redemption.REDEMPTION_RESULT_SUCCESS
    taken = (f"已核销 redeemed: {function} ×{quantity}",) if admitted else ()
    left = _left(answer.entitlements)
    return View(
        Tone.PASS if admitted else Tone.STOP,
        beside=answer.details.seat,
        headline=_what_for(answer.details, zone),
        facts=(*taken, *left, *_earlier(answer.earlier, zone)),
        why=() if admitted else (answer.explanation.zh, answer.explanation.en),
        todo=() if admitted else _TODO.get(reason_of(answer), _TODO["TICKET_BLOCKED"]),
        ticket_code=answer.ticket_code,
        redemption_id=answer.redemption_id if admitted else answer.earlier.redemption_id,
    )


def looked(answer: redemption.DecryptQrResponse, zone: tzinfo | None = None) -> View:
    """The answer to a look: nothing is used yet."""
    info = answer.ticket_info
    refused = answer.HasField("result") and answer.result == redemption.REDEMPTION_RESULT_REJECT
    view = View(
        Tone.STOP if refused else Tone.LOOK,
        beside=info.details.seat,
        headline=_what_for(info.details, zone),
        facts=(_STATES.get(info.status, ""), *_left(info.entitlements)),
        why=(answer.explanation.zh, answer.explanation.en) if refused else (),
        todo=(
            _TODO.get(reason_of(answer), _TODO["TICKET_BLOCKED"])
            if refused
            else ("按回车核销，Esc 放弃", "Enter redeems, Esc leaves it")
        ),
        ticket_code=answer.ticket_code,
    )
    return view.named(info.customer_info)


def party_line(ticket: redemption.OrderTicket) -> str:
    """A ticket of an order, in a line of its list."""
    info = ticket.ticket_info
    refused = reason_of(ticket) or _STATES.get(info.status, "")
    uses = " ".join(f"{each.function_code}:{each.remaining_uses}" for each in info.entitlements)
    parts = (ticket.ticket_code, _customer(info.customer_info), info.details.seat, uses, refused)
    return "  ".join(part for part in parts if part)


def party_redeemed(answer: redemption.RedeemManyResponse, function: str) -> View:
    """The answer to a whole party's redemption, which is all or nothing."""
    count = len(answer.results)
    if answer.all_redeemed:
        fact = f"已核销 redeemed: {function} × {count} 张 tickets"
        return View(Tone.PASS, beside=f"×{count}", facts=(fact,))
    refused = [each for each in answer.results if each.HasField("reason")]
    facts = tuple(f"{each.ticket_code}  {reason_of(each)}" for each in refused)
    first = refused[0] if refused else redemption.RedeemResponse()
    return View(
        Tone.STOP,
        facts=("全部未核销 nothing was redeemed", *facts[:4]),
        why=(first.explanation.zh, first.explanation.en),
        todo=("逐一核销其他票", "Redeem the others one by one"),
    )


def refused_order(answer: redemption.LookupOrderResponse) -> View:
    """An order's QR is no good."""
    todo = _TODO.get(reason_of(answer), _TODO["TICKET_BLOCKED"])
    return View(Tone.STOP, why=(answer.explanation.zh, answer.explanation.en), todo=todo)


def with_function(found: Iterable[redemption.OrderTicket], function: str) -> list[str]:
    """Codes of the tickets of a party that have uses of the function left."""
    return [
        each.ticket_code
        for each in found
        if any(
            left.function_code == function and left.remaining_uses
            for left in each.ticket_info.entitlements
        )
    ]


def nothing_left(function: str) -> View:
    """No ticket of a party has uses of the function."""
    return View(
        Tone.STOP,
        why=(
            f"此订单的票均无 {function} 可用",
            f"No ticket of this order has any {function} left",
        ),
        todo=("请勿放行；记录见 F4", "Do not admit; what was redeemed here: F4"),
    )


def party_by_codes(count: int, function: str) -> View:
    """A party was redeemed ticket by ticket."""
    return View(
        Tone.PASS,
        beside=f"×{count}",
        facts=(f"已核销 redeemed: {function} × {count} 张 tickets",),
    )


def verdict_line(
    counter: int, scanned_at: int, function: str, verdict: bytes, zone: tzinfo | None = None
) -> str:
    """A scan that was decided without network, in a line of its list."""
    at = datetime.fromtimestamp(scanned_at / 1000, UTC).astimezone(zone).strftime("%m-%d %H:%M")
    if not verdict:
        return f"{counter}  {at}  {function}  … 待传 not sent yet"
    answer = redemption.UploadedScan.FromString(verdict)
    word = _VERDICTS.get(answer.verdict, "其他 other")
    other = f"{answer.earlier.terminal_device_id} {answer.earlier.venue_code}".strip()
    earlier = f"{clock(answer.earlier.redeemed_at, zone)} {other}" if other else ""
    since = clock(answer.revoked_time, zone) if answer.HasField("revoked_time") else ""
    liable = _LIABLE.get(answer.liable, "")
    parts = (
        str(counter),
        at,
        function,
        word,
        answer.ticket_code,
        reason_of(answer),
        earlier,
        since,
    )
    return "  ".join(part for part in (*parts, liable) if part)


_VERDICTS: dict[int, str] = {
    redemption.OFFLINE_VERDICT_ACCEPTED: "✓ 已入账 accepted",
    redemption.OFFLINE_VERDICT_CLOCK_SUSPECT: "✓ 时钟可疑 clock suspect",
    redemption.OFFLINE_VERDICT_DUPLICATE: "= 重复 duplicate",
    redemption.OFFLINE_VERDICT_CONFLICT: "✗ 冲突 conflict",
    redemption.OFFLINE_VERDICT_OVER_ADMITTED: "! 超次放行 over-admitted",
    redemption.OFFLINE_VERDICT_REVOKED_AT_SCAN: "✗ 当时已失效 revoked at scan",
    redemption.OFFLINE_VERDICT_UNKNOWN_TICKET: "✗ 无此票 unknown ticket",
    redemption.OFFLINE_VERDICT_MALFORMED: "✗ 非本平台码 malformed",
    redemption.OFFLINE_VERDICT_REFUSED: "✗ 不应放行 refused",
    redemption.OFFLINE_VERDICT_RECORDED: "· 已记录 recorded",
}
_LIABLE: dict[int, str] = {
    redemption.LIABILITY_MERCHANT: "商家承担 merchant",
    redemption.LIABILITY_PLATFORM: "平台承担 platform",
}


def leased(
    answer: redemption.LeaseTicketsResponse, function: str, zone: tzinfo | None = None
) -> View:
    """What of a departure's share is leased to this terminal, and until when; why not the rest."""
    ends = [each.lease_until_time for each in answer.tickets if not each.HasField("reason")]
    refused = [each for each in answer.tickets if each.HasField("reason")]
    until = f" 至 until {clock(min(ends, key=Timestamp.ToMilliseconds), zone)}" if ends else ""
    lines = [f"{each.ticket_code}  {reason_of(each)}" for each in refused[:4]]
    rest = (f"未占用 not leased: {len(refused)}",) if refused else ()
    return View(
        Tone.READY, facts=(f"已占用 leased: {function} × {len(ends)}{until}", *rest, *lines)
    )


def given_back(answer: redemption.GiveBackLeasesResponse) -> View:
    """Leases were given back."""
    return View(Tone.READY, facts=(f"已归还占用 leases given back: {answer.lease_count}",))


def taken_back(answer: redemption.ReverseRedemptionResponse) -> View:
    """A redemption was reversed."""
    state = _STATES.get(answer.ticket_status, "")
    return View(
        Tone.TAKEN_BACK,
        headline=(answer.ticket_code,),
        facts=("核销已撤销 the redemption is reversed", state, *_left(answer.entitlements)),
        ticket_code=answer.ticket_code,
    )


def foreign(kind: Kind) -> View:
    """A code that is none of ours: named, and neither sent nor kept."""
    return View(
        Tone.FOREIGN,
        why=_FOREIGN[kind],
        todo=("请出示本平台的票券二维码", "Ask for the QR code of our ticket"),
    )


def waiting() -> View:
    """A scan has no answer yet."""
    return View(Tone.WAIT, why=("正在等待服务器", "Waiting for the server"))


def undecided(*, was_sent: bool) -> View:
    """No answer came. What was sent may have been redeemed: the same request asks again."""
    sent = (
        "已发送，结果未知；再扫同一码即可得到结果",
        "It was sent, and may have been redeemed: scan the same code again for its answer",
    )
    return View(
        Tone.NO_NETWORK,
        why=sent if was_sent else ("未发送，未核销", "It was not sent; nothing was redeemed"),
        todo=("请勿放行，等待网络恢复", "Do not admit; wait for the network"),
    )


def failed(reason: str, message: str) -> View:
    """A call that failed, with what an operator can do about it."""
    why, todo = _FAULTS.get(reason, (("服务器未能处理", message), _CALL_FOR_HELP))
    return View(Tone.FAULT, why=(*why, *((reason,) if reason else ())), todo=todo)


_CALL_FOR_HELP = ("请再试；仍不行请呼叫主管", "Try again; else call a supervisor")
_FAULTS = {
    "UNAUTHENTICATED": (
        ("登录已失效，或终端已被停用", "The log-in is over, or the terminal was revoked"),
        ("请重新登录；不行则停用此终端", "Log in again; if refused, do not use this terminal"),
    ),
    "LOGIN_FAILED": (
        ("用户名、密码或终端号不符", "User name, password or terminal do not match"),
        ("请重新输入", "Type them again"),
    ),
    "LOGIN_LOCKED": (
        ("登录失败次数过多，已锁定", "Too many failed log-ins: locked for a while"),
        ("请稍后再试", "Try again later"),
    ),
    "TERMINAL_MISMATCH": (
        ("登录绑定的是另一台终端", "The log-in is bound to another terminal"),
        ("请在此终端重新登录", "Log in at this terminal"),
    ),
    "PERMISSION_DENIED": (
        ("此操作需要主管权限", "This needs a supervisor"),
        ("请呼叫主管", "Call a supervisor"),
    ),
    "REVERSAL_REFUSED": (
        ("此核销已不能撤销", "This redemption cannot be reversed any more"),
        ("请呼叫管理员", "Call the administrator"),
    ),
    "PACK_MISSING": (
        ("断网，且尚无离线名单", "No network, and no pack yet"),
        ("请勿放行，等待网络恢复", "Do not admit; wait for the network"),
    ),
    "PACK_TOO_OLD": (
        ("断网，离线名单已过旧", "No network, and the pack is too old"),
        ("请勿放行，等待网络恢复", "Do not admit; wait for the network"),
    ),
    "CLOCK_WRONG": (
        ("终端时钟不可信", "The clock of this terminal cannot be right"),
        ("请校正时钟或连接网络", "Set the clock, or connect the network"),
    ),
    "KEY_UNKNOWN": (
        (
            "二维码的密钥不在名单中",
            "The key of this QR code is not in the pack: too new, or revoked",
        ),
        ("请勿放行，连接网络后再扫", "Do not admit; scan again with network"),
    ),
    "LEASE_NEEDS_NETWORK": (
        ("占用与归还须在线", "Leases are taken and given back with network alone"),
        ("联网后再试", "Try again with network"),
    ),
    "SUPERVISOR_NEEDED": (
        (
            "断网时按票号放行，须主管此前已联网登录",
            "By number: a supervisor, logged in with network",
        ),
        ("请勿放行，呼叫主管", "Do not admit; call a supervisor"),
    ),
    "ROLE_NOT_ALLOWED": (
        ("此操作需要主管权限", "This needs a supervisor"),
        ("请呼叫主管", "Call a supervisor"),
    ),
    "DEPARTURE_UNKNOWN": (
        ("断网时无法查该车次", "Without network this departure cannot be looked up"),
        ("请输入车次编号或留空", "Type its number, or none"),
    ),
    "DISK_FULL": (
        ("磁盘已满，无法记录", "The disk is full: nothing can be recorded"),
        ("请勿放行，呼叫主管", "Do not admit; call a supervisor"),
    ),
    "STORE_BROKEN": (
        ("磁盘无法读写", "The disk cannot be read or written"),
        ("请勿放行，更换终端", "Do not admit; use another terminal"),
    ),
    "NOT_FOUND": (
        ("查无此项", "There is none such here"),
        ("请核对后再试", "Compare it, then try again"),
    ),
}


def clock(moment: Timestamp, zone: tzinfo | None = None) -> str:
    """A moment as the clock at the venue shows it; without a zone, that of this box."""
    at = datetime.fromtimestamp(moment.seconds, UTC).astimezone(zone)
    return at.strftime("%m-%d %H:%M")


def _what_for(details: redemption.TicketDetails, zone: tzinfo | None) -> tuple[str, ...]:
    if not details.product_id:
        return ()
    lines = [f"{details.display_name_zh} {details.display_name_en}"]
    if details.HasField("journey"):
        lines += _journey(details.journey, zone)
    if details.seat:
        lines.append(f"座位 seat {details.seat}")
    if not details.HasField("journey"):
        ends = details.valid_until_time.ToDatetime(UTC).astimezone(zone)
        lines.append(f"有效期至 valid until {ends:%Y-%m-%d %H:%M}")
    return tuple(lines)


def _journey(journey: ticketing.Journey, zone: tzinfo | None) -> list[str]:
    origin, destination = journey.origin, journey.destination
    route = (
        f"{origin.display_name_zh}–{destination.display_name_zh}"
        f" {origin.display_name_en}–{destination.display_name_en}"
    )
    leaves = journey.headway_text_zh or clock(journey.departure_time, zone)
    fare = f"{journey.fare_class_name_zh} {journey.fare_class_name_en}".strip()
    return [f"{journey.service_number}  {leaves}  {fare}", route]


def _left(entitlements: Iterable[tickets.Entitlement]) -> tuple[str, ...]:
    left = [
        f"{each.function_code} {each.remaining_uses}"
        + (f"/{each.total_uses}" if each.HasField("total_uses") else "")
        for each in entitlements
    ]
    return ("剩余 left: " + ", ".join(left),) if left else ()


def _earlier(earlier: redemption.EarlierRedemption, zone: tzinfo | None) -> tuple[str, ...]:
    if not earlier.terminal_device_id:
        return ()
    at = clock(earlier.redeemed_at, zone)
    return (f"早前核销 redeemed {at} {earlier.terminal_device_id} {earlier.venue_code}",)


def _customer(customer: tickets.CustomerInfo) -> str:
    return "  ".join(part for part in (customer.name, _TYPES.get(customer.type, "")) if part)
