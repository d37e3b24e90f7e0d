"""What administrators keep as protobuf messages, and the fields of update requests as plain values."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

from deeptravel.admin.v1 import (
    account_pb2,
    allotment_pb2,
    audit_pb2,
    partner_pb2,
    product_pb2,
    state_pb2,
    traveller_pb2,
    venue_pb2,
)
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.struct_pb2 import Struct

from server.api.convert import enum_names, enum_numbers, timestamp
from server.api.fields import is_required
from server.audit.audit_events import AuditEvent
from server.audit.records import refuse
from server.audit.rules import AgeLimit, Fare, ProductEntitlement
from server.catalog.allotments import Allotment
from server.catalog.operator_cause import DEFAULT_TOLERANCE_MINUTES
from server.catalog.products import (
    DEFAULT_CALENDAR,
    DEFAULT_GUARD_SECONDS,
    DEFAULT_MAX_PER_TRAVELLER,
    NewProduct,
    Product,
)
from server.catalog.rules import DEFAULT_BOARDING_MINUTES
from server.identity.accounts import Administrator, Operator
from server.identity.partner_keys import PartnerKey
from server.identity.traveller_blocks import Traveller
from server.parties.partners import Partner
from server.parties.venues import Merchant, Terminal, Venue
from server.platform.errors import invalid

STATE = enum_numbers(state_pb2.ResourceState)
STATE_NAME = enum_names(state_pb2.ResourceState)
ROLE = enum_numbers(account_pb2.OperatorRole)
ROLE_NAME = enum_names(account_pb2.OperatorRole)
KIND = enum_numbers(product_pb2.ProductKind)
KIND_NAME = enum_names(product_pb2.ProductKind)
PRODUCT_STATE = enum_numbers(product_pb2.ProductState)
PRODUCT_STATE_NAME = enum_names(product_pb2.ProductState)
USE_MODE = enum_numbers(product_pb2.UseMode)
USE_MODE_NAME = enum_names(product_pb2.UseMode) | {0: "ONCE_PER_QR"}
TRAVELLER_STATE = enum_numbers(traveller_pb2.TravellerState)
TRAVELLER_STATE_NAME = enum_names(traveller_pb2.TravellerState)
CUSTOMER_TYPE = enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAME = enum_names(ticket_pb2.CustomerType)


class _Kept(Protocol):
    @property
    def state(self) -> str: ...
    @property
    def create_time(self) -> datetime: ...
    @property
    def update_time(self) -> datetime: ...


def partner_message(partner: Partner) -> partner_pb2.Partner:
    """A partner."""
    return partner_pb2.Partner(
        partner_code=partner.partner_code,
        display_name=partner.display_name,
        requests_per_minute=partner.requests_per_minute,
        allowed_addresses=partner.allowed_addresses,
        activation_tolerance_basis_points=partner.activation_tolerance_basis_points,
        **_common(partner),
    )


def key_message(key: PartnerKey) -> partner_pb2.PartnerKey:
    """A partner's key."""
    return partner_pb2.PartnerKey(
        key_id=key.key_id,
        state=STATE[key.state],
        create_time=timestamp(key.create_time),
        last_used_time=timestamp(key.last_used_time),
        revoke_time=timestamp(key.revoke_time),
    )


def merchant_message(merchant: Merchant) -> venue_pb2.Merchant:
    """A merchant."""
    return venue_pb2.Merchant(
        merchant_code=merchant.merchant_code,
        display_name=merchant.display_name,
        function_codes=merchant.function_codes,
        reversal_window_seconds=merchant.reversal_window_seconds,
        **_common(merchant),
    )


def venue_message(venue: Venue) -> venue_pb2.Venue:
    """A venue."""
    return venue_pb2.Venue(
        venue_code=venue.venue_code,
        merchant_code=venue.merchant_code,
        display_name=venue.display_name,
        time_zone=venue.time_zone,
        function_codes=venue.function_codes,
        **_common(venue),
    )


def terminal_message(terminal: Terminal) -> venue_pb2.Terminal:
    """A terminal."""
    return venue_pb2.Terminal(
        terminal_device_id=terminal.terminal_device_id,
        venue_code=terminal.venue_code,
        display_name=terminal.display_name,
        **_common(terminal),
    )


def operator_message(operator: Operator) -> account_pb2.Operator:
    """An operator's or supervisor's account."""
    return account_pb2.Operator(
        username=operator.username,
        role=ROLE[operator.role],
        merchant_code=operator.merchant_code,
        venue_codes=operator.venue_codes,
        display_name=operator.display_name,
        failed_logins=operator.failed_logins,
        failed_logins_expire_time=timestamp(operator.failed_logins_expire_time),
        **_common(operator),
    )


def administrator_message(administrator: Administrator) -> account_pb2.Administrator:
    """An administrator's account."""
    return account_pb2.Administrator(
        username=administrator.username,
        display_name=administrator.display_name,
        **_common(administrator),
    )


def product_message(product: Product) -> product_pb2.Product:
    """A product."""
    return product_pb2.Product(
        product_id=product.product_id,
        kind=KIND[product.kind],
        display_name_en=product.display_name_en,
        display_name_zh=product.display_name_zh,
        currency_code=product.currency_code,
        fares=[
            product_pb2.Fare(**{**fare, "customer_type": CUSTOMER_TYPE[fare["customer_type"]]})
            for fare in product.fares
        ],
        entitlements=[
            product_pb2.ProductEntitlement(**{**each, "use_mode": USE_MODE[each["use_mode"]]})
            for each in product.entitlements
        ],
        tiers=[product_pb2.PartyTier(**tier) for tier in product.tiers],
        policy=_policy_message(product.policy),
        max_per_traveller=product.max_per_traveller,
        unaccompanied_types=[CUSTOMER_TYPE[each] for each in product.unaccompanied_types],
        age_limits=[
            product_pb2.AgeLimit(
                customer_type=CUSTOMER_TYPE[each["customer_type"]],
                min_age=each["min_age"],
                max_age=each["max_age"],
            )
            for each in product.age_limits
        ],
        city_code=product.city_code or "",
        calendar_code=product.calendar_code,
        boarding_minutes=product.boarding_minutes,
        validity_days=product.validity_days,
        blackout_dates=[day.isoformat() for day in product.blackout_dates],
        state=PRODUCT_STATE[product.state],
        create_time=timestamp(product.create_time),
        update_time=timestamp(product.update_time),
    )


def _policy_message(stored: dict[str, Any]) -> product_pb2.RefundPolicy:
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
        available=allotment.total - allotment.held - allotment.sold,
        update_time=timestamp(allotment.update_time),
    )


def traveller_message(traveller: Traveller) -> traveller_pb2.Traveller:
    """A traveller."""
    return traveller_pb2.Traveller(
        traveller_id=traveller.traveller_id,
        app_id=traveller.app_id,
        openid=traveller.openid,
        unionid=traveller.unionid or "",
        state=TRAVELLER_STATE[traveller.state],
        create_time=timestamp(traveller.create_time),
        update_time=timestamp(traveller.update_time),
        last_login_time=timestamp(traveller.last_login_time),
    )


def audit_message(event: AuditEvent) -> audit_pb2.AuditEvent:
    """An audit event."""
    return audit_pb2.AuditEvent(
        audit_id=str(event.audit_id),
        occurred_time=timestamp(event.occurred_time),
        actor=event.actor,
        action=event.action,
        resource=event.resource,
        name=event.name,
        before=_struct(event.before),
        after=_struct(event.after),
    )


def fares(messages: Iterable[product_pb2.Fare]) -> list[Fare]:
    """The fares of a request."""
    return [
        Fare(
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


def new_product(request: Any) -> NewProduct:
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
    )


def optional(message: Any, field: str, default: int) -> int:
    """The number in a field with presence, or the default."""
    return int(getattr(message, field)) if message.HasField(field) else default


def changes(request: Any, **read: Callable[[Any], Any]) -> dict[str, Any]:
    """The fields of an update request that its mask names; `read` makes plain values of those that are not.

    What a request requires names the record and cannot be changed; all else can. Raises INVALID_FIELD for a mask that
    names nothing, or anything else, or a field without a value; lists may be empty.
    """
    fields = {field.name: field for field in request.DESCRIPTOR.fields if not is_required(field)}
    choice = ", ".join(fields)
    if not request.update_mask.paths:
        raise invalid("update_mask", f"names no field; name what to change: {choice}")
    faults = []
    for path in request.update_mask.paths:
        field = fields.get(path)
        if field is None:
            faults.append(("update_mask", f"{path} cannot be changed; these can: {choice}"))
        elif not field.is_repeated and not _is_set(request, field):
            faults.append((path, "is named by update_mask and needs a value"))
    refuse(faults)
    plain = dict.fromkeys(fields, _plain) | read
    return {path: plain[path](getattr(request, path)) for path in request.update_mask.paths}


def _is_set(request: Any, field: Any) -> bool:
    return bool(
        request.HasField(field.name) if field.has_presence else getattr(request, field.name)
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int) else list(value)


def _common(record: _Kept) -> dict[str, Any]:
    return {
        "state": STATE[record.state],
        "create_time": timestamp(record.create_time),
        "update_time": timestamp(record.update_time),
    }


def _struct(content: dict[str, Any] | None) -> Struct | None:
    if content is None:
        return None
    struct = Struct()
    struct.update(content)
    return struct
