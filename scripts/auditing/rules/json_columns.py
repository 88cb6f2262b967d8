"""ASM020: JSON columns that are changed in place."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.classes import Class, Field
from project_source.modules import Function, Module, last_name
from project_source.project import Project
from project_source.statements import row_of, uses

_CHANGES = frozenset({
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update",
})  # fmt: skip
_SAVES = frozenset({"add", "add_all", "commit", "flush", "merge", "save"})
_CONTAINERS = frozenset({"dict", "Dict", "list", "List", "set", "Set", "MutableMapping", "MutableSequence"})
_TRACKED = frozenset({
    "MutableDict",
    "MutableList",
    "MutableSet",
    "as_mutable",
    "mutable_json_type",
    "NestedMutableJson",
})


@check("ASM020")
def mutable_types(project: Project, module: Module) -> Iterator[Found]:
    """`MutableDict.as_mutable(...)` in a SQLModel class, which replaces the tracked value by the plain one."""
    for call in module.all(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "as_mutable"):
            continue
        if not project.called(call, module).startswith("sqlalchemy.ext.mutable."):
            continue
        line = module.statement_of(call)
        body = module.parents.get(line)
        if isinstance(line, ast.AnnAssign) and isinstance(body, ast.ClassDef) and project.class_of(body).is_sqlmodel:
            yield at(
                module, call, f"`{ast.unparse(call.func)}` sees no change of a new object: SQLModel keeps the plain value",
                "use the JSON type alone, and assign a new value: `bag.things = {**bag.things, ...}`",
            )  # fmt: skip


@check("ASM020")
def changes_in_place(project: Project, module: Module) -> Iterator[Found]:
    """A change of the dict or list in a JSON column, which the session does not see."""
    changed: list[tuple[ast.expr, ast.expr]] = [
        (node, node.value) for node in module.all(ast.Subscript) if isinstance(node.ctx, ast.Store | ast.Del)
    ]
    for call in module.all(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _CHANGES:
            changed.append((call, call.func.value))
    for node, place in changed:
        while isinstance(place, ast.Subscript):
            place = place.value
        if not isinstance(place, ast.Attribute) or not isinstance(place.value, ast.Name):
            continue
        function = module.function_of(node) or module.tree
        klass = row_of(place.value, project, module)
        if klass is None or not _is_json(klass, place.attr, project):
            continue
        if (
            _is_new(place.value, klass, project, module)
            or _is_told(function, module)
            or _is_assigned(place, function, module)
        ):
            continue
        given = any(one.kind == "parameter" for one in module.bindings(place.value.id, place))
        saved = any(last_name(one.func) in _SAVES and module.within(one, function) for one in module.all(ast.Call))
        yield at(
            module, node, f"the session does not see a change inside `{ast.unparse(place)}`, and saves none",
            f"assign a new value to `{ast.unparse(place)}`, or call `flag_modified({place.value.id}, \"{place.attr}\")`", possible=given or not saved,
        )  # fmt: skip


@check("ASM020")
def changes_by_another_name(project: Project, module: Module) -> Iterator[Found]:
    """`meta = bag.meta; meta["k"] = 1; bag.meta = meta`: the same object before and after, so nothing has changed."""
    for line in module.all(ast.Assign):
        place, value = line.targets[0], line.value
        if not (isinstance(place, ast.Attribute) and isinstance(value, ast.Name) and isinstance(place.value, ast.Name)):
            continue
        bound = module.every_binding(value.id, value)
        if len(bound) != 1 or bound[0].kind != "value" or not _is_same(bound[0].node, place):
            continue
        klass = row_of(place.value, project, module)
        if klass is None or not _is_json(klass, place.attr, project) or _is_new(place.value, klass, project, module):
            continue
        function = module.function_of(line) or module.tree
        if _is_changed(value.id, function, module) and not _is_told(function, module):
            yield at(
                module, line, f"`{value.id}` is the value that `{ast.unparse(place)}` has already: the session sees no change, and saves none",
                f"change a copy: `{value.id} = dict({ast.unparse(place)})`, or `copy.deepcopy` where it is nested",
            )  # fmt: skip


def _is_same(node: ast.AST, place: ast.Attribute) -> bool:
    """Whether an expression is the attribute itself, perhaps with a value for None."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        node = node.values[0]
    return isinstance(node, ast.Attribute) and ast.unparse(node) == ast.unparse(place)


def _is_changed(name: str, function: ast.AST, module: Module) -> bool:
    for use in uses(name, function, module):
        above = module.parents.get(use)
        if isinstance(above, ast.Subscript) and above.value is use and isinstance(above.ctx, ast.Store | ast.Del):
            return True
        if (
            isinstance(above, ast.Attribute)
            and above.attr in _CHANGES
            and isinstance(module.parents.get(above), ast.Call)
        ):
            return True
    return False


def _is_json(klass: Class, name: str, project: Project) -> bool:
    """Whether an attribute is a column that holds a dict or list, without a type that tracks it."""
    field = klass.fields.get(name)
    if field is None or field.kind != "column" or not (klass.is_table or klass.is_declarative):
        return False
    if klass.is_declarative and "mapped_column" not in ast.unparse(field.node):
        return False
    owner = next(one for one in klass.lineage if one.own_fields.get(name) is field)
    allowed = project.alternatives(field.node.annotation, owner.module)
    outers = {last_name(one.value if isinstance(one, ast.Subscript) else one) for one, _ in allowed}
    return bool(outers & _CONTAINERS) and not _is_tracked(field, owner)


def _is_tracked(field: Field, owner: Class) -> bool:
    text = ast.unparse(field.node)
    if any(name in text for name in _TRACKED):
        return True
    for node in ast.walk(field.node):  # a type, or a function, that is defined elsewhere
        if isinstance(node, ast.Name) and node.id not in _CONTAINERS:
            for one in owner.module.bindings(node.id, node)[:1]:
                if one.kind in {"value", "function"} and any(name in ast.unparse(one.node) for name in _TRACKED):
                    return True
    return False


def _is_new(name: ast.Name, klass: Class, project: Project, module: Module) -> bool:
    """Whether the object is made in the same function: what is not flushed yet is saved as it is."""
    for one in module.every_binding(name.id, name):
        value = one.node.value if isinstance(one.node, ast.AnnAssign) else one.node
        if isinstance(value, ast.Call):
            made = project.value_of(value.func, module)
            if made is not None and made.node is klass.node and not made.instance:
                return True
            if isinstance(value.func, ast.Attribute) and value.func.attr in {
                "model_validate",
                "model_construct",
                "from_orm",
                "parse_obj",
            }:
                return True
        if isinstance(value, ast.BoolOp | ast.IfExp):
            return True  # perhaps made, perhaps loaded
    return False


def _is_assigned(place: ast.Attribute, function: Function | ast.Module, module: Module) -> bool:
    """Whether the function gives the attribute a value."""
    return any(
        node.attr == place.attr and isinstance(node.ctx, ast.Store) and module.within(node, function)
        for node in module.all(ast.Attribute)
    )


def _is_told(function: Function | ast.Module, module: Module) -> bool:
    """Whether the function tells the session of the change."""
    return any(
        last_name(call.func) in {"flag_modified", "flag_dirty", "setattr"} and module.within(call, function)
        for call in module.all(ast.Call)
    )
