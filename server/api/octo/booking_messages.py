"""Bookings, as OCTO has them."""

from collections.abc import Sequence
from datetime import datetime

from server.api.octo.availability import local, stock, utc
from server.api.octo.products import OPENING_HOURS, PRICING, Json, price
from server.partners.booking_content import BookingContact
from server.partners.booking_rows import PartnerBooking
from server.partners.booking_rules import BookingStatus, unit_status


def contact(said: BookingContact) -> Json:
    """Somebody's contact; null is what was not said."""
    return {
        "fullName": said.name or None,
        "firstName": said.first_name or None,
        "lastName": said.last_name or None,
        "emailAddress": said.email or None,
        "phoneNumber": said.phone or None,
        "locales": list(said.locales),
        "postalCode": said.postal_code or None,
        "country": said.country or None,
        "notes": said.notes or None,
    }


def booking(
    found: PartnerBooking, tokens: Sequence[str], active: frozenset[str], *, is_test: bool
) -> Json:
    """A booking; `tokens` are the QR texts of its tickets, empty for one that has none."""
    row, content, status = found.row, found.content, found.status
    units = [_unit_item(found, at, tokens[at], active) for at in range(len(content.units))]
    made: Json = {
        "id": str(row.booking_id),
        "uuid": str(row.booking_id),
        "testMode": is_test,
        "resellerReference": row.reseller_reference or None,
        "supplierReference": row.order_code or None,
        "status": status,
        "utcCreatedAt": utc(row.create_time),
        "utcUpdatedAt": utc(row.update_time),
        "utcExpiresAt": utc(found.reservation.expire_time)
        if status in ("ON_HOLD", "EXPIRED")
        else None,
        "utcRedeemedAt": _redeemed(found, status),
        "utcConfirmedAt": utc(row.confirm_time) if row.confirm_time else None,
        "productId": str(row.product_id),
        "optionId": row.option_id,
        "cancellable": found.is_cancellable,
        "cancellation": _cancellation(found, status),
        "freesale": False,
        "availabilityId": row.slot_id,
        "availability": _availability(found),
        "contact": contact(content.contact),
        "notes": content.notes or None,
        "deliveryMethods": ["TICKET"],
        "voucher": None,
        "unitItems": units,
    }
    if PRICING in active:
        total = sum(unit.amount_minor for unit in content.units)
        made["pricing"] = price(total, content.currency_code)
    return made


def _availability(found: PartnerBooking) -> Json:
    """What was booked, and what is left there."""
    content = found.content
    return {
        "id": found.row.slot_id,
        "localDateTimeStart": local(content.start_time),
        "localDateTimeEnd": local(content.end_time),
        "allDay": content.is_day,
        **stock(found.left, found.total, closed=content.sale_until_time <= found.now),
        "utcCutoffAt": utc(content.sale_until_time),
        "openingHours": OPENING_HOURS if content.is_day else [],
    }


def _unit_item(found: PartnerBooking, at: int, token: str, active: frozenset[str]) -> Json:
    unit, ticket = found.content.units[at], found.tickets[at]
    status = unit_status(found.status, ticket.state)
    used = utc(ticket.update_time) if status == "REDEEMED" else None
    options = [{"deliveryFormat": "QRCODE", "deliveryValue": token}] if token else []
    made: Json = {
        "uuid": unit.unit_id,
        "resellerReference": unit.reseller_reference or None,
        "supplierReference": ticket.ticket_code,
        "unitId": unit.customer_type,
        "status": status,
        "utcRedeemedAt": used,
        "contact": contact(unit.contact),
        "ticket": {
            "redemptionMethod": "DIGITAL",
            "utcRedeemedAt": used,
            "deliveryOptions": options,
        },
    }
    if PRICING in active:
        made["pricing"] = price(unit.amount_minor, found.content.currency_code)
    return made


def _redeemed(found: PartnerBooking, status: BookingStatus) -> str | None:
    """When the last of its tickets changed by being used."""
    if status != "REDEEMED":
        return None
    used = [each.update_time for each in found.tickets if each.state in _USED]
    return utc(max(used))


_USED = ("USED", "PARTIALLY_REDEEMED")


def _cancellation(found: PartnerBooking, status: BookingStatus) -> Json | None:
    """Why and when it ended: by the partner, or with its departure or hold."""
    row, reserved = found.row, found.reservation
    if status == "EXPIRED":
        return _ended("NONE", None, reserved.expire_time)
    if status != "CANCELLED":
        return None
    paid = sum(unit.amount_minor for unit in found.content.units)
    if row.cancel_time is None:  # with its departure: all comes back
        ended = reserved.close_time or found.now
        reason = reserved.end_reason or "DEPARTURE_CANCELLED"
        return _ended("FULL" if row.confirm_time else "NONE", reason, ended)
    refund = "NONE"
    if row.refund_minor:
        refund = "FULL" if row.refund_minor == paid else "PARTIAL"
    return _ended(refund, row.cancel_reason or None, row.cancel_time)


def _ended(refund: str, reason: str | None, moment: datetime) -> Json:
    return {"refund": refund, "reason": reason, "utcCancelledAt": utc(moment)}
