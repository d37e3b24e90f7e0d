"""The dispatcher of messages in one process: takes what is due, has it sent, and writes down what
became of it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import structlog

from server.notifications import calendar_entries, deliveries, pauses, rules, texts, writing
from server.notifications.calendar_entries import CalendarTicket
from server.notifications.deliveries import DeliveryOutcome, DueMessage, MessageContent
from server.notifications.pauses import Pause
from server.notifications.preferences import ContactSeals
from server.notifications.sending import (
    ATTEMPT_SECONDS,
    AttemptResult,
    ChannelSender,
    Outgoing,
    SendResult,
)
from server.notifications.templates import Published, TemplateKey, Templates
from server.platform import clock
from server.platform.database import Database
from server.platform.dispatch import Dispatch
from server.platform.faults import fault_text
from server.platform.loops import Loops
from server.platform.metrics import NOTIFICATION_PAUSES, NOTIFICATION_SECONDS, NOTIFICATIONS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, commit_with, run, run_all
from server.tickets.rules import DIRECT, Code

LEASE = timedelta(seconds=ATTEMPT_SECONDS + 18.0)

log = structlog.get_logger()


class NotificationDispatcher:
    """Sends messages by the given senders."""

    def __init__(
        self,
        db: Database,
        templates: Templates,
        seals: ContactSeals,
        senders: Sequence[ChannelSender],
        *,
        zone: ZoneInfo,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._templates = templates
        self._seals = seals
        self._senders = {sender.channel: sender for sender in senders}
        for kind, channel in product(rules.KINDS, self._senders):
            NOTIFICATIONS.labels(kind, channel, "DEAD")  # an alert counts how many: from 0 on
        self._zone = zone
        self._busy: Counter[str] = Counter()
        self._paused: dict[tuple[str, str], Pause] = {}
        self._dispatch = Dispatch(
            db,
            "notification-dispatcher",
            self._look,
            self._settle,
            outcomes="notification-outcomes",
            due=self._due,
            channels=(writing.CREATED,),
            loops=loops,
        )

    def start(self) -> None:
        """Begins to look, at once, and after commits of this process that make messages."""
        self._dispatch.start()

    async def stop(self) -> None:
        """Takes no more, and lets attempts under way end for a while; the rest are made again."""
        await self._dispatch.stop()
        for sender in self._senders.values():
            await sender.close()

    def _rooms(self) -> dict[str, int]:
        """How many more attempts each channel takes, if any."""
        rooms = {name: each.at_once - self._busy[name] for name, each in self._senders.items()}
        return {name: room for name, room in rooms.items() if room > 0}

    def _due(self) -> Command[bool] | bool:
        if not (rooms := self._rooms()):
            return False
        # of what is stopped it is seen, too, that it is so no more
        return bool(self._paused) or deliveries.any_due(rooms, now=clock.now())

    async def _look(self) -> None:
        for channel, room in self._rooms().items():
            await self._look_at(channel, self._senders[channel], room)

    async def _look_at(self, channel: str, sender: ChannelSender, room: int) -> None:
        published = await self._templates.all()
        now = clock.now()
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            found = await run(pipeline, pauses.read())
            self._show(found)
            stopped = [each for each in found if each.channel == channel]
            trying = next((each for each in stopped if each.probe_time <= now), None)
            whole = next((each for each in stopped if not each.template_id), None)
            if trying is not None:
                # one message alone, and one process
                alone = await run(pipeline, pauses.probe(trying, now=now, until=now + LEASE))
                if not alone:
                    trying = None
                elif trying.template_id or whole is None or trying is whole:
                    room = 1
            if whole is not None and trying is not whole:
                await commit_with(pipeline)
                return
            waiting = [each for each in stopped if each.template_id and each is not trying]
            taken, *_ = await run_all(
                pipeline,
                [
                    deliveries.take(
                        channel,
                        now=now,
                        lease=LEASE,
                        limit=room,
                        stopped=[each.template_id for each in waiting],
                    ),
                    *(
                        deliveries.defer(channel, each.template_id, each.probe_time, now=now)
                        for each in waiting
                    ),
                ],
            )
            contents, tickets = await self._read(pipeline, taken)
            await commit_with(pipeline)
        for each in taken:
            content = contents.get((each.traveller_id, each.number))
            self._busy[channel] += 1
            self._dispatch.begin(self._attempt(sender, each, content, published, tickets))

    async def _read(
        self, pipeline: PipelineConnection, taken: Sequence[DueMessage]
    ) -> tuple[dict[tuple[int, int], MessageContent], Mapping[tuple[int, str], CalendarTicket]]:
        """What is to be said, and what is in the calendar entries of e-mail."""
        if not taken:
            return {}, {}
        rows = await run(pipeline, deliveries.contents(taken))
        contents = {(row.traveller_id, row.number): row for row in rows}
        tickets: dict[tuple[int, str], CalendarTicket] = {}
        if taken[0].channel == rules.EMAIL:
            for row in rows:
                code = Code.parse(str(row.facts.get("ticket_code", "")))
                if code is not None:
                    asked = calendar_entries.read([code.number(DIRECT)], row.traveller_id)
                    for ticket in await run(pipeline, asked):
                        tickets[row.traveller_id, ticket.ticket_code] = ticket
        return contents, tickets

    def _show(self, found: Sequence[Pause]) -> None:
        self._paused = {(each.channel, each.template_id): each for each in found}
        counts = Counter(each.channel for each in found)
        for channel in self._senders:
            NOTIFICATION_PAUSES.labels(channel).set(counts[channel])

    async def _attempt(
        self,
        sender: ChannelSender,
        due: DueMessage,
        content: MessageContent | None,
        published: Published,
        tickets: Mapping[tuple[int, str], CalendarTicket],
    ) -> DeliveryOutcome:
        try:
            if content is None:  # it was purged meanwhile
                sent = SendResult(AttemptResult.GIVE_UP, "REMOVED")
            else:
                message = self._outgoing(due, content, published, tickets)
                if due.attempt == 1 and due.kind not in rules.MAY_WAIT:
                    passed = (datetime.now(UTC) - content.occurred_time).total_seconds()
                    NOTIFICATION_SECONDS.labels(due.channel).observe(max(0.0, passed))
                sent = (
                    message
                    if isinstance(message, SendResult)
                    else await self._send(sender, message)
                )
            made = deliveries.outcome(due, sent, random.random(), now=clock.now())  # noqa: S311
            _report(made, sent)
            return made
        finally:
            self._busy[due.channel] -= 1

    async def _send(self, sender: ChannelSender, message: Outgoing) -> SendResult:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await sender.send(message)
        except TimeoutError:
            return SendResult(AttemptResult.UNKNOWN, "NO_ANSWER", f"within {ATTEMPT_SECONDS:.0f} s")
        # whatever a sender raises, the message may have gone out
        except Exception as error:  # noqa: BLE001
            return SendResult(AttemptResult.UNKNOWN, "FAULT", fault_text(error))

    def _outgoing(
        self,
        due: DueMessage,
        content: MessageContent,
        published: Published,
        tickets: Mapping[tuple[int, str], CalendarTicket],
    ) -> Outgoing | SendResult:
        """The message as its channel sends it, or why it does not."""
        kept = published.get(TemplateKey(due.kind, due.channel, content.language))
        if (
            kept is None
            or not kept.template.enabled
            or (due.channel == rules.WECHAT and kept.template.template_id != due.template_id)
        ):
            return SendResult(AttemptResult.GIVE_UP, "TEMPLATE_CHANGED", "publish it, then replay")
        contacts = self._seals.open(content.contacts_sealed, due.traveller_id)
        address = {
            rules.WECHAT: content.openid,
            rules.SMS: contacts.phone,
            rules.EMAIL: contacts.email,
        }[due.channel]
        if not address:
            return SendResult(AttemptResult.GIVE_UP, "NO_ADDRESS")
        ticket = tickets.get((due.traveller_id, str(content.facts.get("ticket_code", ""))))
        calendar = b""
        if ticket is not None:
            calendar = calendar_entries.entry([ticket], language=content.language, zone=self._zone)
        return Outgoing(
            f"ntf-{due.traveller_id}-{due.number}",
            due.kind,
            content.language,
            address,
            kept.template,
            texts.values(content.facts, content.language, self._zone),
            calendar,
        )

    async def _settle(self, outcomes: Sequence[DeliveryOutcome]) -> None:
        now = clock.now()
        stops = {
            (each.delivery.channel, _stopped(each)): (each.code, each.words)
            for each in outcomes
            if each.result in (AttemptResult.STOP, AttemptResult.STOP_TEMPLATE)
        }
        ended = {
            key
            for each in outcomes
            if each.result is AttemptResult.SENT
            for key in ((each.delivery.channel, ""), _key(each))
            if key in self._paused and key not in stops
        }
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            await deliveries.settle(pipeline, outcomes, now=now)
            await commit_with(
                pipeline,
                [
                    *(pauses.stop(*key, *why, now=now) for key, why in sorted(stops.items())),
                    *(command for key in sorted(ended) for command in pauses.mended(*key, now=now)),
                ],
            )
        for (channel, template_id), (code, words) in stops.items():
            log.error(
                "notifications.stopped",
                channel=channel,
                template_id=template_id,
                code=code,
                words=words,
            )
        for channel, template_id in ended:
            log.info("notifications.resumed", channel=channel, template_id=template_id)


def _stopped(each: DeliveryOutcome) -> str:
    return each.delivery.template_id if each.result is AttemptResult.STOP_TEMPLATE else ""


def _key(each: DeliveryOutcome) -> tuple[str, str]:
    return each.delivery.channel, each.delivery.template_id


def _report(made: DeliveryOutcome, sent: SendResult) -> None:
    outcome = made.state if made.state != "PENDING" else "RETRIED"
    if made.result in (AttemptResult.STOP, AttemptResult.STOP_TEMPLATE):
        outcome = "STOPPED"
    NOTIFICATIONS.labels(made.delivery.kind, made.delivery.channel, outcome).inc()
    if made.state != "SENT":
        log.warning(
            "notification.failed",
            channel=made.delivery.channel,
            kind=made.delivery.kind,
            number=made.delivery.number,
            attempt=made.delivery.attempt,
            result=sent.result.value,
            code=sent.code,
        )
