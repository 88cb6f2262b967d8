"""Statements that each method of the template's ServiceBase sends, by database, for 1,000 rows where a method takes many.

python tests/benchmarks/statements.py
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event, true
from sqlalchemy.orm import selectinload
from sqlmodel import SQLModel, col

from verify import databases
from verify.databases import Unavailable
from verify.pages import DATABASES

sys.path.insert(0, str(Path(__file__).parents[2] / "assets" / "service"))

ROWS = 1000


async def measure(url: str) -> dict[str, int]:
    """Count on one database."""
    from app.database import make_engine, make_sessions
    from app.models import Hero, Team
    from app.models.hero import HeroCreate, HeroUpdate
    from app.models.team import TeamCreate, TeamUpdate
    from app.services.base import ServiceBase

    class Teams(ServiceBase[Team, TeamCreate, TeamUpdate]): ...

    class Heroes(ServiceBase[Hero, HeroCreate, HeroUpdate]): ...

    engine = make_engine(url)
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "BEGIN", "ROLLBACK")):
            sent.append(statement)

    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    counts: dict[str, int] = {}
    async with make_sessions(engine)() as session:
        teams, heroes = Teams(session), Heroes(session)
        team = await teams.create(TeamCreate(name="t", headquarters="x"))
        rows = [HeroCreate(name=f"h{n}", secret_name="x", team_id=team.id) for n in range(ROWS)]
        await heroes.create_many(rows)
        await session.commit()
        pk = (await heroes.find(limit=1))[0].id or 0
        event.listen(engine.sync_engine, "before_cursor_execute", note)

        async def drain() -> None:
            async for _ in heroes.stream():
                pass

        works: dict[str, Callable[[], Awaitable[Any]]] = {
            "get": lambda: heroes.get(pk),
            "get, with a collection": lambda: teams.get(team.id or 0, options=[selectinload(Team.heroes)]),  # type: ignore[arg-type]
            "first": lambda: heroes.first(),
            "find": lambda: heroes.find(),
            "page, not full": lambda: heroes.page(col(Hero.name) == "h1"),
            "page, full": lambda: heroes.page(),
            "after": lambda: heroes.after(None, key=Hero.name),
            "stream of 1000": drain,
            "count": lambda: heroes.count(),
            "exists": lambda: heroes.exists(),
            "get_many": lambda: heroes.get_many([pk]),
            "create": lambda: teams.create(TeamCreate(name="u", headquarters="x")),
            "create_many of 1000": lambda: teams.create_many([
                TeamCreate(name=f"m{n}", headquarters="x") for n in range(ROWS)
            ]),
            "update": lambda: heroes.update(pk, HeroUpdate(age=1)),
            "update_where": lambda: heroes.update_where(true(), values={"age": 2}),
            "upsert of 1000": lambda: heroes.upsert(rows, on=["name"]),
            "get_or_create, found": lambda: teams.get_or_create(TeamCreate(name="t", headquarters="x"), on=["name"]),
            "get_or_create, made": lambda: teams.get_or_create(TeamCreate(name="v", headquarters="x"), on=["name"]),
            "delete": lambda: heroes.delete(pk),
            "delete_where": lambda: heroes.delete_where(true()),
        }
        for name, work in works.items():
            session.expunge_all()
            sent.clear()
            await work()
            counts[name] = len(sent)
        await session.rollback()
    await engine.dispose()
    return counts


def main() -> int:
    """Print the table."""
    columns: dict[str, dict[str, int]] = {}
    for database in DATABASES:
        try:
            server = databases.start(database)
        except Unavailable as missing:
            print(f"{database} is not measured: {missing}", file=sys.stderr)
            continue
        try:
            url = server.database_url("statements_test")
            asyncio.run(databases.make_empty(url))
            columns[database] = asyncio.run(measure(url))
        finally:
            server.stop()
    print(f"{'method':24}" + "".join(f"{name:>12}" for name in columns))
    for method in next(iter(columns.values())):
        print(f"{method:24}" + "".join(f"{counts[method]:>12}" for counts in columns.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
