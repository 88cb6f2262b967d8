"""ASM013: datetimes without a time zone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from auditing.catalogue import check
from auditing.finding import Found, at, replacing
from project_source.classes import Class, Field
from project_source.files import is_test
from project_source.modules import Function, Module, keyword
from project_source.project import Project

Zone = Literal["utc", "naive", "other"]
_REMEDY = "use `datetime.now(UTC)`"
_ATTRIBUTES = frozenset({"utcnow", "utcfromtimestamp"})
_NAIVE = {
    f"datetime.datetime.{name}" for name in ("now", "today", "utcnow", "fromtimestamp", "utcfromtimestamp", "strptime")
}
_TYPES = frozenset({
    "sqlalchemy.DateTime",
    "sqlalchemy.TIMESTAMP",
    "sqlalchemy.DATETIME",
    "sqlalchemy.dialects.postgresql.TIMESTAMP",
})
_FIELDS = frozenset({"sqlmodel.Field", "pydantic.Field", "sqlalchemy.Column"})
_FILTERS = frozenset({"where", "filter", "having"})
_DEPTH = 12


@check("ASM013")
def naive_datetimes(project: Project, module: Module) -> Iterator[Found]:
    """`datetime.utcnow` and the like, called or passed on. Sure where the value reaches a column of a table model."""
    for node in module.all(ast.Attribute):
        if node.attr in _ATTRIBUTES and project.name_of(node, module) == f"datetime.datetime.{node.attr}":
            above = module.parents[node]
            value = above if isinstance(above, ast.Call) and above.func is node else node
            yield _deprecated(node, module, value, possible=not _stored(project, value, module))
        elif (
            node.attr in {"now", "today", "fromtimestamp"}
            and not isinstance(module.parents[node], ast.Call)
            and project.name_of(node, module) == f"datetime.datetime.{node.attr}"
            and _stored(project, node, module)
        ):
            yield at(module, node, _refused(ast.unparse(node)), _REMEDY)
    for call in module.all(ast.Call):
        name = getattr(call.func, "attr", "")
        if name in {"now", "today", "fromtimestamp", "strptime"} and _is_naive(project, call, module, name):
            stored = _stored(project, call, module)
            if stored or (name == "now" and not _is_shown(module, call)):
                yield at(module, call, _refused(f"{ast.unparse(call.func)}()"), _REMEDY, possible=not stored)
        elif (
            name in {"", "datetime"}
            and 3 <= len(call.args) < 8
            and not keyword(call, "tzinfo")
            and project.called(call, module) == "datetime.datetime"
            and _stored(project, call, module)
        ):
            yield at(module, call, _refused("datetime(...)"), "pass `tzinfo=UTC`")


@check("ASM013")
def columns_without_zone(project: Project, module: Module) -> Iterator[Found]:
    """`DateTime` without `timezone=True` as the type of a field of a table model."""
    for klass in _with_tables(project):
        if klass.module is module and klass.is_sqlmodel:
            for field in klass.own_fields.values():
                if (
                    field.kind == "column"
                    and _zone(project, klass, field) == "naive"
                    and "NaiveDatetime" not in field.names
                ):
                    wanted = field.argument("sa_type") or field.argument("sa_column")
                    node = next(_type_nodes(project, wanted, module), field.node) if wanted else field.node
                    yield at(
                        module, node, f"`{ast.unparse(node)}` has no time zone: PostgreSQL refuses aware values, the others drop the zone",
                        "leave the type out, or write `DateTime(timezone=True)`",
                    )  # fmt: skip


def _is_shown(module: Module, call: ast.Call) -> bool:
    """Whether a time becomes a text or a number at once, or is subtracted: it is not stored as it is."""
    above = module.parents[call]
    if isinstance(above, ast.Call):
        return isinstance(above.func, ast.Name) and above.func.id in {"str", "repr", "print"}
    if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Sub):
        return above.right is call
    return isinstance(above, ast.Attribute | ast.FormattedValue | ast.Compare)


def _refused(what: str) -> str:
    return f"`{what}` is naive: SQLModel (0.0.45 and later) refuses it when the statement is sent"


def _deprecated(node: ast.Attribute, module: Module, value: ast.expr, *, possible: bool) -> Found:
    owner = ast.unparse(node.value)  # `datetime`, or `dt.datetime` of a module
    whole = isinstance(node.value, ast.Attribute)
    zone = f"{ast.unparse(node.value.value)}.UTC" if isinstance(node.value, ast.Attribute) else "UTC"
    taken = not whole and any(one.name != "datetime.UTC" for one in module.top.names.get("UTC", ()))
    edits = []
    if node.attr == "utcnow" and not taken:
        edits = [replacing(value, f"{owner}.now({zone})" if value is not node else f"lambda: {owner}.now({zone})")]
    imports = ["from datetime import UTC"] if edits and not whole else []
    return at(
        module, node, _refused(f"{owner}.{node.attr}"), f"use `{owner}.now({zone})`",
        possible=possible, edits=edits, imports=imports,
    )  # fmt: skip


def _is_naive(project: Project, call: ast.Call, module: Module, name: str) -> bool:
    """Whether a call makes a datetime without a zone."""
    if name == "now" and (call.args or keyword(call, "tz")):
        return False
    if name == "fromtimestamp" and (len(call.args) > 1 or keyword(call, "tz")):
        return False
    if name == "strptime":
        form = call.args[1] if len(call.args) > 1 else None
        if not (isinstance(form, ast.Constant) and isinstance(form.value, str) and "%z" not in form.value):
            return False
    return project.called(call, module) in _NAIVE


# ---- columns ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _with_tables(project: Project) -> frozenset[Class]:
    """The table models of SQLModel and the classes that they inherit their fields from."""
    return frozenset(one for table in project.tables for one in table.lineage)


def _type_nodes(project: Project, node: ast.expr, module: Module) -> Iterator[ast.expr]:
    """The uses of a type for dates inside an argument of Field: `DateTime` or `DateTime(...)`, without `timezone=True`."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name | ast.Attribute) and project.name_of(one, module) in _TYPES:
            above = module.parents[one]
            if not (isinstance(above, ast.Call) and above.func is one):
                yield one
            elif not _is_true(keyword(above, "timezone") or next(iter(above.args), None)):
                yield above


def _is_true(node: ast.expr | None) -> bool:
    return node is not None and not (isinstance(node, ast.Constant) and not node.value)


def _zone(project: Project, owner: Class, field: Field) -> Zone:
    """Whether a column keeps a zone: "utc" for SQLModel's own type, "naive" for a type without one."""
    module = owner.module
    if not owner.is_sqlmodel and not any(owner in table.lineage for table in project.tables):
        return "other"
    wanted = field.argument("sa_type") or field.argument("sa_column")
    if wanted is not None:
        return "naive" if next(_type_nodes(project, wanted, module), None) is not None else "other"
    if field.call is not None and any(one.arg is None for one in field.call.keywords):
        return "other"  # Field(**options)
    for one in ast.walk(field.node.annotation):
        if isinstance(one, ast.Name | ast.Attribute) and project.name_of(one, module) == "datetime.datetime":
            return "utc"
    return "other"


def _keeps_zone(project: Project, klass: Class | None, name: str) -> bool:
    """Whether a field of a table model is a datetime as SQLModel stores it."""
    if klass is None or not (klass.is_table or klass in _with_tables(project)):
        return False
    for one in klass.lineage:
        if field := one.own_fields.get(name):
            return field.kind == "column" and _zone(project, one, field) == "utc"
    return False


def _is_column(project: Project, node: ast.expr, module: Module) -> bool:
    """Whether an expression is `Model.field`, also inside col()."""
    if isinstance(node, ast.Call) and node.args and project.called(node, module) == "sqlmodel.col":
        node = node.args[0]
    if not isinstance(node, ast.Attribute):
        return False
    value = project.value_of(node.value, module)
    return (
        value is not None
        and not value.instance
        and _keeps_zone(project, project.class_at(node.value, module), node.attr)
    )


# ---- where a value goes -------------------------------------------------------------------------


def _stored(project: Project, node: ast.AST, module: Module, depth: int = _DEPTH) -> bool:
    """Whether a value, or what a function gives that is passed on, reaches a column of a table model."""
    if depth <= 0:
        return False
    above = module.parents.get(node)
    if isinstance(above, ast.Attribute):
        call = module.parents[above]
        kept = above.attr == "replace" and isinstance(call, ast.Call) and not keyword(call, "tzinfo")
        return kept and _stored(project, call, module, depth - 1)
    if isinstance(above, ast.BinOp):
        other = above.right if above.left is node else above.left
        shifted = project.type_of(other, module) == "datetime.timedelta"
        return shifted and _stored(project, above, module, depth - 1)
    if isinstance(above, ast.IfExp | ast.BoolOp | ast.NamedExpr | ast.Lambda | ast.Await):
        if isinstance(above, ast.IfExp) and above.test is node:
            return False
        return _stored(project, above, module, depth - 1)
    if isinstance(above, ast.Compare):
        return any(_is_column(project, one, module) for one in (above.left, *above.comparators) if one is not node)
    if isinstance(above, ast.keyword):
        return _passed(project, above, module)
    if isinstance(above, ast.Dict):
        return _in_dict(project, node, above, module)
    if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name):
        owner = module.parents[above]
        if isinstance(owner, ast.ClassDef):
            return _keeps_zone(project, project.class_of(owner), above.target.id)
    if isinstance(above, ast.Assign | ast.AnnAssign):
        targets = above.targets if isinstance(above, ast.Assign) else [above.target]
        return any(_assigned(project, one, above, module, depth - 1) for one in targets)
    if isinstance(above, ast.Return):
        function = module.function_of(above)
        return function is not None and _result_stored(project, function, module, depth - 1)
    return False


def _passed(project: Project, argument: ast.keyword, module: Module) -> bool:
    """Whether a keyword argument reaches a column: of a model, of its Field, or of values()."""
    call = module.parents[argument]
    if not isinstance(call, ast.Call) or argument.arg is None:
        return False
    if argument.arg in {"default", "default_factory", "onupdate"} and project.called(call, module) in _FIELDS:
        return _of_field(project, call, module)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "values":
        return _keeps_zone(project, _updated(project, call, module), argument.arg)
    value = project.value_of(call.func, module)
    return (
        value is not None
        and not value.instance
        and _keeps_zone(project, project.class_at(call.func, module), argument.arg)
    )


def _in_dict(project: Project, node: ast.AST, above: ast.Dict, module: Module) -> bool:
    """Whether a value of a dict reaches a column: in `sa_column_kwargs`, or in values()."""
    key = next((key for key, value in zip(above.keys, above.values, strict=True) if value is node), None)
    outer = module.parents[above]
    if not isinstance(key, ast.Constant):
        return False
    if isinstance(outer, ast.keyword) and outer.arg == "sa_column_kwargs" and key.value in {"default", "onupdate"}:
        call = module.parents[outer]
        return isinstance(call, ast.Call) and _of_field(project, call, module)
    if isinstance(outer, ast.Call) and isinstance(outer.func, ast.Attribute) and outer.func.attr == "values":
        return _keeps_zone(project, _updated(project, outer, module), str(key.value))
    return False


def _of_field(project: Project, call: ast.Call, module: Module) -> bool:
    """Whether a Field(), or a Column() in one, belongs to a field of a table model that keeps its zone."""
    line = module.statement_of(call)
    owner = module.parents.get(line)
    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(owner, ast.ClassDef):
        return _keeps_zone(project, project.class_of(owner), line.target.id)
    return False


def _updated(project: Project, call: ast.Call, module: Module) -> Class | None:
    """The model of `update(Model)...values(...)` or `insert(Model).values(...)`."""
    node: ast.expr = call
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    if (
        isinstance(node, ast.Call)
        and node.args
        and project.called(node, module).rpartition(".")[2] in {"update", "insert"}
    ):
        return project.class_at(node.args[0], module)
    return None


def _assigned(project: Project, target: ast.expr, line: ast.stmt, module: Module, depth: int) -> bool:
    """Whether what is assigned is an attribute of a table model's instance, or a name that goes on to a column."""
    if isinstance(target, ast.Attribute):
        value = project.value_of(target.value, module)
        return (
            value is not None
            and value.instance
            and _keeps_zone(project, project.class_at(target.value, module), target.attr)
        )
    function = module.function_of(line)
    if not isinstance(target, ast.Name) or function is None:
        return False
    return any(
        use.id == target.id and isinstance(use.ctx, ast.Load) and use.lineno >= line.lineno
        and any(one.line == line.lineno for one in module.bindings(use.id, use))
        and _stored(project, use, module, depth)
        for use in module.own(function, ast.Name)
    )  # fmt: skip


def _result_stored(project: Project, function: Function, module: Module, depth: int) -> bool:
    """Whether what a function returns reaches a column somewhere in the project."""
    for other in project.modules.values():
        if is_test(other.path) != is_test(module.path):
            continue
        uses: list[ast.Name | ast.Attribute] = [*other.all(ast.Name), *other.all(ast.Attribute)]
        for use in uses:
            name = use.id if isinstance(use, ast.Name) else use.attr
            if name == function.name and (value := project.value_of(use, other)) and value.node is function:
                above = other.parents[use]
                called = isinstance(above, ast.Call) and above.func is use
                if _stored(project, above if called else use, other, depth):
                    return True
    return False
