"""Heroes."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel
from sqlmodel import SQLModel

from app.api.deps import Cursor, Heroes, Id, IfMatch, Limit
from app.models.hero import Hero, HeroCreate, HeroDetail, HeroPublic, HeroUpdate, Transfer
from app.services.base import Page, Slice
from app.services.heroes import HeroFilter

router = APIRouter(prefix="/heroes", tags=["heroes"])
MAX_BULK = 5_000


class HeroQuery(HeroFilter):
    """Filters with the place in the list."""

    limit: Annotated[int, Query(ge=1, le=200)] = 50
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0


class HeroPage(SQLModel):
    """Part of a list, and the length of the whole."""

    items: list[HeroPublic]
    total: int


class HeroSlice(SQLModel):
    """Part of a list, and the cursor of the next part."""

    items: list[HeroPublic]
    next: str | None


class Stored(BaseModel):
    """How many rows came in."""

    stored: int


SORT_KEYS = {"id": None, "name": Hero.name, "power": Hero.power, "created_at": Hero.created_at}


@router.post("", response_model=HeroPublic, status_code=201)
async def create_hero(data: HeroCreate, heroes: Heroes, response: Response) -> Hero:
    return _with_etag(await heroes.create(data), response)


@router.get("", response_model=HeroPage)
async def list_heroes(query: Annotated[HeroQuery, Query()], heroes: Heroes) -> Page[Hero]:
    """A page by number, with the total."""
    return await heroes.page(*query.where(), order_by=query.order_by(), limit=query.limit, offset=query.offset)


@router.get("/scroll", response_model=HeroSlice)
async def scroll_heroes(
    heroes: Heroes,
    cursor: Cursor = None,
    sort: Literal["id", "name", "power", "created_at"] = "id",
    desc: bool = False,
    limit: Limit = 50,
) -> Slice[Hero]:
    """A page by cursor: as fast on the last page as on the first."""
    return await heroes.after(cursor, key=SORT_KEYS[sort], desc=desc, limit=limit)


@router.put("/bulk")
async def upsert_heroes(rows: Annotated[list[HeroCreate], Body(max_length=MAX_BULK)], heroes: Heroes) -> Stored:
    """Insert heroes, or overwrite those with the same name."""
    return Stored(stored=await heroes.upsert(rows, on=["name"]))


@router.get("/{hero_id}", response_model=HeroDetail)
async def read_hero(hero_id: Id, heroes: Heroes, response: Response) -> Hero:
    return _with_etag(await heroes.detail(hero_id), response)


@router.patch("/{hero_id}", response_model=HeroPublic)
async def update_hero(hero_id: Id, data: HeroUpdate, heroes: Heroes, version: IfMatch, response: Response) -> Hero:
    return _with_etag(await heroes.update(hero_id, data, version=version), response)


@router.delete("/{hero_id}", status_code=204)
async def delete_hero(hero_id: Id, heroes: Heroes) -> None:
    await heroes.delete(hero_id)


@router.post("/{hero_id}/restore", response_model=HeroPublic)
async def restore_hero(hero_id: Id, heroes: Heroes, response: Response) -> Hero:
    return _with_etag(await heroes.restore(hero_id), response)


@router.post("/{hero_id}/transfer", response_model=HeroPublic)
async def transfer_hero(hero_id: Id, data: Transfer, heroes: Heroes, response: Response) -> Hero:
    return _with_etag(await heroes.transfer(hero_id, data), response)


@router.put("/{hero_id}/tags/{tag_id}", status_code=204)
async def add_tag(hero_id: Id, tag_id: Id, heroes: Heroes) -> None:
    await heroes.add_tag(hero_id, tag_id)


@router.delete("/{hero_id}/tags/{tag_id}", status_code=204)
async def remove_tag(hero_id: Id, tag_id: Id, heroes: Heroes) -> None:
    await heroes.remove_tag(hero_id, tag_id)


def _with_etag(hero: Hero, response: Response) -> Hero:
    response.headers["ETag"] = f'"{hero.version}"'
    return hero
