"""Calls of leases that have something to do, to be repeated."""

from collections.abc import Awaitable, Callable
from typing import Any

from deeptravel.redemption.v1 import leases_pb2
from google.protobuf.message import Message

from tests.support.gate import Terminal, World


async def _lease(world: World, _: Terminal) -> Message:
    ticket = await world.ticket()
    return leases_pb2.LeaseTicketsRequest(ticket_codes=[ticket.code], function_code="ferry")


async def _giving_back(world: World, terminal: Terminal) -> Message:
    ticket = await world.ticket()
    await terminal.lease(ticket.code)
    return leases_pb2.GiveBackLeasesRequest(ticket_codes=[ticket.code])


EXAMPLES: dict[str, Callable[[World, Terminal], Awaitable[Message]]] = {
    "LeaseTickets": _lease,
    "GiveBackLeases": _giving_back,
}
OTHERS: dict[str, dict[str, Any]] = {
    name: {"ticket_codes": ["OTA-CP-20251103-000001"]} for name in EXAMPLES
}
"""Other content of theirs."""
