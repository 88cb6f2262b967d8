"""Many requests at once, cancelled ones, killed connections: right results, and every connection given back."""

import asyncio
from collections import Counter

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import text
from sqlmodel import func, select

from app.config import Settings
from app.database import SQLITE_WRITE
from app.main import create_app
from app.models import Hero, Team
from app.models.hero import HeroCreate
from app.models.team import TeamCreate
from app.services.heroes import HeroService
from app.services.teams import TeamService
from tests.factories import make_hero, make_team


def checked_out(app: FastAPI) -> int:
    count: int = app.state.engine.pool.checkedout()
    return count


async def test_of_40_parallel_transfers_of_one_hero_one_wins(live: AsyncClient, app: FastAPI) -> None:
    first, second = [await make_team(live, name=name) for name in ("A", "B")]
    hero = await make_hero(live, name="h", team_id=first["id"])
    body = {"from_team_id": first["id"], "to_team_id": second["id"]}
    path = f"/heroes/{hero['id']}/transfer"
    responses = await asyncio.gather(*(live.post(path, json=body) for _ in range(40)))
    assert Counter(response.status_code for response in responses) == {200: 1, 409: 39}
    assert (await live.get(f"/heroes/{hero['id']}")).json()["version"] == 2
    assert checked_out(app) == 0


async def test_40_transfers_in_both_directions_all_succeed_at_the_first_try(live: AsyncClient, app: FastAPI) -> None:
    teams = [(await make_team(live, name=name))["id"] for name in ("A", "B")]
    jobs = []
    for number in range(40):
        old, new = teams[number % 2], teams[1 - number % 2]
        hero = await make_hero(live, name=f"h{number}", team_id=old)
        jobs.append((f"/heroes/{hero['id']}/transfer", {"from_team_id": old, "to_team_id": new}))
    responses = await asyncio.gather(*(live.post(path, json=body) for path, body in jobs))
    assert [response.status_code for response in responses] == [200] * 40, [r.text for r in responses]
    for pk in teams:
        assert (await live.get("/heroes", params={"team_id": pk})).json()["total"] == 20
    assert checked_out(app) == 0


async def test_of_20_equal_creations_one_wins(live: AsyncClient, app: FastAPI) -> None:
    body = {"name": "same", "headquarters": "x"}
    responses = await asyncio.gather(*(live.post("/teams", json=body) for _ in range(20)))
    assert Counter(response.status_code for response in responses) == {201: 1, 409: 19}
    assert len((await live.get("/teams")).json()) == 1
    assert checked_out(app) == 0


async def test_of_20_updates_of_one_version_one_wins(live: AsyncClient) -> None:
    hero = await make_hero(live, name="h")
    path, seen = f"/heroes/{hero['id']}", {"If-Match": '"1"'}
    responses = await asyncio.gather(*(live.patch(path, json={"age": n}, headers=seen) for n in range(20)))
    assert Counter(response.status_code for response in responses) == {200: 1, 412: 19}


async def test_updates_without_a_version_all_count(live: AsyncClient) -> None:
    hero = await make_hero(live, name="h")
    path = f"/heroes/{hero['id']}"
    responses = await asyncio.gather(*(live.patch(path, json={"age": n}) for n in range(20)))
    assert Counter(response.status_code for response in responses) == {200: 20}
    assert (await live.get(path)).json()["version"] == 21


async def test_parallel_bulk_upserts_of_the_same_rows_end_well(live: AsyncClient) -> None:
    rows = [{"name": f"h{number}", "secret_name": "x"} for number in range(50)]
    orders = [rows, rows[::-1], rows[25:] + rows[:25]] * 3
    responses = await asyncio.gather(*(live.put("/heroes/bulk", json=order) for order in orders))
    codes = Counter(response.status_code for response in responses)
    assert set(codes) <= {200, 503}, [response.text for response in responses]
    assert codes[200] >= 1
    assert all("Retry-After" in response.headers for response in responses if response.status_code == 503)
    assert (await live.get("/heroes")).json()["total"] == 50


async def test_get_or_create_in_10_sessions_makes_one_row(app: FastAPI, live: AsyncClient) -> None:
    async def once() -> bool:
        async with app.state.sessions.begin() as session:
            await session.connection(execution_options=SQLITE_WRITE)
            _, is_new = await TeamService(session).get_or_create(TeamCreate(name="one", headquarters="x"), on=["name"])
        return is_new

    assert sorted(await asyncio.gather(*(once() for _ in range(10)))) == [False] * 9 + [True]
    assert len((await live.get("/teams")).json()) == 1


async def test_cancelled_requests_give_their_connections_back(live: AsyncClient, app: FastAPI) -> None:
    for delay in (0.0, 0.001, 0.003, 0.01):
        tasks = [
            asyncio.create_task(live.post("/teams", json={"name": f"{delay}-{n}", "headquarters": "x"}))
            for n in range(10)
        ]
        await asyncio.sleep(delay)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(10):
        while checked_out(app):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await make_team(live, name="after"))["name"] == "after"


async def test_killed_connections_heal(live: AsyncClient, app: FastAPI) -> None:
    await asyncio.gather(*(live.get("/teams") for _ in range(5)))
    engine = app.state.engine
    if engine.dialect.name == "sqlite":
        await engine.dispose()  # there is no server to kill them
    async with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'"
                )
            )
        elif engine.dialect.name != "sqlite":
            rows = await connection.execute(
                text("SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()")
            )
            for (number,) in rows.all():
                await connection.execute(text(f"KILL {number}"))
    responses = await asyncio.gather(*(live.get("/teams") for _ in range(10)))
    assert [response.status_code for response in responses] == [200] * 10
    assert checked_out(app) == 0


async def test_more_requests_than_connections_wait_their_turn(live: AsyncClient, app: FastAPI) -> None:
    responses = await asyncio.gather(*(live.get("/health/ready") for _ in range(60)))
    assert {response.status_code for response in responses} == {200}
    assert checked_out(app) == 0


async def test_a_taken_pool_is_503_with_retry_after(live: AsyncClient, app: FastAPI) -> None:
    pool = app.state.engine.sync_engine.pool
    held = [await app.state.engine.connect() for _ in range(10)]
    try:
        pool._timeout = 0.05
        response = await live.get("/teams")
    finally:
        for connection in held:
            await connection.close()
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert "QueuePool" not in response.text


async def test_an_error_in_a_request_rolls_everything_back(live: AsyncClient) -> None:
    rows = [{"name": "a", "secret_name": "x"}, {"name": "b", "secret_name": "x", "team_id": 999999}]
    assert (await live.put("/heroes/bulk", json=rows)).status_code == 409
    assert (await live.get("/heroes")).json()["total"] == 0


async def test_a_commit_is_seen_by_the_next_request(live: AsyncClient, app: FastAPI) -> None:
    for number in range(20):
        team = await make_team(live, name=f"t{number}")
        assert (await live.get(f"/teams/{team['id']}")).status_code == 200
    async with app.state.sessions() as session:
        assert (await session.exec(select(func.count()).select_from(Team))).one() == 20


async def test_a_transaction_with_two_services_is_one(app: FastAPI, live: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        async with app.state.sessions.begin() as session:
            team = await TeamService(session).create(TeamCreate(name="t", headquarters="x"))
            await HeroService(session).create(HeroCreate(name="h", secret_name="x", team_id=team.id))
            raise RuntimeError("on purpose")
    async with app.state.sessions() as session:
        assert (await session.exec(select(func.count()).select_from(Hero))).one() == 0
    assert (await live.get("/teams")).json() == []


async def test_a_database_that_is_away_is_503() -> None:
    for url in (
        "postgresql://nobody@127.0.0.1:1/test",
        "mariadb://nobody@127.0.0.1:1/test",
        "sqlite:////nowhere/test.db",
    ):
        app = create_app(Settings(database_url=SecretStr(url)))
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test") as client,
        ):
            response = await client.get("/teams")
            assert response.status_code == 503, (url, response.text)
            assert "127.0.0.1" not in response.text
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 503
