"""The methods of AdminService that are about money, and the work in the background that moves it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from deeptravel.admin.v1 import admin_service_pb2_grpc, payment_pb2, refund_pb2, task_pb2

from server.api import calls, convert, paging, repeats
from server.api.admin import money_messages
from server.api.ticketing.refunds import STATE_NAMES, refund
from server.audit import task_replay
from server.audit.records import By
from server.payments import incidents as payments
from server.payments import reconciliation, refund_actions
from server.payments.payment_requests import configured
from server.payments.payments import incidents
from server.payments.refunds import Refund, of_state, parts_of
from server.platform import clock, dead_letters
from server.platform.database import Database
from server.wechat.client import WechatClient

ACCOUNT_NAMES = convert.enum_names(refund_pb2.AbnormalRefundAccount)


def _by() -> By:
    return By(actor=calls.caller().key, now=clock.now())


async def _with_parts(tx: Any, found: Sequence[Refund]) -> list[Any]:
    """Refunds with the parts that only administrators see."""
    parts = await parts_of(tx, [(each.order_id, each.refund_no) for each in found])
    return [refund(each, parts[each.order_id, each.refund_no]) for each in found]


async def _full(tx: Any, found: Refund) -> Any:
    (message,) = await _with_parts(tx, [found])
    return message


class MoneyMethods(admin_service_pb2_grpc.AdminServiceServicer):
    """A part of AdminServicer, which makes the fields; the contract documents each method."""

    _db: Database
    _repeats: repeats.Repeats
    _pages: paging.PageTokens
    _wechat: WechatClient | None

    async def ListRefunds(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request)
        before = (datetime.fromisoformat(cursor[0]), cursor[1], cursor[2]) if cursor else None
        async with self._db.report(calls.caller().key) as tx:
            found = await of_state(tx, STATE_NAMES[request.state], before=before, most=most + 1)
            response = refund_pb2.ListRefundsResponse(refunds=await _with_parts(tx, found[:most]))
        if len(found) > most:
            last = found[most - 1]
            position = last.create_time.isoformat(), last.order_id, last.refund_no
            response.next_page_token = self._pages.encode(request, position)
        return response

    async def GetRefund(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            found = await refund_actions.get(tx, request.refund_id)
            return refund_pb2.GetRefundResponse(refund=await _full(tx, found))

    async def ApplyAbnormalRefund(self, request: Any, context: Any) -> Any:
        client = configured(self._wechat)
        account = refund_actions.bank_account(
            ACCOUNT_NAMES[request.account],
            request.bank_type,
            request.bank_account,
            request.real_name,
        )
        response_type = refund_pb2.ApplyAbnormalRefundResponse
        stored = await self._repeats.stored(request, response_type)
        if stored is not None:
            return stored
        by, content = _by(), self._repeats.content_hash(request)
        part, outcome = await refund_actions.send_abnormal_refund(
            self._db,
            client,
            request.refund_id,
            out_refund_no=request.out_refund_no,
            account=account,
            request=refund_actions.request_mark(by["actor"], request.request_id, content),
            **by,
        )

        async def work(tx: Any) -> Any:
            sent = await refund_actions.finish(
                tx, request.refund_id, part, outcome, request.comment, **_by()
            )
            return response_type(refund=await _full(tx, sent))

        return await self._repeats.once(request, response_type, work)

    async def RetryRefund(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            retried = await refund_actions.retry_refund(
                tx, request.refund_id, comment=request.comment, **_by()
            )
            return refund_pb2.RetryRefundResponse(refund=await _full(tx, retried))

        return await self._repeats.once(request, refund_pb2.RetryRefundResponse, work)

    async def SettleRefund(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            settled = await refund_actions.settle_refund(
                tx,
                request.refund_id,
                state=STATE_NAMES[request.state],
                comment=request.comment,
                **_by(),
            )
            return refund_pb2.SettleRefundResponse(refund=await _full(tx, settled))

        return await self._repeats.once(request, refund_pb2.SettleRefundResponse, work)

    # Incidents

    async def ListPaymentIncidents(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request)
        async with self._db.report(calls.caller().key) as tx:
            found = await incidents(
                tx,
                unresolved_only=not request.include_resolved,
                before=(datetime.fromisoformat(cursor[0]), UUID(cursor[1])) if cursor else None,
                most=most + 1,
            )
        response = payment_pb2.ListPaymentIncidentsResponse(
            payment_incidents=map(money_messages.incident, found[:most])
        )
        if len(found) > most:
            last = found[most - 1]
            position = last.create_time.isoformat(), str(last.incident_id)
            response.next_page_token = self._pages.encode(request, position)
        return response

    async def ResolvePaymentIncident(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            resolved = await payments.resolve_incident(
                tx, request.incident_id, comment=request.comment, **_by()
            )
            return payment_pb2.ResolvePaymentIncidentResponse(
                payment_incident=money_messages.incident(resolved)
            )

        return await self._repeats.once(request, payment_pb2.ResolvePaymentIncidentResponse, work)

    # Reconciliation

    async def ListReconciliations(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request)
        before = date.fromisoformat(cursor[0]) if cursor else None
        async with self._db.report(calls.caller().key) as tx:
            found = await reconciliation.runs(tx, before=before, most=most + 1)
        response = payment_pb2.ListReconciliationsResponse(
            reconciliations=map(money_messages.reconciliation, found[:most])
        )
        if len(found) > most:
            last = found[most - 1].bill_date.isoformat()
            response.next_page_token = self._pages.encode(request, [last])
        return response

    async def ListReconciliationDifferences(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request) or [0]
        day = payments.bill_date(request.bill_date)
        async with self._db.report(calls.caller().key) as tx:
            found = await reconciliation.differences_of(tx, day, after=cursor[0], most=most + 1)
        response = payment_pb2.ListReconciliationDifferencesResponse(
            differences=[money_messages.difference(each) for _, each in found[:most]]
        )
        if len(found) > most:
            response.next_page_token = self._pages.encode(request, [found[most - 1][0]])
        return response

    # Work that was given up

    async def ListDeadTasks(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request)
        after = (datetime.fromisoformat(cursor[0]), UUID(cursor[1])) if cursor else None
        async with self._db.report(calls.caller().key) as tx:
            found = await dead_letters.dead(tx, kind=request.kind, after=after, most=most + 1)
        response = task_pb2.ListDeadTasksResponse(
            dead_tasks=map(money_messages.dead_task, found[:most])
        )
        if len(found) > most:
            last = found[most - 1]
            position = last.update_time.isoformat(), str(last.task_id)
            response.next_page_token = self._pages.encode(request, position)
        return response

    async def ReplayTask(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            carrier = await task_replay.replay(tx, request.task_id, **_by())
            return task_pb2.ReplayTaskResponse(task_id=str(carrier))

        return await self._repeats.once(request, task_pb2.ReplayTaskResponse, work)
