"""Engine, session factory and the session dependency, for PostgreSQL, MariaDB and SQLite."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

DRIVERS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "mariadb": "mariadb+asyncmy",
    "mysql": "mysql+asyncmy",
    "sqlite": "sqlite+aiosqlite",
}
CONNECT_SECONDS = 10  # for a new connection
COMMAND_SECONDS = 60  # for one statement: without it, a dead network blocks a request for ever
SQLITE_WRITE = {"sqlite_begin": "BEGIN IMMEDIATE"}  # execution option: wait for the write lock at the start


def normalize_url(raw: str) -> URL:
    """Turn the URL of a provider into one with an async driver.

    Raises:
        sqlalchemy.exc.ArgumentError: It is not a URL.
    """
    url = make_url(raw)
    url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
    if url.drivername == "postgresql+asyncpg":
        # asyncpg knows ssl, and neither sslmode nor channel_binding
        query = {name: value for name, value in url.query.items() if name != "channel_binding"}
        if "sslmode" in query:
            query["ssl"] = query.pop("sslmode")
        url = url.set(query=query)
    return url


def make_engine(url: str | URL, **options: Any) -> AsyncEngine:
    """Make the engine of a process. Dispose of it when the process ends.

    Args:
        url: As ``normalize_url`` takes it.
        options: Passed to ``create_async_engine``; they win over the defaults here.
    """
    url = normalize_url(url) if isinstance(url, str) else url
    backend = url.get_backend_name()
    connect_args: dict[str, Any] = {}
    if backend == "postgresql":
        connect_args = {"timeout": CONNECT_SECONDS, "command_timeout": COMMAND_SECONDS}
    elif backend in ("mysql", "mariadb"):
        connect_args = {"connect_timeout": CONNECT_SECONDS, "init_command": "SET time_zone = '+00:00'"}
        if url.get_driver_name() == "asyncmy":
            connect_args["read_timeout"] = COMMAND_SECONDS
        options.setdefault("pool_recycle", 1800)  # the server closes idle connections
    if backend != "sqlite":
        options.setdefault("pool_pre_ping", True)  # a restarted server costs no request
    options["connect_args"] = connect_args | options.get("connect_args", {})
    engine = create_async_engine(url, **options)
    if backend == "sqlite":
        _prepare_sqlite(engine)
    return engine


def make_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Make the session factory. Objects stay readable after a commit."""
    return async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


def _prepare_sqlite(engine: AsyncEngine) -> None:
    """Check foreign keys, let readers pass writers, and begin transactions ourselves: the driver breaks savepoints."""

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 20000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """One transaction for each request: committed before the response is sent, rolled back after an error."""
    options = {} if request.method in ("GET", "HEAD") else SQLITE_WRITE
    async with request.app.state.sessions(execution_options=options) as session:
        yield session
        await session.commit()


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
