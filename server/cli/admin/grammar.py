"""The words of the administrator's commands, made of the contract: `deeptravel admin NOUN VERB`.

The noun of a method is what a list or a reading is of, in the plural (`partners`, `route-fares`);
the verb is what its name begins with, and what is left of it (`departures set-state` is
SetDepartureState). So a method that the contract gets has its command the same day.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from buf.validate import validate_pb2
from deeptravel.admin.v1 import admin_service_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

SERVICE = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
SIGN_IN = "AdminLogin"
"""Has a command of its own, `login`."""
READING = ("List", "Get", "Search")
LONG_VERBS = ("RollBack",)
HARMFUL = frozenset(
    {
        "revoke",
        "archive",
        "cancel",
        "discard",
        "remove",
        "reset",
        "settle",
        "apply",
        "roll",
        "block",
        "set-state",
    }
)
"""Verbs of what cannot be undone, or concerns people at once: asked for again at a terminal."""
MADE_BY_US = frozenset({"request_id", "update_mask", "page_token"})


@dataclass(frozen=True, slots=True)
class AdminCommand:
    """A method and its words."""

    noun: str
    verb: str
    method: MethodDescriptor

    @property
    def is_harmful(self) -> bool:
        """Whether it is asked for again."""
        return not HARMFUL.isdisjoint({self.verb, self.verb.split("-")[0]})

    @property
    def positional(self) -> list[FieldDescriptor]:
        """The fields that need no name on the command line: those in the method's path, else of
        what creates something its first field where that is required.
        """
        fields = self.method.input_type.fields_by_name
        named = [fields[name] for name in path_fields(self.method)]
        first = self.method.input_type.fields[0] if self.method.input_type.fields else None
        if not named and self.verb == "create" and first and is_required(first):
            simple = first.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_INT32}
            named = [first] if simple else []
        return named


@cache
def commands() -> dict[tuple[str, str], AdminCommand]:
    """Every command, by noun and verb."""
    methods = [method for method in SERVICE.methods if method.name != SIGN_IN]
    known = {_singular(_words(m.name)[1]) for m in methods if m.name.startswith(READING)}
    found: dict[tuple[str, str], AdminCommand] = {}
    for method in methods:
        noun, verb = _named(method.name, known)
        if (noun, verb) in found:  # two that would be the same: the whole name is the verb
            verb = _kebab(method.name)
        found[noun, verb] = AdminCommand(noun, verb, method)
    return found


def find(noun: str, verb: str) -> AdminCommand | None:
    """The command of these words, in the singular too; None if there is none."""
    by_words = commands()
    for form in (noun, _kebab_plural(noun)):
        if (form, verb) in by_words:
            return by_words[form, verb]
    return None


def verbs_of(noun: str) -> list[AdminCommand]:
    """The commands of a noun, in the contract's order; none of a word that is none."""
    forms = {noun, _kebab_plural(noun)}
    return [each for each in commands().values() if each.noun in forms]


def path_fields(method: MethodDescriptor) -> list[str]:
    """The names in the path of its address."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    path = rule.get or rule.post or rule.patch or rule.put or rule.delete
    return re.findall(r"{([a-z_]+)", path)


def is_required(field: FieldDescriptor) -> bool:
    """Whether the contract says that it has to be there."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return bool(rules.required)


def comment(full_name: str) -> str:
    """What the contract says of an element."""
    return _comments().get(full_name, "")


def summary(full_name: str) -> str:
    """The first sentence of that."""
    return re.split(r"(?<=[.;]) ", comment(full_name), maxsplit=1)[0]


@cache
def _comments() -> dict[str, str]:
    text = resources.files("deeptravel").joinpath("admin_help.json").read_text()
    found: dict[str, str] = json.loads(text)
    return found


def _named(name: str, known: Iterable[str]) -> tuple[str, str]:
    verb, rest = _words(name)
    if verb in READING:
        return _kebab_plural(_kebab(rest)), _kebab(verb)
    fits = [noun for noun in known if rest.startswith((noun, _plural(noun)))]
    if fits:
        noun = max(fits, key=len)
        for form in (_plural(noun), noun):
            if rest.startswith(form):
                return _both(noun, verb, rest.removeprefix(form))
    ends = [noun for noun in known if rest.endswith((noun, _plural(noun)))]
    if ends:
        noun = max(ends, key=len)
        before = rest.removesuffix(_plural(noun)).removesuffix(noun)
        return _both(noun, verb, before)
    return _kebab_plural(_kebab(rest)), _kebab(verb)


def _both(noun: str, verb: str, more: str) -> tuple[str, str]:
    words = [_kebab(verb), *([_kebab(more)] if more else [])]
    return _kebab_plural(_kebab(noun)), "-".join(words)


def _words(name: str) -> tuple[str, str]:
    for verb in LONG_VERBS:
        if name.startswith(verb):
            return verb, name.removeprefix(verb)
    first = re.match(r"[A-Z][a-z]+", name)
    assert first, "a method's name begins with a verb"
    return first[0], name[first.end() :]


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _plural(name: str) -> str:
    if re.search(r"(s|x|ch|sh)$", name):
        return name if name.endswith("s") and not name.endswith("ss") else f"{name}es"
    return f"{name[:-1]}ies" if re.search(r"[^aeiou]y$", name) else f"{name}s"


def _kebab_plural(noun: str) -> str:
    return noun if noun in {"dashboard", "catalogue", "config"} else _plural(noun)


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    if re.search(r"(x|ch|sh|ss)es$", name):
        return name[:-2]
    return name.removesuffix("s")
