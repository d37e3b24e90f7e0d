"""Templates of entitlements, which packages and other products are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, refuse, with_names
from server.audit.rules import ProductEntitlement
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, refuse_archived
from server.catalog.limits import code_faults, entitlement_faults
from server.catalog.models import entitlement_templates
from server.platform.change_feed import ChangeKind

TEMPLATE_CODE = "[A-Z0-9_-]{1,32}"


@dataclass(frozen=True)
class EntitlementTemplate:
    """What a ticket may allow, ready to be used by several products. A product keeps it as it was
    when the product was created or changed.
    """

    template_code: str
    function_code: str
    display_name_en: str
    display_name_zh: str
    total_uses: int
    use_mode: str
    guard_seconds: int
    shared: bool
    rotating_code: str = "NONE"
    state: str = ACTIVE
    version: int = 1

    def entitlement(self) -> ProductEntitlement:
        """As a product has it."""
        return ProductEntitlement(
            function_code=self.function_code,
            display_name_en=self.display_name_en,
            display_name_zh=self.display_name_zh,
            total_uses=self.total_uses,
            use_mode=self.use_mode,
            guard_seconds=self.guard_seconds,
            shared=self.shared,
            rotating_code=self.rotating_code,
        )


TEMPLATES = Records(
    "entitlement_template",
    entitlement_templates.c.template_code,
    select(*(entitlement_templates.c[field.name] for field in fields(EntitlementTemplate))),
    EntitlementTemplate,
    ChangeKind.CATALOGUE,
)


async def create_template(
    tx: AsyncConnection, template: EntitlementTemplate, **by: Unpack[By]
) -> EntitlementTemplate:
    """A new template. Raises INVALID_FIELD, ALREADY_EXISTS."""
    template = with_names(template)
    refuse(
        [
            *code_faults("template_code", template.template_code, TEMPLATE_CODE),
            *entitlement_faults(template.entitlement()),
        ]
    )
    await create(tx, entitlement_templates, "entitlement_template", [template], **by)
    return await TEMPLATES.get(tx, template.template_code)


async def update_template(
    tx: AsyncConnection, template_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> EntitlementTemplate:
    """Changes the given fields, for products that are created or changed from now on. Raises
    INVALID_FIELD, NOT_FOUND, ARCHIVED.
    """
    before = await TEMPLATES.lock(tx, template_code)
    refuse_archived("entitlement_template", template_code, before)
    after = with_names(replace(before, **values))
    refuse(list(entitlement_faults(after.entitlement())))
    given = {name: getattr(after, name) for name in values}
    return await changes.change(tx, TEMPLATES, before, given, **by)


async def archive_template(
    tx: AsyncConnection, template_code: str, **by: Unpack[By]
) -> EntitlementTemplate:
    """Has no product made of it any more; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.archive(tx, TEMPLATES, await TEMPLATES.lock(tx, template_code), **by)


async def unarchive_template(
    tx: AsyncConnection, template_code: str, **by: Unpack[By]
) -> EntitlementTemplate:
    """Takes an archived template back; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.unarchive(tx, TEMPLATES, await TEMPLATES.lock(tx, template_code), **by)


async def entitlements_of(
    tx: AsyncConnection, template_codes: Sequence[str]
) -> list[ProductEntitlement]:
    """What templates allow, in this order. Raises NOT_FOUND, ARCHIVED."""
    found = []
    for template_code in template_codes:
        template = await TEMPLATES.rely_on(tx, template_code)
        found.append(template.entitlement())
    return found
