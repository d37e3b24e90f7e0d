"""Work in calls: of functions of Python and of C, as many on a busy machine as on a quiet one."""

import cProfile
from collections.abc import Callable


def calls_of(work: Callable[[], object]) -> int:
    """How many calls are made until it returns."""
    profile = cProfile.Profile()
    profile.enable()
    work()
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats())
