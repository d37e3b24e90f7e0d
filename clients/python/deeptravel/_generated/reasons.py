"""Why a call failed, as the contract names it."""

from enum import StrEnum


class Reason(StrEnum):
    """The `reason` of a CallError; a newer server may
    name others, which compare as text.
    """

    INVALID_FIELD = "INVALID_FIELD"
    """INVALID_ARGUMENT. A field is missing, of the wrong form or out of range, or the bytes are no
    request of the method. Details: google.rpc.BadRequest with one violation for each field, as many
    as fit into trailers that every client takes; if some do not, the ErrorInfo says how many as
    `violations_left_out`. The check of a request ends at its 50th.
    """
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    """INVALID_ARGUMENT. The page token is broken, or belongs to another filter. Ask for the first page
    again.
    """
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """UNAUTHENTICATED. No credentials, or they are unknown, expired or revoked."""
    LOGIN_FAILED = "LOGIN_FAILED"
    """UNAUTHENTICATED. Wrong user name or password, or a terminal that is not the operator's."""
    LOGIN_LOCKED = "LOGIN_LOCKED"
    """RESOURCE_EXHAUSTED. Too many failed log-ins under this name from this terminal and address, or
    from this address under whatever names; RetryInfo says when to try again. From elsewhere the
    name is not locked.
    """
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    """PERMISSION_DENIED. The caller's role may not call this method. Metadata: `role`, `allowed`.
    """
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    """PERMISSION_DENIED. The partner's key may not be used from this address. Metadata: `address`.
    """
    TERMINAL_MISMATCH = "TERMINAL_MISMATCH"
    """PERMISSION_DENIED. The terminal in the request is not the one the access token is bound to.
    Metadata: `terminal_device_id`.
    """
    SESSION_NOT_OPEN = "SESSION_NOT_OPEN"
    """FAILED_PRECONDITION. The validator session is unknown, closed, or of another operator or
    terminal.
    """
    NOT_FOUND = "NOT_FOUND"
    """NOT_FOUND. What the request names does not exist, or is not the caller's to see. Metadata:
    `resource`, `name`.
    """
    ALREADY_EXISTS = "ALREADY_EXISTS"
    """ALREADY_EXISTS. There is one with this name already. Metadata: `resource`, `name`."""
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    """ALREADY_EXISTS. The request_id was used before with other content. Use a new one for a new
    request.
    """
    SOLD_OUT = "SOLD_OUT"
    """FAILED_PRECONDITION. Not enough stock in the caller's allotment. Metadata: `product_id`,
    `requested`, `available`.
    """
    PRODUCT_NOT_ON_SALE = "PRODUCT_NOT_ON_SALE"
    """FAILED_PRECONDITION. The product is archived or has no allotment for the caller. Metadata:
    `product_id`.
    """
    TICKET_STATE_REFUSES = "TICKET_STATE_REFUSES"
    """FAILED_PRECONDITION. The ticket's state does not allow the move. Metadata: `ticket_code`,
    `status`.
    """
    STOCK_IN_USE = "STOCK_IN_USE"
    """FAILED_PRECONDITION. The stock total cannot go below what is held and sold. Metadata: `held`,
    `sold`, `total`.
    """
    REVERSAL_REFUSED = "REVERSAL_REFUSED"
    """FAILED_PRECONDITION. The redemption cannot be reversed: refused, reversed before, outside the
    window, or of a shared ticket whose travellers have all given theirs back. Metadata:
    `redemption_id`.
    """
    REVOKED = "REVOKED"
    """FAILED_PRECONDITION. The resource is revoked, or belongs to one that is. Metadata: `resource`,
    `name`.
    """
    RATE_LIMITED = "RATE_LIMITED"
    """RESOURCE_EXHAUSTED. The caller's requests a minute are used up; RetryInfo says when to try
    again.
    """
    SERVER_BUSY = "SERVER_BUSY"
    """RESOURCE_EXHAUSTED. The server has as many calls in flight as it takes, in all or from this
    address, or as many of this partner's wait for their turn as may; RetryInfo says when to try
    again.
    """
    CONFLICT = "CONFLICT"
    """ABORTED. A race was lost again after bounded retries, or another call held a row that this one
    needs for too long: a quarter of a second for scans and orders, some seconds for all else. The
    call did nothing and may be repeated with the same request_id: RetryInfo says when.
    """
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    """UNAVAILABLE. The database cannot be reached, did not answer in time, or takes no writes at the
    moment (a failover). The message says whether it is unknown what became of the call. Repeat with
    the same request_id: what was done is not done again; RetryInfo says when.
    """
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """UNAVAILABLE. The server is stopping; call another, or again: RetryInfo says when."""
    INTERNAL = "INTERNAL"
    """INTERNAL. A fault of the server; the log has the details under the request id."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """DEADLINE_EXCEEDED. The caller's deadline passed before the answer was ready, or the call's
    request did not come in time (20 seconds, if the server's settings say nothing else): then
    nothing was done.
    """
    LAST_ADMINISTRATOR = "LAST_ADMINISTRATOR"
    """FAILED_PRECONDITION. The last active administrator cannot be revoked; create another first.
    Metadata: `username`.
    """
    PAYMENT_PROVIDER_UNAVAILABLE = "PAYMENT_PROVIDER_UNAVAILABLE"
    """UNAVAILABLE. WeChat did not answer; nothing was done, or it will be found out by asking again:
    RetryInfo says when.
    """
    PAYMENTS_NOT_CONFIGURED = "PAYMENTS_NOT_CONFIGURED"
    """FAILED_PRECONDITION. The server has no settings of a WeChat Pay merchant."""
    PAYMENT_REFUSED = "PAYMENT_REFUSED"
    """FAILED_PRECONDITION. WeChat refuses the payment. Metadata: `order_id`, `code`."""
    NOTICE_REFUSED = "NOTICE_REFUSED"
    """UNAUTHENTICATED. The notice is not signed by WeChat Pay, or by the partner it is to come from,
    or not within the last five minutes.
    """
    OFFER_NOT_AVAILABLE = "OFFER_NOT_AVAILABLE"
    """FAILED_PRECONDITION. The offer cannot be bought now; `why` is an UnavailableReason without
    prefix. Metadata: `offer_id`, `why`.
    """
    PRICE_CHANGED = "PRICE_CHANGED"
    """FAILED_PRECONDITION. The price is another than the quoted one. Metadata: `quoted_minor`,
    `total_minor`, `currency_code`.
    """
    PROMOTION_NOT_APPLICABLE = "PROMOTION_NOT_APPLICABLE"
    """FAILED_PRECONDITION. The promotion code is unknown, does not apply, or is used up: by all, or by
    this traveller. Metadata: `promotion_code`, `why`.
    """
    TOO_MANY_FOR_TRAVELLER = "TOO_MANY_FOR_TRAVELLER"
    """FAILED_PRECONDITION. More tickets than one traveller may hold and have for the departure, in all
    its classes together, or of the product on that day of use. What is cancelled, refunded or
    changed no longer counts. Metadata: `offer_id`, `limit`, `held`, `requested`.
    """
    DUPLICATE_PASSENGER = "DUPLICATE_PASSENGER"
    """FAILED_PRECONDITION. Somebody is in the party twice, or has a seat on this departure already.
    Metadata: `offer_id`, `passenger_index`.
    """
    ORDER_STATE_REFUSES = "ORDER_STATE_REFUSES"
    """FAILED_PRECONDITION. The order's state does not allow the move. Metadata: `order_id`, `state`.
    """
    REFUND_REFUSED = "REFUND_REFUSED"
    """FAILED_PRECONDITION. The ticket cannot be given back. Metadata: `ticket_code`, `why`
    (NOT_ACTIVE, BLOCKED, REDEEMED, EXPIRED, VOIDED, REFUNDING, REFUNDED, CHANGING, CHANGED,
    NOT_REFUNDABLE, TOO_LATE; CHANGED_TOO_LATE: it was changed when a refund would have given
    nothing); `deadline_time` (ISO 8601, by the clock of the ticket's city) where it is too late.
    """
    CHANGE_REFUSED = "CHANGE_REFUSED"
    """FAILED_PRECONDITION. The ticket cannot be changed. Metadata: `ticket_code`, `why`;
    `deadline_time` (ISO 8601, by the clock of the ticket's city) where it is too late.
    """
    QUOTE_INVALID = "QUOTE_INVALID"
    """FAILED_PRECONDITION. The quote is not ours, is expired, or holds no more; ask for another."""
    PAYMENT_MISMATCH = "PAYMENT_MISMATCH"
    """FAILED_PRECONDITION. A partner's payment proof is not what the price snapshot of the ticket, or
    of all tickets of a batch (then the code is empty), asks for; nothing was activated. Metadata:
    `ticket_code`, `expected_minor`, `expected_currency_code`, `paid_minor`, `paid_currency_code`.
    """
    DEPARTURE_CANCELLED = "DEPARTURE_CANCELLED"
    """FAILED_PRECONDITION. The operator has cancelled the departure, for good: nothing is paid for it,
    nor is it moved or run after all. Metadata: `departure_id`.
    """
    OVERLAPPING_JOURNEY = "OVERLAPPING_JOURNEY"
    """FAILED_PRECONDITION. The document is on another departure, held or sold, while this one is under
    way. Metadata: `offer_id`, `passenger_index`.
    """
    PASSENGER_NOT_ALLOWED = "PASSENGER_NOT_ALLOWED"
    """FAILED_PRECONDITION. A rule of the product keeps the passenger from travelling so; `rule` says
    which. COMPANION_REQUIRED: customers of this type travel only with an adult, senior or student.
    AGE_LIMIT: the fare is for other ages on the day of travel than the document tells; also `age`,
    `min_age` and `max_age`. Metadata: `offer_id`, `passenger_index`, `rule`, `customer_type`,
    `age`, `min_age`, `max_age`.
    """
    RANGE_TOO_LARGE = "RANGE_TOO_LARGE"
    """FAILED_PRECONDITION. The list or report takes longer to read than it may; narrow the span of
    time or name more filters. Repeated as it is it fails again.
    """
    EVENTS_REMOVED = "EVENTS_REMOVED"
    """FAILED_PRECONDITION. Some of the events after the cursor are not kept any more; read the tickets
    anew, then go on after `oldest_cursor`. Metadata: `after_cursor`, `oldest_cursor`.
    """
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    """FAILED_PRECONDITION. The reservation's time is over: nothing is made or activated of it any
    more; its stock has returned, or does so within seconds. Reserve again. Metadata:
    `reservation_id`, `expire_time` (ISO 8601).
    """
    RESERVATION_STATE_REFUSES = "RESERVATION_STATE_REFUSES"
    """FAILED_PRECONDITION. The reservation is COMPLETED or RELEASED: it holds no stock. Metadata:
    `reservation_id`, `status`.
    """
    RESERVATION_USED_UP = "RESERVATION_USED_UP"
    """FAILED_PRECONDITION. There are tickets of nearly all that was reserved; so many more are not
    left of it. Metadata: `reservation_id`, `requested`, `available`.
    """
    RESERVATION_TOO_LONG = "RESERVATION_TOO_LONG"
    """FAILED_PRECONDITION. The reservation would last longer than the channel's may, or than until its
    departure leaves or its day is over. Metadata: `max_expire_time` (ISO 8601).
    """
    DISTRIBUTOR_REFUSED = "DISTRIBUTOR_REFUSED"
    """FAILED_PRECONDITION. The partner's tree of distributors does not allow it; `why` is one of
    ARCHIVED (the distributor is, so nothing new goes through it), CIRCLE (the parent is below it),
    TOO_DEEP (a line of more than 8 levels), COMMISSION_TOO_HIGH (a line whose commissions are more
    than 10,000 basis points together), TOO_MANY (10,000 distributors) and ACTIVE_BELOW (archive
    those below it first). Metadata: `distributor_id`, `why`. Remedy: read the tree of distributors;
    `why` says what of it to change first.
    """
    VERSION_MISMATCH = "VERSION_MISMATCH"
    """FAILED_PRECONDITION. It was changed since that version was read: read it again, and decide anew.
    Metadata: `resource`, `name`, `version`. Remedy: read it again, and send the change with the
    version that was read.
    """
    ENDPOINT_LIMIT = "ENDPOINT_LIMIT"
    """FAILED_PRECONDITION. The partner has as many webhook endpoints as it may have; delete one that
    is not used. Metadata: `limit`.
    """
