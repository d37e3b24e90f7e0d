"""AdminService: protobuf messages to plain arguments and back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from deeptravel.admin.v1 import (
    account_pb2,
    allotment_pb2,
    audit_pb2,
    partner_pb2,
    product_pb2,
    ticket_block_pb2,
    traveller_pb2,
    venue_pb2,
)
from deeptravel.tickets.v1 import ticket_pb2

from server.api import calls, convert, paging
from server.api import repeats as repeats_module
from server.api.admin import messages
from server.api.admin.servicer_catalog import CatalogMethods
from server.api.admin.servicer_money import MoneyMethods
from server.audit import audit_events
from server.audit.records import By, Kept, Records
from server.catalog import allotments, products
from server.catalog.products import PRODUCTS
from server.identity import accounts, partner_keys, traveller_blocks
from server.identity.accounts import ADMINISTRATORS, OPERATORS
from server.identity.partner_keys import PARTNER_KEYS
from server.identity.service import Identity
from server.identity.traveller_blocks import TRAVELLERS
from server.orders import ticket_blocks
from server.parties import partners, venues
from server.parties.partners import PARTNERS
from server.parties.venues import MERCHANTS, TERMINALS, VENUES
from server.platform import clock
from server.platform.database import Database
from server.wechat.client import WechatClient

TICKET_STATE = convert.enum_numbers(ticket_pb2.TicketState)

T = TypeVar("T", bound=Kept)
Item = TypeVar("Item")


def _by() -> By:
    return By(actor=calls.caller().key, now=clock.now())


class AdminServicer(MoneyMethods, CatalogMethods):
    """The methods of AdminService; the contract documents each."""

    def __init__(
        self,
        db: Database,
        identity: Identity,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        *,
        wechat: WechatClient | None = None,
    ) -> None:
        self._db = db
        self._identity = identity
        self._repeats = repeats
        self._pages = pages
        self._wechat = wechat

    async def AdminLogin(self, request: Any, context: Any) -> Any:
        tokens = await self._identity.log_in(
            request.username,
            request.password,
            None,
            clock.now(),
            address=calls.current().address,
        )
        return account_pb2.AdminLoginResponse(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_seconds,
        )

    # Partners

    async def CreatePartner(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            partner = await partners.create_partner(
                tx,
                partner_code=request.partner_code,
                display_name=request.display_name,
                requests_per_minute=request.requests_per_minute
                or partners.DEFAULT_REQUESTS_PER_MINUTE,
                allowed_addresses=list(request.allowed_addresses),
                activation_tolerance_basis_points=request.activation_tolerance_basis_points,
                **_by(),
            )
            return partner_pb2.CreatePartnerResponse(partner=messages.partner_message(partner))

        return await self._repeats.once(request, partner_pb2.CreatePartnerResponse, work)

    async def GetPartner(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            partner = await PARTNERS.get(tx, request.partner_code)
        return partner_pb2.GetPartnerResponse(partner=messages.partner_message(partner))

    async def ListPartners(self, request: Any, context: Any) -> Any:
        found, token = await self._page(request, PARTNERS, state=messages.STATE_NAME[request.state])
        return partner_pb2.ListPartnersResponse(
            partners=map(messages.partner_message, found), next_page_token=token
        )

    async def UpdatePartner(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            partner = await partners.update_partner(
                tx, request.partner_code, messages.changes(request), **_by()
            )
            return partner_pb2.UpdatePartnerResponse(partner=messages.partner_message(partner))

        return await self._repeats.once(request, partner_pb2.UpdatePartnerResponse, work)

    async def RevokePartner(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            partner = await PARTNERS.revoke(tx, request.partner_code, **_by())
            return partner_pb2.RevokePartnerResponse(partner=messages.partner_message(partner))

        return await self._repeats.once(request, partner_pb2.RevokePartnerResponse, work)

    async def CreatePartnerKey(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            key, api_key = await partner_keys.create_key(tx, request.partner_code, **_by())
            return partner_pb2.CreatePartnerKeyResponse(
                key=messages.key_message(key), api_key=api_key
            )

        return await self._repeats.once(request, partner_pb2.CreatePartnerKeyResponse, work)

    async def ListPartnerKeys(self, request: Any, context: Any) -> Any:
        async with self._db.report(calls.caller().key) as tx:
            await PARTNERS.get(tx, request.partner_code)
        found, token = await self._page(request, PARTNER_KEYS, partner_code=request.partner_code)
        return partner_pb2.ListPartnerKeysResponse(
            keys=map(messages.key_message, found), next_page_token=token
        )

    async def RevokePartnerKey(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            key = await partner_keys.revoke_key(tx, request.partner_code, request.key_id, **_by())
            return partner_pb2.RevokePartnerKeyResponse(key=messages.key_message(key))

        return await self._repeats.once(request, partner_pb2.RevokePartnerKeyResponse, work)

    # Merchants, venues, terminals

    async def CreateMerchant(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            merchant = await venues.create_merchant(
                tx,
                merchant_code=request.merchant_code,
                display_name=request.display_name,
                function_codes=list(request.function_codes),
                reversal_window_seconds=messages.optional(
                    request, "reversal_window_seconds", venues.DEFAULT_REVERSAL_WINDOW_SECONDS
                ),
                **_by(),
            )
            return venue_pb2.CreateMerchantResponse(merchant=messages.merchant_message(merchant))

        return await self._repeats.once(request, venue_pb2.CreateMerchantResponse, work)

    async def GetMerchant(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            merchant = await MERCHANTS.get(tx, request.merchant_code)
        return venue_pb2.GetMerchantResponse(merchant=messages.merchant_message(merchant))

    async def ListMerchants(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request, MERCHANTS, state=messages.STATE_NAME[request.state]
        )
        return venue_pb2.ListMerchantsResponse(
            merchants=map(messages.merchant_message, found), next_page_token=token
        )

    async def UpdateMerchant(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            merchant = await venues.update_merchant(
                tx, request.merchant_code, messages.changes(request), **_by()
            )
            return venue_pb2.UpdateMerchantResponse(merchant=messages.merchant_message(merchant))

        return await self._repeats.once(request, venue_pb2.UpdateMerchantResponse, work)

    async def RevokeMerchant(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            merchant = await MERCHANTS.revoke(tx, request.merchant_code, **_by())
            return venue_pb2.RevokeMerchantResponse(merchant=messages.merchant_message(merchant))

        return await self._repeats.once(request, venue_pb2.RevokeMerchantResponse, work)

    async def CreateVenue(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            venue = await venues.create_venue(
                tx,
                venue_code=request.venue_code,
                merchant_code=request.merchant_code,
                display_name=request.display_name,
                time_zone=request.time_zone,
                function_codes=list(request.function_codes),
                **_by(),
            )
            return venue_pb2.CreateVenueResponse(venue=messages.venue_message(venue))

        return await self._repeats.once(request, venue_pb2.CreateVenueResponse, work)

    async def GetVenue(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            venue = await VENUES.get(tx, request.venue_code)
        return venue_pb2.GetVenueResponse(venue=messages.venue_message(venue))

    async def ListVenues(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request,
            VENUES,
            merchant_code=request.merchant_code,
            state=messages.STATE_NAME[request.state],
        )
        return venue_pb2.ListVenuesResponse(
            venues=map(messages.venue_message, found), next_page_token=token
        )

    async def UpdateVenue(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            venue = await venues.update_venue(
                tx, request.venue_code, messages.changes(request), **_by()
            )
            return venue_pb2.UpdateVenueResponse(venue=messages.venue_message(venue))

        return await self._repeats.once(request, venue_pb2.UpdateVenueResponse, work)

    async def RevokeVenue(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            venue = await VENUES.revoke(tx, request.venue_code, **_by())
            return venue_pb2.RevokeVenueResponse(venue=messages.venue_message(venue))

        return await self._repeats.once(request, venue_pb2.RevokeVenueResponse, work)

    async def CreateTerminal(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            terminal = await venues.create_terminal(
                tx,
                terminal_device_id=request.terminal_device_id,
                venue_code=request.venue_code,
                display_name=request.display_name,
                **_by(),
            )
            return venue_pb2.CreateTerminalResponse(terminal=messages.terminal_message(terminal))

        return await self._repeats.once(request, venue_pb2.CreateTerminalResponse, work)

    async def GetTerminal(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            terminal = await TERMINALS.get(tx, request.terminal_device_id)
        return venue_pb2.GetTerminalResponse(terminal=messages.terminal_message(terminal))

    async def ListTerminals(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request,
            TERMINALS,
            venue_code=request.venue_code,
            state=messages.STATE_NAME[request.state],
        )
        return venue_pb2.ListTerminalsResponse(
            terminals=map(messages.terminal_message, found), next_page_token=token
        )

    async def UpdateTerminal(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            terminal = await venues.update_terminal(
                tx, request.terminal_device_id, messages.changes(request), **_by()
            )
            return venue_pb2.UpdateTerminalResponse(terminal=messages.terminal_message(terminal))

        return await self._repeats.once(request, venue_pb2.UpdateTerminalResponse, work)

    async def RevokeTerminal(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            terminal = await TERMINALS.revoke(tx, request.terminal_device_id, **_by())
            return venue_pb2.RevokeTerminalResponse(terminal=messages.terminal_message(terminal))

        return await self._repeats.once(request, venue_pb2.RevokeTerminalResponse, work)

    # Accounts

    async def CreateOperator(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            operator = await accounts.create_operator(
                tx,
                self._identity.passwords,
                username=request.username,
                role=messages.ROLE_NAME[request.role],
                merchant_code=request.merchant_code,
                venue_codes=list(request.venue_codes),
                display_name=request.display_name,
                password=request.password,
                **_by(),
            )
            return account_pb2.CreateOperatorResponse(operator=messages.operator_message(operator))

        return await self._repeats.once(request, account_pb2.CreateOperatorResponse, work)

    async def GetOperator(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            operator = await OPERATORS.get(tx, request.username)
        return account_pb2.GetOperatorResponse(operator=messages.operator_message(operator))

    async def ListOperators(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request,
            OPERATORS,
            merchant_code=request.merchant_code,
            role=messages.ROLE_NAME[request.role],
            state=messages.STATE_NAME[request.state],
        )
        return account_pb2.ListOperatorsResponse(
            operators=map(messages.operator_message, found), next_page_token=token
        )

    async def UpdateOperator(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            operator = await accounts.update_operator(
                tx,
                self._identity.passwords,
                request.username,
                messages.changes(request, role=messages.ROLE_NAME.__getitem__),
                **_by(),
            )
            return account_pb2.UpdateOperatorResponse(operator=messages.operator_message(operator))

        return await self._repeats.once(request, account_pb2.UpdateOperatorResponse, work)

    async def RevokeOperator(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            operator = await OPERATORS.revoke(tx, request.username, **_by())
            return account_pb2.RevokeOperatorResponse(operator=messages.operator_message(operator))

        return await self._repeats.once(request, account_pb2.RevokeOperatorResponse, work)

    async def CreateAdministrator(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            administrator = await accounts.create_administrator(
                tx,
                self._identity.passwords,
                username=request.username,
                display_name=request.display_name,
                password=request.password,
                **_by(),
            )
            return account_pb2.CreateAdministratorResponse(
                administrator=messages.administrator_message(administrator)
            )

        return await self._repeats.once(request, account_pb2.CreateAdministratorResponse, work)

    async def ListAdministrators(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request, ADMINISTRATORS, state=messages.STATE_NAME[request.state]
        )
        return account_pb2.ListAdministratorsResponse(
            administrators=map(messages.administrator_message, found), next_page_token=token
        )

    async def RevokeAdministrator(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            administrator = await accounts.revoke_administrator(tx, request.username, **_by())
            return account_pb2.RevokeAdministratorResponse(
                administrator=messages.administrator_message(administrator)
            )

        return await self._repeats.once(request, account_pb2.RevokeAdministratorResponse, work)

    # Products and allotments

    async def CreateProduct(self, request: Any, context: Any) -> Any:
        new = messages.new_product(request)

        async def work(tx: Any) -> Any:
            product = await products.create_product(tx, new, **_by())
            return product_pb2.CreateProductResponse(product=messages.product_message(product))

        return await self._repeats.once(request, product_pb2.CreateProductResponse, work)

    async def GetProduct(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            product = await PRODUCTS.get(tx, request.product_id)
        return product_pb2.GetProductResponse(product=messages.product_message(product))

    async def ListProducts(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request,
            PRODUCTS,
            kind=messages.KIND_NAME[request.kind],
            state=messages.PRODUCT_STATE_NAME[request.state],
        )
        return product_pb2.ListProductsResponse(
            products=map(messages.product_message, found), next_page_token=token
        )

    async def UpdateProduct(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            values = messages.changes(
                request,
                fares=messages.fares,
                entitlements=messages.entitlements,
                tiers=messages.tiers,
                policy=messages.policy,
                unaccompanied_types=messages.customer_types,
                age_limits=messages.age_limits,
            )
            product = await products.update_product(tx, request.product_id, values, **_by())
            return product_pb2.UpdateProductResponse(product=messages.product_message(product))

        return await self._repeats.once(request, product_pb2.UpdateProductResponse, work)

    async def ArchiveProduct(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            product = await products.archive_product(tx, request.product_id, **_by())
            return product_pb2.ArchiveProductResponse(product=messages.product_message(product))

        return await self._repeats.once(request, product_pb2.ArchiveProductResponse, work)

    async def CreateAllotment(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            allotment = await allotments.create_allotment(
                tx,
                product_id=request.product_id,
                channel=request.channel,
                total=request.total,
                **_by(),
            )
            return allotment_pb2.CreateAllotmentResponse(
                allotment=messages.allotment_message(allotment)
            )

        return await self._repeats.once(request, allotment_pb2.CreateAllotmentResponse, work)

    async def GetAllotment(self, request: Any, context: Any) -> Any:
        async with self._db.transaction() as tx:
            allotment = await allotments.get_allotment(tx, request.product_id, request.channel)
        return allotment_pb2.GetAllotmentResponse(allotment=messages.allotment_message(allotment))

    async def ListAllotments(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request) or [None]
        async with self._db.report(calls.caller().key) as tx:
            found = await allotments.list_allotments(
                tx,
                product_id=request.product_id,
                channel=request.channel,
                after=cursor[0],
                most=most + 1,
            )
        return allotment_pb2.ListAllotmentsResponse(
            allotments=map(messages.allotment_message, found[:most]),
            next_page_token=self._next(request, found, lambda last: [last.stock_id]),
        )

    async def UpdateAllotment(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            allotment = await allotments.update_allotment(
                tx,
                product_id=request.product_id,
                channel=request.channel,
                total=messages.changes(request)["total"],
                **_by(),
            )
            return allotment_pb2.UpdateAllotmentResponse(
                allotment=messages.allotment_message(allotment)
            )

        return await self._repeats.once(request, allotment_pb2.UpdateAllotmentResponse, work)

    async def MoveAllotment(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            source, target = await allotments.move_allotment(
                tx,
                product_id=request.product_id,
                from_channel=request.from_channel,
                to_channel=request.to_channel,
                quantity=request.quantity,
                **_by(),
            )
            return allotment_pb2.MoveAllotmentResponse(
                source=messages.allotment_message(source),
                target=messages.allotment_message(target),
            )

        return await self._repeats.once(request, allotment_pb2.MoveAllotmentResponse, work)

    # Blocks and the audit trail

    async def BlockTicket(self, request: Any, context: Any) -> Any:
        return await self._block(request, ticket_block_pb2.BlockTicketResponse, blocked=True)

    async def UnblockTicket(self, request: Any, context: Any) -> Any:
        return await self._block(request, ticket_block_pb2.UnblockTicketResponse, blocked=False)

    async def ListTravellers(self, request: Any, context: Any) -> Any:
        found, token = await self._page(
            request,
            TRAVELLERS,
            state=messages.TRAVELLER_STATE_NAME[request.state],
            openid=request.openid,
        )
        return traveller_pb2.ListTravellersResponse(
            travellers=map(messages.traveller_message, found), next_page_token=token
        )

    async def BlockTraveller(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            traveller = await traveller_blocks.block_traveller(
                tx, request.traveller_id, comment=request.comment, **_by()
            )
            return traveller_pb2.BlockTravellerResponse(
                traveller=messages.traveller_message(traveller)
            )

        return await self._repeats.once(request, traveller_pb2.BlockTravellerResponse, work)

    async def UnblockTraveller(self, request: Any, context: Any) -> Any:
        async def work(tx: Any) -> Any:
            traveller = await traveller_blocks.unblock_traveller(
                tx, request.traveller_id, comment=request.comment, **_by()
            )
            return traveller_pb2.UnblockTravellerResponse(
                traveller=messages.traveller_message(traveller)
            )

        return await self._repeats.once(request, traveller_pb2.UnblockTravellerResponse, work)

    async def ListAuditEvents(self, request: Any, context: Any) -> Any:
        most, cursor = paging.page_size(request), self._pages.decode(request)
        async with self._db.report(calls.caller().key) as tx:
            found = await audit_events.list_audit_events(
                tx,
                resource=request.resource,
                name=request.name,
                actor=request.actor,
                time_from=convert.moment(request, "time_from"),
                time_until=convert.moment(request, "time_until"),
                after=(datetime.fromisoformat(cursor[0]), UUID(cursor[1])) if cursor else None,
                most=most + 1,
            )
        return audit_pb2.ListAuditEventsResponse(
            audit_events=map(messages.audit_message, found[:most]),
            next_page_token=self._next(
                request, found, lambda last: [last.occurred_time.isoformat(), str(last.audit_id)]
            ),
        )

    async def _block(self, request: Any, response_type: Any, *, blocked: bool) -> Any:
        async def work(tx: Any) -> Any:
            block = await ticket_blocks.block_ticket(
                tx,
                ticket_code=request.ticket_code,
                blocked=blocked,
                comment=request.comment,
                **_by(),
            )
            return response_type(
                ticket_code=block.ticket_code,
                status=TICKET_STATE[block.state],
                blocked=block.blocked,
                successor_ticket_code=block.successor_ticket_code,
            )

        return await self._repeats.once(request, response_type, work)

    async def _page(
        self, request: Any, records: Records[T], **filters: object
    ) -> tuple[list[T], str]:
        most, cursor = paging.page_size(request), self._pages.decode(request) or [None]
        async with self._db.report(calls.caller().key) as tx:
            found = await records.page(tx, after=cursor[0], most=most + 1, **filters)
        token = self._next(request, found, lambda last: [getattr(last, records.key.name)])
        return found[:most], token

    def _next(
        self, request: Any, found: list[Item], cursor: Callable[[Item], list[int | str]]
    ) -> str:
        most = paging.page_size(request)
        return self._pages.encode(request, cursor(found[most - 1])) if len(found) > most else ""
