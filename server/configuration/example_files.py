"""Files of examples, in YAML: read, and tried, for people who write them."""

from collections.abc import Hashable
from typing import Any

import yaml

from server.catalog import pricing
from server.catalog.policy import Policy
from server.configuration.examples import (
    Example,
    ExampleError,
    ExampleTerms,
    Failure,
    parse,
    try_all,
)

MOST_CHARACTERS = 100_000
TERMS = {
    *("currency_code", "fares", "tiers", "policy", "boarding_minutes", "validity_days"),
    *("blackout_dates", "entitlements", "route_fares"),
}


class _Loader(yaml.SafeLoader):
    """Plain values; moments stay as they are written, with their offset; no key twice, no aliases,
    which can make much of little.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses aliases."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "has an alias; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Refuses a key that stands there twice."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"has {key!r} twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_file(text: str) -> tuple[ExampleTerms, list[Example]]:
    """The terms and examples of a file. Raises ExampleError."""
    content = _load(text)
    if not isinstance(content, dict) or content.keys() != {"terms", "examples"}:
        raise ExampleError("a file has terms and examples, and nothing else")
    return _terms(content["terms"]), parse(content["examples"])


def read_examples(text: str) -> list[Example]:
    """Examples without terms, as they are kept with a product. Raises ExampleError."""
    content = _load(text)
    if not isinstance(content, dict) or content.keys() != {"examples"}:
        raise ExampleError("has to be a mapping with examples alone: the product has the terms")
    return parse(content["examples"])


def try_file(text: str) -> tuple[int, list[Failure]]:
    """How many examples a file has, and those that fail. Raises ExampleError."""
    terms, examples = read_file(text)
    return len(examples), try_all(examples, terms)


def _load(text: str) -> Any:
    if len(text) > MOST_CHARACTERS:
        raise ExampleError(f"has more than {MOST_CHARACTERS} characters")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ExampleError(f"is no YAML: {error}") from None


def _terms(written: object) -> ExampleTerms:
    if not isinstance(written, dict):
        raise ExampleError("terms: is no mapping")
    for name in written:
        if name not in TERMS:
            raise ExampleError(
                f"terms: has no field {name!r}; there are {', '.join(sorted(TERMS))}"
            )
    product = {name: value for name, value in written.items() if name != "route_fares"}
    try:
        Policy.parse(product.get("policy") or {})
        pricing.parse_tiers(list(product.get("tiers", ())))
    except (ValueError, TypeError, AttributeError) as error:
        raise ExampleError(f"terms: {error}") from None
    routes = written.get("route_fares") or {}
    if not isinstance(routes, dict):
        raise ExampleError("terms.route_fares: is no mapping of route numbers to fares")
    return ExampleTerms(product, routes)
