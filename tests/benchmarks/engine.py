"""How fast the suite runs: makes a tree of pages like the guides, runs every block on every database, prints where the time goes.

python tests/benchmarks/engine.py [--blocks 300] [--slots 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from verify import contract, databases, extract, pages
from verify.databases import Server, Unavailable
from verify.pages import DATABASES, Database
from verify.runner import Runner

PREFACE = """# Page {page}

Use this when you measure the suite.

```python
from sqlmodel import Field, Relationship, SQLModel, select


class Team(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50, unique=True)
    heroes: list["Hero"] = Relationship(back_populates="team")


class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)
    team_id: int | None = Field(default=None, foreign_key="team.id", index=True)
    team: Team | None = Relationship(back_populates="heroes")


async def seed() -> None:
    for n in range(3):
        session.add(Team(name=f"team {{n}}", heroes=[Hero(name="a"), Hero(name="b")]))
    await session.commit()
    session.expunge_all()


await seed()
```
"""
SECTION = """
## Section {section}

❌ A lazy load:

```python
team = await session.get(Team, 1)
print(team.heroes)  # raises MissingGreenlet: greenlet_spawn has not been called
```

✅ An eager one:

```python {{queries=2}}
from sqlalchemy.orm import selectinload

team = await session.get(Team, 1, options=[selectinload(Team.heroes)])
len(team.heroes)  # => 2
```

```python {{queries=1}}
for name in (await session.exec(select(Team.name).order_by(Team.name))).all():
    print(name)
# => team 0
# => team 1
# => team 2
```
"""
BLOCKS_IN_SECTION = 3
SECTIONS_ON_PAGE = 5


def write_pages(folder: Path, blocks: int) -> list[Path]:
    """Write pages with about ``blocks`` blocks, the prefaces counted."""
    per_page = 1 + SECTIONS_ON_PAGE * BLOCKS_IN_SECTION
    paths = []
    for page in range(-(-blocks // per_page)):
        path = folder / f"page{page}.md"
        sections = "".join(SECTION.format(section=number) for number in range(SECTIONS_ON_PAGE))
        path.write_text(PREFACE.format(page=page) + sections, encoding="utf-8")
        paths.append(path)
    return paths


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=300)
    parser.add_argument("--slots", type=int, default=2, help="sections that run at the same time")
    options = parser.parse_args()
    servers: dict[Database, Server] = {}
    for database in DATABASES:
        try:
            servers[database] = databases.start(database)
        except Unavailable as missing:
            print(f"{database} is not measured: {missing.reason}; {missing.remedy}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _measure(Path(folder), options.blocks, options.slots, servers)
        finally:
            for server in servers.values():
                server.stop()
    return 0


def _measure(folder: Path, blocks: int, slots: int, servers: dict[Database, Server]) -> None:
    started = time.perf_counter()
    programs = []
    for path in write_pages(folder, blocks):
        page = pages.parse(path)
        contract.check(page)
        programs += extract.extract(page, into=folder / "build")
    extracted = time.perf_counter() - started
    urls = [{name: one.database_url(f"bench_test_{slot}") for name, one in servers.items()} for slot in range(slots)]
    started = time.perf_counter()
    with Runner(urls) as runner:
        runs = [future.result() for future in [runner.submit(p, name) for p in programs for name in servers]]
    wall = time.perf_counter() - started
    failed = [r for run in runs for r in run.results.values() if r.outcome != "passed"]
    if failed:
        raise SystemExit(f"the benchmark's own pages fail: {failed[0].message}")
    ran = sum(len(run.results) for run in runs)
    busy = sum(run.seconds for run in runs)
    process = sum(run.process_seconds for run in runs) / busy
    database = sum(run.database_seconds for run in runs) / busy
    print(f"blocks run            {ran} ({len(runs)} sections on {', '.join(servers)}, {slots} at a time)")
    print(f"extraction            {extracted:.2f} s")
    print(f"wall time             {wall:.1f} s")
    print(f"seconds per block     {wall / ran:.4f}")
    print(f"share of processes    {process:.0%}")
    print(f"share of databases    {database:.0%}")
    print(f"share of the rest     {1 - process - database:.0%}")


if __name__ == "__main__":
    sys.exit(main())
