"""ASM011: changes that are never committed, and tables that are created in the wrong way or place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from auditing.catalogue import check, project_check
from auditing.finding import Found, at
from project_source import known
from project_source.engines import engines, entries
from project_source.files import is_test
from project_source.migrations import revisions
from project_source.modules import Function, Module, keyword
from project_source.project import Project
from project_source.texts import literal, origins, pieces

_CHANGE = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|MERGE|REPLACE|CREATE|DROP|ALTER|TRUNCATE|GRANT|REVOKE|COMMENT)\b", re.IGNORECASE
)
_STATEMENTS = frozenset({"sqlalchemy.insert", "sqlalchemy.update", "sqlalchemy.delete"})
_RUN = frozenset({"execute", "exec", "exec_driver_sql", "scalar", "scalars", "stream", "stream_scalars"})
_READS = frozenset({
    "get", "get_one", "refresh", "expunge", "expunge_all", "expire", "expire_all", "close", "flush", "get_bind", "no_autoflush",
    "in_transaction", "is_modified", "dirty", "new", "deleted", "info",
})  # fmt: skip
_ADDS = frozenset({"add", "add_all", "delete", "merge"})
_TABLES = frozenset({"create_all", "drop_all"})
_GUARDS = re.compile(r"debug|test|dev|local|env|create|init|sqlite|migrat|auto", re.IGNORECASE)
_SYNC_MADE = frozenset({"sqlmodel.Session", "sqlalchemy.orm.Session", "sqlalchemy.orm.sessionmaker"})
_DEPTH = 4


@check("ASM011")
def blocks_without_commit(project: Project, module: Module) -> Iterator[Found]:
    """`engine.connect()`, or a session of one's own, that changes something and ends without a commit."""
    blocks: list[ast.AsyncWith | ast.With] = [*module.all(ast.AsyncWith), *module.all(ast.With)]
    for block in blocks:
        for item in block.items:
            call, target = item.context_expr, item.optional_vars
            if not isinstance(call, ast.Call) or not isinstance(target, ast.Name):
                continue
            if isinstance(call.func, ast.Attribute) and call.func.attr == "connect":
                owner = project.value_of(call.func.value, module)
                if (
                    owner
                    and owner.name in {known.ASYNC_ENGINE, "sqlalchemy.Engine"}
                    and "AUTOCOMMIT" not in _made(owner.node)
                ):
                    yield from _uncommitted(
                        project, module, block, target, "connection", "use `engine.begin()`, or commit"
                    )
            elif not is_test(module.path) and _is_made_here(project, call, module):
                yield from _uncommitted(project, module, block, target, "session", "commit, or use `sessions.begin()`")


def _made(node: ast.AST | None) -> str:
    return ast.unparse(node) if isinstance(node, ast.Call) else ""


def _is_made_here(project: Project, call: ast.Call, module: Module) -> bool:
    """Whether a call makes a session itself: a session factory, or the class."""
    maker = project.value_of(call.func, module)
    if maker is None or (maker.module is not None and isinstance(maker.node, Function)):
        return False
    if maker.instance:
        return maker.name in known.SESSION_MAKERS and project.type_of(call, module) in known.ASYNC_SESSIONS
    return maker.name in known.ASYNC_SESSIONS


def _uncommitted(
    project: Project, module: Module, block: ast.AsyncWith | ast.With, target: ast.Name, kind: str, remedy: str
) -> Iterator[Found]:
    changes: list[ast.AST] = []
    parts = [*(item.context_expr for item in block.items), *block.body]
    for use in (one for part in parts for one in ast.walk(part) if isinstance(one, ast.Name) and one.id == target.id):
        method = module.parents[use]
        call = module.parents[method]
        if not isinstance(method, ast.Attribute) or method.value is not use:
            return  # it is handed on
        if method.attr == "flush" and any(isinstance(one, ast.Try) for one in _between(module, use, block)):
            return  # it asks the database whether it would take the rows
        if method.attr in _READS:
            continue
        if not isinstance(call, ast.Call) or call.func is not method:
            return
        if method.attr in _RUN:
            if call.args and _changes(project, call.args[0], module):
                changes.append(call)
        elif (method.attr in _ADDS and kind == "session") or (
            method.attr == "run_sync"
            and call.args
            and getattr(call.args[0], "attr", "") in _TABLES
            and kind == "connection"
        ):
            changes.append(call)
        else:
            return  # commit, begin, or something that this check does not know
    if changes:
        yield at(
            module, changes[0], f"the {kind} is closed without a commit: this is rolled back, without an error", remedy
        )


def _between(module: Module, node: ast.AST, outer: ast.AST) -> Iterator[ast.AST]:
    """What a node stands in, inside another one."""
    for one in module.ancestors(node):
        if one is outer:
            return
        yield one


def _changes(project: Project, statement: ast.expr, module: Module) -> bool:
    """Whether a statement changes rows or tables."""
    for one, where in origins(project, statement, module):
        root = one
        while isinstance(root, ast.Call) and isinstance(root.func, ast.Attribute) and project.called(root, where) == "":
            root = root.func.value
        if isinstance(root, ast.Call):
            name = project.called(root, where)
            if name in _STATEMENTS or name.endswith((".insert", ".Insert")):
                return True
            if name == "sqlalchemy.text" and root.args:
                return _changes(project, root.args[0], where)
        if isinstance(one, ast.expr) and (found := pieces(one)) and _CHANGE.match(literal(found)):
            return True
    return False


@check("ASM011")
def sync_calls_on_async(project: Project, module: Module) -> Iterator[Found]:
    """`create_all(engine)` and `Session(engine)` with an async engine, `session.run_sync(create_all)`."""
    for call in module.all(ast.Call):
        last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if last in _TABLES:
            bind = call.args[0] if call.args else keyword(call, "bind")
            kind = project.type_of(bind, module) if bind is not None else ""
            if kind in {known.ASYNC_ENGINE, known.ASYNC_CONNECTION}:
                yield at(
                    module, call, f"`{last}` takes no async engine: AttributeError `_run_ddl_visitor`",
                    f"write `await connection.run_sync(metadata.{last})`",
                )  # fmt: skip
            elif isinstance(bind, ast.Attribute) and bind.attr == "sync_engine" and kind == "sqlalchemy.Engine":
                yield at(
                    module, call, f"`{last}` on the engine inside an async one: MissingGreenlet",
                    f"write `await connection.run_sync(metadata.{last})`",
                )  # fmt: skip
        elif last == "run_sync" and isinstance(call.func, ast.Attribute) and call.args:
            name = getattr(call.args[0], "attr", "")
            if name in _TABLES and project.is_session(call.func.value, module):
                yield at(
                    module, call, f"`{name}` takes a connection, not a session: AttributeError `_run_ddl_visitor`",
                    "call `run_sync` of a connection of `engine.begin()`",
                )  # fmt: skip
        elif last and last[0] in "Ss" and (call.args or call.keywords):
            bind = call.args[0] if call.args else keyword(call, "bind")
            if bind is None or project.type_of(bind, module) != known.ASYNC_ENGINE:
                continue
            name = project.called(call, module)
            if name in _SYNC_MADE and not (name.endswith("maker") and keyword(call, "class_")):
                yield at(
                    module, call, f"`{name.rpartition('.')[2]}` on an async engine: AsyncContextNotStarted at the first query",
                    "use AsyncSession and async_sessionmaker",
                )  # fmt: skip


@project_check("ASM011")
def tables_at_startup(project: Project) -> Iterator[Found]:
    """`create_all` that runs when the app starts. Sure where the project has migrations, or a database with a server."""
    started = _started(project)
    urls = [one.url for one in entries(project)] + [source.text for one in engines(project) for source in one.texts]
    sure = bool(revisions(project)) or any(not one.startswith("sqlite") for one in urls)
    for module in project.modules.values():
        for node in module.all(ast.Attribute):
            if node.attr == "create_all" and not is_test(module.path) and ast.unparse(node.value).endswith("metadata"):
                function = module.function_of(node)
                if function in started and not _is_guarded(module, node, function):
                    yield at(
                        module, node, "`create_all` when the app starts: two workers race, and a missing migration goes unnoticed",
                        "let migrations make the tables", possible=not sure,
                    )  # fmt: skip


@lru_cache(maxsize=1)
def _started(project: Project) -> frozenset[ast.AST]:
    """The functions that run when an app starts, and those that they call."""
    waiting: list[tuple[Function, Module, int]] = []
    for module in project.modules.values():
        if is_test(module.path):
            continue
        for call in module.all(ast.Call):
            value = project.value_of(given, module) if (given := keyword(call, "lifespan")) else None
            if value and isinstance(value.node, Function) and value.module:
                waiting.append((value.node, value.module, 0))
        functions: list[Function] = [*module.all(ast.AsyncFunctionDef), *module.all(ast.FunctionDef)]
        for function in functions:
            named = "lifespan" in function.name and project.is_context_manager(function, module)
            if named or any(_is_startup(one) for one in function.decorator_list):
                waiting.append((function, module, 0))
    found: set[ast.AST] = set()
    while waiting:
        function, module, depth = waiting.pop()
        if function in found or depth > _DEPTH:
            continue
        found.add(function)
        for call in module.own(function, ast.Call):
            value = project.value_of(call.func, module)
            if value and isinstance(value.node, Function) and value.module and not _is_guarded(module, call, function):
                waiting.append((value.node, value.module, depth + 1))
    return frozenset(found)


def _is_startup(decorator: ast.expr) -> bool:
    """Whether a decorator is `@app.on_event("startup")`."""
    if not isinstance(decorator, ast.Call) or getattr(decorator.func, "attr", "") != "on_event" or not decorator.args:
        return False
    return isinstance(decorator.args[0], ast.Constant) and decorator.args[0].value == "startup"


def _is_guarded(module: Module, node: ast.AST, function: ast.AST | None) -> bool:
    """Whether a setting decides about it, such as `if settings.debug:`."""
    for one in module.ancestors(node):
        if one is function:
            return False
        if isinstance(one, ast.If) and _GUARDS.search(ast.unparse(one.test)):
            return not (isinstance(one.test, ast.UnaryOp) and "test" in ast.unparse(one.test))  # if not testing:
    return False
