"""`python main.py` in an extracted folder: runs the section on DATABASE_URL, and says what came of each block."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from sqlalchemy import URL, inspect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import create_async_engine

from verify import databases, extract
from verify.databases import Unavailable
from verify.pages import Database, PageError
from verify.runner import run_section
from verify.section import TEMPLATE

FAILED, USAGE = 1, 2
KINDS: dict[str, Database] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "mariadb": "mariadb",
    "mysql": "mariadb",
}


def main(file: str) -> None:
    """Run the section whose main.py is ``file``, and end the process: 0 passed, 1 failed, 2 cannot be run."""
    with tempfile.TemporaryDirectory() as home:
        try:
            program = extract.load(Path(file).resolve().parent)
            url = _url(os.environ.get("DATABASE_URL") or f"sqlite+aiosqlite:///{home}/test.db")
            asyncio.run(_make_empty(url))
        except (PageError, ValueError) as error:
            print(error, file=sys.stderr)
            sys.exit(USAGE)
        database = KINDS[url.get_backend_name()]
        work = Path(home, "run")
        work.mkdir()
        try:
            if database not in program.databases:
                raise ValueError(f"the section runs on {', '.join(program.databases)}: set DATABASE_URL to such a one")
            outcome = run_section(program, database, url.render_as_string(hide_password=False), work)
        except (Unavailable, ValueError) as error:
            print(error, file=sys.stderr)
            sys.exit(USAGE)
    failed = bool(outcome.problem)
    for line, result in sorted(outcome.results.items()):
        print(
            f"{extract.page_name(program.page)}:{line} [{database}] {result.outcome}, {len(result.statements)} statements"
        )
        if result.outcome != "passed":
            failed = True
            print(result.message, file=sys.stderr)
    if outcome.problem:
        print(outcome.problem, file=sys.stderr)
    sys.exit(FAILED if failed else 0)


def _url(text: str) -> URL:
    """Read DATABASE_URL.

    Raises:
        ValueError: It names no database that a section can run on.
    """
    try:
        url: URL = TEMPLATE.normalize_url(text)
    except ArgumentError:
        raise ValueError("DATABASE_URL is not a database URL; write one such as sqlite+aiosqlite:///test.db") from None
    if url.get_backend_name() not in KINDS:
        raise ValueError(f"DATABASE_URL names a {url.get_backend_name()} database; one of {', '.join(KINDS)}")
    if url.database in {None, "", ":memory:"}:
        raise ValueError("DATABASE_URL names no database that a second process could open; name a file or a database")
    if url.get_backend_name() == "sqlite":  # the section runs in a folder of its own
        path = Path(url.database or "").resolve()
        if not path.parent.is_dir():
            raise ValueError(f"DATABASE_URL: the folder {path.parent} does not exist")
        url = url.set(database=str(path))
    try:
        if url.get_dialect().is_async:
            return url
    except (ImportError, NoSuchModuleError):
        pass
    raise ValueError(f"DATABASE_URL: the driver of {url.drivername} is not asynchronous, or not installed")


async def _make_empty(url: URL) -> None:
    """Make the database exist and be empty, when it may be emptied.

    Raises:
        ValueError: It holds tables and its name does not contain "test", or it cannot be reached.
    """
    database = url.database or ""
    found: list[str] = []
    try:
        if "test" not in Path(database).name and (url.get_backend_name() != "sqlite" or Path(database).exists()):
            found = await _tables(url)
        if not found:
            await databases.make_empty(url.render_as_string(hide_password=False))
    except Exception as error:
        reason = " ".join(str(error).split("(Background")[0].split())
        raise ValueError(f"DATABASE_URL: {url} cannot be opened: {type(error).__name__}: {reason}") from None
    if found:
        names = ", ".join(found[:3])
        raise ValueError(f"{database} holds tables ({names}) and would be emptied: name one with 'test' in its name")


async def _tables(url: URL) -> list[str]:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    finally:
        await engine.dispose()
