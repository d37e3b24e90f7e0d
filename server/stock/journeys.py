"""Who travels when: a document is once on a departure, and on one departure at a time.

One row for each document has all its journeys, held and sold, by departure and order. Their times
count from when the departure leaves its first stop and are read together with it, so they are those
of now from the commit that moves it on. Journeys that overlap only since then stay, and each is
given back alone. Whoever adds a journey locks the row first, or writes with the version that was
read, which a check refuses if somebody else has added one since: one guarded write of one row,
whatever races. (DOMAIN: Price.)
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from secrets import randbits
from typing import NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Command, Statement, Transaction, run, run_together


class Span(NamedTuple):
    """From where one boards until one leaves, its end not included."""

    begin: datetime
    end: datetime

    def overlaps(self, other: "Span") -> bool:
        """Whether there is a moment in both."""
        return self.begin < other.end and other.begin < self.end

    @classmethod
    def parse(cls, stored: list[str] | None) -> Self | None:
        """From how it is stored in JSON: a list of both, in ISO 8601."""
        return cls(*map(datetime.fromisoformat, stored)) if stored else None


class Ride(NamedTuple):
    """From where one boards until one leaves, in seconds after the departure leaves its first
    stop.
    """

    begin_seconds: int
    end_seconds: int

    def span(self, departure_time: datetime) -> Span:
        """When that is, of a departure that leaves its first stop then."""
        begin, end = (timedelta(seconds=seconds) for seconds in self)
        return Span(departure_time + begin, departure_time + end)

    def dump(self) -> list[int]:
        """As it is stored in JSON."""
        return list(self)

    @classmethod
    def of(cls, span: Span, departure_time: datetime) -> Self:
        """Of a span, of a departure that leaves its first stop then."""
        begin, end = ((moment - departure_time) / timedelta(seconds=1) for moment in span)
        return cls(round(begin), round(end))


class Journey(NamedTuple):
    """A document's journey as it is now: on which departure, by which order, and when."""

    departure_id: int
    order_id: int
    span: Span

    @property
    def key(self) -> str:
        """Its name in `document_journeys.journeys`."""
        return key(self.departure_id, self.order_id)


class Leg(NamedTuple):
    """A document's journey, to be given back."""

    document: bytes
    departure_id: int
    order_id: int


class JourneyRow(NamedTuple):
    """A document and one of its journeys; without one if it has none."""

    document: bytes
    version: int
    departure_id: int | None
    order_id: int | None
    begin: datetime | None
    end: datetime | None


class LeavingRow(NamedTuple):
    """When a departure leaves its first stop."""

    departure_id: int
    departure_time: datetime


class AddedJourneys(NamedTuple):
    """What is added to a document's journeys, and the version of them that was read."""

    document: bytes
    journeys: dict[str, list[int] | None]
    seen_version: int


READ = Statement(
    """
SELECT d.document_hash, d.version, p.departure_id, split_part(j.key, ':', 2)::bigint,
  p.departure_time + make_interval(secs => (j.ride ->> 0)::int),
  p.departure_time + make_interval(secs => (j.ride ->> 1)::int)
FROM document_journeys d
LEFT JOIN (LATERAL jsonb_each(d.journeys) AS j (key, ride)
  JOIN departures p ON p.departure_id = split_part(j.key, ':', 1)::bigint) ON true
WHERE d.document_hash = ANY($1::bytea[])
""",
    JourneyRow,
)
# what was added since the version that was read would violate the check; a journey of null, which
# is over, is dropped
ADD = Statement("""
INSERT INTO document_journeys AS d (document_hash, journeys, version, seen_version)
SELECT v.document_hash, v.journeys, $1::bigint, v.seen_version
FROM unnest($2::bytea[], $3::jsonb[], $4::bigint[]) AS v (document_hash, journeys, seen_version)
ON CONFLICT (document_hash) DO UPDATE
SET journeys = jsonb_strip_nulls(d.journeys || excluded.journeys), version = excluded.version,
  seen_version = CASE WHEN d.version = excluded.seen_version THEN d.version ELSE -1 END
""")

_LOCK = Statement("""
INSERT INTO document_journeys AS d (document_hash, journeys, version, seen_version)
SELECT v.document, '{}', v.version, 0
FROM unnest($1::bytea[], $2::bigint[]) AS v (document, version) ORDER BY 1
ON CONFLICT (document_hash) DO UPDATE SET version = excluded.version, seen_version = d.version
""")
_LEAVES = Statement(
    "SELECT departure_id, departure_time FROM departures WHERE departure_id = ANY($1::bigint[])",
    LeavingRow,
)
# the locks first, in order; SET then reads the row as it is under the lock
_END = Statement("""
WITH v AS (
  SELECT r.document AS document_hash, array_agg(r.key) AS keys
  FROM unnest($1::bytea[], $2::text[]) AS r (document, key) GROUP BY 1
), locked AS MATERIALIZED (
  SELECT d.document_hash FROM document_journeys d JOIN v USING (document_hash)
  ORDER BY d.document_hash FOR UPDATE OF d
)
UPDATE document_journeys d SET journeys = d.journeys - v.keys
FROM v JOIN locked l USING (document_hash)
WHERE d.document_hash = v.document_hash
""")
_FORGET = Statement("""
DELETE FROM document_journeys d
WHERE d.document_hash = ANY($1::bytea[]) AND d.journeys = '{}'
""")


class Journeys:
    """The journeys of documents as they were read, and those added since."""

    def __init__(self, rows: Iterable[JourneyRow] = ()) -> None:
        self._of: defaultdict[bytes, list[Journey]] = defaultdict(list)
        self._versions: dict[bytes, int] = {}
        for document, version, departure_id, order_id, begin, end in rows:
            self._versions[document] = version
            if departure_id is not None and order_id is not None and begin and end:
                self._of[document].append(Journey(departure_id, order_id, Span(begin, end)))

    def of(self, document: bytes) -> list[Journey]:
        """Those of a document."""
        return self._of[document]

    def version(self, document: bytes) -> int:
        """The version of a document's row; 0 if there is none."""
        return self._versions.get(document, 0)


Additions = dict[str, list[int] | None]
"""What is written of a document, by key: rides that are added, and None for those that are over."""


def key(departure_id: int, order_id: int) -> str:
    """The name of a journey in `document_journeys.journeys`."""
    return f"{departure_id}:{order_id}"


def ended_journeys(known: Sequence[Journey], now: datetime) -> Additions:
    """Has those dropped that are over when a document's row is written anyway."""
    return {journey.key: None for journey in known if journey.span.end <= now} if known else {}


def add(additions: Mapping[bytes, Additions], known: Journeys) -> Command[None] | None:
    """Adds to what was read, in the order of the documents."""
    rows = [
        AddedJourneys(document, additions[document], known.version(document))
        for document in sorted(additions)
    ]
    return ADD.of_rows(rows, _new_version())


async def lock(tx: AsyncConnection, documents: Iterable[bytes]) -> None:
    """Locks the documents' rows in order, and makes those that are not there: before they are read
    and others are added.
    """
    await run(tx, _LOCK.of_rows([(document, _new_version()) for document in sorted(documents)]))


async def read(
    tx: AsyncConnection, documents: Collection[bytes], departure_ids: Collection[int | None]
) -> tuple["Journeys", dict[int, datetime]]:
    """The journeys of documents, and when departures leave their first stops."""
    rows, departures = await run_together(tx, READ(documents), _LEAVES(departure_ids))
    return Journeys(rows), {row.departure_id: row.departure_time for row in departures}


async def end(tx: Transaction, legs: Iterable[Leg]) -> None:
    """The documents do not travel there any more."""
    keys = [(leg.document, key(leg.departure_id, leg.order_id)) for leg in legs]
    if keys:
        documents = {document for document, _ in keys}
        await run_together(tx, _END.of_rows(keys), _FORGET(documents))


def _new_version() -> int:
    """Never one that was there before, also where a row was deleted and made again."""
    return randbits(62) + 1
