"""Issuing QR codes: tokens sealed and recorded, pictures drawn; in threads, so that calls at the
gates are not held up.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import clock
from server.platform.change_feed import Remembered
from server.platform.database import Database
from server.platform.statements import Command, Statement, run, run_together
from server.tickets import picture, qr

# issued again it has its record
_RECORD = Statement("""
INSERT INTO qr_issues (key_id, issue_time, kind, number, jti)
SELECT $1::smallint, $2::timestamptz, v.*
FROM unnest($3::smallint[], $4::bigint[], $5::uuid[]) v
ON CONFLICT DO NOTHING
""")

_RECORD_TOKENS = Statement("""
INSERT INTO issued_tokens (key_id, issue_time, kind, number, digest)
SELECT $1::int, $2::timestamptz, v.*
FROM unnest($3::smallint[], $4::bigint[], $5::bytea[]) v
""")


class IssuedQr(NamedTuple):
    """A QR that was issued: a QrKind, the number of its ticket or order, its jti."""

    kind: int
    number: int
    jti: UUID


TO_REPLACE = Statement(
    """
SELECT kind, number, jti FROM qr_issues
WHERE key_id = $1::smallint AND replace_time IS NULL
ORDER BY kind, number LIMIT $2::int FOR UPDATE
""",
    IssuedQr,
)
"""Of a key, up to so many that are still to be issued anew, locked."""
REPLACED = Statement(
    """
UPDATE qr_issues i SET replace_time = $1::timestamptz
FROM unnest($3::smallint[], $4::bigint[], $5::uuid[]) v (kind, number, jti)
WHERE i.key_id = $2::smallint AND (i.kind, i.number, i.jti) = (v.kind, v.number, v.jti)
"""
)
"""When: key, and rows as of TO_REPLACE."""


UNISSUED = Statement(
    """
SELECT v.key_id, v.digest
FROM unnest($1::int[], $2::smallint[], $3::bigint[], $4::bytea[]) v (key_id, kind, number, digest)
JOIN qr_keys k ON k.key_id = v.key_id AND k.is_recorded
WHERE NOT EXISTS (
  SELECT FROM issued_tokens i
  WHERE (i.key_id, i.kind, i.number, i.digest) = (v.key_id, v.kind, v.number, v.digest))
""",
    qr.Seal,
)
"""Of tokens, as key, kind, number and digest, those that we have not issued for certain."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """A QR code, drawn: in the formats that were asked for, `width_pixels` from edge to edge."""

    png: bytes
    svg: str
    raster: bytes
    width_pixels: int


class Issuer:
    """Issues under the active key; `key_rings` is the key ring, remembered under the key ""."""

    def __init__(self, key_rings: Remembered[str, qr.KeyRing], db: Database) -> None:
        self._key_rings = key_rings
        self._db = db
        # Drawing is all Python and holds the interpreter: one at a time leaves half of it to the
        # event loop.
        self._drawing = asyncio.Semaphore(1)

    async def key(self) -> qr.QrKey:
        """The key that seals now; may take a connection, so ask before the transaction."""
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        return ring.active

    async def issue(self, claims: Sequence[qr.Claims]) -> list[str]:
        """The tokens for the claims, in order, recorded in a transaction of its own; so not to be
        called within one.
        """
        if not claims:
            return []
        key = await self.key()
        return await self._db.in_transaction(lambda tx: issue(tx, claims, key))

    async def draw(self, token: str, kind: str = "", module_pixels: int = 0) -> Pictures:
        """The pictures of a token: `kind` is PNG, SVG, ESC_POS or BITMAP, empty for PNG and SVG;
        0 pixels are 8.
        """
        size = module_pixels or picture.MODULE_PIXELS
        async with self._drawing:
            return await asyncio.to_thread(_draw, token, kind, size)


async def issue(tx: AsyncConnection, claims: Sequence[qr.Claims], key: qr.QrKey) -> list[str]:
    """The tokens for the claims, in order, recorded in the transaction that hands them out."""
    tokens = await asyncio.to_thread(lambda: [qr.seal(each, key) for each in claims])
    rows = [
        (each.kind.value, each.number, qr.seal_of(token).digest)
        for each, token in zip(claims, tokens, strict=True)
    ]
    made = _RECORD_TOKENS.of_rows(rows, key.key_id, clock.now())
    await run_together(tx, made, _issues(claims, key))
    return tokens


async def record(tx: AsyncConnection, claims: Iterable[qr.Claims], key: qr.QrKey) -> None:
    """Records that QRs are issued under a key, as the last thing in a transaction."""
    recorded = _issues(claims, key)
    if recorded:
        await run(tx, recorded)


def _issues(claims: Iterable[qr.Claims], key: qr.QrKey) -> Command[Any] | None:
    # in the order of the table's key, as others may issue the same
    rows = sorted((each.kind.value, each.number, each.jti) for each in claims)
    return _RECORD.of_rows(rows, key.key_id, clock.now())


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
