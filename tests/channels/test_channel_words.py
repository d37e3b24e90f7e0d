"""Words that an administrator changes while the channel sells: what was sent with another."""

import json

import pytest

from server.channels.channel_words import map_word, unmap_word
from server.channels.facts import MappingKind
from server.channels.listings import ChannelListing, add_listing, listings_of, remove_listing
from server.channels.words import DOCUMENTED, WordPair
from server.platform.errors import DomainError
from tests.support import timetable
from tests.support.booking_process import BookingProcess
from tests.support.channel_process import quantity
from tests.support.channels import CONNECTED, LOCATION, THEIR_LOCATION

all_vendors = pytest.mark.parametrize("vendor", CONNECTED)
ELSEWHERE = WordPair(MappingKind.LOCATION, LOCATION, "L-99")


@all_vendors
async def test_a_word_that_is_another_is_sent(process: BookingProcess, vendor: str) -> None:
    """Seen red: a car stayed what it had been, until the nightly sync."""
    await process.rent_out(vendor)
    (van,) = [each.theirs for each in DOCUMENTED[vendor] if each.ours == "VAN"]
    assert f'"{van}"' not in json.dumps(process.known(vendor, "static")["C", ""])
    pushes = process.vendors.count(vendor, "static"), process.vendors.count(vendor, "prices")
    await process.map(vendor, WordPair(MappingKind.CATEGORY, "ECONOMY", van))
    await process.push(vendor)
    assert f'"{van}"' in json.dumps(process.known(vendor, "static")["C", ""])
    assert process.vendors.count(vendor, "static") == pushes[0] + 1
    assert process.vendors.count(vendor, "prices") == pushes[1]
    await process.map(vendor, WordPair(MappingKind.CATEGORY, "ECONOMY", van))
    await process.push(vendor)
    assert process.vendors.count(vendor, "static") == pushes[0] + 1


@all_vendors
async def test_a_place_where_a_channel_sells_is_not_made_another(
    process: BookingProcess, vendor: str
) -> None:
    """Seen red: the new place was sent what changed, and the former went on being sold at."""
    await process.sell_at(vendor)
    with pytest.raises(DomainError, match="theirs: the channel sells at"):
        await process.change(map_word, vendor, ELSEWHERE)
    with pytest.raises(DomainError, match="word: the channel sells at"):
        await process.change(unmap_word, vendor, MappingKind.LOCATION, LOCATION)
    await process.map(vendor, WordPair(MappingKind.LOCATION, LOCATION, THEIR_LOCATION))
    async with process.db.transaction() as tx:
        listings = await listings_of(tx, vendor)
    for each in listings:
        await process.change(remove_listing, vendor, each.item_id)
    other = ChannelListing(vendor, "P", "OTHER", "HKD", timetable.PACKAGE)
    with pytest.raises(DomainError, match="location: the channel sells P at"):
        await process.change(add_listing, other)
    await process.work_out(vendor)
    await process.push(vendor)
    await process.map(vendor, ELSEWHERE)
    for each in listings:
        await process.change(add_listing, each)
    await process.work_out(vendor)
    await process.push(vendor)
    sold = {THEIR_LOCATION: False, "L-99": False}
    for entry in process.vendors.simulator.books.pushed(vendor, "availability"):
        sold[entry.location] |= quantity(entry.content) > 0
    assert sold == {THEIR_LOCATION: False, "L-99": True}
