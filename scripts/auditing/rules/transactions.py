"""ASM009 and ASM010: errors that are caught without a rollback, transactions that end too early, statements in loops."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source import known
from project_source.files import is_test
from project_source.modules import Function, Module
from project_source.project import Project

_ERRORS = frozenset(f"sqlalchemy.exc.{name}" for name in (
    "DBAPIError", "DataError", "DatabaseError", "IntegrityError", "InternalError", "OperationalError", "ProgrammingError", "SQLAlchemyError",
))  # fmt: skip
_SENDING = frozenset({
    "commit",
    "delete",
    "exec",
    "execute",
    "flush",
    "get",
    "get_one",
    "merge",
    "refresh",
    "scalar",
    "scalars",
    "stream",
})
_CLEARING = frozenset({"aclose", "close", "invalidate", "reset", "rollback"})
_TRANSACTIONS = frozenset({"begin", "begin_nested"})


def _key(node: ast.AST) -> str:
    """The text of a name or attribute such as `session` or `self.session`; "" for other expressions."""
    if isinstance(node, ast.Name | ast.Attribute):
        text = ast.unparse(node)
        return text if text.replace(".", "_").isidentifier() else ""
    return ""


def _calls(node: ast.AST, module: Module, names: frozenset[str]) -> Iterator[tuple[ast.Call, str]]:
    """The calls of methods in a node, with the text of their object."""
    found = [node] if isinstance(node, ast.Call) else []
    for call in [*found, *module.own(node, ast.Call)]:
        if isinstance(call.func, ast.Attribute) and call.func.attr in names and (key := _key(call.func.value)):
            yield call, key


# ---- ASM009 -------------------------------------------------------------------------------------


@check("ASM009")
def caught_without_rollback(project: Project, module: Module) -> Iterator[Found]:
    """`except IntegrityError` that neither raises nor rolls back, around a statement of a session that lives on."""
    for block in module.all(ast.Try):
        handlers = [one for one in block.handlers if not _gives_up(one, module)]
        if not handlers or any(_clears(line, module) for line in block.finalbody):
            continue
        sending = _sending(block, module, project)
        if not sending:
            continue
        for handler in handlers:
            narrow = _narrow(handler, module, project)
            if not narrow and not _broad(handler):
                continue
            key = next((one for one in sending if _used_later(one, block, handler, module)), "")
            if not key and not narrow:
                continue
            name = ast.unparse(handler.type) if handler.type else ""
            yield at(
                module, handler, f"`except {name}`".replace(" `", "`") + f" without a rollback: `{key or sending[0]}` is unusable from here on",
                f"`await {key or sending[0]}.rollback()` first, or put the statement into `async with {key or sending[0]}.begin_nested()`",
                possible=not (narrow and key),
            )  # fmt: skip


def _gives_up(handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether a handler raises, or clears the session itself or in a function that is called so."""
    if next(module.own(handler, ast.Raise), None) is not None or _clears(handler, module):
        return True
    return any(
        "exit" in ast.unparse(one.func) or "rollback" in ast.unparse(one.func) for one in module.own(handler, ast.Call)
    )


def _clears(node: ast.AST, module: Module) -> bool:
    return next(_calls(node, module, _CLEARING), None) is not None


def _narrow(handler: ast.ExceptHandler, module: Module, project: Project) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
    return any(project.name_of(one, module) in _ERRORS for one in kinds)


def _broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )


def _sending(block: ast.Try, module: Module, project: Project) -> list[str]:
    """The sessions that a try sends statements with, outside a savepoint and a session of its own."""
    found: list[str] = []
    for line in block.body:
        for call, key in _calls(line, module, _SENDING):
            if key in found or not isinstance(call.func, ast.Attribute) or _protected(call, key, block, module):
                continue
            if project.is_session(call.func.value, module):
                found.append(key)
    return found


def _protected(call: ast.Call, key: str, block: ast.Try, module: Module) -> bool:
    """Whether an error leaves a savepoint, a transaction or the session itself on its way to the `except`."""
    for above in module.ancestors(call):
        if above is block:
            return False
        if isinstance(above, ast.With | ast.AsyncWith):
            for item in above.items:
                node = item.context_expr
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in _TRANSACTIONS
                ):
                    return True
                if item.optional_vars is not None and _key(item.optional_vars) == key:
                    return True
        if isinstance(above, ast.Try) and above.handlers:
            return True  # another except is nearer
    return False


def _used_later(key: str, block: ast.Try, handler: ast.ExceptHandler, module: Module) -> bool:
    """Whether the session sends more statements after a handler that comes to its end."""
    last = handler.body[-1]
    if isinstance(last, ast.Return):
        return False
    around: ast.AST = block
    for above in module.ancestors(block):
        body = _follow(above, around)
        if isinstance(above, ast.With | ast.AsyncWith) and _binds(above, key):
            return _first_use(body, key, module)
        if isinstance(above, ast.For | ast.AsyncFor | ast.While):
            if not isinstance(last, ast.Break):
                bound = {
                    each.id
                    for each in ast.walk(above)
                    if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
                }
                return key.partition(".")[0] not in bound
            last, body = ast.Pass(), []
        if not isinstance(last, ast.Continue | ast.Break):
            if _first_use(body, key, module):
                return True
            if any(_clears(line, module) for line in body):
                return False
            if any(isinstance(line, ast.Return | ast.Raise) for line in body):
                return False
        if isinstance(above, Function | ast.Module):
            return False
        around = above
    return False


def _binds(block: ast.With | ast.AsyncWith, key: str) -> bool:
    return any(item.optional_vars is not None and _key(item.optional_vars) == key for item in block.items)


def _follow(above: ast.AST, around: ast.AST) -> list[ast.stmt]:
    """The statements behind a statement in its block."""
    for name in ("body", "orelse", "finalbody"):
        lines = getattr(above, name, None)
        if isinstance(lines, list) and around in lines:
            return lines[lines.index(around) + 1 :]
    return []


def _first_use(lines: list[ast.stmt], key: str, module: Module) -> bool:
    """Whether the first thing that statements do with a session needs it to be usable."""
    for line in lines:
        for call, own in _calls(line, module, _SENDING | _CLEARING):
            if own == key and isinstance(call.func, ast.Attribute):
                return call.func.attr in _SENDING
    return False


# ---- ASM010: the transaction of a block ---------------------------------------------------------


@check("ASM010")
def ended_inside(project: Project, module: Module) -> Iterator[Found]:
    """A commit or rollback inside `async with session.begin()`, `begin_nested()` or `sessions.begin()`."""
    for block in module.all(ast.AsyncWith):
        for item in block.items:
            node = item.context_expr
            if (
                not isinstance(node, ast.Call)
                or not isinstance(node.func, ast.Attribute)
                or node.func.attr not in _TRANSACTIONS
            ):
                continue
            owner = node.func.value
            kind = project.type_of(owner, module)
            if kind in known.ASYNC_SESSIONS or kind == known.ASYNC_CONNECTION:
                key = _key(owner)
            elif (kind in known.SESSION_MAKERS or kind == known.ASYNC_ENGINE) and item.optional_vars is not None:
                key = _key(item.optional_vars)
            else:
                continue
            for call, own in _calls_in(block, module):
                if own == key and (ast.unparse(call.func).endswith(".commit") or _used_after(call, key, block, module)):
                    yield at(
                        module, call, f"`{ast.unparse(call.func)}()` ends the transaction of `{ast.unparse(node)}`: a further statement fails",
                        "leave it out: the block commits at its end, and rolls back when an error leaves it",
                    )  # fmt: skip


def _calls_in(block: ast.AsyncWith, module: Module) -> Iterator[tuple[ast.Call, str]]:
    """The commits and rollbacks of a block, without those of blocks in it that own a transaction themselves."""
    for call, key in _calls(block, module, frozenset({"commit", "rollback"})):
        inner = next(
            one for one in module.ancestors(call) if one is block or (isinstance(one, ast.AsyncWith) and _begins(one))
        )
        if inner is block:
            yield call, key


def _begins(block: ast.AsyncWith) -> bool:
    return any(
        isinstance(item.context_expr, ast.Call)
        and isinstance(item.context_expr.func, ast.Attribute)
        and item.context_expr.func.attr in _TRANSACTIONS
        for item in block.items
    )


def _used_after(call: ast.Call, key: str, block: ast.AsyncWith, module: Module) -> bool:
    """Whether the block goes on with the session after a rollback."""
    around: ast.AST = module.statement_of(call)
    for above in [module.parents[around], *module.ancestors(module.parents[around])]:
        lines = _follow(above, around)
        if _first_use(lines, key, module):
            return True
        if any(isinstance(line, ast.Return | ast.Raise | ast.Break | ast.Continue) for line in lines) or above is block:
            return False
        around = above
    return False


# ---- ASM010: a statement for each row -----------------------------------------------------------

Loop: TypeAlias = ast.For | ast.ListComp | ast.GeneratorExp
_READING = frozenset({"exec", "execute", "get", "get_one", "refresh", "scalar", "scalars"})


@check("ASM010")
def statement_for_each_row(project: Project, module: Module) -> Iterator[Found]:
    """`await session.get(...)`, a query, `refresh`, `flush` or `commit` in a loop over rows."""
    if is_test(module.path):
        return  # a few rows, and nobody waits
    loops: list[Loop] = [*module.all(ast.For), *module.all(ast.ListComp, ast.GeneratorExp)]
    for loop in loops:
        rows = loop.iter if isinstance(loop, ast.For) else loop.generators[0].iter
        if _is_small(rows, module):
            continue
        names = _targets(loop)
        for call, key in _calls(loop, module, _READING | {"flush", "commit"}):
            if not isinstance(module.parents[call], ast.Await) or not isinstance(call.func, ast.Attribute):
                continue
            if not _each_time(call, loop, module) or module.within(call, rows) or call is rows:
                continue
            writes = call.func.attr in {"flush", "commit"}
            if writes and not isinstance(module.parents[module.statement_of(call)], ast.For):
                continue
            if key.partition(".")[0] in names or not project.is_session(call.func.value, module):
                continue
            if not writes and not _names(call) & names:
                continue
            sure = _commits_each(call, loop, module) if writes else _asks_for_row(call, names, module, project)
            what = (
                "a flush" if call.func.attr == "flush" else "a commit" if call.func.attr == "commit" else "a statement"
            )
            yield at(
                module, call, f"`{ast.unparse(call.func)}()` in a loop sends {what} for each row",
                "one `flush` or `commit` after the loop" if writes else "one statement for all: `in_(...)`, `selectinload`, or `params=[...]`",
                possible=not sure or _is_search(loop, module),
            )  # fmt: skip


def _commits_each(call: ast.Call, loop: ast.AST, module: Module) -> bool:
    """Whether each turn of a loop adds a row and commits it."""
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr == "commit" and next(_calls(loop, module, frozenset({"add"})), None) is not None


def _asks_for_row(call: ast.Call, names: set[str], module: Module, project: Project) -> bool:
    """Whether a statement reads the row of one turn: `get(Hero, id)`, `refresh(hero)`, `select(Hero).where(Hero.id == id)`."""
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr == "refresh":
        return bool(call.args) and isinstance(call.args[0], ast.Name) and call.args[0].id in names
    if call.func.attr in {"get", "get_one"}:
        return len(call.args) > 1
    statement = call.args[0] if call.args else None
    if isinstance(statement, ast.Name):
        found = module.bindings(statement.id, statement)
        statement = found[0].node if len(found) == 1 and isinstance(found[0].node, ast.expr) else None
    if statement is None or "in_(" in ast.unparse(statement):
        return False
    return project.type_of(statement, module) in {"sqlalchemy.Select", "sqlmodel.Select"} and any(
        isinstance(one, ast.Compare)
        and isinstance(one.ops[0], ast.Eq)
        and {each.id for each in ast.walk(one) if isinstance(each, ast.Name)} & names
        for one in ast.walk(statement)
    )


def _is_search(loop: ast.AST, module: Module) -> bool:
    """Whether a loop ends when it has found something, or waits between its turns."""
    return next(module.own(loop, ast.Return, ast.Break), None) is not None or any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "sleep" for call in module.own(loop, ast.Call)
    )


def _targets(loop: Loop) -> set[str]:
    """The names that a loop binds."""
    targets = [loop] if isinstance(loop, ast.For) else [one.target for one in loop.generators]
    return {
        one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }  # fmt: skip


def _names(call: ast.Call) -> set[str]:
    return {
        one.id
        for argument in [*call.args, *(k.value for k in call.keywords)]
        for one in ast.walk(argument)
        if isinstance(one, ast.Name)
    }


def _is_small(rows: ast.expr, module: Module) -> bool:
    """Whether a loop is over a few written values, batches or attempts."""
    if isinstance(rows, ast.Name):
        found = module.bindings(rows.id, rows)
        node = found[0].node if len(found) == 1 and found[0].kind in {"value", "annotation"} else None
        rows = node.value or rows if isinstance(node, ast.AnnAssign) else node if isinstance(node, ast.expr) else rows
    if isinstance(rows, ast.List | ast.Tuple | ast.Set | ast.Dict | ast.Constant):
        return True
    text = ast.unparse(rows).lower()
    if isinstance(rows, ast.Call) and isinstance(rows.func, ast.Name) and rows.func.id == "range":
        return len(rows.args) == 3 or "retr" in text or "attempt" in text
    return any(word in text for word in ("batch", "chunk", "retr", "attempt", "partition", "mapper"))


def _each_time(call: ast.Call, loop: ast.AST, module: Module) -> bool:
    """Whether a call belongs to this loop, is not one of a batch or a retry, and its loop does not end with it."""
    for above in module.ancestors(call):
        if above is loop:
            return True
        if isinstance(
            above, ast.For | ast.AsyncFor | ast.While | ast.ListComp | ast.GeneratorExp | ast.Try | ast.ExceptHandler
        ):
            return False
        if isinstance(above, ast.If) and _is_rare(above.test):
            return False
    return True


def _is_rare(test: ast.expr) -> bool:
    """Whether a condition is true at times only: each hundredth turn, or when something is missing yet."""
    return any(
        isinstance(one, ast.Mod | ast.Gt | ast.GtE | ast.NotIn)
        or (
            isinstance(one, ast.Compare)
            and isinstance(one.ops[0], ast.Is)
            and ast.unparse(one.comparators[0]) == "None"
        )
        for one in ast.walk(test)
    )
