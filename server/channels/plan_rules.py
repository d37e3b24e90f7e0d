"""What a channel is to know of a listing: price by its plan, and quantity. Pure."""

from datetime import date

MILLION = 1_000_000
BASIS_POINTS = 10_000


def plan_price(
    amount_minor: int,
    *,
    digits: int,
    plan_digits: int,
    rate_millionths: int,
    markup_basis_points: int,
) -> int:
    """An amount of a product's currency, which has `digits` decimals, as a price plan sells it:
    times its rate, with its markup, in a currency of `plan_digits`. Rounded half-up once, to the
    minor unit.
    """
    numerator = amount_minor * rate_millionths * (BASIS_POINTS + markup_basis_points)
    numerator *= int(10**plan_digits)
    denominator = MILLION * BASIS_POINTS * int(10**digits)
    return (2 * numerator + denominator) // (2 * denominator)


def offer_id(
    *,
    product_id: int | None,
    timetable_id: int | None,
    class_index: int | None,
    origin_index: int | None,
    destination_index: int | None,
    departure_id: int | None,
    day: date,
) -> str:
    """The id of the offer of a listing on a day (`server/stock/ids.py`): a package's, or that of a
    timetable's departure.
    """
    if timetable_id is None:
        return f"PK-{product_id}-{day:%Y%m%d}"
    return f"TR-{departure_id}-{class_index}-{origin_index}-{destination_index}"
