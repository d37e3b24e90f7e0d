"""When a document travels: nobody is on two departures whose times overlap.

One row for each document has all its journeys, held and sold, so that each is one guarded write, whatever races. That
nobody is on one departure twice is kept by travel_guards. (DOMAIN: Price.)
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Self

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


class Span(NamedTuple):
    """From where one boards until one leaves, its end not included."""

    begin: datetime
    end: datetime

    def overlaps(self, other: "Span") -> bool:
        """Whether there is a moment in both."""
        return self.begin < other.end and other.begin < self.end

    def dump(self) -> list[str]:
        """As it is stored in JSON."""
        return [self.begin.isoformat(), self.end.isoformat()]

    @classmethod
    def parse(cls, stored: list[str] | None) -> Self | None:
        """From what `dump` returned."""
        return cls(*map(datetime.fromisoformat, stored)) if stored else None


class Leg(NamedTuple):
    """A document's journey; `kept` is that of the other ticket of a change, which stays the document's."""

    document: bytes
    span: Span
    kept: Span | None = None


def multirange(spans: Iterable[Span]) -> str:
    """Spans as PostgreSQL writes a tstzmultirange."""
    return (
        "{" + ",".join(f"[{span.begin.isoformat()},{span.end.isoformat()})" for span in spans) + "}"
    )


_BEGIN = text("""
INSERT INTO document_journeys AS d (document_hash, busy)
SELECT decode(v.document, 'hex'), CAST(:span AS tstzmultirange)
FROM jsonb_array_elements_text(CAST(:documents AS jsonb)) AS v (document) ORDER BY 1
ON CONFLICT (document_hash) DO UPDATE
SET busy = d.busy * tstzmultirange(tstzrange(CAST(:now AS timestamptz), NULL)) + excluded.busy
WHERE NOT (d.busy - CAST(:kept AS tstzmultirange)) && excluded.busy
RETURNING document_hash
""")
_END = text("""
UPDATE document_journeys d
SET busy = d.busy - (CAST(v.spans AS tstzmultirange) - CAST(v.kept AS tstzmultirange))
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS v (document text, spans text, kept text)
WHERE d.document_hash = decode(v.document, 'hex')
""")
_FORGET = text("""
DELETE FROM document_journeys d
USING jsonb_to_recordset(CAST(:rows AS jsonb)) AS v (document text, spans text, kept text)
WHERE d.document_hash = decode(v.document, 'hex') AND isempty(d.busy)
""")


async def begin(
    tx: AsyncConnection,
    documents: Iterable[bytes],
    span: Span,
    *,
    kept: Span | None,
    now: datetime,
) -> set[bytes]:
    """The documents travel then; gives those that cannot, since they travel at that time already.

    `kept` is the journey of the ticket that is changed into this one, and may overlap with it.
    """
    wanted = sorted(documents)
    begun = await tx.execute(
        _BEGIN,
        {
            "documents": orjson.dumps([document.hex() for document in wanted]).decode(),
            "span": multirange([span]),
            "kept": multirange([kept] if kept else []),
            "now": now.isoformat(),
        },
    )
    return set(wanted) - {bytes(document) for document in begun.scalars()}


async def end(tx: AsyncConnection, legs: Iterable[Leg]) -> None:
    """The documents are free again at these times, but for what the other ticket of a change keeps."""
    spans: defaultdict[bytes, list[Span]] = defaultdict(list)
    kept: defaultdict[bytes, list[Span]] = defaultdict(list)
    for leg in legs:
        spans[leg.document].append(leg.span)
        if leg.kept:
            kept[leg.document].append(leg.kept)
    if not spans:
        return
    rows = [
        {"document": d.hex(), "spans": multirange(spans[d]), "kept": multirange(kept[d])}
        for d in sorted(spans)
    ]
    for statement in (_END, _FORGET):
        await tx.execute(statement, {"rows": orjson.dumps(rows).decode()})
