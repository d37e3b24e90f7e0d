"""The envelope of Ctrip's attractions protocol: what we seal and sign, the simulator opens, which
has code of its own, and the reverse; whatever bytes come, the answer is a refusal and no fault.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channels import ttd_messages, ttd_wire
from server.channels.ttd_wire import ResultCode, TtdKeys, TtdRefusal
from tools.dev.channel_simulator.ttd import CtripTtd

KEYS = TtdKeys("acc", "sign", b"0123456789abcdef", b"fedcba9876543210")


@pytest.fixture(scope="module")
def ctrip(tmp_path_factory: pytest.TempPathFactory) -> CtripTtd:
    return CtripTtd(tmp_path_factory.mktemp("ttd"))


def keys_of(ctrip: CtripTtd) -> TtdKeys:
    return TtdKeys.of(ctrip.keys)


@given(st.binary(max_size=300))
def test_what_is_sealed_opens(plain: bytes) -> None:
    sealed = ttd_wire.seal(plain, KEYS)
    assert set(sealed) <= set("abcdefghijklmnop")
    assert len(sealed) % 32 == 0
    assert ttd_wire.unseal(sealed, KEYS) == plain


@given(st.binary(max_size=100))
def test_letters_are_the_bytes_halves(content: bytes) -> None:
    text = ttd_wire.to_letters(content)
    assert [ord(each) - 97 for each in text] == [h for b in content for h in (b >> 4, b & 15)]
    if content:
        assert ttd_wire.from_letters(text) == content


@pytest.mark.parametrize("text", ["", "a", "aq", "AB", "a1", "a b", "ａa", "ab\n", "é" * 2])
def test_other_letters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="letters"):
        ttd_wire.from_letters(text)


def test_a_body_and_a_signature_byte_by_byte() -> None:
    """AES-128-CBC of `{"a":1}` with these keys, as `openssl enc -aes-128-cbc` has it; MD5 as
    `md5sum` has it.
    """
    assert ttd_wire.seal(b'{"a":1}', KEYS) == "jnfgiilgpgiddgohglngckkpdajompll"
    signed = ttd_wire.signature("acc", "QueryOrder", "2026-12-24 08:00:00", "ab", "1.0", "sign")
    assert signed == "4b52c2a566e1863378c4b14cc572d463"


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(0, 10**9), max_size=4)
)
def test_the_simulated_vendor_and_we_understand_each_other(content: dict[str, str | int]) -> None:
    ctrip = CtripTtd.__new__(CtripTtd)
    ctrip.keys = dict(
        zip(ttd_wire.CREDENTIALS, ("acc", "sign", "0123456789abcdef", "f" * 16), strict=True)
    )
    keys = keys_of(ctrip)
    call = ttd_wire.read_call(ctrip.signed("QueryOrder", content), keys)
    assert (call.service, call.content) == ("QueryOrder", content)
    said = ttd_wire.answer(ResultCode.OK, "", content, keys)
    assert ctrip.opened(said) == ("0000", content)
    asked = ttd_wire.request("X", json.dumps({**content, "sequenceId": "s"}).encode(), keys, 0)
    assert ctrip._proven(asked) == ("X", {**content, "sequenceId": "s"})


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"sign": "0" * 32}, ResultCode.WRONG_SIGNATURE),
        ({"sign": "é"}, ResultCode.WRONG_SIGNATURE),
        ({"version": "\ud800"}, ResultCode.WRONG_SIGNATURE),
        ({"accountId": "other"}, ResultCode.WRONG_ACCOUNT),
        ({"serviceName": "PayPreOrder"}, ResultCode.WRONG_SIGNATURE),
        ({"requestTime": "2020-01-01 00:00:00"}, ResultCode.WRONG_SIGNATURE),
        ({"version": "2.0"}, ResultCode.WRONG_SIGNATURE),
    ],
)
def test_what_is_falsified_is_refused(
    ctrip: CtripTtd, header: dict[str, str], code: ResultCode
) -> None:
    with pytest.raises(TtdRefusal) as refused:
        ttd_wire.read_call(ctrip.signed("QueryOrder", {}, **header), keys_of(ctrip))
    assert refused.value.code == code


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_are_a_fault(raw: bytes) -> None:
    with pytest.raises(TtdRefusal) as refused:
        ttd_wire.read_call(raw, KEYS)
    assert refused.value.code == ResultCode.UNREADABLE


@given(st.text(max_size=64))
def test_a_signed_body_that_nobody_sealed_is_unreadable(body: str) -> None:
    sign = ttd_wire.signature("acc", "X", "t", body, "1.0", "sign")
    header = {"accountId": "acc", "serviceName": "X", "requestTime": "t", "version": "1.0"}
    raw = json.dumps({"header": {**header, "sign": sign}, "body": body}).encode()
    with pytest.raises(TtdRefusal) as refused:
        ttd_wire.read_call(raw, KEYS)
    assert refused.value.code == ResultCode.UNREADABLE


def test_keys_have_their_length(tmp_path: Path) -> None:
    short = CtripTtd(tmp_path).keys | {"aes_iv_secret": "short"}
    with pytest.raises(ValueError, match="16 bytes"):
        TtdKeys.of(short)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2027-02-29", "tomorrow"])
def test_a_day_without_stock_is_refused_unseen(day: str) -> None:
    """Seen red without the bounds: the number of a departure has no room for such a day."""
    item = {"PLU": "P", "useStartDate": day, "quantity": 1}
    with pytest.raises(TtdRefusal) as refused:
        ttd_messages.order_of({"items": [item]}, is_verified=True)
    assert refused.value.code == ResultCode.WRONG_DATE
