"""Several processes take deliveries at once: none is taken twice, and those of a subject come in
their order; and however the tables were when their statements were planned, these read by key.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import Statement, commit_with, run
from server.webhooks import deliveries, endpoints
from server.webhooks.deliveries import AttemptOutcome, DueDelivery
from server.webhooks.endpoints import EndpointSettings
from server.webhooks.events import PartnerEvent, record
from server.webhooks.rules import BATCH_GENERATED
from server.webhooks.sequencing import sequence
from server.webhooks.webhook_secrets import WebhookSecrets

PARTNER = 7
PROCESSES = 4
LEASE = timedelta(seconds=30)
READ = Statement(
    """
SELECT idx_tup_fetch::int FROM pg_stat_xact_user_tables WHERE relname = 'webhook_deliveries'
""",
    int,
)


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[list[Database]]:
    opened = [Database(load_settings(), database_url) for _ in range(PROCESSES)]
    yield opened
    for each in opened:
        await each.close()


async def make(db: Database, subjects: list[str], count: int = 1) -> list[UUID]:
    """Deliveries of events of these subjects to `count` endpoints, which are new."""
    made = []
    async with db.transaction() as tx:
        for _ in range(count):
            where = EndpointSettings("https://example.com/", [], "")
            secrets, now = WebhookSecrets(bytes(32)), datetime.now(UTC)
            made.append((await endpoints.create(tx, secrets, PARTNER, where, now=now))[0])
        events = [
            PartnerEvent(PARTNER, BATCH_GENERATED, subject, {"batch_id": subject})
            for subject in subjects
        ]
        await run(tx, record(*events, now=datetime.now(UTC)))
    while await sequence(db):
        pass
    return [each.endpoint_id for each in made]


async def add_partner(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO partners (partner_id, partner_code, display_name,"
                " requests_per_minute, allowed_addresses, state, create_time, update_time)"
                " OVERRIDING SYSTEM VALUE"
                " VALUES (7, 'SEVEN', 'Seven', 100, '{}', 'ACTIVE', now(), now())"
            )
        )


async def take(db: Database, limit: int = 8) -> list[DueDelivery]:
    """What a process takes in one look."""
    now = datetime.now(UTC)
    async with db.pipeline() as pipeline, pipeline.transaction():
        found = await run(pipeline, deliveries.find_due({}, room=limit, now=now))
        commands = deliveries.take(found, limit=1000, lease=LEASE, now=now)
        return [due for dues in await commit_with(pipeline, commands) for due in dues]


def outcomes(taken: list[DueDelivery], state: str, now: datetime) -> list[AttemptOutcome]:
    """The same of all attempts; what is PENDING is due again in a minute."""
    later = now + timedelta(seconds=60) if state == "PENDING" else now
    return [
        AttemptOutcome(
            *(due.partner_id, due.endpoint_id, due.event_id, due.lease_time, state, later, now),
            *(200, 1, "", ""),
        )
        for due in taken
    ]


async def settle(db: Database, taken: list[DueDelivery], state: str = "DELIVERED") -> None:
    now = datetime.now(UTC)
    async with db.pipeline() as pipeline, pipeline.transaction():
        await deliveries.settle(pipeline, outcomes(taken, state, now), now=now)
        await commit_with(pipeline)


async def test_none_is_taken_twice(processes: list[Database]) -> None:
    """300 deliveries to each of two endpoints, by four processes at once.

    Seen red without the endpoint's lock and the lease in the condition of _TAKE.
    """
    first, *_ = processes
    await add_partner(first)
    await make(first, [f"s-{number}" for number in range(300)], 2)
    taken: list[DueDelivery] = []

    async def work(db: Database) -> None:
        for _ in range(60):
            found = await take(db)
            taken.extend(found)
            await settle(db, found) if found else await asyncio.sleep(0.01)

    await asyncio.gather(*map(work, processes))
    assert len({(due.endpoint_id, due.event_id) for due in taken}) == len(taken) == 600
    assert {due.attempt for due in taken} == {1}


async def test_of_a_subject_the_first_alone_is_taken_whoever_looks(
    processes: list[Database],
) -> None:
    """Seen red without the subject's first in _TAKE."""
    first, second, *_ = processes
    await add_partner(first)
    await make(first, ["one", "one", "other", "one"])
    (head, other) = sorted(await take(first), key=lambda due: due.sequence)
    assert await take(second) == []
    await settle(second, [other])
    await settle(first, [head], "PENDING")  # it has failed: what follows waits as long
    assert await take(second) == []
    async with first.transaction() as tx:
        due = "SELECT count(*) FROM webhook_deliveries WHERE due_time > now() + interval '50 s'"
        assert await tx.scalar(text(due)) == 3
        await tx.execute(text("UPDATE webhook_deliveries SET due_time = now() WHERE attempts > 0"))
    (again,) = await take(second)
    assert (again.event_id, again.attempt) == (head.event_id, 2)
    await settle(first, [head])  # whose lease is not its any more: it changes nothing
    assert await take(first) == []
    await settle(second, [again])
    (follower,) = await take(first)  # at once, and not in a minute
    assert follower.sequence == head.sequence + 1


async def test_statements_planned_over_an_empty_queue_read_by_key(
    processes: list[Database],
) -> None:
    """PostgreSQL plans them once, while it believes that there is nothing; then 1,500 events come.

    Seen red with the queue joined to what is taken: 245,256 rows were read.
    """
    db, *_ = processes
    await add_partner(db)
    connection = await db.connect()
    await connection.execute("VACUUM ANALYZE webhook_deliveries, webhook_endpoints")
    await connection.close()
    async with db.pipeline() as pipeline:

        async def look() -> tuple[int, int]:
            now = datetime.now(UTC)
            async with pipeline.transaction():
                found = await run(pipeline, deliveries.find_due({}, room=20, now=now))
                taken = []
                for command in deliveries.take(found, limit=1000, lease=LEASE, now=now):
                    taken += await run(pipeline, command)
                await deliveries.settle(pipeline, outcomes(taken, "DELIVERED", now), now=now)
                (fetched,) = await run(pipeline, READ())
                await commit_with(pipeline)
            return len(taken), fetched

        await make(db, ["planned"], 2)
        assert (await look())[0] == 2
        await make(db, [f"s-{number}" for number in range(1_500)], 0)
        taken, fetched = await look()
    assert taken == 40
    assert fetched < 40 * 20
