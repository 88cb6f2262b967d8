"""The migrations make the tables of the models, and can be taken back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from app.database import make_engine


def config(connection: Connection | None = None) -> Config:
    found = Config(Path(__file__).parents[1] / "alembic.ini")
    if connection is not None:
        found.attributes["connection"] = connection
    return found


@pytest.fixture
async def alembic(engine: AsyncEngine, database_url: str) -> object:
    """Runs commands on an empty database, and puts the tables back afterwards."""
    del engine  # its tables exist
    own = make_engine(database_url)

    def empty(connection: Connection) -> None:
        SQLModel.metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")

    async def run(work: Callable[[Connection], object]) -> object:
        async with own.begin() as connection:
            return await connection.run_sync(work)

    await run(empty)
    yield run
    await run(empty)
    await run(SQLModel.metadata.create_all)
    await own.dispose()


async def test_up_down_up_leaves_the_tables_of_the_models(alembic: Callable[..., object]) -> None:
    def names(connection: Connection) -> set[str]:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}

    await alembic(lambda connection: command.upgrade(config(connection), "head"))  # type: ignore[misc]
    assert await alembic(names) == set(SQLModel.metadata.tables)  # type: ignore[misc]
    await alembic(lambda connection: command.check(config(connection)))  # type: ignore[misc]
    await alembic(lambda connection: command.downgrade(config(connection), "base"))  # type: ignore[misc]
    assert await alembic(names) == set()  # type: ignore[misc]
    await alembic(lambda connection: command.upgrade(config(connection), "head"))  # type: ignore[misc]
    await alembic(lambda connection: command.check(config(connection)))  # type: ignore[misc]


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(config()).get_heads()) == 1


async def test_sql_can_be_printed_without_a_database(capsys: pytest.CaptureFixture[str]) -> None:
    await asyncio.to_thread(command.upgrade, config(), "head", sql=True)
    assert "CREATE TABLE hero" in capsys.readouterr().out


async def test_every_foreign_key_has_an_index() -> None:
    for table in SQLModel.metadata.tables.values():
        indexed = {next(iter(index.columns)).name for index in table.indexes} | {next(iter(table.primary_key)).name}
        for key in table.foreign_keys:
            assert key.parent.name in indexed, f"{table.name}.{key.parent.name}"
