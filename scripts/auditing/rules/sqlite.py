"""ASM029: SQLite engines without their switches, and listeners that never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from auditing.catalogue import check, project_check
from auditing.finding import Found, at
from project_source import known
from project_source.engines import URL, Engine, engines, entries
from project_source.files import is_test
from project_source.modules import Function, Module, keyword
from project_source.project import Project

_ASYNC_TARGETS = frozenset({known.ASYNC_ENGINE, known.ASYNC_CONNECTION, *known.ASYNC_SESSIONS})
_POOLED = frozenset({"pool_size", "max_overflow", "pool_timeout"})
_MEMORY = re.compile(r"sqlite\+aiosqlite://(?:/?$|/:memory:|/?\?)")


@project_check("ASM029")
def switches(project: Project) -> Iterator[Found]:
    """An engine for SQLite in a project that never switches foreign keys on; pools that fit no memory database."""
    reported: set[str] = set()
    for engine in engines(project):
        texts = [
            (one, match) for one in engine.texts if (match := URL.match(one.text)) and match["driver"] == "aiosqlite"
        ]
        if not texts:
            continue
        yield from _memory(project, engine, [one.text for one, _ in texts])
        yield from _unheard(project, engine)
        path = engine.module.path
        if path in reported or any(one.kind == "computed" for one in engine.sources):
            continue
        found = list(_switched_off(project, engine))
        reported |= {path} if found else set()
        yield from found


def _switched_off(project: Project, engine: Engine) -> Iterator[Found]:
    path = engine.module.path
    aside = is_test(path) and not path.endswith("conftest.py")
    others = any(not one.url.startswith("sqlite") for one in entries(project))
    if _has_foreign_keys(project) and not _says(project, "foreign_keys"):
        yield at(
            engine.module, engine.call, "foreign keys are off in SQLite until `PRAGMA foreign_keys = ON`: orphans are stored",
            "switch them on in a `connect` listener of `engine.sync_engine`", possible=aside,
        )  # fmt: skip
    if _uses_savepoints(project) and not _says(project, "isolation_level") and not _begins(project):
        yield at(
            engine.module, engine.call, "without events for BEGIN, what a savepoint wrote survives a rollback in SQLite",
            "set `isolation_level = None` on connect, and send BEGIN in a `begin` listener", possible=aside or others,
        )  # fmt: skip


def _unheard(project: Project, engine: Engine) -> Iterator[Found]:
    """An engine without a name, which no listener can be for, in a project that listens to others."""
    above = engine.module.parents[engine.call]
    passed = isinstance(above, ast.Call) and engine.call in above.args
    if passed and _says(project, "isolation_level") and not _listens_to_all(project):
        yield at(
            engine.module, engine.call, "nothing listens to this engine: no foreign keys, and savepoints do not hold",
            "make it by the function that sets the events", possible=True,
        )  # fmt: skip


@lru_cache(maxsize=1)
def _listens_to_all(project: Project) -> bool:
    return any(
        call.args and project.name_of(call.args[0], module) == "sqlalchemy.Engine"
        for module in project.modules.values()
        for call in module.all(ast.Call)
        if getattr(call.func, "attr", getattr(call.func, "id", "")) in {"listens_for", "listen"}
    )


@lru_cache(maxsize=1)
def _has_foreign_keys(project: Project) -> bool:
    return any(keyword(call, "foreign_key") is not None or getattr(call.func, "id", getattr(call.func, "attr", "")) == "ForeignKey"
               for module in project.modules.values() if not is_test(module.path) for call in module.all(ast.Call))  # fmt: skip


@lru_cache(maxsize=8)
def _says(project: Project, word: str) -> bool:
    """Whether a literal or an attribute of the code is about a switch."""
    return any(
        word in module.source.decode("utf-8", "replace").lower() and _uses(module, word)
        for module in project.modules.values()
    )


def _uses(module: Module, word: str) -> bool:
    docs = {id(one.value) for one in module.all(ast.Expr) if isinstance(one.value, ast.Constant)}
    if any(
        isinstance(one.value, str) and word in one.value.lower() and id(one) not in docs
        for one in module.all(ast.Constant)
    ):
        return True
    return any(one.attr == word and isinstance(one.ctx, ast.Store) for one in module.all(ast.Attribute))


@lru_cache(maxsize=1)
def _uses_savepoints(project: Project) -> bool:
    return any(
        one.attr == "begin_nested"
        for module in project.modules.values()
        if not is_test(module.path)
        for one in module.all(ast.Attribute)
    )


@lru_cache(maxsize=1)
def _begins(project: Project) -> bool:
    """Whether a listener sends BEGIN."""
    return any(
        isinstance(one.value, str) and re.match(r"\s*BEGIN\b", one.value)
        for module in project.modules.values()
        for one in module.all(ast.Constant)
    )


def _memory(project: Project, engine: Engine, urls: list[str]) -> Iterator[Found]:
    if not all(_MEMORY.match(one) for one in urls) or len(engine.sources) != len(urls):
        return
    chosen = engine.argument("poolclass")
    if chosen is not None:
        if project.name_of(chosen, engine.module).rpartition(".")[2] == "NullPool":
            yield at(
                engine.module, engine.call, "NullPool gives each connection an empty `:memory:` database: `no such table`",
                "use a file, or leave the pool out",
            )  # fmt: skip
        return
    if not is_test(engine.module.path):
        yield at(
            engine.module, engine.call, "`:memory:` is one connection for all sessions: one rolls back what another wrote",
            "use a file in a temporary folder", possible=True,
        )  # fmt: skip
    for one in engine.call.keywords:
        if one.arg in _POOLED:
            yield at(
                engine.module, one, f"`:memory:` has a StaticPool, which knows no `{one.arg}`: TypeError",
                "leave it out for SQLite in memory",
            )  # fmt: skip


@check("ASM029")
def listeners(project: Project, module: Module) -> Iterator[Found]:
    """Listeners of an async engine or session, async ones, and ones that look for `sqlite3.Connection`."""
    for call in module.all(ast.Call):
        last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if last not in {"listens_for", "listen"} or len(call.args) < 2:
            continue
        if project.called(call, module) not in {f"sqlalchemy.event.{last}", f"sqlalchemy.event.api.{last}"}:
            continue
        value = project.value_of(call.args[0], module)
        if value is not None and value.name in _ASYNC_TARGETS:
            yield at(
                module, call, f"events of `{ast.unparse(call.args[0])}` are not implemented: NotImplementedError, or no such event",
                "listen to `engine.sync_engine`, or to the class `Session` of sqlalchemy.orm",
            )  # fmt: skip
        listener = _listener(project, call, last, module)
        if isinstance(listener, ast.AsyncFunctionDef):
            yield at(
                module, listener, "a listener is called without await: this one never runs", "write `def`, and use the connection it is given",
            )  # fmt: skip
        elif (
            listener is not None
            and isinstance(call.args[1], ast.Constant)
            and call.args[1].value in {"connect", "first_connect"}
        ):
            yield from _gate(project, listener, module)


def _listener(project: Project, call: ast.Call, last: str, module: Module) -> Function | None:
    above = module.parents[call]
    if last == "listens_for":
        return above if isinstance(above, Function) else None
    value = project.value_of(call.args[2], module) if len(call.args) > 2 else None
    return value.node if value and isinstance(value.node, Function) and value.module is module else None


def _gate(project: Project, listener: Function, module: Module) -> Iterator[Found]:
    """`isinstance(connection, sqlite3.Connection)`, which is false for aiosqlite."""
    if not _is_async(project):
        return
    for call in module.own(listener, ast.Call):
        if isinstance(call.func, ast.Name) and call.func.id == "isinstance" and len(call.args) == 2:
            kinds = call.args[1].elts if isinstance(call.args[1], ast.Tuple) else [call.args[1]]
            if len(kinds) == 1 and project.name_of(kinds[0], module) in {
                "sqlite3.Connection",
                "sqlite3.dbapi2.Connection",
            }:
                yield at(
                    module, call, "aiosqlite gives no `sqlite3.Connection`: this is always false, and the listener does nothing",
                    "look at `engine.dialect.name`, or listen to one engine",
                )  # fmt: skip


@lru_cache(maxsize=1)
def _is_async(project: Project) -> bool:
    """Whether a project uses aiosqlite, or only async engines."""
    named = any("aiosqlite" in one.url for one in entries(project))
    return named or any("aiosqlite" in one.text for engine in engines(project) for one in engine.sources)
