"""Codes in pictures: of a file, or of a camera's frame."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zxingcpp
from PIL import Image, UnidentifiedImageError

from deeptravel_terminal.codes import Scanned, chosen


class PictureError(Exception):
    """A file that is no picture; the text says which, and why."""


def read_file(path: Path) -> Scanned | None:
    """The code in a picture; None if there is none. Raises PictureError."""
    try:
        with Image.open(path) as picture:
            grey = picture.convert("L")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path} cannot be read as a picture: {error}") from error
    return _chosen(grey, *grey.size)


def read_frame(grey: bytes, width: int, height: int) -> Scanned | None:
    """The code in a camera's frame, a byte a pixel; None if there is none."""
    return _chosen(memoryview(grey).cast("B", (height, width)), width, height)


def _chosen(image: Any, width: int, height: int) -> Scanned | None:
    # all symbologies, so that a foreign code is named; light on dark and any direction by default
    found = zxingcpp.read_barcodes(image, text_mode=zxingcpp.TextMode.Plain)
    return chosen([each.text for each in _from_the_middle(found, width, height)])


def _from_the_middle(found: Iterable[Any], width: int, height: int) -> list[Any]:
    """Barcodes, the one first that the operator aims at."""

    def distance(barcode: Any) -> float:
        at = barcode.position
        x = (at.top_left.x + at.bottom_right.x) / 2 - width / 2
        y = (at.top_left.y + at.bottom_right.y) / 2 - height / 2
        return float(x * x + y * y)

    return sorted(found, key=distance)
