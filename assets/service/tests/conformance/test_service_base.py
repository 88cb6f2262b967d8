"""What any ServiceBase must do. Put your own class in ``SERVICE``: everything here holds for a copy that you changed.

The tables are those of the template: Team is plain, Hero has a version, timestamps and soft delete.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text, true
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import joinedload, selectinload
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.database import make_sessions
from app.errors import BadReference, Conflict, InvalidData, NotFound, Stale
from app.models import Hero, HeroStatus, Team
from app.models.hero import HeroCreate, HeroUpdate
from app.models.team import TeamCreate, TeamUpdate
from app.services.base import ServiceBase
from app.services.soft_delete import SoftDeleteService
from tests.conftest import Statements

SERVICE = ServiceBase
SOFT = SoftDeleteService


class Teams(SERVICE[Team, TeamCreate, TeamUpdate]):
    """The plain table."""


class Heroes(SOFT[Hero, HeroCreate, HeroUpdate]):
    """The one with everything."""


class InOneTeam(SERVICE[Hero, HeroCreate, HeroUpdate]):
    """A scope: heroes of one team, as with tenants."""

    team_id: int

    def scope(self) -> tuple[Any, ...]:
        return (col(Hero.team_id) == self.team_id,)


@pytest.fixture
def teams(session: AsyncSession) -> Teams:
    return Teams(session)


@pytest.fixture
def heroes(session: AsyncSession) -> Heroes:
    return Heroes(session)


def team(name: str = "Preventers") -> TeamCreate:
    return TeamCreate(name=name, headquarters="Sharp Tower")


def hero(name: str, **values: Any) -> HeroCreate:
    return HeroCreate(name=name, secret_name="x", **values)


async def seeded(heroes: Heroes, ages: Sequence[int | None]) -> list[int]:
    rows = [await heroes.create(hero(f"h{number}", age=age)) for number, age in enumerate(ages)]
    return [row.id for row in rows if row.id is not None]


# ---- read ----------------------------------------------------------------------------------


async def test_get_gives_the_row_or_not_found(teams: Teams) -> None:
    made = await teams.create(team())
    assert made.id is not None
    assert (await teams.get(made.id)).name == "Preventers"
    with pytest.raises(NotFound, match="Team 999999 does not exist"):
        await teams.get(999_999)


async def test_first_gives_the_first_in_order_or_none(heroes: Heroes) -> None:
    await seeded(heroes, [3, 1, 2])
    youngest = await heroes.first(order_by=[col(Hero.age)])
    assert youngest is not None
    assert youngest.age == 1
    assert await heroes.first(col(Hero.age) > 9) is None


async def test_find_orders_by_key_where_values_are_equal(heroes: Heroes) -> None:
    ids = await seeded(heroes, [5, 5, 5, 1])
    assert [row.id for row in await heroes.find(order_by=[col(Hero.age).desc()])] == ids
    assert [row.id for row in await heroes.find(order_by=[col(Hero.age)], limit=2, offset=1)] == ids[:2]


async def test_find_caps_the_limit(teams: Teams) -> None:
    await teams.create_many([team(f"t{number}") for number in range(teams.max_limit + 5)])
    assert len(await teams.find(limit=10**9)) == teams.max_limit


async def test_page_counts_only_when_it_must(heroes: Heroes, statements: Statements) -> None:
    await seeded(heroes, [1, 2, 3, 4, 5])
    statements.clear()
    short = await heroes.page(limit=10)
    assert (len(short.items), short.total, len(statements)) == (5, 5, 1)
    statements.clear()
    full = await heroes.page(limit=5)
    assert (len(full.items), full.total, len(statements)) == (5, 5, 2)
    last = await heroes.page(limit=2, offset=4)
    assert (len(last.items), last.total) == (1, 5)
    beyond = await heroes.page(limit=2, offset=50)
    assert (len(beyond.items), beyond.total) == (0, 5)


@pytest.mark.parametrize("desc", [False, True])
async def test_after_meets_every_row_once_though_rows_come_and_go(heroes: Heroes, desc: bool) -> None:
    for number in range(10):
        await heroes.create(hero(f"h{number}", power=Decimal(number // 3)))
    seen: list[str] = []
    cursor: str | None = None
    for turn in range(10):
        part = await heroes.after(cursor, key=Hero.power, desc=desc, limit=3)
        seen += [row.name for row in part.items]
        cursor = part.next
        if cursor is None:
            break
        if turn == 0:  # a row that stands before the cursor moves nothing
            await heroes.create(hero("late", power=Decimal(99 if desc else 0)))
    assert [name for name in seen if name != "late"] == sorted(
        (f"h{number}" for number in range(10)), key=lambda name: (int(name[1:]) // 3, int(name[1:])), reverse=desc
    )


async def test_after_sorts_by_datetimes_and_text(heroes: Heroes) -> None:
    await seeded(heroes, [1, 2, 3])
    for key in (Hero.created_at, Hero.name):
        first = await heroes.after(None, key=key, limit=2)
        rest = await heroes.after(first.next, key=key, limit=2)
        assert [row.name for row in [*first.items, *rest.items]] == ["h0", "h1", "h2"]
        assert rest.next is None


@pytest.mark.parametrize("cursor", ["", "x", "é", "bnVsbA==", "W10=", "WzEsMl0=", "W251bGxd", "WyJhIl0=", "A" * 500])
async def test_after_refuses_a_cursor_that_is_not_its_own(heroes: Heroes, cursor: str) -> None:
    with pytest.raises(InvalidData, match="cursor"):
        await heroes.after(cursor)


async def test_after_refuses_a_nullable_key(heroes: Heroes) -> None:
    with pytest.raises(ValueError, match="nullable"):
        await heroes.after(None, key=Hero.age)


async def test_stream_gives_every_row_in_order(heroes: Heroes) -> None:
    await heroes.create_many([hero(f"h{number}") for number in range(25)])
    ids = [row.id async for row in heroes.stream(batch=10)]
    assert len(ids) == 25
    assert ids == sorted(ids, key=lambda value: value or 0)


async def test_count_and_exists_look_at_the_condition(heroes: Heroes) -> None:
    await seeded(heroes, [1, 2, 3])
    assert await heroes.count() == 3
    assert await heroes.count(col(Hero.age) > 1) == 2
    assert await heroes.exists(col(Hero.age) == 3)
    assert not await heroes.exists(col(Hero.age) == 4)


async def test_get_many_keeps_the_order_asked(heroes: Heroes) -> None:
    ids = await seeded(heroes, [1, 2, 3])
    assert [row.id for row in await heroes.get_many([ids[2], ids[0]])] == [ids[2], ids[0]]
    assert await heroes.get_many([]) == []
    with pytest.raises(NotFound):
        await heroes.get_many([ids[0], 999_999])
    with pytest.raises(ValueError, match="at most"):
        await heroes.get_many(list(range(1, heroes.max_limit + 2)))


async def test_statement_is_the_base_of_any_query(heroes: Heroes, session: AsyncSession) -> None:
    await seeded(heroes, [1, 2])
    adults = heroes.statement(col(Hero.age) > 1).order_by(col(Hero.name))
    assert [row.name for row in (await session.exec(adults)).all()] == ["h1"]


# ---- write ---------------------------------------------------------------------------------


async def test_create_gives_key_defaults_and_utc_times(heroes: Heroes) -> None:
    made = await heroes.create(hero("h", power=Decimal("1.50")))
    assert made.id is not None
    assert (made.status, made.version, made.power) == (HeroStatus.ACTIVE, 1, Decimal("1.50"))
    assert made.created_at.tzinfo is not None
    assert abs((datetime.now(UTC) - made.created_at).total_seconds()) < 60


async def test_create_takes_columns_that_the_client_does_not_write(heroes: Heroes) -> None:
    made = await heroes.create(hero("h"), deleted_at=datetime.now(UTC))
    assert made.deleted_at is not None


async def test_create_validates_what_the_caller_adds(heroes: Heroes) -> None:
    with pytest.raises(InvalidData):
        await heroes.create(hero("h"), age=-1)


async def test_a_conflict_can_be_caught_around_a_savepoint(teams: Teams, session: AsyncSession) -> None:
    await teams.create(team())
    with pytest.raises(Conflict) as caught:
        async with session.begin_nested():
            await teams.create(team())
    on_postgresql = session.get_bind().dialect.name == "postgresql"
    assert caught.value.constraint == ("uq_team_name" if on_postgresql else None)
    assert await teams.count() == 1


async def test_a_reference_to_nothing_is_a_bad_reference(heroes: Heroes, session: AsyncSession) -> None:
    with pytest.raises(BadReference):
        async with session.begin_nested():
            await heroes.create(hero("h", team_id=999_999))


async def test_create_many_inserts_all_or_nothing(teams: Teams, session: AsyncSession) -> None:
    assert await teams.create_many([team("a"), team("b")]) == 2
    assert await teams.create_many([]) == 0
    with pytest.raises(Conflict):
        async with session.begin_nested():
            await teams.create_many([team("c"), team("a")])
    assert await teams.count() == 2


async def test_update_changes_what_was_sent(heroes: Heroes) -> None:
    (pk,) = await seeded(heroes, [5])
    before = (await heroes.get(pk)).updated_at
    changed = await heroes.update(pk, HeroUpdate(age=6))
    assert (changed.age, changed.name, changed.version) == (6, "h0", 2)
    assert changed.updated_at > before
    assert (await heroes.update(pk, HeroUpdate(age=None))).age is None
    assert (await heroes.update(pk, HeroUpdate())).version == 3


async def test_update_refuses_null_where_the_column_does(teams: Teams) -> None:
    made = await teams.create(team())
    assert made.id is not None
    unchecked = TeamUpdate.model_construct({"name"}, name=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidData, match="name cannot be null"):
        await teams.update(made.id, unchecked)


async def test_update_refuses_a_version_that_is_not_the_newest(heroes: Heroes) -> None:
    (pk,) = await seeded(heroes, [5])
    await heroes.update(pk, HeroUpdate(age=6), version=1)
    with pytest.raises(Stale):
        await heroes.update(pk, HeroUpdate(age=7), version=1)
    assert (await heroes.get(pk)).age == 6


async def test_update_where_and_delete_where_need_a_condition(teams: Teams) -> None:
    await teams.create_many([team("a"), team("b")])
    with pytest.raises(ValueError, match="no condition"):
        await teams.update_where(values={"headquarters": "x"})
    with pytest.raises(ValueError, match="no condition"):
        await teams.delete_where()
    assert await teams.update_where(col(Team.name) == "a", values={"headquarters": "x"}) == 1
    assert await teams.update_where(true(), values={"headquarters": "y"}) == 2
    assert await teams.delete_where(col(Team.name) == "a") == 1
    assert await teams.count() == 1


async def test_update_where_counts_the_version_up(heroes: Heroes) -> None:
    (pk,) = await seeded(heroes, [5])
    await heroes.update_where(heroes.key == pk, values={"age": 6})
    with pytest.raises(Stale):
        await heroes.update(pk, HeroUpdate(age=7), version=1)


async def test_rows_that_were_loaded_stay_readable_after_a_statement_for_many(heroes: Heroes) -> None:
    (pk,) = await seeded(heroes, [5])
    works: list[Callable[[], Awaitable[int]]] = [
        lambda: heroes.update_where(heroes.key == pk, values={"age": 6}),
        lambda: heroes.upsert([hero("h0", age=6)], on=["name"]),
    ]
    for work in works:
        loaded = await heroes.get(pk)
        seen = loaded.version
        await work()
        assert (loaded.name, loaded.version) == ("h0", seen)
        fresh = await heroes.get(pk)
        assert (fresh.age, fresh.version) == (6, seen + 1)


async def test_delete_deletes_or_is_not_found(teams: Teams) -> None:
    made = await teams.create(team())
    assert made.id is not None
    await teams.delete(made.id)
    with pytest.raises(NotFound):
        await teams.delete(made.id)


async def test_upsert_inserts_and_overwrites(heroes: Heroes) -> None:
    (pk,) = await seeded(heroes, [5])
    before = await heroes.get(pk)
    made, changed = before.created_at, before.updated_at
    assert await heroes.upsert([hero("h0", age=9), hero("new", age=1)], on=["name"]) == 2
    assert await heroes.upsert([], on=["name"]) == 0
    after = await heroes.get(pk)
    assert (after.age, after.version, after.created_at) == (9, 2, made)
    assert after.updated_at > changed
    assert await heroes.count() == 2


async def test_upsert_keeps_the_last_of_two_rows_with_one_key(heroes: Heroes) -> None:
    await heroes.upsert([hero("h", age=1), hero("h", age=2)], on=["name"])
    assert [row.age for row in await heroes.find()] == [2]


async def test_get_or_create_makes_a_row_once(teams: Teams) -> None:
    made, is_new = await teams.get_or_create(team(), on=["name"])
    again, is_new_again = await teams.get_or_create(team(), on=["name"])
    assert (made.id, is_new, is_new_again) == (again.id, True, False)


# ---- scope ---------------------------------------------------------------------------------


async def test_soft_delete_hides_a_row_from_every_method(heroes: Heroes) -> None:
    pk, other = await seeded(heroes, [5, 6])
    await heroes.delete(pk)
    assert await heroes.count() == 1
    assert [row.id for row in await heroes.find()] == [other]
    assert [row.id async for row in heroes.stream()] == [other]
    assert not await heroes.exists(heroes.key == pk)
    for work in (heroes.get(pk), heroes.get_many([pk]), heroes.update(pk, HeroUpdate(age=1)), heroes.delete(pk)):
        with pytest.raises(NotFound):
            await work
    assert await heroes.update_where(true(), values={"age": 1}) == 1
    with pytest.raises(NotFound):
        await heroes.restore(other)
    assert (await heroes.restore(pk)).age == 5
    assert await heroes.count() == 2


async def test_a_scope_holds_for_reads_and_writes(heroes: Heroes, teams: Teams, session: AsyncSession) -> None:
    mine, theirs = await teams.create(team("mine")), await teams.create(team("theirs"))
    inside = await heroes.create(hero("in", team_id=mine.id))
    outside = await heroes.create(hero("out", team_id=theirs.id))
    scoped = InOneTeam(session)
    assert mine.id is not None
    assert outside.id is not None
    scoped.team_id = mine.id
    assert [row.id for row in await scoped.find()] == [inside.id]
    assert await scoped.count() == 1
    assert await scoped.delete_where(true()) == 1
    for work in (scoped.get(outside.id), scoped.update(outside.id, HeroUpdate(age=1)), scoped.delete(outside.id)):
        with pytest.raises(NotFound):
            await work


# ---- budgets -------------------------------------------------------------------------------


@pytest.fixture
async def server_statements(session: AsyncSession) -> AsyncIterator[Any]:
    """Statements by the server's own counter, where it has one for a session (MariaDB)."""
    if session.get_bind().dialect.name not in ("mysql", "mariadb"):
        yield None
        return

    async def count(kind: str) -> int:
        rows = await session.exec(text(f"SHOW SESSION STATUS LIKE 'Com_{kind}'"))  # type: ignore[call-overload]
        return int(rows.one()[1])

    yield count


async def test_no_method_sends_more_statements_than_its_budget(
    heroes: Heroes, teams: Teams, statements: Statements, session: AsyncSession
) -> None:
    made = await teams.create(team())
    ids = await seeded(heroes, [1, 2, 3])
    await session.commit()
    budgets: list[tuple[int, Any]] = [
        (1, lambda: heroes.get(ids[0])),
        (1, lambda: heroes.find()),
        (1, lambda: heroes.first()),
        (1, lambda: heroes.after(None)),
        (1, lambda: heroes.count()),
        (1, lambda: heroes.exists()),
        (1, lambda: heroes.get_many(ids)),
        (2, lambda: heroes.page(limit=1)),
        (1, lambda: heroes.create(hero("budget"))),
        (2, lambda: heroes.update(ids[0], HeroUpdate(age=9))),
        (1, lambda: heroes.update_where(heroes.key == ids[1], values={"age": 9})),
        (1, lambda: heroes.delete(ids[1])),
        (2, lambda: heroes.create_many([hero(f"many{number}") for number in range(1000)])),
        (2, lambda: heroes.upsert([hero(f"many{number}") for number in range(1000)], on=["name"])),
        (1, lambda: teams.get(made.id or 0)),
        (2, lambda: teams.get(made.id or 0, options=[selectinload(Team.heroes)])),  # type: ignore[arg-type]
        (2, lambda: heroes.find(options=[joinedload(Hero.team), selectinload(Hero.tags)])),  # type: ignore[arg-type]
    ]
    for budget, work in budgets:
        session.expunge_all()
        statements.clear()
        await work()
        assert len(statements) <= budget, statements


async def test_the_server_sees_few_statements_for_1000_rows(heroes: Heroes, server_statements: Any) -> None:
    if server_statements is None:
        await heroes.create_many([hero(f"many{number}") for number in range(1000)])
        assert await heroes.count() == 1000
        return
    before = await server_statements("insert")
    await heroes.create_many([hero(f"many{number}") for number in range(1000)])
    await heroes.upsert([hero(f"many{number}") for number in range(1000)], on=["name"])
    assert await server_statements("insert") - before <= 4


async def test_the_number_of_statements_does_not_grow_with_the_rows(
    heroes: Heroes, teams: Teams, statements: Statements, session: AsyncSession
) -> None:
    counts = []
    for round_ in range(2):
        made = await teams.create(team(f"t{round_}"))
        await heroes.create_many([hero(f"{round_}-{number}", team_id=made.id) for number in range(5 + 40 * round_)])
        await session.commit()
        session.expunge_all()
        statements.clear()
        await heroes.find(limit=200, options=[joinedload(Hero.team), selectinload(Hero.tags)])  # type: ignore[arg-type]
        counts.append(len(statements))
    assert counts[0] == counts[1]


# ---- boundaries ----------------------------------------------------------------------------


async def test_nothing_is_committed_by_a_service(engine: AsyncEngine) -> None:
    async with make_sessions(engine)() as session:
        await Teams(session).create(team("uncommitted"))
        await Teams(session).create_many([team("uncommitted 2")])
    async with make_sessions(engine)() as session:
        assert (await session.exec(select(Team).where(col(Team.name).startswith("uncommitted")))).all() == []


def test_mysql_is_compiled_for() -> None:
    from sqlalchemy.dialects.mysql import insert

    statement = insert(Hero).values(name="x")
    sql = str(statement.on_duplicate_key_update(name=statement.inserted.name).compile(dialect=mysql.dialect()))
    assert "ON DUPLICATE KEY UPDATE" in sql
    from sqlalchemy.schema import CreateTable

    table = str(CreateTable(Hero.__table__).compile(dialect=mysql.dialect()))  # type: ignore[attr-defined]
    assert "DATETIME(6)" in table
    assert "utf8mb4_bin" in table
