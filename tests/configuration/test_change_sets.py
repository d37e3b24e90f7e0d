"""Several objects published at one instant, previewed as one, all or nothing, and taken back
together.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.catalog import products, promotions, routes
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
from server.catalog.products import PRODUCTS
from server.catalog.promotions import PROMOTIONS
from server.catalog.routes import ROUTES
from server.configuration import drafts, kept_examples, publishing
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from tests.configuration.test_preview import look
from tests.configuration.test_versions import SOON, at, do, draft, refused, states, version
from tests.support import timetable as world
from tests.support.searching import promotion

TRAIN = ConfigSubject(PRODUCT, world.TRAIN)
FARES = ConfigSubject(ROUTE_FARES, world.TRAIN_ROUTE)
DEAL = ConfigSubject(PROMOTION, 5)
SUBJECTS = [TRAIN, DEAL, FARES]
HALF = [{**fare, "amount_minor": fare["amount_minor"] // 2} for fare in world.TRAIN_FARES]


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        await do(database, promotions.create_promotion, promotion(5, None))
        yield database


async def three(db: Database) -> list[ConfigVersion]:
    """Drafts of a product, a promotion and fares."""
    return [
        await draft(db, TRAIN, boarding_minutes=11),
        await draft(db, DEAL, basis_points_off=2500),
        await draft(db, FARES, fares=HALF),
    ]


def names(made: list[ConfigVersion]) -> list[Any]:
    return [each.name for each in reversed(made)]  # as nobody sorts them


async def sold(db: Database) -> tuple[Any, ...]:
    async with db.transaction() as tx:
        return (
            (await PRODUCTS.get(tx, world.TRAIN)).boarding_minutes,
            (await PROMOTIONS.get(tx, 5)).basis_points_off,
            (await ROUTES.get(tx, world.TRAIN_ROUTE)).fares,
        )


async def test_all_of_it_takes_effect_and_goes_back_together(db: Database) -> None:
    before = await sold(db)
    done = await do(db, publishing.publish_together, names(await three(db)))
    (change_set_id,) = {each.change_set_id for each in done}
    assert change_set_id == "set-product-201-2"
    assert await sold(db) == (11, 2500, HALF)
    back = await do(
        db, publishing.roll_back_together, change_set_id, at_once=False, comment="a slip"
    )
    assert {each.state for each in back} == {DRAFT}
    assert await sold(db) == (11, 2500, HALF)
    for each in back:
        await do(db, drafts.discard_draft, *each.name)
    back = await do(db, publishing.roll_back_together, change_set_id, at_once=True, comment="r")
    assert {each.change_set_id for each in back} == {"set-product-201-4"}
    assert await sold(db) == before
    for subject in SUBJECTS:
        assert (await states(db, subject))[-1] == PUBLISHED


async def test_the_dry_run_of_all_is_what_then_happens_and_not_the_sum_of_each(
    db: Database,
) -> None:
    made = await three(db)
    alone = [await look(db, each) for each in made]
    together = await look(db, *reversed(made))
    assert together.faults == []
    assert together.changed == [
        "product-201.boarding_minutes",
        "promotion-5.basis_points_off",
        "route_fares-11.fares",
    ]
    after = {each.offer.offer_id: each.after for each in together.changes}
    for one in alone:
        for change in one.changes:
            if change.offer.product_id == world.TRAIN and change.after.sells:
                assert after[change.offer.offer_id] != change.after
    await do(db, publishing.publish_together, names(made))
    nothing = await draft(db, TRAIN)
    seen = await look(db, await draft(db, TRAIN, boarding_minutes=12))
    assert (await look(db, nothing)).changes == []
    assert {each.offer.offer_id: each.before for each in seen.changes}.items() <= after.items()


async def test_one_that_cannot_be_published_keeps_back_all(db: Database) -> None:
    before, made = await sold(db), await three(db)
    await do(db, routes.set_fares, world.TRAIN_ROUTE, world.TRAIN_FARES[:1])
    error = await refused(db, publishing.publish_together, names(made))
    assert error.reason is Reason.CONFIG_VERSION_OUTDATED
    assert error.message.startswith("route_fares-11-2: ")
    assert (await sold(db))[:2] == before[:2]
    assert [(await states(db, each.subject))[1] for each in made] == [DRAFT] * 3
    found = await look(db, *made)
    assert [each.split(":")[1].strip() for each in found.faults] == ["route_fares-11-2"]


async def test_two_of_one_object_are_no_change_set(db: Database) -> None:
    made = [await draft(db, TRAIN), await draft(db, TRAIN)]
    error = await refused(db, publishing.publish_together, names(made))
    assert error.violations[0][0] == "version_ids[1]"
    with pytest.raises(DomainError):
        await look(db, *made)


EXAMPLE = """
examples:
- name: half price for those who board late
  price: {party: [ADULT], day_type: weekday, route_id: 11, class_code: SECOND, origin: IZQ,
    destination: XJA}
  expected: {total_minor: 9000}
"""


async def test_examples_are_tried_against_all_of_it(db: Database) -> None:
    """10,000 by the new fare, of which the new tier takes 10 %."""
    await do(db, kept_examples.set_examples, world.TRAIN, EXAMPLE)
    tier = await draft(db, TRAIN, tiers=[{"min_party": 1, "percent_off": 10}])
    half = await draft(db, FARES, fares=HALF)
    for each in (tier, half):
        error = await refused(db, publishing.publish, *each.name)
        assert error.reason is Reason.CONFIG_EXAMPLE_FAILED
    assert (await look(db, tier, half)).faults == []
    await do(db, publishing.publish_together, [half.name, tier.name])


# At its time


async def scheduled(db: Database) -> list[ConfigVersion]:
    made, when = await three(db), datetime.now(UTC) + SOON
    found: list[ConfigVersion] = await do(
        db, publishing.publish_together, names(made), effective_time=when
    )
    return found


async def test_what_is_scheduled_takes_effect_together_once(db: Database) -> None:
    """Ten processes that look at once."""
    await scheduled(db)
    assert await at(db, timedelta()) == 0
    await asyncio.gather(*[at(db, 2 * SOON) for _ in range(10)])
    assert await sold(db) == (11, 2500, HALF)
    for subject in SUBJECTS:
        assert await states(db, subject) == [SUPERSEDED, PUBLISHED]


async def test_what_is_scheduled_together_is_cancelled_together_and_nothing_of_it_alone(
    db: Database,
) -> None:
    made = await scheduled(db)
    error = await refused(db, publishing.publish, *made[-1].name)
    assert error.reason is Reason.CONFIG_VERSION_STATE_REFUSES
    rolling = {"at_once": False, "comment": "r"}
    error = await refused(db, publishing.roll_back_together, made[0].change_set_id, **rolling)
    assert error.reason is Reason.CONFIG_VERSION_STATE_REFUSES
    await do(db, publishing.cancel_scheduled, *made[1].name)
    assert await at(db, 2 * SOON) == 0
    for subject in SUBJECTS:
        assert await states(db, subject) == [PUBLISHED, DRAFT]
    error = await refused(db, publishing.roll_back_together, made[0].change_set_id, **rolling)
    assert error.reason is Reason.NOT_FOUND
    assert {each.state for each in await scheduled_again(db, made)} == {SCHEDULED}


async def scheduled_again(db: Database, made: list[ConfigVersion]) -> list[ConfigVersion]:
    when = datetime.now(UTC) + SOON
    found: list[ConfigVersion] = await do(
        db, publishing.publish_together, names(made), effective_time=when
    )
    return found


async def test_one_that_does_not_apply_any_more_makes_drafts_of_all(db: Database) -> None:
    before = await sold(db)
    await scheduled(db)
    await do(db, products.update_product, world.TRAIN, {"validity_days": 9})
    await asyncio.gather(*[at(db, 2 * SOON) for _ in range(5)])
    assert await sold(db) == before
    assert await states(db, TRAIN) == [SUPERSEDED, DRAFT, PUBLISHED]
    for subject in (DEAL, FARES):
        assert await states(db, subject) == [PUBLISHED, DRAFT]
        found = await version(db, subject, 2)
        assert found.fault.startswith("CONFIG_VERSION_OUTDATED: product-201-2: ")
        assert found.change_set_id == ""


async def test_what_was_changed_since_is_not_rolled_back_over(db: Database) -> None:
    done = await do(db, publishing.publish_together, names(await three(db)))
    await do(db, products.update_product, world.TRAIN, {"validity_days": 9})
    error = await refused(
        *(db, publishing.roll_back_together, done[0].change_set_id), at_once=True, comment="r"
    )
    assert error.reason is Reason.CONFIG_VERSION_OUTDATED
    assert (await sold(db))[1:] == (2500, HALF)


async def test_two_change_sets_in_opposite_orders_do_not_wait_for_each_other(
    db: Database,
) -> None:
    """Of two made of the same, one is published, the other refused."""
    one, other = await three(db), await three(db)

    async def publish(found: list[Any]) -> Reason | None:
        try:
            await do(db, publishing.publish_together, found)
        except DomainError as error:
            return error.reason
        return None

    for _ in range(5):
        results = await asyncio.gather(
            publish([each.name for each in one]), publish([each.name for each in reversed(other)])
        )
        assert results.count(None) <= 1
        assert set(results) <= {
            *(None, Reason.CONFIG_VERSION_OUTDATED, Reason.CONFIG_VERSION_STATE_REFUSES)
        }
