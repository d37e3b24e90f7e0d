"""Scans decided without network: by the pack, the terminal's clock and its policy.

Whatever is in doubt admits nobody: no pack or one that is too old, a clock that went back, a disk
that does not write, a log-in that the server refused.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from deeptravel import new_request_id, redemption

from deeptravel_terminal import tokens
from deeptravel_terminal.codes import Kind, Scanned
from deeptravel_terminal.offline_rules import (
    Asked,
    Known,
    LocalUse,
    answer_of,
    described,
    explained,
    is_superseded,
    reason_number,
    refused,
    refused_by_token,
    refused_whatever,
)
from deeptravel_terminal.store import PackState, Store, StoreError
from deeptravel_terminal.stored_scans import StoredScan
from deeptravel_terminal.tokens import Claims, OpeningKey, TokenError

OF_ORDER = "ticket_code"
"""The check that the QR of an order fails, here and at the server: it does not say which ticket."""
REJECT = redemption.REDEMPTION_RESULT_REJECT
CLOCK_TOLERANCE_SECONDS = 120
"""Where the pack of an older server says nothing."""


class NotDecidedError(Exception):
    """Nothing is decided here; `reason` says why, `message` more of it."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(f"{reason} {message}".strip())
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Outcome:
    """The answer to a scan; `pack_age` in seconds if it was decided without network."""

    answer: redemption.RedeemResponse
    pack_age: int | None = None


@dataclass(frozen=True)
class Looked:
    """The answer to a look, likewise."""

    answer: redemption.DecryptQrResponse
    pack_age: int | None = None


@dataclass(frozen=True)
class PartyOutcome:
    """The answer to a party, likewise."""

    answer: redemption.RedeemManyResponse
    pack_age: int | None = None


@dataclass(frozen=True)
class _Judged:
    """What the pack says of a scan, before anything is written."""

    pack: PackState
    asked: Asked
    claims: Claims | None
    known: Known | None
    reason: str


@dataclass
class Clock:
    """The terminal's clock, corrected by the server's.

    While the program runs the time since the last pack is that of a clock which only goes forward,
    so that nobody who sets the terminal's has a say. After a start it is the terminal's own.

    Args:
        wall: milliseconds of Unix time, which somebody may set.
        steady: milliseconds of a clock that only goes forward.
    """

    wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    steady: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000
    _synced: tuple[int, int] | None = None

    def synced(self, server_time: int) -> None:
        """The server's time is known now."""
        self._synced = server_time, self.steady()

    def now(self, offset: int) -> int:
        """The time as the server has it, as well as it is known; `offset` is that of the pack."""
        if self._synced is None:
            return self.wall() + offset
        server_time, at = self._synced
        return server_time + self.steady() - at


@dataclass(eq=False)
class Offline:
    """Decides and writes down.

    Args:
        store: the terminal's file.
        pack_hours: the age from which on a pack decides nothing; earlier, if the merchant's policy
            in the pack says so.
    """

    store: Store
    pack_hours: float = 24.0
    clock: Clock = field(default_factory=Clock)
    _keys: tuple[PackState, dict[int, OpeningKey]] | None = None

    def decide(self, scanned: Scanned, function: str, quantity: int, scan_id: str = "") -> Outcome:
        """Decides a scan and writes it down before it is answered. An order's QR redeems nothing
        by itself: its answer names the check `ticket_code`, and nothing is written.

        Args:
            scanned: the QR.
            function: which entitlement.
            quantity: how many uses.
            scan_id: the request id of the same scan, if it was sent and had no answer: so the
                upload finds what became of it.

        Raises:
            NotDecidedError: nobody is to be admitted, and nothing was written.
        """
        with _as_not_decided():
            return self._decided(scanned, function, quantity, scan_id)

    def admit(
        self, code: str, function: str, quantity: int, comment: str, scan_id: str = ""
    ) -> Outcome:
        """Decides a ticket that a supervisor names by its number, and writes it down; `scan_id` as
        above. Raises NotDecidedError.
        """
        with _as_not_decided():
            pack, departure_id = self._usable()
            asked = self._asked(function, quantity, pack, departure_id)
            number = self.store.numbered(code)
            known = None if number is None else self.store.known(number)
            reason = refused(asked, None, known, pack.configuration)
            judged = _Judged(pack, asked, None, known, reason)
            jti = known.ticket.jti if known else b""
            use = LocalUse(function, quantity, jti, asked.now)
            scan = self._scan(
                *(use, pack, scan_id), admitted=not reason, ticket_code=code, comment=comment
            )
            return self._written(judged, scan, number or 0, use)

    def party(self, scanned: Scanned) -> redemption.LookupOrderResponse:
        """The tickets of an order, by its QR, its number, or the QR of one of them; without names.
        Raises NotDecidedError.
        """
        with _as_not_decided():
            pack, departure_id = self._usable()
            asked = self._asked("", 1, pack, departure_id)
            claims, order, reason = self._order_of(scanned, pack, asked)
            found = self.store.of_order(order) if order else []
            answer = redemption.LookupOrderResponse(ticket_count=len(found))
            if reason or not found:
                reason = reason or "TICKET_NOT_FOUND"
                answer.result, answer.reason = REJECT, reason_number(reason)
                answer.explanation.CopyFrom(explained(reason, asked, None))
                return answer
            answer.order_id = found[0].order_code
            for known in found:
                ticket = answer.tickets.add(ticket_code=known.code)
                described(ticket.ticket_info, known)
                if reason := refused_whatever(asked, claims, known, pack.configuration):
                    ticket.result, ticket.reason = REJECT, reason_number(reason)
                    ticket.explanation.CopyFrom(explained(reason, asked, known))
            return answer

    def redeem_party(
        self, scanned: Scanned, codes: Sequence[str], function: str, scan_id: str = ""
    ) -> PartyOutcome:
        """Redeems a function of these tickets of an order by its QR, all or none, and writes it
        down: of none of them those that are refused; `scan_id` as above. Raises NotDecidedError.
        """
        with _as_not_decided():
            judged = [self._judged(scanned, function, 1, code) for code in codes]
            all_redeemed = not any(each.reason for each in judged)
            answer = redemption.RedeemManyResponse(all_redeemed=all_redeemed)
            written, uses = [], []
            for code, each in zip(codes, judged, strict=True):
                number, use = self._use(each)
                uses.append(use)
                if all_redeemed or each.reason:
                    scan = self._scan(
                        *(use, each.pack, scan_id),
                        admitted=not each.reason,
                        qr_token=scanned.text,
                        ticket_code=code,
                    )
                    written.append((scan, number, use))
            self.store.write_scans(written)
            for each, use in zip(judged, uses, strict=True):
                shown = self._after(each, use) if all_redeemed else each
                result = self._answer(shown)
                if not all_redeemed and not each.reason:
                    result.result = redemption.REDEMPTION_RESULT_WITHHELD
                answer.results.append(result)
            return PartyOutcome(answer, self._age(judged[0].pack))

    def look(self, scanned: Scanned, function: str, quantity: int) -> Looked:
        """What would be decided; writes nothing. Raises NotDecidedError."""
        with _as_not_decided():
            judged = self._judged(scanned, function, quantity)
        answer = self._answer(judged)
        seen = redemption.DecryptQrResponse(ticket_code=answer.ticket_code)
        if judged.known:
            described(seen.ticket_info, judged.known)
        if judged.reason:
            seen.result, seen.reason = answer.result, answer.reason
            seen.explanation.CopyFrom(answer.explanation)
        return Looked(seen, self._age(judged.pack))

    def pack_age(self) -> int | None:
        """Seconds since the pack in use was made; None if there is none. Raises StoreError."""
        pack = self.store.pack()
        return None if pack is None else self._age(pack)

    def own_leases(self) -> tuple[int, int]:
        """How many functions of tickets this terminal has leased, and until when, in milliseconds.
        Raises StoreError.
        """
        pack = self.store.pack()
        return self.store.own_leases(self.clock.now(pack.clock_offset)) if pack else (0, 0)

    def note_online(
        self, scanned: Scanned, function: str, quantity: int, answer: redemption.RedeemResponse
    ) -> None:
        """Remembers what was redeemed online until the pack has it, so that the same QR is not
        admitted once more when the network fails now. Raises StoreError.
        """
        pack = self.store.pack()
        if pack is None or answer.result != redemption.REDEMPTION_RESULT_SUCCESS:
            return
        try:
            claims = tokens.opened(scanned.text, self._keys_of(pack))
        except TokenError:
            return  # of a key that is newer than the pack, by which it is refused offline
        now = self.clock.now(pack.clock_offset)
        left = {each.function_code: each.remaining_uses for each in answer.entitlements}
        use = LocalUse(function, quantity, claims.jti, now)
        self.store.note_online(claims.number, use, left.get(function, 0))

    def note_named(self, function: str, quantity: int, answer: redemption.RedeemResponse) -> None:
        """Likewise of a ticket that was redeemed by its number, or by its order's QR."""
        pack = self.store.pack()
        if pack is None or answer.result != redemption.REDEMPTION_RESULT_SUCCESS:
            return
        number = self.store.numbered(answer.ticket_code)
        known = None if number is None else self.store.known(number)
        if known:
            now = self.clock.now(pack.clock_offset)
            left = {each.function_code: each.remaining_uses for each in answer.entitlements}
            use = LocalUse(function, quantity, known.ticket.jti, now)
            self.store.note_online(known.ticket.number, use, left.get(function, 0))

    def _decided(self, scanned: Scanned, function: str, quantity: int, scan_id: str) -> Outcome:
        judged = self._judged(scanned, function, quantity)
        if judged.claims and judged.claims.kind == tokens.ORDER:
            return Outcome(self._answer(judged), self._age(judged.pack))
        number, use = self._use(judged)
        scan = self._scan(
            *(use, judged.pack, scan_id), admitted=not judged.reason, qr_token=scanned.text
        )
        return self._written(judged, scan, number, use)

    def _written(self, judged: _Judged, scan: StoredScan, number: int, use: LocalUse) -> Outcome:
        self.store.write_scan(scan, number, use)
        after = self._after(judged, use) if scan.admitted else judged
        return Outcome(self._answer(after), self._age(judged.pack))

    @staticmethod
    def _use(judged: _Judged) -> tuple[int, LocalUse]:
        """The number of the ticket, and what is used of it."""
        claims, known, asked = judged.claims, judged.known, judged.asked
        number, jti = (claims.number, claims.jti) if claims else (0, b"")
        if known:  # an order's QR stands for those of its tickets that are valid
            number, jti = known.ticket.number, known.ticket.jti
        return number, LocalUse(asked.function_code, asked.quantity, jti, asked.now)

    @staticmethod
    def _after(judged: _Judged, use: LocalUse) -> _Judged:
        known = judged.known
        assert known
        return replace(judged, known=replace(known, local=[*known.local, use]))

    def _judged(
        self, scanned: Scanned, function: str, quantity: int, ticket_code: str = ""
    ) -> _Judged:
        """What the pack says of a scan; of the QR of an order with the code of its ticket."""
        pack, departure_id = self._usable()
        asked = self._asked(function, quantity, pack, departure_id)
        claims, reason = self._opened(scanned, pack)
        if claims is None:
            return _Judged(pack, asked, None, None, reason)
        if claims.kind == tokens.ORDER:
            of_order = {each.code: each for each in self.store.of_order(claims.number)}
            known = of_order.get(ticket_code)
        else:
            known = self.store.known(claims.number)
            if ticket_code and known and known.code != ticket_code:
                known = None  # listed by the QR of another ticket of the order
        return _Judged(
            pack, asked, claims, known, refused(asked, claims, known, pack.configuration)
        )

    def _order_of(
        self, scanned: Scanned, pack: PackState, asked: Asked
    ) -> tuple[Claims | None, int, str]:
        """The claims of an order's QR, the order's number, 0 if there is none, and why not."""
        if scanned.kind is Kind.CODE:
            return None, self.store.order_numbered(scanned.text) or 0, ""
        claims, reason = self._opened(scanned, pack)
        if claims is None:
            return None, 0, reason
        if reason := refused_by_token(claims, asked.now):
            return None, 0, reason
        if claims.kind == tokens.ORDER:
            return claims, claims.number, ""
        known = self.store.known(claims.number)
        if known is None or known.ticket.order is None:
            return None, 0, "TICKET_NOT_FOUND"
        superseded = "QR_SUPERSEDED" if is_superseded(claims, known.ticket) else ""
        return None, known.ticket.order.number, superseded

    def _asked(self, function: str, quantity: int, pack: PackState, departure_id: int) -> Asked:
        now = self.clock.now(pack.clock_offset)
        return Asked(function, quantity, now, departure_id, pack.configuration.time_zone)

    def _answer(self, judged: _Judged) -> redemption.RedeemResponse:
        claims, known = judged.claims, judged.known
        answer = answer_of(judged.reason, judged.asked, known, known.uses() if known else {})
        if claims and claims.kind == tokens.ORDER and known is None:
            answer.explanation.check = OF_ORDER
        return answer

    def _opened(self, scanned: Scanned, pack: PackState) -> tuple[Claims | None, str]:
        try:
            return tokens.opened(scanned.text, self._keys_of(pack)), ""
        except TokenError as error:
            if error.unknown_key in pack.configuration.compromised_key_ids:
                return None, "QR_KEY_COMPROMISED"
            if error.unknown_key is not None:
                raise NotDecidedError("KEY_UNKNOWN", f"pack {self._age(pack)} s old") from None
            return None, "TOKEN_INVALID"

    def _usable(self) -> tuple[PackState, int]:
        """The pack, and the departure that the session admits."""
        pack = self.store.pack()
        if pack is None:
            raise NotDecidedError("PACK_MISSING")
        standing = self.store.standing()
        if standing.barred:
            raise NotDecidedError("UNAUTHENTICATED")
        tolerance = _clock_tolerance(pack)
        if self.clock.now(pack.clock_offset) + tolerance < standing.last_time:
            raise NotDecidedError("CLOCK_WRONG", "the clock went back")
        age = self._age(pack)
        if age * 1000 < -tolerance:
            raise NotDecidedError("CLOCK_WRONG", "the clock is before the pack")
        agreed = pack.configuration.max_pack_seconds / 3600  # 0: of a server without policies
        oldest = min(self.pack_hours, agreed) if agreed else self.pack_hours
        if age > oldest * 3600:
            raise NotDecidedError("PACK_TOO_OLD", f"{age // 3600} h > {oldest:g} h")
        return pack, standing.departure_id

    def _keys_of(self, pack: PackState) -> dict[int, OpeningKey]:
        if self._keys is None or self._keys[0] is not pack:
            self._keys = pack, tokens.keys_of(pack.configuration.qr_keys)
        return self._keys[1]

    def _age(self, pack: PackState) -> int:
        return (self.clock.now(pack.clock_offset) - pack.version) // 1000

    def _scan(
        self,
        use: LocalUse,
        pack: PackState,
        scan_id: str,
        *,
        admitted: bool,
        qr_token: str = "",
        **by_number: str,
    ) -> StoredScan:
        return StoredScan(
            counter=0,
            scan_id=scan_id or new_request_id(),
            qr_token=qr_token,
            function_code=use.function_code,
            quantity=use.quantity,
            scanned_at=self.clock.wall(),  # the server sees by it whether the clock is right
            pack_version=pack.version,
            previous_hash="",
            admitted=admitted,
            **by_number,
        )


def _clock_tolerance(pack: PackState) -> int:
    """So many milliseconds a clock may go back and is still believed, as the server does."""
    said, seconds = pack.configuration, CLOCK_TOLERANCE_SECONDS
    if said.HasField("clock_tolerance_seconds"):
        seconds = said.clock_tolerance_seconds
    return seconds * 1000


@contextlib.contextmanager
def _as_not_decided() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        full = "full" in str(error)
        raise NotDecidedError("DISK_FULL" if full else "STORE_BROKEN", str(error)) from error
