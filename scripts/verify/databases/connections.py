"""What is said to a server beside the tests: its version, an empty database, the end of a database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncmy
import asyncpg
from sqlalchemy import URL, make_url

_SUFFIXES = ("", "-wal", "-shm", "-journal")


async def version(url: str | URL) -> str:
    """What the server calls its version."""
    where = make_url(url)
    if where.get_backend_name() == "postgresql":
        async with _postgresql(where, where.database or "postgres") as connection:
            return str(await connection.fetchval("SHOW server_version"))
    rows = await _mariadb(where, "SELECT version()")
    return str(rows[0][0])


async def make_empty(url: str) -> None:
    """Make the database of a URL exist and be empty. Other connections to it are ended first."""
    where = make_url(url)
    match where.get_backend_name():
        case "sqlite":
            for suffix in _SUFFIXES:
                Path(f"{where.database}{suffix}").unlink(missing_ok=True)
        case "postgresql":
            await _empty_postgresql(where)
        case _:
            await _end_mariadb_connections(where)
            await _mariadb(where, f"DROP DATABASE IF EXISTS `{where.database}`", f"CREATE DATABASE `{where.database}`")


async def drop(url: str) -> None:
    """Remove the database of a URL, if it is there."""
    where = make_url(url)
    match where.get_backend_name():
        case "sqlite":
            await make_empty(url)
        case "postgresql":
            async with _postgresql(where, "postgres") as connection:
                await connection.execute(f'DROP DATABASE IF EXISTS "{where.database}" WITH (FORCE)')
        case _:
            await _end_mariadb_connections(where)
            await _mariadb(where, f"DROP DATABASE IF EXISTS `{where.database}`")


async def _empty_postgresql(where: URL) -> None:
    try:
        async with _postgresql(where, where.database or "") as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await connection.execute(
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC"
            )
    except asyncpg.InvalidCatalogNameError:
        async with _postgresql(where, "postgres") as connection:
            await connection.execute(f'CREATE DATABASE "{where.database}"')


async def _end_mariadb_connections(where: URL) -> None:
    rows = await _mariadb(where, f"SELECT id FROM information_schema.processlist WHERE db = '{where.database}'")  # noqa: S608
    if rows:
        await _mariadb(where, *(f"KILL {row[0]}" for row in rows))


@asynccontextmanager
async def _postgresql(where: URL, database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**_arguments(where) | {"database": database, "timeout": 20})
    try:
        yield connection
    finally:
        await connection.close()


async def _mariadb(where: URL, *statements: str) -> list[tuple[object, ...]]:
    own = {
        "db": None,  # it may not be there
        "connect_timeout": 20,
        "autocommit": True,
        "init_command": "SET sql_notes = 0",  # the driver logs notes such as that of DROP ... IF EXISTS
    }
    connection = await asyncmy.connect(**_arguments(where) | own)
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                try:
                    await cursor.execute(statement)
                except asyncmy.errors.OperationalError as error:
                    if error.args[0] != 1094:  # the connection to be killed is gone
                        raise
            return list(await cursor.fetchall()) if statements[-1].startswith("SELECT") else []
    finally:
        await connection.ensure_closed()


def _arguments(where: URL) -> dict[str, Any]:
    """What the driver is called with for a URL: its query may name a socket, a certificate, ..."""
    return dict(where.get_dialect()().create_connect_args(where)[1])
