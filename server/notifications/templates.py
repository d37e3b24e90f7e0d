"""The templates in force: those that administrators have published, else those that are shipped.

Every version is kept; the greatest of a kind, channel and language counts, in every process within
a second. To go back to one is to publish it again.
"""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, NamedTuple, Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.notifications import rules, texts
from server.notifications.template_rules import Template, faults, fill
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered, publish
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid_fields, not_found
from server.platform.statements import Statement, run
from server.wechat.mini_program import ValueRefusedError, fit, keyword_kind


class TemplateKey(NamedTuple):
    """Which template: of what, in which channel, in which language."""

    kind: str
    channel: str
    language: str


class KeptTemplate(NamedTuple):
    """A template as it is in force, or was; version 0 is the one that is shipped."""

    key: TemplateKey
    version: int
    template: Template
    author: str = ""
    create_time: datetime | None = None


class Preview(NamedTuple):
    """A template filled in; `refusals` are the fields that WeChat would refuse, each with why."""

    title: str
    body: str
    page: str
    fields: Mapping[str, str]
    refusals: list[str]


class _Row(NamedTuple):
    kind: str
    channel: str
    language: str
    version: int
    title: str
    body: str
    template_id: str
    page: str
    fields: dict[str, str]
    enabled: bool
    author: str
    create_time: datetime


_COLUMNS = """kind, channel, language, version, title, body, template_id, page, fields, enabled,
  author, create_time"""
_LATEST = Statement(
    f"""
SELECT DISTINCT ON (kind, channel, language) {_COLUMNS} FROM notification_templates
ORDER BY kind, channel, language, version DESC
""",  # noqa: S608 - our own
    _Row,
)
_VERSION = Statement(
    f"""
SELECT {_COLUMNS} FROM notification_templates
WHERE kind = $1 AND channel = $2 AND language = $3 AND ($4::int = 0 OR version = $4::int)
ORDER BY version DESC LIMIT 1
""",  # noqa: S608
    _Row,
)
# who publishes the same number second finds it taken
_PUBLISH = Statement(
    """
INSERT INTO notification_templates (kind, channel, language, version, title, body, template_id,
  page, fields, enabled, author, create_time)
VALUES ($1, $2, $3, $4::int, $5, $6, $7, $8, $9::jsonb, $10::boolean, $11, $12::timestamptz)
ON CONFLICT DO NOTHING RETURNING version
""",
    int,
)
Published = Mapping[TemplateKey, KeptTemplate]


class Templates:
    """The templates as this process knows them."""

    def __init__(self, db: Database, feed: ChangeFeed) -> None:
        async def load(_: str) -> Published:
            async with db.transaction() as tx:
                return {kept.key: kept for kept in await read_all(tx)}

        self._known: Remembered[str, Published] = Remembered(
            feed, load, kinds=[ChangeKind.NOTIFICATION_TEMPLATE]
        )

    async def all(self) -> Published:
        """Those in force. Raises DATABASE_UNAVAILABLE."""
        return self._known.peek("") or await self._known.get("")


async def read_all(tx: AsyncConnection) -> list[KeptTemplate]:
    """Every template in force, in the order of kinds, channels and languages."""
    found = {kept.key: kept for kept in map(_kept, await run(tx, _LATEST()))}
    keys = [
        TemplateKey(kind, channel, language)
        for kind in rules.KINDS
        for channel in rules.CHANNELS
        for language in rules.LANGUAGES
    ]
    return [kept for key in keys if (kept := found.get(key) or _shipped(key))]


async def get(tx: AsyncConnection, key: TemplateKey, version: int = 0) -> KeptTemplate:
    """A template in force, or as it was in a version. Raises NOT_FOUND."""
    rows = await run(tx, _VERSION(*key, version))
    kept = _kept(rows[0]) if rows else None if version else _shipped(key)
    if kept is None:
        raise not_found("notification template", "/".join(key))
    return kept


async def publish_template(
    tx: AsyncConnection, key: TemplateKey, template: Template, version: int, **by: Unpack[By]
) -> KeptTemplate:
    """Publishes a template in place of `version`, which is the one in force (0: none, or the
    shipped one).

    Raises INVALID_FIELD, naming what it has no value for, and VERSION_MISMATCH.
    """
    require_sound(key, template)
    rows = await run(tx, _VERSION(*key, 0))
    before = _kept(rows[0]) if rows else _shipped(key)
    current = before.version if before else 0
    made = None
    if version == current:
        row = (*key, version + 1, *template[:4], dict(template.fields), template.enabled)
        made = await run(tx, _PUBLISH(*row, by["actor"], by["now"]))
    if not made:
        raise DomainError(
            Reason.VERSION_MISMATCH,
            f"version: {current} is in force; read the template again",
            resource="notification template",
            name="/".join(key),
            version=current,
        )
    await publish(tx, ChangeKind.NOTIFICATION_TEMPLATE, "/".join(key))
    change = AuditedChange(
        by["actor"],
        "update",
        "notification_template",
        "/".join(key),
        _content(before),
        _content(KeptTemplate(key, version + 1, template)),
    )
    await run(tx, audit(change, now=by["now"]))
    return KeptTemplate(key, version + 1, template, by["actor"], by["now"])


def preview(key: TemplateKey, template: Template, *, zone: tzinfo) -> Preview:
    """A template as it would be sent, with sample values. Raises INVALID_FIELD, as publishing it
    would.
    """
    require_sound(key, template)
    sample = {name: texts.SAMPLE.get(name, "") for name in texts.PLACEHOLDERS[key.kind]}
    values = texts.values(sample, key.language, zone)
    fields, refusals = {}, []
    for keyword, text in template.fields.items():
        try:
            fields[keyword] = fit(keyword, fill(text, values))
        except ValueRefusedError as error:
            refusals.append(str(error))
    title, body, page = (
        fill(text, values) for text in (template.title, template.body, template.page)
    )
    return Preview(title, body, page, fields, refusals)


def require_sound(key: TemplateKey, template: Template) -> None:
    """Raises INVALID_FIELD for a template that must not be published."""
    found = [
        (f"template.{fault.field}", fault.description)
        for fault in faults(key.channel, template, texts.PLACEHOLDERS[key.kind])
    ]
    found += [
        (f"template.fields[{keyword}]", "is no keyword of WeChat's, such as thing1 or time2")
        for keyword in template.fields
        if not keyword_kind(keyword)
    ]
    if found:
        raise invalid_fields(found)


def _shipped(key: TemplateKey) -> KeptTemplate | None:
    template = texts.SHIPPED.get((key.kind, key.channel, key.language))
    return KeptTemplate(key, 0, template) if template else None


def _kept(row: _Row) -> KeptTemplate:
    template = Template(row.title, row.body, row.template_id, row.page, row.fields, row.enabled)
    return KeptTemplate(TemplateKey(*row[:3]), row.version, template, row.author, row.create_time)


def _content(kept: KeptTemplate | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    return kept.template._asdict() | {"fields": dict(kept.template.fields), "version": kept.version}
