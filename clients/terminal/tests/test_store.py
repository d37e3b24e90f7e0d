"""The terminal's file: packs in parts, whatever moment the power fails at, a full disk, a wipe."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from deeptravel import redemption, tickets
from deeptravel_terminal.offline_rules import LocalUse
from deeptravel_terminal.packs import PackError
from deeptravel_terminal.store import OtherServerError, Store, StoreError
from deeptravel_terminal.stored_scans import StoredScan

from tests.sealing import DEVICE, HOUR, NUMBER, T0, Sealer, pack_tickets

SEALER = Sealer()
USE = LocalUse("tokens", 1, b"j" * 16, T0)


def opened(path: Path) -> Store:
    return Store(path / "terminal.db", DEVICE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = opened(tmp_path)
    store.trust(SEALER.verify_key)
    yield store
    store.close()


def a_scan(name: str, *, admitted: bool = True) -> StoredScan:
    return StoredScan(0, name, f"QR-{name}", "tokens", 1, T0, T0, "", admitted)


def take(store: Store, *made: object, sealer: Sealer = SEALER, **chunk: object) -> bool:
    built = sealer.chunk(pack_tickets(*made), **chunk)  # type: ignore[arg-type]
    return store.take(sealer.response(built), T0, store.settled_uses())


def test_a_full_pack_is_used_when_it_is_complete(store: Store) -> None:
    """In parts, broken off and begun anew; a later part replaces tickets one by one."""

    def has(*offsets: int) -> list[bool]:
        return [store.known(NUMBER + each) is not None for each in offsets]

    def chunk(first: int, version: int, *, is_full: bool, is_last: bool) -> bool:
        made = pack_tickets(first=NUMBER + first, count=2)
        built = SEALER.chunk(made, version, is_full=is_full, is_last=is_last)
        return store.take(SEALER.response(built), version, 0)

    assert store.pack() is None
    assert not chunk(0, T0, is_full=True, is_last=False)
    assert has(0, 1) == [False, False]
    assert store.cursor == f"c{T0}"
    assert chunk(2, T0, is_full=True, is_last=True)
    assert has(0, 1, 2, 3, 4) == [True, True, True, True, False]
    assert not chunk(10, T0 + 1, is_full=True, is_last=False)  # broken off: never complete
    assert not chunk(20, T0 + 2, is_full=True, is_last=False)
    assert has(0, 10, 20) == [True, False, False]
    pack = store.pack()
    assert pack is not None
    assert pack.version == T0
    assert chunk(22, T0 + 2, is_full=True, is_last=True)
    assert has(0, 10, 20, 23) == [False, False, True, True]
    blocked = pack_tickets(first=NUMBER + 20, state=tickets.TICKET_STATE_ACTIVE + 128)
    built = SEALER.chunk(blocked, T0 + 3, is_full=False, is_last=False)
    store.take(SEALER.response(built), T0, 0)
    known = store.known(NUMBER + 20)
    assert known is not None
    assert known.ticket.is_blocked


def test_the_greatest_number(store: Store) -> None:
    built = SEALER.chunk(pack_tickets(first=(1 << 64) - 1))
    store.take(SEALER.response(built), T0, 0)
    known = store.known((1 << 64) - 1)
    assert known is not None
    assert known.ticket.number == (1 << 64) - 1


def test_a_chunk_of_another_is_refused(store: Store) -> None:
    take(store)
    for message, chunk in {
        "not signed": SEALER.response(SEALER.chunk(pack_tickets())),
        "for terminal": SEALER.response(SEALER.chunk(pack_tickets(), device="OTHER")),
        "older": SEALER.response(SEALER.chunk(pack_tickets(), T0 - 1)),
    }.items():
        if message == "not signed":
            chunk.signature = Sealer().response(SEALER.chunk(pack_tickets())).signature
        with pytest.raises(PackError, match=message):
            store.take(chunk, T0, 0)
    broken = pack_tickets()
    broken.terms_indexes = b"\0"
    nowhere = SEALER.chunk(pack_tickets(), T0 + 1)
    nowhere.configuration.time_zone = "Nowhere/Nowhere"
    with pytest.raises(PackError, match="Nowhere"):
        store.take(SEALER.response(nowhere), T0, 0)
    with pytest.raises(PackError, match="columns"):
        store.take(SEALER.response(SEALER.chunk(broken, T0 + 1)), T0, 0)
    pack = store.pack()
    assert pack is not None
    assert (pack.version, store.cursor) == (T0, f"c{T0}")  # nothing of it was kept
    with pytest.raises(OtherServerError):
        store.trust(b"x" * 32)
    store.trust(SEALER.verify_key)
    with pytest.raises(StoreError, match="--wipe"):
        Store(store.path, "OTHER")


def test_a_chain_goes_on_after_verdicts_and_starts(tmp_path: Path) -> None:
    store = opened(tmp_path)
    first = store.write_scan(a_scan("a"), NUMBER, USE)
    second = store.write_scan(a_scan("b", admitted=False), NUMBER, USE)
    assert (first.counter, first.previous_hash) == (1, "")
    assert (second.counter, second.previous_hash) == (2, first.hash())
    store.settle([(1, b"verdict")])
    assert [each.scan_id for each in store.unsent(9)] == ["b"]
    store.close()
    store = opened(tmp_path)
    third = store.write_scan(a_scan("c"), NUMBER, USE)
    assert (third.counter, third.previous_hash) == (3, second.hash())
    assert store.unsent(9) == [second, third]
    assert [each[3] for each in store.verdicts()] == [b"", b"", b"verdict"]
    store.close()
    content = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"QR-b" in content
    assert b"QR-a" not in content  # deleted with its verdict


def test_power_fails_at_any_moment(tmp_path: Path) -> None:
    """The log is cut wherever it may be when the power fails: what was answered is there, and the
    rest is not, or as a whole. Seen red with a scan and what it uses in two transactions.
    """
    store = opened(tmp_path)
    store.trust(SEALER.verify_key)
    take(store)
    base, log = tmp_path / "terminal.db", tmp_path / "terminal.db-wal"
    answered = [(log.stat().st_size, 0)]
    for number in range(1, 5):
        store.write_scan(a_scan(str(number)), NUMBER, USE)
        answered.append((log.stat().st_size, number))
    written = log.read_bytes()
    begin, end = answered[0][0], answered[-1][0]
    ends = {each for each, _ in answered}
    frames = {32 + 4120 * n for n in range(end // 4120 + 1)}
    around = {each + step for each in ends | frames for step in (-1, 0, 1)}
    cuts = sorted(each for each in around | set(range(begin, end, 499)) if begin <= each <= end)
    cut = tmp_path / "cut"
    cut.mkdir()
    for at in cuts:
        shutil.copy(base, cut / "terminal.db")
        (cut / "terminal.db-wal").write_bytes(written[:at] + b"\xff" * (at % 3))
        (cut / "terminal.db-shm").unlink(missing_ok=True)
        again = opened(cut)
        scans = again.unsent(9)
        known = again.known(NUMBER)
        assert known is not None
        assert len(scans) == max(count for size, count in answered if size <= at), at
        assert len(known.local) == len(scans), at
        last = again.write_scan(a_scan("next"), NUMBER, USE)
        assert last.previous_hash == (scans[-1].hash() if scans else "")
        again.close()
    assert len(cuts) > 60
    store.close()


def test_a_full_disk_admits_nobody(store: Store) -> None:
    take(store)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(200):
            store.write_scan(a_scan(str(number) + "x" * 500), NUMBER, USE)

    with pytest.raises(StoreError, match="full"):
        fill()
    known = store.known(NUMBER)
    assert known is not None
    assert len(known.local) == len(store.unsent(999))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "terminal.db").write_bytes(b"nothing of the kind" * 999)
    with pytest.raises(StoreError, match="not a database"):
        opened(tmp_path)


def test_one_program_has_it_at_a_time(store: Store) -> None:
    """Else `--wipe` took it from a terminal that runs, whose scans were lost when that ended."""
    take(store)
    with pytest.raises(StoreError, match="end it first"):
        Store(store.path, DEVICE)
    assert store.pack() is not None


def test_it_is_for_this_user_alone_and_wiped(tmp_path: Path) -> None:
    """No signing key is in it: what opens tokens is, and cannot make one."""
    store = opened(tmp_path)
    store.trust(SEALER.verify_key)
    take(store)
    store.write_scan(a_scan("a"), NUMBER, USE)
    assert store.path.stat().st_mode & 0o777 == 0o600
    content = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert SEALER.aes_key in content
    assert SEALER.signs.private_bytes_raw() not in content
    store.wipe()
    assert list(tmp_path.iterdir()) == []


def test_uses_that_a_pack_has_are_dropped(store: Store) -> None:
    """Of a pack that was asked for before the verdict they are kept. Seen red with all settled
    dropped.
    """
    take(store)

    def local() -> int:
        known = store.known(NUMBER)
        assert known is not None
        return len(known.local)

    store.write_scan(a_scan("a"), NUMBER, USE)
    asked_before = store.settled_uses()
    store.settle([(1, b"accepted")])
    built = SEALER.chunk(pack_tickets(), T0 + HOUR, is_full=False)
    store.take(SEALER.response(built), T0, asked_before)
    assert local() == 1
    take(store, version=T0 + 2 * HOUR)
    assert local() == 0


def test_what_is_pushed_stands_until_a_later_pack(store: Store) -> None:
    """One that was read before the pack is dropped, as is what is not of the server or venue; a
    part of an earlier pack that comes later does not undo it.
    """

    def state() -> int:
        known = store.known(NUMBER)
        return known.ticket.state if known else 0

    def pushed(state: int, version: int, sealer: Sealer = SEALER, venue_code: str = "PIER") -> None:
        store.push(sealer.push(pack_tickets(state=state), version, venue_code))

    def took(state: int, version: int, *, is_last: bool = True) -> None:
        made = pack_tickets(state=state)
        built = SEALER.chunk(made, version, is_full=False, is_last=is_last)
        store.take(SEALER.response(built), version, 0)

    pushed(tickets.TICKET_STATE_USED, T0)
    assert not state()  # there is no pack yet
    take(store)
    pushed(tickets.TICKET_STATE_REFUNDED, T0 - 1)
    assert state() == tickets.TICKET_STATE_ACTIVE
    pushed(tickets.TICKET_STATE_REFUNDED, T0 + 5)
    assert state() == tickets.TICKET_STATE_REFUNDED
    took(tickets.TICKET_STATE_ACTIVE, T0 + 4)
    assert state() == tickets.TICKET_STATE_REFUNDED
    took(tickets.TICKET_STATE_CHANGED, T0 + 6, is_last=False)
    assert state() == tickets.TICKET_STATE_REFUNDED
    took(tickets.TICKET_STATE_CHANGED, T0 + 6)
    assert state() == tickets.TICKET_STATE_CHANGED
    with pytest.raises(PackError, match="not signed"):
        pushed(tickets.TICKET_STATE_USED, T0 + 9, Sealer())
    with pytest.raises(PackError, match="venue SHOP"):
        pushed(tickets.TICKET_STATE_USED, T0 + 9, venue_code="SHOP")
    pack_as_push = SEALER.response(SEALER.chunk(pack_tickets()))
    with pytest.raises(PackError, match="not signed"):
        store.push(
            redemption.PackPush(
                packed_tickets=pack_as_push.packed_chunk, signature=pack_as_push.signature
            )
        )
    assert state() == tickets.TICKET_STATE_CHANGED


def test_what_was_redeemed_online_is_counted_once(store: Store) -> None:
    """Whether what is pushed comes before the answer or after it, and whether it has the use. Seen
    red with nothing dropped at a push (1 left), or at the answer (0), and with all dropped (3).
    """
    take(store)

    def left() -> int:
        known = store.known(NUMBER)
        assert known is not None
        return known.uses()["tokens"].left

    store.note_online(NUMBER, USE, 2)
    assert left() == 2
    store.push(SEALER.push(pack_tickets(left=(1, 3, 1)), T0 + 1))  # read before it
    assert left() == 2
    store.push(SEALER.push(pack_tickets(left=(1, 2, 1)), T0 + 2))
    assert left() == 2
    store.push(SEALER.push(pack_tickets(left=(1, 1, 1)), T0 + 3))
    store.note_online(NUMBER, USE, 1)  # the answer comes after it
    assert left() == 1
    store.write_scan(a_scan("a"), NUMBER, USE)
    assert left() == 0


def test_a_file_of_an_earlier_version(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    with sqlite3.connect(tmp_path / "terminal.db") as old:
        old.execute("ALTER TABLE uses DROP COLUMN left_after")
        old.execute("DROP TABLE pushed")
        for column in ("ticket_code", "comment"):
            old.execute(f"ALTER TABLE scans DROP COLUMN {column}")
    store = opened(tmp_path)
    store.note_online(NUMBER, USE, 1)
    written = store.write_scan(a_scan("a"), NUMBER, USE)
    assert store.unsent(9) == [written]
    store.close()


def test_what_another_terminal_has_leased(store: Store) -> None:
    """Its own leases stop nothing. A later chunk, or push, has what is leased then."""
    first = pack_tickets()
    for function, device in (("ferry", "OTHER"), ("gift", DEVICE)):
        first.leases.add(
            ticket_id=NUMBER, function_code=function, terminal_device_id=device, until_time=T0 + 9
        )
    store.take(SEALER.response(SEALER.chunk(first)), T0, 0)
    known = store.known(NUMBER)
    assert known is not None
    assert known.leased == {"ferry": ("OTHER", T0 + 9)}
    assert store.own_leases(T0) == (1, T0 + 9)
    assert store.own_leases(T0 + 9) == (0, 0)
    store.push(SEALER.push(pack_tickets(), T0 + 1))
    known = store.known(NUMBER)
    assert known is not None
    assert known.leased == {}
