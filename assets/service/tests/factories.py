"""One valid row of each entity, made through the API. A test names only the values that it is about."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

from httpx import AsyncClient

numbers: dict[str, Iterator[int]] = defaultdict(lambda: count(1))  # keep unique values apart


async def made(client: AsyncClient, path: str, /, **data: Any) -> dict[str, Any]:
    response = await client.post(path, json=data)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def make_team(client: AsyncClient, /, **data: Any) -> dict[str, Any]:
    return await made(
        client, "/teams", **{"name": f"Team {next(numbers['team'])}", "headquarters": "Sharp Tower", **data}
    )


async def make_hero(client: AsyncClient, /, **data: Any) -> dict[str, Any]:
    return await made(
        client, "/heroes", **{"name": f"Hero {next(numbers['hero'])}", "secret_name": "Dive Wilson", **data}
    )


async def make_tag(client: AsyncClient, /, **data: Any) -> dict[str, Any]:
    return await made(client, "/tags", **{"name": f"tag {next(numbers['tag'])}", **data})


async def make_mission(client: AsyncClient, /, **data: Any) -> dict[str, Any]:
    defaults = {"name": f"Mission {next(numbers['mission'])}", "starts_at": "2026-05-01T12:00:00Z"}
    return await made(client, "/missions", **{**defaults, **data})


async def make_user(client: AsyncClient, /, **data: Any) -> dict[str, Any]:
    defaults = {"email": f"user{next(numbers['user'])}@example.com", "password": "correct horse battery"}
    return await made(client, "/users", **{**defaults, **data})
