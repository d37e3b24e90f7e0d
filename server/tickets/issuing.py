"""Issuing QR codes: tokens sealed and pictures drawn in threads, so that calls at the gates are
not held up.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from server.platform.change_feed import Remembered
from server.tickets import picture, qr


@dataclass(frozen=True, slots=True)
class Pictures:
    """A QR code, drawn: in the formats that were asked for, `width_pixels` from edge to edge."""

    png: bytes
    svg: str
    raster: bytes
    width_pixels: int


class Issuer:
    """Issues under the active key; `key_rings` is the key ring, remembered under the key ""."""

    def __init__(self, key_rings: Remembered[str, qr.KeyRing]) -> None:
        self._key_rings = key_rings
        # Drawing is all Python and holds the interpreter: one at a time leaves half of it to the
        # event loop.
        self._drawing = asyncio.Semaphore(1)

    async def key(self) -> qr.QrKey:
        """The key that seals now; may take a connection, so ask before the transaction."""
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        return ring.active

    async def draw(self, token: str, kind: str = "", module_pixels: int = 0) -> Pictures:
        """The pictures of a token: `kind` is PNG, SVG, ESC_POS or BITMAP, empty for PNG and SVG;
        0 pixels are 8.
        """
        size = module_pixels or picture.MODULE_PIXELS
        async with self._drawing:
            return await asyncio.to_thread(_draw, token, kind, size)


async def seal(claims: Sequence[qr.Claims], key: qr.QrKey) -> list[str]:
    """The tokens for the claims, in order."""
    return await asyncio.to_thread(lambda: [qr.seal(each, key) for each in claims])


def _draw(token: str, kind: str, module_pixels: int) -> Pictures:
    code, raster = picture.draw(token), b""
    if kind == "ESC_POS":
        raster = picture.to_escpos(code, module_pixels)
    elif kind == "BITMAP":
        raster = picture.to_bitmap(code, module_pixels)
    return Pictures(
        png=picture.to_png(code, module_pixels) if kind in ("", "PNG") else b"",
        svg=picture.to_svg(code, module_pixels) if kind in ("", "SVG") else "",
        raster=raster,
        width_pixels=picture.width(code, module_pixels),
    )
