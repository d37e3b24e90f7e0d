"""Scans that terminals decided without network, uploaded: a verdict for each, for good.

They are decided as scans online are, by the same rules and statements, in batches of their own
(`platform/batching.py`), but at the time of the scan. A scan is known by the hash of its content:
one that comes again, in whatever company, is answered as it was.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Row, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Operator
from server.platform import clock
from server.platform.batching import Batcher, Work
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError, Reason
from server.platform.metrics import UPLOAD_BATCH, UPLOAD_QUEUE
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, Statement, run, run_together
from server.redemption import answers, lookup, opened_tokens, redeem, statements
from server.redemption.answers import Answer
from server.redemption.event_ids import redemption_id
from server.redemption.forged_codes import drop_forged
from server.redemption.models import offline_scans
from server.redemption.offline_rules import (
    BelievedTime,
    Judgement,
    OfflineScan,
    TicketMove,
    believed_time,
    judge,
    pack_time,
    revoked_time,
)
from server.redemption.opened_tokens import Token
from server.redemption.redeem import Redeemer, ScanItem, ScanUnit
from server.redemption.rules import ScannedTicket
from server.redemption.statements import ScanFacts, ScanWrites

BATCH = 200
"""Scans in one transaction: so long their tickets are locked to scans online."""
WORKERS = 2
AT_ONCE = 50
"""Tokens verified before others have their turn."""
LAST_COUNTER = (1 << 63) - 2
"""One below the greatest, for one more than it to be a number of the database."""


class Uploaded(NamedTuple):
    """The verdict on a scan; `answer` is what it would have been online, None if it was not
    decided. `online_event_id` is the redemption of before, if it was redeemed online.
    """

    scan_hash: str
    judged: Judgement
    answer: Answer | None
    revoked_time: datetime | None
    online_event_id: int | None = None


class ChainBreak(NamedTuple):
    """A scan that does not follow the one that is recorded before it, if there is one."""

    counter: int
    counter_before: int


class _KnownScan(NamedTuple):
    terminal_device_id: str
    scan_hash: str
    verdict: str
    liable: str
    answer: bytes
    revoked_time: datetime | None


class _MoveRow(NamedTuple):
    ticket_id: int
    action: str
    state: str
    occurred_time: datetime


class _OnlineRow(NamedTuple):
    terminal_device_id: str
    request_id: str
    ticket_id: int
    function_code: str
    quantity: int
    event_id: int


class _ScanRow(NamedTuple):
    terminal_device_id: str
    scan_hash: str
    scan_id: str
    counter: int
    previous_hash: str
    pack_version: int
    scanned_time: datetime | None
    merchant_code: str
    venue_code: str
    operator: str
    function_code: str
    quantity: int
    verdict: str
    liable: str | None
    ticket_id: int
    answer: bytes
    revoked_time: datetime | None
    online_event_id: int | None


# LATERAL and LIMIT, so that each is looked up by its key, however empty the table was when this was
# planned; by the index of counters, which is partial, all of the terminal's would be read for each
_READ = Statement(
    """
SELECT s.terminal_device_id, s.scan_hash, s.verdict, coalesce(s.liable, ''), s.answer,
  s.revoked_time
FROM unnest($1::text[], $2::text[]) AS v (terminal_device_id, scan_hash)
CROSS JOIN LATERAL (SELECT * FROM offline_scans o
  WHERE o.terminal_device_id = v.terminal_device_id AND o.scan_hash = v.scan_hash LIMIT 1) s
""",
    _KnownScan,
)
_READ_MOVES = Statement(
    """
SELECT ticket_id, action, state, occurred_time FROM ticket_events
WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id, event_id
""",
    _MoveRow,
)
# A request online whose answer was lost has the id of the scan that the terminal wrote down then.
# What is uploaded has no request_id, so an event is of a request; it excuses one scan. OFFSET, so
# that the events are looked up by ticket.
_READ_ONLINE = Statement(
    """
SELECT e.terminal_device_id, e.request_id, e.ticket_id, e.function_code, e.quantity, e.event_id
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS v (terminal_device_id, scan_id, ticket_id)
CROSS JOIN LATERAL (SELECT * FROM redemption_events o WHERE o.ticket_id = v.ticket_id OFFSET 0) e
WHERE e.request_id = v.scan_id AND e.terminal_device_id = v.terminal_device_id
  AND e.result = 'SUCCESS' AND NOT EXISTS (SELECT FROM offline_scans s
    WHERE s.ticket_id = e.ticket_id AND s.online_event_id = e.event_id)
""",
    _OnlineRow,
)
# two at once: the second loses the race by the primary key, and finds the verdict
_RECORD = Statement("""
INSERT INTO offline_scans
  (received_time, terminal_device_id, scan_hash, scan_id, counter, previous_hash, pack_version,
   scanned_time, merchant_code, venue_code, operator, function_code, quantity, verdict, liable,
   ticket_id, answer, revoked_time, online_event_id)
SELECT $1::timestamptz, v.*
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[],
            $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[], $13::int[],
            $14::text[], $15::text[], $16::bigint[], $17::bytea[], $18::timestamptz[],
            $19::bigint[]) v
""")
_BREAKS = Statement(
    """
SELECT counter, coalesce(counter_before, 0) FROM (
  SELECT counter, previous_hash, lag(counter) OVER w AS counter_before,
    lag(scan_hash) OVER w AS hash_before
  FROM offline_scans
  WHERE terminal_device_id = $1 AND counter BETWEEN $2::bigint - 1 AND $3::bigint + 1
    AND counter >= 0
  WINDOW w AS (ORDER BY counter, scan_hash)) s
WHERE CASE WHEN counter_before IS NOT NULL THEN previous_hash <> hash_before
  WHEN counter <= 1 THEN previous_hash <> '' ELSE counter >= $2::bigint END
ORDER BY counter LIMIT 100
""",
    ChainBreak,
)


@dataclass(slots=True, eq=False)
class _Unit:
    """One scan; `scanned` is it as a scan online would be."""

    scan: OfflineScan
    scan_hash: str
    time: BelievedTime
    scanned: ScanUnit

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.scanned.operator.terminal_device_id, self.scan_hash

    @property
    def sent(self) -> tuple[str, str, int]:
        """What the request had that sent it online, if one did: terminal, request_id, ticket."""
        (token,) = self.scanned.tokens
        return self.scanned.operator.terminal_device_id, self.scan.scan_id, token.ticket_id


class _Facts(NamedTuple):
    """What is known of the scans of one transaction, and what is to be written."""

    known: dict[tuple[str, str], Uploaded]
    online: dict[tuple[str, str, int, str, int], int]
    scans: ScanFacts
    moves: dict[int, list[TicketMove]]
    writes: ScanWrites
    rows: list[_ScanRow]
    now: datetime


class Uploads:
    """Takes uploaded scans."""

    def __init__(self, db: Database, redeemer: Redeemer) -> None:
        self._db = db
        self._redeemer = redeemer
        self._snapshots = statements.SnapshotCache()
        self._batcher = Batcher(
            db,
            Work(self._read, _decide, _write, prepare=self._prepare),
            batch=BATCH,
            workers=WORKERS,
            queue=UPLOAD_QUEUE,
            batches=UPLOAD_BATCH,
        )

    async def upload(
        self, operator: Operator, scans: Sequence[OfflineScan]
    ) -> tuple[list[Uploaded], list[ChainBreak]]:
        """A verdict for each scan, and where the terminal's chain has gaps there.

        Raises CONFLICT, DATABASE_UNAVAILABLE: some may have their verdicts then, and a repeat gives
        them again. Raises ROLE_NOT_ALLOWED, with nothing recorded, for a scan without a QR in the
        log-in of somebody who is no supervisor.
        """
        # whatever departure its session is for now: it may have been another's then
        operator, received = replace(operator, departure=None), clock.now()
        numbers = await self._numbers(operator, scans)
        futures = []
        for first in range(0, len(scans), AT_ONCE):
            batch = scans[first : first + AT_ONCE]
            futures += [
                self._batcher.submit(_unit(operator, scan, received, numbers)) for scan in batch
            ]
            await asyncio.sleep(0)
        uploaded = await asyncio.gather(*futures)
        counters = [min(scan.counter, LAST_COUNTER) for scan in scans]
        async with self._db.transaction() as tx:
            place = operator.terminal_device_id, min(counters), max(counters)
            return uploaded, await run(tx, _BREAKS(*place))

    async def _numbers(
        self, operator: Operator, scans: Sequence[OfflineScan]
    ) -> Mapping[str, int | None]:
        """What the codes spell of tickets that were admitted without a QR."""
        codes = {scan.ticket_code for scan in scans if scan.is_by_code}
        if not codes:
            return {}
        if operator.role != "SUPERVISOR":
            raise DomainError(
                Reason.ROLE_NOT_ALLOWED,
                "what was admitted without a QR is uploaded in a supervisor's log-in",
                role=operator.role,
                allowed="SUPERVISOR",
            )
        async with self._db.transaction() as tx:
            return {code: await lookup.ticket_number(tx, code) for code in codes}

    def _prepare(self, unit: _Unit) -> None:
        self._redeemer.open_if_known(unit.scanned, unit.time.moment)

    async def _read(
        self, tx: PipelineConnection, units: Sequence[_Unit], *, skip_locked: bool
    ) -> _Facts:
        for unit in units:
            await self._redeemer.open_tokens(unit.scanned, unit.time.moment)
        await drop_forged(tx, [unit.scanned.tokens for unit in units])
        tokens = [token for unit in units for token in unit.scanned.tokens]
        ticket_ids = sorted({token.ticket_id for token in tokens if token.ticket_id})
        facts = await statements.read(
            tx,
            self._snapshots,
            ticket_ids=ticket_ids,
            order_ids=list({token.order_id for token in tokens if token.order_id}),
            skip_locked=skip_locked,
        )
        terminals, hashes = zip(*[unit.key for unit in units], strict=True)
        sent = [unit.sent for unit in units if unit.scanned.tokens[0].ticket_id]
        moved, known, online = await run_together(
            tx, _READ_MOVES(ticket_ids), _READ(terminals, hashes), _READ_ONLINE.of_rows(sent)
        )
        moves: dict[int, list[TicketMove]] = {}
        for move in moved:
            of_ticket = moves.setdefault(move.ticket_id, [])
            of_ticket.append(TicketMove(move.action, move.state, move.occurred_time))
        return _Facts(
            {row[:2]: _kept(row) for row in known},
            {row[:5]: row.event_id for row in online},
            *(facts, moves, ScanWrites(), [], clock.now()),
        )


def _unit(
    operator: Operator, scan: OfflineScan, received: datetime, numbers: Mapping[str, int | None]
) -> _Unit:
    by_code = numbers[scan.ticket_code] or 0 if scan.is_by_code else None
    uses = scan.function_code, scan.quantity or 1
    item = ScanItem(scan.qr_token, *uses, scan.ticket_code, by_code)
    time = believed_time(scan, received, operator.offline)
    scanned = ScanUnit(
        operator,
        [item],
        *("", "", False, redeem.METHOD, b"", scan.comment),
        pack_time=pack_time(scan.pack_version),
        clock_slack=None if time.is_suspect else operator.offline.clock_tolerance,
    )
    return _Unit(scan, scan.hash(), time, scanned)


def _kept(row: _KnownScan) -> Uploaded:
    found = answers.load(row.answer)
    judged = Judgement(row.verdict, row.liable)
    return Uploaded(row.scan_hash, judged, found[0] if found else None, row.revoked_time)


def _decide(unit: _Unit, facts: _Facts) -> Uploaded:
    """The verdict on a scan, noted to be written; raises LockedError, with nothing noted, if it
    needs a row that is locked.
    """
    known = facts.known.get(unit.key)
    if known is not None:
        return known
    token = unit.scanned.tokens[0]
    if unit.scan.admitted:
        uses = token.ticket_id, unit.scan.function_code
        if token.ticket_id in facts.scans.held_tickets or uses in facts.scans.held_uses:
            raise LockedError
        uploaded = _judged(unit, facts)
    else:
        uploaded = Uploaded(unit.scan_hash, Judgement("RECORDED"), None, None)
    facts.known[unit.key] = uploaded
    facts.rows.append(_row(unit, token.ticket_id, uploaded))
    return uploaded


def _judged(unit: _Unit, facts: _Facts) -> Uploaded:
    scanned, time = unit.scanned, unit.time
    (item,), (token,) = scanned.items, scanned.tokens
    ticket, revoked = facts.scans.tickets.get(token.ticket_id), None
    event_id = facts.online.pop((*unit.sent, item.function_code, item.quantity), None)
    if ticket and event_id is not None:
        answer = redeem.admitted(item, ticket, redemption_id(ticket.ticket_id, event_id))
        return Uploaded(unit.scan_hash, Judgement("ACCEPTED"), answer, None, event_id)
    is_other = ticket is not None and _is_superseded(ticket, token, facts.scans)
    if ticket:
        moves = facts.moves.get(token.ticket_id, [])
        revoked = revoked_time(ticket, moves, is_other_qr=is_other)
    is_before = revoked is not None and time.moment < revoked
    own_jti = token.jti if is_other and token.order_id is None else None
    with _as_it_was(ticket, own_jti, is_before=is_before):
        local = time.moment.astimezone(ZoneInfo(scanned.operator.venue_time_zone))
        decided = redeem.decide_item(scanned, item, token, facts.scans, local, now=facts.now)
    answer = decided.answer
    if answer.result == "SUCCESS":
        redeem.note(scanned, decided, facts.writes, time.moment)
        redeem.note_order(scanned, decided, facts.scans, facts.writes, facts.now)
    elif ticket and answer.reason == "NO_USES_LEFT":
        answer = answer._replace(earlier=_last_use(ticket, item.function_code))
    judged = judge(
        answer.reason,
        answer.earlier[2] if answer.earlier else "",
        terminal_device_id=scanned.operator.terminal_device_id,
        time=time,
        revoked=revoked,
        pack_version=unit.scan.pack_version,
        policy=scanned.operator.offline,
    )
    return Uploaded(unit.scan_hash, judged, answer, revoked)


def _is_superseded(ticket: ScannedTicket, token: Token, facts: ScanFacts) -> bool:
    """Whether the ticket has got another QR since its, or its order's, was issued."""
    if token.order_id is None:
        return token.jti is not None and token.jti != ticket.jti
    issued_after = opened_tokens.issued_after(facts.orders.get(token.order_id), token.jti)
    return issued_after is not None and ticket.rotation > issued_after


@contextmanager
def _as_it_was(
    ticket: ScannedTicket | None, jti: UUID | None, *, is_before: bool
) -> Iterator[None]:
    """Shows a ticket as it was at the time of a scan: not over by the clock; and, if that is before
    it was blocked or got another QR, without the block and rotation, and with the `jti` of the
    scan.
    """
    if ticket is None:
        yield
        return
    state, blocked, now, rotation = ticket.state, ticket.blocked, ticket.jti, ticket.rotation
    if state == "EXPIRED":
        ticket.state = "ACTIVE"
    if is_before:
        ticket.blocked, ticket.jti, ticket.rotation = False, jti or now, 0
    yield
    ticket.blocked, ticket.jti, ticket.rotation = blocked, now, rotation
    if state == "EXPIRED":  # for good, whatever is found to have been used before
        ticket.state = state


def _last_use(ticket: ScannedTicket, function_code: str) -> tuple[str, datetime, str, str] | None:
    uses = [use for (_, function), use in ticket.guards.items() if function == function_code]
    if not uses:
        return None
    last = max(uses, key=lambda use: use.redeemed_time)
    return redemption_id(ticket.ticket_id, last.event_id), *last[1:]


def _row(unit: _Unit, ticket_id: int, uploaded: Uploaded) -> _ScanRow:
    scan, operator = unit.scan, unit.scanned.operator
    return _ScanRow(
        *unit.key,
        scan.scan_id,
        scan.counter,
        scan.previous_hash,
        scan.pack_version,
        scan.scanned_time,
        operator.merchant_code,
        operator.venue_code,
        operator.username,
        scan.function_code,
        scan.quantity,
        uploaded.judged.verdict,
        uploaded.judged.liable or None,
        ticket_id,
        answers.dump([uploaded.answer] if uploaded.answer else []),
        uploaded.revoked_time,
        uploaded.online_event_id,
    )


async def _write(_: PipelineConnection, facts: _Facts) -> Iterable[Command[Any] | None]:
    commands = statements.write(facts.scans, facts.writes, facts.now)
    return [*commands, _RECORD.of_rows(facts.rows, facts.now)]


class OfflineConflict(NamedTuple):
    """A scan that was admitted and is not simply accepted; `operator` uploaded it."""

    uploaded: Uploaded
    scan_id: str
    terminal_device_id: str
    merchant_code: str
    venue_code: str
    operator: str
    function_code: str
    quantity: int
    scanned_time: datetime | None
    received_time: datetime
    pack_version: int
    counter: int


async def list_conflicts(
    tx: AsyncConnection,
    *,
    merchant_code: str,
    after: tuple[datetime, str, str] | None,
    limit: int,
) -> list[OfflineConflict]:
    """The next `limit` after (time, terminal, hash), newest first; of one merchant, or of all."""
    scans = offline_scans.c
    query = select(offline_scans).where(scans.verdict.not_in(("ACCEPTED", "RECORDED")))
    if merchant_code:
        query = query.where(scans.merchant_code == merchant_code)
    position = scans.received_time, scans.terminal_device_id, scans.scan_hash
    if after:
        query = query.where(tuple_(*position) < tuple_(*map(literal, after)))
    newest_first = [column.desc() for column in position]
    rows = await tx.execute(query.order_by(*newest_first).limit(limit))
    return [_conflict(row) for row in rows]


def _conflict(row: Row[Any]) -> OfflineConflict:
    known = _KnownScan(*[getattr(row, name) for name in _KnownScan._fields])
    fields = OfflineConflict._fields[1:]
    return OfflineConflict(
        _kept(known._replace(liable=row.liable or "")), *[getattr(row, name) for name in fields]
    )
