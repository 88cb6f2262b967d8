"""Texts of a project: what a string is put together from, and where the value behind a name is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeAlias

from project_source.modules import Binding, Function, Module, default_of, keyword
from project_source.project import Project

Piece: TypeAlias = str | ast.expr
_DEPTH = 8  # of names that stand for names
_PERCENT = re.compile(r"%(?:\((?P<name>\w+)\))?[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[a-zA-Z]")
_BRACES = re.compile(r"\{(?P<name>[^{}:!]*)[^{}]*\}")
_SAME_TEXT = frozenset({"strip", "lstrip", "rstrip", "dedent"})


def pieces(node: ast.AST) -> list[Piece] | None:
    """What a string is put together from: literal text, and the expressions between.

    Returns:
        None where the expression is not a text that is written here: no literal, f-string, `+`, `%`, `format` or `join`.
    """
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return [piece for one in node.values for piece in _part(one)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = pieces(node.left), pieces(node.right)
        return None if left is None and right is None else [*(left or [node.left]), *(right or [node.right])]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        text = pieces(node.left)
        return None if text is None else _filled(text, _PERCENT, _operands(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "format" and (text := pieces(node.func.value)) is not None:
            named: dict[str, ast.expr] = {one.arg: one.value for one in node.keywords if one.arg}
            return _filled(text, _BRACES, {**{str(n): one for n, one in enumerate(node.args)}, **named})
        if node.func.attr in _SAME_TEXT:
            return pieces(node.args[0] if node.func.attr == "dedent" and node.args else node.func.value)
        if node.func.attr == "join" and len(node.args) == 1 and isinstance(node.args[0], ast.List | ast.Tuple):
            separator = pieces(node.func.value)
            parts = [pieces(one) or [one] for one in node.args[0].elts]
            return [piece for one in parts for piece in (*one, *(separator or []))] if separator else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dedent" and node.args:
        return pieces(node.args[0])
    return None


def literal(found: list[Piece]) -> str:
    """The text with `{}` in the place of what is put in."""
    return "".join(one if isinstance(one, str) else "{}" for one in found)


def _part(one: ast.expr) -> list[Piece]:
    if isinstance(one, ast.FormattedValue):
        return pieces(one.value) or [one.value]
    return [one.value] if isinstance(one, ast.Constant) and isinstance(one.value, str) else [one]


def _operands(right: ast.expr) -> dict[str, ast.expr]:
    if isinstance(right, ast.Tuple):
        return {str(number): one for number, one in enumerate(right.elts)}
    if isinstance(right, ast.Dict):
        return {
            str(key.value): one
            for key, one in zip(right.keys, right.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    return {"0": right}


def _filled(text: list[Piece], pattern: re.Pattern[str], values: dict[str, ast.expr]) -> list[Piece]:
    """The text with its placeholders replaced; the first value stands for one that is not found."""
    found: list[Piece] = []
    number = 0
    for one in text:
        if not isinstance(one, str):
            found.append(one)
            continue
        end = 0
        for match in pattern.finditer(one):
            found.append(one[end : match.start()])
            name = match["name"] or str(number)
            number += not match["name"]
            if value := values.get(name.partition(".")[0].partition("[")[0], next(iter(values.values()), None)):
                found += pieces(value) or [value]
            end = match.end()
        found.append(one[end:])
    return found


def origins(project: Project, node: ast.AST, module: Module, depth: int = _DEPTH) -> Iterator[tuple[ast.AST, Module]]:
    """The expressions in which the value of an expression is written, as far as names, settings and functions tell.

    A name gives what is assigned to it, here or in the module that it is imported from; an attribute what is assigned in
    the class of its owner, such as the default of a setting; a call of a function of the project what the function
    returns; a choice both sides. Anything else is its own origin, and so are a parameter (`ast.arg`) and the line of an
    annotated name (`ast.AnnAssign`), beside its value.
    """
    if depth <= 0:
        return
    if isinstance(node, ast.Name):
        found = module.bindings(node.id, node)
        if not found:
            yield node, module
        for one in found:
            yield from _written(project, one, module, depth - 1)
    elif isinstance(node, ast.Attribute):
        reached = False
        for one, where in _members(project, node, module):
            reached = True
            yield from _written(project, one, where, depth - 1)
        if not reached:
            yield node, module
    elif isinstance(node, ast.IfExp):
        for side in (node.body, node.orelse):
            yield from origins(project, side, module, depth - 1)
    elif isinstance(node, ast.BoolOp):
        for side in node.values:
            yield from origins(project, side, module, depth - 1)
    elif isinstance(node, ast.Await):
        yield from origins(project, node.value, module, depth - 1)
    elif isinstance(node, ast.Call) and isinstance(function := _function(project, node, module), tuple):
        for returned in function[1].own(function[0], ast.Return):
            if returned.value is not None:
                yield from origins(project, returned.value, function[1], depth - 1)
    else:
        yield node, module


def _function(project: Project, call: ast.Call, module: Module) -> tuple[Function, Module] | None:
    """The function of the project that a call calls, also a method of a class of the project."""
    value = project.value_of(call.func, module)
    if value and isinstance(value.node, Function) and value.module:
        return value.node, value.module
    return None


def _members(project: Project, node: ast.Attribute, module: Module) -> Iterator[tuple[Binding, Module]]:
    owner = project.value_of(node.value, module)
    if owner is None or owner.module is None:
        return
    if isinstance(owner.node, ast.Module):
        for one in owner.module.top.names.get(node.attr, []):
            yield one, owner.module
        return
    if found := project.class_at(node.value, module):
        for klass in found.lineage:
            if names := klass.module.scopes[klass.node].names.get(node.attr, []):
                for one in names:
                    yield one, klass.module
                return


def _written(project: Project, one: Binding, module: Module, depth: int) -> Iterator[tuple[ast.AST, Module]]:
    if one.kind == "value":
        yield from origins(project, one.node, module, depth)
    elif one.kind == "annotation" and isinstance(one.node, ast.AnnAssign):
        yield one.node, module
        if one.node.value is None:
            return
        value: ast.AST = one.node.value
        if isinstance(value, ast.Call) and project.called(value, module) in {"pydantic.Field", "sqlmodel.Field"}:
            value = keyword(value, "default") or next(iter(value.args), value)
        yield from origins(project, value, module, depth)
    elif one.kind == "import":
        origin, _, name = one.name.rpartition(".")
        if origin and (other := project.find(origin, module)) and other is not module:
            for inner_binding in other.top.names.get(name, []):
                yield from _written(project, inner_binding, other, depth - 1)
    elif one.kind == "function" and isinstance(one.node, Function):  # a property
        for returned in module.own(one.node, ast.Return):
            if returned.value is not None:
                yield from origins(project, returned.value, module, depth)
    elif one.kind == "parameter":
        assert isinstance(one.node, ast.arg)
        function = module.parents.get(module.parents[one.node])
        default = default_of(function, one.node.arg) if isinstance(function, Function) else None
        if default is not None and not isinstance(default, ast.Call):
            yield from origins(project, default, module, depth)
        yield one.node, module
