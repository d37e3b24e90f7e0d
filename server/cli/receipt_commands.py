"""`deeptravel receipts …`: verify redemption receipts without server or network; their keys."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli import exits
from server.platform.config import Settings

if TYPE_CHECKING:
    from server.platform.database import Database
    from server.redemption.receipt_keys import ReceiptKey

Receipt = Annotated[Path, typer.Argument(help="A file with the receipt, byte for byte.")]
Key = Annotated[Path, typer.Option(help="A file with the PEM of the public key.")]


def app(
    settings: Callable[[], Settings], with_database: Callable[..., Any], actor: Callable[[], str]
) -> typer.Typer:
    """The commands, which reach the database as all others do."""
    made = typer.Typer(
        no_args_is_help=True, help="Redemption receipts: verify one; list and rotate their keys."
    )

    @made.command("verify")
    def verify_receipt(file: Receipt, key: Key) -> None:
        """Verify a receipt with a public key alone, and show what it says.

        Exit code 1 if it is not as it was signed.
        """
        _verify(file, key)

    @made.command("keys")
    def list_keys() -> None:
        """Print the public keys, the newest, which signs, first; all can be kept as one file."""

        async def read(db: "Database", _secret_key: bytes) -> "list[ReceiptKey]":
            from server.redemption import receipt_keys

            async with db.transaction() as tx:
                return await receipt_keys.list_keys(tx)

        for each in with_database(settings(), read, reads=True):
            typer.echo(f"key {each.key_id}, since {each.create_time:%Y-%m-%d %H:%M}Z\n{each.pem}")

    @made.command("rotate")
    def rotate_keys() -> None:
        """Have another key sign receipts from now on; what former ones signed stays good."""

        async def rotate(db: "Database", secret_key: bytes) -> str:
            from server.redemption import receipt_keys

            async with db.transaction() as tx:
                now = datetime.now(UTC)
                return await receipt_keys.rotate(tx, secret_key, actor=actor(), now=now)

        typer.echo(f"receipts are signed with key {with_database(settings(), rotate)} now")

    return made


def _verify(file: Path, key: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from server.redemption.receipt_text import BadReceiptError, verify

    try:
        public_key = load_pem_public_key(key.read_bytes())
        if not isinstance(public_key, Ed25519PublicKey):
            raise BadReceiptError(f"{key} is no Ed25519 key")
        fields = verify(file.read_bytes().decode(), public_key)
    except BadReceiptError as error:
        exits.complain(error, exits.WRONG)
    except ValueError as error:  # no PEM, or no UTF-8
        exits.complain(error, exits.WRONG_SETTINGS)
    else:
        for name, value in fields.items():
            typer.echo(f"{name}: {value}")
