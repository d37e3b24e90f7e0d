"""Messages to travellers and deliveries to partners that wait are in the dashboard and in the
metrics, with how long the oldest has been due: a partner who does not answer makes none of them
late.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert

from server.notifications.models import notification_deliveries
from server.platform.metrics import OUTBOX_DEPTH, OUTBOX_OLDEST
from server.platform.statements import run
from server.platform.task_worker import TaskWorker
from server.webhooks import deliveries
from server.webhooks.models import webhook_deliveries, webhook_endpoints
from tests.support.admin_client import AdminClient, kinds

NOW = datetime(2026, 6, 10, 4, tzinfo=UTC)
HOUR = 3600
PARTNER = 1


def message(number: int, channel: str, due: float, state: str = "PENDING") -> dict[str, object]:
    """One that is due so many seconds after now."""
    return {
        **dict.fromkeys(("traveller_id", "order_id"), 1),
        **dict.fromkeys(("kind", "template_id", "reason"), ""),
        **dict.fromkeys(("create_time", "update_time"), NOW - timedelta(days=1)),
        "number": number,
        "channel": channel,
        "state": state,
        "due_time": NOW + timedelta(seconds=due),
        "attempts": 0,
    }


def endpoint(number: int, state: str) -> dict[str, object]:
    return {
        "partner_id": PARTNER,
        "endpoint_id": UUID(int=number),
        "url": "https://example.com/",
        "types": [],
        "description": "",
        "state": state,
        "disabled_reason": "" if state == "ENABLED" else "PARTNER",
        "encrypted_secret": b"",
        **dict.fromkeys(("create_time", "update_time"), NOW),
    }


def delivery(
    number: int, due: float, tried: float | None = None, leased: float | None = None
) -> dict[str, object]:
    """One that is due, was tried, and is taken until so many seconds after now."""
    made = NOW - timedelta(days=1)
    return {
        **dict.fromkeys(("type", "subject"), ""),
        **dict.fromkeys(("create_time", "occurred_time"), made),
        "partner_id": PARTNER,
        "event_id": UUID(int=number),
        "sequence": number,
        "state": "PENDING",
        "due_time": NOW + timedelta(seconds=due),
        "lease_time": None if leased is None else NOW + timedelta(seconds=leased),
        "attempts": 0 if tried is None else 3,
        "update_time": made if tried is None else NOW + timedelta(seconds=tried),
    }


@pytest.mark.parametrize(
    ("state", "rows", "waits"),
    [
        ("ENABLED", [delivery(1, -400), delivery(2, HOUR)], 400),  # nobody tries it
        ("ENABLED", [delivery(1, -HOUR), delivery(2, HOUR, tried=-20)], 20),  # one that fails
        ("ENABLED", [delivery(1, HOUR, tried=-HOUR)], 0),  # its next attempt is not due
        ("ENABLED", [delivery(1, -HOUR), delivery(2, -HOUR, leased=9)], 0),  # one that is slow
        ("ENABLED", [delivery(1, -HOUR, leased=-400)], 400),  # who had taken it died
        ("DISABLED", [delivery(1, -HOUR)], 0),
    ],
)
async def test_a_partner_who_does_not_answer_makes_nothing_late(
    admin_client: AdminClient, state: str, rows: list[dict[str, object]], waits: float
) -> None:
    """Seen red with the time since the oldest was due, without the lease, and with endpoints that
    are disabled.
    """
    async with admin_client.node.db.transaction() as tx:
        await tx.execute(insert(webhook_endpoints), endpoint(1, state))
        await tx.execute(
            insert(webhook_deliveries), [r | {"endpoint_id": UUID(int=1)} for r in rows]
        )
        assert await run(tx, deliveries.waiting(NOW)) == [(len(rows), waits)]
        await tx.rollback()


async def test_what_waits_is_in_the_dashboard_and_in_the_metrics(admin_client: AdminClient) -> None:
    """Seen red without the counts in the kinds of tasks."""
    db = admin_client.node.db
    messages = [
        message(1, "WECHAT", -400),
        message(2, "SMS", -500),
        message(3, "EMAIL", HOUR),  # waits for the morning
        message(4, "WECHAT", -HOUR, "SENT"),
    ]
    async with db.transaction() as tx:
        await tx.execute(insert(notification_deliveries), messages)
        await tx.execute(insert(webhook_endpoints), [endpoint(n, "ENABLED") for n in (1, 2)])
        each = [delivery(n, -100 * n) | {"endpoint_id": UUID(int=n)} for n in (1, 2)]
        await tx.execute(insert(webhook_deliveries), each)
    await TaskWorker(db, kinds(admin_client.node), clock=lambda: NOW).sample()
    dashboard = await admin_client.do("GetDashboard", from_day="2026-06-09", until_day="2026-06-09")
    shown = {queue.kind: queue.open_count for queue in dashboard.queues}
    for kind, waiting, seconds in (("notification", 3, 500), ("webhook", 2, 200)):
        assert shown[kind] == waiting
        assert OUTBOX_DEPTH.labels(kind, "OPEN")._value.get() == waiting
        assert OUTBOX_OLDEST.labels(kind)._value.get() == seconds
