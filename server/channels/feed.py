"""The generic feed, for channels that fetch, as JSON: what is listed, and its days. Pure.

For Kayak and Zuzuche, which seed 003 names without a wire: nothing is invented for them. Its schema
is `server/api/http/channel_feed.schema.json`, its version stands in the path and in `schema`.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import orjson

from server.channels.facts import Money
from server.channels.wire import amount

SCHEMA = "deeptravel.channel-feed.v1"
END = b"\n]}\n"


class FeedDay(NamedTuple):
    """What is sold of an item on a day; no price where nothing is."""

    item_id: str
    day: date
    price_minor: int | None
    currency_code: str | None
    quantity: int


class FeedItem(NamedTuple):
    """What is listed; `content` as feed_items.py makes it."""

    item_id: str
    location: str
    content: Mapping[str, Any]


def begin(channel_code: str, now: datetime) -> bytes:
    """What stands before the items."""
    said = {"schema": SCHEMA, "channel_code": channel_code, "generated_time": now.isoformat()}
    return orjson.dumps(said)[:-1] + b',"items":['


def item(listed: FeedItem, days: Iterable[FeedDay], *, is_first: bool) -> bytes:
    """An item with its days, on a line of its own."""
    content = dict(listed.content)
    content["extras"] = [_extra(each) for each in content["extras"]]
    said = {
        "item_id": listed.item_id,
        "location": listed.location,
        **content,
        "days": [_day(each) for each in days],
    }
    return (b"\n" if is_first else b",\n") + orjson.dumps(said)


def _day(sold: FeedDay) -> dict[str, Any]:
    is_priced = sold.price_minor is not None and sold.currency_code is not None
    return {
        "date": sold.day.isoformat(),
        "price": amount(Money(sold.price_minor, sold.currency_code)) if is_priced else None,  # type: ignore[arg-type]
        "currency": sold.currency_code,
        "quantity": sold.quantity if is_priced else 0,
    }


def _extra(kept: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in kept.items() if name != "price_minor"}
    return {**rest, "price": amount(Money(kept["price_minor"], kept["currency"]))}
