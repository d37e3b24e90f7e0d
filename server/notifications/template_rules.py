"""Texts with placeholders: read, checked and filled in, without running anything. Pure.

A placeholder is a name in braces, `{order_code}`; `{{` and `}}` are braces. There is nothing else:
no attributes, no indexes, no formats, so a template can show what it is given and nothing more.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

MAX_TITLE, MAX_BODY = 60, 1000
"""Characters of a title and of a text, with their placeholders."""

_PART = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}|[{}]")


class Template(NamedTuple):
    """The texts of a message; `fields` are those of a template of WeChat's, by its keywords
    (`thing1`), `page` what it opens.
    """

    title: str = ""
    body: str = ""
    template_id: str = ""
    page: str = ""
    fields: Mapping[str, str] = {}
    enabled: bool = True


class TemplateFault(NamedTuple):
    """What is wrong with a template: where, and why."""

    field: str
    description: str


def placeholders(text: str) -> list[str]:
    """The names in a text, in their order. Raises ValueError for a brace that stands alone."""
    names = []
    for part in _PART.finditer(text):
        if part[1]:
            names.append(part[1])
        elif len(part[0]) == 1:
            raise ValueError(
                f"has a {part[0]} that stands alone; write {part[0] * 2}, or {{name}} around"
                " a placeholder"
            )
    return names


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its placeholders filled in; a value that is not there is empty."""

    def value(part: re.Match[str]) -> str:
        return values.get(part[1], "") if part[1] else part[0][:1]

    return _PART.sub(value, text)


def faults(channel: str, template: Template, known: Mapping[str, str]) -> list[TemplateFault]:
    """What must be mended before a template is published; `known` are the placeholders of its
    kind.
    """
    found: list[TemplateFault] = []
    texts = {"title": template.title, "body": template.body, "page": template.page}
    texts |= {f"fields[{keyword}]": text for keyword, text in template.fields.items()}
    for field, text in texts.items():
        try:
            unknown = sorted({name for name in placeholders(text) if name not in known})
        except ValueError as error:
            found.append(TemplateFault(field, str(error)))
            continue
        if unknown:
            names = ", ".join(f"{{{name}}}" for name in unknown)
            found.append(
                TemplateFault(
                    field, f"has no value for {names}; there are {', '.join(sorted(known))}"
                )
            )
    return found + _missing(channel, template)


def _missing(channel: str, template: Template) -> list[TemplateFault]:
    if channel == "WECHAT":
        needed: dict[str, object] = {"template_id": template.template_id, "fields": template.fields}
        unused: dict[str, object] = {"title": template.title, "body": template.body}
    else:
        needed = {"body": template.body}
        if channel != "SMS":
            needed["title"] = template.title
        unused = {
            "template_id": template.template_id,
            "page": template.page,
            "fields": template.fields,
        }
    return [
        TemplateFault(name, "is needed in this channel")
        for name, given in needed.items()
        if not given
    ] + [
        TemplateFault(name, "has no use in this channel") for name, given in unused.items() if given
    ]
