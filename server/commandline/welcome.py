"""What `serve` prints when it serves: where, the demo credentials, and commands to paste."""

from importlib.metadata import version

from rich.console import Console
from rich.text import Text

from server.commandline.demo_data import FILE_NAME, PARTNERS, DemoCredentials
from server.config import Settings

PICK = """pick() { grep -o "\\"$1\\": *\\"[^\\"]*\\"" | head -n 1 | cut -d '"' -f 4; }"""
"""A shell function: the first value of a field of some JSON."""


def show(
    settings: Settings, grpc_port: int, http_port: int, credentials: DemoCredentials | None
) -> None:
    """Prints it on standard output; the first line is the one that scripts may wait for."""
    console = Console(highlight=False, soft_wrap=True)
    url = f"{'https' if settings.tls_certificate else 'http'}://"
    url += _address(settings.http_host, http_port)
    target = _address(settings.grpc_host, grpc_port)
    console.print(
        Text.assemble(
            ("DeepTravel Ticketing", "bold"),
            f" {version('deeptravel-ticketing')} serves gRPC on ",
            (target, "bold cyan"),
            " and HTTP on ",
            (url, "bold cyan"),
        )
    )
    console.print(Text(f"Documentation of the JSON interface: {url}/docs   Metrics: {url}/metrics"))
    if credentials:
        _show_credentials(console, settings, credentials)
        _show_commands(console, "curl", curl_commands(settings, url, credentials))
        _show_commands(console, "grpcurl", grpcurl_commands(settings, target, credentials))
    console.print(Text("Ctrl-C stops the server.", "dim"))
    console.file.flush()


def _show_credentials(console: Console, settings: Settings, credentials: DemoCredentials) -> None:
    partner, other = PARTNERS
    lines = {
        f"partner {partner}": credentials.partner_api_key,
        f"partner {other}": credentials.other_partner_api_key,
        "terminal": credentials.terminal_device_id,
    }
    for role in ("operator", "supervisor", "admin"):
        account = getattr(credentials, role)
        lines[role] = f"{account.username} / {account.password}"
    console.print()
    console.print(
        Text(f"Demo credentials, also in {(settings.data_dir / FILE_NAME).resolve()}", "bold")
    )
    for who, secret in lines.items():
        console.print(Text(f"  {who:<12}{secret}"))


def _show_commands(console: Console, tool: str, commands: str) -> None:
    console.print()
    console.print(
        Text(f"To paste: batch, QR, look, redeem, refused double scan, with {tool}", "bold")
    )
    console.print(Text(commands))


def curl_commands(settings: Settings, url: str, credentials: DemoCredentials) -> str:
    """The five steps for a shell, and the refusal of a sixth."""
    person = credentials.operator
    options = "-sS" + (" -k" if settings.tls_certificate else "")
    options += " --cert client.pem --key client.key" if settings.tls_client_ca else ""
    return f"""\
URL={url} KEY={credentials.partner_api_key}
{PICK}
post() {{ curl {options} -H 'Content-Type: application/json' "$@"; }}
TICKET=$(post $URL/ota/tickets/bulk-generate -H "X-Api-Key: $KEY" -d '{{"product_id": 106, "quantity": 1, "request_id": "curl-'$(date +%s)'", "activation": {{"customer": {{"name": "张三", "type": "adult"}}, "payment": {{"reference": "PAY-1", "amount_minor": 29800, "currency_code": "HKD"}}}}}}' | pick ticket_code); echo "$TICKET"
QR=$(post $URL/qr/$TICKET -H "X-Api-Key: $KEY" -d '{{}}' | pick encrypted_data); echo "$QR"
TOKEN=$(post $URL/operators/login -d '{{"username": "{person.username}", "password": "{person.password}", "terminal_device_id": "{credentials.terminal_device_id}"}}' | pick access_token); echo "$TOKEN"
post $URL/qr/decrypt -H "Authorization: Bearer $TOKEN" -d "{{\\"encrypted_data\\": \\"$QR\\"}}"; echo
post $URL/venue/scan -H "Authorization: Bearer $TOKEN" -d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}"; echo
post $URL/venue/scan -H "Authorization: Bearer $TOKEN" -d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"gift\\"}}"; echo
post $URL/venue/scan -H "Authorization: Bearer $TOKEN" -d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}"; echo
"""


def grpcurl_commands(settings: Settings, target: str, credentials: DemoCredentials) -> str:
    """The same over gRPC."""
    person = credentials.operator
    options = "-insecure" if settings.tls_certificate else "-plaintext"
    options += " -cert client.pem -key client.key" if settings.tls_client_ca else ""
    ota, redemption = "deeptravel.ota.v1.OtaService", "deeptravel.redemption.v1.RedemptionService"
    return f"""\
GRPC={target} KEY={credentials.partner_api_key}
{PICK}
call() {{ grpcurl {options} "$@"; }}
call $GRPC list
TICKET=$(call -H "x-api-key: $KEY" -d '{{"product_id": 106, "quantity": 1, "request_id": "grpcurl-'$(date +%s)'", "activation": {{"customer": {{"name": "张三", "type": "CUSTOMER_TYPE_ADULT"}}, "payment": {{"reference": "PAY-2", "amount_minor": 29800, "currency_code": "HKD"}}}}}}' $GRPC {ota}/BulkGenerateTickets | pick 'ticket_*[Cc]ode'); echo "$TICKET"
QR=$(call -H "x-api-key: $KEY" -d "{{\\"ticket_code\\": \\"$TICKET\\"}}" $GRPC {ota}/IssueQr | pick 'encrypted_*[Dd]ata'); echo "$QR"
TOKEN=$(call -d '{{"username": "{person.username}", "password": "{person.password}", "terminal_device_id": "{credentials.terminal_device_id}"}}' $GRPC {redemption}/OperatorLogin | pick 'access_*[Tt]oken'); echo "$TOKEN"
call -H "authorization: Bearer $TOKEN" -d "{{\\"encrypted_data\\": \\"$QR\\"}}" $GRPC {redemption}/DecryptQr
call -H "authorization: Bearer $TOKEN" -d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}" $GRPC {redemption}/Redeem
call -H "authorization: Bearer $TOKEN" -d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"gift\\"}}" $GRPC {redemption}/Redeem
call -H "authorization: Bearer $TOKEN" -d "{{\\"qr_token\\": \\"$QR\\", \\"function_code\\": \\"ferry\\"}}" $GRPC {redemption}/Redeem
"""


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - is not bound here
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
