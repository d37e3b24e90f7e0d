"""Who travels in an order: with which document, and whether they may: no I/O in here. (DOMAIN, Price)."""

from collections.abc import Sequence
from datetime import date, datetime

from server.catalog.holds import duplicate_passenger
from server.errors import invalid
from server.ticketing.documents import CLOCK, document_fault, duplicate_passengers
from server.ticketing.ordering.asked import NewOrder, PricedItem
from server.ticketing.ordering.passengers import PET, Passenger


def check_passengers(new: NewOrder, items: Sequence[PricedItem], *, now: datetime) -> None:
    """Everybody travels, with a document where one is needed, and once. Raises INVALID_FIELD, DUPLICATE_PASSENGER."""
    today = now.astimezone(CLOCK).date()
    for position, passenger in enumerate(new.passengers):
        needed = passenger.customer_type != PET and any(
            item.offer.documents_required and position in item.passengers for item in items
        )
        _check_document(f"passengers[{position}]", passenger, needed=needed, today=today)
    travelling = {position for item in items for position in item.passengers}
    for position in range(len(new.passengers)):
        if position not in travelling:
            raise invalid(f"passengers[{position}]", "is in none of the items; leave it out")
    known = [position for position, p in enumerate(new.passengers) if p.document_number]
    twice = duplicate_passengers(
        [
            (new.passengers[position].document_type, new.passengers[position].document_number)
            for position in known
        ]
    )
    if twice:
        position = known[twice[0]]
        offer = next(item.offer for item in items if position in item.passengers)
        raise duplicate_passenger(offer.offer_id, position)


def _check_document(path: str, passenger: Passenger, *, needed: bool, today: date) -> None:
    kind, number = passenger.document_type, passenger.document_number
    if not kind and not number:
        if needed:
            raise invalid(
                f"{path}.document_number", "is missing; trains and ferries need a travel document"
            )
        return
    if not kind:
        raise invalid(f"{path}.document_type", "is missing; say what the number is of")
    fault = document_fault(kind, number, today=today)
    if fault:
        raise invalid(f"{path}.document_number", fault)
