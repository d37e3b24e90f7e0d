"""The log: one JSON object a line on standard error, or coloured text on a terminal.

Errors are shown as server.platform.faults does, whoever logs them: no values of rows, parameters or
fields.
"""

import asyncio
import atexit
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from server.platform.faults import fault_text, traceback_text
from server.platform.optional import without

with without("rich"):  # it would show tracebacks with it, which are text when they come here
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


get_logger = structlog.get_logger
_log = get_logger()
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
        _show_errors,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    factory: Any
    _lines = None
    if text:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
        factory = structlog.PrintLoggerFactory(sys.stderr)
    else:
        processors.append(structlog.processors.JSONRenderer(serializer=_json))
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(name)s: %(message)s"))
    # of libraries
    logging.basicConfig(level=max(logging.WARNING, getattr(logging, level)), handlers=[handler])
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_complaint_about_metadata)


def guard_process() -> None:
    """Errors that nobody catches are shown as those in the log, in every thread."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        sys.stderr.write(traceback_text(error.with_traceback(trace)) + "\n")

    def show_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            show(args.exc_type, args.exc_value, args.exc_traceback)

    def show_unraisable(args: Any) -> None:
        if args.exc_value is not None:
            show(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = show
    threading.excepthook = show_in_thread
    sys.unraisablehook = show_unraisable


def loop_fault(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """An event loop's exception handler: asyncio's own shows tasks and callbacks with their
    arguments.
    """
    error, task = context.get("exception"), context.get("task") or context.get("future")
    _log.error(
        "loop.fault",
        detail=str(context["message"]).partition(" <")[0],
        task=task.get_name() if isinstance(task, asyncio.Task) else None,
        exc_info=error,
    )


def _show_errors(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replaces errors, in whatever field, by what may be said of them."""
    found = event.pop("exc_info", None)
    if isinstance(found, tuple):
        found = found[1]
    elif found and not isinstance(found, BaseException):
        found = sys.exc_info()[1]
    for name, value in event.items():
        if isinstance(value, BaseException):
            event[name] = fault_text(value)
    if isinstance(found, BaseException):
        event["exception"] = traceback_text(found)
    return event


def _is_no_complaint_about_metadata(record: logging.LogRecord) -> bool:
    """What anybody sends as metadata is no fault of ours; grpcio shows each value that is no
    UTF-8, with a traceback.
    """
    return not str(record.msg).startswith("Invalid encoding")


class _Formatter(logging.Formatter):
    """For what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        """Called by the library."""
        if isinstance(record.msg, BaseException):
            record.msg, record.args = fault_text(record.msg), ()
        if isinstance(record.args, tuple):
            record.args = tuple(
                fault_text(each) if isinstance(each, BaseException) else each
                for each in record.args
            )
        record.exc_text = None  # another's
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        """Called by the library."""
        return traceback_text(ei[1]) if ei[1] else ""
