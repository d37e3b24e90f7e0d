"""Issuing QR codes: tokens sealed and recorded, pictures drawn; in threads, so that calls at the
gates are not held up.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import clock
from server.platform.database import Database
from server.platform.statements import Statement, run_together
from server.tickets import issuing_keys, picture, qr
from server.tickets.key_rings import KeyRings
from server.tickets.rules import DIRECT, partner_of


class IssuedQr(NamedTuple):
    """A QR that was issued: a QrKind, the number of its ticket or order, its jti."""

    kind: int
    number: int
    jti: UUID


class IssuesOf(NamedTuple):
    """Which tickets and orders have QRs of a key.

    Attributes:
        record: key, time, kinds, numbers, jtis; issued again they have their record.
        to_replace: of a key, up to so many that are still to be issued anew, locked.
        replaced: when; key, and rows as of `to_replace`.
    """

    record: Statement[None]
    to_replace: Statement[IssuedQr]
    replaced: Statement[None]


_OF_QR_KEYS = IssuesOf(
    Statement("""
INSERT INTO qr_issues (key_id, issue_time, kind, number, jti)
SELECT $1::smallint, $2::timestamptz, v.*
FROM unnest($3::smallint[], $4::bigint[], $5::uuid[]) v
ON CONFLICT DO NOTHING
"""),
    Statement(
        """
SELECT kind, number, jti FROM qr_issues
WHERE key_id = $1::smallint AND replace_time IS NULL
ORDER BY kind, number LIMIT $2::int FOR UPDATE
""",
        IssuedQr,
    ),
    Statement("""
UPDATE qr_issues i SET replace_time = $1::timestamptz
FROM unnest($3::smallint[], $4::bigint[], $5::uuid[]) v (kind, number, jti)
WHERE i.key_id = $2::smallint AND (i.kind, i.number, i.jti) = (v.kind, v.number, v.jti)
"""),
)
_OF_ISSUING_KEYS = IssuesOf(
    Statement("""
INSERT INTO issuing_key_issues (key_number, issue_time, kind, number, jti)
SELECT $1::int, $2::timestamptz, v.*
FROM unnest($3::smallint[], $4::bigint[], $5::uuid[]) v
ON CONFLICT DO NOTHING
"""),
    Statement(
        """
SELECT kind, number, jti FROM issuing_key_issues
WHERE key_number = $1::int AND replace_time IS NULL
ORDER BY kind, number LIMIT $2::int FOR UPDATE
""",
        IssuedQr,
    ),
    Statement("""
UPDATE issuing_key_issues i SET replace_time = $1::timestamptz
FROM unnest($3::smallint[], $4::bigint[], $5::uuid[]) v (kind, number, jti)
WHERE i.key_number = $2::int AND (i.kind, i.number, i.jti) = (v.kind, v.number, v.jti)
"""),
)
_RECORD_TOKENS = Statement("""
INSERT INTO issued_tokens (key_id, issue_time, kind, number, digest)
SELECT $1::int, $2::timestamptz, v.*
FROM unnest($3::smallint[], $4::bigint[], $5::bytea[]) v
""")


def issues_of(key_id: int) -> IssuesOf:
    """Where the issues of a key are recorded: by the id of a QrKey, or an issuing key's number."""
    return _OF_QR_KEYS if key_id < qr.FIRST_NUMBER else _OF_ISSUING_KEYS


UNISSUED = Statement(
    """
SELECT v.key_id, v.digest
FROM unnest($1::int[], $2::smallint[], $3::bigint[], $4::bytea[]) v (key_id, kind, number, digest)
WHERE (v.key_id >= 256 OR EXISTS (
    SELECT FROM qr_keys k WHERE k.key_id = v.key_id AND k.is_recorded))
  AND NOT EXISTS (
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


class Sealing(NamedTuple):
    """What tokens of a partner are sealed with now: the active key encrypts. It signs too, as in
    version 1, where no issuing key does.
    """

    key: qr.QrKey
    issuing: qr.IssuingKey | None = None

    @property
    def signer_id(self) -> int:
        """Which key signs: the id of a QrKey, or an issuing key's number."""
        return self.issuing.number if self.issuing else self.key.key_id


class Issuer:
    """Issues under the keys of the day in `zone`."""

    def __init__(self, key_rings: KeyRings, db: Database, zone: ZoneInfo) -> None:
        self._key_rings = key_rings
        self._db = db
        self._zone = zone
        # Drawing is all Python and holds the interpreter: one at a time leaves half of it to the
        # event loop.
        self._drawing = asyncio.Semaphore(1)

    async def sealing(self, partner_id: int = DIRECT) -> Sealing:
        """What seals the tokens of a partner now, or our own; may take a connection, so ask before
        the transaction.
        """
        ring = self._key_rings.peek("") or await self._key_rings.get("")
        if ring.active.seed is not None:
            return Sealing(ring.active)
        day = clock.now().astimezone(self._zone).date()
        issuing = ring.issuing.signing.get((partner_id, day))
        return Sealing(ring.active, issuing or await self._key_rings.obtain(partner_id, day))

    async def issue(self, claims: Sequence[qr.Claims]) -> list[str]:
        """The tokens for the claims, all of one partner or of DIRECT, in order, recorded in a
        transaction of its own; so not to be called within one.
        """
        if not claims:
            return []
        sealing = await self.sealing(partner_of(claims[0].number))
        return await self._db.in_transaction(lambda tx: issue(tx, claims, sealing))

    async def draw(self, token: str, kind: str = "", module_pixels: int = 0) -> Pictures:
        """The pictures of a token: `kind` is PNG, SVG, ESC_POS or BITMAP, empty for PNG and SVG;
        0 pixels are 8.
        """
        size = module_pixels or picture.MODULE_PIXELS
        async with self._drawing:
            return await asyncio.to_thread(_draw, token, kind, size)


async def issue(tx: AsyncConnection, claims: Sequence[qr.Claims], sealing: Sealing) -> list[str]:
    """The tokens for the claims, in order, recorded in the transaction that hands them out."""
    tokens = await asyncio.to_thread(lambda: [qr.seal(each, *sealing) for each in claims])
    made = [
        (each.kind.value, each.number, qr.seal_of(token).digest)
        for each, token in zip(claims, tokens, strict=True)
    ]
    # in the order of the table's key, as others may issue the same
    issued = sorted((each.kind.value, each.number, each.jti) for each in claims)
    by = sealing.signer_id, clock.now()
    await run_together(
        tx, _RECORD_TOKENS.of_rows(made, *by), issues_of(by[0]).record.of_rows(issued, *by)
    )
    if sealing.issuing and claims:
        last = max(each.expire_time for each in claims)
        await issuing_keys.extend(tx, sealing.issuing, last)
    return tokens


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
