"""A scanner that types what it reads, as the keyboard that it pretends to be. Pure: time is passed
in.
"""

from deeptravel_terminal.codes import MAX_SCANNED_CHARS

ENDS = "\r\n\t"
GAP_SECONDS = 0.5
"""Of silence, after which what came before is no part of the scan: a key that was touched."""
MEAN_SECONDS = 0.05
"""Between two characters of a scan at the most. Scanners take 1 to 30 ms, and hands 100; the mean,
since a busy box gives the characters of a scan in heaps."""
LEAST_CHARS = 4
"""Shorter is a person's."""


class Wedge:
    """Keys in, scans out.

    A scan ends at Enter, a line feed or Tab, whatever its symbology; several in one burst are so
    many scans. What was typed slowly is none.
    """

    def __init__(self) -> None:
        self._characters: list[str] = []
        self._began = self._last = float("-inf")
        self._ended = float("-inf")
        self._too_long = False

    def key(self, character: str, at: float) -> str | None:
        """The scan that this character ends; None if it ends none.

        Args:
            character: as the keyboard gave it, an end as one of `ENDS`.
            at: seconds of any clock that only goes forward.
        """
        if character in ENDS:
            return self._end(at)
        if at - self._last > GAP_SECONDS:
            self._forget()
        if not self._characters:
            self._began = at
        self._last = at
        if len(self._characters) < MAX_SCANNED_CHARS:
            self._characters.append(character)
        else:
            self._too_long = True
        return None

    def burst(self, text: str, at: float) -> list[str]:
        """The scans of a text that came at once, as a paste does; what follows the last end is
        begun.
        """
        return [scan for each in text if (scan := self.key(each, at))]

    def is_alone(self, at: float) -> bool:
        """Whether an Enter at this moment is a person's: no scan has just begun or ended."""
        return not self._characters and at - self._ended > GAP_SECONDS

    def _end(self, at: float) -> str | None:
        characters, began, too_long = self._characters, self._began, self._too_long
        slow = at - self._last > GAP_SECONDS
        self._forget()
        if not characters:
            return None
        self._ended = at
        mean = (self._last - began) / len(characters)
        if too_long or slow or len(characters) < LEAST_CHARS or mean > MEAN_SECONDS:
            return None
        return "".join(characters)

    def _forget(self) -> None:
        self._characters, self._too_long = [], False
