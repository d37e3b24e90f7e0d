"""A version takes effect, alone or with all of a change set: now, or at its time, once however
many processes run.

All of it is one transaction, with the rows of the objects locked: whoever is killed meanwhile
leaves things as they were. Every process looks for versions whose time has come a few times a
second, and before it begins to serve; those that look at the same moment wait for each other, and
find it done. What does not apply any more is a draft again, with what is wrong: nothing of it takes
effect.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Unpack

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import config_objects, config_versions
from server.catalog.config_versions import (
    DRAFT,
    PUBLISHED,
    SCHEDULED,
    ConfigSubject,
    ConfigVersion,
    VersionName,
)
from server.configuration import drafts, kept_examples
from server.configuration.drafts import outdated
from server.platform.clock import now
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid
from server.platform.loops import Loops, Polling
from server.platform.statements import Command, run

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

    Raises NOT_FOUND, PRODUCT_NOT_ON_SALE, ARCHIVED, CONFIG_VERSION_STATE_REFUSES (also for one of
    a change set, which is scheduled), CONFIG_VERSION_OUTDATED if something else is published than
    what it was made from, CONFIG_EXAMPLE_FAILED unless there is a `force_comment`, INVALID_FIELD if
    its object cannot have its content any more.
    """
    name = VersionName(subject, version)
    (draft,) = await _ready(tx, [name], (DRAFT, SCHEDULED), force_comment, **by)
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
    return await publish(tx, *draft.name, **by) if at_once else draft


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
    _require_to_come(effective_time, by["now"])
    (draft,) = await _ready(tx, [VersionName(subject, version)], (DRAFT,), force_comment, **by)
    return await _schedule(tx, draft, effective_time, {"force_comment": force_comment}, **by)


async def cancel_scheduled(
    tx: AsyncConnection, subject: ConfigSubject, version: int, **by: Unpack[By]
) -> ConfigVersion:
    """Makes a scheduled version a draft again, with all others of its change set.

    Raises NOT_FOUND, CONFIG_VERSION_STATE_REFUSES.
    """
    name = VersionName(subject, version)
    cancelled = await _back_to_drafts(
        tx, name, {"effective_time": None, "publisher": None}, action="cancel_schedule", **by
    )
    return cancelled[name]


# Change sets


async def publish_together(
    tx: AsyncConnection,
    names: Collection[VersionName],
    *,
    effective_time: datetime | None = None,
    force_comment: str = "",
    **by: Unpack[By],
) -> list[ConfigVersion]:
    """Has drafts of several objects take effect at one moment, now or at a time to come: all of
    them, or none.

    Raises as `publish` and `schedule` do, with the version's name before what is wrong with it; and
    INVALID_FIELD for two versions of one object.
    """
    if effective_time:
        _require_to_come(effective_time, by["now"])
    config_versions.refuse_two_of_one(names)
    ready = await _ready(tx, names, (DRAFT,), force_comment, **by)
    values = {
        "change_set_id": f"set-{ready[0].version_id}",
        "publisher": by["actor"],
        "force_comment": force_comment,
    }
    if effective_time:
        return [await _schedule(tx, each, effective_time, values, **by) for each in ready]
    return [await _take_effect(tx, each, values, **by) for each in ready]


async def roll_back_together(
    tx: AsyncConnection, change_set_id: str, *, at_once: bool, comment: str, **by: Unpack[By]
) -> list[ConfigVersion]:
    """Drafts with what each object of a change set had before it; published together `at_once`.

    Raises NOT_FOUND, CONFIG_VERSION_STATE_REFUSES while it is scheduled, CONFIG_VERSION_OUTDATED if
    anything of it was changed since, and as `publish_together` does.
    """
    made = []
    for member in await config_versions.members(tx, change_set_id):
        now_sold = await config_objects.lock(tx, *member.subject)
        if member.state == SCHEDULED:
            raise config_versions.state_refuses(member, (PUBLISHED,))
        current = await config_versions.published(tx, member.subject, now_sold, now=by["now"])
        if current.version != member.version:
            raise outdated(member.subject, member, current)
        assert member.base_version, "it was published instead of something"
        to = VersionName(member.subject, member.base_version)
        made.append(await drafts.roll_back(tx, *to, comment=comment, **by))
    if not at_once:
        return made
    return await publish_together(tx, [each.name for each in made], **by)


# At its time


async def apply_due(db: Database, moment: datetime) -> int:
    """Has up to DUE_AT_ONCE take effect whose time has come, with all of their change sets; how
    many there were. Raises DATABASE_UNAVAILABLE.
    """
    async with db.transaction() as tx:
        found = await config_versions.due(tx, moment, limit=DUE_AT_ONCE)
    seen: set[str] = set()
    for version in found:
        if not version.change_set_id or version.change_set_id not in seen:
            await _apply_one(db, version, moment)
        seen.add(version.change_set_id)
    return len(found)


async def _apply_one(db: Database, version: ConfigVersion, moment: datetime) -> None:
    """A version that was due, or all of its change set."""
    by = By(actor=config_versions.SYSTEM, now=moment)

    async def work(tx: AsyncConnection) -> bool:
        together = await _locked(tx, version.name)
        if not all(_is_due(each, moment) for each in together):
            return False  # another process was first, or it was cancelled
        names = [each.name for each in together]
        ready = await _ready(tx, names, (SCHEDULED,), together[0].force_comment, **by)
        for each in ready:
            await _take_effect(tx, each, {}, **by)
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
    """What could not take effect is a draft again, with why, and so is all of its change set."""
    by = By(actor=config_versions.SYSTEM, now=moment)

    async def work(tx: AsyncConnection) -> bool:
        found = await config_versions.get(tx, *version.name, lock=True)
        if not _is_due(found, moment):
            return False
        values = {"fault": fault}
        await _back_to_drafts(tx, version.name, values, action="refuse_publish", **by)
        return True

    if await db.in_transaction(work):
        log.error("config_version.refused", version=version.version_id, error=fault)


def _is_due(version: ConfigVersion, moment: datetime) -> bool:
    at = version.effective_time
    return version.state == SCHEDULED and at is not None and at <= moment


# What all of these do


def _require_to_come(effective_time: datetime, now: datetime) -> None:
    if not now < effective_time <= now + MAX_AHEAD:
        raise invalid(
            "effective_time", f"is not within {MAX_AHEAD.days} days from now; send a time to come"
        )


async def _together(tx: AsyncConnection, version: ConfigVersion) -> list[ConfigVersion]:
    """A version and the others of its change set."""
    if not version.change_set_id:
        return [version]
    return await config_versions.members(tx, version.change_set_id)


async def _locked(tx: AsyncConnection, name: VersionName) -> list[ConfigVersion]:
    """A version and the others of its change set as they are now, with their objects locked."""
    together = await _together(tx, await config_versions.get(tx, *name))
    for each in together:
        await config_objects.lock(tx, *each.subject)
    return [await config_versions.get(tx, *each.name, lock=True) for each in together]


async def _back_to_drafts(
    tx: AsyncConnection,
    name: VersionName,
    values: Mapping[str, Any],
    *,
    action: str,
    **by: Unpack[By],
) -> dict[VersionName, ConfigVersion]:
    """Makes a scheduled version, and all of its change set, drafts again."""
    together = await _together(tx, await config_versions.get(tx, *name))
    given = {"state": DRAFT, "change_set_id": "", **values}
    moved = [
        await config_versions.move(tx, each, (SCHEDULED,), given, action=action, **by)
        for each in together
    ]
    return {each.name: each for each in moved}


async def _ready(
    tx: AsyncConnection,
    names: Collection[VersionName],
    states: tuple[str, ...],
    force_comment: str,
    **by: Unpack[By],
) -> list[ConfigVersion]:
    """Versions that may take effect together, or be scheduled, with their objects locked; in the
    order of their names, as everybody locks several.
    """
    ready = []
    for name in sorted(names):
        try:
            ready.append(await _ready_one(tx, name, states, **by))
        except DomainError as error:
            if len(names) > 1:
                error.message = f"{config_versions.version_id(*name)}: {error.message}"
            raise
    for each in ready:
        if not {member.name for member in await _together(tx, each)} <= set(names):
            raise _not_alone(each)
    if not force_comment:
        await kept_examples.require(tx, ready)
    return ready


def _not_alone(version: ConfigVersion) -> DomainError:
    return DomainError(
        Reason.CONFIG_VERSION_STATE_REFUSES,
        f"{version.version_id} is scheduled with all of {version.change_set_id}, and does not take"
        " effect alone: cancel it, which makes drafts of all of them, and publish these",
        version_id=version.version_id,
        state=version.state,
    )


async def _ready_one(
    tx: AsyncConnection, name: VersionName, states: tuple[str, ...], **by: Unpack[By]
) -> ConfigVersion:
    now_sold = await config_objects.lock(tx, *name.subject)
    current = await config_versions.published(tx, name.subject, now_sold, now=by["now"])
    draft = await config_versions.get(tx, *name, lock=True)
    if draft.state not in states:
        raise config_versions.state_refuses(draft, states)
    assert draft.base_version is not None, "a draft is made from something"
    if draft.base_version != current.version:
        base = await config_versions.get(tx, name.subject, draft.base_version)
        if base.state != SCHEDULED or SCHEDULED in states:
            raise outdated(name.subject, base, current)
    await config_objects.check(tx, *name.subject, draft.content)
    return draft


async def _schedule(
    tx: AsyncConnection,
    draft: ConfigVersion,
    effective_time: datetime,
    values: Mapping[str, Any],
    **by: Unpack[By],
) -> ConfigVersion:
    assert draft.base_version is not None, "a draft is made from something"
    base = await config_versions.get(tx, draft.subject, draft.base_version)
    if base.effective_time and base.state == SCHEDULED and effective_time <= base.effective_time:
        raise invalid(
            "effective_time",
            f"is not after {base.effective_time.isoformat()}, when the version takes effect that"
            f" {draft.version_id} was made from",
        )
    given = {
        "state": SCHEDULED,
        "effective_time": effective_time,
        "publisher": by["actor"],
        "fault": "",
        **values,
    }
    return await config_versions.move(tx, draft, (DRAFT,), given, action="schedule", **by)


async def _take_effect(
    tx: AsyncConnection, draft: ConfigVersion, values: Mapping[str, Any], **by: Unpack[By]
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
            Polling(self.look, POLL_SECONDS, tolerated=(DomainError, TimeoutError), due=self._due),
        )

    async def catch_up(self) -> None:
        """Has take effect whatever should have, before anything is sold. Raises
        DATABASE_UNAVAILABLE.
        """
        while await apply_due(self._db, now()):
            pass

    def _due(self) -> Command[bool]:
        return config_versions.is_due(now())

    async def look(self) -> None:
        """Looks once. Raises DATABASE_UNAVAILABLE."""
        async with self._db.pipeline() as pipeline, pipeline.autocommit():
            (is_due,) = await run(pipeline, config_versions.is_due(now()))
        if is_due:
            await apply_due(self._db, now())

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Stops."""
        await self._loop.end()
