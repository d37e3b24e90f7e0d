"""Merchants, venues, terminals and operators that are archived, and taken back.

Whoever signs in, refreshes or calls there is refused while one of them is not ACTIVE
(`rules.Standing`). Log-ins end besides, so that none of before lives again with what is taken back.
"""

from typing import Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.identity.accounts import OPERATORS, OperatorAccount
from server.identity.models import accounts, logins
from server.identity.service import end_logins_where
from server.parties.models import terminals
from server.parties.venues import (
    MERCHANTS,
    TERMINALS,
    VENUES,
    Merchant,
    Terminal,
    Venue,
    rely_on_venue,
)


async def archive_merchant(tx: AsyncConnection, merchant_code: str, **by: Unpack[By]) -> Merchant:
    """Archives a merchant; a repeat changes nothing. Raises NOT_FOUND, REVOKED."""
    archived = await MERCHANTS.archive(tx, merchant_code, **by)
    staff = select(accounts.c.username).where(accounts.c.merchant_code == merchant_code)
    await end_logins_where(tx, logins.c.username.in_(staff), by["now"])
    return archived


async def archive_venue(tx: AsyncConnection, venue_code: str, **by: Unpack[By]) -> Venue:
    """Archives a venue; a repeat changes nothing. Raises NOT_FOUND, REVOKED."""
    archived = await VENUES.archive(tx, venue_code, **by)
    there = select(terminals.c.terminal_device_id).where(terminals.c.venue_code == venue_code)
    await end_logins_where(tx, logins.c.terminal_device_id.in_(there), by["now"])
    return archived


async def unarchive_venue(tx: AsyncConnection, venue_code: str, **by: Unpack[By]) -> Venue:
    """Takes an archived venue back; a repeat changes nothing. Raises NOT_FOUND, REVOKED; ARCHIVED
    and REVOKED for its merchant.
    """
    venue = await VENUES.lock(tx, venue_code)
    await MERCHANTS.rely_on(tx, venue.merchant_code)
    return await VENUES.unarchive(tx, venue_code, **by)


async def archive_terminal(
    tx: AsyncConnection, terminal_device_id: str, **by: Unpack[By]
) -> Terminal:
    """Archives a terminal; a repeat changes nothing. Raises NOT_FOUND, REVOKED."""
    archived = await TERMINALS.archive(tx, terminal_device_id, **by)
    await end_logins_where(tx, logins.c.terminal_device_id == terminal_device_id, by["now"])
    return archived


async def unarchive_terminal(
    tx: AsyncConnection, terminal_device_id: str, **by: Unpack[By]
) -> Terminal:
    """Takes an archived terminal back; a repeat changes nothing. Raises NOT_FOUND, REVOKED;
    ARCHIVED and REVOKED for its venue and merchant.
    """
    terminal = await TERMINALS.lock(tx, terminal_device_id)
    await rely_on_venue(tx, terminal.venue_code)
    return await TERMINALS.unarchive(tx, terminal_device_id, **by)


async def archive_operator(tx: AsyncConnection, username: str, **by: Unpack[By]) -> OperatorAccount:
    """Archives an operator; a repeat changes nothing. Raises NOT_FOUND, REVOKED."""
    archived = await OPERATORS.archive(tx, username, **by)
    await end_logins_where(tx, logins.c.username == username, by["now"])
    return archived


async def unarchive_operator(
    tx: AsyncConnection, username: str, **by: Unpack[By]
) -> OperatorAccount:
    """Takes an archived operator back; a repeat changes nothing. Raises NOT_FOUND, REVOKED;
    ARCHIVED and REVOKED for the merchant.
    """
    operator = await OPERATORS.lock(tx, username)
    await MERCHANTS.rely_on(tx, operator.merchant_code)
    return await OPERATORS.unarchive(tx, username, **by)
