"""Import contracts which import-linter does not bring."""

import sys
from typing import Any, cast

from importlinter import Contract, ContractCheck, fields, output
from importlinter.domain.imports import Module, ModuleExpression


class StandardLibraryOnly(Contract):
    """The modules that match import nothing but the standard library, and each other."""

    modules = fields.ListField(subfield=fields.ModuleExpressionField())

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        expressions = cast("list[ModuleExpression]", self.modules)
        pure = {
            module
            for expression in expressions
            for module in graph.find_matching_modules(expression.expression)
        }
        faults = [
            f"{module} imports {imported}"
            for module in sorted(pure)
            for imported in sorted(graph.find_modules_directly_imported_by(module) - pure)
            if imported.split(".")[0] not in sys.stdlib_module_names
        ]
        return ContractCheck(kept=not faults, metadata={"faults": faults})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for fault in check.metadata["faults"]:
            output.print_error(f"- {fault}")


class NoTransport(Contract):
    """Whatever is under the root imports none of `forbidden`, but for the modules in `but`.

    So a room that is new is held to it from its first day.
    """

    forbidden = fields.ListField(subfield=fields.StringField())
    but = fields.ListField(subfield=fields.ModuleField())

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        allowed = tuple(module.name for module in cast("list[Module]", self.but))
        forbidden = set(cast("list[str]", self.forbidden))
        faults = [
            f"{module} imports {imported}"
            for module in sorted(graph.modules)
            if module.startswith("server.") and not _is_in(module, allowed)
            for imported in sorted(graph.find_modules_directly_imported_by(module))
            if imported.split(".")[0] in forbidden
        ]
        return ContractCheck(kept=not faults, metadata={"faults": faults})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for fault in check.metadata["faults"]:
            output.print_error(f"- {fault}")


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
