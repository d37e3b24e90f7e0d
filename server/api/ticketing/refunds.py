"""Refunds and changes between protobuf and plain values."""

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo

from deeptravel.ticketing.v1 import order_pb2, refund_pb2

from server.aftersales import refund_requests, ticket_changes
from server.api import convert
from server.api.ticketing.offers import offer_message
from server.api.ticketing.tickets import tickets
from server.catalog.operator_cause import CHANGE_TEXTS, REFUND_TEXTS
from server.catalog.policy import ChangeOffer, TicketStart
from server.catalog.policy_words import moment_in_words
from server.orders.orders import order_code
from server.orders.passengers import PassengerSeals
from server.orders.travel_tickets import ticket_code
from server.payments.refund_parts import Part
from server.payments.refund_rules import MOST_REFUNDS
from server.payments.refunds import Refund, TicketRefund, refund_code
from server.platform.currencies import money_text
from server.platform.texts import clock_time

STATES = convert.enum_numbers(refund_pb2.RefundState)
STATE_NAMES = convert.enum_names(refund_pb2.RefundState)
LAST_EN = (
    f"WeChat makes {MOST_REFUNDS} refunds of a payment, and this is the last one:"
    " it is of all tickets that can be given back."
)
LAST_ZH = f"微信支付对每笔付款最多退款{MOST_REFUNDS}次，这是最后一次：将一并退回所有可退的票。"


def refund_quote(quote: refund_requests.RefundQuote) -> refund_pb2.QuoteRefundResponse:
    """What tickets give back."""
    currency_code = quote.order.currency_code
    return refund_pb2.QuoteRefundResponse(
        refund_quote=quote.text,
        tickets=_ticket_refunds(quote.tickets, currency_code),
        amount_minor=sum(ticket.amount_minor for ticket in quote.tickets),
        fee_minor=sum(ticket.fee_minor for ticket in quote.tickets),
        currency_code=currency_code,
        expire_time=convert.timestamp(quote.expire_time),
        party_discount_minor=sum(ticket.party_discount_minor for ticket in quote.tickets),
        is_last=quote.is_last,
        note_en=LAST_EN if quote.is_last else "",
        note_zh=LAST_ZH if quote.is_last else "",
    )


def refund(found: Refund, parts: Iterable[Part] = ()) -> refund_pb2.Refund:
    """A refund; with its parts for administrators alone."""
    return refund_pb2.Refund(
        refund_id=refund_code(found.order_id, found.refund_no),
        order_id=order_code(found.order_id),
        state=STATES[found.state],
        tickets=_ticket_refunds(found.tickets, found.currency_code),
        amount_minor=found.amount_minor,
        currency_code=found.currency_code,
        cause=found.cause.lower(),
        create_time=convert.timestamp(found.create_time),
        settle_time=convert.timestamp(found.settle_time),
        parts=map(_part, parts),
    )


def _part(part: Part) -> refund_pb2.RefundPart:
    return refund_pb2.RefundPart(
        out_trade_no=part.out_trade_no,
        out_refund_no=part.out_refund_no,
        amount_minor=part.amount_minor,
        state=STATES[part.state],
        wechat_state=STATES.get(part.provider_state, 0),
        wechat_refund_id=part.provider_refund_id,
        wechat_create_time=convert.timestamp(part.provider_create_time),
        wechat_success_time=convert.timestamp(part.provider_success_time),
        sent_to=part.abnormal_account,
    )


def change_quote(quote: ticket_changes.ChangeQuote) -> refund_pb2.QuoteChangeResponse:
    """What a change costs."""
    cost, item = quote.terms.offer, quote.terms.item
    zone = quote.terms.ticket.zone
    rule_en, rule_zh = _change_rule(cost, item.offer.currency_code, zone)
    return refund_pb2.QuoteChangeResponse(
        change_quote=quote.text,
        new_minor=cost.new_minor,
        old_minor=cost.old_minor,
        fee_minor=cost.fee_minor,
        pay_minor=cost.pay_minor,
        refund_minor=cost.refund_minor,
        currency_code=item.offer.currency_code,
        offer=offer_message(item.offer, item.price, seats_left=quote.seats_left),
        expire_time=convert.timestamp(quote.expire_time),
        forfeited_minor=cost.forfeited_minor,
        refund_percent=cost.refund_percent,
        rule_en=rule_en,
        rule_zh=rule_zh,
    )


def change(
    seals: PassengerSeals, made: ticket_changes.TicketChange, order: order_pb2.Order
) -> refund_pb2.ChangeTicketResponse:
    """A change that was made or begun; `order` is the new order's message."""
    response = refund_pb2.ChangeTicketResponse(order=order)
    if made.ticket:
        response.ticket.CopyFrom(tickets(seals, [made.ticket])[0])
    if made.refund:
        response.refund.CopyFrom(refund(made.refund))
    return response


def _ticket_refunds(
    found: Iterable[TicketRefund], currency_code: str
) -> list[refund_pb2.TicketRefund]:
    messages = []
    for ticket in found:
        rule_en, rule_zh = _rule(ticket, currency_code)
        messages.append(
            refund_pb2.TicketRefund(
                ticket_code=ticket_code(ticket.ticket_id),
                paid_minor=ticket.paid_minor,
                amount_minor=ticket.amount_minor,
                fee_minor=ticket.fee_minor,
                percent=ticket.percent,
                rule_en=rule_en,
                rule_zh=rule_zh,
                party_discount_minor=ticket.party_discount_minor,
                waiver_code=str(ticket.facts.get("waiver_code", "")),
            )
        )
    return messages


def _rule(ticket: TicketRefund, currency_code: str) -> tuple[str, str]:
    """The rule that applied, in English and Chinese."""
    facts = ticket.facts
    if ticket.rule in REFUND_TEXTS:
        text_en, text_zh = _operator_text(REFUND_TEXTS[ticket.rule], _until_time(facts))
        more_en, more_zh = _uses_left(facts) if ticket.fee_minor else ("", "")
        return f"{text_en}{more_en}.", f"{text_zh}{more_zh}。"
    until_en, until_zh = _until(facts)
    text_en = f"{ticket.percent}% is given back until {until_en}"
    text_zh = f"至{until_zh}退{ticket.percent}%"
    if facts.get("refund_percent_cap") == ticket.percent:
        text_en += ", no more than before its change"
        text_zh += "（不高于改签时的退票比例）"
    if ticket.rule == "PRO_RATA":
        more_en, more_zh = _uses_left(facts)
        text_en += more_en
        text_zh += more_zh
    if fee := int(facts["fee_per_ticket_minor"]):
        text_en += f"; a fee of {money_text(fee, currency_code)} is kept"
        text_zh += f"，扣除手续费{money_text(fee, currency_code)}"
    more_en, more_zh = _party_discount(ticket.party_discount_minor, currency_code)
    text_en, text_zh = text_en + more_en, text_zh + more_zh
    return f"{text_en}.", f"{text_zh}。"


def _operator_text(texts: tuple[str, str], until_time: datetime | None) -> tuple[str, str]:
    """What the operator's doing makes free, with the moment until which it does, if that is
    known.
    """
    at_en, at_zh = "", ""
    if until_time:
        clock = clock_time(until_time)
        at_en, at_zh = f" ({clock})", f"（{clock}）"
    return texts[0].format(at=at_en), texts[1].format(at=at_zh)


def _until_time(facts: Mapping[str, str | int]) -> datetime | None:
    """Until when the rule applies; None for a refund asked for before that was kept."""
    written = facts.get("until_time")
    return datetime.fromisoformat(str(written)) if written else None


def _until(facts: Mapping[str, str | int]) -> tuple[str, str]:
    """The moment a tier ends, in words and by the clock of the city."""
    words_en, words_zh = moment_in_words(int(facts["minutes_before"]), _start(facts))
    until_time = _until_time(facts)
    if not until_time:
        return words_en, words_zh
    clock = clock_time(until_time)
    return f"{words_en} ({clock})", f"{words_zh}（{clock}）"


def _start(facts: Mapping[str, str | int]) -> TicketStart:
    """What the ticket begins with; refunds of before rentals know whether it departs alone."""
    if "start" in facts:
        return TicketStart(str(facts["start"]))
    return TicketStart.DEPARTURE if facts.get("departs", 1) else TicketStart.FIRST_DAY


def _party_discount(kept_minor: int, currency_code: str) -> tuple[str, str]:
    if kept_minor > 0:
        kept = money_text(kept_minor, currency_code)
        return (
            f"; {kept} are kept first, the party discount that those who stay no longer get",
            f"，先扣除其余同行人不再享有的团体优惠{kept}",
        )
    if kept_minor < 0:
        back = money_text(-kept_minor, currency_code)
        return (
            f"; {back} that were kept of a party discount before are added first",
            f"，先加回此前扣除的团体优惠{back}",
        )
    return "", ""


def _change_rule(cost: ChangeOffer, currency_code: str, zone: tzinfo) -> tuple[str, str]:
    """What decides about the money of a change, in English and Chinese; moments by the clock of
    the zone.
    """
    if cost.operator_cause:
        return _operator_text(CHANGE_TEXTS[cost.operator_cause], cost.until_time.astimezone(zone))
    fee = money_text(cost.fee_minor, currency_code)
    percent = cost.refund_percent
    if cost.new_minor >= cost.old_minor:
        text_en = f"The difference and a fee of {fee} are paid"
        text_zh = f"补差价并付手续费{fee}"
    else:
        text_en = (
            f"{percent}% of the difference is given back, as of a refund now, less a fee of {fee}"
        )
        text_zh = f"按当前退票比例退差价的{percent}%，扣除手续费{fee}"
    text_en += f"; a later refund of the new ticket gives {percent}% at the most."
    return text_en, f"{text_zh}；新票日后退票比例不高于{percent}%。"


def _uses_left(facts: Mapping[str, str | int]) -> tuple[str, str]:
    uses = facts["remaining_uses"], facts["total_uses"]
    return (
        f", for {uses[0]} of {uses[1]} uses that are left",
        f"，按剩余{uses[0]}次（共{uses[1]}次）计算",
    )
