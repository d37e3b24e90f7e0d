"""What `serve` prints when it serves: where, which file has the demo credentials, and commands to
paste that read it.

No secret is printed: standard output is often a file that others may read.
"""

import shlex
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from server.cli.development import credentials_file
from server.platform.config import Settings
from server.platform.proxies import is_loopback

if TYPE_CHECKING:
    from server.cli.development import DemoCredentials

PICK = """pick() { grep -o "\\"$1\\": *\\"[^\\"]*\\"" | head -n 1 | cut -d '"' -f 4; }"""
"""A shell function: the first value of a field of some JSON."""
# reads it
PASSWORD = """PASSWORD=$(grep -A 2 '"operator": {' "$FILE" | pick password)"""  # noqa: S105
OTA_STEPS = "batch, QR, look, redeem, refused double scan, with"
TRAVELLER_STEPS = "search, order, pay as a phone does, ticket, QR, refund, with"
RENTAL_STEPS = "rent a car, keep it a day longer, give it back, with"
TRAVEL_DAYS = timedelta(days=3)
"""So far ahead that there are trains, and that tickets are given back."""


def show(
    settings: Settings, ports: Mapping[str, int], credentials: "DemoCredentials | None"
) -> None:
    """Prints it on standard output; the first line is the one that scripts may wait for."""
    console = Console(highlight=False, soft_wrap=True)
    url = f"{'https' if settings.tls_certificate else 'http'}://"
    url += _address(settings.http_host, ports["http_port"])
    target = _address(settings.grpc_host, ports["grpc_port"])
    console.print(
        Text.assemble(
            ("DeepTravel Ticketing", "bold"),
            f" {version('deeptravel-ticketing')} serves gRPC on ",
            (target, "bold cyan"),
            " and HTTP on ",
            (url, "bold cyan"),
        )
    )
    console.print(Text(f"Documentation of the JSON interface: {url}/docs"))
    host = settings.operations_http_host
    scheme = "https" if settings.tls_certificate and not is_loopback(host) else "http"
    metrics = f"{scheme}://{_address(host, ports['operations_http_port'])}/metrics"
    channelz = _address(settings.operations_grpc_host, ports["operations_grpc_port"])
    console.print(Text(f"Operations: metrics on {metrics}, channelz on {channelz}"))
    simulated = bool(settings.wechat_merchant_id) and settings.wechat_pay_url.startswith("http:")
    if simulated:
        console.print(
            Text(f"WeChat Pay is simulated; pay orders on {settings.wechat_pay_url}/simulator")
        )
    if credentials:
        console.print()
        file = _credentials_file(settings)
        console.print(Text(f"Keys and passwords of the demo data are in {file}", "bold"))
        _show_commands(console, f"{OTA_STEPS} curl", curl_commands(settings, url, credentials))
        _show_commands(
            console, f"{OTA_STEPS} grpcurl", grpcurl_commands(settings, target, credentials)
        )
        if simulated:
            day = datetime.now(settings.zone).date() + TRAVEL_DAYS
            curl = traveller_curl_commands(settings, url, day)
            grpcurl = traveller_grpcurl_commands(settings, target, day)
            _show_commands(console, f"{TRAVELLER_STEPS} curl", curl)
            _show_commands(console, f"{TRAVELLER_STEPS} grpcurl", grpcurl)
            rental = rental_curl_commands(settings, url, day)
            _show_commands(console, f"{RENTAL_STEPS} curl", rental)
    console.print(Text("Ctrl-C stops the server.", "dim"))
    console.file.flush()


def _show_commands(console: Console, steps: str, commands: str) -> None:
    console.print()
    console.print(Text(f"To paste: {steps}", "bold"))
    console.print(Text(commands))


def _credentials_file(settings: Settings) -> str:
    return str(credentials_file(settings).resolve())


def _curl_options(settings: Settings) -> str:
    options = "-sS" + (" -k" if settings.tls_certificate else "")
    return options + (" --cert client.pem --key client.key" if settings.tls_client_ca else "")


def _grpcurl_options(settings: Settings) -> str:
    options = "-insecure" if settings.tls_certificate else "-plaintext"
    return options + (" -cert client.pem -key client.key" if settings.tls_client_ca else "")


def curl_commands(settings: Settings, url: str, credentials: "DemoCredentials") -> str:
    """The five steps for a shell, and the refusal of a sixth."""
    person, options = credentials.operator, _curl_options(settings)
    return f"""\
URL={url} FILE={shlex.quote(_credentials_file(settings))}
{PICK}
KEY=$(pick partner_api_key < "$FILE"); {PASSWORD}
post() {{ curl {options} -H 'Content-Type: application/json' "$@"; }}
TICKET=$(post $URL/ota/tickets/bulk-generate -H "X-Api-Key: $KEY" \
-d '{{"product_id": 106, "quantity": 1, "request_id": "curl-'$(date +%s)'", \
"activation": {{"customer": {{"name": "张三", "type": "adult"}}, \
"payment": {{"reference": "PAY-1", "amount_minor": 29800, "currency_code": "CNY"}}}}}}' \
| pick ticket_code); echo "$TICKET"
QR=$(post $URL/qr/$TICKET -H "X-Api-Key: $KEY" -d '{{}}' | pick encrypted_data); echo "$QR"
TOKEN=$(post $URL/operators/login -d '{{"username": "{person.username}", "password": \
"'$PASSWORD'", "terminal_device_id": "{credentials.terminal_device_id}"}}' \
| pick access_token); echo "$TOKEN"
post $URL/qr/decrypt -H "Authorization: Bearer $TOKEN" \
-d "{{\\"encrypted_data\\": \\"$QR\\"}}"; echo
post $URL/venue/scan -H "Authorization: Bearer $TOKEN" \
-d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}"; echo
post $URL/venue/scan -H "Authorization: Bearer $TOKEN" \
-d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"gift\\"}}"; echo
post $URL/venue/scan -H "Authorization: Bearer $TOKEN" \
-d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}"; echo
"""


def grpcurl_commands(settings: Settings, target: str, credentials: "DemoCredentials") -> str:
    """The same over gRPC."""
    person, options = credentials.operator, _grpcurl_options(settings)
    ota, redemption = "deeptravel.ota.v1.OtaService", "deeptravel.redemption.v1.RedemptionService"
    return f"""\
GRPC={target} FILE={shlex.quote(_credentials_file(settings))}
{PICK}
KEY=$(pick partner_api_key < "$FILE"); {PASSWORD}
call() {{ grpcurl {options} "$@"; }}
call $GRPC list
TICKET=$(call -H "x-api-key: $KEY" -d '{{"product_id": 106, "quantity": 1, "request_id": \
"grpcurl-'$(date +%s)'", "activation": {{"customer": {{"name": "张三", "type": \
"CUSTOMER_TYPE_ADULT"}}, "payment": {{"reference": "PAY-2", "amount_minor": 29800, \
"currency_code": "CNY"}}}}}}' $GRPC {ota}/BulkGenerateTickets \
| pick 'ticket_*[Cc]ode'); echo "$TICKET"
QR=$(call -H "x-api-key: $KEY" -d "{{\\"ticket_code\\": \\"$TICKET\\"}}" $GRPC {ota}/IssueQr \
| pick 'encrypted_*[Dd]ata'); echo "$QR"
TOKEN=$(call -d '{{"username": "{person.username}", "password": "'$PASSWORD'", \
"terminal_device_id": "{credentials.terminal_device_id}"}}' $GRPC {redemption}/OperatorLogin \
| pick 'access_*[Tt]oken'); echo "$TOKEN"
call -H "authorization: Bearer $TOKEN" -d "{{\\"encrypted_data\\": \\"$QR\\"}}" \
$GRPC {redemption}/DecryptQr
call -H "authorization: Bearer $TOKEN" -d \
"{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}" $GRPC {redemption}/Redeem
call -H "authorization: Bearer $TOKEN" -d \
"{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"gift\\"}}" $GRPC {redemption}/Redeem
call -H "authorization: Bearer $TOKEN" -d \
"{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}" $GRPC {redemption}/Redeem
"""


def traveller_curl_commands(settings: Settings, url: str, day: date) -> str:
    """What a traveller does, the payment included, which otherwise the phone makes; any code
    logs somebody in.
    """
    return f"""\
URL={url} WECHAT={settings.wechat_pay_url}
{PICK}
post() {{ curl {_curl_options(settings)} -H 'Content-Type: application/json' \
-H "Authorization: Bearer $ME" "$@"; }}
get() {{ curl {_curl_options(settings)} -H "Authorization: Bearer $ME" "$@"; }}
ME=$(post $URL/travellers/login -d '{{"code": "anybody"}}' | pick access_token); echo "$ME"
OFFER=$(get "$URL/offers?origin_city_code=SZX&destination_city_code=HKG\
&travel_date={day}&passengers=adult&kinds=TRAIN&available_only=true" | pick offer_id); echo "$OFFER"
ORDER=$(post $URL/orders -d '{{"request_id": "curl-'$(date +%s)'", "items": [{{"offer_id": \
"'$OFFER'"}}], "passengers": [{{"name": "张三", \
"document_type": "PASSPORT", "document_number": "E'$(date +%s | cut -c 3-10)'"}}]}}' \
| pick order_id); echo "$ORDER"
NUMBER=$(post $URL/orders/$ORDER/payments -d '{{}}' \
| pick out_trade_no); echo "pay in a browser on $WECHAT/simulator/pay/$NUMBER, or:"
post $WECHAT/simulator/pay/$NUMBER -d '{{}}'; echo
sleep 2; get $URL/orders/$ORDER/payment; echo
TICKET=$(get "$URL/tickets?order_id=$ORDER" | pick ticket_code); echo "$TICKET"
post $URL/tickets/$TICKET/qr -d '{{}}' | pick encrypted_data
QUOTE=$(post $URL/orders/$ORDER/refunds:quote -d '{{}}' | pick refund_quote); echo "$QUOTE"
post $URL/orders/$ORDER/refunds -d '{{"refund_quote": "'$QUOTE'", "request_id": \
"curl-'$(date +%s)'"}}'; echo
sleep 2; get "$URL/tickets?order_id=$ORDER" | pick status
"""


def traveller_grpcurl_commands(settings: Settings, target: str, day: date) -> str:
    """The same over gRPC; the phone speaks HTTP."""
    service = "deeptravel.ticketing.v1.TicketingService"
    return f"""\
GRPC={target} WECHAT={settings.wechat_pay_url}
{PICK}
call() {{ grpcurl {_grpcurl_options(settings)} -H "authorization: Bearer $ME" \
-d "$1" $GRPC {service}/$2; }}
ME=$(call '{{"code": "anybody"}}' TravellerLogin | pick 'access_*[Tt]oken'); echo "$ME"
OFFER=$(call '{{"origin_city_code": "SZX", "destination_city_code": "HKG", "travel_date": "{day}", \
"passengers": ["CUSTOMER_TYPE_ADULT"], "kinds": ["OFFER_KIND_TRAIN"], \
"available_only": true}}' SearchOffers | pick 'offer_*[Ii]d'); echo "$OFFER"
ORDER=$(call '{{"request_id": "grpcurl-'$(date +%s)'", "items": [{{"offer_id": "'$OFFER'"}}], \
"passengers": [{{"name": "李四", "document_type": "DOCUMENT_TYPE_PASSPORT", "document_number": \
"G'$(date +%s | cut -c 3-10)'"}}]}}' CreateOrder | pick 'order_*[Ii]d'); echo "$ORDER"
NUMBER=$(call '{{"order_id": "'$ORDER'"}}' CreatePayment \
| pick 'out_*[Tt]rade_*[Nn]o'); echo "pay in a browser on $WECHAT/simulator/pay/$NUMBER, or:"
curl -sS -X POST $WECHAT/simulator/pay/$NUMBER; echo
sleep 2; call '{{"order_id": "'$ORDER'"}}' GetPayment
TICKET=$(call '{{"order_id": "'$ORDER'"}}' ListTickets | pick 'ticket_*[Cc]ode'); echo "$TICKET"
call '{{"ticket_code": "'$TICKET'"}}' IssueTicketQr | pick 'encrypted_*[Dd]ata'
QUOTE=$(call '{{"order_id": "'$ORDER'"}}' QuoteRefund | pick 'refund_*[Qq]uote'); echo "$QUOTE"
call '{{"order_id": "'$ORDER'", "refund_quote": "'$QUOTE'", "request_id": \
"grpcurl-'$(date +%s)'"}}' RequestRefund
sleep 2; call '{{"order_id": "'$ORDER'"}}' ListTickets | pick status
"""


def rental_curl_commands(settings: Settings, url: str, day: date) -> str:
    """What a traveller does with a car: held, paid, changed to a longer rental, given back."""
    options = f"{_curl_options(settings)} -H 'Content-Type: application/json'"
    until = day + timedelta(days=2)
    return f"""\
URL={url} WECHAT={settings.wechat_pay_url}
{PICK}
post() {{ curl {options} -H "Authorization: Bearer $ME" "$@"; }}
get() {{ curl {_curl_options(settings)} -H "Authorization: Bearer $ME" "$@"; }}
pay() {{ NUMBER=$(post $URL/orders/$1/payments -d '{{}}' | pick out_trade_no)
post $WECHAT/simulator/pay/$NUMBER -d '{{}}'; echo; sleep 2; get $URL/orders/$1/payment; echo; }}
car() {{ post $URL/rentals:search -d '{{"city_code": "HKG", "pick_up_location_id": 1, \
"category_codes": ["ECONOMY"], "driver_age": 30, "pick_up_clock": "{day}T10:00", \
"return_clock": "'$1'T10:00", "extras": [{{"extra_code": "child_seats", "quantity": 1}}], \
"available_only": true}}' | pick offer_id; }}
ME=$(post $URL/travellers/login -d '{{"code": "driver"}}' | pick access_token); echo "$ME"
get "$URL/rental-locations?city_code=HKG"; echo
OFFER=$(car {until}); echo "$OFFER"
ORDER=$(post $URL/orders -d '{{"request_id": "car-'$(date +%s)'", "items": [{{"offer_id": \
"'$OFFER'"}}], "passengers": [{{"name": "王五", \
"document_type": "PASSPORT", "document_number": "C'$(date +%s | cut -c 3-10)'"}}]}}' \
| pick order_id); echo "$ORDER"
pay $ORDER
TICKET=$(get "$URL/tickets?order_id=$ORDER" | pick ticket_code); echo "$TICKET"
LONGER=$(car {until + timedelta(days=1)}); echo "$LONGER"
QUOTE=$(post $URL/tickets/$TICKET/changes:quote -d '{{"offer_id": "'$LONGER'"}}' \
| pick change_quote); echo "$QUOTE"
ORDER=$(post $URL/tickets/$TICKET/changes -d '{{"change_quote": "'$QUOTE'", "request_id": \
"longer-'$(date +%s)'"}}' | pick order_id); echo "$ORDER"
pay $ORDER
QUOTE=$(post $URL/orders/$ORDER/refunds:quote -d '{{}}' | pick refund_quote)
post $URL/orders/$ORDER/refunds -d '{{"refund_quote": "'$QUOTE'", "request_id": \
"back-'$(date +%s)'"}}'; echo
sleep 2; get "$URL/tickets?order_id=$ORDER" | pick status
"""


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - is not bound here
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
