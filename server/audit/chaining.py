"""The chain of audit events: positions without gaps, given after the commit, as partner events get
theirs (`server/webhooks/sequencing.py`).

Nobody who records waits for the chain: events are rows without a position. One sequencer, in
whatever process, takes those that are committed, gives each the next position and the hash of all
up to it, and moves the head, a row that nobody else writes. Whatever commits late comes later in
the chain; a process that is killed at it leaves the chain as it was.

An event without a seal is one of before there were seals: the transaction that begins the chain
adopts all there are, and begins it also where there are none. From then on somebody has written it
past the server, and `deeptravel audit verify` names it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import canonical
from server.audit.chain_keys import ChainKeys, Checkpoint, Head
from server.audit.trail import RECORDED
from server.platform import clock
from server.platform.database import Database
from server.platform.loops import Loops, Polling
from server.platform.statements import TRY_LOCK, Command, Statement, run

POLL_SECONDS = 1.0
"""How often a process looks for events that others have recorded."""
SPACING_SECONDS = 0.05
CHAINED_AT_ONCE = 500
LOCK = 0x44545402, 0x41554449
"""The advisory lock of the one sequencer; any numbers that nobody else uses."""

log = structlog.get_logger()

EVENT_COLUMNS = (
    "audit_id, occurred_time, actor, action, resource, name, before::text, after::text, reason,"
    " address, terminal_device_id, request_id, seal"
)


class RecordedEvent(NamedTuple):
    """An event as the table has it: `before` and `after` are JSON."""

    audit_id: UUID
    occurred_time: datetime
    actor: str
    action: str
    resource: str
    name: str
    before: str | None
    after: str | None
    reason: str | None
    address: str | None
    terminal_device_id: str | None
    request_id: str | None
    seal: bytes | None

    def digest(self) -> bytes:
        """Of its canonical form."""
        return canonical.event_digest(
            {
                **self._asdict(),
                "before": canonical.parse(self.before),
                "after": canonical.parse(self.after),
            }
        )


class _StoredHead(NamedTuple):
    position: int
    chain_hash: bytes
    checkpoints: int
    begin_time: datetime
    seal: bytes


class BrokenHeadError(Exception):
    """The head of the chain is not as the sequencer left it: nothing more is chained."""


_LOCK = Statement("SELECT pg_advisory_xact_lock($1::int, $2::int)")
# In statements after the lock: they see all that the sequencer before did.
_HEAD = Statement(
    "SELECT position, chain_hash, checkpoints, begin_time, seal FROM audit_heads WHERE head_id = 1",
    _StoredHead,
)
_ANY = Statement(
    "SELECT EXISTS (SELECT FROM audit_events WHERE position IS NOT NULL)"
    " OR EXISTS (SELECT FROM audit_checkpoints)",
    bool,
)
_UNCHAINED = Statement(
    f"SELECT {EVENT_COLUMNS} FROM audit_events WHERE position IS NULL"  # noqa: S608 - columns
    " ORDER BY occurred_time, audit_id LIMIT $1::int",
    RecordedEvent,
)
# of the head all, as it is compared with its seal: it is soon seen that somebody changed it
_IS_DUE = Statement(
    """
SELECT EXISTS (SELECT FROM audit_events WHERE position IS NULL) OR NOT EXISTS (
  SELECT FROM audit_heads WHERE head_id = 1
    AND (position, chain_hash, checkpoints, begin_time, seal)
      = ($1::bigint, $2::bytea, $3::bigint, $4::timestamptz, $5::bytea))
""",
    bool,
)
_CHAIN = Statement("""
UPDATE audit_events e SET position = v.position, chain_hash = decode(v.chain_hash, 'hex'),
  chain_seal = decode(v.chain_seal, 'hex'), seal = coalesce(decode(v.seal, 'hex'), e.seal)
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
  AS v (audit_id, position, chain_hash, chain_seal, seal)
WHERE e.audit_id = v.audit_id AND e.position IS NULL
""")
_MOVE_HEAD = Statement("""
INSERT INTO audit_heads (head_id, position, chain_hash, checkpoints, begin_time, seal)
VALUES (1, $1::bigint, decode($2::text, 'hex'), $3::bigint, $4::timestamptz,
  decode($5::text, 'hex'))
ON CONFLICT (head_id) DO UPDATE SET position = excluded.position, chain_hash = excluded.chain_hash,
  checkpoints = excluded.checkpoints, begin_time = excluded.begin_time, seal = excluded.seal
""")
_CHECKPOINT = Statement("""
INSERT INTO audit_checkpoints (checkpoint_number, position, chain_hash, create_time, signature)
VALUES ($1::bigint, $2::bigint, decode($3::text, 'hex'), $4::timestamptz, decode($5::text, 'hex'))
""")


class AuditSequencer:
    """Puts events into the chain, in the one process that has the lock at the moment."""

    def __init__(self, db: Database, keys: ChainKeys, loops: Loops | None = None) -> None:
        self._db = db
        self._keys = keys
        self._longest = 0
        self._head: Head | None = None
        self._loop = (loops or Loops()).add(
            "audit-chain",
            Polling(
                self._look,
                POLL_SECONDS,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(Exception,),  # one look that fails must not be the last
                due=self._due,
            ),
        )

    def start(self) -> None:
        """Begins to look, at once, and after each commit of this process that records."""
        self._db.notifications.listen(RECORDED, self._loop.wake)
        self._loop.start()

    async def stop(self) -> None:
        """Stops looking."""
        self._db.notifications.unlisten(RECORDED, self._loop.wake)
        await self._loop.end()

    def _due(self) -> Command[bool] | bool:
        """Whether an event is not in the chain, or the head is not the one it was."""
        head = self._head
        return head is None or _IS_DUE(*head, self._keys.seal_head(head))

    async def _look(self) -> None:
        found = await chain(self._db, self._keys)
        if found is None:
            return
        self._head, events = head, _ = found
        if head.position < self._longest:
            log.error("audit.chain_shortened", position=head.position, was=self._longest)
        self._longest = max(self._longest, head.position)
        if events >= CHAINED_AT_ONCE:
            self._loop.wake()


async def chain(db: Database, keys: ChainKeys) -> tuple[Head, int] | None:
    """Puts events that are committed into the chain, at most CHAINED_AT_ONCE, and all when it
    begins; its head then, and how many. None where another process is at it. Raises
    DATABASE_UNAVAILABLE, BrokenHeadError.
    """
    async with db.transaction() as tx:
        if not (await run(tx, TRY_LOCK(*LOCK)))[0]:
            return None
        return await _chained(tx, keys)


async def _chained(tx: AsyncConnection, keys: ChainKeys) -> tuple[Head, int]:
    head = await _head(tx, keys)
    begins, count = head is None, 0
    head = head or Head(0, canonical.FIRST_HASH, 0, clock.now())
    while events := await run(tx, _UNCHAINED(CHAINED_AT_ONCE)):
        head, rows = _links(head, events, keys, adopts=begins)
        await run(tx, _CHAIN.of_rows(rows))
        count += len(events)
        if not begins:
            break
    if begins or count:
        await move_head(tx, keys, head)
    return head, count


def _links(
    head: Head, events: Sequence[RecordedEvent], keys: ChainKeys, *, adopts: bool
) -> tuple[Head, list[tuple[Any, ...]]]:
    """The head after these events, and their places; `adopts` those without a seal."""
    position, chain_hash, rows = head.position, head.chain_hash, []
    for event in events:
        digest, adopted = event.digest(), None
        if not keys.is_ours(digest, event.seal):
            if event.seal is None and adopts:
                adopted = keys.adopt(digest).hex()
            else:
                log.error("audit.event_not_ours", audit_id=str(event.audit_id))
        position += 1
        chain_hash = canonical.chain_hash(chain_hash, position, digest)
        seal = keys.seal_place(position, chain_hash).hex()
        rows.append((event.audit_id, position, chain_hash.hex(), seal, adopted))
    return head._replace(position=position, chain_hash=chain_hash), rows


async def take_checkpoint(tx: AsyncConnection, keys: ChainKeys, now: datetime) -> Checkpoint:
    """Signs what the chain's end is, for good. Raises BrokenHeadError."""
    await run(tx, _LOCK(*LOCK))
    head = await _head(tx, keys) or (await _chained(tx, keys))[0]
    taken = keys.sign(Checkpoint(head.checkpoints + 1, head.position, head.chain_hash, now))
    await run(
        tx,
        _CHECKPOINT(
            taken.checkpoint_number,
            taken.position,
            taken.chain_hash.hex(),
            now,
            taken.signature.hex(),
        ),
    )
    await move_head(tx, keys, head._replace(checkpoints=taken.checkpoint_number))
    log.info("audit.checkpoint", line=taken.line(), public_key=keys.public_key.hex())
    return taken


async def _head(tx: AsyncConnection, keys: ChainKeys) -> Head | None:
    """The chain's end; None before it is begun. Raises BrokenHeadError."""
    rows = await run(tx, _HEAD())
    if not rows:
        if (await run(tx, _ANY()))[0]:
            raise BrokenHeadError("the chain's head is gone from audit_heads")
        return None
    (found,) = rows
    head = Head(found.position, found.chain_hash, found.checkpoints, found.begin_time)
    if keys.seal_head(head) != found.seal:
        raise BrokenHeadError("the chain's head was changed in audit_heads")
    return head


async def move_head(tx: AsyncConnection, keys: ChainKeys, head: Head) -> None:
    """Moves the head, under the lock."""
    await run(
        tx,
        _MOVE_HEAD(
            head.position,
            head.chain_hash.hex(),
            head.checkpoints,
            head.begin_time,
            keys.seal_head(head).hex(),
        ),
    )
