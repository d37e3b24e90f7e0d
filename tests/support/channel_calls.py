"""A valid request for each method of AdminService about channels, and what is set up for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

from deeptravel.admin.v1 import channel_listing_pb2, channel_pb2
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.channels.channel_credentials import ChannelSeals
from server.channels.channel_records import NewChannel, connect_channel, set_paused
from server.channels.channel_words import map_word
from server.channels.connecting import ChannelClients
from server.channels.facts import MappingKind
from server.channels.listings import ChannelListing, add_listing
from server.channels.models import channel_bookings
from server.channels.tokens import ChannelTokens
from server.channels.words import WordPair
from server.platform.database import Database
from server.platform.ratelimit import RateLimiter
from tests.support import timetable

NOWHERE = "http://127.0.0.1:9/v1"
KEYS = {"api_key": "key", "api_secret": "secret", "supplier_id": "4711"}
FEED_KEYS = {"feed_key_secret": "f" * 32}


def credentials(**changed: str) -> list[channel_pb2.ChannelCredential]:
    given = KEYS | changed
    return [
        channel_pb2.ChannelCredential(credential_code=name, secret=each)
        for name, each in given.items()
    ]


EXP = {"channel_code": "EXP"}
ITEM = {**EXP, "item_id": "PREMIUM"}
BOOKING = {**EXP, "booking_id": "B-1"}
WORD: dict[str, Any] = {**EXP, "kind": channel_listing_pb2.CHANNEL_WORD_KIND_LOCATION}

VALID: dict[str, dict[str, Any]] = {
    "ConnectChannel": {
        "channel_code": "NEW",
        "vendor_code": "expedia",
        "base_url": NOWHERE,
        "currency_code": "USD",
        "credentials": credentials(api_key="another"),
    },
    "GetChannel": EXP,
    "UpdateChannel": {**EXP, "calls_per_minute": 30, "update_mask": "calls_per_minute"},
    "RotateChannelCredentials": {**EXP, "credentials": credentials(api_secret="fresh")},
    "PauseChannel": EXP,
    "DisconnectChannel": {**EXP, "keep_bookings": True},
    "ResumeChannel": {"channel_code": "KAYAK"},
    "SyncChannel": EXP,
    "FetchChannelBookings": EXP,
    "GetChannelDrift": EXP,
    "GetChannelCadences": EXP,
    "SetChannelWord": {**WORD, "ours": "HKG", "theirs": "L-78"},
    "RemoveChannelWord": {**WORD, "word": "HKG"},
    "CreateChannelListing": {
        **EXP,
        "item_id": "NEW",
        "location": "HKG",
        "product_id": 106,
        "currency_code": "USD",
        "rate_millionths": 128_000,
    },
    "GetChannelListing": ITEM,
    "UpdateChannelListing": {**ITEM, "threshold": 9, "update_mask": "threshold"},
    "EndChannelListing": ITEM,
    "GetChannelBooking": BOOKING,
    "CancelChannelBooking": {**BOOKING, "comment": "the pier is closed"},
    "RetryChannelBooking": BOOKING,
}
"""A request that succeeds where `seed_channels` was called, by method."""
NAMED = {
    **dict.fromkeys(
        [each for each, fields in VALID.items() if fields.get("channel_code") == "EXP"], "channel"
    ),
    "ResumeChannel": "channel",
}
"""What the first field of a method's request names."""


def clients(db: Database, secret_key: bytes) -> ChannelClients:
    """Of a server of tests that calls nobody."""
    nowhere = "redis://127.0.0.1:9"
    return ChannelClients(db, secret_key, ChannelTokens(nowhere, secret_key), RateLimiter(nowhere))


@asynccontextmanager
async def open_clients(
    database_url: str, redis_url: str, secret_key: bytes
) -> AsyncIterator[ChannelClients]:
    """Of one that calls simulated vendors; closed at the end."""
    async with timetable.database(database_url) as db:
        limiter = RateLimiter(redis_url)
        made = ChannelClients(db, secret_key, ChannelTokens(redis_url, secret_key), limiter)
        try:
            yield made
        finally:
            await made.close()
            await limiter.close()


async def seed_channels(tx: AsyncConnection, secret_key: bytes, by: By) -> None:
    """Sets up what VALID names, beside product 106."""
    seals = ChannelSeals(secret_key)
    for code, vendor, keys in (("EXP", "expedia", KEYS), ("KAYAK", "kayak", FEED_KEYS)):
        new = NewChannel(
            channel_code=code,
            vendor_code=vendor,
            partner_code="",
            base_url=NOWHERE if vendor == "expedia" else "",
            currency_code="USD",
            calls_per_minute=0,
        )
        await connect_channel(tx, seals, new, keys, **by)
    await set_paused(tx, seals, "KAYAK", paused=True, **by)
    await map_word(tx, "EXP", WordPair(MappingKind.LOCATION, "HKG", "L-77"), **by)
    premium = ChannelListing("EXP", "PREMIUM", "HKG", "USD", 106, rate_millionths=128_000)
    await add_listing(tx, premium, **by)
    day = date(2026, 12, 20)
    await tx.execute(
        insert(channel_bookings).values(
            channel_code="EXP",
            booking_id="B-1",
            state="RECEIVED",
            vendor_state="NEW",
            sealed_content=b"sealed",
            item_id="PREMIUM",
            pickup_day=day,
            return_day=day,
            total_minor=30_000,
            currency_code="USD",
            first_day=day,
            last_day=day,
            create_time=by["now"],
            update_time=by["now"],
        )
    )
