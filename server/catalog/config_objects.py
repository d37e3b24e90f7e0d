"""The objects that have versions: how each is locked, checked and changed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import products, promotions, routes
from server.catalog.changes import refuse_archived
from server.catalog.config_versions import (
    PRODUCT,
    PROMOTION,
    ROUTE_FARES,
    ConfigContent,
    changed_fields,
)
from server.catalog.products import PRODUCTS, Product
from server.catalog.promotions import PROMOTIONS, KeptPromotion
from server.catalog.routes import ROUTES, Route


class Applies(Protocol):
    """Changes the given fields of an object that is locked, as they are stored in contents."""

    def __call__(  # noqa: D102
        self, tx: AsyncConnection, object_id: int, changed: ConfigContent, /, **by: Unpack[By]
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """A type of object that has versions.

    Attributes:
        lock: what an object has now, which nobody else changes until the end of the transaction.
            Raises NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED.
        read: the same, without a lock.
        check: a content as it is kept. Raises INVALID_FIELD for one that the object cannot have.
        apply: changes an object; `check` was called.
    """

    lock: Callable[[AsyncConnection, int], Awaitable[ConfigContent]]
    read: Callable[[AsyncConnection, int], Awaitable[ConfigContent]]
    check: Callable[[AsyncConnection, int, ConfigContent], Awaitable[ConfigContent]]
    apply: Applies


async def lock(tx: AsyncConnection, object_type: str, object_id: int) -> ConfigContent:
    """What an object has now, see ConfigObject."""
    return await OBJECTS[object_type].lock(tx, object_id)


async def read(tx: AsyncConnection, object_type: str, object_id: int) -> ConfigContent:
    """What an object has, see ConfigObject."""
    return await OBJECTS[object_type].read(tx, object_id)


async def check(
    tx: AsyncConnection, object_type: str, object_id: int, content: ConfigContent
) -> ConfigContent:
    """A content as it is kept, see ConfigObject."""
    return await OBJECTS[object_type].check(tx, object_id, content)


async def apply(
    tx: AsyncConnection,
    object_type: str,
    object_id: int,
    before: ConfigContent,
    after: ConfigContent,
    **by: Unpack[By],
) -> None:
    """Changes an object that is locked and has the content `before` to `after`, if they differ."""
    changed = {name: after[name] for name in changed_fields(before, after)}
    if changed:
        await OBJECTS[object_type].apply(tx, object_id, changed, **by)


async def _lock_product(tx: AsyncConnection, product_id: int) -> ConfigContent:
    return _product(await PRODUCTS.lock(tx, product_id))


async def _read_product(tx: AsyncConnection, product_id: int) -> ConfigContent:
    return _product(await PRODUCTS.get(tx, product_id))


def _product(product: Product) -> ConfigContent:
    products.refuse_archived(product)
    return products.content_of(product)


async def _check_product(
    tx: AsyncConnection, product_id: int, content: ConfigContent
) -> ConfigContent:
    """What stays as it is is not looked at, as in an update."""
    before = products.content_of(await PRODUCTS.get(tx, product_id))
    changed = {name: content[name] for name in changed_fields(before, content)}
    stored = await products.stored_values(tx, changed)
    if "blackout_dates" in stored:
        stored["blackout_dates"] = [day.isoformat() for day in stored["blackout_dates"]]
    return {**before, **stored}


async def _apply_product(
    tx: AsyncConnection, product_id: int, changed: ConfigContent, **by: Unpack[By]
) -> None:
    await products.update_product(tx, product_id, changed, **by)


async def _lock_fares(tx: AsyncConnection, route_id: int) -> ConfigContent:
    return _fares(await ROUTES.lock(tx, route_id))


async def _read_fares(tx: AsyncConnection, route_id: int) -> ConfigContent:
    return _fares(await ROUTES.get(tx, route_id))


def _fares(route: Route) -> ConfigContent:
    refuse_archived("route", route.route_id, route)
    return routes.content_of(route)


async def _check_fares(tx: AsyncConnection, route_id: int, content: ConfigContent) -> ConfigContent:
    routes.check_fares(await ROUTES.get(tx, route_id), content["fares"])
    return content


async def _apply_fares(
    tx: AsyncConnection, route_id: int, changed: ConfigContent, **by: Unpack[By]
) -> None:
    await routes.set_fares(tx, route_id, changed["fares"], **by)


async def _lock_promotion(tx: AsyncConnection, promotion_id: int) -> ConfigContent:
    return _promotion(await PROMOTIONS.lock(tx, promotion_id))


async def _read_promotion(tx: AsyncConnection, promotion_id: int) -> ConfigContent:
    return _promotion(await PROMOTIONS.get(tx, promotion_id))


def _promotion(promotion: KeptPromotion) -> ConfigContent:
    refuse_archived("promotion", promotion.promotion_id, promotion)
    return promotions.content_of(promotion)


async def _check_promotion(
    tx: AsyncConnection, promotion_id: int, content: ConfigContent
) -> ConfigContent:
    before = await PROMOTIONS.get(tx, promotion_id)
    checked = await promotions.checked_promotion(tx, before, _with_moments(content))
    return promotions.content_of(checked)


async def _apply_promotion(
    tx: AsyncConnection, promotion_id: int, changed: ConfigContent, **by: Unpack[By]
) -> None:
    await promotions.update_promotion(tx, promotion_id, _with_moments(changed), **by)


def _with_moments(content: ConfigContent) -> dict[str, Any]:
    moments = {"begin_time", "end_time"} & content.keys()
    return {**content, **{name: datetime.fromisoformat(content[name]) for name in moments}}


OBJECTS: Mapping[str, ConfigObject] = {
    PRODUCT: ConfigObject(_lock_product, _read_product, _check_product, _apply_product),
    ROUTE_FARES: ConfigObject(_lock_fares, _read_fares, _check_fares, _apply_fares),
    PROMOTION: ConfigObject(_lock_promotion, _read_promotion, _check_promotion, _apply_promotion),
}
