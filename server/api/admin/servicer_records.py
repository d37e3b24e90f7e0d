"""What administrators do to the records of partners and their keys, merchants, venues, terminals,
accounts, products and travellers, as rows of the table of AdminService: a noun, and a row for each
of its methods.

What a row does stands in `table.py`, how a noun is added in `docs/guides/adding-a-noun.md`. Methods
of these nouns that are like no other are in `servicer.py`.
"""

from deeptravel.admin.v1 import (
    account_pb2,
    fare_pb2,
    partner_pb2,
    product_pb2,
    traveller_pb2,
    venue_pb2,
)

from server.api.admin import messages, product_messages
from server.api.admin.table import AdminMethods, Create, Get, List, Noun, Retire, Update
from server.catalog import products
from server.catalog.products import PRODUCTS
from server.identity import accounts, archiving
from server.identity.accounts import ADMINISTRATORS, OPERATORS
from server.identity.partner_keys import PARTNER_KEYS
from server.identity.traveller_blocks import TRAVELLERS
from server.parties import offline_policy, partners, venues
from server.parties.partners import PARTNERS
from server.parties.rules import LIVE
from server.parties.venues import MERCHANTS, TERMINALS, VENUES

PARTNER = Noun(PARTNERS, messages.partner_message)
PARTNER_KEY = Noun(PARTNER_KEYS, messages.key_message)
MERCHANT = Noun(MERCHANTS, messages.merchant_message)
VENUE = Noun(VENUES, messages.venue_message)
TERMINAL = Noun(TERMINALS, messages.terminal_message)
OPERATOR = Noun(OPERATORS, messages.operator_message)
ADMINISTRATOR = Noun(ADMINISTRATORS, messages.administrator_message)
PRODUCT = Noun(PRODUCTS, product_messages.product_message)
TRAVELLER = Noun(TRAVELLERS, messages.traveller_message)


class RecordMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    CreatePartner = Create(
        partner_pb2.CreatePartnerRequest,
        partner_pb2.CreatePartnerResponse,
        PARTNER,
        messages.new_partner,
        partners.create_partner,
    )
    GetPartner = Get(partner_pb2.GetPartnerRequest, partner_pb2.GetPartnerResponse, PARTNER)
    ListPartners = List(
        partner_pb2.ListPartnersRequest,
        partner_pb2.ListPartnersResponse,
        PARTNER,
        {"mode": LIVE},
    )
    UpdatePartner = Update(
        partner_pb2.UpdatePartnerRequest,
        partner_pb2.UpdatePartnerResponse,
        PARTNER,
        partners.update_partner,
    )
    RevokePartner = Retire(
        partner_pb2.RevokePartnerRequest,
        partner_pb2.RevokePartnerResponse,
        PARTNER,
        partners.revoke_partner,
    )
    ArchivePartner = Retire(
        partner_pb2.ArchivePartnerRequest,
        partner_pb2.ArchivePartnerResponse,
        PARTNER,
        partners.archive_partner,
    )
    UnarchivePartner = Retire(
        partner_pb2.UnarchivePartnerRequest,
        partner_pb2.UnarchivePartnerResponse,
        PARTNER,
        partners.unarchive_partner,
    )

    CreateMerchant = Create(
        venue_pb2.CreateMerchantRequest,
        venue_pb2.CreateMerchantResponse,
        MERCHANT,
        messages.new_merchant,
        venues.create_merchant,
    )
    GetMerchant = Get(venue_pb2.GetMerchantRequest, venue_pb2.GetMerchantResponse, MERCHANT)
    ListMerchants = List(venue_pb2.ListMerchantsRequest, venue_pb2.ListMerchantsResponse, MERCHANT)
    UpdateMerchant = Update(
        venue_pb2.UpdateMerchantRequest,
        venue_pb2.UpdateMerchantResponse,
        MERCHANT,
        venues.update_merchant,
    )
    RevokeMerchant = Retire(
        venue_pb2.RevokeMerchantRequest,
        venue_pb2.RevokeMerchantResponse,
        MERCHANT,
        MERCHANTS.revoke,
    )
    ArchiveMerchant = Retire(
        venue_pb2.ArchiveMerchantRequest,
        venue_pb2.ArchiveMerchantResponse,
        MERCHANT,
        archiving.archive_merchant,
    )
    UnarchiveMerchant = Retire(
        venue_pb2.UnarchiveMerchantRequest,
        venue_pb2.UnarchiveMerchantResponse,
        MERCHANT,
        MERCHANTS.unarchive,
    )

    CreateVenue = Create(
        venue_pb2.CreateVenueRequest,
        venue_pb2.CreateVenueResponse,
        VENUE,
        messages.new_venue,
        venues.create_venue,
    )
    GetVenue = Get(venue_pb2.GetVenueRequest, venue_pb2.GetVenueResponse, VENUE)
    ListVenues = List(venue_pb2.ListVenuesRequest, venue_pb2.ListVenuesResponse, VENUE)
    UpdateVenue = Update(
        venue_pb2.UpdateVenueRequest,
        venue_pb2.UpdateVenueResponse,
        VENUE,
        venues.update_venue,
        may_lack=offline_policy.COLUMNS,
    )
    RevokeVenue = Retire(
        venue_pb2.RevokeVenueRequest, venue_pb2.RevokeVenueResponse, VENUE, VENUES.revoke
    )
    ArchiveVenue = Retire(
        venue_pb2.ArchiveVenueRequest,
        venue_pb2.ArchiveVenueResponse,
        VENUE,
        archiving.archive_venue,
    )
    UnarchiveVenue = Retire(
        venue_pb2.UnarchiveVenueRequest,
        venue_pb2.UnarchiveVenueResponse,
        VENUE,
        archiving.unarchive_venue,
    )

    CreateTerminal = Create(
        venue_pb2.CreateTerminalRequest,
        venue_pb2.CreateTerminalResponse,
        TERMINAL,
        messages.new_terminal,
        venues.create_terminal,
    )
    GetTerminal = Get(venue_pb2.GetTerminalRequest, venue_pb2.GetTerminalResponse, TERMINAL)
    ListTerminals = List(venue_pb2.ListTerminalsRequest, venue_pb2.ListTerminalsResponse, TERMINAL)
    UpdateTerminal = Update(
        venue_pb2.UpdateTerminalRequest,
        venue_pb2.UpdateTerminalResponse,
        TERMINAL,
        venues.update_terminal,
    )
    RevokeTerminal = Retire(
        venue_pb2.RevokeTerminalRequest,
        venue_pb2.RevokeTerminalResponse,
        TERMINAL,
        TERMINALS.revoke,
    )
    ArchiveTerminal = Retire(
        venue_pb2.ArchiveTerminalRequest,
        venue_pb2.ArchiveTerminalResponse,
        TERMINAL,
        archiving.archive_terminal,
    )
    UnarchiveTerminal = Retire(
        venue_pb2.UnarchiveTerminalRequest,
        venue_pb2.UnarchiveTerminalResponse,
        TERMINAL,
        archiving.unarchive_terminal,
    )

    GetOperator = Get(account_pb2.GetOperatorRequest, account_pb2.GetOperatorResponse, OPERATOR)
    ListOperators = List(
        account_pb2.ListOperatorsRequest, account_pb2.ListOperatorsResponse, OPERATOR
    )
    RevokeOperator = Retire(
        account_pb2.RevokeOperatorRequest,
        account_pb2.RevokeOperatorResponse,
        OPERATOR,
        OPERATORS.revoke,
    )
    ArchiveOperator = Retire(
        account_pb2.ArchiveOperatorRequest,
        account_pb2.ArchiveOperatorResponse,
        OPERATOR,
        archiving.archive_operator,
    )
    UnarchiveOperator = Retire(
        account_pb2.UnarchiveOperatorRequest,
        account_pb2.UnarchiveOperatorResponse,
        OPERATOR,
        archiving.unarchive_operator,
    )

    GetAdministrator = Get(
        account_pb2.GetAdministratorRequest, account_pb2.GetAdministratorResponse, ADMINISTRATOR
    )
    ListAdministrators = List(
        account_pb2.ListAdministratorsRequest,
        account_pb2.ListAdministratorsResponse,
        ADMINISTRATOR,
    )
    RevokeAdministrator = Retire(
        account_pb2.RevokeAdministratorRequest,
        account_pb2.RevokeAdministratorResponse,
        ADMINISTRATOR,
        accounts.revoke_administrator,
    )

    CreateProduct = Create(
        product_pb2.CreateProductRequest,
        product_pb2.CreateProductResponse,
        PRODUCT,
        product_messages.new_product,
        products.create_product,
    )
    GetProduct = Get(product_pb2.GetProductRequest, product_pb2.GetProductResponse, PRODUCT)
    ListProducts = List(product_pb2.ListProductsRequest, product_pb2.ListProductsResponse, PRODUCT)
    UpdateProduct = Update(
        product_pb2.UpdateProductRequest,
        product_pb2.UpdateProductResponse,
        PRODUCT,
        products.update_product,
        product_messages.READ,
    )
    ArchiveProduct = Retire(
        product_pb2.ArchiveProductRequest,
        product_pb2.ArchiveProductResponse,
        PRODUCT,
        products.archive_product,
    )

    UnarchiveProduct = Retire(
        fare_pb2.UnarchiveProductRequest,
        fare_pb2.UnarchiveProductResponse,
        PRODUCT,
        products.unarchive_product,
    )

    ListTravellers = List(
        traveller_pb2.ListTravellersRequest, traveller_pb2.ListTravellersResponse, TRAVELLER
    )
