"""ASM013: datetimes without a time zone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at, replacing
from project_source.modules import Module, keyword
from project_source.project import Project

_NAIVE = {"utcnow", "utcfromtimestamp"}


@check("ASM013")
def naive_datetimes(project: Project, module: Module) -> Iterator[Found]:
    """`datetime.utcnow`, called or passed on, and `datetime.now()` without a zone."""
    for node in module.all(ast.Attribute):
        if node.attr in _NAIVE and project.name_of(node, module) == f"datetime.datetime.{node.attr}":
            yield _naive(node, module)
    for call in module.all(ast.Call):
        if project.called(call, module) == "datetime.datetime.now" and not call.args and not keyword(call, "tz"):
            yield at(
                module, call, "`datetime.now()` is naive: SQLModel refuses it when the statement is sent", "use `datetime.now(UTC)`",
                possible=True,
            )  # fmt: skip


def _naive(node: ast.Attribute, module: Module) -> Found:
    owner = ast.unparse(node.value)  # datetime, or datetime.datetime
    zone, imports = ("datetime.UTC", []) if owner == "datetime.datetime" else ("UTC", ["from datetime import UTC"])
    above = module.parents[node]
    edits = []
    if node.attr == "utcnow" and owner in {"datetime", "datetime.datetime"}:
        called = isinstance(above, ast.Call) and above.func is node
        edits = [replacing(above, f"{owner}.now({zone})") if called and isinstance(above, ast.Call)
                 else replacing(node, f"lambda: {owner}.now({zone})")]  # fmt: skip
    return at(
        module, node, f"`{owner}.{node.attr}` is naive: SQLModel refuses it when the statement is sent",
        f"use `{owner}.now({zone})`", edits=edits, imports=imports if edits else (),
    )  # fmt: skip
