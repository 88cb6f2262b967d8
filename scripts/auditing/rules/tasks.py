"""ASM004 and ASM008: a session in several tasks, and in work that outlives it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source import known
from project_source.modules import Function, Module, parameters
from project_source.project import Project
from project_source.requests import Dependency, is_route, needs

_TOGETHER = frozenset({"asyncio.gather", "asyncio.wait", "asyncio.as_completed"})
_STARTERS = frozenset({"create_task", "ensure_future", "start_soon"})
_STREAMS = frozenset({"StreamingResponse", "EventSourceResponse"})
_ASKED = frozenset({"exec", "execute", "get", "get_one", "scalar"})
_SERVED = frozenset({"all", "first", "get", "get_one", "one", "one_or_none", "scalar_one", "scalar_one_or_none"})


# ---- what an awaitable uses ---------------------------------------------------------------------


def _key(node: ast.AST, module: Module, project: Project) -> str:
    """The text of an expression that is an async session, such as `session` or `self.session`; else ""."""
    if isinstance(node, ast.Name | ast.Attribute) and project.is_session(node, module):
        text = ast.unparse(node)
        return text if text.replace(".", "_").isidentifier() else ""
    return ""


def sessions_of(awaitable: ast.expr, module: Module, project: Project) -> set[str]:
    """The sessions of the surrounding function that a coroutine uses: its arguments, its object, what its function closes over."""
    call = awaitable.value if isinstance(awaitable, ast.Await) else awaitable
    if not isinstance(call, ast.Call):
        return set()
    if isinstance(call.func, ast.Attribute) and call.func.attr in _STARTERS and call.args:
        found = sessions_of(call.args[0], module, project)
        return found | {key for one in call.args[1:] if (key := _key(one, module, project))}
    name = project.called(call, module)
    if name in {"asyncio.create_task", "asyncio.ensure_future", "asyncio.wait_for", "asyncio.shield"} and call.args:
        return sessions_of(call.args[0], module, project)
    if name in {"asyncio.to_thread", "asyncio.sleep"}:
        return set()
    keys = {_key(one, module, project) for one in _values(call)}
    if isinstance(call.func, ast.Attribute) and call.func.attr in known.SESSION_COROUTINES:
        keys.add(_key(call.func.value, module, project))
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):  # Service(session).method()
        keys |= {_key(one, module, project) for one in _values(call.func.value)}
    keys |= _closed_over(call, module, project)
    keys.discard("")
    return {key for key in keys if not _bound_inside(key, awaitable, module)}


def _values(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(one.value for one in call.keywords)]


def _bound_inside(key: str, awaitable: ast.expr, module: Module) -> bool:
    """Whether a comprehension around the coroutine makes the session itself."""
    return any(
        isinstance(one, ast.ListComp | ast.GeneratorExp | ast.SetComp)
        and key.partition(".")[0] in module.scopes[one].names
        for one in module.ancestors(awaitable)
    )


def _closed_over(call: ast.Call, module: Module, project: Project) -> set[str]:
    """The sessions that a function inside the function, or a method of the same object, uses without being given them."""
    value = project.value_of(call.func, module)
    if value is None or not isinstance(value.node, Function) or value.module is None:
        return set()
    body, home = value.node, value.module
    is_method = isinstance(home.parents.get(body), ast.ClassDef)
    of_self = (
        isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "self"
    )
    outer = home.function_of(body)
    if not ((is_method and of_self) or (outer and home is module and module.within(call, outer))):
        return set()
    found: set[str] = set()
    own = home.scopes[body].names
    for one in home.own(body, ast.Call):
        used = _values(one)
        if isinstance(one.func, ast.Attribute) and one.func.attr in known.SESSION_COROUTINES:
            used.append(one.func.value)
        for key in {_key(each, home, project) for each in used} - {""}:
            first = key.partition(".")[0]
            outside = (
                first == "self"
                if is_method
                else first not in own and outer is not None and first in home.scopes[outer].names
            )
            if outside and not _guarded(one, body, home):
                found.add(key)
    return found


def _guarded(node: ast.AST, function: ast.AST, module: Module) -> bool:
    """Whether a lock is held where a session is used: any `async with` on something that is called so."""
    for one in module.ancestors(node):
        if one is function:
            return False
        if isinstance(one, ast.AsyncWith):
            for item in one.items:
                text = ast.unparse(item.context_expr).lower()
                if "lock" in text or "sem" in text or "mutex" in text:
                    return True
    return False


# ---- ASM004 -------------------------------------------------------------------------------------


@check("ASM004")
def shared_session(project: Project, module: Module) -> Iterator[Found]:
    """`gather`, a TaskGroup or several `create_task` whose coroutines use one session."""
    groups: dict[Function, list[tuple[ast.Call, set[str]]]] = {}
    for call in module.all(ast.Call):
        attribute = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if attribute in {"gather", "wait", "as_completed"} or isinstance(call.func, ast.Name):
            together = project.called(call, module) in _TOGETHER
            if together and (key := _twice(call, module, project)):
                yield _shared(call, key, module)
            if together:
                continue
        if attribute in _STARTERS or (isinstance(call.func, ast.Name) and call.func.id in _STARTERS):
            around = module.function_of(call)
            keys = _started(call, module, project)
            if around is not None and keys and not _inside_gather(call, module, project):
                groups.setdefault(around, []).append((call, keys))
    for function, started in groups.items():
        for call, keys in started:
            others = [
                one for one, theirs in started if one is not call and theirs & keys and _side_by_side(one, call, module)
            ]
            looped = _in_loop(call, function, module, keys)
            if (looped or others) and not (others and others[0].lineno < call.lineno):
                yield _shared(call, sorted(keys)[0], module)


def _shared(call: ast.Call, key: str, module: Module) -> Found:
    return at(
        module, call, f"`{key}` is used by several tasks at once: they fail on a new connection, or mix their transactions",
        "give each task a session of its own: `async with sessions() as s`",
    )  # fmt: skip


def _started(call: ast.Call, module: Module, project: Project) -> set[str]:
    """The sessions of what `create_task(coroutine)` or `start_soon(function, ...)` starts."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "start_soon":
        return {key for one in call.args[1:] if (key := _key(one, module, project))}
    return sessions_of(call.args[0], module, project) if call.args else set()


def _inside_gather(call: ast.Call, module: Module, project: Project) -> bool:
    return any(isinstance(one, ast.Call) and project.called(one, module) in _TOGETHER for one in module.ancestors(call))


def _side_by_side(one: ast.Call, other: ast.Call, module: Module) -> bool:
    """Whether two tasks may run at once: in the same block, and none is awaited where it is made."""
    if any(isinstance(module.parents[each], ast.Await) for each in (one, other)):
        return False
    return module.parents[module.statement_of(one)] is module.parents[module.statement_of(other)]


def _in_loop(call: ast.Call, function: ast.AST, module: Module, keys: set[str]) -> bool:
    """Whether a task is started again and again with a session from outside the loop, and not awaited in it."""
    if isinstance(module.parents[call], ast.Await):
        return False
    for one in module.ancestors(call):
        if one is function:
            return False
        if isinstance(one, ast.For | ast.AsyncFor):
            names = {
                each.id for each in ast.walk(one) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
            started = module.statement_of(call)
            target = (
                started.targets[0].id
                if isinstance(started, ast.Assign) and isinstance(started.targets[0], ast.Name)
                else ""
            )
            waits = any(
                isinstance(each, ast.Await)
                and target
                and target in {n.id for n in ast.walk(each) if isinstance(n, ast.Name)}
                for each in ast.walk(one)
            )
            return not waits and not any(key.partition(".")[0] in names for key in keys)
        if isinstance(one, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            return True
    return False


def _twice(call: ast.Call, module: Module, project: Project) -> str:
    """A session that at least two of the awaitables of a `gather` use."""
    count: dict[str, int] = {}
    for one, times in _awaitables(call.args, call, module):
        for key in sessions_of(one, module, project):
            count[key] = count.get(key, 0) + times
    return next((key for key, times in count.items() if times > 1), "")


def _awaitables(arguments: list[ast.expr], call: ast.Call, module: Module) -> Iterator[tuple[ast.expr, int]]:
    """The coroutines that are passed, and how often: 2 stands for many."""
    for one in arguments:
        inner = one.value if isinstance(one, ast.Starred) else one
        if isinstance(inner, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            yield inner.elt, 2
        elif isinstance(inner, ast.List | ast.Tuple | ast.Set):
            yield from _awaitables(inner.elts, call, module)
        elif isinstance(inner, ast.Name):
            yield from _of_name(inner, call, module)
        else:
            yield inner, 1


def _of_name(name: ast.Name, call: ast.Call, module: Module) -> Iterator[tuple[ast.expr, int]]:
    """The coroutines behind a name: of a list, or of `tasks.append(...)`."""
    function = module.function_of(call)
    if function is None:
        return
    for binding in module.scopes[function].names.get(name.id, ()):
        node = binding.node.value if isinstance(binding.node, ast.AnnAssign) else binding.node
        if (
            binding.kind in {"value", "annotation"}
            and isinstance(node, ast.ListComp | ast.List | ast.Call)
            and binding.line <= call.lineno
        ):
            yield from _awaitables([node], call, module)
    for one in module.own(function, ast.Call):
        if not isinstance(one.func, ast.Attribute) or one.func.attr != "append" or not one.args:
            continue
        if ast.unparse(one.func.value) == name.id and one.lineno <= call.lineno:
            looped = any(
                isinstance(each, ast.For | ast.AsyncFor | ast.While) and module.within(each, function)
                for each in module.ancestors(one)
            )
            yield one.args[0], 2 if looped else 1


# ---- ASM008 -------------------------------------------------------------------------------------


@check("ASM008")
def outlived_session(project: Project, module: Module) -> Iterator[Found]:
    """A session, or an object of it, that goes to work which runs after the session is closed."""
    for call in module.all(ast.Call):
        function = module.function_of(call)
        if function is None:
            continue
        name = (
            call.func.attr
            if isinstance(call.func, ast.Attribute)
            else call.func.id
            if isinstance(call.func, ast.Name)
            else ""
        )
        if name == "add_task" and isinstance(call.func, ast.Attribute):
            yield from _background(call, function, module, project)
        elif name in {"create_task", "ensure_future"}:
            yield from _task(call, function, module, project)
        elif name in _STREAMS:
            yield from _stream(call, function, module, project)
        elif name == "BackgroundTask":
            yield from _background(call, function, module, project)


def _end(key: str, node: ast.AST, function: Function, module: Module, project: Project) -> str:
    """When a session ends: "block" with its `async with`, "function" or "request" with the scope of
    its dependency, "caller" where it is a parameter; "" unknown."""
    scope = module.scopes[function]
    first = key.partition(".")[0]
    for binding in module.bindings(first, node)[:1]:
        if binding.kind == "with":
            return "block"
        if binding.kind == "parameter" and binding in scope.names.get(first, ()):
            found = next((one for one in _needed(function, module, project) if one[0] == first), None)
            return found[1].scope if found else "caller"
    return ""


def _needed(function: Function, module: Module, project: Project) -> list[tuple[str, Dependency]]:
    found: list[tuple[str, Dependency]] = []
    for one in parameters(function):
        single = project.dependency(one, module)
        if single:
            found += [(one.arg, each) for each in needs(function, module, project) if each.call is single[0]]
    return found


def _background(call: ast.Call, function: Function, module: Module, project: Project) -> Iterator[Found]:
    if not _is_background(call, module, project):
        return
    for one in [*call.args[1:], *(each.value for each in call.keywords)]:
        if key := _key(one, module, project):
            end = _end(key, one, function, module, project)
            if end in {"block", "function"}:
                yield at(
                    module, one, f"the task gets `{key}`, which is closed when it runs: it opens itself again, and is never closed",
                    "pass ids, and open a session in the task",
                )  # fmt: skip
            else:
                yield at(
                    module, one, f"the task gets `{key}`: the connection of the request is held until the task is done",
                    "pass ids, and open a session in the task", possible=True,
                )  # fmt: skip
        elif _is_row(one, module, project):
            yield at(
                module, one, f"the task gets `{ast.unparse(one)}`, whose session is closed when it runs: what is not loaded fails",
                "pass its id, and read it again in the task", possible=True,
            )  # fmt: skip


def _is_background(call: ast.Call, module: Module, project: Project) -> bool:
    if isinstance(call.func, ast.Name):
        return project.called(call, module).endswith(".BackgroundTask")
    assert isinstance(call.func, ast.Attribute)
    owner = project.type_of(call.func.value, module)
    return owner.endswith(".BackgroundTasks") or (not owner and "background" in ast.unparse(call.func.value).lower())


def _is_row(node: ast.expr, module: Module, project: Project) -> bool:
    """Whether a name is one object that was read from a session: `(await session.exec(select(Hero))).one()`."""
    if not isinstance(node, ast.Name):
        return False
    for binding in module.bindings(node.id, node)[:1]:
        if binding.kind != "value" or not isinstance(binding.node, ast.expr):
            return False
        methods = [
            one.func
            for one in ast.walk(binding.node)
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)
        ]
        asked = [one for one in methods if one.attr in _ASKED and project.is_session(one.value, module)]
        single = any(one.attr in _SERVED for one in methods)
        return (
            bool(asked)
            and single
            and any(
                isinstance(one, ast.Name)
                and (found := project.class_at(one, module)) is not None
                and (found.is_table or found.is_declarative)
                for one in ast.walk(binding.node)
            )
        )
    return False


def _task(call: ast.Call, function: Function, module: Module, project: Project) -> Iterator[Found]:
    keys = sessions_of(call.args[0], module, project) if call.args else set()
    if not keys or not _forgotten(call, function, module):
        return
    for key in sorted(keys)[:1]:
        end = _end(key, call, function, module, project)
        if end:
            yield at(
                module, call, f"the task uses `{key}`, which is closed while it runs: it opens itself again, and is never closed",
                "pass ids, and open a session in the task",
            )  # fmt: skip


def _forgotten(call: ast.Call, function: Function, module: Module) -> bool:
    """Whether nobody in the function waits for the task."""
    above = module.parents[call]
    if isinstance(above, ast.Expr):
        return not (
            isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id in {"tg", "group", "task_group"}
        )
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        name = above.targets[0].id
        for one in module.own(function, ast.Name):
            if one.id != name or not isinstance(one.ctx, ast.Load):
                continue
            parent = module.parents[one]
            if isinstance(parent, ast.Attribute) and parent.attr in {"add_done_callback", "set_name", "get_name"}:
                continue
            if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute) and parent.func.attr == "add":
                continue
            return False
        return True
    return False


def _stream(call: ast.Call, function: Function, module: Module, project: Project) -> Iterator[Found]:
    content = call.args[0] if call.args else next((one.value for one in call.keywords if one.arg == "content"), None)
    if not isinstance(content, ast.Call):
        return
    value = project.value_of(content.func, module)
    if (
        value is None
        or not isinstance(value.node, Function)
        or value.module is None
        or not value.module.is_generator(value.node)
    ):
        return
    keys = sessions_of(content, module, project) | _closed_over(content, module, project)
    for key in sorted(keys)[:1]:
        end = _end(key, call, function, module, project)
        if end in {"block", "function"}:
            yield at(
                module, call, f"the stream uses `{key}`, which is closed before it starts: it opens itself again, and is never closed",
                "open a session inside the generator",
            )  # fmt: skip
        elif end or is_route(function):
            yield at(
                module, call, f"the stream uses `{key}`: the connection is held for as long as the client reads",
                "open a session inside the generator", possible=True,
            )  # fmt: skip
