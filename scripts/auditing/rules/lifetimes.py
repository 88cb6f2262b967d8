"""ASM005 and ASM007: sessions and engines that live too long, too short, or are never closed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check, project_check
from auditing.finding import Found, at
from project_source import known
from project_source.classes import Class
from project_source.modules import Function, Module, default_of, parameters
from project_source.project import Project
from project_source.requests import dependencies, is_route

_ENGINES = frozenset({"sqlalchemy.ext.asyncio.create_async_engine", "sqlalchemy.ext.asyncio.async_engine_from_config"})
_SESSIONS = known.ASYNC_SESSIONS - {"sqlalchemy.ext.asyncio.async_scoped_session"}  # a registry, made to be shared
DEEP = 3  # functions between an endpoint and the one that makes an engine


def _new_session(node: ast.AST | None, module: Module, project: Project) -> bool:
    """Whether an expression makes a session: `maker()`, `AsyncSession(engine)`."""
    if not isinstance(node, ast.Call):
        return False
    value = project.value_of(node, module)
    if not value or not value.instance or value.name not in _SESSIONS:
        return False
    made = project.value_of(node.func, module)
    return made is not None and (made.name in known.SESSION_MAKERS or made.name in _SESSIONS)


# ---- ASM005 -------------------------------------------------------------------------------------


@check("ASM005")
def shared_sessions(project: Project, module: Module) -> Iterator[Found]:
    """Sessions of a module, a class, `app.state` or a default."""
    for line in module.all(ast.Assign, ast.AnnAssign):
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
        place = _place(targets[0], line, module)
        if not place or line.value is None:
            continue
        fresh = _new_session(line.value, module, project)
        if fresh or (place == "the application" and project.is_session(line.value, module)):
            yield at(
                module, line, f"a session of {place} is shared by all requests: one commits what another has begun",
                "keep the factory there, and open a session for each request",
            )  # fmt: skip
    for function in module.all(ast.FunctionDef, ast.AsyncFunctionDef):
        if not function.args.defaults and not function.args.kw_defaults:
            continue
        for one in parameters(function):
            default = default_of(function, one.arg)
            if _new_session(default, module, project):
                assert default is not None
                yield at(
                    module, default, "the default is made once: all calls share one session",
                    "pass the session, or open one inside the function",
                )  # fmt: skip


def _place(target: ast.expr, line: ast.stmt, module: Module) -> str:
    """Where a name or attribute lives that outlasts requests; "" for others."""
    if isinstance(target, ast.Attribute):
        text = ast.unparse(target)
        return "the application" if ".state." in text and not text.startswith("request.state.") else ""
    if not isinstance(target, ast.Name):
        return ""
    for above in module.ancestors(line):
        if isinstance(above, Function):
            is_global = any(
                target.id in one.names and module.function_of(one) is above for one in module.all(ast.Global)
            )
            return "the module" if is_global else ""
        if isinstance(above, ast.ClassDef):
            return "the class"
        if isinstance(above, ast.If) and "__main__" in ast.unparse(above.test):
            return ""
    return "the module"


@project_check("ASM005")
def engines_of_requests(project: Project) -> Iterator[Found]:
    """`create_async_engine` in an endpoint or dependency, or in what they call."""
    made = [
        (call, function, module)
        for module in project.modules.values()
        if b"async_engine" in module.source
        for call in module.all(ast.Call)
        if project.called(call, module) in _ENGINES and (function := module.function_of(call))
    ]
    asked = {one.function for one in dependencies(project)}
    for call, function, module in made:
        if _throws_away(call, function, module, project) and _for_each_request(function, module, asked, project):
            yield at(
                module, call, "an engine made for each request opens a pool each time",
                "make it once, in the lifespan or the module",
            )  # fmt: skip


def _for_each_request(function: Function, module: Module, asked: set[Function | None], project: Project) -> bool:
    """Whether a function is an endpoint, a dependency, or is called by one."""
    reached, seen = {function: module}, {function}
    for _ in range(DEEP):
        reached = {one: home for one, home in reached.items() if not _cached(one, home)}
        if any(one in asked or is_route(one) for one in reached):
            return True
        names = {one.name for one in reached}
        callers: dict[Function, Module] = {}
        for call, other in [one for name in names for one in project.calls.get(name, ())]:
            caller = other.function_of(call)
            if (
                caller
                and caller not in seen
                and (value := project.value_of(call.func, other))
                and value.node in reached
            ):
                seen.add(caller)
                callers[caller] = other
        reached = callers
    return False


def _cached(function: Function, module: Module) -> bool:
    """Whether a function is called once, or keeps what it makes: a cache, or a name that is global."""
    if any(
        "cache" in ast.unparse(one).lower() or "singleton" in ast.unparse(one).lower()
        for one in function.decorator_list
    ):
        return True
    return any(module.function_of(one) is function for one in module.all(ast.Global))


def _throws_away(call: ast.Call, function: Function, module: Module, project: Project) -> bool:
    """Whether nobody keeps an engine. One that is disposed of may be meant, unless it is for the session of the request."""
    text = ast.unparse(function)
    serves = any(one.value and project.is_session(one.value, module) for one in module.own(function, ast.Yield))
    if "NullPool" in text or "StaticPool" in text or (".dispose()" in text and not serves):
        return False
    line = module.statement_of(call)
    targets: list[ast.expr] = []
    if isinstance(line, ast.Assign | ast.AnnAssign):
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
    return all(isinstance(one, ast.Name) for one in targets) and not _stored(targets, function, module)


def _stored(targets: list[ast.expr], function: Function, module: Module) -> bool:
    """Whether an engine goes into a dictionary or an object after it was made."""
    names = {one.id for one in targets if isinstance(one, ast.Name)}
    return any(
        isinstance(line.value, ast.Name) and line.value.id in names and not isinstance(line.targets[0], ast.Name)
        for line in module.own(function, ast.Assign)
    )


# ---- ASM007 -------------------------------------------------------------------------------------


@check("ASM007")
def returned_session(project: Project, module: Module) -> Iterator[Found]:
    """`return session` inside the `async with` that closes it."""
    for block in module.all(ast.AsyncWith, ast.With):
        for item in block.items:
            if not isinstance(item.optional_vars, ast.Name):
                continue
            name = item.optional_vars
            for line in _returns(block, module):
                if _hands_out(line.value, name.id, module, project) and project.is_session(name, module):
                    yield at(
                        module, line, f"`{name.id}` is closed by its `async with` when it is returned, and opens itself again: a leak",
                        "`yield` it, and open it with `async with` or `Depends`",
                    )  # fmt: skip


def _returns(block: ast.AST, module: Module) -> list[ast.Return]:
    return [one for one in module.own(block, ast.Return) if one.value is not None]


def _hands_out(value: ast.expr | None, name: str, module: Module, project: Project) -> bool:
    """Whether a result is the session, alone, in a tuple, or inside an object that keeps it."""
    if isinstance(value, ast.Tuple):
        return any(_hands_out(one, name, module, project) for one in value.elts)
    if isinstance(value, ast.Name):
        return value.id == name
    if isinstance(value, ast.Call):
        own = project.class_at(value.func, module)
        passed = any(
            isinstance(one, ast.Name) and one.id == name for one in [*value.args, *(k.value for k in value.keywords)]
        )
        return passed and own is not None and _keeps(own)
    return False


def _keeps(own: Class) -> bool:
    """Whether `__init__` of a class stores a parameter in the object."""
    return any(
        isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Name)
        and ast.unparse(line.targets[0]).startswith("self.")
        for one in own.lineage
        for line in ast.walk(one.node)
    )


@check("ASM007")
def left_generator(project: Project, module: Module) -> Iterator[Found]:
    """`async for session in get_session()` that is left early, and `anext(get_session())`."""
    for loop in module.all(ast.AsyncFor):
        if _leaves(loop, module) and _gives_session(loop.iter, module, project):
            yield at(
                module, loop, f"leaving the loop leaves `{ast.unparse(loop.iter)}` unfinished: its session is closed by chance",
                "open it with `async with`, from the factory or an `@asynccontextmanager`",
            )  # fmt: skip
    for call in module.all(ast.Call):
        generator = _asked(call)
        if generator is None:
            continue
        if isinstance(generator, ast.Name):
            function = module.function_of(call)
            if function is None or _finished(generator.id, call, function):
                continue
            made = next(
                (one.node for one in module.scopes[function].names.get(generator.id, ()) if one.kind == "value"), None
            )
        else:
            made = generator
        if made is not None and _gives_session(made, module, project):
            yield at(
                module, call, f"nobody runs `{ast.unparse(made)}` to its end: its session is never closed",
                "open it with `async with`, from the factory or an `@asynccontextmanager`",
            )  # fmt: skip


def _asked(call: ast.Call) -> ast.expr | None:
    """The generator of `anext(generator)`, `generator.__anext__()`, `generator.asend(None)`."""
    if isinstance(call.func, ast.Name) and call.func.id in {"anext", "next"} and call.args:
        return call.args[0]
    if isinstance(call.func, ast.Attribute) and call.func.attr in {"__anext__", "__next__", "asend"}:
        return call.func.value
    return None


def _finished(name: str, call: ast.Call, function: Function) -> bool:
    """Whether a generator that has a name is closed, asked again or looped over."""
    for one in ast.walk(function):
        if (
            isinstance(one, ast.Attribute)
            and isinstance(one.value, ast.Name)
            and one.value.id == name
            and one.attr in {"aclose", "close", "athrow"}
        ):
            return True
        if isinstance(one, ast.Call) and one is not call:  # asked again, or given to somebody
            others = [other] if (other := _asked(one)) is not None else one.args
            if any(isinstance(each, ast.Name) and each.id == name for each in others):
                return True
        if isinstance(one, ast.AsyncFor | ast.For | ast.Return | ast.Yield) and name in {
            each.id
            for each in ast.walk(one.iter if isinstance(one, ast.AsyncFor | ast.For) else one)
            if isinstance(each, ast.Name)
        }:
            return True
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Name) and one.value.id == name:
            return True  # kept elsewhere
    return False


def _leaves(loop: ast.AsyncFor, module: Module) -> bool:
    """Whether a `return` or a `break` of this loop is in its body."""
    for one in module.own(loop, ast.Return, ast.Break):
        if isinstance(one, ast.Return):
            return True
        inner = next(each for each in module.ancestors(one) if isinstance(each, ast.For | ast.AsyncFor | ast.While))
        if inner is loop:
            return True
    return False


def _gives_session(node: ast.AST, module: Module, project: Project) -> bool:
    """Whether an expression calls a generator function of the project that yields a session."""
    if not isinstance(node, ast.Call):
        return False
    value = project.value_of(node.func, module)
    if value is None or not isinstance(value.node, Function) or value.module is None:
        return False
    if not value.module.is_generator(value.node) or project.is_context_manager(value.node, value.module):
        return False
    result = project.result_of(node.func, module)
    return result is not None and result.instance and result.name in known.ASYNC_SESSIONS


@project_check("ASM007")
def unclosed_dependency(project: Project) -> Iterator[Found]:
    """A dependency that returns a new session: nothing closes it."""
    seen: set[Function] = set()
    for one in dependencies(project):
        if one.function is None or one.home is None or one.is_generator or one.function in seen:
            continue
        seen.add(one.function)
        if project.is_context_manager(one.function, one.home):
            continue
        for line in one.home.own(one.function, ast.Return):
            value = line.value
            if isinstance(value, ast.Name):
                made = one.home.bindings(value.id, value)
                value_node = made[0].node if len(made) == 1 and made[0].kind == "value" else None
            else:
                value_node = value
            if _new_session(value_node, one.home, project):
                yield at(
                    one.home, line, "FastAPI does not close what a dependency returns: the session keeps its connection",
                    "open it with `async with`, and `yield` it",
                )  # fmt: skip
