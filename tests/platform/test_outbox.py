"""Work that follows a commit: there with it or not at all, tried until it is done or dead, and
replayed.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update
from structlog.testing import capture_logs

from server.platform import outbox, task_worker
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.metrics import OUTBOX_DEPTH, OUTBOX_OLDEST, OUTBOX_TASKS
from server.platform.outbox import LeaseLostError, NewTask, Postpone, Task
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Statement, commit_with, run
from server.platform.task_queues import queue_code
from server.platform.task_worker import TaskKind, TaskWorker
from tests.support.outbox import Seen, TaskHandler, a_client, effects
from tests.support.waiting import WAIT_SECONDS, until


@pytest.fixture
async def client(module_database_url: str) -> AsyncIterator[TaskHandler]:
    async with a_client(module_database_url) as client:
        yield client


# Asking


async def test_work_is_there_with_the_commit_or_not_at_all(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"tell": TaskKind(seen.handle)})
    with suppress(ZeroDivisionError):
        async with client.db.transaction() as tx:
            await client.ask_in(tx, "lost")
            raise ZeroDivisionError
    async with client.db.transaction() as tx:
        await client.ask_in(tx, "kept", to="somebody")
        assert await process.drain() == 0
    assert await process.drain() == 1
    (task,) = seen.tasks
    assert (task.kind, task.key, task.payload, task.attempt) == (
        "tell",
        "kept",
        {"to": "somebody"},
        1,
    )
    row = await client.row()
    assert (row.state, row.lease_until, row.attempts) == ("DONE", None, 1)
    assert row.task_id.version == 7
    assert await process.drain() == 0


async def test_not_before_it_is_due(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"tell": TaskKind(seen.handle)})
    await client.ask("later", in_seconds=600)
    client.clock.forward(599)
    assert await process.drain() == 0
    client.clock.forward(1)
    assert await process.drain() == 1


async def test_a_paused_queue_waits_and_others_do_not(client: TaskHandler) -> None:
    """Seen red with the pause not asked about: both were done."""
    seen, paused = Seen(), {queue_code("tell")}
    kinds = {kind: TaskKind(seen.handle) for kind in ("tell", "write")}
    process = client.outbox(kinds, is_paused=paused.__contains__)
    await client.ask("waits")
    await client.ask("goes", kind="write")
    assert await process.drain() == 1
    assert seen.keys == ["goes"]
    paused.clear()
    assert await process.drain() == 1
    assert seen.keys == ["goes", "waits"]


async def test_same_work_is_open_once(client: TaskHandler) -> None:
    await client.ask("one", in_seconds=60, version=1)
    first = await client.row()
    await client.ask("one", in_seconds=90, version=2)
    row = await client.row()
    assert (row.due_time, row.payload) == (first.due_time, {"version": 2})
    await client.ask("one", in_seconds=30, version=3)
    row = await client.row()
    assert row.due_time == client.clock.now + timedelta(seconds=30)
    await client.ask("one", kind="write")
    assert len(await client.rows()) == 2
    assert first.task_id in {each.task_id for each in await client.rows()}


async def test_same_work_twice_in_one_set(client: TaskHandler) -> None:
    now = client.clock.now
    asks = [
        NewTask("tell", "a", {"n": 1}, now),
        NewTask("tell", "b", {}, now),
        NewTask("tell", "a", {"n": 2}, now + timedelta(hours=1)),
    ]
    async with client.db.transaction() as tx:
        await run(tx, outbox.enqueue(*asks, now=now))
        await run(tx, outbox.enqueue(now=now))
        await run(tx, outbox.enqueue(NewTask("tell", "c", {}, now), now=now))
    assert {(row.key, row.payload.get("n"), row.due_time) for row in await client.rows()} == {
        ("a", 2, now),
        ("b", None, now),
        ("c", None, now),
    }


async def test_enqueueing_in_a_batch(client: TaskHandler) -> None:
    seen = Seen()
    for number in range(2):
        tasks = [NewTask("tell", "batched", {"n": number}, client.clock.now)]
        async with client.db.engine.connect() as connection:
            pipeline = await PipelineConnection.of(connection)
            async with pipeline.transaction():
                await commit_with(pipeline, [outbox.enqueue(*tasks, now=client.clock.now)])
    assert await client.outbox({"tell": TaskKind(seen.handle)}).drain() == 1
    assert seen.tasks[0].payload == {"n": 1}


async def test_asked_for_again_after_it_is_done_or_dead(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"tell": TaskKind(seen.handle, max_attempts=1)})
    for error in (None, ZeroDivisionError(), None):
        seen.error = error
        await client.ask("one")
        assert await process.drain() == 1
    assert await client.states() == {"DONE": 2, "DEAD": 1}


@pytest.mark.parametrize("in_seconds", [0, 60])
@pytest.mark.parametrize("how", ["mark afterwards", "done in its transaction", "fails"])
async def test_asked_for_again_while_it_runs(
    client: TaskHandler, how: str, in_seconds: int
) -> None:
    """It may have read what was before; so it runs again, with the newer payload."""
    payloads: list[Any] = []

    async def handle(task: Task) -> None:
        payloads.append(task.payload)
        if len(payloads) == 1:
            await client.ask("one", in_seconds=in_seconds, version=2)
            assert await client.outbox({"tell": TaskKind(handle)}).drain() == 0  # one at a time
            if how == "fails":
                raise ConnectionError
            if how == "done in its transaction":
                await client.act(task)

    process = client.outbox({"tell": TaskKind(handle, max_attempts=1)})
    await client.ask("one", version=1)
    await process.drain()
    if in_seconds:
        row = await client.row()
        assert (row.state, row.due_time) == ("OPEN", client.clock.now + timedelta(seconds=60))
        client.clock.forward(60)
        await process.drain()
    assert payloads == [{"version": 1}, {"version": 2}]
    row = await client.row()
    assert (row.state, row.attempts, row.again_time) == ("DONE", 1, None)


# Trying


async def test_effect_and_done_are_one(client: TaskHandler) -> None:
    """A transaction that fails after `done` leaves neither; one that is committed leaves both."""

    async def fail_once(task: Task) -> None:
        async with client.db.transaction() as tx:
            await tx.execute(insert(effects).values(key=task.key, attempt=task.attempt))
            await task.done(tx)
            if task.attempt == 1:
                raise ConnectionError("in the middle")

    process = client.outbox({"tell": TaskKind(fail_once)})
    await client.ask("one")
    await process.drain()
    assert await client.effects() == []
    assert (await client.row()).state == "OPEN"
    client.clock.forward(1)
    await process.drain()
    assert await client.effects() == ["one"]
    assert (await client.row()).state == "DONE"


async def test_tasks_that_end_together(client: TaskHandler) -> None:
    """Those whose leases are held: another's is not, and what is asked for again meanwhile is
    due once more.
    """
    held: list[Task] = []
    all_here = asyncio.Event()

    async def together(task: Task) -> None:
        held.append(task)
        if len(held) < 3:
            await all_here.wait()
            return
        (lost,) = (each for each in held if each.key == "lost")
        lost.lease_until += timedelta(seconds=1)
        await client.ask("again")
        async with client.db.pipeline() as pipeline, pipeline.transaction():
            leased = await run(pipeline, outbox.lock_leases(held))
            ours = [each for each in held if each.task_id in leased]
            (ended,) = await commit_with(pipeline, [outbox.done_together(ours)])
        assert sorted(ended) == ["DONE", "OPEN"]
        for each in ours:
            each.is_settled = True
        all_here.set()

    await client.ask("one", "again", "lost")
    process = client.outbox({"tell": TaskKind(together)})
    with capture_logs() as logs:
        await process._take()
        await asyncio.wait(list(process._running))
    assert [line["event"] for line in logs] == ["outbox.lost"]
    states = {row.key: (row.state, row.lease_until is None) for row in await client.rows()}
    assert states == {"one": ("DONE", True), "again": ("OPEN", True), "lost": ("OPEN", False)}


async def test_error_after_the_commit_undoes_nothing(client: TaskHandler) -> None:
    async def act_and_fail(task: Task) -> None:
        await client.act(task)
        raise ConnectionError("too late")

    await client.ask("one")
    with capture_logs() as logs:
        await client.outbox({"tell": TaskKind(act_and_fail)}).drain()
    assert (await client.row()).state == "DONE"
    assert await client.effects() == ["one"]
    assert [(line["event"], line["error"]) for line in logs] == [
        ("outbox.lost", "LeaseLostError: ConnectionError: too late")
    ]


async def test_back_off_grows_to_ten_minutes(client: TaskHandler) -> None:
    seen = Seen(ConnectionError("no route"))
    process = client.outbox({"tell": TaskKind(seen.handle)})
    await client.ask("one")
    waits = []
    for attempt in range(1, 14):
        assert await process.drain() == 1
        row = await client.row()
        assert (row.attempts, row.last_error) == (attempt, "ConnectionError: no route")
        wait = (row.due_time - client.clock.now).total_seconds()
        longest = min(600, 2 ** (attempt - 1))
        assert longest / 2 <= wait <= longest
        waits.append(wait)
        client.clock.forward(wait - 0.01)
        assert await process.drain() == 0
        client.clock.forward(0.01)
    assert len({wait / 2**n for n, wait in enumerate(waits)}) > 5  # by chance


async def test_outside_may_say_how_long_to_wait(client: TaskHandler) -> None:
    seen = Seen(DomainError(Reason.SERVER_BUSY, "busy", retry_seconds=120))
    await client.ask("one")
    await client.outbox({"tell": TaskKind(seen.handle)}).drain()
    row = await client.row()
    assert row.due_time == client.clock.now + timedelta(seconds=120)
    assert row.last_error == "SERVER_BUSY: busy"


async def test_postponing_is_no_failure(client: TaskHandler) -> None:
    calls = 0

    async def early(task: Task) -> Postpone | None:
        nonlocal calls
        calls += 1
        assert task.attempt == 1
        return Postpone(task.now() + timedelta(seconds=10)) if calls < 5 else None

    process = client.outbox({"tell": TaskKind(early, max_attempts=2)})
    await client.ask("one")
    for _ in range(5):
        await process.drain()
        client.clock.forward(10)
    assert calls == 5
    row = await client.row()
    assert (row.state, row.last_error) == ("DONE", None)


async def test_handler_that_takes_too_long_has_failed(client: TaskHandler) -> None:
    async def forever(task: Task) -> None:
        await asyncio.Event().wait()

    await client.ask("one")
    await client.outbox({"tell": TaskKind(forever, most_seconds=0.05)}).drain()
    row = await client.row()
    assert (row.state, row.attempts, row.lease_until) == ("OPEN", 1, None)
    assert row.last_error.startswith("TimeoutError")


async def test_failures_log_one_line(client: TaskHandler) -> None:
    seen = Seen(ConnectionError("away\0\ud800" + "y" * 1000))
    process = client.outbox({"tell": TaskKind(seen.handle, max_attempts=2)})
    await client.ask("one")
    with capture_logs() as logs:
        await process.drain()
        client.clock.forward(1)
        await process.drain()
    first, second = logs
    assert (first["event"], first["log_level"]) == ("outbox.failed", "warning")
    assert (second["event"], second["log_level"]) == ("outbox.dead", "error")
    assert (second["kind"], second["key"], second["attempt"]) == ("tell", "one", 2)
    assert second["error"].startswith("ConnectionError: away?yyy")
    assert len((await client.row()).last_error) == task_worker.LONGEST_ERROR


async def test_unexpected_error_is_logged_with_its_trace(client: TaskHandler) -> None:
    await client.ask("one")
    error = ZeroDivisionError()
    with capture_logs() as logs:
        await client.outbox({"tell": TaskKind(Seen(error).handle)}).drain()
    assert [line["exc_info"] for line in logs] == [error]


async def test_slow_kind_does_not_hold_up_others(client: TaskHandler) -> None:
    release, seen = asyncio.Event(), Seen()

    async def slow(task: Task) -> None:
        await release.wait()

    await client.ask(*map(str, range(50)), kind="slow")
    process = client.outbox({"slow": TaskKind(slow, max_at_once=3), "tell": TaskKind(seen.handle)})
    process.start()
    await until(lambda: len(process._running) == 3)
    await client.ask("quick", kind="tell")
    await until(lambda: seen.keys == ["quick"])
    await until(lambda: len(process._running) == 3)
    release.set()
    await process.stop()


async def test_kinds_of_a_newer_release_are_left_alone(client: TaskHandler) -> None:
    await client.ask("one", kind="of tomorrow")
    assert await client.outbox({"tell": TaskKind(Seen().handle)}).drain() == 0
    assert (await client.row()).attempts == 0


# Running


async def test_woken_outbox_works_at_once(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"tell": TaskKind(seen.handle)}, poll_seconds=60)
    process.start()
    await asyncio.sleep(0.05)
    await client.ask("one")
    await until(lambda: seen.keys == ["one"])
    await process.stop()


async def test_what_others_asked_for_is_found_without_a_word(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"tell": TaskKind(seen.handle)}, poll_seconds=0.05)
    process.start()
    await asyncio.sleep(0.02)
    other = TaskHandler(Database(load_settings(), client.db.url))
    await other.ask(*map(str, range(100)))
    await other.db.close()
    await until(lambda: len(seen.tasks) == 100)
    await process.stop()
    assert await client.states() == {"DONE": 100}


async def test_idle_outbox_costs_one_statement_a_poll(
    client: TaskHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[str] = []
    event.listen(
        client.db.engine.sync_engine,
        "before_cursor_execute",
        lambda *arguments: others.append(arguments[2]),
    )
    looks: list[bytes] = []
    go = PipelineConnection.round_trip

    async def counted(
        pipeline: PipelineConnection, statements: Any, *, commit: bool = False
    ) -> Any:
        looks.extend(statement.sql for statement, _ in statements)
        return await go(pipeline, statements, commit=commit)

    monkeypatch.setattr(PipelineConnection, "round_trip", counted)
    kinds = {str(n): TaskKind(Seen().handle) for n in range(20)}
    process = client.outbox(kinds, poll_seconds=0.1)
    began = time.monotonic()
    process.start()
    await until(lambda: len(looks) >= 6)
    await process.stop()
    polls = (time.monotonic() - began) / 0.1
    (sample,) = others
    assert "min(due_time)" in sample
    assert len(looks) <= polls + 2
    assert set(looks) == {task_worker._TAKE.sql}


async def test_look_at_a_long_queue_reads_little(client: TaskHandler) -> None:
    """Neither what is done nor what is due later is read."""
    await client.ask(*(f"done {n}" for n in range(5_000)))
    async with client.db.transaction() as tx:
        await tx.execute(update(outbox.outbox_tasks).values(state="DONE"))
    await client.ask(*(f"later {n}" for n in range(5_000)), in_seconds=600)
    await client.ask("now")
    explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + task_worker._TAKE.sql
    plans: Statement[list[Any]] = Statement(explain.decode(), list)
    now = client.clock.now
    for blocks in (1_000, 40):  # the first look passes over what is dead in the index, and marks it
        async with client.db.transaction() as tx:
            await tx.execute(text("ANALYZE outbox_tasks"))
            (plan,) = await run(tx, plans(["tell", "write"], [4, 4], [now, now], now, 1))
            (root,) = plan
            top = root["Plan"]
            assert top["Actual Rows"] == 1
            assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < blocks
            await tx.rollback()


async def test_stop_under_load_lets_those_under_way_finish(client: TaskHandler) -> None:
    ended = 0

    async def slow(task: Task) -> None:
        nonlocal ended
        await asyncio.sleep(0.1)
        ended += 1

    await client.ask(*map(str, range(200)))
    process = client.outbox({"tell": TaskKind(slow, max_at_once=10)})
    process.start()
    await until(lambda: ended > 15)
    await process.stop()
    states = await client.states()
    assert states == {"DONE": ended, "OPEN": 200 - ended}
    assert all(row.lease_until is None for row in await client.rows(state="OPEN"))


async def test_stop_is_bounded_and_hands_back_the_rest(client: TaskHandler) -> None:
    begun = asyncio.Event()

    async def forever(task: Task) -> None:
        begun.set()
        await asyncio.Event().wait()

    await client.ask("one")
    process = client.outbox({"tell": TaskKind(forever)}, stop_seconds=0.1)
    process.start()
    await begun.wait()
    async with asyncio.timeout(WAIT_SECONDS):
        await process.stop()
    row = await client.row()
    assert (row.state, row.lease_until, row.attempts) == ("OPEN", None, 0)
    seen = Seen()
    assert await client.outbox({"tell": TaskKind(seen.handle)}).drain() == 1


async def test_stop_of_an_outbox_never_started(client: TaskHandler) -> None:
    await client.outbox({}).stop()


async def test_outbox_goes_on_when_the_database_is_back(
    client: TaskHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, failures = Seen(), 0
    process = client.outbox({"tell": TaskKind(seen.handle)}, poll_seconds=0.02)
    take = TaskWorker._take

    async def fail_twice(self: TaskWorker) -> int:
        nonlocal failures
        failures += 1
        if failures < 3:
            error = DomainError(Reason.DATABASE_UNAVAILABLE, "away")
            raise (ZeroDivisionError() if failures == 1 else error)
        return await take(self)

    monkeypatch.setattr(TaskWorker, "_take", fail_twice)
    await client.ask("one")
    with capture_logs() as logs:
        process.start()
        await until(lambda: seen.keys == ["one"])
        await process.stop()
    assert [line["event"] for line in logs] == ["loop.poll_failed"] * 2


async def test_figures(client: TaskHandler) -> None:
    seen = Seen()
    process = client.outbox({"figures": TaskKind(seen.handle, max_attempts=1)})

    def tries(result: str) -> Any:
        return OUTBOX_TASKS.labels("figures", result)._value.get()

    def depth(state: str) -> Any:
        return OUTBOX_DEPTH.labels("figures", state)._value.get()

    await client.ask("one", "two", kind="figures")
    await client.ask("other", kind="of tomorrow")
    client.clock.forward(90)
    await process.sample()
    assert (depth("OPEN"), depth("DEAD")) == (2, 0)
    assert OUTBOX_OLDEST.labels("figures")._value.get() == 90
    assert OUTBOX_OLDEST.labels("of tomorrow")._value.get() == 90
    seen.error = ConnectionError()
    await process.drain()
    seen.error = None
    await client.ask("three", kind="figures")
    await process.drain()
    await client.ask("four", kind="figures", in_seconds=5)
    await process.sample()
    assert (depth("OPEN"), depth("DEAD")) == (1, 2)
    assert OUTBOX_OLDEST.labels("figures")._value.get() == 0
    assert (tries("DONE"), tries("DEAD")) == (1, 2)


async def test_done_by_who_does_not_hold_it(client: TaskHandler) -> None:
    async def too_slow(task: Task) -> None:
        client.clock.forward(3600)
        assert await client.outbox({"tell": TaskKind(client.act)}).drain() == 1
        with pytest.raises(LeaseLostError):
            await client.act(task)

    await client.ask("one")
    with capture_logs() as logs:
        await client.outbox({"tell": TaskKind(too_slow)}).drain()
    assert await client.effects() == ["one"]
    assert [line["event"] for line in logs] == ["outbox.lost"]
    row = await client.row()
    assert (row.state, row.attempts) == ("DONE", 2)


async def test_failure_of_who_does_not_hold_it_changes_nothing(client: TaskHandler) -> None:
    """Or a third could take it while the second is at it."""
    states: list[tuple[str, bool]] = []

    async def take_over(task: Task) -> None:
        go_on.set()
        await asyncio.wait([first], timeout=WAIT_SECONDS)
        row = await client.row()
        states.append((row.state, row.lease_until == task.lease_until))

    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fail_late(task: Task) -> None:
        begun.set()
        await go_on.wait()
        raise ConnectionError

    await client.ask("one")
    first = asyncio.create_task(client.outbox({"tell": TaskKind(fail_late)}).drain())
    await begun.wait()
    client.clock.forward(3600)
    await client.outbox({"tell": TaskKind(take_over)}).drain()
    assert states == [("OPEN", True)]
    row = await client.row()
    assert (row.state, row.last_error) == ("DONE", None)
