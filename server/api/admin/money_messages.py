"""Money's nouns between protobuf and plain values."""

from deeptravel.admin.v1 import payment_pb2, task_pb2
from google.protobuf.struct_pb2 import Struct

from server.api.convert import timestamp
from server.orders.orders import order_code
from server.payments.payments import Incident
from server.payments.reconciliation import Difference, Reconciliation
from server.platform.dead_letters import DeadTask


def incident(found: Incident) -> payment_pb2.PaymentIncident:
    """Something that did not fit."""
    facts = Struct()
    facts.update(found.facts)
    return payment_pb2.PaymentIncident(
        incident_id=str(found.incident_id),
        kind=found.kind,
        order_id=order_code(found.order_id) if found.order_id is not None else "",
        facts=facts,
        create_time=timestamp(found.create_time),
        resolve_time=timestamp(found.resolve_time),
        resolved_by=found.resolved_by or "",
        comment=found.comment or "",
    )


def reconciliation(run: Reconciliation) -> payment_pb2.Reconciliation:
    """A comparison with the bill of a day."""
    return payment_pb2.Reconciliation(
        bill_date=run.bill_date.isoformat(),
        payment_count=run.payment_count,
        payment_minor=run.payment_minor,
        refund_count=run.refund_count,
        refund_minor=run.refund_minor,
        difference_count=run.difference_count,
        run_time=timestamp(run.run_time),
    )


def difference(found: Difference) -> payment_pb2.ReconciliationDifference:
    """Something that is not the same on both sides."""
    return payment_pb2.ReconciliationDifference(
        kind=found.kind,
        out_trade_no=found.out_trade_no,
        out_refund_no=found.out_refund_no,
        ours_minor=found.ours_minor,
        theirs_minor=found.theirs_minor,
        detail=found.detail,
    )


def dead_task(task: DeadTask) -> task_pb2.DeadTask:
    """Work that was given up."""
    return task_pb2.DeadTask(
        task_id=str(task.task_id),
        kind=task.kind,
        key=task.key,
        attempts=task.attempts,
        last_error=task.last_error,
        create_time=timestamp(task.create_time),
        give_up_time=timestamp(task.update_time),
    )
