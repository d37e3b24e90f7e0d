"""Channels, their words, listings, values, bookings and calls as protobuf messages, and what
requests say of them as plain values.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import orjson
from deeptravel.admin.v1 import (
    channel_booking_pb2,
    channel_difference_pb2,
    channel_listing_pb2,
    channel_pb2,
)

from server.api.admin.product_messages import CUSTOMER_TYPE, CUSTOMER_TYPE_NAME
from server.api.convert import enum_names, enum_numbers, timestamp
from server.api.requests import optional
from server.channels.booking_seals import StoredBooking
from server.channels.call_log import LoggedCall
from server.channels.channel_records import ChannelRecord, NewChannel
from server.channels.channel_words import KeptWord
from server.channels.differences import ValueDifference
from server.channels.drifting import DriftedValue
from server.channels.kept_values import KeptValue
from server.channels.listings import ChannelListing
from server.channels.outgoing import Drift, ValueFault
from server.channels.plan_rules import MILLION
from server.channels.registry import VENDORS
from server.channels.static_values import NO_DAY
from server.channels.syncs import ChannelSync
from server.orders.orders import order_code
from server.platform.errors import invalid

STATE = enum_numbers(channel_pb2.ChannelState)
OUTCOME = enum_numbers(channel_pb2.ChannelCallOutcome)
VALUE_KIND = enum_numbers(channel_pb2.ChannelValueKind)
VALUE_KIND_NAME = enum_names(channel_pb2.ChannelValueKind)
SYNC_PART = enum_numbers(channel_difference_pb2.ChannelSyncPart)
WORD_KIND = enum_numbers(channel_listing_pb2.ChannelWordKind)
WORD_KIND_NAME = enum_names(channel_listing_pb2.ChannelWordKind)
PRICE_PACE = enum_numbers(channel_listing_pb2.ChannelPricePace)
PRICE_PACE_NAME = enum_names(channel_listing_pb2.ChannelPricePace)
BOOKING_STATE = enum_numbers(channel_booking_pb2.ChannelBookingState)
BOOKING_STATE_NAME = enum_names(channel_booking_pb2.ChannelBookingState)


def channel(record: ChannelRecord) -> channel_pb2.Channel:
    """A channel, without credentials."""
    vendor = VENDORS[record.vendor_code]
    return channel_pb2.Channel(
        channel_code=record.channel_code,
        vendor_code=record.vendor_code,
        vendor_name_en=vendor.display_name_en,
        vendor_name_zh=vendor.display_name_zh,
        partner_code=record.partner_code,
        base_url=record.base_url,
        currency_code=record.currency_code,
        calls_per_minute=record.calls_per_minute,
        credentials_version=record.credentials_version,
        state=STATE[record.state],
        version=record.version,
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
    )


def new_channel(request: channel_pb2.ConnectChannelRequest) -> NewChannel:
    """What ConnectChannel asks for."""
    return NewChannel(
        channel_code=request.channel_code,
        vendor_code=request.vendor_code,
        partner_code=request.partner_code,
        base_url=request.base_url,
        currency_code=request.currency_code,
        calls_per_minute=request.calls_per_minute,
    )


def credentials(messages: Iterable[channel_pb2.ChannelCredential]) -> dict[str, str]:
    """Credentials by name. Raises INVALID_FIELD for one that is given twice."""
    given = [(each.credential_code, each.secret) for each in messages]
    if len(dict(given)) != len(given):
        raise invalid("credentials", "have one twice; send each once")
    return dict(given)


def drifts(
    found: Iterable[Drift], drifted: Mapping[str, int]
) -> Iterator[channel_pb2.ChannelDrift]:
    """How far a channel is behind in each kind of values, of which so many are drifted; also of a
    kind of which nothing was worked out yet.
    """
    kept = {each.what: each for each in found}
    for what in sorted(kept.keys() | drifted.keys()):
        each = kept.get(what, Drift(what, 0, 0, 0, None, None))
        yield channel_pb2.ChannelDrift(
            what=VALUE_KIND[what],
            known=each.known,
            waiting=each.waiting,
            faulty=each.faulty,
            oldest_time=timestamp(each.oldest_time),
            sent_time=timestamp(each.sent_time),
            drifted=drifted.get(what, 0),
        )


def fault(found: ValueFault) -> channel_pb2.ChannelFault:
    """Why values are not sent."""
    return channel_pb2.ChannelFault(
        fault=found.fault,
        kinds=[VALUE_KIND[each] for each in found.kinds],
        values=found.values,
        first_item_id=found.item_id,
        first_day=_day(found.day),
    )


def drifted(found: DriftedValue, now: datetime) -> channel_difference_pb2.ChannelDifference:
    """A value of which a channel was sent another than is true now."""
    return channel_difference_pb2.ChannelDifference(
        sync_time=timestamp(now),
        what=VALUE_KIND[found.what],
        item_id=found.item_id,
        day=_day(found.day),
        sent=found.sent,
        sent_currency_code=found.sent_currency_code or "",
        sent_content=_json(found.sent_content),
        wanted=found.wanted,
        currency_code=found.currency_code or "",
        content=_json(found.content),
        fault=found.fault,
        waiting=found.is_waiting,
    )


def _day(day: date) -> str:
    return "" if day == NO_DAY else day.isoformat()


def value(kept: KeptValue) -> channel_pb2.ChannelValue:
    """What a channel is to know of an item on a day."""
    return channel_pb2.ChannelValue(
        what=VALUE_KIND[kept.what],
        item_id=kept.item_id,
        day=_day(kept.day),
        location=kept.location,
        wanted=kept.wanted,
        currency_code=kept.currency_code or "",
        sent=kept.sent,
        waiting=kept.is_waiting,
        fault=kept.fault,
        wanted_time=timestamp(kept.wanted_time),
        sent_time=timestamp(kept.sent_time),
        content=_json(kept.content),
        sent_content=_json(kept.sent_content),
    )


def difference(found: ValueDifference) -> channel_difference_pb2.ChannelDifference:
    """A value of which a channel had been sent another."""
    return channel_difference_pb2.ChannelDifference(
        sync_time=timestamp(found.sync_time),
        what=VALUE_KIND[found.what],
        item_id=found.item_id,
        day=_day(found.day),
        sent=found.sent,
        sent_currency_code=found.sent_currency_code or "",
        sent_content=_json(found.sent_content),
        wanted=found.wanted,
        currency_code=found.currency_code or "",
        content=_json(found.content),
        corrected=found.is_corrected,
        fault=found.fault,
    )


def sync(kept: ChannelSync) -> channel_difference_pb2.ChannelSync:
    """When a part of a channel was done, and is next."""
    return channel_difference_pb2.ChannelSync(
        channel_code=kept.channel_code,
        part=SYNC_PART[kept.part],
        done_time=timestamp(kept.done_time),
        due_time=timestamp(kept.due_time),
    )


def _json(content: Mapping[str, Any] | None) -> str:
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode() if content else ""


def call(logged: LoggedCall) -> channel_pb2.ChannelCall:
    """A call to a vendor."""
    return channel_pb2.ChannelCall(
        call_id=str(logged.call_id),
        endpoint=logged.endpoint,
        method=logged.method,
        http_status=logged.http_status,
        outcome=OUTCOME[logged.outcome],
        duration_ms=logged.duration_ms,
        request_bytes=logged.request_bytes,
        response_bytes=logged.response_bytes,
        error=logged.error,
        create_time=timestamp(logged.create_time),
    )


def word(kept: KeptWord) -> channel_listing_pb2.ChannelWord:
    """A word of the vendor beside ours."""
    return channel_listing_pb2.ChannelWord(
        kind=WORD_KIND[kept.kind],
        ours=kept.pair.ours,
        theirs=kept.pair.theirs,
        version=kept.version,
        create_time=timestamp(kept.create_time),
        update_time=timestamp(kept.update_time),
    )


def listing(kept: ChannelListing) -> channel_listing_pb2.ChannelListing:
    """What is listed at a channel."""
    content = {name: each for name, each in asdict(kept).items() if each is not None}
    content |= {
        "customer_type": CUSTOMER_TYPE[kept.customer_type],
        "price_pace": PRICE_PACE[kept.price_pace],
        "create_time": timestamp(kept.create_time),
        "update_time": timestamp(kept.update_time),
    }
    return channel_listing_pb2.ChannelListing(**content)


def new_listing(request: channel_listing_pb2.CreateChannelListingRequest) -> ChannelListing:
    """What CreateChannelListing asks for."""
    runs = request.timetable_id or None
    return ChannelListing(
        channel_code=request.channel_code,
        item_id=request.item_id,
        location=request.location,
        currency_code=request.currency_code,
        product_id=request.product_id or None,
        timetable_id=runs,
        class_index=request.class_index if runs else None,
        origin_index=request.origin_index if runs else None,
        destination_index=request.destination_index if runs else None,
        customer_type=CUSTOMER_TYPE_NAME[request.customer_type] or "ADULT",
        rate_millionths=request.rate_millionths or MILLION,
        markup_basis_points=request.markup_basis_points,
        threshold=optional(request, "threshold", 5),
        days_ahead=request.days_ahead or 90,
        rental_location_id=request.rental_location_id or None,
        price_pace=PRICE_PACE_NAME[request.price_pace],
    )


def booking(stored: StoredBooking) -> channel_booking_pb2.ChannelBooking:
    """A booking, without who booked."""
    return channel_booking_pb2.ChannelBooking(
        channel_code=stored.channel_code,
        booking_id=stored.booking_id,
        state=BOOKING_STATE[stored.state],
        vendor_state=stored.vendor_state,
        item_id=stored.item_id,
        pickup_date=stored.pickup_day.isoformat() if stored.pickup_day else "",
        return_date=stored.return_day.isoformat() if stored.return_day else "",
        total_minor=stored.total_minor,
        currency_code=stored.currency_code,
        fee_minor=stored.fee_minor,
        order_code=order_code(stored.order_id) if stored.order_id else "",
        confirmation_number=stored.confirmation_number,
        cancel_reason=stored.cancel_reason,
        cancel_comment=stored.cancel_comment,
        fault=stored.fault,
        confirm_time=timestamp(stored.confirm_time),
        create_time=timestamp(stored.create_time),
        update_time=timestamp(stored.update_time),
    )
