"""Scans over a stream that breaks, against a server in the same process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from deeptravel import AsyncClient, CallError, RetryPolicy, redemption
from deeptravel_terminal import scan_line
from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.gate import Departure, Gate
from deeptravel_terminal.scan_line import LinkState, ScanFailedError, UndecidedError

from tests.conftest import DEVICE, FakeServer, serving, until
from tests.samples import OTHER_OF_OURS, OURS

TICKET = Scanned(Kind.TICKET_QR, OURS)
SUCCESS, REJECT = redemption.REDEMPTION_RESULT_SUCCESS, redemption.REDEMPTION_RESULT_REJECT


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_line, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(scan_line, "REPEAT_SECONDS", 0.01)


@contextlib.asynccontextmanager
async def a_gate(address: str) -> AsyncIterator[tuple[Gate, list[LinkState]]]:
    states: list[LinkState] = []
    # gRPC's own pause before it connects again is a second
    options = (("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20))
    retry = RetryPolicy(attempts=1)
    async with AsyncClient(address, plaintext=True, retry=retry, channel_options=options) as client:
        gate = Gate(client, DEVICE, lambda state, _: states.append(state))
        await gate.log_in("operator", "right", Departure("335872"))
        await until(lambda: LinkState.ONLINE in states)
        yield gate, states
        await gate.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_what_broke_is_sent_again_with_its_id(fake: FakeServer) -> None:
    """Redeemed once, though the answer was lost twice. Seen red with a new id at each sending."""

    async def main() -> None:
        fake.breaks_before_answer = 2
        async with serving(fake) as address, a_gate(address) as (gate, states):
            answer = (await gate.redeem(TICKET, "ferry", 1)).answer
            assert answer.result == SUCCESS
            assert LinkState.OFFLINE in states
            assert states[-1] is LinkState.ONLINE
        ids = {each.scan.request_id for each in fake.scans}
        assert (len(fake.scans), len(ids)) == (3, 1)
        sessions = [e for e in fake.asked if isinstance(e, redemption.OpenValidatorSessionRequest)]
        assert {each.departure_id for each in sessions} == {"335872"}

    run(main())


Ask = Callable[[Gate], Coroutine[Any, Any, Any]]
CHANGES: dict[str, Ask] = {
    "party": lambda gate: gate.redeem_party(TICKET, ["OTA-CP-20261204-000017"], "ferry"),
    "by_code": lambda gate: gate.redeem_by_code("OTA-CP-20261204-000017", "ferry", 1, "torn"),
    "reversal": lambda gate: gate.reverse("0" * 32, "wrong gate"),
}


@pytest.mark.parametrize("call", CHANGES)
def test_a_server_that_dies_between_question_and_answer(fake: FakeServer, call: str) -> None:
    """Once after it did it, once before: it is asked again with the same id, and has done it once.
    Seen red with new ids at each sending.
    """

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stays, contextlib.AsyncExitStack() as dies:
            address = await dies.enter_async_context(serving(fake))
            gate, states = await stays.enter_async_context(a_gate(address))
            fake.breaks_before_answer = 1
            await CHANGES[call](gate)
            assert len(fake.done) == 1
            fake.silent = True
            asking = asyncio.create_task(CHANGES[call](gate))
            await until(lambda: len(sent()) == 3)
            await dies.aclose()
            await until(lambda: states[-1] is LinkState.OFFLINE)
            fake.silent = False
            await stays.enter_async_context(serving(fake, int(address.rpartition(":")[2])))
            await asking
            assert gate.line
            assert not gate.line._waiting

    def sent() -> list[str]:
        asked = [each for each in fake.asked if isinstance(each, redemption.ScanStreamRequest)]
        return [getattr(each, call).request_id for each in asked if each.HasField(call)]  # type: ignore[arg-type]

    run(main())
    ids = sent()
    assert len(ids) == 4
    assert [ids[0], ids[2]] == [ids[1], ids[3]] == fake.done


def test_what_is_asked_again_after_its_time_has_the_first_answer(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reversal that was sent and not answered: the operator asks once more, and not a second one
    is made.
    """
    monkeypatch.setattr("deeptravel_terminal.gate.ANSWER_SECONDS", 0.2)

    async def main() -> None:
        async with serving(fake) as address, a_gate(address) as (gate, _):
            fake.silent = True
            with pytest.raises(UndecidedError) as late:
                await gate.reverse("0" * 32, "wrong gate")
            assert late.value.was_sent
            fake.silent = False
            assert gate.line
            gate.line._again(next(iter(gate.line._waiting.values())))
            await until(lambda: fake.done)
            monkeypatch.setattr("deeptravel_terminal.gate.ANSWER_SECONDS", 20)
            await gate.reverse("0" * 32, "wrong gate")
            assert len(fake.done) == 1

    run(main())


def test_a_scan_that_failed_for_a_moment_is_repeated(fake: FakeServer) -> None:
    async def main() -> None:
        fake.failures = ["SERVER_BUSY", "DATABASE_UNAVAILABLE"]
        async with serving(fake) as address, a_gate(address) as (gate, _):
            assert (await gate.redeem(TICKET, "ferry", 1)).answer.result == SUCCESS
            fake.failures = ["SESSION_NOT_OPEN"]
            with pytest.raises(ScanFailedError, match="SESSION_NOT_OPEN"):
                await gate.redeem(TICKET, "ferry", 1)
        assert len({each.scan.request_id for each in fake.scans[:3]}) == 1

    run(main())


def test_an_answer_that_comes_too_late_is_that_of_the_same_scan(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red where a scan that was given up is forgotten."""
    monkeypatch.setattr("deeptravel_terminal.gate.ANSWER_SECONDS", 0.2)

    async def main() -> None:
        async with serving(fake) as address:
            port = int(address.rpartition(":")[2])
            async with a_gate(address) as (gate, _):
                assert gate.line
                fake.silent = True
                with pytest.raises(UndecidedError) as late:
                    await gate.redeem(TICKET, "ferry", 1)
                assert late.value.was_sent
                fake.silent = False
                gate.line._again(next(iter(gate.line._waiting.values())))
                await until(lambda: fake.redeemed)
                monkeypatch.setattr("deeptravel_terminal.gate.ANSWER_SECONDS", 20)
                assert (await gate.redeem(TICKET, "ferry", 1)).answer.result == SUCCESS
                assert (await gate.redeem(TICKET, "ferry", 1)).answer.result == REJECT
                assert not gate.line._waiting
        assert port

    run(main())


def test_without_network_nothing_is_sent_later(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traveller who was sent away is not redeemed when the network is back. Seen red with the
    scan left among those that wait.
    """
    monkeypatch.setattr("deeptravel_terminal.gate.ANSWER_SECONDS", 0.1)

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            served = contextlib.AsyncExitStack()
            address = await served.enter_async_context(serving(fake))
            gate, states = await stack.enter_async_context(a_gate(address))
            await served.aclose()
            await until(lambda: states[-1] is LinkState.OFFLINE)
            with pytest.raises(UndecidedError) as lost:
                await gate.redeem(TICKET, "ferry", 1)
            assert not lost.value.was_sent
            await stack.enter_async_context(serving(fake, int(address.rpartition(":")[2])))
            await until(lambda: states[-1] is LinkState.ONLINE)
            monkeypatch.setattr("deeptravel_terminal.gate.ANSWER_SECONDS", 20)
            other = Scanned(Kind.TICKET_QR, OTHER_OF_OURS)
            assert (await gate.redeem(other, "ferry", 1)).answer.result == SUCCESS
        assert [each.scan.qr_token for each in fake.scans] == [OTHER_OF_OURS]

    run(main())


def test_a_refused_log_in_leaves_nobody_logged_in(fake: FakeServer) -> None:
    async def main() -> None:
        async with serving(fake) as address, a_gate(address) as (gate, _):
            with pytest.raises(CallError):
                await gate.log_in("operator", "wrong", Departure())
            with pytest.raises(ScanFailedError, match="UNAUTHENTICATED"):
                await gate.redeem(TICKET, "ferry", 1)

    run(main())


@pytest.mark.parametrize(
    ("text", "departure"),
    [
        ("", Departure()),
        ("335872", Departure("335872")),
        ("G5711 2026-12-04", Departure("", "G5711", "2026-12-04")),
    ],
)
def test_a_departure_as_it_is_typed(text: str, departure: Departure) -> None:
    assert Departure.read(text) == departure
    with pytest.raises(ValueError, match="G5711 2026-12-04"):
        Departure.read("G5711")
