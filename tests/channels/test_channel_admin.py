"""Administrators connect a channel by AdminService, map it, list on it, and see what it was sent:
against a simulated vendor.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import (
    channel_booking_pb2,
    channel_difference_pb2,
    channel_listing_pb2,
    channel_pb2,
)
from sqlalchemy import insert, select

from server.channels.models import channel_differences, channel_values, channels
from server.channels.static_values import NO_DAY
from server.platform import clock
from server.platform.errors import Reason
from server.platform.outbox import outbox_tasks
from tests.support import channel_calls, timetable
from tests.support.admin_client import AdminClient, Headers, admin_service
from tests.support.channel_vendors import SimulatedChannels
from tests.support.module_database import ModuleDatabase
from tests.support.rpc_server import SECRET_KEY, running_node

ITEM = {"channel_code": "SIM", "item_id": "P"}
LOCATION = channel_listing_pb2.CHANNEL_WORD_KIND_LOCATION


@pytest.fixture(scope="module")
async def client(
    admin_database: ModuleDatabase, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[AdminClient]:
    url = admin_database.url
    async with channel_calls.open_clients(url, module_redis_url, SECRET_KEY) as channel_clients:
        service = admin_service(lambda _: channel_clients)
        async with running_node(url, module_redis_url, service) as node:
            yield AdminClient(node, seeded[1])


@pytest.fixture(scope="module")
async def vendors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedChannels]:
    async with SimulatedChannels(tmp_path_factory.mktemp("channels")) as running:
        yield running


def given(credentials: dict[str, str]) -> list[channel_pb2.ChannelCredential]:
    return [
        channel_pb2.ChannelCredential(credential_code=n, secret=v) for n, v in credentials.items()
    ]


async def asked(client: AdminClient, kind: str) -> list[str]:
    async with client.node.db.transaction() as tx:
        query = select(outbox_tasks.c.key).where(outbox_tasks.c.kind == kind)
        return sorted(await tx.scalars(query))


async def test_a_channel_from_its_connection_on(
    client: AdminClient, vendors: SimulatedChannels
) -> None:
    announced = vendors.simulator.announced()["expedia"]
    fields: dict[str, Any] = {
        "channel_code": "SIM",
        "vendor_code": "expedia",
        "partner_code": "CP",
        "base_url": announced["base_url"],
        "currency_code": "USD",
        "credentials": given(announced["credentials"]),
    }
    made = (await client.do("ConnectChannel", **fields)).channel
    assert (made.partner_code, made.vendor_name_zh, made.version) == ("CP", "Expedia 亿客行", 1)
    shared = await client.refused("ConnectChannel", **fields | {"channel_code": "SIM-2"})
    assert (shared.reason, shared.fields) == (Reason.INVALID_FIELD, ("credentials",))
    tested = await client.do("TestChannel", channel_code="SIM")
    assert (tested.outcome, tested.error) == (channel_pb2.CHANNEL_CALL_OUTCOME_OK, "")

    fresh = given(dict(vendors.simulator.rotate("expedia")))
    tested = await client.do("TestChannel", channel_code="SIM")
    assert tested.outcome == channel_pb2.CHANNEL_CALL_OUTCOME_AUTHENTICATION
    rotated = await client.do("RotateChannelCredentials", channel_code="SIM", credentials=fresh)
    assert rotated.channel.credentials_version == 2
    late = await client.reason("PauseChannel", channel_code="SIM", version=1)
    assert late == Reason.VERSION_MISMATCH
    assert (await client.do("PauseChannel", channel_code="SIM", version=2)).channel.state == 2
    assert (await client.do("ResumeChannel", channel_code="SIM")).channel.state == 1
    await client.do("TestChannel", channel_code="SIM")
    calls = await client.do("ListChannelCalls", channel_code="SIM", page_size=1)
    assert (calls.calls[0].outcome, calls.calls[0].http_status) == (1, 200)
    assert calls.next_page_token

    trail = await client.trail("channel", "SIM")
    assert [each.action for each in trail] == ["resume", "pause", "rotate", "create"]
    secrets = [each.secret for each in fresh] + list(announced["credentials"].values())
    assert not [each for each in secrets if each in str(trail)]


async def test_words_are_versioned(client: AdminClient) -> None:
    word: dict[str, Any] = {"channel_code": "EXP", "kind": LOCATION, "ours": "XJA"}
    first = (await client.do("SetChannelWord", **word, theirs="L-1")).word
    second = (await client.do("SetChannelWord", **word, theirs="L-2", version=first.version)).word
    assert (first.version, second.version, second.theirs) == (1, 2, "L-2")
    late = await client.reason("SetChannelWord", **word, theirs="L-3", version=1)
    assert late == Reason.VERSION_MISMATCH
    taken = await client.refused("SetChannelWord", **word | {"ours": "TPA"}, theirs="L-2")
    assert taken.fields == ("theirs",)
    assert await asked(client, "channel.work_out") != []
    found = await client.do("ListChannelWords", channel_code="EXP", kind=LOCATION, page_size=1)
    more = await client.do(
        *("ListChannelWords",),
        channel_code="EXP",
        kind=LOCATION,
        page_token=found.next_page_token,
    )
    assert [each.ours for each in (*found.words, *more.words)] == ["HKG", "XJA"]
    status = channel_listing_pb2.CHANNEL_WORD_KIND_STATUS
    wrong = await client.refused(
        "SetChannelWord", channel_code="EXP", kind=status, ours="SOLD", theirs="Sold"
    )
    assert wrong.fields == ("ours",)
    removed = {"channel_code": "EXP", "kind": LOCATION, "word": "XJA"}
    await client.do("RemoveChannelWord", **removed)
    assert await client.reason("RemoveChannelWord", **removed) == Reason.NOT_FOUND


async def test_listings_are_changed_and_ended(client: AdminClient) -> None:
    listed = {**channel_calls.VALID["CreateChannelListing"], "item_id": "P"}
    made = (await client.do("CreateChannelListing", **listed)).listing
    assert (made.threshold, made.days_ahead, made.version) == (5, 90, 1)
    of_it = {"channel_code": "EXP", "item_id": "P"}
    changed = await client.do(
        "UpdateChannelListing",
        **of_it,
        markup_basis_points=-500,
        currency_code="JPY",
        update_mask="markup_basis_points currency_code",
        version=1,
    )
    assert (changed.listing.markup_basis_points, changed.listing.version) == (-500, 2)
    read = await client.do("GetChannelListing", **of_it)
    assert read.listing == changed.listing
    late = await client.reason("EndChannelListing", **of_it, version=1)
    assert late == Reason.VERSION_MISMATCH
    await client.do("EndChannelListing", **of_it)
    assert await client.reason("GetChannelListing", **of_it) == Reason.NOT_FOUND
    trail = await client.trail("channel_listing", "EXP/P")
    assert [each.action for each in trail] == ["delete", "update", "create"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"product_id": 0}, "product_id"),
        ({"timetable_id": timetable.EARLY}, "product_id"),
        ({"product_id": 1301}, "rental_location_id"),
        ({"rental_location_id": 10}, "rental_location_id"),
        (
            {"product_id": 0, "timetable_id": timetable.EARLY, "destination_index": 9},
            "destination_index",
        ),
        ({"currency_code": "usd"}, "currency_code"),
        ({"rate_millionths": 0}, "rate_millionths"),
        ({"item_id": "\u200b\n"}, "item_id"),
    ],
)
async def test_what_cannot_be_listed(
    client: AdminClient, wrong: dict[str, Any], field: str
) -> None:
    fields = channel_calls.VALID["CreateChannelListing"] | wrong
    refused = await client.refused("CreateChannelListing", **fields)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"vendor_code": "nobody"}, "vendor_code"),
        ({"credentials": channel_calls.credentials()[:1]}, "credentials"),
        ({"credentials": channel_calls.credentials() * 2}, "credentials"),
        ({"base_url": "http://example.com"}, "base_url"),
        ({"channel_code": "a:b"}, "channel_code"),
        ({"currency_code": "Dollar"}, "currency_code"),
    ],
)
async def test_what_cannot_be_connected(
    client: AdminClient, wrong: dict[str, Any], field: str
) -> None:
    fields = channel_calls.VALID["ConnectChannel"] | {"channel_code": "X"} | wrong
    refused = await client.refused("ConnectChannel", **fields)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    async with client.node.db.transaction() as tx:
        assert not list(await tx.scalars(select(channels).where(channels.c.channel_code == "X")))


async def test_a_channel_that_fetches_is_not_called(client: AdminClient) -> None:
    said = await client.do("TestChannel", channel_code="KAYAK")
    assert said.outcome == channel_pb2.CHANNEL_CALL_OUTCOME_UNTESTABLE
    assert "/channel-feed/v1/KAYAK" in said.error
    refused = await client.refused("FetchChannelBookings", channel_code="KAYAK")
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("channel_code",))


async def test_cadences_and_what_full_syncs_found_are_seen(client: AdminClient) -> None:
    found = (await client.do("GetChannelCadences", channel_code="EXP")).syncs
    parts = [channel_difference_pb2.ChannelSyncPart.Name(each.part) for each in found]
    assert parts[0] == "CHANNEL_SYNC_PART_STATIC"
    assert parts[-1] == "CHANNEL_SYNC_PART_EVERYTHING"
    assert not any(each.HasField("done_time") for each in found)
    assert not (await client.do("GetChannelCadences", channel_code="KAYAK")).syncs  # paused
    now = datetime(2026, 11, 29, 19, tzinfo=UTC)
    row = {"channel_code": "EXP", "sync_time": now, "item_id": "=P", "version": 3}
    days = [date(2026, 12, each) for each in (1, 2)]
    async with client.node.db.transaction() as tx:
        for day in days:
            price = {"what": "PRICES", "day": day, "sent": 38400, "sent_currency_code": "USD"}
            price |= {"wanted": 40000, "currency_code": "JPY"}
            await tx.execute(insert(channel_differences).values(row | price))
        car = {"what": "STATIC", "day": NO_DAY, "wanted": 0, "content": {"make": "Toyota"}}
        await tx.execute(insert(channel_differences).values(row | car))
    asked = {"channel_code": "EXP", "page_size": 2}
    first = await client.do("ListChannelDifferences", **asked)
    rest = await client.do("ListChannelDifferences", **asked, page_token=first.next_page_token)
    seen = [*first.differences, *rest.differences]
    assert [each.day for each in seen] == [*map(str, days), ""]
    assert (seen[0].sent, seen[0].wanted, seen[0].corrected) == (38400, 40000, False)
    assert (seen[2].HasField("sent"), seen[2].content) == (False, '{"make":"Toyota"}')
    (piece,) = await client.do("DownloadChannelDifferences", channel_code="EXP")
    lines = piece.body.data.decode().splitlines()
    assert lines[1] == "2026-11-29T19:00:00+00:00,PRICES,'=P,2026-12-01,384.00,USD,40000,JPY,no,"
    assert await client.reason("DownloadChannelDifferences", channel_code="X") == Reason.NOT_FOUND


async def test_what_has_drifted_is_listed_by_page(client: AdminClient) -> None:
    """Of what is listed nothing was sent yet."""
    asked = {"channel_code": "EXP", "item_id": "PREMIUM", "page_size": 60}
    first = await client.do("ListChannelDrift", **asked)
    rest = await client.do("ListChannelDrift", **asked, page_token=first.next_page_token)
    seen = [*first.differences, *rest.differences]
    assert len({(each.what, each.day) for each in seen}) == len(seen) > 60
    assert {(each.item_id, each.waiting) for each in seen} == {("PREMIUM", False)}
    assert not any(each.HasField("sent") for each in seen)
    found = await client.do("GetChannelDrift", channel_code="EXP")
    assert sum(each.drifted for each in found.drift) >= len(seen)
    missing: dict[str, Any] = {
        "what": "PRICES",
        "item_id": "PREMIUM",
        "location": "HKG",
        "fault": "no word",
    }
    missing |= {
        "currency_code": "USD",
        "wanted": 1,
        "wanted_version": 1,
        "wanted_time": clock.now(),
    }
    days = [clock.now().date() + timedelta(days=each) for each in (2, 3)]
    async with client.node.db.transaction() as tx:
        rows = [{"channel_code": "EXP", "day": day, **missing} for day in days]
        await tx.execute(insert(channel_values).values(rows))
    (fault,) = (await client.do("GetChannelDrift", channel_code="EXP")).faults
    assert (fault.fault, fault.values, fault.first_day) == ("no word", 2, str(days[0]))
    assert await client.reason("ListChannelDrift", channel_code="X") == Reason.NOT_FOUND


async def test_a_channel_that_calls_us_is_not_tested(client: AdminClient) -> None:
    """Nothing is wrong, and nothing is proven."""
    keys = {"account_id": "a", "sign_key_secret": "s"}
    keys |= dict.fromkeys(("aes_key_secret", "aes_iv_secret"), "k" * 16)
    await client.do(
        "ConnectChannel",
        channel_code="TTD",
        vendor_code="ctrip_ttd",
        base_url=channel_calls.NOWHERE,
        currency_code="CNY",
        credentials=[
            channel_pb2.ChannelCredential(credential_code=name, secret=each)
            for name, each in keys.items()
        ],
    )
    said = await client.do("TestChannel", channel_code="TTD")
    assert said.outcome == channel_pb2.CHANNEL_CALL_OUTCOME_UNTESTABLE
    assert "none yet" in said.error


async def test_bookings_are_seen_retried_and_cancelled(client: AdminClient) -> None:
    booking = channel_calls.BOOKING
    (seen,) = (await client.do("ListChannelBookings", channel_code="EXP")).bookings
    assert (seen.booking_id, seen.pickup_date, seen.order_code) == ("B-1", "2026-12-20", "")
    faulty = await client.do("ListChannelBookings", channel_code="EXP", faulty=True)
    assert not faulty.bookings
    assert (await client.do("RetryChannelBooking", **booking)).booking == seen
    assert await asked(client, "channel.book") == ["EXP:B-1"]
    wrong = await client.refused("CancelChannelBooking", **booking, reason="bored", comment="no")
    assert wrong.fields == ("reason",)
    used = await client.refused("DisconnectChannel", channel_code="EXP")
    assert used.reason == Reason.IN_USE
    ended = await client.do("CancelChannelBooking", **booking, comment="the pier is closed")
    assert ended.booking.state == channel_booking_pb2.CHANNEL_BOOKING_STATE_REJECT_PENDING
    assert ended.booking.cancel_comment == "the pier is closed"
    assert (await client.do("GetChannelBooking", **booking)).booking == ended.booking
