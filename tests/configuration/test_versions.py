"""Versions of what sells: drafts, publishing, schedules, and the way back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from server.audit.models import audit_events
from server.catalog import config_versions, holidays, products, promotions, routes
from server.catalog.config_versions import (
    DRAFT,
    PRODUCT,
    PROMOTION,
    PUBLISHED,
    ROUTE_FARES,
    SCHEDULED,
    SUPERSEDED,
    ConfigSubject,
    ConfigVersion,
)
from server.catalog.models import config_versions as table
from server.catalog.models import products as product_table
from server.catalog.models import routes as route_table
from server.catalog.products import PRODUCTS
from server.catalog.promotions import PROMOTIONS
from server.catalog.routes import ROUTES
from server.configuration import drafts, publishing
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.stock.models import stocks
from tests.support import timetable as world

TRAIN = ConfigSubject(PRODUCT, world.TRAIN)
FARES = ConfigSubject(ROUTE_FARES, world.TRAIN_ROUTE)
DEAL = ConfigSubject(PROMOTION, 5)


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


def by(actor: str = "admin:anna", later: timedelta = timedelta()) -> Any:
    return {"actor": actor, "now": datetime.now(UTC) + later}


async def do(db: Database, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    async with db.transaction() as tx:
        return await work(tx, *arguments, **{**by(), **named})


async def refused(db: Database, work: Callable[..., Any], *args: Any, **named: Any) -> DomainError:
    with pytest.raises(DomainError) as error:
        await do(db, work, *args, **named)
    return error.value


async def draft(db: Database, subject: ConfigSubject, base: int = 0, **fields: Any) -> Any:
    """A draft with these fields other than its base."""
    made = await do(db, drafts.create_draft, subject, base_version=base, content=None, comment="r")
    if not fields:
        return made
    content = {**made.content, **fields}
    return await do(db, drafts.update_draft, subject, made.version, content=content, comment="")


async def states(db: Database, subject: ConfigSubject) -> list[str]:
    """Of all versions, the first one first."""
    async with db.transaction() as tx:
        found = await config_versions.page(
            tx, **{**subject._asdict(), "state": ""}, after=None, limit=99
        )
    return [each.state for each in reversed(found)]


async def version(db: Database, subject: ConfigSubject, number: int) -> ConfigVersion:
    async with db.transaction() as tx:
        return await config_versions.get(tx, subject, number)


async def policy_of_train(db: Database) -> Any:
    async with db.transaction() as tx:
        return (await PRODUCTS.get(tx, world.TRAIN)).policy


FEE = {"refund_tiers": [{"minutes_before": 60, "percent": 50}], "refund_fee_minor": 100}


async def test_a_draft_changes_nothing_until_it_is_published(db: Database) -> None:
    made = await draft(db, TRAIN, policy=FEE)
    assert (made.version_id, made.base_version, made.state) == ("product-201-2", 1, DRAFT)
    assert (await policy_of_train(db)).get("refund_fee_minor", 0) == 0
    done = await do(db, publishing.publish, TRAIN, 2, **by("admin:paul"))
    assert (done.state, done.author, done.publisher) == (PUBLISHED, "admin:anna", "admin:paul")
    assert (await policy_of_train(db))["refund_fee_minor"] == 100
    assert await states(db, TRAIN) == [SUPERSEDED, PUBLISHED]
    again = await refused(db, publishing.publish, TRAIN, 2)
    assert again.reason is Reason.CONFIG_VERSION_STATE_REFUSES
    query = select(audit_events.c.action).where(
        audit_events.c.resource == "config_version", audit_events.c.name == "product-201-2"
    )
    async with db.transaction() as tx:
        trail = (await tx.scalars(query.order_by(audit_events.c.occurred_time))).all()
    assert trail == ["create", "update", "publish"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tiers": [{"min_party": 2, "percent_off": 5}] * 2},
        {"policy": {"refund_tiers": [{"minutes_before": 0, "percent": 101}]}},
        {"blackout_dates": ["2026-02-30"]},
        {"fares": []},
    ],
)
async def test_no_draft_has_what_its_product_cannot_have(db: Database, wrong: Any) -> None:
    """Seen red: tiers that cannot be compared were an INTERNAL error."""
    made = await draft(db, TRAIN)
    content = {**made.content, **wrong}
    error = await refused(db, drafts.update_draft, TRAIN, made.version, content=content, comment="")
    assert error.reason is Reason.INVALID_FIELD
    assert error.violations[0][0].startswith(next(iter(wrong)))


async def test_a_plain_update_writes_a_version_and_outdates_drafts(db: Database) -> None:
    """Seen red: without the comparison with the base the update would be lost without a word."""
    await draft(db, TRAIN, policy=FEE)
    await do(db, products.update_product, world.TRAIN, {"validity_days": 9})
    await do(db, products.update_product, world.TRAIN, {"validity_days": 9})  # changes nothing
    assert await states(db, TRAIN) == [SUPERSEDED, DRAFT, PUBLISHED]
    error = await refused(db, publishing.publish, TRAIN, 2)
    assert error.reason is Reason.CONFIG_VERSION_OUTDATED
    assert error.metadata == {
        "version_id": "product-201-3",
        "base_version": "1",
        "published_version": "3",
        "changed": "validity_days",
    }
    await do(db, routes.set_fares, world.TRAIN_ROUTE, world.TRAIN_FARES[:1])
    assert await states(db, FARES) == [SUPERSEDED, PUBLISHED]


async def test_what_sql_has_changed_is_a_version_too_and_so_is_what_was_before(
    db: Database,
) -> None:
    """As after an upgrade, or when a part of the house writes no versions."""
    async with db.transaction() as tx:
        await tx.execute(
            delete(table).where(table.c.object_type == PRODUCT, table.c.object_id == world.TRAIN)
        )
    made = await draft(db, TRAIN)
    assert (made.version, made.base_version) == (2, 1)
    async with db.transaction() as tx:
        this = product_table.c.product_id == world.TRAIN
        await tx.execute(update(product_table).where(this).values(boarding_minutes=33))
    error = await refused(db, publishing.publish, TRAIN, 2)
    assert error.reason is Reason.CONFIG_VERSION_OUTDATED
    found = await draft(db, TRAIN)
    assert (found.version, found.base_version) == (4, 3)
    first = await version(db, TRAIN, 3)
    assert (first.author, first.comment) == ("system", config_versions.FOUND)


async def test_back_to_any_earlier_version(db: Database) -> None:
    before = await policy_of_train(db)
    for minutes in (10, 20):
        await do(db, products.update_product, world.TRAIN, {"boarding_minutes": minutes})
    made = await do(db, drafts.roll_back, TRAIN, 2, comment="too short")
    assert (made.state, made.content["boarding_minutes"]) == (DRAFT, 10)
    await do(db, publishing.publish, TRAIN, made.version)
    await do(
        db,
        publishing.publish,
        TRAIN,
        (await do(db, drafts.roll_back, TRAIN, 1, comment="r")).version,
    )
    assert await policy_of_train(db) == before
    assert await states(db, TRAIN) == [SUPERSEDED] * 4 + [PUBLISHED]
    unpublished = await draft(db, TRAIN)
    error = await refused(db, drafts.roll_back, TRAIN, unpublished.version, comment="r")
    assert error.violations[0][0] == "to_version"


async def test_promotions_and_fares(db: Database) -> None:
    now = datetime.now(UTC)
    deal = promotions.PromotionRecord(
        *(5, None, "Winter", "冬季", 1000, 0, now, now + timedelta(days=9), 1, [], True, False)
    )
    await do(db, promotions.create_promotion, deal)
    made = await draft(db, DEAL, basis_points_off=2500)
    await do(db, publishing.publish, DEAL, made.version)
    async with db.transaction() as tx:
        assert (await PROMOTIONS.get(tx, 5)).basis_points_off == 2500
    bad = {**made.content, "amount_off_minor": 5}
    error = await refused(db, drafts.create_draft, DEAL, base_version=0, content=bad, comment="r")
    assert error.reason is Reason.INVALID_FIELD
    await do(db, promotions.archive_promotion, 5)
    error = await refused(db, drafts.create_draft, DEAL, base_version=0, content=None, comment="r")
    assert error.reason is Reason.ARCHIVED
    fares = [{**fare, "amount_minor": 7} for fare in world.TRAIN_FARES]
    await draft(db, FARES, fares=fares)
    await do(db, publishing.publish, FARES, 2)
    async with db.transaction() as tx:
        assert (await ROUTES.get(tx, world.TRAIN_ROUTE)).fares == fares


async def test_a_cap_is_part_of_a_version(db: Database) -> None:
    """It is checked again when it takes effect; of a content without one it stays."""
    now = datetime.now(UTC)
    deal = promotions.PromotionRecord(
        *(5, "TEN", "Winter", "冬季", 1000, 0, now, now + timedelta(days=9), 1, [], True, True)
    )
    await do(db, promotions.create_promotion, deal, cap=3)
    made = await draft(db, DEAL, cap=7)
    assert (await do(db, publishing.publish, DEAL, made.version)).content["cap"] == 7
    async with db.transaction() as tx:
        assert (await PROMOTIONS.get(tx, 5)).cap == 7
        await tx.execute(update(stocks).where(stocks.c.promotion_id == 5).values(sold=5))
    assert await states(db, DEAL) == [SUPERSEDED, PUBLISHED]  # and no other one for the cap
    back = await refused(db, drafts.roll_back, DEAL, 1, comment="r")
    assert (back.reason, back.metadata["sold"]) == (Reason.STOCK_IN_USE, "5")
    less = await draft(db, DEAL, cap=6)
    await scheduled(db, DEAL, less.version, SOON)
    async with db.transaction() as tx:
        await tx.execute(update(stocks).where(stocks.c.promotion_id == 5).values(sold=7))
    await at(db, 2 * SOON)
    assert (await version(db, DEAL, less.version)).fault.startswith("STOCK_IN_USE: cap: ")
    without = {name: value for name, value in made.content.items() if name != "cap"}
    kept = await do(db, drafts.create_draft, DEAL, base_version=0, content=without, comment="r")
    assert kept.content["cap"] == 7
    await do(db, promotions.update_promotion, 5, {"cap": 9})
    assert (await states(db, DEAL))[-1] == PUBLISHED


# At its time

SOON = timedelta(seconds=30)


async def scheduled(db: Database, subject: ConfigSubject, number: int, after: timedelta) -> Any:
    at = datetime.now(UTC) + after
    return await do(db, publishing.schedule, subject, number, effective_time=at)


async def at(db: Database, later: timedelta) -> int:
    """What any process does at that time."""
    return await publishing.apply_due(db, datetime.now(UTC) + later)


async def test_what_is_scheduled_takes_effect_once_at_its_time_in_its_order(db: Database) -> None:
    """Ten processes that look at once. Seen red with the looks at the state taken out of
    `_apply_one` and of `_report`: the others were refused. Either is enough for that; what
    the first is for, `test_what_is_put_off_at_the_last_moment_waits` shows.
    """
    one = await draft(db, TRAIN, boarding_minutes=11)
    await scheduled(db, TRAIN, one.version, SOON)
    after_that = await draft(db, TRAIN, one.version, boarding_minutes=12)
    early = datetime.now(UTC) + SOON / 2
    error = await refused(db, publishing.schedule, TRAIN, after_that.version, effective_time=early)
    assert error.violations[0][0] == "effective_time"
    error = await refused(db, publishing.publish, TRAIN, after_that.version)
    assert error.reason is Reason.CONFIG_VERSION_OUTDATED  # the one before it is still to come
    await scheduled(db, TRAIN, after_that.version, 2 * SOON)
    assert await at(db, timedelta()) == 0
    await asyncio.gather(*[at(db, SOON * 1.5) for _ in range(10)])
    assert await states(db, TRAIN) == [SUPERSEDED, PUBLISHED, SCHEDULED]
    await asyncio.gather(*[at(db, 3 * SOON) for _ in range(10)])  # after an outage of days, say
    assert await states(db, TRAIN) == [SUPERSEDED, SUPERSEDED, PUBLISHED]
    query = select(audit_events.c.name).where(
        audit_events.c.action == "publish", audit_events.c.resource == "config_version"
    )
    async with db.transaction() as tx:
        names = (await tx.scalars(query.order_by(audit_events.c.occurred_time))).all()
    assert names == ["product-201-2", "product-201-3"]


async def test_what_does_not_apply_any_more_is_reported_and_nothing_of_it_takes_effect(
    db: Database,
) -> None:
    fares = [{**fare, "amount_minor": 7} for fare in world.TRAIN_FARES]
    await draft(db, FARES, fares=fares)
    await scheduled(db, FARES, 2, SOON)
    other = await draft(db, TRAIN, boarding_minutes=11)
    await scheduled(db, TRAIN, other.version, SOON)
    await do(db, products.update_product, world.TRAIN, {"validity_days": 9})
    async with db.transaction() as tx:  # a stop is closed meanwhile
        this = route_table.c.route_id == world.TRAIN_ROUTE
        calls = [world.call("IZQ", 0, 0), world.call("XJA", 60, 60)]
        short = [fare for fare in world.TRAIN_FARES if "IOQ" not in fare.values()]
        await tx.execute(update(route_table).where(this).values(stops=calls))
    await at(db, 2 * SOON)
    assert await states(db, FARES) == [PUBLISHED, DRAFT]
    fault = (await version(db, FARES, 2)).fault
    assert fault.startswith("INVALID_FIELD: fares[")
    assert "IOQ is no stop" in fault
    assert await states(db, TRAIN) == [SUPERSEDED, DRAFT, PUBLISHED]
    assert (await version(db, TRAIN, 2)).fault.startswith("CONFIG_VERSION_OUTDATED: ")
    async with db.transaction() as tx:
        assert (await ROUTES.get(tx, world.TRAIN_ROUTE)).fares == world.TRAIN_FARES
    await do(db, drafts.update_draft, FARES, 2, content={"fares": short}, comment="")
    done = await do(db, publishing.publish, FARES, 2)  # it can be mended
    assert (done.state, done.fault) == (PUBLISHED, "")


async def test_a_calendar_that_is_to_be_used_is_not_archived(db: Database) -> None:
    """Seen red with the look at what is scheduled left out: the version did not take effect."""
    new = holidays.HolidayCalendar("ZZ", "Other", "其他")
    await do(db, holidays.create_calendar, new)
    made = await draft(db, TRAIN, calendar_code="ZZ")
    await scheduled(db, TRAIN, made.version, SOON)
    error = await refused(db, holidays.archive_calendar, "ZZ")
    assert (error.reason, error.metadata["used_by"]) == (Reason.IN_USE, made.version_id)
    await do(db, publishing.cancel_scheduled, TRAIN, made.version)
    await do(db, holidays.archive_calendar, "ZZ")
    error = await refused(db, publishing.publish, TRAIN, made.version)
    assert [field for field, _ in error.violations] == ["calendar_code"]


async def test_what_is_scheduled_can_be_cancelled(db: Database) -> None:
    made = await draft(db, TRAIN, boarding_minutes=11)
    await scheduled(db, TRAIN, made.version, SOON)
    changing = {"content": made.content, "comment": ""}
    error = await refused(db, drafts.update_draft, TRAIN, made.version, **changing)
    assert error.reason is Reason.CONFIG_VERSION_STATE_REFUSES
    await do(db, publishing.cancel_scheduled, TRAIN, made.version)
    assert await at(db, 2 * SOON) == 0
    assert await states(db, TRAIN) == [PUBLISHED, DRAFT]
    await do(db, drafts.discard_draft, TRAIN, made.version)
    await do(db, drafts.discard_draft, TRAIN, made.version)
    error = await refused(db, publishing.publish, TRAIN, made.version)
    assert error.metadata["state"] == "DISCARDED"


async def test_what_is_put_off_at_the_last_moment_waits(db: Database) -> None:
    """A process has seen that it is due, and meanwhile it is scheduled for later. Seen red without
    the second look in `_apply_one`: it took effect before its time.
    """
    made = await draft(db, TRAIN, boarding_minutes=11)
    await scheduled(db, TRAIN, made.version, SOON)
    seen = await version(db, TRAIN, made.version)
    await do(db, publishing.cancel_scheduled, TRAIN, made.version)
    await scheduled(db, TRAIN, made.version, 9 * SOON)
    await publishing._apply_one(db, seen, datetime.now(UTC) + 2 * SOON)
    assert await states(db, TRAIN) == [PUBLISHED, SCHEDULED]
    assert await at(db, 10 * SOON) == 1
    assert await states(db, TRAIN) == [SUPERSEDED, PUBLISHED]


async def test_only_one_of_several_drafts_is_published(db: Database) -> None:
    made = [await draft(db, TRAIN, boarding_minutes=minutes) for minutes in (10, 20, 30)]

    async def publish(number: int) -> Reason | None:
        try:
            await do(db, publishing.publish, TRAIN, number)
        except DomainError as error:
            return error.reason
        return None

    found = await asyncio.gather(*[publish(each.version) for each in made])
    assert sorted(map(str, found)) == sorted(
        map(str, [None, Reason.CONFIG_VERSION_OUTDATED, Reason.CONFIG_VERSION_OUTDATED])
    )
