"""Previews of versions as protobuf messages."""

from datetime import date

from deeptravel.admin.v1 import config_version_pb2

from server.api import convert
from server.api.admin.product_messages import customer_types
from server.api.ticketing.offers import UNAVAILABLE_REASONS, price_message
from server.configuration.preview import (
    START,
    DryRun,
    OfferChange,
    OfferCounts,
    OfferPlace,
    PreviewCursor,
    PreviewQuery,
    PreviewSide,
)
from server.configuration.preview_texts import texts

DEFAULT_DAYS = 14


PreviewRequest = (
    config_version_pb2.PreviewConfigVersionRequest | config_version_pb2.PreviewChangeSetRequest
)
PreviewToken = tuple[date, str, date, str, int, int, int, int, int, int, int]
"""What a page's token has of a cursor."""


def token_of(cursor: PreviewCursor) -> PreviewToken:
    """A cursor as it is written into a token."""
    return (*cursor.shown, *cursor.counted, *cursor.counts)


def cursor_of(token: PreviewToken | None) -> PreviewCursor:
    """The cursor of a token; that of the first page without one."""
    if token is None:
        return START
    return PreviewCursor(OfferPlace(*token[:2]), OfferPlace(*token[2:4]), OfferCounts(*token[4:]))


def preview_query(request: PreviewRequest) -> PreviewQuery:
    """What is to be looked at."""
    party = tuple(customer_types(request.party)) or ("ADULT",)
    return PreviewQuery(request.days or DEFAULT_DAYS, party, tuple(request.promotion_codes))


def summary_message(found: DryRun) -> config_version_pb2.PreviewSummary:
    """A preview, summed up."""
    text_en, text_zh = texts(found)
    counts = found.counts
    return config_version_pb2.PreviewSummary(
        changed_fields=found.changed,
        effective_time=convert.timestamp(found.at),
        until_date=found.until.isoformat(),
        complete=found.is_complete,
        offers=counts.offers,
        cheaper_offers=counts.cheaper,
        dearer_offers=counts.dearer,
        closed_offers=counts.closed,
        opened_offers=counts.opened,
        other_terms_offers=counts.terms,
        closed_departures=counts.departures,
        closed_departure_ids=map(str, found.closed_departures),
        faults=found.faults,
        text_en=text_en,
        text_zh=text_zh,
        **found.kept._asdict(),
    )


def change_message(change: OfferChange) -> config_version_pb2.OfferChange:
    """An offer that changes."""
    offer, journey = change.offer, change.offer.journey
    message = config_version_pb2.OfferChange(
        offer_id=offer.offer_id,
        product_id=offer.product_id,
        display_name_en=offer.display_name_en,
        display_name_zh=offer.display_name_zh,
        travel_date=change.travel_date.isoformat(),
        before=_side(change.before, offer.currency_code),
        after=_side(change.after, offer.currency_code),
        changed_terms=change.terms,
    )
    if journey:
        message.service_number = journey.service_number
        message.class_code = journey.fare_class
        message.origin_stop_code = journey.origin.stop_code
        message.destination_stop_code = journey.destination.stop_code
    return message


def _side(side: PreviewSide, currency_code: str) -> config_version_pb2.PreviewedSide:
    return config_version_pb2.PreviewedSide(
        price=price_message(side.price, currency_code) if side.price else None,
        unavailable_reason=UNAVAILABLE_REASONS[side.unavailable],
    )
