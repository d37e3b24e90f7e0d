"""`deeptravel audit`: the trail verified, signed, resumed and exported."""

import asyncio
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from server.api.personal_fields import personal_fields
from server.audit import exports, resuming
from server.audit.audit_events import AuditFilter
from server.audit.chain_keys import LINE_WORD, ChainKeys, Checkpoint
from server.audit.chaining import LOCK, BrokenHeadError, chain, take_checkpoint
from server.audit.segments import Segment
from server.operations.audit_chain import Verified, verify_chain
from server.platform import postgres_url
from server.platform.config import ConfigError
from server.platform.database import Database
from server.platform.errors import StartError


def verify(database_url: str, secret_key: bytes, kept: Path | None) -> Verified:
    """Verifies the whole chain, and shows on standard error how far it is; `kept` is a file with
    lines of checkpoints, which may stand in lines of a log. Raises ConfigError for one that holds
    none.
    """
    checkpoints = read_lines(kept) if kept else []
    with (
        postgres_url.connect(database_url, autocommit=True) as connection,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        shown = progress.add_task("audit events", total=None)
        return verify_chain(
            connection,
            ChainKeys(secret_key),
            kept=checkpoints,
            on_progress=lambda done, total: progress.update(shown, completed=done, total=total),
        )


def read_lines(path: Path) -> list[Checkpoint]:
    """The checkpoints of a file. Raises ConfigError."""
    found = []
    for line in path.read_text().splitlines():
        _, word, rest = line.partition(f"{LINE_WORD} ")
        if not word:
            continue
        words = rest.replace("'", " ").replace('"', " ").split()[:5]
        try:
            found.append(Checkpoint.of_line(" ".join([LINE_WORD, *words])))
        except ValueError as error:
            raise ConfigError(f"{path}: {line}: is no checkpoint's line: {error}") from error
    if not found:
        raise ConfigError(f"{path} holds no checkpoint's line: they begin with {LINE_WORD}")
    return found


async def checkpoint(db: Database, secret_key: bytes) -> Checkpoint:
    """Puts into the chain what waits for it, and signs its end. Raises StartError for a chain that
    is broken.
    """
    keys = ChainKeys(secret_key)
    try:
        while (found := await chain(db, keys)) and found[1]:
            pass
        return await db.in_transaction(lambda tx: take_checkpoint(tx, keys, datetime.now(UTC)))
    except BrokenHeadError as error:
        raise StartError(f"{error}: deeptravel audit verify says where") from error


async def resume(
    db: Database, secret_key: bytes, reason: str, actor: str, kept: Path | None
) -> tuple[Segment, str]:
    """Begins a new segment of a broken chain; it, and the line of the checkpoint that is taken of
    it. Raises StartError if nothing is wrong, ConfigError for no reason.
    """
    if not reason.strip():
        raise ConfigError("--reason: say what has been found out about the break")
    keys, checkpoints = ChainKeys(secret_key), read_lines(kept) if kept else []
    with postgres_url.connect(db.url, autocommit=True) as connection:
        # the sequencer's, or its head would move on
        connection.execute("SELECT pg_advisory_lock(%s, %s)", LOCK)
        verified = await asyncio.to_thread(verify, db.url, secret_key, kept)
        if verified.fault is None:
            raise StartError("the chain is as it was recorded: there is nothing to resume")
        stored = verified.stored
        segment = await db.in_transaction(
            lambda tx: resuming.resume(
                tx,
                keys,
                fault=str(verified.fault),
                head=stored.head if stored.is_head_ours else None,
                kept=checkpoints,
                actor=actor,
                reason=reason,
                now=datetime.now(UTC),
            )
        )
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", LOCK)
    return segment, (await checkpoint(db, secret_key)).line()


async def export(
    db: Database,
    wanted: AuditFilter,
    form: exports.Format,
    output: Path | None,
    *,
    with_personal_data: bool,
) -> None:
    """Writes the events to a file, to standard output without one."""
    hidden = frozenset[str]() if with_personal_data else personal_fields()
    with output.open("wb") if output else nullcontext(sys.stdout.buffer) as file:
        async for part in exports.file(db.transaction, wanted, form, hidden=hidden):
            file.write(part)
        file.flush()


def report(verified: Verified) -> list[str]:
    """What was found, in sentences."""
    head, checkpoints = verified.stored.head, verified.stored.checkpoints
    signed = f"{len(checkpoints)} checkpoints are signed"
    if checkpoints:
        signed += f", the last of {checkpoints[-1].create_time:%Y-%m-%d}"
    end = f"the chain ends at position {head.position}" if head else "the chain has no head"
    lines = [
        f"{verified.events} audit events are as they were recorded, in their order",
        f"{end}; {signed}",
    ]
    lines += [
        f"BROKEN before position {each.begin_position}: {each.fault}; resumed"
        f" {each.create_time:%Y-%m-%d} by {each.actor}: {each.reason}"
        for each in verified.stored.segments
    ]
    if verified.waiting:
        lines.append(
            f"{verified.waiting} events have waited for their place for more than a minute:"
            " is a server running?"
        )
    if verified.fault:
        lines.insert(0, f"NOT AS RECORDED: {verified.fault}")
    return lines
