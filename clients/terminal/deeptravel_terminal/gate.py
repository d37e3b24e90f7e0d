"""What a terminal does with the server: log in, a session, look, redeem, a party, history."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import grpc
from deeptravel import AsyncClient, CallError, Reason, new_request_id, redemption
from google.protobuf.message import Message

from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.offline import Looked, NotDecidedError, Offline, Outcome, PartyOutcome
from deeptravel_terminal.scan_line import LinkState, ScanFailedError, ScanLine, UndecidedError
from deeptravel_terminal.store import OtherServerError, StoreError
from deeptravel_terminal.sync import Sync

ANSWER_SECONDS = 4.0
LOOK_SECONDS = 4.0
KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),  # 60 s, whatever the one above says
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_reconnect_backoff_ms", 5_000),  # else 120 s, in which no call is tried
)
"""Options of the channel: a cable that is pulled out, or a server that hangs, says nothing by
itself, and one that is there again is to be found soon. The server allows a ping every 5 s."""
LATER_SECONDS = 5.0
"""Between two attempts to log in, after a start without network."""
LEASE_SECONDS, LEASE_ANSWER_SECONDS = 3_600, 15.0
"""How long a lease is, and how long its answer may take: it is of up to 1,000 tickets."""
PARTY = 100
"""The most that one call redeems; an order has at most 200 tickets in a page."""


@dataclass(frozen=True)
class Departure:
    """The departure that a session admits: its number, or a service and its day."""

    departure_id: str = ""
    service_number: str = ""
    travel_date: str = ""

    @property
    def written(self) -> str:
        """As `read` takes it."""
        return f"{self.departure_id}{self.service_number} {self.travel_date}".strip()

    @classmethod
    def read(cls, text: str) -> "Departure":
        """From `335872`, or `G5711 2026-12-04`; empty for all. Raises ValueError."""
        match text.split():
            case []:
                return cls()
            case [number] if number.isdecimal():
                return cls(departure_id=number)
            case [service, day]:
                return cls(service_number=service, travel_date=day)
        raise ValueError("车次写作 G5711 2026-12-04 · write a service and its day, or its number")


@dataclass(eq=False)
class Gate:
    """The server, as a terminal uses it, and the terminal's file where it is not reached.

    Args:
        client: nobody's; `log_in` makes it an operator's.
        device: the terminal.
        changed: called with each new state of the connection, and what was said.
        offline: decides without network; None if this terminal may not.
    """

    client: AsyncClient
    device: str
    changed: Callable[[LinkState, str], None]
    offline: Offline | None = None
    departure: Departure = field(default_factory=Departure)
    session: redemption.OpenValidatorSessionResponse | None = None
    operator: str = ""
    line: ScanLine | None = None
    fault: str = ""
    _disk_fault: str = ""
    _running: list["asyncio.Task[None]"] = field(default_factory=list)
    _caller: AsyncClient | None = None

    async def log_in(self, username: str, password: str, departure: Departure) -> None:
        """Logs the operator in and keeps the stream open from then on.

        If the server is not reached and there is a pack, scans are decided by that, and the log-in
        is tried until it is; the password is kept in memory as long.

        Raises:
            CallError: nobody is logged in.
            NotDecidedError: the departure is not known without the server.
        """
        await self.close()
        self.departure, self.operator = departure, username
        try:
            await self._go_online(username, password)
        except CallError as error:
            if error.reason or not self._has_pack():
                raise
            self._admit_offline(departure)
            self.changed(LinkState.OFFLINE, error.message)
            self._running = [asyncio.create_task(self._log_in_later(username, password))]

    async def log_out(self) -> None:
        """Ends the log-in; if the server is not there it ends by itself later."""
        caller, self._caller = self._caller, None
        await self.close()
        if caller:
            with contextlib.suppress(CallError):
                await caller.redemption.logout(timeout=LOOK_SECONDS)

    async def close(self) -> None:
        """Ends what runs."""
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running, self.line, self.session = [], None, None

    async def look(self, scanned: Scanned) -> redemption.DecryptQrResponse:
        """What the ticket is; uses nothing. Raises CallError."""
        return await self._called.redemption.decrypt_qr(
            encrypted_data=scanned.text, timeout=LOOK_SECONDS
        )

    async def look_anyhow(self, scanned: Scanned, function: str, quantity: int) -> Looked:
        """Likewise; by the pack if the server is not reached, and then whether so many uses of the
        function would be redeemed. Raises CallError and NotDecidedError.
        """
        if self.offline is None:
            return Looked(await self.look(scanned))
        try:
            if self._is_online():
                return Looked(await self.look(scanned))
        except CallError as error:
            if error.reason:
                raise
        return self.offline.look(scanned, function, quantity)

    async def redeem(self, scanned: Scanned, function: str, quantity: int) -> Outcome:
        """Redeems over the stream; if no answer comes, by the pack.

        Raises:
            ScanFailedError: the server could not decide it.
            UndecidedError: no answer came, and this terminal may not decide by itself.
            NotDecidedError: likewise, and it is not in a state to.
        """
        line, offline, request_id = self.line, self.offline, new_request_id()
        if offline is None and (line is None or line.state is LinkState.ENDED):
            raise ScanFailedError(Reason.UNAUTHENTICATED, "nobody is logged in")
        if line and (offline is None or line.state is LinkState.ONLINE):
            scan = redemption.RedeemRequest(
                qr_token=scanned.text,
                function_code=function,
                quantity=quantity,
                request_id=request_id,
            )
            asked = redemption.ScanStreamRequest(scan_id=scan.request_id, scan=scan)
            try:
                answer = (await line.ask(asked, ANSWER_SECONDS)).answer
            except UndecidedError:
                if offline is None:
                    raise
                line.withdraw(request_id)  # the upload, by the same id, says what became of it
            else:
                if offline:
                    self._keep(lambda: offline.note_online(scanned, function, quantity, answer))
                return Outcome(answer)
        assert offline
        outcome = offline.decide(scanned, function, quantity, request_id)
        self._disk_writes()
        return outcome

    @property
    def zone(self) -> ZoneInfo | None:
        """That of the venue, whatever this box has; None before there is a pack."""
        with contextlib.suppress(StoreError):
            pack = self.offline.store.pack() if self.offline else None
            return ZoneInfo(pack.configuration.time_zone) if pack else None
        return None

    def standing(self) -> str:
        """Of the file: the age of its pack and how many scans wait, or what is wrong with it."""
        if self.offline is None:
            return ""
        try:
            store, age = self.offline.store, self.offline.pack_age()
            count, conflicts = store.unsent_count(), store.conflicts()
            leased, until = self.offline.own_leases()
        except StoreError as error:
            return f"✗ {error}"
        pack = "无名单 no pack" if age is None else f"名单 pack {max(0, age) // 60} min"
        waits = f"待传 queue {count}" if count else ""
        ends = f"{datetime.fromtimestamp(until / 1000, UTC).astimezone(self.zone):%H:%M}"
        leases = f"占用 leased {leased} → {ends}" if leased else ""
        seen = f"✗ 冲突 conflicts {conflicts}: F8" if conflicts else ""
        return "  ".join(part for part in (pack, leases, waits, seen, self.fault) if part)

    async def party(self, scanned: Scanned) -> redemption.LookupOrderResponse:
        """The tickets of an order, by its code or QR, or by the QR of one of them; by the pack if
        the server is not reached. Raises as `_asked`, and NotDecidedError.
        """
        by_code, offline = scanned.kind is Kind.CODE, self.offline
        order = redemption.LookupOrderRequest(
            order_id=scanned.text if by_code else "",
            encrypted_data="" if by_code else scanned.text,
        )
        if offline is None or self._is_online():
            try:
                return (await self._asked(order=order, or_pack=offline is not None)).order
            except UndecidedError:
                if offline is None:
                    raise
        return offline.party(scanned)

    async def redeem_party(self, scanned: Scanned, codes: list[str], function: str) -> PartyOutcome:
        """Redeems a function of these tickets of an order by its QR, all or none, PARTY at the
        most; by the pack if the server is not reached. Raises as `_asked`, and NotDecidedError.
        """
        offline, request_id = self.offline, new_request_id()
        items = [
            redemption.RedeemItem(
                qr_token=scanned.text, function_code=function, quantity=1, ticket_code=code
            )
            for code in codes[:PARTY]
        ]
        party = redemption.RedeemManyRequest(
            items=items, all_or_nothing=True, request_id=request_id
        )
        if offline is None or self._is_online():
            try:
                answer = (await self._asked(party=party, or_pack=offline is not None)).party
            except UndecidedError:
                if offline is None:
                    raise
            else:
                if offline:
                    for each in answer.results:
                        self._keep(partial(offline.note_named, function, 1, each))
                return PartyOutcome(answer)
        return offline.redeem_party(scanned, codes[:PARTY], function, request_id)

    async def redeem_by_code(
        self, code: str, function: str, quantity: int, comment: str
    ) -> Outcome:
        """Redeems without a QR at hand; a supervisor alone may. By the pack if the server is not
        reached. Raises as `_asked`, and NotDecidedError.
        """
        offline, request_id = self.offline, new_request_id()
        if offline is None or self._is_online():
            by_code = redemption.RedeemByCodeRequest(
                ticket_code=code,
                function_code=function,
                quantity=quantity,
                comment=comment,
                request_id=request_id,
            )
            try:
                answer = (await self._asked(by_code=by_code, or_pack=offline is not None)).by_code
            except UndecidedError:
                if offline is None:
                    raise
            else:
                same = redemption.RedeemResponse.FromString(answer.SerializeToString())
                if offline:
                    self._keep(partial(offline.note_named, function, quantity, same))
                return Outcome(same)
        if self.session is None or not self.session.is_supervisor:
            raise NotDecidedError("SUPERVISOR_NEEDED")
        return offline.admit(code, function, quantity, comment, request_id)

    async def lease(
        self, share: int, share_count: int, function: str
    ) -> redemption.LeaseTicketsResponse:
        """Leases a share of the session's departure, counted from 0. Raises CallError."""
        departure = self.session.departure.departure_id if self.session else ""
        return await self._called.redemption.lease_tickets(
            departure_id=int(departure or 0),
            share=share,
            share_count=share_count,
            function_code=function,
            duration_seconds=LEASE_SECONDS,
            request_id=new_request_id(),
            timeout=LEASE_ANSWER_SECONDS,
        )

    async def give_back(self) -> redemption.GiveBackLeasesResponse:
        """Gives all of the terminal's leases back. Raises CallError."""
        return await self._called.redemption.give_back_leases(
            request_id=new_request_id(), timeout=LEASE_ANSWER_SECONDS
        )

    async def history(self) -> list[redemption.Redemption]:
        """The last redemptions of this terminal, newest first. Raises as `_asked`."""
        history = redemption.ListRedemptionsRequest(terminal_device_id=self.device, page_size=50)
        return list((await self._asked(history=history)).history.redemptions)

    async def reverse(
        self, redemption_id: str, comment: str
    ) -> redemption.ReverseRedemptionResponse:
        """Takes a redemption back; a supervisor alone may. Raises as `_asked`."""
        reversal = redemption.ReverseRedemptionRequest(
            redemption_id=redemption_id, comment=comment, request_id=new_request_id()
        )
        return (await self._asked(reversal=reversal)).reversal

    async def _asked(self, *, or_pack: bool = False, **call: Message) -> redemption.ScanAnswer:
        """The answer to one call over the stream: asked again, with its ids, when that breaks
        before the answer comes; not any more where the pack decides without it.

        Raises:
            ScanFailedError: the server refused it, or nobody is logged in.
            UndecidedError: no answer came; asked once more it has the same ids.
        """
        line = self.line
        if line is None or line.state is LinkState.ENDED:
            raise ScanFailedError(Reason.UNAUTHENTICATED, "nobody is logged in")
        fields: Any = call
        asked = redemption.ScanStreamRequest(scan_id=new_request_id(), **fields)
        try:
            return await line.ask(asked, ANSWER_SECONDS)
        except UndecidedError:
            if or_pack:
                line.withdraw(asked.scan_id)
            raise

    async def _go_online(self, username: str, password: str) -> None:
        """Raises CallError."""
        caller = await self.client.logged_in_operator(username, password, self.device)
        self._caller = caller
        try:
            await self._open_session()
        except CallError:
            await self.log_out()
            raise
        line = self.line = ScanLine(caller, self._open_session, self._changed)
        tasks = [line.run()]
        if offline := self.offline:
            try:
                offline.store.trust(caller.offline_verify_key)
            except OtherServerError:
                self._say("另一服务器，先清除 another server: --wipe first")
            except StoreError as error:
                self._say(str(error))
            else:
                sync = Sync(caller, offline, self._is_online, self._say)
                line.pushed = sync.pushed
                tasks += [sync.run(), sync.run_pushes()]
        for each in tasks:
            task = asyncio.create_task(each)
            task.add_done_callback(self._ended)
            self._running.append(task)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Says it when a task fails of which nobody thought."""
        if not task.cancelled() and (error := task.exception()):
            self._say(repr(error))
            if self.line:
                self._changed(LinkState.OFFLINE, repr(error))

    async def _log_in_later(self, username: str, password: str) -> None:
        while True:
            await asyncio.sleep(LATER_SECONDS)
            try:
                await self._go_online(username, password)
            except CallError as error:
                if error.reason:
                    self._changed(LinkState.ENDED, error.message)
                    return
            else:
                return

    def _admit_offline(self, departure: Departure) -> None:
        """Raises NotDecidedError."""
        assert self.offline
        store, typed = self.offline.store, departure.written
        if typed != store.departure:
            if departure.service_number:
                raise NotDecidedError("DEPARTURE_UNKNOWN")
            store.note_session(int(departure.departure_id or 0), typed)

    def _has_pack(self) -> bool:
        with contextlib.suppress(StoreError):
            return self.offline is not None and self.offline.pack_age() is not None
        return False

    def _is_online(self) -> bool:
        return self.line is not None and self.line.state is LinkState.ONLINE

    def _say(self, said: str) -> None:
        self.fault = f"✗ {said}" if said else ""

    def _keep(self, write: Callable[[], None]) -> None:
        """Writes to the file; what it says does not stop what is decided online."""
        try:
            write()
        except StoreError as error:
            self._say(str(error))
            self._disk_fault = self.fault
        else:
            self._disk_writes()

    def _disk_writes(self) -> None:
        """It does again: what was said of that is over."""
        if self.fault == self._disk_fault:
            self.fault = ""

    def _changed(self, state: LinkState, said: str) -> None:
        if self.offline and state is LinkState.ENDED:
            store = self.offline.store
            self._keep(lambda: store.bar(barred=True))
        self.changed(state, said)

    @property
    def _called(self) -> AsyncClient:
        if self._caller is None:
            raise CallError(
                grpc.StatusCode.UNAUTHENTICATED,
                "nobody is logged in",
                reason=Reason.UNAUTHENTICATED,
            )
        return self._caller

    async def _open_session(self) -> None:
        """Opens the session, or finds the one that is open; renews a log-in that is over."""
        wanted = self.departure
        self.session = await self._called.redemption.open_validator_session(
            terminal_device_id=self.device,
            departure_id=wanted.departure_id,
            service_number=wanted.service_number,
            travel_date=wanted.travel_date,
            timeout=LOOK_SECONDS,
        )
        if offline := self.offline:
            number = int(self.session.departure.departure_id or 0)
            self._keep(lambda: offline.store.note_session(number, wanted.written))
            self._keep(lambda: offline.store.bar(barred=False))
