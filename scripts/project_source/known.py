"""What the libraries define: names that are the same thing, and what their functions and methods give."""

from __future__ import annotations

THIRD_PARTY = frozenset({
    "aiomysql", "aiosqlite", "alembic", "anyio", "asyncmy", "asyncpg", "fastapi", "fastapi_pagination", "httpx", "psycopg", "psycopg2",
    "pydantic", "pydantic_settings", "pytest", "pytest_asyncio", "sqlalchemy", "sqlmodel", "starlette", "typing_extensions", "uvicorn",
})  # fmt: skip
_OWN_SQLMODEL = frozenset({"AutoString", "Field", "Relationship", "SQLModel", "Session", "col", "select", "default"})
_STAR_SQLALCHEMY = frozenset({
    "Column",
    "ForeignKey",
    "JSON",
    "String",
    "Text",
    "and_",
    "delete",
    "func",
    "insert",
    "or_",
    "select",
    "text",
    "update",
})
STARS = {"sqlmodel": _OWN_SQLMODEL | _STAR_SQLALCHEMY, "sqlalchemy": _STAR_SQLALCHEMY}
_ASYNC = "sqlalchemy.ext.asyncio."
SQLMODEL_SESSION = "sqlmodel.ext.asyncio.session.AsyncSession"
SQLALCHEMY_SESSION = f"{_ASYNC}AsyncSession"
ASYNC_SESSIONS = frozenset({SQLMODEL_SESSION, SQLALCHEMY_SESSION, f"{_ASYNC}async_scoped_session"})
SYNC_SESSIONS = frozenset({"sqlmodel.Session", "sqlalchemy.orm.Session", "sqlalchemy.orm.scoped_session"})
SESSION_MAKERS = frozenset({f"{_ASYNC}async_sessionmaker", "sqlalchemy.orm.sessionmaker"})
ASYNC_ENGINE, ASYNC_CONNECTION = f"{_ASYNC}AsyncEngine", f"{_ASYNC}AsyncConnection"
SESSION_COROUTINES = frozenset({
    "aclose", "close", "close_all", "commit", "connection", "delete", "delete_all", "exec", "execute", "flush", "get", "get_one", "invalidate", "merge", "merge_all", "refresh",
    "reset", "rollback", "run_sync", "scalar", "scalars", "stream", "stream_scalars",
})  # fmt: skip
SESSION_FUNCTIONS = frozenset({  # methods of an AsyncSession that are not awaited
    "add", "add_all", "expire", "expire_all", "expunge", "expunge_all", "get_bind", "in_nested_transaction", "in_transaction", "is_modified",
})  # fmt: skip
DEPENDS = frozenset({"fastapi.Depends", "fastapi.Security"})
FACTORIES = {  # functions with small letters, and the class of what they give
    f"{_ASYNC}create_async_engine": ASYNC_ENGINE,
    f"{_ASYNC}async_engine_from_config": ASYNC_ENGINE,
    f"{_ASYNC}async_sessionmaker": f"{_ASYNC}async_sessionmaker",
    f"{_ASYNC}async_scoped_session": f"{_ASYNC}async_scoped_session",
    "sqlalchemy.create_engine": "sqlalchemy.Engine",
    "sqlalchemy.orm.sessionmaker": "sqlalchemy.orm.sessionmaker",
    "sqlalchemy.orm.scoped_session": "sqlalchemy.orm.scoped_session",
    "sqlalchemy.make_url": "sqlalchemy.URL",
    "sqlalchemy.select": "sqlalchemy.Select",
    "sqlmodel.select": "sqlmodel.Select",
    "sqlalchemy.insert": "sqlalchemy.Insert",
    "sqlalchemy.update": "sqlalchemy.Update",
    "sqlalchemy.delete": "sqlalchemy.Delete",
}
METHODS = {  # what a method of an instance gives, also when it is awaited or entered
    (ASYNC_ENGINE, "connect"): ASYNC_CONNECTION,
    (ASYNC_ENGINE, "begin"): ASYNC_CONNECTION,
    ("sqlalchemy.Engine", "connect"): "sqlalchemy.Connection",
    ("sqlalchemy.Engine", "begin"): "sqlalchemy.Connection",
    **{(kind, name): kind for kind in ("sqlalchemy.Select", "sqlmodel.Select") for name in (
        "where", "filter", "filter_by", "join", "outerjoin", "options", "order_by", "limit", "offset", "group_by", "having",
        "distinct", "with_for_update", "execution_options", "select_from",
    )},
}  # fmt: skip
ATTRIBUTES = {(ASYNC_ENGINE, "sync_engine"): "sqlalchemy.Engine"}
_SAME = {
    "sqlmodel.ext.asyncio.AsyncSession": SQLMODEL_SESSION,
    "sqlalchemy.engine.create_engine": "sqlalchemy.create_engine",
    "sqlalchemy.engine.url.make_url": "sqlalchemy.make_url",
    "sqlalchemy.engine.make_url": "sqlalchemy.make_url",
    "sqlalchemy.engine.Engine": "sqlalchemy.Engine",
    "sqlalchemy.engine.base.Engine": "sqlalchemy.Engine",
    "sqlalchemy.engine.URL": "sqlalchemy.URL",
    "sqlalchemy.engine.url.URL": "sqlalchemy.URL",
    "fastapi.param_functions.Depends": "fastapi.Depends",
    "fastapi.params.Depends": "fastapi.Depends",
    "typing.AsyncGenerator": "collections.abc.AsyncGenerator",
    "typing.AsyncIterator": "collections.abc.AsyncIterator",
}
_PREFIXES = (  # modules in which a library keeps what it exports elsewhere
    ("sqlalchemy.ext.asyncio.session.", _ASYNC),
    ("sqlalchemy.ext.asyncio.engine.", _ASYNC),
    ("sqlalchemy.ext.asyncio.scoping.", _ASYNC),
    ("sqlalchemy.orm.session.", "sqlalchemy.orm."),
    ("sqlalchemy.orm.strategy_options.", "sqlalchemy.orm."),
    ("sqlalchemy.orm.decl_api.", "sqlalchemy.orm."),
    ("sqlalchemy.future.", "sqlalchemy."),
    ("sqlalchemy.sql.expression.", "sqlalchemy."),
    ("sqlalchemy.sql.functions.", "sqlalchemy.func."),
    ("sqlalchemy.sql.sqltypes.", "sqlalchemy."),
    ("sqlalchemy.sql.schema.", "sqlalchemy."),
    ("sqlalchemy.sql.", "sqlalchemy."),
    ("sqlalchemy.types.", "sqlalchemy."),
    ("sqlalchemy.schema.", "sqlalchemy."),
    ("sqlmodel.sql.expression.", "sqlmodel."),
    ("sqlmodel.sql.sqltypes.", "sqlmodel."),
    ("sqlmodel.orm.session.", "sqlmodel."),
    ("sqlmodel.main.", "sqlmodel."),
    ("pydantic.main.", "pydantic."),
    ("fastapi.applications.", "fastapi."),
    ("fastapi.routing.", "fastapi."),
)


def canonical(name: str) -> str:
    """One name for a thing that a library exports under several: `sqlalchemy.future.select` is `sqlalchemy.select`."""
    for old, new in _PREFIXES:
        if name.startswith(old):
            name = new + name[len(old) :]
            break
    if name.startswith("sqlmodel."):
        first, _, rest = name.removeprefix("sqlmodel.").partition(".")
        if first not in _OWN_SQLMODEL and first not in {"ext", "sql", "orm", "main", "pool"}:
            name = "sqlalchemy." + first + (f".{rest}" if rest else "")
    return _SAME.get(name, name)
