"""The demo data: complete, usable, and safe to load again."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from server.audit.models import audit_events
from server.catalog.allotments import AllotmentSubject, list_allotments
from server.catalog.products import PRODUCTS
from server.identity import partner_keys as partner_keys_module
from server.identity.models import accounts, partner_keys
from server.identity.service import Identity
from server.operations.data_folder import DEMO_CREDENTIALS_FILE
from server.parties.models import terminals
from server.platform.change_feed import ChangeFeed
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.ratelimit import RateLimiter
from tools.dev import demo_data
from tools.dev.demo_data import DemoCredentials


@pytest.fixture
async def db(demo_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), demo_url)
    yield database
    await database.close()


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), database_url)
    yield database
    await database.close()


@pytest.fixture
async def identity(db: Database, redis_url: str) -> AsyncIterator[Identity]:
    settings = load_settings(secret_key=b"k" * 32)
    feed, limiter = ChangeFeed(db), RateLimiter(redis_url)
    await feed.start()
    found = Identity(db, feed, limiter, settings)
    await found.start()
    yield found
    await found.stop()
    await limiter.close()
    await feed.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / DEMO_CREDENTIALS_FILE


@pytest.fixture
def made(demo: tuple[str, Path], path: Path) -> DemoCredentials:
    """What was loaded into `db`."""
    shutil.copy2(demo[1], path)
    credentials = DemoCredentials.read(path)
    assert credentials
    return credentials


async def test_products_and_stock(db: Database) -> None:
    async with db.transaction() as tx:
        for product_id in (106, 107, 108):
            product = await PRODUCTS.get(tx, product_id)
            terms = {e["function_code"]: e for e in product.entitlements}
            assert set(terms) == {"ferry", "gift"} | ({"tokens"} if product_id == 108 else set())
            for code in ("ferry", "gift"):
                assert terms[code]["total_uses"] == 1
                assert terms[code]["use_mode"] == "ONCE_PER_QR"
            if product_id == 108:
                tokens = terms["tokens"]
                assert (tokens["total_uses"], tokens["use_mode"]) == (10, "MULTI_USE")
                assert tokens["guard_seconds"] == 60
        stock = await list_allotments(tx, AllotmentSubject(0), channel="CP", after=None, limit=10)
    assert {each.product_id: each.total for each in stock} == {106: 2000, 107: 1500, 108: 1500}


async def test_credentials_are_good_for_what_they_say(
    db: Database, identity: Identity, made: DemoCredentials
) -> None:
    now = datetime.now(UTC)
    for api_key, code in ((made.partner_api_key, "CP"), (made.other_partner_api_key, "HK")):
        caller = await identity.authenticate({"x-api-key": api_key}, "127.0.0.1")
        assert caller
        assert caller.key == f"partner:{code}"
    async with db.transaction() as tx:
        devices = list(await tx.scalars(select(terminals.c.terminal_device_id)))
    assert made.terminal_device_id in devices
    assert len(devices) == 4
    for person in (made.operator, made.supervisor):
        for device in devices:
            await identity.log_in(person.username, person.password, device, now)
    await identity.log_in(made.admin.username, made.admin.password, None, now)


async def test_loading_again_changes_nothing(
    db: Database, path: Path, made: DemoCredentials
) -> None:
    async with db.transaction() as tx:
        events = await tx.scalar(select(func.count()).select_from(audit_events))
    assert await demo_data.load(db, path) == made == DemoCredentials.read(path)
    async with db.transaction() as tx:
        assert await tx.scalar(select(func.count()).select_from(audit_events)) == events
        assert await tx.scalar(select(func.count()).select_from(partner_keys)) == 3


async def test_lost_file_gives_new_credentials(
    db: Database, identity: Identity, path: Path, made: DemoCredentials
) -> None:
    await asyncio.to_thread(path.unlink)
    after = await demo_data.load(db, path)
    now = datetime.now(UTC)
    for role in ("operator", "supervisor"):
        old, new = getattr(made, role), getattr(after, role)
        assert old.username == new.username
        await identity.log_in(new.username, new.password, after.terminal_device_id, now)
        with pytest.raises(DomainError) as refused:
            await identity.log_in(old.username, old.password, after.terminal_device_id, now)
        assert refused.value.reason is Reason.LOGIN_FAILED
    await identity.log_in(after.admin.username, after.admin.password, None, now)
    assert made.partner_api_key != after.partner_api_key


async def test_missing_parts_come_back_and_revoked_keys_are_replaced(
    db: Database, path: Path, made: DemoCredentials
) -> None:
    async with db.transaction() as tx:
        await tx.execute(delete(accounts).where(accounts.c.username == "supervisor"))
        first = made.partner_api_key.split("_")[1]
        await partner_keys_module.revoke_key(tx, "CP", first, actor="test", now=datetime.now(UTC))
    after = await demo_data.load(db, path)
    assert after == replace(
        made, partner_api_key=after.partner_api_key, supervisor=after.supervisor
    )
    assert after.partner_api_key != made.partner_api_key
    assert after.supervisor != made.supervisor


@pytest.mark.usefixtures("made")
async def test_revoked_account_is_named(db: Database, path: Path) -> None:
    async with db.transaction() as tx:
        await tx.execute(
            update(accounts).where(accounts.c.username == "operator").values(state="REVOKED")
        )
    with pytest.raises(DomainError) as refused:
        await demo_data.load(db, path)
    assert refused.value.reason is Reason.REVOKED


async def test_loading_once_leaves_other_data_alone(empty: Database, tmp_path: Path) -> None:
    """As servers of one database do that start together, each with a data folder of its own."""
    paths = [tmp_path / str(number) / DEMO_CREDENTIALS_FILE for number in range(4)]
    loaded = await asyncio.gather(
        *(demo_data.load_once(empty, path, replace_lost=False) for path in paths)
    )
    (made,) = [each for each in loaded if each]
    again = [await demo_data.load_once(empty, path, replace_lost=False) for path in paths]
    assert again == loaded
    assert not any(DemoCredentials.read(path) for path in paths)  # not before it serves
    for path in paths:
        demo_data.publish(path)
    assert [await demo_data.load_once(empty, path, replace_lost=False) for path in paths] == loaded
    (lost,) = [path for path in paths if DemoCredentials.read(path)]
    await asyncio.to_thread(lost.unlink)
    assert await demo_data.load_once(empty, lost, replace_lost=False) is None
    replaced = await demo_data.load_once(empty, lost, replace_lost=True)
    assert replaced
    assert replaced.partner_api_key != made.partner_api_key


@pytest.mark.parametrize("content", ["", "{", "[]", '{"operator": 1}', '{"other": "shape"}'])
def test_damaged_file_has_no_credentials(path: Path, content: str) -> None:
    path.write_text(content)
    assert DemoCredentials.read(path) is None


async def test_damaged_file_is_replaced(empty: Database, path: Path) -> None:
    await asyncio.to_thread(path.write_text, "{")
    made = await demo_data.load(empty, path)
    assert DemoCredentials.read(path) == made
