"""Payments between protobuf and plain values."""

from collections.abc import Mapping

from deeptravel.ticketing.v1 import payment_pb2

from server.api import convert
from server.api.calls import Metadata
from server.identity.travellers import TravellerToken
from server.payments.payment_requests import Paying
from server.wechat.codec import PaySign

STATES = convert.enum_numbers(payment_pb2.PaymentState)
SUCCESS = "SUCCESS"
"""What WeChat reads as taken."""


def login(traveller_id: int, token: TravellerToken) -> payment_pb2.TravellerLoginResponse:
    """A traveller who has logged in."""
    return payment_pb2.TravellerLoginResponse(
        access_token=token.access_token,
        expires_in_seconds=token.expires_in_seconds,
        traveller_id=str(traveller_id),
    )


def created(paying: Paying) -> payment_pb2.CreatePaymentResponse:
    """The answer to CreatePayment."""
    sign = _pay_sign(paying.pay_sign) if paying.pay_sign else None
    return payment_pb2.CreatePaymentResponse(payment=payment(paying), pay_sign=sign)


def payment(paying: Paying) -> payment_pb2.Payment:
    """The payment of an order; of one with nothing to pay, how it stands."""
    order, found = paying.order, paying.payment
    if found is None:
        return payment_pb2.Payment(
            order_id=order.order_code,
            state=STATES["SUCCEEDED"],
            currency_code=order.currency_code,
            expire_time=convert.timestamp(order.hold_expire_time),
            success_time=convert.timestamp(order.pay_time),
        )
    return payment_pb2.Payment(
        order_id=order.order_code,
        out_trade_no=found.out_trade_no,
        state=STATES[found.state],
        amount_minor=found.amount_minor,
        currency_code=found.currency_code,
        expire_time=convert.timestamp(found.expire_time),
        transaction_id=found.transaction_id,
        success_time=convert.timestamp(found.success_time),
        refunded_minor=found.refunded_minor,
    )


def notice_headers(metadata: Metadata) -> Mapping[str, str]:
    """The headers of a notice, which came as metadata."""
    return {name: value for name, value in metadata.items() if isinstance(value, str)}


def _pay_sign(sign: PaySign) -> payment_pb2.PaySign:
    return payment_pb2.PaySign(
        time_stamp=sign.time_stamp,
        nonce_str=sign.nonce,
        package=sign.package,
        sign_type=sign.sign_type,
        pay_sign=sign.pay_sign,
    )
