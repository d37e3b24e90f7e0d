"""Allotments of a departure's class and of a day of use: moved by administrators, reserved by
partners, returned to DIRECT by their release rules, archived and taken back.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import psycopg
import pytest
from deeptravel.ota.v1 import event_pb2, reservation_pb2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from sqlalchemy import text

from server.catalog.release import release
from server.partners import partner_departures
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.platform.schedule import Job, Jobs
from server.stock import inventory
from server.stock.ids import day_stock_id
from tests.support import rentals
from tests.support.admin_client import AdminClient, Headers
from tests.support.admin_rows import DEPARTURE, DEPARTURE_DAY
from tests.support.gate_server import gate_server
from tests.support.module_database import ModuleDatabase
from tests.support.partner_client import PartnerClient, payment
from tests.support.rpc_server import refusal, refusal_or_none

TRAIN = 201
ZONE = ZoneInfo("Asia/Hong_Kong")
SEATS = {"product_id": TRAIN, "departure_id": DEPARTURE, "fare_class": "SECOND"}
DAY = datetime.now(ZONE).date() + timedelta(days=10)
OF_DAY = {"product_id": 106, "use_date": DAY.isoformat()}
FLEET = rentals.AIRPORT_FLEET
CARS = {"product_id": rentals.ECONOMY, "fleet_id": FLEET, "use_date": DAY.isoformat()}
STOCK_OF_DAY = text("""
INSERT INTO stocks (stock_id, product_id, partner_id, use_date, total, update_time)
VALUES (:stock, 106, 1, :day, :total, now())
""")


@dataclass
class Channels:
    """An administrator and the partner CP at one server, and its database."""

    admin: AdminClient
    partner: PartnerClient
    db: Database
    url: str

    async def adjust(self, subject: dict[str, Any], source: str, target: str, by: int) -> Any:
        return await self.admin.do(
            "AdjustAllotment", **subject, from_channel=source, to_channel=target, quantity=by
        )

    async def allotment(self, subject: dict[str, Any], channel: str) -> tuple[int, int, int]:
        """Total, held and sold."""
        found = (await self.admin.do("GetAllotment", **subject, channel=channel)).allotment
        return found.total, found.held, found.sold

    async def stock_of(self, **fields: Any) -> list[tuple[int, int, int]]:
        """What the partner sees."""
        answer = await self.partner.call("GetInventory", ota.GetInventoryRequest(**fields))
        return [(each.total, each.held, each.sold) for each in answer.inventory]

    async def stock_of_yesterday(self, total: int) -> dict[str, Any]:
        """What the partner was allotted of a day that is over since."""
        day = (datetime.now(ZONE) - timedelta(days=1)).date()
        async with self.db.transaction() as tx:
            values = {"stock": day_stock_id(106, day, 1), "day": day, "total": total}
            await tx.execute(STOCK_OF_DAY, values)
        return OF_DAY | {"use_date": day.isoformat()}

    async def released(self, day: date) -> None:
        """The job runs at noon of a day."""
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZONE)
        async with self.db.transaction() as tx:
            assert not (await release(ZONE)(tx, noon.astimezone(UTC))).more


@pytest.fixture(scope="module")
async def channels(
    admin_database: ModuleDatabase, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[Channels]:
    async with gate_server(admin_database.url, module_redis_url) as server:
        db = Database(load_settings(), admin_database.url)
        node = cast("Any", SimpleNamespace(channel=server.channel, db=db))
        admin = AdminClient(node, seeded[1])
        key = await admin.do("CreatePartnerKey", partner_code="CP")
        yield Channels(admin, PartnerClient.at(server.channel, key.api_key), db, admin_database.url)
        await db.close()


async def test_seats_of_a_departure(channels: Channels) -> None:
    """They leave DIRECT, are reserved by class, and only what is free of them comes back."""
    moved = await channels.adjust(SEATS, "DIRECT", "CP", 4)
    assert (moved.source.total, moved.target.total) == (6, 4)
    assert (moved.target.departure_id, moved.target.fare_class) == (DEPARTURE, "SECOND")
    made = await channels.partner.reserve(3, **SEATS)
    assert (made.departure_id, made.fare_class, made.held) == (DEPARTURE, "SECOND", 3)
    assert await channels.stock_of(departure_id=DEPARTURE) == [(4, 3, 0)]
    assert await channels.allotment(SEATS, "DIRECT") == (6, 0, 0)
    refused = await refusal(channels.partner.reserve(2, **SEATS))
    assert (refused.reason, refused.metadata["available"]) == (Reason.SOLD_OUT, "1")
    used = await channels.admin.refused(
        "AdjustAllotment", **SEATS, from_channel="CP", to_channel="DIRECT", quantity=2
    )
    assert used.reason == Reason.STOCK_IN_USE
    assert used.metadata == {"held": "3", "sold": "0", "total": "4"}
    batch = await refusal(
        channels.partner.batch(1, product_id=TRAIN, reservation_id=made.reservation_id)
    )
    assert (batch.reason, batch.metadata["why"]) == (Reason.OFFER_NOT_AVAILABLE, "NO_FARE")
    await channels.partner.release(made.reservation_id)
    await channels.adjust(SEATS, "CP", "DIRECT", 4)
    assert await channels.allotment(SEATS, "DIRECT") == (10, 0, 0)
    listed = await channels.admin.do("ListAllotments", departure_id=DEPARTURE)
    assert [(each.channel, each.total) for each in listed.allotments] == [("DIRECT", 10), ("CP", 0)]
    everything = await channels.admin.do("ListAllotments")
    assert not any(each.departure_id or each.use_date for each in everything.allotments)


async def test_cars_of_a_fleet(channels: Channels) -> None:
    """They leave DIRECT's of that day, are listed by their fleet, and what is free of them comes
    back by their release rule. Seen red with the rule of a day of use, whose DIRECT is of all days.
    """
    moved = await channels.adjust(CARS, "DIRECT", "CP", 2)
    assert (moved.source.total, moved.target.total) == (1, 2)
    assert (moved.target.fleet_id, moved.target.use_date) == (FLEET, CARS["use_date"])
    assert await channels.allotment(CARS, "CP") == (2, 0, 0)
    refused = await channels.admin.refused(
        "AdjustAllotment", **CARS, from_channel="DIRECT", to_channel="CP", quantity=2
    )
    assert refused.reason == Reason.STOCK_IN_USE
    listed = await channels.admin.do("ListAllotments", fleet_id=FLEET, channel="CP")
    assert [(each.use_date, each.total) for each in listed.allotments] == [(CARS["use_date"], 2)]
    of_day = await channels.admin.do("ListAllotments", use_date=CARS["use_date"])
    assert not any(each.fleet_id for each in of_day.allotments)
    day = {"first_date": CARS["use_date"], "last_date": CARS["use_date"]}
    stock = await channels.admin.do("ListRentalStock", fleet_id=FLEET, channel="CP", **day)
    assert [each.total for each in stock.stock] == [2]
    await channels.admin.do("SetAllotmentTerms", **CARS, channel="CP", release_days=2)
    await channels.released(DAY - timedelta(days=3))
    assert await channels.allotment(CARS, "CP") == (2, 0, 0)
    await channels.released(DAY - timedelta(days=2))
    assert await channels.allotment(CARS, "CP") == (0, 0, 0)
    assert await channels.allotment(CARS, "DIRECT") == (3, 0, 0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"use_date": ""}, "use_date"),
        ({"departure_id": DEPARTURE, "fare_class": "SECOND"}, "fleet_id"),
        ({"use_date": (datetime.now(ZONE) - timedelta(days=2)).date().isoformat()}, "use_date"),
        ({"use_date": "2019-12-31"}, "use_date"),
    ],
)
async def test_bad_cars(channels: Channels, change: dict[str, Any], field: str) -> None:
    moved = CARS | change | {"from_channel": "DIRECT", "to_channel": "CP", "quantity": 1}
    refused = await channels.admin.refused("AdjustAllotment", **moved)
    assert refused.fields == (field,)


async def test_cars_of_another_product(channels: Channels) -> None:
    moved = CARS | {"product_id": TRAIN, "from_channel": "DIRECT", "to_channel": "CP"}
    refused = await channels.admin.refused("AdjustAllotment", **moved, quantity=1)
    assert refused.reason == Reason.NOT_FOUND


async def test_reservation_ends_with_its_departure(channels: Channels) -> None:
    """However long it may last otherwise."""
    await channels.adjust(SEATS, "DIRECT", "CP", 1)
    terms = {"hold_seconds": 86_400, "max_hold_seconds": 2_592_000}
    await channels.admin.do("SetAllotmentTerms", **SEATS, channel="CP", **terms)
    made = await channels.partner.reserve(1, **SEATS, hold_seconds=2_592_000)
    leaves = (await channels.admin.do("GetDeparture", departure_id=DEPARTURE)).departure
    assert made.expire_time == made.max_expire_time == leaves.departure_time


async def test_cancelled_departure(channels: Channels, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reserved of it can be given back, until its release comes by itself. Seen red: it
    could be extended.
    """

    async def nothing(*_: Any) -> bool:
        return False

    monkeypatch.setattr(partner_departures, "_release", nothing)
    await channels.adjust(SEATS, "DIRECT", "CP", 2)
    reserved = await channels.partner.reserve(1, **SEATS, hold_seconds=60)
    await channels.partner.extend(reserved.reservation_id, 120)
    await channels.admin.do("CancelDeparture", departure_id=DEPARTURE, comment="typhoon")
    refused = await refusal(channels.partner.extend(reserved.reservation_id, 180))
    assert refused.reason == Reason.DEPARTURE_CANCELLED
    await channels.partner.release(reserved.reservation_id)
    refused = await refusal(channels.partner.reserve(1, **SEATS))
    assert refused.reason == Reason.DEPARTURE_CANCELLED
    assert refused.metadata == {"departure_id": DEPARTURE}
    back = {"from_channel": "CP", "to_channel": "DIRECT", "quantity": 1}
    refused = await channels.admin.refused("AdjustAllotment", **SEATS, **back)
    assert refused.reason == Reason.DEPARTURE_CANCELLED


async def test_a_cancelled_departure_releases_what_is_reserved(channels: Channels) -> None:
    """Seen red: it stayed OPEN, and held what nobody could sell, until its own end."""
    await channels.adjust(SEATS, "DIRECT", "CP", 2)
    reserved = await channels.partner.reserve(2, **SEATS)
    await channels.admin.do("CancelDeparture", departure_id=DEPARTURE, comment="typhoon")
    async with asyncio.timeout(30):
        ended = await channels.partner.reservation(reserved.reservation_id)
        while ended.held:
            await asyncio.sleep(0.05)
            ended = await channels.partner.reservation(reserved.reservation_id)
    assert ended.status == reservation_pb2.RESERVATION_STATE_RELEASED
    assert ended.end_reason == reservation_pb2.RESERVATION_END_REASON_DEPARTURE_CANCELLED
    assert await channels.allotment(SEATS, "CP") == (2, 0, 0)
    again = await refusal(channels.partner.release(reserved.reservation_id))
    assert again.reason == Reason.RESERVATION_STATE_REFUSES


async def test_day_of_use(channels: Channels) -> None:
    """It is taken from our own stock of all days; its tickets are valid from that day on."""
    await channels.adjust(OF_DAY, "DIRECT", "CP", 5)
    assert await channels.allotment({"product_id": 106}, "DIRECT") == (95, 0, 0)
    assert await channels.allotment({"product_id": 106}, "CP") == (2000, 0, 0)
    made = await channels.partner.reserve(5, **OF_DAY)
    assert await channels.stock_of(use_date=DAY.isoformat()) == [(5, 5, 0)]
    assert (await channels.stock_of(product_id=106)) == [(2000, 0, 0)]
    given = {"valid_from_time": datetime.now(UTC), "reservation_id": made.reservation_id}
    assert (await refusal(channels.partner.batch(1, **given))).fields == ("valid_from_time",)
    code, _ = await channels.partner.codes(2, reservation_id=made.reservation_id)
    await channels.partner.activate(code, payment=payment(amount_minor=28_000))
    assert await channels.stock_of(use_date=DAY.isoformat()) == [(5, 4, 1)]
    (page,) = await channels.partner.pages(batch_id="")
    begin = {
        each.valid_from_time.ToDatetime(UTC)
        for each in page.tickets
        if "2026030" not in each.ticket_code
    }
    assert begin == {datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZONE)}
    await channels.partner.release(made.reservation_id)
    assert await channels.stock_of(use_date=DAY.isoformat()) == [(5, 0, 1)]


async def test_day_that_is_over(channels: Channels) -> None:
    past = await channels.stock_of_yesterday(3)
    assert (await refusal(channels.partner.reserve(1, **past))).fields == ("use_date",)


async def test_nothing_goes_to_a_day_that_is_over(channels: Channels) -> None:
    """Back from it all may go. Seen red: a wrong year took stock where nobody could sell it, and
    yesterday, by the clock of the city, still got some.
    """
    past = await channels.stock_of_yesterday(3)
    for source in ("DIRECT", "HK"):
        refused = await refusal(channels.adjust(past, source, "CP", 1))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("use_date",))
    await channels.adjust(past, "CP", "DIRECT", 2)
    assert await channels.allotment(past, "CP") == (1, 0, 0)
    today = OF_DAY | {"use_date": datetime.now(ZONE).date().isoformat()}
    await channels.adjust(today, "DIRECT", "CP", 1)


async def test_nothing_moves_of_a_departure_that_has_left(channels: Channels) -> None:
    """Neither way. Seen red: stock of a ferry that had left was given to a partner."""
    await channels.adjust(SEATS, "DIRECT", "CP", 3)
    async with await psycopg.AsyncConnection.connect(channels.url, autocommit=True) as pg:
        await pg.execute(
            "UPDATE departures SET departure_time = now() - interval '1 second'"
            " WHERE departure_id = %s",
            [DEPARTURE],
        )
    for source, target in (("DIRECT", "CP"), ("CP", "DIRECT"), ("CP", "HK")):
        refused = await refusal(channels.adjust(SEATS, source, target, 1))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("departure_id",))
    assert await channels.allotment(SEATS, "CP") == (3, 0, 0)


async def test_trail_and_event(channels: Channels) -> None:
    """Both sides are audited with what they were before, and the partner hears of its own."""
    await channels.admin.do(
        "AdjustAllotment",
        **OF_DAY,
        from_channel="DIRECT",
        to_channel="CP",
        quantity=5,
        comment="fair",
    )
    grown = (await channels.admin.trail("allotment", f"106/CP/{DAY}"))[0]
    assert (grown.action, grown.before["total"], grown.after["total"]) == ("adjust", 0, 5)
    assert grown.after["comment"] == "fair"
    shrunk = (await channels.admin.trail("allotment", "106/DIRECT"))[0]
    assert (shrunk.action, shrunk.before["total"], shrunk.after["total"]) == ("adjust", 100, 95)
    events: list[event_pb2.Event] = []
    async with asyncio.timeout(30):
        while not events:
            request = event_pb2.ListEventsRequest(types=["allotment.adjusted"], after_cursor=0)
            found = (await channels.partner.call("ListEvents", request)).events
            events = [each for each in found if each.data.use_date]
            await asyncio.sleep(0.05)
    assert [(each.data.quantity, each.data.total, each.data.use_date) for each in events] == [
        (5, 5, DAY.isoformat())
    ]


@pytest.mark.parametrize(
    ("subject", "day"), [(SEATS, DEPARTURE_DAY), (OF_DAY, DAY)], ids=["departure", "day"]
)
async def test_release(channels: Channels, subject: dict[str, Any], day: date) -> None:
    """Two days before, what is free returns, and what becomes free later; not what is held."""
    (direct, *_) = await channels.allotment(subject, "DIRECT")
    await channels.adjust(subject, "DIRECT", "CP", 4)
    made = await channels.partner.reserve(1, **subject)
    await channels.admin.do("SetAllotmentTerms", **subject, channel="CP", release_days=2)
    await channels.released(day - timedelta(days=3))
    assert await channels.allotment(subject, "CP") == (4, 1, 0)
    await channels.released(day - timedelta(days=2))
    assert await channels.allotment(subject, "CP") == (1, 1, 0)
    assert await channels.allotment(subject, "DIRECT") == (direct - 1, 0, 0)
    await channels.partner.release(made.reservation_id)
    await channels.released(day - timedelta(days=1))
    assert await channels.allotment(subject, "CP") == (0, 0, 0)
    assert await channels.allotment(subject, "DIRECT") == (direct, 0, 0)
    released = (await channels.admin.trail("allotment", "/".join(map(str, _named(subject)))))[:2]
    assert [(each.action, each.actor) for each in released] == [("release", "system")] * 2


def _named(subject: dict[str, Any]) -> list[Any]:
    rest = [subject[name] for name in ("departure_id", "fare_class", "use_date") if name in subject]
    return [subject["product_id"], "CP", *rest]


async def test_released_once_by_two_processes_after_an_outage(channels: Channels) -> None:
    """Days late, and both at once: it returns once.

    Seen red: without the advisory lock of the job, the lock of the rows and the assertion on what
    was taken, DIRECT got it several times.
    """
    await channels.adjust(OF_DAY, "DIRECT", "CP", 4)
    await channels.admin.do("SetAllotmentTerms", **OF_DAY, channel="CP", release_days=10)
    job = Job("release-allotments", timedelta(0), release(ZONE), quiet=True)
    processes = [Jobs(channels.db, [job]) for _ in range(4)]
    await asyncio.gather(*(each.run_if_due(job) for each in processes))
    assert await channels.allotment(OF_DAY, "CP") == (0, 0, 0)
    assert await channels.allotment({"product_id": 106}, "DIRECT") == (100, 0, 0)


PACKAGE = {"product_id": 106}
ARCHIVED = "CATALOGUE_STATE_ARCHIVED"


@pytest.mark.parametrize(
    ("subject", "total", "where_none_is"),
    [
        (PACKAGE, 2000, Reason.PRODUCT_NOT_ON_SALE),
        (SEATS, 4, Reason.INVALID_FIELD),
        (OF_DAY, 4, Reason.INVALID_FIELD),
    ],
    ids=["package", "departure", "day"],
)
async def test_archived(
    channels: Channels, subject: dict[str, Any], total: int, where_none_is: Reason
) -> None:
    """Nothing more is taken of it; what is free returns at once, and what becomes free later. Seen
    red with what may be reserved, or what the partner has, read without a look at `archived`, and
    with the release job as it was.
    """
    admin, partner = channels.admin, channels.partner
    if subject is not PACKAGE:
        await channels.adjust(subject, "DIRECT", "CP", total)
    (direct, *_) = await channels.allotment(subject, "DIRECT")
    made = await partner.reserve(2, **subject)
    archived = await admin.do("ArchiveAllotment", **subject, channel="CP")
    assert (archived.allotment.total, archived.allotment.held) == (2, 2)
    assert (archived.target.channel, archived.target.total) == ("DIRECT", direct + total - 2)
    assert (await refusal(partner.reserve(1, **subject))).reason == where_none_is
    asked = {name: each for name, each in subject.items() if name != "fare_class"}
    assert await channels.stock_of(**asked) == []
    refused = await refusal(channels.adjust(subject, "DIRECT", "CP", 1))
    assert refused.reason == Reason.ARCHIVED
    assert await admin.reason("SetAllotmentTerms", **subject, channel="CP") == Reason.ARCHIVED
    again = await admin.do("ArchiveAllotment", **subject, channel="CP")
    assert again.allotment == archived.allotment
    assert not again.HasField("target")
    listed = (await admin.do("ListAllotments", **asked, state=ARCHIVED)).allotments
    assert list(listed) == [again.allotment]
    await partner.release(made.reservation_id)
    await channels.released(datetime.now(ZONE).date())
    assert await channels.allotment(subject, "CP") == (0, 0, 0)
    assert await channels.allotment(subject, "DIRECT") == (direct + total, 0, 0)
    back = (await admin.do("UnarchiveAllotment", **subject, channel="CP")).allotment
    assert (back.total, back.version) == (0, archived.allotment.version + 2)
    await channels.adjust(subject, "DIRECT", "CP", 1)
    await partner.reserve(1, **subject)
    trail = await admin.trail("allotment", "/".join(map(str, _named(subject))))
    assert {"archive", "release", "unarchive"} <= {each.action for each in trail}


async def test_what_is_sold_and_reserved_of_an_archived_allotment_stays(
    channels: Channels,
) -> None:
    """Tickets are made of a reservation still; without one there is nothing to make them of."""
    await channels.partner.batch(1)
    made = await channels.partner.reserve(2)
    archived = await channels.admin.do("ArchiveAllotment", **PACKAGE, channel="CP")
    assert (archived.allotment.total, archived.allotment.sold) == (3, 1)
    code, _ = await channels.partner.codes(2, reservation_id=made.reservation_id)
    await channels.partner.activate(code, payment=payment(amount_minor=28_000))
    assert await channels.allotment(PACKAGE, "CP") == (3, 1, 2)
    refused = await refusal(channels.partner.batch(1))
    assert refused.reason == Reason.PRODUCT_NOT_ON_SALE


async def test_cars_of_an_archived_allotment(channels: Channels) -> None:
    await channels.adjust(CARS, "DIRECT", "CP", 2)
    archived = await channels.admin.do("ArchiveAllotment", **CARS, channel="CP")
    assert (archived.allotment.total, archived.target.total) == (0, 3)


async def test_what_is_over_stays_where_it_is(channels: Channels) -> None:
    """Of a day, and of a departure that is cancelled, which stays closed when it is taken back.
    Seen red with all of it returned: DIRECT's stock of all days grew by a day that was over.
    """
    past = await channels.stock_of_yesterday(3)
    (direct, *_) = await channels.allotment(PACKAGE, "DIRECT")
    archived = await channels.admin.do("ArchiveAllotment", **past, channel="CP")
    assert (archived.allotment.total, archived.HasField("target")) == (3, False)
    await channels.adjust(SEATS, "DIRECT", "CP", 2)
    await channels.admin.do("CancelDeparture", departure_id=DEPARTURE, comment="typhoon")
    archived = await channels.admin.do("ArchiveAllotment", **SEATS, channel="CP")
    assert (archived.allotment.total, archived.HasField("target")) == (2, False)
    await channels.released(datetime.now(ZONE).date())
    assert await channels.allotment(PACKAGE, "DIRECT") == (direct, 0, 0)
    assert await channels.allotment(past, "CP") == (3, 0, 0)
    closed = text("SELECT closed FROM stocks WHERE departure_id = :departure AND partner_id > 0")
    await channels.admin.do("UnarchiveAllotment", **SEATS, channel="CP")
    async with channels.db.transaction() as tx:
        assert await tx.scalar(closed, {"departure": int(DEPARTURE)})


async def test_an_archived_allotment_of_a_departure_that_runs_again(channels: Channels) -> None:
    await channels.adjust(SEATS, "DIRECT", "CP", 2)
    await channels.admin.do("ArchiveAllotment", **SEATS, channel="CP")
    async with channels.db.transaction() as tx:
        await inventory.open_departure(tx, int(DEPARTURE), now=datetime.now(UTC))
    assert (await refusal(channels.partner.reserve(1, **SEATS))).reason == Reason.INVALID_FIELD


@pytest.mark.parametrize("method", ["ArchiveAllotment", "UnarchiveAllotment"])
async def test_our_own_channel_is_not_archived(channels: Channels, method: str) -> None:
    refused = await channels.admin.refused(method, **PACKAGE, channel="DIRECT")
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("channel",))


async def test_archived_while_it_is_reserved(channels: Channels) -> None:
    """Whoever comes first: nothing is lost, and nothing is free of it afterwards."""
    await channels.adjust(OF_DAY, "DIRECT", "CP", 4)
    reserving = [refusal_or_none(channels.partner.reserve(1, **OF_DAY)) for _ in range(6)]
    archiving = channels.admin.do("ArchiveAllotment", **OF_DAY, channel="CP")
    _, *found = await asyncio.gather(archiving, *reserving)
    held = found.count(None)
    assert await channels.allotment(OF_DAY, "CP") == (held, held, 0)
    assert await channels.allotment(PACKAGE, "DIRECT") == (100 - held, 0, 0)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"product_id": 106, "channel": "CP", "release_days": 1}, "release_days"),
        (SEATS | {"channel": "DIRECT", "release_days": 1}, "release_days"),
        (SEATS | {"channel": "DIRECT", "fare_class": ""}, "fare_class"),
        (OF_DAY | {"channel": "CP", "use_date": "2019-12-31"}, "use_date"),
        (OF_DAY | {"channel": "CP", "product_id": 1 << 26}, "use_date"),
        (SEATS | {"channel": "CP", "use_date": "2027-01-01"}, "use_date"),
        (
            {"product_id": 106, "channel": "CP", "hold_seconds": 60, "max_hold_seconds": 59},
            "hold_seconds",
        ),
    ],
)
async def test_wrong_terms(channels: Channels, fields: dict[str, Any], field: str) -> None:
    refused = await channels.admin.refused("SetAllotmentTerms", **fields)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_stock_of_a_day_is_named_by_its_key(channels: Channels) -> None:
    """The database refuses a row whose key is another day's, or that releases our own stock."""
    await channels.adjust(OF_DAY, "DIRECT", "CP", 1)
    async with await psycopg.AsyncConnection.connect(channels.url, autocommit=True) as pg:
        for change in (
            "UPDATE stocks SET use_date = use_date + 1 WHERE use_date IS NOT NULL",
            "UPDATE stocks SET release_days = 1 WHERE partner_id = 0",
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                await pg.execute(change.encode())
