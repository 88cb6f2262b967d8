"""Fixtures: one database for the run, one outer transaction for each test, or real commits where a test needs them.

TEST_DATABASE_URL names the database; without it the tests use a SQLite file. Its tables are dropped: its name must
contain "test".
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from app.config import Settings
from app.database import make_engine, make_sessions, normalize_url
from app.main import create_app


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database that may be emptied."""
    url = os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{tmp_path_factory.mktemp('db') / 'test.db'}"
    name = Path(normalize_url(url).database or "").name
    if "test" not in name:
        pytest.exit(f"TEST_DATABASE_URL names the database {name!r}; the name must contain 'test'", returncode=2)
    return url


@pytest.fixture(scope="session")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on empty tables."""
    engine = make_engine(database_url, pool_size=10, max_overflow=10)
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.drop_all)
        await connection.run_sync(SQLModel.metadata.create_all)
    yield engine
    assert engine.pool.checkedout() == 0, "a connection was not given back"  # type: ignore[attr-defined]
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that is rolled back after the test."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        yield connection
        await transaction.rollback()


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    """A session whose commits end with the test: they are savepoints of the outer transaction."""
    async with AsyncSession(
        bind=connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
    ) as session:
        yield session


@pytest.fixture
async def client(connection: AsyncConnection) -> AsyncIterator[AsyncClient]:
    """A client of the app, whose requests run inside the outer transaction."""

    @asynccontextmanager
    async def sessions(**options: Any) -> AsyncIterator[AsyncSession]:
        options.pop("execution_options", None)
        async with AsyncSession(
            bind=connection, expire_on_commit=False, join_transaction_mode="create_savepoint", **options
        ) as session:
            yield session

    app = create_app(Settings())
    app.state.sessions = sessions  # in place of the lifespan's
    async with AsyncClient(transport=ASGITransport(app, raise_app_exceptions=True), base_url="http://test") as client:
        yield client


@pytest.fixture
async def app(engine: AsyncEngine, database_url: str) -> AsyncIterator[FastAPI]:
    """The app with its own engine and real commits. Every table is emptied after the test."""
    app = create_app(Settings(database_url=SecretStr(database_url), pool_size=5, max_overflow=5, pool_timeout=30))
    async with app.router.lifespan_context(app):
        yield app
        assert app.state.engine.pool.checkedout() == 0, "a connection was not given back"
    async with make_sessions(engine).begin() as session:
        for table in reversed(SQLModel.metadata.sorted_tables):
            await session.exec(table.delete())


@pytest.fixture
async def live(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the app with real commits: for concurrency, and for what happens at a commit."""
    async with AsyncClient(transport=ASGITransport(app, raise_app_exceptions=True), base_url="http://test") as client:
        yield client


class Statements(list[str]):
    """The SQL that was sent; an executemany counts once."""


@pytest.fixture
def statements(engine: AsyncEngine) -> Iterator[Statements]:
    """Count statements: ``statements.clear()``, act, look at ``len(statements)``."""
    sent = Statements()

    def note(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "PRAGMA")):
            sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine.sync_engine, "before_cursor_execute", note)
