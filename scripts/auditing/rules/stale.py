"""ASM026: idioms of older releases of SQLAlchemy, SQLModel, FastAPI and httpx."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Edit, Found, at
from auditing.rules.requests import dependencies, routes
from project_source import known
from project_source.modules import Binding, Function, Module, keyword
from project_source.project import Project
from project_source.statements import SELECTS, entity_of, method, statement_of, uses

_BULK = frozenset({"bulk_insert_mappings", "bulk_save_objects", "bulk_update_mappings"})
_ENGINES = frozenset({known.ASYNC_ENGINE, "sqlalchemy.Engine"})
_CONNECTIONS = frozenset({known.ASYNC_CONNECTION, "sqlalchemy.Connection"})
_SENDING = frozenset({"exec", "execute", "scalar", "scalars", "stream", "stream_scalars"})
_BLOCKING = frozenset({
    "commit",
    "delete",
    "exec",
    "execute",
    "flush",
    "get",
    "merge",
    "refresh",
    "rollback",
    "scalar",
    "scalars",
})
_NEEDS_ROW = frozenset({"all", "first", "one", "one_or_none"})
_WRONG = {  # names that SQLModel does not export, and where they are
    **dict.fromkeys(("AsyncConnection", "AsyncEngine", "async_scoped_session", "async_sessionmaker", "create_async_engine"), "sqlalchemy.ext.asyncio"),
    **dict.fromkeys((
        "DeclarativeBase", "Mapped", "aliased", "backref", "contains_eager", "declarative_base", "defer", "joinedload", "load_only", "mapped_column",
        "noload", "registry", "relationship", "scoped_session", "selectinload", "sessionmaker", "subqueryload", "undefer",
    ), "sqlalchemy.orm"),
    **dict.fromkeys(("DBAPIError", "IntegrityError", "NoResultFound", "OperationalError", "SQLAlchemyError", "StatementError"), "sqlalchemy.exc"),
    **dict.fromkeys(("ARRAY_AGG", "JSONB", "TSVECTOR"), "sqlalchemy.dialects.postgresql"),
    "AsyncSession": "sqlmodel.ext.asyncio.session", "event": "sqlalchemy",
}  # fmt: skip
_KEEPS_ENTITY = frozenset({
    "correlate", "distinct", "execution_options", "filter", "filter_by", "group_by", "having", "join", "limit", "offset", "options", "order_by",
    "outerjoin", "select_from", "where", "with_for_update",
})  # fmt: skip
_SCALAR = {"scalar": "first", "scalar_one": "one", "scalar_one_or_none": "one_or_none"}
_CLIENTS = frozenset({"httpx.AsyncClient", "httpx.Client"})
_APPS = frozenset({"fastapi.APIRouter", "fastapi.FastAPI", "starlette.applications.Starlette"})


@check("ASM026")
def sessions(project: Project, module: Module) -> Iterator[Found]:
    """What an AsyncSession, or an engine, of today does not have, or takes in another way."""
    for call in module.all(ast.Call):
        name = method(call)
        if name == "query" or name in _BULK:
            assert isinstance(call.func, ast.Attribute)
            if project.is_session(call.func.value, module):
                wanted = (
                    "`select(...)` and `await session.exec(...)`"
                    if name == "query"
                    else "`await session.exec(insert(Hero), params=[...])`"
                )
                yield at(module, call, f"an AsyncSession has no `{name}`: AttributeError", f"use {wanted}")
        elif name in _SENDING and isinstance(call.func, ast.Attribute):
            yield from _sending(call, call.func, project, module)
        elif name == "scalars" and isinstance(call.func, ast.Attribute):
            yield from _scalars(call, call.func, project, module)


def _sending(call: ast.Call, function: ast.Attribute, project: Project, module: Module) -> Iterator[Found]:
    kind = project.type_of(function.value, module)
    if not kind:
        if function.attr == "scalars" and not call.args:
            yield from _scalars(call, function, project, module)
        return
    if function.attr == "execute" and kind in _ENGINES:
        yield at(
            module, call, "an engine does not execute: AttributeError", "use `async with engine.begin() as connection`"
        )  # fmt: skip
        return
    is_session = kind in known.ASYNC_SESSIONS | known.SYNC_SESSIONS
    if not is_session and kind not in _CONNECTIONS:
        return
    if call.args and _is_text(call.args[0]):
        yield at(module, call, "a string is not a statement: ArgumentError, or AttributeError", 'write `text("...")`')
        return
    if function.attr == "exec" and kind in {known.SQLMODEL_SESSION, "sqlmodel.Session"}:
        if len(call.args) > 1:
            yield at(module, call, "`exec` takes parameters by name only: TypeError", "write `params=...`")
        yield from _rows(call, project, module)
    elif function.attr in {"execute", "scalars"} and kind == known.SQLMODEL_SESSION and call.args:
        edits = list(_repair(call, function, project, module))
        yield at(
            module, call, f"`{function.attr}` of SQLModel's session is deprecated: each call gives a DeprecationWarning",
            "use `exec`: of `select(Hero)` it gives the objects at once", edits=edits,
        )  # fmt: skip


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _rows(call: ast.Call, project: Project, module: Module) -> Iterator[Found]:
    """SQLAlchemy's select in exec: rows, where one column or entity is expected."""
    statement = statement_of(call.args[0], project, module) if call.args else None
    if statement is None or any(
        project.called(one, module) != "sqlalchemy.select" or len(one.args) != 1 for one in statement.bases
    ):
        return
    if not all(isinstance(one.args[0], ast.Name | ast.Attribute) for one in statement.bases) or not _is_read_as_row(
        call, module
    ):
        return
    klass = entity_of(statement, project, module)
    if klass is not None and klass.is_table:
        yield at(
            module, call, "SQLAlchemy's `select` in `exec` gives rows, not objects", "use `from sqlmodel import select`"
        )  # fmt: skip


def _is_read_as_row(call: ast.Call, module: Module) -> bool:
    """Whether `.all()` or the like follows at once, or on the name that takes the result."""
    node: ast.AST = call
    above = module.parents.get(node)
    while isinstance(above, ast.Await):
        node, above = above, module.parents.get(above)
    if isinstance(above, ast.Attribute):
        return above.attr in _NEEDS_ROW
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        function = module.function_of(call) or module.tree
        found = [module.parents.get(one) for one in uses(above.targets[0].id, function, module)]
        return bool(found) and all(isinstance(one, ast.Attribute) and one.attr in _NEEDS_ROW for one in found)
    return False


def _scalars(call: ast.Call, function: ast.Attribute, project: Project, module: Module) -> Iterator[Found]:
    """`exec(select(Hero)).scalars()`."""
    if call.args:
        return
    source = _source(function.value, module)
    if source is None or method(source) != "exec" or not source.args or not isinstance(source.func, ast.Attribute):
        return
    if project.type_of(source.func.value, module) not in {known.SQLMODEL_SESSION, "sqlmodel.Session"}:
        return
    statement = statement_of(source.args[0], project, module)
    if statement is None or not all(method(one) in _KEEPS_ENTITY for one in statement.steps):
        return
    if all(project.called(one, module) == "sqlmodel.select" and len(one.args) == 1 for one in statement.bases):
        yield at(
            module, function, "`exec` of one entity gives its objects already: AttributeError, there is no `scalars`", "leave `.scalars()` out"
        )  # fmt: skip


def _source(node: ast.AST, module: Module) -> ast.Call | None:
    """The call behind an expression, `(await call)`, or a name for it."""
    if isinstance(node, ast.Await):
        node = node.value
    if isinstance(node, ast.Name):
        found = module.bindings(node.id, node)
        if len(found) == 1 and found[0].kind == "value":
            return _source(found[0].node, module) if not isinstance(found[0].node, ast.Name) else None
        return None
    return node if isinstance(node, ast.Call) else None


# ---- the repair of execute ----------------------------------------------------------------------


def _repair(call: ast.Call, function: ast.Attribute, project: Project, module: Module) -> Iterator[Edit]:
    """`(await s.execute(select(Hero))).scalars().all()` becomes `(await s.exec(select(Hero))).all()`; nothing where that is not safe."""
    if len(call.args) != 1 or any(
        one.arg not in {"bind_arguments", "execution_options", "params"} for one in call.keywords
    ):
        return
    statement = statement_of(call.args[0], project, module)
    if statement is None or not all(project.called(one, module) == "sqlmodel.select" for one in statement.bases):
        return
    entity = entity_of(statement, project, module)
    if entity is None or not entity.is_table or not all(method(one) in _KEEPS_ENTITY for one in statement.steps):
        return
    rename = _renamed(function, "exec", module)
    if function.attr == "scalars":
        if rename:
            yield rename
        return
    edits = _readers(call, module)
    if rename and edits:
        yield rename
        yield from edits


def _readers(call: ast.Call, module: Module) -> list[Edit]:
    """The edits of all that reads the result; none where one of them is not understood."""
    above = module.parents.get(call)
    if not isinstance(above, ast.Await):
        return []
    place = module.parents.get(above)
    if isinstance(place, ast.Attribute):
        edit = _reader(place, module)
        return [edit] if edit else []
    if not (isinstance(place, ast.Assign) and len(place.targets) == 1 and isinstance(place.targets[0], ast.Name)):
        return []
    name = place.targets[0]
    bound = module.every_binding(name.id, name)
    own = next((one for one in bound if one.node is above), None)
    function = module.function_of(name)
    if own is None or function is None or not _is_straight(bound, module):
        return []
    edits: list[Edit] = []
    for use in uses(name.id, function, module):
        if module.bindings(name.id, use) != [own]:
            if use.lineno < min(one.line for one in bound) or module.function_of(use) is not function:
                return []
            continue
        reader = module.parents.get(use)
        edit = _reader(reader, module) if isinstance(reader, ast.Attribute) else None
        if edit is None or module.function_of(use) is not function:
            return []
        edits.append(edit)
    return edits


def _is_straight(bound: list[Binding], module: Module) -> bool:
    """Whether a name has one value, or values that follow each other in one block."""
    if len(bound) == 1:
        return True
    lines = [module.statement_of(one.node) for one in bound]
    return (
        all(one.kind == "value" for one in bound)
        and len({module.parents[line] for line in lines}) == 1
        and not isinstance(module.parents[lines[0]], ast.If | ast.Try | ast.For | ast.AsyncFor | ast.While)
    )


def _reader(reader: ast.Attribute, module: Module) -> Edit | None:
    """The edit of `.scalars()` or `.scalar_one()`."""
    call = module.parents.get(reader)
    if not (isinstance(call, ast.Call) and call.func is reader and not call.args and not call.keywords):
        return None
    if reader.attr in _SCALAR:
        return _renamed(reader, _SCALAR[reader.attr], module)
    further = module.parents.get(call)
    if reader.attr != "scalars" or isinstance(further, ast.Assign | ast.Return):
        return None
    if (
        reader.end_lineno is None
        or reader.end_col_offset is None
        or call.end_lineno is None
        or call.end_col_offset is None
    ):
        return None
    lines = module.source.splitlines()
    start = reader.end_col_offset - len("scalars") - 1
    before = lines[reader.end_lineno - 1][: start + 1]
    if not before.endswith(b"."):
        return None
    if not before[:-1].strip() and reader.end_lineno > 1:  # a line of its own
        return Edit(
            (reader.end_lineno - 1, len(lines[reader.end_lineno - 2])), (call.end_lineno, call.end_col_offset), ""
        )
    return Edit((reader.end_lineno, start), (call.end_lineno, call.end_col_offset), "")


def _renamed(attribute: ast.Attribute, name: str, module: Module) -> Edit | None:
    line, end = attribute.end_lineno, attribute.end_col_offset
    if line is None or end is None:
        return None
    start = end - len(attribute.attr)
    if module.source.splitlines()[line - 1][start:end] != attribute.attr.encode():
        return None
    return Edit((line, start), (line, end), name)


# ---- the rest -----------------------------------------------------------------------------------


@check("ASM026")
def lists_in_select(project: Project, module: Module) -> Iterator[Found]:
    """`select([Hero.id])`."""
    for call in module.all(ast.Call):
        if len(call.args) == 1 and isinstance(call.args[0], ast.List) and project.called(call, module) in SELECTS:
            yield at(module, call, "`select` takes no list: ArgumentError", "write `select(Hero.id, Hero.name)`")


@check("ASM026")
def synchronous_makers(project: Project, module: Module) -> Iterator[Found]:
    """`sessionmaker(async_engine)` without a class."""
    for call in module.all(ast.Call):
        if (call.args or keyword(call, "bind")) and project.called(call, module) == "sqlalchemy.orm.sessionmaker":
            bind = call.args[0] if call.args else keyword(call, "bind")
            if bind is None or any(one.arg in {None, "class_"} for one in call.keywords):
                continue
            if project.type_of(bind, module) == known.ASYNC_ENGINE:
                yield at(
                    module, call, "`sessionmaker` makes a synchronous session, which an async engine cannot serve",
                    "use `async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)`",
                )  # fmt: skip


@check("ASM026")
def blocking_sessions(project: Project, module: Module) -> Iterator[Found]:
    """A synchronous session that is used in an async function: once a function."""
    if _is_test(module):
        return
    seen: set[ast.AST] = set()
    served = {one.function for one in routes(project, module)} | dependencies(project)
    for call in module.all(ast.Call):
        if (
            method(call) not in _BLOCKING
            or not isinstance(call.func, ast.Attribute)
            or isinstance(module.parents.get(call), ast.Await)
        ):
            continue
        function = next((one for one in module.ancestors(call) if isinstance(one, Function | ast.Lambda)), None)
        if not isinstance(function, ast.AsyncFunctionDef) or function in seen:
            continue
        if project.type_of(call.func.value, module) in known.SYNC_SESSIONS and not _is_awaited(
            call.func.value, function, module
        ):
            seen.add(function)
            yield at(
                module, call, "a synchronous session in `async def` stops every other request until the database has answered",
                "use an AsyncSession, or `def` in the place of `async def`", possible=function not in served,
            )  # fmt: skip


def _is_awaited(session: ast.expr, function: ast.AST, module: Module) -> bool:
    """Whether the function awaits a method of it: then its annotation is wrong, and it is no synchronous one."""
    return any(
        isinstance(one.value, ast.Call)
        and isinstance(one.value.func, ast.Attribute)
        and ast.unparse(one.value.func.value) == ast.unparse(session)
        for one in module.own(function, ast.Await)
    )


def _is_test(module: Module) -> bool:
    parts = module.path.split("/")
    return any(one in {"test", "tests", "conftest.py"} or one.startswith("test_") for one in parts)


@check("ASM026")
def wrong_imports(_: Project, module: Module) -> Iterator[Found]:
    """Names that SQLModel does not export."""
    for node in module.all(ast.ImportFrom):
        if node.level or any(isinstance(one, ast.Try) for one in module.ancestors(node)):
            continue
        for alias in node.names:
            if node.module == "sqlmodel" and alias.name in _WRONG:
                home = _WRONG[alias.name]
            elif node.module == "sqlmodel.ext.asyncio" and alias.name == "AsyncSession":
                home = "sqlmodel.ext.asyncio.session"
            elif node.module in {"sqlmodel.ext.asyncio.engine", "sqlmodel.ext.asyncio.async_session"}:
                home = "sqlalchemy.ext.asyncio"
            else:
                continue
            yield at(
                module, alias, f"`{node.module}` has no `{alias.name}`: ImportError", f"write `from {home} import {alias.name}`"
            )  # fmt: skip
    for plain in module.all(ast.Import):
        for alias in plain.names:
            if alias.name in {"sqlmodel.ext.asyncio.engine", "sqlmodel.ext.asyncio.async_session"}:
                yield at(
                    module, alias, f"there is no module `{alias.name}`: ModuleNotFoundError", "import from `sqlalchemy.ext.asyncio`"
                )  # fmt: skip


@check("ASM026")
def startup_events(project: Project, module: Module) -> Iterator[Found]:
    """`on_event`, `add_event_handler`, and an app that is given to an httpx client."""
    for call in module.all(ast.Call):
        name = method(call)
        if name in {"add_event_handler", "on_event"} and isinstance(call.func, ast.Attribute):
            if project.type_of(call.func.value, module) in _APPS:
                what = (
                    "is deprecated, and never called beside a lifespan"
                    if name == "on_event"
                    else "is gone: AttributeError"
                )
                yield at(module, call, f"`{name}` {what}", "use a lifespan: `FastAPI(lifespan=lifespan)`")
        elif keyword(call, "app") is not None and project.called(call, module) in _CLIENTS:
            yield at(
                module, call, "an httpx client takes no `app`: TypeError", "write `AsyncClient(transport=ASGITransport(app=app), base_url=...)`"
            )  # fmt: skip
