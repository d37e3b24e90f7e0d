"""How an offer is made of a product and what of the offer is its own; the snapshot that an order
keeps of it.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID, uuid5
from zoneinfo import ZoneInfo

import orjson

from server.catalog.listed import ListedProduct
from server.catalog.offers import Offer, OfferJourney, OfferRental


class Made(NamedTuple):
    """What of an offer is its own, not its product's, by the names of `Offer`; the seat map as
    it is stored.
    """

    kind: str
    journey: OfferJourney | None
    stock_id: int
    seat_map: dict[str, Any] | None
    static_fault: str
    reference_time: datetime
    valid_from_time: datetime
    valid_until_time: datetime
    sale_from_time: datetime
    sale_until_time: datetime
    time_zone: str
    travel_date: date
    rental: OfferRental | None = None


def make_offer(
    offer_id: str,
    product: ListedProduct,
    fares: list[dict[str, Any]],
    made: Made,
    *,
    day_type: str,
    provisional: bool,
    hold_seconds: int | None,
) -> Offer:
    """An offer of a product at these fares, by the type of its day."""
    own = made._asdict()
    if made.rental is None:  # as it was before there were rentals: the same offer, the same hash
        del own["rental"]
    content = {
        "kind": product.kind,
        "display_name_en": product.display_name_en,
        "display_name_zh": product.display_name_zh,
        "currency_code": product.currency_code,
        "fares": fares,
        "entitlements": product.entitlements,
        "blackout_dates": product.blackout_dates,
        "validity_days": product.validity_days,
        "boarding_minutes": product.boarding_minutes,
        "tiers": product.tiers,
        "policy": product.policy,
        "passenger_rules": {
            "unaccompanied_types": product.unaccompanied_types,
            "age_limits": product.age_limits,
        },
        "offer": {
            **own,
            "product_id": product.product_id,
            "day_type": day_type,
            "provisional": provisional,
            "max_per_traveller": product.max_per_traveller,
            "documents_required": product.kind == "TRANSPORT",
            "hold_seconds": hold_seconds,
        },
    }
    return _offer(offer_id, content)


def of_partner(offer: Offer, partner_id: int) -> Offer:
    """An offer of our own stock, whose keys end with 0, out of a partner's."""
    own = offer.snapshot["offer"]
    theirs = own | {"stock_id": own["stock_id"] + partner_id}
    if rental := own.get("rental"):
        stock_ids = [each + partner_id for each in rental["stock_ids"]]
        theirs["rental"] = rental | {"stock_ids": stock_ids}
    return _offer(offer.offer_id, offer.snapshot | {"offer": theirs})


def _offer(offer_id: str, content: dict[str, Any]) -> Offer:
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    snapshot_id = uuid5(NAMESPACE_OID, canonical.decode())
    return Offer.from_snapshot(offer_id, snapshot_id, orjson.loads(canonical))


def fault_of_day(product: ListedProduct, day: date, fares: Sequence[object]) -> str:
    """Why a product cannot be bought for a day at any time; empty if nothing is against it."""
    if day in product.blackout_dates:
        return "BLACKOUT"
    return "" if fares else "NO_FARE"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
