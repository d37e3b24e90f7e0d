"""What a terminal does with the server: log in, a session, look, redeem, a party, history."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from deeptravel import AsyncClient, CallError, Reason, new_request_id, redemption

from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.scan_line import LinkState, ScanFailedError, ScanLine

ANSWER_SECONDS = 4.0
LOOK_SECONDS = 4.0
KEEPALIVE: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
)
"""Options of the channel: a cable that is pulled out says nothing by itself. The server allows a
ping every 5 s."""
PARTY = 100
"""The most that one call redeems; an order has at most 200 tickets in a page."""


@dataclass(frozen=True)
class Departure:
    """The departure that a session admits: its number, or a service and its day."""

    departure_id: str = ""
    service_number: str = ""
    travel_date: str = ""

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
    """The server, as a terminal uses it.

    Args:
        client: nobody's; `log_in` makes it an operator's.
        device: the terminal.
        changed: called with each new state of the connection, and what was said.
    """

    client: AsyncClient
    device: str
    changed: Callable[[LinkState, str], None]
    departure: Departure = field(default_factory=Departure)
    session: redemption.OpenValidatorSessionResponse | None = None
    operator: str = ""
    line: ScanLine | None = None
    _running: "asyncio.Task[None] | None" = None
    _caller: AsyncClient | None = None

    async def log_in(self, username: str, password: str, departure: Departure) -> None:
        """Logs the operator in and keeps the stream open from then on. Raises CallError."""
        await self.close()
        self.departure = departure
        self._caller = await self.client.logged_in_operator(username, password, self.device)
        self.operator = username
        try:
            await self._open_session()
        except CallError:
            await self.log_out()
            raise
        self.line = ScanLine(self._caller, self._open_session, self.changed)
        self._running = asyncio.create_task(self.line.run())

    async def log_out(self) -> None:
        """Ends the log-in; if the server is not there it ends by itself later."""
        caller, self._caller = self._caller, None
        await self.close()
        if caller:
            with contextlib.suppress(CallError):
                await caller.redemption.logout(timeout=LOOK_SECONDS)

    async def close(self) -> None:
        """Ends the stream."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._running = self.line = None

    async def look(self, scanned: Scanned) -> redemption.DecryptQrResponse:
        """What the ticket is; uses nothing. Raises CallError."""
        return await self._called.redemption.decrypt_qr(
            encrypted_data=scanned.text, timeout=LOOK_SECONDS
        )

    async def redeem(
        self, scanned: Scanned, function: str, quantity: int
    ) -> redemption.RedeemResponse:
        """Redeems over the stream. Raises ScanFailedError and UndecidedError."""
        if self.line is None:
            raise ScanFailedError(Reason.UNAUTHENTICATED, "nobody is logged in")
        scan = redemption.RedeemRequest(
            qr_token=scanned.text,
            function_code=function,
            quantity=quantity,
            request_id=new_request_id(),
        )
        return await self.line.redeem(scan, ANSWER_SECONDS)

    async def party(self, scanned: Scanned) -> redemption.LookupOrderResponse:
        """The tickets of an order, by its code or QR, or by the QR of one of them. Raises
        CallError.
        """
        by_code = scanned.kind is Kind.CODE
        return await self._called.redemption.lookup_order(
            order_id=scanned.text if by_code else "",
            encrypted_data="" if by_code else scanned.text,
            timeout=LOOK_SECONDS,
        )

    async def redeem_party(
        self, scanned: Scanned, codes: list[str], function: str, request_id: str
    ) -> redemption.RedeemManyResponse:
        """Redeems a function of these tickets of an order by its QR, all or none; an attempt of the
        same party has the same request id. Raises CallError.
        """
        items = [
            redemption.RedeemItem(
                qr_token=scanned.text, function_code=function, quantity=1, ticket_code=code
            )
            for code in codes[:PARTY]
        ]
        return await self._called.redemption.redeem_many(
            items=items, all_or_nothing=True, request_id=request_id
        )

    async def redeem_by_code(
        self, code: str, function: str, comment: str, request_id: str
    ) -> redemption.RedeemByCodeResponse:
        """Redeems without a QR at hand; a supervisor alone may. Raises CallError."""
        return await self._called.redemption.redeem_by_code(
            ticket_code=code, function_code=function, comment=comment, request_id=request_id
        )

    async def history(self) -> list[redemption.Redemption]:
        """The last redemptions of this terminal, newest first. Raises CallError."""
        page = await self._called.redemption.list_redemptions(
            terminal_device_id=self.device, page_size=50, timeout=LOOK_SECONDS
        )
        return list(page.redemptions)

    async def reverse(
        self, redemption_id: str, comment: str, request_id: str
    ) -> redemption.ReverseRedemptionResponse:
        """Takes a redemption back; a supervisor alone may. Raises CallError."""
        return await self._called.redemption.reverse_redemption(
            redemption_id=redemption_id, comment=comment, request_id=request_id
        )

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
