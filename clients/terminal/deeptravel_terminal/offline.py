"""Scans decided without network: by the pack, the terminal's clock and its policy.

Whatever is in doubt admits nobody: no pack or one that is too old, a clock that went back, a disk
that does not write, a log-in that the server refused.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from deeptravel import new_request_id, redemption

from deeptravel_terminal import tokens
from deeptravel_terminal.codes import Scanned
from deeptravel_terminal.offline_rules import (
    Asked,
    Known,
    LocalUse,
    answer_of,
    refused,
    refused_by_token,
)
from deeptravel_terminal.store import PackState, Store, StoreError
from deeptravel_terminal.stored_scans import StoredScan
from deeptravel_terminal.tokens import Claims, OpeningKey, TokenError

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

    def decide(self, scanned: Scanned, function: str, quantity: int) -> Outcome:
        """Decides a scan and writes it down before it is answered.

        Raises:
            NotDecidedError: nobody is to be admitted, and nothing was written.
        """
        with _as_not_decided():
            return self._decided(scanned, function, quantity)

    def admit(self, code: str, function: str, quantity: int, comment: str) -> Outcome:
        """Decides a ticket that a supervisor names by its number, and writes it down. Raises
        NotDecidedError.
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
            scan = self._scan(use, pack, admitted=not reason, ticket_code=code, comment=comment)
            return self._written(judged, scan, number or 0, use)

    def look(self, scanned: Scanned, function: str, quantity: int) -> Looked:
        """What would be decided; writes nothing. Raises NotDecidedError."""
        with _as_not_decided():
            judged = self._judged(scanned, function, quantity)
        answer = self._answer(judged)
        seen = redemption.DecryptQrResponse(ticket_code=answer.ticket_code)
        if judged.known:
            seen.ticket_info.status = judged.known.status
            seen.ticket_info.entitlements.extend(answer.entitlements)
            seen.ticket_info.details.CopyFrom(answer.details)
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

    def _decided(self, scanned: Scanned, function: str, quantity: int) -> Outcome:
        judged = self._judged(scanned, function, quantity)
        claims = judged.claims
        number, jti = (claims.number, claims.jti) if claims else (0, b"")
        use = LocalUse(function, quantity, jti, judged.asked.now)
        scan = self._scan(use, judged.pack, admitted=not judged.reason, qr_token=scanned.text)
        return self._written(judged, scan, number, use)

    def _written(self, judged: _Judged, scan: StoredScan, number: int, use: LocalUse) -> Outcome:
        self.store.write_scan(scan, number, use)
        if (known := judged.known) and scan.admitted:
            judged = replace(judged, known=replace(known, local=[*known.local, use]))
        return Outcome(self._answer(judged), self._age(judged.pack))

    def _judged(self, scanned: Scanned, function: str, quantity: int) -> _Judged:
        pack, departure_id = self._usable()
        asked = self._asked(function, quantity, pack, departure_id)
        claims, reason = self._opened(scanned, pack)
        if claims is None:
            return _Judged(pack, asked, None, None, reason)
        if claims.kind == tokens.ORDER and not refused_by_token(claims, asked.now):
            raise NotDecidedError("ORDER_NEEDS_NETWORK")
        known = self.store.known(claims.number)
        return _Judged(
            pack, asked, claims, known, refused(asked, claims, known, pack.configuration)
        )

    def _asked(self, function: str, quantity: int, pack: PackState, departure_id: int) -> Asked:
        now = self.clock.now(pack.clock_offset)
        return Asked(function, quantity, now, departure_id, pack.configuration.time_zone)

    def _answer(self, judged: _Judged) -> redemption.RedeemResponse:
        left = judged.known.uses() if judged.known else {}
        return answer_of(judged.reason, judged.asked, judged.known, left)

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
        *,
        admitted: bool,
        qr_token: str = "",
        **by_number: str,
    ) -> StoredScan:
        return StoredScan(
            counter=0,
            scan_id=new_request_id(),
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
