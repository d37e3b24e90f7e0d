"""In which order tests run, of what pytest-randomly has shuffled.

What takes longest alone comes first, since xdist shares tests out by number: begun last, a build of
the Java client would leave the other cores idle. Tests of the server that a folder's tests share
come together, and at that folder's end, where the server ends, too: while nobody asks it anything,
its loops take a thirteenth of a core, of each worker of xdist.
"""

import functools
from pathlib import Path

import pytest

SHARED = "served"
LONGEST = tuple(Path(__file__).parents[1] / folder for folder in ("clients", "e2e"))


def ordered(items: list[pytest.Item]) -> list[pytest.Item]:
    """The folders of what takes longest, in each what needs its server last; then all others, as
    they came. Modules stay whole.
    """
    sharing = {item.path for item in items if SHARED in getattr(item, "fixturenames", ())}

    @functools.cache
    def place(path: Path) -> tuple[int, bool]:
        for number, folder in enumerate(LONGEST):
            if folder in path.parents:
                return number, path in sharing
        return len(LONGEST), False

    return sorted(items, key=lambda item: place(item.path))
