"""Leases: a function of tickets that one terminal alone redeems for a time, so that what it admits
without network is sure.

A lease stands at the entitlement and is read with it: a scan of a ticket without one pays nothing.
It is over when its time is, by the database's clock. The ticket's row lock decides between two that
lease, and between a lease and a scan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.trail import AuditedChange, audit
from server.identity.callers import Operator
from server.parties.models import terminals
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import Statement, run
from server.redemption import lookup, rules, sessions, statements
from server.redemption.rules import Refusal, Scan, ScannedTicket
from server.redemption.statements import SnapshotCache
from server.tickets import uses
from server.tickets.models import tickets
from server.tickets.tickets import record

DEFAULT_SECONDS = 900
MOST_OF_SHARE = 1_000
"""Tickets of a share: so many rows are locked at once."""
MOST_OF_TERMINAL = 5_000
"""Functions of tickets that a terminal has leased at once."""

_NOT_FOUND = Refusal("TICKET_NOT_FOUND", "code")
_OF_DEPARTURE = Statement(
    """
SELECT s.ticket_id FROM (
  SELECT ticket_id FROM ticket_sales WHERE departure_id = $1::bigint
  UNION ALL SELECT ticket_id FROM departure_tickets WHERE departure_id = $1::bigint) s
WHERE s.ticket_id % $3::int = $2::int ORDER BY s.ticket_id LIMIT $4::int
""",
    int,
)


class DepartureShare(NamedTuple):
    """One of so many `shares` of a departure's tickets, by its `number` from 0."""

    departure_id: int
    number: int
    shares: int


@dataclass(frozen=True, slots=True)
class Leased:
    """A ticket that is leased until then, or why not."""

    ticket_code: str
    until: datetime | None
    refusal: Refusal | None


async def lease_codes(
    tx: AsyncConnection,
    codes: Sequence[str],
    function_code: str,
    *,
    seconds: int,
    caller: Operator,
    now: datetime,
) -> list[Leased]:
    """Leases a function of tickets, each on its own. Raises CONFLICT, RANGE_TOO_LARGE."""
    numbers = {code: await lookup.ticket_number(tx, code) or 0 for code in dict.fromkeys(codes)}
    found = await _lease(
        tx, [*numbers.values()], function_code, seconds=seconds, caller=caller, now=now
    )
    by_code = {each.ticket_code: each for each in found}
    return [by_code.get(code) or Leased(code, None, _NOT_FOUND) for code in codes]


async def lease_share(
    tx: AsyncConnection,
    share: DepartureShare,
    function_code: str,
    *,
    seconds: int,
    caller: Operator,
    now: datetime,
) -> list[Leased]:
    """Leases a function of a departure's tickets, as they are sold now. Raises INVALID_FIELD,
    NOT_FOUND, CONFLICT, RANGE_TOO_LARGE.
    """
    if share.number >= share.shares:
        raise invalid("share", f"is counted from 0 to {share.shares - 1}")
    ids = await run(tx, _OF_DEPARTURE(*share, MOST_OF_SHARE + 1))
    if len(ids) > MOST_OF_SHARE:
        raise invalid("share_count", f"gives shares above {MOST_OF_SHARE} tickets; send more")
    if not ids:
        raise not_found("tickets of departure", share.departure_id)
    found = await _lease(tx, ids, function_code, seconds=seconds, caller=caller, now=now)
    return [each for each in found if each.refusal is not _NOT_FOUND]


async def give_back(
    tx: AsyncConnection, codes: Sequence[str], *, caller: Operator, now: datetime
) -> int:
    """Ends the terminal's leases of these tickets, or all of them; how many. Raises CONFLICT."""
    device = caller.terminal_device_id
    leased = sorted({each.ticket_id for each in await run(tx, uses.LEASED_TO(device))})
    if codes:
        named = {await lookup.ticket_number(tx, code) for code in codes}
        leased = [number for number in leased if number in named]
    await _lock(tx, leased)
    ended = await run(tx, uses.end_leases(device, leased))
    await _trace(tx, ended, "lease_ended", {"leases": len(ended)}, caller=caller, now=now)
    return len(ended)


async def _lease(
    tx: AsyncConnection,
    ticket_ids: Sequence[int],
    function_code: str,
    *,
    seconds: int,
    caller: Operator,
    now: datetime,
) -> list[Leased]:
    device = caller.terminal_device_id
    # one call of a terminal after the other: they count what it has
    this = terminals.c.terminal_device_id == device
    await tx.execute(select(this).where(this).with_for_update(key_share=True))
    await _lock(tx, ticket_ids)
    known = SnapshotCache()
    facts = await statements.read(
        tx, known, ticket_ids=sorted(ticket_ids), order_ids=[], skip_locked=False
    )
    refused = {
        number: _why_not(ticket, function_code, caller, now)
        for number, ticket in facts.tickets.items()
    }
    wanted = [number for number, refusal in refused.items() if refusal is None]
    anew = {(number, function_code) for number in wanted}
    others = [each for each in await run(tx, uses.LEASED_TO(device)) if each[:2] not in anew]
    if wanted and len(others) + len(wanted) > MOST_OF_TERMINAL:
        raise DomainError(
            Reason.RANGE_TOO_LARGE,
            f"terminal {device} would have leased more than {MOST_OF_TERMINAL} functions of"
            " tickets; give some back",
        )
    lease = uses.lease(device, function_code, wanted, seconds=seconds)
    until = {each.ticket_id: each.until for each in await run(tx, lease)}
    done = {"function_code": function_code, "seconds": seconds, "leases": len(until)}
    await _trace(tx, [*until], "leased", done, caller=caller, now=now)
    return [
        Leased(ticket.ticket_code, until.get(number), refused[number])
        for number, ticket in facts.tickets.items()
    ]


def _why_not(
    ticket: ScannedTicket, function_code: str, caller: Operator, now: datetime
) -> Refusal | None:
    """Why a scan of it would be refused; that its time has not come yet is no reason."""
    if caller.function_codes.isdisjoint(ticket.uses):
        return _NOT_FOUND
    scan = Scan(
        ticket.jti,
        function_code,
        1,
        caller.function_codes,
        now.astimezone(ZoneInfo(caller.venue_time_zone)),
        sessions.admits(caller),
        caller.sandbox_id,
        caller.venue_code,
        caller.terminal_device_id,
    )
    return rules.why_not_leased(scan, ticket)


async def _lock(tx: AsyncConnection, ticket_ids: Iterable[int]) -> None:
    """Waits for the tickets' locks, in their order, as scans take them."""
    these = tickets.c.ticket_id.in_([*ticket_ids])
    query = select(tickets.c.ticket_id).where(these).order_by(tickets.c.ticket_id)
    await tx.execute(query.with_for_update(key_share=True))


async def _trace(
    tx: AsyncConnection,
    ticket_ids: Sequence[int],
    action: str,
    done: dict[str, object],
    *,
    caller: Operator,
    now: datetime,
) -> None:
    """Records it at the tickets, which so are in the next packs, and in the audit trail."""
    states: dict[str, list[int]] = {}
    rows = await tx.execute(
        select(tickets.c.ticket_id, tickets.c.state).where(tickets.c.ticket_id.in_(ticket_ids))
    )
    for number, state in rows:
        states.setdefault(state, []).append(number)
    for state, numbers in sorted(states.items()):
        await record(tx, numbers, now=now, action=action, state=state, actor=caller.key)
    actor = f"{caller.role.lower()}:{caller.username}"
    terminal = caller.terminal_device_id
    after = {**done, "merchant_code": caller.merchant_code}
    change = AuditedChange(actor, action, "terminal", terminal, None, after)
    await run(tx, audit(change, now=now))
