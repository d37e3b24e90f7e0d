"""Channels as administrators keep them: connected, paused, with credentials and words of their own.

Credentials are sealed, bound to the channel, and never read back: whoever lost them rotates them.
A change counts from the next call on, in every process, as each reads the channel anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypedDict, Unpack
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records
from server.audit.trail import AuditedChange, audit
from server.channels.channel_credentials import (
    ACTIVE,
    ChannelSeals,
    VendorAccount,
    refuse_shared_account,
)
from server.channels.facts import Capability, MappingKind
from server.channels.models import channel_words, channels
from server.channels.registry import VENDORS
from server.channels.words import OUR_WORDS, READ_ALONE, WordPair
from server.platform.change_feed import ChangeKind
from server.platform.errors import invalid, not_found
from server.platform.proxies import is_loopback
from server.platform.statements import run

PAUSED = "PAUSED"
LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel, without its credentials."""

    channel_code: str
    vendor_code: str
    partner_id: int
    base_url: str
    currency_code: str
    calls_per_minute: int
    credentials_version: int
    state: str
    version: int
    create_time: datetime
    update_time: datetime


class NewChannel(TypedDict):
    """The fields of a new channel; an empty `base_url` and 0 calls are the vendor's."""

    channel_code: str
    vendor_code: str
    partner_id: int
    base_url: str
    currency_code: str
    calls_per_minute: int


class WordName(NamedTuple):
    """Which row of words it is."""

    channel_code: str
    kind: MappingKind
    word: str

    @property
    def shown(self) -> str:
        """As errors and the audit trail call it."""
        return "/".join(self)

    @property
    def is_row(self) -> ColumnElement[bool]:
        """That a row is this one."""
        w = channel_words.c
        return and_(w.channel_code == self.channel_code, w.kind == self.kind, w.word == self.word)


class StoredCredentials(NamedTuple):
    """Credentials as the table has them."""

    sealed: bytes
    version: int


CHANNELS = Records(
    "channel",
    channels.c.channel_code,
    select(*(each for each in channels.c if each.name != "sealed_credentials")),
    ChannelRecord,
    ChangeKind.CHANNEL,
)


async def connect_channel(
    tx: AsyncConnection,
    seals: ChannelSeals,
    new: NewChannel,
    credentials: Mapping[str, str],
    **by: Unpack[By],
) -> ChannelRecord:
    """A new channel, ACTIVE, with the words that its vendor's document gives. Raises INVALID_FIELD,
    also for an account that another channel has, ALREADY_EXISTS.
    """
    code = new["channel_code"]
    _check_credentials(new["vendor_code"], credentials)
    vendor = VENDORS[new["vendor_code"]]
    base_url = _checked_url(new["base_url"] or vendor.base_url)
    account = VendorAccount.of(new["vendor_code"], base_url, credentials)
    await refuse_shared_account(tx, seals, code, account)
    values = {
        **new,
        "base_url": base_url,
        "calls_per_minute": new["calls_per_minute"] or vendor.calls_per_minute,
        "sealed_credentials": seals.seal(code, credentials),
        "state": ACTIVE,
    }
    made = await CHANNELS.create(tx, values, **by)
    if vendor.words:
        rows = [_row(code, pair, by["now"]) for pair in vendor.words]
        await tx.execute(insert(channel_words).values(rows))
    return made


async def rotate_credentials(
    tx: AsyncConnection,
    seals: ChannelSeals,
    channel_code: str,
    credentials: Mapping[str, str],
    **by: Unpack[By],
) -> ChannelRecord:
    """Other credentials from the next call on. Raises NOT_FOUND, INVALID_FIELD, REVOKED."""
    before = await CHANNELS.lock_active(tx, channel_code)
    _check_credentials(before.vendor_code, credentials)
    account = VendorAccount.of(before.vendor_code, before.base_url, credentials)
    await refuse_shared_account(tx, seals, channel_code, account)
    values = {
        "sealed_credentials": seals.seal(channel_code, credentials),
        "credentials_version": before.credentials_version + 1,
    }
    return await CHANNELS.change(tx, before, values, action="rotate", **by)


async def set_paused(
    tx: AsyncConnection,
    seals: ChannelSeals,
    channel_code: str,
    *,
    paused: bool,
    **by: Unpack[By],
) -> ChannelRecord:
    """Pauses a channel: nothing is sent to it, and all that changes waits; or resumes it. A repeat
    changes nothing. Raises NOT_FOUND, REVOKED, INVALID_FIELD for an account that another channel
    has meanwhile.
    """
    before = await CHANNELS.lock_active(tx, channel_code)
    state = PAUSED if paused else ACTIVE
    if before.state == state:
        return before
    if not paused:
        stored = await credentials_of(tx, channel_code)
        credentials = seals.open(channel_code, stored.sealed)
        account = VendorAccount.of(before.vendor_code, before.base_url, credentials)
        await refuse_shared_account(tx, seals, channel_code, account)
    action = "pause" if paused else "resume"
    return await CHANNELS.change(tx, before, {"state": state}, action=action, **by)


async def credentials_of(tx: AsyncConnection, channel_code: str) -> StoredCredentials:
    """The channel's credentials now. Raises NOT_FOUND."""
    query = select(channels.c.sealed_credentials, channels.c.credentials_version)
    found = (await tx.execute(query.where(channels.c.channel_code == channel_code))).one_or_none()
    if found is None:
        raise not_found("channel", channel_code)
    return StoredCredentials(*found)


async def codes_of_active(tx: AsyncConnection, *needed: Capability) -> list[str]:
    """The channels that are neither paused nor revoked and can do what is needed, in the order of
    their codes.
    """
    able = [name for name, each in VENDORS.items() if each.capabilities.issuperset(needed)]
    query = select(channels.c.channel_code).where(
        channels.c.state == ACTIVE, channels.c.vendor_code.in_(able)
    )
    return list(await tx.scalars(query.order_by(channels.c.channel_code)))


async def map_word(
    tx: AsyncConnection, channel_code: str, pair: WordPair, **by: Unpack[By]
) -> None:
    """Adds a word of the vendor beside ours, or changes it: which row it is says the vendor's word
    of states and codes, and ours of all others. Raises NOT_FOUND, INVALID_FIELD, REVOKED.
    """
    await CHANNELS.lock_active(tx, channel_code)
    for field, word in (("ours", pair.ours), ("theirs", pair.theirs)):
        if not word.strip() or len(word) > LONGEST_WORD or not word.isprintable():
            raise invalid(field, f"is no word; send 1 to {LONGEST_WORD} characters")
    closed = OUR_WORDS.get(pair.kind)
    if closed and pair.ours not in closed:
        raise invalid("ours", f"is none of {', '.join(sorted(closed))}")
    row = _row(channel_code, pair, by["now"])
    name = WordName(channel_code, pair.kind, str(row["word"]))
    before = await _lock_word(tx, name)
    changed = insert(channel_words).values(row)
    await tx.execute(
        changed.on_conflict_do_update(
            index_elements=["channel_code", "kind", "word"],
            set_={
                "counterpart": changed.excluded.counterpart,
                "version": channel_words.c.version + 1,
                "update_time": by["now"],
            },
        )
    )
    await _trace_word(tx, name, before, {"counterpart": row["counterpart"]}, **by)


async def unmap_word(
    tx: AsyncConnection, channel_code: str, kind: MappingKind, word: str, **by: Unpack[By]
) -> None:
    """Removes a row. Raises NOT_FOUND, REVOKED."""
    await CHANNELS.lock_active(tx, channel_code)
    name = WordName(channel_code, kind, word)
    before = await _lock_word(tx, name)
    if before is None:
        raise not_found("channel word", name.shown)
    await tx.execute(delete(channel_words).where(name.is_row))
    await _trace_word(tx, name, before, None, **by)


async def words_of(tx: AsyncConnection, channel_code: str) -> list[WordPair]:
    """The channel's words; of several states of the vendor that are one of ours, the oldest
    first.
    """
    w = channel_words.c
    query = select(w.kind, w.word, w.counterpart).where(w.channel_code == channel_code)
    found = await tx.execute(query.order_by(w.create_time, w.kind, w.word))
    return [
        WordPair(MappingKind(kind), counterpart, word)
        if kind in READ_ALONE
        else WordPair(MappingKind(kind), word, counterpart)
        for kind, word, counterpart in found
    ]


def _row(channel_code: str, pair: WordPair, now: datetime) -> dict[str, object]:
    is_theirs = pair.kind in READ_ALONE
    return {
        "channel_code": channel_code,
        "kind": pair.kind,
        "word": pair.theirs if is_theirs else pair.ours,
        "counterpart": pair.ours if is_theirs else pair.theirs,
        "create_time": now,
        "update_time": now,
    }


async def _lock_word(tx: AsyncConnection, name: WordName) -> dict[str, object] | None:
    query = select(channel_words.c.counterpart).where(name.is_row)
    found = await tx.scalar(query.with_for_update())
    return None if found is None else {"counterpart": found}


async def _trace_word(
    tx: AsyncConnection,
    name: WordName,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    **by: Unpack[By],
) -> None:
    action = "map" if after else "unmap"
    change = AuditedChange(by["actor"], action, "channel_word", name.shown, before, after)
    await run(tx, audit(change, now=by["now"]))


def _check_credentials(vendor_code: str, credentials: Mapping[str, str]) -> None:
    vendor = VENDORS.get(vendor_code)
    if vendor is None:
        raise invalid("vendor_code", f"is none of {', '.join(sorted(VENDORS))}")
    if set(credentials) != set(vendor.credentials) or not all(credentials.values()):
        needed = ", ".join(vendor.credentials) or "none"
        raise invalid("credentials", f"{vendor.display_name_en} needs just these: {needed}")


def _checked_url(url: str) -> str:
    """A base URL: https, or a simulator on this machine. Raises INVALID_FIELD."""
    if not url:
        return url
    parts = urlsplit(url)
    is_ours = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.hostname and (parts.scheme == "https" or is_ours)) or parts.query:
        raise invalid("base_url", "is no https URL; a simulator on this machine may be http")
    return url.rstrip("/")
