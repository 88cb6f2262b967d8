"""Real databases without the user's help: a SQLite folder, a PostgreSQL of the wheel's binaries, a throw-away MariaDB."""

from __future__ import annotations

import asyncio
import os
import sqlite3

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from verify.databases import connections, mariadb, postgresql
from verify.databases.process import private_folder, remove_after_us
from verify.databases.server import Server, Unavailable
from verify.pages import Database

__all__ = ["Server", "Unavailable", "attach", "drop_database", "make_empty", "start"]

make_empty = connections.make_empty
GIVEN: dict[Database, tuple[str, ...]] = {
    "sqlite": (),
    "postgresql": ("TEST_POSTGRES_URL",),
    "mariadb": ("TEST_MARIADB_URL", "TEST_MYSQL_URL"),
}

_BACKENDS: dict[Database, tuple[str, ...]] = {"postgresql": ("postgresql", "postgres"), "mariadb": ("mariadb", "mysql")}


def start(database: Database, *, binaries: str = "wheel", driver: str = "asyncmy") -> Server:
    """Have a database: the one that an environment variable names, else one that is started now.

    Args:
        binaries: For PostgreSQL: "wheel", or "local" for those of the machine.
        driver: For MariaDB: "asyncmy" or "aiomysql".

    Raises:
        Unavailable: It cannot be had; the error says why, and what installs it.
    """
    for variable in GIVEN[database]:
        if url := os.environ.get(variable):
            return _given(database, variable, url, driver)
    if database == "sqlite":
        folder = private_folder("sqlite")
        return Server(
            "sqlite",
            f"sqlite+aiosqlite:///{folder}/start.db",
            sqlite3.sqlite_version,
            "Python's sqlite3",
            remove_after_us(folder),
            folder,
        )
    return postgresql.start(binaries) if database == "postgresql" else mariadb.start(driver)


def attach(backend: Database, url: str, version: str, origin: str) -> Server:
    """A server that another process started, and ends."""
    given = any(origin in variables for variables in GIVEN.values())
    return Server(backend, url, version, origin, given=given)


def drop_database(server: Server, name: str) -> None:
    """Remove a database that was made on the server.

    Args:
        name: As it was given to ``server.database_url``.
    """
    asyncio.run(connections.drop(server.database_url(name)))


def _given(database: Database, variable: str, text: str, driver: str) -> Server:
    remedy = f"set {variable} to a URL such as {database}://user:password@host/app_test"
    try:
        url = make_url(text)
    except ArgumentError:
        raise Unavailable(f"{variable} is not a database URL", remedy) from None
    if url.get_backend_name() not in _BACKENDS[database]:
        raise Unavailable(f"{variable} names a {url.get_backend_name()} database", remedy)
    if "test" not in (url.database or ""):
        raise Unavailable(
            f"{variable} names the database {url.database!r}; the tests make and drop databases beside it",
            f"{remedy}; its name must contain 'test'",
        )
    if database == "postgresql":
        renamed = {"sslmode": "ssl"}  # asyncpg knows neither this one nor channel_binding
        query = {renamed.get(key, key): value for key, value in url.query.items() if key != "channel_binding"}
        url = url.set(drivername="postgresql+asyncpg", query=query)
    else:
        named = url.drivername.partition("+")[2]
        url = url.set(drivername=f"mariadb+{named if named in mariadb.DRIVERS else driver}")
    try:
        version = asyncio.run(connections.version(url))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise Unavailable(f"{variable} cannot be reached: {type(error).__name__}: {reason}", remedy) from None
    if database == "mariadb" and "mariadb" not in version.lower():
        url, version = url.set(drivername=url.drivername.replace("mariadb", "mysql")), f"MySQL {version}"
    return Server(database, url.render_as_string(hide_password=False), version, variable, given=True)
