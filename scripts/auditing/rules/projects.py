"""ASM030: packages and settings of pytest without which the code does not run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from auditing.catalogue import check, project_check
from auditing.finding import Found, at, in_file
from project_source.engines import URL, Engine, engines
from project_source.files import is_test
from project_source.modules import Function, Module, keyword
from project_source.project import Project
from project_source.requirements import locks, requirements
from project_source.texts import origins

_LIMITS = {"sqlalchemy": (2, 1), "sqlmodel": (0, 0, 48)}  # from here on, greenlet is not installed by itself
_BRING = frozenset({
    "advanced-alchemy", "eventlet", "fastapi-users-db-sqlalchemy", "fastapi-users-db-sqlmodel", "gevent", "greenlet", "playwright",
})  # fmt: skip
_CLAUSE = re.compile(r"(?P<operator>===|==|~=|<=|>=|!=|<|>|\^|~)?\s*v?(?P<version>\d+(?:\.\d+)*)(?P<star>\.\*)?")
_WIDE = frozenset({"session", "package", "module", "class"})
_SETTINGS = frozenset({"pyproject.toml", "pytest.ini", ".pytest.ini", "setup.cfg", "tox.ini", "pytest.toml"})
_STARTED = re.compile(r"lifespan_context|LifespanManager|\.state\.\w+ *=[^=]|setattr\(\w+\.state")


@project_check("ASM030")
def greenlet(project: Project) -> Iterator[Found]:
    """SQLAlchemy or SQLModel without the extra that installs greenlet."""
    asked = requirements(project)
    if not asked or not _is_async(project):
        return
    if any(one.name in _BRING or (one.name in _LIMITS and "asyncio" in one.extras) for one in asked):
        return
    if any(re.search(r"\bgreenlet\b", project.tree.text(path) or "") for path in locks(project)):
        return
    mine = [one for one in asked if one.name in _LIMITS]
    if any(_holds_back(one.specifier, _LIMITS[one.name]) for one in mine):
        return
    reported: set[str] = set()
    for one in mine:
        if one.path not in reported:
            reported.add(one.path)
            yield in_file(
                one.path, one.line, f"`{one.name}` installs no greenlet since SQLAlchemy 2.1: ImportError on a clean machine",
                f"write `{one.name}[asyncio]`",
            )  # fmt: skip


def _is_async(project: Project) -> bool:
    return any(
        one.name.startswith(("sqlalchemy.ext.asyncio", "sqlmodel.ext.asyncio"))
        for module in project.modules.values()
        for found in module.top.names.values()
        for one in found
        if one.kind == "import"
    )


def _holds_back(specifier: str, limit: tuple[int, ...]) -> bool:
    """Whether a list of versions allows none from a limit on."""
    for match in _CLAUSE.finditer(specifier):
        version = tuple(int(one) for one in match["version"].split("."))
        operator = match["operator"] or "=="
        if operator in {"==", "==="} and not match["star"] and version < limit:
            return True
        if (operator == "<" and version <= limit) or (operator == "<=" and version < limit):
            return True
        if operator == "^":
            first = next((n for n, one in enumerate(version) if one), len(version) - 1)
            if (*version[:first], version[first] + 1) <= limit:
                return True
        if operator in {"~=", "~"} or match["star"]:
            kept = version if match["star"] else version[:-1] if operator == "~=" else version[:2]
            if kept and (*kept[:-1], kept[-1] + 1) <= limit:
                return True
    return False


# ---- loops --------------------------------------------------------------------------------------


@project_check("ASM030")
def loops(project: Project) -> Iterator[Found]:
    """An engine that outlives the loop of a test, with pytest-asyncio's loop for each test."""
    if not _has_pytest_asyncio(project) or _shares_a_loop(project) or next(loops_that_differ(project), None):
        return
    by_function = {engine.module.function_of(engine.call): engine for engine in engines(project)}
    for module in project.modules.values():
        if not is_test(module.path):
            continue
        for function in module.all(ast.AsyncFunctionDef):
            if not _is_wide_fixture(project, function, module):
                continue
            engine = by_function.get(function) or next(
                (
                    found
                    for call in module.own(function, ast.Call)
                    if (found := by_function.get(_called(project, call, module)))
                ),
                None,
            )
            if engine is not None and _belongs_to_a_loop(project, engine):
                yield at(
                    module, function, "the engine outlives the loop of a test: `attached to a different loop` from the second test on",
                    "set `asyncio_default_fixture_loop_scope` and `asyncio_default_test_loop_scope` to session",
                )  # fmt: skip
    for engine in engines(project):
        if engine.module.function_of(engine.call) is None and _belongs_to_a_loop(project, engine):
            yield at(
                engine.module, engine.call, "tests with a loop each share this engine: `attached to a different loop`",
                "let the tests share a loop, or make the engine in the lifespan", possible=not is_test(engine.module.path),
            )  # fmt: skip


_SCOPE = re.compile(r"^\s*asyncio_default_(?P<what>fixture|test)_loop_scope\s*=\s*[\"']?(?P<scope>\w+)")


@project_check("ASM030")
def loops_that_differ(project: Project) -> Iterator[Found]:
    """Fixtures in one loop and tests in others, by the settings, with an engine among the fixtures."""
    wide = any(
        "engine" in ast.unparse(function)
        for module in project.modules.values()
        if is_test(module.path)
        for function in module.all(ast.AsyncFunctionDef)
        if _is_wide_fixture(project, function, module)
    )
    for path in project.tree.files if wide else ():
        if PurePosixPath(path).name not in _SETTINGS:
            continue
        lines = enumerate((project.tree.text(path) or "").splitlines(), 1)
        scopes = {match["what"]: (match["scope"], number) for number, line in lines if (match := _SCOPE.match(line))}
        fixtures, fixture_line = scopes.get("fixture", ("function", 0))
        tests, test_line = scopes.get("test", ("function", fixture_line))
        if fixtures in _WIDE and tests == "function":
            yield in_file(
                path, test_line, f"fixtures have the loop of the {fixtures}, and each test its own: `attached to a different loop`",
                f'write `asyncio_default_test_loop_scope = "{fixtures}"`',
            )  # fmt: skip


def _called(project: Project, call: ast.Call, module: Module) -> Function | None:
    value = project.value_of(call.func, module)
    return value.node if value and isinstance(value.node, Function) else None


@lru_cache(maxsize=1)
def _has_pytest_asyncio(project: Project) -> bool:
    """Whether tests are run by pytest-asyncio: its marker, its fixtures or its mode are used."""
    for module in project.modules.values():
        if is_test(module.path) and ("pytest_asyncio" in module.top.names or any(
            one.attr == "asyncio" and ast.unparse(one) == "pytest.mark.asyncio" for one in module.all(ast.Attribute)
        )):  # fmt: skip
            return True
    return any("asyncio_mode" in text for text in _settings(project))


@lru_cache(maxsize=1)
def _settings(project: Project) -> tuple[str, ...]:
    return tuple(project.tree.text(path) or "" for path in project.tree.files if PurePosixPath(path).name in _SETTINGS)


@lru_cache(maxsize=1)
def _shares_a_loop(project: Project) -> bool:
    """Whether tests share a loop: by a setting, a marker, or a fixture `event_loop` of the old kind."""
    pattern = re.compile(r"asyncio_default_test_loop_scope\s*=\s*[\"']?(?:session|package|module)")
    if any(pattern.search(text) for text in _settings(project)):
        return True
    for module in project.modules.values():
        if not is_test(module.path):
            continue
        functions: list[Function] = [*module.all(ast.FunctionDef), *module.all(ast.AsyncFunctionDef)]
        if any(one.name in {"event_loop", "pytest_collection_modifyitems", "anyio_backend"} for one in functions):
            return True
        for call in module.all(ast.Call):
            scope = keyword(call, "loop_scope") or keyword(call, "scope")
            if (
                ast.unparse(call.func) == "pytest.mark.asyncio"
                and isinstance(scope, ast.Constant)
                and scope.value in _WIDE
            ):
                return True
    return False


def _is_wide_fixture(project: Project, function: ast.AsyncFunctionDef, module: Module) -> bool:
    for one in function.decorator_list:
        if isinstance(one, ast.Call) and project.called(one, module) in {"pytest.fixture", "pytest_asyncio.fixture"}:
            scope = keyword(one, "scope")
            return isinstance(scope, ast.Constant) and scope.value in _WIDE
    return False


def _belongs_to_a_loop(project: Project, engine: Engine) -> bool:
    """Whether the connections of an engine stay open, and belong to a loop: not SQLite, no NullPool."""
    pool = engine.argument("poolclass")
    if engine.open_ended or (
        pool is not None and project.name_of(pool, engine.module).rpartition(".")[2] == "NullPool"
    ):
        return False
    texts = [match["name"] for one in engine.texts if (match := URL.match(one.text))]
    settings = any(one.kind == "setting" for one in engine.sources)
    return ("sqlite" not in texts) and (settings or bool(texts))


@check("ASM030")
def apps_without_lifespan(project: Project, module: Module) -> Iterator[Found]:
    """ASGITransport around an app whose lifespan sets `app.state`, and nothing that runs it."""
    if not is_test(module.path):
        return
    calls = [
        one for one in module.all(ast.Call) if getattr(one.func, "attr", getattr(one.func, "id", "")) == "ASGITransport"
    ]
    if not calls or _is_started(project):
        return
    for call in calls:
        given = call.args[0] if call.args else keyword(call, "app")
        for one, where in origins(project, given, module) if given is not None else ():
            if isinstance(one, ast.Call) and not is_test(where.path) and _sets_state(project, one, where):
                yield at(
                    module, call, "ASGITransport does not run the lifespan: what it puts on `app.state` is missing",
                    "wrap the client in `async with app.router.lifespan_context(app):`",
                )  # fmt: skip
                break


@lru_cache(maxsize=1)
def _is_started(project: Project) -> bool:
    """Whether some test runs a lifespan, or sets `app.state` itself."""
    return any(
        is_test(module.path) and _STARTED.search(module.source.decode("utf-8", "replace"))
        for module in project.modules.values()
    )


def _sets_state(project: Project, call: ast.Call, module: Module) -> bool:
    """Whether the lifespan of an app assigns to `app.state`."""
    given = keyword(call, "lifespan")
    value = project.value_of(given, module) if given is not None else None
    if value is None or not isinstance(value.node, Function) or value.module is None:
        return False
    return any(
        isinstance(one.ctx, ast.Store) and isinstance(one.value, ast.Attribute) and one.value.attr == "state"
        for one in value.module.own(value.node, ast.Attribute)
    )
