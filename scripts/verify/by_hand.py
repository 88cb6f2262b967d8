"""`python main.py` in an extracted folder: runs the section on DATABASE_URL, and says what came of each block."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from sqlalchemy import inspect, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from verify import extract
from verify.pages import Database, PageError
from verify.runner import run_section

FAILED, USAGE = 1, 2


def main(file: str) -> None:
    """Run the section whose main.py is ``file``, and end the process: 0 passed, 1 failed, 2 cannot be run."""
    with tempfile.TemporaryDirectory() as home:
        url = os.environ.get("DATABASE_URL") or f"sqlite+aiosqlite:///{home}/test.db"
        try:
            database = _database(url)
            program = extract.load(Path(file).resolve().parent)
        except (PageError, ValueError) as error:
            print(error, file=sys.stderr)
            sys.exit(USAGE)
        work = Path(home, "run")
        work.mkdir()
        outcome = run_section(program, database, url, work)
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


def _database(url: str) -> Database:
    """The kind of database, when it may be emptied.

    Raises:
        ValueError: It holds tables and its name does not contain "test", or it is of another kind.
    """
    where = make_url(url)
    kinds: dict[str, Database] = {
        "sqlite": "sqlite",
        "postgresql": "postgresql",
        "mariadb": "mariadb",
        "mysql": "mariadb",
    }
    if where.get_backend_name() not in kinds:
        raise ValueError(f"DATABASE_URL names a {where.get_backend_name()} database; one of {', '.join(kinds)}")
    if "test" not in Path(where.database or "").name and (found := asyncio.run(_tables(url))):
        raise ValueError(
            f"{where.database} holds tables ({', '.join(found[:3])}) and would be emptied: name one with 'test' in its name"
        )
    return kinds[where.get_backend_name()]


async def _tables(url: str) -> list[str]:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
    return names
