"""The methods of AdminService about the keys of QR codes."""

from datetime import datetime

from deeptravel.admin.v1 import qr_key_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api import convert
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.identity.callers import Admin
from server.platform.errors import not_found
from server.platform.statements import run
from server.redemption import issue_check
from server.redemption.event_ids import redemption_id
from server.redemption.issue_check import UnissuedRedemption
from server.tickets import issuing_keys, keys
from server.tickets.issuing_keys import ListedKey
from server.tickets.keys import KeyInfo
from server.tickets.qr import FIRST_NUMBER, KeyState

STATES = {
    KeyState.PENDING: qr_key_pb2.QR_KEY_STATE_PENDING,
    KeyState.ACTIVE: qr_key_pb2.QR_KEY_STATE_ACTIVE,
    KeyState.VERIFY_ONLY: qr_key_pb2.QR_KEY_STATE_VERIFY_ONLY,
    KeyState.COMPROMISED: qr_key_pb2.QR_KEY_STATE_COMPROMISED,
    KeyState.REVOKED: qr_key_pb2.QR_KEY_STATE_REVOKED,
}


class KeyMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _secret_key: bytes

    async def GetQrKey(
        self,
        request: qr_key_pb2.GetQrKeyRequest,
        context: Context[qr_key_pb2.GetQrKeyRequest, qr_key_pb2.GetQrKeyResponse],
    ) -> qr_key_pb2.GetQrKeyResponse:
        async with self._db.transaction() as tx:
            found = await _found(tx, request.qr_key_id)
        return qr_key_pb2.GetQrKeyResponse(qr_key=found)

    @paged
    async def ListQrKeys(
        self, request: qr_key_pb2.ListQrKeysRequest, page: Page[Admin, int]
    ) -> qr_key_pb2.ListQrKeysResponse:
        after = -1 if page.after is None else page.after
        async with self._db.report(page.caller.key) as tx:
            found = [_key(each) for each in await keys.list_keys(tx) if each.key_id > after]
            of_days = issuing_keys.PAGE(max(after, FIRST_NUMBER - 1), page.size + 1)
            found += map(_issuing_key, await run(tx, of_days))
        shown = page.cut(found[: page.size + 1], lambda last: last.qr_key_id)
        return qr_key_pb2.ListQrKeysResponse(qr_keys=shown)

    @paged
    async def ListUnissuedRedemptions(
        self,
        request: qr_key_pb2.ListUnissuedRedemptionsRequest,
        page: Page[Admin, tuple[datetime, int, int]],
    ) -> qr_key_pb2.ListUnissuedRedemptionsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await issue_check.page(tx, after=page.after, limit=page.size + 1)
        shown = page.cut(found, lambda last: (last.find_time, last.ticket_id, last.event_id))
        return qr_key_pb2.ListUnissuedRedemptionsResponse(redemptions=map(_unissued, shown))

    async def CompromiseQrKey(
        self,
        request: qr_key_pb2.CompromiseQrKeyRequest,
        context: Context[qr_key_pb2.CompromiseQrKeyRequest, qr_key_pb2.CompromiseQrKeyResponse],
    ) -> qr_key_pb2.CompromiseQrKeyResponse:
        answer = await self._compromise(request, context)
        await keys.known_everywhere()
        return answer

    @changing
    async def _compromise(
        self, request: qr_key_pb2.CompromiseQrKeyRequest, call: ChangingCall[Admin]
    ) -> qr_key_pb2.CompromiseQrKeyResponse:
        await keys.compromise(
            call.tx, self._secret_key, request.qr_key_id, comment=request.comment, **by(call)
        )
        return qr_key_pb2.CompromiseQrKeyResponse(qr_key=await _found(call.tx, request.qr_key_id))


async def _found(tx: AsyncConnection, key_id: int) -> qr_key_pb2.QrKey:
    """A key that there is. Raises NOT_FOUND."""
    if key_id < FIRST_NUMBER:
        return _key(await keys.get_key(tx, key_id))
    for each in await run(tx, issuing_keys.PAGE(key_id - 1, 1)):
        if each.number == key_id:
            return _issuing_key(each)
    raise not_found("qr_key", key_id)


def _unissued(found: UnissuedRedemption) -> qr_key_pb2.UnissuedRedemption:
    return qr_key_pb2.UnissuedRedemption(
        redemption_id=redemption_id(found.ticket_id, found.event_id),
        ticket_code=found.ticket_code,
        function_code=found.function_code,
        quantity=found.quantity,
        merchant_code=found.merchant_code,
        venue_code=found.venue_code,
        terminal_device_id=found.terminal_device_id,
        operator=found.operator,
        redeemed_time=convert.timestamp(found.occurred_time),
        find_time=convert.timestamp(found.find_time),
        qr_key_id=found.qr_key_id,
        qr_key_state=STATES[found.key_state],
    )


def _issuing_key(key: ListedKey) -> qr_key_pb2.QrKey:
    return qr_key_pb2.QrKey(
        qr_key_id=key.number,
        state=STATES[KeyState(key.state)],
        verify_key=key.verify_key,
        create_time=convert.timestamp(key.create_time),
        activate_time=convert.timestamp(key.create_time),
        retire_time=convert.timestamp(key.retire_time),
        compromise_time=convert.timestamp(key.compromise_time),
        issued=key.issued,
        replaced=key.replaced,
        is_recorded=True,
        partner_code=key.partner_code,
        issue_date=key.day.isoformat(),
    )


def _key(key: KeyInfo) -> qr_key_pb2.QrKey:
    return qr_key_pb2.QrKey(
        qr_key_id=key.key_id,
        state=STATES[key.state],
        verify_key=key.verify_key,
        create_time=convert.timestamp(key.create_time),
        activate_time=convert.timestamp(key.activate_time),
        retire_time=convert.timestamp(key.retire_time),
        revoke_time=convert.timestamp(key.revoke_time),
        compromise_time=convert.timestamp(key.compromise_time),
        issued=key.issued,
        replaced=key.replaced,
        is_recorded=key.is_recorded,
    )
