"""Webhooks are checked as Standard Webhooks says; its own library signs where it is installed."""

import base64
import hashlib
import hmac
import json

import pytest
from deeptravel.webhooks import WebhookError, Webhooks

NOW = 1_796_000_000
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
BODY = json.dumps({"type": "ticket.redeemed", "data": {"名": 1}}).encode()


def signature(body: bytes = BODY, *, key: bytes = KEY, at: int | str = NOW) -> str:
    made = hmac.digest(key, b"msg_1." + str(at).encode() + b"." + body, hashlib.sha256)
    return "v1," + base64.b64encode(made).decode()


def headers(signatures: str, at: int | str = NOW) -> dict[str, str]:
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(at), "Webhook-Signature": signatures}


def test_a_message_of_the_server() -> None:
    found = Webhooks(SECRET).verify(BODY, headers(signature()), now=NOW + 299)
    assert (found.id, found.payload["type"]) == ("msg_1", "ticket.redeemed")
    assert found.time.timestamp() == NOW


def test_the_example_of_the_specification() -> None:
    """Of Standard Webhooks' own text, so that both sides are not wrong in the same way."""
    body = b'{"test": 2432232314}'
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    checked = Webhooks("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(body, given, now=1614265330)
    assert checked.payload == {"test": 2432232314}


@pytest.mark.parametrize("both", [[SECRET, OLD_SECRET], [OLD_SECRET, SECRET]])
def test_while_a_secret_is_exchanged_either_fits(both: list[str]) -> None:
    Webhooks(both).verify(BODY, headers(signature()), now=NOW)
    Webhooks(both).verify(BODY, headers(signature(key=bytes(32))), now=NOW)


def test_one_of_several_signatures_is_enough() -> None:
    several = " ".join(["v1a,xx", "v1,not base64!", signature(key=bytes(32)), signature()])
    Webhooks(SECRET).verify(BODY, headers(several), now=NOW)


@pytest.mark.parametrize(
    ("body", "given"),
    [
        (BODY + b" ", headers(signature())),
        (BODY, headers(signature(key=bytes(32)))),
        (BODY, headers(signature().replace("v1,", "v2,"))),
        (BODY, headers("v1,")),
        (BODY, headers("")),
        (BODY, headers(signature(at="１７９６"), at="１７９６")),
        (BODY, headers(signature(at="-5"), at="-5")),
        (BODY, headers(signature(at="9" * 30), at="9" * 30)),
        (BODY, headers(signature(at=NOW - 301), at=NOW - 301)),
        (BODY, headers(signature(at=NOW + 301), at=NOW + 301)),
        (b"[1]", headers(signature(b"[1]"))),
        (b"{", headers(signature(b"{"))),
        (BODY, {"webhook-id": "msg_1"}),
    ],
)
def test_what_cannot_be_trusted(body: bytes, given: dict[str, str]) -> None:
    with pytest.raises(WebhookError):
        Webhooks(SECRET).verify(body, given, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_" + "QUJD"])
def test_a_secret_of_another_form(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        Webhooks(secret)


def test_no_secret_at_all() -> None:
    with pytest.raises(ValueError, match="secret"):
        Webhooks([])
