"""Versions of what sells as protobuf messages, and contents of requests as plain values."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deeptravel.admin.v1 import catalog_pb2, config_version_pb2, product_pb2

from server.api import convert
from server.api.admin import product_messages, route_messages
from server.catalog.config_versions import (
    PRODUCT,
    PROMOTION,
    ROUTE_FARES,
    ConfigContent,
    ConfigVersion,
    moment_text,
)
from server.catalog.products import DEFAULT_CALENDAR, DEFAULT_MAX_PER_TRAVELLER
from server.catalog.rules import DEFAULT_BOARDING_MINUTES
from server.platform.errors import invalid

TYPE = convert.enum_numbers(config_version_pb2.ConfigObjectType)
TYPE_NAME = convert.enum_names(config_version_pb2.ConfigObjectType)
STATE = convert.enum_numbers(config_version_pb2.ConfigVersionState)
STATE_NAME = convert.enum_names(config_version_pb2.ConfigVersionState)
FIELD = {PRODUCT: "product", ROUTE_FARES: "route_fares", PROMOTION: "promotion"}
"""The field of ConfigContent by type of object."""


def version_message(version: ConfigVersion) -> config_version_pb2.ConfigVersion:
    """A version."""
    return config_version_pb2.ConfigVersion(
        version_id=version.version_id,
        object_type=TYPE[version.object_type],
        object_id=version.object_id,
        version=version.version,
        state=STATE[version.state],
        base_version=version.base_version or 0,
        content=content_message(version.object_type, version.content),
        comment=version.comment,
        author=version.author,
        publisher=version.publisher or "",
        create_time=convert.timestamp(version.create_time),
        update_time=convert.timestamp(version.update_time),
        effective_time=convert.timestamp(version.effective_time),
        publish_time=convert.timestamp(version.publish_time),
        force_comment=version.force_comment,
        fault=version.fault,
        change_set_id=version.change_set_id,
        revision=version.revision,
    )


def content_message(object_type: str, content: ConfigContent) -> config_version_pb2.ConfigContent:
    """All of what a version has."""
    made: dict[str, Any] = {
        PRODUCT: _product_message,
        ROUTE_FARES: _fares_message,
        PROMOTION: _promotion_message,
    }
    return config_version_pb2.ConfigContent(**{FIELD[object_type]: made[object_type](content)})


def content(object_type: str, message: config_version_pb2.ConfigContent) -> ConfigContent:
    """The content of a request, as it is stored. Raises INVALID_FIELD for that of another type."""
    field = FIELD[object_type]
    if message.WhichOneof("content") != field:
        raise invalid("content", f"has {message.WhichOneof('content') or 'nothing'}; send {field}")
    if object_type == PRODUCT:
        return _product(message.product)
    if object_type == ROUTE_FARES:
        return {"fares": route_messages.route_fares(message.route_fares.fares)}
    return _promotion(message.promotion)


def _product(message: config_version_pb2.ProductContent) -> dict[str, Any]:
    return {
        "display_name_en": message.display_name_en,
        "display_name_zh": message.display_name_zh,
        "fares": product_messages.fares(message.fares),
        "entitlements": product_messages.entitlements(message.entitlements),
        "validity_days": message.validity_days,
        "blackout_dates": list(message.blackout_dates),
        "tiers": product_messages.tiers(message.tiers),
        "policy": product_messages.policy(message.policy),
        "max_per_traveller": message.max_per_traveller or DEFAULT_MAX_PER_TRAVELLER,
        "city_code": message.city_code or None,
        "calendar_code": message.calendar_code or DEFAULT_CALENDAR,
        "boarding_minutes": message.boarding_minutes or DEFAULT_BOARDING_MINUTES,
        "unaccompanied_types": product_messages.customer_types(message.unaccompanied_types),
        "age_limits": product_messages.age_limits(message.age_limits),
    }


def _promotion(message: config_version_pb2.PromotionContent) -> dict[str, Any]:
    begin, end = (convert.moment(message, name) for name in ("begin_time", "end_time"))
    assert begin, "a required field"
    assert end, "a required field"
    return {
        "display_name_en": message.display_name_en,
        "display_name_zh": message.display_name_zh,
        "code": message.promotion_code or None,
        "basis_points_off": message.basis_points_off,
        "amount_off_minor": message.amount_off_minor,
        "currency_code": message.currency_code or None,
        "begin_time": moment_text(begin),
        "end_time": moment_text(end),
        "min_party": message.min_party,
        "product_ids": list(message.product_ids),
        "stackable": message.stackable,
        "max_per_traveller": message.max_per_traveller or None,
        **({"cap": message.cap} if message.HasField("cap") else {}),
    }


def _product_message(content: ConfigContent) -> config_version_pb2.ProductContent:
    plain = (
        *("display_name_en", "display_name_zh", "validity_days", "blackout_dates"),
        *("max_per_traveller", "calendar_code", "boarding_minutes"),
    )
    return config_version_pb2.ProductContent(
        **{name: content[name] for name in plain},
        city_code=content["city_code"] or "",
        fares=product_messages.fare_messages(content["fares"]),
        entitlements=product_messages.entitlement_messages(content["entitlements"]),
        tiers=[product_pb2.PartyTier(**tier) for tier in content["tiers"]],
        policy=product_messages.policy_message(content["policy"]),
        unaccompanied_types=[
            product_messages.CUSTOMER_TYPE[each] for each in content["unaccompanied_types"]
        ],
        age_limits=product_messages.age_limit_messages(content["age_limits"]),
    )


def _fares_message(content: ConfigContent) -> config_version_pb2.RouteFaresContent:
    fares: list[catalog_pb2.RouteFare] = route_messages.fare_messages(content["fares"])
    return config_version_pb2.RouteFaresContent(fares=fares)


def _promotion_message(content: ConfigContent) -> config_version_pb2.PromotionContent:
    plain = (
        *("display_name_en", "display_name_zh", "basis_points_off", "amount_off_minor"),
        *("min_party", "product_ids", "stackable"),
    )
    return config_version_pb2.PromotionContent(
        **{name: content[name] for name in plain},
        currency_code=content["currency_code"] or "",
        promotion_code=content["code"] or "",
        max_per_traveller=content["max_per_traveller"] or 0,
        cap=content.get("cap"),
        begin_time=_timestamp(content, "begin_time"),
        end_time=_timestamp(content, "end_time"),
    )


def _timestamp(content: Mapping[str, Any], name: str) -> Any:
    return convert.timestamp(datetime.fromisoformat(content[name]).astimezone(UTC))
