"""Who travels in an order: with which document, in whose company, at which age. No I/O in here. (DOMAIN: Price)."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from server.catalog.holds import duplicate_passenger
from server.catalog.offers import Offer
from server.errors import DomainError, Reason, invalid
from server.ticketing import passenger_rules
from server.ticketing.documents import (
    CLOCK,
    age_on,
    birth_date,
    document_fault,
    duplicate_passengers,
)
from server.ticketing.ordering.asked import NewOrder, PricedItem
from server.ticketing.ordering.passengers import PET, Passenger


def check_passengers(new: NewOrder, items: Sequence[PricedItem], *, now: datetime) -> None:
    """Everybody travels, with a document where one is needed, once, and as the products' rules say.

    Raises INVALID_FIELD, DUPLICATE_PASSENGER, PASSENGER_NOT_ALLOWED.
    """
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
    check_company([p.customer_type for p in new.passengers], items)
    for item in items:
        for position in item.passengers:
            check_age(item.offer, position, new.passengers[position])


def check_company(party: Sequence[str], items: Sequence[PricedItem]) -> None:
    """Children and pets travel with somebody, unless the product lets them travel alone. Raises PASSENGER_NOT_ALLOWED.

    `party` are the customer types of all passengers. On a departure the company is whoever is on it too, in whichever
    class; for a package all of the order.
    """
    on_board: defaultdict[int, set[str]] = defaultdict(set)
    for item in items:
        if item.offer.journey:
            on_board[item.offer.journey.departure_id].update(party[at] for at in item.passengers)
    for item in items:
        journey = item.offer.journey
        company = on_board[journey.departure_id] if journey else set(party)
        for position in item.passengers:
            check_companion(item.offer, position, party[position], company)


def check_companion(
    offer: Offer, position: int, customer_type: str, company: Collection[str]
) -> None:
    """A passenger of this type may travel in this company. Raises PASSENGER_NOT_ALLOWED."""
    allowed = offer.passenger_rules.get("unaccompanied_types", ())
    if passenger_rules.needs_companion(customer_type, company, unaccompanied_types=allowed):
        raise not_allowed(
            offer.offer_id,
            position,
            passenger_rules.COMPANION_REQUIRED,
            f"a {customer_type} travels with an adult, senior or student",
            customer_type=customer_type,
        )


def check_age(offer: Offer, position: int, passenger: Passenger) -> None:
    """The fare is for somebody of this age, where the document tells it. Raises PASSENGER_NOT_ALLOWED."""
    born = birth_date(passenger.document_type, passenger.document_number)
    if born is None or offer.travel_date is None:
        return
    who, age = passenger.customer_type, age_on(offer.travel_date, born)
    ages = passenger_rules.ages_of(who, offer.passenger_rules.get("age_limits", ()))
    if not ages.admit(age):
        until = f"to {ages.oldest}" if ages.oldest is not None else "on"
        raise not_allowed(
            offer.offer_id,
            position,
            passenger_rules.AGE_LIMIT,
            f"the fare of a {who} is for ages from {ages.youngest} {until}, the document tells {age} on {offer.travel_date}",
            customer_type=who,
            age=age,
            min_age=ages.youngest,
            max_age="" if ages.oldest is None else ages.oldest,
        )


def not_allowed(
    offer_id: str, passenger_index: int, rule: str, why: str, **facts: str | int
) -> DomainError:
    """PASSENGER_NOT_ALLOWED: which rule keeps a passenger from travelling so, with what it looked at."""
    metadata: dict[str, Any] = {
        "offer_id": offer_id,
        "passenger_index": passenger_index,
        "rule": rule,
        **facts,
    }
    message = f"passengers[{passenger_index}]: {rule} of {offer_id}: {why}"
    return DomainError(Reason.PASSENGER_NOT_ALLOWED, message, **metadata)


def _check_document(path: str, passenger: Passenger, *, needed: bool, today: date) -> None:
    kind, number = passenger.document_type, passenger.document_number
    if not kind and not number:
        if needed:
            raise invalid(f"{path}.document_number", "is missing; this journey needs a document")
        return
    if not kind:
        raise invalid(f"{path}.document_type", "is missing; say what the number is of")
    fault = document_fault(kind, number, today=today)
    if fault:
        raise invalid(f"{path}.document_number", fault)
