"""Issuing QR codes: tokens sealed and pictures drawn in threads, so that calls at the gates are not held up."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from server.changes import Remembered
from server.tickets import picture, qr


@dataclass(frozen=True, slots=True)
class Pictures:
    """A QR code, drawn."""

    png: bytes
    svg: str


class Issuer:
    """Issues under the active key; `key_rings` is the key ring, remembered under the key ""."""

    def __init__(self, key_rings: Remembered[str, qr.KeyRing]) -> None:
        self._key_rings = key_rings
        # Drawing is all Python and holds the interpreter: one at a time leaves half of it to the event loop.
        self._drawing = asyncio.Semaphore(1)

    async def key(self) -> qr.QrKey:
        """The key that seals now; may take a connection, so ask before the transaction."""
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        return ring.active

    async def draw(self, token: str) -> Pictures:
        """The pictures of a token."""
        async with self._drawing:
            return await asyncio.to_thread(_draw, token)


async def seal(claims: Sequence[qr.Claims], key: qr.QrKey) -> list[str]:
    """The tokens for the claims, in order."""
    return await asyncio.to_thread(lambda: [qr.seal(each, key) for each in claims])


def _draw(token: str) -> Pictures:
    code = picture.draw(token)
    return Pictures(picture.to_png(code), picture.to_svg(code))
