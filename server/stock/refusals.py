"""Why something cannot be taken of stock, as DomainErrors."""

from server.platform.errors import DomainError, Reason


def sold_out(offer_id: str, product_id: int, requested: int, available: int) -> DomainError:
    """SOLD_OUT for an offer."""
    return DomainError(
        Reason.SOLD_OUT,
        f"{requested} of {offer_id} were asked for, {available} are left",
        product_id=product_id,
        requested=requested,
        available=available,
    )


def cancelled(offer_id: str) -> DomainError:
    """OFFER_NOT_AVAILABLE for an offer whose departure is cancelled."""
    return DomainError(
        Reason.OFFER_NOT_AVAILABLE,
        f"{offer_id} cannot be bought: CANCELLED; search again",
        offer_id=offer_id,
        why="CANCELLED",
    )


def too_many(offer_id: str, *, limit: int, held: int, requested: int) -> DomainError:
    """TOO_MANY_FOR_TRAVELLER for an offer."""
    return DomainError(
        Reason.TOO_MANY_FOR_TRAVELLER,
        f"one traveller may have {limit} tickets of a departure, all classes together, or of a"
        f" product on a day; of that of {offer_id} {held} are held or valid, {requested} more were"
        " asked for",
        offer_id=offer_id,
        limit=limit,
        held=held,
        requested=requested,
    )


def duplicate_passenger(offer_id: str, passenger_index: int) -> DomainError:
    """DUPLICATE_PASSENGER: in the party twice, or on the departure already."""
    return DomainError(
        Reason.DUPLICATE_PASSENGER,
        f"passengers[{passenger_index}]: travels in {offer_id} already; a document has one seat on"
        " a departure",
        offer_id=offer_id,
        passenger_index=passenger_index,
    )


def overlapping_journey(offer_id: str, passenger_index: int) -> DomainError:
    """OVERLAPPING_JOURNEY: on another departure at that time."""
    return DomainError(
        Reason.OVERLAPPING_JOURNEY,
        f"passengers[{passenger_index}]: is on another departure while {offer_id} is under way; a"
        " document travels on one at a time",
        offer_id=offer_id,
        passenger_index=passenger_index,
    )
