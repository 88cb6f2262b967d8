"""Statements as they are built: `select(Hero)` and the methods called on it, over several lines too; and whose rows they give."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from project_source.classes import Class
from project_source.modules import Module
from project_source.project import Project

SELECTS = frozenset({"sqlalchemy.select", "sqlmodel.select"})
_ONE = frozenset({"first", "one", "one_or_none", "scalar", "scalar_one", "scalar_one_or_none"})
_SAME_RESULT = frozenset({"scalars", "unique", "execution_options", "yield_per"})
_DEPTH = 12  # of names that stand for names


@dataclass(frozen=True)
class Statement:
    """A SELECT of which every step is visible.

    Attributes:
        bases: The calls of `select`; more than one where branches differ.
        steps: All method calls that any branch makes on it, `statement.where(...)`.
    """

    bases: tuple[ast.Call, ...]
    steps: tuple[ast.Call, ...]

    def has(self, *names: str) -> bool:
        """Whether one of these methods is called on it."""
        return any(method(step) in names for step in self.steps)


def method(call: ast.Call) -> str:
    """The name behind the last dot of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def statement_of(node: ast.AST, project: Project, module: Module) -> Statement | None:
    """The SELECT that an expression builds; None where it is none, or where a part of it comes from elsewhere.

    Args:
        node: A chain of calls, or a name. Of a name, all assignments in its scope count, as any of them may have run.
    """
    bases: list[ast.Call] = []
    steps: list[ast.Call] = []
    return (
        Statement(tuple(bases), tuple(steps)) if _collect(node, project, module, bases, steps, ()) and bases else None
    )


def _collect(
    node: ast.AST,
    project: Project,
    module: Module,
    bases: list[ast.Call],
    steps: list[ast.Call],
    names: tuple[str, ...],
) -> bool:
    while isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
            steps.append(node)
            node = node.func.value
            continue
        if project.called(node, module) in SELECTS:
            bases.append(node)
            return True
        if not isinstance(node.func, ast.Attribute):
            return False
        steps.append(node)
        node = node.func.value
    if isinstance(node, ast.IfExp):
        return all(_collect(one, project, module, bases, steps, names) for one in (node.body, node.orelse))
    if not isinstance(node, ast.Name) or len(names) > _DEPTH:
        return False
    if node.id in names:
        return True
    found = module.every_binding(node.id, node)
    for one in found:
        value = one.node.value if isinstance(one.node, ast.AnnAssign) else one.node
        if one.kind not in {"value", "annotation"} or value is None:
            return False
        if not _collect(value, project, module, bases, steps, (*names, node.id)):
            return False
    return bool(found)


def entity_of(statement: Statement, project: Project, module: Module) -> Class | None:
    """The table model of `select(Model)`; None for several columns or entities."""
    found = {project.class_at(one.args[0], module) for one in statement.bases if len(one.args) == 1}
    entity = found.pop() if len(found) == 1 else None
    return entity if entity and all(len(one.args) == 1 for one in statement.bases) else None


def row_of(node: ast.AST, project: Project, module: Module, depth: int = _DEPTH) -> Class | None:
    """The class of the object that an expression is: an instance by its type, or one row of a statement or of `session.get`."""
    value = project.value_of(node, module)
    if value is not None:
        return project.class_at(node, module) if value.instance else None
    if not depth:
        return None
    if isinstance(node, ast.Await | ast.NamedExpr):
        return row_of(node.value, project, module, depth - 1)
    if isinstance(node, ast.Name):
        for one in module.bindings(node.id, node)[:1]:
            if one.kind == "value":
                return row_of(one.node, project, module, depth - 1)
            if one.kind == "for":
                return _element(one.node, project, module, depth - 1)
        return None
    if isinstance(node, ast.Call):
        if method(node) in {"get", "get_one"} and len(node.args) >= 2:
            owner = project.value_of(node.args[0], module)
            return project.class_at(node.args[0], module) if owner and not owner.instance else None
        if method(node) == "scalar" and node.args:
            found = statement_of(node.args[0], project, module)
            return entity_of(found, project, module) if found else None
        if method(node) in _ONE and isinstance(node.func, ast.Attribute):
            return _result(node.func.value, project, module, depth - 1)
    return None


def _element(node: ast.AST, project: Project, module: Module, depth: int) -> Class | None:
    """The class of each object in what is iterated."""
    if not depth:
        return None
    if isinstance(node, ast.Call) and method(node) in {"all", "fetchall"} and isinstance(node.func, ast.Attribute):
        return _result(node.func.value, project, module, depth - 1)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"list", "reversed", "sorted"}
        and node.args
    ):
        return _element(node.args[0], project, module, depth - 1)
    if isinstance(node, ast.Name):
        for one in module.bindings(node.id, node)[:1]:
            return _element(one.node, project, module, depth - 1) if one.kind == "value" else None
    return _result(node, project, module, depth - 1)


def _result(node: ast.AST, project: Project, module: Module, depth: int) -> Class | None:
    """The table model whose objects a result holds."""
    if not depth:
        return None
    if isinstance(node, ast.Await):
        return _result(node.value, project, module, depth - 1)
    if isinstance(node, ast.Name):
        for one in module.bindings(node.id, node)[:1]:
            return _result(one.node, project, module, depth - 1) if one.kind == "value" else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if method(node) in _SAME_RESULT and not (method(node) == "scalars" and node.args):
            return _result(node.func.value, project, module, depth - 1)
        if method(node) in {"exec", "execute", "scalars"} and node.args:
            found = statement_of(node.args[0], project, module)
            return entity_of(found, project, module) if found else None
    return None


def outermost(call: ast.Call, module: Module) -> ast.Call:
    """The last call of the chain that a call stands in: `select(...).limit(...).order_by(...)` of its `limit`."""
    while True:
        above = module.parents.get(call)
        further = module.parents.get(above) if isinstance(above, ast.Attribute) else None
        if not (isinstance(further, ast.Call) and further.func is above):
            return call
        call = further


def uses(name: str, function: ast.AST, module: Module) -> Iterator[ast.Name]:
    """The places in a function (or module) that read a name, nested functions too."""
    for node in module.all(ast.Name):
        if node.id == name and isinstance(node.ctx, ast.Load) and module.within(node, function):
            yield node
