"""What the code defines: applications, engines, session factories, session dependencies, models and schemas."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from project_source import known
from project_source.classes import Class
from project_source.modules import Function, Module, keyword
from project_source.project import Project
from project_source.requests import route_decorators

_ENGINES = {
    "sqlalchemy.ext.asyncio.create_async_engine": True,
    "sqlalchemy.ext.asyncio.async_engine_from_config": True,
    "sqlalchemy.create_engine": False,
    "sqlalchemy.engine_from_config": False,
}
_MAKERS = {
    "sqlalchemy.ext.asyncio.async_sessionmaker": True,
    "sqlalchemy.orm.sessionmaker": False,
}


@dataclass(frozen=True)
class Place:
    """Where something is defined, and its name."""

    name: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.name} {self.path}:{self.line}" if self.name else f"{self.path}:{self.line}"


@dataclass(frozen=True)
class App(Place):
    """A FastAPI application."""

    lifespan: bool = False


@dataclass(frozen=True)
class Engine(Place):
    """A call that makes an engine."""

    is_async: bool = True


@dataclass(frozen=True)
class Maker(Place):
    """A session factory.

    Attributes:
        session: Qualified name of the class of its sessions.
        expires: Whether objects expire at a commit.
    """

    session: str = ""
    expires: bool = True


@dataclass(frozen=True)
class Dependency(Place):
    """A function that gives a session to routes.

    Attributes:
        scope: Scopes with which `Depends` names it; "request" is FastAPI's default.
        commits: Whether it commits after its yield.
    """

    scope: tuple[str, ...] = ()
    commits: bool = False
    is_async: bool = True


@dataclass(frozen=True)
class Model(Place):
    """A table."""

    table: str = ""
    keys: tuple[str, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()  # field, target column
    unindexed: tuple[str, ...] = ()  # foreign keys without an index
    relationships: tuple[tuple[str, str], ...] = ()  # name, target; "[...]" for many
    lazy: tuple[str, ...] = ()  # relationships that load when they are read


@dataclass
class Code:
    """All of it."""

    apps: list[App] = field(default_factory=list)
    routers: list[Place] = field(default_factory=list)
    routes: int = 0
    engines: list[Engine] = field(default_factory=list)
    makers: list[Maker] = field(default_factory=list)
    sessions_by_hand: list[Place] = field(default_factory=list)
    dependencies: list[Dependency] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    declarative: list[Place] = field(default_factory=list)
    schemas: list[Place] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)  # first names of imported packages
    uses_async_sessions: bool = False
    chooses_driver: bool = False  # it puts the async driver into URLs itself


def look(project: Project) -> Code:
    """Go through the modules."""
    found = Code()
    for module in project.modules.values():
        names = [one.name for node in module.all(ast.Import) for one in node.names]
        names += [node.module or "" for node in module.all(ast.ImportFrom) if not node.level]
        found.imports |= {name.partition(".")[0] for name in names}
        found.uses_async_sessions = found.uses_async_sessions or any("ext.asyncio" in name for name in names)
        found.chooses_driver = found.chooses_driver or _chooses_driver(module)
        _calls(project, module, found)
        found.routes += sum(1 for function in module.functions() for _ in route_decorators(function))
    _dependencies(project, found)
    _classes(project, found)
    return found


def _calls(project: Project, module: Module, found: Code) -> None:
    for call in module.all(ast.Call):
        name = project.called(call, module)
        place = (_target(call, module), module.path, call.lineno)
        if name == "fastapi.FastAPI":
            found.apps.append(App(*place, lifespan=keyword(call, "lifespan") is not None))
        elif name == "fastapi.APIRouter":
            found.routers.append(Place(*place))
        elif name in _ENGINES:
            found.engines.append(Engine(*place, is_async=_ENGINES[name]))
        elif name in _MAKERS:
            made = project.result_of(call, module)
            found.makers.append(
                Maker(*place, session=made.name if made else "", expires=not _is_false(call, "expire_on_commit"))
            )
        elif name in known.ASYNC_SESSIONS | known.SYNC_SESSIONS:
            found.sessions_by_hand.append(Place(*place))


def _dependencies(project: Project, found: Code) -> None:
    scopes: dict[Function, tuple[Module, set[str]]] = {}
    for module in project.modules.values():
        for call in module.all(ast.Call):
            if not call.args or not isinstance(call.func, ast.Name | ast.Attribute):
                continue
            if project.called(call, module) in known.DEPENDS:
                value = project.value_of(call.args[0], module)
                if value and isinstance(value.node, Function) and value.module:
                    given = keyword(call, "scope")
                    scope = str(given.value) if isinstance(given, ast.Constant) else "request"
                    scopes.setdefault(value.node, (value.module, set()))[1].add(scope)
    for function, (module, given_scopes) in scopes.items():
        given_value = project.result_of_function(function, module)
        name = given_value.name if given_value and given_value.instance else ""
        if name in known.ASYNC_SESSIONS | known.SYNC_SESSIONS:
            yields = [one.lineno for one in module.own(function, ast.Yield)]
            commits = [
                one for one in module.own(function, ast.Call)
                if isinstance(one.func, ast.Attribute) and one.func.attr == "commit" and yields and one.lineno > yields[0]
            ]  # fmt: skip
            begins = any(
                isinstance(one.func, ast.Attribute) and one.func.attr == "begin"
                for one in module.own(function, ast.Call)
            )
            found.dependencies.append(
                Dependency(
                    function.name, module.path, function.lineno, tuple(sorted(given_scopes)), bool(commits) or begins,
                    name in known.ASYNC_SESSIONS,
                )
            )  # fmt: skip


def _classes(project: Project, found: Code) -> None:
    for one in project.classes:
        place = (one.name, one.module.path, one.node.lineno)
        if one.is_table:
            found.models.append(_model(one, place))
        elif one.is_declarative:
            found.declarative.append(Place(*place))
        elif one.is_schema:
            found.schemas.append(Place(*place))


def _model(one: Class, place: tuple[str, str, int]) -> Model:
    foreign: list[tuple[str, str]] = []
    unindexed: list[str] = []
    keys: list[str] = []
    relationships: list[tuple[str, str]] = []
    lazy: list[str] = []
    for name, field_ in one.fields.items():
        if field_.kind == "relationship":
            target = next(
                (x for x in field_.names if x not in {"list", "List", "Optional", "set", "Sequence", "None"}), "?"
            )
            relationships.append((name, f"[{target}]" if field_.many else target))
            options = ast.unparse(field_.call) if field_.call else ""
            if "lazy" not in options:
                lazy.append(name)
            continue
        text = ast.unparse(field_.call) if field_.call else ""
        key = field_.argument("primary_key")
        if (isinstance(key, ast.Constant) and key.value is True) or "primary_key=True" in text:
            keys.append(name)
        target_column = field_.argument("foreign_key")
        if target_column is not None or "ForeignKey(" in text:
            value = target_column.value if isinstance(target_column, ast.Constant) else "?"
            foreign.append((name, str(value)))
            if not any(word in text for word in ("index=True", "unique=True", "primary_key=True")):
                unindexed.append(name)
    indexed = {
        node.value
        for line in one.node.body
        if isinstance(line, ast.Assign) and "__table_args__" in ast.unparse(line.targets[0])
        for node in ast.walk(line.value)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return Model(
        *place, table=one.table_name, keys=tuple(keys), foreign=tuple(foreign),
        unindexed=tuple(name for name in unindexed if name not in indexed), relationships=tuple(relationships), lazy=tuple(lazy),
    )  # fmt: skip


def _chooses_driver(module: Module) -> bool:
    """Whether a module sets the driver of a URL: `url.set(drivername=...)`, `url.replace("postgresql://", ...)`, PostgresDsn.build(...)."""
    for call in module.all(ast.Call):
        if isinstance(call.func, ast.Attribute):
            first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
            if call.func.attr in {"set", "create", "build"} and any(
                one.arg in {"drivername", "scheme"} for one in call.keywords
            ):
                return True
            if (
                call.func.attr == "replace"
                and isinstance(first, str)
                and first.startswith(("postgres", "sqlite", "mysql", "mariadb"))
            ):
                return True
    return False


def _target(call: ast.Call, module: Module) -> str:
    """The name that the result of a call is given."""
    above = module.parents.get(call)
    target = above.targets[0] if isinstance(above, ast.Assign) else getattr(above, "target", None)
    return ast.unparse(target) if isinstance(target, ast.Name | ast.Attribute) else ""


def _is_false(call: ast.Call, name: str) -> bool:
    value = keyword(call, name)
    return isinstance(value, ast.Constant) and value.value is False
