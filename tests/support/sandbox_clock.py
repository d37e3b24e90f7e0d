"""The test clock of a sandbox, and what has happened by it, as its partner sees it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import event_pb2, sandbox_pb2
from deeptravel.ota.v1 import test_clock_pb2 as pb

from server.partners.statement_rules import SEAL_DELAY, end_of
from server.platform.config import load_settings
from tests.support.partner_client import PartnerClient, request_id

ZONE: ZoneInfo = load_settings().zone
DAY = timedelta(days=1)


async def shown(client: PartnerClient) -> datetime:
    """What a sandbox's clock shows."""
    answer = await client.call("GetTestClock", pb.GetTestClockRequest())
    return moment(answer.clock.current_time)


async def advance(client: PartnerClient, request: str = "", **fields: Any) -> Any:
    asked = pb.AdvanceTestClockRequest(request_id=request or request_id(), **fields)
    return await client.call("AdvanceTestClock", asked, timeout=60)


async def events(client: PartnerClient) -> list[event_pb2.Event]:
    """All of a partner's events, in order."""
    found: list[event_pb2.Event] = []
    while True:
        after = found[-1].cursor if found else 0
        request = event_pb2.ListEventsRequest(after_cursor=after, page_size=200)
        page = (await client.call("ListEvents", request)).events
        found += page
        if not page:
            return found


async def when(client: PartnerClient, kind: str) -> list[event_pb2.Event]:
    """The events of a type, once there are any in the partner's feed."""
    for _ in range(1200):
        if found := [each for each in await events(client) if each.type == kind]:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"there is no {kind}")


def moment(stamp: Any) -> datetime:
    found: datetime = stamp.ToDatetime(UTC)
    return found


def types(found: list[event_pb2.Event]) -> list[str]:
    return [event.type for event in found]


async def scan(client: PartnerClient, ticket_code: str) -> Any:
    request = sandbox_pb2.SimulateRedemptionRequest(
        qr_token=(await client.qr(ticket_code)).encrypted_data,
        function_code="ferry",
        request_id=request_id(),
    )
    return (await client.call("SimulateRedemption", request)).answer


def seals_from(begin: datetime) -> list[datetime]:
    """When the statements of the months from then on are sealed."""
    month = begin.astimezone(ZONE).date().replace(day=1)
    found = []
    for _ in range(6):
        found.append((end_of(month, ZONE) + SEAL_DELAY).astimezone(UTC))
        month = (month + 32 * DAY).replace(day=1)
    return found
