"""ASM012: database URLs that fail at the first connection, or whose password breaks or hides them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from auditing.catalogue import check, project_check
from auditing.finding import Edit, Found, at, in_file, replacing
from project_source.engines import URL, Engine, Source, engines, entries, sources
from project_source.files import is_test
from project_source.migrations import Environment, environments
from project_source.modules import Module, keyword
from project_source.project import Project
from project_source.requirements import requirements
from project_source.texts import Piece, literal, origins, pieces

_SYNC = frozenset({
    "psycopg2",
    "psycopg2cffi",
    "pg8000",
    "pysqlite",
    "pysqlcipher",
    "pymysql",
    "mysqldb",
    "mysqlconnector",
    "mariadbconnector",
})
_ASYNC = {
    "postgresql": "asyncpg",
    "postgres": "asyncpg",
    "mysql": "asyncmy",
    "mariadb": "asyncmy",
    "sqlite": "aiosqlite",
}
_DRIVERS = frozenset({"asyncpg", "aiosqlite", "aiomysql", "asyncmy"})
_LIBPQ = frozenset({
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslnegotiation", "channel_binding", "application_name", "connect_timeout",
    "options", "check_same_thread", "client_encoding", "gssencmode", "keepalives", "keepalives_idle", "keepalives_interval", "pgbouncer",
})  # fmt: skip
_INSTEAD = {
    "sslmode": "write `ssl=`", "channel_binding": "leave it out", "connect_timeout": "write `timeout=`", "pgbouncer": "leave it out",
    "application_name": "pass it in `connect_args={\"server_settings\": {...}}`",
}  # fmt: skip
_POOLERS = re.compile(r":6543\b|-pooler\.|pooler\.supabase\.com|pgbouncer")
_SCHEME = re.compile(r"\^?(?:postgres|postgresql|mysql|mariadb|sqlite)(?:\+\w+)?(?::/{0,3})?")
_REWRITERS = frozenset({"replace", "startswith", "removeprefix", "sub", "set", "match", "split", "partition"})
_QUOTING = ("quot", "escap", "encode")
_SPECIAL = re.compile(r"[@/%:#?\[\]]")
_CACHES = 'pass `connect_args={"statement_cache_size": 0, "prepared_statement_cache_size": 0}`'


@project_check("ASM012")
def urls_of_engines(project: Project) -> Iterator[Found]:
    """The URLs that reach an async engine, in the code and in the files of settings."""
    for engine in engines(project):
        for source in engine.sources:
            if source.kind == "text":
                yield from _of_text(project, engine, source)
            elif source.kind == "masked":
                yield _masked(source.node, source.module)
            elif (
                source.kind == "setting"
                and re.search(r"pgbouncer|pooler", source.text.lower())
                and _caches(project, engine)
            ):
                yield at(
                    engine.module, engine.call, "behind a transaction pooler, asyncpg's prepared statements vanish: `does not exist`",
                    _CACHES, possible=True,
                )  # fmt: skip
        yield from _connect_args(project, engine)
    yield from _settings(project)


def _of_text(project: Project, engine: Engine, source: Source) -> Iterator[Found]:
    match = URL.match(source.text)
    if match is None or (_is_default(source) and _rewrites(project)):
        return
    node, module = source.node, source.module
    if wrong := _wrong_driver(project, match):
        yield at(module, node, *wrong)
    if match["driver"] == "asyncpg":
        for option in _unknown(source.text):
            yield at(module, node, *_option(option), edits=_renamed(node, module))
        if (
            _POOLERS.search(source.text)
            and "statement_cache_size" not in _arguments(project, engine)
            and not engine.open_ended
        ):
            yield at(
                module, node, "the URL of a transaction pooler: asyncpg's prepared statements vanish there", _CACHES
            )
    if _broken(source.text):
        yield at(
            module, node, "a second `@` in the URL: what follows the first is taken for the host", "use `URL.create`"
        )


def _caches(project: Project, engine: Engine) -> bool:
    """Whether an engine keeps asyncpg's caches of prepared statements."""
    return "statement_cache_size" not in _arguments(project, engine) and not engine.open_ended


def _is_default(source: Source) -> bool:
    """Whether a text is the default of a setting, which may be rewritten before it is used."""
    line = source.module.statement_of(source.node)
    return isinstance(line, ast.AnnAssign) and isinstance(source.module.parents[line], ast.ClassDef)


def _wrong_driver(project: Project, match: re.Match[str]) -> tuple[str, str] | None:
    name, driver = match["name"], match["driver"]
    remedy = f"write `{name.replace('postgres', 'postgresql') if name == 'postgres' else name}+{_ASYNC[name]}://`"
    if name == "postgres":
        return "`postgres://` names no dialect: NoSuchModuleError", remedy
    if driver is None:
        if name == "postgresql" and _has_psycopg3(project):
            return None
        loaded = "psycopg" if name == "postgresql" else "a driver that is not async"
        return f"an async engine for `{name}://` loads {loaded}: it fails when it is made", remedy
    if driver.lower() in _SYNC:
        return f"`{name}+{driver}://` is not async: the engine fails when it is made", remedy
    return None


def _has_psycopg3(project: Project) -> bool:
    """Whether the project asks for psycopg 3, which `postgresql://` means since SQLAlchemy 2.1."""
    return any(one.name == "psycopg" for one in requirements(project))


def _unknown(url: str) -> list[str]:
    """The options of a URL that asyncpg does not know."""
    query = url.partition("?")[2]
    return [name for name in (part.partition("=")[0] for part in query.split("&")) if name in _LIBPQ]


def _option(name: str) -> tuple[str, str]:
    return (
        f"asyncpg does not know `{name}`: TypeError at the first connection",
        _INSTEAD.get(name, "leave it out, or pass an SSLContext in `connect_args`"),
    )


def _renamed(node: ast.AST, module: Module) -> list[Edit]:
    """The repair of a literal: `ssl` for `sslmode`, and no `channel_binding`."""
    if not isinstance(node, ast.Constant) or isinstance(module.parents[node], ast.JoinedStr):
        return []
    old = ast.get_source_segment(module.source.decode("utf-8", errors="replace"), node) or ""
    new = re.sub(r"channel_binding=[^&\"']*&", "", old)
    new = re.sub(r"[?&]channel_binding=[^&\"']*", "", new)
    new = re.sub(r"(?<=[?&])sslmode=", "ssl=", new)
    return [replacing(node, new)] if new != old else []


def _broken(url: str) -> bool:
    authority = url.partition("://")[2].partition("?")[0]
    return authority.count("@") > 1 and "{}" not in authority


def _masked(node: ast.AST, module: Module) -> Found:
    return at(
        module, node, "`str(url)` writes `***` in the place of the password: the server refuses it",
        "pass the URL itself, or `url.render_as_string(hide_password=False)`",
    )  # fmt: skip


def _arguments(project: Project, engine: Engine) -> str:
    """The arguments of an engine as text, with what a name stands for."""
    found = [ast.unparse(engine.call)]
    if given := engine.argument("connect_args"):
        found += [ast.unparse(one) for one, _ in origins(project, given, engine.module)]
    return " ".join(found)


def _connect_args(project: Project, engine: Engine) -> Iterator[Found]:
    given = engine.argument("connect_args")
    drivers = {match["driver"] for one in engine.texts if (match := URL.match(one.text))}
    if given is None or drivers != {"asyncpg"}:
        return
    for one, where in origins(project, given, engine.module):
        for key in one.keys if isinstance(one, ast.Dict) else ():
            if isinstance(key, ast.Constant) and key.value in _LIBPQ:
                yield at(where, key, *_option(str(key.value)))


# ---- settings -----------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _rewrites(project: Project) -> bool:
    """Whether some code of the project changes the driver of a URL."""
    for module in project.modules.values():
        for constant in module.all(ast.Constant):
            if isinstance(constant.value, str) and _SCHEME.fullmatch(constant.value):
                above = module.parents[constant]
                if isinstance(above, ast.Tuple | ast.List | ast.Dict | ast.keyword | ast.Compare):
                    return True
                if isinstance(above, ast.Call) and getattr(above.func, "attr", "") in _REWRITERS:
                    return True
    return False


@lru_cache(maxsize=1)
def _mentions(project: Project, text: str) -> bool:
    """Whether a literal of the code, outside tests, is this text."""
    return any(
        constant.value == text
        for module in project.modules.values()
        if not is_test(module.path)
        for constant in module.all(ast.Constant)
    )


def _settings(project: Project) -> Iterator[Found]:
    """The URLs in files: those that an async engine takes by name, and those that name asyncpg."""
    wanted = [
        (engine, source.text.lower(), _prefix(source))
        for engine in engines(project)
        for source in engine.sources
        if source.kind == "setting"
    ]
    for entry in entries(project):
        match = URL.match(entry.url)
        assert match is not None
        folder = entry.path.rpartition("/")[0]
        used = any(
            entry.name.lower() in {name, prefix + name}
            and engine.module.path.startswith(f"{folder}/" if folder else "")
            for engine, name, prefix in wanted
        )
        if used and not _rewrites(project) and (wrong := _wrong_driver(project, match)):
            yield in_file(entry.path, entry.line, *wrong)
        if match["driver"] == "asyncpg":
            for option in _unknown(entry.url):
                if not _mentions(project, option):
                    yield in_file(entry.path, entry.line, *_option(option))
            if _POOLERS.search(entry.url) and not any(
                "statement_cache_size" in _arguments(project, one) for one in engines(project)
            ):
                yield in_file(
                    entry.path,
                    entry.line,
                    "the URL of a transaction pooler: asyncpg's prepared statements vanish there",
                    _CACHES,
                )
        if match["driver"] and _broken(entry.url):
            yield in_file(
                entry.path,
                entry.line,
                "a second `@` in the URL: what follows the first is taken for the host",
                "write `%40` for `@`",
            )
    for environment in environments(project):
        yield from _of_environment(project, environment)


def _prefix(source: Source) -> str:
    """`env_prefix` of the class in which a setting is declared, in small letters."""
    owner = source.module.class_of(source.node)
    for call in ast.walk(owner) if owner else ():
        if isinstance(call, ast.Call) and isinstance(found := keyword(call, "env_prefix"), ast.Constant):
            return str(found.value).lower()
    return ""


def _of_environment(project: Project, environment: Environment) -> Iterator[Found]:
    """The URL of alembic.ini against the engine of env.py."""
    if environment.ini is None or environment.replaces_url:
        return
    for entry in entries(project):
        if entry.path != environment.ini or entry.name != "sqlalchemy.url":
            continue
        match = URL.match(entry.url)
        assert match is not None
        if environment.is_async and (wrong := _wrong_driver(project, match)):
            yield in_file(entry.path, entry.line, *wrong)
        elif not environment.is_async and match["driver"] in _DRIVERS:
            yield in_file(
                entry.path, entry.line, f"`{match['driver']}` is async and env.py is not: MissingGreenlet",
                "make env.py of the template `async`: `alembic init -t async`",
            )  # fmt: skip


# ---- passwords ----------------------------------------------------------------------------------


@check("ASM012")
def unquoted_passwords(project: Project, module: Module) -> Iterator[Found]:
    """A password that is put into the text of a URL as it is; a URL that is printed and used."""
    for constant in module.all(ast.Constant):
        if not isinstance(constant.value, str) or not (match := URL.match(constant.value)) or match["name"] == "sqlite":
            continue
        node: ast.AST = constant
        while isinstance(module.parents[node], ast.JoinedStr | ast.BinOp) or _is_format(module.parents[node], module):
            node = module.parents[node]
        found = pieces(node) if node is not constant else None
        if found and (password := _password(found)) and not _is_quoted(project, password, module):
            yield at(
                module, node, "the password is put into the URL as it is: `@`, `/` or `%` in it break the address",
                "use `URL.create`, or `quote_plus(password)`", possible=is_test(module.path),
            )  # fmt: skip
        elif node is constant and _broken(constant.value):
            yield at(
                module,
                node,
                "a second `@` in the URL: what follows the first is taken for the host",
                "use `URL.create`",
                possible=True,
            )
    for call in module.all(ast.Call):
        if (
            getattr(call.func, "id", "") == "str"
            and call.args
            and project.type_of(call.args[0], module) == "sqlalchemy.URL"
        ):
            yield replace(_masked(call, module), possible=True)
        elif getattr(call.func, "attr", "") == "set_main_option" and len(call.args) == 2:
            for source in sources(project, call.args[1], module):
                if source.kind == "masked":
                    yield _masked(source.node, source.module)


def _is_format(node: ast.AST, module: Module) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "format" and isinstance(module.parents.get(node), ast.Call)
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "format"


def _password(found: list[Piece]) -> ast.expr | None:
    """What stands between `:` and `@` in front of the host."""
    if not URL.match(literal(found)):
        return None
    for number, one in enumerate(found[1:-1], 1):
        before, after = found[number - 1], found[number + 1]
        if isinstance(one, str) or not isinstance(before, str) or not isinstance(after, str):
            continue
        if before.endswith(":") and not before.endswith("://:") and after.startswith("@"):
            return one
    return None


def _is_quoted(project: Project, password: ast.expr, module: Module) -> bool:
    """Whether a password is quoted, or a literal without special characters."""
    if any(word in ast.unparse(password).lower() for word in _QUOTING):
        return True
    for one, where in origins(project, password, module):
        if isinstance(one, ast.Call) and "quote" in ast.unparse(one.func):
            return True
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and not _SPECIAL.search(one.value):
            return (
                isinstance(password, ast.Name) and where is module and not isinstance(where.class_of(one), ast.ClassDef)
            )
    return False
