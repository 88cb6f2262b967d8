"""How Alembic connects: by the settings of the service, or by a connection that a caller hands over."""

import asyncio
from logging.config import fileConfig
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, pool
from sqlmodel import SQLModel

import app.models  # noqa: F401  # every table must be known
from app.config import get_settings
from app.database import make_engine, normalize_url
from app.models.base import UTCMicroseconds

config = context.config
if config.config_file_name is not None and "connection" not in config.attributes:
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def render_item(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Write types into migrations so that they stand without the code of the service."""
    if kind == "type" and isinstance(item, UTCMicroseconds):
        autogenerate.imports.add("from sqlalchemy.dialects import mysql")
        return 'sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")'
    if kind == "type" and type(item).__module__.startswith("sqlmodel."):
        autogenerate.imports.add("import sqlmodel")
        return f"sqlmodel.{item!r}"
    return False


def run(connection: Connection | None = None) -> None:
    """Run the migrations on a connection, or print their SQL (`alembic upgrade head --sql`)."""
    options: dict[str, Any] = {"target_metadata": SQLModel.metadata, "render_item": render_item}
    if connection is None:
        url = normalize_url(get_settings().database_url.get_secret_value())
        context.configure(url=url, literal_binds=True, **options)
    else:
        # SQLite cannot change a column: batch mode copies the table
        context.configure(connection=connection, render_as_batch=connection.dialect.name == "sqlite", **options)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """Run the migrations on an engine of their own."""
    url = normalize_url(get_settings().database_url.get_secret_value())
    engine = make_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            # in batch mode, dropping the old copy of a table would delete the rows that refer to it; inside the
            # transaction that the engine's hook begins, SQLite would ignore the pragma
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.execute("PRAGMA foreign_keys = OFF")
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():
    run()
elif (given := config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
