"""The methods of AdminService that import and export the catalogue."""

import asyncio
from collections.abc import AsyncIterator

from deeptravel.admin.v1 import catalogue_file_pb2

from server.api import calls, pieces
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.repeats import ChangingCall, changing
from server.configuration import catalogue_files
from server.configuration.catalogue_files import FileRefused, RefusedLine
from server.configuration.catalogue_import import ImportReport, import_catalogue
from server.configuration.catalogue_nouns import NOUNS
from server.configuration.catalogue_records import read_catalogue
from server.identity.callers import Admin
from server.platform.errors import invalid

YAML, ZIP = "application/yaml", "application/zip"


class CatalogueFileMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @changing
    async def ImportCatalogue(
        self, request: catalogue_file_pb2.ImportCatalogueRequest, call: ChangingCall[Admin]
    ) -> catalogue_file_pb2.ImportCatalogueResponse:
        try:
            # a thread: a large file takes seconds
            file = await asyncio.to_thread(
                catalogue_files.read, request.file.data, request.file_name
            )
            report = await import_catalogue(
                call.tx,
                file,
                dry_run=request.dry_run,
                keep_going=request.keep_going,
                **by(call),
            )
        except FileRefused as refused:
            raise invalid("file", str(refused)) from None
        return report_message(report)

    async def ExportCatalogue(
        self,
        request: catalogue_file_pb2.ExportCatalogueRequest,
        context: Context[
            catalogue_file_pb2.ExportCatalogueRequest, catalogue_file_pb2.ExportCatalogueResponse
        ],
    ) -> AsyncIterator[catalogue_file_pb2.ExportCatalogueResponse]:
        async with self._db.report(calls.caller(Admin).key) as tx:
            records = await read_catalogue(tx)
        is_csv = request.format == catalogue_file_pb2.CATALOGUE_FORMAT_CSV
        write = catalogue_files.write_zip if is_csv else catalogue_files.write_yaml
        content = await asyncio.to_thread(write, records)
        for body in pieces.of_file(ZIP if is_csv else YAML, content):
            yield catalogue_file_pb2.ExportCatalogueResponse(body=body)


def report_message(report: ImportReport) -> catalogue_file_pb2.ImportCatalogueResponse:
    """What an import did."""
    return catalogue_file_pb2.ImportCatalogueResponse(
        nouns=[
            catalogue_file_pb2.CatalogueNounReport(
                noun=noun.name,
                created=report.created[noun.name],
                updated=report.updated[noun.name],
                unchanged=report.unchanged[noun.name],
            )
            for noun in NOUNS
            if noun.name in {*report.created, *report.updated, *report.unchanged}
        ],
        refused=map(_line, report.refused),
        refused_count=report.refused_count,
        applied=report.applied,
    )


def _line(line: RefusedLine) -> catalogue_file_pb2.RefusedLine:
    return catalogue_file_pb2.RefusedLine(
        file_name=line.file,
        line=line.line,
        noun=line.noun,
        record_key=line.name,
        field=line.field,
        description=line.description,
    )
