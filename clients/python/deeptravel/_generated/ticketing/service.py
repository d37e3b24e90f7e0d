"""Methods of deeptravel.ticketing.v1.TicketingService."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping

from deeptravel._generated import ticketing, tickets
from deeptravel._async_calls import AsyncCalls
from deeptravel._calls import Calls
from deeptravel._fields import Duration, FieldMask, Moment, Struct, timestamp
from deeptravel._method import Method

_TRAVELLER_LOGIN = Method(
    "/deeptravel.ticketing.v1.TicketingService/TravellerLogin",
    ticketing.TravellerLoginRequest,
    ticketing.TravellerLoginResponse,
    safe=False,
)
_LIST_HOT_CITIES = Method(
    "/deeptravel.ticketing.v1.TicketingService/ListHotCities",
    ticketing.ListHotCitiesRequest,
    ticketing.ListHotCitiesResponse,
    safe=True,
    items="cities",
)
_SEARCH_OFFERS = Method(
    "/deeptravel.ticketing.v1.TicketingService/SearchOffers",
    ticketing.SearchOffersRequest,
    ticketing.SearchOffersResponse,
    safe=True,
    items="offers",
)
_LIST_RENTAL_LOCATIONS = Method(
    "/deeptravel.ticketing.v1.TicketingService/ListRentalLocations",
    ticketing.ListRentalLocationsRequest,
    ticketing.ListRentalLocationsResponse,
    safe=True,
    items="locations",
)
_SEARCH_RENTALS = Method(
    "/deeptravel.ticketing.v1.TicketingService/SearchRentals",
    ticketing.SearchRentalsRequest,
    ticketing.SearchRentalsResponse,
    safe=True,
    items="offers",
)
_GET_PRODUCT = Method(
    "/deeptravel.ticketing.v1.TicketingService/GetProduct",
    ticketing.GetProductRequest,
    ticketing.GetProductResponse,
    safe=True,
)
_QUOTE_ORDER = Method(
    "/deeptravel.ticketing.v1.TicketingService/QuoteOrder",
    ticketing.QuoteOrderRequest,
    ticketing.QuoteOrderResponse,
    safe=True,
)
_CREATE_ORDER = Method(
    "/deeptravel.ticketing.v1.TicketingService/CreateOrder",
    ticketing.CreateOrderRequest,
    ticketing.CreateOrderResponse,
    safe=False,
)
_GET_ORDER = Method(
    "/deeptravel.ticketing.v1.TicketingService/GetOrder",
    ticketing.GetOrderRequest,
    ticketing.GetOrderResponse,
    safe=True,
)
_LIST_ORDERS = Method(
    "/deeptravel.ticketing.v1.TicketingService/ListOrders",
    ticketing.ListOrdersRequest,
    ticketing.ListOrdersResponse,
    safe=True,
    items="orders",
)
_CANCEL_ORDER = Method(
    "/deeptravel.ticketing.v1.TicketingService/CancelOrder",
    ticketing.CancelOrderRequest,
    ticketing.CancelOrderResponse,
    safe=False,
)
_WATCH_ORDER = Method(
    "/deeptravel.ticketing.v1.TicketingService/WatchOrder",
    ticketing.WatchOrderRequest,
    ticketing.WatchOrderResponse,
    safe=True,
    resume=("after_sequence", "sequence"),
)
_CREATE_PAYMENT = Method(
    "/deeptravel.ticketing.v1.TicketingService/CreatePayment",
    ticketing.CreatePaymentRequest,
    ticketing.CreatePaymentResponse,
    safe=False,
)
_GET_PAYMENT = Method(
    "/deeptravel.ticketing.v1.TicketingService/GetPayment",
    ticketing.GetPaymentRequest,
    ticketing.GetPaymentResponse,
    safe=True,
)
_LIST_TICKETS = Method(
    "/deeptravel.ticketing.v1.TicketingService/ListTickets",
    ticketing.ListTicketsRequest,
    ticketing.ListTicketsResponse,
    safe=True,
    items="tickets",
)
_GET_TICKET = Method(
    "/deeptravel.ticketing.v1.TicketingService/GetTicket",
    ticketing.GetTicketRequest,
    ticketing.GetTicketResponse,
    safe=True,
)
_ISSUE_TICKET_QR = Method(
    "/deeptravel.ticketing.v1.TicketingService/IssueTicketQr",
    ticketing.IssueTicketQrRequest,
    ticketing.IssueTicketQrResponse,
    safe=False,
)
_ISSUE_ORDER_QR = Method(
    "/deeptravel.ticketing.v1.TicketingService/IssueOrderQr",
    ticketing.IssueOrderQrRequest,
    ticketing.IssueOrderQrResponse,
    safe=False,
)
_QUOTE_REFUND = Method(
    "/deeptravel.ticketing.v1.TicketingService/QuoteRefund",
    ticketing.QuoteRefundRequest,
    ticketing.QuoteRefundResponse,
    safe=True,
)
_REQUEST_REFUND = Method(
    "/deeptravel.ticketing.v1.TicketingService/RequestRefund",
    ticketing.RequestRefundRequest,
    ticketing.RequestRefundResponse,
    safe=False,
)
_LIST_REFUNDS = Method(
    "/deeptravel.ticketing.v1.TicketingService/ListRefunds",
    ticketing.ListRefundsRequest,
    ticketing.ListRefundsResponse,
    safe=True,
    items="refunds",
)
_QUOTE_CHANGE = Method(
    "/deeptravel.ticketing.v1.TicketingService/QuoteChange",
    ticketing.QuoteChangeRequest,
    ticketing.QuoteChangeResponse,
    safe=True,
)
_CHANGE_TICKET = Method(
    "/deeptravel.ticketing.v1.TicketingService/ChangeTicket",
    ticketing.ChangeTicketRequest,
    ticketing.ChangeTicketResponse,
    safe=False,
)
_LIST_NOTIFICATIONS = Method(
    "/deeptravel.ticketing.v1.TicketingService/ListNotifications",
    ticketing.ListNotificationsRequest,
    ticketing.ListNotificationsResponse,
    safe=True,
    items="notifications",
)
_GET_UNREAD_NOTIFICATION_COUNT = Method(
    "/deeptravel.ticketing.v1.TicketingService/GetUnreadNotificationCount",
    ticketing.GetUnreadNotificationCountRequest,
    ticketing.GetUnreadNotificationCountResponse,
    safe=True,
)
_MARK_NOTIFICATION_READ = Method(
    "/deeptravel.ticketing.v1.TicketingService/MarkNotificationRead",
    ticketing.MarkNotificationReadRequest,
    ticketing.MarkNotificationReadResponse,
    safe=True,
)
_MARK_ALL_NOTIFICATIONS_READ = Method(
    "/deeptravel.ticketing.v1.TicketingService/MarkAllNotificationsRead",
    ticketing.MarkAllNotificationsReadRequest,
    ticketing.MarkAllNotificationsReadResponse,
    safe=True,
)
_REPORT_SUBSCRIPTION_CONSENTS = Method(
    "/deeptravel.ticketing.v1.TicketingService/ReportSubscriptionConsents",
    ticketing.ReportSubscriptionConsentsRequest,
    ticketing.ReportSubscriptionConsentsResponse,
    safe=False,
)
_GET_NOTIFICATION_PREFERENCES = Method(
    "/deeptravel.ticketing.v1.TicketingService/GetNotificationPreferences",
    ticketing.GetNotificationPreferencesRequest,
    ticketing.GetNotificationPreferencesResponse,
    safe=True,
)
_UPDATE_NOTIFICATION_PREFERENCES = Method(
    "/deeptravel.ticketing.v1.TicketingService/UpdateNotificationPreferences",
    ticketing.UpdateNotificationPreferencesRequest,
    ticketing.UpdateNotificationPreferencesResponse,
    safe=False,
)
_DOWNLOAD_CALENDAR_ENTRY = Method(
    "/deeptravel.ticketing.v1.TicketingService/DownloadCalendarEntry",
    ticketing.DownloadCalendarEntryRequest,
    ticketing.DownloadCalendarEntryResponse,
    safe=True,
)


class TicketingService:
    """What travellers do: search, hold, pay, hold tickets in hand, give them back or change them.

    Searching needs no credentials; everything else the access token of TravellerLogin in
    `authorization: Bearer …`. A traveller sees only its own. A call with a `request_id` may be
    repeated safely with the same id: it gets the first answer again; the same id with other content
    gets IDEMPOTENCY_MISMATCH. Texts for people come in English and Chinese.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def traveller_login(
        self,
        *,
        code: str,
        timeout: float | None = None,
    ) -> ticketing.TravellerLoginResponse:
        """Logs a traveller in with the code the mini-program got from wx.login. Reasons: LOGIN_FAILED
        (the code is wrong, used or too old), PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED,
        REVOKED.
        """
        return self._calls.unary(_TRAVELLER_LOGIN, ticketing.TravellerLoginRequest(code=code), timeout)

    def list_hot_cities(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListHotCitiesResponse:
        """Lists the hot cities, the most wanted first."""
        return self._calls.unary(_LIST_HOT_CITIES, ticketing.ListHotCitiesRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_hot_cities(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.City]:
        """All `cities` of list_hot_cities, page after page."""
        return self._calls.pages(_LIST_HOT_CITIES, ticketing.ListHotCitiesRequest(page_size=page_size), timeout)

    def search_offers(
        self,
        *,
        origin_city_code: str,
        destination_city_code: str,
        travel_date: str,
        passengers: Iterable[tickets.CustomerType.ValueType],
        nearby_days: int = 0,
        kinds: Iterable[ticketing.OfferKind.ValueType] = (),
        fare_classes: Iterable[str] = (),
        departs_from: str = "",
        departs_until: str = "",
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        order_by: ticketing.OfferOrder.ValueType = ticketing.OFFER_ORDER_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.SearchOffersResponse:
        """Searches what a party can buy for a day: trains, ferries and packages, each with the price
        of the whole party line by line and the seats that are left now. A day without offers says
        why. Reasons: PAGE_TOKEN_INVALID, PROMOTION_NOT_APPLICABLE.
        """
        return self._calls.unary(_SEARCH_OFFERS, ticketing.SearchOffersRequest(origin_city_code=origin_city_code, destination_city_code=destination_city_code, travel_date=travel_date, passengers=passengers, nearby_days=nearby_days, kinds=kinds, fare_classes=fare_classes, departs_from=departs_from, departs_until=departs_until, available_only=available_only, promotion_codes=promotion_codes, order_by=order_by, page_size=page_size, page_token=page_token), timeout)

    def iter_search_offers(
        self,
        *,
        origin_city_code: str,
        destination_city_code: str,
        travel_date: str,
        passengers: Iterable[tickets.CustomerType.ValueType],
        nearby_days: int = 0,
        kinds: Iterable[ticketing.OfferKind.ValueType] = (),
        fare_classes: Iterable[str] = (),
        departs_from: str = "",
        departs_until: str = "",
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        order_by: ticketing.OfferOrder.ValueType = ticketing.OFFER_ORDER_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.Offer]:
        """All `offers` of search_offers, page after page."""
        return self._calls.pages(_SEARCH_OFFERS, ticketing.SearchOffersRequest(origin_city_code=origin_city_code, destination_city_code=destination_city_code, travel_date=travel_date, passengers=passengers, nearby_days=nearby_days, kinds=kinds, fare_classes=fare_classes, departs_from=departs_from, departs_until=departs_until, available_only=available_only, promotion_codes=promotion_codes, order_by=order_by, page_size=page_size), timeout)

    def list_rental_locations(
        self,
        *,
        city_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListRentalLocationsResponse:
        """Lists where cars are rented. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_RENTAL_LOCATIONS, ticketing.ListRentalLocationsRequest(city_code=city_code, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_locations(
        self,
        *,
        city_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.RentalLocation]:
        """All `locations` of list_rental_locations, page after page."""
        return self._calls.pages(_LIST_RENTAL_LOCATIONS, ticketing.ListRentalLocationsRequest(city_code=city_code, page_size=page_size), timeout)

    def search_rentals(
        self,
        *,
        pick_up_clock: str,
        return_clock: str,
        driver_age: int,
        pick_up_location_id: int = 0,
        city_code: str = "",
        drop_off_location_id: int = 0,
        extras: Iterable[ticketing.WantedExtra] = (),
        cars: int = 0,
        category_codes: Iterable[str] = (),
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.SearchRentalsResponse:
        """Searches what cars can be rented from one moment to another: each category at each location
        with its price, extras included. An offer is quoted, ordered, paid, refunded and changed as
        every other; each of its passengers drives a car of its own, and gets a voucher whose QR the
        location redeems. Reasons: INVALID_FIELD, NOT_FOUND (location), PROMOTION_NOT_APPLICABLE,
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_SEARCH_RENTALS, ticketing.SearchRentalsRequest(pick_up_clock=pick_up_clock, return_clock=return_clock, driver_age=driver_age, pick_up_location_id=pick_up_location_id, city_code=city_code, drop_off_location_id=drop_off_location_id, extras=extras, cars=cars, category_codes=category_codes, available_only=available_only, promotion_codes=promotion_codes, page_size=page_size, page_token=page_token), timeout)

    def iter_search_rentals(
        self,
        *,
        pick_up_clock: str,
        return_clock: str,
        driver_age: int,
        pick_up_location_id: int = 0,
        city_code: str = "",
        drop_off_location_id: int = 0,
        extras: Iterable[ticketing.WantedExtra] = (),
        cars: int = 0,
        category_codes: Iterable[str] = (),
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.Offer]:
        """All `offers` of search_rentals, page after page."""
        return self._calls.pages(_SEARCH_RENTALS, ticketing.SearchRentalsRequest(pick_up_clock=pick_up_clock, return_clock=return_clock, driver_age=driver_age, pick_up_location_id=pick_up_location_id, city_code=city_code, drop_off_location_id=drop_off_location_id, extras=extras, cars=cars, category_codes=category_codes, available_only=available_only, promotion_codes=promotion_codes, page_size=page_size), timeout)

    def get_product(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> ticketing.GetProductResponse:
        """Reads a product: fares, entitlements, refund and change. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_PRODUCT, ticketing.GetProductRequest(product_id=product_id), timeout)

    def quote_order(
        self,
        *,
        items: Iterable[ticketing.OrderItem],
        passengers: Iterable[tickets.CustomerType.ValueType],
        promotion_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> ticketing.QuoteOrderResponse:
        """Says what an order would cost now, line by line. Holds nothing, and does not know who asks:
        of a promotion that one traveller may use so often CreateOrder alone can say that it is used
        up. Reasons: OFFER_NOT_AVAILABLE, PROMOTION_NOT_APPLICABLE, PASSENGER_NOT_ALLOWED
        (COMPANION_REQUIRED), NOT_FOUND (offer).
        """
        return self._calls.unary(_QUOTE_ORDER, ticketing.QuoteOrderRequest(items=items, passengers=passengers, promotion_codes=promotion_codes), timeout)

    def create_order(
        self,
        *,
        items: Iterable[ticketing.OrderItem],
        passengers: Iterable[ticketing.Passenger],
        request_id: str = "",
        promotion_codes: Iterable[str] = (),
        quoted_minor: int | None = None,
        contact_phone: str = "",
        timeout: float | None = None,
    ) -> ticketing.CreateOrderResponse:
        """Makes an order: price, rules and entitlements are kept as they are now, and the stock is
        held for the payment until `lock_expire_time`. All or nothing. Reasons: SOLD_OUT,
        OFFER_NOT_AVAILABLE, PRICE_CHANGED, PROMOTION_NOT_APPLICABLE, TOO_MANY_FOR_TRAVELLER,
        DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY, PASSENGER_NOT_ALLOWED, NOT_FOUND (offer),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_ORDER, ticketing.CreateOrderRequest(items=items, passengers=passengers, request_id=request_id, promotion_codes=promotion_codes, quoted_minor=quoted_minor, contact_phone=contact_phone), timeout)

    def get_order(
        self,
        *,
        order_id: str,
        timeout: float | None = None,
    ) -> ticketing.GetOrderResponse:
        """Reads one of the caller's orders. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_ORDER, ticketing.GetOrderRequest(order_id=order_id), timeout)

    def list_orders(
        self,
        *,
        state: ticketing.OrderState.ValueType = ticketing.ORDER_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListOrdersResponse:
        """Lists the caller's orders, the newest first. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_ORDERS, ticketing.ListOrdersRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_orders(
        self,
        *,
        state: ticketing.OrderState.ValueType = ticketing.ORDER_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.Order]:
        """All `orders` of list_orders, page after page."""
        return self._calls.pages(_LIST_ORDERS, ticketing.ListOrdersRequest(state=state, page_size=page_size), timeout)

    def cancel_order(
        self,
        *,
        order_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.CancelOrderResponse:
        """Cancels an order that is not paid and gives its stock back. A repeat does no harm. Reasons:
        NOT_FOUND, ORDER_STATE_REFUSES (paid, or cancelled for another cause).
        """
        return self._calls.unary(_CANCEL_ORDER, ticketing.CancelOrderRequest(order_id=order_id, request_id=request_id), timeout)

    def watch_order(
        self,
        *,
        order_id: str,
        after_sequence: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.WatchOrderResponse]:
        """Streams what happens to an order and its tickets, from the first move or after
        `after_sequence`, and ends when the order is final. Over JSON one object a line, with an
        empty line every 15 seconds while nothing happens; it ends by itself only with the order,
        unless the caller sets a deadline. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_WATCH_ORDER, ticketing.WatchOrderRequest(order_id=order_id, after_sequence=after_sequence), timeout)

    def create_payment(
        self,
        *,
        order_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.CreatePaymentResponse:
        """Asks WeChat for a payment of a held order and answers what wx.requestPayment takes. A repeat
        gives the same payment. Reasons: NOT_FOUND, DEPARTURE_CANCELLED, ORDER_STATE_REFUSES (not
        PENDING, hold over), PAYMENT_REFUSED, PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED.
        """
        return self._calls.unary(_CREATE_PAYMENT, ticketing.CreatePaymentRequest(order_id=order_id, request_id=request_id), timeout)

    def get_payment(
        self,
        *,
        order_id: str,
        timeout: float | None = None,
    ) -> ticketing.GetPaymentResponse:
        """Reads the latest payment of an order; while it waits WeChat is asked. Reasons: NOT_FOUND.
        """
        return self._calls.unary(_GET_PAYMENT, ticketing.GetPaymentRequest(order_id=order_id), timeout)

    def list_tickets(
        self,
        *,
        order_id: str = "",
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListTicketsResponse:
        """Lists the caller's tickets, those of the newest order first. Reasons: PAGE_TOKEN_INVALID,
        NOT_FOUND (order).
        """
        return self._calls.unary(_LIST_TICKETS, ticketing.ListTicketsRequest(order_id=order_id, status=status, page_size=page_size, page_token=page_token), timeout)

    def iter_tickets(
        self,
        *,
        order_id: str = "",
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.TravellerTicket]:
        """All `tickets` of list_tickets, page after page."""
        return self._calls.pages(_LIST_TICKETS, ticketing.ListTicketsRequest(order_id=order_id, status=status, page_size=page_size), timeout)

    def get_ticket(
        self,
        *,
        ticket_code: str,
        timeout: float | None = None,
    ) -> ticketing.GetTicketResponse:
        """Reads one of the caller's tickets. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_TICKET, ticketing.GetTicketRequest(ticket_code=ticket_code), timeout)

    def issue_ticket_qr(
        self,
        *,
        ticket_code: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ticketing.IssueTicketQrResponse:
        """Issues the QR of one of the caller's tickets. May be repeated at will: the ticket keeps its
        jti and codes issued before still work, unless `rotate` is set, which supersedes them all.
        Reasons: NOT_FOUND, TICKET_STATE_REFUSES (final state, blocked, validity over),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ISSUE_TICKET_QR, ticketing.IssueTicketQrRequest(ticket_code=ticket_code, rotate=rotate, request_id=request_id, picture=picture), timeout)

    def issue_order_qr(
        self,
        *,
        order_id: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ticketing.IssueOrderQrResponse:
        """Issues the QR of one of the caller's orders: scanned at a venue it lists the order's
        tickets, and redeems them by `ticket_code`, except those whose own QR was rotated after it
        was issued: issue it again then. May be repeated at will: codes issued before still work,
        unless `rotate` is set, which supersedes them all. Reasons: NOT_FOUND, ORDER_STATE_REFUSES
        (not paid), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ISSUE_ORDER_QR, ticketing.IssueOrderQrRequest(order_id=order_id, rotate=rotate, request_id=request_id, picture=picture), timeout)

    def quote_refund(
        self,
        *,
        order_id: str,
        ticket_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> ticketing.QuoteRefundResponse:
        """Says what tickets give back now, each with the rule that applied; the quote is good for some
        minutes. Of a departure that the operator cancelled, or moved beyond the tolerance and that
        has not left, all that is unused comes back. Reasons: NOT_FOUND, REFUND_REFUSED (redeemed,
        expired, refunding or final, too late, or shared with others who keep theirs;
        REFUNDS_USED_UP: WeChat has made as many refunds of the payment as it does, which is 50).
        """
        return self._calls.unary(_QUOTE_REFUND, ticketing.QuoteRefundRequest(order_id=order_id, ticket_codes=ticket_codes), timeout)

    def request_refund(
        self,
        *,
        order_id: str,
        refund_quote: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.RequestRefundResponse:
        """Gives tickets back against a quote: they become REFUNDING at once, which the gates refuse,
        and REFUNDED when WeChat has settled the money. All or nothing. If the operator cancelled or
        moved the departure since the quote, what is due now is given back. Reasons: NOT_FOUND,
        QUOTE_INVALID (expired, not ours, a ticket has moved since, or only one more refund can be
        made by now and the quote is not of all that is left), REFUND_REFUSED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REQUEST_REFUND, ticketing.RequestRefundRequest(order_id=order_id, refund_quote=refund_quote, request_id=request_id), timeout)

    def list_refunds(
        self,
        *,
        order_id: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListRefundsResponse:
        """Lists the refunds of one of the caller's orders. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_REFUNDS, ticketing.ListRefundsRequest(order_id=order_id, page_size=page_size, page_token=page_token), timeout)

    def iter_refunds(
        self,
        *,
        order_id: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.Refund]:
        """All `refunds` of list_refunds, page after page."""
        return self._calls.pages(_LIST_REFUNDS, ticketing.ListRefundsRequest(order_id=order_id, page_size=page_size), timeout)

    def quote_change(
        self,
        *,
        ticket_code: str,
        offer_id: str,
        timeout: float | None = None,
    ) -> ticketing.QuoteChangeResponse:
        """Says what another departure or day instead would cost now; the quote is good for some
        minutes. Away from a departure that the operator cancelled or moved a change has no fee and
        does not count, until it leaves or would have. Reasons: NOT_FOUND, CHANGE_REFUSED
        (REFUNDS_USED_UP: something is to be given back, and WeChat makes no refund of the payment
        any more, or one that is kept for all that is left), OFFER_NOT_AVAILABLE.
        """
        return self._calls.unary(_QUOTE_CHANGE, ticketing.QuoteChangeRequest(ticket_code=ticket_code, offer_id=offer_id), timeout)

    def change_ticket(
        self,
        *,
        ticket_code: str,
        change_quote: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.ChangeTicketResponse:
        """Changes a ticket against a quote (改签): holds the new seat, settles the difference, then
        frees the old one. With nothing to pay the change is made at once; else the answered order
        waits for CreatePayment, the old ticket is CHANGING, and becomes ACTIVE again if the
        difference is not paid in time. A blocked ticket is not changed; a block that is set on it
        while it is CHANGING goes over to the new ticket, and a payment that comes too late for a
        blocked one goes back, as does one for a ticket that is worth less by then, since another of
        its party was given back. What the ticket shares with others stays theirs too, and is valid
        as long as the latest of them all. Reasons: NOT_FOUND, QUOTE_INVALID, CHANGE_REFUSED,
        SOLD_OUT, OFFER_NOT_AVAILABLE, TOO_MANY_FOR_TRAVELLER, DUPLICATE_PASSENGER,
        OVERLAPPING_JOURNEY (with anything but the ticket that is changed), PASSENGER_NOT_ALLOWED (a
        child or pet without company on the new departure, or too old for its fare by then),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CHANGE_TICKET, ticketing.ChangeTicketRequest(ticket_code=ticket_code, change_quote=change_quote, request_id=request_id), timeout)

    def list_notifications(
        self,
        *,
        unread_only: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListNotificationsResponse:
        """Lists the caller's messages, the latest first, by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_NOTIFICATIONS, ticketing.ListNotificationsRequest(unread_only=unread_only, page_size=page_size, page_token=page_token), timeout)

    def iter_notifications(
        self,
        *,
        unread_only: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.Notification]:
        """All `notifications` of list_notifications, page after page."""
        return self._calls.pages(_LIST_NOTIFICATIONS, ticketing.ListNotificationsRequest(unread_only=unread_only, page_size=page_size), timeout)

    def get_unread_notification_count(
        self,
        *,
        timeout: float | None = None,
    ) -> ticketing.GetUnreadNotificationCountResponse:
        """Says how many of the caller's messages were not read."""
        return self._calls.unary(_GET_UNREAD_NOTIFICATION_COUNT, ticketing.GetUnreadNotificationCountRequest(), timeout)

    def mark_notification_read(
        self,
        *,
        notification_id: int,
        timeout: float | None = None,
    ) -> ticketing.MarkNotificationReadResponse:
        """Keeps that one of the caller's messages was read; one that was stays read since then.
        Reasons: NOT_FOUND, also for another's.
        """
        return self._calls.unary(_MARK_NOTIFICATION_READ, ticketing.MarkNotificationReadRequest(notification_id=notification_id), timeout)

    def mark_all_notifications_read(
        self,
        *,
        until_notification_id: int = 0,
        timeout: float | None = None,
    ) -> ticketing.MarkAllNotificationsReadResponse:
        """Keeps that all of the caller's messages up to one were read."""
        return self._calls.unary(_MARK_ALL_NOTIFICATIONS_READ, ticketing.MarkAllNotificationsReadRequest(until_notification_id=until_notification_id), timeout)

    def report_subscription_consents(
        self,
        *,
        consents: Iterable[ticketing.SubscriptionConsent] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.ReportSubscriptionConsentsResponse:
        """Counts what the caller agreed to in the mini-program: each `accept` of a template is good
        for one message of it, and none is sent without. A template that is none of ours is counted,
        too, and never used. Reasons: INVALID_FIELD (a template twice), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REPORT_SUBSCRIPTION_CONSENTS, ticketing.ReportSubscriptionConsentsRequest(consents=consents, request_id=request_id), timeout)

    def get_notification_preferences(
        self,
        *,
        timeout: float | None = None,
    ) -> ticketing.GetNotificationPreferencesResponse:
        """Says how the caller wants to be notified, and about which templates of WeChat's the mini-
        program may ask.
        """
        return self._calls.unary(_GET_NOTIFICATION_PREFERENCES, ticketing.GetNotificationPreferencesRequest(), timeout)

    def update_notification_preferences(
        self,
        *,
        preferences: ticketing.NotificationPreferences,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> ticketing.UpdateNotificationPreferencesResponse:
        """Keeps how the caller wants to be notified from now on. Reasons: INVALID_FIELD (a channel
        without its number or address, one of the quiet hours without the other), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_NOTIFICATION_PREFERENCES, ticketing.UpdateNotificationPreferencesRequest(preferences=preferences, request_id=request_id, version=version), timeout)

    def download_calendar_entry(
        self,
        *,
        ticket_code: str,
        timeout: float | None = None,
    ) -> Iterator[ticketing.DownloadCalendarEntryResponse]:
        """Gives the calendar entry of one of the caller's tickets, as text/calendar: of a departure
        from when it leaves until it arrives, in UTC; of a day pass its days. It has the same UID
        always, a greater SEQUENCE whenever its departure is moved, and STATUS:CANCELLED when that
        is cancelled or the ticket is given back or changed. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_DOWNLOAD_CALENDAR_ENTRY, ticketing.DownloadCalendarEntryRequest(ticket_code=ticket_code), timeout)


class AsyncTicketingService:
    """What travellers do: search, hold, pay, hold tickets in hand, give them back or change them.

    Searching needs no credentials; everything else the access token of TravellerLogin in
    `authorization: Bearer …`. A traveller sees only its own. A call with a `request_id` may be
    repeated safely with the same id: it gets the first answer again; the same id with other content
    gets IDEMPOTENCY_MISMATCH. Texts for people come in English and Chinese.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def traveller_login(
        self,
        *,
        code: str,
        timeout: float | None = None,
    ) -> ticketing.TravellerLoginResponse:
        """Logs a traveller in with the code the mini-program got from wx.login. Reasons: LOGIN_FAILED
        (the code is wrong, used or too old), PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED,
        REVOKED.
        """
        return await self._calls.unary(_TRAVELLER_LOGIN, ticketing.TravellerLoginRequest(code=code), timeout)

    async def list_hot_cities(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListHotCitiesResponse:
        """Lists the hot cities, the most wanted first."""
        return await self._calls.unary(_LIST_HOT_CITIES, ticketing.ListHotCitiesRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_hot_cities(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.City]:
        """All `cities` of list_hot_cities, page after page."""
        return self._calls.pages(_LIST_HOT_CITIES, ticketing.ListHotCitiesRequest(page_size=page_size), timeout)

    async def search_offers(
        self,
        *,
        origin_city_code: str,
        destination_city_code: str,
        travel_date: str,
        passengers: Iterable[tickets.CustomerType.ValueType],
        nearby_days: int = 0,
        kinds: Iterable[ticketing.OfferKind.ValueType] = (),
        fare_classes: Iterable[str] = (),
        departs_from: str = "",
        departs_until: str = "",
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        order_by: ticketing.OfferOrder.ValueType = ticketing.OFFER_ORDER_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.SearchOffersResponse:
        """Searches what a party can buy for a day: trains, ferries and packages, each with the price
        of the whole party line by line and the seats that are left now. A day without offers says
        why. Reasons: PAGE_TOKEN_INVALID, PROMOTION_NOT_APPLICABLE.
        """
        return await self._calls.unary(_SEARCH_OFFERS, ticketing.SearchOffersRequest(origin_city_code=origin_city_code, destination_city_code=destination_city_code, travel_date=travel_date, passengers=passengers, nearby_days=nearby_days, kinds=kinds, fare_classes=fare_classes, departs_from=departs_from, departs_until=departs_until, available_only=available_only, promotion_codes=promotion_codes, order_by=order_by, page_size=page_size, page_token=page_token), timeout)

    def iter_search_offers(
        self,
        *,
        origin_city_code: str,
        destination_city_code: str,
        travel_date: str,
        passengers: Iterable[tickets.CustomerType.ValueType],
        nearby_days: int = 0,
        kinds: Iterable[ticketing.OfferKind.ValueType] = (),
        fare_classes: Iterable[str] = (),
        departs_from: str = "",
        departs_until: str = "",
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        order_by: ticketing.OfferOrder.ValueType = ticketing.OFFER_ORDER_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.Offer]:
        """All `offers` of search_offers, page after page."""
        return self._calls.pages(_SEARCH_OFFERS, ticketing.SearchOffersRequest(origin_city_code=origin_city_code, destination_city_code=destination_city_code, travel_date=travel_date, passengers=passengers, nearby_days=nearby_days, kinds=kinds, fare_classes=fare_classes, departs_from=departs_from, departs_until=departs_until, available_only=available_only, promotion_codes=promotion_codes, order_by=order_by, page_size=page_size), timeout)

    async def list_rental_locations(
        self,
        *,
        city_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListRentalLocationsResponse:
        """Lists where cars are rented. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_RENTAL_LOCATIONS, ticketing.ListRentalLocationsRequest(city_code=city_code, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_locations(
        self,
        *,
        city_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.RentalLocation]:
        """All `locations` of list_rental_locations, page after page."""
        return self._calls.pages(_LIST_RENTAL_LOCATIONS, ticketing.ListRentalLocationsRequest(city_code=city_code, page_size=page_size), timeout)

    async def search_rentals(
        self,
        *,
        pick_up_clock: str,
        return_clock: str,
        driver_age: int,
        pick_up_location_id: int = 0,
        city_code: str = "",
        drop_off_location_id: int = 0,
        extras: Iterable[ticketing.WantedExtra] = (),
        cars: int = 0,
        category_codes: Iterable[str] = (),
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.SearchRentalsResponse:
        """Searches what cars can be rented from one moment to another: each category at each location
        with its price, extras included. An offer is quoted, ordered, paid, refunded and changed as
        every other; each of its passengers drives a car of its own, and gets a voucher whose QR the
        location redeems. Reasons: INVALID_FIELD, NOT_FOUND (location), PROMOTION_NOT_APPLICABLE,
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_SEARCH_RENTALS, ticketing.SearchRentalsRequest(pick_up_clock=pick_up_clock, return_clock=return_clock, driver_age=driver_age, pick_up_location_id=pick_up_location_id, city_code=city_code, drop_off_location_id=drop_off_location_id, extras=extras, cars=cars, category_codes=category_codes, available_only=available_only, promotion_codes=promotion_codes, page_size=page_size, page_token=page_token), timeout)

    def iter_search_rentals(
        self,
        *,
        pick_up_clock: str,
        return_clock: str,
        driver_age: int,
        pick_up_location_id: int = 0,
        city_code: str = "",
        drop_off_location_id: int = 0,
        extras: Iterable[ticketing.WantedExtra] = (),
        cars: int = 0,
        category_codes: Iterable[str] = (),
        available_only: bool = False,
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.Offer]:
        """All `offers` of search_rentals, page after page."""
        return self._calls.pages(_SEARCH_RENTALS, ticketing.SearchRentalsRequest(pick_up_clock=pick_up_clock, return_clock=return_clock, driver_age=driver_age, pick_up_location_id=pick_up_location_id, city_code=city_code, drop_off_location_id=drop_off_location_id, extras=extras, cars=cars, category_codes=category_codes, available_only=available_only, promotion_codes=promotion_codes, page_size=page_size), timeout)

    async def get_product(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> ticketing.GetProductResponse:
        """Reads a product: fares, entitlements, refund and change. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_PRODUCT, ticketing.GetProductRequest(product_id=product_id), timeout)

    async def quote_order(
        self,
        *,
        items: Iterable[ticketing.OrderItem],
        passengers: Iterable[tickets.CustomerType.ValueType],
        promotion_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> ticketing.QuoteOrderResponse:
        """Says what an order would cost now, line by line. Holds nothing, and does not know who asks:
        of a promotion that one traveller may use so often CreateOrder alone can say that it is used
        up. Reasons: OFFER_NOT_AVAILABLE, PROMOTION_NOT_APPLICABLE, PASSENGER_NOT_ALLOWED
        (COMPANION_REQUIRED), NOT_FOUND (offer).
        """
        return await self._calls.unary(_QUOTE_ORDER, ticketing.QuoteOrderRequest(items=items, passengers=passengers, promotion_codes=promotion_codes), timeout)

    async def create_order(
        self,
        *,
        items: Iterable[ticketing.OrderItem],
        passengers: Iterable[ticketing.Passenger],
        request_id: str = "",
        promotion_codes: Iterable[str] = (),
        quoted_minor: int | None = None,
        contact_phone: str = "",
        timeout: float | None = None,
    ) -> ticketing.CreateOrderResponse:
        """Makes an order: price, rules and entitlements are kept as they are now, and the stock is
        held for the payment until `lock_expire_time`. All or nothing. Reasons: SOLD_OUT,
        OFFER_NOT_AVAILABLE, PRICE_CHANGED, PROMOTION_NOT_APPLICABLE, TOO_MANY_FOR_TRAVELLER,
        DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY, PASSENGER_NOT_ALLOWED, NOT_FOUND (offer),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_ORDER, ticketing.CreateOrderRequest(items=items, passengers=passengers, request_id=request_id, promotion_codes=promotion_codes, quoted_minor=quoted_minor, contact_phone=contact_phone), timeout)

    async def get_order(
        self,
        *,
        order_id: str,
        timeout: float | None = None,
    ) -> ticketing.GetOrderResponse:
        """Reads one of the caller's orders. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_ORDER, ticketing.GetOrderRequest(order_id=order_id), timeout)

    async def list_orders(
        self,
        *,
        state: ticketing.OrderState.ValueType = ticketing.ORDER_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListOrdersResponse:
        """Lists the caller's orders, the newest first. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_ORDERS, ticketing.ListOrdersRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_orders(
        self,
        *,
        state: ticketing.OrderState.ValueType = ticketing.ORDER_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.Order]:
        """All `orders` of list_orders, page after page."""
        return self._calls.pages(_LIST_ORDERS, ticketing.ListOrdersRequest(state=state, page_size=page_size), timeout)

    async def cancel_order(
        self,
        *,
        order_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.CancelOrderResponse:
        """Cancels an order that is not paid and gives its stock back. A repeat does no harm. Reasons:
        NOT_FOUND, ORDER_STATE_REFUSES (paid, or cancelled for another cause).
        """
        return await self._calls.unary(_CANCEL_ORDER, ticketing.CancelOrderRequest(order_id=order_id, request_id=request_id), timeout)

    def watch_order(
        self,
        *,
        order_id: str,
        after_sequence: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.WatchOrderResponse]:
        """Streams what happens to an order and its tickets, from the first move or after
        `after_sequence`, and ends when the order is final. Over JSON one object a line, with an
        empty line every 15 seconds while nothing happens; it ends by itself only with the order,
        unless the caller sets a deadline. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_WATCH_ORDER, ticketing.WatchOrderRequest(order_id=order_id, after_sequence=after_sequence), timeout)

    async def create_payment(
        self,
        *,
        order_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.CreatePaymentResponse:
        """Asks WeChat for a payment of a held order and answers what wx.requestPayment takes. A repeat
        gives the same payment. Reasons: NOT_FOUND, DEPARTURE_CANCELLED, ORDER_STATE_REFUSES (not
        PENDING, hold over), PAYMENT_REFUSED, PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED.
        """
        return await self._calls.unary(_CREATE_PAYMENT, ticketing.CreatePaymentRequest(order_id=order_id, request_id=request_id), timeout)

    async def get_payment(
        self,
        *,
        order_id: str,
        timeout: float | None = None,
    ) -> ticketing.GetPaymentResponse:
        """Reads the latest payment of an order; while it waits WeChat is asked. Reasons: NOT_FOUND.
        """
        return await self._calls.unary(_GET_PAYMENT, ticketing.GetPaymentRequest(order_id=order_id), timeout)

    async def list_tickets(
        self,
        *,
        order_id: str = "",
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListTicketsResponse:
        """Lists the caller's tickets, those of the newest order first. Reasons: PAGE_TOKEN_INVALID,
        NOT_FOUND (order).
        """
        return await self._calls.unary(_LIST_TICKETS, ticketing.ListTicketsRequest(order_id=order_id, status=status, page_size=page_size, page_token=page_token), timeout)

    def iter_tickets(
        self,
        *,
        order_id: str = "",
        status: tickets.TicketState.ValueType = tickets.TICKET_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.TravellerTicket]:
        """All `tickets` of list_tickets, page after page."""
        return self._calls.pages(_LIST_TICKETS, ticketing.ListTicketsRequest(order_id=order_id, status=status, page_size=page_size), timeout)

    async def get_ticket(
        self,
        *,
        ticket_code: str,
        timeout: float | None = None,
    ) -> ticketing.GetTicketResponse:
        """Reads one of the caller's tickets. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_TICKET, ticketing.GetTicketRequest(ticket_code=ticket_code), timeout)

    async def issue_ticket_qr(
        self,
        *,
        ticket_code: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ticketing.IssueTicketQrResponse:
        """Issues the QR of one of the caller's tickets. May be repeated at will: the ticket keeps its
        jti and codes issued before still work, unless `rotate` is set, which supersedes them all.
        Reasons: NOT_FOUND, TICKET_STATE_REFUSES (final state, blocked, validity over),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ISSUE_TICKET_QR, ticketing.IssueTicketQrRequest(ticket_code=ticket_code, rotate=rotate, request_id=request_id, picture=picture), timeout)

    async def issue_order_qr(
        self,
        *,
        order_id: str,
        rotate: bool = False,
        request_id: str = "",
        picture: tickets.QrPicture | None = None,
        timeout: float | None = None,
    ) -> ticketing.IssueOrderQrResponse:
        """Issues the QR of one of the caller's orders: scanned at a venue it lists the order's
        tickets, and redeems them by `ticket_code`, except those whose own QR was rotated after it
        was issued: issue it again then. May be repeated at will: codes issued before still work,
        unless `rotate` is set, which supersedes them all. Reasons: NOT_FOUND, ORDER_STATE_REFUSES
        (not paid), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ISSUE_ORDER_QR, ticketing.IssueOrderQrRequest(order_id=order_id, rotate=rotate, request_id=request_id, picture=picture), timeout)

    async def quote_refund(
        self,
        *,
        order_id: str,
        ticket_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> ticketing.QuoteRefundResponse:
        """Says what tickets give back now, each with the rule that applied; the quote is good for some
        minutes. Of a departure that the operator cancelled, or moved beyond the tolerance and that
        has not left, all that is unused comes back. Reasons: NOT_FOUND, REFUND_REFUSED (redeemed,
        expired, refunding or final, too late, or shared with others who keep theirs;
        REFUNDS_USED_UP: WeChat has made as many refunds of the payment as it does, which is 50).
        """
        return await self._calls.unary(_QUOTE_REFUND, ticketing.QuoteRefundRequest(order_id=order_id, ticket_codes=ticket_codes), timeout)

    async def request_refund(
        self,
        *,
        order_id: str,
        refund_quote: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.RequestRefundResponse:
        """Gives tickets back against a quote: they become REFUNDING at once, which the gates refuse,
        and REFUNDED when WeChat has settled the money. All or nothing. If the operator cancelled or
        moved the departure since the quote, what is due now is given back. Reasons: NOT_FOUND,
        QUOTE_INVALID (expired, not ours, a ticket has moved since, or only one more refund can be
        made by now and the quote is not of all that is left), REFUND_REFUSED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REQUEST_REFUND, ticketing.RequestRefundRequest(order_id=order_id, refund_quote=refund_quote, request_id=request_id), timeout)

    async def list_refunds(
        self,
        *,
        order_id: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListRefundsResponse:
        """Lists the refunds of one of the caller's orders. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_REFUNDS, ticketing.ListRefundsRequest(order_id=order_id, page_size=page_size, page_token=page_token), timeout)

    def iter_refunds(
        self,
        *,
        order_id: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.Refund]:
        """All `refunds` of list_refunds, page after page."""
        return self._calls.pages(_LIST_REFUNDS, ticketing.ListRefundsRequest(order_id=order_id, page_size=page_size), timeout)

    async def quote_change(
        self,
        *,
        ticket_code: str,
        offer_id: str,
        timeout: float | None = None,
    ) -> ticketing.QuoteChangeResponse:
        """Says what another departure or day instead would cost now; the quote is good for some
        minutes. Away from a departure that the operator cancelled or moved a change has no fee and
        does not count, until it leaves or would have. Reasons: NOT_FOUND, CHANGE_REFUSED
        (REFUNDS_USED_UP: something is to be given back, and WeChat makes no refund of the payment
        any more, or one that is kept for all that is left), OFFER_NOT_AVAILABLE.
        """
        return await self._calls.unary(_QUOTE_CHANGE, ticketing.QuoteChangeRequest(ticket_code=ticket_code, offer_id=offer_id), timeout)

    async def change_ticket(
        self,
        *,
        ticket_code: str,
        change_quote: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.ChangeTicketResponse:
        """Changes a ticket against a quote (改签): holds the new seat, settles the difference, then
        frees the old one. With nothing to pay the change is made at once; else the answered order
        waits for CreatePayment, the old ticket is CHANGING, and becomes ACTIVE again if the
        difference is not paid in time. A blocked ticket is not changed; a block that is set on it
        while it is CHANGING goes over to the new ticket, and a payment that comes too late for a
        blocked one goes back, as does one for a ticket that is worth less by then, since another of
        its party was given back. What the ticket shares with others stays theirs too, and is valid
        as long as the latest of them all. Reasons: NOT_FOUND, QUOTE_INVALID, CHANGE_REFUSED,
        SOLD_OUT, OFFER_NOT_AVAILABLE, TOO_MANY_FOR_TRAVELLER, DUPLICATE_PASSENGER,
        OVERLAPPING_JOURNEY (with anything but the ticket that is changed), PASSENGER_NOT_ALLOWED (a
        child or pet without company on the new departure, or too old for its fare by then),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CHANGE_TICKET, ticketing.ChangeTicketRequest(ticket_code=ticket_code, change_quote=change_quote, request_id=request_id), timeout)

    async def list_notifications(
        self,
        *,
        unread_only: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> ticketing.ListNotificationsResponse:
        """Lists the caller's messages, the latest first, by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_NOTIFICATIONS, ticketing.ListNotificationsRequest(unread_only=unread_only, page_size=page_size, page_token=page_token), timeout)

    def iter_notifications(
        self,
        *,
        unread_only: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.Notification]:
        """All `notifications` of list_notifications, page after page."""
        return self._calls.pages(_LIST_NOTIFICATIONS, ticketing.ListNotificationsRequest(unread_only=unread_only, page_size=page_size), timeout)

    async def get_unread_notification_count(
        self,
        *,
        timeout: float | None = None,
    ) -> ticketing.GetUnreadNotificationCountResponse:
        """Says how many of the caller's messages were not read."""
        return await self._calls.unary(_GET_UNREAD_NOTIFICATION_COUNT, ticketing.GetUnreadNotificationCountRequest(), timeout)

    async def mark_notification_read(
        self,
        *,
        notification_id: int,
        timeout: float | None = None,
    ) -> ticketing.MarkNotificationReadResponse:
        """Keeps that one of the caller's messages was read; one that was stays read since then.
        Reasons: NOT_FOUND, also for another's.
        """
        return await self._calls.unary(_MARK_NOTIFICATION_READ, ticketing.MarkNotificationReadRequest(notification_id=notification_id), timeout)

    async def mark_all_notifications_read(
        self,
        *,
        until_notification_id: int = 0,
        timeout: float | None = None,
    ) -> ticketing.MarkAllNotificationsReadResponse:
        """Keeps that all of the caller's messages up to one were read."""
        return await self._calls.unary(_MARK_ALL_NOTIFICATIONS_READ, ticketing.MarkAllNotificationsReadRequest(until_notification_id=until_notification_id), timeout)

    async def report_subscription_consents(
        self,
        *,
        consents: Iterable[ticketing.SubscriptionConsent] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> ticketing.ReportSubscriptionConsentsResponse:
        """Counts what the caller agreed to in the mini-program: each `accept` of a template is good
        for one message of it, and none is sent without. A template that is none of ours is counted,
        too, and never used. Reasons: INVALID_FIELD (a template twice), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REPORT_SUBSCRIPTION_CONSENTS, ticketing.ReportSubscriptionConsentsRequest(consents=consents, request_id=request_id), timeout)

    async def get_notification_preferences(
        self,
        *,
        timeout: float | None = None,
    ) -> ticketing.GetNotificationPreferencesResponse:
        """Says how the caller wants to be notified, and about which templates of WeChat's the mini-
        program may ask.
        """
        return await self._calls.unary(_GET_NOTIFICATION_PREFERENCES, ticketing.GetNotificationPreferencesRequest(), timeout)

    async def update_notification_preferences(
        self,
        *,
        preferences: ticketing.NotificationPreferences,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> ticketing.UpdateNotificationPreferencesResponse:
        """Keeps how the caller wants to be notified from now on. Reasons: INVALID_FIELD (a channel
        without its number or address, one of the quiet hours without the other), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_NOTIFICATION_PREFERENCES, ticketing.UpdateNotificationPreferencesRequest(preferences=preferences, request_id=request_id, version=version), timeout)

    def download_calendar_entry(
        self,
        *,
        ticket_code: str,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.DownloadCalendarEntryResponse]:
        """Gives the calendar entry of one of the caller's tickets, as text/calendar: of a departure
        from when it leaves until it arrives, in UTC; of a day pass its days. It has the same UID
        always, a greater SEQUENCE whenever its departure is moved, and STATUS:CANCELLED when that
        is cancelled or the ticket is given back or changed. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_DOWNLOAD_CALENDAR_ENTRY, ticketing.DownloadCalendarEntryRequest(ticket_code=ticket_code), timeout)
