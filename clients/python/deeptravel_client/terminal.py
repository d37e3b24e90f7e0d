"""What an operator at a scanner terminal calls."""

from collections.abc import Callable
from typing import TypeVar

import grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc

from deeptravel_client.connection import CallError, Connection, new_request_id

Response = TypeVar("Response")


class Terminal:
    """An operator who is logged in at a terminal. Every method raises CallError.

    A refused scan is an answer and no error: `result` says REJECT, `reason` and `explanation` why.
    """

    def __init__(
        self, connection: Connection, username: str, password: str, terminal_device_id: str
    ) -> None:
        self._connection = connection
        self._stub = redemption_service_pb2_grpc.RedemptionServiceStub(connection.channel)
        request = access_pb2.OperatorLoginRequest(
            username=username, password=password, terminal_device_id=terminal_device_id
        )
        tokens = connection.call(self._stub.OperatorLogin, request)
        self._use(tokens.access_token, tokens.refresh_token)

    def look(self, qr_text: str) -> redemption_pb2.DecryptQrResponse:
        """What a QR code is good for; consumes nothing."""
        request = redemption_pb2.DecryptQrRequest(encrypted_data=qr_text)
        return self._logged_in(lambda me: me.call(self._stub.DecryptQr, request, reads=True))

    def redeem(
        self, qr_text: str, function_code: str, *, quantity: int = 1, request_id: str = ""
    ) -> redemption_pb2.RedeemResponse:
        """Consumes uses of an entitlement; one scan is one request id, however often it is sent."""
        request = redemption_pb2.RedeemRequest(
            qr_token=qr_text,
            function_code=function_code,
            quantity=quantity,
            request_id=request_id or new_request_id(),
        )
        return self._logged_in(lambda me: me.call(self._stub.Redeem, request))

    def _use(self, access_token: str, refresh_token: str) -> None:
        self._server = self._connection.authorized("authorization", f"Bearer {access_token}")
        self._refresh_token = refresh_token

    def _logged_in(self, call: Callable[[Connection], Response]) -> Response:
        """Calls, with a new access token if the former one is over."""
        try:
            return call(self._server)
        except CallError as error:
            if error.code is not grpc.StatusCode.UNAUTHENTICATED:
                raise
        request = access_pb2.RefreshTokenRequest(refresh_token=self._refresh_token)
        # its contract gives a repeat within half a minute the same tokens
        tokens = self._connection.call(self._stub.RefreshToken, request, reads=True)
        self._use(tokens.access_token, tokens.refresh_token)
        return call(self._server)
