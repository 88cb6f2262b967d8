"""Heroes."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import delete
from sqlalchemy.orm import joinedload, selectinload
from sqlmodel import col, select

from app.errors import BadReference, Conflict, database_errors
from app.models.base import MAX_INT, Text
from app.models.hero import Hero, HeroCreate, HeroStatus, HeroUpdate, Transfer
from app.models.tag import HeroTag, Tag
from app.models.team import Team
from app.services.base import Options
from app.services.filters import FilterBase
from app.services.soft_delete import SoftDeleteService

Int = Annotated[int, Field(ge=0, le=MAX_INT)]
DETAIL: Options = [joinedload(Hero.team), selectinload(Hero.tags)]  # type: ignore[arg-type]


class HeroFilter(FilterBase):
    """What a list of heroes can be filtered and sorted by."""

    table = Hero

    name: Annotated[Text, Field(max_length=50)] | None = None
    name__icontains: Annotated[Text, Field(max_length=50)] | None = None
    name__startswith: Annotated[Text, Field(max_length=50)] | None = None
    age: Int | None = None
    age__ge: Int | None = None
    age__lt: Int | None = None
    age__is_null: bool | None = None
    status__in: Annotated[list[HeroStatus], Field(max_length=10)] | None = None
    power__ge: Annotated[Decimal, Field(ge=0, max_digits=8, decimal_places=2)] | None = None
    team_id: Int | None = None
    team_id__in: Annotated[list[Int], Field(max_length=100)] | None = None
    team_id__is_null: bool | None = None
    sort: Literal["name", "-name", "age", "-age", "power", "-power", "created_at", "-created_at"] = "name"


class HeroService(SoftDeleteService[Hero, HeroCreate, HeroUpdate]):
    """Heroes."""

    async def detail(self, pk: int) -> Hero:
        """A hero with team and tags, in two statements.

        Raises:
            NotFound: No such hero.
        """
        return await self.get(pk, options=DETAIL)

    async def transfer(self, pk: int, data: Transfer) -> Hero:
        """Move a hero from one team to another, if the hero is still in the first.

        The hero is locked first, then the teams in the order of their keys: two transfers never wait for each other
        in a circle, so none has to be tried again.

        Raises:
            NotFound: No such hero.
            Conflict: The hero is in another team.
            BadReference: The new team does not exist.
        """
        hero = await self.get(pk, lock=True)
        if hero.team_id != data.from_team_id:
            raise Conflict(f"Hero {pk} is not in team {data.from_team_id}")
        wanted = sorted({data.from_team_id, data.to_team_id})
        teams: Any = select(Team.id).where(col(Team.id).in_(wanted)).order_by(col(Team.id))
        with database_errors(self.name):
            found = (await self.session.exec(teams.with_for_update(key_share=True))).all()
        if data.to_team_id not in found:
            raise BadReference(f"Team {data.to_team_id} does not exist")
        hero.team_id = data.to_team_id
        with database_errors(self.name):
            await self.session.flush()
        return hero

    async def add_tag(self, pk: int, tag_id: int) -> None:
        """Put a tag on a hero; a second time changes nothing.

        Raises:
            NotFound: No such hero.
            BadReference: No such tag.
        """
        await self.get(pk, lock=True)
        with database_errors("Tag"):
            if (await self.session.exec(select(Tag.id).where(Tag.id == tag_id))).first() is None:
                raise BadReference(f"Tag {tag_id} does not exist")
            if await self.session.get(HeroTag, (pk, tag_id)) is None:
                self.session.add(HeroTag(hero_id=pk, tag_id=tag_id))
                await self.session.flush()

    async def remove_tag(self, pk: int, tag_id: int) -> None:
        """Take a tag off a hero, if it is there.

        Raises:
            NotFound: No such hero.
        """
        await self.get(pk)
        link = delete(HeroTag).where(col(HeroTag.hero_id) == pk, col(HeroTag.tag_id) == tag_id)
        with database_errors("Tag"):
            await self.session.exec(link)
