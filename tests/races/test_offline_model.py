"""Two gates without network and one with it, on the same uses: hypothesis has them scan, upload
late, twice, in part and at once, with wrong clocks and lost answers, while the ticket is blocked,
given back and leased. Is every verdict the model's, are exactly as many uses accepted as there are,
is each conflict on the list, and nothing lost?

MODEL_EXAMPLES=500 tries more; so does `make race`, each run others.

Seen red: a block that also refuses the scans of before it, a clock that is believed whatever it
says, more uses admitted than are left, and a scan that was redeemed online judged like any other.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import grpc
import hypothesis
import pytest
from deeptravel.admin.v1 import offline_scan_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.redemption.v1 import access_pb2, offline_pb2
from hypothesis import strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.parties.offline_policy import USUAL, OfflinePolicy
from server.platform.errors import Reason
from tests.support import runs
from tests.support.gate import PASSWORD, REFUSAL, Terminal, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.offline_model import Expected, SharedTicket, WrittenScan
from tests.support.offline_terminal import LIABLE, VERDICT, OfflineTerminal, hash_of
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import read_refusal
from tests.support.venue_pack import KeptPack, knows_policy
from tests.support.waiting import WAIT_SECONDS

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "12"))
STEPS = 30
CALLS = 50
IS_REPEATABLE = "MODEL_EXAMPLES" not in os.environ and runs.runs == 1
TOKENS = Entitlement("tokens", total=4, use_mode="MULTI_USE", guard_seconds=0)
ENTITLEMENTS = Entitlement("ferry"), Entitlement("gift"), TOKENS
ONLINE = "T-3"
T = TypeVar("T")
REVOKED = """
WITH moved AS (UPDATE tickets SET state = %s, blocked = %s WHERE ticket_id = %s)
INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
VALUES (%s, %s, %s, %s, 'admin:root', %s)
"""
POLICY = """
UPDATE merchants SET (offline_pack_seconds, offline_clock_seconds, offline_over_admission,
  offline_bears_refunds) = (%s, %s, %s, %s) WHERE merchant_code = 'M'
"""
SCANS = "SELECT terminal_device_id, scan_hash FROM offline_scans WHERE ticket_id = %s"

gates = strategies.sampled_from(("T-1", "T-2"))
ACCEPTED = {"ACCEPTED", "CLOCK_SUSPECT"}
functions = strategies.sampled_from([each.function_code for each in ENTITLEMENTS])
skews = strategies.sampled_from((0, 0, 0, 90, -90, 600, -600, 86_400, None))
"""Seconds by which a gate's clock is wrong; None: it has none."""


def outcome_of(answer: offline_pb2.UploadedScan) -> Expected:
    return Expected(VERDICT[answer.verdict], LIABLE[answer.liable])


async def uploaded(
    gate: OfflineTerminal, scans: Sequence[offline_pb2.OfflineScan]
) -> offline_pb2.UploadScansResponse:
    """The answer, which may take more than one call while others are at the ticket."""
    for _ in range(CALLS):
        try:
            return await gate.upload(scans)
        except grpc.aio.AioRpcError as error:
            if read_refusal(error).reason != Reason.CONFLICT:
                raise
    raise AssertionError(f"{CALLS} times somebody else was at the ticket")


@dataclass
class Pier:
    """The server, its gates, and the loop they live in: the machine has a thread of its own."""

    loop: asyncio.AbstractEventLoop
    world: World
    terminals: dict[str, Terminal]
    supervisor: Terminal
    admin: tuple[Any, Terminal]
    packs: dict[str, KeptPack]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_SECONDS)


class OfflineMachine(RuleBasedStateMachine):
    """One ticket and its gates."""

    pier: Pier
    policy = USUAL

    def __init__(self) -> None:
        super().__init__()
        self.steps = itertools.count(1)
        self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        self.model = SharedTicket(ENTITLEMENTS, policy=self.policy)
        self.ticket = self.pier.run(self.pier.world.ticket(ENTITLEMENTS))
        self.gates = {
            device: OfflineTerminal(self.pier.terminals[device]) for device in self.pier.packs
        }
        # what each gate believes: uses left by its pack and its own scans, and whether it is good
        self.left: dict[str, dict[str, int]] = {}
        self.pack_times: dict[str, datetime] = {}
        self.written: dict[str, WrittenScan] = {}
        self.verdicts: dict[str, Expected] = {}
        self.online: list[tuple[str, str, int]] = []

    def time(self) -> datetime:
        """A second later than anything before."""
        return self.began + timedelta(seconds=next(self.steps))

    @initialize()
    def both_get_the_pack(self) -> None:
        for device in self.gates:
            self.gets_the_pack(device)

    @rule(device=gates)
    def gets_the_pack(self, device: str) -> None:
        """It says what is so."""
        pack, number = self.pier.packs[device], self.ticket.ticket_id
        self.pier.run(pack.update(self.pier.terminals[device]))
        packed, model = pack.tickets[number], self.model
        left = {function: uses for function, (uses, _) in packed.uses.items()}
        assert left == {each.function_code: model.left(each.function_code) for each in ENTITLEMENTS}
        assert packed.is_blocked == (model.blocked_at is not None)
        assert (packed.state == "REFUNDED") == (model.refunded_at is not None)
        assert {f: of for f, (of, _) in packed.leases.items()} == model.leases
        self.pack_times[device] = self.time()
        is_good = not (packed.is_blocked or packed.state == "REFUNDED")
        mine = {f: n for f, n in left.items() if model.leases.get(f, device) == device}
        self.left[device] = mine if is_good else {}

    @rule(
        device=gates,
        function=functions,
        quantity=strategies.sampled_from((1, 1, 1, 2)),
        skew=skews,
        is_careless=strategies.sampled_from((False, False, True)),
    )
    def scans_without_network(
        self, device: str, function: str, quantity: int, skew: int | None, *, is_careless: bool
    ) -> None:
        """The gate admits by its pack and what it has admitted itself; a careless one anybody."""
        self._write(device, function, quantity, skew, is_careless=is_careless)

    @rule(device=gates, function=functions, quantity=strategies.sampled_from((1, 1, 2)), skew=skews)
    def scans_and_hears_nothing(
        self, device: str, function: str, quantity: int, skew: int | None
    ) -> None:
        """Its network fails after the server has decided: it decides the same scan by its pack."""
        scan_id = f"{self.ticket.ticket_id}-{len(self.written)}"
        redeemed = self._redeemed(device, function, quantity, request_id=scan_id)
        self._write(device, function, quantity, skew, scan_id=scan_id, was_redeemed=redeemed)

    def _write(
        self,
        device: str,
        function: str,
        quantity: int,
        skew: int | None,
        *,
        is_careless: bool = False,
        was_redeemed: bool = False,
        **fields: Any,
    ) -> None:
        """The gate decides a scan, and writes it down."""
        left, now = self.left[device].get(function, 0), self.time()
        clock = None if skew is None else now + timedelta(seconds=skew)
        admitted = left >= quantity or is_careless
        if admitted and left:
            self.left[device][function] = max(0, left - quantity)
        pack_time = self.pack_times[device]
        scan = self.gates[device].scan(
            self.ticket.qr,
            function,
            at=clock or now,
            quantity=quantity,
            pack_version=int(pack_time.timestamp() * 1000),
            admitted=admitted,
            **fields,
        )
        if clock is None:
            scan.ClearField("scanned_time")
        written = WrittenScan(device, function, quantity, clock, pack_time, admitted, was_redeemed)
        self.written[hash_of(scan)] = written

    @rule(function=functions, quantity=strategies.sampled_from((1, 1, 2)))
    def scans_with_network(self, function: str, quantity: int) -> None:
        self._redeemed(ONLINE, function, quantity)

    def _redeemed(self, device: str, function: str, quantity: int, **fields: Any) -> bool:
        """Whether a scan with network is admitted, which is as the model says."""
        redeem = self.pier.terminals[device].redeem
        answer = self.pier.run(redeem(self.ticket.qr, function, quantity=quantity, **fields))
        expected = self.model.refused(device, function, quantity)
        assert verdict(answer) == expected or (verdict(answer), expected) == ("SUCCESS", "")
        if not expected:
            self.model.accept(device, function, quantity)
            self.online.append((answer.redemption_id, function, quantity))
        return not expected

    @precondition(lambda self: self.online)
    @rule(data=strategies.data())
    def reverses(self, data: strategies.DataObject) -> None:
        redemption = data.draw(strategies.sampled_from(self.online))
        self.online.remove(redemption)
        redemption_id, function, quantity = redemption
        self.pier.run(self.pier.supervisor.reverse(redemption_id))
        self.model.accepted[function] -= quantity
        if self._guard(function) is None:
            self.model.last[function] = None

    @rule(device=gates, data=strategies.data())
    def uploads(self, device: str, data: strategies.DataObject) -> None:
        """Some of its scans, in any order, whether they were uploaded before or not."""
        scans = self.gates[device].scans
        if not scans:
            return
        chosen = data.draw(strategies.lists(strategies.sampled_from(scans), min_size=1, max_size=6))
        response = self.pier.run(uploaded(self.gates[device], chosen))
        for scan, answer in zip(chosen, response.scans, strict=True):
            self._judged(scan, answer)

    @rule()
    def all_upload_at_once(self) -> None:
        """While somebody scans with network. Who comes first is anybody's guess, not how many."""

        busy = [gate for gate in self.gates.values() if gate.scans]

        async def at_once() -> list[Any]:
            online = self.pier.terminals[ONLINE]
            return await asyncio.gather(
                *(uploaded(gate, gate.scans[::step]) for gate in busy for step in (1, -1)),
                online.redeem_until_decided(self.ticket.qr, "tokens"),
            )

        *responses, answer = self.pier.run(at_once())
        if verdict(answer) == "SUCCESS":
            self.model.accept(ONLINE, "tokens")
            self.online.append((answer.redemption_id, "tokens", 1))
        found = [each for response in responses for each in response.scans]
        for each in found:
            outcome = outcome_of(each)
            scan, is_known = self.written[each.scan_hash], each.scan_hash in self.verdicts
            if not is_known and not scan.was_redeemed and outcome.verdict in ACCEPTED:
                self.model.accept(scan.device, scan.function_code, scan.quantity)
            assert self.verdicts.setdefault(each.scan_hash, outcome) == outcome
        for entitlement in ENTITLEMENTS:
            self.model.last[entitlement.function_code] = self._guard(entitlement.function_code)

    @precondition(lambda self: not self.model.refunded_at)
    @rule()
    def is_blocked_or_unblocked(self) -> None:
        time, is_blocked = self.time(), self.model.blocked_at is None
        self._revoke("block" if is_blocked else "unblock", "", time, blocked=is_blocked)
        self.model.blocked_at = time if is_blocked else None

    @precondition(lambda self: self.model.is_unused and not self.model.refunded_at)
    @rule()
    def is_refunded(self) -> None:
        time = self.time()
        self._revoke("REFUNDING", "REFUNDING", time, blocked=self.model.blocked_at is not None)
        self._revoke("REFUNDED", "REFUNDED", time, blocked=self.model.blocked_at is not None)
        self.model.refunded_at = time

    @invariant()
    def exactly_so_many_are_accepted(self) -> None:
        for entitlement in ENTITLEMENTS:
            function = entitlement.function_code
            remaining, total = self.pier.run(self.pier.world.uses(self.ticket, function))
            assert total - remaining == self.model.accepted.get(function, 0) <= total

    def teardown(self) -> None:
        """At last all is uploaded, twice: each has its verdict, for good, and none is lost."""
        for gate in self.gates.values():
            if gate.scans:
                first = self.pier.run(uploaded(gate, gate.scans))
                for scan, answer in zip(gate.scans, first.scans, strict=True):
                    self._judged(scan, answer)
                assert self.pier.run(gate.upload()) == first
        self.exactly_so_many_are_accepted()
        kept = self.pier.run(self.pier.world.sql(SCANS, self.ticket.ticket_id))
        assert {scan_hash for _, scan_hash in kept} == self.written.keys()
        conflicts = {
            scan_hash: found
            for scan_hash, found in self.verdicts.items()
            if found.verdict not in ("ACCEPTED", "RECORDED")
        }
        assert self.pier.run(self._listed()) == conflicts
        assert self.pier.run(self.pier.world.contradictions()) == []

    def _judged(self, scan: offline_pb2.OfflineScan, answer: offline_pb2.UploadedScan) -> None:
        """The verdict is the model's, or the one that it has already."""
        scan_hash = hash_of(scan)
        assert answer.scan_hash == scan_hash
        if scan_hash not in self.verdicts:
            self.verdicts[scan_hash] = self.model.uploaded(self.written[scan_hash])
        assert outcome_of(answer) == self.verdicts[scan_hash]

    async def _listed(self) -> dict[str, Expected]:
        """What administrators see of this ticket's scans."""
        (stub, root), found = self.pier.admin, {}
        request = offline_scan_pb2.ListOfflineConflictsRequest(page_size=200)
        while True:
            page = await stub.ListOfflineConflicts(request, metadata=root.metadata)
            for each in page.conflicts:
                if each.scan.scan_hash in self.written:
                    found[each.scan.scan_hash] = outcome_of(each.scan)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    def _guard(self, function: str) -> str | None:
        """The gate that was recorded last."""
        rows = self.pier.run(
            self.pier.world.sql(
                "SELECT terminal_device_id FROM redemption_guards"
                " WHERE ticket_id = %s AND function_code = %s",
                *(self.ticket.ticket_id, function),
            )
        )
        return rows[0][0] if rows else None

    def _revoke(self, action: str, state: str, time: datetime, *, blocked: bool) -> None:
        world, number = self.pier.world, self.ticket.ticket_id
        state = state or self.pier.run(world.state(self.ticket))
        event = number, next(self.steps), action, state, time
        self.pier.run(world.sql(REVOKED, state, blocked, number, *event))


class LeaseMachine(OfflineMachine):
    """And gates lease what they are to admit."""

    @rule(device=strategies.sampled_from(("T-1", "T-2", ONLINE)), function=functions)
    def leases(self, device: str, function: str) -> None:
        terminal = self.pier.terminals[device]
        lease = terminal.lease(self.ticket.code, function_code=function, duration_seconds=7_200)
        (leased,) = self.pier.run(lease)
        expected = self.model.refused(device, function)
        assert (REFUSAL[leased.reason] if leased.HasField("reason") else "") == expected
        if not expected:
            self.model.leases[function] = device

    @rule(device=strategies.sampled_from(("T-1", "T-2", ONLINE)))
    def gives_back(self, device: str) -> None:
        mine = [function for function, of in self.model.leases.items() if of == device]
        assert self.pier.run(self.pier.terminals[device].give_back(self.ticket.code)) == len(mine)
        for function in mine:
            del self.model.leases[function]


class PolicyMachine(OfflineMachine):
    """And the merchant has agreed on something else than the others."""

    policy = OfflinePolicy(300, 30, over_admission=True, bears_refunds=True)


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def pier(world: World, server: GateServer) -> Pier:
    request = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1", with_offline_key=True
    )
    terminals = {
        device: await world.log_in(server.channel, device=device)
        for device in ("T-1", "T-2", ONLINE)
    }
    key = (await terminals["T-1"].stub.OperatorLogin(request)).offline_verify_key
    root = await world.log_in(server.channel, "root", device=None)
    return Pier(
        asyncio.get_running_loop(),
        world,
        terminals,
        supervisor=await world.log_in(server.channel, "sam", "T-4"),
        admin=(AdminServiceStub(server.channel), root),
        packs={device: KeptPack(key) for device in ("T-1", "T-2")},
    )


@pytest.mark.parametrize("machine", [OfflineMachine, LeaseMachine, PolicyMachine])
async def test_gates_without_network_and_one_with_it(
    pier: Pier, machine: type[OfflineMachine]
) -> None:
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=IS_REPEATABLE,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    machine.pier = pier
    await pier.world.change(POLICY, *machine.policy)
    await knows_policy(pier.terminals["T-1"], machine.policy.pack_seconds)
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=settings)
