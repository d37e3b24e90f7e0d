"""Where each thing that the daemon does leaves its trace: every job and every queue of a server is
named here, and a new one that is not fails. Of a job the audit trail has each run that did
something, as the job counts it (tests/audit/test_daemon_runs.py).
"""

import httpx2

from server.operations.schema import metadata
from tests.support.server_process import ServerProcess

AUDIT = "audit_events"
ONLY_SUMS = {
    "count-states": "state_counts",
    "sum-redemptions": "redemption_sums",
    "sum-sales": "sales_sums",
}
"""Jobs whose runs have done nothing: they count or sum up what others did."""
AUDITED = {
    *("audit-checkpoint", "cancel-unsold-channel-bookings", "check-redeemed-codes"),
    *("expire-holds", "expire-reservations"),
    *("expire-tickets", "give-back-tasks", "keep-channels-in-step", "index-orders"),
    *("make-departures", "make-rental-days", "purge-answers", "purge-changes"),
    *("purge-channel-calls", "purge-channel-values", "purge-job-runs", "purge-logins"),
    *("purge-notifications", "purge-partner-events", "purge-tasks", "purge-webhook-log"),
    *("reconcile", "release-allotments", "remind-tickets", "remind-travellers"),
    *("seal-statements", "settle-tickets", "sweep-stuck", "tend-issuing-keys"),
    "watch-refunds",
}
QUEUES = {
    "task.channel.book": "channel_bookings",
    "task.channel.disconnect": "channels",
    "task.channel.fetch": "channel_calls",
    "task.channel.probe": "channel_calls",
    "task.channel.push": "channel_calls",
    "task.channel.work_out": "channel_values",
    "task.departure.cancelled": "order_events",
    "task.departure.moved": "order_events",
    "task.departure.partners": "partner_events",
    "task.notice": "notices",
    "task.notification": "notification_deliveries",
    "task.order.complete": "order_events",
    "task.partner.payment": "partner_payments",
    "task.payment.close": "payments",
    "task.payment.query": "payments",
    "task.qr_key.reissue": "qr_issues",
    "task.reconcile": "reconciliations",
    "task.refund.query": "refund_parts",
    "task.refund.send": "refund_parts",
    "task.repeat-webhooks": "webhook_deliveries",
    "task.ttd.confirm": "channel_calls",
    "task.ttd.used": "channel_calls",
    "task.ttd.vouchers": "channel_calls",
    "task.webhook": "webhook_deliveries",
}
"""Of what a task did, the records of what it did it to: moves of orders, refunds, deliveries. That
it was given up is in `outbox_tasks`, and its replay in the audit trail.
"""


def test_each_job_and_queue_of_the_daemon_leaves_a_trace(served: ServerProcess) -> None:
    """Seen red: the channels' queues `fetch` and `book` said nothing of what they do."""
    with httpx2.Client(base_url=served.url) as client:
        answer = client.post("/admin/login", json=served.credentials["admin"])
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        found = client.get("/admin/jobs", params={"page_size": 200}, headers=headers).json()["jobs"]
    assert {each["job_code"] for each in found} == AUDITED | ONLY_SUMS.keys() | QUEUES.keys()
    texts = {each["job_code"]: (each["description_en"], each["description_zh"]) for each in found}
    assert [code for code, said in texts.items() if not all(said)] == []
    assert {AUDIT, *ONLY_SUMS.values(), *QUEUES.values()} <= metadata.tables.keys()
