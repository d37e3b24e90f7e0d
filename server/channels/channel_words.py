"""Words of channels as administrators keep them: the vendor's beside ours, each change audited."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Unpack

from sqlalchemy import ColumnElement, and_, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.channels import worded_values
from server.channels.channel_records import CHANNELS
from server.channels.due import ALL, FETCH, WORK_OUT, ask_for, fetch_key
from server.channels.facts import Capability, MappingKind
from server.channels.models import channel_words
from server.channels.registry import VENDORS
from server.channels.words import OUR_WORDS, READ_ALONE, WordPair, word_row
from server.platform.errors import invalid, not_found, version_mismatch
from server.platform.statements import run

LONGEST_WORD = 100
IN_BOOKINGS = frozenset({MappingKind.STATUS, MappingKind.LOCATION})
"""Kinds of words that bookings are read with."""
SENT_WITH: dict[MappingKind, tuple[Capability, ...]] = {
    MappingKind.CATEGORY: (Capability.STATIC,),
    MappingKind.FEATURE: (Capability.STATIC,),
    MappingKind.FUEL: (Capability.STATIC,),
    MappingKind.LOCATION: (Capability.PRICES, Capability.AVAILABILITY),
}
"""Which values a kind of words stands in."""


class WordName(NamedTuple):
    """Which row of words it is."""

    channel_code: str
    kind: MappingKind
    word: str

    @property
    def shown(self) -> str:
        """As errors and the audit trail call it."""
        return "/".join(self)

    @property
    def is_row(self) -> ColumnElement[bool]:
        """That a row is this one."""
        w = channel_words.c
        return and_(w.channel_code == self.channel_code, w.kind == self.kind, w.word == self.word)


class KeptWord(NamedTuple):
    """A word as it is kept; `word` says which row it is: the vendor's of states and codes, ours of
    all others.
    """

    kind: MappingKind
    word: str
    counterpart: str
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def pair(self) -> WordPair:
        """Ours and theirs."""
        if self.kind in READ_ALONE:
            return WordPair(self.kind, self.counterpart, self.word)
        return WordPair(self.kind, self.word, self.counterpart)


_KEPT = select(*(channel_words.c[name] for name in KeptWord._fields))


async def map_word(
    tx: AsyncConnection, channel_code: str, pair: WordPair, *, version: int = 0, **by: Unpack[By]
) -> KeptWord:
    """Adds a word of the vendor beside ours, or changes it, and has what waited for it, or was sent
    with another, sent, and bookings that could not be read without it fetched: which row it is says
    the vendor's word of states and codes, and ours of all others. Raises NOT_FOUND, INVALID_FIELD,
    also for the word of a place at which the channel sells, REVOKED, VERSION_MISMATCH.
    """
    channel = await CHANNELS.lock_active(tx, channel_code)
    for field, word in (("ours", pair.ours), ("theirs", pair.theirs)):
        if not word.strip() or len(word) > LONGEST_WORD or not word.isprintable():
            raise invalid(field, f"is no word; send 1 to {LONGEST_WORD} characters")
    closed = OUR_WORDS.get(pair.kind)
    if closed and pair.ours not in closed:
        raise invalid("ours", f"is none of {', '.join(sorted(closed))}")
    if pair.kind is MappingKind.LOCATION:
        await _refuse_second_place(tx, channel_code, pair)
    row = word_row(channel_code, pair, by["now"])
    name = WordName(channel_code, pair.kind, str(row["word"]))
    before = await _lock(tx, name)
    _require(name, before, version)
    if before and before.counterpart != row["counterpart"]:
        await _refuse_lost_place(tx, name, "theirs", now=by["now"])
    changed = insert(channel_words).values(row)
    await tx.execute(
        changed.on_conflict_do_update(
            index_elements=["channel_code", "kind", "word"],
            set_={
                "counterpart": changed.excluded.counterpart,
                "version": channel_words.c.version + 1,
                "update_time": by["now"],
            },
        )
    )
    await _trace(tx, name, before, {"counterpart": row["counterpart"]}, **by)
    if before is None or before.counterpart != row["counterpart"]:
        await _send_reworded(tx, name, now=by["now"])
    await ask_for(tx, WORK_OUT, channel_code, now=by["now"])
    able = VENDORS[channel.vendor_code].capabilities
    if pair.kind in IN_BOOKINGS and Capability.BOOKINGS in able:
        await ask_for(tx, FETCH, fetch_key(channel_code, ALL), now=by["now"])
    kept = await _lock(tx, name)
    assert kept is not None, "it was just written"
    return kept


async def _refuse_second_place(tx: AsyncConnection, channel_code: str, pair: WordPair) -> None:
    """Bookings are read back by the vendor's word of a place, so it means one of ours."""
    w = channel_words.c
    query = select(w.word).where(
        w.channel_code == channel_code,
        w.kind == pair.kind,
        w.counterpart == pair.theirs,
        w.word != pair.ours,
    )
    if taken := await tx.scalar(query.limit(1)):
        raise invalid("theirs", f"is {taken} already; unmap that one first, or send another place")


async def _refuse_lost_place(
    tx: AsyncConnection, name: WordName, field: str, *, now: datetime
) -> None:
    """Who sells at a place, and is sent another, would go on selling at the former."""
    if name.kind is not MappingKind.LOCATION:
        return
    if name.word in await run(tx, worded_values.sold_at(name.channel_code, now=now)):
        raise invalid(
            field,
            f"the channel sells at {name.word}; end the listings there, and once it was sent that"
            " nothing is left, say what the place is, and list them again",
        )


async def _send_reworded(tx: AsyncConnection, name: WordName, *, now: datetime) -> None:
    location = name.word if name.kind is MappingKind.LOCATION else ""
    if kinds := SENT_WITH.get(name.kind):
        again = worded_values.send_reworded(name.channel_code, kinds, location=location, now=now)
        await run(tx, again)


async def unmap_word(
    tx: AsyncConnection,
    channel_code: str,
    kind: MappingKind,
    word: str,
    *,
    version: int = 0,
    **by: Unpack[By],
) -> None:
    """Removes a row. Raises NOT_FOUND, REVOKED, VERSION_MISMATCH, INVALID_FIELD for a place at
    which the channel sells, and could be sent no more that it is not to.
    """
    await CHANNELS.lock_active(tx, channel_code)
    name = WordName(channel_code, kind, word)
    before = await _lock(tx, name)
    if before is None:
        raise not_found("channel word", name.shown)
    _require(name, before, version)
    await _refuse_lost_place(tx, name, "word", now=by["now"])
    await tx.execute(delete(channel_words).where(name.is_row))
    await _trace(tx, name, before, None, **by)


async def words_of(tx: AsyncConnection, channel_code: str) -> list[WordPair]:
    """The channel's words; of several states of the vendor that are one of ours, the oldest
    first. Raises NOT_FOUND.
    """
    await CHANNELS.get(tx, channel_code)
    w = channel_words.c
    query = _KEPT.where(w.channel_code == channel_code)
    found = await tx.execute(query.order_by(w.create_time, w.kind, w.word))
    return [_kept(row).pair for row in found]


async def page(
    tx: AsyncConnection,
    channel_code: str,
    *,
    kind: str,
    after: tuple[str, str] | None,
    limit: int,
) -> list[KeptWord]:
    """Up to `limit` words after one, by kind and word; of one kind alone if there is one. Raises
    NOT_FOUND.
    """
    await CHANNELS.get(tx, channel_code)
    w = channel_words.c
    query = _KEPT.where(w.channel_code == channel_code).order_by(w.kind, w.word).limit(limit)
    if kind:
        query = query.where(w.kind == kind)
    if after:
        query = query.where(tuple_(w.kind, w.word) > after)
    return [_kept(row) for row in await tx.execute(query)]


def _kept(row: Sequence[object]) -> KeptWord:
    kind, *rest = row
    return KeptWord(MappingKind(str(kind)), *rest)  # type: ignore[arg-type]


async def _lock(tx: AsyncConnection, name: WordName) -> KeptWord | None:
    found = (await tx.execute(_KEPT.where(name.is_row).with_for_update())).one_or_none()
    return None if found is None else _kept(found)


def _require(name: WordName, found: KeptWord | None, version: int) -> None:
    if version and (found is None or found.version != version):
        now = found.version if found else 0
        raise version_mismatch("channel word", name.shown, sent=version, now=now)


async def _trace(
    tx: AsyncConnection,
    name: WordName,
    before: KeptWord | None,
    after: dict[str, object] | None,
    **by: Unpack[By],
) -> None:
    was = {"counterpart": before.counterpart} if before else None
    action = "map" if after else "unmap"
    change = AuditedChange(by["actor"], action, "channel_word", name.shown, was, after)
    await run(tx, audit(change, now=by["now"]))
