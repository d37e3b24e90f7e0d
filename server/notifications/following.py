"""The orchestrator: follows what happens, and writes down what travellers are notified of it.

One process at a time follows, whichever has the mark's row locked at the moment. What it reads,
what it writes and how far it is stand in one transaction: a process that dies has written nothing,
and the next one does it. A message's number is given here alone, so the numbers of an order have
the order of what happened to it, and each message goes out after those before it (deliveries.py).
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from server.notifications import context, rules, sources, texts, writing
from server.notifications.context import OrderContext, RefundOutcome
from server.notifications.sources import Mark, NotificationRequest, Redemption, RedemptionPlace
from server.notifications.template_rules import fill
from server.notifications.templates import Published, TemplateKey, Templates
from server.notifications.writing import NewDelivery, NewMessage, NumberedMessage
from server.orders import event_feed
from server.orders.event_feed import NewMove
from server.platform import clock
from server.platform.database import Database
from server.platform.loops import Loops, Polling
from server.platform.metrics import NOTIFICATIONS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, commit_with, run, run_together
from server.redemption import statements as scans

POLL_SECONDS = 0.5
"""How often a process looks for what others have done."""
SPACING_SECONDS = 0.05
"""Between two looks: under load one look takes many, and each costs less."""
AT_ONCE = 500
REREAD_AT_ONCE = 2_000
REREAD_SECONDS = 15.0
"""How often all is read again that may have come late; see sources.py."""
OVERLAP = timedelta(seconds=0.5)
"""Of two looks in between: what comes later than that is found when all is read again."""
REMEMBERED = 100_000
"""Redemptions of which this process knows that they were notified."""


class NotificationTerms(NamedTuple):
    """What the settings say of messages. `channels` are those that something is sent by."""

    zone: ZoneInfo
    language: str
    quiet: rules.QuietHours
    notifies_completed: bool
    channels: frozenset[str]
    app_id: str


class Follower:
    """Follows in one process."""

    def __init__(
        self,
        db: Database,
        templates: Templates,
        terms: NotificationTerms,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._templates = templates
        self._terms = terms
        self._seen: set[str] = set()
        self._seen_first: deque[str] = deque()
        self._rereading: _Rereading | None = None
        self._read: RedemptionPlace | None = None
        self._known = 0
        self._reread_time = float("-inf")
        self._loop = (loops or Loops()).add(
            "notifications",
            Polling(
                self._look,
                POLL_SECONDS,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(Exception,),  # one look that fails must not be the last
                due=self._due,
            ),
        )

    def start(self) -> None:
        """Begins to look, at once, and after commits of this process that travellers are notified
        of.
        """
        for channel in (event_feed.RECORDED, scans.RECORDED, sources.REQUESTED):
            self._db.notifications.listen(channel, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Stops looking."""
        for channel in (event_feed.RECORDED, scans.RECORDED, sources.REQUESTED):
            self._db.notifications.unlisten(channel, self._loop.wake)
        await self._loop.end()

    def _due(self) -> Command[bool] | bool:
        if self._read is None or self._rereading is not None or self._is_to_reread():
            return True
        return sources.any_new(self._read, known=self._known)

    def _is_to_reread(self) -> bool:
        return time.monotonic() - self._reread_time >= REREAD_SECONDS

    async def _look(self) -> None:
        if await self.follow():
            self._loop.wake()

    async def follow(self) -> bool:
        """Tells of what is new, some of each source at once; whether there may be more. Raises
        DATABASE_UNAVAILABLE.
        """
        published = await self._templates.all()
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            marks = await run(pipeline, sources.READ_MARK())
            if not marks:  # what another process has read meanwhile, this one has not
                self._rereading = self._read = None
                self._reread_time = float("-inf")
                await commit_with(pipeline)
                return False
            (mark,) = marks
            found = await self._find(pipeline, mark)
            messages = await self._compose(pipeline, found) if found.is_anything else []
            numbered, deliveries = await self._address(pipeline, messages, mark, published)
            moved = found.until, mark.last_number + len(numbered)
            await commit_with(
                pipeline,
                [
                    *writing.write(numbered, deliveries, now=clock.now()),
                    event_feed.mark_taken(found.moves),
                    sources.remove(found.requests),
                    sources.MOVE_MARK(*moved) if moved != mark[:2] else None,
                ],
            )
        self._have_read(found)
        for each in numbered:
            NOTIFICATIONS.labels(each.message.kind, rules.INBOX, "WRITTEN").inc()
        return found.is_more

    async def _find(self, pipeline: PipelineConnection, mark: Mark) -> "_Found":
        """What is new. Redemptions are read after the orders: whoever was seen to complete an order
        by one is seen with it.
        """
        rereading = self._rereading
        if rereading is None and self._is_to_reread():
            rereading = _Rereading(RedemptionPlace(mark.redemptions_until), mark.safe_until)
        moves, requests, again, latest = await run_together(
            pipeline,
            event_feed.new(AT_ONCE),
            sources.requests(AT_ONCE),
            sources.redemptions(rereading.after, REREAD_AT_ONCE) if rereading else None,
            # after a start they are read in their order from the mark on
            sources.redemptions(self._read, AT_ONCE) if self._read else None,
        )
        until, is_more, has_reread = mark.redemptions_until, False, False
        read = self._read
        if rereading:
            if is_more := len(again) == REREAD_AT_ONCE:
                last = again[-1].place
                until = max(until, min(rereading.until, last.occurred_time))
                rereading = rereading._replace(after=last)
            else:
                until = max(until, rereading.until)
                first = again[-1].occurred_time if again else rereading.until
                read = read or RedemptionPlace(first - OVERLAP)
                rereading, has_reread = None, True
        if latest:
            is_full, last_time = len(latest) == AT_ONCE, latest[-1].occurred_time
            behind = latest[-1].place if is_full else None
            read = behind or max(
                read or RedemptionPlace(last_time), RedemptionPlace(last_time - OVERLAP)
            )
            is_more = is_more or is_full
        fresh = {each.source: each for each in (*again, *latest) if each.source not in self._seen}
        known = {each.source for each in (*again, *latest) if read and each.place > read}
        is_more = is_more or len(moves) >= AT_ONCE or len(requests) == AT_ONCE
        return _Found(
            *(moves, requests, list(fresh.values()), until, rereading, read, len(known)),
            *(has_reread, is_more),
        )

    def _have_read(self, found: "_Found") -> None:
        """Goes on from there, once what follows from it is committed."""
        if found.has_reread:
            self._reread_time = time.monotonic()
        self._rereading, self._read = found.rereading, found.read
        self._known = found.known
        for each in found.redemptions:
            self._seen.add(each.source)
            self._seen_first.append(each.source)
        while len(self._seen_first) > REMEMBERED:
            self._seen.discard(self._seen_first.popleft())

    async def _compose(self, pipeline: PipelineConnection, found: "_Found") -> list[NewMessage]:
        notified = rules.tell(
            [rules.OrderMove(*move) for move in found.moves],
            completed=self._terms.notifies_completed,
        )
        of_refunds = {each.order_id for each in notified if each.kind == rules.REFUND_RESULT}
        owners, refunds = await run_together(
            pipeline,
            context.orders_of([each.ticket_id for each in found.redemptions]),
            context.refunds_of(of_refunds),
        )
        order_of = {ticket_id: order_id for order_id, ticket_id in owners}
        wanted = {
            (each.order_id, each.ticket_ids[0] if each.ticket_ids else 0) for each in notified
        }
        wanted |= {(order_id, ticket_id) for ticket_id, order_id in order_of.items()}
        wanted |= {_subject(each) for each in found.requests}
        known = {
            (each.order_id, each.ticket_id): each
            for each in await run(pipeline, context.contexts(wanted))
        }
        messages = [
            message
            for each in notified
            if (of := known.get((each.order_id, each.ticket_ids[0] if each.ticket_ids else 0)))
            and (message := _of_move(each, of, refunds))
        ]
        messages += [
            _of_redemption(each, of)
            for each in found.redemptions
            if (of := known.get((order_of.get(each.ticket_id, 0), each.ticket_id)))
        ]
        messages += [
            NewMessage(of, each.kind, each.source, {**of.facts(), **each.facts}, each.occurred_time)
            for each in found.requests
            if (of := known.get(_subject(each)))
        ]
        # of one moment the redemption comes before the order that it completes
        messages.sort(key=lambda m: (m.occurred_time, m.kind != rules.REDEMPTION_SUCCEEDED))
        return messages

    async def _address(
        self,
        pipeline: PipelineConnection,
        messages: Sequence[NewMessage],
        mark: Mark,
        published: Published,
    ) -> tuple[list[NumberedMessage], list[NewDelivery]]:
        """Those that are new, with their words, and by which channels they go out."""
        if not messages:
            return [], []
        asked = {(each.context.traveller_id, each.source) for each in messages}
        old, consents = await run_together(
            pipeline,
            context.known(asked),
            context.lock_consents({traveller_id for traveller_id, _ in asked}),
        )
        known = set(old)
        fresh = list({m.source: m for m in messages if m.source not in known}.values())
        now = clock.now()
        numbered = [
            self._numbered(message, mark.last_number + place, published)
            for place, message in enumerate(fresh, 1)
        ]
        available = {(each.traveller_id, each.template_id): each.available for each in consents}
        deliveries = [
            delivery
            for each in numbered
            for delivery in self._deliveries(each, published, available, now)
        ]
        return numbered, deliveries

    def _numbered(self, message: NewMessage, number: int, published: Published) -> NumberedMessage:
        language = message.context.language or self._terms.language
        kept = published[TemplateKey(message.kind, rules.INBOX, language)]
        values = texts.values(message.facts, language, self._terms.zone)
        words = fill(kept.template.title, values), fill(kept.template.body, values)
        return NumberedMessage(number, message, language, *words)

    def _deliveries(
        self,
        each: NumberedMessage,
        published: Published,
        available: dict[tuple[int, str], int],
        now: datetime,
    ) -> Iterable[NewDelivery]:
        of, message = each.message.context, each.message
        due = rules.due(message.kind, self._quiet(of), now, self._terms.zone)
        for channel in (rules.WECHAT, rules.SMS, rules.EMAIL):
            kept = published.get(TemplateKey(message.kind, channel, each.language))
            template_id = kept.template.template_id if kept else ""
            skip = ""
            if channel not in self._terms.channels or not kept or not kept.template.enabled:
                continue
            if channel == rules.WECHAT:
                if of.app_id != self._terms.app_id or not of.openid:
                    skip = "NO_ADDRESS"
                elif rules.grants([(of.traveller_id, template_id)], available) != [True]:
                    skip = "NO_CONSENT"
            elif not (of.has_sms if channel == rules.SMS else of.has_email):
                continue
            whose = of.traveller_id, each.number, channel, of.order_id, message.kind
            yield NewDelivery(*whose, template_id, skip, due)

    def _quiet(self, of: OrderContext) -> rules.QuietHours:
        if of.quiet_from is None or of.quiet_until is None:
            return self._terms.quiet
        return rules.QuietHours(of.quiet_from, of.quiet_until)


class _Rereading(NamedTuple):
    """All is being read again: after which place, and up to when the mark may move by it."""

    after: RedemptionPlace
    until: datetime


class _Found(NamedTuple):
    """What one look has found; redemptions are known up to `until`, and `known` of them lie after
    `read`.
    """

    moves: list[NewMove]
    requests: list[NotificationRequest]
    redemptions: list[Redemption]
    until: datetime
    rereading: _Rereading | None
    read: RedemptionPlace | None
    known: int
    has_reread: bool
    is_more: bool

    @property
    def is_anything(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.moves or self.requests or self.redemptions)


def _subject(request: NotificationRequest) -> tuple[int, int]:
    return request.order_id, int(request.facts.get("ticket_id", 0))


def _of_move(
    notified: rules.NotifiedMove, of: OrderContext, refunds: Sequence[RefundOutcome]
) -> NewMessage | None:
    """The message of an order's move; None if there is nothing to be said of it."""
    facts = of.facts() | {"event_time": notified.occurred_time.isoformat()}
    if notified.ticket_ids:
        facts["tickets"] = len(notified.ticket_ids)
    match notified.kind:
        case rules.PAYMENT_SUCCEEDED:
            if of.is_change and not of.paid_minor:
                return None  # nothing was to be paid for the change
            facts |= {"amount": _amount(of.paid_minor, of.currency_code), "tickets": of.places}
        case rules.ORDER_CANCELLED:
            facts["reason"] = notified.cancel_reason
        case rules.REFUND_RESULT:
            outcome = next(
                (
                    each
                    for each in refunds
                    if each.order_id == notified.order_id
                    and each.settle_time == notified.occurred_time
                ),
                None,
            )
            if outcome is None:
                return None  # a ticket is back since its change was not paid for
            facts |= {
                "amount": _amount(outcome.amount_minor, outcome.currency_code),
                "result": outcome.state,
            }
        case rules.EXPIRY_REMINDER:
            if of.valid_until_time:
                facts["expire_time"] = of.valid_until_time.isoformat()
    source = f"order:{notified.order_id}:{notified.sequence}"
    return NewMessage(of, notified.kind, source, facts, notified.occurred_time)


def _of_redemption(each: Redemption, of: OrderContext) -> NewMessage:
    facts = of.facts() | {
        "event_time": each.occurred_time.isoformat(),
        "tickets": 1,
        "venue": each.venue_code,
        "function": each.function_code,
        "quantity": each.quantity,
    }
    return NewMessage(of, rules.REDEMPTION_SUCCEEDED, each.source, facts, each.occurred_time)


def _amount(minor: int, currency: str) -> Mapping[str, Any]:
    return {"minor": minor, "currency": currency}
