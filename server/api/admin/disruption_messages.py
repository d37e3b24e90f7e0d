"""Messages of departures that were cancelled or moved, and of what that would do."""

from collections.abc import Iterable

from deeptravel.admin.v1 import disruption_pb2
from deeptravel.ticketing.v1 import refund_pb2

from server.aftersales.disruption_actions import TicketAction
from server.aftersales.disruption_previews import (
    Alternative,
    DisruptionPreview,
    DisruptionTotal,
    PreviewedTicket,
)
from server.aftersales.disruption_reports import (
    DisruptedTicket,
    Disruption,
    DisruptionReport,
    ReportedRefund,
)
from server.api import convert
from server.api.admin.route_messages import REFUNDS
from server.api.convert import timestamp
from server.api.ticketing.refunds import STATES as REFUND_STATES
from server.orders.orders import order_code
from server.payments.refunds import refund_code

KIND = convert.enum_numbers(disruption_pb2.DisruptionKind)
OUTCOME = convert.enum_numbers(disruption_pb2.DisruptionOutcome)
OUTCOME_NAME = convert.enum_names(disruption_pb2.DisruptionOutcome)
ACTION_STATE = convert.enum_numbers(disruption_pb2.DisruptionActionState)
STATE = convert.enum_numbers(disruption_pb2.DisruptionState)
NOTICE = convert.enum_numbers(disruption_pb2.DisruptionNotice)
ASSIGNEE = convert.enum_numbers(disruption_pb2.DisruptionAssignee)

COLUMNS = (
    *("ticket_code", "order_id", "partner_code", "outcome", "reason", "assignee", "paid_minor"),
    *("refund_minor", "currency_code", "refund_id", "waiver_code", "new_ticket_code", "notice"),
    "language",
)
"""Of the file, in this order."""
CHOSEN = ("reason",)
"""Columns whose texts are not of a closed list."""


def preview(
    found: DisruptionPreview, shown: Iterable[PreviewedTicket]
) -> disruption_pb2.PreviewDisruptionResponse:
    """What it would do, with a page of the tickets."""
    own = [each for each in found.tickets if not each.partner_code]
    return disruption_pb2.PreviewDisruptionResponse(
        preview_id=found.preview_id,
        kind=KIND["MOVED" if found.action.departure_time else "CANCELLED"],
        refunds=REFUNDS[found.refunds],
        totals=map(total, found.totals),
        orders=len({each.order_id for each in own}),
        travellers=len({each.traveller_id for each in own}),
        payments=found.around.payments,
        connecting_tickets=found.around.connecting_tickets,
        waiting_orders=len(found.waiting_orders),
        reservations=len(found.reservations),
        reserved_unsold=sum(each.unsold for each in found.reservations),
        alternatives=map(alternative, found.alternatives),
        tickets=map(_previewed, shown),
    )


def total(sums: DisruptionTotal) -> disruption_pb2.DisruptionTotal:
    """Sums of tickets."""
    return disruption_pb2.DisruptionTotal(
        outcome=OUTCOME[sums.outcome],
        partner_code=sums.partner_code,
        currency_code=sums.currency_code,
        tickets=sums.tickets,
        paid_minor=sums.paid_minor,
        refund_minor=sums.refund_minor,
        offered_minor=sums.offered_minor,
        waived_minor=sums.waived_minor,
    )


def alternative(found: Alternative) -> disruption_pb2.DisruptionAlternative:
    """A class of another departure."""
    return disruption_pb2.DisruptionAlternative(
        departure_id=str(found.departure_id),
        departure_time=timestamp(found.departure_time),
        class_code=found.class_code,
        available=found.available,
    )


def _previewed(each: PreviewedTicket) -> disruption_pb2.PreviewedTicket:
    return disruption_pb2.PreviewedTicket(
        ticket_code=each.ticket_code,
        order_id=order_code(each.order_id) if each.order_id else "",
        partner_code=each.partner_code,
        outcome=OUTCOME[each.outcome],
        reason=each.reason,
        paid_minor=each.paid_minor,
        refund_minor=each.refund_minor,
        offered_minor=each.offered_minor,
        waived_minor=each.waived_minor,
        currency_code=each.currency_code,
    )


def disruption(done: Disruption) -> disruption_pb2.Disruption:
    """What was done."""
    return disruption_pb2.Disruption(
        disruption_id=str(done.disruption_id),
        departure_id=str(done.departure_id),
        kind=KIND[done.kind],
        comment=done.comment,
        waiver_code=done.waiver_code,
        refunds=REFUNDS[done.refunds],
        was_departure_time=timestamp(done.was_time),
        departure_time=timestamp(done.departure_time),
        preview_id=done.preview_id,
        actor=done.actor,
        create_time=timestamp(done.create_time),
    )


def report(found: DisruptionReport) -> disruption_pb2.GetDisruptionResponse:
    """A report."""
    return disruption_pb2.GetDisruptionResponse(
        disruption=disruption(found.disruption),
        state=STATE[found.state],
        totals=map(total, found.totals),
        notices=[
            disruption_pb2.DisruptionNoticeTotal(notice=NOTICE[each.notified], tickets=each.tickets)
            for each in found.notices
        ],
        partners=[
            disruption_pb2.DisruptionPartner(
                partner_code=each.partner_code,
                event_id=str(each.event_id),
                delivered=each.delivered,
                pending=each.pending,
                dead=each.dead,
            )
            for each in found.partners
        ],
        waiting_orders=found.ended.orders,
        orders_left=found.ended.orders_waiting,
        reservations=found.ended.reservations,
        reservations_left=found.ended.reservations_open,
        refunds=[
            disruption_pb2.DisruptionRefundTotal(
                state=REFUND_STATES[each.state],
                currency_code=each.currency_code,
                refunds=each.refunds,
                amount_minor=each.amount_minor,
                tickets_minor=each.tickets_minor,
            )
            for each in found.refunds
        ],
    )


def ticket(each: DisruptedTicket) -> disruption_pb2.DisruptionTicket:
    """A ticket of a report."""
    return disruption_pb2.DisruptionTicket(
        ticket_code=each.ticket_code,
        order_id=each.order_code,
        partner_code=each.partner_code,
        outcome=OUTCOME[each.outcome],
        reason=each.reason,
        assignee=ASSIGNEE[each.who_acts],
        paid_minor=each.paid_minor,
        refund_minor=each.refund_minor,
        currency_code=each.currency_code,
        refund_id=_refund_id(each),
        waiver_code=each.waiver_code,
        new_ticket_code=each.new_code,
        notice=NOTICE[each.notified],
        language=each.language,
    )


def reported_refund(
    refund: refund_pb2.Refund, of_report: ReportedRefund
) -> disruption_pb2.DisruptionRefund:
    """A refund of a report."""
    return disruption_pb2.DisruptionRefund(refund=refund, tickets_minor=of_report.tickets_minor)


def action(each: TicketAction) -> disruption_pb2.DisruptionAction:
    """What was done to a ticket."""
    return disruption_pb2.DisruptionAction(
        ticket_code=each.ticket_code,
        state=ACTION_STATE[each.state],
        reason=each.reason,
        message=each.message,
        new_ticket_code=each.new_code,
        refund_id=each.refund_id,
        refund_minor=each.refund_minor,
        currency_code=each.currency_code,
    )


def cells(each: DisruptedTicket) -> tuple[object, ...]:
    """A row of the file, as COLUMNS say."""
    return (
        *(each.ticket_code, each.order_code, each.partner_code, each.outcome, each.reason),
        *(each.who_acts, each.paid_minor, each.refund_minor, each.currency_code),
        *(_refund_id(each), each.waiver_code, each.new_code, each.notified, each.language),
    )


def _refund_id(each: DisruptedTicket) -> str:
    return refund_code(each.refund_order_id, each.refund_no) if each.refund_no else ""
