"""The migrations make the tables of the models, and can be taken back."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, col

from app.config import get_settings
from app.database import make_engine
from app.models import Hero, Team

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "{head}"


def upgrade() -> None:
    with op.batch_alter_table("team") as batch:
        batch.alter_column("headquarters", existing_type=sa.String(100), type_=sa.String(120), existing_nullable=False)
"""


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
        async with own.connect() as connection:  # without a transaction: Alembic begins and commits its own
            result = await connection.run_sync(work)
            await connection.commit()
            return result

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


async def test_a_change_of_a_table_keeps_the_rows_that_refer_to_it(
    alembic: Callable[..., object], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(insert(Team.__table__).values(id=1, name="Preventers", headquarters=""))  # type: ignore[attr-defined]
        connection.execute(insert(Hero.__table__).values(id=1, name="Ada", secret_name="x", team_id=1))  # type: ignore[attr-defined]

    await alembic(lambda connection: command.upgrade(config(connection), "head"))  # type: ignore[misc]
    await alembic(fill)  # type: ignore[misc]
    scripts = ScriptDirectory.from_config(config())
    (tmp_path / "later.py").write_text(LATER.format(head=scripts.get_current_head()))
    later = config()
    later.set_main_option("version_locations", os.pathsep.join([scripts.versions, str(tmp_path)]))
    monkeypatch.setenv("DATABASE_URL", database_url)
    get_settings.cache_clear()
    await asyncio.to_thread(command.upgrade, later, "head")  # as the command line does, on an engine of its own
    get_settings.cache_clear()
    assert await alembic(lambda connection: connection.scalar(select(col(Hero.team_id)))) == 1  # type: ignore[misc]
