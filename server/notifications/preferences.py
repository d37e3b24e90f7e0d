"""How travellers want to be notified: language, channels, quiet hours; and what they have agreed to
of WeChat's templates.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from sqlalchemy.ext.asyncio import AsyncConnection

from server.notifications import rules
from server.notifications.templates import Published
from server.platform.crypto import Sealer, derive
from server.platform.errors import invalid, version_mismatch
from server.platform.statements import Command, Statement, run

MAX_CONSENTS = 1_000
"""Of one template: whoever reports more than he could have given counts no further."""


class Contacts(NamedTuple):
    """Where text messages and e-mail of a traveller go; empty for nowhere."""

    phone: str = ""
    email: str = ""


class ContactSeals:
    """Seals contacts, each bound to its traveller."""

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel travellers' contacts"))

    def seal(self, contacts: Contacts, traveller_id: int) -> bytes | None:
        """As they are stored; None if there are none."""
        if not any(contacts):
            return None
        return self._sealer.seal(orjson.dumps(contacts._asdict()), b"%d" % traveller_id)

    def open(self, sealed: bytes | None, traveller_id: int) -> Contacts:
        """The contacts; none for what is sealed under another key."""
        if sealed is None:
            return Contacts()
        try:
            plain = self._sealer.open(sealed, b"%d" % traveller_id)
        except InvalidTag:
            return Contacts()
        return Contacts(**orjson.loads(plain))


class Preferences(NamedTuple):
    """How a traveller wants to be notified; an empty language is the setting's, `quiet` None the
    setting's hours. `version` counts how often that was said, from 1 on.
    """

    language: str = ""
    sms: bool = False
    email: bool = False
    contacts: Contacts = Contacts()
    quiet: rules.QuietHours | None = None
    version: int = 1


class _Row(NamedTuple):
    language: str
    sms: bool
    email: bool
    contacts_sealed: bytes | None
    quiet_from: int | None
    quiet_until: int | None
    version: int


class Agreed(NamedTuple):
    """How many messages of a template may be sent to a traveller."""

    template_id: str
    available: int


_READ = Statement(
    """
SELECT language, sms, email, contacts_sealed, quiet_from, quiet_until, version
FROM notification_preferences WHERE traveller_id = $1::bigint
""",
    _Row,
)
# $9 is the version that was read: of what is not there it is 1, and 0 is any
_KEEP = Statement(
    """
INSERT INTO notification_preferences AS p
  (traveller_id, language, sms, email, contacts_sealed, quiet_from, quiet_until, update_time)
SELECT $1::bigint, $2, $3::boolean, $4::boolean, $5::bytea, $6::smallint, $7::smallint,
  $8::timestamptz
WHERE $9::int IN (0, 1)
  OR EXISTS (SELECT FROM notification_preferences WHERE traveller_id = $1::bigint)
ON CONFLICT (traveller_id) DO UPDATE SET language = excluded.language, sms = excluded.sms,
  email = excluded.email, contacts_sealed = excluded.contacts_sealed,
  quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until,
  update_time = excluded.update_time, version = p.version + 1
WHERE $9::int IN (0, p.version)
RETURNING version
""",
    int,
)
_AGREE = Statement(
    f"""
INSERT INTO notification_consents AS c
  (traveller_id, template_id, available, granted, update_time)
SELECT $1::bigint, v.template_id, 1, 1, $2::timestamptz
FROM unnest($3::text[]) AS v (template_id) ORDER BY v.template_id
ON CONFLICT (traveller_id, template_id) DO UPDATE SET
  available = least(c.available + 1, {MAX_CONSENTS}), granted = c.granted + 1,
  update_time = excluded.update_time
"""  # noqa: S608 - our own number
)
_AGREED = Statement(
    """
SELECT template_id, available FROM notification_consents
WHERE traveller_id = $1::bigint AND template_id = ANY($2::text[])
""",
    Agreed,
)
_FORGET = Statement("""
UPDATE notification_consents SET available = 0, update_time = $3::timestamptz
WHERE traveller_id = $1::bigint AND template_id = $2
""")
_GIVE_BACK = Statement("""
UPDATE notification_consents SET available = least(available + 1, granted),
  update_time = $3::timestamptz
WHERE traveller_id = $1::bigint AND template_id = $2
""")


async def read(tx: AsyncConnection, seals: ContactSeals, traveller_id: int) -> Preferences:
    """The traveller's preferences."""
    rows = await run(tx, _READ(traveller_id))
    if not rows:
        return Preferences()
    row = rows[0]
    quiet = None
    if row.quiet_from is not None and row.quiet_until is not None:
        quiet = rules.QuietHours(row.quiet_from, row.quiet_until)
    contacts = seals.open(row.contacts_sealed, traveller_id)
    return Preferences(row.language, row.sms, row.email, contacts, quiet, row.version)


async def keep(
    tx: AsyncConnection,
    seals: ContactSeals,
    traveller_id: int,
    wanted: Preferences,
    *,
    version: int = 0,
    now: datetime,
) -> Preferences:
    """Keeps the traveller's preferences; `version` is the one that was read, 0 any. Raises
    INVALID_FIELD for a channel without an address, VERSION_MISMATCH.
    """
    for name, is_on, address in (
        ("phone", wanted.sms, wanted.contacts.phone),
        ("email", wanted.email, wanted.contacts.email),
    ):
        if is_on and not address:
            raise invalid(f"preferences.{name}", "is needed for the channel that is switched on")
    quiet = wanted.quiet or (None, None)
    sealed = seals.seal(wanted.contacts, traveller_id)
    switches = wanted.language, wanted.sms, wanted.email
    kept = await run(tx, _KEEP(traveller_id, *switches, sealed, *quiet, now, version))
    if not kept:
        found = await read(tx, seals, traveller_id)
        resource = "notification preferences"
        raise version_mismatch(resource, traveller_id, sent=version, now=found.version)
    return wanted._replace(version=kept[0])


async def agree(
    tx: AsyncConnection, traveller_id: int, accepted: Iterable[str], *, now: datetime
) -> None:
    """Counts one consent for each of these templates."""
    if templates := sorted(accepted):
        await run(tx, _AGREE(traveller_id, now, templates))


async def agreed(
    tx: AsyncConnection, traveller_id: int, templates: Iterable[str]
) -> Mapping[str, int]:
    """How many messages of each of these templates may be sent to the traveller."""
    found = await run(tx, _AGREED(traveller_id, sorted(templates)))
    return {each.template_id: each.available for each in found}


def forget(traveller_id: int, template_id: str, *, now: datetime) -> Command[None]:
    """WeChat says that the traveller has agreed to nothing more of a template."""
    return _FORGET(traveller_id, template_id, now)


def give_back(traveller_id: int, template_id: str, *, now: datetime) -> Command[None]:
    """A message was not sent after all: its consent is good for another."""
    return _GIVE_BACK(traveller_id, template_id, now)


def templates_of(published: Published, language: str) -> dict[str, str]:
    """The templates of WeChat's in a language that are in force: id to kind."""
    return {
        kept.template.template_id: key.kind
        for key, kept in published.items()
        if key.channel == rules.WECHAT and key.language == language and kept.template.enabled
    }
