"""What of OCTO 1.0 is served, as an OpenAPI description: what our handlers read, and all that they
answer. Facts are those of OCTO's public specification, in words and order of our own.

Answers have no other fields than these; bodies may, since capabilities add some.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs

from server.api.octo.application import ROUTES
from server.api.octo.bodies import LONG, MAX_MINUTES, SHORT
from server.api.octo.products import PRICING, TYPES
from server.partners.bookings import MAX_UNITS

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}
COUNT: Json = {"type": "integer", "minimum": 0}
AMOUNT: Json = {"type": "integer"}
DAY: Json = {"type": "string", "format": "date"}
TIME: Json = {"type": "string", "format": "date-time"}
UUID: Json = {"type": "string", "format": "uuid"}
EMAIL: Json = {"type": "string", "format": "email"}


def _choice(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def _list(item: Json, **limits: int) -> Json:
    return {"type": "array", "items": item, **limits}


def _maybe(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _answer(fields: Mapping[str, Json], **by_capability: Json) -> Json:
    """An object with all of these fields, and no others but those that a capability adds."""
    return {
        "type": "object",
        "properties": {**fields, **by_capability},
        "required": list(fields),
        "additionalProperties": False,
    }


def _body(fields: Mapping[str, Json], *needed: str) -> Json:
    """An object of which these fields are read; null is as what is not there."""
    read = {name: each if name in needed else _maybe(each) for name, each in fields.items()}
    return {"type": "object", "properties": read, "required": list(needed)}


# --------------------------------------------------------------------------------------- answers

HOURS = _answer({"from": TEXT, "to": _choice("23:59")})
PRICE = _answer(
    {
        **dict.fromkeys(("original", "retail", "net"), AMOUNT),
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "currencyPrecision": {"type": "integer", "minimum": 0, "maximum": 3},
        "includedTaxes": _list(TEXT, maxItems=0),
    }
)
UNIT_PRICE = _answer({"unitId": TEXT, **PRICE["properties"]})
STATUS = _choice("AVAILABLE", "LIMITED", "SOLD_OUT", "CLOSED")
REDEEMED_BY = _choice("DIGITAL")
NEEDED = _list(_choice("firstName", "lastName"))
CONTACT = _answer(
    {
        **dict.fromkeys(("fullName", "firstName", "lastName", "phoneNumber"), _maybe(TEXT)),
        **dict.fromkeys(("postalCode", "country", "notes"), _maybe(TEXT)),
        "emailAddress": _maybe(EMAIL),
        "locales": _list(TEXT),
    }
)
UNIT = _answer(
    {
        "id": TEXT,
        "internalName": TEXT,
        "reference": _maybe(TEXT),
        "type": _choice(*sorted(TYPES), "OTHER"),
        "restrictions": _answer(
            {
                "minAge": COUNT,
                "maxAge": COUNT,
                "idRequired": FLAG,
                "minQuantity": _maybe(COUNT),
                "maxQuantity": _maybe(COUNT),
                "paxCount": COUNT,
                "accompaniedBy": _list(TEXT),
            }
        ),
        "requiredContactFields": NEEDED,
    },
    pricingFrom=_list(PRICE, minItems=1),
)
OPTION = _answer(
    {
        "id": TEXT,
        "default": FLAG,
        "internalName": TEXT,
        "reference": _maybe(TEXT),
        "availabilityLocalStartTimes": _list(
            {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"}, minItems=1
        ),
        "cancellationCutoff": TEXT,
        "cancellationCutoffAmount": COUNT,
        "cancellationCutoffUnit": _choice("minute", "hour", "day"),
        "requiredContactFields": NEEDED,
        "restrictions": _answer({"minUnits": COUNT, "maxUnits": COUNT}),
        "units": _list(UNIT, minItems=1),
    }
)
PRODUCT = _answer(
    {
        "id": TEXT,
        "internalName": TEXT,
        "reference": _maybe(TEXT),
        "locale": TEXT,
        "timeZone": TEXT,
        **dict.fromkeys(("allowFreesale", "instantConfirmation", "instantDelivery"), FLAG),
        "availabilityRequired": FLAG,
        "availabilityType": _choice("START_TIME", "OPENING_HOURS"),
        "deliveryFormats": _list(_choice("QRCODE"), minItems=1),
        "deliveryMethods": _list(_choice("TICKET"), minItems=1),
        "redemptionMethod": REDEEMED_BY,
        "options": _list(OPTION, minItems=1),
    },
    defaultCurrency=TEXT,
    availableCurrencies=_list(TEXT, minItems=1),
    pricingPer=_choice("UNIT"),
)
STOCK = {
    "available": FLAG,
    "status": STATUS,
    **dict.fromkeys(("vacancies", "capacity"), COUNT),
    "openingHours": _list(HOURS),
}
SLOT = {
    "id": TEXT,
    **dict.fromkeys(("localDateTimeStart", "localDateTimeEnd", "utcCutoffAt"), TIME),
    "allDay": FLAG,
    **STOCK,
    "maxUnits": COUNT,
}
AVAILABILITY = _answer(SLOT, unitPricing=_list(UNIT_PRICE), pricing=PRICE)
CALENDAR_DAY = _answer({"localDate": DAY, **STOCK}, unitPricingFrom=_list(UNIT_PRICE))
BOOKING_STATUS = _choice("ON_HOLD", "CONFIRMED", "EXPIRED", "CANCELLED", "REDEEMED")
UNIT_ITEM = _answer(
    {
        "uuid": UUID,
        "resellerReference": _maybe(TEXT),
        "supplierReference": TEXT,
        "unitId": TEXT,
        "status": BOOKING_STATUS,
        "utcRedeemedAt": _maybe(TIME),
        "contact": CONTACT,
        "ticket": _answer(
            {
                "redemptionMethod": REDEEMED_BY,
                "utcRedeemedAt": _maybe(TIME),
                "deliveryOptions": _list(
                    _answer(
                        {
                            "deliveryFormat": _choice("QRCODE"),
                            "deliveryValue": {"type": "string", "minLength": 1},
                        }
                    )
                ),
            }
        ),
    },
    pricing=PRICE,
)
BOOKING = _answer(
    {
        "id": UUID,
        "uuid": UUID,
        "testMode": FLAG,
        **dict.fromkeys(("resellerReference", "supplierReference", "notes"), _maybe(TEXT)),
        "status": BOOKING_STATUS,
        **dict.fromkeys(("utcCreatedAt", "utcUpdatedAt"), TIME),
        **dict.fromkeys(("utcExpiresAt", "utcRedeemedAt", "utcConfirmedAt"), _maybe(TIME)),
        **dict.fromkeys(("productId", "optionId", "availabilityId"), TEXT),
        "cancellable": FLAG,
        "cancellation": _maybe(
            _answer(
                {
                    "refund": _choice("FULL", "PARTIAL", "NONE"),
                    "reason": _maybe(TEXT),
                    "utcCancelledAt": TIME,
                }
            )
        ),
        "freesale": FLAG,
        "availability": _answer(SLOT),
        "contact": CONTACT,
        "deliveryMethods": _list(_choice("TICKET"), minItems=1),
        "voucher": {"type": "null"},
        "unitItems": _list(UNIT_ITEM, minItems=1),
    },
    pricing=PRICE,
)
SUPPLIER = _answer(
    {
        "id": TEXT,
        "name": TEXT,
        "endpoint": {"type": "string", "format": "uri"},
        "contact": _answer(
            dict.fromkeys(("website", "email", "telephone", "address"), _maybe(TEXT))
        ),
    }
)
CAPABILITY = _answer(
    {
        "id": _choice(PRICING),
        "revision": COUNT,
        "required": FLAG,
        "dependencies": _list(TEXT),
        "docs": _maybe(TEXT),
    }
)
ANSWERS: dict[str, Json] = {
    "Supplier": SUPPLIER,
    "Capabilities": _list(CAPABILITY),
    "Products": _list(PRODUCT),
    "Product": PRODUCT,
    "Availabilities": _list(AVAILABILITY),
    "Calendar": _list(CALENDAR_DAY),
    "Bookings": _list(BOOKING),
    "Booking": BOOKING,
}

PLAIN = ("BAD_REQUEST", "UNPROCESSABLE_ENTITY", "UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND")
NAMED = {
    "INVALID_PRODUCT_ID": "productId",
    "INVALID_OPTION_ID": "optionId",
    "INVALID_UNIT_ID": "unitId",
    "INVALID_AVAILABILITY_ID": "availabilityId",
    "INVALID_BOOKING_UUID": "uuid",
}
ERROR: Json = {
    "oneOf": [
        _answer({"error": _choice(*PLAIN, "INTERNAL_SERVER_ERROR"), "errorMessage": TEXT}),
        *(
            _answer({"error": _choice(code), "errorMessage": TEXT, field: TEXT})
            for code, field in NAMED.items()
        ),
    ]
}

OF_METHOD = {
    "GetSupplier": "Supplier",
    "ListCapabilities": "Capabilities",
    "ListProducts": "Products",
    "GetProduct": "Product",
    "CheckAvailability": "Availabilities",
    "CheckCalendar": "Calendar",
    "ListBookings": "Bookings",
}
"""The answer of each method; all others answer a booking."""
_VALIDATORS = {
    name: jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for name, schema in {**ANSWERS, "Error": ERROR}.items()
}


def check_answer(verb: str, path: str, http_status: int, content: Any) -> None:
    """Raises ValidationError for an answer that is not as described."""
    name = "Error"
    if http_status == 200:
        (route,) = (
            routes[verb]
            for pattern, routes in ROUTES.items()
            if re.fullmatch(pattern, path.partition("?")[0])
        )
        name = _answer_of(route.method.name.removeprefix("Octo/"))
    _VALIDATORS[name].validate(content)


def _answer_of(method: str) -> str:
    return OF_METHOD.get(method, "Booking")


# ---------------------------------------------------------------------------------------- requests


def described(known: Mapping[str, Sequence[str]]) -> Json:
    """The description; `known` has ids that there are, by the fields they are for, for whoever
    makes requests of it.
    """

    def among(field: str) -> Json:
        return {"anyOf": [{"type": "string", "enum": list(known[field])}, TEXT]}

    text, long = ({"type": "string", "maxLength": most} for most in (SHORT, LONG))
    contact = _body(
        {
            **dict.fromkeys(("fullName", "firstName", "lastName", "phoneNumber"), text),
            **dict.fromkeys(("country", "postalCode"), text),
            "emailAddress": EMAIL,
            "notes": long,
            "locales": _list(text, maxItems=20),
        }
    )
    unit_item = _body(
        {"uuid": UUID, "unitId": among("unitId"), "resellerReference": text, "contact": contact},
        "unitId",
    )
    place = {name: among(name) for name in ("productId", "optionId", "availabilityId")}
    units = _list(unit_item, minItems=1, maxItems=MAX_UNITS)
    minutes = {"type": "integer", "minimum": 1, "maximum": MAX_MINUTES}
    said = {"resellerReference": text, "contact": contact, "unitItems": units}
    party = _list(_body({"id": among("unitId"), "quantity": COUNT}, "id"), maxItems=MAX_UNITS)
    of_days = {"localDate": DAY, "localDateStart": DAY, "localDateEnd": DAY}
    days = {
        **{name: place[name] for name in ("productId", "optionId")},
        **of_days,
        "units": party,
        "currency": text,
    }
    ids = _list(among("availabilityId"), maxItems=5)
    lists = dict.fromkeys(("resellerReference", "supplierReference"), text) | of_days
    bodies: dict[str, Json] = {
        "CheckAvailability": _body({**days, "availabilityIds": ids}, "productId", "optionId"),
        "CheckCalendar": _body(days, "productId", "optionId"),
        "ReserveBooking": _body(
            {
                "uuid": UUID,
                **place,
                **said,
                "notes": long,
                "expirationMinutes": minutes,
                "currency": text,
            },
            *(*place, "unitItems"),
        ),
        "UpdateBooking": _body({**place, **said, "notes": long, "expirationMinutes": minutes}),
        "ConfirmBooking": _body(said),
        "ExtendBooking": _body({"expirationMinutes": minutes}, "expirationMinutes"),
        "CancelBooking": _body({"reason": long}),
    }
    queries = {"ListBookings": lists | {name: place[name] for name in ("productId", "optionId")}}
    paths: dict[str, Json] = {}
    for path, routes in ROUTES.items():
        held = "uuid" if path.startswith("/bookings/") else "id"
        operations: Json = {
            verb.lower(): _operation(route.method.name.removeprefix("Octo/"), bodies, queries)
            for verb, route in routes.items()
        }
        if "(" in path:
            parameter = {"name": held, "in": "path", "required": True, "schema": among(held)}
            operations["parameters"] = [parameter]
        paths[path.replace("([^/]+)", f"{{{held}}}")] = operations
    return {
        "openapi": "3.1.0",
        "info": {"title": "OCTO as it is served", "version": "1.0"},
        "paths": paths,
        "components": {"schemas": {**ANSWERS, "Error": ERROR}},
    }


def _operation(method: str, bodies: Mapping[str, Json], queries: Mapping[str, Json]) -> Json:
    query = [
        {"name": name, "in": "query", "schema": schema}
        for name, schema in queries.get(method, {}).items()
    ]
    made: Json = {
        "parameters": query,
        "responses": {
            "200": _response(_answer_of(method)),
            "400": _response("Error"),
        },
    }
    if body := bodies.get(method):
        content = {"application/json": {"schema": body}}
        made["requestBody"] = {"required": bool(body["required"]), "content": content}
    return made


def _response(name: str) -> Json:
    return {
        "description": name,
        "headers": {"Octo-Capabilities": {"required": True, "schema": TEXT}},
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }
