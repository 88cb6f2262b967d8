"""What FastAPI calls for a request: the routes of a project and their dependencies."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from project_source import known
from project_source.modules import Function, Module, keyword, parameters
from project_source.project import Project

VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "trace", "api_route", "websocket"})


@dataclass(frozen=True)
class Dependency:
    """One `Depends(...)`.

    Attributes:
        module: Where it stands.
        function: The function of the project that it names, and `home` its module; None for a class or something unknown.
        scope: "function" or "request".
        explicit: Whether the scope is written.
    """

    call: ast.Call
    module: Module
    function: Function | None
    home: Module | None
    scope: str
    explicit: bool

    @property
    def is_generator(self) -> bool:
        """Whether FastAPI runs code of it after its `yield`."""
        return bool(self.function and self.home and self.home.is_generator(self.function))


def is_route(function: Function) -> bool:
    """Whether a decorator makes it an endpoint."""
    return next(route_decorators(function), None) is not None


def route_decorators(function: Function) -> Iterator[ast.Call]:
    """Its decorators such as `@router.get("/heroes")`."""
    for one in function.decorator_list:
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in VERBS:
            path = one.args[0] if one.args else keyword(one, "path")
            if (isinstance(path, ast.Constant) and isinstance(path.value, str) and path.value[:1] in {"/", ""}) or (
                path is not None and not isinstance(path, ast.Constant)
            ):
                yield one


@lru_cache(maxsize=2)
def dependencies(project: Project) -> tuple[Dependency, ...]:
    """Each `Depends(...)` and `Security(...)` of a project that names something, in the order of its files."""
    return tuple(
        _dependency(call, module, project)
        for module in project.modules.values()
        if b"Depends" in module.source or b"Security" in module.source
        for call in module.all(ast.Call)
        if (call.args or call.keywords) and project.called(call, module) in known.DEPENDS
    )


def needs(function: Function, module: Module, project: Project) -> Iterator[Dependency]:
    """The dependencies that the parameters of a function declare."""
    for one in parameters(function):
        if found := project.dependency(one, module):
            yield _dependency(*found, project)


def graph(function: Function, module: Module, project: Project) -> list[Dependency]:
    """All dependencies of an endpoint, those of its dependencies too."""
    found: list[Dependency] = []
    waiting, seen = [(function, module)], {function}
    while waiting:
        for one in needs(*waiting.pop(), project):
            found.append(one)
            if one.function and one.home and one.function not in seen:
                seen.add(one.function)
                waiting.append((one.function, one.home))
    return found


def _dependency(call: ast.Call, module: Module, project: Project) -> Dependency:
    target = call.args[0] if call.args else keyword(call, "dependency")
    value = project.value_of(target, module) if target is not None else None
    scope = keyword(call, "scope")
    return Dependency(
        call, module,
        value.node if value and isinstance(value.node, Function) else None, value.module if value else None,
        "function" if isinstance(scope, ast.Constant) and scope.value == "function" else "request",
        scope is not None,
    )  # fmt: skip
