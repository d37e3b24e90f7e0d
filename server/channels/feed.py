"""The generic feed, for channels that fetch: JSON lines and CSV of the same rows. Pure.

For Kayak and Zuzuche, which seed 003 names without a wire: nothing is invented for them. A row is
an item at a location on a day, with price and quantity as they are to be sold; docs/guides/
adding-a-channel.md has the columns. A fetch gives all rows; a row that is not there is not sold.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from server.channels.facts import AvailabilityUpdate, PriceUpdate
from server.channels.wire import amount

COLUMNS = ("item_id", "name", "location", "date", "price", "currency", "quantity")


class FeedRow(NamedTuple):
    """What is sold of an item at a location on a day."""

    name: str
    price: PriceUpdate
    availability: AvailabilityUpdate


def json_lines(rows: Iterable[FeedRow]) -> Iterator[bytes]:
    """A JSON object a line, its price a number with exactly the currency's decimals."""
    for row in rows:
        yield orjson.dumps(_values(row), option=orjson.OPT_APPEND_NEWLINE)


def csv_lines(rows: Iterable[FeedRow]) -> Iterator[bytes]:
    """CSV with a header; lines end with CR LF (RFC 4180)."""
    yield _csv(COLUMNS)
    for row in rows:
        values = _values(row)
        values["price"] = orjson.dumps(values["price"]).decode()
        yield _csv([str(values[column]) for column in COLUMNS])


def _values(row: FeedRow) -> dict[str, object]:
    price = row.price
    values = (
        *(price.item_id, row.name, price.location, price.day.isoformat()),
        *(amount(price.price), price.price.currency_code, row.availability.quantity),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _csv(values: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode()
