"""Fills an audit trail as servers do, sealed and chained, and measures what reads it:
`python -m tests.support.audit_rows URL ROWS`, then without ROWS in a fresh process.
The database is to be one of its own.
"""

import asyncio
import resource
import sys
import time

from server.audit import trail
from server.audit.chain_keys import ChainKeys
from server.audit.chaining import chain
from server.audit.trail import AuditedChange, audit
from server.operations.audit_chain import verify_chain
from server.platform import clock, postgres_url
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run

SECRET = bytes(range(32))
AT_ONCE = 1_000
ACTIONS = ("update", "create", "revoke", "sign_in", "run")


async def fill(url: str, rows: int) -> None:
    """Records and chains so many events."""
    trail.seal_with(SECRET)
    db, keys = Database(load_settings(), url), ChainKeys(SECRET)
    for first in range(0, rows, AT_ONCE):
        changes = [
            AuditedChange(
                f"admin:{n % 20}",
                ACTIONS[n % len(ACTIONS)],
                "partner",
                n % 1_000,
                {"display_name": "before", "n": n},
                {"display_name": "after", "n": n, "amount": 2.5},
                f"ticket OPS-{n}",
            )
            for n in range(first, min(first + AT_ONCE, rows))
        ]
        async with db.transaction() as tx:
            await run(tx, audit(*changes, now=clock.now()))
        while (found := await chain(db, keys)) and found[1]:
            pass
    await db.close()


def measure(url: str) -> str:
    """How fast a verification is, and how much more memory it takes at its end than at its tenth
    part.
    """
    marks: list[int] = []

    def note(done: int, total: int) -> None:
        if done >= total * len(marks) / 10:
            marks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    began, cpu = time.monotonic(), time.process_time()
    with postgres_url.connect(url, autocommit=True) as connection:
        found = verify_chain(connection, ChainKeys(SECRET), on_progress=note)
    seconds, spent = time.monotonic() - began, time.process_time() - cpu
    assert found.fault is None, found.fault
    grown = (marks[-1] - marks[1]) / 1024 if len(marks) > 1 else 0
    return (
        f"{found.events} events in {seconds:.1f} s, {found.events / seconds:.0f}/s,"
        f" {spent / found.events * 1e6:.0f} us of CPU each, memory +{grown:.1f} MiB"
    )


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(fill(sys.argv[1], int(sys.argv[2])))
    sys.stdout.write(f"{measure(sys.argv[1])}\n")
