"""Every decision in words, for the operator's screen, in English and Chinese (DOMAIN, Redemption
5). Pure.
"""

from collections.abc import Mapping

_TEXTS: dict[tuple[str, str], tuple[str, str]] = {
    ("", "admitted"): (
        "Admitted: {function} ×{quantity}. {remaining} of {total} uses left.",
        "准许通行：{function} ×{quantity}。剩余 {remaining}/{total} 次。",
    ),
    ("", "withheld"): (
        (
            "Would be admitted, but another item of this all-or-nothing call was refused; nothing"
            " was used. Redeem it on its own, or solve the other item first."
        ),
        "本项可通行，但同一批次（全部或全不）中另有一项被拒绝，未扣减任何次数。请单独核销，或先解决另一项。",
    ),
    ("TOKEN_INVALID", "token"): (
        "This is not one of our QR codes. Ask the customer to open the ticket again.",
        "这不是本平台的二维码。请客人重新打开票券。",
    ),
    ("TOKEN_EXPIRED", "expiry"): (
        "The QR code expired at {expired_at}. A new one can be issued for the ticket.",
        "二维码已于 {expired_at} 过期。请为该票重新生成二维码。",
    ),
    ("QR_SUPERSEDED", "jti"): (
        "A newer QR code was issued in place of this one. Ask for the newest one.",
        "此码已换发新码，不再有效。请出示最新的二维码。",
    ),
    ("QR_SUPERSEDED", "rotation"): (
        (
            "The ticket's own QR code was renewed after this order's code was issued. Ask for the"
            " ticket's newest code, or a new one of the order."
        ),
        "该票在此订单码签发之后换发过新的二维码，此订单码不能再用于该票。请出示该票或订单的最新二维码。",
    ),
    ("QR_KEY_COMPROMISED", "key"): (
        (
            "The ticket is genuine, but this code of it is not accepted any more. Ask the customer"
            " to open the ticket again, or have a supervisor redeem it by its number."
        ),
        "票券真实，但此二维码已停用。请客人重新打开票券，或由主管按票号核销。",
    ),
    ("TICKET_NOT_FOUND", "ticket"): (
        "The QR code is genuine, but there is no such ticket here. Ask the seller.",
        "二维码真实，但查无此票。请联系售票方。",
    ),
    ("TICKET_NOT_FOUND", "ticket_code"): (
        "This is an order's QR code; name one of the order's tickets in ticket_code.",
        "这是订单码，请在 ticket_code 中指明该订单的一张票。",
    ),
    ("TICKET_NOT_FOUND", "other_ticket"): (
        "This QR code is not of the ticket in ticket_code. Scan that one's, or the order's.",
        "此码不是 ticket_code 所指的票。请扫该票或其订单的二维码。",
    ),
    ("TICKET_NOT_FOUND", "code"): (
        "There is no ticket with this code here. Compare it with the print, or ask the seller.",
        "此处查无该票号。请与票面核对，或联系售票方。",
    ),
    ("TEST_TICKET", "mode"): (
        (
            "This is a test ticket of a partner's sandbox: no terminal admits it, and nothing was"
            " used. A ticket that was sold is needed."
        ),
        "这是分销平台沙盒中的测试票，任何终端均不予核销，未扣减任何次数。请出示正式售出的票。",
    ),
    ("TICKET_NOT_ACTIVE", "state"): (
        (
            "The ticket is {state}. It becomes valid when the seller activates it, or when its"
            " refund or change ends without success."
        ),
        "票券状态为 {state}。售票方激活后生效；退票或改签未成功时恢复有效。",
    ),
    ("TICKET_REFUNDED", "state"): (
        "The ticket was refunded. A new ticket is needed.",
        "票券已退款，需另购新票。",
    ),
    ("TICKET_CHANGED", "state"): (
        "The ticket was changed to another one. Ask for the new ticket's QR code.",
        "票券已改签，请出示新票的二维码。",
    ),
    ("TICKET_VOIDED", "state"): (
        "The ticket was cancelled before it was sold. A new ticket is needed.",
        "票券在售出前已作废，需另购新票。",
    ),
    # not decided any more, but it may be among the answers kept for repeats
    ("TICKET_EXPIRED", "state"): (
        "The ticket's validity is over. A new ticket is needed.",
        "票券已过有效期，需另购新票。",
    ),
    ("TICKET_EXPIRED", "validity"): (
        "The ticket was valid until {valid_until}. A new ticket is needed.",
        "票券有效期至 {valid_until}，已过期，需另购新票。",
    ),
    ("TICKET_NOT_YET_VALID", "validity"): (
        "The ticket is valid from {valid_from}. Come back then.",
        "票券自 {valid_from} 起有效，请届时再来。",
    ),
    ("TICKET_NOT_YET_VALID", "boarding"): (
        (
            "Boarding of {service} ({origin_en}–{destination_en}), which leaves at {departs},"
            " opens at {opens}. Come back then."
        ),
        "{service} 次（{origin_zh}–{destination_zh}）将于 {departs} 开出，{opens} 起检票，请届时再来。",
    ),
    ("WRONG_DEPARTURE", "departure"): (
        (
            "The ticket is for {service} ({origin_en}–{destination_en}), which leaves at"
            " {departs}; here {here} is admitted. Send the customer to the ticket's departure."
        ),
        "该票为 {service} 次（{origin_zh}–{destination_zh}），{departs} 开出；此处仅检 {here}。请引导客人前往其车次。",
    ),
    ("DEPARTURE_CANCELLED", "departure"): (
        (
            "{service} ({origin_en}–{destination_en}) of {departs} was cancelled by its operator."
            " The ticket is refunded in full, or can be changed free of charge; a new ticket is"
            " needed here."
        ),
        "{departs} 的 {service} 次（{origin_zh}–{destination_zh}）已由运营方取消。票款全额退还或可免费改签，此处需另持新票。",
    ),
    ("TICKET_BLOCKED", "blocked"): (
        "The ticket is blocked. The platform's administrator can unblock it.",
        "票券已被冻结，请联系平台管理员解除。",
    ),
    ("BLACKOUT_DATE", "blackout"): (
        "The product is not valid on {date}. It is valid on other days of its validity.",
        "该产品在 {date} 不可使用，请在有效期内的其他日期使用。",
    ),
    ("FUNCTION_NOT_ALLOWED_HERE", "place"): (
        "{function} cannot be redeemed here; this venue redeems: {allowed}.",
        "此处不能核销 {function}；本核销点可核销：{allowed}。",
    ),
    ("FUNCTION_NOT_ALLOWED_HERE", "venue"): (
        "{function} of this rental is redeemed at venue {venue} alone.",
        "此租车凭证的 {function} 只能在核销点 {venue} 核销。",
    ),
    ("FUNCTION_NOT_INCLUDED", "function"): (
        "The ticket does not include {function}; it includes: {included}.",
        "票券不含 {function}；包含：{included}。",
    ),
    ("ALREADY_REDEEMED", "guard"): (
        (
            "{function} of this ticket was redeemed at {at}, terminal {terminal}, venue {venue}."
            " A supervisor can reverse it within the window."
        ),
        "此票已于 {at} 在终端 {terminal}（核销点 {venue}）核销过 {function}。主管可在时限内撤销。",
    ),
    ("ALREADY_REDEEMED", "guard_time"): (
        (
            "{function} of this ticket was redeemed at {at}, terminal {terminal}, venue {venue}."
            " It may be redeemed again from {again_at}."
        ),
        "此票刚于 {at} 在终端 {terminal}（核销点 {venue}）核销过 {function}，{again_at} 起可再次核销。",
    ),
    ("ALREADY_REDEEMED", "call"): (
        (
            "Another item of this all-or-nothing call redeems {function} with the same QR code;"
            " nothing was used. Name it once."
        ),
        "同一批次（全部或全不）中已有另一项以同一二维码核销 {function}，未扣减任何次数。请只列一次。",
    ),
    ("NO_USES_LEFT", "call"): (
        (
            "The items of this all-or-nothing call ask for more uses of {function} than the"
            " {remaining} of {total} left; nothing was used. Ask for fewer."
        ),
        "同一批次（全部或全不）中各项请求的 {function} 次数之和超过剩余的 {remaining}/{total} 次，未扣减任何次数。请减少次数。",
    ),
    ("LEASED_ELSEWHERE", "lease"): (
        (
            "Terminal {terminal} has leased {function} of this ticket until {until}. Redeem it"
            " there, or after that; that terminal can give it back."
        ),
        "终端 {terminal} 已占用该票的 {function}，至 {until}。请到该终端核销，或届时再试；该终端可提前归还。",
    ),
    ("ROTATING_CODE_EXPIRED", "rotating_code"): (
        (
            "The code on the phone is not of {now}, give or take {seconds} s: a screenshot, or the"
            " phone's clock is wrong. Ask the traveller to open the ticket in the app, with"
            " network, and scan again."
        ),
        "手机上的动态码不是 {now}（±{seconds} 秒）的码：可能是截图，或手机时间不准。请旅客联网打开小程序中的票券后重新扫码。",
    ),
    ("ROTATING_CODE_REQUIRED", "rotating_code"): (
        (
            "{function} of this ticket is redeemed by the changing code on the traveller's phone"
            " alone; a print, a picture or an order's code is not enough. Ask the traveller to"
            " open the ticket in the app, or have a supervisor redeem it by its number."
        ),
        "此票的 {function} 须凭旅客手机上的动态码核销，打印件、截图或订单码无效。请旅客打开小程序中的票券，或由主管按票号核销。",
    ),
    ("NO_USES_LEFT", "uses"): (
        "{asked} uses of {function} asked for, {remaining} of {total} left.",
        "请求核销 {function} {asked} 次，仅剩 {remaining}/{total} 次。",
    ),
}


def explain(reason: str, check: str, facts: Mapping[str, str | int]) -> tuple[str, str]:
    """English and Chinese text for a decision; `reason` is empty unless refused."""
    english, chinese = _TEXTS[reason, check]
    return english.format_map(facts), chinese.format_map(facts)
