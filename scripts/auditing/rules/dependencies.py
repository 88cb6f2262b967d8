"""ASM006 and a part of ASM009: dependencies of FastAPI that yield a session."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import project_check
from auditing.finding import Found, at
from project_source import known
from project_source.modules import Function, Module
from project_source.project import Project
from project_source.requests import dependencies, graph, is_route

_COMMITTING = known.ASYNC_SESSIONS | known.SYNC_SESSIONS
_BEGINNING = _COMMITTING | known.SESSION_MAKERS | {known.ASYNC_ENGINE, known.ASYNC_CONNECTION}
_SCOPE = 'write `Depends({}, scope="function")`'


# ---- ASM006 -------------------------------------------------------------------------------------


@project_check("ASM006")
def commit_after_response(project: Project) -> Iterator[Found]:
    """`Depends(get_session)` where the function commits after its `yield`, and one dependency with two scopes."""
    late: dict[Function, bool] = {}
    reported: set[ast.Call] = set()
    for one in dependencies(project):
        if one.scope == "function" or not one.is_generator or not one.function or not one.home:
            continue
        if one.function not in late:
            managed = project.is_context_manager(one.function, one.home)  # fails at the first request, in another way
            late[one.function] = not managed and commits_late(one.function, one.home, project, frozenset())
        if late[one.function]:
            reported.add(one.call)
            yield at(
                one.module, one.call, f"`{one.function.name}` commits after the response: the client is told 201, and the row may be lost",
                _SCOPE.format(ast.unparse(one.call.args[0]) if one.call.args else one.function.name), possible=one.explicit,
            )  # fmt: skip
    for module in project.modules.values():
        for function in module.all(ast.FunctionDef, ast.AsyncFunctionDef):
            if not function.decorator_list or not is_route(function):
                continue
            every = [one for one in graph(function, module, project) if one.is_generator]
            short = {one.function for one in every if one.scope == "function"}
            for one in every:
                if one.scope != "function" and one.function in short and one.call not in reported and one.function:
                    reported.add(one.call)
                    yield at(
                        one.module, one.call, f"`{one.function.name}` is called twice for `{function.name}`, once for each scope: two sessions",
                        _SCOPE.format(ast.unparse(one.call.args[0]) if one.call.args else one.function.name), possible=one.explicit,
                    )  # fmt: skip


def commits_late(function: Function, module: Module, project: Project, seen: frozenset[Function]) -> bool:
    """Whether a generator commits when it is run to its end."""
    yields = list(module.own(function, ast.Yield))
    if not yields or function in seen:
        return False
    seen |= {function}
    first = min(one.lineno for one in yields)
    given = {ast.unparse(one.value) for one in yields if one.value}
    for call in module.own(function, ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "commit" and call.lineno > first:
            owner = call.func.value
            caught = any(isinstance(one, ast.ExceptHandler) for one in module.ancestors(call))
            if not caught and (ast.unparse(owner) in given or project.type_of(owner, module) in _COMMITTING):
                return True
    for one in yields:
        for above in module.ancestors(one):
            if above is function:
                break
            if isinstance(above, ast.With | ast.AsyncWith):
                if any(_ends_with_commit(item.context_expr, module, project, seen) for item in above.items):
                    return True
            elif isinstance(above, ast.AsyncFor | ast.For) and isinstance(above.iter, ast.Call):
                value = project.value_of(above.iter.func, module)
                if (
                    value
                    and isinstance(value.node, Function)
                    and value.module
                    and commits_late(value.node, value.module, project, seen)
                ):
                    return True
    return False


def _ends_with_commit(node: ast.expr, module: Module, project: Project, seen: frozenset[Function]) -> bool:
    """Whether `async with node` commits at its end."""
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr == "begin":
        return project.type_of(node.func.value, module) in _BEGINNING
    value = project.value_of(node.func, module)
    if value is None:
        return False
    if isinstance(value.node, Function) and value.module:
        return commits_late(value.node, value.module, project, seen)
    if isinstance(value.node, ast.ClassDef) and value.module:
        return any(
            isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "commit"
            for one in project.lineage(value.node)
            for method in one.node.body
            if isinstance(method, Function) and method.name in {"__aexit__", "__exit__"}
            for call in ast.walk(method)
        )
    return False


# ---- ASM009 -------------------------------------------------------------------------------------


@project_check("ASM009")
def swallowing_dependency(project: Project) -> Iterator[Found]:
    """An `except` around the `yield` of a dependency that does not raise."""
    seen: set[Function] = set()
    for one in dependencies(project):
        if one.is_generator and one.function and one.home and one.function not in seen:
            seen.add(one.function)
            yield from _swallowed(one.function, one.home, project)


def _swallowed(function: Function, module: Module, project: Project) -> Iterator[Found]:
    for one in module.own(function, ast.Yield):
        if one.value is None or project.type_of(one.value, module) not in _COMMITTING | known.SESSION_MAKERS:
            continue
        for above in module.ancestors(one):
            if above is function:
                break
            if not isinstance(above, ast.Try) or not any(module.within(one, line) for line in above.body):
                continue
            for handler in above.handlers:
                if not _raises(handler, module) and not _is_quiet(handler):
                    yield at(
                        module, handler, f"`{function.name}` swallows the error of the endpoint: FastAPI has no response, and answers 500",
                        "end the `except` with `raise`, or leave it out: closing the session rolls back",
                    )  # fmt: skip


def _raises(handler: ast.ExceptHandler, module: Module) -> bool:
    return next(module.own(handler, ast.Raise), None) is not None


def _is_quiet(handler: ast.ExceptHandler) -> bool:
    """Whether it catches only the end of the generator, or of its task."""
    text = ast.unparse(handler.type) if handler.type else ""
    return any(name in text for name in ("GeneratorExit", "CancelledError", "StopAsyncIteration"))
