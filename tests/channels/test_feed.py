"""The feed over HTTP: by its schema, to whoever has the key, and only what has changed."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.api.http.channel_feed import SCHEMA, ChannelFeedDoor
from server.channels import call_log
from server.channels.channel_records import connect_channel, rotate_credentials, set_paused
from server.channels.disconnecting import disconnect_channel
from server.channels.due import DISCONNECT, PUSH
from server.channels.feed_service import FeedService
from server.channels.listings import ChannelListing, add_listing, remove_listing
from server.platform.database import Database
from server.platform.ratelimit import RateLimiter
from server.platform.statements import run
from tests.support import rentals, timetable
from tests.support.booking_process import BookingProcess, booking_process
from tests.support.channel_process import PACKAGE_STOCK
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import LOCATION
from tests.support.json_schema import faults

KEY = "k" * 40
URL = "/channel-feed/v1/KAYAK"
DAYS = 4


@pytest.fixture
async def process(
    timetable_db: Database, redis_url: str, tmp_path: Path
) -> AsyncIterator[BookingProcess]:
    """Kayak, with a package, a train and a car."""
    async with (
        SimulatedChannels(tmp_path) as vendors,
        booking_process(timetable_db, redis_url, vendors) as made,
    ):
        await made.change(rentals.seed_rentals)
        made.see_catalogue()
        new: Any = dict.fromkeys(("partner_code", "base_url"), "")
        new |= {"channel_code": "KAYAK", "vendor_code": "kayak", "currency_code": "HKD"}
        new["calls_per_minute"] = 100
        await made.change(connect_channel, made.clients.seals, new, {"feed_key_secret": KEY})
        package = ChannelListing("KAYAK", "P", LOCATION, "HKD", timetable.PACKAGE, days_ahead=DAYS)
        train = ChannelListing(
            *("KAYAK", "T", LOCATION, "HKD", None, timetable.EARLY, 0, 0, 2), days_ahead=DAYS
        )
        car = ChannelListing(
            *("KAYAK", "C", LOCATION, "JPY", rentals.ECONOMY),
            rate_millionths=19_500_000,
            rental_location_id=rentals.AIRPORT,
            days_ahead=DAYS,
        )
        for listing in (package, train, car):
            await made.change(add_listing, listing)
        await made.work_out("KAYAK")
        yield made


@pytest.fixture
async def http(process: BookingProcess, redis_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    limiter = RateLimiter(redis_url)
    service = FeedService(process.db, process.clients.seals, limiter, timetable.ZONE)
    transport = httpx2.ASGITransport(ChannelFeedDoor(service.answer))
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://feed",
        headers={"authorization": f"Bearer {KEY}"},
    ) as client:
        yield client
    await limiter.close()


async def test_the_feed_is_as_its_schema_says(
    http: httpx2.AsyncClient, process: BookingProcess
) -> None:
    schema = json.loads(SCHEMA)
    public = await http.get("/channel-feed/v1/schema.json", headers={"authorization": ""})
    assert public.json() == schema
    answer = await http.get(URL)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = json.loads(answer.content, parse_float=Decimal)
    assert list(faults(said, schema, schema)) == []
    car, package, train = said["items"]
    assert [each["item_id"] for each in said["items"]] == ["C", "P", "T"]
    assert [each["kind"] for each in said["items"]] == ["RENTAL", "PACKAGE", "TRANSPORT"]
    assert len(package["days"]) == DAYS
    day = {"date": str(timetable.tomorrow()), "price": 300, "currency": "HKD", "quantity": 50}
    assert day in package["days"]
    assert b'"price":300.00,' in answer.content
    assert train["journey"]["origin"]["stop_code"]
    assert (car["car"]["make"], car["pick_up"]["addresses"]["en"]) == ("Toyota", "1 Road")
    assert {each["extra_code"]: each["price"] for each in car["extras"]}["damage_waiver"] == 975
    # what was fetched is known to be known
    assert {each.waiting for each in (await process.drift("KAYAK")).values()} == {0}
    async with process.db.transaction() as tx:
        (call,) = await run(tx, call_log.newest("KAYAK", before=None, limit=9))
    assert (call.endpoint, call.http_status, call.response_bytes) == (
        *("feed", 200),
        len(answer.content),
    )


async def test_only_what_has_changed_is_given(
    http: httpx2.AsyncClient, process: BookingProcess
) -> None:
    first = await http.get(URL)
    tag, when = first.headers["etag"], first.headers["last-modified"]
    before = parsedate_to_datetime(when) - timedelta(seconds=1)
    for known, status in (
        ({"if-none-match": tag}, 304),
        ({"if-none-match": f'"other", {tag.removeprefix("W/")}'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"other"', "if-modified-since": when}, 200),
        ({"if-modified-since": when}, 304),
        ({"if-modified-since": format_datetime(before, usegmt=True)}, 200),
        ({"if-modified-since": "yesterday"}, 200),
    ):
        answer = await http.get(URL, headers=known)
        assert (answer.status_code, answer.headers["etag"]) == (status, tag), known
    await process.left(PACKAGE_STOCK, 1)
    await process.work_out("KAYAK")
    assert (await process.drift("KAYAK"))["AVAILABILITY"].waiting == DAYS
    second = await http.get(URL, headers={"if-none-match": tag})
    assert second.status_code == 200
    assert {each["quantity"] for each in second.json()["items"][1]["days"]} == {1}
    await process.change(remove_listing, "KAYAK", "P")
    third = await http.get(URL, headers={"if-none-match": second.headers["etag"]})
    assert [each["item_id"] for each in third.json()["items"]] == ["C", "T"]
    head = await http.head(URL)
    assert (head.status_code, head.content) == (200, b"")


async def test_who_has_not_the_key_learns_nothing(
    http: httpx2.AsyncClient, process: BookingProcess
) -> None:
    await process.connect("expedia")
    refused = []
    for path, key in (
        (URL, "Bearer " + "x" * 40),
        (URL, ""),
        (URL, f"Basic {KEY}"),
        ("/channel-feed/v1/NONE", f"Bearer {KEY}"),
        ("/channel-feed/v1/expedia", f"Bearer {KEY}"),
        ("/channel-feed/v1/%00", f"Bearer {KEY}"),
    ):
        answer = await http.get(path, headers={"authorization": key})
        refused.append((answer.status_code, answer.content, answer.headers["www-authenticate"]))
    assert len(set(refused)) == 1
    assert refused[0][0] == 401
    fresh = "f" * 32
    seals = process.clients.seals
    await process.change(rotate_credentials, seals, "KAYAK", {"feed_key_secret": fresh})
    assert (await http.get(URL)).status_code == 401
    by_fresh = {"authorization": f"Bearer {fresh}"}
    assert (await http.get(URL, headers=by_fresh)).status_code == 200
    await process.change(set_paused, seals, "KAYAK", paused=True)
    paused = await http.get(URL, headers=by_fresh)
    assert (paused.status_code, paused.json()) == (403, {"error": "the channel is paused"})
    assert (await http.post(URL)).status_code == 405
    assert (await http.get("/channel-feed/v2/KAYAK")).status_code == 404


async def test_a_channel_ends_when_it_has_fetched_that_nothing_is_left(
    http: httpx2.AsyncClient, process: BookingProcess
) -> None:
    before = (await http.get(URL)).json()
    assert any(day["quantity"] for item in before["items"] for day in item["days"])
    seals, today = process.clients.seals, timetable.today()
    await process.change(disconnect_channel, seals, "KAYAK", today=today)
    assert await process.run(DISCONNECT, "KAYAK")
    assert await process.asked(PUSH) == []
    last = (await http.get(URL)).json()
    assert not any(day["quantity"] for item in last["items"] for day in item["days"])
    assert await process.run(DISCONNECT, "KAYAK")
    assert await process.run(DISCONNECT, "KAYAK") is None
    assert (await http.get(URL)).status_code == 401


async def test_too_many_fetches_are_refused(
    http: httpx2.AsyncClient, process: BookingProcess
) -> None:
    await process.sql("UPDATE channels SET calls_per_minute = 1 WHERE channel_code = 'KAYAK'")
    found = [await http.head(URL) for _ in range(3)]
    assert {each.status_code for each in found} >= {429}
    assert int(found[-1].headers["retry-after"]) >= 1
