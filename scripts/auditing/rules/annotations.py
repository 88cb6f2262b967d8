"""ASM014: annotations that Relationship() cannot read."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Edit, Found, at, replacing
from project_source.classes import Field
from project_source.modules import Module, last_name
from project_source.project import Project

_LISTS = frozenset({"list", "List"})
_OTHERS = frozenset({
    "AbstractSet", "Annotated", "Collection", "Dict", "FrozenSet", "Iterable", "MutableSequence", "Sequence", "Set", "Tuple", "WriteOnlyMapped",
    "dict", "frozenset", "set", "tuple",
})  # fmt: skip


@check("ASM014")
def unreadable_annotations(project: Project, module: Module) -> Iterator[Found]:
    """A union or a generic in one string, a string beside `|`, a collection that is no list, and the future import."""
    future = next(
        (one for one in module.all(ast.ImportFrom)
         if one.module == "__future__" and any(name.name == "annotations" for name in one.names)), None,
    )  # fmt: skip
    for call in module.all(ast.Call):
        line = module.parents.get(call)
        body = module.parents.get(line) if isinstance(line, ast.AnnAssign) else None
        if not isinstance(body, ast.ClassDef) or project.called(call, module) != "sqlmodel.Relationship":
            continue
        assert isinstance(line, ast.AnnAssign)
        assert isinstance(line.target, ast.Name)
        klass = project.class_of(body)
        field = klass.own_fields.get(line.target.id)
        if (
            klass.is_table
            and not klass.has_metaclass
            and field
            and field.node is line
            and not field.argument("sa_relationship")
        ):
            if future is None:
                yield from _plain(field, module)
            elif not isinstance(field.node.annotation, ast.Name | ast.Attribute):
                yield at(
                    module, future, f"the future import makes one string of each annotation: the mapper cannot resolve `{klass.name}.{field.name}`",
                    "remove it from this file, and quote only the class: `list[\"Hero\"]`",
                )  # fmt: skip
                return


def _plain(field: Field, module: Module) -> Iterator[Found]:
    for node in ast.walk(field.node.annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _string(node, field, module)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            quoted = [one for one in (node.left, node.right) if _is_string(one)]
            if quoted and len(quoted) == sum(1 for one in (node.left, node.right) if not _is_none(one)):
                text = ast.unparse(quoted[0]).strip("'\"")
                yield at(
                    module, field.node, f"`{_shown(node)}` is a TypeError: `|` does not take a string", f'write `Optional["{text}"]`',
                    edits=_repair(node, f'Optional["{text}"]') if text.isidentifier() else (), imports=["from typing import Optional"],
                )  # fmt: skip
        elif isinstance(node, ast.Subscript) and last_name(node.value) in _OTHERS:
            yield at(
                module, field.node, f"`Relationship()` cannot read `{last_name(node.value)}[...]`: the class fails with a RecursionError",
                'write `list["Hero"]`',
            )  # fmt: skip
            return


def _string(node: ast.Constant, field: Field, module: Module) -> Iterator[Found]:
    above = module.parents.get(node)
    if isinstance(above, ast.BinOp):
        return  # reported as a whole
    text = str(node.value)
    try:
        inner = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return
    if isinstance(inner, ast.Name | ast.Attribute):
        return
    wanted, imports = _unquoted(inner)
    inside_optional = isinstance(above, ast.Subscript) and last_name(above.value) == "Optional"
    if inside_optional and wanted.startswith("Optional["):
        wanted, imports = wanted.removeprefix("Optional[").removesuffix("]"), []
    edits = _repair(node, wanted) if wanted else ()
    yield at(
        module, field.node, f"the mapper cannot resolve `\"{text}\"` in one string: the first query of any model fails",
        f"quote only the class: `{wanted}`" if wanted else "quote only the class: `Optional[\"Team\"]`, `list[\"Hero\"]`",
        edits=edits, imports=imports if edits else (),
    )  # fmt: skip


def _unquoted(node: ast.expr) -> tuple[str, list[str]]:
    """The annotation in which only the class is quoted, and the import that it needs; "" where that is not mechanical."""
    optional = ["from typing import Optional"]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [one for one in (node.left, node.right) if not _is_none(one)]
        if len(sides) == 1 and isinstance(sides[0], ast.Name):
            return f'Optional["{sides[0].id}"]', optional
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        if last_name(node.value) == "Optional":
            return f'Optional["{node.slice.id}"]', optional
        if last_name(node.value) in _LISTS:
            return f'list["{node.slice.id}"]', []
    return "", []


def _repair(node: ast.expr, text: str) -> tuple[Edit, ...]:
    return (replacing(node, text),) if node.lineno == node.end_lineno else ()


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).replace("'", '"')
