"""The methods of AdminService that are about versions of what sells."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import config_version_pb2

from server.api import convert
from server.api.admin import preview_messages
from server.api.admin.config_version_messages import (
    STATE_NAME,
    TYPE_NAME,
    content,
    version_message,
)
from server.api.admin.preview_messages import (
    PreviewRequest,
    PreviewToken,
    cursor_of,
    token_of,
)
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.catalog import config_versions
from server.catalog.config_versions import ConfigSubject, VersionName, parsed_id
from server.catalog.products import PRODUCTS
from server.configuration import drafts, kept_examples, publishing
from server.configuration.preview import DryRun, read_preview
from server.identity.callers import Admin
from server.platform import clock


class ConfigVersionMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo

    @changing
    async def CreateConfigDraft(
        self, request: config_version_pb2.CreateConfigDraftRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.CreateConfigDraftResponse:
        subject = ConfigSubject(TYPE_NAME[request.object_type], request.object_id)
        given = request.HasField("content")
        draft = await drafts.create_draft(
            call.tx,
            subject,
            base_version=request.base_version,
            content=content(subject.object_type, request.content) if given else None,
            comment=request.comment,
            **by(call),
        )
        return config_version_pb2.CreateConfigDraftResponse(config_version=version_message(draft))

    @changing
    async def UpdateConfigDraft(
        self, request: config_version_pb2.UpdateConfigDraftRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.UpdateConfigDraftResponse:
        subject, version = parsed_id(request.version_id)
        given = request.HasField("content")
        draft = await drafts.update_draft(
            call.tx,
            subject,
            version,
            content=content(subject.object_type, request.content) if given else None,
            comment=request.comment,
            revision=request.revision,
            **by(call),
        )
        return config_version_pb2.UpdateConfigDraftResponse(config_version=version_message(draft))

    @changing
    async def DiscardConfigDraft(
        self, request: config_version_pb2.DiscardConfigDraftRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.DiscardConfigDraftResponse:
        draft = await drafts.discard_draft(call.tx, *parsed_id(request.version_id), **by(call))
        return config_version_pb2.DiscardConfigDraftResponse(config_version=version_message(draft))

    async def GetConfigVersion(
        self,
        request: config_version_pb2.GetConfigVersionRequest,
        context: Context[
            config_version_pb2.GetConfigVersionRequest, config_version_pb2.GetConfigVersionResponse
        ],
    ) -> config_version_pb2.GetConfigVersionResponse:
        async with self._db.transaction() as tx:
            found = await config_versions.get(tx, *parsed_id(request.version_id))
        return config_version_pb2.GetConfigVersionResponse(config_version=version_message(found))

    @paged
    async def ListConfigVersions(
        self,
        request: config_version_pb2.ListConfigVersionsRequest,
        page: Page[Admin, tuple[str, int, int]],
    ) -> config_version_pb2.ListConfigVersionsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await config_versions.page(
                tx,
                object_type=TYPE_NAME[request.object_type],
                object_id=request.object_id,
                state=STATE_NAME[request.state],
                change_set_id=request.change_set_id,
                after=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: (last.object_type, last.object_id, last.version))
        messages = map(version_message, shown)
        return config_version_pb2.ListConfigVersionsResponse(config_versions=messages)

    @paged
    async def PreviewConfigVersion(
        self,
        request: config_version_pb2.PreviewConfigVersionRequest,
        page: Page[Admin, PreviewToken],
    ) -> config_version_pb2.PreviewConfigVersionResponse:
        found = await self._preview([parsed_id(request.version_id)], request, page)
        return config_version_pb2.PreviewConfigVersionResponse(
            summary=preview_messages.summary_message(found),
            offer_changes=map(preview_messages.change_message, found.changes),
        )

    @paged
    async def PreviewChangeSet(
        self,
        request: config_version_pb2.PreviewChangeSetRequest,
        page: Page[Admin, PreviewToken],
    ) -> config_version_pb2.PreviewChangeSetResponse:
        found = await self._preview([*map(parsed_id, request.version_ids)], request, page)
        return config_version_pb2.PreviewChangeSetResponse(
            summary=preview_messages.summary_message(found),
            offer_changes=map(preview_messages.change_message, found.changes),
        )

    async def _preview(
        self,
        names: Sequence[VersionName],
        request: PreviewRequest,
        page: Page[Admin, PreviewToken],
    ) -> DryRun:
        asked, after = preview_messages.preview_query(request), cursor_of(page.after)
        async with self._db.report(page.caller.key) as tx:
            read = await read_preview(tx, names, asked, zone=self._zone, now=clock.now())
        found = await read.look(after, limit=page.size)
        page.next_after = token_of(found.following) if found.following else None
        return found

    async def PublishConfigVersion(
        self,
        request: config_version_pb2.PublishConfigVersionRequest,
        context: Context[
            config_version_pb2.PublishConfigVersionRequest,
            config_version_pb2.PublishConfigVersionResponse,
        ],
    ) -> config_version_pb2.PublishConfigVersionResponse:
        at = convert.moment(request, "effective_time")
        return await self._publish_config_version(request, context, at)

    @changing
    async def _publish_config_version(
        self,
        request: config_version_pb2.PublishConfigVersionRequest,
        call: ChangingCall[Admin],
        at: datetime | None,
    ) -> config_version_pb2.PublishConfigVersionResponse:
        named, force = parsed_id(request.version_id), request.force_comment
        if at is None:
            made = await publishing.publish(call.tx, *named, force_comment=force, **by(call))
        else:
            made = await publishing.schedule(
                call.tx, *named, effective_time=at, force_comment=force, **by(call)
            )
        return config_version_pb2.PublishConfigVersionResponse(config_version=version_message(made))

    @changing
    async def CancelScheduledVersion(
        self, request: config_version_pb2.CancelScheduledVersionRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.CancelScheduledVersionResponse:
        named = parsed_id(request.version_id)
        draft = await publishing.cancel_scheduled(call.tx, *named, **by(call))
        message = version_message(draft)
        return config_version_pb2.CancelScheduledVersionResponse(config_version=message)

    @changing
    async def RollBackConfig(
        self, request: config_version_pb2.RollBackConfigRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.RollBackConfigResponse:
        subject, version = parsed_id(request.version_id)
        made = await publishing.roll_back(
            call.tx,
            subject,
            version,
            at_once=request.publish,
            comment=request.comment,
            **by(call),
        )
        return config_version_pb2.RollBackConfigResponse(config_version=version_message(made))

    async def PublishChangeSet(
        self,
        request: config_version_pb2.PublishChangeSetRequest,
        context: Context[
            config_version_pb2.PublishChangeSetRequest, config_version_pb2.PublishChangeSetResponse
        ],
    ) -> config_version_pb2.PublishChangeSetResponse:
        at = convert.moment(request, "effective_time")
        return await self._publish_change_set(request, context, at)

    @changing
    async def _publish_change_set(
        self,
        request: config_version_pb2.PublishChangeSetRequest,
        call: ChangingCall[Admin],
        at: datetime | None,
    ) -> config_version_pb2.PublishChangeSetResponse:
        made = await publishing.publish_together(
            call.tx,
            [*map(parsed_id, request.version_ids)],
            effective_time=at,
            force_comment=request.force_comment,
            **by(call),
        )
        return config_version_pb2.PublishChangeSetResponse(
            change_set_id=made[0].change_set_id, config_versions=map(version_message, made)
        )

    @changing
    async def RollBackChangeSet(
        self, request: config_version_pb2.RollBackChangeSetRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.RollBackChangeSetResponse:
        made = await publishing.roll_back_together(
            call.tx,
            request.change_set_id,
            at_once=request.publish,
            comment=request.comment,
            **by(call),
        )
        return config_version_pb2.RollBackChangeSetResponse(
            change_set_id=made[0].change_set_id, config_versions=map(version_message, made)
        )

    @changing
    async def SetProductExamples(
        self, request: config_version_pb2.SetProductExamplesRequest, call: ChangingCall[Admin]
    ) -> config_version_pb2.SetProductExamplesResponse:
        kept = await kept_examples.set_examples(
            call.tx, request.product_id, request.content, version=request.version, **by(call)
        )
        return config_version_pb2.SetProductExamplesResponse(
            product_id=request.product_id,
            content=kept.content,
            update_time=convert.timestamp(kept.update_time),
            version=kept.version,
        )

    async def GetProductExamples(
        self,
        request: config_version_pb2.GetProductExamplesRequest,
        context: Context[
            config_version_pb2.GetProductExamplesRequest,
            config_version_pb2.GetProductExamplesResponse,
        ],
    ) -> config_version_pb2.GetProductExamplesResponse:
        async with self._db.transaction() as tx:
            await PRODUCTS.get(tx, request.product_id)
            kept = await kept_examples.get_examples(tx, request.product_id)
        return config_version_pb2.GetProductExamplesResponse(
            product_id=request.product_id,
            content=kept.content,
            update_time=convert.timestamp(kept.update_time),
            version=kept.version,
        )
