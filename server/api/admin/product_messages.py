"""Products and allotments as protobuf messages, and what requests say of them as plain values."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from deeptravel.admin.v1 import allotment_pb2, product_pb2, state_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api.convert import day, enum_names, enum_numbers, timestamp
from server.api.requests import optional
from server.audit.rules import (
    ENTITLEMENT_DEFAULTS,
    AgeLimit,
    ProductEntitlement,
    ProductFare,
)
from server.catalog.allotments import Allotment, AllotmentSubject
from server.catalog.operator_cause import DEFAULT_TOLERANCE_MINUTES
from server.catalog.products import (
    DEFAULT_CALENDAR,
    DEFAULT_GUARD_SECONDS,
    DEFAULT_MAX_PER_TRAVELLER,
    NewProduct,
    Product,
)
from server.catalog.rules import DEFAULT_BOARDING_MINUTES

KIND = enum_numbers(product_pb2.ProductKind)
KIND_NAME = enum_names(product_pb2.ProductKind)
PRODUCT_STATE = enum_numbers(product_pb2.ProductState)
USE_MODE = enum_numbers(product_pb2.UseMode)
USE_MODE_NAME = enum_names(product_pb2.UseMode) | {0: "ONCE_PER_QR"}
ROTATING_CODE = enum_numbers(product_pb2.RotatingCode)
ROTATING_CODE_NAME = enum_names(product_pb2.RotatingCode) | {0: "NONE"}
ACTIVE, ARCHIVED = state_pb2.CATALOGUE_STATE_ACTIVE, state_pb2.CATALOGUE_STATE_ARCHIVED
CUSTOMER_TYPE = enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAME = enum_names(ticket_pb2.CustomerType)


def product_message(product: Product) -> product_pb2.Product:
    """A product."""
    return product_pb2.Product(
        product_id=product.product_id,
        kind=KIND[product.kind],
        display_name_en=product.display_name_en,
        display_name_zh=product.display_name_zh,
        currency_code=product.currency_code,
        fares=fare_messages(product.fares),
        entitlements=entitlement_messages(product.entitlements),
        tiers=[product_pb2.PartyTier(**tier) for tier in product.tiers],
        policy=policy_message(product.policy),
        max_per_traveller=product.max_per_traveller,
        unaccompanied_types=[CUSTOMER_TYPE[each] for each in product.unaccompanied_types],
        age_limits=age_limit_messages(product.age_limits),
        city_code=product.city_code or "",
        calendar_code=product.calendar_code,
        boarding_minutes=product.boarding_minutes,
        validity_days=product.validity_days,
        blackout_dates=[day.isoformat() for day in product.blackout_dates],
        state=PRODUCT_STATE[product.state],
        create_time=timestamp(product.create_time),
        update_time=timestamp(product.update_time),
        version=product.version,
    )


def fare_messages(stored: Iterable[ProductFare]) -> list[product_pb2.Fare]:
    """Fares."""
    return [
        product_pb2.Fare(**{**fare, "customer_type": CUSTOMER_TYPE[fare["customer_type"]]})
        for fare in stored
    ]


def entitlement_messages(
    stored: Iterable[ProductEntitlement],
) -> list[product_pb2.ProductEntitlement]:
    """Entitlements."""
    return [product_pb2.ProductEntitlement(**entitlement_values(each)) for each in stored]


def entitlement_values(stored: ProductEntitlement) -> dict[str, Any]:
    """The fields of an entitlement's message."""
    values = {**ENTITLEMENT_DEFAULTS, **stored}
    code = ROTATING_CODE[values["rotating_code"]]
    return values | {"use_mode": USE_MODE[stored["use_mode"]], "rotating_code": code}


def age_limit_messages(stored: Iterable[AgeLimit]) -> list[product_pb2.AgeLimit]:
    """Age limits."""
    return [
        product_pb2.AgeLimit(
            customer_type=CUSTOMER_TYPE[each["customer_type"]],
            min_age=each["min_age"],
            max_age=each["max_age"],
        )
        for each in stored
    ]


def policy_message(stored: dict[str, Any]) -> product_pb2.RefundPolicy:
    """Refund and change."""
    steps = [product_pb2.RefundTier(**tier) for tier in stored.get("refund_tiers", [])]
    rest = {"move_tolerance_minutes": DEFAULT_TOLERANCE_MINUTES} | {
        name: value for name, value in stored.items() if name != "refund_tiers"
    }
    return product_pb2.RefundPolicy(refund_tiers=steps, **rest)


def allotment_message(allotment: Allotment) -> allotment_pb2.Allotment:
    """An allotment."""
    return allotment_pb2.Allotment(
        product_id=allotment.product_id,
        channel=allotment.channel,
        total=allotment.total,
        held=allotment.held,
        sold=allotment.sold,
        available=0 if allotment.archived else allotment.total - allotment.held - allotment.sold,
        update_time=timestamp(allotment.update_time),
        departure_id=str(allotment.departure_id or ""),
        fare_class=allotment.fare_class or "",
        use_date=allotment.use_date.isoformat() if allotment.use_date else "",
        fleet_id=allotment.fleet_id or 0,
        hold_seconds=allotment.hold_seconds,
        max_hold_seconds=allotment.max_hold_seconds,
        release_days=allotment.release_days,
        version=allotment.version,
        state=ARCHIVED if allotment.archived else ACTIVE,
    )


def subject(
    request: allotment_pb2.GetAllotmentRequest
    | allotment_pb2.AdjustAllotmentRequest
    | allotment_pb2.SetAllotmentTermsRequest
    | allotment_pb2.ArchiveAllotmentRequest
    | allotment_pb2.UnarchiveAllotmentRequest,
) -> AllotmentSubject:
    """What an allotment is of. Raises INVALID_FIELD."""
    departure_id = int(request.departure_id) if request.departure_id else None
    return AllotmentSubject(
        *(request.product_id, departure_id, request.fare_class, day(request, "use_date")),
        request.fleet_id or None,
    )


class Terms(TypedDict):
    """How long reservations of an allotment last, and when it returns; None as of old."""

    hold_seconds: int | None
    max_hold_seconds: int | None
    release_days: int | None


def terms(request: allotment_pb2.SetAllotmentTermsRequest) -> Terms:
    """The terms of an allotment."""
    return Terms(
        hold_seconds=request.hold_seconds if request.HasField("hold_seconds") else None,
        max_hold_seconds=request.max_hold_seconds if request.HasField("max_hold_seconds") else None,
        release_days=request.release_days if request.HasField("release_days") else None,
    )


def fares(messages: Iterable[product_pb2.Fare]) -> list[ProductFare]:
    """The fares of a request."""
    return [
        ProductFare(
            customer_type=CUSTOMER_TYPE_NAME[fare.customer_type],
            day_type=fare.day_type,
            amount_minor=fare.amount_minor,
        )
        for fare in messages
    ]


def entitlements(messages: Iterable[product_pb2.ProductEntitlement]) -> list[ProductEntitlement]:
    """The entitlements of a request."""
    return [
        ProductEntitlement(
            function_code=each.function_code,
            display_name_en=each.display_name_en,
            display_name_zh=each.display_name_zh,
            total_uses=each.total_uses,
            use_mode=USE_MODE_NAME[each.use_mode],
            guard_seconds=optional(each, "guard_seconds", DEFAULT_GUARD_SECONDS),
            shared=each.shared,
            rotating_code=ROTATING_CODE_NAME[each.rotating_code],
        )
        for each in messages
    ]


def tiers(messages: Iterable[product_pb2.PartyTier]) -> list[dict[str, int]]:
    """The discounts of a request, as they are stored."""
    return [{"min_party": each.min_party, "percent_off": each.percent_off} for each in messages]


def customer_types(numbers: Iterable[int]) -> list[str]:
    """The customer types of a request."""
    return [CUSTOMER_TYPE_NAME[number] for number in numbers]


def age_limits(messages: Iterable[product_pb2.AgeLimit]) -> list[AgeLimit]:
    """The age limits of a request, as they are stored."""
    return [
        AgeLimit(
            customer_type=CUSTOMER_TYPE_NAME[each.customer_type],
            min_age=each.min_age,
            max_age=each.max_age if each.HasField("max_age") else None,
        )
        for each in messages
    ]


def policy(message: product_pb2.RefundPolicy) -> dict[str, Any]:
    """The policy of a request, as it is stored."""
    return {
        "refund_tiers": [
            {"minutes_before": tier.minutes_before, "percent": tier.percent}
            for tier in message.refund_tiers
        ],
        "refund_fee_minor": message.refund_fee_minor,
        "changes_allowed": message.changes_allowed,
        "change_minutes_before": message.change_minutes_before,
        "change_fee_minor": message.change_fee_minor,
        "pro_rata": message.pro_rata,
        "move_tolerance_minutes": optional(
            message, "move_tolerance_minutes", DEFAULT_TOLERANCE_MINUTES
        ),
        "refund_after_choice": message.refund_after_choice,
    }


def new_product(request: product_pb2.CreateProductRequest) -> NewProduct:
    """What CreateProduct asks for."""
    return NewProduct(
        product_id=request.product_id,
        kind=KIND_NAME[request.kind],
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        currency_code=request.currency_code,
        fares=fares(request.fares),
        entitlements=entitlements(request.entitlements),
        validity_days=request.validity_days,
        blackout_dates=list(request.blackout_dates),
        tiers=tiers(request.tiers),
        policy=policy(request.policy),
        max_per_traveller=request.max_per_traveller or DEFAULT_MAX_PER_TRAVELLER,
        unaccompanied_types=customer_types(request.unaccompanied_types),
        age_limits=age_limits(request.age_limits),
        city_code=request.city_code or None,
        calendar_code=request.calendar_code or DEFAULT_CALENDAR,
        boarding_minutes=request.boarding_minutes or DEFAULT_BOARDING_MINUTES,
        entitlement_template_codes=list(request.entitlement_template_codes),
    )


READ: Mapping[str, Callable[..., object]] = {
    "fares": fares,
    "entitlements": entitlements,
    "tiers": tiers,
    "policy": policy,
    "unaccompanied_types": customer_types,
    "age_limits": age_limits,
}
"""Of the fields of UpdateProduct that are no plain values."""
