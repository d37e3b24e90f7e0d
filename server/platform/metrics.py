"""What Prometheus reads from `/metrics` on the operations address; with several workers the
figures of all of them together.
"""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# a line of each series that says when the process made it: nobody asks, and workers have none
disable_created_metrics()  # type: ignore[no-untyped-call]

RPC_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""What OpenTelemetry's conventions recommend."""

RPC_DURATION = Histogram(
    "rpc_server_call_duration_seconds",  # rpc.server.call.duration, as Prometheus writes it
    "Seconds of calls, by the names of OpenTelemetry's semantic conventions",
    ["rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type"],
    buckets=RPC_DURATION_BUCKETS,
)
IN_FLIGHT = Gauge(
    "deeptravel_calls_in_flight", "Calls being worked on", multiprocess_mode="livesum"
)
HTTP_REFUSED = Counter(
    "deeptravel_http_refused", "HTTP requests that did not become a call", ["status"]
)
HTTP_CONNECTIONS = Gauge(
    "deeptravel_http_connections", "Open HTTP connections", multiprocess_mode="livesum"
)
HTTP_CONNECTIONS_REFUSED = Counter(
    "deeptravel_http_connections_refused",
    "HTTP connections beyond what is taken: of one address, or of all",
    ["limit"],
)
SCANS = Counter("deeptravel_scans", "Scans by result and reason", ["result", "reason"])
SCAN_QUEUE = Gauge(
    "deeptravel_scan_queue", "Scans waiting for a transaction", multiprocess_mode="livesum"
)
SIMULATED_SCAN_QUEUE = Gauge(
    "deeptravel_simulated_scan_queue",
    "Scans of test tickets waiting for a transaction",
    multiprocess_mode="livesum",
)
SCAN_BATCH = Histogram(
    "deeptravel_scan_batch", "Scans in one transaction", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
UPLOAD_QUEUE = Gauge(
    "deeptravel_upload_queue",
    "Uploaded scans waiting for a transaction",
    multiprocess_mode="livesum",
)
UPLOAD_BATCH = Histogram(
    "deeptravel_upload_batch", "Uploaded scans in one transaction", buckets=(1, 8, 64, 128, 256)
)
READ_QUEUE = Gauge(
    "deeptravel_read_queue",
    "Calls waiting to be read for, by what they read",
    ["kind"],
    multiprocess_mode="livesum",
)
READ_BATCH = Histogram(
    "deeptravel_read_batch",
    "Calls read for in one round trip, by what they read",
    ["kind"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
ORDERS = Counter("deeptravel_orders", "Orders asked for, by what became of them", ["result"])
CHANNEL_BOOKINGS = Counter(
    "deeptravel_channel_bookings",
    "Bookings of outside channels, by where they have come to",
    ["channel", "state"],
)
CHANNEL_AWAY = Gauge(
    "deeptravel_channel_away_seconds",
    "Since when an outside channel has given no answer that can be used, to all calls or to those"
    " of an endpoint; 0 if the last was one",
    ["channel"],
    multiprocess_mode="livemax",
)
CHANNEL_FAULTS = Gauge(
    "deeptravel_channel_faults",
    "What keeps an outside channel from being sent what it is to know, each reason once: a word"
    " that is mapped to nothing, a refusal; and bookings that cannot be read or sold",
    ["channel", "what"],
    multiprocess_mode="livemax",
)
CHANNEL_LATE = Gauge(
    "deeptravel_channel_late_seconds",
    "Since when an outside channel is sent what is true later than its cadences say: a value waits,"
    " or a comparison with the truth is due; 0 if neither is so",
    ["channel"],
    multiprocess_mode="livemax",
)
ORDER_QUEUE = Gauge(
    "deeptravel_order_queue", "Orders waiting for a transaction", multiprocess_mode="livesum"
)
ORDER_BATCH = Histogram(
    "deeptravel_order_batch",
    "Orders in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
PAYMENTS = Counter(
    "deeptravel_payments", "Payments that WeChat reported, by what became of them", ["outcome"]
)
PAYMENT_QUEUE = Gauge(
    "deeptravel_payment_queue",
    "Notices of payment waiting for a transaction",
    multiprocess_mode="livesum",
)
PAYMENT_BATCH = Histogram(
    "deeptravel_payment_batch",
    "Notices of payment handled in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
REFUND_QUEUE = Gauge(
    "deeptravel_refund_queue",
    "News of refunds waiting for a transaction",
    multiprocess_mode="livesum",
)
REFUND_BATCH = Histogram(
    "deeptravel_refund_batch",
    "News of refunds taken in in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
NOTICE_QUEUE = Gauge(
    "deeptravel_notice_queue", "Notices waiting to be stored", multiprocess_mode="livesum"
)
NOTICE_BATCH = Histogram(
    "deeptravel_notice_batch",
    "Notices stored in one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
NOTICES = Counter("deeptravel_notices", "WeChat's notices, by what became of them", ["result"])
WEBHOOK_ATTEMPTS = Counter(
    "deeptravel_webhook_attempts", "Attempts to deliver events to partners", ["result"]
)
NOTIFICATIONS = Counter(
    "deeptravel_notifications",
    "Messages to travellers, by kind, channel and what became of them: WRITTEN to the inbox, then"
    " SENT, RETRIED, SKIPPED (no consent or address) or DEAD by each other channel",
    ["kind", "channel", "outcome"],
)
NOTIFICATION_SECONDS = Histogram(
    "deeptravel_notification_seconds",
    "From what happened to the first attempt to send a message of it, quiet hours left out",
    ["channel"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800),
)
NOTIFICATION_PAUSES = Gauge(
    "deeptravel_notification_pauses",
    "Channels that are stopped until somebody mends what is wrong, or a trial succeeds",
    ["channel"],
    multiprocess_mode="livemax",
)
SEARCH_CACHE = Counter(
    "deeptravel_search_cache",
    "Looks into the cache, by what was looked for and where it was: memory, redis, or made",
    ["kind", "source"],
)
POOL = Gauge("deeptravel_database_connections", "Connections in use", multiprocess_mode="livesum")
DEGRADED = Gauge(
    "deeptravel_degraded",
    "1 while this part, database or redis, does not answer",
    ["part"],
    multiprocess_mode="livemax",
)
LOCKED_CALLS = Counter(
    "deeptravel_locked_calls",
    "Calls that met a row that another held: tried again (RETRIED), or refused with CONFLICT",
    ["result"],
)
RATE_LIMIT_FAILURES = Counter(
    "deeptravel_rate_limit_failures", "Calls let through because Redis did not answer"
)
OUTBOX_TASKS = Counter("deeptravel_outbox_tasks", "Tries of tasks", ["kind", "result"])
OUTBOX_DEPTH = Gauge(
    "deeptravel_outbox_depth",
    "Tasks open and dead; of notification and webhook OPEN is what waits to be sent",
    ["kind", "state"],
    multiprocess_mode="livemostrecent",
)
OUTBOX_OLDEST = Gauge(
    "deeptravel_outbox_oldest_due_seconds",
    "How long the oldest due task, message or delivery waits",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
TICKET_STATES = Gauge(
    "deeptravel_tickets",
    "Tickets by state, sandboxes left out, when they were last counted",
    ["state"],
    multiprocess_mode="livemostrecent",
)
ORDER_STATES = Gauge(
    "deeptravel_orders_by_state",
    "Orders by state, sandboxes left out, when they were last counted",
    ["state"],
    multiprocess_mode="livemostrecent",
)
STATES_AGE = Gauge(
    "deeptravel_states_counted_timestamp_seconds",
    "When tickets and orders were last counted by state, in seconds since 1970",
    multiprocess_mode="livemostrecent",
)
JOB_LEADER = Gauge(
    "deeptravel_job_leader",
    "1 where the jobs run: in all processes together exactly 1",
    multiprocess_mode="livesum",
)
JOB_RUNS = Counter(
    "deeptravel_job_runs",
    "Runs of jobs by how they ended: DONE, FAILED, STOPPED (a pause, or the process stopped),"
    " TAKEN_OVER (by another process)",
    ["job_code", "outcome"],
)
JOB_ITEMS = Counter(
    "deeptravel_job_items", "What jobs have done, as far as they count it", ["job_code"]
)
JOB_SECONDS = Histogram(
    "deeptravel_job_run_seconds",
    "Seconds from the beginning to the end of a job's run",
    ["job_code"],
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 180, 600, 3600),
)
JOB_LAG = Gauge(
    "deeptravel_job_lag_seconds",
    "How long the oldest thing that a job has to do is due; where it runs, 0 elsewhere",
    ["job_code"],
    multiprocess_mode="livemax",
)
STUCK = Gauge(
    "deeptravel_stuck",
    "What was found stuck and is not seen to, by kind; where jobs run",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
UNISSUED_REDEMPTIONS = Gauge(
    "deeptravel_unissued_redemptions",
    "Redemptions by codes made with a key of ours, but not by us, that is neither compromised nor"
    " revoked yet; where jobs run",
    multiprocess_mode="livemostrecent",
)
JOB_PAUSED = Gauge(
    "deeptravel_job_paused",
    "1 while an administrator has the job paused; where jobs run, 0 elsewhere",
    ["job_code"],
    multiprocess_mode="livemax",
)

# Prometheus sees no increase of a series that begins above 0: what alerts count is there before
for _counter, _values in (
    (HTTP_CONNECTIONS_REFUSED, ("address", "all")),
    (LOCKED_CALLS, ("RETRIED", "REFUSED")),
):
    for _value in _values:
        _counter.labels(_value)


def exposition() -> tuple[bytes, str]:
    """The figures in Prometheus' text format, and its content type."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
