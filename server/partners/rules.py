"""The decisions about partners: whether what was paid is what the ticket's price snapshot asks for,
and how long a reservation lasts. Pure.

Source: DOMAIN, OTA partners; Price; Stock. Amounts are integers in minor units.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

BASIS_POINTS = 10_000
ADULT = "ADULT"


class Amount(NamedTuple):
    """Money: minor units and the ISO 4217 code of their currency."""

    minor: int
    currency_code: str


def price_instead(
    snapshot: Mapping[str, Any],
    paid: Amount,
    *,
    customer_type: str,
    quantity: int = 1,
    tolerance_basis_points: int = 0,
) -> Amount | None:
    """The price that the snapshot asks for where another amount or currency was paid; None if it
    fits.

    A ticket is bound to no day, so the fare of any day type will do; the one nearest to what was
    paid is the one that is named. A customer type without a fare of its own, or none, pays an
    adult's. The currency is the snapshot's whatever the tolerance, which is a share of the price
    either way. A snapshot without fares names no price: only the currency is compared.
    """
    currency_code = str(snapshot["currency_code"])
    prices = [quantity * amount for amount in _fares(snapshot["fares"], customer_type)]
    if not prices:
        return None if paid.currency_code == currency_code else Amount(paid.minor, currency_code)
    nearest = min(prices, key=lambda price: (abs(price - paid.minor), price))
    fits = any(
        abs(price - paid.minor) * BASIS_POINTS <= price * tolerance_basis_points for price in prices
    )
    return None if fits and paid.currency_code == currency_code else Amount(nearest, currency_code)


def _fares(fares: Sequence[Mapping[str, Any]], customer_type: str) -> set[int]:
    for wanted in (customer_type, ADULT):
        found = {fare["amount_minor"] for fare in fares if fare["customer_type"] == wanted}
        if found:
            return found
    return {fare["amount_minor"] for fare in fares}


class ReservationTerms(NamedTuple):
    """How long reservations last, in seconds: if nothing else is asked for, at the most with all
    extensions, and how long before its end the partner is warned.
    """

    hold_seconds: int
    max_hold_seconds: int
    warning_seconds: int

    def of_stock(
        self, hold_seconds: int | None, max_hold_seconds: int | None
    ) -> "ReservationTerms":
        """The terms of a stock, which may have its own: its default is no more than its most."""
        hold = self.hold_seconds if hold_seconds is None else hold_seconds
        if max_hold_seconds is None:
            return self._replace(
                hold_seconds=hold, max_hold_seconds=max(self.max_hold_seconds, hold)
            )
        return self._replace(
            hold_seconds=min(hold, max_hold_seconds), max_hold_seconds=max_hold_seconds
        )


class ReservationTimes(NamedTuple):
    """When a reservation ends, the latest it may be extended to, and when its partner is warned."""

    expire_time: datetime
    max_expire_time: datetime
    warn_time: datetime


def reservation_times(
    begin: datetime, seconds: int, terms: ReservationTerms, end_time: datetime | None
) -> ReservationTimes:
    """The times of a reservation that begins now and is to last so long.

    `end_time` is when its departure leaves or its day is over: nothing is held beyond it.
    """
    latest = begin + timedelta(seconds=terms.max_hold_seconds)
    if end_time is not None:
        latest = min(latest, end_time)
    expire_time = min(begin + timedelta(seconds=seconds), latest)
    return ReservationTimes(expire_time, latest, warn_time(begin, expire_time, terms))


def warn_time(begin: datetime, expire_time: datetime, terms: ReservationTerms) -> datetime:
    """When a partner is warned of the end of a reservation, or of what was added to it: so long
    before as the terms say, but not before half of it is over.
    """
    return max(
        expire_time - timedelta(seconds=terms.warning_seconds),
        begin + (expire_time - begin) / 2,
    )


def is_over(state: str, expire_time: datetime, now: datetime) -> bool:
    """Whether a reservation has expired: from its second on, whether or not anybody has closed
    it.
    """
    return state == "EXPIRED" or (state == "OPEN" and now >= expire_time)
