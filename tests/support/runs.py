"""How often each test is run, and what its servers are: `make race RUNS=100 WORKERS=4
TRANSPORT=aio`.

Whoever runs a race a hundred times does not need ten thousand callers each time: of what a test
repeats within itself each run has its share, so that all runs together do at least as much as one
alone.
"""

runs = 1
"""`--runs`, set before any test is imported."""


workers = 1
"""`--workers`: so many processes has each server that a test starts as a process of its own and
says no number for.
"""

transport: str | None = None
"""What serves gRPC in all servers: core or aio; the setting's default if None."""

forks = False
"""Whether servers are forked (`tests.support.forking`) unless a test wants a real start; a
benchmark starts them for real.
"""


def share(whole: int, least: int) -> int:
    """So many of `whole` in one of the runs; `least` is what makes a race."""
    return max(min(least, whole), -(-whole // runs))
