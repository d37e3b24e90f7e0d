"""Who travels in an order: with which document, in whose company, at which age. No I/O in here.
(DOMAIN: Price).
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from server.catalog.offers import Offer
from server.catalog.rental_rules import driver_fault
from server.orders import passenger_rules
from server.orders.documents import CLOCK, age_on, birth_date, document_fault
from server.orders.passenger_rules import ACCOMPANYING
from server.orders.passengers import PET, Passenger
from server.orders.prices import NewOrder, PricedItem
from server.platform.errors import DomainError, Reason, invalid
from server.stock.refusals import duplicate_passenger


def check_passengers(
    new: NewOrder,
    items: Sequence[PricedItem],
    documents: Sequence[bytes | None],
    *,
    now: datetime,
) -> None:
    """Everybody travels, with a document where one is needed, once, and as the products' rules say.

    `documents` are the passengers', by what all spellings of one have in common.

    Raises INVALID_FIELD, DUPLICATE_PASSENGER, PASSENGER_NOT_ALLOWED.
    """
    today = now.astimezone(CLOCK).date()
    travelling: set[int] = set()
    needed: set[int] = set()
    for item in items:
        travelling.update(item.passengers)
        if item.offer.documents_required and new.documents_known:
            needed.update(item.passengers)
    for position, passenger in enumerate(new.passengers):
        _check_document(position, passenger, needed=position in needed, today=today)
    for position in range(len(new.passengers)):
        if position not in travelling:
            raise invalid(f"passengers[{position}]", "is in none of the items; leave it out")
    _check_twice(documents, items)
    check_company([p.customer_type for p in new.passengers], items)
    for item in items:
        for position in item.passengers:
            check_age(item.offer, position, new.passengers[position])
            check_driver(item.offer, position, new.passengers[position])


def _check_twice(documents: Sequence[bytes | None], items: Sequence[PricedItem]) -> None:
    seen: set[bytes] = set()
    for position, document in enumerate(documents):
        if document in seen:
            offer = next(item.offer for item in items if position in item.passengers)
            raise duplicate_passenger(offer.offer_id, position)
        if document:
            seen.add(document)


def check_company(party: Sequence[str], items: Sequence[PricedItem]) -> None:
    """Children and pets travel with somebody, unless the product lets them travel alone. Raises
    PASSENGER_NOT_ALLOWED.

    `party` are the customer types of all passengers. On a departure the company is whoever is on it
    too, in whichever class; for a package all of the order.
    """
    if ACCOMPANYING.issuperset(party):
        return
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
    """The fare is for somebody of this age, where the document tells it. Raises
    PASSENGER_NOT_ALLOWED.
    """
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
            f"the fare of a {who} is for ages from {ages.youngest} {until}, the document tells"
            f" {age} on {offer.travel_date}",
            customer_type=who,
            age=age,
            min_age=ages.youngest,
            max_age="" if ages.oldest is None else ages.oldest,
        )


def check_driver(offer: Offer, position: int, passenger: Passenger) -> None:
    """Who drives a rental is of an age that drives it at its price, where the document tells it.
    Raises PASSENGER_NOT_ALLOWED.
    """
    born = birth_date(passenger.document_type, passenger.document_number)
    if born is None or offer.rental is None or offer.travel_date is None:
        return
    car, age = offer.rental.car, age_on(offer.travel_date, born)
    least, young = car["min_driver_age"], car["young_driver_age"]
    fault = driver_fault(offer.rental.driver_age, age, least, young)
    if fault:
        raise not_allowed(
            offer.offer_id,
            position,
            passenger_rules.DRIVER_AGE,
            f"{fault}, the document tells {age} on {offer.travel_date}",
            age=age,
            min_age=least,
        )


def not_allowed(
    offer_id: str, passenger_index: int, rule: str, why: str, **facts: str | int
) -> DomainError:
    """PASSENGER_NOT_ALLOWED: which rule keeps a passenger from travelling so, with what it
    looked at.
    """
    metadata: dict[str, Any] = {
        "offer_id": offer_id,
        "passenger_index": passenger_index,
        "rule": rule,
        **facts,
    }
    message = f"passengers[{passenger_index}]: {rule} of {offer_id}: {why}"
    return DomainError(Reason.PASSENGER_NOT_ALLOWED, message, **metadata)


def _check_document(position: int, passenger: Passenger, *, needed: bool, today: date) -> None:
    kind, number = passenger.document_type, passenger.document_number
    field = "document_number"
    if kind:
        fault = document_fault(kind, number, today=today)
    elif number:
        field, fault = "document_type", "is missing; say what the number is of"
    elif needed and passenger.customer_type != PET:
        fault = "is missing; this journey needs a document"
    else:
        return
    if fault:
        raise invalid(f"passengers[{position}].{field}", fault)
