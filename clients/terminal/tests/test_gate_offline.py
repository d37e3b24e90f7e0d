"""A gate whose network comes and goes: by the server while it is there, else by the pack."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from deeptravel import AsyncClient, CallError, RetryPolicy, redemption, tickets
from deeptravel_terminal import gate as gate_module
from deeptravel_terminal import scan_line, sync, views
from deeptravel_terminal.gate import KEEPALIVE, Departure, Gate
from deeptravel_terminal.offline import Clock, NotDecidedError, Offline
from deeptravel_terminal.scan_line import LinkState
from deeptravel_terminal.store import Store, StoreError
from deeptravel_terminal.views import Tone

from tests.conftest import DEVICE, FakeServer, serving, until
from tests.sealing import NUMBER, T0, Sealer, pack_tickets

CONFLICT = redemption.OFFLINE_VERDICT_CONFLICT
RECORDED = redemption.OFFLINE_VERDICT_RECORDED
SUCCESS, REJECT = redemption.REDEMPTION_RESULT_SUCCESS, redemption.REDEMPTION_RESULT_REJECT


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_line, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(sync, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(gate_module, "LATER_SECONDS", 0.02)


class Venue:
    """A server with a pack, at one address, that can be cut off."""

    def __init__(self, fake: FakeServer) -> None:
        self.fake, self.sealer, self.address = fake, Sealer(), ""
        self.version = T0
        fake.answers["OperatorLogin"] = redemption.OperatorLoginResponse(
            access_token="t", offline_verify_key=self.sealer.verify_key
        )
        self.offer(pack_tickets())

    def offer(self, made: redemption.PackTickets) -> None:
        self.version += 1
        chunk = self.sealer.chunk(made, self.version)
        self.fake.answers["GetVenuePack"] = self.sealer.response(chunk)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        port = int(self.address.rpartition(":")[2] or 0)
        async with serving(self.fake, port) as self.address:
            yield


@contextlib.asynccontextmanager
async def a_gate(venue: Venue, path: Path) -> AsyncIterator[tuple[Gate, list[LinkState]]]:
    states: list[LinkState] = []
    options = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20))
    retry = RetryPolicy(attempts=1)
    store = Store(path / "terminal.db", DEVICE)
    offline = Offline(store, clock=Clock(lambda: T0 + 60_000, lambda: 0))
    async with AsyncClient(
        venue.address, plaintext=True, retry=retry, channel_options=options
    ) as client:
        gate = Gate(client, DEVICE, lambda state, _: states.append(state), offline)
        yield gate, states
        await gate.close()
    store.close()


def versions(gate: Gate) -> int:
    assert gate.offline
    pack = gate.offline.store.pack()
    return pack.version if pack else 0


def test_what_is_pushed_is_decided_by_without_network(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pack is asked for when the server says so, not only by the clock."""
    monkeypatch.setattr(sync, "PAUSE_SECONDS", 3600)
    monkeypatch.setattr(sync, "SPACING_SECONDS", 0.0)
    venue = Venue(fake)
    blocked = pack_tickets(state=tickets.TICKET_STATE_ACTIVE + 128)
    fake.pushes = [
        redemption.PackPush(ask_for_pack=True),
        venue.sealer.push(blocked, T0 + 10),
    ]

    async def main() -> None:
        async with venue.open(), a_gate(venue, tmp_path) as (gate, states):
            await gate.log_in("operator", "right", Departure())
            await until(lambda: versions(gate))
            first = versions(gate)
            other = venue.sealer.token(jti=b"k" * 16)
            assert gate.offline
            gate.offline.store.note_session(0)
            await gate.redeem(other, "ferry", 1)
            store = gate.offline.store

            def is_blocked() -> bool:
                known = store.known(NUMBER)
                return known is not None and known.ticket.is_blocked

            await until(is_blocked)
            decided = gate.offline.decide(venue.sealer.token(), "ferry", 1)
            assert views.reason_of(decided.answer) == "TICKET_BLOCKED"
            assert versions(gate) == first
            assert states[-1] is LinkState.ONLINE

    asyncio.run(main())


def test_the_network_goes_and_comes(fake: FakeServer, tmp_path: Path) -> None:
    """Redeemed online, then without network: the same is refused, another use is admitted; after
    a start without network it goes on, and is logged in when the network is there.
    """
    venue = Venue(fake)
    ticket = venue.sealer.token()
    fake.lost_uploads = 1

    async def main() -> None:
        async with contextlib.AsyncExitStack() as network:
            await network.enter_async_context(venue.open())
            async with a_gate(venue, tmp_path) as (gate, states):
                await gate.log_in("operator", "right", Departure("9"))
                await until(lambda: LinkState.ONLINE in states)
                await until(lambda: versions(gate) == venue.version)
                online = await gate.redeem(ticket, "ferry", 1)
                assert (online.answer.result, online.pack_age) == (SUCCESS, None)
                assert gate.zone == ZoneInfo("Asia/Hong_Kong")  # the venue's, not this box's
                await network.aclose()
                await until(lambda: states[-1] is LinkState.OFFLINE)
                again = await gate.redeem(ticket, "ferry", 1)
                assert (again.answer.result, again.pack_age) == (REJECT, 0)
                seen = await gate.look_anyhow(ticket, "tokens", 1)
                assert views.looked(seen.answer).tone is Tone.LOOK
                assert seen.pack_age == 0
                seen = await gate.look_anyhow(ticket, "ferry", 1)
                assert views.looked(seen.answer).tone is Tone.STOP
                other = await gate.redeem(ticket, "tokens", 1)
                assert other.answer.result == SUCCESS
                assert "queue 2" in gate.standing()
            async with a_gate(venue, tmp_path) as (gate, states):
                await gate.log_in("operator", "right", Departure("9"))
                assert states == [LinkState.OFFLINE]
                refused = await gate.redeem(ticket, "tokens", 1)  # within its guard time
                assert refused.answer.result == REJECT
                await network.enter_async_context(venue.open())
                await until(lambda: LinkState.ONLINE in states)
                assert gate.offline
                store = gate.offline.store
                await until(lambda: not store.unsent_count())
                assert "conflicts 1" in gate.standing()
                found = [each[3] for each in store.verdicts()]
                verdicts = [redemption.UploadedScan.FromString(each).verdict for each in found]
                assert verdicts == [RECORDED, CONFLICT, RECORDED]
                assert "conflicts" not in gate.standing()

    asyncio.run(main())
    uploaded = [each for each in fake.asked if isinstance(each, redemption.UploadScansRequest)]
    assert len(uploaded) == 2  # the answer of the first was lost
    assert uploaded[0] == uploaded[1]
    assert [each.counter for each in uploaded[0].scans] == [1, 2, 3]
    assert [each.scan.function_code for each in fake.scans] == ["ferry"]


class Cable:
    """Between a terminal and a server: what is not `connected` is lost, and nobody hears of it."""

    def __init__(self, address: str) -> None:
        self.port, self.connected = int(address.rpartition(":")[2]), True
        self._writers: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as listening:
            yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            for each in self._writers:
                each.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers += [writer, there[1]]
        await asyncio.gather(self._one_way(reader, there[1]), self._one_way(there[0], writer))

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while content := await reader.read(65536):
                if self.connected:
                    writer.write(content)
        writer.close()


def test_a_cable_that_is_pulled_out(fake: FakeServer) -> None:
    """Nobody says so, and scans are not to wait for their answer each: the pings say it. Seen red
    without the timeout of pings, of which that of the keep-alive is none.
    """
    states: list[LinkState] = []
    sooner = tuple((name, min(value, 200)) for name, value in KEEPALIVE)

    async def main() -> None:
        async with serving(fake) as address:
            cable = Cable(address)
            async with (
                cable.open() as through,
                AsyncClient(through, plaintext=True, channel_options=sooner) as client,
            ):
                gate = Gate(client, DEVICE, lambda state, _: states.append(state))
                await gate.log_in("operator", "right", Departure())
                await until(lambda: LinkState.ONLINE in states)
                cable.connected = False
                await until(lambda: LinkState.OFFLINE in states, 30)
                await gate.close()

    asyncio.run(main())


def test_an_answer_that_does_not_come_is_the_packs(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was sent is not sent again: the upload, by the same id, says what became of it."""
    monkeypatch.setattr(gate_module, "ANSWER_SECONDS", 0.2)
    venue = Venue(fake)

    async def main() -> None:
        async with venue.open(), a_gate(venue, tmp_path) as (gate, states):
            await gate.log_in("operator", "right", Departure())
            await until(lambda: LinkState.ONLINE in states and versions(gate) == venue.version)
            fake.silent = True
            outcome = await gate.redeem(venue.sealer.token(), "ferry", 1)
            assert (outcome.answer.result, outcome.pack_age) == (SUCCESS, 0)
            assert gate.line
            assert not gate.line._waiting

            def uploaded() -> list[str]:
                calls = [x for x in fake.asked if isinstance(x, redemption.UploadScansRequest)]
                return [scan.scan_id for call in calls for scan in call.scans]

            await until(uploaded)
            assert uploaded()[:1] == [scan.scan_id for scan in fake.scans]

    asyncio.run(main())


def test_a_terminal_that_was_revoked_decides_nothing(fake: FakeServer, tmp_path: Path) -> None:
    """Not when its cable is pulled out afterwards, nor after a start. Seen red without the note."""
    venue = Venue(fake)

    async def main() -> None:
        async with contextlib.AsyncExitStack() as network:
            await network.enter_async_context(venue.open())
            async with a_gate(venue, tmp_path) as (gate, states):
                await gate.log_in("operator", "right", Departure())
                await until(lambda: LinkState.ONLINE in states and versions(gate) == venue.version)
                fake.revoked = True
                await until(lambda: states[-1] is LinkState.ENDED)
                with pytest.raises(NotDecidedError, match="UNAUTHENTICATED"):
                    await gate.redeem(venue.sealer.token(), "ferry", 1)
                await network.aclose()
            async with a_gate(venue, tmp_path) as (gate, states):
                await gate.log_in("operator", "right", Departure())
                with pytest.raises(NotDecidedError, match="UNAUTHENTICATED"):
                    await gate.redeem(venue.sealer.token(), "ferry", 1)

    asyncio.run(main())


def test_by_number_without_network(fake: FakeServer, tmp_path: Path) -> None:
    """A supervisor alone, who logged in with network; it is uploaded when one is logged in, and
    what others scanned does not wait for it.
    """
    venue, code = Venue(fake), "OTA-CP-20261204-000017"

    def log_in_as(*, is_supervisor: bool) -> None:
        fake.answers["OpenValidatorSession"] = redemption.OpenValidatorSessionResponse(
            session_code="s", is_supervisor=is_supervisor
        )
        fake.only_with_qr = not is_supervisor

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stays, contextlib.AsyncExitStack() as network:
            await network.enter_async_context(venue.open())
            gate, states = await stays.enter_async_context(a_gate(venue, tmp_path))
            for is_supervisor in (False, True):
                log_in_as(is_supervisor=is_supervisor)
                if is_supervisor:
                    await network.enter_async_context(venue.open())
                await gate.log_in("operator", "right", Departure())
                await until(lambda: states[-1:] == [LinkState.ONLINE])
                await until(lambda: versions(gate) == venue.version)
                await network.aclose()
                await until(lambda: states[-1] is LinkState.OFFLINE)
                if not is_supervisor:
                    with pytest.raises(NotDecidedError, match="SUPERVISOR_NEEDED"):
                        await gate.redeem_by_code(code, "ferry", 1, "torn")
            outcome = await gate.redeem_by_code(code, "ferry", 1, "torn")
            assert (outcome.answer.result, outcome.pack_age) == (SUCCESS, 0)
            await gate.redeem(venue.sealer.token(), "tokens", 1)
            log_in_as(is_supervisor=False)
            await network.enter_async_context(venue.open())
            await gate.log_in("operator", "right", Departure())
            await until(lambda: "supervisor" in gate.fault)
            assert gate.offline
            store = gate.offline.store
            assert [each.ticket_code for each in store.unsent(9, by_number=True)] == [code]
            assert store.unsent_count() == 1
            log_in_as(is_supervisor=True)
            await gate.log_in("supervisor", "right", Departure())
            await until(lambda: not store.unsent_count() and not gate.fault)

    asyncio.run(main())
    sent = [each for each in fake.asked if isinstance(each, redemption.UploadScansRequest)]
    (scan,) = sent[-1].scans
    assert (scan.ticket_code, scan.comment, scan.qr_token) == (code, "torn", "")


def test_a_disk_that_was_full_is_said_until_it_writes_again(
    fake: FakeServer, tmp_path: Path
) -> None:
    """Not only until the network is back."""
    venue = Venue(fake)

    def fails() -> None:
        raise StoreError("database or disk is full")

    async def main() -> None:
        async with venue.open():
            pass
        async with a_gate(venue, tmp_path) as (gate, _):
            built = venue.sealer.response(venue.sealer.chunk(pack_tickets()))
            assert gate.offline
            gate.offline.store.trust(venue.sealer.verify_key)
            gate.offline.store.take(built, T0, 0)
            gate._keep(fails)
            assert "disk is full" in gate.standing()
            outcome = await gate.redeem(venue.sealer.token(), "ferry", 1)
            assert outcome.answer.result == SUCCESS
            assert "full" not in gate.standing()

    asyncio.run(main())


def test_a_start_without_network(fake: FakeServer, tmp_path: Path) -> None:
    venue = Venue(fake)

    async def main() -> None:
        async with venue.open():
            pass
        async with a_gate(venue, tmp_path) as (gate, _):
            with pytest.raises(CallError):  # without a pack
                await gate.log_in("operator", "right", Departure())
            built = venue.sealer.response(venue.sealer.chunk(pack_tickets()))
            assert gate.offline
            gate.offline.store.trust(venue.sealer.verify_key)
            gate.offline.store.take(built, T0, 0)
            with pytest.raises(NotDecidedError, match="DEPARTURE_UNKNOWN"):
                await gate.log_in("operator", "right", Departure("", "G5711", "2026-12-04"))
            await gate.log_in("operator", "right", Departure("335872"))
            assert gate.offline.store.standing().departure_id == 335872

    asyncio.run(main())
