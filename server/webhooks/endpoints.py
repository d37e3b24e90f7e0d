"""The endpoints of partners, to which their events are sent."""

import asyncio
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.errors import DomainError, Reason, invalid, not_found, version_mismatch
from server.platform.statements import Statement, run
from server.webhooks.addresses import fault_of_url, is_public
from server.webhooks.feed import require_types
from server.webhooks.webhook_secrets import WebhookSecrets

MAX_ENDPOINTS = 20
"""Of one partner."""
DEFAULT_OVERLAP_SECONDS = 86_400
RESOLVE_SECONDS = 3.0
PARTNER, GONE = "PARTNER", "GONE"
"""Why an endpoint is disabled."""


class Endpoint(NamedTuple):
    """Where a partner's events are sent."""

    endpoint_id: UUID
    url: str
    types: list[str]
    description: str
    state: str
    disabled_reason: str
    previous_secret_expire_time: datetime | None
    create_time: datetime
    update_time: datetime
    version: int


class EndpointSettings(NamedTuple):
    """What a partner sets of an endpoint."""

    url: str
    types: Sequence[str]
    description: str


_COLUMNS = """endpoint_id, url, types, description, state, disabled_reason,
  CASE WHEN previous_secret_expire_time > $1::timestamptz THEN previous_secret_expire_time END,
  create_time, update_time, version"""
_FIND = Statement(
    f"""
SELECT {_COLUMNS} FROM webhook_endpoints WHERE partner_id = $2::int AND endpoint_id = $3::uuid
""",  # noqa: S608 - our own
    Endpoint,
)
_PAGE = Statement(
    f"""
SELECT {_COLUMNS} FROM webhook_endpoints
WHERE partner_id = $2::int AND ($3::uuid IS NULL OR endpoint_id > $3) ORDER BY endpoint_id
LIMIT $4::int
""",  # noqa: S608 - our own
    Endpoint,
)
# the partner's row makes those that are added at once wait for each other
_LOCK_PARTNER = Statement(
    "SELECT partner_id FROM partners WHERE partner_id = $1::int FOR NO KEY UPDATE", int
)
_COUNT = Statement("SELECT count(*)::int FROM webhook_endpoints WHERE partner_id = $1::int", int)
_CREATE = Statement("""
INSERT INTO webhook_endpoints (partner_id, endpoint_id, url, types, description, state,
  disabled_reason, encrypted_secret, create_time, update_time)
VALUES ($1::int, $2::uuid, $3, $4::text[], $5, 'ENABLED', '', $6::bytea, $7::timestamptz,
  $7::timestamptz)
""")
_UPDATE = Statement(
    """
UPDATE webhook_endpoints SET url = $3, types = $4::text[], description = $5,
  disabled_reason = CASE WHEN $6 = 'ENABLED' THEN ''
    WHEN state = 'DISABLED' THEN disabled_reason ELSE 'PARTNER' END,
  state = $6, update_time = $7::timestamptz, version = version + 1
WHERE partner_id = $1::int AND endpoint_id = $2::uuid AND $8::int IN (0, version)
RETURNING endpoint_id
""",
    UUID,
)
_ROTATE = Statement(
    """
UPDATE webhook_endpoints SET encrypted_previous_secret = encrypted_secret,
  encrypted_secret = $3::bytea, previous_secret_expire_time = $4::timestamptz,
  update_time = $5::timestamptz
WHERE partner_id = $1::int AND endpoint_id = $2::uuid RETURNING endpoint_id
""",
    UUID,
)
_DELETE = Statement(
    """
WITH attempts AS (
  DELETE FROM webhook_attempts WHERE partner_id = $1::int AND endpoint_id = $2::uuid),
deliveries AS (
  DELETE FROM webhook_deliveries WHERE partner_id = $1::int AND endpoint_id = $2::uuid)
DELETE FROM webhook_endpoints WHERE partner_id = $1::int AND endpoint_id = $2::uuid
RETURNING endpoint_id
""",
    UUID,
)


async def check(settings: EndpointSettings, *, plain_and_private: bool) -> None:
    """Looks, outside of any transaction, whether events can be sent there as it seems now.

    Raises INVALID_FIELD for the url, also one whose host has an address that is not public, and for
    types. It is looked again at each attempt.
    """
    require_types(settings.types)
    fault = fault_of_url(settings.url, plain_and_private=plain_and_private)
    if fault is None and not plain_and_private:
        fault = await _fault_of_host(settings.url)
    if fault:
        raise invalid("url", fault)


async def _fault_of_host(url: str) -> str | None:
    host = urlsplit(url).hostname or ""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return f"its host {host} cannot be found now"
    if all(is_public(str(address[4][0])) for address in found):
        return None
    return f"its host {host} has an address that is not public"


def endpoint_number(text: str) -> UUID:
    """The id of an endpoint by its text. Raises NOT_FOUND for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise not_found("webhook endpoint", text) from None


async def find(
    tx: AsyncConnection, partner_id: int, endpoint_id: UUID, *, now: datetime
) -> Endpoint:
    """An endpoint of a partner. Raises NOT_FOUND."""
    rows = await run(tx, _FIND(now, partner_id, endpoint_id))
    if not rows:
        raise not_found("webhook endpoint", str(endpoint_id))
    return rows[0]


async def page(
    tx: AsyncConnection, partner_id: int, *, after: UUID | None, limit: int, now: datetime
) -> list[Endpoint]:
    """Up to `limit` endpoints of a partner, in the order of their ids."""
    return await run(tx, _PAGE(now, partner_id, after, limit))


async def create(
    tx: AsyncConnection,
    secrets: WebhookSecrets,
    partner_id: int,
    settings: EndpointSettings,
    *,
    now: datetime,
) -> tuple[Endpoint, bytes]:
    """A new endpoint and its secret, which nobody is shown again. Raises ENDPOINT_LIMIT."""
    await run(tx, _LOCK_PARTNER(partner_id))
    (count,) = await run(tx, _COUNT(partner_id))
    if count >= MAX_ENDPOINTS:
        raise DomainError(
            Reason.ENDPOINT_LIMIT,
            f"there are {count} endpoints; delete one that is not used",
            limit=MAX_ENDPOINTS,
        )
    endpoint_id = uuid4()
    secret, encrypted = secrets.new(str(endpoint_id))
    stored = settings.url, list(settings.types), settings.description, encrypted
    await run(tx, _CREATE(partner_id, endpoint_id, *stored, now))
    return await find(tx, partner_id, endpoint_id, now=now), secret


async def update(
    tx: AsyncConnection,
    partner_id: int,
    endpoint_id: UUID,
    settings: EndpointSettings,
    *,
    state: str,
    version: int = 0,
    now: datetime,
) -> Endpoint:
    """Sets what a partner sets; `version` is the one that was read, 0 any. Raises NOT_FOUND,
    VERSION_MISMATCH.
    """
    stored = settings.url, list(settings.types), settings.description, state
    updated = await run(tx, _UPDATE(partner_id, endpoint_id, *stored, now, version))
    found = await find(tx, partner_id, endpoint_id, now=now)
    if not updated:
        raise version_mismatch(
            "webhook endpoint", str(endpoint_id), sent=version, now=found.version
        )
    return found


async def delete(tx: AsyncConnection, partner_id: int, endpoint_id: UUID) -> None:
    """Removes an endpoint and the log of its deliveries. Raises NOT_FOUND."""
    if not await run(tx, _DELETE(partner_id, endpoint_id)):
        raise not_found("webhook endpoint", str(endpoint_id))


async def rotate_secret(
    tx: AsyncConnection,
    secrets: WebhookSecrets,
    partner_id: int,
    endpoint_id: UUID,
    *,
    overlap_seconds: int | None,
    now: datetime,
) -> tuple[bytes, datetime]:
    """A new secret, and until when the former one signs as well. Raises NOT_FOUND."""
    overlap = DEFAULT_OVERLAP_SECONDS if overlap_seconds is None else overlap_seconds
    until = now + timedelta(seconds=overlap)
    secret, encrypted = secrets.new(str(endpoint_id))
    if not await run(tx, _ROTATE(partner_id, endpoint_id, encrypted, until, now)):
        raise not_found("webhook endpoint", str(endpoint_id))
    return secret, until
