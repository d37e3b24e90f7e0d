"""Examples that are kept with a product, and tried before anything of it is published."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Unpack

import orjson
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.catalog import config_versions, products
from server.catalog.config_versions import PRODUCT, ROUTE_FARES, ConfigVersion
from server.catalog.models import product_examples, routes
from server.catalog.products import PRODUCTS, Product
from server.configuration.example_files import read_examples
from server.configuration.examples import ExampleError, ExampleTerms, try_all
from server.platform.errors import DomainError, Reason, invalid, refuse_stale
from server.platform.statements import run


class KeptExamples(NamedTuple):
    """Examples as they were written, empty for none; when they were set, if ever, and how often,
    counted from 1 on.
    """

    content: str
    update_time: datetime | None
    version: int


async def set_examples(
    tx: AsyncConnection, product_id: int, content: str, *, version: int = 0, **by: Unpack[By]
) -> KeptExamples:
    """Keeps examples with a product, instead of those it has; an empty text: none. They need not
    hold yet. `version` is the one that was read, 0 any.

    Raises NOT_FOUND, INVALID_FIELD, VERSION_MISMATCH.
    """
    product = await PRODUCTS.lock(tx, product_id)
    before = await get_examples(tx, product_id)
    refuse_stale("product_examples", product_id, sent=version, now=before.version)
    if content:
        try:
            examples = read_examples(content)
            try_all(examples, await _terms(tx, product, ()))
        except ExampleError as error:
            raise invalid("content", str(error)) from None
    after = KeptExamples(content, by["now"], before.version + 1)
    values = after._asdict()
    adding = pg_insert(product_examples).values(product_id=product_id, **values)
    await tx.execute(adding.on_conflict_do_update(index_elements=["product_id"], set_=values))
    change = AuditedChange(
        by["actor"],
        "set_examples",
        "product",
        product_id,
        {"examples": before.content},
        {"examples": content},
    )
    await run(tx, audit(change, now=by["now"]))
    return after


async def get_examples(tx: AsyncConnection, product_id: int) -> KeptExamples:
    """The examples kept with a product."""
    query = select(*(product_examples.c[name] for name in KeptExamples._fields))
    this = product_examples.c.product_id == product_id
    row = (await tx.execute(query.where(this))).one_or_none()
    return KeptExamples(*row) if row else KeptExamples("", None, 1)


async def require(tx: AsyncConnection, versions: Sequence[ConfigVersion]) -> None:
    """Tries the examples of their products against versions that take effect together. Raises
    CONFIG_EXAMPLE_FAILED.
    """
    tried: dict[int, ConfigVersion] = {}
    for version in versions:
        product_id = await _product_of(tx, version)
        if product_id is not None:
            tried.setdefault(product_id, version)
    for product_id, version in tried.items():
        await _require_of(tx, product_id, version, versions)


async def _require_of(
    tx: AsyncConnection, product_id: int, version: ConfigVersion, versions: Sequence[ConfigVersion]
) -> None:
    content = (await get_examples(tx, product_id)).content
    if not content:
        return
    terms = await _terms(tx, await PRODUCTS.get(tx, product_id), versions)
    try:
        failures = try_all(read_examples(content), terms)
    except ExampleError as error:
        raise _failed(version, str(error), "an answer", "none") from None
    for name, expected, actual in failures:
        raise _failed(version, name, _shown(expected), _shown(actual))


def _failed(version: ConfigVersion, name: str, expected: str, actual: str) -> DomainError:
    return DomainError(
        Reason.CONFIG_EXAMPLE_FAILED,
        f"example {name!r}: expected {expected}, but it is {actual}; correct the draft or the"
        " example, or publish with a force_comment",
        version_id=version.version_id,
        example=name,
        expected=expected,
        actual=actual,
    )


def _shown(values: dict[str, object]) -> str:
    return orjson.dumps(values, default=str).decode()


async def _product_of(tx: AsyncConnection, version: ConfigVersion) -> int | None:
    """Whose examples count; of a promotion nobody's: prices of examples are without any."""
    if version.object_type == PRODUCT:
        return version.object_id
    if version.object_type == ROUTE_FARES:
        this = routes.c.route_id == version.object_id
        return await tx.scalar(select(routes.c.product_id).where(this))
    return None


async def _terms(
    tx: AsyncConnection, product: Product, versions: Sequence[ConfigVersion]
) -> ExampleTerms:
    """A product with the fares of its routes, as they would be under these versions."""
    query = select(routes.c.route_id, routes.c.fares).where(
        routes.c.product_id == product.product_id, routes.c.state == "ACTIVE"
    )
    fares = {row.route_id: row.fares for row in await tx.execute(query)}
    content = {**products.content_of(product), "currency_code": product.currency_code}
    for version in versions:
        if version.subject == (PRODUCT, product.product_id):
            content |= config_versions.normal(version.content)
        elif version.object_type == ROUTE_FARES and version.object_id in fares:
            fares[version.object_id] = version.content["fares"]
    return ExampleTerms(content, fares)
