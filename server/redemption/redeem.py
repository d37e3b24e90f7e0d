"""Redeem: the scans that arrive together share one transaction, each decided on its own.

`_read` opens the tokens of all scans that wait and locks their tickets in one ordered statement,
`_decide` decides each by rules.py in the order they came, `_write` writes everything in one
statement a table with the commit; what they have in common with other batched calls, and repeats,
is in `platform/batching.py`. It waits for no ticket: a scan of one that somebody else has locked is
decided a little later.

What keeps a ticket from being admitted twice, in PostgreSQL alone: the row lock on the ticket
(everybody who changes uses takes it first), the guard's primary key (ticket_id, jti,
function_code), the check on remaining_uses.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from prometheus_client import Gauge

from server.audit.origins import ChangeOrigin
from server.audit.trail import AuditedChange
from server.identity.callers import Operator
from server.orders import completion
from server.parties import sandbox_clocks
from server.parties.clock_rules import SandboxTime
from server.platform import clock, idempotency
from server.platform.batching import Batcher, Idempotency, Work
from server.platform.crypto import digest
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.metrics import SCAN_BATCH, SCAN_QUEUE, SCANS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command
from server.redemption import answers, opened_tokens, rules, sessions, statements
from server.redemption.answers import Answer
from server.redemption.details import details
from server.redemption.event_ids import event_id_after, redemption_id
from server.redemption.forged_codes import drop_forged
from server.redemption.opened_tokens import Token, code_shown
from server.redemption.statements import EventRow, GuardRow, ScanFacts, ScanWrites
from server.redemption.token_refusals import COMPROMISED_KEY, INVALID_TOKEN, expired_token
from server.tickets import qr, rotating_codes
from server.tickets.key_rings import KeyRings
from server.tickets.rotating_keys import RotatingKeys
from server.tickets.rules import Code, Number, is_direct, partner_of
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_REDEEMED

METHOD = "Redeem"
"""The method under which a scan's request_id counts, whether it came alone or on a stream."""


class ScanItem(NamedTuple):
    """One redemption that is asked for: the QR's text, and with an order's QR which of its tickets.

    Without a QR the ticket's code, and the number that this spells; 0 if none.
    """

    qr_token: str
    function_code: str
    quantity: int
    ticket_code: str = ""
    ticket_id: int | None = None


@dataclass(slots=True, eq=False)
class ScanUnit:
    """One call: its items are decided together, and with `all_or_nothing` stand or fall
    together. `tokens` are those of the items, as they were opened with `ring`; a terminal without
    network, with a pack of `pack_time`, could not know of keys that were compromised later. Its
    clock may be off by `clock_slack`; by nobody knows how much if None.
    """

    operator: Operator
    items: Sequence[ScanItem]
    request_id: str
    session_code: str
    all_or_nothing: bool
    method: str
    content_hash: bytes
    comment: str = ""
    tokens: list[Token] = field(default_factory=list)
    ring: qr.KeyRing | None = None
    pack_time: datetime | None = None
    clock_slack: timedelta | None = timedelta()

    @property
    def call(self) -> idempotency.KeyedCall | None:
        """The call that a repeat repeats; None without a request_id."""
        if not self.request_id:
            return None
        return idempotency.KeyedCall.of(
            self.operator.key, self.method, self.request_id, self.content_hash
        )


class _Scans(NamedTuple):
    """The scans of one transaction: what is known, what is to be written, and the time."""

    facts: ScanFacts
    writes: ScanWrites
    now: datetime


class Redeemer:
    """Decides scans, in `workers` shared transactions at once of at most `batch` scans each.

    Those of simulated terminals have a Redeemer of their own, whose batches are of one: each is
    decided at the time that its sandbox's clock shows.
    """

    def __init__(
        self,
        db: Database,
        key_rings: KeyRings,
        *,
        rotating_keys: RotatingKeys,
        batch: int,
        workers: int,
        token_cache: int,
        queue: Gauge = SCAN_QUEUE,
    ) -> None:
        self._key_rings = key_rings
        self._rotating_keys = rotating_keys
        self._verified = qr.VerifiedTokens(token_cache)
        self._snapshots = statements.SnapshotCache()
        self._batcher = Batcher(
            db,
            Work(
                self._read,
                _decide,
                _write,
                Idempotency(attrgetter("call"), answers.dump, answers.load),
                prepare=self._prepare,
            ),
            batch=batch,
            workers=workers,
            queue=queue,
            batches=SCAN_BATCH,
            size=lambda unit: len(unit.items),
            on_result=_count,
        )

    def submit(
        self,
        operator: Operator,
        items: Sequence[ScanItem],
        *,
        request_id: str,
        session_code: str,
        all_or_nothing: bool = False,
        method: str = METHOD,
        comment: str = "",
    ) -> asyncio.Future[list[Answer]]:
        """Queues a call; the future gives one answer for each item, or raises.

        `comment` says why items are redeemed by code; the call stands in the audit trail then. A
        future that is cancelled before its turn is not worked on. Raises (in the future)
        IDEMPOTENCY_MISMATCH, CONFLICT, DATABASE_UNAVAILABLE: after the latter only a repeat with
        the same request_id tells the outcome.
        """
        content_hash = b""
        if request_id:
            content_hash = _content_hash(items, comment, all_or_nothing=all_or_nothing)
        call = request_id, session_code, all_or_nothing, method, content_hash, comment
        return self._batcher.submit(ScanUnit(operator, items, *call))

    async def open(self, text: str, now: datetime) -> tuple[str, qr.Opened]:
        """The token of a QR's text, and what it says."""
        token, _ = rotating_codes.split(text)
        (opened,) = await self.open_all([(token, now)])
        return token, opened

    async def open_all(self, tokens: Iterable[tuple[str, datetime]]) -> list[qr.Opened]:
        """What tokens say, each at its time, with its signature verified once for a look and the
        scan after it.
        """
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        texts = [*tokens]
        opened = [self._open(token, ring, now) for token, now in texts]
        missing = {each.missing for each in opened if isinstance(each, qr.Invalid)}
        if await self._key_rings.look_up(missing):
            opened = [self._open(token, ring, now) for token, now in texts]
        return opened

    def _prepare(self, unit: ScanUnit) -> None:
        if not unit.operator.sandbox_id:
            self.open_if_known(unit, clock.now())

    def open_if_known(self, unit: ScanUnit, now: datetime) -> None:
        """Opens a unit's tokens, as far as the keys are at hand."""
        ring = self._key_rings.peek("")
        if ring is not None:
            self._open_all(unit, ring, now)

    async def open_tokens(self, unit: ScanUnit, now: datetime) -> None:
        """Opens a unit's tokens, unless they have been with the keys that are good now."""
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        if unit.ring is not ring:
            self._open_all(unit, ring, now)
        await self._look_up([unit], ring, now)

    async def _look_up(self, units: Sequence[ScanUnit], ring: qr.KeyRing, now: datetime) -> None:
        """Opens all anew if an issuing key that was missing is found."""
        missing = {each.missing_key for unit in units for each in unit.tokens}
        if await self._key_rings.look_up(missing):
            for unit in units:
                self._open_all(unit, ring, now)

    def _open_all(self, unit: ScanUnit, ring: qr.KeyRing, now: datetime) -> None:
        unit.tokens = [self._resolve(unit, item, ring, now) for item in unit.items]
        unit.ring = ring

    async def _read(
        self, tx: PipelineConnection, units: Sequence[ScanUnit], *, skip_locked: bool
    ) -> _Scans:
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        time = await _held_time(tx, units)
        now = time.at(clock.now()) if time else clock.now()
        for unit in units:
            if unit.ring is not ring or time:  # it changed meanwhile, or was not at hand
                self._open_all(unit, ring, now)
        await self._look_up(units, ring, now)
        await drop_forged(tx, [unit.tokens for unit in units])
        named = [token for unit in units for token in unit.tokens]
        facts = await statements.read(
            tx,
            self._snapshots,
            ticket_ids=list({token.ticket_id for token in named if token.ticket_id}),
            order_ids=list({token.order_id for token in named if token.order_id}),
            skip_locked=skip_locked,
        )
        # after the locks: the events of a ticket have the order of their times
        now = clock.now()
        return _Scans(facts, ScanWrites(), time.at(now) if time else now)

    def _open(self, token: str, ring: qr.KeyRing, now: datetime) -> qr.Opened:
        claims = self._verified.get(token, ring)
        if claims is None:
            unverified = qr.parse(token, ring)
            if isinstance(unverified, qr.Invalid):
                return unverified
            opened = qr.verify(unverified)
            if isinstance(opened, qr.Invalid):
                return opened
            claims = opened
            if unverified.by.since is not None:
                return qr.check_use(unverified, claims, now)
            self._verified.put(unverified, claims)
        return qr.check_expiry(claims, now)

    def _resolve(self, unit: ScanUnit, item: ScanItem, ring: qr.KeyRing, now: datetime) -> Token:
        if item.ticket_id is not None:
            return Token(item.ticket_id, is_code=True)
        token, code = rotating_codes.split(item.qr_token)
        opened = self._open(token, ring, now)
        if isinstance(opened, qr.Invalid):
            return Token(refusal=INVALID_TOKEN, missing_key=opened.missing)
        claims, refusal = opened.claims, None
        if isinstance(opened, qr.Compromised):
            if unit.pack_time is None or opened.since <= unit.pack_time:
                refusal = COMPROMISED_KEY
            else:
                opened = qr.check_expiry(claims, now)
        if isinstance(opened, qr.Expired):
            refusal = expired_token(claims, _local(unit, now))
        shown = code_shown(code, claims, self._rotating_keys, now, unit.clock_slack)
        is_ticket = claims.kind is qr.QrKind.TICKET
        if is_ticket and not item.ticket_code:
            return Token(claims.number, claims.jti, refusal=refusal, text=token, shown=shown)
        named = Code.parse(item.ticket_code)
        ticket_id = named.number(Number.unpack(claims.number).partner_id) if named else 0
        if is_ticket and ticket_id != claims.number:
            return Token(refusal=refusal or rules.Refusal("TICKET_NOT_FOUND", "other_ticket"))
        if named is None:
            return Token(refusal=refusal or rules.Refusal("TICKET_NOT_FOUND", "ticket_code"))
        order_id = None if is_ticket else claims.number
        return Token(ticket_id, claims.jti, order_id, refusal, text=token, shown=shown)


async def _held_time(tx: PipelineConnection, units: Sequence[ScanUnit]) -> SandboxTime | None:
    """What the clock of a sandbox shows, at whose simulated terminal the one unit was scanned;
    nobody moves it meanwhile. None at all other terminals.
    """
    sandbox_id = units[0].operator.sandbox_id
    if not sandbox_id:
        return None
    assert len(units) == 1, "each simulated scan has a batch of its own"
    return await sandbox_clocks.hold(tx, sandbox_id)


def _decide(unit: ScanUnit, scans: _Scans) -> list[Answer]:
    """Decides one call and notes what it writes; raises LockedError, with nothing noted, if it
    needs a row that is locked.
    """
    facts, writes, now = scans
    for item, token in zip(unit.items, unit.tokens, strict=True):
        uses = token.ticket_id, item.function_code
        if token.ticket_id in facts.held_tickets or uses in facts.held_uses:
            raise LockedError
    local = _local(unit, now)
    before = {
        token.ticket_id: facts.tickets[token.ticket_id].copy()
        for token in unit.tokens
        if unit.all_or_nothing and token.ticket_id in facts.tickets
    }
    decided = [
        decide_item(unit, item, token, facts, local, now=now)
        for item, token in zip(unit.items, unit.tokens, strict=True)
    ]
    if unit.all_or_nothing and any(each.answer.result == "REJECT" for each in decided):
        facts.tickets.update(before)
        decided = [
            _as_it_stays(unit, each, facts.tickets[each.token.ticket_id], local)
            if each.ticket
            else each
            for each in decided
        ]
    for each in decided:
        note(unit, each, writes, now)
        note_order(unit, each, facts, writes, now)
    return [each.answer for each in decided]


async def _write(_: PipelineConnection, scans: _Scans) -> Iterable[Command[Any] | None]:
    return statements.write(*scans)


def _local(unit: ScanUnit, now: datetime) -> datetime:
    return now.astimezone(ZoneInfo(unit.operator.venue_time_zone))


class _Decided(NamedTuple):
    """One item, what it names, and its answer."""

    item: ScanItem
    token: Token
    ticket: rules.ScannedTicket | None
    jti: UUID | None
    event_id: int
    answer: Answer


def decide_item(
    unit: ScanUnit,
    item: ScanItem,
    token: Token,
    facts: ScanFacts,
    local: datetime,
    *,
    now: datetime,
) -> _Decided:
    """Decides one item at a time in the venue's time zone, recorded `now`, and has the facts be as
    after it.
    """
    ticket = facts.tickets.get(token.ticket_id)
    sandbox_id = unit.operator.sandbox_id
    foreign = bool(sandbox_id) and partner_of(token.ticket_id) != sandbox_id
    if foreign:  # to a simulated terminal there are no others' tickets
        ticket = None
    jti, refusal = token.jti, token.refusal
    if token.order_id is not None:
        if ticket and not opened_tokens.opens(token.order_id, item.ticket_code, ticket, facts):
            ticket = None
        if not refusal:
            issued_after = opened_tokens.issued_after(facts.orders.get(token.order_id), token.jti)
            refusal = rules.order_qr_standing(issued_after, ticket)
            # an order's QR stands for the QRs of its tickets that are valid now
            jti = ticket.jti if ticket else None
    ticket, refusal = opened_tokens.unless_forged(token, ticket, refusal, facts)
    if token.is_code:
        # what nothing of is redeemed here does not exist here: codes can be counted up
        known = ticket and ticket.ticket_code == item.ticket_code
        if not ticket or not known or unit.operator.function_codes.isdisjoint(ticket.uses):
            ticket, refusal = None, rules.Refusal("TICKET_NOT_FOUND", "code")
        jti = ticket.jti if ticket else None
    recorded = [use.event_id for use in ticket.guards.values()] if ticket else []
    event_id = event_id_after(recorded, now)
    if ticket is None or jti is None:
        refusal = refusal or rules.Refusal("TICKET_NOT_FOUND", "ticket")
        ticket = None
    elif refusal is None:
        scan = _scan(unit, item, token, jti, local)
        refusal = rules.decide(scan, ticket)
        if refusal is None:
            place = unit.operator.terminal_device_id, unit.operator.venue_code
            rules.apply(scan, ticket, rules.Earlier(event_id, local, *place))
    by_own_qr = token.order_id is None and not token.is_code and not foreign
    public_id = redemption_id(token.ticket_id if ticket or by_own_qr else 0, event_id)
    answer = (
        _refused(refusal, ticket, public_id)
        if refusal
        else admitted(item, cast(rules.ScannedTicket, ticket), public_id)
    )
    return _Decided(item, token, ticket, jti, event_id, answer)


def _scan(unit: ScanUnit, item: ScanItem, token: Token, jti: UUID, local: datetime) -> rules.Scan:
    allowed = unit.operator.function_codes
    return rules.Scan(
        jti,
        item.function_code,
        item.quantity,
        allowed,
        local,
        sessions.admits(unit.operator),
        unit.operator.sandbox_id,
        unit.operator.venue_code,
        unit.operator.terminal_device_id,
        token.shown,
    )


def admitted(item: ScanItem, ticket: rules.ScannedTicket, public_id: str) -> Answer:
    """The answer to an item that was redeemed, by the ticket as it is after it."""
    uses = ticket.uses[item.function_code]
    facts: dict[str, str | int] = {
        "function": item.function_code,
        "quantity": item.quantity,
        "remaining": uses.remaining,
        "total": uses.total,
    }
    known = ticket.ticket_code, ticket.state, remaining(ticket), public_id
    return Answer("SUCCESS", "", "admitted", facts, *known, details=details(ticket))


def _refused(refusal: rules.Refusal, ticket: rules.ScannedTicket | None, public_id: str) -> Answer:
    why = "REJECT", refusal.reason, refusal.check, refusal.facts
    if ticket is None:
        return Answer(*why, redemption_id=public_id)
    earlier = None
    if refusal.earlier:
        before = refusal.earlier
        earlier = (
            redemption_id(ticket.ticket_id, before.event_id),
            before.redeemed_time,
            before.terminal_device_id,
            before.venue_code,
        )
    known = ticket.ticket_code, ticket.state, remaining(ticket), public_id
    return Answer(*why, *known, earlier, details(ticket))


def _as_it_stays(
    unit: ScanUnit, scan: _Decided, ticket: rules.ScannedTicket, local: datetime
) -> _Decided:
    """One item of a call that did nothing, answered as the ticket is without the call's other
    items.
    """
    answer, left = scan.answer, remaining(ticket)
    if answer.result == "SUCCESS":
        known = ticket.ticket_code, ticket.state, left
        withheld = Answer("WITHHELD", "", "withheld", {}, *known, details=details(ticket))
        return scan._replace(answer=withheld)
    answer = answer._replace(ticket_state=ticket.state, remaining=left)
    if scan.jti and answer.check in ("guard", "guard_time", "uses"):
        function = scan.item.function_code
        alone = _scan(unit, scan.item, scan.token, scan.jti, local)
        uses = ticket.uses[function]
        facts: dict[str, str | int] = {
            "function": function,
            "remaining": uses.remaining,
            "total": uses.total,
        }
        # admitted alone: what stood in the way was another item
        refusal = rules.decide(alone, ticket) or rules.Refusal(answer.reason, "call", facts)
        answer = _refused(refusal, ticket, answer.redemption_id)
    return scan._replace(answer=answer)


def remaining(ticket: rules.ScannedTicket) -> tuple[tuple[str, int], ...]:
    """What is left of each entitlement, by function code."""
    return tuple((function, uses.remaining) for function, uses in ticket.uses.items())


def note_order(
    unit: ScanUnit,
    scan: _Decided,
    facts: ScanFacts,
    writes: ScanWrites,
    now: datetime,
) -> None:
    """Notes the order of a ticket that is used up: it may be COMPLETED now, or as soon as nobody
    else is at it.
    """
    ticket = scan.ticket
    if scan.answer.result != "SUCCESS" or ticket is None or ticket.state != "USED":
        return
    if ticket.order_id in facts.held_orders:
        task = completion.completing_later(ticket.order_id, scan.event_id, unit.operator.key, now)
        writes.later[ticket.order_id] = task
    elif ticket.order_id is not None:
        writes.orders[ticket.order_id] = unit.operator.key


def note(unit: ScanUnit, scan: _Decided, writes: ScanWrites, now: datetime) -> None:
    """Notes what a decided item writes; a withheld one leaves no trace."""
    answer, item, operator, ticket = scan.answer, scan.item, unit.operator, scan.ticket
    if answer.result == "WITHHELD":
        return
    named = int(answer.redemption_id[:16], 16)
    if answer.result == "SUCCESS" and ticket and scan.jti:
        writes.touched.add((named, item.function_code))
        key = named, scan.jti, item.function_code
        place = operator.terminal_device_id, operator.venue_code
        guard = GuardRow(*key, scan.event_id, now, *place)
        if ticket.snapshot.terms[item.function_code].use_mode == rules.ONCE_PER_QR:
            writes.once_guards.append(guard)
        else:
            writes.multi_guards[key] = guard
        if not is_direct(named):
            writes.partner_events.append(_partner_event(named, scan, operator))
    writes.events.append(
        EventRow(
            named,
            scan.event_id,
            answer.ticket_code,
            scan.jti,
            item.function_code,
            answer.result,
            answer.reason or None,
            item.quantity,
            operator.merchant_code,
            operator.venue_code,
            operator.terminal_device_id,
            operator.username,
            unit.session_code or None,
            unit.request_id or None,
            unit.comment or None,
            *_admitted_by(scan),
        )
    )
    if scan.token.is_code:
        writes.audits.append(_by_code(unit, scan))


def _admitted_by(scan: _Decided) -> tuple[int | None, bytes | None, int | None]:
    """Key and digest of the token that somebody was admitted by, and whose it is if an order's."""
    token = scan.token
    if not token.text or scan.answer.result != "SUCCESS":
        return None, None, None
    return *token.seal, token.order_id


def _partner_event(ticket_id: int, scan: _Decided, operator: Operator) -> TicketEvent:
    """What the partner hears of a redemption."""
    answer, item = scan.answer, scan.item
    data = {
        "status": answer.ticket_state,
        "redemption_id": answer.redemption_id,
        "function_code": item.function_code,
        "quantity": item.quantity,
        "remaining_uses": dict(answer.remaining)[item.function_code],
        "merchant_code": operator.merchant_code,
        "venue_code": operator.venue_code,
    }
    return TicketEvent(ticket_id, TICKET_REDEEMED, data)


def _by_code(unit: ScanUnit, scan: _Decided) -> AuditedChange:
    """A redemption without a QR, for the audit trail."""
    answer, item, operator = scan.answer, scan.item, unit.operator
    done = {
        "comment": unit.comment,
        "function_code": item.function_code,
        "quantity": item.quantity,
        "result": answer.result,
        "reason": answer.reason,
        "redemption_id": answer.redemption_id,
        "merchant_code": operator.merchant_code,
        "venue_code": operator.venue_code,
        "terminal_device_id": operator.terminal_device_id,
    }
    actor = f"supervisor:{operator.username}"
    origin = ChangeOrigin(
        terminal_device_id=operator.terminal_device_id, request_id=unit.request_id
    )
    return AuditedChange(
        actor, "redeem_by_code", "ticket", item.ticket_code, None, done, origin=origin
    )


def _content_hash(items: Iterable[ScanItem], comment: str, *, all_or_nothing: bool) -> bytes:
    content = [[i.qr_token, i.function_code, i.quantity, i.ticket_code] for i in items]
    said = [comment] if comment else []
    return digest(orjson.dumps([all_or_nothing, content, *said]))


def _count(unit: ScanUnit, outcome: list[Answer] | Exception) -> None:
    """Of the terminals of venues: what sandboxes try says nothing of these."""
    if not isinstance(outcome, Exception) and not unit.operator.sandbox_id:
        for answer in outcome:
            SCANS.labels(answer.result, answer.reason).inc()
