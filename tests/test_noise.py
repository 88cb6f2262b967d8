"""Each known disturbance still occurs: one that does not is taken off the list."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys

import pytest

from verify import databases, noise
from verify.plugin import Suite

LAZY = """
import asyncio, gc, logging, sys, warnings
sys.path.insert(0, "assets/service")
logging.basicConfig(level=logging.WARNING, format="log|%(name)s|%(message)s", stream=sys.stdout)
warnings.simplefilter("always")
warnings.showwarning = lambda message, category, *_: print(f"warning|{category.__name__}|{message}", flush=True)
from app.database import make_engine, make_sessions
from sqlmodel import Field, Relationship, SQLModel

class Team(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    heroes: list["Hero"] = Relationship()

class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    team_id: int | None = Field(default=None, foreign_key="team.id")

SQLModel.metadata.naming_convention = {"pk": "pk_%(table_name)s"}

class Named(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)

async def main():
    engine = make_engine(sys.argv[1])
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    async with make_sessions(engine)() as session:
        team = Team()
        session.add(team)
        await session.commit()
        for _ in range(2):
            try:
                team.heroes
            except Exception as error:
                del error
            gc.collect()
        await session.rollback()
    await engine.dispose()

asyncio.run(main())
gc.collect()
"""


@pytest.mark.parametrize("known", noise.KNOWN, ids=lambda one: one.pattern[:40])
def test_a_known_disturbance_still_occurs(suite: Suite, known: noise.Noise) -> None:
    for database in known.databases:
        server = suite.server(database)
        url = server.database_url("noise_test")
        asyncio.run(databases.make_empty(url))
        done = subprocess.run([sys.executable, "-c", LAZY, url], capture_output=True, text=True, check=True)
        lines = [line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
        seen = [(kind, category, text) for kind, category, text in lines]
        first = re.compile(known.pattern.partition(r" \(")[0])
        assert any(
            kind == known.kind and category == known.category and first.match(text) for kind, category, text in seen
        ), done.stdout
        databases.drop_database(server, "noise_test")


def test_noise_is_known_only_where_it_is_listed() -> None:
    assert noise.is_known("sqlite", "warning", "RuntimeWarning", "coroutine 'Connection.cursor' was never awaited")
    assert not noise.is_known(
        "postgresql", "warning", "RuntimeWarning", "coroutine 'Connection.cursor' was never awaited"
    )
    assert not noise.is_known("sqlite", "warning", "RuntimeWarning", "coroutine 'mine' was never awaited")
