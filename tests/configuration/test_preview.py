"""The dry run equals what then happens."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from deeptravel.ticketing.v1 import offer_pb2, order_pb2

from server.api.ticketing.offers import UNAVAILABLE_REASONS, price_message
from server.catalog import config_versions, promotions
from server.catalog.config_versions import PRODUCT, PROMOTION, ROUTE_FARES, ConfigSubject
from server.configuration import publishing
from server.configuration.preview import DryRun, OfferChange, PreviewQuery, kind_of, preview
from server.configuration.preview_texts import texts
from server.platform.database import Database
from server.platform.errors import Reason
from tests.configuration.test_versions import do, draft
from tests.support import timetable as world
from tests.support.changes import changes_are_seen
from tests.support.gate_server import gate_server
from tests.support.rpc_server import refusal
from tests.support.searching import promotion
from tests.support.timetable import ADULT, CHILD, Traveller
from tests.support.traveller import TravellerClient, child, passenger

DAYS, ROUNDS = 3, 9
PARTY = ("ADULT", "CHILD")
ZONE = ZoneInfo("Asia/Hong_Kong")
SUBJECTS = {
    PRODUCT: [world.TRAIN, world.FERRY, world.PACKAGE],
    ROUTE_FARES: [world.TRAIN_ROUTE, world.FERRY_ROUTE],
    PROMOTION: [5],
}
Seen = dict[str, tuple[bytes, int]]


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


@pytest.fixture(scope="module")
async def traveller(timetable_url: str, module_redis_url: str) -> AsyncIterator[Traveller]:
    async with gate_server(timetable_url, module_redis_url) as server:
        yield Traveller(server.channel)


async def look(db: Database, version: Any, days: int = DAYS, **fields: Any) -> DryRun:
    query = PreviewQuery(days, PARTY, **fields)
    async with db.transaction() as tx:
        named = version.subject, version.version
        return await preview(tx, *named, query, zone=ZONE, now=datetime.now(UTC))


async def searched(traveller: Traveller) -> Seen:
    """What travellers see of every offer of those days: what it costs, and why it is not sold."""
    seen: Seen = {}
    for offset in range(DAYS):
        day = (world.today() + timedelta(days=offset)).isoformat()
        for origin, destination in (("SZX", "HKG"), ("CAN", "HKG"), ("CAN", "SZX")):
            token, first = "", True
            while token or first:
                found = await traveller.search(
                    origin_city_code=origin,
                    destination_city_code=destination,
                    travel_date=day,
                    passengers=[ADULT, CHILD],
                    page_size=100,
                    page_token=token,
                )
                token, first = found.next_page_token, False
                seen |= {o.offer_id: shown(o) for o in found.offers}
    return seen


def shown(offer: offer_pb2.Offer) -> tuple[bytes, int]:
    price = offer.price.SerializeToString(deterministic=True) if offer.HasField("price") else b""
    return price, offer.unavailable_reason


def side(change: OfferChange, name: str) -> tuple[bytes, int]:
    """As search would show it."""
    found = getattr(change, name)
    price = b""
    if found.price:
        message = price_message(found.price, change.offer.currency_code)
        price = message.SerializeToString(deterministic=True)
    return price, UNAVAILABLE_REASONS[found.unavailable]


def another(rng: random.Random, subject: ConfigSubject, content: dict[str, Any]) -> dict[str, Any]:
    """A content that is changed at random."""
    if subject.object_type == ROUTE_FARES:
        kept = [fare for fare in world_fares(subject) if rng.random() > 0.4]
        return {"fares": [{**f, "amount_minor": rng.randrange(1, 40_000)} for f in kept]}
    if subject.object_type == PROMOTION:
        share = rng.random() < 0.5
        return {
            **content,
            "basis_points_off": rng.randrange(1, 9_000) if share else 0,
            "amount_off_minor": 0 if share else rng.randrange(1, 9_000),
            "currency_code": None if share else "HKD",
            "product_ids": rng.sample(SUBJECTS[PRODUCT], rng.randrange(3)),
            "min_party": rng.choice([1, 2, 3]),
            "stackable": rng.random() < 0.5,
            "end_time": config_versions.moment_text(
                datetime.now(UTC) + timedelta(days=rng.choice([-1, 9]))
            ),
        }
    days = [world.today() + timedelta(days=each) for each in range(DAYS)]
    return {
        **content,
        "fares": [{**f, "amount_minor": rng.randrange(1, 99_999)} for f in content["fares"]],
        "tiers": [{"min_party": 2, "percent_off": rng.randrange(50)}] * rng.randrange(2),
        "policy": {"refund_tiers": [{"minutes_before": 60, "percent": rng.randrange(100)}]},
        "blackout_dates": [day.isoformat() for day in days if rng.random() < 0.3],
        "boarding_minutes": rng.randrange(1, 300),
    }


def world_fares(subject: ConfigSubject) -> list[dict[str, Any]]:
    return world.TRAIN_FARES if subject.object_id == world.TRAIN_ROUTE else world.FERRY_FARES


def new_party() -> list[order_pb2.Passenger]:
    return [passenger(), child()]


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_dry_run_equals_what_then_happens(
    db: Database, traveller: Traveller, seed: int
) -> None:
    """Random changes, one after the other: what search shows before and after each is what the
    preview says of it, and of all it does not name nothing changes. Quotes and orders have the
    price of `after`; that of `before` is refused; orders made before keep theirs.

    Seen red with the automatic promotions left out of the preview, with the blackout dates left as
    they were, and with the offers of fares that are gone passed over.
    """
    rng = random.Random(seed)
    await do(db, promotions.create_promotion, promotion(5, None))
    await changes_are_seen()
    before = await searched(traveller)
    held: dict[str, int] = {}
    client = TravellerClient.of(traveller.channel, 700 + seed)
    for number in range(ROUNDS):
        object_type = rng.choice(list(SUBJECTS))
        subject = ConfigSubject(object_type, rng.choice(SUBJECTS[object_type]))
        empty = await draft(db, subject)
        made = await draft(db, subject, **another(rng, subject, empty.content))
        found = await look(db, made)
        assert found.faults == []
        await do(db, publishing.publish, subject, made.version)
        await changes_are_seen()
        after = await searched(traveller)
        changes = {each.offer.offer_id: each for each in found.changes}
        for offer_id in before.keys() | after.keys():
            change = changes.get(offer_id)
            if change is None:
                assert before.get(offer_id) == after.get(offer_id), (number, subject)
                continue
            for name, seen in (("before", before), ("after", after)):
                if offer_id in seen:
                    assert seen[offer_id] == side(change, name), (number, subject, name)
                else:
                    assert not getattr(change, name).sells
        assert changes.keys() <= before.keys() | after.keys()
        await buy_one(rng, client, found, held)
        before = after
    for order_id, total in held.items():
        assert (await client.get(order_id)).total_minor == total
    assert held


async def buy_one(
    rng: random.Random, client: TravellerClient, found: DryRun, held: dict[str, int]
) -> None:
    """Quotes and orders one of the offers that changed."""
    sold = [each for each in found.changes if each.after.sells]
    if not sold:
        return
    change = rng.choice(sold)
    offer_id = change.offer.offer_id
    assert change.after.price is not None
    total = change.after.price.total_minor
    items = [order_pb2.OrderItem(offer_id=offer_id)]
    quoted = await client.call(
        "QuoteOrder", order_pb2.QuoteOrderRequest(items=items, passengers=[ADULT, CHILD])
    )
    assert quoted.total_minor == total
    was = change.before.price
    if change.before.sells and was and was.total_minor != total:
        refused = await refusal(
            client.create(offer_id, passengers=new_party(), quoted_minor=was.total_minor)
        )
        assert refused.reason is Reason.PRICE_CHANGED
    order = await client.order(offer_id, passengers=new_party(), quoted_minor=total)
    assert order.total_minor == total
    held[order.order_id] = total


async def test_a_preview_is_summed_up_in_words_and_pages(db: Database) -> None:
    subject = ConfigSubject(ROUTE_FARES, world.TRAIN_ROUTE)
    fares = [{**fare, "amount_minor": fare["amount_minor"] + 1} for fare in world.TRAIN_FARES]
    dearer = await look(db, await draft(db, subject, fares=fares))
    assert (dearer.count("dearer"), dearer.count("cheaper")) == (len(dearer.changes), 0)
    assert dearer.changed == ["fares"]
    gone = await look(db, await draft(db, subject, fares=[]))
    assert {kind_of(each) for each in gone.changes if each.before.sells} == {"closed"}
    assert len(gone.closed_departures) >= 2 * (DAYS - 1)
    english, chinese = texts(gone)
    assert f"of {len(gone.closed_departures)} departures nothing can be bought" in english
    assert f"{len(gone.closed_departures)}个班次将无票可售" in chinese
    first = gone.changes_after(None, limit=3)
    last = first[-1]
    rest = gone.changes_after((last.travel_date, last.offer.offer_id), limit=10_000)
    assert [*first, *rest] == gone.changes
    await do(db, publishing.publish, subject, 2)
    outdated = await look(db, (await draft_of(db, subject, 3)))
    assert outdated.faults[0].startswith("CONFIG_VERSION_OUTDATED: ")


async def draft_of(db: Database, subject: ConfigSubject, number: int) -> Any:
    async with db.transaction() as tx:
        return await config_versions.get(tx, subject, number)
