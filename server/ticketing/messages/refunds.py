"""Refunds and changes between protobuf and plain values."""

from collections.abc import Iterable, Mapping
from typing import Any

from deeptravel.ticketing.v1 import refund_pb2

from server import rpc
from server.ticketing.aftersales import changes, refund_requests
from server.ticketing.messages.offers import offer_message
from server.ticketing.messages.tickets import tickets
from server.ticketing.operator_cause import REFUND_TEXTS
from server.ticketing.ordering.orders import order_code
from server.ticketing.ordering.passengers import PassengerSeals
from server.ticketing.paying.refunds import Refund, TicketRefund, refund_code
from server.ticketing.policy import WITHOUT_MINOR_UNITS
from server.ticketing.travel_tickets import ticket_code

STATES = rpc.enum_numbers(refund_pb2.RefundState)
STATE_NAMES = rpc.enum_names(refund_pb2.RefundState)


def refund_quote(quote: refund_requests.Quote) -> Any:
    """What tickets give back."""
    currency_code = quote.order.currency_code
    return refund_pb2.QuoteRefundResponse(
        refund_quote=quote.text,
        tickets=_ticket_refunds(quote.tickets, currency_code),
        amount_minor=sum(ticket.amount_minor for ticket in quote.tickets),
        fee_minor=sum(ticket.fee_minor for ticket in quote.tickets),
        currency_code=currency_code,
        expire_time=rpc.timestamp(quote.expire_time),
    )


def refund(found: Refund) -> Any:
    """A refund."""
    return refund_pb2.Refund(
        refund_id=refund_code(found.order_id, found.refund_no),
        order_id=order_code(found.order_id),
        state=STATES[found.state],
        tickets=_ticket_refunds(found.tickets, found.currency_code),
        amount_minor=found.amount_minor,
        currency_code=found.currency_code,
        cause=found.cause.lower(),
        create_time=rpc.timestamp(found.create_time),
        settle_time=rpc.timestamp(found.settle_time),
    )


def change_quote(quote: changes.Quote) -> Any:
    """What a change costs."""
    cost, item = quote.terms.offer, quote.terms.item
    return refund_pb2.QuoteChangeResponse(
        change_quote=quote.text,
        new_minor=cost.new_minor,
        old_minor=cost.old_minor,
        fee_minor=cost.fee_minor,
        pay_minor=cost.pay_minor,
        refund_minor=cost.refund_minor,
        currency_code=item.offer.currency_code,
        offer=offer_message(item.offer, item.price, seats_left=quote.seats_left),
        expire_time=rpc.timestamp(quote.expire_time),
    )


def change(seals: PassengerSeals, made: changes.Change, order: Any) -> Any:
    """A change that was made or begun; `order` is the new order's message."""
    response = refund_pb2.ChangeTicketResponse(order=order)
    if made.ticket:
        response.ticket.CopyFrom(tickets(seals, [made.ticket])[0])
    if made.refund:
        response.refund.CopyFrom(refund(made.refund))
    return response


def _ticket_refunds(found: Iterable[TicketRefund], currency_code: str) -> list[Any]:
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
            )
        )
    return messages


def _rule(ticket: TicketRefund, currency_code: str) -> tuple[str, str]:
    """The rule that applied, in English and Chinese."""
    facts = ticket.facts
    if ticket.rule in REFUND_TEXTS:
        text_en, text_zh = REFUND_TEXTS[ticket.rule]
        more_en, more_zh = _uses_left(facts) if ticket.fee_minor else ("", "")
        return f"{text_en}{more_en}.", f"{text_zh}{more_zh}。"
    minutes = int(facts["minutes_before"])
    hours, rest = divmod(abs(minutes), 60)
    span_en = f"{abs(minutes)} minutes" if rest else f"{hours} hours"
    span_zh = f"{abs(minutes)}分钟" if rest else f"{hours}小时"
    side_en, side_zh = ("before", "前") if minutes >= 0 else ("after", "后")
    until_en, until_zh = (
        (f"until {span_en} {side_en} departure or use", f"出发或使用{side_zh}{span_zh}")
        if minutes
        else ("until departure or use", "出发或使用前")
    )
    text_en = f"{ticket.percent}% is given back {until_en}"
    text_zh = f"{until_zh}退{ticket.percent}%"
    if ticket.rule == "PRO_RATA":
        more_en, more_zh = _uses_left(facts)
        text_en += more_en
        text_zh += more_zh
    if fee := int(facts["fee_per_ticket_minor"]):
        text_en += f"; a fee of {_money(fee, currency_code)} is kept"
        text_zh += f"，扣除手续费{_money(fee, currency_code)}"
    return f"{text_en}.", f"{text_zh}。"


def _uses_left(facts: Mapping[str, str | int]) -> tuple[str, str]:
    uses = facts["remaining_uses"], facts["total_uses"]
    return (
        f", for {uses[0]} of {uses[1]} uses that are left",
        f"，按剩余{uses[0]}次（共{uses[1]}次）计算",
    )


def _money(amount_minor: int, currency_code: str) -> str:
    if currency_code in WITHOUT_MINOR_UNITS:
        return f"{currency_code} {amount_minor}"
    return f"{currency_code} {amount_minor // 100}.{amount_minor % 100:02d}"
