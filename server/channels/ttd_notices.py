"""Notices to Ctrip's attractions channel: what was used of an order, its vouchers when they are
other ones, and what became of a call that we could not answer in time. At least once, by the
outbox.
"""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import ttd_answers, ttd_rows
from server.channels.connecting import ChannelClients
from server.channels.ctrip_ttd import notice
from server.channels.due import ask
from server.channels.facts import ChannelCallError, FailureKind
from server.channels.pushing import wait_seconds
from server.channels.ttd_orders import TtdOrders
from server.channels.ttd_rows import TtdSeals
from server.channels.ttd_tickets import item_states
from server.channels.ttd_vouchers import SEND
from server.channels.ttd_wire import ResultCode, TtdRefusal
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.outbox import NewTask, Postpone, Task, enqueue
from server.platform.schedule import About, Job, Progress
from server.platform.statements import run
from server.platform.task_worker import TaskKind

USED = "ttd.used"
"""Has Ctrip know what was used; the key is `channel:order`."""
CONFIRM = "ttd.confirm"
"""Has Ctrip know what became of a call; the key is `channel:service:sequence`."""
LOOK_SECONDS = 5
AT_ONCE = 200
"""Orders noted in one look."""
USED_AFTER = timedelta(days=3)
"""Their last day, uses are looked for that long: terminals upload late."""
PAUSED_SECONDS = 60
CONFIRMS = {
    "PayPreOrder": "PayPreOrderConfirm",
    "CancelOrder": "CancelOrderConfirm",
    "EditOrder": "EditOrderConfirm",
}
"""What answers each call that was answered as pending."""


class TtdNotices:
    """Sends notices."""

    def __init__(
        self,
        db: Database,
        clients: ChannelClients,
        seals: TtdSeals,
        ttd_orders: TtdOrders,
    ) -> None:
        self._db = db
        self._clients = clients
        self._seals = seals
        self._orders = ttd_orders
        self._confirmed = {
            "PayPreOrder": ttd_orders.sales.pay,
            "CancelOrder": ttd_orders.cancels.cancel,
            "EditOrder": ttd_orders.edits.edit,
        }

    def kinds(self) -> dict[str, TaskKind]:
        """Its tasks."""
        return {
            USED: TaskKind(
                self.used,
                max_at_once=8,
                most_seconds=60.0,
                about=About(
                    "Notifies Ctrip's attractions channel of tickets that were used.",
                    "向携程玩乐发送核销通知。",
                ),
            ),
            SEND: TaskKind(
                self.vouchers,
                max_at_once=8,
                most_seconds=60.0,
                about=About(
                    "Sends Ctrip's attractions channel the vouchers of an order again.",
                    "向携程玩乐重新发送订单凭证。",
                ),
            ),
            CONFIRM: TaskKind(
                self.confirm,
                max_at_once=8,
                most_seconds=60.0,
                about=About(
                    "Confirms to Ctrip's attractions channel what was answered as pending.",
                    "向携程玩乐异步确认此前待确认的请求。",
                ),
            ),
        }

    async def later(
        self, channel_code: str, service: str, content: dict[str, Any], now: datetime
    ) -> None:
        """Has a call carried out and confirmed later; it holds ids alone."""
        key = f"{channel_code}:{service}:{content['sequenceId']}"
        task = NewTask(CONFIRM, key, {"content": content}, now)

        async def work(tx: AsyncConnection) -> None:
            await run(tx, enqueue(task, now=now))

        await self._db.in_transaction(work)

    async def used(self, task: Task) -> Postpone | None:
        """Sends how many of each item were used by now. A refusal is a failure of the task."""
        channel_code, _, ota_order_id = task.key.partition(":")
        async with self._db.transaction() as tx:
            found = await run(tx, ttd_rows.read(channel_code, ota_order_id))
            items = await item_states(tx, found[0], self._seals.order(found[0])) if found else []
        if not found or not found[0].item_ids:
            await self._db.in_transaction(task.done)
            return None
        content = {
            **ttd_answers.ids(ota_order_id, found[0].supplier_order_id),
            "items": [ttd_answers.consumed(each) for each in items],
        }
        return await self._send(task, channel_code, "OrderConsumedNotice", content)

    async def vouchers(self, task: Task) -> Postpone | None:
        """Sends an order's vouchers as they are now, if there are any left."""
        channel_code, _, ota_order_id = task.key.partition(":")
        try:
            said = await self._orders.vouchers.now(channel_code, ota_order_id)
        except TtdRefusal:  # it was given back, or used up, meanwhile
            await self._db.in_transaction(task.done)
            return None
        asked_by = task.payload["sequence_id"]
        return await self._send(task, channel_code, "OrderTravelNotice", said, asked_by)

    async def confirm(self, task: Task) -> Postpone | None:
        """Carries a call out, which does no harm if it was, and sends what became of it."""
        channel_code, service, _ = task.key.split(":", 2)
        asked = task.payload["content"]
        code, message, said = ResultCode.OK, "", dict[str, Any]()
        try:
            said = await self._confirmed[service](channel_code, asked)
        except TtdRefusal as refusal:
            code, message = refusal.code, refusal.message
        said.pop("supplierConfirmType", None)
        content = {
            "otaOrderId": asked["otaOrderId"],
            "confirmResultCode": code,
            "confirmResultMessage": message,
            "items": [{"itemId": each.get("itemId", "")} for each in asked.get("items", [])],
            **said,
        }
        return await self._send(task, channel_code, CONFIRMS[service], content)

    async def _send(
        self,
        task: Task,
        channel_code: str,
        service: str,
        content: dict[str, Any],
        asked_by: str = "",
    ) -> Postpone | None:
        try:
            channel = await self._clients.get(channel_code)
        except DomainError as error:
            if error.reason is not Reason.REVOKED:
                raise
        else:
            if channel.record.state == "PAUSED":
                return Postpone(task.now() + timedelta(seconds=PAUSED_SECONDS))
            try:
                await channel.client.notify(notice(service, content, asked_by))
            except ChannelCallError as error:
                if error.kind is FailureKind.REFUSED:
                    raise
                return Postpone(task.now() + timedelta(seconds=wait_seconds(error)))
        await self._db.in_transaction(task.done)
        return None


def jobs(zone: ZoneInfo) -> list[Job]:
    """What looks for uses."""

    async def note(tx: AsyncConnection, now: datetime) -> Progress:
        since = (now - USED_AFTER).astimezone(zone).date()
        found = await run(tx, ttd_rows.note_uses(since=since, limit=AT_ONCE, now=now))
        keys = [f"{each.channel_code}:{each.ota_order_id}" for each in found]
        await run(tx, enqueue(*ask(USED, keys, now), now=now))
        return Progress(more=len(keys) == AT_ONCE, items=len(keys))

    return [
        Job(
            "note-ttd-uses",
            timedelta(seconds=LOOK_SECONDS),
            note,
            quiet=True,
            about=About(
                "Finds tickets sold by Ctrip's attractions channel that were used.",
                "查找携程玩乐订单中新核销的票。",
            ),
        )
    ]
