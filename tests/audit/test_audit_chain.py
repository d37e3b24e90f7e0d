"""The audit trail is a chain: whatever somebody edits by SQL, the first event that is not as it was
recorded is named; and the chain is made by any number of processes, also when they are killed.

"Seen red" says which guard was taken out, and that the test then failed.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from server.audit import canonical, chaining, trail
from server.audit.chain_keys import ChainKeys, Checkpoint
from server.audit.chaining import (
    EVENT_COLUMNS,
    BrokenHeadError,
    RecordedEvent,
    chain,
    take_checkpoint,
)
from server.audit.origins import ChangeOrigin
from server.audit.trail import AuditedChange, audit
from server.operations.audit_chain import Verified, verify_chain
from server.platform import clock, postgres_url
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.statements import run
from tests.support import databases
from tests.support.waiting import becomes

SECRET = bytes(range(32))
KEYS = ChainKeys(SECRET)
EVENTS = 9
STATE: dict[str, Any] = {
    "n": 1,
    "amount": 2.50,
    "zh": "船票",
    "none": None,
    "id": 9_007_199_254_740_993,
}


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "_seals", trail.seals(SECRET))


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    """Nine events in the chain, in threes: after the second three a checkpoint was taken."""
    opened = Database(load_settings(), module_database_url)
    for batch in range(3):
        await record(opened, *(f"{batch}-{n}" for n in range(3)))
        await chain(opened, KEYS)
        if batch == 1:
            await opened.in_transaction(lambda tx: take_checkpoint(tx, KEYS, clock.now()))
    yield opened
    await opened.close()


async def record(db: Database, *names: str) -> None:
    async with db.transaction() as tx:
        for name in names:
            origin = ChangeOrigin("192.0.2.1", "", "r-1")
            change = AuditedChange(
                "admin:root", "update", "partner", name, None, STATE, "why", origin
            )
            await run(tx, audit(change, now=clock.now()))


def verified(url: str, **given: Any) -> Verified:
    with postgres_url.connect(url, autocommit=True) as connection:
        return verify_chain(connection, KEYS, **given)


async def test_what_was_recorded_holds(db: Database, module_database_url: str) -> None:
    found = verified(module_database_url)
    assert (found.fault, found.events, found.waiting) == (None, EVENTS, 0)
    assert found.stored.head is not None
    assert (found.stored.head.position, found.stored.head.checkpoints) == (EVENTS, 1)
    since = verified(module_database_url, since_checkpoint=True)
    assert (since.fault, since.events) == (None, 3)


AT_5 = "WHERE position = 5"
INSERT = (
    "INSERT INTO audit_events (audit_id, occurred_time, actor, action, resource, name, seal,"
    " position, chain_hash, chain_seal) SELECT gen_random_uuid(), occurred_time, actor, action,"
    " resource, name, seal, {}, chain_hash, chain_seal FROM audit_events WHERE position = 5"
)
WITHOUT_PLACE = INSERT.format("NULL").replace("chain_hash, chain_seal FROM", "NULL, NULL FROM")
HASH_OF_5 = "SELECT chain_hash FROM audit_events WHERE position = 5"
HASH_OF_8 = "SELECT chain_hash FROM audit_events WHERE position = 8"
SEEN_WHEN_CHAINED = {"inserted for the sequencer"}
CHANGES = {
    column: f"UPDATE audit_events SET {column} = {value} {AT_5}"
    for column, value in {
        "actor": "'admin:other'",
        "action": "'create'",
        "resource": "'venue'",
        "name": "'another'",
        "before": "'{}'",
        "after": "jsonb_set(after, '{n}', '2')",
        "reason": "NULL",
        "address": "'192.0.2.2'",
        "terminal_device_id": "'T-1'",
        "request_id": "NULL",
        "occurred_time": "occurred_time + interval '1 microsecond'",
        "audit_id": "gen_random_uuid()",
        "seal": "NULL",
        "chain_hash": "decode(repeat('00', 32), 'hex')",
        "chain_seal": "decode(repeat('00', 16), 'hex')",
    }.items()
}
SWAP = (
    "UPDATE audit_events SET position = 100 WHERE position = 5",
    "UPDATE audit_events SET position = 5 WHERE position = 6",
    "UPDATE audit_events SET position = 6 WHERE position = 100",
)
TRADE = (
    "UPDATE audit_events a SET chain_hash = b.chain_hash, chain_seal = b.chain_seal"
    " FROM audit_events b WHERE (a.position, b.position) IN ((5, 6), (6, 5))"
)
EDITS: dict[str, tuple[int, tuple[str, ...]]] = {
    **{f"{column} changed": (5, (statement,)) for column, statement in CHANGES.items()},
    "the first deleted": (1, ("DELETE FROM audit_events WHERE position = 1",)),
    "deleted in the middle": (5, (f"DELETE FROM audit_events {AT_5}",)),
    "deleted, the later ones moved up": (
        5,
        (
            f"DELETE FROM audit_events {AT_5}",
            *(
                f"UPDATE audit_events SET position = {n - 1} WHERE position = {n}"
                for n in range(6, 10)
            ),
        ),
    ),
    "the last deleted": (9, ("DELETE FROM audit_events WHERE position = 9",)),
    "all since the checkpoint deleted": (7, ("DELETE FROM audit_events WHERE position > 6",)),
    "all since before the checkpoint deleted": (
        4,
        ("DELETE FROM audit_events WHERE position > 3",),
    ),
    "all deleted": (1, ("DELETE FROM audit_events",)),
    "two swapped": (5, SWAP),
    "two swapped, each with the seal of its new place": (5, (TRADE, *SWAP)),
    "inserted at the end": (10, (INSERT.format(10),)),
    "inserted before the first": (0, (INSERT.format(0),)),
    "inserted for the sequencer": (10, (WITHOUT_PLACE,)),
    "taken out of the chain": (
        5,
        (f"UPDATE audit_events SET position = NULL, chain_hash = NULL, chain_seal = NULL {AT_5}",),
    ),
    "the end and the head deleted": (
        9,
        ("DELETE FROM audit_events WHERE position > 8", "DELETE FROM audit_heads"),
    ),
    "the end deleted, the head set back": (
        9,
        (
            "DELETE FROM audit_events WHERE position > 8",
            f"UPDATE audit_heads SET position = 8, chain_hash = ({HASH_OF_8})",
        ),
    ),
    "the checkpoint deleted": (9, ("DELETE FROM audit_checkpoints",)),
    "the checkpoint moved": (5, ("UPDATE audit_checkpoints SET position = 5",)),
    "the checkpoint of another event": (
        5,
        (f"UPDATE audit_checkpoints SET position = 5, chain_hash = ({HASH_OF_5})",),
    ),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_the_first_bad_event_is_named(
    db: Database, module_database_url: str, edit: str
) -> None:
    """Also after the sequencer has come by. Seen red with these checks of `verifying.py` taken out:
    the seals of events (what is inserted, a seal that is changed), these and the chain's hash
    (whatever else is changed, since each sees it), the hash alone (two swapped with their seals),
    the seals of places (one that is changed), positions (deletions in the middle, what comes before
    the first), the head (deletions at the end, a head that is set back), the signatures and the
    numbers of checkpoints.
    """
    position, statements = EDITS[edit]
    for statement in statements:
        databases.execute(module_database_url, statement)
    if edit not in SEEN_WHEN_CHAINED:
        found = verified(module_database_url).fault
        assert found is not None
        assert found.position == position, found
    with contextlib.suppress(BrokenHeadError, DomainError):  # then nothing more is chained
        await chain(db, KEYS)
    found = verified(module_database_url).fault
    assert found is not None
    assert found.position == position, found


async def test_what_is_put_back_whole_is_known_by_a_line_kept_elsewhere(
    db: Database, module_database_url: str
) -> None:
    """Events, checkpoints and head of an earlier moment fit each other: the database alone cannot
    tell, and a line of a checkpoint that was taken later can; also when the chain goes on from
    there. Seen red without the comparison of marks in `verify`.
    """
    copies = ("audit_events", "audit_heads", "audit_checkpoints")
    for table in copies:
        databases.execute(module_database_url, f"CREATE TABLE kept_{table} AS TABLE {table}")
    await record(db, "later")
    await chain(db, KEYS)
    taken = await db.in_transaction(lambda tx: take_checkpoint(tx, KEYS, clock.now()))
    for table in copies:
        back = f"DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table}"
        databases.execute(module_database_url, f"{back}; DROP TABLE kept_{table}")
    assert verified(module_database_url).fault is None
    kept = Checkpoint.of_line(taken.line())
    found = verified(module_database_url, kept=[kept]).fault
    assert found is not None
    assert found.position == EVENTS + 1
    await record(db, "another")
    await chain(db, KEYS)
    assert verified(module_database_url).fault is None
    other = verified(module_database_url, kept=[kept]).fault
    assert other is not None
    assert (other.position, other.audit_id is None) == (EVENTS + 1, False)
    forged = kept._replace(position=EVENTS)
    assert "not signed" in str(verified(module_database_url, kept=[forged]).fault)


async def test_a_head_of_an_earlier_moment_is_known(db: Database, module_database_url: str) -> None:
    """Its seal is ours. Seen red without the comparison of the chain's end with it."""
    kept = "CREATE TABLE kept_heads AS TABLE audit_heads"
    databases.execute(module_database_url, kept)
    await record(db, "later")
    await chain(db, KEYS)
    back = "DELETE FROM audit_heads; INSERT INTO audit_heads TABLE kept_heads"
    databases.execute(module_database_url, f"{back}; DROP TABLE kept_heads")
    found = verified(module_database_url).fault
    assert found is not None
    assert found.position == EVENTS + 1


async def test_a_chain_that_is_made_anew_without_the_key_is_known(
    db: Database, module_database_url: str
) -> None:
    """An event is deleted, and those after it are chained again, for which nobody needs the key:
    what they lack is the seals of their places. Seen red without the check of these.
    """
    with postgres_url.connect(module_database_url, autocommit=True) as connection:
        query = f"SELECT {EVENT_COLUMNS} FROM audit_events WHERE position > 5 ORDER BY position"
        later = [RecordedEvent(*row) for row in connection.execute(query.encode())]
        fourth = "SELECT chain_hash FROM audit_events WHERE position = 4"
        ((before,),) = connection.execute(fourth).fetchall()
        connection.execute("DELETE FROM audit_events WHERE position = 5")
        for position, event in enumerate(later, 5):
            before = canonical.chain_hash(before, position, event.digest())
            connection.execute(
                "UPDATE audit_events SET position = %s, chain_hash = %s WHERE audit_id = %s",
                (position, before, event.audit_id),
            )
    found = verified(module_database_url).fault
    assert found is not None
    assert found.position == 5


async def test_nothing_is_chained_to_a_head_that_was_changed(
    db: Database, module_database_url: str
) -> None:
    """A new head would make the chain look whole again."""
    await record(db, "later")
    databases.execute(module_database_url, "UPDATE audit_heads SET position = 3")
    with pytest.raises(BrokenHeadError):
        await chain(db, KEYS)
    databases.execute(module_database_url, "DELETE FROM audit_heads")
    with pytest.raises(BrokenHeadError):
        await chain(db, KEYS)


@pytest.mark.parametrize("before", [0, 3])
async def test_events_of_before_there_were_seals_are_adopted_when_the_chain_begins(
    module_database_url: str, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """All of them, though they are more than are chained at once, and none that somebody writes
    later, also where there were none. Seen red with the hour of before, in which any was adopted.
    """
    opened = Database(load_settings(), module_database_url)
    monkeypatch.setattr(trail, "_seals", None)
    monkeypatch.setattr(chaining, "CHAINED_AT_ONCE", 2)
    for _ in range(before):
        await record(opened, "unsealed")
    begun = await chain(opened, KEYS)
    assert begun
    assert (begun[0].position, begun[1]) == (before, before)
    assert verified(module_database_url).fault is None
    await record(opened, "unsealed")
    await chain(opened, KEYS)
    await opened.close()
    fault = verified(module_database_url).fault
    assert fault is not None
    assert (fault.position, fault.what) == (before + 1, "written past the server")


CHAINING = """
import asyncio, sys
from server.audit.chain_keys import ChainKeys
from server.audit.chaining import chain
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError

async def main(url):
    db, keys = Database(load_settings(), url), ChainKeys(bytes(range(32)))
    print("ready", flush=True)
    while True:
        await chain(db, keys)
        await asyncio.sleep(0)

asyncio.run(main(sys.argv[1]))
"""


async def test_processes_that_are_killed_at_it_leave_one_whole_chain(
    module_database_url: str,
) -> None:
    """Three processes and this one, while four writers write, one of whose transactions commits
    late. Without the lock it stays green: the positions' unique index and the UPDATE's own guard
    hold too, and who comes second fails; the lock spares the work.
    """
    command = [sys.executable, "-c", CHAINING, module_database_url]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]  # noqa: ASYNC220
    opened = Database(load_settings(), module_database_url)
    try:
        for other in others:
            assert other.stdout is not None
            await asyncio.to_thread(other.stdout.readline)
        async with opened.transaction() as late:
            first = AuditedChange("admin:root", "update", "partner", "late", None, STATE)
            await run(late, audit(first, now=clock.now()))
            writers = [_write(opened, writer) for writer in range(4)]
            killing = asyncio.to_thread(_kill, others[:2])
            await asyncio.gather(*writers, killing)
    finally:
        _kill(others)
    # what the killed held is let go of when the server notices
    await becomes(True, partial(_all_is_chained, opened))
    await opened.close()
    whole = verified(module_database_url)
    assert (whole.fault, whole.events) == (None, 4 * 40 + 1)


async def _write(db: Database, writer: int) -> None:
    for n in range(40):
        await record(db, f"{writer}-{n}")


async def _all_is_chained(db: Database) -> bool:
    found = await chain(db, KEYS)
    return found is not None and found[1] == 0


def _kill(processes: list["subprocess.Popen[bytes]"]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
