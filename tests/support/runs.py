"""How often each test is run: `make race RUNS=100`.

Whoever runs a race a hundred times does not need ten thousand callers each time: of what a test
repeats within itself each run has its share, so that all runs together do at least as much as one
alone.
"""

runs = 1
"""`--runs`, set before any test is imported."""


def share(whole: int, least: int) -> int:
    """So many of `whole` in one of the runs; `least` is what makes a race."""
    return max(min(least, whole), -(-whole // runs))
