"""The log: one JSON object a line on standard error, or coloured text on a terminal."""

import asyncio
import atexit
import logging
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
import structlog

GATHER_SECONDS = 0.05
"""Lines wait this long for others, so that a busy server does not pay a system call for each."""


class _Gathered:
    """A stream whose lines are written together; at once where no event loop runs."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        atexit.register(self._drain)

    def write(self, line: bytes) -> None:
        self._lines.append(line)

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._drain()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(GATHER_SECONDS, self._drain)

    def _drain(self) -> None:
        self._loop = None
        lines, self._lines = self._lines, []
        self._stream.write(b"".join(lines))
        self._stream.flush()


def _json(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str)


_log = structlog.get_logger()
_lines: _Gathered | None = None
"""Where lines about calls go, if they are JSON and wanted."""


def call(**fields: Any) -> None:
    """The line about one call; without structlog's processors, which cost as much again."""
    if _lines is None:
        _log.info("call", **fields)
        return
    stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = {**fields, "event": "call", "level": "info", "timestamp": stamp}
    _lines.write(orjson.dumps(line, default=str) + b"\n")
    _lines.flush()


def configure(*, level: str, style: str) -> None:
    """Sets up structlog for this process; `style` is json, text, or auto (text on a terminal)."""
    global _lines  # noqa: PLW0603 - the log is the process's
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    factory: Any
    _lines = None
    if text:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
        factory = structlog.PrintLoggerFactory(sys.stderr)
    else:
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json),
        ]
        gathered = _Gathered(sys.stderr.buffer)
        factory = structlog.BytesLoggerFactory(gathered)  # type: ignore[arg-type]
        if getattr(logging, level) <= logging.INFO:
            _lines = gathered
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
