"""Reads of many calls at once, see server/platform/reading.py."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY

from server.platform.pipeline import PipelineConnection
from server.platform.reading import ReadBatcher
from tests.support.waiting import until


def _figure(kind: str, name: str) -> float:
    return REGISTRY.get_sample_value(f"deeptravel_read_{name}", {"kind": kind}) or 0


def _batches(kind: str) -> tuple[float, float]:
    """How many there were, and the calls in them."""
    return _figure(kind, "batch_count"), _figure(kind, "batch_sum")


@contextmanager
def read_together(kind: str, calls: int) -> Iterator[None]:
    """Nothing of a kind is read until so many calls wait; fails unless they were one batch."""
    read = ReadBatcher.read

    async def later(self: ReadBatcher[object, object], pipeline: PipelineConnection) -> None:
        await until(lambda: _figure(kind, "queue") == calls)
        await read(self, pipeline)

    batches, calls_before = _batches(kind)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ReadBatcher, "read", later)
        yield
    assert _batches(kind) == (batches + 1, calls_before + calls)
