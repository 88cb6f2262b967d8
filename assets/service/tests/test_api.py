"""Every endpoint: what it answers, and what it answers when something is wrong."""

from typing import Any

import pytest
from httpx import AsyncClient

from tests.factories import make_hero, make_mission, make_tag, make_team

HERO = {"name": "Deadpond", "secret_name": "Dive Wilson"}


async def test_a_team_can_be_made_read_changed_and_deleted(client: AsyncClient) -> None:
    team = await make_team(client, name="Preventers")
    assert team == {"id": team["id"], "name": "Preventers", "headquarters": "Sharp Tower"}
    path = f"/teams/{team['id']}"
    assert (await client.get(path)).json() == {**team, "heroes": []}
    assert (await client.patch(path, json={"headquarters": "Tower 2"})).json()["name"] == "Preventers"
    assert [one["headquarters"] for one in (await client.get("/teams")).json()] == ["Tower 2"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


async def test_a_hero_has_team_and_tags_in_the_detail(client: AsyncClient) -> None:
    team = await make_team(client, name="Preventers")
    hero = await make_hero(client, **HERO, team_id=team["id"], age=30, power="12.50", profile={"eyes": "blue"})
    assert "secret_name" not in hero
    assert hero["power"] == "12.50"
    assert hero["created_at"].endswith("Z")
    for name in ("fast", "blue"):
        tag = await make_tag(client, name=name)
        for _ in range(2):
            assert (await client.put(f"/heroes/{hero['id']}/tags/{tag['id']}")).status_code == 204
    detail = (await client.get(f"/heroes/{hero['id']}")).json()
    assert detail["team"]["name"] == "Preventers"
    assert [one["name"] for one in detail["tags"]] == ["blue", "fast"]
    assert (await client.delete(f"/heroes/{hero['id']}/tags/{detail['tags'][0]['id']}")).status_code == 204
    assert len((await client.get(f"/heroes/{hero['id']}")).json()["tags"]) == 1
    assert (await client.put(f"/heroes/{hero['id']}/tags/999999")).status_code == 409
    assert (await client.put(f"/heroes/999999/tags/{detail['tags'][0]['id']}")).status_code == 404


async def test_patch_tells_absent_from_null(client: AsyncClient) -> None:
    hero = await make_hero(client, **HERO, age=30)
    path = f"/heroes/{hero['id']}"
    assert (await client.patch(path, json={})).json()["age"] == 30
    assert (await client.patch(path, json={"age": None})).json()["age"] is None
    assert (await client.patch(path, json={"name": None})).status_code == 422
    assert (await client.patch(path, json={"id": 7})).status_code == 422
    assert (await client.get(path)).json()["name"] == "Deadpond"


async def test_if_match_refuses_a_stale_version(client: AsyncClient) -> None:
    created = await client.post("/heroes", json=HERO)
    path, seen = f"/heroes/{created.json()['id']}", created.headers["ETag"]
    assert (await client.patch(path, json={"age": 1}, headers={"If-Match": seen})).status_code == 200
    stale = await client.patch(path, json={"age": 2}, headers={"If-Match": seen})
    assert stale.status_code == 412
    assert (await client.get(path)).json()["age"] == 1
    newest = (await client.get(path)).headers["ETag"]
    assert (await client.patch(path, json={"age": 3}, headers={"If-Match": newest})).json()["version"] == 3
    assert (await client.patch(path, json={"age": 4}, headers={"If-Match": "*"})).status_code == 200
    assert (await client.patch(path, json={"age": 5}, headers={"If-Match": "three"})).status_code == 422


async def test_a_deleted_hero_is_gone_until_restored(client: AsyncClient) -> None:
    hero = await make_hero(client, **HERO)
    path = f"/heroes/{hero['id']}"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404
    assert (await client.patch(path, json={"age": 1})).status_code == 404
    assert (await client.get("/heroes")).json() == {"items": [], "total": 0}
    assert (await client.post("/heroes", json=HERO)).status_code == 409
    assert (await client.post(f"{path}/restore")).json()["name"] == "Deadpond"
    assert (await client.post(f"{path}/restore")).status_code == 404
    assert (await client.get(path)).status_code == 200


async def test_duplicates_and_missing_references_are_409(client: AsyncClient) -> None:
    await make_hero(client, **HERO)
    duplicate = await client.post("/heroes", json=HERO)
    assert duplicate.status_code == 409
    assert duplicate.json() == {"detail": "Hero already exists"}
    orphan = await client.post("/heroes", json={**HERO, "name": "Other", "team_id": 999999})
    assert orphan.status_code == 409
    assert "SELECT" not in orphan.text
    assert "INSERT" not in orphan.text
    # the failed requests left nothing behind
    assert (await client.get("/heroes")).json()["total"] == 1


async def test_names_that_differ_in_case_or_accents_are_different(client: AsyncClient) -> None:
    for name in ("Ecole", "École", "ECOLE", "ecole"):
        await make_team(client, name=name)
    assert len((await client.get("/teams")).json()) == 4


async def test_a_list_is_filtered_sorted_and_paged(client: AsyncClient) -> None:
    team = await make_team(client, name="Preventers")
    for number in range(7):
        extra: dict[str, Any] = {"team_id": team["id"]} if number % 2 else {}
        age = number if number else None
        await make_hero(client, name=f"Hero {number}", age=age, power=str(number), **extra)

    async def names(**query: Any) -> list[str]:
        response = await client.get("/heroes", params=query)
        assert response.status_code == 200, response.text
        return [one["name"].removeprefix("Hero ") for one in response.json()["items"]]

    assert await names(sort="-power", limit=2) == ["6", "5"]
    assert await names(sort="-power", limit=2, offset=2) == ["4", "3"]
    assert await names(age__ge=5) == ["5", "6"]
    assert await names(age__lt=2) == ["1"]
    assert await names(age__is_null=True) == ["0"]
    assert await names(team_id=team["id"]) == ["1", "3", "5"]
    assert await names(team_id__in=[team["id"]], age__ge=3) == ["3", "5"]
    assert await names(team_id__is_null=False) == ["1", "3", "5"]
    assert await names(name__icontains="hERO 3") == ["3"]
    assert await names(name__startswith="Hero", limit=1) == ["0"]
    assert await names(status__in=["injured", "retired"]) == []
    assert await names(name="Hero 2") == ["2"]
    page = (await client.get("/heroes", params={"limit": 3})).json()
    assert (len(page["items"]), page["total"]) == (3, 7)
    beyond = (await client.get("/heroes", params={"limit": 3, "offset": 50})).json()
    assert beyond == {"items": [], "total": 7}


@pytest.mark.parametrize("sort", ["id", "name", "power", "created_at"])
@pytest.mark.parametrize("desc", [False, True])
async def test_scrolling_meets_every_hero_once(client: AsyncClient, sort: str, desc: bool) -> None:
    for number in range(11):
        await make_hero(client, name=f"Hero {number:02}", power=str(number // 4))
    query: dict[str, Any] = {"sort": sort, "desc": desc, "limit": 3}
    seen: list[dict[str, Any]] = []
    while True:
        response = await client.get("/heroes/scroll", params=query)
        assert response.status_code == 200, response.text
        seen += response.json()["items"]
        if response.json()["next"] is None:
            break
        query["cursor"] = response.json()["next"]
    assert len({one["id"] for one in seen}) == len(seen) == 11
    keys = [(float(one["power"]) if sort == "power" else one[sort], one["id"]) for one in seen]
    assert keys == sorted(keys, reverse=desc)


async def test_bulk_inserts_new_heroes_and_overwrites_old_ones(client: AsyncClient) -> None:
    old = await make_hero(client, **HERO, age=1)
    rows = [{"name": f"Hero {number}", "secret_name": "x"} for number in range(5)] + [{**HERO, "age": 2}]
    for _ in range(2):
        assert (await client.put("/heroes/bulk", json=rows)).json() == {"stored": 6}
    page = (await client.get("/heroes")).json()
    assert page["total"] == 6
    changed = (await client.get(f"/heroes/{old['id']}")).json()
    assert (changed["age"], changed["version"]) == (2, 3)
    assert changed["created_at"] == old["created_at"]
    assert changed["updated_at"] > old["updated_at"]
    await client.delete(f"/heroes/{old['id']}")
    await client.put("/heroes/bulk", json=[HERO])
    assert (await client.get(f"/heroes/{old['id']}")).status_code == 200


async def test_bulk_takes_5000_heroes_and_no_more(client: AsyncClient) -> None:
    rows = [{"name": f"Hero {number}", "secret_name": "x"} for number in range(5_001)]
    assert (await client.put("/heroes/bulk", json=rows)).status_code == 422
    assert (await client.put("/heroes/bulk", json=rows[:5_000])).json() == {"stored": 5_000}
    assert (await client.get("/heroes", params={"limit": 1})).json()["total"] == 5_000
    assert (await client.put("/heroes/bulk", json=[])).json() == {"stored": 0}


async def test_bulk_is_all_or_nothing(client: AsyncClient) -> None:
    rows = [{"name": "Good", "secret_name": "x"}, {"name": "Bad", "secret_name": "x", "team_id": 999999}]
    assert (await client.put("/heroes/bulk", json=rows)).status_code == 409
    assert (await client.get("/heroes")).json()["total"] == 0


async def test_a_transfer_moves_a_hero_that_is_still_there(client: AsyncClient) -> None:
    first, second = [await make_team(client, name=name) for name in ("A", "B")]
    hero = await make_hero(client, **HERO, team_id=first["id"])
    path = f"/heroes/{hero['id']}/transfer"
    body = {"from_team_id": first["id"], "to_team_id": second["id"]}
    assert (await client.post(path, json=body)).json()["team_id"] == second["id"]
    assert (await client.post(path, json=body)).status_code == 409
    nowhere = {"from_team_id": second["id"], "to_team_id": 999999}
    assert (await client.post(path, json=nowhere)).status_code == 409
    assert (await client.post("/heroes/999999/transfer", json=body)).status_code == 404
    assert (await client.delete(f"/teams/{second['id']}")).status_code == 204
    assert (await client.get(f"/heroes/{hero['id']}")).json()["team"] is None


async def test_a_mission_lists_its_heroes_with_their_roles(client: AsyncClient) -> None:
    mission = await make_mission(client, name="Rescue", starts_at="2026-05-01T12:00:00.123456+02:00")
    assert mission["starts_at"] == "2026-05-01T10:00:00.123456Z"
    hero = await make_hero(client, **HERO)
    path = f"/missions/{mission['id']}/heroes/{hero['id']}"
    assert (await client.put(path, json={"role": "pilot"})).json() == {"hero_id": hero["id"], "role": "pilot"}
    assert (await client.put(path, json={"role": "leader"})).status_code == 200
    detail = (await client.get(f"/missions/{mission['id']}")).json()
    assert detail["members"] == [{"hero_id": hero["id"], "role": "leader"}]
    later = await client.patch(f"/missions/{mission['id']}", json={"starts_at": "2026-05-02T00:00:00Z"})
    assert later.json()["starts_at"] == "2026-05-02T00:00:00Z"
    assert (
        await client.patch(f"/missions/{mission['id']}", json={"starts_at": "2026-05-02T00:00:00"})
    ).status_code == 422
    assert (await client.put(f"/missions/999999/heroes/{hero['id']}", json={"role": "x"})).status_code == 404
    assert (await client.put(f"/missions/{mission['id']}/heroes/999999", json={"role": "x"})).status_code == 404
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
    assert [one["name"] for one in (await client.get("/missions")).json()] == ["Rescue"]
    assert (await client.delete(f"/missions/{mission['id']}")).status_code == 204


async def test_tags_can_be_made_listed_renamed_and_deleted(client: AsyncClient) -> None:
    tag = await make_tag(client, name=" fast ")
    assert tag["name"] == "fast"
    assert (await client.patch(f"/tags/{tag['id']}", json={"name": "slow"})).json()["name"] == "slow"
    assert (await client.post("/tags", json={"name": "slow"})).status_code == 409
    assert [one["name"] for one in (await client.get("/tags")).json()] == ["slow"]
    assert (await client.delete(f"/tags/{tag['id']}")).status_code == 204


async def test_a_password_is_checked_and_never_shown(client: AsyncClient) -> None:
    account = {"email": "Ada@Example.com", "password": "correct horse battery"}
    created = await client.post("/users", json=account)
    assert created.status_code == 201
    assert created.json() == {"id": created.json()["id"], "email": "ada@example.com", "is_active": True}
    assert (await client.get(f"/users/{created.json()['id']}")).json() == created.json()
    assert (await client.post("/users/authenticate", json=account)).json() == created.json()
    for wrong in ({**account, "password": "wrong horse battery"}, {**account, "email": "no@example.com"}):
        response = await client.post("/users/authenticate", json=wrong)
        assert response.status_code == 401
        assert response.json() == {"detail": "wrong address or password"}
    assert (await client.post("/users", json=account)).status_code == 409
    short = await client.post("/users", json={**account, "password": "short"})
    assert short.status_code == 422
    assert "short" not in short.text.replace("too_short", "")


async def test_health_says_live_and_ready(client: AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/health/ready")).json() == {"status": "ready"}


async def test_a_limit_is_bounded(client: AsyncClient) -> None:
    for path in ("/teams", "/heroes", "/heroes/scroll", "/tags", "/missions"):
        for limit in (0, -1, 201, 10**12):
            assert (await client.get(path, params={"limit": limit})).status_code == 422, (path, limit)
