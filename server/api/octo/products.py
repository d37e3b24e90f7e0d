"""Supplier, products, options, units and their prices, as OCTO has them."""

from collections.abc import Iterable, Mapping
from typing import Any

from server.catalog import policy, pricing
from server.catalog.policy import Policy
from server.orders import passenger_rules
from server.orders.passenger_rules import ACCOMPANYING
from server.partners.bookings import MAX_UNITS
from server.partners.sellable import SaleOption, SaleProduct
from server.platform.currencies import decimals

PRICING = "octo/pricing"
CAPABILITIES = (PRICING,)
"""What a caller may ask for by Octo-Capabilities."""
TYPES = frozenset({"ADULT", "YOUTH", "CHILD", "INFANT", "FAMILY", "SENIOR", "STUDENT", "MILITARY"})
"""Unit types that customer types of the same name are; all others are OTHER."""
OLDEST = 99
"""An age that stands for none at all, where one is required."""
OPENING_HOURS = [{"from": "00:00", "to": "23:59"}]
"""A package is used on any moment of its day."""
_UNITS = {1440: "day", 60: "hour", 1: "minute"}
Json = dict[str, Any]


def supplier(endpoint: str) -> Json:
    """Who sells: we."""
    contact = dict.fromkeys(("website", "email", "telephone", "address"))
    return {"id": "deeptravel", "name": "DeepTravel", "endpoint": endpoint, "contact": contact}


def capabilities() -> list[Json]:
    """What may be asked for beside the core."""
    return [
        {"id": each, "revision": 1, "required": False, "dependencies": [], "docs": None}
        for each in CAPABILITIES
    ]


def product(sold: SaleProduct, active: frozenset[str]) -> Json:
    """A product with its options."""
    listed = sold.product
    is_package = sold.options[0].leg is None
    made: Json = {
        "id": str(listed.product_id),
        "internalName": listed.display_name_en,
        "reference": None,
        "locale": "en",
        "timeZone": sold.options[0].zone.key,
        "allowFreesale": False,
        "instantConfirmation": True,
        "instantDelivery": True,
        "availabilityRequired": True,
        "availabilityType": "OPENING_HOURS" if is_package else "START_TIME",
        "deliveryFormats": ["QRCODE"],
        "deliveryMethods": ["TICKET"],
        "redemptionMethod": "DIGITAL",
        "options": [
            _option(sold, each, active, default=at == 0) for at, each in enumerate(sold.options)
        ],
    }
    if PRICING in active:
        made |= {
            "defaultCurrency": listed.currency_code,
            "availableCurrencies": [listed.currency_code],
            "pricingPer": "UNIT",
        }
    return made


def _option(
    sold: SaleProduct, option: SaleOption, active: frozenset[str], *, default: bool
) -> Json:
    amount, unit, words = _cutoff(sold, option)
    return {
        "id": option.option_id,
        "default": default,
        "internalName": option.display_name,
        "reference": None,
        "availabilityLocalStartTimes": [
            f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (option.leg.clocks)
        ]
        if option.leg
        else [OPENING_HOURS[0]["from"]],
        "cancellationCutoff": words,
        "cancellationCutoffAmount": amount,
        "cancellationCutoffUnit": unit,
        "requiredContactFields": ["firstName", "lastName"],
        "restrictions": {"minUnits": 1, "maxUnits": MAX_UNITS},
        "units": [_unit(sold, option, each, active) for each in option.customer_types],
    }


def _cutoff(sold: SaleProduct, option: SaleOption) -> tuple[int, str, str]:
    """How long before its start a booking may be cancelled, for whatever comes back of it."""
    terms = Policy.parse(sold.product.policy)
    start = policy.TicketStart.DEPARTURE if option.leg else policy.TicketStart.FIRST_DAY
    tiers = [each for each in policy.reachable(terms, start) if each.percent]
    if not tiers:
        return 0, "minute", "A confirmed booking cannot be cancelled"
    last = max(0, min(each.minutes_before for each in tiers))
    size = next(size for size in _UNITS if last % size == 0)
    steps = "; ".join(
        f"{each.percent} % until {each.minutes_before} minutes before" for each in tiers
    )
    fee = f", less {terms.refund_fee_minor} a ticket" if terms.refund_fee_minor else ""
    return last // size, _UNITS[size], f"Given back: {steps}{fee}"


def _unit(
    sold: SaleProduct, option: SaleOption, customer_type: str, active: frozenset[str]
) -> Json:
    listed = sold.product
    ages = passenger_rules.ages_of(customer_type, listed.age_limits)
    alone = customer_type in ACCOMPANYING or customer_type in listed.unaccompanied_types
    made: Json = {
        "id": customer_type,
        "internalName": customer_type.capitalize(),
        "reference": None,
        "type": unit_type(customer_type),
        "restrictions": {
            "minAge": ages.youngest,
            "maxAge": OLDEST if ages.oldest is None else ages.oldest,
            "idRequired": False,
            "minQuantity": None,
            "maxQuantity": MAX_UNITS,
            "paxCount": 1,
            "accompaniedBy": []
            if alone
            else [each for each in option.customer_types if each in ACCOMPANYING],
        },
        "requiredContactFields": [],
    }
    if PRICING in active:
        fares = option.leg.fares if option.leg else listed.fares
        least = _least(fares, customer_type)
        made["pricingFrom"] = [price(least, listed.currency_code)]
    return made


def unit_type(customer_type: str) -> str:
    """A customer type as OCTO's."""
    return customer_type if customer_type in TYPES else "OTHER"


def _least(fares: Iterable[Mapping[str, Any]], customer_type: str) -> int:
    """The least that it costs on any type of day."""
    return min(
        int(each["amount_minor"]) for each in fares if each["customer_type"] == customer_type
    )


def price(amount_minor: int, currency_code: str) -> Json:
    """A price. What a partner owes for a ticket is its price: so net and retail are the same, and
    what the reseller takes more is its own.
    """
    return {
        "original": amount_minor,
        "retail": amount_minor,
        "net": amount_minor,
        "currency": currency_code,
        "currencyPrecision": decimals(currency_code),
        "includedTaxes": [],
    }


def fares_of(fares: Mapping[tuple[str, str], int], customer_type: str, day_type: str) -> int | None:
    """What a ticket costs on a type of day; None where there is no fare."""
    try:
        return pricing.fare_of(fares, customer_type, day_type)
    except pricing.NoFare:
        return None
