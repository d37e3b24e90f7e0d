"""The methods of AdminService about second factors."""

from deeptravel.admin.v1 import account_pb2

from server.api import calls
from server.api.admin import messages
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.repeats import ChangingCall, changing, in_steps
from server.identity import second_factors
from server.identity.accounts import ADMINISTRATORS
from server.identity.callers import Admin
from server.identity.second_factors import SecondFactors


class SecondFactorMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _second_factors: SecondFactors

    @changing
    async def EnrolSecondFactor(
        self, request: account_pb2.EnrolSecondFactorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.EnrolSecondFactorResponse:
        made = await self._second_factors.enrol(call.tx, call.caller.username, **by(call))
        return account_pb2.EnrolSecondFactorResponse(
            otpauth_uri=made.otpauth_uri, secret=made.secret, svg=second_factors.picture(made)
        )

    @changing
    async def ConfirmSecondFactor(
        self, request: account_pb2.ConfirmSecondFactorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.ConfirmSecondFactorResponse:
        codes = await self._second_factors.confirm(
            call.tx, call.caller.username, request.code, **by(call)
        )
        return account_pb2.ConfirmSecondFactorResponse(recovery_codes=codes)

    @in_steps
    async def RenewRecoveryCodes(
        self,
        request: account_pb2.RenewRecoveryCodesRequest,
        context: Context[
            account_pb2.RenewRecoveryCodesRequest, account_pb2.RenewRecoveryCodesResponse
        ],
    ) -> account_pb2.RenewRecoveryCodesResponse:
        return await self._second_factors.counted(
            calls.caller(Admin).username, lambda: self._renew_recovery_codes(request, context)
        )

    @changing
    async def _renew_recovery_codes(
        self, request: account_pb2.RenewRecoveryCodesRequest, call: ChangingCall[Admin]
    ) -> account_pb2.RenewRecoveryCodesResponse:
        codes = await self._second_factors.renew(
            call.tx, call.caller.username, request.code, **by(call)
        )
        return account_pb2.RenewRecoveryCodesResponse(recovery_codes=codes)

    @changing
    async def ResetSecondFactor(
        self, request: account_pb2.ResetSecondFactorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.ResetSecondFactorResponse:
        await second_factors.reset(call.tx, request.username, reason=request.comment, **by(call))
        administrator = await ADMINISTRATORS.get(call.tx, request.username)
        message = messages.administrator_message(administrator)
        return account_pb2.ResetSecondFactorResponse(administrator=message)
