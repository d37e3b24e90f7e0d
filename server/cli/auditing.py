"""`deeptravel audit`: the trail verified, signed and exported."""

import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from server.api.personal_fields import personal_fields
from server.audit import exports
from server.audit.audit_events import AuditFilter
from server.audit.chain_keys import LINE_WORD, ChainKeys, Checkpoint
from server.audit.chaining import BrokenHeadError, chain, take_checkpoint
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
    lines = [
        f"{verified.events} audit events are as they were recorded, in their order",
        f"the chain ends at position {head.position if head else 0}; {signed}",
    ]
    if verified.waiting:
        lines.append(
            f"{verified.waiting} events have waited for their place for more than a minute:"
            " is a server running?"
        )
    if verified.fault:
        lines.insert(0, f"NOT AS RECORDED: {verified.fault}")
    return lines
