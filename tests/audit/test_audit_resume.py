"""A chain that is broken is resumed by a command: events are chained again, and what was broken is
named for ever. "Seen red" says which guard was taken out.
"""

import asyncio
import base64
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from server.__main__ import app
from server.audit import trail
from server.audit.chain_keys import ChainKeys
from server.audit.chaining import chain, take_checkpoint
from server.audit.trail import AuditedChange, audit
from server.operations.audit_chain import Verified, verify_chain
from server.operations.schema import newest_revision
from server.platform import clock, logs, postgres_url
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run
from tests.support import databases

SECRET = bytes(range(32))
KEYS = ChainKeys(SECRET)
BREAKS = {
    "the head deleted": ("DELETE FROM audit_heads",),
    "the head changed": ("UPDATE audit_heads SET position = 3",),
    "an event changed": ("UPDATE audit_events SET name = 'x' WHERE position = 2",),
    "the end deleted": ("DELETE FROM audit_events WHERE position > 4",),
    "the end and the head deleted": (
        "DELETE FROM audit_events WHERE position > 4",
        "DELETE FROM audit_heads",
    ),
    "the checkpoint deleted": ("DELETE FROM audit_checkpoints",),
}
EDITS_AFTER = {
    "the segment deleted": "DELETE FROM audit_segments",
    "the fault hidden": "UPDATE audit_segments SET fault = 'nothing'",
    "an older event changed": "UPDATE audit_events SET name = 'y' WHERE position = 1",
    "the event of it deleted": "DELETE FROM audit_events WHERE action = 'resume'",
    "what came later deleted": "DELETE FROM audit_events WHERE name = 'later'",
    "the checkpoint after it deleted": "DELETE FROM audit_checkpoints WHERE position > 6",
}


@pytest.fixture(autouse=True)
def places(module_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "_seals", trail.seals(SECRET))
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # of this process
    monkeypatch.setenv("DEEPTRAVEL_DATABASE_URL", module_database_url)
    monkeypatch.setenv("DEEPTRAVEL_REDIS_URL", redis_url)
    monkeypatch.setenv("DEEPTRAVEL_SECRET_KEY", base64.b64encode(SECRET).decode())


async def record(db: Database, *names: str) -> None:
    async with db.transaction() as tx:
        for name in names:
            change = AuditedChange("admin:root", "update", "partner", name, None, {"n": 1})
            await run(tx, audit(change, now=clock.now()))
    await chain(db, KEYS)


async def six(url: str) -> Database:
    """Six events in a chain, with a checkpoint."""
    db = Database(load_settings(), url)
    await record(db, *"abcdef")
    await db.in_transaction(lambda tx: take_checkpoint(tx, KEYS, clock.now()))
    return db


async def command(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["audit", *words])


def verified(url: str, *, since_checkpoint: bool = False) -> Verified:
    with postgres_url.connect(url, autocommit=True) as connection:
        return verify_chain(connection, KEYS, since_checkpoint=since_checkpoint)


@pytest.mark.parametrize("broken", BREAKS)
async def test_a_broken_chain_is_resumed_and_the_break_stays_known(
    module_database_url: str, broken: str
) -> None:
    """Also where it breaks again, before and after the first break."""
    db = await six(module_database_url)
    for statement in BREAKS[broken]:
        databases.execute(module_database_url, statement)
    was = str(verified(module_database_url).fault)
    resumed = await command("resume", "--reason", "a disk was restored")
    assert resumed.exit_code == 0, resumed.output
    await record(db, "later")
    for since in (False, True):
        assert verified(module_database_url, since_checkpoint=since).fault is None
    shown = await command("verify")
    assert shown.exit_code == 0
    assert f"{was}; resumed" in shown.output
    assert "a disk was restored" in shown.output
    async with db.transaction() as tx:
        query = "SELECT before ->> 'fault', reason FROM audit_events WHERE action = 'resume'"
        assert (await tx.execute(text(query))).all() == [(was, "a disk was restored")]
    databases.execute(module_database_url, "UPDATE audit_events SET name = 'y' WHERE position = 1")
    again = verified(module_database_url).fault
    assert again is not None
    assert (await command("resume", "--reason", "again")).exit_code == 0
    shown = await command("verify")
    assert shown.exit_code == 0, shown.output
    assert was in shown.output
    assert str(again) in shown.output
    await db.close()


@pytest.mark.parametrize("edit", EDITS_AFTER)
async def test_what_is_edited_after_it_was_resumed_is_known(
    module_database_url: str, edit: str
) -> None:
    """Each hangs on the segment's signature, its hash, or what `verify` did before."""
    db = await six(module_database_url)
    databases.execute(module_database_url, "DELETE FROM audit_heads")
    assert (await command("resume", "--reason", "why")).exit_code == 0
    await record(db, "later")
    await db.close()
    databases.execute(module_database_url, EDITS_AFTER[edit])
    assert verified(module_database_url).fault is not None
    assert (await command("verify")).exit_code == 1


async def test_nothing_is_resumed_that_is_whole(module_database_url: str) -> None:
    await (await six(module_database_url)).close()
    assert (await command("resume", "--reason", "why")).exit_code != 0
    assert verified(module_database_url).stored.segments == []


async def test_what_only_reads_changes_no_schema(module_database_url: str) -> None:
    """Nor does it need to write: a standby would do. Seen red on the code of before, which ran the
    migrations.
    """
    await (await six(module_database_url)).close()
    name = postgres_url.parameters(module_database_url)["dbname"]
    only_reads = f"ALTER DATABASE {name} SET default_transaction_read_only = on"
    databases.execute(module_database_url, only_reads)
    try:
        for words in (["verify"], ["export"]):
            assert (await command(*words)).exit_code == 0
        back = databases.with_options(module_database_url, "default_transaction_read_only=off")
        databases.execute(back, "UPDATE alembic_version SET version_num = '0041'")
        for words in (["verify"], ["export"]):
            refused = await command(*words)
            assert refused.exit_code != 0
            assert "deeptravel migrate" in str(refused.exception)
        databases.execute(back, f"UPDATE alembic_version SET version_num = '{newest_revision()}'")
    finally:
        databases.execute(
            databases.with_options(module_database_url, "default_transaction_read_only=off"),
            f"ALTER DATABASE {name} RESET default_transaction_read_only",
        )


async def test_a_database_of_before_the_chain_is_chained_whole(module_database_url: str) -> None:
    """Events without seal and place, as the release before had them: the first sequencer chains
    them in the order of their time.
    """
    db = Database(load_settings(), module_database_url)
    databases.execute(
        module_database_url,
        "INSERT INTO audit_events (audit_id, occurred_time, actor, action, resource, name, after)"
        " SELECT gen_random_uuid(), now() - n * interval '1 hour', 'admin:root', 'update',"
        " 'partner', n::text, jsonb_build_object('n', n, 'amount', 1.50)"
        " FROM generate_series(1, 1200) n",
    )
    while (found := await chain(db, KEYS)) and found[1]:
        pass
    await db.close()
    whole = verified(module_database_url)
    assert (whole.fault, whole.events, whole.waiting) == (None, 1200, 0)
    assert whole.stored.head is not None
    assert whole.stored.head.begin_time.date() == datetime.now(UTC).date()
