"""Drafts of what sells: made from a version, changed, discarded; and the way back to an earlier
version, which is a draft with its content.
"""

from typing import Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import config_objects, config_versions
from server.catalog.config_versions import (
    DISCARDED,
    DRAFT,
    PUBLISHED,
    SCHEDULED,
    SUPERSEDED,
    ConfigContent,
    ConfigSubject,
    ConfigVersion,
    changed_fields,
)
from server.platform.errors import DomainError, Reason, invalid, refuse_stale


async def create_draft(
    tx: AsyncConnection,
    subject: ConfigSubject,
    *,
    base_version: int,
    content: ConfigContent | None,
    comment: str,
    **by: Unpack[By],
) -> ConfigVersion:
    """A draft of an object, made from what is published (`base_version` 0), or from a version that
    is scheduled: then it is for after that. Without a content it has that of its base.

    Raises NOT_FOUND, PRODUCT_NOT_ON_SALE, ARCHIVED, CONFIG_VERSION_OUTDATED, INVALID_FIELD.
    """
    now_sold = await config_objects.lock(tx, *subject)
    base = current = await config_versions.published(tx, subject, now_sold, now=by["now"])
    if base_version and base_version != current.version:
        base = await config_versions.get(tx, subject, base_version)
        if base.state != SCHEDULED:
            raise outdated(subject, base, current)
    kept = await config_objects.check(tx, *subject, base.content if content is None else content)
    draft = await config_versions.add(
        tx, subject, kept, state=DRAFT, base=base.version, comment=comment, **by
    )
    await config_versions.trace(tx, "create", None, draft, **by)
    return draft


async def update_draft(
    tx: AsyncConnection,
    subject: ConfigSubject,
    version: int,
    *,
    content: ConfigContent | None,
    comment: str,
    revision: int = 0,
    **by: Unpack[By],
) -> ConfigVersion:
    """Sets the content of a draft, all of it, and its comment; None and an empty one stay.
    `revision` is the one that was read; 0 any.

    Raises NOT_FOUND, PRODUCT_NOT_ON_SALE, ARCHIVED, CONFIG_VERSION_STATE_REFUSES, INVALID_FIELD,
    VERSION_MISMATCH.
    """
    await config_objects.lock(tx, *subject)
    before = await config_versions.get(tx, subject, version, lock=True)
    refuse_stale("config version", before.version_id, sent=revision, now=before.revision)
    kept = before.content
    if content is not None:
        kept = dict(await config_objects.check(tx, *subject, content))
    values = {"content": kept, "comment": comment or before.comment}
    return await config_versions.move(tx, before, (DRAFT,), values, action="update", **by)


async def discard_draft(
    tx: AsyncConnection, subject: ConfigSubject, version: int, **by: Unpack[By]
) -> ConfigVersion:
    """Discards a draft, for good; a repeat changes nothing.

    Raises NOT_FOUND, CONFIG_VERSION_STATE_REFUSES.
    """
    before = await config_versions.get(tx, subject, version, lock=True)
    if before.state == DISCARDED:
        return before
    return await config_versions.move(
        tx, before, (DRAFT,), {"state": DISCARDED}, action="discard", **by
    )


async def roll_back(
    tx: AsyncConnection,
    subject: ConfigSubject,
    to_version: int,
    *,
    comment: str,
    **by: Unpack[By],
) -> ConfigVersion:
    """A draft, made from what is published, with the content of a version that once was.

    Raises as `create_draft` does, and INVALID_FIELD for a version that was never published.
    """
    await config_objects.lock(tx, *subject)
    earlier = await config_versions.get(tx, subject, to_version)
    if earlier.state not in (PUBLISHED, SUPERSEDED):
        raise invalid("to_version", f"is {earlier.state}; name one that was published")
    return await create_draft(
        tx, subject, base_version=0, content=earlier.content, comment=comment, **by
    )


async def outdated_by(tx: AsyncConnection, version: ConfigVersion) -> None:
    """Raises CONFIG_VERSION_OUTDATED if something else is published than what a draft was made
    from, unless that is scheduled.
    """
    current = await config_versions.published_now(tx, version.subject)
    if current and version.base_version not in (None, current.version):
        base = await config_versions.get(tx, version.subject, version.base_version)
        if base.state != SCHEDULED:
            raise outdated(version.subject, base, current)


def outdated(subject: ConfigSubject, base: ConfigVersion, current: ConfigVersion) -> DomainError:
    """CONFIG_VERSION_OUTDATED: what differs between a base and what is published now."""
    changed = changed_fields(base.content, current.content)
    return DomainError(
        Reason.CONFIG_VERSION_OUTDATED,
        f"it is made from version {base.version}, but {current.version} was published by"
        f" {current.publisher} ({current.comment or 'no comment'}) and differs in"
        f" {', '.join(changed) or 'nothing'}; compare the two, and make another draft",
        version_id=config_versions.version_id(subject, current.version),
        base_version=base.version,
        published_version=current.version,
        changed=",".join(changed),
    )
