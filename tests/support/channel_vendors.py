"""The simulated vendors of channels, in this process.

```python
async with SimulatedChannels(tmp_path) as vendors:
    vendors.switch(limited={"ctrip:prices": 1}) # see tools/dev/channel_simulator/switches.py
```
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.dev.channel_simulator.app import ChannelSimulator
from tools.dev.channel_simulator.switches import Switches


class SimulatedChannels:
    """The simulator, running; `async with` starts and stops it."""

    def __init__(self, folder: Path, **switches: Any) -> None:
        self._folder = folder
        self._given = switches
        self.simulator: ChannelSimulator

    async def __aenter__(self) -> Self:
        self.simulator = ChannelSimulator(self._folder, Switches(**self._given))
        await self.simulator.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        await self.simulator.stop()

    def switch(self, **switches: Any) -> None:
        """Sets switches; see tools/dev/channel_simulator/switches.py."""
        self.simulator.switch(**switches)

    def reset(self) -> None:
        """As it was at the start; keys stay."""
        self.simulator.switch(**Switches(**self._given).model_dump())
        self.simulator.books.forget()
        self.simulator.ttd.forget()

    def book(self, vendor: str, content: dict[str, Any], at: float) -> None:
        """A customer books, at a time in Unix seconds."""
        self.simulator.books.book(vendor, content, at)

    def faults(self, vendor: str) -> list[str]:
        """Why requests were refused by the vendor's own checks."""
        return [each["fault"] for each in self.simulator.books.requests(vendor) if each["fault"]]

    def count(self, vendor: str, operation: str) -> int:
        """How many requests of an operation there were."""
        found = self.simulator.books.requests(vendor)
        return sum(each["operation"] == operation for each in found)
