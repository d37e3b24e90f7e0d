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
    `violations_left_out`. The check of a request ends at its 50th. Remedy: mend the fields that are
    named; a repeat as it is fails again.
    """
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    """INVALID_ARGUMENT. The page token is broken, or belongs to another filter. Ask for the first page
    again. Remedy: begin again without a page token, and leave filters as they are from page to
    page.
    """
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """UNAUTHENTICATED. No credentials, or they are unknown, expired or revoked. Remedy: log in again,
    or refresh the access token; a partner asks for a new key.
    """
    LOGIN_FAILED = "LOGIN_FAILED"
    """UNAUTHENTICATED. Wrong user name or password, or a terminal that is not the operator's. Remedy:
    check name, password and terminal; do not repeat it unattended.
    """
    LOGIN_LOCKED = "LOGIN_LOCKED"
    """RESOURCE_EXHAUSTED. Too many failed log-ins under this name from this terminal and address, or
    from this address under whatever names; RetryInfo says when to try again. From elsewhere the
    name is not locked. Remedy: wait as RetryInfo says, then log in with the right password.
    """
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    """PERMISSION_DENIED. The caller's role may not call this method. Metadata: `role`, `allowed`.
    Where administrators may call, but not those with this account's roles, both name roles of
    administrators (`AdminRole`). Remedy: call with the credentials of a caller that `allowed`
    names.
    """
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    """PERMISSION_DENIED. The partner's key may not be used from this address. Metadata: `address`.
    Remedy: call from an address that is on the key's list, or have yours added to it.
    """
    TERMINAL_MISMATCH = "TERMINAL_MISMATCH"
    """PERMISSION_DENIED. The terminal in the request is not the one the access token is bound to.
    Metadata: `terminal_device_id`. Remedy: leave the terminal out of the request, or log in at that
    terminal.
    """
    SESSION_NOT_OPEN = "SESSION_NOT_OPEN"
    """FAILED_PRECONDITION. The validator session is unknown, closed, or of another operator or
    terminal. Remedy: open a validator session, and scan with its code.
    """
    NOT_FOUND = "NOT_FOUND"
    """NOT_FOUND. What the request names does not exist, or is not the caller's to see. Metadata:
    `resource`, `name`. Remedy: check the name; what belongs to others is not found either.
    """
    ALREADY_EXISTS = "ALREADY_EXISTS"
    """ALREADY_EXISTS. There is one with this name already. Metadata: `resource`, `name`. Remedy: read
    the one that is there, or choose another name.
    """
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    """ALREADY_EXISTS. The request_id was used before with other content. Use a new one for a new
    request. Remedy: for a new request make a new id; for a repeat send what was sent first.
    """
    SOLD_OUT = "SOLD_OUT"
    """FAILED_PRECONDITION. Not enough stock in the caller's allotment. Metadata: `product_id`,
    `requested`, `available`. Remedy: ask for `available` or fewer, or have an administrator raise
    the allotment.
    """
    PRODUCT_NOT_ON_SALE = "PRODUCT_NOT_ON_SALE"
    """FAILED_PRECONDITION. The product is archived or has no allotment for the caller. Metadata:
    `product_id`. Remedy: take a product that GetInventory lists, or ask for an allotment of this
    one.
    """
    TICKET_STATE_REFUSES = "TICKET_STATE_REFUSES"
    """FAILED_PRECONDITION. The ticket's state does not allow the move. Metadata: `ticket_code`,
    `status`. Remedy: read the ticket; if it is already as you want it, nothing is left to do.
    """
    STOCK_IN_USE = "STOCK_IN_USE"
    """FAILED_PRECONDITION. The stock total cannot go below what is held and sold. Metadata: `held`,
    `sold`, `total`. Remedy: set the total to `held` + `sold` or more.
    """
    REVERSAL_REFUSED = "REVERSAL_REFUSED"
    """FAILED_PRECONDITION. The redemption cannot be reversed: refused, reversed before, outside the
    window, or of a shared ticket whose travellers have all given theirs back. Metadata:
    `redemption_id`. Remedy: read the redemptions of the ticket; a reversal after the window needs
    an administrator.
    """
    REVOKED = "REVOKED"
    """FAILED_PRECONDITION. The resource is revoked, or belongs to one that is. Metadata: `resource`,
    `name`. Remedy: use another one; what is revoked does not come back.
    """
    RATE_LIMITED = "RATE_LIMITED"
    """RESOURCE_EXHAUSTED. The caller's requests a minute are used up; RetryInfo says when to try
    again. Remedy: wait as RetryInfo says, then repeat; fetch by stream or larger pages, or ask for
    a higher limit.
    """
    SERVER_BUSY = "SERVER_BUSY"
    """RESOURCE_EXHAUSTED. The server has as many calls in flight as it takes, in all or from this
    address, or as many of this partner's wait for their turn as may; RetryInfo says when to try
    again. Remedy: wait as RetryInfo says, then repeat.
    """
    CONFLICT = "CONFLICT"
    """ABORTED. A race was lost again after bounded retries, or another call held a row that this one
    needs for too long: a quarter of a second for scans and orders, some seconds for all else. The
    call did nothing and may be repeated with the same request_id: RetryInfo says when. Remedy: wait
    as RetryInfo says, then repeat with the same request_id.
    """
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    """UNAVAILABLE. The database cannot be reached, did not answer in time, or takes no writes at the
    moment (a failover). The message says whether it is unknown what became of the call. Repeat with
    the same request_id: what was done is not done again; RetryInfo says when. Remedy: wait as
    RetryInfo says, then repeat with the same request_id.
    """
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """UNAVAILABLE. The server is stopping; call another, or again: RetryInfo says when. Remedy: repeat
    with the same request_id; a load balancer leads to another server.
    """
    INTERNAL = "INTERNAL"
    """INTERNAL. A fault of the server; the log has the details under the request id. Remedy: repeat
    once with the same request_id; if it stays, report the request id of the answer.
    """
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """DEADLINE_EXCEEDED. The caller's deadline passed before the answer was ready, or the call's
    request did not come in time (20 seconds, if the server's settings say nothing else): then
    nothing was done. Remedy: repeat with the same request_id and more time.
    """
    LAST_ADMINISTRATOR = "LAST_ADMINISTRATOR"
    """FAILED_PRECONDITION. The last active account with ADMIN_ROLE_ADMINISTRATOR can neither be
    revoked nor lose that role. Metadata: `username`. Remedy: create another administrator first.
    """
    PAYMENT_PROVIDER_UNAVAILABLE = "PAYMENT_PROVIDER_UNAVAILABLE"
    """UNAVAILABLE. WeChat did not answer; nothing was done, or it will be found out by asking again:
    RetryInfo says when. Remedy: wait as RetryInfo says, then repeat; what was begun goes on by
    itself.
    """
    PAYMENTS_NOT_CONFIGURED = "PAYMENTS_NOT_CONFIGURED"
    """FAILED_PRECONDITION. The server has no settings of a WeChat Pay merchant. Remedy: an
    administrator sets the merchant; see the settings of WeChat.
    """
    PAYMENT_REFUSED = "PAYMENT_REFUSED"
    """FAILED_PRECONDITION. WeChat refuses the payment. Metadata: `order_id`, `code`. Remedy: read
    `code`; begin another payment, or cancel the order.
    """
    NOTICE_REFUSED = "NOTICE_REFUSED"
    """UNAUTHENTICATED. The notice is not signed by WeChat Pay, or by the partner it is to come from,
    or not within the last five minutes. Remedy: sign the bytes as they are sent, with the key or
    secret that is known here, and check the clock.
    """
    OFFER_NOT_AVAILABLE = "OFFER_NOT_AVAILABLE"
    """FAILED_PRECONDITION. The offer cannot be bought now; `why` is an UnavailableReason without
    prefix. Metadata: `offer_id`, `why`. Remedy: search again and take another offer.
    """
    PRICE_CHANGED = "PRICE_CHANGED"
    """FAILED_PRECONDITION. The price is another than the quoted one. Metadata: `quoted_minor`,
    `total_minor`, `currency_code`. Remedy: show the new price, and order again with its quote.
    """
    PROMOTION_NOT_APPLICABLE = "PROMOTION_NOT_APPLICABLE"
    """FAILED_PRECONDITION. The promotion code is unknown, does not apply, or is used up: by all, or by
    this traveller. Metadata: `promotion_code`, `why`. Remedy: order without the code, or with
    another; `why` says what is missing.
    """
    TOO_MANY_FOR_TRAVELLER = "TOO_MANY_FOR_TRAVELLER"
    """FAILED_PRECONDITION. More tickets than one traveller may hold and have for the departure, in all
    its classes together, or of the product on that day of use. What is cancelled, refunded or
    changed no longer counts. Metadata: `offer_id`, `limit`, `held`, `requested`. Remedy: ask for no
    more than `limit` - `held`.
    """
    DUPLICATE_PASSENGER = "DUPLICATE_PASSENGER"
    """FAILED_PRECONDITION. Somebody is in the party twice, or has a seat on this departure already.
    Metadata: `offer_id`, `passenger_index`. Remedy: leave out the passenger that `passenger_index`
    names.
    """
    ORDER_STATE_REFUSES = "ORDER_STATE_REFUSES"
    """FAILED_PRECONDITION. The order's state does not allow the move. Metadata: `order_id`, `state`.
    Remedy: read the order; its state says what can still be done.
    """
    REFUND_REFUSED = "REFUND_REFUSED"
    """FAILED_PRECONDITION. The ticket cannot be given back. Metadata: `ticket_code`, `why`
    (NOT_ACTIVE, BLOCKED, REDEEMED, EXPIRED, VOIDED, REFUNDING, REFUNDED, CHANGING, CHANGED,
    NOT_REFUNDABLE, TOO_LATE; CHANGED_TOO_LATE: it was changed when a refund would have given
    nothing); `deadline_time` (ISO 8601, by the clock of the ticket's city) where it is too late.
    Remedy: `why` and `deadline_time` say what stands against it; offer a change if that is open.
    """
    CHANGE_REFUSED = "CHANGE_REFUSED"
    """FAILED_PRECONDITION. The ticket cannot be changed. Metadata: `ticket_code`, `why`;
    `deadline_time` (ISO 8601, by the clock of the ticket's city) where it is too late. Remedy:
    `why` and `deadline_time` say what stands against it; offer a refund if that is open.
    """
    QUOTE_INVALID = "QUOTE_INVALID"
    """FAILED_PRECONDITION. The quote is not ours, is expired, or holds no more; ask for another.
    Remedy: ask for another quote and confirm that.
    """
    PAYMENT_MISMATCH = "PAYMENT_MISMATCH"
    """FAILED_PRECONDITION. A partner's payment proof is not what the price snapshot of the ticket, or
    of all tickets of a batch (then the code is empty), asks for; nothing was activated. Metadata:
    `ticket_code`, `expected_minor`, `expected_currency_code`, `paid_minor`, `paid_currency_code`.
    Remedy: compare with `expected_minor` and `expected_currency_code`; send the proof of what was
    to be paid.
    """
    DEPARTURE_CANCELLED = "DEPARTURE_CANCELLED"
    """FAILED_PRECONDITION. The operator has cancelled the departure, for good: nothing is paid for it,
    nor is it moved or run after all. Metadata: `departure_id`. Remedy: choose another departure;
    sold tickets are refunded by themselves.
    """
    OVERLAPPING_JOURNEY = "OVERLAPPING_JOURNEY"
    """FAILED_PRECONDITION. The document is on another departure, held or sold, while this one is under
    way. Metadata: `offer_id`, `passenger_index`. Remedy: choose another departure for this
    passenger.
    """
    PASSENGER_NOT_ALLOWED = "PASSENGER_NOT_ALLOWED"
    """FAILED_PRECONDITION. A rule of the product keeps the passenger from travelling so; `rule` says
    which. COMPANION_REQUIRED: customers of this type travel only with an adult, senior or student.
    AGE_LIMIT: the fare is for other ages on the day of travel than the document tells; also `age`,
    `min_age` and `max_age`. Metadata: `offer_id`, `passenger_index`, `rule`, `customer_type`,
    `age`, `min_age`, `max_age`. Remedy: follow the `rule`: add an adult, or choose the fare of the
    passenger's age.
    """
    RANGE_TOO_LARGE = "RANGE_TOO_LARGE"
    """FAILED_PRECONDITION. The list or report takes longer to read than it may; narrow the span of
    time or name more filters. Repeated as it is it fails again; but a report as a file, of whose
    time a part is not summed up yet, is there some minutes later. Remedy: narrow the time span, or
    name more filters.
    """
    EVENTS_REMOVED = "EVENTS_REMOVED"
    """FAILED_PRECONDITION. Some of the events after the cursor are not kept any more; read the tickets
    anew, then go on after `oldest_cursor`. Metadata: `after_cursor`, `oldest_cursor`. Remedy: read
    the tickets anew, then go on after the oldest cursor.
    """
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    """FAILED_PRECONDITION. The reservation's time is over: nothing is made or activated of it any
    more; its stock has returned, or does so within seconds. Reserve again. Metadata:
    `reservation_id`, `expire_time` (ISO 8601). Remedy: reserve again.
    """
    RESERVATION_STATE_REFUSES = "RESERVATION_STATE_REFUSES"
    """FAILED_PRECONDITION. The reservation is COMPLETED or RELEASED: it holds no stock. Metadata:
    `reservation_id`, `status`. Remedy: read the reservation; reserve again if you need more.
    """
    RESERVATION_USED_UP = "RESERVATION_USED_UP"
    """FAILED_PRECONDITION. There are tickets of nearly all that was reserved; so many more are not
    left of it. Metadata: `reservation_id`, `requested`, `available`. Remedy: ask for `available` or
    fewer, and reserve the rest anew.
    """
    RESERVATION_TOO_LONG = "RESERVATION_TOO_LONG"
    """FAILED_PRECONDITION. The reservation would last longer than the channel's may, or than until its
    departure leaves or its day is over. Metadata: `max_expire_time` (ISO 8601). Remedy: extend it
    to `max_expire_time` or before.
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
    is not used. Metadata: `limit`. Remedy: delete an endpoint that is not used.
    """
    TEST_MODE_ONLY = "TEST_MODE_ONLY"
    """PERMISSION_DENIED. The method is for keys of test mode, and the key is a live one. Remedy: call
    with a key that begins with `dtk_test_`; the platform's administrator makes one.
    """
    OWN_ACCOUNT = "OWN_ACCOUNT"
    """PERMISSION_DENIED. Administrators do not change their own roles, nor reset their own second
    factor. Metadata: `username`. Remedy: have another administrator do it.
    """
    ARCHIVED = "ARCHIVED"
    """FAILED_PRECONDITION. What is to be used or changed is archived. Metadata: `resource`, `name`.
    Remedy: unarchive it first, or name another.
    """
    IN_USE = "IN_USE"
    """FAILED_PRECONDITION. Something that is not archived is made of it, so it can be neither archived
    nor changed in this way; or a channel that is to be disconnected has bookings that are not over.
    Metadata: `resource`, `name`, `used_by_resource`, `used_by`. Remedy: change or archive what uses
    it first; cancel bookings of a channel, or say that they are kept.
    """
    CONFIG_VERSION_OUTDATED = "CONFIG_VERSION_OUTDATED"
    """FAILED_PRECONDITION. Something else is published now than what the draft was made from; the
    message names who published it and why. `version_id` is what is published now, `changed` the
    fields that differ, separated by commas. Metadata: `version_id`, `base_version`,
    `published_version`, `changed`. Remedy: compare the two versions, and make another draft from
    the one that is published.
    """
    CONFIG_VERSION_STATE_REFUSES = "CONFIG_VERSION_STATE_REFUSES"
    """FAILED_PRECONDITION. The version is in a state in which that cannot be done: only a draft is
    changed, published or scheduled, only what is scheduled is cancelled. Metadata: `version_id`,
    `state`. Remedy: make another draft from the version that is published.
    """
    CONFIG_EXAMPLE_FAILED = "CONFIG_EXAMPLE_FAILED"
    """FAILED_PRECONDITION. An example kept with the product is not answered as it says; the first that
    fails is named. Metadata: `version_id`, `example`, `expected`, `actual`. Remedy: correct the
    draft or the example, or publish with a `force_comment`.
    """
    JOB_RUNNING = "JOB_RUNNING"
    """FAILED_PRECONDITION. A run of the job is under way, or asked for. Metadata: `job_code`,
    `run_id`. Remedy: wait until that run has ended (ListJobs shows it), then ask for another if it
    is still needed.
    """
    SECOND_FACTOR_REQUIRED = "SECOND_FACTOR_REQUIRED"
    """PERMISSION_DENIED. The password is right, and the account has a second factor whose code is
    missing; or administrators must have a second factor and the account has none. Remedy: log in
    with the code that the authenticator shows, or a recovery code; without a second factor, enrol
    one.
    """
    PREVIEW_OUTDATED = "PREVIEW_OUTDATED"
    """FAILED_PRECONDITION. Something that the preview counted is another now: tickets, orders that
    wait for payment, reservations or amounts; `changed` says what, with the numbers before and now.
    Metadata: `departure_id`, `changed`. Remedy: look at a new preview, and act on that one.
    """
    DEPARTURE_OVER = "DEPARTURE_OVER"
    """FAILED_PRECONDITION. The departure is cancelled too late: `expired` tickets of it are EXPIRED,
    which is final, and none is left that would be given back. Metadata: `departure_id`, `expired`.
    Remedy: give the money back by hand, by the payments of the orders.
    """
    RECEIPT_REFUSED = "RECEIPT_REFUSED"
    """FAILED_PRECONDITION. There is a receipt of what was redeemed, or taken back, alone: the scan was
    refused. Metadata: `redemption_id`, `refusal` (a RefusalReason without prefix). Remedy: ask for
    the receipt of a redemption that succeeded; ListRedemptions has them.
    """
