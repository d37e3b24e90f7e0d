"""The test clocks of sandboxes: what each shows, and how far its partner wants it moved.

Whoever changes something for a sandbox holds its clock (`hold`) until the commit; whoever moves it
locks it (`lock`). So nothing gets a time that the clock has left behind.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from server.parties import models  # noqa: F401 - whoever reads a clock has the tables
from server.parties.clock_rules import SandboxTime, ahead_after, fault_of_target
from server.platform.errors import invalid, not_found
from server.platform.statements import Command, Statement, Transaction, run, run_together

REAL_TIME = SandboxTime(0, None)
KEPT = timedelta(days=30)
"""So long it is known what an advance did: longer than a call may be repeated."""
LOCK_SPACE = 0x44545403
"""First half of the advisory locks under which targets are set; any number that nobody else
uses.
"""


class Advance(NamedTuple):
    """A move of a clock: `finish_time` and `events`, the number of each type that happened from
    `from_time` on, are None until it is done.
    """

    target_time: datetime
    from_time: datetime
    create_time: datetime
    step_time: datetime
    finish_time: datetime | None
    steps: int
    events: Mapping[str, int] | None


_COLUMNS = ", ".join(Advance._fields)
_MAKE = Statement("""
INSERT INTO sandbox_clocks (partner_id) VALUES ($1::int) ON CONFLICT DO NOTHING
""")
_READ = Statement(
    "SELECT ahead_microseconds, standing_time FROM sandbox_clocks WHERE partner_id = $1::int",
    SandboxTime,
)
_HOLD = Statement(
    """
SELECT ahead_microseconds, standing_time FROM sandbox_clocks WHERE partner_id = $1::int FOR SHARE
""",
    SandboxTime,
)
_LOCK = Statement(
    """
SELECT ahead_microseconds, standing_time FROM sandbox_clocks WHERE partner_id = $1::int
FOR NO KEY UPDATE
""",
    SandboxTime,
)
_LOCK_IF_FREE = Statement(
    """
SELECT ahead_microseconds, standing_time FROM sandbox_clocks WHERE partner_id = $1::int
FOR NO KEY UPDATE SKIP LOCKED
""",
    SandboxTime,
)
_TAKE_TURN = Statement("SELECT pg_advisory_xact_lock($1::int, $2::int) IS NOT NULL", bool)
_LAST_TARGET = Statement(
    """
SELECT max(target_time) FROM sandbox_advances
WHERE partner_id = $1::int AND finish_time IS NULL
""",
    lambda target_time: target_time,
)
_ADD = Statement("""
INSERT INTO sandbox_advances (partner_id, target_time, from_time, create_time, step_time)
VALUES ($1::int, $2::timestamptz, $3::timestamptz, $4::timestamptz, $4::timestamptz)
""")
_FORGET = Statement("""
DELETE FROM sandbox_advances WHERE partner_id = $1::int AND finish_time < $2::timestamptz
""")
_ADVANCE = Statement(
    f"""
SELECT {_COLUMNS} FROM sandbox_advances
WHERE partner_id = $1::int AND target_time = $2::timestamptz
""",  # noqa: S608 - our own columns
    Advance,
)
_UNDER_WAY = Statement(
    f"""
SELECT {_COLUMNS} FROM sandbox_advances WHERE partner_id = $1::int AND finish_time IS NULL
ORDER BY target_time LIMIT 1
""",  # noqa: S608
    Advance,
)
_STAND = Statement("""
UPDATE sandbox_clocks SET standing_time = $2::timestamptz WHERE partner_id = $1::int
""")
_COUNT_STEP = Statement("""
UPDATE sandbox_advances SET steps = steps + 1, step_time = $3::timestamptz
WHERE partner_id = $1::int AND target_time = $2::timestamptz
""")
_ARRIVE = Statement("""
UPDATE sandbox_clocks SET standing_time = NULL, ahead_microseconds = $2::bigint
WHERE partner_id = $1::int
""")
_FINISH = Statement("""
UPDATE sandbox_advances SET finish_time = $3::timestamptz, events = $4::jsonb
WHERE partner_id = $1::int AND target_time = $2::timestamptz
""")


async def read(tx: Transaction, partner_id: int) -> SandboxTime:
    """What a sandbox's clock shows now; it may be moved at once."""
    rows = await run(tx, _READ(partner_id))
    return rows[0] if rows else REAL_TIME


async def hold(tx: Transaction, partner_id: int) -> SandboxTime:
    """What a sandbox's clock shows, which nobody moves until the end of the transaction."""
    _, (held,) = await run_together(tx, _MAKE(partner_id), _HOLD(partner_id))
    return held


async def lock(
    tx: Transaction, partner_id: int, *, waits: bool
) -> tuple[SandboxTime, Advance | None] | None:
    """A sandbox's clock, locked to be moved, and the move that is under way; None if there is no
    clock or, where the caller does not wait, somebody else has it.
    """
    locked, advances = await run_together(
        tx, (_LOCK if waits else _LOCK_IF_FREE)(partner_id), _UNDER_WAY(partner_id)
    )
    return (locked[0], advances[0] if advances else None) if locked else None


async def set_target(
    tx: Transaction,
    partner_id: int,
    *,
    shown: datetime,
    to_time: datetime | None,
    by: timedelta | None,
    now: datetime,
) -> Advance:
    """Asks for a move of a clock that is held and shows `shown`: to a time, or by so much. What was
    asked for before and is not reached yet comes first. Raises INVALID_FIELD for a time that is not
    ahead of it, or too far.
    """
    _, (last,), _ = await run_together(
        tx,
        _TAKE_TURN(LOCK_SPACE, partner_id),
        _LAST_TARGET(partner_id),
        _FORGET(partner_id, now - KEPT),
    )
    begin = max(shown, last) if last else shown
    target = to_time if by is None else begin + by
    assert target is not None, "one of them is given"
    if fault := fault_of_target(target, begin):
        raise invalid("to_time" if by is None else "by_seconds", fault)
    await run(tx, _ADD(partner_id, target, begin, now))
    return Advance(target, begin, now, now, None, 0, None)


async def find_advance(tx: Transaction, partner_id: int, target_time: datetime) -> Advance:
    """A move of a clock. Raises NOT_FOUND where it is known no more."""
    rows = await run(tx, _ADVANCE(partner_id, target_time))
    if not rows:
        raise not_found("advance", target_time.isoformat())
    return rows[0]


async def under_way(tx: Transaction, partner_id: int) -> Advance | None:
    """The move of a clock that is not done yet."""
    rows = await run(tx, _UNDER_WAY(partner_id))
    return rows[0] if rows else None


def stand(
    partner_id: int, advance: Advance, at: datetime, *, now: datetime
) -> tuple[Command[None], Command[None]]:
    """Has a locked clock stand at a time, for a step of a move."""
    return _STAND(partner_id, at), _COUNT_STEP(partner_id, advance.target_time, now)


def arrive(
    partner_id: int,
    time: SandboxTime,
    advance: Advance,
    events: Mapping[str, int],
    *,
    now: datetime,
) -> tuple[Command[None], Command[None]]:
    """Has a locked clock go on from the target of a move, which is done."""
    ahead = ahead_after(time.ahead_microseconds, advance.target_time, now)
    return (
        _ARRIVE(partner_id, ahead),
        _FINISH(partner_id, advance.target_time, now, dict(events)),
    )
