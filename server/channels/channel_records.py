"""Channels as administrators keep them: connected, paused, with credentials and words of their own.

Credentials are sealed, bound to the channel, and never read back: whoever lost them rotates them.
A change counts from the next call on, in every process, as each reads the channel anew.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, TypedDict, Unpack
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED, By, Records
from server.channels.channel_credentials import (
    ACTIVE,
    DISCONNECTING,
    SENT_TO,
    ChannelSeals,
    VendorAccount,
    refuse_shared_account,
)
from server.channels.due import WORK_OUT, ask_for
from server.channels.facts import Capability
from server.channels.models import channel_words, channels
from server.channels.registry import FEED_KEY, VENDORS
from server.channels.words import word_row
from server.parties.models import partners
from server.parties.partners import PARTNERS
from server.platform.change_feed import ChangeKind
from server.platform.currencies import currency_fault
from server.platform.errors import invalid, not_found
from server.platform.proxies import is_loopback
from server.stock.ids import DIRECT

PAUSED = "PAUSED"
CODE = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
LEAST_KEY = 32
FEED_KEY_FORM = re.compile(f"[A-Za-z0-9._~+/=-]{{{LEAST_KEY},1024}}")
"""A token as `Authorization: Bearer` takes it (RFC 6750)."""
MOST_CALLS = 60_000
"""A minute."""


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel, without its credentials."""

    channel_code: str
    vendor_code: str
    partner_id: int
    partner_code: str
    base_url: str
    currency_code: str
    calls_per_minute: int
    credentials_version: int
    state: str
    version: int
    create_time: datetime
    update_time: datetime


class NewChannel(TypedDict):
    """The fields of a new channel; an empty `base_url` and 0 calls are the vendor's, an empty
    partner we ourselves.
    """

    channel_code: str
    vendor_code: str
    partner_code: str
    base_url: str
    currency_code: str
    calls_per_minute: int


class StoredCredentials(NamedTuple):
    """Credentials as the table has them; `account_hash` of one that is REVOKED, which has none."""

    sealed: bytes
    version: int
    account_hash: bytes | None


CHANNELS = Records(
    "channel",
    channels.c.channel_code,
    select(
        *(each for each in channels.c if each.name not in {"sealed_credentials", "account_hash"}),
        func.coalesce(partners.c.partner_code, "").label("partner_code"),
    ).outerjoin(partners, partners.c.partner_id == channels.c.partner_id),
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
    """A new channel, ACTIVE, with the words that its vendor's document gives; or one that was
    disconnected, with all that it had. Raises INVALID_FIELD, also for an account that another
    channel has, or that the disconnected one had not, NOT_FOUND, REVOKED and ARCHIVED for the
    partner, ALREADY_EXISTS.
    """
    code = new["channel_code"]
    if not CODE.fullmatch(code):
        raise invalid("channel_code", "send 1 to 32 letters, digits, - and _, a letter first")
    _check_credentials(new["vendor_code"], credentials)
    vendor = VENDORS[new["vendor_code"]]
    _check_values(new)
    base_url = _checked_url(new["base_url"] or vendor.base_url)
    account = VendorAccount.of(new["vendor_code"], base_url, credentials)
    await refuse_shared_account(tx, seals, code, account)
    partner = new["partner_code"]
    values = {
        **{name: value for name, value in new.items() if name != "partner_code"},
        "partner_id": (await PARTNERS.rely_on(tx, partner)).partner_id if partner else DIRECT,
        "base_url": base_url,
        "calls_per_minute": new["calls_per_minute"] or vendor.calls_per_minute,
        "sealed_credentials": seals.seal(code, credentials),
        "state": ACTIVE,
    }
    former = (await CHANNELS.lock_all(tx, [code])).get(code)
    if former is not None and former.state == REVOKED:
        stored = await credentials_of(tx, code)
        kept = former.vendor_code, former.partner_id, stored.account_hash
        if kept != (vendor.vendor_code, values["partner_id"], seals.account_hash(account)):
            raise invalid(
                "channel_code", "was a channel of another account or partner; choose another code"
            )
        again = {**values, "credentials_version": stored.version + 1, "account_hash": None}
        await ask_for(tx, WORK_OUT, code, now=by["now"])
        return await CHANNELS.change(tx, former, again, action="connect", **by)
    made = await CHANNELS.create(tx, values, **by)
    if vendor.words:
        rows = [word_row(code, pair, by["now"]) for pair in vendor.words]
        await tx.execute(insert(channel_words).values(rows))
    return made


async def update_channel(
    tx: AsyncConnection,
    seals: ChannelSeals,
    channel_code: str,
    values: Mapping[str, object],
    **by: Unpack[By],
) -> ChannelRecord:
    """Another URL, currency or limit, from the next call on. Raises NOT_FOUND, REVOKED,
    INVALID_FIELD, also for an account that another channel has.
    """
    before = await CHANNELS.lock_active(tx, channel_code)
    _check_values(values)
    changed = dict(values)
    if "base_url" in changed:
        changed["base_url"] = _checked_url(str(changed["base_url"]))
        moved = replace(before, base_url=str(changed["base_url"]))
        if before.state in SENT_TO:
            await _refuse_shared(tx, seals, moved)
    return await CHANNELS.change(tx, before, changed, **by)


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
    """Pauses a channel: nothing is sent to it, and all that changes waits; or resumes it, also one
    that is being disconnected. A repeat changes nothing. Raises NOT_FOUND, REVOKED, INVALID_FIELD
    for an account that another channel has meanwhile, and for one to pause that is being
    disconnected.
    """
    before = await CHANNELS.lock_active(tx, channel_code)
    state = PAUSED if paused else ACTIVE
    if before.state == state:
        return before
    if paused and before.state == DISCONNECTING:
        raise invalid("channel_code", "is being disconnected; resume it, or disconnect it at once")
    if not paused:
        await _refuse_shared(tx, seals, before)
        await ask_for(tx, WORK_OUT, channel_code, now=by["now"])
    action = "pause" if paused else "resume"
    return await CHANNELS.change(tx, before, {"state": state}, action=action, **by)


async def credentials_of(tx: AsyncConnection, channel_code: str) -> StoredCredentials:
    """The channel's credentials now. Raises NOT_FOUND."""
    c = channels.c
    query = select(c.sealed_credentials, c.credentials_version, c.account_hash)
    found = (await tx.execute(query.where(channels.c.channel_code == channel_code))).one_or_none()
    if found is None:
        raise not_found("channel", channel_code)
    return StoredCredentials(*found)


async def codes_of_active(
    tx: AsyncConnection, *needed: Capability, partner_ids: Collection[int] = ()
) -> list[str]:
    """The channels that are neither paused nor revoked and can do what is needed, in the order of
    their codes; only those that sell the allotments of `partner_ids`, if there are any.
    """
    able = [name for name, each in VENDORS.items() if each.capabilities.issuperset(needed)]
    query = select(channels.c.channel_code).where(
        channels.c.state == ACTIVE, channels.c.vendor_code.in_(able)
    )
    if partner_ids:
        query = query.where(channels.c.partner_id.in_(partner_ids))
    return list(await tx.scalars(query.order_by(channels.c.channel_code)))


async def account_hash(tx: AsyncConnection, seals: ChannelSeals, channel: ChannelRecord) -> bytes:
    """Whose bookings the channel gives, or gave, without its name. Raises NOT_FOUND."""
    stored = await credentials_of(tx, channel.channel_code)
    return stored.account_hash or seals.account_hash(await account_of(tx, seals, channel))


async def account_of(
    tx: AsyncConnection, seals: ChannelSeals, channel: ChannelRecord
) -> VendorAccount:
    """Whose bookings the channel gives; it has credentials. Raises NOT_FOUND."""
    stored = await credentials_of(tx, channel.channel_code)
    credentials = seals.open(channel.channel_code, stored.sealed)
    return VendorAccount.of(channel.vendor_code, channel.base_url, credentials)


async def _refuse_shared(tx: AsyncConnection, seals: ChannelSeals, channel: ChannelRecord) -> None:
    account = await account_of(tx, seals, channel)
    await refuse_shared_account(tx, seals, channel.channel_code, account)


def _check_values(values: Mapping[str, Any]) -> None:
    if "currency_code" in values and (fault := currency_fault(values["currency_code"])):
        raise invalid("currency_code", fault)
    if not 0 <= values.get("calls_per_minute", 0) <= MOST_CALLS:
        raise invalid("calls_per_minute", f"send 1 to {MOST_CALLS}, or 0 for the vendor's usual")


def _check_credentials(vendor_code: str, credentials: Mapping[str, str]) -> None:
    vendor = VENDORS.get(vendor_code)
    if vendor is None:
        raise invalid("vendor_code", f"is none of {', '.join(sorted(VENDORS))}")
    if set(credentials) != set(vendor.credentials) or not all(credentials.values()):
        needed = ", ".join(vendor.credentials) or "none"
        raise invalid("credentials", f"{vendor.display_name_en} needs just these: {needed}")
    if not FEED_KEY_FORM.fullmatch(credentials.get(FEED_KEY, "-" * LEAST_KEY)):
        raise invalid(
            "credentials",
            f"{FEED_KEY} has less than {LEAST_KEY} characters, or some that are no letters, digits"
            " or any of -._~+/=; send what `openssl rand -hex 32` gives",
        )


def _checked_url(url: str) -> str:
    """A base URL: https, or a simulator on this machine. Raises INVALID_FIELD."""
    if not url:
        return url
    parts = urlsplit(url)
    is_ours = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.hostname and (parts.scheme == "https" or is_ours)) or parts.query:
        raise invalid("base_url", "is no https URL; a simulator on this machine may be http")
    return url.rstrip("/")
