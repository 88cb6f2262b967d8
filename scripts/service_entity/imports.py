"""Import statements in the order that ruff wants them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict

from service_entity.layout import from_import

_STANDARD = {"collections", "datetime", "decimal", "enum", "typing", "uuid"}
_OWN = {"app", "tests"}


def imports(body: str, sources: dict[str, str], whole: tuple[str, ...] = ()) -> str:
    """The imports that a module needs.

    Args:
        body: Of the module, without imports.
        sources: Where each name comes from that the body may use: ``uuid``, or ``sqlalchemy:Text`` for
            ``from sqlalchemy import Text as LongText``.
        whole: Modules that are imported as they are, such as pytest, where the body uses them.
    """
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    names = defaultdict(list)
    for name in used & sources.keys():
        module, _, original = sources[name].partition(":")
        names[module].append(f"{original} as {name}" if original else name)
    sections: dict[int, list[str]] = defaultdict(list)
    for module in sorted(used & set(whole)):
        sections[section(module)].append(f"import {module}\n")
    for module in sorted(names, key=module_key):
        plain = sorted((name for name in names[module] if " as " not in name), key=name_key)
        statements = [from_import(module, plain)] if plain else []
        statements += [from_import(module, [name]) for name in sorted(names[module]) if " as " in name]
        sections[section(module)] += statements
    return "\n".join("".join(sections[number]) for number in sorted(sections))


def section(module: str) -> int:
    """0 for the standard library, 1 for packages, 2 for the service itself."""
    root = module.split(".")[0]
    return 0 if root in _STANDARD else 2 if root in _OWN else 1


def module_key(module: str) -> tuple[object, ...]:
    """How ruff sorts modules."""
    return (module.lower() != module, natural(module.lower()), module)


def name_key(name: str) -> tuple[object, ...]:
    """How ruff sorts the names of one import: constants, classes, functions."""
    return (kind(name), natural(name.lower()), name)


def kind(name: str) -> int:
    """0 for a constant, 1 for a class, 2 for anything else."""
    return 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2


def natural(text: str) -> list[tuple[int, int, str]]:
    """So that hero2 comes before hero10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D", text)]
