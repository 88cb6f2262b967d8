"""ASM025: the text of a database error that reaches a client, or a log."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check, project_check
from auditing.finding import Found, at
from project_source import known
from project_source.engines import Engine, engines
from project_source.files import is_test
from project_source.modules import Function, Module, keyword, parameters
from project_source.project import Project

_DATABASE_ERRORS = frozenset({
    "SQLAlchemyError", "DBAPIError", "IntegrityError", "OperationalError", "ProgrammingError", "DataError", "InternalError",
    "NotSupportedError", "InterfaceError", "StatementError", "DatabaseError", "PendingRollbackError", "StaleDataError",
})  # fmt: skip
_ANY = frozenset({"Exception", "BaseException"})
_RESPONSES = frozenset({
    "HTTPException", "JSONResponse", "ORJSONResponse", "PlainTextResponse", "Response", "UJSONResponse", "HTMLResponse",
})  # fmt: skip
_WRITES = frozenset({
    "commit",
    "flush",
    "execute",
    "exec",
    "scalar",
    "scalars",
    "refresh",
    "delete",
    "merge",
    "get",
    "get_one",
})


@check("ASM025")
def error_text_in_responses(project: Project, module: Module) -> Iterator[Found]:
    """`HTTPException(detail=str(error))` and the like, where the error may come from the database."""
    if is_test(module.path):
        return
    for call in module.all(ast.Call):
        last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if last not in _RESPONSES:
            continue
        for use in (
            one for given in (*call.args, *(each.value for each in call.keywords)) for one in _shown(given, module)
        ):
            kind = _origin(project, use, module)
            if kind:
                yield at(
                    module, call, f"the text of `{use.id}` goes to the client: statement, values and names of the database with it",
                    "log the error, and answer with a text of your own", possible=kind == "possible",
                )  # fmt: skip
                break


def _shown(node: ast.AST, module: Module) -> Iterator[ast.Name]:
    """The names that an argument shows as text: in `str()`, `repr()`, an f-string, `error.orig`."""
    for one in ast.walk(node):
        if not isinstance(one, ast.Name):
            continue
        above = module.parents[one]
        if isinstance(above, ast.Attribute) and above.attr in {"orig", "args", "statement", "params"}:
            above = module.parents[above]
        if isinstance(above, ast.Subscript):
            above = module.parents[above]
        if isinstance(above, ast.FormattedValue) or (
            isinstance(above, ast.Call) and isinstance(above.func, ast.Name) and above.func.id in {"str", "repr"}
        ):
            yield one


def _origin(project: Project, use: ast.Name, module: Module) -> str:
    """Whether an error comes from the database: "sure", "possible", or "" for not."""
    child: ast.AST = use
    for one in module.ancestors(use):
        if isinstance(one, ast.ExceptHandler) and one.name == use.id:
            caught = _caught(one)
            if caught & _DATABASE_ERRORS and _is_of_database(project, one, module):
                return "sure"
            attempt = module.parents[one]
            assert isinstance(attempt, ast.Try | ast.TryStar)
            handled = {name for other in attempt.handlers[: attempt.handlers.index(one)] for name in _caught(other)}
            if not caught & _ANY or "SQLAlchemyError" in handled or _ANY & handled:
                return ""
            return "sure" if _talks(project, attempt, module) else "possible"
        if isinstance(one, Function):
            return _of_handler(project, one, use.id, module) if child in one.body else ""
        child = one
    return ""


def _caught(handler: ast.ExceptHandler) -> set[str]:
    nodes = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(one).rpartition(".")[2] for one in nodes if one is not None}


def _is_of_database(project: Project, handler: ast.ExceptHandler, module: Module) -> bool:
    nodes = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(project.name_of(one, module).startswith(("sqlalchemy.", "asyncpg.")) for one in nodes if one is not None)


def _talks(project: Project, attempt: ast.Try | ast.TryStar, module: Module) -> bool:
    """Whether the body of a `try` sends something to the database itself, by a method of a session."""
    for line in attempt.body:
        for one in ast.walk(line):
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in _WRITES:
                kind = project.type_of(one.func.value, module)
                if kind in known.ASYNC_SESSIONS | known.SYNC_SESSIONS or kind == known.ASYNC_CONNECTION:
                    return True
    return False


def _of_handler(project: Project, function: Function, name: str, module: Module) -> str:
    """Whether a parameter is the error that an exception handler of the app is given."""
    found = parameters(function)
    if len(found) < 2 or found[1].arg != name:
        return ""
    for one in function.decorator_list:
        if isinstance(one, ast.Call) and getattr(one.func, "attr", "") == "exception_handler" and one.args:
            caught = ast.unparse(one.args[0]).rpartition(".")[2]
            if caught in _ANY:
                return "sure"
            return (
                "sure"
                if caught in _DATABASE_ERRORS and project.name_of(one.args[0], module).startswith("sqlalchemy.")
                else ""
            )
    for call in module.all(ast.Call):
        if getattr(call.func, "attr", "") != "add_exception_handler" or len(call.args) != 2:
            continue
        if project.value_of(call.args[1], module) == project.value_of(function, module):
            return "sure" if ast.unparse(call.args[0]).rpartition(".")[2] in _ANY | _DATABASE_ERRORS else ""
    return ""


def _called_plainly(project: Project, engine: Engine) -> bool:
    """Whether the function that passes its own `**options` to an engine is called without any."""
    function = engine.module.function_of(engine.call)
    options = next((one.value for one in engine.call.keywords if one.arg is None), None)
    if (
        function is None
        or function.args.kwarg is None
        or not isinstance(options, ast.Name)
        or options.id != function.args.kwarg.arg
    ):
        return False
    return any(
        not call.keywords and isinstance(call.func, ast.Name) and call.func.id == function.name
        and (value := project.value_of(call.func, engine.module)) is not None and value.node is function
        for call in engine.module.all(ast.Call)
    )  # fmt: skip


@project_check("ASM025")
def values_in_logs(project: Project) -> Iterator[Found]:
    """An engine that writes values into its errors, and one that logs each statement."""
    for engine in engines(project):
        if is_test(engine.module.path) or engine.module.path.endswith("env.py"):
            continue
        if engine.open_ended and not _called_plainly(project, engine):
            continue
        hidden = keyword(engine.call, "hide_parameters")
        if hidden is not None and not (isinstance(hidden, ast.Constant) and hidden.value is False):
            continue
        echo = keyword(engine.call, "echo")
        if isinstance(echo, ast.Constant) and echo.value in {True, "debug"}:
            yield at(
                engine.module, echo, "`echo=True` logs every statement with its values, also in production",
                "take it from a setting that is off by default, and pass `hide_parameters=True`",
            )  # fmt: skip
        yield at(
            engine.module, engine.call, "without `hide_parameters=True`, the text of an error holds the values of the statement",
            "pass `hide_parameters=True`", possible=True,
        )  # fmt: skip
