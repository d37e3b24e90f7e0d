"""The simulator's notices, as our client reads them, with each thing that can go wrong; its
pages and commands.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.platform.config import load_settings
from server.wechat.client import WechatClient
from server.wechat.codec import Notice, Transaction, WechatRefund
from server.wechat.signatures import ContentInvalidError, SignatureInvalidError, UnknownSerialError
from tests.support.free_ports import free_port
from tests.support.webhook import Delivery, Webhook
from tests.support.wechat import WechatSimulator

ROOT = Path(__file__).parents[2]


class Shop:
    """One who sells: a client, and a webhook that takes what the client can read."""

    def __init__(self, wechat: WechatSimulator) -> None:
        self.wechat = wechat
        self.webhook = Webhook(self._answer)
        self.read: list[Notice] = []
        self.faults: list[Exception] = []
        self.ready = True
        self.client: WechatClient

    def open(self, without: tuple[str, ...] = ()) -> None:
        given = self.wechat.settings(self.webhook.url)
        settings = load_settings(**{k: v for k, v in given.items() if k not in without})
        client = WechatClient.of(settings)
        assert client
        self.client = client

    async def sell(self, number: str = "DT77P1", amount_minor: int = 12345) -> str:
        await self.client.prepay(
            out_trade_no=number,
            description="票",
            amount_minor=amount_minor,
            currency_code="CNY",
            openid=self.wechat.openid("alice"),
            expire_time=datetime(2999, 1, 1, tzinfo=UTC),
        )
        return self.wechat.pay(number)

    async def refund(self) -> None:
        await self.client.refund(
            out_trade_no="DT77P1",
            out_refund_no="DT77R1S1",
            refund_minor=100,
            total_minor=12345,
            currency_code="CNY",
            reason="",
        )

    def _answer(self, delivery: Delivery) -> int:
        if not self.ready:
            return 503
        try:
            notice = self.client.verify_notice(delivery.headers, delivery.body, datetime.now(UTC))
        except (SignatureInvalidError, ContentInvalidError) as error:
            self.faults.append(error)
            return 401
        self.read.append(notice)
        return 204


@pytest.fixture
async def wechat(tmp_path: Path) -> AsyncIterator[WechatSimulator]:
    async with WechatSimulator(tmp_path / "wechat", port=free_port()) as running:
        yield running


@pytest.fixture
async def shop(wechat: WechatSimulator) -> AsyncIterator[Shop]:
    made = Shop(wechat)
    async with made.webhook:
        made.open()
        yield made
        await made.client.aclose()


async def test_a_payment_and_a_refund_are_notified(wechat: WechatSimulator, shop: Shop) -> None:
    transaction_id = await shop.sell()
    (delivery,) = await shop.webhook.wait_for(1)
    assert delivery.headers["wechatpay-signature-type"] == "WECHATPAY2-SHA256-RSA2048"
    await shop.refund()
    await shop.webhook.wait_for(2)
    paid, given_back = (notice.content for notice in shop.read)
    assert isinstance(paid, Transaction)
    assert (paid.out_trade_no, paid.transaction_id, paid.total_minor) == (
        "DT77P1",
        transaction_id,
        12345,
    )
    assert isinstance(given_back, WechatRefund)
    assert (given_back.out_refund_no, given_back.state, given_back.refund_minor) == (
        "DT77R1S1",
        "SUCCESS",
        100,
    )
    await wechat.settled()
    assert {notice.state for notice in wechat.notices()} == {"TAKEN"}


def amount(notice: Notice) -> int:
    assert isinstance(notice.content, Transaction)
    return notice.content.total_minor


SPOILT: list[tuple[dict[str, Any], Callable[[Any], object]]] = [
    ({"notice_amount_offset": -1}, lambda c: c.total_minor == 12344),
    ({"notice_currency": "HKD"}, lambda c: c.currency_code == "HKD"),
    ({"notice_merchant_id": "1900000002"}, lambda c: c.merchant_id == "1900000002"),
    ({"notice_app_id": "wx1"}, lambda c: c.app_id == "wx1"),
    ({"notice_out_trade_no": "DT0P1"}, lambda c: c.out_trade_no == "DT0P1"),
    ({"notice_event_type": "NEW.KIND"}, lambda c: c is None),
    ({"notice_age_seconds": 290}, lambda c: c.total_minor == 12345),
    ({"sign_notices": "certificate"}, lambda c: c.total_minor == 12345),
    ({"sign_notices": "alternate"}, lambda c: c.total_minor == 12345),
]


@pytest.mark.parametrize("written", ["kind", "empty", "null", "absent"])
async def test_associated_data_in_each_way_wechat_writes_it(
    wechat: WechatSimulator, shop: Shop, written: str
) -> None:
    """Of notices and of certificates; and every body is compact, as those need who verify what
    they parsed.
    """
    await wechat.switch(associated_data=written, sign_notices="certificate")
    await shop.sell()
    await shop.webhook.wait_for(2)  # the first finds the certificate unknown, and it is fetched
    body = shop.webhook.deliveries[-1].body
    resource = json.loads(body)["resource"]
    expected = {"kind": "transaction", "empty": "", "null": None, "absent": ...}[written]
    assert resource.get("associated_data", ...) == expected
    (notice,) = shop.read
    assert amount(notice) == 12345
    assert json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")) == body.decode()


async def test_a_refund_that_stays_processing_says_nothing(
    wechat: WechatSimulator, shop: Shop
) -> None:
    """Seen red: the simulator queued a notice of the same refund at every look, which had it look
    again at once.

    It did nothing else until the test's time was over.
    """
    await wechat.switch(refund_outcome="PROCESSING", lost_notices=True)
    await shop.sell()
    await shop.refund()
    await wechat.settled()
    assert [notice.event_type for notice in wechat.notices()] == ["TRANSACTION.SUCCESS"]
    assert not wechat.simulator.is_busy
    await wechat.switch(refund_outcome="SUCCESS")
    await wechat.settled()
    assert [notice.event_type for notice in wechat.notices()] == [
        "REFUND.SUCCESS",
        "TRANSACTION.SUCCESS",
    ]


@pytest.mark.parametrize(
    ("switch", "expected"), SPOILT, ids=lambda v: str(v) if isinstance(v, dict) else None
)
async def test_what_is_wechats_is_read_as_it_is(
    wechat: WechatSimulator, shop: Shop, switch: dict[str, Any], expected: Callable[[Any], object]
) -> None:
    await shop.client._refresh()
    await wechat.switch(**switch)
    await shop.sell()
    await shop.webhook.wait_for(1)
    (notice,) = shop.read
    assert expected(notice.content)


@pytest.mark.parametrize(
    ("switch", "fault"),
    [
        ({"forged_notices": True}, SignatureInvalidError),
        ({"notice_age_seconds": 310}, SignatureInvalidError),
        ({"notice_age_seconds": -310}, SignatureInvalidError),
        ({"notice_bytes": 100_000}, ContentInvalidError),
    ],
    ids=str,
)
async def test_what_is_not_believed_comes_again(
    wechat: WechatSimulator, shop: Shop, switch: dict[str, Any], fault: type[Exception]
) -> None:
    await wechat.switch(**switch)
    await shop.sell()
    await shop.webhook.wait_for(2)
    assert not shop.read
    await wechat.switch(**dict.fromkeys(switch, 0))
    await wechat.settled()
    assert {type(each) for each in shop.faults} == {fault}
    assert [amount(notice) for notice in shop.read] == [12345]


async def test_a_probe_comes_before(wechat: WechatSimulator, shop: Shop) -> None:
    await wechat.switch(probe_notices=True)
    await shop.sell()
    probe, _ = await shop.webhook.wait_for(2)
    assert probe.headers["wechatpay-signature"].startswith("WECHATPAY/SIGNTEST/")
    assert [type(each) for each in shop.faults] == [SignatureInvalidError]
    assert len(shop.read) == 1


async def test_a_new_certificate_is_fetched_and_the_notice_taken_then(
    wechat: WechatSimulator, shop: Shop
) -> None:
    await shop.client.aclose()
    shop.open(without=("wechat_public_key", "wechat_public_key_id"))
    shop.client.start()
    await wechat.switch(sign_notices="certificate", sign_answers="certificate")
    await shop.sell()
    await wechat.settled()
    assert len(shop.read) == 1
    shop.read.clear()
    wechat.merchant.add_certificate()
    shop.client._refresh_after = 0
    (notice,) = wechat.notices()
    await wechat.send(notice.notice_id)
    assert isinstance(shop.faults[-1], UnknownSerialError)
    await asyncio.gather(*shop.client._background)
    await wechat.send(notice.notice_id)
    assert len(shop.read) == 1


async def test_an_unknown_public_key_makes_nobody_fetch(
    wechat: WechatSimulator, shop: Shop
) -> None:
    headers = {
        "Wechatpay-Serial": "PUB_KEY_ID_9",
        "Wechatpay-Nonce": "n",
        "Wechatpay-Signature": "AAAA",
        "Wechatpay-Timestamp": str(int(datetime.now(UTC).timestamp())),
    }
    with pytest.raises(UnknownSerialError):
        shop.client.verify_notice(headers, b"{}", datetime.now(UTC))
    assert not shop.client._background


async def test_copies_at_once_are_one_notice(wechat: WechatSimulator, shop: Shop) -> None:
    await wechat.switch(notice_copies=5)
    await shop.sell()
    await shop.webhook.wait_for(5)
    assert len({notice.notice_id for notice in shop.read}) == 1


async def test_held_notices_come_in_the_other_order(wechat: WechatSimulator, shop: Shop) -> None:
    await wechat.switch(hold_notices=True)
    for number in (1, 2, 3):
        await shop.sell(f"DT7{number}P1", number)
    await wechat.settled()
    assert not shop.webhook.deliveries
    await wechat.switch(hold_notices=False)
    assert [amount(notice) for notice in shop.read] == [3, 2, 1]


async def test_lost_and_late_notices(wechat: WechatSimulator, shop: Shop) -> None:
    await wechat.switch(lost_notices=True)
    await shop.sell()
    await wechat.settled()
    assert not shop.webhook.deliveries
    assert [notice.state for notice in wechat.notices()] == ["LOST"]
    await wechat.switch(lost_notices=False, notice_delay_seconds=0.2)
    began = time.time()
    await shop.sell("DT78P1")
    await shop.webhook.wait_for(1)
    assert time.time() - began >= 0.2


async def test_what_is_not_taken_is_given_up_in_the_end(
    wechat: WechatSimulator, shop: Shop
) -> None:
    shop.ready = False
    await wechat.switch(retry_scale=1e-7)
    await shop.sell()
    await wechat.settled()
    (notice,) = wechat.notices()
    assert (notice.state, notice.attempts, notice.last_answer) == ("GIVEN_UP", 16, "503")


async def test_everything_survives_a_restart(wechat: WechatSimulator, shop: Shop) -> None:
    shop.ready = False
    await wechat.switch(retry_scale=0.02)
    transaction_id = await shop.sell()
    await shop.webhook.wait_for(1)
    await wechat.restart()
    shop.ready = True
    await wechat.settled()
    (notice,) = shop.read
    assert isinstance(notice.content, Transaction)
    assert notice.content.transaction_id == transaction_id
    assert await shop.client.query("DT77P1") == notice.content


async def test_the_pages(wechat: WechatSimulator, shop: Shop) -> None:
    await shop.client.prepay(
        out_trade_no="DT77P1",
        description="<b>票</b>",
        amount_minor=12305,
        currency_code="CNY",
        openid=wechat.openid("alice"),
        expire_time=datetime(2999, 1, 1, tzinfo=UTC),
    )
    async with httpx2.AsyncClient(base_url=f"{wechat.url}/simulator") as browser:
        assert "/simulator/pay/DT77P1" in (await browser.get(f"{wechat.url}/simulator")).text
        page = (await browser.get("/pay/DT77P1")).text
        assert "¥ 123.05" in page
        assert "支付 · Pay" in page
        assert "<b>" not in page
        failed = await browser.post("/pay/DT77P1", data={"outcome": "fail"})
        assert "支付失败" in failed.text
        paid = await browser.post("/pay/DT77P1", data={"outcome": "success"})
        assert "支付成功" in paid.text
        again = await browser.post("/pay/DT77P1", json={})
        assert (again.status_code, again.json()["code"]) == (400, "ORDERPAID")
        assert (await browser.get("/pay/DT0P1")).status_code == 404
        assert (await browser.post("/pay/DT0P1", json={"outcome": "fail"})).status_code == 404
        set_to = await browser.put("/switches", json={"lost_notices": True, "down": {"query": 1}})
        assert set_to.json()["switches"]["down"] == {"query": 1}
        for wrong in ({"no_such": 1}, {"down": {"everything": 1}}, {"retry_scale": 0}):
            assert (await browser.put("/switches", json=wrong)).status_code == 400
        assert (await browser.put("/switches", content=b"[")).status_code == 400
        assert (await browser.get("/switches")).json()["descriptions"]["lost_notices"]
        (notice,) = (await browser.get("/notices")).json()
        sent = await browser.post(f"/notices/{notice['notice_id']}/send", json={"copies": 2})
        assert sent.status_code == 204
        assert (await browser.post("/notices/none/send")).status_code == 404
        assert len((await browser.post("/certificates")).json()["serial_no"]) == 40


def test_the_commands(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.dev.wechat_simulator"]
    ready = tmp_path / "ready.json"
    folder = tmp_path / "wechat"
    serve = ["serve", "--folder", str(folder), "--port", "0", "--ready-file", str(ready)]
    serve += ["--switch", "lost_notices=true"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    with subprocess.Popen(
        [*command, *serve], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert "WeChat simulator on http://127.0.0.1:" in process.stdout.readline()
            given = json.loads(ready.read_text())
            assert given == json.loads((folder / "merchant.json").read_text())
            assert (folder / "merchant.json").stat().st_mode & 0o77 == 0
            load_settings(**given["settings"], wechat_notify_url="http://127.0.0.1:9")
            shown = run("switches", "--folder", str(folder))
            assert "lost_notices=true" in shown.stdout
            changed = run("switches", 'down={"query": 1}', "--url", given["url"])
            assert 'down={"query": 1}' in changed.stdout
            paid = run("pay", "DT0P1", "--folder", str(folder))
            assert (paid.returncode, "订单不存在" in paid.stderr) == (1, True)
            assert run("notices", "--folder", str(folder)).stdout == "[]\n"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    gone = run("pay", "DT0P1", "--folder", str(folder))
    assert (gone.returncode, "is the simulator running" in gone.stderr) == (3, True)
    assert "serve" in run("--help").stdout
