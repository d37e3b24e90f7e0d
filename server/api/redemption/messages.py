"""RedemptionService between protobuf and plain values: answers to scans, tickets, orders,
events.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict

from deeptravel.redemption.v1 import access_pb2, receipts_pb2, redemption_pb2
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.api import convert
from server.identity.callers import Operator
from server.redemption import rules, sums
from server.redemption.answers import Answer
from server.redemption.details import Details
from server.redemption.event_ids import redemption_id
from server.redemption.explanations import explain
from server.redemption.lookup import Look, OrderView, TicketView
from server.redemption.receipt_keys import ReceiptKey
from server.redemption.reversals import Reversal
from server.redemption.sessions import SessionDeparture
from server.stock.ids import departure_parts

RESULT = convert.enum_numbers(redemption_pb2.RedemptionResult)
RESULT_NAME = convert.enum_names(redemption_pb2.RedemptionResult)
REFUSAL = convert.enum_numbers(redemption_pb2.RefusalReason)
GROUPING = convert.enum_names(redemption_pb2.SummaryGrouping)
TICKET_STATE = convert.enum_numbers(ticket_pb2.TicketState)
TICKET_TYPE = convert.enum_numbers(ticket_pb2.TicketType)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)
FRAUD_REASONS = frozenset({"TOKEN_INVALID", "QR_SUPERSEDED", "ALREADY_REDEEMED"})
"""Refusals that a copied or forged QR code meets."""


def answer_message(answer: Answer) -> redemption_pb2.RedeemResponse:
    """The RedeemResponse for an answer."""
    english, chinese = explain(answer.reason, answer.check, answer.facts)
    response = redemption_pb2.RedeemResponse(
        result=RESULT[answer.result],
        ticket_status=TICKET_STATE[answer.ticket_state] if answer.ticket_state else None,
        entitlements=entitlements(answer.remaining),
        performance_metrics=PASSED if answer.reason not in FRAUD_REASONS else FAILED,
        redemption_id=answer.redemption_id,
        reason=REFUSAL[answer.reason] if answer.reason else None,
        explanation=redemption_pb2.Explanation(check=answer.check, en=english, zh=chinese),
        ticket_code=answer.ticket_code,
        details=details_message(answer.details) if answer.details else None,
    )
    if answer.earlier:
        response.earlier.CopyFrom(earlier(answer.earlier))
    return response


def earlier(before: tuple[str, datetime, str, str]) -> redemption_pb2.EarlierRedemption:
    """The redemption that stands in the way."""
    redemption_id, at, terminal_device_id, venue_code = before
    return redemption_pb2.EarlierRedemption(
        redeemed_at=convert.timestamp(at),
        terminal_device_id=terminal_device_id,
        venue_code=venue_code,
        redemption_id=redemption_id,
    )


PASSED = redemption_pb2.PerformanceMetrics(fraud_checks_passed=True)
FAILED = redemption_pb2.PerformanceMetrics(fraud_checks_passed=False)


def details_message(details: Details) -> redemption_pb2.TicketDetails:
    """What a ticket is for."""
    departure = details.departure
    message = redemption_pb2.TicketDetails(
        product_id=details.product_id,
        display_name_en=details.display_name_en,
        display_name_zh=details.display_name_zh,
    )
    _set(message.valid_from_time, details.valid_from_time)
    _set(message.valid_until_time, details.valid_until_time)
    if departure:
        message.seat = departure.seat
        message.departure_cancelled = departure.is_cancelled
        message.journey.CopyFrom(_journey(departure))
    return message


def _journey(departure: rules.TicketDeparture) -> offer_pb2.Journey:
    leg = departure.leg
    journey = offer_pb2.Journey(
        departure_id=str(departure.departure_id),
        service_number=leg.service_number,
        fare_class=leg.fare_class,
        fare_class_name_en=leg.fare_class_name_en,
        fare_class_name_zh=leg.fare_class_name_zh,
        origin=_stop(leg.origin),
        destination=_stop(leg.destination),
        numbered_seats=leg.numbered_seats,
    )
    _set(journey.departure_time, departure.departure_time)
    _set(journey.arrival_time, departure.arrival_time)
    return journey


def _stop(stop: rules.TicketStop) -> offer_pb2.Stop:
    return offer_pb2.Stop(
        stop_code=stop.stop_code,
        city_code=stop.city_code,
        display_name_en=stop.display_name_en,
        display_name_zh=stop.display_name_zh,
    )


def _set(timestamp: Timestamp, moment: datetime) -> None:
    """As FromDatetime, which takes ten times as long."""
    timestamp.seconds = int(moment.timestamp())
    timestamp.nanos = moment.microsecond * 1000


def entitlements(remaining: Iterable[tuple[str, int]]) -> list[ticket_pb2.Entitlement]:
    """What is left of a ticket."""
    return [
        ticket_pb2.Entitlement(function_code=function, remaining_uses=uses)
        for function, uses in remaining
    ]


class RefusalFields(TypedDict, total=False):
    """The fields of an answer that say why something is refused."""

    result: redemption_pb2.RedemptionResult.ValueType
    reason: redemption_pb2.RefusalReason.ValueType
    explanation: redemption_pb2.Explanation


def refusal_fields(refusal: rules.Refusal | None) -> RefusalFields:
    """`result`, `reason` and `explanation` of what is refused; nothing for what is not."""
    if refusal is None:
        return {}
    english, chinese = explain(refusal.reason, refusal.check, refusal.facts)
    return {
        "result": RESULT["REJECT"],
        "reason": REFUSAL[refusal.reason],
        "explanation": redemption_pb2.Explanation(check=refusal.check, en=english, zh=chinese),
    }


def ticket_info(ticket: TicketView) -> redemption_pb2.TicketInfo:
    """A ticket as an operator sees it."""
    info = redemption_pb2.TicketInfo(
        ticket_type=TICKET_TYPE["DIRECT" if ticket.is_direct else "OTA"],
        status=TICKET_STATE[ticket.state],
        entitlements=entitlements(ticket.remaining),
        details=details_message(ticket.details),
    )
    if ticket.customer_name:
        info.customer_info.type = CUSTOMER_TYPE[ticket.customer_type or ""]
        info.customer_info.name = ticket.customer_name
    return info


def look_message(look: Look) -> redemption_pb2.DecryptQrResponse:
    """What a QR is."""
    response = redemption_pb2.DecryptQrResponse(
        jti=str(look.jti or ""), **refusal_fields(look.refusal)
    )
    if look.ticket:
        response.ticket_code = look.ticket.ticket_code
        response.ticket_info.CopyFrom(ticket_info(look.ticket))
    return response


def reversal_message(reversal: Reversal) -> redemption_pb2.ReverseRedemptionResponse:
    """A redemption that was taken back."""
    return redemption_pb2.ReverseRedemptionResponse(
        redemption_id=reversal.redemption_id,
        ticket_code=reversal.ticket_code,
        ticket_status=TICKET_STATE[reversal.ticket_state],
        entitlements=entitlements(reversal.remaining),
    )


def order_message(order: OrderView) -> redemption_pb2.LookupOrderResponse:
    """The tickets of an order, each with why no function of it could be redeemed, if so."""
    return redemption_pb2.LookupOrderResponse(
        order_id=order.order_code,
        ticket_count=order.ticket_count,
        tickets=[
            redemption_pb2.OrderTicket(
                ticket_code=ticket.ticket_code,
                ticket_info=ticket_info(ticket),
                **refusal_fields(ticket.refusal),
            )
            for ticket in order.tickets
        ],
        **refusal_fields(order.refusal),
    )


def session_message(
    session_code: str, departure: SessionDeparture | None, operator: Operator
) -> access_pb2.OpenValidatorSessionResponse:
    """An open session, and the departure it admits."""
    response = access_pb2.OpenValidatorSessionResponse(session_code=session_code)
    if operator.role == "SUPERVISOR":
        response.is_supervisor = True
    if departure:
        response.departure.departure_id = str(departure.departure_id)
        response.departure.service_number = departure.service_number
        response.departure.travel_date = departure_parts(departure.departure_id)[1].isoformat()
        response.departure.departure_time.FromDatetime(departure.departure_time)
    return response


def redemption_message(row: Any) -> redemption_pb2.Redemption:
    """A redemption event."""
    reversed_id = row.reversed_event_id
    return redemption_pb2.Redemption(
        ticket_code=row.ticket_code,
        function_code=row.function_code,
        jti=str(row.jti or ""),
        result=RESULT[row.result],
        reason=REFUSAL[row.reason] if row.reason else None,
        terminal_device_id=row.terminal_device_id,
        redeemed_at=convert.timestamp(row.occurred_time),
        redemption_id=redemption_id(row.ticket_id, row.event_id),
        operator=row.operator,
        merchant_code=row.merchant_code,
        venue_code=row.venue_code,
        quantity=row.quantity,
        reversed_redemption_id=redemption_id(row.ticket_id, reversed_id) if reversed_id else "",
        comment=row.comment or "",
    )


def summary_row(row: sums.Row) -> redemption_pb2.SummaryRow:
    """A line of a summary."""
    return redemption_pb2.SummaryRow(
        function_code=row.function_code,
        result=RESULT[row.result],
        reason=REFUSAL[row.reason] if row.reason else None,
        group=row.group,
        events=row.events,
        uses=row.uses,
    )


def receipt_key(key: ReceiptKey) -> receipts_pb2.ReceiptKey:
    """A public key of receipts."""
    return receipts_pb2.ReceiptKey(
        key_id=key.key_id,
        public_key_pem=key.pem,
        create_time=convert.timestamp(key.create_time),
    )
