"""ASM001 and ASM002: how sessions are made."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from auditing.catalogue import project_check
from auditing.finding import Edit, Found, adding_keyword, at, replacing
from project_source import known
from project_source.files import is_test
from project_source.modules import Module, keyword
from project_source.project import Project, Value

_MAKER = "sqlalchemy.ext.asyncio.async_sessionmaker"
_OPTION = "expire_on_commit"
_SQLMODEL_IMPORT = "from sqlmodel.ext.asyncio.session import AsyncSession"


@dataclass(frozen=True)
class Factory:
    """A call that makes an async session, or a factory of them.

    Attributes:
        kind: The qualified name of the class of the sessions; "" where that is unknown.
        maker: Whether it makes a factory.
    """

    call: ast.Call
    module: Module
    kind: str
    maker: bool


@lru_cache(maxsize=2)
def factories(project: Project) -> tuple[Factory, ...]:
    """What makes the async sessions of a project."""
    return tuple(
        found
        for module in project.modules.values()
        if b"ession" in module.source
        for call in module.all(ast.Call)
        if isinstance(call.func, ast.Name | ast.Attribute | ast.Subscript)
        and (found := _factory(call, module, project))
    )


def _factory(call: ast.Call, module: Module, project: Project) -> Factory | None:
    function = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    name = project.name_of(function, module)
    if name in known.SESSION_MAKERS:
        chosen = keyword(call, "class_")
        if chosen is None and (name != _MAKER or _spread(call)):
            return Factory(call, module, "", True) if name == _MAKER else None
        kind = project.name_of(chosen, module) if chosen is not None else known.SQLALCHEMY_SESSION
        if name == _MAKER or kind in known.ASYNC_SESSIONS or _is_own(kind, module, project):
            return Factory(call, module, kind, True)
    elif name in {known.SQLMODEL_SESSION, known.SQLALCHEMY_SESSION} or (name and _is_own(name, module, project)):
        return Factory(call, module, name, False)
    return None


def _spread(call: ast.Call) -> bool:
    return any(one.arg is None for one in call.keywords) or any(isinstance(one, ast.Starred) for one in call.args)


def _is_own(name: str, module: Module, project: Project) -> bool:
    """Whether a class of the project inherits from an AsyncSession."""
    if not name or name.startswith(("sqlalchemy.", "sqlmodel.")):
        return False
    found = project.class_named(name, module)
    return found is not None and bool(found.foreign_bases & known.ASYNC_SESSIONS)


# ---- ASM001 -------------------------------------------------------------------------------------


@project_check("ASM001")
def expiring_sessions(project: Project) -> Iterator[Found]:
    """Factories and sessions without `expire_on_commit=False`."""
    found = factories(project)
    corrected = _corrected(project) if found else set()
    for one in found:
        value = keyword(one.call, _OPTION)
        if value is None and (_spread(one.call) or one.call in corrected or _sets_option(one, project)):
            continue
        if value is not None and not (isinstance(value, ast.Constant) and value.value is True):
            continue
        reach = "yielded" if one.maker else _reach(one)
        if not reach:
            continue
        name = ast.unparse(one.call.func)
        yield at(
            one.module, one.call, f"`{name}(...)` without `expire_on_commit=False`: reading an attribute after a commit fails",
            "add `expire_on_commit=False`", possible=reach == "passed" or (not one.maker and is_test(one.module.path)),
            edits=[replacing(value, "False")] if value else adding_keyword(one.module, one.call, f"{_OPTION}=False"),
        )  # fmt: skip


def _corrected(project: Project) -> set[ast.AST]:
    """The factories that get the option later, in `maker(expire_on_commit=False)` or `maker.configure(...)`."""
    corrected: set[ast.AST] = set()
    for module in project.modules.values():
        for one in module.all(ast.keyword):
            call = module.parents[one]
            if one.arg == _OPTION and isinstance(call, ast.Call):
                function = call.func
                if isinstance(function, ast.Attribute) and function.attr == "configure":
                    function = function.value
                value = project.value_of(function, module)
                if value and value.instance and value.node:
                    corrected.add(value.node)
    return corrected


def _sets_option(one: Factory, project: Project) -> bool:
    """Whether the class of the sessions is one of the project that mentions the option."""
    own = project.class_named(one.kind, one.module) if one.kind else None
    return own is not None and any(
        isinstance(node, ast.keyword | ast.arg | ast.Constant)
        and _OPTION in {getattr(node, "arg", None), getattr(node, "value", None)}
        for each in own.lineage
        for node in ast.walk(each.node)
    )


def _reach(one: Factory) -> str:
    """How far a session goes that is made directly: "commits" and is read, "yielded", "passed" on, or "" for nowhere."""
    module, above = one.module, one.module.parents[one.call]
    if not one.call.args and not one.call.keywords:
        return ""  # a session without an engine: only tests of something else have one
    if not isinstance(above, ast.withitem):
        return "passed"
    block = module.parents[above]
    if not isinstance(above.optional_vars, ast.Name):
        return ""
    name = above.optional_vars.id
    uses = [node for node in ast.walk(block) if _is_name(node, name) and node is not above.optional_vars]
    parents = [module.parents[node] for node in uses]
    if any(isinstance(one, ast.Yield) for one in parents):
        return "yielded"
    commits = [one.lineno for one in parents if isinstance(one, ast.Attribute) and one.attr in {"commit", "begin"}]
    if commits and any(
        isinstance(node, ast.Attribute)
        and node.lineno > min(commits)
        and not _is_name(node.value, name)
        and _is_object(node, module)
        for node in ast.walk(block)
    ):
        return "commits"
    return "passed" if not all(isinstance(one, ast.Attribute) for one in parents) else ""


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_object(node: ast.Attribute, module: Module) -> bool:
    """Whether an attribute may be one of a row: of a name that the function binds, and read or dumped."""
    above = module.parents[node]
    called = isinstance(above, ast.Call) and above.func is node
    if not isinstance(node.value, ast.Name) or (called and node.attr not in {"model_dump", "model_dump_json"}):
        return False
    function = module.function_of(node) or module.tree
    return any(one.kind in {"value", "for"} for one in module.scopes[function].names.get(node.value.id, ()))


# ---- ASM002 -------------------------------------------------------------------------------------


@project_check("ASM002")
def exec_of_sqlalchemy(project: Project) -> Iterator[Found]:
    """`exec()` on a session that is SQLAlchemy's, and the factory or import that makes it so."""
    made = factories(project)
    kinds = {one.kind for one in made}
    only_plain = bool(made) and kinds <= {known.SQLALCHEMY_SESSION}
    causes: dict[ast.AST, Factory] = {one.call: one for one in made if one.kind == known.SQLALCHEMY_SESSION}
    unknown = {one.call for one in made if not one.kind}
    guilty: set[ast.AST] = set()
    imports: dict[tuple[str, ast.AST], tuple[Module, ast.stmt, int, str]] = {}
    for call, module, value in _execs(project):
        if value.node in causes:
            guilty.add(causes[value.node].call)
        elif value.name == known.SQLMODEL_SESSION:
            guilty.update(causes if only_plain else ())
        elif value.node in unknown:
            continue
        elif line := _import_of(module):
            imports.setdefault((module.path, line), (module, line, call.lineno, ast.unparse(call.func)))
        else:
            yield at(
                module, call, f"`{ast.unparse(call.func)}()`: SQLAlchemy's session has no `exec`, so this is an AttributeError",
                "use SQLModel's `AsyncSession`", possible=not only_plain and bool(made),
            )  # fmt: skip
    for module, origin, number, text in imports.values():
        yield at(
            module, origin, f"SQLAlchemy's `AsyncSession` has no `exec`: line {number} (`{text}()`) is an AttributeError",
            f"write `{_SQLMODEL_IMPORT}`", possible=not only_plain and bool(made),
            edits=_import_edit(origin),
        )  # fmt: skip
    for one in made:
        beside = one.call in causes and one.maker and not keyword(one.call, "class_") and _sqlmodel_name(one.module)
        if one.call in guilty or beside:
            yield _plain_factory(one, sure=one.call in guilty)


def _execs(project: Project) -> Iterator[tuple[ast.Call, Module, Value]]:
    """The calls of `exec` on async sessions."""
    for module in project.modules.values():
        for call in module.all(ast.Call):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "exec":
                value = project.value_of(call.func.value, module)
                if value and value.instance and value.name in known.ASYNC_SESSIONS:
                    yield call, module, value


def _import_of(module: Module) -> ast.ImportFrom | None:
    """The line that imports SQLAlchemy's AsyncSession into a module."""
    for bindings in module.top.names.values():
        for one in bindings:
            if one.kind == "import" and known.canonical(one.name) == known.SQLALCHEMY_SESSION:
                return one.node if isinstance(one.node, ast.ImportFrom) else None
    return None


def _import_edit(line: ast.stmt) -> list[Edit]:
    if not isinstance(line, ast.ImportFrom) or len(line.names) != 1:
        return []
    other = line.names[0].asname
    return [replacing(line, _SQLMODEL_IMPORT + (f" as {other}" if other else ""))]


def _sqlmodel_name(module: Module) -> str:
    """The name under which a module has imported SQLModel's AsyncSession."""
    return next(
        (
            name
            for name, bindings in module.top.names.items()
            if any(one.kind == "import" and known.canonical(one.name) == known.SQLMODEL_SESSION for one in bindings)
        ),
        "",
    )


def _plain_factory(one: Factory, *, sure: bool) -> Found:
    text = ast.unparse(one.call.func)
    local = _sqlmodel_name(one.module)
    if not one.maker or keyword(one.call, "class_"):
        line = _import_of(one.module)
        return at(
            one.module, one.call, f"`{text}(...)` makes SQLAlchemy's session, which has no `exec`: AttributeError",
            f"write `{_SQLMODEL_IMPORT}`", edits=_import_edit(line) if line else [],
        )  # fmt: skip
    free = "AsyncSession" not in one.module.top.names
    edits = adding_keyword(one.module, one.call, f"class_={local or 'AsyncSession'}") if local or free else []
    return at(
        one.module, one.call, f"`{text}(...)` without `class_` makes SQLAlchemy's session, which has no `exec`: AttributeError",
        "add `class_=AsyncSession`, SQLModel's", possible=not sure,
        edits=edits, imports=[_SQLMODEL_IMPORT] if edits and not local else [],
    )  # fmt: skip
