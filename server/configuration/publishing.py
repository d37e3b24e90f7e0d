"""A version takes effect: now, or at its time, once however many processes run.

All of it is one transaction, with the object's row locked: whoever is killed meanwhile leaves
things as they were. Every process looks for versions whose time has come a few times a second, and
before it begins to serve; those that look at the same moment wait for each other, and find it done.
What does not apply any more is a draft again, with what is wrong: nothing of it takes effect.
"""

from datetime import datetime, timedelta
from typing import Any, Unpack

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import config_objects, config_versions
from server.catalog.config_versions import (
    DRAFT,
    SCHEDULED,
    ConfigSubject,
    ConfigVersion,
)
from server.configuration import drafts, kept_examples
from server.configuration.drafts import outdated
from server.platform.clock import now
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid
from server.platform.loops import Loops, Polling

MAX_AHEAD = timedelta(days=730)
"""A version is scheduled at most this long before its time."""
POLL_SECONDS = 0.25
DUE_AT_ONCE = 20
LOST_RACES = frozenset({Reason.CONFLICT, Reason.DATABASE_UNAVAILABLE})
"""After which publishing is tried again at the next look: nothing is wrong with the version."""

log = structlog.get_logger()


async def publish(
    tx: AsyncConnection,
    subject: ConfigSubject,
    version: int,
    *,
    force_comment: str = "",
    **by: Unpack[By],
) -> ConfigVersion:
    """Has a draft, or what is scheduled, take effect now.

    Raises NOT_FOUND, PRODUCT_NOT_ON_SALE, ARCHIVED, CONFIG_VERSION_STATE_REFUSES,
    CONFIG_VERSION_OUTDATED if something else is published than what it was made from,
    CONFIG_EXAMPLE_FAILED unless there is a `force_comment`, INVALID_FIELD if its object cannot have
    its content any more.
    """
    draft = await _ready(tx, subject, version, (DRAFT, SCHEDULED), force_comment, **by)
    return await _take_effect(
        tx, draft, {"force_comment": force_comment, "publisher": by["actor"]}, **by
    )


async def roll_back(
    tx: AsyncConnection,
    subject: ConfigSubject,
    to_version: int,
    *,
    at_once: bool,
    comment: str,
    **by: Unpack[By],
) -> ConfigVersion:
    """A draft with the content of a version that once was published, or that content published
    `at_once`. Raises as `drafts.roll_back` and `publish` do.
    """
    draft = await drafts.roll_back(tx, subject, to_version, comment=comment, **by)
    return await publish(tx, subject, draft.version, **by) if at_once else draft


async def schedule(
    tx: AsyncConnection,
    subject: ConfigSubject,
    version: int,
    *,
    effective_time: datetime,
    force_comment: str = "",
    **by: Unpack[By],
) -> ConfigVersion:
    """Has a draft take effect at a time to come.

    Raises as `publish` does, and INVALID_FIELD for a time that is over, too far ahead, or not after
    that of the scheduled version it was made from.
    """
    if not by["now"] < effective_time <= by["now"] + MAX_AHEAD:
        raise invalid(
            "effective_time", f"is not within {MAX_AHEAD.days} days from now; send a time to come"
        )
    draft = await _ready(tx, subject, version, (DRAFT,), force_comment, **by)
    assert draft.base_version is not None, "a draft is made from something"
    base = await config_versions.get(tx, subject, draft.base_version)
    if base.effective_time and base.state == SCHEDULED and effective_time <= base.effective_time:
        raise invalid(
            "effective_time",
            f"is not after {base.effective_time.isoformat()}, when the version takes effect that it"
            " was made from",
        )
    values = {
        "state": SCHEDULED,
        "effective_time": effective_time,
        "publisher": by["actor"],
        "force_comment": force_comment,
        "fault": "",
    }
    return await config_versions.move(tx, draft, (DRAFT,), values, action="schedule", **by)


async def cancel_scheduled(
    tx: AsyncConnection, subject: ConfigSubject, version: int, **by: Unpack[By]
) -> ConfigVersion:
    """Makes a scheduled version a draft again.

    Raises NOT_FOUND, CONFIG_VERSION_STATE_REFUSES.
    """
    before = await config_versions.get(tx, subject, version, lock=True)
    values = {"state": DRAFT, "effective_time": None, "publisher": None}
    return await config_versions.move(
        tx, before, (SCHEDULED,), values, action="cancel_schedule", **by
    )


async def apply_due(db: Database, moment: datetime) -> int:
    """Has up to DUE_AT_ONCE take effect whose time has come; how many there were. Raises
    DATABASE_UNAVAILABLE.
    """
    async with db.transaction() as tx:
        found = await config_versions.due(tx, moment, limit=DUE_AT_ONCE)
    for version in found:
        await _apply_one(db, version, moment)
    return len(found)


async def _apply_one(db: Database, version: ConfigVersion, moment: datetime) -> None:
    by = By(actor=config_versions.SYSTEM, now=moment)

    async def work(tx: AsyncConnection) -> bool:
        await config_objects.lock(tx, *version.subject)
        found = await config_versions.get(tx, version.subject, version.version)
        if found.state != SCHEDULED or not _is_due(found, moment):
            return False  # another process was first, or it was cancelled
        ready = await _ready(
            tx, version.subject, version.version, (SCHEDULED,), found.force_comment, **by
        )
        await _take_effect(tx, ready, {}, **by)
        return True

    try:
        if await db.in_transaction(work):
            log.info("config_version.published", version=version.version_id)
    except DomainError as error:
        if error.reason in LOST_RACES:
            raise
        await _report(db, version, f"{error.reason.value}: {error.message}", moment)
    except (
        Exception
    ):  # one that cannot be applied keeps neither others nor the server from going on
        log.exception("config_version.failed", version=version.version_id)
        await _report(db, version, "INTERNAL: see the log of the server", moment)


async def _report(db: Database, version: ConfigVersion, fault: str, moment: datetime) -> None:
    """What could not take effect is a draft again, with why."""
    by = By(actor=config_versions.SYSTEM, now=moment)
    values = {"state": DRAFT, "fault": fault}

    async def work(tx: AsyncConnection) -> bool:
        found = await config_versions.get(tx, version.subject, version.version, lock=True)
        if found.state != SCHEDULED or not _is_due(found, moment):
            return False
        await config_versions.move(tx, found, (SCHEDULED,), values, action="refuse_publish", **by)
        return True

    if await db.in_transaction(work):
        log.error("config_version.refused", version=version.version_id, error=fault)


def _is_due(version: ConfigVersion, moment: datetime) -> bool:
    return version.effective_time is not None and version.effective_time <= moment


async def _ready(
    tx: AsyncConnection,
    subject: ConfigSubject,
    version: int,
    states: tuple[str, ...],
    force_comment: str,
    **by: Unpack[By],
) -> ConfigVersion:
    """A version that may take effect, or be scheduled, with its object locked."""
    now_sold = await config_objects.lock(tx, *subject)
    current = await config_versions.published(tx, subject, now_sold, now=by["now"])
    draft = await config_versions.get(tx, subject, version, lock=True)
    if draft.state not in states:
        raise config_versions.state_refuses(draft, states)
    assert draft.base_version is not None, "a draft is made from something"
    if draft.base_version != current.version:
        base = await config_versions.get(tx, subject, draft.base_version)
        if base.state != SCHEDULED or SCHEDULED in states:
            raise outdated(subject, base, current)
    await config_objects.check(tx, *subject, draft.content)
    if not force_comment:
        await kept_examples.require(tx, draft)
    return draft


async def _take_effect(
    tx: AsyncConnection, draft: ConfigVersion, values: dict[str, Any], **by: Unpack[By]
) -> ConfigVersion:
    now_sold = await config_objects.lock(tx, *draft.subject)
    made = await config_versions.publish(tx, draft, values, **by)
    await config_objects.apply(tx, *draft.subject, now_sold, draft.content, **by)
    return made


class ScheduledVersions:
    """What takes effect at its time, in this process."""

    def __init__(self, db: Database, loops: Loops | None = None) -> None:
        self._db = db
        self._loop = (loops or Loops()).add(
            "scheduled-versions",
            Polling(self.look, POLL_SECONDS, tolerated=(DomainError, TimeoutError)),
        )

    async def catch_up(self) -> None:
        """Has take effect whatever should have, before anything is sold. Raises
        DATABASE_UNAVAILABLE.
        """
        while await apply_due(self._db, now()):
            pass

    async def look(self) -> None:
        """Looks once."""
        await apply_due(self._db, now())

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Stops."""
        await self._loop.end()
