"""ASM021: joined collections, and pages without an order."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.modules import Module
from project_source.project import Project
from project_source.statements import Statement, method, outermost, statement_of, uses

_NEED_UNIQUE = frozenset({
    "all",
    "fetchall",
    "fetchmany",
    "one",
    "one_or_none",
    "partitions",
    "scalar_one",
    "scalar_one_or_none",
})
_EXECUTE = frozenset({"exec", "execute", "scalar", "scalars", "stream", "stream_scalars"})
_NO_PAGE = frozenset({"order_by", "with_for_update", "from_statement"})


@check("ASM021")
def joined_collections(project: Project, module: Module) -> Iterator[Found]:
    """`joinedload` of a list: two in one statement, or one whose result is read without unique()."""
    for call in module.all(ast.Call):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr == "options"):
            continue
        loads = [one for one in call.args if isinstance(one, ast.Call) and _is_joined(one, project, module)]
        if not loads:
            continue
        if len(loads) > 1:
            yield at(
                module, loads[1], "two collections in joined loads: the rows of one are repeated for each row of the other",
                "use selectinload for collections",
            )  # fmt: skip
        else:
            for place in _reads(call, module):
                yield at(
                    module, place, "a joined collection needs unique(): without it the result raises InvalidRequestError",
                    "use selectinload, or call `.unique()` on the result",
                )  # fmt: skip


def _is_joined(call: ast.Call, project: Project, module: Module) -> bool:
    """Whether it is a joinedload of a relationship that is a list."""
    if (
        project.called(call, module) != "sqlalchemy.orm.joinedload"
        or not call.args
        or not isinstance(call.args[0], ast.Attribute)
    ):
        return False
    klass = project.class_at(call.args[0].value, module)
    field = klass.fields.get(call.args[0].attr) if klass else None
    if klass is None or field is None or not field.many:
        return False
    return field.kind == "relationship" or "relationship(" in ast.unparse(field.node)


def _reads(call: ast.Call, module: Module) -> Iterator[ast.AST]:
    """Where the function reads several rows of the statement; nowhere, when it calls unique()."""
    function = module.function_of(call) or module.tree
    if not any(method(one) == "unique" and module.within(one, function) for one in module.all(ast.Call)):
        for sent in _sent(call, module, function):
            yield from _rows_of(sent, module, function)


def _sent(call: ast.Call, module: Module, function: ast.AST) -> list[ast.Call]:
    """The calls of `exec`, `execute` ... that take the statement, at once or by its name."""
    whole = outermost(call, module)
    above = module.parents.get(whole)
    if isinstance(above, ast.Call) and method(above) in _EXECUTE and above.args and above.args[0] is whole:
        return [above]
    if not (isinstance(above, ast.Assign) and len(above.targets) == 1 and isinstance(above.targets[0], ast.Name)):
        return []
    found = []
    for use in uses(above.targets[0].id, function, module):
        node = module.parents.get(use)
        if isinstance(node, ast.Call) and method(node) in _EXECUTE and node.args and node.args[0] is use:
            found.append(node)
    return found


def _rows_of(result: ast.AST, module: Module, function: ast.AST) -> Iterator[ast.AST]:
    """Where the rows of a result are read: `.all()` or a loop, at once or behind a name."""
    node = result
    while True:
        above = module.parents.get(node)
        if isinstance(above, ast.Await):
            node = above
        elif (
            isinstance(above, ast.Attribute)
            and isinstance(outer := module.parents.get(above), ast.Call)
            and outer.func is above
        ):
            if above.attr in _NEED_UNIQUE:
                yield outer if outer.lineno == outer.end_lineno else above
            if above.attr != "scalars":
                return
            node = outer
        elif (
            isinstance(above, ast.Assign)
            and isinstance(above.targets[0], ast.Name)
            and isinstance(node, ast.Await | ast.Call)
        ):
            for use in uses(above.targets[0].id, function, module):
                yield from _rows_of(use, module, function)
            return
        else:
            if isinstance(above, ast.For | ast.AsyncFor | ast.comprehension) and above.iter is node:
                yield node
            elif (
                isinstance(above, ast.Call)
                and isinstance(above.func, ast.Name)
                and above.func.id in {"list", "set", "tuple"}
            ):
                yield above
            return


@check("ASM021")
def pages_without_an_order(project: Project, module: Module) -> Iterator[Found]:
    """`offset`, or `limit`, on a statement whose every step is visible, and none orders it."""
    seen: set[tuple[ast.Call, ...]] = set()
    for call in module.all(ast.Call):
        if method(call) not in {"limit", "offset"} or not call.args:
            continue
        whole = outermost(call, module)
        statement = _all_of(whole, project, module)
        if (
            statement is None
            or statement.has(*_NO_PAGE)
            or statement.bases in seen
            or _is_one_row(statement, project, module)
        ):
            continue
        if any(method(one) == "limit" and _is_one(one) for one in statement.steps):
            continue
        seen.add(statement.bases)
        place = call if call.lineno == whole.lineno else call.func
        remedy = "add `order_by` with a unique column at its end"
        if statement.has("offset") and not _is_first_page(statement):
            yield at(module, place, "a page without an order repeats rows and misses others", remedy)
        else:
            yield at(
                module, place, "a limit without an order gives other rows each time, as the database likes", remedy, possible=True
            )  # fmt: skip


def _all_of(whole: ast.Call, project: Project, module: Module) -> Statement | None:
    """The statement with what is done to it later, when it has a name; None where it is passed on."""
    above = module.parents.get(whole)
    if isinstance(above, ast.Assign) and len(above.targets) == 1 and isinstance(above.targets[0], ast.Name):
        name = above.targets[0]
        function = module.function_of(name) or module.tree
        later: list[ast.Call] = []
        for use in uses(name.id, function, module):
            user = module.parents.get(use)
            if (
                isinstance(user, ast.Attribute)
                and isinstance(outer := module.parents.get(user), ast.Call)
                and outer.func is user
            ):
                last = outermost(outer, module)
                later += _steps(last)
            elif not (isinstance(user, ast.Call) and method(user) in _EXECUTE):
                return None
        statement = statement_of(name, project, module)
        return Statement(statement.bases, (*statement.steps, *later)) if statement else None
    if isinstance(above, ast.Call) and (method(above) in _EXECUTE or whole in above.args):
        return (
            statement_of(whole, project, module)
            if method(above) in _EXECUTE or isinstance(above.func, ast.Name)
            else None
        )
    return statement_of(whole, project, module) if isinstance(above, ast.Await | ast.Return | ast.Expr) else None


def _steps(last: ast.Call) -> Iterator[ast.Call]:
    node: ast.AST = last
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield node
        node = node.func.value


def _is_one(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 1


def _is_first_page(statement: Statement) -> bool:
    """Whether each offset is the literal 0."""
    offsets = [one.args[0] for one in statement.steps if method(one) == "offset" and one.args]
    return all(isinstance(one, ast.Constant) and one.value == 0 for one in offsets)


def _is_one_row(statement: Statement, project: Project, module: Module) -> bool:
    """Whether it selects aggregates only."""
    columns = [one for base in statement.bases for one in base.args]
    return (
        bool(columns)
        and not statement.has("group_by")
        and all(
            isinstance(one, ast.Call) and project.called(one, module).startswith("sqlalchemy.func.") for one in columns
        )
    )
