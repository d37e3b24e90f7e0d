"""Rows that an AdminService is tried on and has no call to make: tickets, incidents, refunds,
travellers, jobs.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Table, delete, insert, select

from server.identity.models import travellers
from server.orders.models import orders
from server.parties.models import partners
from server.payments.models import payment_incidents, payments
from server.payments.refund_models import refund_parts, refunds
from server.platform.job_runs import job_runs
from server.platform.outbox import outbox_tasks
from server.stock.ids import departure_id
from server.tickets.models import tickets
from server.tickets.rules import Number
from tests.support import disruption_calls, timetable
from tests.support.rpc_server import Node

TICKET = "OTA-CP-20260301-000001"
BLOCKED_TICKET = "OTA-CP-20260301-000002"
TRAVELLER, BLOCKED_TRAVELLER = 800_000_000_000_010, 800_000_000_000_020
REFUND = "ORD-DT-20260301-000001-R1"
INCIDENT = "5b0e9d1e-0000-4000-8000-000000000001"
DEAD_TASK = "5b0e9d1e-0000-4000-8000-000000000002"

A_JOB = "purge-logins"
"""One that no server of a test runs of its own accord."""

DEPARTURE_DAY = timetable.today() + timedelta(days=5)
DEPARTURE = str(departure_id(timetable.EARLY, DEPARTURE_DAY))


async def add_ticket(node: Node, partner_code: str, sequence: int) -> str:
    async with node.db.transaction() as tx:
        partner_id = await tx.scalar(
            select(partners.c.partner_id).where(partners.c.partner_code == partner_code)
        )
        number = Number(partner_id or 0, date(2026, 3, 1), sequence)
        code = number.code("OTA", partner_code)
        now = datetime.now(UTC)
        await tx.execute(
            insert(tickets).values(
                ticket_id=int(number),
                ticket_code=code,
                jti=uuid4(),
                state="PRE_GENERATED",
                product_id=106,
                partner_id=number.partner_id,
                distributor_id="",
                snapshot_id=uuid4(),
                valid_from_time=now,
                valid_until_time=now + timedelta(days=1),
                create_time=now,
                update_time=now,
            )
        )
    return code


async def add_incident_and_dead_task(node: Node) -> None:
    """INCIDENT, DEAD_TASK and a disruption."""
    now = datetime.now(UTC)
    async with node.db.transaction() as tx:
        await tx.execute(
            insert(payment_incidents).values(
                incident_id=UUID(INCIDENT), kind="UNKNOWN_ORDER", facts={}, create_time=now
            )
        )
        late = departure_id(timetable.LATE, DEPARTURE_DAY)
        await disruption_calls.add_disruption(tx, late, now)
        await tx.execute(
            insert(outbox_tasks).values(
                task_id=UUID(DEAD_TASK),
                kind="notice",
                key="EV-1",
                payload={},
                state="DEAD",
                due_time=now,
                attempts=20,
                last_error="no luck",
                create_time=now,
                update_time=now,
            )
        )


async def add_abnormal_refund(node: Node) -> None:
    """REFUND, of a payment that came too late."""
    now, order = datetime.now(UTC), Number(0, date(2026, 3, 1), 1)
    order_id, money = int(order), {"amount_minor": 100, "currency_code": "CNY"}
    rows: dict[Table, dict[str, Any]] = {
        orders: {
            "order_code": order.code("ORD", "DT"),
            "partner_id": 0,
            "state": "CANCELLED",
            "sequence": 1,
            "jti": uuid4(),
            "customer_type": "",
            "customer_name": "",
            "ticket_count": 1,
            "payment_reference": "",
            "traveller_id": TRAVELLER,
            "content": {"items": [], "capped_stock_ids": []},
            "passengers_sealed": b"",
            "hold_expire_time": now,
            "cancel_reason": "TRAVELLER",
            "create_time": now,
            **money,
        },
        payments: {
            "attempt": 1,
            "out_trade_no": f"DT{order_id}P1",
            "state": "SUCCEEDED",
            "openid": f"o-{TRAVELLER}",
            "expire_time": now,
            "transaction_id": "T-1",
            "success_time": now,
            "refunded_minor": 100,
            "create_time": now,
            "update_time": now,
            **money,
        },
        refunds: {
            "refund_no": 1,
            "state": "ABNORMAL",
            "cause": "LATE_PAYMENT",
            "tickets": [],
            "create_time": now,
            **money,
        },
        refund_parts: {
            "refund_no": 1,
            "part_no": 1,
            "payment_order_id": order_id,
            "payment_attempt": 1,
            "out_refund_no": f"DT{order_id}R1S1",
            "amount_minor": 100,
            "state": "ABNORMAL",
            "update_time": now,
        },
    }
    async with node.db.transaction() as tx:
        for table, values in rows.items():
            await tx.execute(insert(table).values(order_id=order_id, **values))


async def add_traveller(node: Node, traveller_id: int) -> None:
    now = datetime.now(UTC)
    async with node.db.transaction() as tx:
        await tx.execute(
            insert(travellers).values(
                traveller_id=traveller_id,
                app_id="wx8888888888888888",
                openid=f"o-{traveller_id}",
                state="ACTIVE",
                create_time=now,
                update_time=now,
                last_login_time=now,
            )
        )


async def set_up_job(node: Node, *, is_paused: bool) -> None:
    """A_JOB as it is when nobody has asked for it, or paused."""
    now = datetime.now(UTC)
    pause = {"paused_by": "admin:root", "paused_time": now, "pause_comment": "maintenance"}
    async with node.db.transaction() as tx:
        await tx.execute(delete(job_runs).where(job_runs.c.job_name == A_JOB))
        await tx.execute(
            insert(job_runs).values(
                job_name=A_JOB, run_time=now + timedelta(days=1), **(pause if is_paused else {})
            )
        )
