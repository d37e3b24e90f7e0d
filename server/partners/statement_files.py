"""A statement as a file: CSV, JSON or PDF. Each says the content's hash."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from server.partners.statement_csv import statement_csv
from server.partners.statement_rules import StatementDocument

PDF_AT_ONCE = 1
"""In a process: each takes a processor for about a second, in a thread."""

_pdf_turns = asyncio.Semaphore(PDF_AT_ONCE)


class StatementFile(NamedTuple):
    """A file, and its media type."""

    content_type: str
    content: bytes


async def statement_file(made: StatementDocument, file_format: str) -> StatementFile:
    """The statement as `CSV`, `JSON` or `PDF`."""
    content_type, write = _FORMATS[file_format]
    if file_format != "PDF":
        return StatementFile(content_type, await asyncio.to_thread(write, made))
    async with _pdf_turns:
        return StatementFile(content_type, await asyncio.to_thread(write, made))


def statement_json(made: StatementDocument) -> bytes:
    """The hash, the state, and the content as the bytes that the hash is of."""
    head = '{"content_sha256":"%s","state":"%s","statement":' % (  # noqa: UP031 - braces
        made.content_sha256,
        "SEALED" if made.is_sealed else "PROVISIONAL",
    )
    return head.encode() + made.canonical + b"}\n"


def _pdf(made: StatementDocument) -> bytes:
    # its libraries take a second to load, and most servers make no PDF for days
    from server.partners.statement_pdf import statement_pdf

    return statement_pdf(made)


_FORMATS: dict[str, tuple[str, Callable[[StatementDocument], bytes]]] = {
    "CSV": ("text/csv; charset=utf-8", statement_csv),
    "JSON": ("application/json", statement_json),
    "PDF": ("application/pdf", _pdf),
}
