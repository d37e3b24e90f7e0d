"""Partners, products, stock, what travellers can buy (demo_catalog), a merchant with terminals, and
accounts, to try the product with.

May be loaded again at any time: what is there stays, what is missing comes back, and credentials
that work are kept.
Those that are lost are replaced by new ones, since the database has only their hashes.
"""

import contextlib
import json
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED, By, revoked
from server.audit.rules import DIRECT_CHANNEL, ProductEntitlement, ProductFare
from server.audit.trail import AuditedChange, audit
from server.catalog import allotments, products
from server.catalog.products import DEFAULT_GUARD_SECONDS, NewProduct
from server.identity import accounts as staff
from server.identity import credentials, models, partner_keys
from server.identity.credentials import Passwords
from server.identity.service import end_logins
from server.parties import models as models_module
from server.parties import partners, venues
from server.parties.venues import DEFAULT_REVERSAL_WINDOW_SECONDS
from server.partners import sandboxes
from server.platform.crypto import same
from server.platform.database import Database, set_statement_timeout
from server.platform.errors import DomainError, Reason
from server.platform.statements import run
from server.stock.ids import departure_id
from tools.dev import demo_catalog

ACTOR = "system:demo-data"
LOCK = 0x44545403
"""Advisory: servers that start together load the data once."""

LOAD_SECONDS = 60
"""Another server that loads them, on a slow machine, is waited for so long."""

PARTNERS = {"CP": "Central Pier Travel 中环码头旅行社", "HK": "Harbour Kiosk 海港票务"}
TESTER = "CP"
"""The partner that has a sandbox."""
MERCHANT = "HARBOUR"
FUNCTION_CODES = ("boarding", "ferry", "gift", "locker", "pickup", "return", "tokens")
VENUES = {
    "CENTRAL-PIER": ("Central Pier 中环码头", ()),
    "FERRY-PIER": ("Ferry Pier 渡轮码头", ("ferry",)),
    "GIFT-SHOP": ("Gift Shop 礼品店", ("gift", "tokens")),
}
"""Name, and what may be redeemed there; all the merchant may if nothing is named."""
TERMINALS = {
    "TERMINAL-CP-001": "CENTRAL-PIER",
    "TERMINAL-FERRY-001": "FERRY-PIER",
    "TERMINAL-FERRY-002": "FERRY-PIER",
    "TERMINAL-GIFT-001": "GIFT-SHOP",
}
ACCOUNTS = {"operator": "OPERATOR", "supervisor": "SUPERVISOR", "admin": "ADMIN"}
"""Role by user name."""
TERMINAL = "TERMINAL-CP-001"

ADULT_FARES = {106: 29_800, 107: 19_800, 108: 39_800, 109: 25_800}
"""In fen, on a weekday: WeChat takes nothing but CNY."""
PERCENT_BY_CUSTOMER = {"ADULT": 100, "CHILD": 60, "SENIOR": 70, "STUDENT": 80, "PET": 50}
PERCENT_BY_DAY = {"weekday": 100, "weekend": 110, "holiday": 125}
NAMES = {
    106: ("Premium Plan", "尊享套票"),
    107: ("Pet Plan", "宠物套票"),
    108: ("Deluxe Plan", "豪华套票"),
    109: ("Family Plan", "家庭套票"),
}
ALLOTMENTS = {
    "CP": {106: 2000, 107: 1500, 108: 1500},
    "HK": {106: 50, 107: 50, 108: 50},
    DIRECT_CHANNEL: {106: 200, 107: 200, 108: 200, 109: 200},
}
VALIDITY_DAYS = 180
ALLOTTED_TIMETABLE, ALLOTTED_SEATS, ALLOTTED_DAYS = 202_100, 20, 14
"""Of the ferries of that timetable CP has seats of its own, so many days ahead."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Account:
    """What a person logs in with."""

    username: str
    password: str


@dataclass(frozen=True)
class DemoCredentials:
    """The content of the file: keys of partners CP, the one of test mode too, and HK, accounts, and
    the terminal they stand at.
    """

    partner_api_key: str
    partner_test_api_key: str
    other_partner_api_key: str
    operator: Account
    supervisor: Account
    admin: Account
    terminal_device_id: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """From the file; None if there is none or it is not as we wrote it."""
        try:
            content = {"partner_test_api_key": ""} | json.loads(path.read_text())
            return cls(**content | {name: Account(**content[name]) for name in ACCOUNTS})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def stage(self, path: Path) -> None:
        """Keeps them beside the file, for this user alone, until `publish` puts them into it."""
        self.write(_staged(path))

    def write(self, path: Path) -> None:
        """Into the file, whole or not at all, for this user alone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 600
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")
        Path(name).replace(path)


def publish(path: Path) -> None:
    """Puts credentials that `load_once` made into the file: when the server answers, and not
    before.
    """
    with contextlib.suppress(FileNotFoundError):
        _staged(path).replace(path)


def _staged(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


async def load(db: Database, path: Path) -> DemoCredentials:
    """Loads what is missing and writes the credentials into the file.

    Raises REVOKED if somebody revoked a part of it, which is for good.
    """
    async with db.transaction() as tx:
        await _lock(tx)
        made = await _load(tx, DemoCredentials.read(_staged(path)) or DemoCredentials.read(path))
    made.write(path)
    _staged(path).unlink(missing_ok=True)
    return made


async def load_once(db: Database, path: Path, *, replace_lost: bool) -> DemoCredentials | None:
    """As `load` if the database is empty, or, with `replace_lost`, if the file has no credentials
    for it.

    Returns the credentials for this database, None if they are not known here. New ones are in the
    file after `publish`;
    those of a start that was cut off before it are found again.
    """
    known = [each for each in map(DemoCredentials.read, (_staged(path), path)) if each]
    async with db.transaction() as tx:
        await _lock(tx)
        for before in known:
            if await _is_live(tx, "CP", before.partner_api_key):
                by = By(actor=ACTOR, now=datetime.now(UTC))
                await demo_catalog.load(tx, **by)
                await _load_seats(tx, by)
                test_key = await _test_key(tx, before.partner_test_api_key, by)
                if test_key == before.partner_test_api_key:
                    return before
                known_now = replace(before, partner_test_api_key=test_key)
                known_now.stage(path)
                return known_now
        if not replace_lost and await tx.scalar(
            select(models_module.partners.c.partner_id).limit(1)
        ):
            return None
        made = await _load(tx, known[0] if known else None)
        made.stage(path)  # before the commit: the database has only their hashes
    return made


async def _lock(tx: AsyncConnection) -> None:
    await set_statement_timeout(tx, seconds=LOAD_SECONDS)
    await tx.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def _load(tx: AsyncConnection, before: DemoCredentials | None) -> DemoCredentials:
    passwords, by = Passwords(), By(actor=ACTOR, now=datetime.now(UTC))
    given = asdict(before) if before else {}
    try:
        await _load_products(tx, by)
        await _load_partners(tx, by)
        await demo_catalog.load(tx, **by)
        await _load_seats(tx, by)
        await _load_venues(tx, by)
        return DemoCredentials(
            partner_api_key=await _api_key(tx, "CP", given.get("partner_api_key", ""), by),
            partner_test_api_key=await _test_key(tx, given.get("partner_test_api_key", ""), by),
            other_partner_api_key=await _api_key(
                tx, "HK", given.get("other_partner_api_key", ""), by
            ),
            operator=await _account(tx, passwords, "operator", given, by),
            supervisor=await _account(tx, passwords, "supervisor", given, by),
            admin=await _account(tx, passwords, "admin", given, by),
            terminal_device_id=TERMINAL,
        )
    finally:
        passwords.close()


async def _load_products(tx: AsyncConnection, by: By) -> None:
    for product_id in NAMES:
        if await _is_missing(products.PRODUCTS.get(tx, product_id)):
            await products.create_product(tx, _product(product_id), **by)


async def _load_partners(tx: AsyncConnection, by: By) -> None:
    for code, name in PARTNERS.items():
        if await _is_missing(partners.PARTNERS.get(tx, code)):
            new = partners.NewPartner(
                partner_code=code,
                display_name=name,
                requests_per_minute=partners.DEFAULT_REQUESTS_PER_MINUTE,
                allowed_addresses=[],
                activation_tolerance_basis_points=0,
            )
            await partners.create_partner(tx, new, **by)
    for channel, totals in ALLOTMENTS.items():
        for product_id, total in totals.items():
            if await _is_missing(
                allotments.get_allotment(tx, allotments.AllotmentSubject(product_id), channel)
            ):
                await allotments.create_allotment(
                    tx, product_id=product_id, channel=channel, total=total, **by
                )


async def _load_seats(tx: AsyncConnection, by: By) -> None:
    """Moves seats to the partner, of departures on whose days it has none yet; where too few are
    left of ours, or the departure does not run, it gets none.
    """
    today = by["now"].astimezone(demo_catalog.ZONE).date()
    for ahead in range(1, ALLOTTED_DAYS + 1):
        number = departure_id(ALLOTTED_TIMETABLE, today + timedelta(days=ahead))
        subject = allotments.AllotmentSubject(202, number, "ECONOMY")
        with contextlib.suppress(DomainError):
            if await _is_missing(allotments.get_allotment(tx, subject, TESTER)):
                async with tx.begin_nested():
                    await allotments.move_allotment(
                        tx,
                        subject,
                        from_channel=DIRECT_CHANNEL,
                        to_channel=TESTER,
                        quantity=ALLOTTED_SEATS,
                        zone=demo_catalog.ZONE,
                        comment="demo data",
                        creates=True,
                        **by,
                    )


async def _load_venues(tx: AsyncConnection, by: By) -> None:
    if await _is_missing(venues.MERCHANTS.get(tx, MERCHANT)):
        merchant = venues.NewMerchant(
            merchant_code=MERCHANT,
            display_name="Harbour Attractions 海港景点",
            function_codes=FUNCTION_CODES,
            reversal_window_seconds=DEFAULT_REVERSAL_WINDOW_SECONDS,
        )
        await venues.create_merchant(tx, merchant, **by)
    for code, (name, function_codes) in VENUES.items():
        if await _is_missing(venues.VENUES.get(tx, code)):
            venue = venues.NewVenue(
                venue_code=code,
                merchant_code=MERCHANT,
                display_name=name,
                time_zone="Asia/Hong_Kong",
                function_codes=function_codes,
            )
            await venues.create_venue(tx, venue, **by)
    for device, venue_code in TERMINALS.items():
        if await _is_missing(venues.TERMINALS.get(tx, device)):
            terminal = venues.NewTerminal(
                terminal_device_id=device, venue_code=venue_code, display_name=device
            )
            await venues.create_terminal(tx, terminal, **by)


async def _is_missing(found: Any) -> bool:
    try:
        await found
    except DomainError as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
        return True
    return False


def _product(product_id: int) -> NewProduct:
    english, chinese = NAMES[product_id]
    return NewProduct(
        product_id=product_id,
        kind="PACKAGE",
        display_name_en=english,
        display_name_zh=chinese,
        currency_code="CNY",
        fares=[
            ProductFare(
                customer_type=customer,
                day_type=day,
                amount_minor=ADULT_FARES[product_id] * of_adult // 100 * of_weekday // 100,
            )
            for customer, of_adult in PERCENT_BY_CUSTOMER.items()
            for day, of_weekday in PERCENT_BY_DAY.items()
        ],
        entitlements=_entitlements(product_id),
        validity_days=VALIDITY_DAYS,
        blackout_dates=[],
    )


def _entitlements(product_id: int) -> list[ProductEntitlement]:
    once = {"total_uses": 1, "use_mode": "ONCE_PER_QR", "guard_seconds": 0}
    names = {"ferry": ("Ferry ride", "渡轮"), "gift": ("Gift", "礼品")}
    found: list[Any] = [
        {"function_code": code, "display_name_en": english, "display_name_zh": chinese, **once}
        for code, (english, chinese) in names.items()
    ]
    if product_id == 108:
        found.append(
            ProductEntitlement(
                function_code="tokens",
                display_name_en="Game tokens",
                display_name_zh="游戏代币",
                total_uses=10,
                use_mode="MULTI_USE",
                guard_seconds=DEFAULT_GUARD_SECONDS,
            )
        )
    if product_id == 109:
        locker = {
            "function_code": "locker",
            "display_name_en": "Locker",
            "display_name_zh": "储物柜",
        }
        found.append({**locker, **once, "shared": True})
    return found


async def _api_key(tx: AsyncConnection, partner_code: str, given: str, by: By) -> str:
    if await _is_live(tx, partner_code, given):
        return given
    _, api_key = await partner_keys.create_live_key(tx, partner_code, **by)
    return api_key


async def _test_key(tx: AsyncConnection, given: str, by: By) -> str:
    sandbox = await partners.find_sandbox(tx, TESTER)
    if sandbox and await _is_live(tx, sandbox.partner_code, given):
        return given
    _, api_key = await sandboxes.create_test_key(tx, TESTER, **by)
    return api_key


async def _is_live(tx: AsyncConnection, partner_code: str, api_key: str) -> bool:
    known = credentials.read_api_key(api_key)
    if not known:
        return False
    keys, owners = models.partner_keys, models_module.partners
    found = await tx.scalar(
        select(keys.c.secret_hash)
        .join(owners, owners.c.partner_id == keys.c.partner_id)
        .where(
            keys.c.key_id == known[0],
            keys.c.revoke_time.is_(None),
            owners.c.partner_code == partner_code,
        )
    )
    return found is not None and same(found, known[1])


async def _account(
    tx: AsyncConnection, passwords: Passwords, username: str, given: dict[str, Any], by: By
) -> Account:
    table, role = models.accounts, ACCOUNTS[username]
    row = (await tx.execute(select(table).where(table.c.username == username))).one_or_none()
    if row is None:
        new = Account(username, secrets.token_urlsafe(12))
        if role == "ADMIN":
            await staff.create_administrator(
                tx,
                passwords,
                username=username,
                display_name="Demo administrator",
                password=new.password,
                **by,
            )
        else:
            await staff.create_operator(
                tx,
                passwords,
                username=username,
                role=role,
                merchant_code=MERCHANT,
                venue_codes=(),
                display_name=f"Demo {username}",
                password=new.password,
                **by,
            )
        return new
    if row.state == REVOKED:
        raise revoked("account", username)
    password = given.get(username, {}).get("password", "")
    if password and await passwords.verify(row.password_hash, password):
        return Account(username, password)
    return await _with_new_password(tx, passwords, username, by)


async def _with_new_password(
    tx: AsyncConnection, passwords: Passwords, username: str, by: By
) -> Account:
    table, new = models.accounts, Account(username, secrets.token_urlsafe(12))
    await tx.execute(
        update(table)
        .where(table.c.username == username)
        .values(password_hash=await passwords.hash(new.password), update_time=by["now"])
    )
    await end_logins(tx, username, by["now"])
    change = AuditedChange(
        actor=by["actor"], action="update", resource="account", name=username, before=None, after={}
    )
    await run(tx, audit(change, now=by["now"]))
    return new
