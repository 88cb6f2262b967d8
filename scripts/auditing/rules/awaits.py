"""ASM003: a coroutine of a session that nobody awaits, and an await that is in the wrong place."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source import known
from project_source.modules import Module
from project_source.project import Project

_READ = frozenset({"all", "first", "fetchall", "mappings", "one", "one_or_none", "partitions", "rowcount", "scalar", "scalar_one",
                   "scalar_one_or_none", "scalars", "tuples", "unique"})  # fmt: skip


@check("ASM003")
def awaits(project: Project, module: Module) -> Iterator[Found]:
    """Calls of an AsyncSession's methods, by what stands around them."""
    for call in module.all(ast.Call):
        if not isinstance(call.func, ast.Attribute):
            continue
        name = call.func.attr
        if name in known.SESSION_COROUTINES:
            misuse = _misuse(call, module)
            if misuse and project.is_session(call.func.value, module):
                yield at(module, call, f"`{ast.unparse(call.func)}()` is not awaited{misuse}", _remedy(call, module))
        elif name in known.SESSION_FUNCTIONS and isinstance(above := module.parents[call], ast.Await):
            if not project.is_session(call.func.value, module):
                continue
            yield at(
                module, above, f"`{ast.unparse(call.func)}()` is no coroutine: the `await` is a TypeError", "remove the `await`",
            )  # fmt: skip


@check("ASM003")
def plain_with(project: Project, module: Module) -> Iterator[Found]:
    """`with maker() as session`, where only `async with` works."""
    for block in module.all(ast.With):
        for item in block.items:
            if isinstance(item.context_expr, ast.Call) and project.is_session(item.context_expr, module):
                yield at(
                    module, item.context_expr, f"`with {ast.unparse(item.context_expr)}` is a TypeError: the session is asynchronous",
                    "write `async with`",
                )  # fmt: skip


def _misuse(call: ast.Call, module: Module) -> str:
    """What becomes of a coroutine that is not awaited; "" where somebody may await it."""
    above = module.parents[call]
    if isinstance(above, ast.Expr):
        return ": nothing is sent, and nothing is said"
    if isinstance(above, ast.Attribute):
        return f": a coroutine has no `{above.attr}`"
    if isinstance(above, ast.Subscript) and above.value is call:
        return ": a coroutine has no items"
    if isinstance(above, ast.For | ast.AsyncFor | ast.comprehension) and above.iter is call:
        return ": a coroutine cannot be iterated"
    if isinstance(above, ast.If | ast.While | ast.IfExp) and above.test is call:
        return ": a coroutine is always true"
    if isinstance(above, ast.Compare | ast.BoolOp) or (
        isinstance(above, ast.UnaryOp) and isinstance(above.op, ast.Not)
    ):
        return ": a coroutine is compared"
    if isinstance(above, ast.Assign) and len(above.targets) == 1 and isinstance(above.targets[0], ast.Name):
        return _of_name(above, above.targets[0].id, module)
    return ""


def _of_name(line: ast.Assign, name: str, module: Module) -> str:
    """What becomes of a coroutine that has a name, where it is only read."""
    function = module.function_of(line) or module.tree
    uses = [
        one for one in ast.walk(function)
        if isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Load) and one.lineno >= line.lineno
    ]  # fmt: skip
    above = [module.parents[one] for one in uses]
    read = next((one.attr for one in above if isinstance(one, ast.Attribute) and one.attr in _READ), "")
    again = [one for one in module.scopes[function].names.get(name, ()) if one.line > line.lineno]
    awaited = any(not isinstance(one, ast.Attribute) or one.attr not in _READ for one in above)
    return f": a coroutine has no `{read}`" if read and not awaited and not again else ""


def _remedy(call: ast.Call, module: Module) -> str:
    text = f"{ast.unparse(call.func)}(...)"
    function = module.function_of(call)
    where = ", in an `async def`" if isinstance(function, ast.FunctionDef) else ""
    inner = isinstance(module.parents[call], ast.Attribute | ast.Subscript)
    return f"write `(await {text})`{where}" if inner else f"write `await {text}`{where}"
