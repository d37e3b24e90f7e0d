"""The methods of AdminService about money, and about the tasks in the background that move it."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from deeptravel.admin.v1 import payment_pb2, refund_pb2, task_pb2
from deeptravel.ticketing.v1 import refund_pb2 as refund_messages_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api import convert
from server.api.admin import money_messages
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context, caller
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing, in_steps
from server.api.ticketing.refunds import STATE_NAMES, refund
from server.audit import task_replay
from server.audit.records import By
from server.identity.callers import Admin
from server.payments import incidents as payments
from server.payments import reconciliation, refund_actions
from server.payments.payment_requests import configured
from server.payments.payments import incidents
from server.payments.refund_parts import Part, parts_of
from server.payments.refunds import Refund, of_state
from server.platform import clock, dead_letters
from server.wechat.client import WechatClient
from server.wechat.codec import BankAccount
from server.wechat.codec import WechatRefund as Outcome

ApplyContext = Context[
    refund_pb2.ApplyAbnormalRefundRequest, refund_pb2.ApplyAbnormalRefundResponse
]
ACCOUNT_NAMES = convert.enum_names(refund_pb2.AbnormalRefundAccount)


async def with_parts(
    tx: AsyncConnection, found: Sequence[Refund]
) -> list[refund_messages_pb2.Refund]:
    """Refunds with the parts that only administrators see."""
    parts = await parts_of(tx, [(each.order_id, each.refund_no) for each in found])
    return [refund(each, parts[each.order_id, each.refund_no]) for each in found]


async def _full(tx: AsyncConnection, found: Refund) -> refund_messages_pb2.Refund:
    (message,) = await with_parts(tx, [found])
    return message


class MoneyMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _wechat: WechatClient | None

    @paged
    async def ListRefunds(
        self,
        request: refund_pb2.ListRefundsRequest,
        page: Page[Admin, tuple[datetime, int, int]],
    ) -> refund_pb2.ListRefundsResponse:
        async with self._db.report(page.caller.key) as tx:
            state = STATE_NAMES[request.state]
            found = await of_state(tx, state, before=page.after, limit=page.size + 1)
            shown = page.cut(found, lambda last: (last.create_time, last.order_id, last.refund_no))
            return refund_pb2.ListRefundsResponse(refunds=await with_parts(tx, shown))

    async def GetRefund(
        self,
        request: refund_pb2.GetRefundRequest,
        context: Context[refund_pb2.GetRefundRequest, refund_pb2.GetRefundResponse],
    ) -> refund_pb2.GetRefundResponse:
        async with self._db.transaction() as tx:
            found = await refund_actions.get(tx, request.refund_id)
            return refund_pb2.GetRefundResponse(refund=await _full(tx, found))

    async def ApplyAbnormalRefund(
        self,
        request: refund_pb2.ApplyAbnormalRefundRequest,
        context: ApplyContext,
    ) -> refund_pb2.ApplyAbnormalRefundResponse:
        client = configured(self._wechat)
        account = refund_actions.bank_account(
            ACCOUNT_NAMES[request.account],
            request.bank_type,
            request.bank_account,
            request.real_name,
        )
        return await self._send_abnormal_refund(request, context, client, account)

    @in_steps
    async def _send_abnormal_refund(
        self,
        request: refund_pb2.ApplyAbnormalRefundRequest,
        context: ApplyContext,
        client: WechatClient,
        account: BankAccount | None,
    ) -> refund_pb2.ApplyAbnormalRefundResponse:
        caller_and_time = By(actor=caller(Admin).key, now=clock.now())
        content = self._repeats.content_hash(request)
        part, outcome = await refund_actions.send_abnormal_refund(
            self._db,
            client,
            request.refund_id,
            out_refund_no=request.out_refund_no,
            account=account,
            request=refund_actions.request_mark(caller(Admin).key, request.request_id, content),
            **caller_and_time,
        )
        return await self._finish_abnormal_refund(request, context, part, outcome)

    @changing
    async def _finish_abnormal_refund(
        self,
        request: refund_pb2.ApplyAbnormalRefundRequest,
        call: ChangingCall[Admin],
        part: Part,
        outcome: Outcome | None,
    ) -> refund_pb2.ApplyAbnormalRefundResponse:
        sent = await refund_actions.finish(
            call.tx, request.refund_id, part, outcome, request.comment, **by(call)
        )
        return refund_pb2.ApplyAbnormalRefundResponse(refund=await _full(call.tx, sent))

    @changing
    async def RetryRefund(
        self, request: refund_pb2.RetryRefundRequest, call: ChangingCall[Admin]
    ) -> refund_pb2.RetryRefundResponse:
        retried = await refund_actions.retry_refund(
            call.tx, request.refund_id, comment=request.comment, **by(call)
        )
        return refund_pb2.RetryRefundResponse(refund=await _full(call.tx, retried))

    @changing
    async def SettleRefund(
        self, request: refund_pb2.SettleRefundRequest, call: ChangingCall[Admin]
    ) -> refund_pb2.SettleRefundResponse:
        settled = await refund_actions.settle_refund(
            call.tx,
            request.refund_id,
            state=STATE_NAMES[request.state],
            comment=request.comment,
            **by(call),
        )
        return refund_pb2.SettleRefundResponse(refund=await _full(call.tx, settled))

    # Incidents

    @paged
    async def ListPaymentIncidents(
        self,
        request: payment_pb2.ListPaymentIncidentsRequest,
        page: Page[Admin, tuple[datetime, UUID]],
    ) -> payment_pb2.ListPaymentIncidentsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await incidents(
                tx,
                unresolved_only=not request.include_resolved,
                before=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: (last.create_time, last.incident_id))
        return payment_pb2.ListPaymentIncidentsResponse(
            payment_incidents=map(money_messages.incident, shown)
        )

    @changing
    async def ResolvePaymentIncident(
        self, request: payment_pb2.ResolvePaymentIncidentRequest, call: ChangingCall[Admin]
    ) -> payment_pb2.ResolvePaymentIncidentResponse:
        resolved = await payments.resolve_incident(
            call.tx, request.incident_id, comment=request.comment, **by(call)
        )
        return payment_pb2.ResolvePaymentIncidentResponse(
            payment_incident=money_messages.incident(resolved)
        )

    # Reconciliation

    @paged
    async def ListReconciliations(
        self, request: payment_pb2.ListReconciliationsRequest, page: Page[Admin, date]
    ) -> payment_pb2.ListReconciliationsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await reconciliation.runs(tx, before=page.after, limit=page.size + 1)
        shown = page.cut(found, lambda last: last.bill_date)
        return payment_pb2.ListReconciliationsResponse(
            reconciliations=map(money_messages.reconciliation, shown)
        )

    @paged
    async def ListReconciliationDifferences(
        self, request: payment_pb2.ListReconciliationDifferencesRequest, page: Page[Admin, int]
    ) -> payment_pb2.ListReconciliationDifferencesResponse:
        day = payments.bill_date(request.bill_date)
        async with self._db.report(page.caller.key) as tx:
            found = await reconciliation.differences_of(
                tx, day, after=page.after or 0, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: last[0])
        return payment_pb2.ListReconciliationDifferencesResponse(
            differences=[money_messages.difference(each) for _, each in shown]
        )

    # Tasks that were given up

    @paged
    async def ListDeadTasks(
        self, request: task_pb2.ListDeadTasksRequest, page: Page[Admin, tuple[datetime, UUID]]
    ) -> task_pb2.ListDeadTasksResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await dead_letters.dead(
                tx, kind=request.kind, after=page.after, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: (last.update_time, last.task_id))
        return task_pb2.ListDeadTasksResponse(dead_tasks=map(money_messages.dead_task, shown))

    @changing
    async def ReplayTask(
        self, request: task_pb2.ReplayTaskRequest, call: ChangingCall[Admin]
    ) -> task_pb2.ReplayTaskResponse:
        carrier = await task_replay.replay(call.tx, request.task_id, **by(call))
        return task_pb2.ReplayTaskResponse(task_id=str(carrier))
