"""Versions of what sells: products, fares of routes, promotions.

Each object has numbered versions, each with all of its content:

    DRAFT → SCHEDULED → PUBLISHED → SUPERSEDED, or DISCARDED

The object's own row, which all that sells reads, has the content of the PUBLISHED one; this is its
history, and what is to come. Versions of several objects may be published together, as a change
set: all of it takes effect at one moment, or none. A plain update of an object writes a version,
too. What another way
has changed (by SQL, or before there were versions) is kept as one the next time anything of the
object is looked at here.

Whoever writes versions of an object holds the lock of its own row.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple, Unpack

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.rules import ENTITLEMENT_DEFAULTS
from server.audit.trail import AuditedChange, audit
from server.catalog import pricing
from server.catalog.models import config_versions
from server.catalog.policy import Policy
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import Command, Statement, run

PRODUCT, ROUTE_FARES, PROMOTION = "PRODUCT", "ROUTE_FARES", "PROMOTION"
DRAFT, SCHEDULED, PUBLISHED = "DRAFT", "SCHEDULED", "PUBLISHED"
SUPERSEDED, DISCARDED = "SUPERSEDED", "DISCARDED"
SYSTEM = "system"
RESOURCE = "config_version"
FOUND = "found so: changed by another way than through its versions"
_IS_DUE = Statement(
    """
SELECT EXISTS (
  SELECT FROM config_versions WHERE state = 'SCHEDULED' AND effective_time <= $1::timestamptz)
""",
    bool,
)

ConfigContent = Mapping[str, Any]
"""All of an object that has versions, as JSON, by the names of its columns."""


class ConfigSubject(NamedTuple):
    """An object that has versions."""

    object_type: str
    object_id: int


class VersionName(NamedTuple):
    """Which version of which object; in the order in which several objects are locked."""

    subject: ConfigSubject
    version: int


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """A version, see catalog.models.config_versions."""

    object_type: str
    object_id: int
    version: int
    state: str
    base_version: int | None
    content: dict[str, Any]
    comment: str
    author: str
    publisher: str | None
    create_time: datetime
    update_time: datetime
    effective_time: datetime | None
    publish_time: datetime | None
    force_comment: str
    fault: str
    change_set_id: str
    revision: int

    @property
    def subject(self) -> ConfigSubject:
        """Whose version it is."""
        return ConfigSubject(self.object_type, self.object_id)

    @property
    def name(self) -> VersionName:
        """Which it is."""
        return VersionName(self.subject, self.version)

    @property
    def version_id(self) -> str:
        """Its name, e.g. `product-106-3`."""
        return version_id(self.subject, self.version)


def version_id(subject: ConfigSubject, version: int) -> str:
    """The name of a version, e.g. `route_fares-11-2`."""
    return f"{subject.object_type.lower()}-{subject.object_id}-{version}"


def parsed_id(written: str) -> VersionName:
    """What a name names, which is written as the contract's pattern says."""
    object_type, object_id, version = written.rsplit("-", 2)
    return VersionName(ConfigSubject(object_type.upper(), int(object_id)), int(version))


def refuse_two_of_one(names: Iterable[VersionName]) -> None:
    """Raises INVALID_FIELD for two versions of one object among those to take effect together."""
    found: dict[ConfigSubject, int] = {}
    for index, name in enumerate(names):
        if name.subject in found:
            raise invalid(
                f"version_ids[{index}]",
                f"{version_id(*name)} is of the same object as"
                f" {version_id(name.subject, found[name.subject])}; send one of them",
            )
        found[name.subject] = name.version


def normal(content: ConfigContent) -> dict[str, Any]:
    """The content as it is compared: what may be written in several ways in one of them; what is
    not valid as it is.
    """
    made = dict(content)
    with suppress(ValueError):
        if "policy" in made:
            made["policy"] = Policy.parse(made["policy"]).content()
    with suppress(ValueError):
        if "tiers" in made:
            made["tiers"] = pricing.tiers_content(pricing.parse_tiers(made["tiers"]))
    if "entitlements" in made:
        made["entitlements"] = [{**ENTITLEMENT_DEFAULTS, **each} for each in made["entitlements"]]
    return made


def changed_fields(before: ConfigContent, after: ConfigContent) -> list[str]:
    """The names of the fields that differ, in the order of `after`."""
    one, other = normal(before), normal(after)
    return [name for name in other if one.get(name) != other[name]]


def moment_text(moment: datetime) -> str:
    """A moment as contents have it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


# What is written


async def record(
    tx: AsyncConnection,
    subject: ConfigSubject,
    before: ConfigContent | None,
    after: ConfigContent,
    *,
    comment: str = "",
    **by: Unpack[By],
) -> None:
    """Keeps an update of an object, which is locked, as a version that is PUBLISHED; one that
    changes nothing, or to what is published, is none.
    """
    base = None
    if before is not None:
        if not changed_fields(before, after) or await _is_published(tx, subject, after):
            return
        base = (await published(tx, subject, before, now=by["now"])).version
    await _supersede(tx, subject, now=by["now"])
    await add(tx, subject, after, state=PUBLISHED, base=base, comment=comment, **by)


async def published(
    tx: AsyncConnection, subject: ConfigSubject, content: ConfigContent, *, now: datetime
) -> ConfigVersion:
    """The PUBLISHED version of an object that is locked and has this content; made if there is
    none, or if it has another.
    """
    found = await published_now(tx, subject)
    if found and not changed_fields(found.content, content):
        return found
    by = By(actor=SYSTEM, now=now)
    await _supersede(tx, subject, now=now)
    base = found.version if found else None
    return await add(tx, subject, content, state=PUBLISHED, base=base, comment=FOUND, **by)


async def published_now(tx: AsyncConnection, subject: ConfigSubject) -> ConfigVersion | None:
    """The PUBLISHED version of an object, if there is one yet."""
    query = _QUERY.where(*_of(subject), config_versions.c.state == PUBLISHED)
    row = (await tx.execute(query)).mappings().one_or_none()
    return ConfigVersion(**row) if row else None


async def _is_published(
    tx: AsyncConnection, subject: ConfigSubject, content: ConfigContent
) -> bool:
    found = await published_now(tx, subject)
    return found is not None and not changed_fields(found.content, content)


async def add(
    tx: AsyncConnection,
    subject: ConfigSubject,
    content: ConfigContent,
    *,
    state: str,
    base: int | None,
    comment: str,
    **by: Unpack[By],
) -> ConfigVersion:
    """The next version of an object, which is locked."""
    last = await tx.scalar(select(func.max(config_versions.c.version)).where(*_of(subject)))
    is_published = state == PUBLISHED
    values = {
        **subject._asdict(),
        "version": (last or 0) + 1,
        "state": state,
        "base_version": base,
        "content": dict(content),
        "comment": comment,
        "author": by["actor"],
        "publisher": by["actor"] if is_published else None,
        "create_time": by["now"],
        "update_time": by["now"],
        "publish_time": by["now"] if is_published else None,
    }
    added = await tx.execute(pg_insert(config_versions).values(values).returning(*_COLUMNS))
    return ConfigVersion(**added.mappings().one())


async def move(
    tx: AsyncConnection,
    before: ConfigVersion,
    from_states: Iterable[str],
    values: Mapping[str, Any],
    *,
    action: str,
    **by: Unpack[By],
) -> ConfigVersion:
    """Changes a version that is in one of these states, and records it in the audit trail.

    Raises CONFIG_VERSION_STATE_REFUSES.
    """
    allowed = tuple(from_states)
    changing = (
        update(config_versions)
        .where(*_of(before.subject), config_versions.c.version == before.version)
        .where(config_versions.c.state.in_(allowed))
        .values(**values, update_time=by["now"], revision=config_versions.c.revision + 1)
        .returning(*_COLUMNS)
    )
    row = (await tx.execute(changing)).mappings().one_or_none()
    if row is None:
        raise state_refuses(await get(tx, before.subject, before.version), allowed)
    after = ConfigVersion(**row)
    await trace(tx, action, before, after, **by)
    return after


async def publish(
    tx: AsyncConnection, version: ConfigVersion, values: Mapping[str, Any], **by: Unpack[By]
) -> ConfigVersion:
    """Makes a version the PUBLISHED one of its object, which is locked and gets its content next.

    Raises CONFIG_VERSION_STATE_REFUSES if it is neither a draft nor scheduled.
    """
    await _supersede(tx, version.subject, now=by["now"])
    set_to = {"state": PUBLISHED, "publish_time": by["now"], "fault": "", **values}
    return await move(tx, version, (DRAFT, SCHEDULED), set_to, action="publish", **by)


async def trace(
    tx: AsyncConnection,
    action: str,
    before: ConfigVersion | None,
    after: ConfigVersion,
    **by: Unpack[By],
) -> None:
    """Records what became of a version in the audit trail, with its content where that changes."""
    content_differs = before is None or before.content != after.content
    shown = [None if each is None else _shown(each, content_differs) for each in (before, after)]
    change = AuditedChange(by["actor"], action, RESOURCE, after.version_id, shown[0], shown[1])
    await run(tx, audit(change, now=by["now"]))


async def _supersede(tx: AsyncConnection, subject: ConfigSubject, *, now: datetime) -> None:
    await tx.execute(
        update(config_versions)
        .where(*_of(subject), config_versions.c.state == PUBLISHED)
        .values(state=SUPERSEDED, update_time=now, revision=config_versions.c.revision + 1)
    )


# What is read


async def get(
    tx: AsyncConnection, subject: ConfigSubject, version: int, *, lock: bool = False
) -> ConfigVersion:
    """The version. Raises NOT_FOUND."""
    query = _QUERY.where(*_of(subject), config_versions.c.version == version)
    row = (await tx.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    if row is None:
        raise not_found("config version", version_id(subject, version))
    return ConfigVersion(**row)


async def page(
    tx: AsyncConnection,
    *,
    object_type: str,
    object_id: int,
    state: str,
    change_set_id: str = "",
    after: tuple[str, int, int] | None,
    limit: int,
) -> list[ConfigVersion]:
    """Up to `limit` versions by object, the latest first, after (type, id, version); empty filters
    do not count.
    """
    columns = config_versions.c
    query = _QUERY.order_by(columns.object_type, columns.object_id, columns.version.desc())
    filters = {"object_type": object_type, "object_id": object_id, "state": state}
    for column, value in {**filters, "change_set_id": change_set_id}.items():
        if value:
            query = query.where(columns[column] == value)
    if after is not None:
        place = tuple_(columns.object_type, columns.object_id, -columns.version)
        query = query.where(place > tuple_(after[0], after[1], -after[2]))
    return [ConfigVersion(**row) for row in (await tx.execute(query.limit(limit))).mappings()]


async def members(tx: AsyncConnection, change_set_id: str) -> list[ConfigVersion]:
    """The versions of a change set, in the order in which their objects are locked. Raises
    NOT_FOUND.
    """
    query = _QUERY.where(config_versions.c.change_set_id == change_set_id)
    rows = (await tx.execute(query)).mappings().all()
    if not rows:
        raise not_found("change set", change_set_id)
    return sorted((ConfigVersion(**row) for row in rows), key=lambda each: each.name)


def is_due(now: datetime) -> Command[bool]:
    """Whether there is a version whose time has come."""
    return _IS_DUE(now)


async def due(tx: AsyncConnection, now: datetime, *, limit: int) -> list[ConfigVersion]:
    """Up to `limit` versions whose time has come, the earliest first."""
    query = _QUERY.where(
        config_versions.c.state == SCHEDULED, config_versions.c.effective_time <= now
    ).order_by(config_versions.c.effective_time, *config_versions.primary_key.columns)
    return [ConfigVersion(**row) for row in (await tx.execute(query.limit(limit))).mappings()]


def state_refuses(version: ConfigVersion, allowed: Iterable[str]) -> DomainError:
    """CONFIG_VERSION_STATE_REFUSES."""
    return DomainError(
        Reason.CONFIG_VERSION_STATE_REFUSES,
        f"{version.version_id} is {version.state}; only one that is {' or '.join(allowed)} can be"
        " changed so; make another draft",
        version_id=version.version_id,
        state=version.state,
    )


def _of(subject: ConfigSubject) -> tuple[Any, ...]:
    return (
        config_versions.c.object_type == subject.object_type,
        config_versions.c.object_id == subject.object_id,
    )


def _shown(version: ConfigVersion, with_content: bool) -> dict[str, Any]:
    hidden = set() if with_content else {"content"}
    names = [field.name for field in fields(version) if field.name not in hidden]
    return {name: getattr(version, name) for name in names}


_COLUMNS = [config_versions.c[field.name] for field in fields(ConfigVersion)]
_QUERY = select(*_COLUMNS)
