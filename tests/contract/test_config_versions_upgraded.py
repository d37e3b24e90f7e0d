"""What sells has a version 1 after the upgrade: what it was sold as before."""

import dataclasses
from datetime import UTC, datetime, timedelta

from alembic import command
from sqlalchemy import delete, func, select

from server.catalog import config_objects, config_versions, promotions
from server.catalog.config_versions import PRODUCT, PROMOTION, ROUTE_FARES, ConfigSubject
from server.catalog.models import config_versions as table
from tests.contract.test_schema import connected, run
from tests.support import timetable as world

BEFORE = "0033"


async def test_version_one_is_what_there_was(timetable_url: str) -> None:
    """The migration is undone and done again over a catalogue. Each object's version 1 has just
    what the object has: no other version is made of it when it is looked at.
    """
    now = datetime.now(UTC)
    async with world.database(timetable_url) as db, db.transaction() as tx:
        deal = promotions.PromotionRecord(
            *(5, "WINTER", "W", "冬", 0, 100, now, now + timedelta(days=9), 1, [106], True),
            *(False, "HKD"),
        )
        await promotions.create_promotion(tx, deal, actor="test", now=now)
        capped = dataclasses.replace(deal, promotion_id=6, code="TEN", capped=True)
        await promotions.create_promotion(tx, capped, cap=4, actor="test", now=now)
        await tx.execute(delete(table))
    with connected(timetable_url) as connection:
        run(connection, command.downgrade, BEFORE)
        run(connection, command.upgrade, "head")
    subjects = [(PRODUCT, world.TRAIN), (ROUTE_FARES, world.TRAIN_ROUTE), (PROMOTION, 5)]
    subjects.append((PROMOTION, 6))
    async with world.database(timetable_url) as db, db.transaction() as tx:
        for subject in [ConfigSubject(*each) for each in subjects]:
            content = await config_objects.lock(tx, *subject)
            assert (await config_versions.published(tx, subject, content, now=now)).version == 1
        assert await tx.scalar(select(func.max(table.c.version))) == 1
