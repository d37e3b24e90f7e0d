"""The WeChat simulator that `serve` starts when everything runs embedded."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from server.cli import development
from server.platform.config import load_settings, wechat_settings
from server.platform.errors import StartError
from server.platform.loops import Loops
from server.wechat.client import WechatClient
from tests.support.wechat import WechatSimulator


async def test_it_runs_to_the_end_of_the_block_and_gives_a_merchant(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    with development.open_wechat(settings) as running:
        assert running
        running.start()
        given = development.with_merchant(settings, running)
        client = WechatClient.of(given)
        assert client
        assert (await client.code_to_session("alice")).openid
        await client.aclose()
        # what a worker process is given makes the same merchant
        worker = load_settings(**wechat_settings(given))
        assert worker.wechat_api_v3_key == given.wechat_api_v3_key
        assert worker.wechat_merchant_key == given.wechat_merchant_key
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(given.wechat_pay_url, trust_env=False)


async def test_it_is_started_again_when_it_dies(tmp_path: Path) -> None:
    """Where it was, for the same merchant. Seen red: it stayed dead."""
    settings = load_settings(data_dir=tmp_path)
    with development.open_wechat(settings) as running:
        assert running
        running.start()
        client = WechatClient.of(development.with_merchant(settings, running))
        assert client
        alice = await client.code_to_session("alice")
        (child,) = running.children
        kept = Loops().add("simulator", child.keep)
        kept.start()
        for _ in range(2):
            former = child.process
            former.kill()
            async with asyncio.timeout(60):
                while child.process is former or not child.answers():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert (await client.code_to_session("alice")).openid == alice.openid
        await kept.cancel()
        await client.aclose()
    assert child.process.returncode == 0


async def test_it_is_not_started_beside_a_merchant_or_a_database(tmp_path: Path) -> None:
    async with WechatSimulator(tmp_path / "wechat") as wechat:
        merchant = load_settings(**wechat.settings(), data_dir=tmp_path / "data")
    plain = load_settings(data_dir=tmp_path / "data")
    by_urls = plain.model_copy(update={"database_url": "postgresql://", "redis_url": "redis://"})
    for settings in (merchant, by_urls):
        with development.open_wechat(settings) as running:
            assert running is None
        assert development.with_merchant(settings, running) is settings
    assert not (tmp_path / "data").exists()


def test_it_says_why_it_does_not_start(tmp_path: Path) -> None:
    folder = tmp_path / "wechat"
    folder.mkdir()
    (folder / "identity.json").write_text("{")
    settings = load_settings(data_dir=tmp_path)
    with development.open_wechat(settings) as running:
        assert running
        running.start()
        with pytest.raises(StartError, match=r"simulator\.log"):
            development.with_merchant(settings, running)


def test_it_ends_with_the_server_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import time, pathlib; from server.cli import development as s; from"
        " server.platform.config import load_settings\nx ="
        f" load_settings(data_dir=pathlib.Path({str(tmp_path)!r}))\nwith s.open_wechat(x) as w:"
        " w.start(); print(w.merchant()['wechat_pay_url'], flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as server:
        assert server.stdout
        url = server.stdout.readline().strip()
        assert httpx2.get(f"{url}/simulator", trust_env=False).status_code == 200
        os.kill(server.pid, signal.SIGKILL)
    for _ in range(1000):
        try:
            httpx2.get(f"{url}/simulator", trust_env=False)
        except httpx2.TransportError:
            return
        time.sleep(0.05)
    pytest.fail("the simulator outlived the server")
