"""The methods of AdminService about the words of channels, and what is listed there."""

from deeptravel.admin.v1 import channel_listing_pb2

from server.api import requests
from server.api.admin import channel_messages as messages
from server.api.admin.table import VERSION, AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.channels import channel_words, listings
from server.channels.facts import MappingKind
from server.channels.words import WordPair
from server.identity.callers import Admin


class ChannelListingMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @paged
    async def ListChannelWords(
        self,
        request: channel_listing_pb2.ListChannelWordsRequest,
        page: Page[Admin, tuple[str, str]],
    ) -> channel_listing_pb2.ListChannelWordsResponse:
        kind = messages.WORD_KIND_NAME[request.kind]
        async with self._db.report(page.caller.key) as tx:
            found = await channel_words.page(
                tx, request.channel_code, kind=kind, after=page.after, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: (last.kind, last.word))
        return channel_listing_pb2.ListChannelWordsResponse(words=map(messages.word, shown))

    @changing
    async def SetChannelWord(
        self, request: channel_listing_pb2.SetChannelWordRequest, call: ChangingCall[Admin]
    ) -> channel_listing_pb2.SetChannelWordResponse:
        kind = MappingKind(messages.WORD_KIND_NAME[request.kind])
        kept = await channel_words.map_word(
            call.tx,
            request.channel_code,
            WordPair(kind, request.ours, request.theirs),
            version=request.version,
            **by(call),
        )
        return channel_listing_pb2.SetChannelWordResponse(word=messages.word(kept))

    @changing
    async def RemoveChannelWord(
        self, request: channel_listing_pb2.RemoveChannelWordRequest, call: ChangingCall[Admin]
    ) -> channel_listing_pb2.RemoveChannelWordResponse:
        await channel_words.unmap_word(
            call.tx,
            request.channel_code,
            MappingKind(messages.WORD_KIND_NAME[request.kind]),
            request.word,
            version=request.version,
            **by(call),
        )
        return channel_listing_pb2.RemoveChannelWordResponse()

    @changing
    async def CreateChannelListing(
        self, request: channel_listing_pb2.CreateChannelListingRequest, call: ChangingCall[Admin]
    ) -> channel_listing_pb2.CreateChannelListingResponse:
        made = await listings.add_listing(call.tx, messages.new_listing(request), **by(call))
        return channel_listing_pb2.CreateChannelListingResponse(listing=messages.listing(made))

    async def GetChannelListing(
        self,
        request: channel_listing_pb2.GetChannelListingRequest,
        context: Context[
            channel_listing_pb2.GetChannelListingRequest,
            channel_listing_pb2.GetChannelListingResponse,
        ],
    ) -> channel_listing_pb2.GetChannelListingResponse:
        async with self._db.transaction() as tx:
            found = await listings.get_listing(tx, request.channel_code, request.item_id)
        return channel_listing_pb2.GetChannelListingResponse(listing=messages.listing(found))

    @paged
    async def ListChannelListings(
        self, request: channel_listing_pb2.ListChannelListingsRequest, page: Page[Admin, str]
    ) -> channel_listing_pb2.ListChannelListingsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await listings.page(
                tx, request.channel_code, after=page.after, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: last.item_id)
        return channel_listing_pb2.ListChannelListingsResponse(
            listings=map(messages.listing, shown)
        )

    @changing
    async def UpdateChannelListing(
        self, request: channel_listing_pb2.UpdateChannelListingRequest, call: ChangingCall[Admin]
    ) -> channel_listing_pb2.UpdateChannelListingResponse:
        changed = await listings.update_listing(
            call.tx,
            request.channel_code,
            request.item_id,
            requests.changes(request, besides=[VERSION]),
            version=request.version,
            **by(call),
        )
        return channel_listing_pb2.UpdateChannelListingResponse(listing=messages.listing(changed))

    @changing
    async def EndChannelListing(
        self, request: channel_listing_pb2.EndChannelListingRequest, call: ChangingCall[Admin]
    ) -> channel_listing_pb2.EndChannelListingResponse:
        await listings.remove_listing(
            call.tx,
            request.channel_code,
            request.item_id,
            version=request.version,
            **by(call),
        )
        return channel_listing_pb2.EndChannelListingResponse()
