"""Reservations between protobuf and plain values."""

from datetime import datetime

from deeptravel.ota.v1 import reservation_pb2

from server.api import convert
from server.partners.reservations import OPEN, Reservation, ReservationFilter, WantedReservation

STATE = convert.enum_numbers(reservation_pb2.ReservationState)
END_REASON = convert.enum_numbers(reservation_pb2.ReservationEndReason)
STATE_NAME = convert.enum_names(reservation_pb2.ReservationState)


def wanted(
    request: reservation_pb2.ReserveInventoryRequest, *, expires_now: bool
) -> WantedReservation:
    """What ReserveInventory asks for, or for a second where it `expires_now`. Raises
    INVALID_FIELD.
    """
    seconds = request.hold_seconds if request.HasField("hold_seconds") else None
    return WantedReservation(
        product_id=request.product_id,
        departure_id=int(request.departure_id) if request.departure_id else None,
        fare_class=request.fare_class,
        use_date=convert.day(request, "use_date"),
        quantity=request.quantity,
        hold_seconds=1 if expires_now else seconds,
    )


def reservation_filter(request: reservation_pb2.ListReservationsRequest) -> ReservationFilter:
    """Which reservations ListReservations asks for."""
    return ReservationFilter(state=STATE_NAME[request.status], product_id=request.product_id)


def reservation(found: Reservation, now: datetime) -> reservation_pb2.Reservation:
    """A reservation as it is now."""
    state = found.state_at(now)
    return reservation_pb2.Reservation(
        reservation_id=str(found.reservation_id),
        product_id=found.product_id,
        departure_id=str(found.departure_id or ""),
        fare_class=found.fare_class or "",
        use_date=found.use_date.isoformat() if found.use_date else "",
        quantity=found.quantity,
        generated=found.generated,
        activated=found.activated,
        held=found.quantity - found.activated if state == OPEN else 0,
        status=STATE[state],
        expire_time=convert.timestamp(found.expire_time),
        max_expire_time=convert.timestamp(found.max_expire_time),
        create_time=convert.timestamp(found.create_time),
        close_time=convert.timestamp(found.close_time),
        end_reason=END_REASON[found.end_reason or ""],
    )
