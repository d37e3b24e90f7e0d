"""WeChat for tests: the simulator of `tools/dev/wechat_simulator`, in this process, with keys and
state of the test's own.

```python
async with WechatSimulator(tmp_path / "wechat") as wechat:
    settings = load_settings(**wechat.settings("http://127.0.0.1:8080")) # or put them into the
      environment
    session = await client.code_to_session("alice")                      # any code is a traveller
    await wechat.switch(lost_notices=True) # see tools/dev/wechat_simulator/switches.py
    wechat.pay(out_trade_no)                                             # as the traveller's phone
```
"""

import asyncio
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import WAIT_SECONDS
from tools.dev.wechat_simulator.app import Simulator, openid
from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.store import Notice
from tools.dev.wechat_simulator.switches import Switches


class WechatSimulator:
    """A running simulator; `async with` starts and stops it.

    Refunds settle and notices are retried within hundredths of a second, unless the switches say
    otherwise.

    Args:
        folder: keys and state; give the same again to see them survive. Its keys are copies of
            one set made once for the whole run, so that starting costs nothing.
        port: where it listens; one of tests.support.free_ports if it is to be restarted.
        switches: what goes wrong from the start.
    """

    def __init__(self, folder: Path, *, port: int = 0, **switches: Any) -> None:
        _seed(folder)
        self._folder = folder
        self._switches = {"refund_seconds": 0.0, "retry_scale": 0.003, **switches}
        self._simulator: Simulator | None = None
        self._port = port

    @property
    def simulator(self) -> Simulator:
        """The thing itself."""
        assert self._simulator, "not started"
        return self._simulator

    @property
    def url(self) -> str:
        """Where it is."""
        return self.simulator.url

    @property
    def merchant(self) -> Merchant:
        """Keys and numbers, WeChat's private ones included."""
        return self.simulator.merchant

    def settings(self, notify_url: str = "http://127.0.0.1:9", **others: str) -> dict[str, str]:
        """Settings with which our server is its merchant; `notify_url` is where our gateway is."""
        return {
            **self.merchant.settings(self.url),
            "wechat_notify_url": notify_url,
            **others,
        }

    def environment(self, notify_url: str = "http://127.0.0.1:9") -> dict[str, str]:
        """The same as environment variables."""
        settings = self.settings(notify_url)
        return {f"DEEPTRAVEL_{name.upper()}": value for name, value in settings.items()}

    async def switch(self, **switches: Any) -> None:
        """Sets switches, as `lost_notices=True` or `down={"query": 1}`."""
        await self.simulator.switch(**switches)

    def pay(self, number: str, payment: dict[str, str] | None = None) -> str:
        """Pays an order by out_trade_no or prepay_id; returns WeChat's transaction_id.

        With `payment`, what the mini program would give to wx.requestPayment with `appId`, its
        signature is checked first. Raises tools.dev.wechat_simulator.protocol.RefusedError, as for
        an order that is closed.
        """
        return self.simulator.pay(number, payment)

    def openid(self, code: str) -> str:
        """Who a log-in code is for; `name#1`, `name#2` … are codes of `name` that work once."""
        return openid(self.merchant, code.partition("#")[0])

    def notices(self, state: str | None = None) -> list[Notice]:
        """Notices, newest first; states are WAITING, TAKEN, GIVEN_UP, LOST, HELD."""
        return self.simulator.notices(state)

    async def send(self, notice_id: str, copies: int = 1) -> None:
        """Sends a notice again, now, so often at once; waits for the answers."""
        await self.simulator.send(notice_id, copies)

    async def settled(self) -> None:
        """Waits until nothing is to be sent and no refund is open; TimeoutError after a minute."""
        async with asyncio.timeout(WAIT_SECONDS):
            while self.simulator.is_busy:  # noqa: ASYNC110 - it may become busy again at once
                await asyncio.sleep(0.005)

    async def begin_again(self) -> None:
        """Nobody has paid, and nothing goes wrong but what did from the start."""
        await self.switch(**Switches(**self._switches).model_dump())
        self.simulator.forget()
        await self.settled()

    async def restart(self) -> None:
        """Ends it and starts it again on the same port, with the state it had and all switches
        as at the start.
        """
        await self.__aexit__(None, None, None)
        await self.__aenter__()

    async def __aenter__(self) -> Self:
        simulator = Simulator(self._folder, Switches(**self._switches))
        self._simulator = await simulator.start(self._port)
        self._port = int(simulator.url.rpartition(":")[2])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.simulator.stop()
        self._simulator = None


_keys: list[tempfile.TemporaryDirectory[str]] = []


def _seed(folder: Path) -> None:
    """Puts the keys of this run into a new folder."""
    if folder.exists():
        return
    if not _keys:
        _keys.append(tempfile.TemporaryDirectory(prefix="deeptravel-wechat-"))
        Merchant.open(Path(_keys[0].name))
    shutil.copytree(_keys[0].name, folder)
